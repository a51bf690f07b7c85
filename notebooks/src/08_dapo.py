# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · DAPO: the techniques, one at a time
#
# question → **rollouts → rewards** → advantages → **objective** → update → record → figure
#
# DAPO keeps GRPO's advantage and repairs what is around it: which groups are sampled, what an
# answer that runs into the limit is paid, where the clip stops, and how tokens are averaged.
# The slides count four techniques; in code they are five functions. For each of them this page
# has the mechanism first, then the paper's curve beside five recorded seeds of the search lab.
#
# You will be able to
#
# * say which tokens the upper clip holds back, and what 0.28 in place of 0.2 gives them;
# * count what dynamic sampling costs, in updates and in samples;
# * say how the frameworks' token mean differs from the paper's equation;
# * set `L_max` for the soft overlong punishment so that it does what the paper says;
# * flip each technique on and off in one command and read the difference with its interval.
#
# **Time:** half an hour to read, half a minute to run. **Paper:** DAPO, Yu et al., 2025,
# [arXiv 2503.14476](https://arxiv.org/abs/2503.14476). **Builds on** [03 GRPO](03_grpo.ipynb)
# (group advantage, aggregation, clip) and [01 the search lab](01_search_lab.ipynb).
# **Next:** [09 GDPO](09_gdpo.ipynb); [14 the ladder](14_ladder.ipynb) stacks the
# techniques. In trouble with a run of your own:
# [symptoms](../docs/symptoms.md).

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from ipywidgets import interact

import rlnotes as rl
from rlnotes.analysis.figures import ALGORITHM_COLORS, plot_surrogate, use_style
from rlnotes.analysis.intervals import mean_interval
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.worked_group import worked_group

use_style()
group = worked_group()
print("torch", torch.__version__.split("+")[0])

# %% [markdown]
# ## The map
#
# **[Erratum 16](../docs/errata.md#erratum-16).** The overview slide numbers the techniques 1 to 4. Number 4 is two techniques,
# and the order is not that of the paper's Table 1, which climbs in the order of the last
# column. The values are on no slide: here they are.
#
# | slide | technique | equation | field of `Config` | the paper's value | rung |
# | --- | --- | --- | --- | --- | --- |
# | – | no KL | §2.3 | `beta` | 0 | in the baseline too |
# | 1 | clip-higher | Eq 10 | `epsilon`, `epsilon_high` | 0.2, 0.28 | 2 |
# | 2 | dynamic sampling | Eq 11 | `dynamic_sampling` | $G=16$, 512 prompts | 5 |
# | 3 | token-level loss | Eq 12 | `loss_type` | mean over tokens | 4 |
# | 4-1 | overlong filtering | §3.4 | `mask_truncated_completions` | – | 1 |
# | 4-2 | soft overlong punishment | Eq 13 | `soft_punish_cache` | 4,096 of 20,480 | 3 |
#
# Also dropped: Qwen2.5-32B base, AdamW at a constant $10^{-6}$ after 20 rollout steps of
# warm-up, 8,192 samples per rollout step in mini-batches of 512, so 16 updates each; AIME
# 2024 as the mean of 32 samples (avg@32) at temperature 1 and top-p 0.7.

# %% [markdown]
# ## OBJECTIVE: Eq 8 in the open
#
# $$\mathcal J(\theta)=\mathbb E_{q}\Big[\frac{1}{\sum_{i=1}^G|o_i|}\sum_{i=1}^G\sum_{t=1}^{|o_i|}
# \min\big(\rho_{i,t}\hat A_i,\ \text{clip}(\rho_{i,t},1-\varepsilon_\text{low},1+\varepsilon_\text{high})\hat A_i\big)\Big]
# \quad\text{s.t. } 0<|\{o_i\text{ correct}\}|<G$$
#
# Three things differ from GRPO's Eq 3: no KL term, two $\varepsilon$, and one mean over the
# tokens of the group in place of a mean of means. (The slides write $\epsilon$ on one page and
# $\varepsilon$ on the next; it is one symbol.) The constraint is not part of the loss.
#
# The next cell holds these five lines against the library, value and gradient, on two prompts:
# the worked group, and the same four completions in reverse order with other advantages. The
# library calls this aggregation `"dapo_prompt"`, because the frameworks' `"dapo"` is another; we
# come to that.


# %%
def dapo_loss(logps, old_logps, advantages, mask, num_generations, low=0.2, high=0.28):
    ratio, a = (logps - old_logps).exp(), advantages[:, None]
    surrogate = torch.minimum(ratio * a, ratio.clamp(1 - low, 1 + high) * a) * mask
    per_prompt = surrogate.sum(1).view(-1, num_generations).sum(1)
    tokens = mask.sum(1).view(-1, num_generations).sum(1)
    return -(per_prompt / tokens).mean()


mask = torch.cat([group.completion_mask, group.completion_mask.flip(0)])
old = torch.cat([group.old_per_token_logps, group.old_per_token_logps.flip(0)])
now = torch.cat([group.per_token_logps, group.per_token_logps.flip(0)])
advantages = rl.group_relative_advantages(torch.tensor([1.0, 0, 1, 0, 1, 0, 0, 0]), 4)
eq8 = {"loss_type": "dapo_prompt", "num_generations": 4, "epsilon_high": 0.28}

leaf = now.clone().requires_grad_()
ours = dapo_loss(leaf, old, advantages, mask, 4)
library = rl.policy_loss(leaf, old, advantages, mask, **eq8)
gradients = [torch.autograd.grad(loss, leaf)[0] for loss in (ours, library)]
assert torch.allclose(ours, library) and torch.allclose(*gradients, atol=1e-7)
print(f"five lines and library: the same loss {library:.4f}, the same gradient")

# %% [markdown]
# ## RECORD: the bench
#
# Every technique below was switched on alone, in the [search lab](01_search_lab.ipynb), five
# seeds each, the same five for all. The baseline, "naive", is the lab's GRPO with **eight
# updates a rollout**, because with one no clip can bind: 40 steps, 32 questions × 8 responses a
# step. The learning rate was chosen for every rung of the ladder from the same three values, on
# two seeds that no result uses; all six chose 1.5e-4 (`data/experiments/dapo/rates.csv`).
#
#     python experiments/dapo.py switches --arms higher --seeds 0-4     # one switch, five seeds
#
# `gap` is the paired difference over seeds with Student's 95 % interval: of the last two
# held-out evaluations of an `eval/` metric (steps 35 and 40), of the last ten steps of any
# other.

# %% tags=["hide-input"]
DAPO = rl.project_folder() / "data" / "experiments" / "dapo"
SAMPLED, LENGTH = "eval/sampled_accuracy", "completions/mean_length"
TRUNCATED, NATS = "completions/clipped_ratio", "response_entropy"
WORDS = {
    SAMPLED: "held-out accuracy",
    LENGTH: "mean length, tokens",
    TRUNCATED: "share truncated",
    NATS: "entropy of a response, nats",
}
HIGH = r"$\varepsilon_\mathrm{{high}}$ = {}"
STYLES = [("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":")]


# %%
def gap(key, first, second):
    runs = rl.load_arms(DAPO, first, second)
    scores = rl.final_scores(runs, key, last=2 if key.startswith("eval/") else 10)
    return rl.paired_difference(scores, key, first, second)


def report(keys, first, second):
    for key in keys:
        print(f"{WORDS.get(key, key):28} {gap(key, first, second)}")


# %% tags=["hide-input"]
def paper(axes, *figures, ylabel, title):
    for name, label, style in figures:
        table = rl.paper_curve(f"dapo_{name}")
        axes.plot(table["step"], table["y"], style[1], color=style[0], label=label)
    axes.set(xlabel="update", ylabel=ylabel, title=title)
    if len(figures) > 1:
        axes.legend(fontsize=8)


# %% tags=["hide-input"]
def ours(axes, arms, key, x="step"):
    table = rl.load_arms(DAPO, *arms).dropna(subset=[key])
    for (arm, label), (color, dash) in zip(arms.items(), STYLES, strict=False):
        runs = table[table["algorithm"] == arm]
        band = rl.metric_bands(runs, key).set_index("step")
        where = runs.assign(at=runs[x].fillna(0)).groupby("step")["at"].mean()
        axes.plot(where, band["estimate"], dash, color=color, label=label)
        edges = (where, band["low"], band["high"])
        axes.fill_between(*edges, color=color, alpha=0.15, lw=0)
    title = f"ours, {table['seed'].nunique()} seeds"
    axes.set(xlabel=x, ylabel=WORDS.get(key, key), title=title)
    return axes.legend(fontsize=8)


# %% [markdown]
# ## No KL
#
# **[Erratum 17](../docs/errata.md#erratum-17).** The slide ends with "=> Exclude KL divergence", as if it followed for
# everybody. The paper's argument is for long reasoning: the policy is meant to leave its base.
# R1 keeps $\beta=0.001$ and refreshes its reference now and then, so it is a choice. How much say
# does the term have? On the worked group, whose policy is still near its reference, we compare
# the gradient of the KL term ($k_3$) with that of the surrogate. What $\beta=0$ saves for certain
# is a second model in memory and a forward pass per batch.
#
# **In the lab** the arm `kl` trains with $\beta=0.04$, GRPO's own value; `kl_measured` with
# $10^{-9}$, which moves no weight and only has the divergence logged.

# %% tags=["nbval-check-output"]
worked_a = rl.group_relative_advantages(group.rewards, 4)
worked = (group.old_per_token_logps, worked_a, group.completion_mask)
leaf = group.per_token_logps.clone().requires_grad_()
plain = rl.policy_loss(leaf, *worked)
(surrogate_gradient,) = torch.autograd.grad(plain, leaf)
for beta in (0.04, 0.001):
    keywords = {"beta": beta, "ref_per_token_logps": group.ref_per_token_logps}
    with_kl = rl.policy_loss(leaf, *worked, **keywords)
    (gradient,) = torch.autograd.grad(with_kl, leaf)
    share = (gradient - surrogate_gradient).norm() / surrogate_gradient.norm()
    print(f"β = {beta:<5}  KL gradient / surrogate gradient = {share:.5f}")

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 2, figsize=(8, 2.7))
arms = {"kl_measured": "no KL term", "kl": "β = 0.04"}
table = rl.load_arms(DAPO, *arms).dropna(subset=["kl"])
for (arm, label), (color, dash) in zip(arms.items(), STYLES, strict=False):
    for n, run in table[table["algorithm"] == arm].groupby("seed"):
        name = None if n else label
        panels[0].plot(run["step"], run["kl"], dash, color=color, lw=1, label=name)
panels[0].set(xlabel="step", ylabel="KL, nats a token", yscale="log")
panels[0].set_title("each seed, from the reference")
panels[0].legend(fontsize=8)
ours(panels[1], arms, SAMPLED)
WORDS["kl"] = "KL, nats a token"
report(["kl", SAMPLED, NATS], "kl_measured", "kl")

# %% [markdown]
# The first line is how far the policy has gone from where it began: farther without the term in every
# seed, but a mean over tokens of $k_3$ hangs on a few of them ([04](04_kl_and_biases.ipynb)), and one
# seed makes the interval wide. The second line is what that does to its accuracy. The paper's reason, long reasoning, has no counterpart in 128 tokens: the lab can
# say what the term does here, not whether a KL is needed there.

# %% [markdown]
# ## Technique 1: clip-higher
#
# $$\min\big(\rho\hat A,\ \text{clip}(\rho,\ 1-\varepsilon_\text{low},\ 1+\varepsilon_\text{high})\,\hat A\big),
# \qquad \varepsilon_\text{low}=0.2,\ \varepsilon_\text{high}=0.28 \qquad\text{(DAPO Eq 10)}$$
#
# The band is no longer symmetric: the shaded part reaches to 1.28, the dashed line is the old
# bound 1.2. Only $\hat A>0$ notices. The lower bound stays, because to raise
# $\varepsilon_\text{low}$ would let tokens be pushed to probability 0 and shrink the sample
# space, the very collapse the technique is against.

# %%
figure = plot_surrogate(epsilon=0.2, epsilon_high=0.28)
for axes in figure.axes:
    axes.axvline(1.2, color="black", lw=1, ls="--")

# %% [markdown]
# **[Erratum 18](../docs/errata.md#erratum-18).** The slide says the upper clip makes "exploitation more probable" and leaves
# out why. A ratio is a *factor*. A token of probability 0.01 may rise to 0.012 before its
# gradient stops; one of 0.9 could rise to 1.08, which no probability does, so for it the bound
# does not exist. The bound binds for every token whose probability was below $1/1.2=0.83$. In
# absolute terms it leaves a rare token almost no room (0.002 for the one of 0.01) and a common
# one a lot (0.1 for one of 0.5): that is how the clip narrows a policy.


# %% tags=["nbval-check-output"]
def draw_room(p_old=0.2, epsilon_low=0.2, epsilon_high=0.28):
    _, axes = plt.subplots(figsize=(5.5, 2.4))
    p = torch.linspace(0.001, 1, 500)
    highs = {0.2: STYLES[0], epsilon_high: STYLES[1]}
    for high, (color, dash) in highs.items():
        rise = torch.clamp((1 + high) * p, max=1) - p
        axes.plot(p, rise, dash, color=color, label=f"upper bound 1 + {high:g}")
    axes.plot(p, -epsilon_low * p, ":", color="black", label="lower bound")
    bounds = (1 - epsilon_low) * p_old, min(1.0, (1 + epsilon_high) * p_old)
    axes.vlines(p_old, *(bound - p_old for bound in bounds), color="black", lw=4)
    axes.set(xlabel="probability before", ylabel="change until the clip")
    axes.set_title(f"{p_old:g} may move to between {bounds[0]:.4f} and {bounds[1]:.4f}")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


for p in (0.01, 0.5, 0.9):
    print(f"{p}: up to {p * 1.2:.3f} with ε_high .2, up to {p * 1.28:.4f} with .28")
print(f"the bound can bind below 1/1.2 = {1 / 1.2:.2f}")
draw_room()

# %%
sliders = {"p_old": (0.01, 0.99, 0.01), "epsilon_low": (0.05, 0.5, 0.05)}
_ = interact(draw_room, **sliders, epsilon_high=(0.05, 1.0, 0.01))

# %% tags=["hide-input"]
figure, (entropy, accuracy) = plt.subplots(1, 2, figsize=(7.5, 2.6))
pair = (("2", HIGH.format(0.2), STYLES[0]), ("1", HIGH.format(0.28), STYLES[1]))
for axes, name, ylabel in (
    (entropy, "2b", "entropy, nats a token"),
    (accuracy, "2a", "AIME avg@32"),
):
    curves = [(f"fig{name}_{which}", label, style) for which, label, style in pair]
    paper(axes, *curves, ylabel=ylabel, title=f"paper, Figure {name}")

# %% [markdown]
# ### In the lab: 32 updates a rollout
#
# At eight updates and 1.5e-4 the upper clip stops one token in ten thousand, and 0.2 or 0.28 is
# the same thing. So these three arms make 32 updates a rollout at twice the rate, where the clip
# does bind, and differ in $\varepsilon_\text{high}$ alone: 0.2, DAPO's 0.28, and a bound so high
# that it is none (100). Truncated responses are filtered in all three.

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 3, figsize=(10, 2.6))
arms = {
    "clip": HIGH.format(0.2),
    "clip_higher": HIGH.format(0.28),
    "clip_unbounded": "no upper clip",
}
for axes, key in zip(
    panels, ("entropy", SAMPLED, "clip_ratio/high_probability"), strict=True
):
    ours(axes, arms, key)
panels[0].set_ylabel("entropy, nats a token")
_ = panels[2].set(ylabel="p of clipped tokens", ylim=(0, None))

# %% tags=["hide-input"]
WORDS |= {
    "entropy": "entropy, nats a token",
    "clip_ratio/high_mean": "stopped above, share",
    "clip_ratio/low_mean": "stopped below, share",
    "clip_ratio/high_probability": "stopped above, probability",
}
runs = rl.load_arms(DAPO, "clip", "clip_higher").dropna(subset=["entropy"])
by_seed = runs.groupby(["algorithm", "seed"])["entropy"]
left = by_seed.agg(lambda values: values.tail(10).mean() / values.iloc[0])
for arm in ("clip", "clip_higher"):
    print(f"{arm:11} entropy left at the end, share of the first step's: ", end="")
    print(mean_interval(left[arm]))
ends = rl.final_scores(rl.load_arms(DAPO, "clip", "clip_higher"), "entropy", last=10)
gain = rl.paired_difference(ends, "entropy", "clip_higher", "clip").interval
print(f"entropy gained by 0.28: {gain.estimate:.3f} [{gain.low:.3f}, {gain.high:.3f}]")
for arm in ("clip_higher", "clip_unbounded"):
    report(["entropy", NATS, SAMPLED, LENGTH], arm, "clip")
runs = rl.load_arms(DAPO, "naive", "clip", "clip_higher", "clip_unbounded")
shares = ["clip_ratio/high_mean", "clip_ratio/low_mean", "clip_ratio/high_probability"]
runs.groupby("algorithm", sort=False)[shares].mean().rename(columns=WORDS).round(4)

# %% [markdown]
# The paper has one run an arm: with 0.2 the entropy falls to 0.005 by update 2,300, with 0.28 it
# stays near 0.4. Ours falls by a quarter under either bound and collapses under none. Twenty seeds
# do not show that 0.28 keeps more of it. The interval ends below 0.005, the gain that we had called
# too small to matter, so a gain that matters is excluded. A small loss is not, and therefore our
# rule for verdicts still says undecided.
#
# The way to that sentence is a warning. A pilot on one seed that no result uses had shown the
# paper's sign. The first five seeds lay on the other side of 0 and almost excluded it. We then
# added seeds three times, five, five and five, and looked each time.
#
# The third panel says why the paper's effect has little room here. In Figure 3a the tokens that
# the clip stops are rare ones, below 0.2. The lab's vocabulary has a few dozen words, and its
# stopped tokens have a probability of a third, so a bound on them hardly touches what is rarely tried.
# So look at `clip_ratio/high_probability` before you expect the paper's effect.
#
# Without any upper clip accuracy is lower in all five seeds. Here one sees what the upper clip is
# for: the updates late in a batch use old samples, and nothing stops a token whose ratio has
# exploded.

# %% [markdown]
# ## Technique 2: dynamic sampling
#
# $$0<\big|\{o_i \mid \operatorname{equivalent}(a,o_i)\}\big|<G \qquad\text{(DAPO Eq 11)}$$
#
# Groups that are all right or all wrong have advantage 0, so they fill the batch and teach
# nothing. DAPO samples until the batch is full of mixed groups.
#
# A question that the policy answers with chance $p$ gives a mixed group with chance
# $1-p^G-(1-p)^G$. One over it is the number of groups to sample for one that is kept. At the
# ends it explodes: with $G=16$, a question at 99 % costs almost seven groups. The drawing has the
# loop; the cell below it has the line that decides, held against the library.

# %% tags=["hide-input"]
boxes = {
    "prompts": (0.8, 1.0, "questions", "data"),
    "policy": (2.6, 1.0, "policy:\nG responses each", "learns"),
    "reward": (4.6, 1.0, "accuracy", "rule"),
    "mixed": (6.2, 1.0, "right and wrong\nin the group?", "rule"),
    "buffer": (8.3, 1.0, "buffer:\nbatch full?", "data"),
    "update": (10.0, 1.0, "updates", "learns"),
    "away": (6.2, 0.2, "dropped", "frozen"),
}
arrows = [("prompts", "policy", "--", ""), ("policy", "reward", "--", "")]
arrows += [("reward", "mixed", "--", ""), ("mixed", "buffer", "--", "yes")]
arrows += [("mixed", "away", "--", "no"), ("buffer", "update", "--", "yes")]
boxes["again"] = (4.6, 1.8, "no: sample more questions, at most 4 times", "rule")
arrows += [("buffer", "again", "-", ""), ("again", "prompts", "-", "")]
_ = draw_graph(boxes, arrows, size=(10.6, 2.1))


# %% tags=["nbval-check-output"]
chances = torch.tensor([0.02, 0.05, 0.1, 0.25, 0.5, 0.9, 0.99]).double()


def mixed(accuracies, num_generations):
    correct = accuracies.view(-1, num_generations).sum(1)
    return (correct > 0) & (correct < num_generations)


def kept_share(p, size):
    return 1 - p**size - (1 - p) ** size


some = (torch.rand(400, generator=torch.Generator().manual_seed(0)) < 0.7).float()
assert torch.equal(mixed(some, 4), rl.informative_groups(some, 4))
print(f"one line and library keep the same {mixed(some, 4).sum()} of 100 groups")
print("p      ", [round(p, 2) for p in chances.tolist()])
for size in (4, 16):
    kept = kept_share(chances, size).tolist()
    print(f"G = {size:2}", [round(k, 3) for k in kept], [round(1 / k, 1) for k in kept])


# %% tags=["hide-input"]
def draw_kept(G=16, p=0.9):
    _, (share, cost) = plt.subplots(1, 2, figsize=(8.5, 2.8))
    grid = torch.linspace(0.002, 0.998, 499)
    kept = kept_share(torch.tensor(p), G)
    for size, (color, dash) in zip((4, 64, G), STYLES, strict=False):
        found = kept_share(grid, size)
        share.plot(grid, found, dash, color=color, label=f"G = {size}")
        cost.semilogy(grid, 1 / found, dash, color=color)
    share.plot(p, kept, "o", color="black")
    cost.plot(p, 1 / kept, "o", color="black")
    share.set(xlabel="chance p to be right", ylabel="share of groups kept")
    share.legend(fontsize=8)
    cost.set(xlabel="chance p to be right", ylabel="groups sampled per group kept")
    cost.set_title(f"G = {G}, p = {p:g}: {1 / kept:.1f} groups")


draw_kept()

# %%
_ = interact(draw_kept, G=(2, 64), p=(0.02, 0.98, 0.02))

# %% [markdown]
# ### The trap: filter on accuracy, not on the reward
#
# **[Erratum 19](../docs/errata.md#erratum-19).** "Advantage becomes 0 if all outputs are correct or incorrect" holds for the ±1
# accuracy reward alone (and the formula on the slide gives 0/0, not 0). Add a length penalty
# and an all-wrong group of unequal lengths has a spread. A filter on "std > 0" of the *total*
# keeps it, and its advantages then say: be wrong, but shorter. We take the worked group's
# lengths, call all four wrong, and let the penalty (technique 4) start after 6 tokens.
#
# The default rule refuses such input outright, because a correctness is between 0 and 1. (verl's
# DAPO recipe lets one choose the metric, its script sets `acc`; ms-swift filters on the weighted
# total; TRL 1.16 has no dynamic sampling.)

# %% tags=["nbval-check-output"]
lengths = group.completion_mask.sum(1)
sop = {"max_completion_len": 12, "soft_punish_cache": 6}
all_wrong = torch.zeros(4)
shaped = 2 * all_wrong - 1 + rl.soft_overlong_punishment(lengths, **sop)
print("lengths", lengths.tolist(), " rewards", [round(r, 2) for r in shaped.tolist()])
print("on accuracy     keep:", rl.informative_groups(all_wrong, 4).tolist())
print("std of the total keep:", rl.informative_groups(shaped, 4, rule="std").tolist())
wrong_lesson = rl.group_relative_advantages(shaped, 4)
print("and would teach", [round(a, 2) for a in wrong_lesson.tolist()])
try:
    rl.informative_groups(shaped, 4)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ### In the lab: both axes
#
# Figure 3b has the share of prompts that are all right, which fill the batch for nothing; ours is
# beside it. The paper's Figure 6 has updates below, and its curves reach their highest points far apart (the
# updates are printed below); what was sampled and discarded is not on that axis. The paper
# answers that generation time is set by the longest completion, so that extra samples may be
# nearly free on a large cluster. We draw the naive arm with and without dynamic sampling over
# updates and over completions generated, used or not, and print the
# seconds of a step in the middle of the run (the machine did other things beside it).

# %% tags=["hide-input"]
figure, panels = plt.subplot_mosaic("AAABBB;CCDDEE", figsize=(10, 5.2))
solved, all_right, left, middle, right = panels.values()
curve = ("fig3b_1", "paper", STYLES[0])
paper(solved, curve, ylabel="prompts all right", title="paper, Figure 3b")
ours(all_right, {"naive": "naive GRPO"}, "frac_all_right")
all_right.set_ylabel("groups all right")
curves = (("fig6_2", "without", STYLES[0]), ("fig6_1", "dynamic sampling", STYLES[1]))
paper(left, *curves, ylabel="AIME avg@32", title="paper, Figure 6")
arms = {"naive": "without", "resample": "dynamic sampling"}
ours(middle, arms, SAMPLED, x="updates")
ours(right, arms, SAMPLED, x="num_completions")
right.set_xlabel("completions generated")
right.sharey(middle)
curves = [rl.paper_curve(f"dapo_fig6_{n}").set_index("step")["y"] for n in (1, 2)]
peaks = [curve.idxmax() for curve in curves]
print(
    f"paper: highest at {peaks[0]:,.0f}, {peaks[1]:,.0f}: × {peaks[1] / peaks[0]:.1f}"
)
report([SAMPLED], "resample", "naive")

# %% tags=["hide-input"]
runs = rl.load_arms(DAPO, "resample", "naive").fillna({"num_completions": 0.0})
for samples in (2560, 5120, 7680, 10240):
    equal = rl.at_equal(runs, SAMPLED, "num_completions", [samples])
    scores = rl.final_scores(equal, SAMPLED, last=1)
    found = rl.paired_difference(scores, SAMPLED, "resample", "naive")
    print(f"after {samples:6,} completions {found}")
runs["trained on"] = runs.groupby("run")["step"].transform("max") * 256
most = ["updates", "trained on", "num_completions"]
by_run = runs.groupby(["algorithm", "seed"])
per_run = by_run[most].max().rename(columns={"num_completions": "generated"})
per_run["seconds a step"] = by_run["step_time"].median()
per_run["dull groups"] = by_run["frac_reward_zero_std"].mean()
logged = by_run["rewards/accuracy_reward/mean"]
per_run["accuracy, logged"] = logged.agg(lambda values: values.tail(5).mean())
per_run["accuracy, evaluated"] = by_run[SAMPLED].last()
per_run.groupby("algorithm", sort=False).mean().round(2)

# %% [markdown]
# Both statements have to stand side by side, and ten seeds decide both. At equal updates dynamic
# sampling is ahead: every update sees mixed groups alone. At equal samples it is behind, and the
# fewer samples there are, the farther. Its curve is the naive one with every step paid about twice.
# Whether "half the steps" is a saving depends on what a sample costs beside an update, and that is
# a question about the machine. Where the technique sits in the ladder [14](14_ladder.ipynb) shows.
#
# The last two columns show one more thing that is filtered: the reward curve. What a trainer logs
# is the mean over the *kept* groups, from which the solved and the hopeless questions have been
# removed, so it is pulled toward one half whatever the policy can do. Only an evaluation shows
# the policy.

# %% [markdown]
# ## Technique 3: token-level loss
#
# $$\text{GRPO: } \frac1G\sum_i\frac{1}{|o_i|}\sum_t L_{i,t}\qquad
# \text{DAPO: } \frac{1}{\sum_i|o_i|}\sum_i\sum_t L_{i,t}\qquad\text{(Eq 12)}$$
#
# **[Erratum 20](../docs/errata.md#erratum-20).** "Same weight for all responses" is right for GRPO. "Divided by total token
# usages" is loose, and "more weight on longer response" means: *equal weight per token*. With a
# mean per completion, a token of a long answer counts less, so good long reasoning is learned
# more slowly, and long gibberish is hardly punished. Which tokens are the total? Eq 8 has the
# sum over **one prompt's group**; every framework we read divides by the tokens of the **batch**.
# Two prompts show it: 10 tokens with loss 1 each, 100 tokens with loss 0.

# %% tags=["nbval-check-output"]
wmask = group.completion_mask
two_prompts = (torch.arange(50) < torch.tensor([[5], [5], [50], [50]])).long()
losses = torch.tensor([1.0, 1, 0, 0])[:, None].expand(4, 50)
for loss_type, what in (("dapo_prompt", "Eq 8 as written"), ("dapo", "as coded")):
    keywords = {"loss_type": loss_type}
    if loss_type == "dapo_prompt":
        keywords["num_generations"] = 2
    loss = rl.aggregate_loss(losses, two_prompts, **keywords)
    print(f"{what:16} {loss_type:12} {loss:.4f}")

# %% [markdown]
# As written, prompts count alike; as coded, a prompt with long answers counts more (and after a
# mini-batch split the denominator depends on who else is in it). In the **worked group** there
# is one prompt, so both agree. The first panel below has the weight of one token under each rule,
# for answers of 3, 5, 7 and 12 tokens.
#
# **[Erratum 21](../docs/errata.md#erratum-21).** The slide with Figure 4 lost its legend. In the paper the curves that explode
# are those *without* token-level loss: entropy to 2.7 and more, length to almost 4,900 tokens.
# In the lab below a mini-batch holds four groups, so the
# denominator as coded is the tokens of 32 completions.

# %% tags=["hide-input", "nbval-check-output"]
rules = {"grpo": "mean of means", "dapo": "mean of the batch", "dr_grpo": "constant"}
figure, (bars, entropy, length) = plt.subplots(1, 3, figsize=(10, 2.6))
for n, (rule, label) in enumerate(rules.items()):
    color = ALGORITHM_COLORS[rule]
    w = rl.token_weights(wmask, loss_type=rule, max_completion_length=12)
    bars.bar(np.arange(4) + 0.27 * (n - 1), w[:, 0], 0.25, color=color, label=label)
    values = "  ".join(f"{x:.4f}" for x in w[:, 0].tolist())
    print(f"{label:18} per token {values}  share of o4 {w[3].sum() / w.sum():.2f}")
bars.set_xticks(range(4), [f"{n}" for n in lengths.tolist()])
bars.set(
    xlabel="tokens of the answer", ylabel="weight of one token", title="worked group"
)
bars.legend(fontsize=8)
words = {"4a": "entropy, nats a token", "4b": "mean length, tokens"}
for axes, (name, ylabel) in zip((entropy, length), words.items(), strict=True):
    curves = [(f"fig{name}_2", "without", STYLES[0])]
    curves += [(f"fig{name}_1", "token-level", STYLES[1])]
    paper(axes, *curves, ylabel=ylabel, title=f"paper, Figure {name}")

# %% [markdown]
# ### In the lab: four denominators
#
# `naive` is GRPO's mean of means, `tokens` the mean over the tokens of a mini-batch (`"dapo"`),
# `prompt` Eq 8 as written (`"dapo_prompt"`), `constant` Dr. GRPO's fixed divisor.

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 3, figsize=(10, 2.6))
arms = {
    "naive": "mean of means",
    "tokens": "batch",
    "prompt": "prompt",
    "constant": "constant",
}
for axes, key in zip(panels, (NATS, LENGTH, SAMPLED), strict=True):
    ours(axes, arms, key)
    if key != NATS and axes.get_legend():
        axes.get_legend().remove()
for arm in ("tokens", "prompt", "constant"):
    report([LENGTH, NATS, "entropy", SAMPLED], arm, "naive")

# %% [markdown]
# In the paper the token mean keeps answers *shorter* than the mean of means does. Here they are
# longer, in every seed. The mean of means pays a token of a short right answer more than one of a
# long right answer (Dr. GRPO calls it a bias, [04](04_kl_and_biases.ipynb)); in the lab a short
# right answer is a search that found the target early, and to prefer it is a good habit. If that
# is the reason, the other two denominators, which do not know a response's length either, must
# lengthen responses as well. They were trained to test this, and they do: by five tokens each, with
# intervals that leave 0 out. Accuracy follows: it is lower in every seed for the batch and for the
# constant, whose interval leaves 0 out; for the prompt's tokens it is undecided.
#
# So it is the *lab* that decides the sign. In the paper long answers were the good ones.

# %% [markdown]
# ## Technique 4: overlong reward shaping
#
# A completion that hits the limit has no answer yet and is paid as wrong, however sound it was.
# DAPO tries two remedies. **4-1, filtering**, takes truncated completions out of the loss:
#
# $$m'_{i,t}=m_{i,t}\cdot\mathbf 1\{o_i\text{ ended by itself}\}\qquad\text{(§3.4)}$$
#
# **[Erratum 22](../docs/errata.md#erratum-22).** The caption of Figure 5 says overlong reward *shaping*; its legend, and its
# curves, are overlong *filtering*. The best run does without it: verl's notes on the reproduction
# say that most runs, the best one included, did not filter.

# %% tags=["nbval-check-output"]
filtered = rl.overlong_filter(wmask, group.truncated)
print("tokens in the loss", wmask.sum(1).tolist(), "→", filtered.sum(1).tolist())
for rule in ("dapo", "grpo"):
    for count_empty in (True, False):
        keywords = {"loss_type": rule, "count_empty": count_empty}
        w = rl.token_weights(filtered, **keywords)
        print(f"{rule:5} count_empty={count_empty!s:5} total weight {w.sum():.2f}")

# %% [markdown]
# The reward of the filtered completion still counts in its group's mean (our $o_4$ makes the
# right ones look better), and under GRPO's mean of means it still counts as a row unless one
# says otherwise: the loss shrinks by the filtered share. TRL keeps the row, NeMo-RL does not,
# the paper does not say.
#
# **4-2, soft overlong punishment**, adds a penalty that grows over the last tokens before the
# limit:
#
# $$R_\text{length}(y)=\begin{cases}0,&|y|\le L_\text{max}-L_\text{cache}\\
# \dfrac{(L_\text{max}-L_\text{cache})-|y|}{L_\text{cache}},&L_\text{max}-L_\text{cache}<|y|\le L_\text{max}\\
# -1,&L_\text{max}<|y|\end{cases}\qquad\text{(DAPO Eq 13)}$$
#
# **[Erratum 23](../docs/errata.md#erratum-23), the one plain mistake among the DAPO slides.** Below Eq 13 stands
#
# > $L_{\text{max}}$ : 16,384 tokens,  $L_{\text{cache}}$ : 4,096 tokens
#
# In the paper 16,384 is the *expected* length and the cache comes on top: generation stops at
# 20,480, and that is $L_\text{max}$ of Eq 13. With the slide's value the penalty starts at
# 12,288, and every answer from 16,384 on, a fifth of the allowed range, gets the full −1. (With
# the right value the third branch is never reached: no answer is longer than the limit.)

# %% tags=["nbval-check-output"]
marks = torch.tensor([12288, 14336, 16384, 18432, 20480])
print("length     " + " ".join(f"{n:7,}" for n in marks.tolist()))
for limit in (20480, 16384):
    penalty = rl.soft_overlong_punishment(
        marks, max_completion_len=limit, soft_punish_cache=4096
    )
    print(f"L_max {limit}" + " ".join(f"{x:7.2f}" for x in penalty.tolist()))

# %% [markdown]
# ### ±1 or 0/1?
#
# **[Erratum 24](../docs/errata.md#erratum-24).** $R(y)=R_\text{acc}(y)+R_\text{length}(y)$ has no number in the paper, and the
# deck never says that $R_\text{acc}$ is **+1 or −1** (Eq 7). So the total lies in $[-2,1]$. For
# GRPO alone 0/1 would do, because the group normalization removes scale and shift. In a sum it
# does not: with 0/1 the same penalty weighs twice as much against being right. The worked group
# (penalty from 6 to 12 tokens, rewards 1, 0, 1, 0):
#
# Our accuracy reward is 0/1, as in R1 and TRL. A weight of 2 on it gives the paper's advantages
# exactly, since the missing −1 is a constant that the group mean removes. The lab's runs use
# `reward_weights=[2, 1]`.

# %% tags=["nbval-check-output"]
penalty = rl.soft_overlong_punishment(lengths, **sop)
for name, accuracy in (("±1 ", 2 * group.rewards - 1), ("0/1", group.rewards)):
    total = accuracy + penalty
    a = rl.group_relative_advantages(total, 4)
    rewards, advs = (" ".join(f"{v:+.2f}" for v in x.tolist()) for x in (total, a))
    print(f"{name} rewards {rewards}   advantages {advs}")
doubled = rl.group_relative_advantages(2 * group.rewards + penalty, 4)
assert torch.allclose(
    doubled, rl.group_relative_advantages(2 * group.rewards - 1 + penalty, 4)
)
print("weight 2 on 0/1: the advantages of ±1")

# %% tags=["hide-input"]
figure, (shape, accuracy, entropy) = plt.subplots(1, 3, figsize=(10, 2.6))
span = torch.arange(8192, 20481, 64)
for limit, label, (color, dash) in zip(
    (20480, 16384), ("paper", "slide"), STYLES, strict=False
):
    cache = {"max_completion_len": limit, "soft_punish_cache": 4096}
    curve = rl.soft_overlong_punishment(span, **cache)
    shape.plot(span, curve, dash, color=color, label=f"L_max {limit:,} ({label})")
shape.set(xlabel="length, tokens", ylabel="punishment", title="Eq 13")
shape.set_xticks([8192, 12288, 16384, 20480])
shape.legend(fontsize=8)
pair = (("1", "without", STYLES[0]), ("2", "filtering", STYLES[1]))
for axes, name, ylabel in (
    (accuracy, "5a", "AIME avg@32"),
    (entropy, "5b", "entropy, nats a token"),
):
    curves = [(f"fig{name}_{which}", label, style) for which, label, style in pair]
    paper(axes, *curves, ylabel=ylabel, title=f"paper, Figure {name}")

# %% [markdown]
# ### In the lab: a limit that binds
#
# At the lab's usual limit of 128 tokens (ten tries) one response in five is truncated in
# mid-run. These three arms allow 48 tokens, four tries, so that truncation binds from the start:
# `short` as it is, with filtering, and with the punishment over the last 16 tokens.

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 3, figsize=(10, 2.6))
arms = {
    "short": "48 tokens",
    "short_filter": "+ filtering",
    "short_punish": "+ punishment",
}
for axes, key in zip(panels, (TRUNCATED, LENGTH, SAMPLED), strict=True):
    ours(axes, arms, key)
for arm in ("short_filter", "short_punish"):
    report([TRUNCATED, LENGTH, NATS, SAMPLED], arm, "short")

# %% [markdown]
# With the punishment fewer responses are cut off, and accuracy is lower in all five seeds. Filtering changes nothing that would matter, though an endless answer then
# costs nothing. Note what the lab lacks: a response that is cut off after four tries had not found
# the target, so the "reward noise" of the slide, sound reasoning that is called wrong, hardly
# exists here, and a search that is told to be short stops before the target.

# %% [markdown]
# ## Exercises
#
# Replace `raise NotImplementedError` and run the cell: `check_exercise` says "right", or gives
# a hint.
#
# **dapo-1.** Up to which probability does a token with $\hat A>0$ have a gradient? `p_old` is a
# tensor.


# %%
def ceiling(p_old, epsilon_high):
    raise NotImplementedError


check_exercise("dapo-1", ceiling)


# %% [markdown]
# **dapo-2.** The share of each completion in the loss by Eq 8 as written, (N,), from the mask (N, T)
# in groups of `num_generations` rows.


# %%
def shares_of_the_loss(completion_mask, num_generations):
    raise NotImplementedError


check_exercise("dapo-2", shares_of_the_loss)


# %% [markdown]
# **dapo-3.** Somebody kept only the total rewards $\pm1$ plus punishment. Find the groups to keep all the
# same, (P,) bool. (With 0/1 accuracies this would be impossible: why?)


# %%
def keep_from_totals(rewards, num_generations):
    raise NotImplementedError


check_exercise("dapo-3", keep_from_totals)

# %% [markdown]
# **4. Predict, then run.** `prompt` divides by the tokens of one question's answers, `tokens` by
# those of four questions. Before you look: which of the two is more often right in the end? Write
# down a sign and a number, then run `report([SAMPLED], "prompt", "tokens")` in a cell of your own
# and say whether five seeds decide it.
#
# **5. A small experiment.** Copy an arm of `SWITCHES` in `experiments/dapo.py`, change *one* number
# (the cache of the punishment, $\varepsilon_\text{high}$, `max_resample_times`), train seeds 0 to 2,
# and fill in: *I expected … because …; the difference was … [ …, … ]; I would need … seeds to know.*
#
# <details><summary>Solutions</summary>
#
# ```python
# # dapo-1
# def ceiling(p_old, epsilon_high):
#     return ((1 + epsilon_high) * p_old).clamp(max=1)
# ```
#
# ```python
# # dapo-2
# def shares_of_the_loss(completion_mask, num_generations):
#     groups = completion_mask.sum(1).view(-1, num_generations)
#     return (groups / groups.sum(1, keepdim=True)).view(-1) / len(groups)
# ```
#
# ```python
# # dapo-3
# def keep_from_totals(rewards, num_generations):
#     right = (rewards > -0.5).view(-1, num_generations)  # right: R ≥ 0, wrong: R ≤ −1
#     return right.any(1) & ~right.all(1)
# ```
#
# With 0/1 accuracies a total of 0 is a right answer at the limit or a wrong short one.
#
# </details>

# %% [markdown]
# ## References
#
# * Yu et al., 2025, *DAPO: An Open-Source LLM Reinforcement Learning System at Scale*, [arXiv
#   2503.14476](https://arxiv.org/abs/2503.14476) v1: Eq 7 to 13, Algorithm 1, Table 1, Figures 1 to 6 (curves:
#   `data/papers/SOURCES.md`). One training run per curve, no error bars.
# * [verl-recipe](https://github.com/verl-project/verl-recipe), `dapo/`: script and notes on the reproduction.
# * DeepSeek-AI, 2025, *DeepSeek-R1*, [arXiv 2501.12948](https://arxiv.org/abs/2501.12948): KL weight, R1-Zero-Qwen-32B, distilled
#   models.
# * Liu et al., 2025, *Understanding R1-Zero-Like Training*, [arXiv 2503.20783](https://arxiv.org/abs/2503.20783): what a token mean
#   leaves.
# * Shao et al., 2024, *DeepSeekMath*, [arXiv 2402.03300](https://arxiv.org/abs/2402.03300): GRPO.
#
# Next: [09 GDPO](09_gdpo.ipynb), where the second reward gets a normalization of its own;
# [14 the ladder](14_ladder.ipynb) stacks the techniques and looks at what came after.
