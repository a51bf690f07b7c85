"""The claims on GDPO and on weights that `scripts/claims.py` puts to the records."""

from collections.abc import Iterator
from typing import Any

from rlnotes.analysis.claims import Claim
from rlnotes.analysis.papers import paper_table

METRICS = {  # and how small a difference would not matter
    "right": ("rewards/accuracy_reward/mean", 0.05),
    "short": ("rewards/length_reward/mean", 0.05),
    "format": ("rewards/answer_format_reward/mean", 0.05),
    "digits": ("rewards/integer_reward/mean", 0.05),
    "tags": ("rewards/format_reward/mean", 0.05),
    "least": ("rewards/least", 0.05),  # the reward that is earned least, step by step
    "held out": ("eval/sampled_accuracy", 0.05),
    "longest": ("completions/max_length", 2.0),
}
FIGURES, GDPO = "GDPO, Figures 9, 10", "GDPO"
LAB, WEIGHTS = "In the search lab", "Weights"
RULES = (
    ("(1 − s)^γ", "SA-MRPO", "saturation"),
    ("variation", "SAW, 2606.07705", "variation"),
    ("σ in the group", "DVAO, 2605.25604", "sigma"),
    ("a multiplier", "2602.05863", "lagrangian"),
    ("where right", "ours", "where_right"),
    ("the condition", "Eq 8", "gdpo_conditioned"),
)
SETTINGS = {
    "length": ("right", "short"),
    "short": ("right", "short"),
    "toy": ("right", "least"),
    "conflict": ("right", "least"),
}
# claim | the paper's place | metric, - where the first should be lower | the two arms
CLAIMS = {
    (FIGURES, LAB): """
GDPO is more often right than GRPO | Fig 9a, 10a | right | length_gdpo | length_grpo
the same on held-out questions | Table 3 | held out | length_gdpo | length_grpo
GDPO keeps the length limit better | Fig 9b, 10b | short | length_gdpo | length_grpo
GDPO's longest response is shorter | Fig 9c, 10c | -longest | length_gdpo | length_grpo
""",
    (GDPO, LAB): """
the std makes GRPO more often right | Fig 4 | right | length_grpo | length_grpo_no_std
the std makes GRPO shorter | Fig 4 | short | length_grpo | length_grpo_no_std
Eq 6 makes it more often right | Fig 8 | right | length_gdpo | length_mo_grpo
Eq 6 makes it shorter | Fig 8 | short | length_gdpo | length_mo_grpo
conditioned: more often right | Table 4 | right | length_gdpo_conditioned | length_gdpo
conditioned: longer | Table 4 | -short | length_gdpo_conditioned | length_gdpo
GRPO, conditioned: more right | Table 4 | right | length_grpo_conditioned | length_grpo
both conditioned | Table 4 | right | length_gdpo_conditioned | length_grpo_conditioned
a weight of .25 relaxes the limit | Fig 6 | -short | length_gdpo_quarter | length_gdpo
a weight of .5 relaxes the limit | Fig 6 | -short | length_gdpo_half | length_gdpo
a weight of .75 relaxes the limit | Fig 6 | -short | length_gdpo_w75 | length_gdpo
under GRPO, .5 relaxes the limit | Fig 6 | -short | length_grpo_half | length_grpo
under GRPO, .75 relaxes the limit | Fig 6 | -short | length_grpo_w75 | length_grpo
under GRPO, .25 relaxes the limit | Fig 6 | -short | length_grpo_quarter | length_grpo
three rewards: more often right | Table 5 | right | three_gdpo | three_grpo
three rewards: shorter | Table 5 | short | three_gdpo | three_grpo
three rewards: better format | Table 5 | format | three_gdpo | three_grpo
with a format: more often right | Fig 4 | right | format_gdpo | format_grpo
with a format: better format | Fig 4 | format | format_gdpo | format_grpo
in conflict: more often right | (none) | right | short_gdpo | short_grpo
in conflict: shorter | (none) | short | short_gdpo | short_grpo
""",
    (GDPO, "On SmolLM2"): """
SmolLM2: more often right | the demo | right | smollm2_gdpo | smollm2_grpo
SmolLM2: more often an integer | the demo | digits | smollm2_gdpo | smollm2_grpo
SmolLM2: better format | the demo | tags | smollm2_gdpo | smollm2_grpo
""",
    (GDPO, WEIGHTS): """
toy: more often right | Table 5 | right | toy_gdpo | toy_grpo
toy, conflict: more often right | Table 5 | right | conflict_gdpo | conflict_grpo
toy, conflict: keeps both | Table 5 | least | conflict_gdpo | conflict_grpo
""",
    ("Research questions", WEIGHTS): "\n".join(
        f"{at}, {name}: {what} | {paper} | {what} | {at}_{rule} | {at}_gdpo"
        for at, metrics in SETTINGS.items()
        for name, paper, rule in RULES
        for what in metrics
        if at == "conflict" or rule != "gdpo_conditioned"
    ),
}


def gdpo_claims() -> list[Claim]:
    """A claim a line of `CLAIMS`: the first arm less the second, at the end."""
    claims = []
    for (slide, section), text in CLAIMS.items():
        for line in text.strip().splitlines():
            claim, figure, metric, *arms = (cell.strip() for cell in line.split("|"))
            key, margin = METRICS[metric.removeprefix("-")]
            names = (slide, claim, figure, key, arms[0], arms[1])
            sign, last = -1 if metric[0] == "-" else 1, 1 if "eval/" in key else 10
            claims.append(Claim(*names, sign, margin, section, last))
    return claims


def cells_of_the_paper() -> Iterator[dict[str, Any]]:
    """Where GRPO is ahead in the paper's own Table 3; without a spread, undecided."""
    cells = paper_table("gdpo_table3").query("metric == 'accuracy'")
    index = ["group", "benchmark"]
    wide = cells.pivot_table(index=index, columns="model", values="value")
    for (policy, benchmark), row in wide[wide["GDPO"] < wide["GRPO"]].iterrows():
        yield {
            "slide": FIGURES,
            "claim": f"GDPO beats GRPO on {benchmark} ({policy})",
            "figure": "Table 3",
            "metric": f"accuracy in percent, {benchmark}",
            "first": "GDPO",
            "second": "GRPO",
            "sign": 1,
            "value": round(row["GDPO"] - row["GRPO"], 1),
            "verdict": "undecided",
            "section": "What the paper measured",
            "seeds": 1,
            "command": "the paper",
        }
