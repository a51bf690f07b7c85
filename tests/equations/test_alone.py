"""`rlnotes/equations` works in another project: copied alone, under another name.

The folder and those of its tests that need nothing else go to an empty folder as
`losses`, and run there in a Python in which rlnotes and every library that the contract
"equations" of pyproject.toml names cannot be imported.
"""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EQUATIONS = ROOT / "rlnotes" / "equations"
CORE = ("advantages", "objectives", "divergences", "shaping", "masking", "validation")
CORE += ("successors", "preferences", "weighting")
MORE = ("bad_input", "conventions", "golden", "gradients", "properties", "truth")
CONFTEST = """
import importlib
import sys
from pathlib import Path

BARRED = {barred!r}


class Barrier:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BARRED:
            raise ImportError(f"{{name}} is not here")


assert not BARRED & set(sys.modules)
sys.meta_path.insert(0, Barrier())
for path in Path(__file__).with_name("losses").glob("*.py"):
    importlib.import_module(f"losses.{{path.stem}}")
"""


def barred():
    """rlnotes, and what the equations must not import; the tests use numpy."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    contracts = {x["id"]: x for x in tools["importlinter"]["contracts"]}
    return {"rlnotes", *contracts["equations"]["forbidden_modules"]} - {"numpy"}


def copy_alone(folder, tests):
    """The equations as `losses` in `folder`, with their tests of these names."""
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(EQUATIONS, folder / "losses", ignore=no_caches)
    shutil.copytree(Path(__file__).parent / "golden", folder / "golden")
    for name in tests:
        text = (Path(__file__).parent / f"test_{name}.py").read_text()
        copied = text.replace("rlnotes.equations", "losses")
        (folder / f"test_{name}.py").write_text(copied)
    (folder / "conftest.py").write_text(CONFTEST.format(barred=barred()))
    (folder / "pytest.ini").write_text("[pytest]\n")


def run_tests(folder):
    """pytest in `folder`, which is all of our code that it can find."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["PYTHONPATH"], environment["OMP_NUM_THREADS"] = str(folder), "1"
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("tests", [CORE, pytest.param(MORE, marks=pytest.mark.slow)])
def test_a_copy_under_another_name_passes_its_tests(tmp_path, tests):
    copy_alone(tmp_path, tests)
    assert "rlnotes" not in "".join(p.read_text() for p in tmp_path.glob("test_*.py"))
    result = run_tests(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


@pytest.mark.parametrize(
    "line",
    ["from rlnotes.machine.files import replace_text", "from ..machine import files"],
)
def test_an_import_of_another_room_is_noticed(tmp_path, line):
    copy_alone(tmp_path, ["masking"])
    module = tmp_path / "losses" / "divergences.py"  # which no test here imports
    module.write_text(f"{module.read_text()}\n\n{line}\n")
    result = run_tests(tmp_path)
    assert result.returncode != 0
    assert "ImportError" in result.stdout + result.stderr


def test_no_import_climbs_out_of_the_folder():
    for path in EQUATIONS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert getattr(node, "level", 0) < 2, f"{path.name}: line {node.lineno}"


def test_every_test_of_the_equations_alone_is_among_them():
    needs_more = {"alone", "fused", "liger_parity", "trl_parity"}
    names = {p.stem.removeprefix("test_") for p in Path(__file__).parent.glob("test_*")}
    assert names == needs_more | set(CORE) | set(MORE)
