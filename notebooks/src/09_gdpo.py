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
# # 09 · GDPO: several rewards
#
# question → rollouts → rewards → **advantages** → objective → update → record → figure
#
# A completion can be right, short and well formed, and each of the three pays. GRPO adds
# the rewards up and normalizes the sum; GDPO normalizes each one and adds up the results.
#
# You will be able to
#
# * say which differences between completions the sum destroys, and count them;
# * write GDPO's advantage in a few lines and name the places where code bases differ;
# * choose between a weight on a reward, a weight on an advantage, and a condition;
# * read runs with two rewards in conflict: which is earned first, and what the hard one pays.
#
# **Time:** half a minute on one core; the runs of the second half are recorded.
# **Paper:** GDPO, Liu et al., 2026, arXiv 2601.05242.
# **Builds on** [03 GRPO](03_grpo.ipynb) (the group as baseline) and
# [08 DAPO](08_dapo.ipynb) (a second reward, the overlong punishment).
# **Next:** [11 Train](11_train.ipynb); weights that move during training are in
# [13 Open questions](13_open_questions.ipynb).

# %%
import itertools
import sys
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from ipywidgets import FloatSlider, interact

import rlnotes
from rlnotes import conditioned_rewards, decoupled_advantages, group_relative_advantages
from rlnotes.analysis.figures import plot_bands, plot_group, use_style
from rlnotes.equations.conventions import CONVENTIONS
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.worked_group import worked_group

use_style()
torch.manual_seed(0)
np.set_printoptions(precision=3, suppress=True)
print(f"torch {torch.__version__}, numpy {np.__version__}")

# %% [markdown]
# ## What the sum forgets
#
# A prompt $i$ has completions $j = 1 \dots G$, each with rewards $r_1 \dots r_n$. GRPO
# with several rewards is (GDPO paper, Eq 1 and 2)
#
# $$r_\text{sum}^{(i,j)} = \sum_k r_k^{(i,j)}, \qquad
# A_\text{sum}^{(i,j)} = \frac{r_\text{sum}^{(i,j)} - \operatorname{mean}_{j'} r_\text{sum}^{(i,j')}}
# {\operatorname{std}_{j'} r_\text{sum}^{(i,j')}}.$$
#
# Take two completions and two rewards of 0 or 1. To beat the other on *one* reward, and to beat it
# on *both*, should not teach the same lesson.
#
# **Predict:** how many different pairs of advantages will GRPO have for these four pairs? And GDPO, which
# takes the z-score *before* the sum?


# %% tags=["nbval-check-output"]
def exact(rows):
    """Rewards in float64, so that printed values are not rounding."""
    return torch.tensor(rows, dtype=torch.float64)


def before_eq6(rewards, num_generations):
    """GDPO's sum of z-scores, without batch normalization."""
    return decoupled_advantages(rewards, num_generations, batch_stats="none")


pairs = {"equal": [[1, 0], [1, 0]], "one better": [[0, 0], [1, 0]]}
pairs |= {"one better, from 1": [[0, 1], [1, 1]], "both better": [[0, 0], [1, 1]]}
split_off = exact([[1, 0], [1, 0], [0, 0], [0, 1]])  # for later
for name, pair in pairs.items():
    total = exact(pair).sum(1)
    grpo = group_relative_advantages(total, 2).numpy()
    plain = group_relative_advantages(total, 2, scale_rewards="none").numpy()
    gdpo = before_eq6(exact(pair), 2).numpy()
    print(f"{name:18} {total.int().tolist()} GRPO {grpo} no std {plain} GDPO {gdpo}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# GRPO has **two**: all equal, or ±0.707 (so the paper's std is the unbiased one). Without the std, as in Dr. GRPO, and
# with GDPO there are **three**: winning on both counts is twice winning on one.
#
# </details>
#
# That is not the whole of GDPO. Eq 6 below normalizes over the batch. **Predict:** what is left of the
# difference if the batch is that pair alone? And if another prompt is in it?

# %% tags=["nbval-check-output"]
for name in ("one better", "both better"):
    pair = exact(pairs[name])
    alone = decoupled_advantages(pair, 2, batch_eps=0.0)
    other = exact(pairs["one better"])
    joined = decoupled_advantages(torch.cat([pair, other]), 2, batch_eps=0.0)
    print(f"{name:12} alone {alone.numpy()}  beside another prompt {joined.numpy()}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Alone, nothing is left: dividing by the std of the batch makes every lone pair ±0.707, as GRPO does. GDPO tells
# *prompts* apart: a pair that differs in both rewards pushes twice as hard as one in the same batch that differs in one.
#
# </details>
#
# The two orders as a picture. Above, the rewards of four completions are stacked and then normalized; below, each is
# normalized on its own and the bars are added up. The rare point (orange) grows when it is divided by its own, smaller, std.

# %% tags=["hide-input"]
names = ["1, 0", "1, 0 again", "0, 0", "0, 1"]
z = torch.stack([group_relative_advantages(c, 4) for c in split_off.T], 1)
figure, panels = plt.subplots(2, 2, figsize=(8, 4), sharex=True)
for k, color in enumerate(("#0072B2", "#E69F00")):
    bottom = k * split_off[:, 0]
    panels[0, 0].bar(names, split_off[:, k], bottom=bottom, color=color)
    place = np.arange(4) + 0.4 * k - 0.2
    panels[1, 0].bar(place, z[:, k], 0.38, color=color, label=f"reward {k + 1}")
panels[0, 1].bar(names, group_relative_advantages(split_off.sum(1), 4), color="#009E73")
panels[1, 1].bar(names, before_eq6(split_off, 4), color="#009E73")
titles = ("sum …", "… then normalize: GRPO", "normalize …", "… then sum: GDPO")
for axes, title in zip(panels.flat, titles, strict=True):
    axes.axhline(0, color="black", lw=0.8)
    axes.set_title(title)
panels[1, 0].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Equal totals that are not equal
#
# Can GDPO tell completions with the *same* total apart? In a whole group of equal totals,
# not with two rewards: there $r_2 = c - r_1$ with $c$ the constant sum, and the two z-scores cancel, as in the second row below.
# With three rewards it can: in the first row each completion earns one point, but the
# first reward is earned by two of four, the others by one, and a rare point is worth more.
# The third row is the group of the picture: three totals are equal, and GDPO pays the rarer point more. Whether it *should* no
# formula answers: rare may mean hard, and it may mean unimportant.

# %% tags=["nbval-check-output"]
three = exact([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
two = exact([[1, 0], [1, 0], [0, 1], [0, 1]])
for rewards in (three, two, split_off):
    print("GRPO", group_relative_advantages(rewards.sum(1), 4).numpy(), end="  ")
    print("GDPO", before_eq6(rewards, 4).numpy() + 0.0)

# %% [markdown]
# ## The formula
#
# $$A_k^{(i,j)} = \frac{r_k^{(i,j)} - \operatorname{mean}_{j'} r_k^{(i,j')}}
# {\operatorname{std}_{j'} r_k^{(i,j')}} \;(4), \quad
# A_\text{sum}^{(i,j)} = \sum_k w_k A_k^{(i,j)} \;(5,\, 7), \quad
# \hat A^{(i,j)} = \frac{A_\text{sum}^{(i,j)} - \operatorname{mean}_{i',j'} A_\text{sum}}
# {\operatorname{std}_{i',j'} A_\text{sum} + \varepsilon} \;(6)$$
#
# GDPO Eq 4 to 7. Eq 5 has $w_k = 1$. Eq 6 runs over all completions of *all* prompts in the
# batch, so that the size of an advantage does not grow with the number of rewards.
#
# A reward that is constant within the group adds nothing. GDPO does not care in which unit a reward is paid: in cents instead
# of euros, shifted by a constant, it gives the same advantages, and GRPO does not. The objective (Eq 3) is PPO's clipped
# surrogate with the new Â.


# %%
def gdpo_advantages(rewards, num_generations, *, weights=None, batch_eps=1e-4):
    """GDPO Eq 4–7 for rewards (N, K), G consecutive rows a prompt."""
    groups = rewards.view(-1, num_generations, rewards.shape[1])
    centered = groups - groups.mean(1, keepdim=True)
    std = groups.std(1, keepdim=True)
    z = centered / std.masked_fill(std == 0, 1.0)  # a constant reward teaches nothing
    weights = torch.ones(rewards.shape[1]) if weights is None else torch.tensor(weights)
    total = (z * weights).sum(2).flatten()
    return (total - total.mean()) / (total.std() + batch_eps)


# %% tags=["hide-input"]
rewards = torch.randint(0, 3, (8 * 6, 3)).float()
for weights in (None, [1.0, 0.5, 0.25]):
    ours = gdpo_advantages(rewards, 8, weights=weights)
    theirs = decoupled_advantages(rewards, 8, reward_weights=weights)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
expected = decoupled_advantages(rewards, 8)
constant = torch.cat([rewards, torch.full((48, 1), 7.0)], 1)
torch.testing.assert_close(decoupled_advantages(constant, 8), expected)
assert (decoupled_advantages(torch.ones(48, 3), 8) == 0).all()
cents = rewards * torch.tensor([1.0, 100.0, 1.0]) + 3.0
gdpo_cents = decoupled_advantages(cents, 8)
torch.testing.assert_close(gdpo_cents, expected, atol=1e-5, rtol=1e-4)
change = [group_relative_advantages(r.sum(1), 8) for r in (cents, rewards)]
print(f"largest change under GRPO: {(change[0] - change[1]).abs().max():.2f}")

# %% [markdown]
# ## On the slide
#
# The deck's GDPO slide needs four remarks (rows 26 to 28 and 4 of the [errata](../docs/errata.md)):
#
# * **26.** It writes $r_\text{sum}^{(i,j)} = r_1^{(i,j)} + \dots + r_n^{(i,j)}$ and, below,
#   $r_\text{sum} = w_1 r_1 + \dots + w_n r_n$ under the same name: the second *replaces* the
#   first, it does not follow from it. The arrow after GDPO's sum is Eq 7, likewise a
#   replacement. $D_\text{Batch}$, not defined there, is the set of prompts of the batch.
# * **27.** $(i,j)$ is (prompt, completion) here. On the DAPO slides $i$ is the completion
#   and $t$ the token. There is one advantage per completion; all its tokens share it.
# * **28.** The motivation is missing: the collapse above, the counts below, the baseline
#   without std, the conditioned reward (Eq 8), the tool and coding results, all tables, and
#   the ablation in which some runs fail without batch normalization.
# * **4.** There is an ε in the batch normalization only. In the per-reward fractions a
#   constant reward is 0/0; in code it must be 0.
#
# ## A condition
#
# Our four completions of "What is 7 * 8?" are right, wrong, right, wrong and 3, 5, 7 and 12 tokens long. We also pay one point for at most
# five tokens. The short wrong answer and the long right one now have the same total, and decoupling changes nothing, because both rewards have the same std.
#
# A wrong answer does not become better by being short. The paper's answer is not a weight but a condition (Eq 8): pay
# reward $k$ only where reward $l$ reaches a threshold $t$,
#
# $$r_k \leftarrow r_k \text{ if } r_l \ge t \text{ else } 0 .$$
#
# It changes the rewards, so it comes before any normalization.

# %% tags=["nbval-check-output"]
group = worked_group()
lengths = group.completion_mask.sum(1)
rewards = torch.stack([group.rewards, (lengths <= 5).float()], 1)
conditioned = conditioned_rewards(rewards, conditioned=1, on=0, threshold=1.0)
paid = torch.where(rewards[:, 0] >= 1.0, rewards[:, 1], 0.0)
assert torch.equal(conditioned, torch.stack([rewards[:, 0], paid], 1))
print("right         ", rewards[:, 0].numpy())
print("short         ", rewards[:, 1].numpy())
print("short if right", conditioned[:, 1].numpy())
always = conditioned_rewards(rewards, conditioned=1, on=0, threshold=0.0)
never = conditioned_rewards(rewards, conditioned=1, on=0, threshold=2.0)
assert torch.equal(always, rewards) and (never[:, 1] == 0).all()

# %% [markdown]
# The tie is gone: the short wrong answer falls to the level of the long wrong one, and the right ones keep their order. GRPO profits
# from the condition as much as GDPO does. It is a property of the reward, not of the normalization.

# %% tags=["hide-input"]
bars = {}
for suffix, values in (("", rewards), (", conditioned", conditioned)):
    bars["GRPO" + suffix] = group_relative_advantages(values.sum(1), 4).tolist()
    bars["GDPO" + suffix] = before_eq6(values, 4).tolist()
figure = plot_group(rewards.sum(1).tolist(), bars)
_ = figure.suptitle("A condition breaks the tie, for GRPO and for GDPO")

# %% [markdown]
# ## How many lessons are there?
#
# Figure 3 of the paper counts distinct groups of advantages, for rewards of 0 or 1. We enumerate again: every multiset of $G$ of the
# $2^n$ kinds of completion is one case, and for the second axis every multiset of $n$ of the $2^G$ possible columns. The library's own functions do
# the normalizing, GDPO without Eq 6: one affine map for the whole batch cannot make two groups equal or unequal.


# %%
def every_group(size, kinds):
    """(M, size, kinds): all multisets of `size` rows of `kinds` bits."""
    rows = exact(list(itertools.product((0, 1), repeat=kinds)))
    chosen = itertools.combinations_with_replacement(range(len(rows)), size)
    return rows[torch.tensor(list(chosen))]


def count_distinct(advantages, size):
    """Number of different groups, up to the order of completions and rounding."""
    groups = np.sort(advantages.view(-1, size).numpy().round(6) + 0.0, axis=1)
    return len(np.unique(groups, axis=0))


# %% tags=["nbval-check-output"]
def count_groups(groups):
    """Distinct advantage groups of rewards (M, G, n) under three rules."""
    size, rewards = groups.shape[1], groups.flatten(0, 1)
    total = rewards.sum(1)
    advantages = {
        "GRPO": group_relative_advantages(total, size),
        "without std": group_relative_advantages(total, size, scale_rewards="none"),
        "GDPO": before_eq6(rewards, size),
    }
    return {name: count_distinct(values, size) for name, values in advantages.items()}


by_size = pd.DataFrame({g: count_groups(every_group(g, 2)) for g in range(2, 17)}).T
columns = {n: every_group(n, 4).transpose(1, 2) for n in range(2, 7)}
by_rewards = pd.DataFrame({n: count_groups(groups) for n, groups in columns.items()}).T
print(by_size.T.to_string(), "\n")
print(by_rewards.T.to_string())

# %% [markdown]
# The paper draws these counts, up to about eleven completions, without printing them. The next cell compares every one with what we read off the
# official drawing and enumerated independently. Without std and GDPO tie at two and at three completions, then GDPO pulls away.

# %% tags=["hide-input", "nbval-check-output"]
figure3 = {
    "GRPO": "2 4 7 11 16 22 29 37 46 56 67 79 92 106 121",
    "without std": "3 6 10 15 21 28 36 45 55 66 78 91 105 120 136",
    "GDPO": "3 6 14 26 38 59 81 109 145 186 230 288 350 419 497",
}
by_n = {"GRPO": "7 14 23 41 56", "without std": "10 20 35 56 84"}
by_n |= {"GDPO": "14 45 127 318 722"}
for counts, published in ((by_size, figure3), (by_rewards, by_n)):
    for rule, cells in published.items():
        assert counts[rule].tolist() == [int(cell) for cell in cells.split()], rule
size = by_size.index.to_numpy()
assert (by_size["GRPO"] == 1 + size * (size - 1) // 2).all()
assert (by_size["without std"] == size * (size + 1) // 2).all()
print(f"{by_size.size + by_rewards.size} cells are equal")

# %% tags=["hide-input"]
colors = ["#0072B2", "#E69F00", "#009E73"]
figure, panels = plt.subplots(1, 2, figsize=(8, 3))
for axes, counts in zip(panels, (by_size, by_rewards), strict=True):
    counts.plot(ax=axes, color=colors, style="o-", ms=4, logy=True, legend=False)
panels[0].set(xlabel="completions G (two rewards)", ylabel="distinct groups")
panels[1].set(xlabel="rewards n (four completions)", xticks=by_rewards.index)
panels[0].legend(by_size.columns, fontsize=8)
figure.suptitle("Distinct advantage groups (the paper's Figure 3)")
plt.show()

# %% [markdown]
# More distinct groups is a statement about resolution, not about learning. That is why we train below.
#
# ## Batch normalization: over completions or over tokens?
#
# Eq 6 takes mean and std over completions. TRL and the authors' TRL fork do so. The authors'
# *other* fork, of verl, and verl itself take them over tokens, so long completions weigh
# more. We give both the same batch: one prompt with a spread of rewards whose better
# completions are longer, and one prompt whose completions all score the same.

# %% tags=["nbval-check-output"]
one_prompt = [[0, 1], [0, 2], [1, 2], [1, 3]]
rewards = torch.tensor(one_prompt + [[0, 0]] * 4).float()
lengths = torch.tensor([2, 2, 6, 6, 4, 4, 4, 4])
mask = (torch.arange(6) < lengths[:, None]).long()
by_code = {}
for name in ("trl", "nvlabs_trl", "verl", "nvlabs_verl"):
    keywords = CONVENTIONS[name].decoupled
    by_code[name] = decoupled_advantages(rewards, 4, completion_mask=mask, **keywords)
    print(f"{name:12s}", by_code[name].numpy().round(2) + 0.0)

# %% [markdown]
# Per group the sum of z-scores is zero, so the mean over *completions* is zero. The
# mean over *tokens* is not, and subtracting it pushes the second prompt down, although
# nothing in it was better or worse than anything else.

# %% tags=["hide-input"]
plain = group_relative_advantages(rewards.sum(1), 4)
shown = {
    "GRPO": plain,
    "GDPO over completions": by_code["trl"],
    "GDPO over tokens": by_code["verl"],
}
figure, panels = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True)
for axes, (name, values) in zip(panels, shown.items(), strict=True):
    axes.bar(range(8), values, color=["#009E73"] * 4 + ["#999999"] * 4)
    axes.axhline(0, color="black", lw=0.8)
    axes.set(title=name, xlabel="tokens of completion")
    axes.set_xticks(range(8), lengths.tolist())
panels[0].set_ylabel("Â (gray: all scored the same)")
plt.show()

# %% [markdown]
# ## Amplification
#
# A z-score knows no importance. One completion that differs from its $G - 1$ siblings has
# $|z| = (G-1)/\sqrt{G}$, whatever the reward is worth: 3.75 for $G = 16$. A reward that
# is nearly saturated, with one failure in a batch now and then, gives rare but violent kicks.
# In a GRPO sum a reward of 0.01 stays one percent of the signal.

# %% tags=["nbval-check-output"]
right = torch.tensor([1.0, 0.0] * 8, dtype=torch.float64)
style = torch.full((16,), 0.01, dtype=torch.float64)
style[0] = 0.0  # right, but one small mistake in style
both = torch.stack([right, style], 1)
print("the right one with the mistake, and the others that are right")
print("GRPO", group_relative_advantages(both.sum(1), 16)[[0, 2]].numpy().round(3))
print("GDPO", before_eq6(both, 16)[[0, 2]].numpy().round(3))

# %% [markdown]
# GDPO now *punishes* a right answer, for a hundredth of a point. Batch normalization does
# the same one level up: if only a share $q$ of the prompts still has anything to
# teach, the std over the batch is about $\sqrt q$, and the advantages of those few grow as
# $1/\sqrt q$. GRPO's do not.

# %% tags=["hide-input"]
counts, magnitude = np.arange(1, 33), {"GRPO": [], "GDPO": []}
for count in counts.tolist():
    informative, solved = [1.0, 0.0] * 4 * count, [1.0] * 8 * (32 - count)
    batch = torch.tensor(informative + solved)
    magnitude["GRPO"].append(float(group_relative_advantages(batch, 8)[0]))
    magnitude["GDPO"].append(float(decoupled_advantages(batch[:, None], 8)[0]))
sizes = np.arange(2, 65)
deviant = [-float(before_eq6(exact([[0]] + [[1]] * (n - 1)), n)[0]) for n in sizes]
np.testing.assert_allclose(deviant, (sizes - 1) / np.sqrt(sizes), rtol=1e-9)

# %% tags=["hide-input"]
figure, (left, right_axes) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(sizes, deviant, color="#009E73")
left.plot(16, 3.75, "o", color="black")
left.annotate("G = 16: 3.75", (16, 3.75), (20, 3.0))
left.set(xlabel="completions G", ylabel="|z| of the one that differs")
table = pd.DataFrame(magnitude, index=counts / 32)
table.plot(ax=right_axes, color=["#0072B2", "#009E73"], ylim=(0, None))
right_axes.set(xlabel="share of prompts with unequal rewards", ylabel="|Â| in those")
left.set_title("One that differs from its group")
right_axes.set_title("Few prompts left to learn from")
plt.show()

# %% [markdown]
# ## A weight on what?
#
# GRPO weighs *rewards*, GDPO weighs *normalized advantages*. We let the weight
# $w$ of the length reward run from 0 to 2, with accuracy at 1, on a batch of two prompts. In the
# first, one of eight completions is right (and long), six are short and wrong. In the
# second nobody is right and half are short: the usual case when accuracy is the hard reward.

# %%
mixed = [[1, 0]] + [[0, 1]] * 6 + [[0, 0]]
all_wrong = [[0, 1]] * 4 + [[0, 0]] * 4
batch, steps = exact(mixed + all_wrong), torch.linspace(0, 2, 201).double()
palette = ("#0072B2", "#E69F00", "#D55E00")
kinds = {"right and long": 0, "short and wrong": 1, "short, nobody right": 8}
on_rewards, on_advantages = [], []
for w in steps.tolist():
    total = batch[:, 0] + w * batch[:, 1]
    on_rewards.append(group_relative_advantages(total, 8))
    on_advantages.append(decoupled_advantages(batch, 8, reward_weights=[1.0, w]))
on_rewards, on_advantages = torch.stack(on_rewards), torch.stack(on_advantages)


# %% tags=["hide-input"]
def draw_weight(w=0.5):
    figure, panels = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
    for axes, values in zip(panels, (on_rewards, on_advantages), strict=True):
        for (name, row), color in zip(kinds.items(), palette, strict=True):
            axes.plot(steps, values[:, row], label=name, color=color)
            at = values[int((steps - w).abs().argmin()), row]
            axes.plot(w, at, "o", color=color)
            axes.annotate(f"{at:.2f}", (w, at), (4, 4), textcoords="offset points")
        axes.axhline(0, color="black", lw=0.8)
        axes.axvline(w, color="black", lw=0.8, ls=":")
        axes.set_xlabel("weight w of the length reward")
    panels[0].set(title="GRPO: weight on the reward", ylabel="Â")
    panels[1].set(title="GDPO: weight on the advantage")
    panels[1].legend(fontsize=8)
    plt.show()


draw_weight()
_ = interact(draw_weight, w=FloatSlider(0.5, min=0, max=2, step=0.05))

# %% [markdown]
# The picture is at $w = 0.5$; with a running kernel the slider moves the line. Look at the red line. There GRPO's sum is $w$ times the length reward, and
# normalizing cancels $w$: any weight above zero pushes at full force. GDPO's weight comes after the
# division, so it does scale the push, until Eq 6 takes a part of it back.

# %% tags=["nbval-check-output"]
for name, values in (("reward", on_rewards), ("advantage", on_advantages)):
    swap = steps[values[:, 0] > values[:, 1]].max()
    push = values[[25, 50, 75, 100], 8].numpy().round(2)
    print(f"weight on the {name}: right and long is ahead up to w = {swap:.2f}")
    print(f"   push where nobody is right, w = 0.25, 0.5, 0.75, 1: {push}")

# %% [markdown]
# On rewards the two always swap at $w = 1$: equal pay. On advantages they swap at the ratio of
# the two stds, which moves from batch to batch. In the paper (Figure 6) lowering the length
# weight to 0.75 or 0.5 moved the share of overlong AIME answers by 0.4 and 0.2 points with GRPO
# and 1.3 and 0.6 with GDPO; only 0.25 visibly relaxed it. Hence Eq 8.
#
# ## What the paper measured
#
# Row 29: the slide shows the captions of Figures 9 and 10 without axes; GDPO "maintains improving
# correctness and better adherence to length constraints over GRPO". Table 3 has the accuracies.

# %% tags=["hide-input"]
table3 = rlnotes.paper_table("gdpo_table3").query("metric == 'accuracy'")
table3 = table3.pivot_table(
    index=["group", "model"], columns="benchmark", values="value"
)
by_model = {name: table3.xs(name, level=1) for name in ("base", "GRPO", "GDPO")}
gain = (by_model["GDPO"] - by_model["GRPO"]).round(1).stack()
print(f"of {len(gain)}: GDPO ahead {(gain > 0).sum()}, GRPO ahead {(gain < 0).sum()}")
print(gain[gain < 0].to_string())
print(pd.DataFrame({name: one["AIME"] for name, one in by_model.items()}).to_string())

bars, colors = gain.unstack(0), ["#999999", "#E69F00", "#56B4E9"]
axes = bars.plot.bar(figsize=(7, 2.8), rot=0, width=0.8, color=colors)
axes.axhline(0, color="black", lw=0.8)
axes.set(ylabel="GDPO − GRPO, points", title="GDPO paper, Table 3 (accuracy)")
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# So "maintains improving" needs two footnotes. GRPO is ahead on MATH and Olympiad at 7B, on AMC and
# Minerva at 4B. And on AIME, the last lines of the table above, the 7B and the 4B end 2 to 9 points below the
# policy that they started from, under either method: the answers became shorter, at a price. The table carries no spread; with 30 questions and
# 16 samples each the paper's standard error is about 2 points, so a difference of 0.4 is not a finding.
#
# ## In the search lab: where the effect must appear if it is real
#
# In the paper the policy begins long-winded and half right. Length is the easy reward and learned first, at a price in correctness. We rebuild that. The
# policy that notebook [12](12_compare_runs.ipynb) trained on three numbers is asked four: a third of its answers are right, a third within 64
# tokens, and searching is what makes an answer both right and long. Five seeds an arm, 40 steps of 16 questions × 8 answers; no arm was
# tuned, and the seeds change questions and samples alone. A run and its twin differ in nothing but the advantage:

# %%
sys.path.append(str(rlnotes.project_folder() / "experiments"))
import gdpo as lab

twins = [
    lab.config_of(lab.ARMS[f"length_{name}"]).to_dict() for name in ("grpo", "gdpo")
]
for field, value in twins[0].items():
    if value != twins[1][field]:
        print(f"{field}: {value} and {twins[1][field]}")

# %% [markdown]
# Before any training, one batch of that policy says where each advantage pushes. **Predict** for which groups dividing the sum by its std makes the
# largest difference: those in which nobody is right, some are, or all.

# %%
from rlnotes.training.batches import group_advantages
from rlnotes.training.learner import Learner
from rlnotes.training.loop import build_rewards, collect

arms = {n: lab.ARMS[f"length_{n}"] for n in ("grpo", "grpo_no_std", "gdpo", "mo_grpo")}
config = lab.config_of(arms["gdpo"], generation_batch_size=512)
policy = rlnotes.load_policy(str(rlnotes.project_folder() / config.policy))
task, learner = rlnotes.load_task(config.task), Learner.create(config, policy)
_, rewards, _ = collect(learner, task, build_rewards(config, task), 1)
right = rewards[:, 0].view(-1, 8).mean(1).repeat_interleave(8)
kind = np.where(right == 0, "nobody right", np.where(right == 1, "all", "some right"))
push = {n: group_advantages(rewards, lab.config_of(arm)) for n, arm in arms.items()}
table = pd.DataFrame({name: a.abs() for name, a in push.items()}).groupby(kind).mean()
print(table.assign(share=pd.Series(kind).value_counts(normalize=True)).round(2))
short_wrong = (rewards == torch.tensor([0.0, 1.0])).all(1)
pushed = {name: round(float(a[short_wrong].mean()), 2) for name, a in push.items()}
print("mean advantage of the short and wrong:", pushed)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Nobody right: there only length varies, and a z-score does not know that it is the lesser reward. GRPO pushes these groups more than half as hard as those that
# have both to teach; GDPO a third as hard, because in the others two z-scores are added up. From this batch we expect GRPO to become short *faster*, and to pay
# more for it in accuracy.
#
# </details>
#
# ### The slide's two figures
#
# Correctness reward, length reward and the longest response of a batch, as in the paper's Figures 9 and 10. Lines are means over seeds, bands 95 % intervals, both of
# five-step means. **Predict** which reward each method earns faster, and who pays.
#
# Below the figure stand the claims of slide and paper against these runs, as rows of [`data/claims.csv`](../data/claims.csv): the difference of the last ten steps (of the
# evaluation at the end for `eval/`), paired by seed, its 95 % interval, and the verdict that follows from both and the claimed sign. *Undecided* means that
# five seeds cannot say.

# %% tags=["hide-input"]
runs = lab.recorded("length_*")
ARMS = ["length_grpo", "length_gdpo"]
shown = runs[runs["algorithm"].isin(ARMS) & (runs["step"] > 0)]
KEYS = ["rewards/accuracy_reward/mean", "rewards/length_reward/mean"]
KEYS += ["completions/max_length"]
colors = dict(zip(ARMS, ("#0072B2", "#009E73"), strict=True))
figure = plot_bands(shown, KEYS, smooth=5, colors=colors)
figure.set_size_inches(10, 2.8)
plt.show()

# %% tags=["hide-input"]
claims = pd.read_csv(rlnotes.project_folder() / "data" / "claims.csv")
columns = ["claim", "figure", "value", "low", "high", "seeds", "verdict"]
lab_rows = claims[claims["section"].isin(["In the search lab", "On SmolLM2"])]
slide = lab_rows["slide"].str.contains("Figures")
print(lab_rows[slide][columns].to_string(index=False))

# %% [markdown]
# The third panel decides nothing at this size: some answer of a batch always runs on to the cap, under both methods, hence an interval of width zero. After four seeds
# the first two rows read *reproduced*, and the fifth took that back: who stops when the interval looks right will find what was looked for.
#
# ### The other arms
#
# GRPO without its std, GDPO without Eq 6 (MO-GRPO), the condition of Eq 8, and weights of three quarters, a half and a quarter on length. Then both methods where the two rewards are at
# odds (at most 20 tokens: one try, and being right needs more) and with a third point for the form of the answer. A point is an arm, the mean of its
# last ten steps; the bars are 95 % intervals over seeds. **Predict** which arms lie beside GDPO on the line of the trade, and which lie above it.

# %% tags=["hide-input"]
names = "grpo grpo_no_std mo_grpo gdpo gdpo_conditioned grpo_conditioned".split()
names += "gdpo_half gdpo_quarter gdpo_w75 grpo_half grpo_quarter grpo_w75".split()


def arms_of(setting):
    """All arms at 64 tokens; elsewhere GRPO and GDPO, which have more seeds there."""
    runs = lab.recorded(f"{setting}_*" if setting == "length" else f"{setting}_g?po")
    return runs[runs["algorithm"].str.partition("_")[2].isin(names)]


titles = {"length": "at most 64", "short": "at most 20", "three": "64, and the form"}
figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True)
for axes, (setting, title) in zip(panels, titles.items(), strict=True):
    lab.draw_trade(axes, arms_of(setting), "accuracy", "length")
    axes.get_legend().remove()
    axes.set(xlabel="share right", title=title)
every = panels[0].get_legend_handles_labels()  # the first panel has every method
figure.legend(*every, fontsize=8, loc="outside lower center", ncols=5)
panels[0].set_ylabel("share within the limit of tokens")
plt.show()

# %% tags=["hide-input"]
SHORT = {"accuracy": "right", "length": "short", "answer_format": "form"}
SHORT |= {f"steps, {long}": f"t {name}" for long, name in SHORT.items()}
SHORT |= {"hypervolume": "volume", "held-out accuracy": "held out"}
for setting in ("length", "three", "format", "short"):
    found = lab.table(arms_of(setting)).drop(columns=["least", "longest"])
    print(found.rename(columns=SHORT).rename_axis(None).round(2).to_string())

# %% [markdown]
# `dip` is how far accuracy falls below its start on the way, `failed` the share of runs that end below it, `t` after how many steps a reward has made nine tenths of
# its way. In `format` the point for the form stands in the place of the one for length.
#
# ### On SmolLM2
#
# The authors' demo in miniature: SmolLM2-135M on one-digit sums in R1's tags, paid for the right answer, for digits in the answer block and for the tags; 16 steps of 32
# responses, three seeds.

# %% tags=["hide-input"]
small = lab.recorded("smollm2_*")
keys = ["accuracy_reward", "integer_reward", "format_reward"]
colors = dict(
    zip(("smollm2_grpo", "smollm2_gdpo"), ("#0072B2", "#009E73"), strict=True)
)
shown = small[small["step"] > 0]
figure = plot_bands(shown, [f"rewards/{k}/mean" for k in keys], smooth=3, colors=colors)
figure.set_size_inches(10, 2.8)
plt.show()

# %% [markdown]
# Both methods earn all three within eight steps; on rewards as easy as these there is little to tell apart, and the rows are in the table below.
#
# ### Ours beside the paper's
#
# Each of the paper's comparisons that we ran: what it reports, then our difference, interval and verdict. The paper's numbers are of other models and tasks and carry no
# spread; only the signs can be compared.

# %% tags=["hide-input"]
keys = ["metric", "condition", "model"]
four, five = (
    rlnotes.paper_table(f"gdpo_table{n}").pivot_table("value", "benchmark", keys)
    for n in (4, 5)
)
tools = rlnotes.paper_table("gdpo_tool_calling")
tools = tools[tools["benchmark"].isin(["BFCL-v3", "BFCL-v3 average"])]
tools = tools.pivot_table("value", "group", ["metric", "model"])


def spread(first, second):
    """Range over benchmarks of one column of a table less another, in points."""
    less = (first - second).dropna()
    return f"{less.min():+.1f} to {less.max():+.1f}"


# %% tags=["hide-input"]
right, over = four["accuracy"], four["over 4,000 tokens"]
plain, cond, gdpo = "length reward", "conditioned length reward", "GDPO"
paper = {
    "conditioned: more often right": spread(right[cond][gdpo], right[plain][gdpo]),
    "conditioned: longer": spread(over[cond][gdpo], over[plain][gdpo]),
    "GRPO, conditioned: more right": spread(right[cond]["GRPO"], right[plain]["GRPO"]),
    "both conditioned": spread(right[cond][gdpo], right[cond]["GRPO"]),
}
std = (tools["accuracy"][x] for x in ("GRPO", "GRPO w/o std"))
paper["the std makes GRPO more often right"] = spread(*std)
for claim, table in {
    "three rewards: more often right": five["tests passed"]["3 rewards"],
    "three rewards: shorter": -five["over the length limit"]["3 rewards"],
    "with a format: more often right": tools["accuracy"],
    "with a format: better format": tools["correct format"],
}.items():
    paper[claim] = spread(table[gdpo], table["GRPO"])

# %% tags=["hide-input"]
others = lab_rows[~slide].copy()
others["paper, points"] = others["claim"].map(paper).fillna("a curve")
print(others[[*columns, "paper, points"]].to_string(index=False))
print()
for verdict in ("reproduced", "reversed", "not reproduced", "undecided"):
    found = lab_rows[lab_rows["verdict"] == verdict]["claim"]
    text = f"{verdict} ({len(found)}): {'; '.join(found) or 'none'}"
    print(textwrap.fill(text, 110, subsequent_indent="    "))
early = lab.recorded("short_g?po").query("seed < 5")
early = lab.differences(early, "short_grpo", ["accuracy"]).iloc[0, 0]
print(f"at most 20 tokens, right, the first five seeds alone: {early}")
counted = claims["command"].str.contains("experiments/gdpo.py", na=False).sum()
print(f"{counted} intervals on GDPO and weights: one in twenty excludes 0 by chance")

# %% [markdown]
# **What it says.**
#
# * **GDPO against GRPO, two rewards.** The differences point where the first batch pointed, at 64 tokens and at 20: GDPO ends more often right, GRPO more often within the limit. Every
#   interval holds zero. At 20 tokens the first five seeds had left zero out for *right*; five more took that back. The slide's "better adherence to length constraints over GRPO" is
#   not seen. With a form reward in the place of length no difference that would matter is left.
# * **With three rewards it turns round.** GDPO is within the limit more often (ten seeds, an interval just above zero) and not shown to be more often right. In its sum of three z-scores two
#   easy rewards stand against one hard one, which fits.
# * **The condition moves the policy**, and in the direction of the paper's Table 4: paid for brevity only where it is right, GDPO is right more often and longer, and so is GRPO
#   more often right. With it the two are not shown to differ.
# * **Weights on length work**: a half and a quarter relax the limit under both methods, three quarters under GRPO (GDPO: undecided), where right and long pulls ahead as soon as $w < 1$ (above).
#   In the paper a weight did more under GDPO.
# * **The std and Eq 6** decide nothing that five seeds could show. The deep dip of the paper's Figure 5 is not seen either; the largest one is in the column `dip`.
#
# ## What usually goes wrong
#
# * **One reward is solved, another stands still.** Look at `rewards/<name>/mean` and
#   `rewards/<name>/std`, never only at `reward`: the sum rises either way.
# * **`frac_reward_zero_std` says that all groups teach.** It is computed from the *sum*. With
#   GDPO a single reward may be constant in every group while it is low; in TRL 1.16 with
#   `normalize_then_sum` the metric is 0 or 1 for the whole batch.
# * **`scale_rewards` has no effect.** In TRL it is silently ignored under `normalize_then_sum`.
# * **The update gets noisier as the run succeeds** (`grad_norm`): few informative prompts, large
#   $1/\sqrt q$. Filter them (dynamic sampling, [08](08_dapo.ipynb)) or stop.
# * **A reward of `None`, or a KL in the reward,** is treated by each code base in its own way: [B17](../docs/differences.md#b17),
#   [B18](../docs/differences.md#b18).
#
# ## Exercises
#
# **gdpo-1.** MO-GRPO (2025) came before GDPO: normalize each reward in its group and sum, without
# the batch. Write it for rewards (N, K) in groups of G; a constant reward gives 0.
#
# **gdpo-2.** $k$ of $G$ completions earn a point. What z-score (unbiased std) does one of
# them get? For $k = 1$, $G = 16$ you should find 3.75.


# %%
def mo_grpo(rewards, num_generations):
    raise NotImplementedError


def z_of_the_rare(k, num_generations):
    raise NotImplementedError


check_exercise("gdpo-1", mo_grpo)
check_exercise("gdpo-2", z_of_the_rare)

# %% [markdown]
# **gdpo-3.** Return four completions with two rewards of 0 or 1, a tensor (4, 2), of which
# some two have the same total but different advantages under GDPO (before Eq 6). Pay the *second* column to two or more of the four.
#
# **gdpo-4.** For the rewards (G, K) of one group, none constant, find the weights (K,) with which
# GDPO before Eq 6 is exactly GRPO without std. What does that say about GDPO with weights of 1?
#
# **gdpo-5.** In the coding experiment of the paper a completion is paid for being short only if it
# passes *all* tests. Write Eq 8 for a list of conditions: reward $k$ is kept where every column in
# `on` reaches the threshold.


# %%
def my_group():
    raise NotImplementedError


def undoing_weights(rewards):
    raise NotImplementedError


def conditioned_on_all(rewards, k, on, threshold):
    raise NotImplementedError


check_exercise("gdpo-3", my_group)
check_exercise("gdpo-4", undoing_weights)
check_exercise("gdpo-5", conditioned_on_all)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # gdpo-1
# def mo_grpo(rewards, num_generations):
#     groups = rewards.view(-1, num_generations, rewards.shape[1])
#     std = groups.std(1, keepdim=True)
#     z = (groups - groups.mean(1, keepdim=True)) / std.masked_fill(std == 0, 1.0)
#     return z.sum(2).flatten()
# ```
#
# ```python
# # gdpo-2
# def z_of_the_rare(k, num_generations):
#     p = k / num_generations
#     variance = p * (1 - p) * num_generations / (num_generations - 1)
#     return (1 - p) / variance**0.5
# ```
#
# ```python
# # gdpo-3
# def my_group():
#     return torch.tensor([[1, 0], [0, 1], [0, 1], [0, 0]])
# ```
#
# ```python
# # gdpo-4
# def undoing_weights(rewards):
#     return rewards.std(0)
# ```
#
# With weights of 1 each centered reward is divided by its own std: the less a reward varies within
# the group, the more a point of it counts.
#
# ```python
# # gdpo-5
# def conditioned_on_all(rewards, k, on, threshold):
#     result = rewards.clone()
#     result[:, k] *= (rewards[:, on] >= threshold).all(1)
#     return result
# ```
#
# </details>
#
# **An open experiment.** Weigh the third reward so that GDPO is right as often as with two. Write the arm into `ARMS` of `experiments/gdpo.py`, train two
# seeds, and fill in: *I chose … because …; right and short changed by … and …; to decide it I would need … seeds.*
#
# ## References
#
# * GDPO: Liu et al., 2026, arXiv 2601.05242. Eq 1–2 and 4–8, Figures 3, 6, 9, 10, Tables 3 and 4.
# * MO-GRPO, 2025, arXiv 2509.22047: per-reward normalization in the group, without the batch.
# * GRPO: Shao et al., 2024, arXiv 2402.03300; Dr. GRPO: Liu et al., 2025, arXiv 2503.20783.
# * DAPO: Yu et al., 2025, arXiv 2503.14476.
# * Weights that follow saturation or variance (SAW, 2606.07705; DVAO, 2605.25604) are the subject of
#   [notebook 13](13_open_questions.ipynb), together with the deck's second open question.
#
# Code that we compared: TRL 1.16.0, verl 0.10.0.dev, NVlabs/GDPO `b080e63` (both forks), NeMo RL; the
# versions stand in `rlnotes.equations.conventions`.
