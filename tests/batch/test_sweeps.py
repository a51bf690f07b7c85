"""A sweep runs every config × seed, skips, resumes, survives a failure and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnotes.batch import sweeps
from rlnotes.batch.plan import parse_seeds, plan_sweep
from rlnotes.cli import main
from rlnotes.records.reading import load_run
from rlnotes.training.config import load_config
from rlnotes.training.loop import train

TASK = "scratch-addition"


@pytest.fixture
def write(policy_folder, tmp_path):
    """Write the config of a run of two steps as `<name>.yaml` and give its path."""

    def config(name, **values):
        values = {
            "policy": str(policy_folder),
            "task": TASK,
            "bf16": False,
            "max_steps": 2,
            "generation_batch_size": 8,
            "num_generations": 4,
            "max_completion_length": 4,
            "eval_samples": 1,
            "save_steps": 1,
            **values,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(values))
        return path

    return config


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sweep(output: Path, *words) -> int:
    return main(["sweep", *map(str, words), "--output", str(output)])


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0-4", [0, 1, 2, 3, 4]),
        ("0,2,5", [0, 2, 5]),
        ("0-2,7", [0, 1, 2, 7]),
        ("3", [3]),
        ("10-11, 4", [10, 11, 4]),
    ],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True))
def test_seeds_read_back_as_they_are_written(seeds):
    assert parse_seeds(",".join(map(str, seeds))) == seeds


@settings(deadline=None)
@given(st.text("0123456789-, a", max_size=7))
def test_seeds_are_read_or_refused_in_words(text):
    try:
        seeds = parse_seeds(text)
    except ValueError as error:
        assert "seed" in str(error)
    else:
        assert seeds and len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    "text", ["4-0", "a", "", "1,", "-1", "1-", "1-2-3", "0..4", "1.5", "²"]
)
def test_bad_seeds_are_refused(text):
    with pytest.raises(ValueError, match="seeds must be like 0-4"):
        parse_seeds(text)


@pytest.mark.parametrize("text", ["1,1", "0-2,1", "0-2,2-3"])
def test_a_seed_given_twice_is_refused(text):
    with pytest.raises(ValueError, match="is given twice"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "4-0"], "got '4-0'"),
        (["--seeds", "0", "sead=1"], "sead"),
        (["--seeds", "0", "max_steps=none"], "max_steps must be int"),
        (["--seeds", "0", "seed=3"], "come with --seeds"),
        (["--seeds", "0", "task=alchemy"], "alchemy"),
        (["--seeds", "0", "nothing.yaml"], "no file nothing.yaml"),
        (["--seeds", "0", "--jobs", "0"], "jobs must be >= 1, got 0"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    words, message, write, tmp_path, capsys
):
    path = write("a")
    assert sweep(tmp_path / "runs", path, *words) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("rlnotes sweep: ") and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_sweep_needs_a_config_and_seeds(tmp_path, write, capsys):
    assert sweep(tmp_path / "runs", "--seeds", "0", "max_steps=1") == 2
    assert "expected a config file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", str(write("a"))])
    assert exit_.value.code == 2 and "--seeds" in capsys.readouterr().err


def test_configs_whose_runs_have_one_name_are_refused(write, tmp_path, capsys):
    a, b = write("a"), write("b", learning_rate=0.1)
    assert sweep(tmp_path / "runs", a, b, "--seeds", "0-1") == 2
    err = capsys.readouterr().err
    assert str(a) in err and str(b) in err
    assert f"grpo_{TASK}_random_seed0" in err and "--output" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_a_run_that_is_there_with_another_config_is_refused(
    write, tmp_path, suffix, capsys
):
    folder = tmp_path / "runs" / f"grpo_{TASK}_random_seed1{suffix}"
    folder.mkdir(parents=True)
    values = load_config(write("a"), seed=1, learning_rate=0.5).to_dict()
    (folder / "config.yaml").write_text(json.dumps(values))
    assert sweep(tmp_path / "runs", write("a"), "--seeds", "0-1") == 2
    assert "learning_rate was 0.5, is 1e-05" in capsys.readouterr().err
    assert names(tmp_path / "runs") == [folder.name]


def test_the_plan_goes_seed_by_seed_with_the_overrides_on_top(write, tmp_path):
    paths = [write("a"), write("b", algorithm="ppo")]
    runs = plan_sweep(paths, [2, 5], output=tmp_path, overrides={"max_steps": 3})
    assert [run.folder.name for run in runs] == [
        f"{algorithm}_{TASK}_random_seed{seed}"
        for seed in (2, 5)
        for algorithm in ("grpo", "ppo")
    ]
    assert {run.config.max_steps for run in runs} == {3}
    assert [run.config.seed for run in runs] == [2, 2, 5, 5]
    assert runs[1].config.critic and runs[1].step == 0
    assert runs[0].command[1:4] == ("train", "--config", str(paths[0]))


def test_runs_go_to_the_runs_folder_by_default(write, tmp_path, monkeypatch):
    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path / "mine"))
    (run,) = plan_sweep([write("a")], [0], overrides={})
    assert run.folder.parent == tmp_path / "mine"


class Killed(BaseException):
    pass


def stop(row):
    if row["step"] == 1:
        raise Killed


def test_a_sweep_skips_resumes_runs_and_outlives_a_failure(write, tmp_path, capsys):
    """Seed 0 is finished, 1 interrupted, 2 new, 3 held by another; all in one go."""
    path, output = write("a"), tmp_path / "runs"
    runs = plan_sweep([path], range(4), output=output, overrides={})
    for run, on_step in ((runs[0], None), (runs[1], stop), (runs[3], stop)):
        try:
            train(run.config, output=run.folder, progress=False, on_step=on_step)
        except Killed:
            pass
    (output / f"{runs[3].folder.name}.partial" / "state.pt").write_text("damaged")
    finished = (runs[0].folder / "meta.json").read_bytes()
    assert sweep(output, path, "--seeds", "0-3", "--jobs", "2") == 1
    printed = capsys.readouterr()
    bad = runs[3].folder.name
    assert f"rlnotes sweep: {bad} failed: ValueError: the saved" in printed.err
    assert "3 of 4 runs are recorded" in printed.out
    assert (runs[0].folder / "meta.json").read_bytes() == finished
    first, second = (load_run(run.folder).meta for run in runs[1:3])
    assert (first["resumes"], second["resumes"]) == (1, 0)
    assert second["threads"] == 1 and second["status"] == "finished"
    assert second["command"].startswith("rlnotes train --config ")
    assert second["command"].endswith("seed=2")
    good = [run.folder.name for run in runs[:3]]
    assert names(output) == sorted([*good, f"{bad}.log", f"{bad}.partial"])
    assert "Traceback" in runs[3].log.read_text()
    # a sweep gives what a run alone gives
    alone = train(runs[2].config, progress=False).metrics
    times = ["step_time", "step_time/rollout"]
    theirs = load_run(runs[2].folder).metrics.drop(columns=times)
    assert theirs.equals(alone.drop(columns=times))


def processes_of(parent: int) -> list[int]:
    """Ids of the children of a process, where the system lists them."""
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupt_stops_the_children_and_keeps_their_states(
    write, tmp_path, number
):
    path, output = write("a", max_steps=2000), tmp_path / "runs"
    words = ["sweep", str(path), "--seeds", "0-3", "--output", str(output)]
    parent = subprocess.Popen(
        [sys.executable, "-m", "rlnotes.cli", *words, "--jobs", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # a shell's background job ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    states = [output / f"grpo_{TASK}_random_seed{k}.partial/state.pt" for k in (0, 1)]
    while parent.poll() is None and not all(state.exists() for state in states):
        time.sleep(0.05)
    children = processes_of(parent.pid)
    parent.send_signal(number)
    _, err = parent.communicate(timeout=60)
    assert parent.returncode == 130 and "Traceback" not in err
    assert "rlnotes: interrupted" in err
    assert len(children) == 2
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert names(output) == [state.parent.name for state in states]
    assert all(state.exists() for state in states)


def test_a_sweep_has_a_job_for_each_core(monkeypatch):
    monkeypatch.setattr(sweeps, "available_cores", lambda: 0)
    with pytest.raises(ValueError, match="jobs must be >= 1, got 0"):
        sweeps.run_sweep([])


def test_windows_stops_at_once_and_leaves_a_log_that_is_still_open(
    write, tmp_path, monkeypatch
):
    """There `terminate` kills, and what the child's kernel holds open stays."""
    runs = plan_sweep([write("a")], [0, 1], output=tmp_path, overrides={})
    command = [sys.executable, "-c", "import time; time.sleep(99)"]
    running = {run: subprocess.Popen(command) for run in runs}

    def unlink(path, missing_ok=False):
        raise PermissionError(13, "used by another process", str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(subprocess.Popen, "terminate", subprocess.Popen.kill)
    sweeps._stop(running)
    assert [child.returncode for child in running.values()] == [-signal.SIGKILL] * 2


def test_a_crash_on_windows_is_told_by_its_log_or_its_number(write, tmp_path):
    (run,) = plan_sweep([write("a")], [0], output=tmp_path, overrides={})
    run.log.write_text("")
    assert sweeps._outcome(run, 0xC0000005) == "exit status 3221225477"
    run.log.write_text("Traceback\nValueError: no\n\n")
    assert sweeps._outcome(run, 0xC0000005) == "ValueError: no"
    assert sweeps._outcome(run, -9) == "killed by SIGKILL"
    assert sweeps._outcome(run, 0) is None and not run.log.exists()
