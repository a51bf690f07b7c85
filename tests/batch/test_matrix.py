"""A matrix plans configs × seeds × overrides and runs them through notebook 11."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import yaml

from rlnotes.batch.matrix import plan_matrix
from rlnotes.batch.sweeps import run_sweep
from rlnotes.cli import main
from rlnotes.machine.provenance import project_folder
from rlnotes.records.reading import load_run
from rlnotes.training.config import Config, load_config

pytest.importorskip("papermill")
TASK = "scratch-addition"


@pytest.fixture
def write(policy_folder, tmp_path):
    """Write configs `a.yaml`, `b.yaml` and a matrix file over them; give its path."""
    (tmp_path / "configs").mkdir()
    for name in ("a", "b"):
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
        }
        (tmp_path / "configs" / f"{name}.yaml").write_text(json.dumps(values))

    def matrix(**values):
        path = tmp_path / "configs" / "matrix.yaml"
        path.write_text(json.dumps({"configs": ["a.yaml"], **values}))
        return path

    return matrix


def folders(path, output=Path("out")):
    return [
        str(run.folder.relative_to(output)) for run in plan_matrix(path, output=output)
    ]


def test_the_plan_is_configs_times_seeds_times_overrides(write):
    overrides = {"slow": {"learning_rate": 1e-6}, "fast": {"algorithm": "dr_grpo"}}
    path = write(configs=["a.yaml", "b.yaml"], seeds="0-1", overrides=overrides)
    runs = plan_matrix(path, output=Path("out"))
    assert [str(run.folder) for run in runs] == [
        f"out/{config}_{name}/{algorithm}_{TASK}_random_seed{seed}"
        for name, algorithm in (("slow", "grpo"), ("fast", "dr-grpo"))
        for config in ("a", "b")
        for seed in (0, 1)
    ]
    assert {run.config.learning_rate for run in runs[:4]} == {1e-6}
    assert runs[0].how == {"engine": "rlnotes", "resume": True}
    assert runs[0].notebook.name == "11_train.ipynb"


COMMITTED = sorted((project_folder() / "configs").rglob("matrix.yaml"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_a_committed_matrix_can_be_planned(path, monkeypatch):
    monkeypatch.setattr("rlnotes.tasks.loading.load_task", lambda name: name)  # no hub
    runs = plan_matrix(path, output=Path("out"))
    assert len(runs) == len({run.folder for run in runs}) >= 6


def test_without_overrides_the_folder_is_the_configs(write, monkeypatch, tmp_path):
    assert folders(write(seeds=[3])) == [f"a/grpo_{TASK}_random_seed3"]
    assert folders(write(seeds=3)) == folders(write(seeds=[3]))
    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path / "mine"))
    assert plan_matrix(write())[0].folder.parent == tmp_path / "mine" / "a"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"configs": []}, r"configs: expected a list of YAML files, got \[\]"),
        ({"configs": "a.yaml"}, "configs: expected a list"),
        ({"configs": ["no.yaml"]}, "no file .*no.yaml"),
        ({"configs": ["a.yaml", "a.yaml"]}, "two runs would both be"),
        ({"seeds": "2-0"}, "got '2-0'"),
        ({"seeds": [0, 0]}, "given twice"),
        ({"seeds": None}, "seeds must be like"),
        ({"overrides": [{"seed": 1}]}, "overrides: expected a name"),
        ({"overrides": {"fast": 3}}, "overrides: expected a name"),
        ({"overrides": {"../up": {}}}, "a name like fast, got '../up'"),
        ({"overrides": {"x": {"sead": 1}}}, "sead"),
        ({"overrides": {"x": {"seed": 1}}}, "seed=1"),
        ({"overrides": {"x": {"task": "alchemy"}}}, "alchemy"),
        ({"engine": "verl"}, r"engine must be one of \['rlnotes', 'trl'\]"),
        ({"engine": "trl", "overrides": {"x": {"algorithm": "ppo"}}}, "no PPO"),
        ({"jobs": 2}, r"key must be one of \['configs', 'seeds'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    values, message, write, tmp_path, capsys
):
    path, output = write(**values), tmp_path / "out"
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        plan_matrix(path, output=output)
    assert main(["matrix", str(path), "--output", str(output)]) == 2
    assert capsys.readouterr().err.startswith("rlnotes matrix: ")
    assert not output.exists()


def test_a_run_with_another_config_in_its_place_is_refused(write, tmp_path):
    path = write()
    folder = plan_matrix(path, output=tmp_path / "out")[0].folder
    folder.mkdir(parents=True)
    values = load_config(path.with_name("a.yaml"), learning_rate=0.5).to_dict()
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match="learning_rate was 0.5"):
        plan_matrix(path, output=tmp_path / "out")


def test_notebook_11_knows_every_parameter_of_a_run():
    import papermill

    notebook = project_folder() / "notebooks" / "11_train.ipynb"
    known = set(papermill.inspect_notebook(notebook))
    assert known == {f.name for f in dataclasses.fields(Config)} | {"engine", "resume"}


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(x.get("text", "") for c in cells for x in c.get("outputs", []))


@pytest.mark.slow
def test_a_killed_matrix_goes_on_and_a_finished_run_stays(write, tmp_path, capsys):
    """Two runs through papermill; the second is killed and resumed, a third fails."""
    path, output = write(seeds="0-1"), tmp_path / "out"
    values = load_config(path.with_name("a.yaml")).to_dict() | {"max_steps": 60}
    path.with_name("a.yaml").write_text(json.dumps(values))
    first, second = plan_matrix(path, output=output)
    words = ["-m", "rlnotes.cli", "matrix", str(path), "--output", str(output)]
    child = subprocess.Popen(
        [sys.executable, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while child.poll() is None and second.step < 3:
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 130
    assert first.folder.is_dir() and not second.folder.exists()
    finished = (first.folder / "meta.json").read_bytes()
    bad = first.folder.parent / f"grpo_{TASK}_random_seed2.partial"
    bad.mkdir()
    (bad / "state.pt").write_text("damaged")
    write(seeds="0-2")
    assert main(["matrix", str(path), "--output", str(output)]) == 1
    printed = capsys.readouterr()
    assert "seed2 failed: " in printed.err and "damaged" in printed.err
    assert "2 of 3 runs are recorded" in printed.out
    assert (first.folder / "meta.json").read_bytes() == finished
    run = load_run(second.folder)
    assert run.meta["resumes"] == 1 and run.meta["status"] == "finished"
    assert len(run.metrics) == 61
    for done in (first, second):
        executed = done.folder.with_name(done.folder.name + ".ipynb")
        assert f"record: {done.folder.name}/" in outputs(executed)
    assert run_sweep([first, second]) == {}  # nothing is left to do
