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
# # 15 · PPO, measured: what the critic knows, and what the clip prevents
#
# question → rollouts → rewards → **advantages → objective → update → record → figure**
#
# [02 PPO](02_ppo.ipynb) builds the algorithm. This appendix asks whether its parts do what they are there for. Each section is a question, and can be read
# alone.
#
# | question | answer |
# | --- | --- |
# | What does the critic know after a short run? | how often the policy is right, and not which answer is |
# | Does $\lambda$ trade noise for bias? | yes, and the bias depends on the critic |
# | What does the regression of the critic converge to? | the mean return |
# | Why does the value clip take the larger error? | so that a value that went wrong is pulled back |
# | May the values stay frozen during the epochs of a batch? | here they may: new ones would give nearly the same advantages |
# | What does the critic cost? | a second model to train, and nearly twice the time of a step |
# | Does PPO learn more than GRPO for it? | five seeds on the search lab show no difference |
# | What happens without the clip? | the policy runs further from its samples in each epoch |
# | Would a penalty do as well as the clip? | in PPO's paper, nearly |
# | Which sign has the entropy bonus? | it is added to the objective and subtracted from the loss |
#
# **Reading:** about 26 minutes. **Running:** under a minute on one core. **Papers:** PPO
# ([Schulman et al., 2017](https://arxiv.org/abs/1707.06347)); GAE ([Schulman et al., 2015](https://arxiv.org/abs/1506.02438)).
# **Builds on** [02 PPO](02_ppo.ipynb). **Next:** [03 GRPO](03_grpo.ipynb), which does without the critic.

# %%
import copy
import time

import torch
from matplotlib import pyplot as plt
from pandas import DataFrame, concat, read_csv

import rlnotes as rl
from rlnotes import check_exercise, use_style
from rlnotes.analysis.figures import NEGATIVE, POSITIVE
from rlnotes.training.batches import predict_values, prepare, score
from rlnotes.training.learner import Learner
from rlnotes.training.loop import build_rewards, collect
from rlnotes.training.updates import update, update_once

use_style()
torch.manual_seed(0)
torch.set_num_threads(1)  # a tiny model: a second thread only waits
torch.set_printoptions(precision=3, sci_mode=False, linewidth=120)
print(f"torch {torch.__version__.split('+')[0]}")

# %% [markdown]
# All runs on this page start from the tiny policy of [00](00_first_step.ipynb), which answers sums of two digits and is right about a third of the time.
# `sample` asks it questions; `learner_of` sets up a policy, a critic if the algorithm has one, and their optimizers, as `rlnotes.train` does.

# %%
task, base = rl.load_task("scratch-addition"), rl.load_policy("tiny")
common = {"policy": "tiny", "task": task.name, "bf16": False, "algorithm": "ppo"}
common |= {"learning_rate": 1e-3, "critic_learning_rate": 3e-3}
common |= {"generation_batch_size": 128, "max_completion_length": 12}


def sample(policy, seed, prompts=64, size=8):
    """Rollouts of some training questions and their rewards (N,)."""
    options = {"num_generations": size, "max_completion_length": 12}
    options["generator"] = torch.Generator().manual_seed(seed)
    questions = task.sample(prompts, seed=seed, step=0)
    rollouts = rl.generate_rollouts(policy, questions, **options)
    return rollouts, score(rollouts, [rl.get_accuracy_reward(task.verify)])[:, 0]


def learner_of(**changes):
    config = rl.make_config(**(common | changes))
    return Learner.create(config, copy.deepcopy(base))


# %% [markdown]
# ## What does the critic know after a short run?
#
# A good critic would be unsure while an answer begins, and would change its mind at the digit: up when it is right, down when it is wrong.
# We train for 24 steps, as on page 02. Then we show the critic 512 answers of the *untrained* policy, which makes enough mistakes.

# %%
config = rl.make_config(**common, max_steps=24)
ppo = rl.train(
    config, policy=copy.deepcopy(base), task=task, progress=False, evaluations=False
)

# %% [markdown]
# Its target moves while it learns, because the policy gets better. So we also train a critic on a target that stands still. The policy stays
# frozen, and the critic makes 160 updates on its answers, each token's target being the reward of the answer ($\gamma = \lambda = 1$).

# %%
batches = [sample(base, seed, prompts=32, size=4) for seed in range(16)]
fitted = rl.Critic(base)
optimizer = torch.optim.AdamW(fitted.parameters(), lr=3e-3, weight_decay=0.0)
for step in range(160):
    rollouts, right = batches[step % 16]
    mask = rollouts.completion_mask
    errors = (predict_values(fitted, rollouts) - right[:, None].float()) ** 2
    loss = 0.5 * (errors * mask).sum() / mask.sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(fitted.parameters(), 1.0)
    optimizer.step()

# %% [markdown]
# All three critics see the same answers. We align these at their last token, and average right and wrong ones apart.


# %%
asked, asked_right = sample(base, seed=1000)


def value_path(critic, back=6):
    """Mean V of right and wrong answers, from `back` tokens before the last one on."""
    with torch.no_grad():
        values = predict_values(critic, asked)
    places = asked.lengths[:, None] - 1 - torch.arange(back, -1, -1)
    path = torch.where(places >= 0, values.gather(1, places.clamp(min=0)), torch.nan)
    path[asked.truncated] = torch.nan  # these have no last token
    return path[asked_right == 1].nanmean(0), path[asked_right == 0].nanmean(0)


critics = {"untrained": rl.Critic(base), "after 24 steps of PPO": ppo.critic}
critics["160 updates, frozen policy"] = fitted
paths = {name: value_path(critic) for name, critic in critics.items()}
last = {name: [right[-1], wrong[-1]] for name, (right, wrong) in paths.items()}
columns = ["V before the last token: right", "wrong"]
DataFrame(last, index=columns).T.astype(float).round(2)

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True)
for axes, (title, lines) in zip(panels, paths.items(), strict=True):
    for line, color, kind in zip(lines, (POSITIVE, NEGATIVE), ("right", "wrong")):
        axes.plot(range(-6, 1), line, color=color, marker="o", ms=4, label=kind)
    axes.set_title(title, fontsize=10)
    axes.set(xlabel="tokens before the last", ylim=(-0.05, 1.05))
panels[0].set_ylabel("mean value V(s)")
_ = panels[2].legend(loc="center left", bbox_to_anchor=(1, 0.5), title="answers")

# %% [markdown]
# After 24 steps the critic has learned *how often* the trained policy is right, and says so of every answer: its two lines lie together. With a
# target that stands still and more updates, the lines part at the answer. To tell a right digit from a wrong one the critic has to learn addition, and it has only
# one number per answer to learn it from.
#
# In a chain of thought of thousands of tokens a critic would have to judge half-finished reasoning that may still turn round. That is DeepSeek-R1's argument against a critic
# (v2, Appendix A.3), and a reason for [03](03_grpo.ipynb).

# %% [markdown]
# ## Does λ trade noise for bias?
#
# With $\lambda = 1$ the advantage of the *first* token is right on average, but it carries the luck of every later token. With $\lambda = 0$ it has none of that luck,
# and all of the critic's errors. We sample 512 answers to each of eight questions and compute $\hat A_0$ for several $\lambda$. Answers that begin
# with the same token should on average get the same $\hat A_0$ as with $\lambda = 1$: what is missing is *bias* (its root mean square over first tokens). What varies among them is *noise*.

# %%
questions = [one for one in task.sample(8, seed=7, step=0) for _ in range(16)]
options = {"num_generations": 32, "max_completion_length": 12}
dice = torch.Generator().manual_seed(7)
many = rl.generate_rollouts(base, questions, generator=dice, **options)
many_mask, nothing = many.completion_mask, torch.zeros_like(many.per_token_logps)
right = score(many, [rl.get_accuracy_reward(task.verify)])[:, 0]
paid = rl.kl_penalized_rewards(right, nothing, many_mask, beta=0.0)
kinds = torch.arange(8).repeat_interleave(512) * 100 + many.completion_ids[:, 0]
_, kind, count = torch.unique(kinds, return_inverse=True, return_counts=True)
share = torch.where(count >= 100, count, 0) / count[count >= 100].sum()


def first_token(values, lam):
    """Mean and variance of Â_0 for each kind: a question and a first token."""
    found, _ = rl.generalized_advantage_estimation(paid, values, many_mask, lam=lam)
    first = found[:, 0]
    mean = torch.zeros(len(count)).index_add(0, kind, first) / count
    squares = torch.zeros(len(count)).index_add(0, kind, (first - mean[kind]) ** 2)
    return mean, squares / count


# %% tags=["hide-input"]
lams = [0.0, 0.5, 0.8, 0.9, 0.95, 1.0]
figure, panels = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
with torch.no_grad():
    known = {
        "a critic that says 0": nothing,
        "the fitted critic": predict_values(fitted, many),
    }
for axes, (name, values) in zip(panels, known.items(), strict=True):
    truth, _ = first_token(values, 1.0)
    pairs = [first_token(values, lam) for lam in lams]
    bias = [(share * (m - truth) ** 2).sum().sqrt() for m, _ in pairs]
    noise = [(share * s).sum().sqrt() for _, s in pairs]
    axes.plot(lams, bias, color=NEGATIVE, marker="o", ms=4, label="bias (rms)")
    axes.plot(lams, noise, color=POSITIVE, marker="o", ms=4, label="noise (std)")
    axes.set(title=name, xlabel="λ", ylim=(0, None))
panels[0].set_ylabel("of the first advantage")
_ = panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# Under either critic the noise grows with $\lambda$, and the bias shrinks. With $V = 0$ and a small $\lambda$ the first token simply does not hear of the
# reward, so the bias is large. With a critic that has learned something it is small. So $\lambda < 1$ pays where the critic is good, and hurts
# where it is not.

# %% [markdown]
# ## What does the regression of the critic converge to?
#
# The squared error has its minimum at the *mean* return. We check it on three states whose true values are 0.2, 0.5 and 0.9 and whose returns are
# 0 or 1. For comparison, the absolute error has its minimum at the median, which is 0 or 1 and useless as a baseline.

# %% tags=["nbval-check-output"]
dice = torch.Generator().manual_seed(0)
returns = (torch.rand(2001, 3, generator=dice) < torch.tensor([0.2, 0.5, 0.9])).float()
print("mean return        ", returns.mean(0))
for name, power in (("squared", 2), ("absolute", 1)):
    learned = torch.full((3,), 0.45, requires_grad=True)
    for step in range(400):
        error = ((learned - returns).abs() ** power).mean(0).sum()
        (gradient,) = torch.autograd.grad(error, learned)
        learned = (learned - 0.3 / (1 + step / 20) * gradient).detach().requires_grad_()
    print(f"{name:8} error: V =", learned.detach())

# %% [markdown]
# ## Why does the value clip take the larger error?
#
# The clip of page 02 holds a value near its old one: $\max\big((V - R)^2,\ (\operatorname{clip}(V, V_\text{old} \pm c) - R)^2\big)$. The figure
# has one token with $V_\text{old} = 0.5$, target $R = 1$ and $c = 0.2$. Toward the target the slope vanishes as soon as $V$ has moved by $c$: enough for this batch.
# Away from the target nothing is clipped. It is the policy's clip again, with "toward $R$" in place of "along $\hat A$".

# %% tags=["hide-input"]
v = torch.linspace(0, 1.2, 601, requires_grad=True)
figure, panels = plt.subplots(1, 2, figsize=(9, 2.6))
for c, color in ((None, "#999999"), (0.2, POSITIVE)):
    one = torch.ones(601, 1)
    loss = 601 * rl.value_loss(v[:, None], 0.5 * one, one, one, cliprange_value=c)
    (slope,) = torch.autograd.grad(loss, v)
    near = v.detach() if c is None else v.detach().clamp(0.5 - c, 0.5 + c)
    height = 0.5 * torch.maximum((v.detach() - 1) ** 2, (near - 1) ** 2)
    for axes, y in zip(panels, (height, slope), strict=True):
        axes.plot(v.detach(), y, color=color, label="plain" if c is None else "clipped")
for axes, name in zip(panels, ("value loss", "slope of the value loss"), strict=True):
    axes.axvline(0.5, color="black", lw=0.8, ls=":")
    axes.axvline(1.0, color=NEGATIVE, lw=0.8, ls="--")
    axes.set(xlabel="value V (dotted: old, dashed: target)", ylabel=name)
_ = panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# With the *smaller* of the two errors the clip would work the wrong way round. We draw 4,000 tokens, look at those whose value has moved by more than $c$, and count
# how many keep a gradient.

# %% tags=["nbval-check-output"]
old_v, target = torch.rand(2, 4000, generator=dice)
new_v = (old_v + torch.randn(4000, generator=dice) * 0.5).requires_grad_()
near = old_v + (new_v - old_v).clamp(-0.2, 0.2)
far = (new_v - old_v).abs() > 0.2
toward = (new_v - old_v) * (target - old_v) > 0
on_the_way = far & toward & ((new_v - old_v).abs() < (target - old_v).abs())
table = {}
for name, pick in (("larger error", torch.maximum), ("smaller error", torch.minimum)):
    errors = pick((new_v - target) ** 2, (near - target) ** 2).sum()
    kept = torch.autograd.grad(errors, new_v, retain_graph=True)[0] != 0
    shares = kept[on_the_way].float().mean(), kept[far & ~toward].float().mean()
    table[name] = [f"{x:.0%}" for x in shares]
columns = ["on their way to the target", "moved away from it"]
print(DataFrame(table, index=columns).T.to_string())

# %% [markdown]
# With the larger error, a value that went the wrong way is pulled back, and one that has moved enough in the right direction rests. With the
# smaller error it is the other way round: the value that went wrong stays wrong.
#
# **ppo-4.** The slope of the clipped value loss of one token by its value, for floats.


# %%
def value_slope(value, old_value, target, c):
    raise NotImplementedError


check_exercise("ppo-4", value_slope)

# %% [markdown]
# ## May the values stay frozen during the epochs of a batch?
#
# Advantages and targets are computed once per batch, with the values that the critic had before. During the epochs the critic learns, so one
# could compute them again. What would change? We make eight passes over one batch, with and without the value clip. Before each pass we
# ask the critic again and hold the advantages it would now give against those in use. We take three seeds and $\lambda = 0.95$, because with $\lambda = \gamma = 1$ the target $\hat A_t + V(s_t)$ is the
# reward itself, whatever the critic says.


# %%
def recomputed(seed, clip):
    """One row per pass: what the critic says now, and what follows from it."""
    learner = learner_of(seed=seed, cliprange_value=clip, **eight_passes)
    rewarders, rows = build_rewards(learner.config, task), []
    rollouts, rewards, _ = collect(learner, task, rewarders, step=1)
    batch, mask = prepare(learner, rollouts, rewards), rollouts.completion_mask
    paid = rl.kl_penalized_rewards(rewards[:, 0], 0.0 * mask, mask, beta=0.0)
    for _ in range(8):
        with torch.no_grad():
            values = predict_values(learner.critic, rollouts)
        new, _ = rl.generalized_advantage_estimation(paid, values, mask, lam=0.95)
        both = [x[mask.bool()] for x in (rl.whiten(new, mask), batch.advantages)]
        agree = torch.corrcoef(torch.stack(both))[0, 1].item()
        rows.append({"value": rl.masked_mean(values, mask).item(), "agree": agree})
        update_once(learner, batch)
    return DataFrame(rows).assign(seed=seed, clip=clip, reward=rewards.mean().item())


eight_passes = {"num_iterations": 8, "steps_per_generation": 1, "lam": 0.95}
passes = concat(recomputed(seed, c) for seed in range(3) for c in (0.2, 1e6))

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 2, figsize=(9, 2.8))
for (clip, seed), one in passes.groupby(["clip", "seed"]):
    name, color = ("c = 0.2", POSITIVE) if clip == 0.2 else ("no value clip", NEGATIVE)
    label = name if seed == 0 else None
    panels[0].plot(one.index + 1, one["value"], "o-", color=color, ms=3, label=label)
    panels[1].plot(one.index + 1, one["agree"], "o-", color=color, ms=3)
panels[0].axhline(passes["reward"].mean(), color="black", ls="--", lw=0.8)
panels[0].set(title="mean value (dashed: mean reward)", ylabel="V(s)", ylim=(0, None))
panels[1].set(title="new advantages against those in use", ylabel="correlation")
panels[1].set_ylim(0, 1.02)
for axes in panels:
    axes.set_xlabel("pass over the same batch")
handles = panels[0].get_legend_handles_labels()
panels[1].legend(*handles, fontsize=8, loc="lower right")
print(f"lowest correlation in any pass: {passes['agree'].min():.2f}")

# %% [markdown]
# Without the value clip the mean value swings around the mean reward. With it the swing is around a lower level, some $c$ above the old value: there the tokens of right answers
# lose their gradient, and those of wrong answers keep theirs. Either way the new advantages correlate almost perfectly with
# those in use, because a critic this young says nearly the same of every token, and whitening removes what is the same for all. So freezing the values costs little here, saves a
# forward pass in every epoch, and gives the critic a target that does not move while it learns.

# %% [markdown]
# ## What does the critic cost?
#
# The second PPO slide says: "High resource demands of maintaining a separate value function (Critic)". We give PPO and GRPO the same 128 completions and let both make the same
# four updates. We count what learns (weights, gradients, and Adam's two moments), and the seconds of everything but sampling, the best of five.


# %%
def cost(name):
    """Parameters that learn, the bytes they need, seconds of one step."""
    learner = learner_of(algorithm=name, num_iterations=2, steps_per_generation=2)
    rewarders, seconds = build_rewards(learner.config, task), []
    rollouts, rewards, _ = collect(learner, task, rewarders, step=1)
    for step in range(1, 6):
        start = time.perf_counter()
        update(learner, prepare(learner, rollouts, rewards), step)
        seconds.append(time.perf_counter() - start)
    states = [item for one in learner.optimizers for item in one.state.items()]
    moments = sum(x.nbytes for _, state in states for x in state.values())
    size = moments + 2 * sum(weight.nbytes for weight, _ in states)
    return sum(weight.numel() for weight, _ in states), size, min(seconds)


# %%
costs = DataFrame({name: cost(name) for name in ("ppo", "grpo")}).T
costs.columns = ["parameters", "bytes", "seconds"]
ratio = costs["seconds"]["ppo"] / costs["seconds"]["grpo"]
print(f"PPO's step took {ratio:.1f} times as long as GRPO's")
for name, billions in (("SmolLM2", 0.135), ("a model of 7 billion weights", 7.0)):
    print(
        f"{name}: the critic adds {16 * billions:.1f} GB (16 bytes a weight, fp32, Adam)"
    )
costs.astype({"parameters": int, "bytes": int}).round(2)

# %% [markdown]
# The critic is a second model of the policy's size, without the output head. It doubles the weights that learn and their memory. It makes a forward pass before the updates, and a forward
# and a backward pass in each of them. With a KL in the reward, classic RLHF holds *four* models: policy, critic, reference and reward model. The last two are only read.

# %% [markdown]
# ## Does PPO learn more than GRPO for it?
#
# The toy trains for seconds. In [the search lab](01_search_lab.ipynb) a policy of 0.3 million weights reasons by guess and check. PPO and
# GRPO ran there for 80 steps, with the same questions, learning rate and number of updates
# (`rlnotes sweep configs/search/ppo.yaml configs/search/grpo.yaml --seeds 0-4`). Lines are means over five seeds, bands their 95 % intervals.

# %% tags=["nbval-check-output"]
lab = rl.load_runs(rl.project_folder() / "data" / "runs" / "*_search_search-base_seed*")
lab = lab[lab["algorithm"].isin(["ppo", "grpo"])]
keys = ["eval/sampled_accuracy", "eval/mean_length"]
finals = rl.final_scores(lab, keys[0], last=1)
print("held-out accuracy", rl.paired_difference(finals, keys[0], "ppo", "grpo"))
seconds = lab.groupby("algorithm")[["step_time", "step_time/rollout"]].mean().round(2)
print(seconds.set_axis(["seconds a step", "of it sampling"], axis=1).to_string())

# %% tags=["hide-input"]
_ = rl.plot_bands(lab, keys, columns=2)

# %% [markdown]
# Held out, both rise to about 0.9 by step 80, and the interval of the difference contains zero: five seeds **do not show a
# difference** in what is learned. The price is certain: PPO's step takes nearly twice as long, with the same time for sampling.

# %% [markdown]
# ## What happens without the clip?
#
# We let the policy make eight passes over each of three batches, at five times the rate of page 02, once with $\varepsilon = 0.2$ and once with
# $\varepsilon = 10^9$: ten seeds, the same questions, the same first batch (`python experiments/ppo_clip.py`). Before each pass we measure the distance to the policy that
# sampled the batch, the mean $k_3$ over its tokens ([04](04_kl_and_biases.ipynb)).

# %% tags=["nbval-check-output"]
table = read_csv(
    rl.project_folder() / "data" / "experiments" / "ppo_clip" / "passes.csv"
)
ends = table[table["pass"] == 8].pivot(index="seed", columns=["batch", "clip"])
for batch in (1, 2, 3):
    with_clip, without = (ends["distance"][batch][kind] for kind in (True, False))
    print(
        f"batch {batch}: distance before the last pass {with_clip.mean():.1f} with the clip, "
        f"{without.mean():.1f} without; further without in {(without > with_clip).sum()} of 10"
    )
asked = table.dropna(subset="accuracy").assign(task="toy", policy="tiny")
asked["algorithm"] = asked["clip"].map({True: "clip", False: "no clip"})
for batch, part in asked.groupby("batch"):
    found = rl.paired_difference(part, "accuracy", "clip", "no clip")
    print(f"accuracy after batch {batch}: {found}")

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 3, figsize=(10, 2.9))
looks = {True: ("ε = 0.2", POSITIVE, "-"), False: ("no clip", NEGATIVE, "--")}
for kind, (name, color, dash) in looks.items():
    part = table[table["clip"] == kind]
    for axes, key in zip(panels, ("distance", "grad_norm")):
        wide = part.pivot(index=["batch", "pass"], columns="seed", values=key)
        passes = range(1, 25)
        axes.plot(passes, wide.median(axis=1), dash, color=color, label=name)
        low, high = wide.min(axis=1), wide.max(axis=1)
        axes.fill_between(passes, low, high, color=color, alpha=0.12, lw=0)
        axes.set_xlabel("pass (a new batch at 9 and 17)")
pairs = asked[asked["batch"] == 3].pivot(index="seed", columns="clip")["accuracy"]
for kind, (_, color, _) in looks.items():
    panels[2].plot([1 - kind] * 10, pairs[kind], "o", color=color, ms=4)
panels[2].plot([0, 1], [pairs[True], pairs[False]], color="#999999", lw=0.7)
panels[0].set(title="distance to the sampler", ylabel="mean k3, nats")
panels[1].set(title="norm of the gradient", ylabel="norm", yscale="log")
panels[2].set(title="accuracy after three batches", ylabel="share right", ylim=(0, 0.7))
panels[2].set(xlim=(-0.4, 1.4), xticks=[0, 1], xticklabels=["ε = 0.2", "no clip"])
_ = panels[0].legend(fontsize=8, loc="upper right")

# %% [markdown]
# Lines are medians over seeds, shades reach from the lowest to the highest seed, and each dot of the right panel is a seed. The clip does not hold the policy still: within a batch the distance
# grows with it, too. But without the clip the policy is further away in every seed and every batch, mostly several times as far, and single gradients are much larger. It does not pay at once:
# after one batch five seeds are better with the clip and five without. After three batches most seeds answer better with the clip, and the interval of the difference is above zero. The second
# and third batch are sampled by the policy that ran further, which fits; it is no proof. The step is large here on purpose. With a small one the ratios stay near 1 by
# themselves, and the clip has less to do.

# %% [markdown]
# ## Would a penalty do as well as the clip?
#
# PPO's paper compares both (§4, Table 1; a normalized score over seven robot tasks and three seeds, where 0 is a random policy and 1 the best). We did not run it again:
#
# | variant | score in the paper |
# | --- | --- |
# | no clipping, no penalty | −0.39 |
# | clipping, ε = 0.2 | 0.82 |
# | penalty on the KL, β adapted to a target of 0.01 | 0.74 |
# | penalty on the KL, fixed β = 3 | 0.72 |
#
# The penalty is on the KL to $\pi_\text{old}$ (Eq 8). The adaptive $\beta$ is halved after an update if the KL was below target / 1.5, and doubled if it was above
# 1.5 · target. RLHF codebases took this controller over for another distance, the KL to $\pi_\text{ref}$: to the policy before all training, and not to that of a minute ago.
#
# **ppo-5.** The next $\beta$ of the adaptive controller, from $\beta$, the KL that was measured, and its target.


# %%
def next_beta(beta, kl, target):
    raise NotImplementedError


check_exercise("ppo-5", next_beta)

# %% [markdown]
# ## Which sign has the entropy bonus?
#
# $c_2 S$ is *added* to what is maximized, so it is *subtracted* in the loss. One gradient step with either sign shows which of them makes the policy more random.

# %% tags=["nbval-check-output"]
logits = torch.tensor([2.0, 0.5, 0.0])
for sign, name in ((-1.0, "loss - c S"), (1.0, "loss + c S")):
    leaf = logits.clone().requires_grad_()
    entropy = -(leaf.softmax(0) * leaf.log_softmax(0)).sum()
    (gradient,) = torch.autograd.grad(sign * entropy, leaf)
    after = torch.distributions.Categorical(logits=leaf - 0.5 * gradient).entropy()
    print(f"{name}: entropy {entropy:.3f} → {after:.3f}")

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # ppo-4
# def value_slope(value, old_value, target, c):
#     near = old_value + min(max(value - old_value, -c), c)
#     return 0.0 if (near - target) ** 2 > (value - target) ** 2 else value - target
# ```
#
# ```python
# # ppo-5
# def next_beta(beta, kl, target):
#     if kl < target / 1.5:
#         return beta / 2
#     return 2 * beta if kl > 1.5 * target else beta
# ```
#
# </details>
#
# ### Change the run, and an open experiment
#
# Write `max_steps=96` into the cell that trains PPO, and say first whether the two lines of its critic will part. Then look.
#
# | question | your words |
# | --- | --- |
# | At which learning rate does the clip stop to matter in `experiments/ppo_clip.py`? What do you predict? | |
# | What do you measure, and over how many seeds? | |
# | What did you see? | |

# %% [markdown]
# ## References
#
# * Schulman et al., 2017, [*Proximal Policy Optimization Algorithms*](https://arxiv.org/abs/1707.06347): Eq 8, §4, Table 1.
# * Schulman et al., 2015, [*High-Dimensional Continuous Control Using GAE*](https://arxiv.org/abs/1506.02438).
# * DeepSeek-AI, [*DeepSeek-R1*](https://arxiv.org/abs/2501.12948), v2 (2026), appendix A.3: why R1 has no critic.
#
# In the library: [`training/updates.py`](../rlnotes/training/updates.py), [`training/learner.py`](../rlnotes/training/learner.py),
# [`equations/objectives.py`](../rlnotes/equations/objectives.py).
#
# **Next:** [03 GRPO](03_grpo.ipynb) takes the critic away.
