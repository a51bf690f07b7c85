"""The installation check passes here and catches a flipped sign."""

import subprocess
import sys
from pathlib import Path

import pytest

import rlnotes.batch.check
from rlnotes.batch.check import run_check, self_test, writable
from rlnotes.equations.objectives import policy_loss
from rlnotes.machine.checksums import write_sums


def test_a_sound_installation_passes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RLNOTES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path / "runs"))
    assert run_check() == 0
    out = capsys.readouterr().out
    for word in (
        "python",
        "torch",
        "device",
        "threads",
        "products",
        "commit",
        "self-test     ok",
    ):
        assert word in out
    assert "smollm2-135m not fetched yet: rlnotes fetch" in out
    assert str(tmp_path / "cache") in out and list(tmp_path.iterdir()) == []
    model = tmp_path / "cache" / "smollm2-135m"
    model.mkdir(parents=True)
    (model / "config.json").write_text("x" * 2_000_000)
    run_check()
    assert "smollm2-135m tokenizer.json is missing: rlnotes" in capsys.readouterr().out
    write_sums(model)
    run_check()
    assert "smollm2-135m ready, 2 MB" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_fails(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    assert writable(tmp_path / "new" / "folder")
    assert not writable(tmp_path / "file" / "folder")
    monkeypatch.setenv("RLNOTES_CACHE", str(tmp_path / "file" / "cache"))
    assert run_check() == 1
    assert "(NOT writable)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flipped", "problem"),
    [
        (lambda *tensors, **keywords: -policy_loss(*tensors, **keywords), "gradient"),
        (
            lambda logps, old, advantages, mask, epsilon: policy_loss(
                logps, old, advantages, mask, epsilon=9.0
            ),
            "clipping",
        ),
    ],
    ids=["sign", "no clip"],
)
def test_the_self_test_catches_a_wrong_loss(monkeypatch, capsys, flipped, problem):
    assert self_test() == []
    monkeypatch.setattr(rlnotes.batch.check, "policy_loss", flipped)
    assert any(problem in line for line in self_test())
    assert run_check() == 1
    assert "self-test     FAILED" in capsys.readouterr().out


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "rlnotes.batch.check"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
