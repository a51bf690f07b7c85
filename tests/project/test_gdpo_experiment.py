"""`experiments/gdpo.py`: what its arms differ in, its measures, a rule of one's own."""

import importlib
import sys

import matplotlib.figure
import pandas as pd
import pytest

import rlnotes as rl

RULE = """
def rule(rewards, num_generations):
    return [1.0, 0.5]
"""


@pytest.fixture
def lab(monkeypatch):
    monkeypatch.syspath_prepend(str(rl.project_folder() / "experiments"))
    yield importlib.import_module("gdpo")
    sys.modules.pop("gdpo", None)


def differences(lab, one, other):
    a, b = (lab.config_of(lab.ARMS[name]).to_dict() for name in (one, other))
    return {field for field in a if a[field] != b[field]}


def test_a_run_and_its_twin_differ_in_nothing_but_the_advantage(lab):
    advantage = {"algorithm", "multi_objective_aggregation"}
    for setting in ("length", "three", "format", "short", "toy", "smollm2"):
        assert differences(lab, f"{setting}_grpo", f"{setting}_gdpo") == advantage
    twins = "length_grpo_conditioned", "length_gdpo_conditioned"
    assert differences(lab, *twins) == advantage
    for arm, fields in {
        "length_mo_grpo": {"advantage_batch_norm"},
        "length_gdpo_conditioned": {"conditioned_reward"},
        "length_gdpo_quarter": {"reward_weights"},
        "length_where_right": {"reward_weighting"},
        "conflict_sigma": {"reward_weighting"},
        "length_lagrangian": {"reward_weighting"},
        "length_grpo_no_std": advantage | {"scale_rewards"},
    }.items():
        twin = arm.split("_")[0] + "_gdpo"
        assert differences(lab, arm, twin) == fields


def test_hypervolume_by_hand(lab):
    assert lab.hypervolume([(0.5, 0.5)]) == 0.25
    assert lab.hypervolume([(0.5, 0.5), (0.4, 0.4)]) == 0.25
    assert lab.hypervolume([(1.0, 0.2), (0.5, 0.6)]) == pytest.approx(0.2 + 0.5 * 0.4)
    corners = [(1.0, 1.0, 0.5), (0.5, 0.5, 1.0)]
    assert lab.hypervolume(corners) == pytest.approx(0.5 + 0.5 * 0.25)


def test_measures_by_hand(lab):
    """Accuracy falls and recovers; length rises by a tenth a step and stays at 1."""
    right = [0.5] * 5 + [0.3] * 5 + [0.6] * 10
    short = [min(1.0, 0.1 * step) for step in range(1, 21)]
    run = pd.DataFrame({"step": range(21)})
    run["rewards/accuracy_reward/mean"] = [None, *right]
    run["rewards/length_reward/mean"] = [None, *short]
    run["rewards/none/mean"] = None
    run["completions/max_length"] = [None, *[100.0] * 20]
    run["eval/sampled_accuracy"] = [0.2, *[None] * 19, 0.4]
    found = lab.measures(run.astype(float))
    assert found["accuracy"] == pytest.approx(0.6)
    assert found["held-out accuracy"] == 0.4 and found["longest"] == 100
    assert found["least"] == found["accuracy"]
    assert found["dip"] == pytest.approx(0.2) and found["failed"] == 0
    # five-step means of length: 0.3 at step 5, 1 from step 14; nine tenths is 0.93
    assert found["steps, length"] == 12
    assert found["hypervolume"] == pytest.approx(0.6)


def test_a_rule_of_ones_own_gets_its_row(lab, monkeypatch, tmp_path, capsys):
    rule = tmp_path / "my_rule.py"
    rule.write_text(RULE)
    small = {"generation_batch_size": 8, "max_completion_length": 20, "max_steps": 6}
    small |= {"per_device_train_batch_size": None, "steps_per_generation": 1}
    monkeypatch.setattr(lab, "START", lab.START | small | {"eval_samples": 1})
    monkeypatch.setattr(lab, "OWN", tmp_path / "own")
    words = ["gdpo.py", "own", "--rule", f"{rule}:rule", "--seeds", "3", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", words)
    assert lab.main() == 0
    [folder] = (tmp_path / "own").iterdir()
    assert folder.name in capsys.readouterr().out
    assert folder.name.startswith("length_")
    run = rl.load_run(folder / "seed3")
    assert (run.metrics["reward_weights/length_reward"].dropna() == 0.5).all()
    before = folder.name
    rule.write_text(RULE.replace("0.5", "0.25"))  # another text, another row
    asked = {"command": "own", "rule": words[3], "seeds": [3], "setting": "length"}
    options = type("Options", (), asked)
    assert lab.plan(options)[0].folder.parent.name != before


def test_an_integer_is_what_stands_in_the_last_answer(lab):
    rewards = importlib.import_module("gdpo_rewards")
    wanted = {
        "<answer>12</answer>": 1.0,
        "<answer>1</answer> <answer> 7 ": 1.0,
        "4": 1.0,
        "": 0.0,
        "<answer>": 0.0,
        "<answer>1.5</answer>": 0.0,
        "<answer>x²</answer>": 0.0,
        "<answer>²</answer>": 0.0,
        "3 4": 0.0,
    }
    chat = [[{"role": "assistant", "content": "<answer>12</answer>"}]]
    assert rewards.integer_reward(chat) == [1.0]
    assert rewards.integer_reward(list(wanted)) == list(wanted.values())
    sys.modules.pop("gdpo_rewards")


def test_an_arm_less_another_is_paired_by_seed(lab):
    """Two arms, three seeds: the second is 0.1 more often right on the same seeds."""
    runs = []
    for arm, more in (("toy_gdpo", 0.0), ("toy_sigma", 0.1)):
        for seed, level in enumerate((0.2, 0.5, 0.3)):
            run = pd.DataFrame({"step": range(21), "algorithm": arm, "seed": seed})
            run["rewards/accuracy_reward/mean"] = level + more
            run["completions/max_length"] = 64.0
            run["eval/sampled_accuracy"] = 0.5
            runs.append(run)
    runs = pd.concat(runs)
    found = lab.differences(runs, "toy_gdpo", ["accuracy", "longest"])
    assert found.index.tolist() == ["toy_sigma"]
    one = found.loc["toy_sigma", "accuracy"]
    assert (one.estimate, one.low, one.high) == pytest.approx((0.1, 0.1, 0.1))
    assert one.n == 3 and found.loc["toy_sigma", "longest"].estimate == 0
    axes = matplotlib.figure.Figure().subplots()
    lab.draw_trade(axes, runs, "accuracy", "held-out accuracy")
    assert [bars.get_label() for bars in axes.containers] == ["gdpo", "sigma"]
    points = [tuple(bars[0].get_xydata()[0]) for bars in axes.containers]
    assert points[0] == pytest.approx((1 / 3, 0.5))
    assert points[1] == pytest.approx((1 / 3 + 0.1, 0.5))
