"""The exercises' checks: right answers pass, wrong ones get the hint that fits."""

import re
from pathlib import Path

import pytest
import torch

import rlnotes
from rlnotes.teaching.exercises import EXERCISES, check_exercise, find_hint

SOURCES = Path(__file__).parents[2] / "notebooks" / "src"
BLOCK = re.compile(r"^# ```python\n# # (\S+)\n(.*?)^# ```$", re.M | re.S)


def published_solutions():
    """(exercise, code) of every fenced block that starts with `# <exercise>`."""
    for path in sorted(SOURCES.glob("*.py")):
        for name, block in BLOCK.findall(path.read_text()):
            code = re.sub(r"^# ?", "", block, flags=re.M)
            yield pytest.param(name, code, id=f"{path.stem}-{name}")


def answer_of(code):
    """What the last statement of a solution defines."""
    names = {
        "torch": torch,
        **{n: getattr(rlnotes, n) for n in rlnotes.__all__},
    }
    before = set(names)
    exec(code, names)
    return names[[n for n in names if n not in before | {"__builtins__"}][-1]]


@pytest.mark.parametrize(("name", "code"), published_solutions())
def test_published_solution_is_right(name, code):
    assert find_hint(name, answer_of(code)) is None


@pytest.mark.parametrize("name", EXERCISES)
def test_stub_and_nonsense_are_not_yet(name, capsys):
    def stub(*arguments):
        raise NotImplementedError

    check_exercise(name, stub)
    assert "not yet: replace" in capsys.readouterr().out
    for nonsense in (lambda *arguments: torch.tensor(3.25), "text", None):
        check_exercise(name, nonsense)
        assert capsys.readouterr().out.startswith(f"{name}: not yet: ")


def test_unknown_name_is_an_error():
    with pytest.raises(ValueError, match="name"):
        check_exercise("grpo-0", None)


def test_right_prints_right(capsys):
    check_exercise("grpo-2", rlnotes.leave_one_out_advantages)
    assert capsys.readouterr().out == "grpo-2: right\n"


def padding_counts(rewards, values, mask, gamma, lam):
    return rlnotes.generalized_advantage_estimation(
        rewards, values, torch.ones_like(mask), gamma=gamma, lam=lam
    )[0]


def unbiased(k, size):
    p = k / size
    scale = ((size / (size - 1)) * p * (1 - p)) ** 0.5
    return (1 - p) / scale, -p / scale


def one_mean_for_all(rewards, num_generations):
    return rlnotes.leave_one_out_advantages(rewards, len(rewards))


def one_sided_clip(ratio, advantages, epsilon):
    return (ratio - 1).abs() > epsilon


def sum_then_normalize(rewards, num_generations):
    return rlnotes.group_relative_advantages(rewards.sum(1), num_generations)


def only_the_first(rewards, k, on, threshold):
    return rlnotes.conditioned_rewards(
        rewards, conditioned=k, on=on[0], threshold=threshold
    )


def each_by_its_own_questions(before, after, samples):
    rises = {True: [], False: []}
    for old, new in zip(before, after, strict=True):
        rises[old > 0].append((new - old) / samples)
    return tuple(sum(part) / max(len(part), 1) for part in rises.values())


def reasons(tries, target):
    """For every `wait`: after a hit, before a repeat, before nothing."""
    for i, (_, result, word) in enumerate(tries):
        made, later = {one[0] for one in tries[: i + 1]}, tries[i + 1 :]
        if word == "wait":
            yield result == target, bool(later) and later[0][0] in made, not later


def hits_alone(tries, target):
    return sum(hit or nothing for hit, _, nothing in reasons(tries, target))


def every_reason(tries, target):
    return sum(sum(one) for one in reasons(tries, target))


def over_responses(problems, reflected, right):
    sides = [
        [g for w, g in zip(reflected, right, strict=True) if w == x] for x in (0, 1)
    ]
    return sum(sides[1]) / len(sides[1]) - sum(sides[0]) / len(sides[0])


def not_english(text):
    return rlnotes.language_consistency_reward(completions=[text])[0] < 1


def without_limit(right, cut, english, num_generations, per_prompt):
    rows = enumerate(zip(right, cut, english, strict=True))
    return [i for i, (r, c, e) in rows if r == 1 and not c and e == 1]


def unequal_rewards(rewards, num_generations):
    return rlnotes.informative_groups(rewards, num_generations, rule="std")


def cv_of_the_raw(rewards):
    variation = rewards.std(0) / rewards.mean(0)
    return len(variation) * variation / variation.sum()


@pytest.mark.parametrize(
    ("name", "wrong", "hint"),
    [
        ("step-1", lambda pi, r: pi * r, "above J"),
        ("step-2", 10.0, "a constant is a baseline"),
        ("step-3", [0.25, 0.75, 2.5], "new over old, not"),
        ("step-4", 2.6458, "divides by G − 1"),
        (
            "step-5",
            lambda logits, ids: logits.gather(2, ids[..., None])[..., 0],
            "log_",
        ),
        ("ppo-1", [1, 1, 0, 0, 0, -1], "inside the band"),
        ("ppo-2", padding_counts, "what it says on padding"),
        ("ppo-3", 13, "0.95 to the k"),
        ("grpo-1", unbiased, "k=2, G=4"),
        ("grpo-2", lambda r, g: r - r.view(-1, g).mean(1).repeat_interleave(g), "0, 1"),
        ("grpo-2", one_mean_for_all, "each needs its own mean"),
        ("kl-1", rlnotes.kl_k2, "value must be"),
        ("kl-1", rlnotes.kl_k3, "derivative must be"),
        ("kl-2", lambda m, length: m / m.sum(), "changed the weights"),
        ("kl-2", lambda m, length: m / length, "rows times"),
        ("grpo-3", one_sided_clip, "each row has one"),
        ("r1-1", not_english, "throughout is not mixed"),
        ("r1-1", lambda text: any(c > "z" for c in text), "throughout is not mixed"),
        ("r1-3", lambda r, cut, e, g, k: [i for i in range(6) if r[i]], "row 1"),
        ("r1-3", without_limit, "right without a limit"),
        ("r1-2", lambda answers, x: (answers.count(x) / len(answers), 1.0), "majority"),
        ("r1-4", lambda g: (-((1 - 1 / g) ** 0.5) * g**0.5, (g - 1) ** -0.5), "G = 4"),
        ("r1-4", lambda g: (-1.5, 0.5), "right for G = 4"),
        ("aha-1", each_by_its_own_questions, "all questions"),
        (
            "aha-1",
            lambda old, new, n: (max(0.0, (sum(new) - sum(old)) / n), 0.0),
            "all",
        ),
        ("aha-2", over_responses, "in one way only"),
        ("aha-3", lambda found, labeled: (1 / 3, 1 / 2), "detected first"),
        ("aha-4", hits_alone, "already made"),
        ("aha-4", every_reason, "two reasons"),
        ("dapo-1", lambda p, high: (1 + high) * p, "none goes above 1"),
        ("dapo-1", lambda p, high: p + high, "× p_old"),
        ("dapo-2", lambda m, g: m.sum(1) / m.sum(), "each prompt has"),
        ("dapo-3", unequal_rewards, "of one kind"),
        ("dapo-3", lambda r, g: (r > 0).view(-1, g).sum(1) == 1, "R ≥ 0"),
        ("ladder-1", lambda p, n, k: p * (1 - p) / (n * k), "variance"),
        ("ladder-1", lambda p, n, k: (p * (1 - p) / n) ** 0.5, "variance"),
        ("ladder-2", lambda delta, s: (2.8 * s / delta) ** 2, "n"),
        ("gdpo-1", sum_then_normalize, "add the columns"),
        (
            "gdpo-2",
            lambda k, g: (1 - k / g) / (k / g * (1 - k / g)) ** 0.5,
            "k=1, G=16",
        ),
        ("gdpo-3", torch.tensor([[1, 0], [1, 0], [0, 0], [0, 1]]), "second column"),
        ("gdpo-3", torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]]), "unequally often"),
        ("gdpo-4", lambda rewards: 1 / rewards.std(0), "undo the division"),
        ("gdpo-5", only_the_first, "both must hold"),
        ("open-1", [1.5, 1.5], "other sign"),
        ("open-1", [0.0, 1.5], "half of −1.5"),
        ("open-2", lambda r: r.std(0) / r.mean(0), "K times"),
        ("open-2", cv_of_the_raw, "minimum"),
        ("open-3", lambda s: (s[:, None] > s).double().mean(1), "*other*"),
        ("open-3", lambda s: (s[:, None] > s).double().sum(1) / 3, "half a win"),
        ("open-4", [[1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], "more"),
        ("open-4", [[1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], "style without right"),
    ],
)
def test_typical_mistakes_get_the_hint_that_fits(name, wrong, hint):
    assert hint in find_hint(name, wrong)
