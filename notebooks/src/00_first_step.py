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
# # 00 · First step: from a reward to a gradient
#
# You know PyTorch, and you have never trained anything by reinforcement learning. At the end of this page
# a language model learns to add better, by a training loop that you have read line by line.
#
# You will be able to
#
# * write the gradient of an expected reward, and check it by enumeration,
# * say why a baseline is allowed and what it is good for,
# * say why several updates on one batch of samples need a ratio,
# * write one step of GRPO with nothing but PyTorch, and recognize it in `rlnotes.train`.
#
# **Reading:** about 31 minutes. **Running:** under 30 seconds on two cores. **Builds on:** PyTorch.
# **Next:** [01 The search lab](01_search_lab.ipynb), the small world of the experiments.

# %%
import copy
import re

import torch
from IPython.display import HTML
from ipywidgets import interact
from matplotlib import pyplot as plt

from rlnotes.analysis.figures import use_style
from rlnotes.policies.policy import load_policy
from rlnotes.tasks.loading import load_task
from rlnotes.teaching.exercises import check_exercise
from rlnotes.training.config import make_config
from rlnotes.training.loop import train

use_style()
torch.set_num_threads(1)  # a tiny model: a second thread only waits
torch.set_printoptions(precision=4, sci_mode=False, linewidth=100)
print(f"torch {torch.__version__.split('+')[0]}")

# %% [markdown]
# ## The loop
#
# In supervised learning, somebody wrote the right answer, and the loss compares the model with it. Here the
# model writes the answers itself. We only say how good each one is, by a number called the *reward*, and the
# model is changed so that good answers become more probable. Every algorithm of this course goes round the
# loop below.

# %% tags=["hide-input"]
steps = ["question", "rollouts", "rewards", "advantages", "loss", "update"]
says = ["3+4=", "the model answers\n8 times", "which answers\nare right?"]
says += ["better than the\nothers?", "one number\nfor autograd", "optimizer.step()"]
figure, axes = plt.subplots(figsize=(9, 2))
axes.set(xlim=(-0.6, 5.6), ylim=(-1.2, 0.6))
axes.axis("off")
box = {"boxstyle": "round,pad=0.4", "fc": "#E8F1F8", "ec": "#0072B2"}
for i, (name, words) in enumerate(zip(steps, says)):
    axes.text(i, 0.25, name, ha="center", va="center", bbox=box)
    axes.text(i, -0.32, words, ha="center", va="center", fontsize=8)
    if i:
        arrow = {"arrowstyle": "->", "color": "#0072B2"}
        axes.annotate("", (i - 0.38, 0.25), (i - 0.62, 0.25), arrowprops=arrow)
back = {"arrowstyle": "->", "color": "#D55E00"}
back["connectionstyle"] = "bar,angle=180,fraction=-0.05"
axes.annotate("", (1, -0.55), (5, -0.55), arrowprops=back)
note = "the changed model answers the next question"
_ = axes.text(3, -1.05, note, ha="center", fontsize=8, color="#D55E00")

# %% [markdown]
# ## The smallest case: three arms
#
# Take away the language first. There are three possible actions, called the arms of a *bandit*, and arm $a$
# always pays $r(a)$. A *policy* $\pi_\theta$ is a probability for each arm, and its parameters $\theta$ are
# three logits. The first arm is the best one, and the policy hardly ever chooses it. We want to maximize the
# expected reward:
#
# $$J(\theta) = \mathbb E_{a \sim \pi_\theta}[r(a)] = \sum_a \pi_\theta(a)\, r(a)$$
#
# With three arms we can write the sum down, and autograd differentiates it. This gradient is the truth against
# which everything below is measured.

# %% tags=["nbval-check-output"]
reward = torch.tensor([1.0, 0.7, 0.0], dtype=torch.float64)
start = torch.tensor([0.05, 0.45, 0.50], dtype=torch.float64)  # probabilities
theta = start.log().requires_grad_()

pi = theta.softmax(0)
J = (pi * reward).sum()
print(f"policy {start.tolist()}, expected reward J = {J:.4f}")
(true_gradient,) = torch.autograd.grad(J, theta)
print(f"gradient of J by the three logits: {true_gradient}")

# %% [markdown]
# ### The gradient as an expectation
#
# A language model has far too many possible answers for such a sum. We need the gradient in the form of an
# average over *samples*. The step that makes it possible is one line of calculus, because
# $\nabla \log \pi = \nabla \pi / \pi$ means $\nabla \pi = \pi\, \nabla \log \pi$:
#
# $$\nabla J = \sum_a r(a)\, \nabla \pi_\theta(a) = \sum_a \pi_\theta(a)\, r(a)\, \nabla \log \pi_\theta(a)
# = \mathbb E_{a \sim \pi_\theta}\big[r(a)\, \nabla \log \pi_\theta(a)\big]$$
#
# The reward itself is never differentiated. It may come from a rule, a program or a person. This is
# REINFORCE ([Williams, 1992](https://doi.org/10.1007/BF00992696)). We check it by enumeration: one row of
# $\nabla \log \pi$ for each arm, weighted by the arm's probability.

# %% tags=["nbval-check-output"]
score = torch.autograd.functional.jacobian(lambda t: t.log_softmax(0), theta)
by_enumeration = (pi[:, None] * reward[:, None] * score).sum(0)
print(f"Σ π r ∇log π = {by_enumeration.detach()}")
torch.testing.assert_close(by_enumeration.detach(), true_gradient)
print("held: it equals the gradient of J")

# %% [markdown]
# **Predict first (step-1).** For a softmax, $\partial \log \pi(a) / \partial \theta_k = 1[a = k] - \pi(k)$. Put
# this into the expectation and fill in the line: what is the gradient by all three logits, from `pi`, `reward`
# and $J$? Which arm will grow fastest, the best one or another?


# %%
def gradient_of_logits(pi, reward):
    raise NotImplementedError  # J = (pi * reward).sum(), then one line


check_exercise("step-1", gradient_of_logits)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # step-1
# def gradient_of_logits(pi, reward):
#     J = (pi * reward).sum()
#     return pi * (reward - J)
# ```
#
# An arm grows if it pays more than the average. How fast it grows is proportional to how often it is chosen.
# So the second arm grows fastest here, although the first one pays more.
#
# </details>
#
# ### Gradient ascent
#
# We follow the exact gradient. The figure shows the answer to the question above: the common good arm grows
# first, and the rare best arm takes over much later.

# %% tags=["hide-input"]
logits, path = theta.detach().clone(), []
for _ in range(300):
    now = logits.softmax(0)
    path.append(now)
    logits = logits + 0.5 * now * (reward - (now * reward).sum())
path = torch.stack(path)

names = ["arm 1 pays 1.0", "arm 2 pays 0.7", "arm 3 pays 0.0"]
colors = ["#0072B2", "#009E73", "#999999"]
figure, axes = plt.subplots(figsize=(7, 2.6))
axes.stackplot(range(300), path.T, labels=names, colors=colors, alpha=0.8)
axes.set(xlabel="step of gradient ascent", ylabel="probability", ylim=(0, 1))
_ = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
print(f"J at the start {J:.2f}, after 300 steps {(path[-1] * reward).sum():.2f}")

# %% [markdown]
# ### The gradient from samples
#
# Now we forget the sum and draw 1,000 actions. The mean of $r\,\nabla \log \pi$ over the samples estimates the
# gradient. Its standard error says how far off it should be: most estimates lie within two of them.

# %% tags=["nbval-check-output"]
dice = torch.Generator().manual_seed(0)
actions = torch.multinomial(start, 1000, replacement=True, generator=dice)
terms = reward[actions, None] * score[actions]  # one gradient for each sample
estimate, error = terms.mean(0), terms.std(0) / len(terms) ** 0.5
print(f"exact          {true_gradient}")
print(f"estimate       {estimate}")
print(f"standard error {error}")
distance = ((estimate - true_gradient) / error).abs().max()
assert distance < 3
print(f"held: at most {distance:.1f} standard errors away")

# %% [markdown]
# Nobody computes the rows of $\nabla \log \pi$ one by one. We write a loss whose gradient is the estimate with a
# minus sign, because optimizers minimize. The *value* of this loss means nothing, and it does not have to fall
# while the policy improves. Only its gradient counts.

# %% tags=["nbval-check-output"]
logps = theta.log_softmax(0)[actions]
loss = -(reward[actions] * logps).mean()
(by_loss,) = torch.autograd.grad(loss, theta)
torch.testing.assert_close(-by_loss, estimate)
print(f"held: minus the gradient of this loss is the estimate {-by_loss}")

# %% [markdown]
# ## A baseline: the same mean, less noise
#
# No reward above is negative, so no sampled arm is pushed down, and the best are pushed up most. It is better
# to ask whether a reward is above expectation. We may subtract any number $b$ that does not depend on the action,
# because the probabilities always add up to 1:
#
# $$\mathbb E[b\, \nabla \log \pi] = b \sum_a \pi(a) \frac{\nabla \pi(a)}{\pi(a)} = b\, \nabla \sum_a \pi(a)
# = b\, \nabla 1 = 0$$
#
# What is left, $r - b$, is called an *advantage*. The usual $b$ is the expected reward.
#
# **Predict first (step-2).** If we add 10 to every reward, by how much does the exact gradient of the first logit
# change?

# %%
change = None  # your number

check_exercise("step-2", change)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # step-2
# change = 0.0
# ```
#
# Adding 10 is the baseline $b = -10$, which changes no expectation. The noise of a sampled estimate changes very
# much, as the next cell shows.
#
# </details>

# %% tags=["nbval-check-output"]
total_variance = {}
for name, b in (("b = 0", 0.0), ("b = J", J.detach()), ("b = -10", -10.0)):
    rows = (reward - b)[:, None] * score  # one row for each arm
    mean = (pi[:, None] * rows).sum(0).detach()
    variance = (pi[:, None] * (rows - mean) ** 2).sum().item()
    total_variance[name] = variance
    torch.testing.assert_close(mean, true_gradient)
    print(f"{name:7s}  mean {mean}  variance of one sample {variance:.4f}")
assert total_variance["b = J"] == min(total_variance.values())
print(
    "held: the three means are equal, and b = J has the smallest variance of the three"
)

# %% [markdown]
# These are no simulations: with three arms mean and variance are exact. In the figure, each dot is an estimate from
# 20 samples. The two clouds have the same center, and the one with the baseline is narrower.

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 2, figsize=(8, 3), sharex=True, sharey=True)
for panel, (name, b) in zip(panels, (("b = 0", 0.0), ("b = J", J.detach()))):
    drawn = torch.multinomial(start, 400 * 20, replacement=True, generator=dice)
    dots = ((reward[drawn] - b)[:, None] * score[drawn]).view(400, 20, 3).mean(1)
    panel.plot(dots[:, 1], dots[:, 2], ".", color="#0072B2", alpha=0.3, ms=4)
    panel.plot(*true_gradient[1:], "x", color="#D55E00", ms=9, mew=2, label="exact")
    panel.set(title=f"{name}: variance {total_variance[name]:.2f}")
    panel.set(xlabel="gradient by logit 2")
panels[0].set_ylabel("gradient by logit 3")
_ = panels[1].legend()

# %% [markdown]
# ## Several updates on one batch: the ratio
#
# Sampling from a language model is slow, so one would like to use a batch for more than one update. After the first
# update the policy is $\pi_\theta$, but the samples are still from $\pi_\text{old}$, and the expectation is taken
# over the wrong distribution. Each sample must be weighted by how much more probable it has become:
#
# $$\mathbb E_{a \sim \pi_\theta}[A(a)] = \sum_a \pi_\text{old}(a) \frac{\pi_\theta(a)}{\pi_\text{old}(a)} A(a)
# = \mathbb E_{a \sim \pi_\text{old}}\big[\rho(a)\, A(a)\big], \qquad
# \rho(a) = \frac{\pi_\theta(a)}{\pi_\text{old}(a)}$$
#
# This weight is called the *importance weight*, or simply the ratio. At the first update it is 1, and its gradient is
# $\nabla \rho = \nabla \log \pi$ there, so both losses begin alike.
#
# **Predict first (step-3).** A policy has moved from (0.05, 0.45, 0.50) to (0.20, 0.60, 0.20). Give the three ratios.

# %%
ratios = None  # a list of three numbers

check_exercise("step-3", ratios)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # step-3
# ratios = [4.0, 4 / 3, 0.4]
# ```
#
# The rare arm has the largest ratio: a small old probability in the denominator.
#
# </details>
#
# Now we make 300 updates on one batch and never sample again. To see the effect without noise, the batch holds each
# arm exactly as often as $\pi_\text{old}$ says.


# %%
def reuse_one_batch(with_ratio, updates=300):
    """The policies (updates, 3) on the way; advantages are those of the old policy."""
    advantage, logits = reward - (start * reward).sum(), start.log()
    policies = []
    for _ in range(updates):
        logits = logits.detach().requires_grad_()
        logps = logits.log_softmax(0)
        policies.append(logps.exp().detach())
        weight = (logps - start.log()).exp() if with_ratio else logps
        loss = -(start * weight * advantage).sum()
        loss.backward()
        logits = logits - 0.5 * logits.grad
    return torch.stack(policies)


ways = {"without the ratio": reuse_one_batch(False), "with it": reuse_one_batch(True)}

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 3, figsize=(9.5, 2.9))
for panel, (name, policies) in zip(panels, ways.items()):
    panel.stackplot(range(300), policies.T, colors=colors, labels=names, alpha=0.8)
    panel.set(title=name, xlabel="update on the same batch", ylim=(0, 1))
panels[0].set_ylabel("probability")
lines = panels[1].get_legend_handles_labels()
figure.legend(*lines, loc="outside lower center", ncols=3, fontsize=9)
panels[2].plot(ways["with it"][:, 0] / start[0], color=colors[0])
panels[2].set(title="ratio of arm 1", xlabel="update on the same batch", ylabel="ρ")
for name, policies in ways.items():
    print(f"{name:17s} {policies[-1]}  J = {(policies[-1] * reward).sum():.2f}")
assert ways["without the ratio"][-1].argmax() == 1 and ways["with it"][-1].argmax() == 0
print("held: without the ratio arm 2 wins, with it arm 1, the best")

# %% [markdown]
# Without the ratio the policy ends on the second arm. It counts arm 2 nine times as often as arm 1, as the *old*
# policy chose them, and keeps doing so when the old policy is long gone. With the ratio the gradient is right at every update.
#
# The price is in the third panel. A single sample of arm 1 counts up to 20 times, and with few samples such a sum is very
# noisy. That is why PPO stops a token whose ratio has left $[1-\varepsilon, 1+\varepsilon]$: the *clip* of
# [02](02_ppo.ipynb). On the rest of this page we make one update a batch, so the ratio is 1 and we need neither.
#
# ## A language model is the same thing, many times over
#
# A completion is a row of tokens $o_1, \dots, o_T$, and each token is a choice between as many arms as the vocabulary
# has words. The probability of the whole is a product, so its logarithm is a sum, and so is its gradient:
#
# $$\log \pi_\theta(o \mid q) = \sum_t \log \pi_\theta(o_t \mid q, o_{<t})$$
#
# Our model is a Llama with two layers, small enough to train in seconds. It has learned from bad examples to answer sums modulo
# ten: it writes some dots, sometimes brackets, and an often wrong digit. Each character is a token, and `;` ends a completion.
#
# The model's output for a prompt is one logit for each token. The softmax of the last position is the policy: the
# probabilities of the first token of the answer.

# %% tags=["hide-input"]
task, policy = load_task("scratch-addition"), load_policy("tiny")
model, tokenizer = policy.model, policy.tokenizer
untrained = copy.deepcopy(model)  # kept for the comparisons below
END, WIDTH = tokenizer.eos_token_id, 12  # the longest completion we allow
print(
    f"{policy.num_parameters:,} parameters, {len(tokenizer)} tokens in the vocabulary"
)
print("ids of '3+4=':", tokenizer("3+4=")["input_ids"])
with torch.no_grad():
    logits = model(input_ids=torch.tensor([tokenizer("3+4=")["input_ids"]])).logits
probabilities = logits[0, -1].softmax(-1)
characters = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
figure, axes = plt.subplots(figsize=(7, 2.2))
axes.bar(characters, probabilities, color="#0072B2")
axes.set(xlabel="next token after '3+4='", ylabel="probability")
print(f"shape of the logits: {tuple(logits.shape)} = (rows, positions, vocabulary)")

# %% [markdown]
# ### ROLLOUTS: draw tokens until the end
#
# `torch.multinomial(probabilities, 1)` draws a token. We write this draw ourselves in three lines: take a uniform random
# number, and find the first token at which the running sum of the probabilities exceeds it. It is the same distribution,
# and it takes one random number for each row, as `rlnotes` does. So the last cell can compare both to the last token.


# %%
def draw(probabilities, dice):
    """One token id for each row of probabilities (N, V), as (N, 1)."""
    running_sum = probabilities.cumsum(-1)
    uniform = torch.rand(len(probabilities), generator=dice)[:, None]
    return torch.searchsorted(running_sum, uniform * running_sum[:, -1:], right=True)


dice = torch.Generator().manual_seed(0)
mine = draw(probabilities.expand(10_000, -1), dice)[:, 0].bincount(
    minlength=len(tokenizer)
)
theirs = torch.multinomial(probabilities, 10_000, replacement=True, generator=dice)
shares = torch.stack([mine, theirs.bincount(minlength=len(tokenizer))]) / 10_000
gap = (shares - probabilities).abs().amax(1)
assert bool((gap < 0.02).all())
print(
    f"held: both within 0.02 of the probabilities (draw {gap[0]:.3f}, multinomial {gap[1]:.3f})"
)

# %% [markdown]
# A completion is drawn token by token: run the model, draw, append, repeat. No gradient is needed here. Rows that have
# ended go on being filled, and we ignore what comes after the first end token. Then we ask two questions, each eight times:
# the eight answers to one question are a *group*.


# %%
@torch.no_grad()
def sample(model, prompt_ids, dice):
    """Completion ids (N, T) for prompt ids (N, L)."""
    ids = prompt_ids
    ended = torch.zeros(len(ids), 1, dtype=torch.bool)
    while not ended.all() and ids.shape[1] < prompt_ids.shape[1] + WIDTH:
        logits = model(input_ids=ids).logits[:, -1]
        token = draw(logits.softmax(-1), dice)
        ids = torch.cat([ids, token], 1)
        ended |= token == END
    return ids[:, prompt_ids.shape[1] :]


def mask_of(completion_ids):
    """1 up to and including the first end token, 0 behind it."""
    ends = (completion_ids == END).long()
    return (ends.cumsum(1) - ends == 0).float()


# %%
GROUP = 8


def encode(questions):
    texts = [question.prompt for question in questions for _ in range(GROUP)]
    return torch.tensor(tokenizer(texts)["input_ids"])


def texts_of(ids, mask):
    rows = [row[: int(n)] for row, n in zip(ids, mask.sum(1))]
    return [tokenizer.decode(row, skip_special_tokens=True) for row in rows]


questions = task.sample(2, seed=0, step=0)
prompt_ids = encode(questions)
ids = sample(model, prompt_ids, torch.Generator().manual_seed(0))
mask = mask_of(ids)
print(ids[:3], mask[:3], sep="\n")
print(questions[0].prompt, texts_of(ids, mask)[:GROUP])

# %% [markdown]
# ### REWARDS: is the last number the answer?
#
# The reward is a rule of three lines. It does not care about dots and brackets.


# %%
def rewards_of(texts, questions):
    answers = [question.answer for question in questions for _ in range(GROUP)]
    numbers = [re.findall(r"\d+", text) for text in texts]
    return torch.tensor([float(n[-1:] == [a]) for n, a in zip(numbers, answers)])


rewards = rewards_of(texts_of(ids, mask), questions)
for i, question in enumerate(questions):
    group = rewards[i * GROUP : (i + 1) * GROUP].int().tolist()
    print(f"{question.prompt} {question.answer}   rewards {group}")

# %% [markdown]
# ### ADVANTAGES: better than the others of the group?
#
# The baseline has to be an expected reward for *this* question. PPO learns to predict it with a second network. GRPO
# ([Shao et al., 2024](https://arxiv.org/abs/2402.03300)) takes the mean of the group, and divides by the group's standard
# deviation:
#
# $$\hat A_i = \frac{r_i - \operatorname{mean}(r_1, \dots, r_G)}{\operatorname{std}(r_1, \dots, r_G)}$$
#
# (The mean contains the answer's own reward, so it is not quite the baseline of the proof above: [03](03_grpo.ipynb)
# says what that costs.)
#
# **Predict first (step-4).** One of eight answers is right. What is its advantage? The standard deviation divides by $G - 1$,
# as `torch.std` does.

# %%
advantage = None  # a number, or a line that computes it

check_exercise("step-4", advantage)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # step-4
# advantage = (1 - 1 / 8) / torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0]).std().item()
# ```
#
# It is about two and a half. The seven wrong answers get −0.35 each: a rare success is a strong signal, and the sum is zero.
#
# </details>
#
# The picture shows the group of the exercise. With a running kernel you can change it below: click the answers that are right.
# Look at one wrong among seven right, and at a group in which all are right. The second has no bars, and teaches nothing.


# %% tags=["hide-input"]
def advantages_of(rewards):
    groups = rewards.view(-1, GROUP)
    std = groups.std(1, keepdim=True)
    centered = groups - groups.mean(1, keepdim=True)
    return torch.where(std > 0, centered / std, 0.0).flatten()


def draw_group(**right):
    values = advantages_of(torch.tensor([float(x) for x in right.values()]))
    figure, axes = plt.subplots(figsize=(7, 2.2))
    bars = [f"{name}\n{'right' if x else 'wrong'}" for name, x in right.items()]
    axes.bar(
        bars, values, color=["#0072B2" if x else "#D55E00" for x in right.values()]
    )
    axes.axhline(0, color="black", lw=0.8)
    axes.set(ylabel="advantage", ylim=(-2.7, 2.7))


answers = {f"o{i}": i == 1 for i in range(1, GROUP + 1)}
draw_group(**answers)

# %%
_ = interact(draw_group, **answers)

# %% [markdown]
# ### LOG-PROBS: how probable was each token?
#
# One forward pass over prompt and completion gives the logits of all positions. The logits at position $t$ speak about token
# $t + 1$, so we begin one position before the completion and drop the last. `log_softmax` makes logarithms of probabilities,
# and `gather` picks the token that was drawn.
#
# **Fill in (step-5).** Logits (N, T, V) that already belong to the right positions, and ids (N, T): return the log-probabilities
# of the ids, (N, T).


# %%
def chosen_logps(logits, ids):
    raise NotImplementedError  # two calls


check_exercise("step-5", chosen_logps)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # step-5
# def chosen_logps(logits, ids):
#     return logits.log_softmax(-1).gather(2, ids[..., None])[..., 0]
# ```
#
# </details>


# %%
def logps_of(model, prompt_ids, ids):
    logits = model(input_ids=torch.cat([prompt_ids, ids], 1)).logits
    logits = logits[:, prompt_ids.shape[1] - 1 : -1]
    return logits.log_softmax(-1).gather(2, ids[..., None])[..., 0]


logps = logps_of(model, prompt_ids, ids)
print("tokens       ", [characters[i] for i in ids[0, : int(mask[0].sum())]])
print("probabilities", logps[0, : int(mask[0].sum())].exp().detach())

# %% [markdown]
# ### LOSS and UPDATE: one step of GRPO
#
# The loss is the bandit's, $-\hat A \log \pi$, averaged over the tokens of each completion and then over the completions. With one
# update a batch this has exactly the gradient of GRPO's clipped ratio, because the ratio is 1. Then `backward` and `step`, as in
# any training loop. We ask the two questions once more and look at what became of the very same answers.

# %%
student = copy.deepcopy(untrained)
optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.0)
before = logps_of(student, prompt_ids, ids)
per_row = (advantages_of(rewards)[:, None] * before * mask).sum(1) / mask.sum(1)
loss = -per_row.mean()
loss.backward()
optimizer.step()
after = logps_of(student, prompt_ids, ids)
gain = ((after - before) * mask).sum(1).detach()
mixed = advantages_of(rewards) != 0
right, wrong = gain[mixed & (rewards == 1)], gain[mixed & (rewards == 0)]
print(f"change of log π(answer): right {right.mean():+.2f}, wrong {wrong.mean():+.2f}")
assert right.mean() > wrong.mean()
print("held: right answers gained on wrong ones")

# %% [markdown]
# ## Again and again
#
# Everything together, in the order of the drawing. Each step takes 16 new questions, eight answers each. The one line not seen so
# far bounds the length of the gradient. The seeds are those of `rlnotes.train`, so that the comparison below is exact.


# %%
def learn(model, steps, seed=0, learning_rate=1e-3, advantages_of=advantages_of):
    """Train `model` in place; returns (mean reward, gradient norm) of each step."""
    adam = {"lr": learning_rate, "betas": (0.9, 0.99), "weight_decay": 0.0}
    optimizer, history = torch.optim.AdamW(model.parameters(), **adam), []
    for step in range(1, steps + 1):
        questions = task.sample(16, seed=seed, step=1000 * step)
        prompt_ids = encode(questions)
        dice = torch.Generator().manual_seed(1_000_003 * seed + 1000 * step)
        ids = sample(model, prompt_ids, dice)
        mask = mask_of(ids)
        rewards = rewards_of(texts_of(ids, mask), questions)
        weighted = advantages_of(rewards)[:, None] * logps_of(model, prompt_ids, ids)
        loss = -((weighted * mask).sum(1) / mask.sum(1)).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        history.append((rewards.mean().item(), norm.item()))
    return history


# %%
student = copy.deepcopy(untrained)
history = learn(student, steps=40)
first = sum(r for r, _ in history[:4]) / 4
last = sum(r for r, _ in history[-4:]) / 4
assert last > first + 0.2
print(
    f"held: mean reward {first:.2f} in the first four steps, {last:.2f} in the last four"
)

# %% [markdown]
# What did it learn? Here are answers from before and after to eight sums that reinforcement learning has never seen. (The bad examples of
# its first training did contain them, so this is no proof of arithmetic.) The numbers are for one seed: an illustration. These are
# *sampled* answers. The most probable answer of the untrained model was right already, and after training it is right less often:
# [the results](../docs/results.md) have all recorded runs of this toy. What it learned is to be sure of what it knew.


# %%
def marked(model):
    """One answer to each of eight held-out sums, ✓ right or ✗ wrong."""
    questions = task.held_out()[:8]
    prompt_ids = encode(questions)
    ids = sample(model, prompt_ids, torch.Generator().manual_seed(1))
    texts = texts_of(ids, mask_of(ids))
    ok = rewards_of(texts, questions)
    cells = []
    for text, right in zip(texts[::GROUP], ok[::GROUP]):
        mark, color = ("✓", "#0072B2") if right else ("✗", "#D55E00")
        cells.append(f"<td style='color:{color}'>{mark} <code>{text}</code></td>")
    return cells, f"<th>{ok.mean():.0%} of {len(ok)} right</th>"


# %%
asked = [f"<td><code>{question.prompt}</code></td>" for question in task.held_out()[:8]]
(was, share_before), (now, share_after) = marked(untrained), marked(student)
rows = "".join(f"<tr>{q}{a}{b}</tr>" for q, a, b in zip(asked, was, now))
titles = "<th>question</th><th>before</th><th>after 40 steps</th>"
foot = f"<tr><th></th>{share_before}{share_after}</tr>"
HTML(f"<table><tr>{titles}</tr>{rows}{foot}</table>")

# %% [markdown]
# ## The same numbers from the library
#
# `rlnotes.train` with the same seed, from the same weights (`policy` itself, which nothing above has changed). It takes faster ways to the same numbers: it keeps a cache while it samples, packs
# rows, and computes the gradient of the last layer in pieces.

# %% tags=["hide-input"]
size = {"generation_batch_size": 16 * GROUP, "num_generations": GROUP}
size |= {"max_steps": 40, "max_completion_length": WIDTH}
names = {"algorithm": "grpo", "policy": "tiny", "task": "scratch-addition"}
config = make_config(**names, **size, learning_rate=1e-3, seed=0, bf16=False)
result = train(config, policy=policy, task=task, progress=False, evaluations=False)
theirs = result.metrics
ours = [r for r, _ in history]
figure, axes = plt.subplots(figsize=(7, 2.6))
axes.plot(
    theirs["step"], theirs["reward"], color="#56B4E9", lw=6, label="rlnotes.train"
)
axes.plot(theirs["step"], ours, color="#D55E00", lw=1.2, label="this page")
axes.set(xlabel="step", ylabel="mean reward of the step", ylim=(0, 1))
_ = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# The rewards are compared exactly, step by step: both drew the same tokens for the same questions. Gradients and final weights agree up to rounding, because sums are
# taken in another order. (On another kind of processor rounding could tip one of the 36,000 draws. Then the assertion on rewards would say so.)

# %%
assert ours == theirs["reward"].tolist()
print(f"held: mean reward equal in {len(ours)} of {len(ours)} steps, to the last bit")
ours_norm = torch.tensor([norm for _, norm in history])
theirs_norm = torch.tensor(theirs["grad_norm"].tolist())
torch.testing.assert_close(ours_norm, theirs_norm, rtol=1e-3, atol=1e-6)
print(f"held: gradient norms within {(ours_norm / theirs_norm - 1).abs().max():.0e}")
pairs = zip(student.parameters(), result.policy.model.parameters())
weights = max((a - b).abs().max().item() for a, b in pairs)
assert weights < 1e-3
print(f"held: final weights within {weights:.0e}")

# %% [markdown]
# ## What usually goes wrong
#
# * **The loss does not fall, so something must be broken.** Advantages of a group add up to zero, and the value of the loss means
#   nothing. Look at the reward, and at the norm of the gradient.
# * **Logits and ids are shifted by one.** The code runs, and the model learns nothing or garbage. Compare the log-probs with those of
#   the sampler, as the assertion above does indirectly.
# * **The end token is not in the mask.** Then the model never learns when to stop. [03](03_grpo.ipynb) shows it.
# * **Every group is all right or all wrong.** Then all advantages are zero, and the step is wasted. [08](08_dapo.ipynb) is about it.
#
# ## Change the run
#
# Run eight steps with a learning rate that is ten times as large. Predict the last reward before you run the cell with `1e-2`, and then say
# what happened to the rewards and to the gradient norms.

# %%
learning_rate = 1e-3  # change this
for r, norm in learn(copy.deepcopy(untrained), 8, learning_rate=learning_rate):
    print(f"reward {r:.2f}   gradient norm {norm:.2f}")

# %% [markdown]
# ## An open experiment
#
# Does the baseline matter as much for the language model as for the bandit? `learn` takes another function for the advantages. Copy the
# template into a new cell, and write your prediction first.
#
# ```python
# def raw_rewards(rewards):
#     return rewards  # no baseline at all
#
# for seed in range(5):
#     with_group = learn(copy.deepcopy(untrained), 40, seed=seed)
#     without = learn(copy.deepcopy(untrained), 40, seed=seed, advantages_of=raw_rewards)
# ```
#
# | question | your words |
# | --- | --- |
# | What do you predict, and why? | |
# | What do you measure, over which steps and how many seeds? | |
# | What did you see, with its range over the seeds? | |
# | What else differs between the two arms? (Hint: compare the gradient norms.) | |
#
# [12](12_compare_runs.ipynb) says when such a difference is more than luck.
#
# ## References
#
# * REINFORCE: [Williams, 1992](https://doi.org/10.1007/BF00992696)
# * PPO: [Schulman et al., 2017](https://arxiv.org/abs/1707.06347)
# * GRPO, in DeepSeekMath: [Shao et al., 2024](https://arxiv.org/abs/2402.03300)
#
# In the library: sampling is [`rollouts/rollouts.py`](../rlnotes/rollouts/rollouts.py), log-probs are
# [`rollouts/scoring.py`](../rlnotes/rollouts/scoring.py), advantages [`equations/group_advantages.py`](../rlnotes/equations/group_advantages.py),
# the update [`training/updates.py`](../rlnotes/training/updates.py), and the loop [`training/loop.py`](../rlnotes/training/loop.py).
