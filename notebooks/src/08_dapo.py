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
# # 08 · DAPO: four techniques and a ladder
#
# question → **rollouts → rewards** → advantages → **objective** → update → record → figure
#
# DAPO keeps GRPO's advantage and repairs what is around it: which groups are sampled, what an
# answer that runs into the limit is paid, where the clip stops, and how tokens are averaged.
# The slides count four techniques; in code they are five functions.
#
# You will be able to
#
# * say which tokens the upper clip holds back, and what 0.28 in place of 0.2 gives them;
# * count what dynamic sampling costs, in updates and in samples;
# * tell Eq 8 as printed from Eq 8 as programmed, on two prompts;
# * set `L_max` for the soft overlong punishment so that it does what the paper says;
# * read an ablation ladder with its standard errors.
#
# **Time:** about a minute on one core. **Paper:** DAPO, Yu et al., 2025, [arXiv 2503.14476](https://arxiv.org/abs/2503.14476).
# **Builds on** [03 GRPO](03_grpo.ipynb) (group advantage, aggregation, clip).
# **Next:** [09 GDPO](09_gdpo.ipynb).

# %% tags=["parameters"]
max_steps = 8
learning_rate = 1e-3

# %%
import copy
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import rlnotes as rl
from rlnotes.analysis.figures import plot_surrogate, use_style
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.worked_group import worked_group

use_style()
torch.manual_seed(0)
torch.set_num_threads(1)  # a tiny model: a second thread only waits
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


# %%
def dapo_loss(logps, old_logps, advantages, mask, num_generations, low=0.2, high=0.28):
    ratio, a = (logps - old_logps).exp(), advantages[:, None]
    surrogate = torch.minimum(ratio * a, ratio.clamp(1 - low, 1 + high) * a) * mask
    per_prompt = surrogate.sum(1).view(-1, num_generations).sum(1)
    tokens = mask.sum(1).view(-1, num_generations).sum(1)
    return -(per_prompt / tokens).mean()


# %% [markdown]
# We hold the five lines against the library, value and gradient, on two prompts: the worked
# group, and the same four completions in reverse order with other advantages. The library calls
# this aggregation `"dapo_prompt"`, because the frameworks' `"dapo"` is another; we come to
# that.

# %%
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

# %% [markdown]
# **Limit cases.** At ratio 1 the gradient is REINFORCE's with DAPO's weights. With all
# advantages 0, which is what a group without a spread gets, the loss is 0. With boundless
# $\varepsilon$ the minimum is gone. With one token per completion a mean of means is the mean
# of tokens, so DAPO with $\varepsilon_\text{high}=\varepsilon_\text{low}$ is GRPO.

# %%
at_one = old.clone().requires_grad_()
loss = rl.policy_loss(at_one, old, advantages, mask, **eq8)
weights = rl.token_weights(mask, loss_type="dapo_prompt", num_generations=4)
(gradient,) = torch.autograd.grad(loss, at_one)
assert torch.allclose(gradient, -weights * advantages[:, None])
assert rl.policy_loss(now, old, 0 * advantages, mask, **eq8) == 0

free = {**eq8, "epsilon": 1e6, "epsilon_high": 1e6}
unclipped = -(weights * (now - old).exp() * advantages[:, None]).sum()
assert torch.allclose(rl.policy_loss(now, old, advantages, mask, **free), unclipped)

one_token = (now[:, :1], old[:, :1], advantages, mask[:, :1])
same = dapo_loss(*one_token, 4, high=0.2)
assert torch.allclose(same, rl.policy_loss(*one_token, loss_type="grpo"))

# %% [markdown]
# ## UPDATE: a bench for live runs
#
# Every technique below gets a live run against one baseline, "naive GRPO": the tiny policy of
# [00](00_map_and_notation.ipynb) on sums modulo ten, 16 questions with $G=4$ completions of at
# most 10 tokens a step, and **eight updates per rollout**, because with one no clip can bind.
# The learning rate was chosen on the baseline alone. Five seeds each, the same five for all: we
# compare pairs and give the 95 % interval of the mean difference.

# %%
seeds, t_95 = range(5), 2.776  # Student's t with 4 degrees of freedom
base = rl.load_policy("tiny")
task = rl.load_task("scratch-addition")
common = {"policy": "tiny", "task": task.name, "bf16": False}
common |= {"generation_batch_size": 64, "num_generations": 4, "steps_per_generation": 8}
common |= {"max_completion_length": 10, "learning_rate": learning_rate}
common |= {"max_steps": max_steps}
ACCURACY, LENGTH = "eval/sampled_accuracy", "eval/mean_length"
ENTROPY = "entropy of a response, nats"

# %% [markdown]
# Less than thirty held-out questions are a coarse ruler, so the accuracy we compare is that on
# the training questions, with fresh samples, four each; the held-out accuracy stands beside it.
# `bench` is the task with that one method replaced. A loop over the seeds trains a fresh copy
# of the same base policy and counts every completion that was generated, used or not.

# %%
drawn = task.sample(100, seed=0, step=0)  # distinct until the pool is empty
questions = list({question.prompt: question for question in drawn}.values())
assert len(questions) + len(task.held_out()) == 100
bench = SimpleNamespace(
    name=task.name,
    sample=task.sample,
    verify=task.verify,
    read_answer=task.read_answer,
    held_out=lambda: questions,
)


def fresh():
    return rl.Policy(copy.deepcopy(base.model), base.tokenizer, "tiny")


# %%
def live(**fields):
    """One run per seed; `samples` counts every completion that was generated."""
    runs = []
    for seed in seeds:
        config = rl.make_config(**common, **fields, seed=seed)
        policy = fresh()
        table = rl.train(config, policy=policy, task=bench, progress=False).metrics
        trained = table["reward"].notna() * config.generation_batch_size
        samples = table.get("dynamic_sampling/completions", trained).fillna(0).cumsum()
        held_out = rl.evaluate(policy, task, config)
        table = table.assign(seed=seed, samples=samples)
        table["held_out"] = held_out["eval/sampled_accuracy"]
        table["held_out_greedy"] = held_out["eval/greedy_accuracy"]
        table[ENTROPY] = table["eval/entropy"] * table[LENGTH]
        runs.append(table)
    return pd.concat(runs, ignore_index=True)


# %%
naive = live(eval_steps=2)

# %% [markdown]
# Two helpers for all that follows: the paired difference to the baseline at the last evaluation
# (of a rollout metric, such as a clip share: the mean of the last three steps), and a line that
# says whether its interval excludes 0. Sixty-four updates are few; some effects will drown, and
# we will say so. The assertion is for the test suite: whoever flips a sign in the library sees
# it here.
#
# Entropy is that of a **whole response**, the mean entropy of a token times the mean length. The
# mean over tokens alone would mislead here: most tokens of an answer are cheap dots, so it rises
# whenever answers get shorter, whatever the policy has become.


# %%
def level(runs, key):
    """Per seed: mean of the last three steps, or the last evaluation."""
    last = 1 if key.startswith("eval/") or key == ENTROPY else 3
    values = runs.dropna(subset=[key]).groupby("seed")[key]
    return values.agg(lambda s: s.tail(last).mean())


def verdict(label, key, difference):
    half = t_95 * difference.std() / len(difference) ** 0.5
    word = "clear of 0" if abs(difference.mean()) > half else "within the noise"
    print(f"{label:18} {key:25} {difference.mean():+.3f} ± {half:.3f}  {word}")


def report(label, runs, *keys):
    for key in keys:
        verdict(label, key, level(runs, key) - level(naive, key))


# %%
first = naive[naive["step"] == 0].iloc[0]
for key in (ACCURACY, ENTROPY, LENGTH):
    print(f"naive GRPO  {key:27} {first[key]:.2f} → {level(naive, key).mean():.2f}")
untrained = rl.evaluate(base, task, rl.make_config(**common))
for how, column in (("sampled", "held_out"), ("greedy", "held_out_greedy")):
    before, after = untrained[f"eval/{how}_accuracy"], naive[column].mean()
    print(f"naive GRPO  held out, {how:17} {before:.2f} → {after:.2f}")
gain = level(naive, ACCURACY).mean() - first[ACCURACY]
assert gain > 0.2

# %% [markdown]
# ## No KL
#
# **[Erratum 17](../docs/errata.md#erratum-17).** The slide ends with "=> Exclude KL divergence", as if it followed for
# everybody. The paper's argument is for long reasoning: the policy is meant to leave its base.
# R1 keeps $\beta=0.001$ and refreshes its reference now and then, so it is a choice. How much say
# does the term have? On the worked group, whose policy is still near its reference, we compare
# the gradient of the KL term ($k_3$) with that of the surrogate. What $\beta=0$ saves for certain
# is a second model in memory and a forward pass per batch.

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
for p_old in (0.01, 0.2, 0.9):
    bounds = [(1 + high) * p_old for high in (0.2, 0.28)]
    words = ["not binding" if bound > 1 else "binds" for bound in bounds]
    print(
        f"p_old = {p_old:<4}  ε_high = .2: {bounds[0]:.4f} {words[0]:11}"
        f"  ε_high = .28: {bounds[1]:.4f} {words[1]}"
    )

# %% [markdown]
# We do not take the formula's word for it. `slope` asks autograd whether a token that went from
# `p_old` to `p_new`, with $\hat A=1$, still has a gradient. The bound is no wall, by the way: a
# clipped token can rise further on the gradients of its neighbors, it only stops pulling.


# %%
def slope(p_old, p_new, epsilon_high):
    leaf = torch.tensor([[p_new]], dtype=torch.float64).log().requires_grad_()
    old_logp = torch.tensor([[p_old]], dtype=torch.float64).log()
    ratio = rl.importance_ratio(leaf, old_logp, torch.ones(1, 1))
    keywords = {"epsilon_high": epsilon_high}
    loss = rl.clipped_surrogate_loss(ratio, torch.ones(1), **keywords).sum()
    return -torch.autograd.grad(loss, leaf)[0].item()


assert slope(0.01, 0.0119, 0.2) > 0 == slope(0.01, 0.0121, 0.2)
assert slope(0.01, 0.0121, 0.28) > 0 == slope(0.01, 0.0129, 0.28)
assert slope(0.9, 0.9999, 0.2) > 0

# %% [markdown]
# In the **worked group** two tokens of right answers lie between the two bounds. GRPO has
# stopped them, DAPO still learns from them. A third one, an end token, is beyond both.

# %% tags=["nbval-check-output"]
logps, old_logps, wmask = group.per_token_logps, *(worked[i] for i in (0, 2))
ratio = rl.importance_ratio(logps, old_logps, wmask)
for i, t in ((ratio > 1.2) & (worked_a[:, None] > 0)).nonzero().tolist():
    p_old, p_now = old_logps[i, t].exp(), logps[i, t].exp()
    who = "stopped by both" if ratio[i, t] > 1.28 else "freed by ε_high = .28"
    print(f"o{i + 1} {group.tokens[i][t]:5} {p_old:.3f} → {p_now:.3f}  {who}")
for high in (0.2, 0.28):
    shares = rl.clip_fractions(ratio, worked_a, wmask, epsilon_high=high)
    print(
        f"ε_high = {high:<4} clip_ratio/high_mean {shares['clip_ratio/high_mean']:.4f}"
    )

# %% [markdown]
# ### Which tokens are stopped?
#
# The paper's Figure 3a says: rare ones, their mean probability is below 0.2 for most of the
# run. We measure it: one rollout, eight updates, then all tokens of good answers whose ratio
# has passed 1.2, against all tokens of good answers.

# %%
from rlnotes.training.batches import prepare
from rlnotes.training.learner import Learner
from rlnotes.training.loop import build_rewards, collect
from rlnotes.training.updates import update


def tokens_of_good_answers(seed):
    """p_old of the tokens with Â > 0, and which of them the upper clip stops."""
    config = rl.make_config(**common, seed=seed)
    learner = Learner.create(config, fresh())
    rollouts, rewards, _ = collect(learner, bench, build_rewards(config, bench), 1)
    batch = prepare(learner, rollouts, rewards)
    update(learner, batch, 1)
    with torch.no_grad():
        logps = rl.packed_logps(learner.policy, rollouts, temperature=1.0)
    good = rollouts.completion_mask.bool() & (batch.advantages[:, None] > 0)
    old_logps = batch.old_per_token_logps
    return old_logps[good].exp(), (logps - old_logps)[good].exp() > 1.2


# %%
p_old, stopped = (
    torch.cat(x) for x in zip(*map(tokens_of_good_answers, seeds), strict=True)
)
print(f"tokens of good answers: {len(p_old)}, mean p_old {p_old.mean():.2f}")
rare = p_old[stopped].mean()
print(f"of these stopped by 1.2: {int(stopped.sum())}, mean p_old {rare:.2f}")
curve = pd.read_csv(rl.project_folder() / "data/papers/dapo_fig3a_1.csv")
print(f"paper, Figure 3a: mean over the run {curve['y'].mean():.2f}")

# %% [markdown]
# ### Entropy, live
#
# Three settings that differ in $\varepsilon_\text{high}$ alone: 0.2, DAPO's 0.28, and no upper
# bound worth the name (99). The third is not in the paper. In the paper the curves for 0.2 and
# 0.28 part between updates 200 and 400; we make 64, so 0.08 of room may not show, and the third
# setting tells us which way the bound pushes.

# %%
clip_higher = live(epsilon_high=0.28)
unbounded = live(epsilon_high=99.0)


# %%
def plot_paper(axes, figure_name, label, color):
    """One curve of the DAPO paper, from its vector figure."""
    table = rl.paper_curve(f"dapo_{figure_name}")
    axes.plot(table["step"], table["y"], color=color, lw=1, label=label)


def per_response(runs):
    """Entropy of a whole sampled response, nats."""
    return runs["entropy"] * runs["completions/mean_length"]


def our_curve(axes, runs, key, label, color, x="step"):
    """Mean over the seeds and their range."""
    by_step = runs.dropna(subset=[key]).groupby("step")
    where, y = by_step[x].mean(), by_step[key].agg(["mean", "min", "max"])
    axes.plot(where, y["mean"], "o-", ms=3, color=color, label=label)
    axes.fill_between(where, y["min"], y["max"], color=color, alpha=0.12, lw=0)


# %%
BLUE, RED, GRAY, GREEN = "#0072B2", "#D55E00", "#999999", "#009E73"
figure, (room, paper, ours) = plt.subplots(1, 3, figsize=(10, 2.7))
p = torch.linspace(0.002, 1, 500)
for high, color in ((0.2, BLUE), (0.28, RED)):
    room.plot(p, torch.clamp((1 + high) * p, max=1) - p, color=color, label=f"{high}")
room.set(xlabel="p_old", ylabel="rise until the clip stops", title="room to rise")
room.legend(title="ε_high", fontsize=8)
plot_paper(paper, "fig2b_2", "ε_high .2", BLUE)
plot_paper(paper, "fig2b_1", "ε_high .28", RED)
paper.set(xlabel="update", ylabel="entropy", ylim=(0, None), title="paper, Figure 2b")
for runs, label, color in zip(
    (naive, clip_higher, unbounded), (".2", ".28", "none"), (BLUE, RED, GRAY)
):
    our_curve(ours, runs.assign(nats=per_response(runs)), "nats", label, color)
ours.set(xlabel="step (8 updates)", ylabel="nats a response", ylim=(0, None))
ours.set_title("ours, 5 seeds: mean and range")
_ = ours.legend(title="upper clip", fontsize=8)

# %%
for label, runs in (("ε_high .28", clip_higher), ("no upper clip", unbounded)):
    report(label, runs, ENTROPY, LENGTH, "clip_ratio/high_mean", ACCURACY)

# %% [markdown]
# In the paper, one run each: with 0.2 the entropy falls to 0.005 by update 2,300; with 0.28 it
# stays near 0.4. Here the lines above say what 64 updates of a toy can show, and that is little:
# the bound is met by few tokens (`clip_ratio/high_mean`), and an answer has two to ten of them.
# An earlier version of this page read the mean entropy of a *token*, which went up
# without a bound, as the paper's effect. It was not: answers had become shorter. Whether
# clip-higher keeps a policy from collapsing this bench cannot tell.

# %% [markdown]
# ## Technique 2: dynamic sampling
#
# $$0<\big|\{o_i \mid \operatorname{equivalent}(a,o_i)\}\big|<G \qquad\text{(DAPO Eq 11)}$$
#
# Groups that are all right or all wrong have advantage 0, so they fill the batch and teach
# nothing. DAPO samples until 512 groups are mixed. In the open it is one line per group; the
# library's `informative_groups` does the same and checks what it is given.


# %%
def mixed(accuracies, num_generations):
    correct = accuracies.view(-1, num_generations).sum(1)
    return (correct > 0) & (correct < num_generations)


random_accuracies = (torch.rand(400) < 0.7).float()
ours_kept = mixed(random_accuracies, 4)
assert torch.equal(ours_kept, rl.informative_groups(random_accuracies, 4))
assert mixed(group.rewards, 4).tolist() == [True]  # the worked group stays

# %% [markdown]
# A question that the policy answers with chance $p$ gives a mixed group with chance
# $1-p^G-(1-p)^G$. One over it is the number of groups to sample for one that is kept. At the
# ends it explodes: with $G=16$, a question at 99 % costs almost seven groups.

# %% tags=["nbval-check-output"]
chances = torch.tensor([0.02, 0.05, 0.1, 0.25, 0.5, 0.9, 0.99], dtype=torch.float64)


def kept_share(p, size):
    return 1 - p**size - (1 - p) ** size


print("p       " + " ".join(f"{p:6.2f}" for p in chances.tolist()))
for size in (4, 16):
    kept = kept_share(chances, size)
    print(f"G = {size:2}  " + " ".join(f"{k:6.3f}" for k in kept.tolist()))
    print("factor  " + " ".join(f"{1 / k:6.1f}" for k in kept.tolist()))

# %%
figure, (share_axes, factor_axes, paper) = plt.subplots(1, 3, figsize=(10, 2.7))
grid = torch.linspace(0.002, 0.998, 499)
for size, color in ((4, GREEN), (16, BLUE), (64, RED)):
    kept = kept_share(grid, size)
    share_axes.plot(grid, kept, color=color, label=f"G = {size}")
    factor_axes.semilogy(grid, 1 / kept, color=color)
share_axes.set(xlabel="chance p to be right", ylabel="share of groups kept")
factor_axes.set(xlabel="chance p to be right", ylabel="sampled per group kept")
share_axes.legend(fontsize=8)
plot_paper(paper, "fig3b_1", "", BLUE)
_ = paper.set(xlabel="update", ylabel="prompts all right", title="paper, Fig. 3b")

# %% [markdown]
# ### The trap: filter on accuracy, not on the reward
#
# **[Erratum 19](../docs/errata.md#erratum-19).** "Advantage becomes 0 if all outputs are correct or incorrect" holds for the ±1
# accuracy reward alone (and the formula on the slide gives 0/0, not 0). Add a length penalty
# and an all-wrong group of unequal lengths has a spread. A filter on "std > 0" of the *total*
# keeps it, and its advantages then say: be wrong, but shorter. We take the worked group's
# lengths, call all four wrong, and let the penalty (technique 4) start after 6 tokens.

# %% tags=["nbval-check-output"]
lengths = group.completion_mask.sum(1)
sop = {"max_completion_len": 12, "soft_punish_cache": 6}
all_wrong = torch.zeros(4)
shaped = 2 * all_wrong - 1 + rl.soft_overlong_punishment(lengths, **sop)
print(
    "lengths   ", lengths.tolist(), " rewards", [round(r, 2) for r in shaped.tolist()]
)
print("on accuracy     keep:", rl.informative_groups(all_wrong, 4).tolist())
print("std of the total keep:", rl.informative_groups(shaped, 4, rule="std").tolist())
wrong_lesson = rl.group_relative_advantages(shaped, 4)
print("and would teach", [round(a, 2) for a in wrong_lesson.tolist()])

# %% [markdown]
# The default rule refuses such input outright, because a correctness is between 0 and 1.
# (verl's DAPO recipe lets one choose the metric, its script sets `acc`; ms-swift filters on the
# weighted total; TRL 1.16 has no dynamic sampling.)

# %% tags=["nbval-check-output"]
try:
    rl.informative_groups(shaped, 4)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ### Prediction, then the bill
#
# What will it cost here? We ask every training question 64 times, put its $p$ into the formula,
# and compare with the share of mixed groups in the baseline's first step. Our loop, like verl's
# recipe, draws whole batches until 16 groups are found and throws the surplus away, so it pays
# more than one over the share.

# %%
answers = rl.generate_rollouts(
    base,
    questions,
    num_generations=64,
    max_completion_length=10,
    generator=torch.Generator().manual_seed(0),
)
right = [task.verify(text, questions[i // 64]) for i, text in enumerate(answers.texts)]
chance = torch.tensor(right).view(-1, 64).mean(1)
predicted = kept_share(chance, 4).mean()
observed = 1 - naive.loc[naive["step"] == 1, "frac_reward_zero_std"].mean()
print(f"chance to be right: from {chance.min():.2f} to {chance.max():.2f}")
print(f"mixed groups of 4: predicted {predicted:.2f}, seen {observed:.2f}")

# %%
dynamic = live(dynamic_sampling=True, eval_steps=2)
bill = pd.DataFrame(
    {
        name: {
            "updates": runs["updates"].max(),
            "completions trained on": 64 * max_steps,
            "completions generated": runs.groupby("seed")["samples"].max().mean(),
            "mixed groups in the last batches": 1
            - level(runs, "frac_reward_zero_std").mean(),
        }
        for name, runs in (("naive GRPO", naive), ("+ dynamic sampling", dynamic))
    }
)
print(bill.round(2).T.to_string())

# %% [markdown]
# **Both axes.** The paper's Figure 6 has updates below. Its curves reach their highest points
# at updates 2,320 and 6,080, a factor of 2.6; what was sampled and discarded is not on that axis.
# The paper answers that generation time is set by the longest completion, so that extra samples
# may be nearly free on a large cluster. On one core they are not. We draw ours over updates and
# over completions generated.

# %%
figure, (paper, by_update, by_sample) = plt.subplots(1, 3, figsize=(10, 2.7))
plot_paper(paper, "fig6_2", "without", BLUE)
plot_paper(paper, "fig6_1", "with", RED)
paper.set(xlabel="update", ylabel="AIME avg@32", title="paper, Figure 6")
paper.legend(title="dynamic sampling", fontsize=8)
for runs, color in ((naive, BLUE), (dynamic, RED)):
    counted = runs.assign(update=8 * runs["step"])
    our_curve(by_update, counted, "eval/sampled_accuracy", "", color, x="update")
    our_curve(by_sample, counted, "eval/sampled_accuracy", "", color, x="samples")
by_update.set(xlabel="update", title="ours, by update", ylabel="accuracy, sampled")
by_sample.set(xlabel="completions generated", title="ours, by sample")
_ = by_sample.sharey(by_update)


# %%
def at_samples(runs, count):
    """Accuracy of each seed when it had generated that many completions."""
    table = runs.dropna(subset=["eval/sampled_accuracy"]).groupby("seed")
    return table.apply(
        lambda run: np.interp(count, run["samples"], run["eval/sampled_accuracy"]),
        include_groups=False,
    )


report("at equal updates", dynamic, "eval/sampled_accuracy")
gap = at_samples(dynamic, 64 * max_steps) - at_samples(naive, 64 * max_steps)
verdict("at equal samples", "eval/sampled_accuracy", gap)

# %% [markdown]
# In the runs stored here dynamic sampling is clearly ahead at equal updates: near the end
# some four in ten of the baseline's groups teach nothing, and its rival's are all mixed. At
# equal samples the lead is gone, for each batch cost more than two. Both statements are true,
# and which one counts depends on what you pay for.
#
# One more thing is filtered: the reward curve. What a trainer logs as `reward` is the mean over
# the *kept* groups, from which the solved and the hopeless questions have been removed, so it is
# pulled toward one half whatever the policy can do. Only an evaluation shows the policy.

# %%
logged = level(dynamic, "rewards/accuracy_reward/mean").mean()
evaluated = level(dynamic, "eval/sampled_accuracy").mean()
print(f"dynamic sampling: logged accuracy {logged:.2f}, evaluated {evaluated:.2f}")

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
# is one prompt, so both agree. The weight of one token under each rule, for lengths 3, 5, 7,
# 12:

# %% tags=["nbval-check-output"]
rules = {"grpo": BLUE, "dapo": RED, "dr_grpo": GREEN}
token_weight, share = {}, {}
for rule in rules:
    w = rl.token_weights(wmask, loss_type=rule, max_completion_length=12)
    token_weight[rule], share[rule] = w[:, 0], w.sum(1) / w.sum()
    values = "  ".join(f"{x:.4f}" for x in token_weight[rule].tolist())
    print(f"{rule:8} per token {values}   share of o4 {share[rule][3]:.2f}")

# %% [markdown]
# **[Erratum 21](../docs/errata.md#erratum-21).** The slide with Figure 4 lost its legend. In the paper the curves that explode
# are those *without* token-level loss: entropy to 2.7 and more, length to almost 4,900 tokens.
# Ours uses the loss as coded; a mini-batch holds two groups, so its denominator is the tokens
# of eight completions.

# %%
token_level = live(loss_type="dapo")
figure, axes = plt.subplots(2, 2, figsize=(7.6, 4.1))
for n, (rule, color) in enumerate(rules.items()):
    x = np.arange(4) + 0.27 * (n - 1)
    axes[0, 0].bar(x, token_weight[rule], 0.25, color=color, label=rule)
axes[0, 0].set_xticks(range(4), [f"{n} tokens" for n in lengths.tolist()])
axes[0, 0].set(ylabel="weight of one token", title="worked group")
for panel, name in ((axes[0, 1], "4a"), (axes[1, 0], "4b")):
    plot_paper(panel, f"fig{name}_2", "without", BLUE)
    plot_paper(panel, f"fig{name}_1", "token-level", RED)
    panel.set(xlabel="update", title=f"paper, Figure {name}")
axes[0, 1].set_ylabel("entropy")
axes[1, 0].set_ylabel("mean length, tokens")
for runs, label, color in ((naive, "grpo", BLUE), (token_level, "dapo", RED)):
    our_curve(axes[1, 1], runs, "completions/mean_length", label, color)
axes[1, 1].set(xlabel="step", ylabel="mean length", title="ours, 5 seeds")
for panel in (axes[0, 0], axes[0, 1], axes[1, 1]):
    panel.legend(fontsize=8)

# %%
report("token-level loss", token_level, LENGTH, ENTROPY, ACCURACY)

# %% [markdown]
# Answers of two to ten tokens are a poor place to look for an effect of *long* answers: the
# weights of the two rules differ by at most a factor of five here, and by two hundred in a run
# where one answer has 100 tokens and another 20,000. In the paper the token mean keeps answers
# *shorter* than the mean of means does; where the first line above has a plus, the toy has gone
# the other way, and nothing about long answers follows from either.
# Dr. GRPO's authors add that a token mean does not remove the length bias either, because its
# denominator still depends on the lengths that were sampled ([03](03_grpo.ipynb)).

# %% [markdown]
# ## Technique 4: overlong reward shaping
#
# A completion that hits the limit has no answer yet and is paid as wrong, however sound it was.
# DAPO tries two remedies. **4-1, filtering**, takes truncated completions out of the loss:
#
# $$m'_{i,t}=m_{i,t}\cdot\mathbb 1[o_i\text{ ended by itself}]\qquad\text{(§3.4)}$$
#
# **[Erratum 22](../docs/errata.md#erratum-22).** The caption of Figure 5 says overlong reward *shaping*; its legend, and its
# curves, are overlong *filtering*. And filtering is a rung of the ladder that the best run does
# not stand on: verl's notes on the reproduction say that most runs, the best one included, went
# without it.

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


# %%
def soft_overlong(length, l_max, l_cache):
    if length <= l_max - l_cache:
        return 0.0
    if length <= l_max:
        return ((l_max - l_cache) - length) / l_cache
    return -1.0


every = torch.arange(0, 140)
ours_penalty = torch.tensor([soft_overlong(n, 110, 30) for n in every.tolist()])
library_penalty = rl.soft_overlong_punishment(
    every, max_completion_len=110, soft_punish_cache=30
)
assert torch.allclose(ours_penalty, library_penalty)
assert library_penalty[80] == 0 and library_penalty[110] == library_penalty[139] == -1

# %% [markdown]
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

# %% tags=["nbval-check-output"]
penalty = rl.soft_overlong_punishment(lengths, **sop)
for name, accuracy in (("±1 ", 2 * group.rewards - 1), ("0/1", group.rewards)):
    total = accuracy + penalty
    a = rl.group_relative_advantages(total, 4)
    rewards, advs = (" ".join(f"{v:+.2f}" for v in x.tolist()) for x in (total, a))
    print(f"{name} rewards {rewards}   advantages {advs}")

# %% [markdown]
# Our accuracy reward is 0/1, as in R1 and TRL. A weight of 2 on it gives the paper's advantages
# exactly, since the missing −1 is a constant that the group mean removes. The live runs use
# `reward_weights=(2, 1)`.

# %%
doubled = rl.group_relative_advantages(2 * group.rewards + penalty, 4)
paper_total = rl.group_relative_advantages(2 * group.rewards - 1 + penalty, 4)
assert torch.allclose(doubled, paper_total)

punished = {
    "reward_funcs": ("accuracy_reward", "soft_overlong_punishment_reward"),
    "reward_weights": (2.0, 1.0),
    "soft_punish_cache": 4,  # of 10 tokens: the penalty starts at the seventh
}
filtering = live(mask_truncated_completions=True)
punishing = live(**punished)
variants = {"naive": naive, "filtering": filtering, "punishment": punishing}

# %%
figure, axes = plt.subplots(2, 2, figsize=(7.6, 4.1))
span = torch.arange(8192, 20481, 64)
for limit, label, color in ((20480, "paper", RED), (16384, "slide", GRAY)):
    cache = {"max_completion_len": limit, "soft_punish_cache": 4096}
    curve = rl.soft_overlong_punishment(span, **cache)
    axes[0, 0].plot(span, curve, color=color, label=f"L_max {limit:,} ({label})")
axes[0, 0].set(xlabel="length, tokens", ylabel="R_length", title="Eq 13")
axes[0, 0].set_xticks([8192, 12288, 16384, 20480])
for panel, name, quantity in (
    (axes[0, 1], "5a", "AIME"),
    (axes[1, 0], "5b", "entropy"),
):
    plot_paper(panel, f"fig{name}_1", "without", BLUE)
    plot_paper(panel, f"fig{name}_2", "with filtering", RED)
    panel.set(xlabel="update", ylabel=quantity, title=f"paper, Figure {name}")
for (label, runs), color in zip(variants.items(), (BLUE, RED, GREEN), strict=True):
    our_curve(axes[1, 1], runs, "completions/mean_length", label, color)
axes[1, 1].set(xlabel="step", ylabel="mean length", title="ours, 5 seeds", ylim=(0, 10))
for panel in (axes[0, 0], axes[0, 1], axes[1, 1]):
    panel.legend(fontsize=8)

# %%
report("filtering", filtering, LENGTH, "completions/clipped_ratio", ACCURACY)
report("soft punishment", punishing, LENGTH, "completions/clipped_ratio", ACCURACY)

# %% [markdown]
# The punishment moves what it names, the length, and quickly. Filtering removes the one signal
# against running on, since an endless answer then costs nothing; `clipped_ratio` is where that
# would show. Note what the miniature lacks: our dots carry no thought, so a shorter answer
# loses nothing here, and the "reward noise" of the slide, sound reasoning cut off, does not
# exist.

# %% [markdown]
# ## All of it on the worked group
#
# GRPO against DAPO (Eq 8, $\varepsilon_\text{high}=0.28$, $R=\pm1$ plus punishment from 6 to 12
# tokens), completion by completion: the reward, the advantage, the share of the loss, how many
# tokens the clip stops, and the summed gradient of the objective by $\log\pi$, which is the
# push that the completion gets.

# %% tags=["nbval-check-output"]
for name, rewards, keywords in (
    ("GRPO", group.rewards, {"loss_type": "grpo"}),
    ("DAPO", 2 * group.rewards - 1 + penalty, eq8),
):
    a = rl.group_relative_advantages(rewards, 4)
    leaf = group.per_token_logps.clone().requires_grad_()
    loss = rl.policy_loss(leaf, old_logps, a, wmask, **keywords)
    (push,) = torch.autograd.grad(-loss, leaf)
    size = {"num_generations": 4} if name == "DAPO" else {}
    w = rl.token_weights(wmask, loss_type=keywords["loss_type"], **size).sum(1)
    halted = ((push == 0) & (wmask == 1)).sum(1)
    for i in range(4):
        print(
            f"{name} o{i + 1}  R {rewards[i]:+.2f}  Â {a[i]:+.2f}  share {w[i]:.2f}  "
            f"stopped {halted[i]}  push {push[i].sum():+.3f}"
        )

# %% [markdown]
# ## The ladder
#
# **[Erratum 25](../docs/errata.md#erratum-25).** Table 1 of the paper adds one technique after another, and the slide shows it
# as a sum. We put on the error bars that it does not have. AIME 2024 has 30 problems, so one
# problem more is 3.33 points; avg@32 draws 960 answers, whose sampling error is at most
# $\sqrt{p(1-p)/960}$ for these fixed problems. Another training run would add its own variation,
# and how much that is nobody has said.

# %% tags=["nbval-check-output"]
ladder = {
    "naive GRPO": 30,
    "+ overlong filtering": 36,
    "+ clip-higher": 38,
    "+ soft overlong punishment": 41,
    "+ token-level loss": 42,
    "+ dynamic sampling (DAPO)": 50,
}
scores = np.array(list(ladder.values()))
errors = 100 * np.sqrt(scores / 100 * (1 - scores / 100) / 960)
gains = np.diff(scores, prepend=scores[0])
gain_errors = np.sqrt(errors**2 + np.roll(errors, 1) ** 2)
for name, score, gain, error in zip(ladder, scores, gains, gain_errors, strict=True):
    step = f"  {gain:+d} ± {error:.1f}, {gain / 3.33:.1f} problems" if gain else ""
    print(f"{name:27} {score}{step}")

# %% [markdown]
# Rungs of 1, 2 and 3 points are less than one problem, and less than two standard errors. Nor
# do they add up: verl's reproduction of the full recipe reaches 52, without dynamic sampling
# 50, and without that *and* the token-level loss 44. There dynamic sampling brings 2 points and
# the token-level loss 6; in Table 1 it is 8 and 1. What a technique brings depends on what is
# already there, and on the run.

# %%
figure, (bars, curves) = plt.subplots(1, 2, figsize=(11, 3.2))
bars.barh(range(6), scores, color=[GRAY, *[BLUE] * 4, RED])
bars.errorbar(scores, range(6), xerr=2 * errors, fmt="none", color="black", capsize=3)
bars.set_yticks(range(6), list(ladder))
bars.invert_yaxis()
bars.axvline(47, color="black", lw=0.8, ls="--")
bars.set(xlabel="AIME 2024 avg@32, ± 2 sampling errors", title="paper, Table 1")
plot_paper(curves, "fig1_1", "DAPO", RED)
curves.axhline(47, color="black", lw=0.8, ls="--", label="R1-Zero-Qwen-32B (47)")
curves.plot([10000], [47], "ks", ms=4)
curves.set(
    xlabel="update", ylabel="AIME avg@32", title="paper, Figure 1", xlim=(0, 10400)
)
_ = curves.legend(fontsize=8, loc="lower right")

# %% [markdown]
# ### "50 % training steps" in honest units
#
# The 50 % is 5,280 *gradient updates* against some 10,000. Sixteen updates share one rollout,
# and dynamic sampling discards rollouts that no update ever sees. From the paper's batch sizes
# and the published script, which generates 1,536 prompts at a time to fill 512:

# %% tags=["nbval-check-output"]
updates, per_rollout = 5280, 16
rollout_steps = updates // per_rollout
trained = rollout_steps * 512 * 16
generated = rollout_steps * 1536 * 16
print(f"{updates:,} updates = {rollout_steps} rollout steps")
print(f"completions trained on   {trained / 1e6:.1f} million")
print(f"completions generated    {generated / 1e6:.1f} million or more (script)")

# %% [markdown]
# How many completions R1-Zero-Qwen-32B saw in its 10,000 steps the figure does not say, so a
# comparison in samples cannot be made: "half the steps" says nothing about half the cost. Two
# more cautions for that slide. The 50 is avg@32 at temperature 1 and top-p 0.7, while
# DeepSeek's 47 is pass@1 at 0.6 and 0.95. And the last slide puts 50 beside the 72.6 of the
# *distilled* 32B without a word: from the same base model, distillation is still 22.6 points
# ahead.

# %% [markdown]
# ### A mini-ladder
#
# Ours is not a ladder but a fan: naive GRPO plus each technique alone, and DAPO with all of
# them but filtering. All with the same seeds, steps and updates; DAPO and dynamic sampling have
# generated more (last column). Twenty-one intervals: one will exclude 0 by luck.

# %%
fan = {
    "overlong filtering": filtering,
    "clip-higher": clip_higher,
    "no upper clip": unbounded,
    "soft punishment": punishing,
    "token-level loss": token_level,
    "dynamic sampling": dynamic,
}
fan["DAPO"] = live(
    **punished, epsilon_high=0.28, loss_type="dapo", dynamic_sampling=True
)
fan_keys = [ACCURACY, ENTROPY, LENGTH]

# %%
figure, panels = plt.subplots(1, 3, figsize=(11, 3), sharey=True)
for panel, key in zip(panels, fan_keys, strict=True):
    for y, (name, runs) in enumerate(fan.items()):
        difference = level(runs, key) - level(naive, key)
        half = t_95 * difference.std() / len(difference) ** 0.5
        color = RED if name == "DAPO" else BLUE
        panel.plot(difference, [y] * len(difference), ".", color=color, alpha=0.4)
        panel.errorbar(difference.mean(), y, xerr=half, fmt="o", color=color, capsize=3)
    panel.axvline(0, color="black", lw=0.8)
    panel.set(xlabel="less naive GRPO", title=key)
panels[0].set_yticks(range(len(fan)), list(fan))
panels[0].invert_yaxis()

# %%
rows = {"naive GRPO": naive, **fan}
table = pd.DataFrame(
    {key: {n: level(r, key).mean() for n, r in rows.items()} for key in fan_keys}
)
table["held out"] = {n: r["held_out"].mean() for n, r in rows.items()}
table["held out, greedy"] = {n: r["held_out_greedy"].mean() for n, r in rows.items()}
table["generated"] = {
    n: r.groupby("seed")["samples"].max().mean() for n, r in rows.items()
}
for name, runs in fan.items():
    report(name, runs, *fan_keys)
table.round(2)

# %% [markdown]
# What the fan shows is what the lines call clear of 0, and of twenty-one such lines one will be
# so by luck. The runs are made where you read this, and another processor moves the small ones,
# so we name two things alone that are large: the punishment takes more than two tokens off an
# answer, and at equal updates dynamic sampling, with DAPO, which contains it, is ahead on
# accuracy, for which both generated twice as many completions.
#
# The last two columns are a warning. These sums were held out from RL, not from pretraining, and
# the untrained policy's *greedy* answers to them are all right. What rises under RL is the
# chance of a sample to be right; greedy accuracy on sums outside the training set falls.
#
# All seven intervals share one baseline. If its five seeds were unlucky, all seven move
# together, so an interval that barely misses 0 is no finding. One run per rung, as in Table 1,
# could not have told us even that much. To rank the rest, raise `max_steps` and the number of
# seeds, or take a policy with room to think.

# %% [markdown]
# ### The whole of DAPO on the search lab: five seeds
#
# The four techniques together against GRPO, where responses are long enough to be cut off
# ([12](12_compare_runs.ipynb); `rlnotes sweep configs/search/dapo.yaml configs/search/grpo.yaml --seeds 0-4`):
# 80 steps of 256 *kept* responses. DAPO draws more than it keeps, so the first row counts steps and the second
# completions. Line: mean over seeds; band: 95 % interval.

# %%
lab = rl.load_runs(rl.project_folder() / "data" / "runs" / "*_search_search-base_seed*")
lab = lab[lab["algorithm"].isin(["grpo", "dapo"])].fillna({"num_completions": 0.0})
key, grid = "eval/sampled_accuracy", range(0, 80 * 256 + 1, 2560)
equal = rl.at_equal(lab, key, "num_completions", grid)
_ = rl.plot_bands(lab, [key, "eval/terminated", "eval/entropy"])
_ = rl.plot_bands(equal, [key], xlabel="num_completions")
finals = rl.final_scores(lab, key, last=2)
print("equal steps  ", rl.paired_difference(finals, key, "dapo", "grpo"))
finals = rl.final_scores(equal, key, last=1)
print("equal samples", rl.paired_difference(finals, key, "dapo", "grpo"))
stopped = ["clip_ratio/high_mean", "clip_ratio/low_mean"]
for name, shares in lab.groupby("algorithm")[stopped].mean().iterrows():
    high, low = 1e6 * shares
    print(f"{name}: of a million tokens {high:.0f} stopped above, {low:.0f} below")
lab.groupby("algorithm")[["num_completions", "updates"]].max()

# %% [markdown]
# At equal steps there is no difference to show. At equal *samples* DAPO is **behind in all five
# seeds**: a kept batch costs more than two batches drawn. In the paper most of the cost lies elsewhere
# and questions are far harder; here a third of GRPO's groups is dull over the run, and replacing them
# by sampling more does not pay. Clip-higher is not tested by these runs at all: with two updates a
# rollout, where the paper has sixteen, the upper clip stops some fifty tokens in a million.

# %% [markdown]
# ## What came after
#
# Most successors change one of two things: how much gradient a *token* keeps when its ratio has
# left 1, or how much a *group* weighs. Both fit into a figure. First the token: the slope of the
# objective by $\log\pi$, divided by $\hat A$, from autograd.
#
# * **Dual clip** ([Ye et al., 2020](https://arxiv.org/abs/1912.09729)) bounds the loss where
#   $\hat A<0$ and the ratio has exploded.
# * **[GSPO](https://arxiv.org/abs/2507.18071)** has PPO's shape, with the ratio of a whole
#   completion on the axis and bounds a thousand times closer.
# * **[CISPO](https://arxiv.org/abs/2506.13585)** never stops a token; the ratio, capped, is a
#   constant weight.
# * **[SAPO](https://arxiv.org/abs/2511.20347)** puts a sigmoid in the place of the corner.
# * **[DPPO](https://arxiv.org/abs/2602.04879)** looks at the change of the *probability*. A rare
#   token has room to rise, a common one has none.


# %%
def weight(loss_of, sign, ratios, p_old=0.05):
    """Slope of −loss by log π at each ratio, over Â = ±1."""
    old = torch.full_like(ratios, p_old).log()[:, None]
    leaf = (old[:, 0] + ratios.log())[:, None].requires_grad_()
    advantages, ones = torch.full_like(ratios, sign), torch.ones_like(old)
    loss = loss_of(leaf, old, advantages, ones).sum()
    return -sign * torch.autograd.grad(loss, leaf)[0][:, 0]


def clipped(**keywords):
    return lambda *tokens: rl.per_token_policy_loss(*tokens, **keywords)


def soft(now, old, a, ones):
    return rl.soft_gate_loss(rl.importance_ratio(now, old, ones), a)


def divergence(*tokens):
    return rl.divergence_mask_loss(*tokens, delta=0.1)


# %%
losses = {
    "PPO, GRPO": (clipped(epsilon=0.2), "-"),
    "clip-higher": (clipped(epsilon=0.2, epsilon_high=0.28), "--"),
    "dual clip, 3": (clipped(epsilon=0.2, delta=3.0), ":"),
    "CISPO, 5": (clipped(loss_type="cispo", epsilon_high=5.0), "-."),
    "SAPO": (soft, "-"),
    "DPPO, p_old .05": (divergence, "--"),
}
figure, panels = plt.subplots(1, 2, figsize=(10, 3), sharey=True)
ratios = torch.linspace(0.01, 4, 800, dtype=torch.float64)
for panel, sign in zip(panels, (1.0, -1.0), strict=True):
    for name, (loss_of, dash) in losses.items():
        panel.plot(ratios, weight(loss_of, sign, ratios), dash, label=name)
    panel.set(xlabel="ratio of the token", title=f"advantage {sign:+.0f}", ylim=(0, 4))
panels[0].set_ylabel("weight of the token's gradient")
_ = panels[1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))

# %% [markdown]
# Now the group: how hard are its right answers pushed, $\frac1G\sum_i \hat A_i\,\mathbb 1[\text{right}]$,
# when $k$ of 16 are right? **[MaxRL](https://arxiv.org/abs/2602.02710)** divides by the mean in place of
# the std. Its expected gradient is that of $\log p$, so a question that is rarely solved weighs most.
# **GDPO** ([09](09_gdpo.ipynb)) matters when there is a second reward. Here half of the right and half
# of the wrong answers earn one: normalizing the sum takes strength from the first, normalizing apart
# does not.

# %%
rules = {
    "GRPO": {"scale_rewards": "group"},
    "Dr. GRPO": {"scale_rewards": "none"},
    "MaxRL": {"scale_rewards": "mean"},
}
right_of = torch.arange(2, 16, 2)
push = {name: [] for name in [*rules, "GRPO, two rewards", "GDPO, two rewards"]}
for k in right_of.tolist():
    right = (torch.arange(16) < k).double()
    second = (torch.arange(16) % 2).double()
    for name, keywords in rules.items():
        a = rl.group_relative_advantages(right, 16, **keywords)
        push[name].append((a * right).mean())
    a = rl.group_relative_advantages(right + second, 16)
    push["GRPO, two rewards"].append((a * right).mean())
    apart = [rl.group_relative_advantages(r, 16) for r in (right, second)]
    push["GDPO, two rewards"].append((sum(apart) * right).mean())

# %%
figure, axes = plt.subplots(figsize=(5.5, 3))
for (name, values), dash in zip(push.items(), ("-", "--", "-.", ":", "."), strict=True):
    axes.plot(right_of / 16, values, dash, label=name)
axes.set(xlabel="share of right answers in the group", ylabel="push of the right ones")
axes.set_ylim(0, None)
_ = axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
assert torch.allclose(torch.stack(push["MaxRL"]), 1 - right_of.double() / 16)
assert torch.allclose(*map(torch.stack, (push["GRPO"], push["GDPO, two rewards"])))
print("MaxRL's push is the share of wrong answers; GDPO keeps GRPO's of one reward")

# %% [markdown]
# **A sampler that is not the learner.** Fast samplers round: vLLM's kernels, or our own bfloat16
# copy of the weights. Their tokens come from $\mu$, and the ratio of the learner to itself does not
# know it. The remedy is one more factor, $\pi_\text{old}/\mu$, cut off above $C$ ("truncated
# importance sampling") or set to 0 there. We take a sampler that is off by far more than rounding
# and enumerate one token: how far is the mean gradient from the true one?

# %%
generator = torch.Generator().manual_seed(0)
logits = torch.randn(50, generator=generator, dtype=torch.float64) * 2
prize = torch.rand(50, generator=generator, dtype=torch.float64)
old_logp, off = logits.log_softmax(0), (logits / 0.7).log_softmax(0)


def mean_gradient(sampler, factor):
    leaf = logits.clone().requires_grad_()
    value = (sampler.exp() * factor * prize * leaf.log_softmax(0)).sum()
    return torch.autograd.grad(value, leaf)[0]


true = mean_gradient(old_logp, torch.ones(50))
each = (old_logp[:, None], off[:, None], torch.ones(50, 1))
print(f"no correction      {(mean_gradient(off, 1.0) - true).norm() / true.norm():.2f}")
for mode in ("token_truncate", "token_mask"):
    for cap in (1.5, 3.0, 1e9):
        factor = rl.sampler_correction(*each, mode=mode, cap=cap)[:, 0]
        bias = (mean_gradient(off, factor) - true).norm() / true.norm()
        print(f"{mode:15} C = {cap:<5g} {bias:.2f}")

# %% [markdown]
# The bias is relative to the length of the true gradient. A large cap removes it and pays with
# variance; masking throws the tokens away that the sampler under-estimates most.

# %% [markdown]
# ## What usually goes wrong
#
# * **Clip-higher changes nothing.** One update per rollout: `clip_ratio/high_mean` is 0 and
#   stays 0.
# * **The punishment starts too early.** `max_completion_length` is Eq 13's $L_\text{max}$,
#   cache included; look at `rewards/soft_overlong_punishment_reward/mean` in the first step: it
#   should be near 0.
# * **The filter looks at the total.** All-wrong groups survive for their lengths;
#   `frac_reward_zero_std` is 0 while `rewards/accuracy_reward/mean` of many groups is 0.
# * **The run hangs or fails in the middle.** Too few mixed groups left:
#   `dynamic_sampling/batches` climbs. verl's recipe stops with an error after
#   `max_num_gen_batches`; ours fills up after `max_resample_times`.
# * **`reward` does not rise under dynamic sampling.** It is the reward of the kept groups;
#   evaluate.
# * **The token mean depends on the split.** In gradient accumulation the denominator must be
#   the tokens of all micro-batches (`num_items_in_batch`), or short ones count more.

# %% [markdown]
# ## What changed since 03
#
# The fields in which our GRPO and DAPO configs differ. Note `steps_per_generation`: without it
# the new `epsilon_high` would be decoration. The config adds the punishment to a 0/1 accuracy;
# for the paper's ±1 set `reward_weights=(2, 1)` as above.

# %% tags=["nbval-check-output"]
configs = {n: rl.make_config(algorithm=n).to_dict() for n in ("grpo", "dapo")}
table = pd.DataFrame(configs).drop("algorithm").fillna("None").astype(str)
print(table[table["grpo"] != table["dapo"]].to_string())

# %% [markdown]
# ## Exercises
#
# Replace `raise NotImplementedError` and run the cell: `check_exercise` says "right", or gives
# a hint.
#
# **1.** Up to which probability does a token with $\hat A>0$ have a gradient? `p_old` is a
# tensor.


# %%
def ceiling(p_old, epsilon_high):
    raise NotImplementedError


check_exercise("dapo-1", ceiling)


# %% [markdown]
# **2.** How many completions do we sample on average for one group that is kept?


# %%
def completions_per_kept_group(p, num_generations):
    raise NotImplementedError


check_exercise("dapo-2", completions_per_kept_group)


# %% [markdown]
# **3.** The share of each completion in the loss by Eq 8 as written, (N,), from the mask (N, T)
# in groups of `num_generations` rows.


# %%
def shares_of_the_loss(completion_mask, num_generations):
    raise NotImplementedError


check_exercise("dapo-3", shares_of_the_loss)


# %% [markdown]
# **4.** DAPO's reward of each completion, in $[-2,1]$, from accuracies 0/1 and lengths, both
# (N,).


# %%
def dapo_rewards(accuracies, lengths, l_max, l_cache):
    raise NotImplementedError


check_exercise("dapo-4", dapo_rewards)


# %% [markdown]
# **5.** Somebody kept only the total rewards of exercise 4. Find the groups to keep all the
# same, (P,) bool. (With 0/1 accuracies this would be impossible: why?)


# %%
def keep_from_totals(rewards, num_generations):
    raise NotImplementedError


check_exercise("dapo-5", keep_from_totals)

# %% [markdown]
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
# def completions_per_kept_group(p, num_generations):
#     kept = 1 - p**num_generations - (1 - p) ** num_generations
#     return num_generations / kept
# ```
#
# ```python
# # dapo-3
# def shares_of_the_loss(completion_mask, num_generations):
#     groups = completion_mask.sum(1).view(-1, num_generations)
#     return (groups / groups.sum(1, keepdim=True)).view(-1) / len(groups)
# ```
#
# ```python
# # dapo-4
# def dapo_rewards(accuracies, lengths, l_max, l_cache):
#     penalty = ((l_max - l_cache - lengths) / l_cache).clamp(min=-1, max=0)
#     return 2 * accuracies - 1 + penalty
# ```
#
# ```python
# # dapo-5
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
# * Yu et al., 2025, *DAPO: An Open-Source LLM Reinforcement Learning System at Scale*, arXiv
#   2503.14476 v1: Eq 7 to 13, Algorithm 1, Table 1, Figures 1 to 6 (curves:
#   `data/papers/SOURCES.md`). One training run per curve, no error bars.
# * verl-recipe, `dapo/`: script and notes on the reproduction (52, 50, 44).
# * DeepSeek-AI, 2025, *DeepSeek-R1*, arXiv 2501.12948: KL weight, R1-Zero-Qwen-32B, distilled
#   models.
# * Liu et al., 2025, *Understanding R1-Zero-Like Training*, arXiv 2503.20783: what a token mean
#   leaves.
# * Shao et al., 2024, *DeepSeekMath*, arXiv 2402.03300: GRPO.
#
# Next: [09 GDPO](09_gdpo.ipynb), where the second reward gets a normalization of its own.
