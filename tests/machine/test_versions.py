"""Which versions are refused, which are only remarked on, by pretending."""

import importlib.metadata
import subprocess
import sys

import pytest

from rlnotes.machine import versions

RANGES = ["torch<2.15,>=2.9", "transformers<6,>=5.17", "tqdm>=9000"]


@pytest.fixture
def installed(monkeypatch):
    """Pretend ranges, and versions that a test may change."""
    found = {"torch": "2.13.0+cpu", "transformers": "5.23.0", "tqdm": "4.0"}
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: RANGES)
    monkeypatch.setattr(importlib.metadata, "version", found.__getitem__)
    return found


@pytest.mark.parametrize("torch", ["2.9.0", "2.11.0a0+gitabc.nv", "2.14.1+cu130"])
def test_what_is_in_the_range_is_not_mentioned(installed, torch):
    installed["torch"] = torch
    assert versions.too_old() is None
    assert versions.too_new() is None


@pytest.mark.parametrize(
    ("name", "version", "range_"),
    [("torch", "2.8.0+cpu", "<2.15,>=2.9"), ("transformers", "5.16.1", "<6,>=5.17")],
)
def test_an_old_package_is_named_with_the_command_that_helps(
    installed, name, version, range_
):
    installed[name] = version
    line = versions.too_old()
    assert line.startswith(f"{name} {version} is not in the range")
    assert line.endswith(f"pip install '{name}{range_}'") and "\n" not in line
    assert versions.too_new() is None


@pytest.mark.parametrize("version", ["2.15.0", "2.15.0.dev20261101+cu130", "3.0"])
def test_a_new_package_is_remarked_on_and_not_refused(installed, version):
    installed["torch"] = version
    assert versions.too_old() is None
    assert versions.too_new().startswith(f"torch {version} is not in the range")


def test_an_old_python_is_told_first(installed, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    installed["torch"] = "2.8.0"
    assert versions.too_old() == (
        "this is Python 3.9, rlnotes needs 3.11 or newer; with make:"
        " make PYTHON=python3.11"
    )


def test_without_an_installed_rlnotes_nothing_is_said(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert versions.too_old() is None
    assert versions.too_new() is None


def test_the_module_costs_nothing():
    code = "import sys, rlnotes.machine.versions; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "rlnotes.machine.versions" in loaded
    assert loaded & {"torch", "transformers", "packaging"} == set()


@pytest.mark.parametrize(
    ("version", "field"),
    [
        ("5.17.0", "gradient_checkpointing"),
        ("5.22.1", "gradient_checkpointing"),
        ("5.23.0", "activation_checkpointing"),
    ],
)
def test_activation_checkpointing_has_the_name_of_the_version(
    installed, version, field
):
    installed["transformers"] = version
    assert versions.checkpointing_field() == field


def test_the_command_line_refuses_what_is_too_old(installed, capsys):
    from rlnotes.cli import main

    installed["torch"] = "2.8.0"
    assert main(["algorithms"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("rlnotes: torch 2.8.0 is not in the range")
    assert err.count("\n") == 1


def test_the_command_line_goes_on_with_what_is_newer(installed, capsys):
    from rlnotes.cli import main

    installed["torch"] = "2.15.0"
    assert main(["algorithms"]) == 0
    out, err = capsys.readouterr()
    assert out and err.startswith("rlnotes: torch 2.15.0 is not in the range")
