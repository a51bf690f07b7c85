"""`data/claims.csv`: each claim of the slides against the records, computed.

python scripts/claims.py    # writes the table and prints it

One window for all: the last ten steps of a rollout metric, the last two evaluations of
an `eval/` one. Differences are paired by seed. A claim gets one verdict; how many
intervals were looked at is the number of rows.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from gdpo_claims import cells_of_the_paper, gdpo_claims

from rlnotes.analysis.claims import Claim, claim_row, judge
from rlnotes.analysis.intervals import mean_interval
from rlnotes.records.reading import load_arms

ROOT = Path(__file__).parent.parent
DAPO = ROOT / "data" / "experiments" / "dapo"
REWARD_MODELS = DAPO.with_name("reward_models")
CSV = ROOT / "data" / "claims.csv"
ACCURACY = "eval/sampled_accuracy"
SAMPLES = 40 * 256  # completions that an arm without dynamic sampling draws
POINTS = 0.05  # of accuracy or gold: less would not matter here
LATE = 8  # steps at the end of a run of reward_models.py, which has 32
LADDER = (
    ("filter", "naive", "overlong filtering helps"),
    ("filter_higher", "filter", "clip-higher helps"),
    ("filter_higher_punish", "filter_higher", "the soft punishment helps"),
    ("filter_higher_punish_tokens", "filter_higher_punish", "token-level loss helps"),
    ("dapo", "filter_higher_punish_tokens", "dynamic sampling helps"),
    ("dapo", "naive", "the whole of DAPO beats naive GRPO"),
)
LEFT_OUT = (
    ("without_filter", "overlong filtering"),
    ("without_higher", "clip-higher"),
    ("without_punish", "the soft punishment"),
    ("without_tokens", "token-level loss"),
    ("filter_higher_punish_tokens", "dynamic sampling"),
)


def accuracy(
    slide: str, claim: str, figure: str, first: str, second: str, section: str
) -> Claim:
    """A claim on held-out accuracy at the end: the first arm is better."""
    names = (slide, claim, figure, ACCURACY, first, second, 1)
    return Claim(*names, margin=POINTS, section=section, last=2)


def dapo_claims() -> list[Claim]:
    """The slides on DAPO, in their order; the sections are those of notebook 08."""
    kl, clip = "Remove KL divergence", "Key Technique 1: Clip-Higher"
    dynamic, tokens = (
        "Key Technique 2: Dynamic Sampling",
        "Key Technique 3: Token-Level Policy Gradient Loss",
    )
    overlong, main = "Key Technique 4: Overlong Reward Shaping", "Main Results of DAPO"
    equal = "dynamic sampling needs no more samples for its accuracy"
    return [
        Claim(
            *(kl, "without a KL the policy leaves its reference", "§2.3"),
            *("kl", "kl_measured", "kl", 1, 0.01, "No KL"),
        ),
        accuracy(
            *(kl, "accuracy is higher without a KL", "§2.3", "kl_measured", "kl"),
            "No KL",
        ),
        accuracy(
            *(clip, "clip-higher raises accuracy", "Fig 2a"),
            *("clip_higher", "clip", "Clip-higher"),
        ),
        Claim(
            *(clip, "clip-higher keeps the entropy up", "Fig 2b"),
            *("entropy", "clip_higher", "clip", 1, 0.005, "Clip-higher"),
        ),
        accuracy(
            *(clip, "an upper bound beats none", "§3.1"),
            *("clip_higher", "clip_unbounded", "Clip-higher"),
        ),
        accuracy(
            *(dynamic, "dynamic sampling raises accuracy at equal updates", "Fig 6"),
            *("resample", "naive", "Dynamic sampling"),
        ),
        Claim(
            *(dynamic, equal, "Fig 6", ACCURACY, "resample", "naive", 1, POINTS),
            *("Dynamic sampling", 2, SAMPLES),
        ),
        Claim(
            *(tokens, "a token mean keeps responses shorter", "Fig 4b"),
            *("completions/mean_length", "tokens", "naive", -1, 2.0),
            "Token-level loss",
        ),
        Claim(
            *(tokens, "a token mean keeps the entropy lower", "Fig 4a"),
            *("response_entropy", "tokens", "naive", -1, 0.5, "Token-level loss"),
        ),
        Claim(
            *(tokens, "so does Eq 8 as printed, by the prompt", "Fig 4b"),
            *("completions/mean_length", "prompt", "naive", -1, 2.0),
            "Token-level loss",
        ),
        accuracy(
            *(tokens, "Eq 8 as printed raises accuracy", "Table 1"),
            *("prompt", "naive", "Token-level loss"),
        ),
        accuracy(
            *(overlong, "filtering helps where truncation binds", "Fig 5"),
            *("short_filter", "short", "Overlong reward shaping"),
        ),
        Claim(
            *(overlong, "the soft punishment leaves fewer truncated", "§3.4"),
            *("completions/clipped_ratio", "short_punish", "short", -1, 0.02),
            "Overlong reward shaping",
        ),
        accuracy(
            *(overlong, "the soft punishment helps where truncation binds", "§3.4"),
            *("short_punish", "short", "Overlong reward shaping"),
        ),
        *(
            accuracy(main, f"rung: {claim}", "Table 1", first, second, "The ladder")
            for first, second, claim in LADDER
        ),
        Claim(
            *(main, "rung: dynamic sampling helps at equal samples", "Table 1"),
            *(ACCURACY, "dapo", "filter_higher_punish_tokens", 1, POINTS),
            *("The ladder", 2, SAMPLES),
        ),
        *(
            accuracy(
                *(main, f"DAPO is worse without {name}", "Table 1"),
                *("dapo", arm, "The ladder"),
            )
            for arm, name in LEFT_OUT[:-1]
        ),
        Claim(
            *(main, "the whole of DAPO beats naive GRPO at equal samples", "Fig 1"),
            *(ACCURACY, "dapo", "naive", 1, POINTS, "The ladder", 2, SAMPLES),
        ),
    ]


def reward_model_claims() -> list[Claim]:
    """The last slide's first question: claims of the literature on the hidden gold."""
    slide, gold, right = (
        "RQ: Effective Reward Model for Open-Ended Data",
        "rewards/gold/mean",
        "rewards/only_right/mean",
    )
    models, joined = "Reward models", "The two joined"
    claims = (
        ("a rater's length bias costs gold", "–", "bt_fair", "bt_biased", models),
        ("a rater's mistakes cost gold", "–", "bt_fair", "bt_noisy", models),
        ("a KL guard keeps gold", "DeepSeekMath Eq 3", *_guard("bt_biased_kl"), models),
        ("so does the paper's β = 0.04", "§4.2", *_guard("bt_biased_weak_kl"), models),
        ("an ensemble keeps gold", "Coste 2023", *_guard("ensemble_biased"), models),
        ("so does a win rate", "2508.20751", *_guard("win_rate_biased"), models),
        (
            *("an ensemble guards against mistakes", "Coste 2023"),
            *("ensemble_noisy", "bt_noisy", models),
        ),
        (
            *("a win rate guards against mistakes", "2508.20751"),
            *("win_rate_noisy", "bt_noisy", models),
        ),
        ("a random reward helps", "2506.10947", "random", "constant", models),
        ("so does a true one", "–", "true", "constant", models),
        ("and a wrong one costs gold", "–", "constant", "wrong", models),
        ("a rubric beats a score", "2507.17746", *_guard("rubric_sum"), models),
        ("paying gold itself keeps gold", "–", *_guard("true"), models),
        (
            *("a rubric with style counted where right beats a score", "2507.17746"),
            *_guard("rubric_gdpo_conditioned"),
            joined,
        ),
        ("GDPO beats the sum", "GDPO Eq 4", "rubric_gdpo", "rubric_sum", joined),
        (
            *("GDPO with the rubric's weights beats the sum", "GDPO Eq 7"),
            *("rubric_gdpo_weighted", "rubric_sum", joined),
        ),
        (
            *("style counted where right beats style", "GDPO Eq 8"),
            *("rubric_gdpo_conditioned", "rubric_gdpo", joined),
        ),
        (
            *("a win rate counted where right keeps gold", "GDPO Eq 8"),
            *("right_and_win_rate", "win_rate_biased", joined),
        ),
    )
    rows = [
        Claim(slide, claim, figure, gold, first, second, 1, POINTS, section, LATE)
        for claim, figure, first, second, section in claims
    ]
    form = ("a reward for form alone makes answers right", "–", right)
    return [*rows, Claim(slide, *form, "form", "constant", 1, POINTS, models, LATE)]


def _guard(arm: str) -> tuple[str, str]:
    """An arm against the plain score of the biased rater's model."""
    return arm, "bt_biased"


EXPERIMENTS = (
    (DAPO, dapo_claims),
    (REWARD_MODELS, reward_model_claims),
    (DAPO.with_name("gdpo"), gdpo_claims),
)
NOT_TESTABLE = (  # slide, claim, figure, why no run of this repository can say
    (
        *("Main Results of DAPO", "50 points on AIME 2024", "Table 1"),
        "needs Qwen2.5-32B and its 17 thousand problems",
    ),
    (
        *("Main Results of DAPO", "half of the steps of R1-Zero-Qwen-32B", "Fig 1"),
        "nobody has published what those 10,000 steps sampled",
    ),
    (
        *("Remove KL divergence", "long reasoning has to leave its base", "§2.3"),
        "a response of the lab has 128 tokens at most",
    ),
    (
        *("Key Technique 2: Dynamic Sampling", "more samples take no longer", "§3.2"),
        "on a cluster the longest response sets the time; here every token does",
    ),
)


def fall_of_the_entropy() -> Iterator[dict[str, Any]]:
    """Within one arm, so no difference of two: the first step less the last ten."""
    runs = load_arms(DAPO, "clip").dropna(subset=["entropy"])
    fall = runs.groupby("seed")["entropy"].agg(lambda v: v.iloc[0] - v.tail(10).mean())
    found = mean_interval(fall)
    claim = Claim(
        *("Key Technique 1: Clip-Higher", "without clip-higher the entropy falls"),
        *("Fig 2b", "entropy", "clip, first step", "clip", 1, 0.005, "Clip-higher"),
    )
    command = command_of(DAPO / "clip", set(fall.index))
    yield {**claim_row(claim, found), "command": command}


def not_testable() -> Iterator[dict[str, Any]]:
    """Rows without an interval, each with its reason."""
    for slide, claim, figure, why in NOT_TESTABLE:
        row = {"slide": slide, "claim": claim, "figure": figure, "why": why}
        yield {**row, "verdict": "not testable here"}


def command_of(arm: Path, seeds: Iterable[int]) -> str:
    """What trains these seeds of an arm: the command of its first, for all of them."""
    words = json.loads((arm / f"seed{min(seeds)}" / "meta.json").read_text())["command"]
    one = words.removesuffix(str(min(seeds)))
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1].append(seed)
        else:
            ranges.append([seed])
    return one + ",".join(f"{r[0]}-{r[-1]}" if r[1:] else f"{r[0]}" for r in ranges)


def claims_table() -> pd.DataFrame:
    """One row a claim whose arms are recorded, with two seeds in common or more."""
    rows = []
    for folder, claims in EXPERIMENTS:
        for claim in claims():
            arms = (folder / claim.first, folder / claim.second)
            one, other = ({run.name for run in arm.glob("seed*")} for arm in arms)
            if len(one & other) < 2:
                continue
            runs = load_arms(folder, claim.first, claim.second)
            rewards = runs.filter(regex="^rewards/.*/mean$")
            runs = runs.assign(**{"rewards/least": rewards.min(axis=1)})
            command = "; ".join(command_of(arm, set(runs["seed"])) for arm in arms)
            rows.append({**judge(claim, runs), "command": command})
    rows += fall_of_the_entropy()
    return pd.DataFrame([*rows, *cells_of_the_paper(), *not_testable()])


def main() -> None:
    """Write the table."""
    table = claims_table()
    if "low" not in table:
        raise SystemExit("no arm is recorded: see experiments/")
    table.to_csv(CSV, index=False)
    columns = ["claim", "figure", "value", "low", "high", "verdict"]
    print(table[columns].to_string(index=False))
    print(f"{table['low'].count()} intervals were looked at")


if __name__ == "__main__":
    main()
