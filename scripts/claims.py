"""`data/claims.csv`: each claim of the slides against the records, computed.

python scripts/claims.py    # writes the table and prints it

One window for all: the last ten steps of a rollout metric, the last two evaluations of
an `eval/` one. Differences are paired by seed. A claim gets one verdict; how many
intervals were looked at is the number of rows.
"""

from pathlib import Path

import pandas as pd

from rlnotes.analysis.claims import Claim, judge
from rlnotes.records.reading import load_arms

ROOT = Path(__file__).parent.parent
DAPO = ROOT / "data" / "experiments" / "dapo"
CSV = ROOT / "data" / "claims.csv"
ACCURACY = "eval/sampled_accuracy"
SAMPLES = 40 * 256  # completions that an arm without dynamic sampling draws
POINTS = 0.05  # of accuracy: less would not matter here
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
        accuracy(kl, "a KL is not needed", "§2.3", "kl_measured", "kl", "No KL"),
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


def claims_table() -> pd.DataFrame:
    """One row a claim whose arms are recorded."""
    rows = []
    for claim in dapo_claims():
        if not all((DAPO / arm).is_dir() for arm in (claim.first, claim.second)):
            continue
        runs = load_arms(DAPO, claim.first, claim.second)
        command = "python experiments/dapo.py ladder switches --seeds 0-4"
        rows.append({**judge(claim, runs), "command": command})
    return pd.DataFrame(rows)


def main() -> None:
    """Write the table."""
    table = claims_table()
    if table.empty:
        raise SystemExit("no arm is recorded: see experiments/dapo.py")
    table.to_csv(CSV, index=False)
    columns = ["claim", "figure", "value", "low", "high", "verdict"]
    print(table[columns].to_string(index=False))
    print(f"{len(table)} intervals were looked at")


if __name__ == "__main__":
    main()
