"""Commands answer at once, refuse bad input in one line, and say what they did."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from rlnotes.cli import main, parse_overrides
from rlnotes.records.reading import load_run
from rlnotes.records.recording import RunRecorder

SLOW = ("torch", "transformers", "papermill", "pandas", "numpy", "trl", "matplotlib")
TRAIN = ["train", "algorithm=dapo"]


HELP = """
from rlnotes.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after running `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_help_imports_nothing_slow():
    assert not imported_by(HELP) & set(SLOW)


def test_import_rlnotes_imports_nothing_slow():
    assert not imported_by("import rlnotes; dir(rlnotes)") & set(SLOW)


@pytest.mark.parametrize(
    "command",
    [
        "",
        *["check", "fetch", "algorithms", "run", "notebook", "train", "table"],
        *["fields", "pretrain", "sweep", "matrix", "size", "reflect"],
        *["sample", "chat", "evaluate", "probe"],
    ],
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([*command.split(), "--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: rlnotes {command}".rstrip() in out and out.count(".\n") > 0


@pytest.mark.parametrize(
    "words",
    [[], ["fly"], ["train", "--fly"], ["train", "--fly=1", "seed=1"], ["check", "a=1"]],
)
def test_a_wrong_command_line_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "usage: rlnotes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "sead=1"], "sead"),
        (["train", "seed=one"], "seed must be int, got 'one'"),
        (["train", "seed=1", "--output", "x", "sead=2"], "sead"),
        (["train", "--config=a.yaml", "seed"], "expected key=value"),
        (["train", "seed"], "expected key=value (like seed=1), got 'seed'"),
        (["train", "seed=1", "seed=2"], "'seed' is given twice"),
        (["train", "seed=[1"], "value of 'seed' is no YAML"),
        (["train", "algorithm=reinforce"], "reinforce"),
        (["train", "--config", "no.yaml"], "no file no.yaml"),
        (["train", "max_steps=0"], "max_steps must be > 0, got 0"),
        (["notebook", "no.ipynb", "out.ipynb"], "no file no.ipynb"),
        (["table", "nowhere"], "no run folder matches 'nowhere'"),
        (["run"], "has no notebook"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    words, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith(f"rlnotes {words[0]}: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian"], "train"),
        (["train", "--outptu", "x"], "--output"),
        (["train", "--engine", "tlr"], "trl"),
        (["train", "max_step=3"], "max_steps"),
        (["train", "algorithm=GRPO"], "grpo"),
        (["train", "reward_funcs=[acuracy_reward]"], "accuracy_reward"),
        (["reflect", "-", "--words", "serch"], "search"),
        (["fields", "epslon"], "epsilon"),
    ],
)
def test_what_was_probably_meant_is_said(words, meant, capsys):
    try:
        status = main(words)
    except SystemExit as exit_:
        status = exit_.code
    assert status == 2
    assert capsys.readouterr().err.endswith(f"; did you mean {meant!r}?\n")


def test_fields_says_what_a_field_is(capsys):
    assert main(["fields", "epsilon_hi"]) == 0
    assert capsys.readouterr().out == (
        "epsilon=0.2  (float)\n"
        "    Clip of the ratio: 1 − ε below, and 1 + ε above unless `epsilon_high` is"
        " set.\n"
        "epsilon_high=null  (float or None)  dapo: 0.28\n"
        "    Upper clip of the ratio; None: `epsilon`. DAPO 0.28.\n"
    )
    assert main(["fields"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "lam=1.0  (float)  ppo only" in lines
    assert max(map(len, lines[1::2])) <= 115


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        main(["--debug", "table", str(tmp_path / "nowhere")])
    with pytest.raises(FileNotFoundError):
        main(["table", "--debug", str(tmp_path / "nowhere")])


def test_train_refuses_an_occupied_folder_before_it_loads_a_policy(tmp_path, capsys):
    for name in ("run", "late.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.json").write_text("{}")
    for name, what in (("run", "a run"), ("late", "an interrupted run")):
        assert main([*TRAIN, "--output", str(tmp_path / name)]) == 2
        assert f"{what} is already in" in capsys.readouterr().err


def test_train_records_a_run_of_a_policy_folder(tmp_path, policy, capsys):
    """The whole command on an untrained policy: two steps of DAPO's settings."""
    folder = tmp_path / "tiny"
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    (tmp_path / "c.yaml").write_text("algorithm: dapo\nlearning_rate: 1e-4\nseed: 0\n")
    words = [f"policy={folder}", "task=scratch-addition", "max_steps=2", "seed=5"]
    words += ["generation_batch_size=4", "num_generations=2", "bf16=false"]
    words += ["max_completion_length=12", "max_resample_times=1", "eval_samples=1"]
    output = tmp_path / "run"
    options = ["--config", str(tmp_path / "c.yaml"), "--output", str(output)]
    assert main(["train", *words[:2], *options, *words[2:]]) == 0
    assert f"recorded run: {output}" in capsys.readouterr().out
    run = load_run(output)
    assert run.metrics["step"].tolist() == [0, 1, 2]
    assert run.metrics["reward"].notna().tolist() == [False, True, True]
    assert run.config["seed"] == 5 and run.config["learning_rate"] == 1e-4
    assert run.config["epsilon_high"] == 0.28
    assert run.meta["status"] == "finished" and run.meta["seeds"] == [5]
    assert str(tmp_path) not in (output / "meta.json").read_text()


def test_overrides_are_typed():
    words = ["seed=1", "beta=0.04", "policy=a=b", "bf16=false", "delta=", "x=[a, b]"]
    assert parse_overrides(words) == {
        "seed": 1,
        "beta": 0.04,
        "policy": "a=b",
        "bf16": False,
        "delta": None,
        "x": ["a", "b"],
    }


def test_algorithms_are_listed_as_they_are_typed(capsys):
    from rlnotes.training.config import ALGORITHMS, make_config

    assert main(["algorithms"]) == 0
    lines = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()
    )
    assert list(lines) == list(ALGORITHMS)
    for name, settings in lines.items():
        typed = parse_overrides(settings.split())
        assert make_config(**typed, algorithm=name) == make_config(algorithm=name)


def test_table_groups_runs_over_seeds(tmp_path, capsys):
    for seed, last in ((0, 0.5), (1, 0.7)):
        config = {"algorithm": "grpo", "task": "t", "policy": "p", "seed": seed}
        with RunRecorder(tmp_path / f"seed{seed}", config) as run:
            for step in range(1, 11):
                run.log(step, {"reward": 0.25 if step <= 5 else last})
    assert main(["table", str(tmp_path)]) == 0
    header, rule, row = capsys.readouterr().out.splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # std of (0.5, 0.7) with ddof 1: 0.2/√2 = 0.1414
    assert cells[:7] == ["grpo", "t", "p", "0 1", "10", "0.25 ± 0.00", "0.60 ± 0.14"]


def test_run_without_notebooks_fetches_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "rlnotes").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--only", "99_none"]) == 2
    captured = capsys.readouterr()
    assert "notebooks has no notebook" in captured.err and captured.out == ""


def test_main_is_the_installed_command():
    command = Path(sys.executable).with_name("rlnotes")
    done = subprocess.run([command, "table", "nowhere"], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_the_module_is_the_command_and_is_recorded_as_such(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["/somewhere/rlnotes/cli/__main__.py", "algorithms"]
    )
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("rlnotes.cli", run_name="__main__")
    assert exit_.value.code == 0 and sys.argv == ["rlnotes", "algorithms"]
    assert "grpo" in capsys.readouterr().out


def test_a_reader_that_leaves_early_is_no_error():
    """`rlnotes algorithms | head -1`, with a reader that is gone for certain."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "rlnotes.cli", "algorithms"]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # as in a shell: fails at the end
    done = subprocess.run(
        command, stdout=theirs, stderr=subprocess.PIPE, text=True, env=buffered
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_that_knows_ascii_alone_shows_the_table():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "rlnotes.cli", "table"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and " ? " in done.stdout and done.stderr == ""
