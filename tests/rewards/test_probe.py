"""What rewards pay for: the built-in ones are sound, known faults are found."""

import pytest

from rlnotes.cli import main
from rlnotes.rewards.own import given_reward
from rlnotes.rewards.probe_cases import probe_cases
from rlnotes.rewards.probing import probe
from rlnotes.tasks.loading import load_task
from rlnotes.training.config_checks import REWARDS
from rlnotes.training.probing import probe_reward

TASKS = {"bracket_format_reward": ["scratch-addition"]}
TASKS["accuracy_reward"] = [
    "addition-r1",
    "addition-2digit",
    "multiplication",
    "search",
]
CASES = [(name, task) for name in REWARDS for task in TASKS.get(name, ["addition-r1"])]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_every_built_in_reward_is_sound(name, task):
    found = probe_reward(name, task)
    assert (found.paid_shortcuts, found.unpaid_honest) == ([], [])
    assert found.questions == 6


@pytest.mark.parametrize("template", ["boxed", "r1"])
def test_accuracy_on_a_file_of_questions_is_sound(template, tmp_path):
    lines = [f'{{"question": "q{i}?", "answer": "{1000 + i}"}}\n' for i in range(40)]
    (tmp_path / "q.jsonl").write_text("".join(lines))
    found = probe_reward(
        "accuracy_reward", f"file/{tmp_path}/q.jsonl?template={template}"
    )
    assert (found.paid_shortcuts, found.unpaid_honest) == ([], [])


def test_there_are_thirty_shortcuts_and_ten_honest_spellings():
    task = load_task("addition-r1").held_out()[0]
    cases = probe_cases(task, "addition-r1", "99")
    assert sum(case.honest for case in cases) >= 10
    assert sum(case.right is False for case in cases) >= 30
    assert len({case.name for case in cases}) == len({c.text for c in cases})


def contains(completions, answer, **kwargs):
    texts = [completion[0]["content"] for completion in completions]
    return [float(a in text) for text, a in zip(texts, answer, strict=True)]


def constant(completions, **kwargs):
    return [1.0] * len(completions)


def exact(completions, answer, **kwargs):
    texts = [completion[0]["content"] for completion in completions]
    return [
        2.0 * text.endswith(f"<answer>{a}</answer>") - 1.0
        for text, a in zip(texts, answer, strict=True)
    ]


def test_a_substring_pays_wherever_the_answer_stands():
    found = probe(given_reward(contains), load_task("addition-r1"), "accuracy")
    paid = {"inside a longer number", "denied", "right thought, wrong answer"}
    assert paid <= set(found.paid_shortcuts) and not found.sound
    assert "nothing" not in found.paid_shortcuts
    lines = found.table().splitlines()
    assert "pays for" in lines[0] and any("**paid**" in line for line in lines)


def test_an_exact_match_leaves_honest_answers_unpaid():
    found = probe(given_reward(exact), load_task("addition-r1"), "accuracy")
    assert {"with a unit", "with .0", "in bold"} <= set(found.unpaid_honest)
    assert "plain" not in found.unpaid_honest


def test_what_is_the_same_for_all_pays_for_nothing():
    found = probe(given_reward(constant), load_task("addition-r1"), "accuracy")
    assert not found.sound and "plain" in found.unpaid_honest


def test_the_command_says_it_and_tells_by_its_status(capsys):
    assert main(["probe", "format_reward", "--task", "addition-r1"]) == 0
    assert "pays for 0 of" in capsys.readouterr().out
    words = ["probe", "format_reward", "--task", "addition-r1", "--for", "accuracy"]
    assert main(words) == 1
    assert (
        "| a wrong answer | 1.00 | 6 | shortcut, **paid** |" in capsys.readouterr().out
    )
    assert main([*words[:-1], "beauty"]) == 2
    assert "aspect must be one of" in capsys.readouterr().err
