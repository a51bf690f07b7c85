"""The record of a run survives kills, refuses to overwrite, and reads back exactly."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rlnotes.machine.provenance
from rlnotes.machine.provenance import (
    command_line,
    data_folder,
    describe_commit,
    project_folder,
)
from rlnotes.records.partial import check_same
from rlnotes.records.reading import load_arms, load_run, load_runs
from rlnotes.records.recording import RunRecorder
from rlnotes.records.run_folders import find_runs, run_name, runs_folder

CONFIG = {
    "algorithm": "grpo",
    "task": "addition",
    "policy": "smollm2-135m",
    "seed": 3,
    "reward_funcs": ["accuracy_reward"],
    "epsilon_high": None,
}


def record(folder: Path, rewards: list[float], **changes) -> Path:
    config = {**CONFIG, **changes}
    path = folder / run_name(config)
    with RunRecorder(path, config, command="rlnotes train") as run:
        for step, reward in enumerate(rewards, 1):
            run.log(step, {"reward": reward})
    return path


def test_what_is_logged_reads_back_exactly(tmp_path):
    third = 1 / 3
    with RunRecorder(tmp_path / "run", CONFIG) as run:
        run.log(1, {"reward": third, "rewards/accuracy_reward/mean": 1})
        run.log(4, {"reward": np.float64(0.1) + 0.2, "kl": 1e-17})
        run.add_samples(1, [{"prompt": "1+2=", "completion": "3\n“drei”"}])
        run.add_samples(4, [{"completion": "x"}, {"completion": "y"}])
    read = load_run(tmp_path / "run")
    assert list(read.metrics.columns) == [
        "step",
        "reward",
        "rewards/accuracy_reward/mean",
        "kl",
    ]
    assert read.metrics["step"].tolist() == [1, 4]
    assert read.metrics["reward"].tolist() == [third, 0.1 + 0.2]
    assert read.metrics["kl"].isna().tolist() == [True, False]
    assert read.metrics["kl"][1] == 1e-17
    assert read.config == CONFIG
    assert read.samples == [
        {"step": 1, "prompt": "1+2=", "completion": "3\n“drei”"},
        {"step": 4, "completion": "x"},
        {"step": 4, "completion": "y"},
    ]
    assert (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1] == (
        f"1,{third!r},1,"
    )
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "config.yaml",
        "meta.json",
        "metrics.csv",
        "samples.jsonl",
    ]


def test_a_torch_scalar_is_a_number_and_a_vector_is_not(tmp_path):
    torch = pytest.importorskip("torch")
    with RunRecorder(tmp_path / "run", CONFIG) as run:
        run.log(1, {"loss": torch.tensor(0.5)})
        with pytest.raises(ValueError, match=r"metrics\['loss'\].*Tensor"):
            run.log(2, {"loss": torch.zeros(2)})
        with pytest.raises(ValueError, match=r"metrics\['loss'\].*str"):
            run.log(2, {"loss": "low"})
    assert load_run(tmp_path / "run").metrics["loss"].tolist() == [0.5]


@pytest.mark.parametrize("step", [2, 1, -1])
def test_steps_must_rise(tmp_path, step):
    with RunRecorder(tmp_path / "run", CONFIG) as run:
        run.log(2, {"loss": 0.0})
        with pytest.raises(ValueError, match="step must be above 2"):
            run.log(step, {"loss": 0.0})


@pytest.mark.parametrize("metrics", [{}, {"step": 3.0}])
def test_metrics_must_have_entries_other_than_step(tmp_path, metrics):
    with RunRecorder(tmp_path / "run", CONFIG) as run:
        with pytest.raises(ValueError, match="metrics"):
            run.log(1, metrics)


def test_meta_says_where_the_run_came_from(tmp_path):
    with RunRecorder(tmp_path / "run", CONFIG, device="cpu") as run:
        run.log(1, {"loss": 0.0})
    meta = load_run(tmp_path / "run").meta
    assert meta["status"] == "finished"
    assert meta["seeds"] == [3] and meta["steps"] == 1 and meta["device"] == "cpu"
    assert meta["seconds"] > 0 and meta["threads"] >= 1 and meta["cpu"]
    assert 10 < meta["peak_memory_mb"] < 1e6
    assert meta["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert meta["versions"]["torch"].startswith("2.")
    assert {"commit", "dirty", "diff_hash", "command", "date", "platform"} <= set(meta)
    text = (tmp_path / "run" / "meta.json").read_text()
    for folder in (str(Path.cwd()), str(Path.home()), str(tmp_path)):
        assert folder not in text


def test_a_finished_run_is_not_overwritten_by_accident(tmp_path):
    path = record(tmp_path, [0.1])
    with pytest.raises(FileExistsError, match="a run is already in"):
        record(tmp_path, [0.9])
    assert load_run(path).metrics["reward"].tolist() == [0.1]


def test_overwrite_keeps_the_old_run_until_the_new_one_ends(tmp_path):
    path = record(tmp_path, [0.1])
    with RunRecorder(path, CONFIG, overwrite=True) as run:
        run.log(1, {"reward": 0.9})
        assert load_run(path).metrics["reward"].tolist() == [0.1]
    assert load_run(path).metrics["reward"].tolist() == [0.9]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_strangers_folder_is_never_deleted(tmp_path):
    """It came while the run was going: it stays, and so does the whole run."""
    with pytest.raises(FileExistsError, match="run stays in .*partial: rename it"):
        with RunRecorder(tmp_path / "run", CONFIG) as run:
            run.log(1, {"reward": 0.5})
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "precious.txt").write_text("mine")
    assert (tmp_path / "run" / "precious.txt").read_text() == "mine"
    kept = load_run(tmp_path / "run.partial")
    assert kept.metrics["reward"].tolist() == [0.5]
    assert kept.meta["status"].startswith("stopped: ")


def test_not_even_a_run_that_came_meanwhile_is_replaced(tmp_path):
    with pytest.raises(FileExistsError, match="made by somebody else"):
        with RunRecorder(tmp_path / "run", CONFIG, overwrite=True) as run:
            run.log(1, {"reward": 0.5})
            other = record(tmp_path, [0.9]).rename(tmp_path / "run")
    assert load_run(other).metrics["reward"].tolist() == [0.9]


@pytest.mark.parametrize("place", ["run", "run.partial", "run.old.partial"])
def test_overwrite_replaces_runs_and_nothing_else(tmp_path, place):
    """Also files that somebody has put beside a run's own."""
    record(tmp_path, [0.1]).rename(tmp_path / "run")
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "notes.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds 'notes\.md', which is not ours"):
        with RunRecorder(tmp_path / "run", CONFIG, overwrite=True) as run:
            run.log(1, {"reward": 0.9})
    assert (tmp_path / place / "notes.md").read_text() == "mine"
    assert load_run(tmp_path / "run").metrics["reward"].tolist() == [0.1]


def test_a_link_or_a_file_is_no_run_to_overwrite(tmp_path):
    record(tmp_path, [0.1]).rename(tmp_path / "there")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "file").write_text("mine")
    for name in ("link", "file"):
        with pytest.raises(FileExistsError, match="no folder of ours"):
            RunRecorder(tmp_path / name, CONFIG, overwrite=True).__enter__()


def test_an_empty_folder_is_no_run_and_takes_one(tmp_path):
    (tmp_path / "run").mkdir()
    with RunRecorder(tmp_path / "run", CONFIG) as run:
        run.log(1, {"reward": 0.5})
    assert load_run(tmp_path / "run").metrics["reward"].tolist() == [0.5]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.md").write_text("mine")
    with pytest.raises(FileExistsError, match="something else than a run is already"):
        RunRecorder(tmp_path / "other", CONFIG).__enter__()


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "interrupted"), (OSError("disk"), "failed: OSError: disk")],
)
def test_an_error_leaves_the_finished_steps_as_partial(tmp_path, error, status):
    with pytest.raises(type(error)):
        with RunRecorder(tmp_path / "run", CONFIG) as run:
            run.log(1, {"loss": 0.5})
            raise error
    assert not (tmp_path / "run").exists()
    read = load_run(tmp_path / "run.partial")
    assert read.metrics["loss"].tolist() == [0.5]
    assert read.meta["status"] == status
    with pytest.raises(FileExistsError, match="interrupted run"):
        RunRecorder(tmp_path / "run", CONFIG).__enter__()
    with pytest.raises(FileNotFoundError, match=r"interrupted run is in .*\.partial"):
        load_run(tmp_path / "run")
    with RunRecorder(tmp_path / "run", CONFIG, overwrite=True) as run:
        run.log(1, {"loss": 0.25})
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_kill_loses_no_finished_step(tmp_path):
    script = """
import os, signal, sys
from rlnotes.records.recording import RunRecorder
with RunRecorder(sys.argv[1], {"seed": 0}) as run:
    for step in (1, 2, 3):
        run.log(step, {"loss": step / 8})
        run.add_samples(step, [{"completion": "x"}])
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "run")])
    assert done.returncode == -signal.SIGKILL
    read = load_run(tmp_path / "run.partial")
    assert read.metrics["loss"].tolist() == [0.125, 0.25, 0.375]
    assert len(read.samples) == 3 and read.meta["status"] == "running"


def test_a_torn_last_line_is_left_out(tmp_path):
    path = record(tmp_path, [0.5, 0.25])
    for name, half in (("metrics.csv", "3,0.1"), ("samples.jsonl", '{"step": 3, "co')):
        with (path / name).open("a") as file:
            file.write(half)
    read = load_run(path)
    assert read.metrics["reward"].tolist() == [0.5, 0.25] and read.samples == []


def test_runs_come_as_one_table(tmp_path):
    record(tmp_path, [0.1, 0.2], seed=0)
    record(tmp_path, [0.3], seed=1, algorithm="dapo", policy="some/hub-id")
    (tmp_path / "README.md").write_text("no run")
    (tmp_path / "notes").mkdir()
    with pytest.raises(RuntimeError):
        with RunRecorder(tmp_path / "late", CONFIG) as run:
            run.log(1, {"reward": 0.0})
            raise RuntimeError
    table = load_runs(tmp_path)
    assert list(table.columns) == [
        "run",
        "algorithm",
        "task",
        "policy",
        "seed",
        "step",
        "reward",
    ]
    assert table["algorithm"].tolist() == ["dapo", "grpo", "grpo"]
    assert table["reward"].tolist() == [0.3, 0.1, 0.2]
    assert load_runs(str(tmp_path / "grpo_*"))["seed"].tolist() == [0, 0]
    both = [tmp_path / "grpo_*", tmp_path / "late.partial"]
    assert [p.name for p in find_runs(both)] == [
        "grpo_addition_smollm2-135m_seed0",
        "late.partial",
    ]
    with pytest.raises(FileNotFoundError, match="ppo_"):
        load_runs(tmp_path / "ppo_*")


def test_arms_of_an_experiment_are_told_apart(tmp_path):
    for arm, entropy in (("naive", 0.5), ("higher", 0.25)):
        for seed in (0, 1):
            folder = tmp_path / arm / f"seed{seed}"
            with RunRecorder(folder, {**CONFIG, "seed": seed}) as run:
                run.log(1, {"entropy": entropy, "completions/mean_length": 8.0})
    table = load_arms(tmp_path, "higher", "naive")
    assert table["algorithm"].tolist() == ["higher"] * 2 + ["naive"] * 2
    assert table["run"].is_unique and table["seed"].tolist() == [0, 1, 0, 1]
    assert table["response_entropy"].tolist() == [2.0, 2.0, 4.0, 4.0]
    with pytest.raises(FileNotFoundError, match="lower"):
        load_arms(tmp_path, "naive", "lower")
    for arm, seed in (("naive", 2), ("other", 3)):
        with RunRecorder(
            tmp_path / arm / f"seed{seed}", {**CONFIG, "seed": seed}
        ) as run:
            run.log(1, {"entropy": 1.0, "completions/mean_length": 1.0})
    assert set(load_arms(tmp_path, "higher", "naive")["seed"]) == {0, 1}
    assert set(load_arms(tmp_path, "naive")["seed"]) == {0, 1, 2}
    with pytest.raises(ValueError, match="other in .* no seed in common"):
        load_arms(tmp_path, "naive", "other")


@pytest.mark.parametrize(
    ("policy", "part"),
    [("smollm2-135m", "smollm2-135m"), ("Qwen/Qwen2.5-0.5B", "Qwen2.5-0.5B")],
)
def test_run_name(policy, part):
    config = {**CONFIG, "task": "reasoning_gym/chain_sum", "policy": policy}
    assert run_name(config) == f"grpo_reasoning-gym-chain-sum_{part}_seed3"


def test_run_name_needs_its_four_parts():
    with pytest.raises(ValueError, match=r"\['policy', 'seed'\] missing"):
        run_name({"algorithm": "grpo", "task": "addition"})


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="folder: cannot write a run to"):
        RunRecorder(tmp_path / "file" / "run", CONFIG).__enter__()


def test_runs_folder_is_the_same_from_a_notebook_and_from_the_root(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("RLNOTES_RUNS", raising=False)
    for folder in ("rlnotes", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    for folder in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(folder)
        assert project_folder() == tmp_path and runs_folder() == tmp_path / "runs"
    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path / "elsewhere"))
    assert runs_folder() == tmp_path / "elsewhere"


def test_command_line_has_no_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("rlnotes", "configs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    argv = [
        "/opt/env/bin/rlnotes",
        "train",
        str(tmp_path / "configs" / "dapo.yaml"),
        "policy=/models/secret/tiny",
        f"--output={tmp_path / 'runs' / 'x y'}",
        "seed=1",
    ]
    assert command_line(argv) == (
        "rlnotes train configs/dapo.yaml policy=tiny '--output=runs/x y' seed=1"
    )
    assert command_line(["/x/ipykernel_launcher.py", "-f", "/k.json"]) == "notebook"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A small git repository that stands for the clone this package lies in."""
    (tmp_path / "rlnotes").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("rlnotes/code.py", "data/result.csv"):
        (tmp_path / name).write_text("1\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    source = tmp_path / "rlnotes" / "machine" / "provenance.py"
    monkeypatch.setattr(rlnotes.machine.provenance, "__file__", str(source))
    return tmp_path


def test_commit_and_dirty_code(clone):
    clean = describe_commit()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False and clean["diff_hash"] is None
    (clone / "data" / "result.csv").write_text("2\n")
    assert describe_commit() == clean  # a result is not code
    (clone / "rlnotes" / "code.py").write_text("2\n")
    dirty = describe_commit()
    assert dirty["dirty"] is True and dirty["commit"] == clean["commit"]
    (clone / "rlnotes" / "code.py").write_text("3\n")
    assert describe_commit()["diff_hash"] not in (None, dirty["diff_hash"])


def test_commit_is_unknown_without_git(clone, monkeypatch):
    monkeypatch.setenv("PATH", os.fspath(clone))
    assert describe_commit()["commit"] == "unknown"


def test_commit_is_unknown_outside_a_clone(clone):
    (clone / ".git").rename(clone / "gone")
    assert describe_commit() == {"commit": "unknown", "dirty": None, "diff_hash": None}


def test_meta_is_plain_json(tmp_path):
    path = record(tmp_path, [0.1])
    assert json.loads((path / "meta.json").read_text())["command"] == "rlnotes train"


def test_a_repetition_replaces_its_like_and_no_other_run(tmp_path):
    """What notebook 11 asks before it overwrites."""
    path = record(tmp_path, [0.1])
    check_same(path, CONFIG, defaults={})
    with pytest.raises(ValueError, match="has another: epsilon_high was None, is 0.28"):
        check_same(path, {**CONFIG, "epsilon_high": 0.28}, defaults={})
    path.rename(tmp_path / "late.partial")
    with pytest.raises(ValueError, match=r"late\.partial has .*: seed was 3, is 4"):
        check_same(tmp_path / "late", {**CONFIG, "seed": 4}, defaults={})


def test_recorded_runs_are_found_from_outside_the_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(find_runs(data_folder() / "runs")) > 20
    (tmp_path / "data" / "runs").mkdir(parents=True)
    assert data_folder() == tmp_path / "data"
