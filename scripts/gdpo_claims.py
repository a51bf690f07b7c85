"""The claims on GDPO and on weights that `scripts/claims.py` puts to the records."""

from collections.abc import Iterator
from typing import Any

from rlnotes.analysis.claims import Claim
from rlnotes.analysis.papers import paper_table

METRICS = {  # and how small a difference would not matter
    "right": ("rewards/accuracy_reward/mean", 0.05),
    "short": ("rewards/length_reward/mean", 0.05),
    "format": ("rewards/answer_format_reward/mean", 0.05),
    "brackets": ("rewards/bracket_format_reward/mean", 0.05),
    "held out": ("eval/sampled_accuracy", 0.05),
    "longest": ("completions/max_length", 2.0),
}
FIGURES, GDPO = "GDPO, Figures 9, 10", "GDPO"
LAB, WEIGHTS = "In the search lab", "Weights"
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
under GRPO, .25 relaxes the limit | Fig 6 | -short | length_grpo_quarter | length_grpo
three rewards: more often right | Table 5 | right | three_gdpo | three_grpo
three rewards: shorter | Table 5 | short | three_gdpo | three_grpo
three rewards: better format | Table 5 | format | three_gdpo | three_grpo
with a format: more often right | Fig 4 | right | format_gdpo | format_grpo
with a format: better format | Fig 4 | format | format_gdpo | format_grpo
in conflict: more often right | (none) | right | short_gdpo | short_grpo
in conflict: shorter | (none) | short | short_gdpo | short_grpo
""",
    (GDPO, WEIGHTS): """
toy: more often right | Table 5 | right | toy_gdpo | toy_grpo
toy, conflict: more often right | Table 5 | right | conflict_gdpo | conflict_grpo
toy, conflict: short | Table 5 | short | conflict_gdpo | conflict_grpo
toy, conflict: brackets too | Table 5 | brackets | conflict_gdpo | conflict_grpo
""",
    ("Research questions", WEIGHTS): """
(1 − s)^γ: more often right | SA-MRPO | right | length_saturation | length_gdpo
(1 − s)^γ: shorter | SA-MRPO | short | length_saturation | length_gdpo
variation: more often right | SAW, 2606.07705 | right | length_variation | length_gdpo
variation: shorter | SAW, 2606.07705 | short | length_variation | length_gdpo
σ in the group: more often right | DVAO, 2605.25604 | right | length_sigma | length_gdpo
σ in the group: shorter | DVAO, 2605.25604 | short | length_sigma | length_gdpo
multiplier: more often right | 2602.05863 | right | length_lagrangian | length_gdpo
multiplier: shorter | 2602.05863 | short | length_lagrangian | length_gdpo
where right: more often right | ours | right | length_where_right | length_gdpo
where right: shorter | ours | short | length_where_right | length_gdpo
in conflict, (1 − s)^γ: right | SA-MRPO | right | short_saturation | short_gdpo
in conflict, multiplier: right | 2602.05863 | right | short_lagrangian | short_gdpo
in conflict, where right: right | ours | right | short_where_right | short_gdpo
toy, (1 − s)^γ: right | SA-MRPO | right | toy_saturation | toy_gdpo
conflict, (1 − s)^γ: right | SA-MRPO | right | conflict_saturation | conflict_gdpo
conflict, (1 − s)^γ: brackets | SA-MRPO | brackets | conflict_saturation | conflict_gdpo
toy, variation: right | SAW, 2606.07705 | right | toy_variation | toy_gdpo
conflict, variation: right | SAW, 2606.07705 | right | conflict_variation | conflict_gdpo
conflict, variation: brackets | SAW, 2606.07705 | brackets | conflict_variation | conflict_gdpo
toy, σ in the group: right | DVAO, 2605.25604 | right | toy_sigma | toy_gdpo
conflict, σ in the group: right | DVAO, 2605.25604 | right | conflict_sigma | conflict_gdpo
conflict, σ in the group: brackets | DVAO, 2605.25604 | brackets | conflict_sigma | conflict_gdpo
toy, multiplier: right | 2602.05863 | right | toy_lagrangian | toy_gdpo
conflict, multiplier: right | 2602.05863 | right | conflict_lagrangian | conflict_gdpo
conflict, multiplier: brackets | 2602.05863 | brackets | conflict_lagrangian | conflict_gdpo
toy, where right: right | ours | right | toy_where_right | toy_gdpo
conflict, where right: right | ours | right | conflict_where_right | conflict_gdpo
conflict, where right: brackets | ours | brackets | conflict_where_right | conflict_gdpo
conflict, condition: brackets | Eq 8 | brackets | conflict_gdpo_conditioned | conflict_gdpo
""",
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
            "command": "the paper",
        }
