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
# # 04 · KL and biases: what the details of GRPO do
#
# question → rollouts → rewards → **advantages → objective** → update → record → figure
#
# Two details of [03](03_grpo.ipynb)'s formula are often copied without a look: how the distance to a reference policy is estimated, and by which numbers the
# sums are divided. Both change what is learned. The first half of this page is about the KL, the second about length.
#
# You will be able to
#
# * choose a KL estimator by its value *and* by its gradient,
# * read a logged `kl`: over what it is averaged, why one token can make most of it, and how it can be negative,
# * turn GRPO into Dr. GRPO by changing two fields, and test what that removes.
#
# **Reading:** about 28 minutes. **Running:** about 30 seconds. **Papers:** [Schulman, 2020](http://joschu.net/blog/kl-approx.html);
# [Dr. GRPO](https://arxiv.org/abs/2503.20783); [DeepSeekMath](https://arxiv.org/abs/2402.03300). **Builds on:** [03 GRPO](03_grpo.ipynb).
# **Next:** [05 R1-Zero](05_r1_zero.ipynb).

# %% tags=["parameters"]
num_seeds = 5
max_steps = 20
learning_rate = 2e-3

# %%
import copy
from fractions import Fraction

import matplotlib.pyplot as plt
import pandas as pd
import torch
from ipywidgets import interact

import rlnotes as rl
from rlnotes.analysis.figures import ALGORITHM_COLORS, ALGORITHM_NAMES, use_style
from rlnotes.rollouts.scoring import packed_logps
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.worked_group import worked_group
from rlnotes.training.batches import prepare
from rlnotes.training.learner import Learner
from rlnotes.training.loop import build_rewards, collect
from rlnotes.training.updates import update

use_style()
torch.manual_seed(0)
torch.set_num_threads(1)  # a tiny model: a second thread only waits
group = worked_group()
mask, now = group.completion_mask, group.per_token_logps
old, ref = group.old_per_token_logps, group.ref_per_token_logps
print("torch", torch.__version__.split("+")[0])

# %% [markdown]
# ## KL: three estimators
#
# The exact KL of a next-token distribution needs the whole vocabulary. From the one
# sampled token, with $d=\log\pi_{\text{ref}}-\log\pi_\theta$, [Schulman (2020)](http://joschu.net/blog/kl-approx.html) lists
# three estimates of $\text{KL}(\pi_\theta\|\pi_{\text{ref}})$:
#
# $$k_1=-d,\qquad k_2=\tfrac12 d^2,\qquad k_3=e^d-d-1$$
#
# GRPO's Eq 4 is $k_3$. We write them out and hold them against the library.


# %%
def k1(logps, ref_logps):
    return logps - ref_logps


def k2(logps, ref_logps):
    return 0.5 * (ref_logps - logps) ** 2


def k3(logps, ref_logps):
    return (ref_logps - logps).exp() - (ref_logps - logps) - 1


for ours, library in ((k1, rl.kl_k1), (k2, rl.kl_k2), (k3, rl.kl_k3)):
    assert torch.allclose(ours(now, ref), library(now, ref), atol=1e-6)
print("held: three estimators = the library's")

# %% [markdown]
# On a vocabulary of eight words we need no sampling, because the expectation of an estimator is a sum
# of eight terms. `reference(s)` moves away from the policy with $s$. The means of $k_1$ and $k_3$ are exactly
# the KL, and that of $k_2$ is close to it. Of the two that
# are unbiased, $k_3$ has much the smaller spread, and it is never negative.

# %% tags=["nbval-check-output"]
logits = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.5]).double()
direction = torch.tensor([-1.0, 0.5, 1.0, -0.5, 0.8, -1.0, 0.3, 1.0]).double()
policy_logps, probs = logits.log_softmax(-1), logits.softmax(-1)


def reference(s):
    return (logits + s * direction).log_softmax(-1)


print(f"exact KL {rl.exact_kl(logits, reference(0.5)):.5f}")
for estimator in (rl.kl_k1, rl.kl_k2, rl.kl_k3):
    values = estimator(policy_logps[None], reference(0.5)[None])[0]
    mean = (probs * values).sum()
    std = (probs * (values - mean) ** 2).sum().sqrt()
    print(
        f"{estimator.__name__}: mean {mean:.5f}  std {std:.5f}  min {values.min():.4f}"
    )

# %% [markdown]
# ### Their gradients are another matter
#
# An estimator with the right value may have the wrong gradient, because the derivative of a sampled loss
# leaves out that the sampling distribution depends on $\theta$ too. The true gradient,
# from samples of $\pi_\theta$, is $\mathbb{E}[-d\,\nabla\log\pi_\theta]$. The
# derivatives of the estimators by $\log\pi_\theta$ are
# 1 for $k_1$, $-d$ for $k_2$ and $1-e^d$ for $k_3$. Only that of $k_2$ is right. For $k_1$ the gradient is
# $\mathbb{E}[1\cdot\nabla\log\pi_\theta]$, which is 0.
#
# The library's `kl_penalty(…, gradient=…)` keeps the value and repairs the derivative:
# `"k2"` borrows $k_2$'s, `"importance"` multiplies the estimator by the ratio.


# %%
def expected_gradient(estimator, gradient, ref_logps, sampler_logps):
    """E over samples of `sampler` of ∇ of the KL term in the loss, by the logits."""
    leaf = logits.clone().requires_grad_()
    logps = leaf.log_softmax(-1)[None]
    keywords = {"estimator": estimator, "gradient": gradient}
    if gradient == "importance":
        keywords["ratio"] = (logps - sampler_logps).exp()
    term = rl.kl_penalty(logps, ref_logps[None], **keywords)
    return torch.autograd.grad((sampler_logps.exp() * term).sum(), leaf)[0]


# %% [markdown]
# The exact gradients come from autograd through the whole distribution: that of the
# divergence we want, $\text{KL}(\pi_\theta\|\pi_{\text{ref}})$, and that of the swapped
# one. The table below has relative errors: 0 is right, and 1 is as wrong as no gradient at all.
# In the column "stale samples" an older policy has sampled, as after several updates on one
# batch.

# %%
leaf = logits.clone().requires_grad_()
ref_logps, older = reference(0.5), (logits - 0.3 * direction.flip(0)).log_softmax(-1)
(true,) = torch.autograd.grad(rl.exact_kl(leaf, ref_logps), leaf)
(swapped,) = torch.autograd.grad(rl.exact_kl(ref_logps, leaf), leaf)


def error(gradient, target):
    return ((gradient - target).norm() / target.norm()).item()


# %% tags=["nbval-check-output"]
print("in the loss       KL(π‖ref)  stale samples  KL(ref‖π)")
for name in ("k1 autodiff", "k2 autodiff", "k3 autodiff", "k3 k2", "k3 importance"):
    on_policy = expected_gradient(*name.split(), ref_logps, policy_logps)
    stale = expected_gradient(*name.split(), ref_logps, older)
    print(
        f"{name:13}  {error(on_policy, true):12.3f}  {error(stale, true):13.3f}"
        f"  {error(on_policy, swapped):9.3f}"
    )

# %% [markdown]
# So $k_1$ in the loss does nothing, and on stale samples it does harm. (In the
# *reward*, as in [02 PPO](02_ppo.ipynb), it is right.) The published $k_3$ follows exactly the gradient
# of another divergence,
# $\mathbb{E}_\pi[(1-\pi_{\text{ref}}/\pi)\nabla\log\pi]=\nabla\,\text{KL}(\pi_{\text{ref}}\|\pi)$.
# Close to the reference the two agree, and far away they do not. Once the samples are of an
# older policy, only the importance weight is right. It is the default of
# TRL 1.10 and later, and verl offers it as `k3+`. The papers of GRPO and R1 have plain $k_3$, and so has our default.


# %%
def sample_error(estimator, s):
    """Root mean square error of one sample, relative to the exact KL."""
    kl = rl.exact_kl(logits, reference(s))
    values = estimator(policy_logps, reference(s))
    return ((probs * (values - kl) ** 2).sum().sqrt() / kl).item()


# %% tags=["hide-input"]
figure, (value_axes, error_axes, slope_axes) = plt.subplots(1, 3, figsize=(11, 3))
d, distances = torch.linspace(-3, 3, 301), torch.linspace(0.05, 2, 40)
kls = [rl.exact_kl(logits, reference(s)).item() for s in distances]
slopes = {"k1": d * 0 + 1, "k2": -d, "k3": 1 - d.exp()}
for (name, slope), color in zip(slopes.items(), ("#999999", "#D55E00", "#0072B2")):
    estimator = getattr(rl, f"kl_{name}")
    value_axes.plot(d, estimator(-d, 0 * d), color=color, label=name)
    error_axes.loglog(kls, [sample_error(estimator, s) for s in distances], color)
    slope_axes.plot(d, slope, color=color)
value_axes.set(xlabel="d = log $π_{ref}$ − log π", ylabel="estimate", ylim=(-3, 8))
value_axes.set_title("what one token says", fontsize=10)
error_axes.set(xlabel="exact KL, nats", ylabel="rms error / KL")
error_axes.set_title("how far off one token is", fontsize=10)
slope_axes.set(xlabel="d", ylabel="derivative by log π", ylim=(-8, 4))
slope_axes.set_title("how hard a token is pulled", fontsize=10)
_ = value_axes.legend(fontsize=8)

# %% [markdown]
# The left panel shows that $k_1$ alone can be negative. The middle panel has the root mean square error of one token,
# relative to the KL: the smaller the KL, the more tokens does $k_1$ need. The right panel shows the price
# of $k_3$'s derivative. A token that has become rare ($d>0$) is pulled exponentially
# hard: at $d=3$ with $1-e^3=-19.1$, where the true gradient has $-3$. One such
# token can make most of a batch's gradient, and `grad_norm` shows it.

# %% [markdown]
# ## The KL as it is logged
#
# A log has one number, `kl`. Three questions decide what it says.
#
# * **Over what is it averaged?** Over all tokens of the batch, or over each completion first. The two differ when lengths do.
# * **What makes it up?** $k_3$ grows exponentially where the policy has made a token rare that the reference likes, so one token can outweigh all others.
# * **Who sampled?** The estimators are right for samples of the policy itself. If another program samples, with other rounding or an older copy, $k_1$ may come out
#   negative, which no KL is.
#
# We take the worked group and let its policy make one token of $o_4$ rare: the reference gives it $e^{-1.8}$, the policy $e^{-7}$.

# %% tags=["nbval-check-output"]
rare = now.clone()
rare[3, 9] = -7.0
for name, logps in (("as it is", now), ("one rare token", rare)):
    values = rl.kl_k3(logps, ref) * mask
    tokens = values.sum() / mask.sum()
    completions = (values.sum(1) / mask.sum(1)).mean()
    share = values.max() / values.sum()
    print(
        f"{name:15} mean over tokens {tokens:.3f}, over completions {completions:.3f}"
    )
    print(f"{'':15} the largest token makes {share:.0%} of the sum")

# %% [markdown]
# For the third question we need no language: a policy over eight words, a reference, and a sampler that is not quite the policy. The mean of an estimator over the sampler's draws
# is a sum again. The log takes $\log\pi$ and $\log\pi_\text{ref}$ from the learner, as it should, and only the words come from the sampler.

# %% tags=["nbval-check-output"]
print("distance of the sampler   exact KL   mean k1   mean k3")
for shift in (0.0, 0.2, 0.5, 1.0):
    drawn_by = (logits + shift * direction).softmax(-1)  # leans to the reference
    k1_mean = (drawn_by * k1(policy_logps, reference(0.5))).sum()
    k3_mean = (drawn_by * k3(policy_logps, reference(0.5))).sum()
    exact = rl.exact_kl(logits, reference(0.5))
    print(f"{shift:22.1f}   {exact:8.4f}  {k1_mean:8.4f}  {k3_mean:8.4f}")

# %% [markdown]
# With a sampler that leans toward the reference, the mean of $k_1$ becomes negative, although the KL has not changed. $k_3$ can never be negative and hardly moves here, so it does not show that somebody
# else has sampled. If a log shows a negative KL, compare the sampler's log-probs with the learner's. This library does so when a model is first used.

# %% [markdown]
# ## With and without KL, live
#
# Does the KL term do what it is there for? We train the tiny policy of [00](00_first_step.ipynb) without it, with DeepSeekMath's $\beta=0.04$, and with $\beta=1$, so
# that we see the term at work. `collect` samples and scores, `prepare` computes advantages and log-probs, `update` moves the weights. We add one measurement: the KL to the base policy, $k_3$ on the fresh
# samples, whether or not it is in the loss.

# %%
task = rl.load_task("scratch-addition")
model, tokenizer = rl.tiny_policy(task, seed=0)
base = rl.Policy(model, tokenizer, "tiny")
common = {"policy": "tiny", "task": task.name, "bf16": False, "algorithm": "grpo"}
common |= {"max_completion_length": 16, "learning_rate": learning_rate}


def distance_to_base(rollouts, config):
    """Mean k3 to the base policy over the tokens that were sampled."""
    with torch.no_grad():
        there = packed_logps(base, rollouts, temperature=config.temperature)
    k3 = rl.kl_k3(rollouts.per_token_logps, there)
    return rl.masked_mean(k3, rollouts.completion_mask).item()


# %%
def run(beta, seed):
    config = rl.make_config(**common, max_steps=max_steps, beta=beta, seed=seed)
    policy = rl.Policy(copy.deepcopy(model), tokenizer, "tiny")
    learner, rewarders = Learner.create(config, policy), build_rewards(config, task)
    rows = []
    for step in range(1, max_steps + 1):
        rollouts, rewards, _ = collect(learner, task, rewarders, step)
        kl = distance_to_base(rollouts, config)
        rows.append({"step": step, "kl": kl, "reward": rewards.mean().item()})
        update(learner, prepare(learner, rollouts, rewards), step)
    return pd.DataFrame(rows).assign(seed=seed, algorithm=f"β = {beta:g}")


betas = (0.0, 0.04, 1.0)
runs = pd.concat(run(beta, seed) for seed in range(num_seeds) for beta in betas)

# %% tags=["hide-input"]
colors = {"β = 0": "#0072B2", "β = 0.04": "#E69F00", "β = 1": "#882255"}
figure, panels = plt.subplots(1, 2, figsize=(9, 2.8))
for panel, key in zip(panels, ("kl", "reward")):
    for (name, seed), one in runs.groupby(["algorithm", "seed"]):
        label = name if seed == 0 else None
        panel.plot(one["step"], one[key], color=colors[name], lw=0.9, label=label)
    panel.set(xlabel="step", xticks=range(0, max_steps + 1, 5))
panels[0].set(title="distance to the base policy", ylabel="mean k3, nats")
panels[0].set(yscale="log", ylim=(1e-3, 10))
panels[1].set(title="reward of the step", ylabel="mean reward", ylim=(0, 1))
_ = panels[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)

# %%
late = runs[runs["step"] > max_steps // 2].groupby(["algorithm", "seed"]).mean()
for name in ("β = 0.04", "β = 1"):
    difference = late.loc[name] - late.loc["β = 0"]
    for key in ("kl", "reward"):
        one = difference[key]
        ends = f"from {one.min():+.3f} to {one.max():+.3f} over {len(one)} seeds"
        print(f"{name} less β = 0, {key}: mean {one.mean():+.3f}, {ends}")

# %% [markdown]
# Each line is a seed, and the left axis is logarithmic. One seed drifts far without the term, so read the ranges and not the means. With $\beta=1$ the policy stays close in every seed and earns
# less: the pull stops the learning along with the drift. DeepSeekMath's $\beta=0.04$ holds the policy back a little: the KL is lower in every seed, and these seeds show no loss of reward. One could have computed that beforehand: the slope of the term is $\beta\,(1-e^d)$, at $|d|=0.5$ some 0.02, beside
# advantages near 1. The term matters where the policy has gone far, and it adds up over
# thousands of updates.
#
# R1 keeps a small $\beta=0.001$ and replaces the reference now and then; DAPO drops the
# term because a long-reasoning model is meant to leave its base. Both are choices about
# how far the policy may go, and `kl` in the log is the number to make them with.

# %% [markdown]
# ## Dr. GRPO: two changed fields
#
# "GRPO done right" ([Liu et al., 2025](https://arxiv.org/abs/2503.20783)) points at two divisions: by the standard deviation in the advantage, which
# [03](03_grpo.ipynb) has shown as the weight of a question, and by $|o_i|$ in the objective, the *length bias*. It drops both: $\tilde{A}_i=r_i-\text{mean}(r)$,
# and the sum over tokens is divided by a constant. In our configs, as in TRL's, these are two fields.

# %% tags=["nbval-check-output"]
for name in ("grpo", "dr_grpo"):
    print(name, rl.ALGORITHMS[name])

# %% [markdown]
# Every rule of averaging is a weight per token, $\sum_{i,t} w_{i,t}L_{i,t}$, and
# `token_weights` returns it. The drawing has the weights of an answer of three tokens and one of nine, where at most twelve are allowed. Orange tokens weigh more than those of
# the other answer, gray ones less, and blue ones the same.

# %% tags=["hide-input"]
lengths, boxes = (3, 9), {}
few = (torch.arange(12) < torch.tensor(lengths)[:, None]).long()
for rule, loss_type in enumerate(("grpo", "dapo", "dr_grpo")):
    w = rl.token_weights(few, loss_type=loss_type, max_completion_length=12)
    for row, length in enumerate(lengths):
        y = 3.7 - 1.3 * rule - 0.5 * row
        boxes[f"{rule}{row}"] = (0.9, y, f"{loss_type}, {length} tokens", "rule")
        other = w[1 - row, 0]
        kind = "data" if w[row, 0] == other else "learns"
        kind = "frozen" if w[row, 0] < other else kind
        for t in range(length):
            text = str(Fraction(w[row, t].item()).limit_denominator(99))
            boxes[f"{rule}{row}{t}"] = (2.4 + 0.68 * t, y, text, kind)
        total = Fraction(w[row].sum().item()).limit_denominator(99)
        boxes[f"{rule}{row} sum"] = (9.2, y, f"together {total}", "rule")
_ = draw_graph(boxes, [], size=(10.2, 4.1))

# %% [markdown]
# Under GRPO both answers count the same, so a token of the long one counts less. DAPO's token
# mean and Dr. GRPO's constant give every token the same weight, so the long answer counts more. Dr. GRPO's weights do not add up to 1, because
# it divides by the longest allowed length.
# The figure has two answers of 10 and 100 tokens. With a running kernel, the sliders below it change their lengths.


# %% tags=["nbval-check-output"]
def pair_weights(first, second):
    """Rule → (weight of one token (2,), share of the loss (2,)) of two answers."""
    both = (torch.arange(100) < torch.tensor([[first], [second]])).long()
    found = {}
    for loss_type in ("grpo", "dapo", "dr_grpo"):
        w = rl.token_weights(both, loss_type=loss_type, max_completion_length=100)
        found[loss_type] = w[:, 0], w.sum(dim=1) / w.sum()
    return found


rows = {
    name: [*token.tolist(), share[1].item()]
    for name, (token, share) in pair_weights(10, 100).items()
}
columns = ["token of the short", "token of the long", "share of the long"]
print(pd.DataFrame(rows, index=columns).T.round(4).to_string())


# %% tags=["hide-input"]
def draw_pair(first=10, second=100):
    """Weight of a token and share of the loss, for two answers of these lengths."""
    figure, (weight_axes, share_axes) = plt.subplots(1, 2, figsize=(9, 2.8))
    found = pair_weights(first, second)
    for n, (loss_type, (token, share)) in enumerate(found.items()):
        color = ALGORITHM_COLORS[loss_type]
        weight_axes.bar([12 * n, 12 * n + 4], token, 4, color=color)
        weight_axes.bar(12 * n, token[0], 4, color="white", alpha=0.5)
        share_axes.barh(n, share[0], color=color, alpha=0.45)
        share_axes.barh(n, share[1], left=share[0], color=color)
    weight_axes.set_xticks([0, 4, 12, 16, 24, 28], [str(first), str(second)] * 3)
    weight_axes.set(xlabel="tokens of the answer", ylabel="weight of one token")
    share_axes.set_yticks(range(3), [ALGORITHM_NAMES[x] for x in found])
    share_axes.invert_yaxis()
    label = f"share of the loss: {first} tokens (pale), {second} tokens"
    share_axes.set(xlabel=label, xlim=(0, 1))


draw_pair()

# %%
_ = interact(draw_pair, first=(1, 100), second=(1, 100))

# %% [markdown]
# A test separates the rules. We double the length of one answer and print by which factor the
# gradient of an old token changes, for a
# token of the same answer and for one of another answer. Only a constant
# denominator leaves both as they were.


# %% tags=["nbval-check-output"]
def first_token_gradients(lengths, loss_type):
    mask = (torch.arange(16) < torch.tensor(lengths)[:, None]).long()
    leaf = torch.full(mask.shape, -1.0, requires_grad=True)
    keywords = {"loss_type": loss_type, "max_completion_length": 16}
    a = torch.tensor([0.5, -0.5])
    loss = rl.policy_loss(leaf, leaf.detach(), a, mask, **keywords)
    return torch.autograd.grad(loss, leaf)[0][:, 0]


factors = {}
for kind in ("grpo", "dapo", "dr_grpo"):
    before = first_token_gradients([3, 5], kind)
    factors[kind] = first_token_gradients([6, 5], kind) / before
    print(
        f"{kind:8} same completion ×{factors[kind][0]:.3f}, other ×{factors[kind][1]:.3f}"
    )
assert torch.equal(factors["dr_grpo"], torch.ones(2))

# %% [markdown]
# ### The length bias, isolated
#
# At ratio 1 GRPO's update is REINFORCE with the "reward" $\hat{A}_i/|o_i|$. So among
# right answers short ones are preferred, and among wrong answers long ones, over which the same
# blame is spread thinner. Lengths can only move if the policy chooses a
# length *after* right or wrong is decided. We build the simplest case: a coin decides
# right or wrong, and then each branch has its own chance to stop after every token. Length
# has nothing to do with reward. The expected gradient is an exact sum over all lengths
# up to 20.

# %%
lengths = torch.arange(1, 21)
step_mask = (torch.arange(20) < lengths[:, None]).double()  # one row a length
is_last = torch.nn.functional.one_hot(lengths - 1, 20).double()
can_stop = (torch.arange(20) < 19).double()  # the 20th token is cut off, no choice


def branch(stop_logit):
    """Log-prob of every token of every length (20, 20), chance of each length (20,)."""
    stop, go = (torch.nn.functional.logsigmoid(s * stop_logit) for s in (1, -1))
    logps = (is_last * stop + (step_mask - is_last) * go) * can_stop
    return logps, logps.sum(dim=1).exp().detach()


# %% [markdown]
# Both branches start with the same stopping chance, $\sigma(-2)$. The advantages are +1 for the
# right and −1 for the wrong branch, as at $p=\frac12$. We follow the expected gradient
# with plain gradient descent under the token weights of GRPO and of Dr. GRPO, and
# record the mean lengths.


# %%
def expected_loss(logits, loss_type):
    """Σ over branches and lengths of chance × (Σ_t w·L), advantages +1 and −1."""
    keywords = {"loss_type": loss_type, "max_completion_length": 20}
    weights = rl.token_weights(step_mask, dtype=torch.float64, **keywords)
    loss = 0.0
    for logit, sign in zip(logits, (1.0, -1.0), strict=True):
        logps, chance = branch(logit)
        a = torch.full((20,), sign, dtype=torch.float64)
        rows = (weights * rl.policy_gradient_loss(logps, a)).sum(dim=1)
        loss = loss + (20 * chance * rows).sum() / 2  # a chance in place of 1/20
    return loss


# %%
def follow(loss_type, updates=60):
    """Mean length of right and wrong answers (updates, 2) under gradient descent."""
    logits, history = torch.full((2,), -2.0).double(), []
    for _ in range(updates):
        history.append([(branch(x)[1] * lengths).sum().item() for x in logits])
        logits.requires_grad_()
        (gradient,) = torch.autograd.grad(expected_loss(logits, loss_type), logits)
        logits = (logits - gradient).detach()
    return torch.tensor(history)


bias = {loss_type: follow(loss_type) for loss_type in ("grpo", "dr_grpo")}

# %% tags=["hide-input"]
figure, axes = plt.subplots(figsize=(5, 3))
for loss_type, history in bias.items():
    color, name = ALGORITHM_COLORS[loss_type], ALGORITHM_NAMES[loss_type]
    axes.plot(history[:, 0], color=color, label=f"{name}, right")
    axes.plot(history[:, 1], "--", color=color, label=f"{name}, wrong")
axes.set(xlabel="update", ylabel="mean length, tokens", ylim=(0, 21))
axes.set_title("length when nobody pays for length")
axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
drift = bias["dr_grpo"][-1] - bias["dr_grpo"][0]
assert bias["grpo"][-1, 1] > bias["grpo"][0, 1] + 1 > bias["grpo"][-1, 0] + 2
assert drift.abs().max() < 1e-6  # E[∇ log π] = 0: nothing moves

# %% [markdown]
# Under GRPO wrong answers grow and right ones shrink, though
# nobody pays for length. Under Dr. GRPO nothing moves. The paper reports the same for
# Qwen2.5-1.5B: its wrong answers grew from some 960 to 1,980 tokens under GRPO and
# stayed level under Dr. GRPO, at the same reward. (The two lines of Dr. GRPO lie on
# each other.) If the length were chosen before right or wrong is decided, both branches would change the same
# stopping chance, and their pulls would cancel.

# %% [markdown]
# ### On the search lab: five seeds
#
# In [the search lab](01_search_lab.ipynb) a response can be long: it guesses, checks, and says `wait`. GRPO and Dr. GRPO ran for 80 steps, with the
# same questions for both (`rlnotes sweep configs/search/grpo.yaml configs/search/dr_grpo.yaml --seeds 0-4`). If the $1/|o_i|$ of GRPO spares long wrong answers, they
# should be longer under GRPO. Line: mean over seeds; band: 95 % interval.

# %%
lab = rl.load_runs(rl.project_folder() / "data" / "runs" / "*_search_search-base_seed*")
lab = lab[lab["algorithm"].isin(["grpo", "dr_grpo"])]
lengths = ["completions/mean_length_right", "completions/mean_length_wrong"]
_ = rl.plot_bands(lab, ["eval/sampled_accuracy", *lengths])
for key, last in {"eval/sampled_accuracy": 1, lengths[0]: 20, lengths[1]: 20}.items():
    finals = rl.final_scores(lab, key, last=last)
    print(f"{key:32}", rl.paired_difference(finals, key, "dr_grpo", "grpo"))
norms = lab.groupby("algorithm")["grad_norm"].mean()
print(f"mean grad_norm, GRPO over Dr. GRPO: {norms['grpo'] / norms['dr_grpo']:.1f}")

# %% [markdown]
# **These seeds do not decide whether wrong answers are longer under GRPO.** Dr. GRPO's are 3 tokens shorter, the side that the length bias predicts,
# but the interval from −9 to +2.5 holds zero.
# Dr. GRPO's accuracy is lower at
# step 80 in all five seeds, but the interval of the difference contains zero. One of its seeds fell half way and came back ([12](12_compare_runs.ipynb) prints it). We have not found out why. Its gradient
# is four times smaller (`grad_norm`, the last line of the output), but AdamW mostly undoes a constant factor. Both ran at one learning rate, which may suit one of them better; tuning
# both is an experiment to do.

# %% [markdown]
# ## What usually goes wrong
#
# * **`grad_norm` spikes with $\beta>0$.** One token with a large $d$ under $k_3$. Use `kl_gradient="importance"`, or clamp.
# * **`kl` is negative.** The estimator is $k_1$, and the sampler is not the policy that is scored.
# * **`kl` is in the loss and nothing is held back.** The estimator is $k_1$ differentiated: its gradient is zero in the mean.
# * **Two logs disagree about `kl`.** One averages over tokens, the other over completions.
# * **`completions/mean_length` rises and `reward` does not.** Look at right and wrong answers apart before calling it reasoning.

# %% [markdown]
# ## Exercises
#
# Log-probabilities and masks are (N, T).
#
# **kl-1.** A KL term with the value of $k_3$ and the derivative $\log\pi-\log\pi_{\text{ref}}$, the right one on fresh samples. `.detach()` is all you need.


# %%
def kl_straight_through(logps, ref_logps):
    raise NotImplementedError


check_exercise("kl-1", kl_straight_through)

# %% [markdown]
# **kl-2.** Dr. GRPO's weight of each token, (N, T), from the mask and $L_{\max}$.


# %%
def dr_grpo_weights(completion_mask, max_completion_length):
    raise NotImplementedError


check_exercise("kl-2", dr_grpo_weights)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # kl-1
# def kl_straight_through(logps, ref_logps):
#     d = ref_logps - logps
#     k2, k3 = 0.5 * d**2, d.exp() - d - 1
#     return k3.detach() + k2 - k2.detach()
# ```
#
# ```python
# # kl-2
# def dr_grpo_weights(completion_mask, max_completion_length):
#     return completion_mask / (len(completion_mask) * max_completion_length)
# ```
#
# </details>

# %% [markdown]
# ### Predict, then run
#
# At which $\beta$ does the reward of the live run fall by half? Write down a number, replace `betas` by three values around it, and hand in the plot.
#
# | question | your words |
# | --- | --- |
# | What did you predict, and from which slope? | |
# | What did you find, with its range over the seeds? | |
# | Did the gradient of the KL or the clip of the gradient's norm decide it? | |

# %% [markdown]
# ## References
#
# * Schulman, 2020, [*Approximating KL divergence*](http://joschu.net/blog/kl-approx.html).
# * Liu et al., 2025, [*Understanding R1-Zero-Like Training*](https://arxiv.org/abs/2503.20783): Dr. GRPO.
# * Shao et al., 2024, [*DeepSeekMath*](https://arxiv.org/abs/2402.03300): Eq 4 and β = 0.04.
#
# In the library: [`equations/divergences.py`](../rlnotes/equations/divergences.py), [`equations/aggregation.py`](../rlnotes/equations/aggregation.py).
#
# **Next:** [05 R1-Zero](05_r1_zero.ipynb), where GRPO's reward is two rules.
