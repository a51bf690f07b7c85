"""Packaging files agree with each other, and the package keeps its promises."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import rlnotes

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PIN = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)")
EQUATIONS = ROOT / "rlnotes" / "equations"


def pins() -> dict[str, str]:
    lines = [x for x in CONSTRAINTS.splitlines() if x and not x.startswith("#")]
    matches = [PIN.fullmatch(line) for line in lines]
    bad = [x for x, match in zip(lines, matches, strict=True) if not match]
    assert bad == [], "every line is name==version: no URL, path or local version"
    names = [match[1] for match in matches]
    assert len(names) == len(set(names))
    return {match[1]: match[2] for match in matches}


def requirements(extras: list[str]) -> list[Requirement]:
    texts = list(PROJECT["dependencies"])
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def extras_of_make_env() -> list[str]:
    return re.search(r"^EXTRAS := (.+)$", MAKEFILE, re.M)[1].split(",")


def closure(todo: list[Requirement]) -> dict[str, str]:
    """Installed version of everything that the requirements pull in here."""
    versions, done = {}, set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {e for n, e in done if n == name}:
            done.add((name, extra))
            versions[name] = metadata.version(name)
            for text in metadata.requires(name) or []:
                needed = Requirement(text)
                if not needed.marker or needed.marker.evaluate({"extra": extra}):
                    todo.append(needed)
    return versions


def test_every_requirement_is_pinned_to_a_version_it_allows():
    pinned = pins()
    for requirement in requirements(list(PROJECT["optional-dependencies"])):
        version = pinned[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, requirement


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="pins are made with 3.11")
def test_what_is_installed_is_what_is_pinned():
    installed = closure(requirements(extras_of_make_env()))
    pinned = pins()
    assert set(installed) - set(pinned) == set()
    differing = {
        name: (version, pinned[name])
        for name, version in installed.items()
        if Version(version).public != pinned[name]
    }
    assert differing == {}


def test_conda_users_get_the_same_pins():
    python, pip, options = ENVIRONMENT["dependencies"]
    assert (
        python.removeprefix("python=")
        in Requirement(f"python{PROJECT['requires-python']}").specifier
    )
    assert pip == "pip"
    assert options["pip"] == [
        "--constraint constraints.txt",
        f"--editable .[{','.join(extras_of_make_env())}]",
    ]


def test_no_packaging_file_names_an_index():
    for name in ("constraints.txt", "environment.yml", "Makefile", ".ci/run"):
        text = (ROOT / name).read_text()
        assert "://" not in text and "index-url" not in text, name


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == metadata.version("rlnotes")
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()
    assert "Apache License\n" in (ROOT / "LICENSE").read_text()


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, capture_output=True, text=True, env=environment
    )


def test_make_lists_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)[1].split()
    listed = [line.split()[0] for line in make().stdout.splitlines()[1:]]
    assert listed == targets


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            'echo "Python 3.8.1"; case "$1" in -c) exit 1;; esac',
            "Python 3.8.1, rlnotes",
        ),
        (None, "no '{python}' found"),
    ],
    ids=["too old", "missing"],
)
def test_make_env_says_which_python_it_needs(tmp_path, script, message):
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    python = tmp_path / "python"
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    done = make("env", f"PYTHON={python}", cwd=tmp_path)
    assert done.returncode == 2
    assert message.format(python=python) in done.stderr and ">= 3.11" in done.stderr
    assert not (tmp_path / ".venv").exists()


def jobs(name: str) -> dict:
    text = (ROOT / ".github" / "workflows" / name).read_text()
    return yaml.safe_load(text)["jobs"]


def commands(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_ci_does_what_a_contributor_does():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    typed = [line for line in lines if line.startswith("make ")]
    assert commands(jobs("tests.yml")["tests"]) == ["make check", "make test"]
    assert typed == ["make check", "make test", "make test-isa QUICK=1"]


def test_the_workflows_cover_three_systems_and_both_ends_of_python():
    tests = jobs("tests.yml")
    systems = [*tests["tests"]["strategy"]["matrix"]["os"], "windows-latest"]
    assert systems == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert tests["windows"]["runs-on"] == systems[-1]
    assert not any("make" in command for command in commands(tests["windows"]))
    low = PROJECT["requires-python"].removeprefix(">=")
    for name in ("tests", "windows"):
        assert tests[name]["strategy"]["matrix"]["python"] == [low, "3.14"]


def test_the_lowest_versions_have_a_job():
    (install,) = (c for c in commands(jobs("tests.yml")["lowest"]) if "torch==" in c)
    for requirement in requirements([]):
        if requirement.name in ("torch", "transformers"):
            (low,) = (s.version for s in requirement.specifier if s.operator == ">=")
            assert f"{requirement.name}=={low}.*" in install


@pytest.mark.parametrize("name", ["tests.yml", "newest.yml"])
def test_workflows_pin_actions_by_commit_and_say_that_we_did_not_run_them(name):
    text = (ROOT / ".github" / "workflows" / name).read_text()
    assert text.startswith("# Not run by us")
    used = re.findall(r"uses: (.+)", text)
    pin = re.compile(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert used and [line for line in used if not pin.fullmatch(line)] == []


def test_the_devcontainer_installs_as_everybody_does():
    lines = (ROOT / ".devcontainer" / "devcontainer.json").read_text().splitlines()
    assert lines[0].startswith("// Not run by us")
    assert json.loads("\n".join(lines[1:]))["postCreateCommand"] == "make env"


@pytest.mark.parametrize("name", rlnotes.__all__)
def test_the_catalogue_is_real_and_documented(name):
    value = getattr(rlnotes, name)
    assert not callable(value) or value.__doc__
    assert name in dir(rlnotes)


def test_no_name_of_the_catalogue_hides_a_module():
    modules = {path.stem for path in (ROOT / "rlnotes").glob("*")}
    assert modules & set(rlnotes.__all__) == set()
    with pytest.raises(AttributeError, match="no attribute 'reinforce'"):
        rlnotes.reinforce  # noqa: B018


def test_the_equations_import_torch_and_the_standard_library_alone():
    allowed = {*sys.stdlib_module_names, "torch"}
    for path in EQUATIONS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            else:
                continue
            assert {name.partition(".")[0] for name in names} <= allowed, path.name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "rlnotes").rglob("*.py")), ids=lambda path: path.stem
)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
