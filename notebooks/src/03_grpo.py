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
# # 03 · GRPO: the group replaces the critic
#
# question → rollouts → rewards → **advantages → objective → update** → record → figure
#
# PPO trains a second network to say what reward it expected. GRPO asks the policy itself: it answers the same question several
# times, and the mean reward of the group is the expectation. This page builds that idea up from one group of four answers to a
# batch on which a policy makes eight updates.
#
# You will be able to
#
# * say which tokens the loss sees, and why the end token is one of them,
# * turn the rewards of a group into advantages, and say what the division by the standard deviation does to easy and hard
#   questions,
# * read the per-token objective term by term,
# * explain a loss of 0 with a gradient that is not 0, and say when the clip binds.
#
# **Reading:** about 29 minutes. **Running:** about 15 seconds. **Papers:** [DeepSeekMath](https://arxiv.org/abs/2402.03300) (GRPO),
# [DeepSeek-R1](https://arxiv.org/abs/2501.12948). **Builds on:** [00 First step](00_first_step.ipynb) and [02 PPO](02_ppo.ipynb)
# (ratio and clip). **Next:** [04 KL and biases](04_kl_and_biases.ipynb).

# %%
import copy
import math
from itertools import product

import matplotlib.pyplot as plt
import pandas as pd
import torch
from ipywidgets import interact

import rlnotes as rl
from rlnotes.analysis.figures import use_style
from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.rollouts.scoring import packed_logps
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.worked_group import worked_group
from rlnotes.training.batches import prepare
from rlnotes.training.learner import Learner
from rlnotes.training.loop import build_rewards, collect
from rlnotes.training.updates import update_once

use_style()
torch.manual_seed(0)
torch.set_num_threads(1)  # a tiny model: a second thread only waits
print("torch", torch.__version__.split("+")[0])

# %% [markdown]
# ## One group on its way
#
# One question goes in, and one update comes out. The numbers in the drawing are those of the *worked group*: four answers to
# "What is 7 * 8?", two of them right, with made-up log-probabilities that never change. Most pages put their formulas through this group, so that
# two algorithms can be compared token by token.

# %% tags=["hide-input"]
words = ["o1  56", "o2  7*8=54", "o3  7 * 8 = 56", "o4  Let me see …"]
rewards, signs = ["1", "0", "1", "0"], ["+0.87", "-0.87", "+0.87", "-0.87"]
tokens = [3, 5, 7, 12]
boxes = {"q": (0.75, 1.3, "question\n7 * 8 ?", "data")}
boxes["mean"] = (4.9, 0.25, "mean 0.5, std 0.58", "rule")
boxes["loss"] = (8.6, 1.3, "mean over\n4 answers", "rule")
boxes["u"] = (9.9, 1.3, "update", "learns")
arrows = [("q", f"o{i}", "-", "") for i in range(4)] + [("loss", "u", "-", "")]
for i in range(4):
    y = 2.2 - 0.5 * i
    boxes[f"o{i}"] = (2.5, y, words[i], "data")
    boxes[f"r{i}"] = (4.1, y, f"r = {rewards[i]}", "rule")
    boxes[f"a{i}"] = (5.6, y, f"A = {signs[i]}", "rule")
    boxes[f"t{i}"] = (7.1, y, f"/ {tokens[i]} tokens", "data")
    arrows += [(f"o{i}", f"r{i}", "-", ""), (f"r{i}", f"a{i}", "-", "")]
    arrows += [(f"a{i}", f"t{i}", "-", ""), (f"t{i}", "loss", "-", "")]
arrows += [("r3", "mean", "--", ""), ("mean", "a3", "--", "")]
_ = draw_graph(boxes, arrows, size=(10.4, 2.7))

# %% [markdown]
# ## ROLLOUTS: which tokens count
#
# The four answers have different lengths, so their rows are filled up to one rectangle. Many tokenizers have no padding token and
# take the end token for it. Here id 0 is both: the end of an answer, and what fills the rest.

# %% tags=["nbval-check-output"]
group = worked_group()
print(group.completion_ids)
print("end", group.eos_token_id, "padding", group.pad_token_id)

# %% [markdown]
# The objective must see the tokens that the policy *chose*, and only those. The end token is one of them: stopping is an action, and
# it decides the length. So the mask is 1 up to and including the first end token, and a row without an end token counts whole:
#
# $$m_{i,t} = \mathbf 1\{\text{no end token among } o_{i,1}, \dots, o_{i,t-1}\}$$
#
# A shorter way to write a mask looks right and is wrong: `ids != pad`. With one id for both it drops every end token. The policy is
# then never paid for stopping and never punished for it, and its length drifts.

# %% tags=["nbval-check-output"]
ends = (group.completion_ids == group.eos_token_id).long()
mask = (ends.cumsum(dim=1) - ends == 0).long()
library = completion_mask_from_ids(group.completion_ids, [group.eos_token_id])
assert torch.equal(mask, library) and torch.equal(mask, group.completion_mask)
by_pad = (group.completion_ids != group.pad_token_id).long()
print("tokens by the first end:", mask.sum(1).tolist())
print("tokens by ids != pad:   ", by_pad.sum(1).tolist())
print(
    "held: the mask is the library's; the wrong one loses", (mask - by_pad).sum().item()
)

# %% [markdown]
# ## ADVANTAGES: the group is the baseline
#
# The policy answers one question $G$ times, and $r_i$ is the reward of answer $i$. The advantage says how far it is above the mean of its group, in standard deviations:
#
# $$\hat{A}_{i,t} = \frac{r_i - \text{mean}(r_1,\dots,r_G)}{\text{std}(r_1,\dots,r_G)}
# \qquad\text{(DeepSeekMath, §4.1.2, outcome supervision)}$$
#
# Every token of an answer gets the same advantage. The cell compares three lines of code with the library's function, which we use after that.
#
# <details><summary>On the slide</summary>
#
# The slide "GRPO: Group Relative Policy Optimization" writes $r_i - \text{mean}(\{R_i\}_{i=1}^G)$. **[Erratum 3](../docs/errata.md#erratum-3):**
# $r_i$ and $R_i$ are the same rewards, and $r_{i,t}(\theta)$ on the same slide is the probability ratio, which is something else. The mixture comes
# from Eq 4 of the [DAPO](https://arxiv.org/abs/2503.14476) paper. Here $r_i$ is a reward and $\rho_{i,t}$ is the ratio.
#
# </details>


# %%
def group_advantages(rewards, num_generations, correction=1):
    """Rows come in groups of G consecutive completions of one prompt."""
    groups = rewards.view(-1, num_generations)
    centered = groups - groups.mean(dim=1, keepdim=True)
    std = groups.std(dim=1, correction=correction, keepdim=True)
    return (centered / std).view(-1)


random_rewards = torch.rand(24, dtype=torch.float64)
for correction in (0, 1):
    ours = group_advantages(random_rewards, 8, correction)
    library = rl.group_relative_advantages(random_rewards, 8, correction=correction)
    assert torch.allclose(ours, library)
print("held: ours = the library's, 24 rewards, both standard deviations")

# %% [markdown]
# ### The worked group, and which standard deviation
#
# The papers do not say whether the standard deviation divides by $G$ (`correction=0`)
# or by $G-1$ (`correction=1`, the unbiased one). Frameworks take the unbiased one
# almost everywhere. The difference is the factor $\sqrt{G/(G-1)}$ on every advantage.
# It is negligible for $G=64$. For two completions it is large: one reading gives 0.707 and the
# other 1.

# %% tags=["nbval-check-output"]
for size in (2, 4, 16, 64):
    rewards = torch.tensor([1.0, 0.0] * (size // 2))
    unbiased, biased = (
        float(rl.group_relative_advantages(rewards, size, correction=c)[0])
        for c in (1, 0)
    )
    print(f"G = {size:2}: correction=1 {unbiased:.3f}, correction=0 {biased:.3f}")

# %% [markdown]
# Our four completions of "What is 7 * 8?" have rewards 1, 0, 1, 0. The table has both
# readings, and two rules that come later: no division at all (Dr. GRPO), and
# the leave-one-out baseline (RLOO). On one balanced group the four differ only in
# scale, which is why a single group says little about them.

# %% tags=["nbval-check-output"]
table = pd.DataFrame({"completion": [text[:17] for text in group.texts]})
table["tokens"] = group.completion_mask.sum(dim=1)
table["reward"] = group.rewards
table["correction 1"] = rl.group_relative_advantages(group.rewards, 4)
table["correction 0"] = group_advantages(group.rewards, 4, correction=0)
table["no std"] = group.rewards - group.rewards.mean()
table["leave one out"] = rl.leave_one_out_advantages(group.rewards, 4)
print(table.round(3).to_string())

# %% [markdown]
# ### Groups without a spread, and nearly without ([erratum 4](../docs/errata.md#erratum-4))
#
# When all answers are right, or all are wrong, the formula is $0/0$. The papers and the slide do not say what happens then. Frameworks add a
# small $\varepsilon$ to the denominator, between $10^{-9}$ and $10^{-4}$. Ours returns exactly 0 for a constant group.
#
# The size of $\varepsilon$ matters only in a group that is *nearly* constant, for instance three rewards of 1 and one of 1.0001. The formula turns
# that difference into a full advantage, and a large $\varepsilon$ damps it.

# %% tags=["nbval-check-output"]
constant = torch.full((4,), 0.3)
print("all equal, the formula:", group_advantages(constant, 4).tolist())
print("all equal, the library:", rl.group_relative_advantages(constant, 4).tolist())
nearly = torch.tensor([1, 1, 1, 1.0001], dtype=torch.float64)
for name in ("paper", "verl", "trl"):
    keywords = rl.CONVENTIONS[name].group_advantage
    advantages = rl.group_relative_advantages(nearly, 4, **keywords)
    eps = keywords["eps"]
    print(f"nearly equal, {name:6} ε = {eps:.0e}: {float(advantages[3]):.3f}")

# %% [markdown]
# ## Right or wrong: the closed form
#
# Most rewards in this course are 1 or 0. With $k$ of $G$ completions right and $p=k/G$,
# the unbiased reading becomes
#
# $$\hat{A}_+ = \sqrt{\tfrac{1-p}{p}}\cdot\sqrt{\tfrac{G-1}{G}},\qquad
# \hat{A}_- = -\sqrt{\tfrac{p}{1-p}}\cdot\sqrt{\tfrac{G-1}{G}}$$
#
# and any other two reward values, ±1 say, give the same. A single right answer among
# sixteen is pulled up fifteen times as hard as each wrong one is pushed down.

# %% tags=["nbval-check-output"]
G = 16
for k in range(1, G):
    p = torch.tensor(k / G, dtype=torch.float64)
    scale = ((G - 1) / G) ** 0.5
    closed = torch.stack([((1 - p) / p).sqrt(), -(p / (1 - p)).sqrt()]) * scale
    rewards = torch.tensor([1.0] * k + [0.0] * (G - k), dtype=torch.float64)
    assert torch.allclose(rl.group_relative_advantages(rewards, G)[[0, -1]], closed)
    if k in (1, 4, 8, 15):
        print(f"k = {k:2}: right {closed[0]:+.3f}, wrong {closed[1]:+.3f}")

# %% [markdown]
# ### How much does a question count?
#
# Let $p$ be the policy's chance to be right on one question. A group of $G$ gives, in
# expectation over $k\sim\text{Binomial}(G,p)$,
#
# $$\mathbb{E}\Big[\tfrac1G\sum_i \hat{A}_i\,\nabla\log\pi(o_i)\Big] = w(p)\,\nabla p,
# \qquad w(p) = \frac{\mathbb{E}_k\big[\tfrac{k}{G}\,\hat{A}_+(k)\big]}{p\,(1-p)}$$
#
# because $\mathbb{E}[\nabla\log\pi\mid\text{right}]=\nabla p/p$ and, for wrong answers,
# $-\nabla p/(1-p)$. So $w$ says how much the question counts. With $w = 1$ the update would be
# plain gradient ascent on the accuracy.


# %%
def question_weight(p, num_generations, **keywords):
    """w(p) of a group of G, for the advantages that `keywords` choose."""
    size, expected = num_generations, 0.0
    for k in range(1, size):
        rewards = torch.tensor([1.0] * k + [0.0] * (size - k), dtype=torch.float64)
        a_right = rl.group_relative_advantages(rewards, size, **keywords)[0].item()
        chance = math.comb(size, k) * p**k * (1 - p) ** (size - k)
        expected += chance * k / size * a_right
    return expected / (p * (1 - p))


# %% [markdown]
# The derivation was three lines of algebra, so we check it by brute force. A policy
# with a single logit is right with chance $p=\sigma(\theta)$; we enumerate all $2^4$
# outcomes of a group of four, let autograd differentiate, and compare with
# $w(p)\,\nabla p$, where $\nabla p = p(1-p)$.

# %%
theta = torch.tensor(-1.2, dtype=torch.float64, requires_grad=True)
p = float(theta.detach().sigmoid())
for keywords in ({}, {"scale_rewards": "none"}):
    objective = 0.0
    for outcome in product((0.0, 1.0), repeat=4):
        right = torch.tensor(outcome, dtype=torch.float64)
        logps = torch.nn.functional.logsigmoid((2 * right - 1) * theta)
        advantages = rl.group_relative_advantages(right, 4, **keywords)
        objective += logps.sum().exp().detach() * (advantages * logps).mean()
    (gradient,) = torch.autograd.grad(objective, theta)
    assert abs(gradient - question_weight(p, 4, **keywords) * p * (1 - p)) < 1e-12
print("held: w(p)·∇p is the gradient by enumeration, with std and without")

# %% [markdown]
# Dividing by the standard deviation makes questions near $p=0$ and $p=1$ count more than those at one half.
# [Dr. GRPO](https://arxiv.org/abs/2503.20783) (§3.1) calls it the *question-level difficulty bias*. The larger the group, the stronger it is. Without the
# division every question counts the same. The black dot marks one $p$. With a running kernel you can move it, and the group size, below the figure.


# %% tags=["hide-input"]
def draw_weights(G=16, p=0.25):
    chances = torch.linspace(0.005, 0.995, 51).tolist()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
    for sign, name, color in ((1, "right", "#0072B2"), (-1, "wrong", "#D55E00")):
        odds = [((G - k) / k) ** sign * (G - 1) / G for k in range(1, G)]
        bars = [sign * x**0.5 for x in odds]
        left.bar(range(1, G), bars, color=color, label=f"a {name} answer")
    left.set(xlabel=f"right answers of {G}", ylabel="advantage")
    left.legend(fontsize=8, loc="upper right")
    for name, scale, style in (("with std", "group", "-"), ("no std", "none", "--")):
        weights = [question_weight(x, G, scale_rewards=scale) for x in chances]
        right.plot(chances, weights, style, label=f"{name}, G = {G}")
    right.plot(p, question_weight(p, G), "o", color="black")
    right.set(xlabel="chance p to be right", ylabel="weight of the question")
    right.set_ylim(0, 9)
    right.legend(loc="upper center")


draw_weights()

# %%
_ = interact(draw_weights, G=(2, 64), p=(0.02, 0.98, 0.02))

# %% [markdown]
# Whether that is a fault depends on the aim. To maximize the expected accuracy, $w=1$ is right. To learn what is rarely solved, the high weight near
# $p=0$ helps. But a question that is never solved in a group has no gradient at all, and no rescaling repairs that.
# [08 DAPO](08_dapo.ipynb) samples again instead.

# %% [markdown]
# ## Leave one out
#
# The group mean contains the reward that is compared with it. RLOO
# ([Ahmadian et al., 2024](https://arxiv.org/abs/2402.14740)) compares each reward with the mean of the *others*. The two advantages differ by a constant
# factor only:
#
# $$r_i - \frac{1}{G-1}\sum_{j\ne i} r_j = \frac{G}{G-1}\,\big(r_i - \text{mean}(r)\big)$$
#
# So the group mean shortens the gradient of the accuracy and does not turn it: without the division by std its $w(p)$ is $(G-1)/G$ for
# every $p$, and that of leave-one-out is 1.

# %% tags=["nbval-check-output"]
loo = rl.leave_one_out_advantages(random_rewards, 8)
centered = rl.group_relative_advantages(random_rewards, 8, scale_rewards="none")
assert torch.allclose(loo, 8 / 7 * centered)
for baseline in ("mean", "leave_one_out"):
    keywords = {"scale_rewards": "none", "baseline": baseline}
    weights = [f"{question_weight(p, 4, **keywords):.3f}" for p in (0.1, 0.5, 0.9)]
    print(f"G = 4, {baseline:13} w(.1), w(.5), w(.9) = {', '.join(weights)}")

# %% [markdown]
# ## OBJECTIVE: per token, with the KL inside the mean
#
# Each token has PPO's clipped term, minus $\beta$ times its distance to a frozen reference. GRPO averages over the tokens of an answer first, and
# then over the answers:
#
# $$\mathcal{J}(\theta) = \frac1G\sum_{i=1}^G \frac{1}{|o_i|}\sum_{t=1}^{|o_i|}\Big(
# \min\big(\rho_{i,t}\hat{A}_{i,t},\ \text{clip}(\rho_{i,t},1-\varepsilon,1+\varepsilon)
# \hat{A}_{i,t}\big) - \beta\,D_{\text{KL}}^{i,t}\Big)\qquad\text{(DeepSeekMath Eq 3)}$$
#
# $$D_{\text{KL}}^{i,t} = \frac{\pi_{\text{ref}}}{\pi_\theta} -
# \log\frac{\pi_{\text{ref}}}{\pi_\theta} - 1 \qquad\text{(Eq 4, the estimator k3)}$$
#
# <details><summary>On the slide</summary>
#
# **[Erratum 5](../docs/errata.md#erratum-5).** The slide shows this form under the name GRPO, without Eq 4 and without
# a value of $\beta$ (0.04 in DeepSeekMath, 0.001 in R1, 0 in DAPO). R1's own paper prints a
# *sequence-level* objective; we come to it below.
#
# </details>


# %%
def grpo_loss(logps, old_logps, ref_logps, advantages, mask, epsilon=0.2, beta=0.04):
    ratio = (logps - old_logps).exp()
    advantages = advantages[:, None]
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon) * advantages
    surrogate = torch.minimum(ratio * advantages, clipped)
    difference = ref_logps - logps
    kl = difference.exp() - difference - 1
    per_token = -(surrogate - beta * kl) * mask
    return (per_token.sum(dim=1) / mask.sum(dim=1)).mean()


# %% [markdown]
# The library's `policy_loss` has one keyword for every choice in that formula. We put
# the worked group through both: three sets of log-probabilities (sampled, current,
# reference), four completions of different lengths, and compare the value and the
# gradient of every token.

# %%
advantages = rl.group_relative_advantages(group.rewards, group.num_generations)
old, ref = group.old_per_token_logps, group.ref_per_token_logps
logps = group.per_token_logps.clone().requires_grad_()
ours = grpo_loss(logps, old, ref, advantages, mask)
library = rl.policy_loss(
    *(logps, old, advantages, mask),
    **{"loss_type": "grpo", "epsilon": 0.2, "beta": 0.04, "ref_per_token_logps": ref},
)
gradients = [torch.autograd.grad(loss, logps)[0] for loss in (ours, library)]
assert torch.allclose(ours, library) and torch.allclose(*gradients, atol=1e-7)
print("held: ours = the library's, the value and the gradient of every token")

# %% [markdown]
# **Limit cases.** At ratio 1 the clip does nothing and the surrogate is the advantage
# itself, so the loss is minus the mean advantage, 0. With all advantages 0 only
# $\beta\cdot$KL is left. With a boundless $\varepsilon$ the minimum has no effect. And no number
# outside the mask is ever read.


# %%
def loss_of(logps, advantages, beta=0.0, **keywords):
    keywords |= {"beta": beta, "ref_per_token_logps": ref if beta else None}
    return rl.policy_loss(logps, old, advantages, mask, **keywords)


now = group.per_token_logps
kl_means = (rl.kl_k3(now, ref) * mask).sum(1) / mask.sum(1)
unclipped = -((now - old).exp() * advantages[:, None] * mask).sum(1) / mask.sum(1)
assert torch.allclose(loss_of(old, advantages), torch.tensor(0.0), atol=1e-6)
assert torch.allclose(loss_of(now, 0 * advantages, 0.04), 0.04 * kl_means.mean())
assert torch.allclose(loss_of(now, advantages, epsilon=1e6), unclipped.mean())
assert torch.equal(
    loss_of(now.masked_fill(mask == 0, 9e9), advantages), loss_of(now, advantages)
)
print("held: ratio 1, no advantage, no clip, and nothing outside the mask is read")

# %% [markdown]
# ### A plot of the objective itself
#
# The figure shows the objective of one token and its slope (autograd's) against $\log\rho$, for $\pi_{\text{ref}}=\pi_{\text{old}}$. Lines are solid
# without a KL term and dashed with one, at ten times DeepSeekMath's $\beta$ so that one sees it.
# Inside the gray range the clipped term decides. Where the clip has
# stopped it, the KL term alone is left, and it pulls back to the reference. It pulls much harder on the
# left, where the token has become rarer; [04](04_kl_and_biases.ipynb) says why.

# %% tags=["hide-input"]
log_ratio = torch.linspace(-1.5, 1.5, 601)[:, None]
zero, one = torch.zeros_like(log_ratio), torch.ones_like(log_ratio)
figure, both = plt.subplots(1, 2, figsize=(9, 3))
for sign, color in ((1.0, "#0072B2"), (-1.0, "#D55E00")):
    for beta, style in ((0.0, "-"), (0.4, "--")):
        x = log_ratio.clone().requires_grad_()
        keywords = {"beta": beta, "ref_per_token_logps": zero}
        loss = rl.per_token_policy_loss(x, zero, sign * one[:, 0], one, **keywords)
        (slope,) = torch.autograd.grad(-loss.sum(), x)
        label = f"A = {sign:+.0f}, β = {beta:g}"
        both[0].plot(log_ratio, -loss.detach(), style, color=color, label=label)
        both[1].plot(log_ratio, slope, style, color=color)
for axes, name in zip(both, ("objective J", "slope of J by log π"), strict=True):
    axes.axvspan(torch.log(one[0] * 0.8).item(), 0.1823, color="black", alpha=0.06)
    axes.set(xlabel="log ρ = log π − log $π_{old}$", ylabel=name)
_ = both[1].legend(*both[0].get_legend_handles_labels(), fontsize=8, loc="lower left")

# %% [markdown]
# ### What R1 prints instead
#
# The DeepSeek-R1 paper's objective has no $\frac{1}{|o_i|}\sum_t$. Its ratio is
# $\pi_\theta(o_i|q)/\pi_{\text{old}}(o_i|q)$, the product over the whole answer. On
# our worked group that behaves differently. The three tokens of $o_1$ have moved by
# at most 42 %, and their product by 95 %, because small steps multiply. The clip then stops all
# tokens of an answer or none. GSPO (`level="sequence"` in our library) takes the
# geometric mean instead.

# %% tags=["nbval-check-output"]
log_ratios = (group.per_token_logps - old) * mask
per_token = rl.importance_ratio(group.per_token_logps, old, mask)
mean_ratio = rl.importance_ratio(group.per_token_logps, old, mask, level="sequence")
for i in range(4):
    tokens = per_token[i][mask[i] == 1]
    print(
        f"o{i + 1}  Â {advantages[i]:+.2f}  tokens {tokens.min():.2f} to "
        f"{tokens.max():.2f}  product {log_ratios[i].sum().exp():.2f}"
        f"  geometric mean {mean_ratio[i, 0]:.2f}"
    )

# %% [markdown]
# ## Why the loss prints 0 while the policy learns
#
# This is the question asked most often about GRPO trainers (TRL
# [#3452](https://github.com/huggingface/trl/issues/3452) and
# [#3857](https://github.com/huggingface/trl/issues/3857), verl
# [#791](https://github.com/volcengine/verl/issues/791), open-r1
# [#239](https://github.com/huggingface/open-r1/issues/239), R1-V
# [#187](https://github.com/StarsfieldAI/R1-V/issues/187)). With one update per batch of rollouts the policy that
# is updated is the one that sampled: every ratio is 1, each completion's mean is its
# advantage, and the advantages of a group sum to 0. So the value of the loss is 0, and its derivative is
# not.

# %% tags=["nbval-check-output"]
fresh = old.clone().requires_grad_()
for loss_type in ("grpo", "dapo", "dr_grpo"):
    keywords = {"loss_type": loss_type, "max_completion_length": 12}
    loss = rl.policy_loss(fresh, fresh.detach(), advantages, mask, **keywords)
    (gradient,) = torch.autograd.grad(loss, fresh)
    print(
        f"{loss_type:8} loss {round(loss.item(), 4) + 0.0:.4f}  "
        f"gradient norm {gradient.norm():.4f}"
    )

# %% [markdown]
# Only the mean of means gives 0. `dapo` and `dr_grpo` weigh a long answer more than a short one, so they print
# $-\sum_i \hat{A}_i\cdot$(weight of answer $i$). Here that is positive
# because our wrong answers are the longer ones. The number speaks about
# lengths and says nothing about learning. The gradient at ratio 1 is REINFORCE's, token by
# token, $-w_{i,t}\,\hat{A}_i$:

# %%
loss = rl.policy_loss(fresh, fresh.detach(), advantages, mask, loss_type="grpo")
(gradient,) = torch.autograd.grad(loss, fresh)
weights = rl.token_weights(mask, loss_type="grpo")
reinforce = (weights * rl.policy_gradient_loss(fresh, advantages)).sum()
assert torch.allclose(gradient, -weights * advantages[:, None])
assert torch.allclose(gradient, torch.autograd.grad(reinforce, fresh)[0])
print("held: at ratio 1 the gradient is REINFORCE's, token by token")

# %% [markdown]
# With $\beta>0$ the printed loss is $\beta\cdot$KL, which starts at 0 and rises as the
# policy leaves its reference. A policy that learns then has a rising loss. Judge a run by
# `reward`, `kl` and `entropy`, and not by `loss`.

# %% [markdown]
# ## UPDATE: several per batch, and when the clip binds
#
# Now a live policy: the tiny Llama of [00](00_first_step.ipynb). We sample one batch and update on it eight times, the paper's $\mu$
# (`num_iterations`). Before the first update all ratios are 1 and no token is clipped. From the second on, the policy has moved. After each pass we
# also measure how far: the mean $k_3$ between the policy now and the policy that sampled ([04](04_kl_and_biases.ipynb) explains the estimator), and the norm of
# the gradient.

# %%
task = rl.load_task("scratch-addition")
model, tokenizer = rl.tiny_policy(task, seed=0)
options = {"policy": "tiny", "task": task.name, "bf16": False, "learning_rate": 2e-3}
options |= {"algorithm": "grpo", "num_iterations": 8, "max_completion_length": 16}
config = rl.make_config(**options)
policy = rl.Policy(copy.deepcopy(model), tokenizer, "tiny")
learner = Learner.create(config, policy)
rollouts, rewards, _ = collect(learner, task, build_rewards(config, task), step=1)
batch = prepare(learner, rollouts, rewards)


# %%
def distance():
    """Mean k3 between the policy that sampled and the policy now."""
    with torch.no_grad():
        now = packed_logps(policy, rollouts, temperature=config.temperature)
    k3 = rl.kl_k3(rollouts.per_token_logps, now)
    return rl.masked_mean(k3, rollouts.completion_mask).item()


passes = []
for _ in range(8):
    before = distance()
    passes.append(update_once(learner, batch) | {"distance": before})
passes = pd.DataFrame(passes, index=range(1, 9))
shown = ["loss", "grad_norm", "clip_ratio/low_mean", "clip_ratio/high_mean", "distance"]
print(passes[shown].round(4).to_string())

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 3, figsize=(10, 2.7))
for side, color in (("low", "#D55E00"), ("high", "#0072B2")):
    key = f"clip_ratio/{side}_mean"
    panels[0].plot(passes[key], "o-", color=color, label=f"{side} side")
panels[0].set(title="tokens stopped by the clip", ylabel="share")
panels[0].legend(fontsize=8)
panels[1].plot(passes["grad_norm"], "o-")
panels[1].set(title="norm of the gradient", ylim=(0, None))
panels[2].plot(passes["distance"], "o-")
panels[2].set(title="distance to the sampler", ylabel="mean k3, nats")
for panel in panels:
    panel.set_xlabel("pass over the same batch")
assert passes.loc[1, "clip_ratio/region_mean"] == 0
assert passes.loc[2:, "clip_ratio/region_mean"].max() > 0

# %% [markdown]
# The clip stops nothing in the first pass and some tokens from the second on, here mostly on the low side: tokens of wrong answers that have lost a
# fifth of their probability. With `num_iterations=1` and one mini-batch, `epsilon` and `epsilon_high` change nothing. DeepSeekMath
# made one update per batch, so its GRPO never clipped. R1 and DAPO make sixteen. The distance to the sampler goes on growing while the clip binds: the clip takes the
# gradient from tokens that have left the range, but it does not hold the policy back. [15](15_ppo_measured.ipynb) shows how much further the policy goes without it.

# %% [markdown]
# ## What usually goes wrong
#
# * **"The loss is 0, nothing trains."** See above; look at `grad_norm` and `reward`. If
#   `grad_norm` is 0 too, look at `frac_reward_zero_std`: at 1 every group is constant.
# * **`epsilon` changes nothing.** `clip_ratio/region_mean` is 0 as long as there is one
#   update per batch of rollouts.
# * **`reward_std` is over groups, `rewards/<name>/std` over the batch.** The first is what
#   GRPO divides by; the second can be large while all groups are constant.
# * **The group is split.** Rows must be $G$ consecutive completions of one prompt; a
#   shuffle before the advantages subtracts the mean of strangers.
# * **The end token is not in the mask** (`ids != pad`). `completions/mean_length` drifts, and
#   `completions/clipped_ratio` climbs.
# * **Log-probs are taken at another temperature than the samples.** Then the ratio is not 1 in the first
#   update. With one update a batch, `clip_ratio/region_mean` must be 0.

# %% [markdown]
# ## What changed since 02
#
# The loop is the same as PPO's. The critic is gone, and what is new is how the loss is averaged and by what a
# reward is divided. Fields on which the three configs agree are left out.

# %% tags=["nbval-check-output"]
names = ("ppo", "grpo", "dr_grpo")
table = pd.DataFrame({n: rl.make_config(algorithm=n).to_dict() for n in names})
table = table.drop("algorithm").astype(str)
print(table[table.nunique(axis=1) > 1].to_string())

# %% [markdown]
# ## Exercises
#
# Replace `raise NotImplementedError` and run the cell: `check_exercise` says "right", or gives a hint. Rewards are (N,) tensors in groups of
# `num_generations` rows. Masks and ratios are (N, T).
#
# **grpo-1.** The closed form for `correction=0`: from $k$ right of $G$, return the advantage of a right completion and of a wrong one, as a
# tuple.


# %%
def binary_advantages(k, num_generations):
    raise NotImplementedError


check_exercise("grpo-1", binary_advantages)

# %% [markdown]
# **grpo-2.** Leave-one-out advantages for any number of groups, without a loop over rows.


# %%
def leave_one_out(rewards, num_generations):
    raise NotImplementedError


check_exercise("grpo-2", leave_one_out)

# %% [markdown]
# **grpo-3.** The tokens whose gradient the clip stops, as a boolean (N, T) tensor. Advantages are (N,).


# %%
def stopped_by_clip(ratio, advantages, epsilon):
    raise NotImplementedError


check_exercise("grpo-3", stopped_by_clip)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # grpo-1
# def binary_advantages(k, num_generations):
#     p = k / num_generations
#     std = (p * (1 - p)) ** 0.5
#     return (1 - p) / std, -p / std
# ```
#
# ```python
# # grpo-2
# def leave_one_out(rewards, num_generations):
#     groups = rewards.view(-1, num_generations)
#     others = (groups.sum(1, keepdim=True) - groups) / (num_generations - 1)
#     return (groups - others).view(-1)
# ```
#
# ```python
# # grpo-3
# def stopped_by_clip(ratio, advantages, epsilon):
#     up = advantages[:, None] > 0
#     down = advantages[:, None] < 0
#     return (up & (ratio > 1 + epsilon)) | (down & (ratio < 1 - epsilon))
# ```
#
# </details>

# %% [markdown]
# ### Change the run, and an open experiment
#
# Set `num_iterations` to 16 and `epsilon` to 0.05 in the cell of the live policy. Say first what will happen to the share of stopped tokens and to the
# distance to the sampler, and then look.
#
# | question | your words |
# | --- | --- |
# | Does a smaller ε keep the policy closer to the sampler in eight passes? What do you predict? | |
# | What do you measure, and over how many seeds? | |
# | What did you see? | |

# %% [markdown]
# ## References
#
# * Shao et al., 2024, [*DeepSeekMath*](https://arxiv.org/abs/2402.03300): GRPO, Eq 3 and 4, §4.1.2.
# * DeepSeek-AI, 2025, [*DeepSeek-R1*](https://arxiv.org/abs/2501.12948): the sequence-level objective.
# * Liu et al., 2025, [*Understanding R1-Zero-Like Training*](https://arxiv.org/abs/2503.20783): Dr. GRPO.
# * Ahmadian et al., 2024, [*Back to Basics*](https://arxiv.org/abs/2402.14740): RLOO.
#
# In the library: [`equations/group_advantages.py`](../rlnotes/equations/group_advantages.py), [`equations/objectives.py`](../rlnotes/equations/objectives.py),
# [`training/updates.py`](../rlnotes/training/updates.py).
#
# **Next:** [04 KL and biases](04_kl_and_biases.ipynb) takes the KL term and the two divisions apart.
