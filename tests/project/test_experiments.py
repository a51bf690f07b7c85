"""The experiments' shared stages, and what is recorded of them."""

import dataclasses
import importlib
import json
import sys

import pandas as pd
import pytest
import torch
import yaml

import rlnotes as rl
from rlnotes.supervised.curation import Response

ROOT = rl.project_folder()
RECORDED = ROOT / "data" / "experiments"
STAGES = {
    "r1_pipeline": 7,  # base, zero, dev1, dev2, dev3, r1, the ablation
    "distillation": 1 + 2 * 2 * 3,  # teacher; students x writers x sizes
    "length_limit": 2,
}


@pytest.fixture
def stages(monkeypatch, tmp_path):
    """experiments/stages.py with folders of its own and a batch of 32 for GRPO."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path / "runs"))
    module = importlib.import_module("stages")
    small = yaml.safe_load((ROOT / module.GRPO).read_text()) | {
        "generation_batch_size": 32,
        "per_device_train_batch_size": 32,
        "max_steps": 1,
        "eval_samples": 1,
    }
    (tmp_path / "grpo.yaml").write_text(yaml.safe_dump(small))
    monkeypatch.setattr(module, "GRPO", tmp_path / "grpo.yaml")
    monkeypatch.setattr(module, "DATA", tmp_path / "data")
    yield module
    for name in ("stages", *STAGES):
        sys.modules.pop(name, None)


def weights(policy):
    return torch.cat([p.detach().flatten() for p in policy.model.parameters()])


def test_a_stage_trains_a_copy_and_is_done_once(stages):
    one = stages.Stages("some", seed=3)
    base = rl.load_policy("search-base")
    before = weights(base)
    first = one.reinforce("zero", base)
    assert torch.equal(weights(base), before)
    assert not torch.equal(weights(first), before) and first.name == "zero"
    record = rl.load_run(one.records / "zero")
    assert record.config["policy"] == "search-base" and record.config["seed"] == 3
    written = (one.records / "zero" / "meta.json").stat().st_mtime_ns
    again = stages.Stages("some", seed=3).reinforce("zero", base)
    assert torch.equal(weights(again), weights(first)) and again.name == "zero"
    assert (one.records / "zero" / "meta.json").stat().st_mtime_ns == written


def test_reinforcement_after_tuning_moves_the_tuned_weights(stages):
    one = stages.Stages("some", seed=0)
    base = rl.load_policy("search-base")
    answers = one.ask(base, "search", prompts=8, num_generations=1, step=1)
    tuned = one.fine_tune("dev1", base, answers)
    trained = one.reinforce("dev2", tuned)
    for a, b in ((base, tuned), (tuned, trained)):
        assert not torch.equal(weights(a), weights(b))
    assert rl.load_run(one.records / "dev2").config["policy"] == "dev1"


def test_the_length_experiment_from_end_to_end(stages, monkeypatch, tmp_path):
    module = importlib.import_module("length_limit")
    monkeypatch.setattr(module, "STEPS", 1)
    monkeypatch.setattr(stages, "measure", lambda policy: {"search": 0.5})
    module.run_seed(0)
    table = pd.read_csv(tmp_path / "data" / "length_limit" / "seed0.csv")
    assert list(table["stage"]) == ["kept", "raised"]
    assert list(table["max_completion_length"]) == [40, 128]
    for name in ("before", "kept", "raised"):
        run = rl.load_run(tmp_path / "data" / "length_limit" / "seed0" / name)
        assert run.config["max_completion_length"] == (128 if name == "raised" else 40)
        longest = run.metrics["completions/max_length"].max()
        assert longest <= run.config["max_completion_length"]


def test_descriptions_by_hand(stages):
    task = rl.load_task("search").task([5, 6, 9], 20)
    miss, hit = "5 * 6 = 30 - 9 = 21 ? 20", "5 + 6 = 11 + 9 = 20 ? 20"
    rows = [
        Response(task, f"{miss} wait {hit} answer + +", 26, 1.0, False),
        Response(task, f"{miss} 等 {miss} wait {hit} answer + +", 65, 1.0, True),
    ]
    found = stages.describe(rows)
    assert found["language_consistency"] == pytest.approx((1 + 2 / 3) / 2)
    assert (found["english"], found["readable"], found["short"]) == (0.5, 0.5, 0.5)
    assert (found["waits"], found["mean_length"]) == (1.5, 45.5)


@pytest.mark.parametrize("experiment", STAGES)
def test_five_seeds_are_recorded_with_every_stage(experiment):
    for seed in range(5):
        table = pd.read_csv(RECORDED / experiment / f"seed{seed}.csv")
        assert len(table) == table["stage"].nunique() == STAGES[experiment]
        assert set(table["seed"]) == {seed}
        rates = table[["search-easy", "search", "search-hard", "readable", "short"]]
        assert ((rates >= 0) & (rates <= 1)).all(axis=None)


def test_records_come_from_committed_code():
    metas = sorted(RECORDED.glob("*/seed*/*/meta.json"))
    assert len(metas) == 5 * (4 + 1 + 3)
    for path in metas:
        meta = json.loads(path.read_text())
        assert meta["status"] == "finished" and not meta["dirty"]
        assert meta["command"].split()[0] in {f"{name}.py" for name in STAGES}


def test_our_loop_and_trl_learn_alike():
    """The same config in both engines: 95 % intervals over five seeds overlap."""
    key = "eval/sampled_accuracy"
    pattern = "grpo_search_search-base_seed*"
    theirs = rl.load_runs(str(RECORDED / "trl_engine" / pattern))
    ours = rl.load_runs(str(ROOT / "data" / "runs" / pattern))
    assert theirs["seed"].nunique() == ours["seed"].nunique() == 5
    bands = [rl.metric_bands(runs, key).set_index("step") for runs in (theirs, ours)]
    for step in (0, 10, 20, 30, 40):
        (low_a, high_a), (low_b, high_b) = (
            band.loc[step, ["low", "high"]] for band in bands
        )
        assert low_a <= high_b and low_b <= high_a, step


def test_every_arm_of_dapo_has_a_config_and_the_rate_of_its_rung(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    dapo = importlib.import_module("dapo")
    rates = pd.read_csv(RECORDED / "dapo" / "rates.csv")
    assert rates.groupby("arm")["seed"].nunique().eq(2).all()
    for arm in dapo.ARMS:
        [run] = dapo.make_runs("switches", [arm], [0])
        table = rates[rates["arm"] == (arm if arm in dapo.LADDER else "naive")]
        means = table.groupby("learning_rate")["accuracy"].mean()
        wanted = dapo.ARMS[arm].get("learning_rate", means.idxmax())
        if not arm.startswith("without_"):
            assert run.config.learning_rate == wanted, arm
        assert not run.config.save_policy
    sys.modules.pop("dapo")


@pytest.mark.parametrize(
    "path", sorted(RECORDED.glob("dapo/*/seed*/config.yaml")), ids=str
)
def test_the_arms_of_dapo_are_recorded_with_their_configs(path, monkeypatch):
    """The record repeats: its config is what the experiment would train today."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    dapo = importlib.import_module("dapo")
    arm, seed = path.parts[-3], int(path.parts[-2].removeprefix("seed"))
    [run] = dapo.make_runs("switches", [arm], [seed])
    found, wanted = rl.load_config(path), run.config
    if wanted.bf16 is None:  # measured where the run started
        wanted = dataclasses.replace(wanted, bf16=found.bf16)
    assert found == wanted  # a field younger than it: its default
    sys.modules.pop("dapo")


@pytest.fixture
def experiment(monkeypatch, request):
    """The module of an experiment by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    yield importlib.import_module(request.param)
    sys.modules.pop(request.param, None)


@pytest.mark.parametrize("experiment", ["pass_at_k"], indirect=True)
def test_pass_at_k_is_recorded_for_every_policy_and_held_out_question(experiment):
    counts = pd.read_csv(RECORDED / "pass_at_k" / "counts.csv")
    assert set(counts["samples"]) == {experiment.SAMPLES}
    assert counts["right"].between(0, experiment.SAMPLES).all()
    for (policy, size), rows in counts.groupby(["policy", "task"]):
        tasks = rl.load_task(size).held_out()[: experiment.QUESTIONS[size]]
        assert list(rows["prompt"]) == [task.prompt for task in tasks], policy
    assert set(counts["policy"]) == set(experiment.POLICIES)
    # the record of the run says the same of the untrained policy, in other samples
    run = rl.load_run(ROOT / "data" / "runs" / "grpo_search_search-base_seed0")
    own = counts.query("policy == 'untrained' and task == 'search'")
    accuracy = own["right"].sum() / own["samples"].sum()
    recorded = run.metrics["eval/sampled_accuracy"].iloc[0]
    assert accuracy == pytest.approx(recorded, abs=0.04)


@pytest.mark.parametrize("experiment", ["reflection_prompts"], indirect=True)
def test_every_form_of_prompt_is_recorded_with_its_verdicts(experiment):
    folder = RECORDED / "reflection_prompts"
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    forms = {experiment.MODEL: experiment.MODEL_FORMS, "lab": experiment.LAB_FORMS}
    assert meta["forms"] == forms and not meta["dirty"]
    rows = pd.read_json(folder / "responses.jsonl", lines=True)
    for (policy, form), part in rows.groupby(["policy", "form"]):
        model = policy == experiment.MODEL
        samples = experiment.MODEL_SAMPLES if model else experiment.LAB_SAMPLES
        assert set(part.groupby("prompt").size()) == {samples}, (policy, form)
        size = {"two numbers": "search-easy", "four numbers": "search-hard"}.get(form)
        asked = rl.load_task(size or "search").held_out()[: experiment.LAB_QUESTIONS]
        asked = experiment.model_questions() if model else asked
        assert list(part["prompt"].unique()) == [task.prompt for task in asked]
    assert rows.groupby("policy")["form"].nunique().eq(6).all()
    model = rows["policy"] == experiment.MODEL
    assert rows[model]["completion"].isna().all()  # counts alone: see the script
    assert set().union(*rows[model]["words"]) <= set(rl.WORD_LISTS["r1"])
    for row in rows[~model].itertuples():
        task = rl.search_question(row.prompt)
        verdict = rl.load_task("search").verify(row.completion, task)
        assert verdict == row.accuracy and row.length <= experiment.LAB_TOKENS


@pytest.mark.parametrize("experiment", ["reflection_prompts"], indirect=True)
def test_of_a_text_the_words_and_the_behavior_are_kept(experiment):
    text = "54. Wait, that is wrong: let me check. But wait."
    task = rl.Task("What is 7 * 8?", "56")
    said = Response(task, text, 12, 0.0, False)
    [row] = map(
        json.loads, experiment.rows(experiment.MODEL, "chat", [said]).split("\n")[:-1]
    )
    assert row["words"] == {"wait": 2, "wrong": 1, "check": 1, "but": 1}
    assert row["behaviors"] == ["verification", "backtracking"]
    assert "completion" not in row and row["length"] == 12


@pytest.mark.parametrize("experiment", ["reflection_prompts"], indirect=True)
def test_the_forms_change_the_prompt_and_nothing_else(experiment):
    question = "make 5 from 7 4 6 :"
    said = {
        form: experiment.lab_prompt(form, question) for form in experiment.LAB_FORMS
    }
    assert said["as trained"] == question and said["no colon"] == question[:-2]
    assert said["an example before"].endswith(f" answer + + {question}")
    assert said["begins with wait"] == f"{question} wait"
    chat = experiment.model_prompt("chat, check", "What is 7 * 8?")
    [message] = chat
    assert message["content"].startswith("What is 7 * 8? Check your answer")
    r1 = experiment.model_prompt("R1's template", "What is 7 * 8?")
    assert "User: What is 7 * 8?. Assistant:" in r1 and "{question}" not in r1
