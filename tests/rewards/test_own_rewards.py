"""A user's own rewards: found, called as TRL calls, refused in one line."""

import functools
import random

import pytest
import torch

from rlnotes.rewards.integer import integer_reward
from rlnotes.rewards.own import given_reward, group_rows, load_reward
from rlnotes.tasks.loading import load_task
from rlnotes.training.chosen_rewards import build_rewards, recorded, with_rewards
from rlnotes.training.config import make_config

SMALL = {"generation_batch_size": 8, "num_generations": 4, "task": "scratch-addition"}
CALL = {
    "prompts": ["a", "a"],
    "completions": ["1", "22"],
    "completion_ids": [[1], [2, 2]],
    "answer": ["1", "1"],
}


def build(name, task="scratch-addition"):
    config = make_config(**{**SMALL, "reward_funcs": [name], "task": task})
    return build_rewards(config, load_task(task))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes my.py into the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="my.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_functions_of_one_file_share_it_and_import_beside_it(write):
    write("LIMIT = 7\n", "my_limits_beside.py")
    write(
        "from my_limits_beside import LIMIT\nCALLS = []\n"
        "def a(completions, **kwargs):\n    CALLS.append(1)\n"
        "    return [float(LIMIT)] * len(completions)\n"
        "def b(completions, **kwargs):\n    return [len(CALLS)] * len(completions)\n"
    )
    a, b = load_reward("my.py:a"), load_reward("my.py:b")
    assert a(**CALL) == [7.0, 7.0] and b(**CALL) == [1.0, 1.0]
    assert (a.__name__, a.place) == ("a", "a (my.py, line 3)")


def test_a_module_is_imported_from_the_working_directory(write, tmp_path):
    (tmp_path / "our_package_of_rewards").mkdir()
    write("def one(completions, **kwargs):\n    return [1.0] * len(completions)\n")
    (tmp_path / "my.py").rename(tmp_path / "our_package_of_rewards" / "rules.py")
    [reward] = build("our_package_of_rewards.rules:one")
    assert reward(**CALL) == [1.0, 1.0] and reward.text.startswith("def one")


BROKEN = {
    "no.py:f": (None, "no file no.py"),
    "my.py:f": ("def g(): pass\n", r"has no function 'f'; it has \['g'\]"),
    "my.py:x": ("x = 3\n", "has no function 'x'"),
    "my.py:syntax": ("\ndef syntax(:\n", r"SyntaxError: .*\(my.py, line 2\)"),
    "my.py:late": ("import math\n1 / 0\n", r"ZeroDivisionError.*\(my.py, line 2\)"),
    "no.such.module:f": (None, "no.such.module cannot be imported: ModuleNotFound"),
    "my.py:bare": (
        "\ndef bare(completions):\n    return [0.0] * len(completions)\n",
        r"bare \(my.py, line 2\): got an unexpected keyword .*\*\*kwargs",
    ),
    "my.py:column": (
        "def column(completions, solution, **kwargs):\n    return []\n",
        r"column \(my.py, line 1\): missing .*'solution'",
    ),
    "my.py:error": (
        "def error(completions, **kwargs):\n    x = 1\n    return help_me(x)\n"
        "def help_me(x):\n    return x / 0\n",
        r"error: ZeroDivisionError: division by zero \(my.py, line 5\)",
    ),
    "my.py:deep": (  # the last line of the user's own, not the library's
        "import json\ndef deep(completions, **kwargs):\n    return json.loads('{')\n",
        r"deep: JSONDecodeError: .* \(my.py, line 3\)",
    ),
    "my.py:few": (
        "def few(completions, **kwargs):\n    return [0.0]\n",
        r"few \(my.py, line 1\): expected 4 rewards, got 1",
    ),
    "my.py:text": (
        "def text(completions, **kwargs):\n    return ['1'] * len(completions)\n",
        r"text \(my.py, line 1\): expected a list of floats: '1' is a text",
    ),
    "my.py:nan": (
        "def nan(completions, **kwargs):\n    return [1e999 - 1e999] * 4\n",
        r"nan \(my.py, line 1\): reward 0 is nan",
    ),
    "my.py:number": (
        "def number(completions, **kwargs):\n    return 1.0\n",
        r"number \(my.py, line 1\): expected a list of floats",
    ),
    "my.py:keys": (
        "def keys(completions, **kwargs):\n    return dict.fromkeys(range(4))\n",
        r"keys \(my.py, line 1\): expected a list of 4 floats, got \{",
    ),
    "my.py:matrix": (
        "import torch\ndef matrix(completions, **kwargs):\n    return torch.eye(4)\n",
        r"matrix \(my.py, line 2\): expected a list of floats",
    ),
    "my.py:scalar": (
        "import torch\ndef scalar(completions, **kwargs):\n    return torch.ones(())\n",
        r"scalar \(my.py, line 2\): expected a list of floats",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said_before_the_first_step(name, write):
    text, message = BROKEN[name]
    if text is not None:
        write(text)
    with pytest.raises(ValueError, match=message) as error:
        build(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["my.py:", "my.py:1", "a b:f", ":f", "applause"])
def test_a_name_that_none_could_have_is_refused_with_the_config(name):
    with pytest.raises(ValueError, match="reward_funcs"):
        make_config(reward_funcs=[name])


def test_two_rewards_may_not_share_a_column():
    with pytest.raises(ValueError, match="two would be logged as 'f'"):
        make_config(reward_funcs=["a.py:f", "b.py:f"])


@pytest.mark.parametrize("values", ["torch.ones(n)", "(1.0,) * n", "iter([True] * n)"])
def test_what_is_a_list_of_numbers_passes(values, write):
    write(
        "import torch\ndef f(completions, **kwargs):\n    n = len(completions)\n"
        f"    return {values}\n"
    )
    assert build("my.py:f")[0](**CALL) == [1.0, 1.0]


def test_a_coroutine_is_waited_for(write):
    write(
        "import asyncio\nasync def f(completions, **kwargs):\n"
        "    await asyncio.sleep(0)\n    return [float(len(x)) for x in completions]\n"
    )
    assert load_reward("my.py:f")(**CALL) == [1.0, 2.0]


def test_none_for_all_is_said_once(write, capsys):
    write("def f(completions, **kwargs):\n    return [None] * len(completions)\n")
    reward = load_reward("my.py:f")
    assert reward(**CALL) == reward(**CALL) == [None, None]
    err = capsys.readouterr().err
    assert (
        err
        == "rlnotes: reward f (my.py, line 1) is None for all 2 completions of"
        + (" a batch\n")
    )


def test_a_slow_reward_is_said_once(write, capsys, monkeypatch):
    monkeypatch.setattr("rlnotes.rewards.own._SLOW", -1.0)
    write("def f(completions, **kwargs):\n    return [0.0] * len(completions)\n")
    reward = load_reward("my.py:f")
    reward(**CALL)
    reward(**CALL)
    assert capsys.readouterr().err.count("took 0 s for 2 completions") == 1


def test_a_file_that_changes_changes_nothing_and_is_said(write):
    path = write("def f(completions, **kwargs):\n    return [1.0] * len(completions)\n")
    reward = load_reward("my.py:f")
    assert reward.changed() is None
    path.write_text(path.read_text().replace("1.0", "2.0"))
    assert reward(**CALL) == [1.0, 1.0]
    assert "my.py has changed since it was read" in reward.changed()
    assert load_reward("my.py:f")(**CALL) == [2.0, 2.0]  # a new run reads it anew
    kept = recorded([reward], make_config(**SMALL))
    told = kept["provenance"]["rewards"]["my.py:f"]
    assert "1.0" in kept["files"][told["kept_as"]]
    path.write_text("")
    assert recorded([reward], make_config(**SMALL)) == kept


def test_functions_are_given_under_their_module_and_name():
    def brevity(completions, least, **kwargs):
        return [least - len(text) for text in completions]

    passed = functools.partial(brevity, least=3)
    config, own = with_rewards(make_config(**SMALL), ["accuracy_reward", passed])
    assert config.reward_names == ("accuracy_reward", "brevity")
    rewards = build_rewards(config, load_task("scratch-addition"), own)
    assert rewards[1](**CALL) == [2.0, 1.0]
    assert "least - len(text)" in rewards[1].text
    with pytest.raises(ValueError, match="functions with a name, got <function"):
        given_reward(lambda **kwargs: [])
    with pytest.raises(ValueError, match="functions with a name, got 7"):
        given_reward(7)


def shortest_right(prompts, completions, answer, **kwargs):
    """1 for the shortest right completion of each prompt."""
    values = [0.0] * len(prompts)
    for rows in group_rows(prompts):
        right = [i for i in rows if completions[i].endswith(answer[i])]
        if right:
            values[min(right, key=lambda i: len(completions[i]))] = 1.0
    return values


def test_a_reward_that_compares_within_a_prompt_does_not_see_the_order():
    prompts = ["1+1="] * 3 + [[{"role": "user", "content": "2+2="}]] * 3
    texts, answers = ["2", "..2", "3", ".4", "..4", "4"], ["2"] * 3 + ["4"] * 3
    expected = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert group_rows(prompts) == [[0, 1, 2], [3, 4, 5]]
    for seed in range(10):
        order = random.Random(seed).sample(range(6), 6)
        values = given_reward(shortest_right)(
            prompts=[prompts[i] for i in order],
            completions=[texts[i] for i in order],
            answer=[answers[i] for i in order],
        )
        assert values == [expected[i] for i in order]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>7 times 8</think><answer>56</answer>", 1),
        ("<answer> -3\n</answer>", 1),
        ("<answer>\u22123</answer>", 1),
        ("<answer>1,234</answer>", 1),
        ("<answer>1,23</answer>", 0),
        ("<answer>56.0</answer>", 0),
        ("<answer>fifty-six</answer>", 0),
        ("<answer>\u00b2</answer>", 0),  # where isdigit() is true
        ("<answer>56 </answer> <answer>57</answer>", 0),
        ("<answer>56", 0),
        ("56", 0),
        ("<answer></answer>", 0),
    ],
)
def test_integer_reward(text, value):
    chat = [{"role": "assistant", "content": text}]
    assert integer_reward(completions=[text, chat]) == [value, value]


def test_own_values_become_the_column_of_a_batch(write):
    from rlnotes.rewards.rewards import compute_rewards

    write("def f(completions, **kwargs):\n    return [None, 0.5]\n")
    column = compute_rewards([load_reward("my.py:f")], **CALL)[:, 0]
    assert torch.isnan(column[0]) and column[1] == 0.5
