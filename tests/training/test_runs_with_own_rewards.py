"""Runs that are paid by a user's own reward: both engines, record, errors, kills."""

import json
import os

import pytest

from rlnotes import engines
from rlnotes.cli import main
from rlnotes.records.reading import load_run
from rlnotes.training.config import make_config
from rlnotes.training.loop import train
from tests.conftest import random_policy

SMALL = {
    "policy": "random-llama",
    "task": "addition",
    "bf16": False,
    "max_steps": 2,
    "generation_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "eval_samples": 1,
    "learning_rate": 1e-3,
    "save_policy": False,
}
TRL_S = '''import re


def last_number(prompts, completions, answer, completion_ids, **kwargs):
    """As a user of TRL writes it: messages, a column, a metric of its own."""
    texts = [completion[0]["content"] for completion in completions]
    found = [re.findall(r"\\d+", text) for text in texts]
    kwargs["log_metric"]("numbers", sum(map(len, found)) / len(found))
    rewards = [float(x[-1] == y) if x else None for x, y in zip(found, answer)]
    late = kwargs["trainer_state"] and kwargs["trainer_state"].global_step >= 1
    return [late if x is None else x + len(i) for x, i in zip(rewards, completion_ids)]
'''


def chat_policy(seed=0):
    policy = random_policy(seed=seed)
    policy.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    return policy


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.trl
def test_a_reward_of_trl_s_runs_in_both_engines_with_the_same_values(here):
    """Nearly greedy, so that both engines sample the same completions."""
    pytest.importorskip("trl")
    (here / "my.py").write_text(TRL_S)
    config = make_config(
        **{**SMALL, "temperature": 1e-4, "learning_rate": 1e-30},
        reward_funcs=["my.py:last_number", "accuracy_reward"],
    )
    runs = {}
    for engine in engines.ENGINES:
        extra = {"report_to": "none"} if engine == "trl" else {}
        engines.train(
            config,
            engine=engine,
            policy=chat_policy(),
            output=here / engine,
            progress=False,
            evaluations=False,
            **extra,
        )
        runs[engine] = load_run(here / engine)
    ours, theirs = runs["rlnotes"], runs["trl"]
    keys = ("completion", "prompt", "rewards")
    values = [[{k: x[k] for k in keys} for x in run.samples] for run in (ours, theirs)]
    assert values[0] == values[1]
    paid = {sample["rewards"]["last_number"] for sample in values[0]}
    assert len(paid) > 1
    names = ["rewards/last_number/mean", "rewards/last_number/std", "numbers"]
    assert ours.metrics[names].equals(theirs.metrics[names])
    assert ours.meta["rewards"] == theirs.meta["rewards"]
    for run in ("rlnotes", "trl"):
        kept = ours.meta["rewards"]["my.py:last_number"]["kept_as"]
        assert (here / run / kept).read_text() == TRL_S


LATE = """
calls = 0

def late(completions, **kwargs):
    global calls
    calls += 1
    return [{} for _ in completions]
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "1 / (calls < 4)",
            "late: ZeroDivisionError: division by zero (my.py, line 7)",
        ),
        ("1.0 if calls < 4 else None", "gave None for all 8 completions of a batch"),
        ("1e39 ** (calls > 3)", "late (my.py, line 4): reward 0 is 1e+39, not finite"),
    ],
)
def test_an_error_at_step_3_stops_in_one_line_and_the_mended_reward_goes_on(
    line, message, here, capsys
):
    policy = chat_policy()
    for part in (policy.model, policy.tokenizer):
        part.save_pretrained(here / "base")
    (here / "my.py").write_text(LATE.format(line))
    words = [f"{k}={json.dumps(v)}" for k, v in SMALL.items()]
    words += ["policy=./base", "max_steps=4", "reward_funcs=[my.py:late]"]
    words = [x for x in words if x not in ('policy="random-llama"', "max_steps=2")]
    command = [
        "train",
        "--output",
        "run",
        "--report-to",
        "none",
        *words,
        "save_steps=1",
    ]
    assert main(command) == 2
    err = [x for x in capsys.readouterr().err.splitlines() if x.startswith("rlnotes t")]
    assert len(err) == 1 and message in err[0]
    partial = here / "run.partial"
    assert len((partial / "metrics.csv").read_text().splitlines()) == 4  # steps 0 to 2
    (here / "my.py").write_text(LATE.format("float(len(_))"))
    with pytest.warns(UserWarning, match="resume: rewards was"):
        assert main([*command, "--resume"]) == 0
    run = load_run(here / "run")
    assert run.metrics["step"].tolist() == [0, 1, 2, 3, 4]
    [session] = run.meta["resumed"]
    first, second = run.meta["rewards"], session["rewards"]
    assert first["my.py:late"]["sha256"] != second["my.py:late"]["sha256"]
    kept = [told["my.py:late"]["kept_as"] for told in (first, second)]
    assert line in (here / "run" / kept[0]).read_text()
    assert "len(_)" in (here / "run" / kept[1]).read_text()


def test_a_file_that_changes_while_the_run_goes_on_is_said(here, capsys):
    (here / "my.py").write_text(LATE.format("1.0"))
    config = make_config(**SMALL, reward_funcs=["my.py:late"])
    seen = []

    def change(row):
        seen.append(row.get("reward"))
        (here / "my.py").write_text(LATE.format("2.0"))

    options = {"progress": False, "on_step": change, "output": here / "run"}
    result = train(config, policy=chat_policy(), **options)
    assert seen[1:] == [1.0, 1.0] and result.finished
    assert "my.py has changed since it was read" in capsys.readouterr().err
    [told] = load_run(here / "run").meta["rewards"].values()
    assert "1.0" in (here / "run" / told["kept_as"]).read_text()


def test_functions_of_a_notebook_are_recorded_with_their_text(here):
    def brevity(completions, **kwargs):
        return [-float(len(text)) for text in completions]

    config = make_config(**{**SMALL, "task": "scratch-addition", "algorithm": "gdpo"})
    train(
        config,
        policy=random_policy(),
        reward_funcs=["accuracy_reward", brevity],
        output=here / "run",
        progress=False,
    )
    run = load_run(here / "run")
    assert run.config["reward_funcs"] == ["accuracy_reward", f"{__name__}:brevity"]
    assert run.metrics["rewards/brevity/mean"][1] < 0
    assert {"accuracy_reward", "brevity"} == set(run.samples[0]["rewards"])
    kept = run.meta["rewards"][f"{__name__}:brevity"]["kept_as"]
    assert "-float(len(text))" in (here / "run" / kept).read_text()


def test_nothing_is_written_for_a_reward_that_cannot_run(here):
    config = make_config(**SMALL, reward_funcs=["no.py:reward"])
    with pytest.raises(ValueError, match="no file no.py"):
        train(config, policy=chat_policy(), output=here / "run", progress=False)
    assert os.listdir(here) == []
