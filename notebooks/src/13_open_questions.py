# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · Two open questions
#
# question → rollouts → **rewards** → **advantages** → objective → update → record → figure
#
# The deck ends with two questions and no answers: an effective reward model for open-ended data, and an effective automatic
# weighting of rewards. Here methods from the literature compete on tasks that are small enough to repeat, and you can enter your own.
#
# You will be able to
#
# * say what a weight does before and after the normalization, and which rules move it during training;
# * read an experiment with two rewards as a trade, not as one number;
# * enter a rule of twenty lines and get its row in the same table.
#
# **Time:** half a minute on one core; the runs are recorded.
# **Papers:** GDPO 2601.05242; SA-MRPO and Focal Reward 2605.26579; SAW 2606.07705; DVAO 2605.25604; Constrained GRPO 2602.05863.
# We read notes and abstracts of the last four, not all of their formulas; where we infer, it says so.
# **Builds on** [09 GDPO](09_gdpo.ipynb).

# %%
import inspect
import sys

import matplotlib.pyplot as plt
import pandas as pd
import torch

import rlnotes
from rlnotes.analysis.figures import use_style
from rlnotes.training.weighting import Weighting

sys.path.append(str(rlnotes.project_folder() / "experiments"))
import gdpo as lab

use_style()
pd.set_option("display.width", 160)
print(f"torch {torch.__version__}")

# %% [markdown]
# ## Weights
#
# A rule may look at how far a reward is (saturation), how much it varies, or whether a constraint is met. All of these give $w_k$ for GDPO's
# $\sum_k w_k A_k$ (Eq 7), so they are a weight on the *normalized advantage*.
#
# | `reward_weighting` | weight | from |
# | --- | --- | --- |
# | `static` | $w_k$ | GDPO; without Eq 6 MO-GRPO, 2509.22047 |
# | `saturation` | $w_k (1 - s_k)^\gamma$, $s = (\text{mean} - \min)/(\max - \min)$ | SA-MRPO, Focal Reward |
# | `variation` | $K \cdot CV_k / \sum_j CV_j$, $CV = \text{std}/(\text{mean} - \min)$ | SAW |
# | `sigma` | $w_k\,\text{std}_k / \sum_j w_j\,\text{std}_j$ within the group | DVAO, an inference |
# | `lagrangian` | $\lambda_k \leftarrow \max(0, \lambda_k + \eta(t - \text{mean}_k))$ | Constrained GRPO |
# | `file.py:rule` | yours | |
#
# We ask each about the same batch of two prompts: the hard reward is earned by 2 of 8, the easy one by 7 of 8. **Predict** which
# rule gives the easy reward the least for a point of the hard one.

# %% tags=["nbval-check-output"]
batch = torch.tensor(
    [[1, 1], [0, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 1], [0, 1]]
).float()


def weights_of(rule, rewards=batch, **fields):
    """Mean weight of each reward under a rule of the config."""
    arm = {"reward_weighting": rule, "num_generations": 4, **fields}
    return Weighting(lab.config_of(arm)).weigh(rewards).expand(rewards.shape).mean(0)


RULES = ["static", "saturation", "variation", "sigma", "lagrangian"]
table = pd.DataFrame(
    {r: weights_of(r).tolist() for r in RULES}, index=["hard", "easy"]
).T
print(table.assign(ratio=table["easy"] / table["hard"]).round(2).to_string())

# %% [markdown]
# <details><summary>Answer</summary>
#
# `variation`: a reward that nearly all earn has a small std and a large mean. `sigma` looks at one group at a time: where the easy reward varies as much as
# the hard one it gets half, where it is constant nothing: a quarter in the mean. `lagrangian` has seen one batch and hardly moved; it is the only rule with a memory.
#
# </details>
#
# **Unit and zero point.** Pay the easy reward ten times as much, or from −1: GDPO, and every rule whose statistics are ratios of differences, do not notice.
# `sigma` and a constraint do (the target is in the reward's own unit), and so does GRPO's sum.

# %% tags=["nbval-check-output"]
scaled = batch * torch.tensor([1.0, 10.0]) - torch.tensor([0.0, 1.0])
for rule in RULES:
    change = (weights_of(rule, scaled) - weights_of(rule)).abs().max()
    print(f"{rule:10} weights change by {change:.2f}")

# %% [markdown]
# ### A competition of two seconds a run
#
# The smallest setting in which weights matter: sums modulo 10, a tiny policy, and three rewards. The right digit is hard, brackets around it and brevity are easy. `<7>` and
# the end are four tokens. In **toy** the limit is four, and all three can be earned. In **conflict** it is three: who writes brackets is too long, so of two rewards one can be had, or each half of
# the time. Five seeds an arm, 48 steps, `python experiments/gdpo.py arms --seeds 0-4`; no arm was tuned, and the arms of a setting differ in their weights alone.
#
# **Predict** what plain GDPO does with two rewards that exclude each other, and which rule keeps both.

# %%
runs = lab.recorded("conflict_*")
KEYS = [f"rewards/{k}_reward/mean" for k in ("length", "bracket_format", "accuracy")]
ends = runs[runs["step"] > 38].groupby(["algorithm", "seed"])[KEYS].mean()[KEYS[1]]
order = ends.groupby("algorithm").std().sort_values().index
figure, panels = plt.subplots(1, 2, figsize=(11, 3.6))
for place, arm in enumerate(order):
    panels[0].plot(ends[arm], [place] * len(ends[arm]), "o", color="#0072B2", alpha=0.6)
panels[0].set_yticks(range(len(order)), order.str.removeprefix("conflict_"))
panels[0].set(xlabel="brackets, last ten steps, a dot a run", xlim=(-0.05, 1.05))
for arm, color in (("conflict_gdpo", "#D55E00"), ("conflict_saturation", "#009E73")):
    for _, one in runs[runs["algorithm"] == arm].groupby("seed"):
        (line,) = panels[1].plot(one[KEYS[1]].rolling(5).mean().to_numpy(), color=color)
    line.set_label(arm.removeprefix("conflict_"))
panels[1].set(xlabel="step (mean of 5), a line a run", ylabel="brackets")
panels[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# Brevity is one less this, in nearly all runs. The arms are in the order of their spread over the seeds. The numbers, best hypervolume first (the volume that a run's three five-step means dominate);
# `least` is the reward that ends lowest, `dip` how far accuracy falls below its start, `failed` the share of runs that end below it.

# %%
short = {
    "answer_format": "format",
    "bracket_format": "brackets",
    "hypervolume": "volume",
}
short |= {"held-out accuracy": "held out"}
for setting in ("conflict", "toy"):
    found = lab.table(lab.recorded(f"{setting}_*")).drop(columns="longest")
    found = found.rename(columns=short).sort_values("volume", ascending=False)
    found.columns = found.columns.str.replace("bracket_format", "brackets")
    print(found.round(2).to_string())

# %% [markdown]
# Against plain GDPO (the first four rows: GDPO against GRPO), seed by seed: difference of the last ten steps, 95 % interval, and the verdict that follows from it for the claim
# "better than GDPO", as in [`data/claims.csv`](../data/claims.csv).

# %%
claims = pd.read_csv(rlnotes.project_folder() / "data" / "claims.csv")
weights = claims[claims["section"] == "Weights"]
columns = ["claim", "figure", "value", "low", "high", "seeds", "verdict"]
print(weights[columns].to_string(index=False))
print(f"{len(weights)} intervals; by chance one in twenty would exclude zero")

# %% [markdown]
# **What it says.** Where all rewards can be earned, no rule is shown to beat plain GDPO: every interval of the toy holds zero. Where two exclude each other, GDPO and
# GRPO end in a corner, and chance picks it: if $r_2 = 1 - r_1$ the two z-scores cancel ([09](09_gdpo.ipynb)), so that nothing pulls a run back once it leans to one side. The two rules that
# give the *rarer* reward more weight, saturation and variation, pull it back and keep both, with an interval above zero. The coefficient of variation
# pays in accuracy, because a reward that is nearly earned gets next to no weight; for $(1 - s)^\gamma$ with $\gamma = 0.5$ such a price is not shown. The multiplier pays most: its target, nine tenths of both, cannot be met, so
# its weights grow without bound and drown the first reward. A condition settles the conflict in favor of the reward that is not conditioned, and our own rule decides nothing here: it does not win.
#
# **Recommendation.** Start with GDPO and weights of 1. If a reward is to count only for right answers, say so by a condition, not by a weight. If rewards may exclude each other and each should survive, use
# `reward_weighting: saturation`. Use a multiplier only for a target that can be met, and watch accuracy. The evidence is one toy, five seeds an arm; the same arms on the search lab are defined in `experiments/gdpo.py`.

# %% [markdown]
# ## Reward models
#
# ## The two joined
#
# A rubric is a vector of rewards, so what is above about weights is about rubrics, too.
#
# ## Enter your own
#
# A rule is a function of a batch's rewards (N, K), groups one after another, that returns K weights or N × K. This one switches the
# other rewards off where nobody is right, and is an arm like the rest:

# %% tags=["nbval-check-output"]
import where_right

print(inspect.getsource(where_right.rule))
print(where_right.rule(batch, 4)[[0, 4]])

# %% [markdown]
# Write yours into a file, and one command trains it on the setting of all others, seed by seed, and prints the table with your row in it (some
# two minutes a seed on a quiet core):
#
# ```sh
# python experiments/gdpo.py own --rule my_rule.py:rule --seeds 0-4
# ```
#
# The run keeps the text of your rule beside its metrics; an edited rule is another row. A rule that fails, or returns another shape, is refused before
# anything is written. In a training of your own it is one field, in both engines: `rlnotes train --config configs/search/gdpo.yaml reward_weighting=my_rule.py:rule`.
