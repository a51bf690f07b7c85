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
# # 00 · Map and notation
#
# **question → rollouts → rewards → advantages → objective → update → record → figure**
#
# One line holds PPO, GRPO, DeepSeek-R1, DAPO and GDPO. This notebook walks it once, slowly, with
# four completions that every later notebook uses again.
#
# You will be able to
#
# * say what each step of the line takes and gives, and which module and function does it,
# * translate a symbol of the papers into our name, TRL's and verl's,
# * compute mask, advantages, ratio, clipped loss and three aggregations of a group by hand,
# * read the curves of a training run and tell a healthy one from a sick one.
#
# **Time:** about 20 seconds on one core. **Papers:** PPO, arXiv 1707.06347; GRPO in DeepSeekMath,
# 2402.03300; DAPO, 2503.14476; Dr. GRPO, 2503.20783. **Builds on:** nothing.
# **Next:** [02 PPO](02_ppo.ipynb).

# %% [markdown]
# ## The line
#
# A *prompt* makes $G$ *completions*; a batch has $P$ prompts, so $N = P \cdot G$ rows of at most $T$
# tokens. Each step of the line is one module and hands tensors to the next:
#
# | step | the question it answers | gives | module | function | first in |
# | --- | --- | --- | --- | --- | --- |
# | question | what do we ask? | $P$ `Task`s | `tasks` | `load_task(name).sample(P, …)` | 00 |
# | rollouts | what does the policy say? | ids, mask, log-probs $(N, T)$ | `rollouts` | `generate_rollouts` | 00 |
# | rewards | how good is it? | $(N, K)$, $K$ functions | `rewards`, `shaping` | `compute_rewards` | 00, [09](09_gdpo.ipynb) |
# | advantages | better than expected? | $(N,)$ or $(N, T)$ | `advantages` | `generalized_advantage_estimation` | [02](02_ppo.ipynb) |
# | | | | | `group_relative_advantages` | [03](03_grpo.ipynb) |
# | | | | | `decoupled_advantages` | [09](09_gdpo.ipynb) |
# | objective | which token gets likelier, and how far? | one number | `objectives`, `divergences` | `policy_loss`, `value_loss`, `kl_penalty` | [02](02_ppo.ipynb), [03](03_grpo.ipynb), [08](08_dapo.ipynb) |
# | update | move the weights | $\theta$ | `updates`, `training` | `update`, `train` | [02](02_ppo.ipynb) |
# | record | what happened? | a folder of CSV and YAML | `recording` | `RunRecorder`, `load_run` | [11](11_train.ipynb) |
# | figure | what do we see? | a figure | `figures` | `plot_run`, `plot_bands` | all |
#
# The algorithms differ in two steps only, advantages and objective. `rlnotes.training.config.ALGORITHMS`
# writes each of them as the few fields in which it differs from the others.

# %%
import torch
from matplotlib import pyplot as plt
from pandas import DataFrame

from rlnotes.analysis.figures import (
    plot_group,
    plot_run,
    plot_surrogate,
    use_style,
)
from rlnotes.machine.provenance import project_folder
from rlnotes.records.reading import load_runs
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.worked_group import worked_group

use_style()
torch.manual_seed(0)
torch.set_num_threads(1)  # a tiny model: a second thread only waits
torch.set_printoptions(precision=3, sci_mode=False, linewidth=120)
print(f"torch {torch.__version__.split('+')[0]}")

# %% [markdown]
# ## Symbols and names
#
# We keep TRL's names, so that a config, a log key and an axis label read the same in both worlds.
# Papers disagree among themselves; the first column is what these notebooks write.
#
# | here | in the papers | our name (= TRL's unless noted) | verl's |
# | --- | --- | --- | --- |
# | $q$ | $q$, $x$, $s_0$ | `prompt`, `prompt_ids` | `prompts` |
# | $o_i$ | $o_i$, $y$, $\tau$ | `completion_ids` | `responses` |
# | $G$ | $G$ | `num_generations` | `rollout.n` |
# | $T$, $\lvert o_i \rvert$ | $\lvert o_i \rvert$ (PPO: $T$) | `completion_mask.sum(1)` | `response_mask.sum(-1)` |
# | $L_\text{max}$ | $L_\text{max}$ | `max_completion_length` | `data.max_response_length` |
# | $m_{i,t}$ | – | `completion_mask` | `response_mask` |
# | $\log \pi_\theta$ | $\log \pi_\theta(o_{i,t} \mid q, o_{i,<t})$ | `per_token_logps` | `log_prob` |
# | $\log \pi_\text{old}$ | $\pi_{\theta_\text{old}}$ | `old_per_token_logps` | `old_log_probs` |
# | $\log \pi_\text{ref}$ | $\pi_\text{ref}$ | `ref_per_token_logps` | `ref_log_prob` |
# | $r_i$ | $R_i$, $r_i$, $R(y)$ | `rewards` (TRL: `rewards_per_func`) | `token_level_scores` |
# | $\hat A_{i,t}$ | $\hat A_{i,t}$, $\hat A_t$ | `advantages` | `advantages` |
# | $\rho_{i,t}$ | $r_t(\theta)$, $r_{i,t}(\theta)$ | `ratio` (TRL: `coef_1`) | `ratio` |
# | $\varepsilon$, $\varepsilon_\text{low}$ | $\varepsilon$, $\epsilon$ | `epsilon` | `clip_ratio_low` |
# | $\varepsilon_\text{high}$ | $\varepsilon_\text{high}$ | `epsilon_high` | `clip_ratio_high` |
# | $\delta$ | – (dual clip) | `delta` | `clip_ratio_c` |
# | $\beta$ | $\beta$ | `beta` (in the loss), `kl_coef` (in the reward) | `kl_loss_coef`, `kl_ctrl.kl_coef` |
# | $\mu$ | $\mu$ (PPO: epochs $K$) | `num_iterations` | `ppo_epochs` |
# | – | mini-batches | `steps_per_generation` | `ppo_mini_batch_size` (in rows) |
# | $V(s_t)$ | $V(s_t)$ | `values` | `values` |
# | $R_t$ | $V^\text{targ}_t$ | `returns` | `returns` |
# | $\gamma$, $\lambda$ | $\gamma$, $\lambda$ | `gamma`, `lam` | `gamma`, `lam` |
# | $\sum w L$ | $\frac1G\sum\frac1{\lvert o_i\rvert}\sum$, $\frac1{\sum\lvert o_i\rvert}\sum\sum$ | `loss_type` | `loss_agg_mode` |
# | | sequence mean of token means | `"grpo"` | `seq-mean-token-mean` |
# | | token mean | `"dapo"` | `token-mean` |
# | | token sum over $N \cdot L_\text{max}$ | `"dr_grpo"` | `seq-mean-token-sum-norm` |
#
# $s_t = (q, o_{<t})$ is the *state* before token $t$ and $o_t$ the *action*: a completion is an
# episode, its tokens are the steps, and it ends with the end token. That sentence is the whole
# translation from PPO's robots to language models.

# %% [markdown]
# ## The worked group
#
# One question, four completions: right and short, wrong, right and longer, and a rambling wrong
# one that the limit of 12 tokens cuts off. The log-probabilities are made up, once, such that each
# case of the formulas occurs. Every later notebook puts its own formula through these rows.

# %% tags=["nbval-check-output"]
group = worked_group()
lengths = [len(row) for row in group.tokens]
table = DataFrame(
    {
        "completion": group.texts,
        "tokens": lengths,
        "reward": group.rewards.int().tolist(),
    }
)
table["cut off"] = group.truncated.tolist()
table.index = ["o1", "o2", "o3", "o4"]
print(group.prompt)
print(table.to_string())

# %% [markdown]
# ## ROLLOUTS: ids and mask
#
# Rows of unequal length are padded on the right to one rectangle. Many tokenizers, SmolLM2's among
# them, have no padding token of their own and take the end token's id. So here: id 0 is the end of
# a completion *and* what fills the rest.

# %% tags=["nbval-check-output"]
print(group.completion_ids)
print("end", group.eos_token_id, "padding", group.pad_token_id)

# %% [markdown]
# The objective must see the tokens that the policy *chose*, and those only. The end token is one of
# them: stopping is an action, and it is the one that decides the length. So the mask runs up to and
# including the first end token, and a row without one counts whole:
#
# $$m_{i,t} = \mathbb 1\big[\text{no end token among } o_{i,1}, \dots, o_{i,t-1}\big]$$


# %%
def first_end_mask(completion_ids, eos_token_id):
    """1 up to and including the first end token of each row."""
    mask = torch.zeros_like(completion_ids)
    for i, row in enumerate(completion_ids.tolist()):
        for t, token in enumerate(row):
            mask[i, t] = 1
            if token == eos_token_id:
                break
    return mask


# %%
from rlnotes.equations.masking import completion_mask_from_ids

mask = first_end_mask(group.completion_ids, group.eos_token_id)
assert torch.equal(
    mask, completion_mask_from_ids(group.completion_ids, [group.eos_token_id])
)
assert torch.equal(mask, group.completion_mask)

no_end, ends_at_once = torch.tensor([[5, 6, 7]]), torch.tensor([[0, 5, 0]])
assert first_end_mask(no_end, 0).tolist() == [[1, 1, 1]]
assert first_end_mask(ends_at_once, 0).tolist() == [[1, 0, 0]]

# %% [markdown]
# ### Why `ids == pad` is wrong
#
# `mask = ids != pad` is shorter and looks the same. With pad = end it drops each end token from the
# loss: the policy is never paid for stopping, nor punished, and its length drifts. The figure
# shows what is lost. (The mirror image of the mistake, comparing with a pad token that is *not* the
# end, keeps whatever is sampled after the first end.)

# %% tags=["nbval-check-output"]
by_pad = (group.completion_ids != group.pad_token_id).long()
lost = mask - by_pad
print("tokens by first end:", mask.sum(1).tolist())
print("tokens by pad      :", by_pad.sum(1).tolist())
print("end tokens lost    :", lost.sum().item())


# %%
def draw_rows(axes, values, cmap, limits, labels):
    """One square a token, colored by value, labels[i][t] inside; padding is white."""
    image = torch.where(mask.bool(), values, torch.nan)
    axes.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1], aspect="auto")
    for i, row in enumerate(labels):
        for t, label in enumerate(row):
            axes.text(t, i, label, ha="center", va="center", fontsize=8)
    axes.set(yticks=range(4), yticklabels=table.index, xlabel="token")
    axes.set_xticks(range(12), range(1, 13))
    axes.grid(False)


words = [[token.strip() for token in row] for row in group.tokens]
figure, axes = plt.subplots(figsize=(8, 2.4))
axes.set_title("counted; dark: lost by ids != pad")
draw_rows(axes, lost.float(), "Oranges", (-0.4, 1.8), words)
# %% [markdown]
# ## REWARDS: functions of the text
#
# A reward function has TRL's contract: keywords in, one float for each completion out, `None` where
# it does not apply, and it never raises on any text. Its name is its log key. $K$ functions make an
# $(N, K)$ tensor. Here $K = 1$: is the last number of the text the answer?

# %%
from rlnotes.rewards.rewards import accuracy_reward, compute_rewards

rewards = compute_rewards(
    [accuracy_reward],
    prompts=[group.prompt] * 4,
    completions=group.texts,
    completion_ids=group.completion_ids.tolist(),
    answer=["56"] * 4,
)
assert torch.equal(rewards[:, 0], group.rewards)
rewards.shape, rewards[:, 0]

# %% [markdown]
# ## ADVANTAGES: better than expected?
#
# A reward of 1 says little by itself: on an easy question everybody gets it. What counts is the
# difference from what was to be expected. PPO learns that expectation
# ([02](02_ppo.ipynb)); GRPO takes it from the group itself (Shao et al., §4.1.2):
#
# $$\hat A_i = \frac{r_i - \operatorname{mean}(r_1 \dots r_G)}{\operatorname{std}(r_1 \dots r_G)}$$
#
# Each token of completion $i$ gets the same $\hat A_i$.


# %%
def group_advantages(rewards, num_generations):
    """Rewards (N,) centered and scaled in groups of G; a constant group gives 0."""
    groups = rewards.view(-1, num_generations)
    centered = groups - groups.mean(dim=1, keepdim=True)
    std = groups.std(dim=1, keepdim=True)  # unbiased: divides by G − 1
    return torch.where(std > 0, centered / std, 0.0).flatten()


# %% tags=["nbval-check-output"]
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)

advantages = group_advantages(group.rewards, 4)
torch.testing.assert_close(advantages, group_relative_advantages(group.rewards, 4))
assert group_advantages(torch.ones(4), 4).tolist() == [0, 0, 0, 0]  # nothing to learn
print(advantages)

# %% [markdown]
# Other rules keep the centering and change the scale. Dr. GRPO does not divide by the standard
# deviation; the leave-one-out baseline (RLOO) does not count a completion in its own expectation,
# which for $G = 4$ stretches Dr. GRPO's values by $G/(G-1) = 4/3$. The signs agree: right answers
# are pushed up, wrong ones down.

# %%
rules = {
    "GRPO": advantages,
    "Dr. GRPO": group_relative_advantages(group.rewards, 4, scale_rewards="none"),
    "leave one out": leave_one_out_advantages(group.rewards, 4),
}
figure = plot_group(
    group.rewards.tolist(), {name: a.tolist() for name, a in rules.items()}
)
# %% [markdown]
# ## OBJECTIVE: the ratio
#
# The completions were sampled by $\pi_\text{old}$. A few updates later the policy is $\pi_\theta$,
# and each token's probability has changed by the factor (PPO Eq 6)
#
# $$\rho_{i,t} = \frac{\pi_\theta(o_{i,t} \mid q, o_{i,<t})}{\pi_\text{old}(o_{i,t} \mid q, o_{i,<t})}
# = \exp\big(\log\pi_\theta - \log\pi_\text{old}\big)$$
#
# Outside the mask we say 1. On the first update after sampling it is 1 everywhere.

# %%
from rlnotes.equations.surrogates import importance_ratio

ratio = (group.per_token_logps - group.old_per_token_logps).exp()
ratio = torch.where(mask.bool(), ratio, 1.0)
torch.testing.assert_close(
    ratio, importance_ratio(group.per_token_logps, group.old_per_token_logps, mask)
)
same = importance_ratio(group.per_token_logps, group.per_token_logps, mask)
assert bool((same == 1).all())  # π = π_old: ratio 1

# %% [markdown]
# ## OBJECTIVE: the clip
#
# Completions of $\pi_\text{old}$ say little about a policy that has moved far away. PPO (Eq 7) takes
# the smaller of the plain and the clipped term, so that moving further in the direction of the
# advantage stops paying once the ratio has left $[1-\varepsilon, 1+\varepsilon]$:
#
# $$L_{i,t} = -\min\big(\rho_{i,t}\hat A_{i,t},\ \operatorname{clip}(\rho_{i,t}, 1-\varepsilon,
# 1+\varepsilon)\,\hat A_{i,t}\big)$$


# %%
def clipped_loss(ratio, advantages, epsilon=0.2):
    """Loss (N, T) of each token; one advantage a row."""
    plain = ratio * advantages[:, None]
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon) * advantages[:, None]
    return -torch.minimum(plain, clipped)


# %%
from rlnotes.equations.surrogates import clipped_surrogate_loss

loss = clipped_loss(ratio, advantages)
torch.testing.assert_close(loss, clipped_surrogate_loss(ratio, advantages, epsilon=0.2))

ones, far = torch.ones(4, 12), torch.full((4, 12), 9.0)
torch.testing.assert_close(
    clipped_loss(ones, advantages), -advantages[:, None].expand(4, 12)
)
assert bool((clipped_loss(far, torch.zeros(4)) == 0).all())  # Â = 0: no loss
no_clip = clipped_loss(ratio, advantages, epsilon=1e6)  # ε → ∞: the plain ratio term
torch.testing.assert_close(no_clip, -ratio * advantages[:, None])

# %% [markdown]
# The objective as a function of the ratio, and its slope by autograd. Where the slope is 0 a token
# no longer moves the policy. It is 0 on one side only: to the right for $\hat A > 0$, to the left
# for $\hat A < 0$. A token that went the *wrong* way keeps its full pull back. [02](02_ppo.ipynb)
# looks at this figure longer.

# %%
figure = plot_surrogate(epsilon=0.2)
# %% [markdown]
# In the worked group: which tokens still have a slope? We ask autograd for the derivative by
# $\log\pi_\theta$, which is $-\rho\hat A$ inside the clip and 0 where it binds. Blue tokens will get
# likelier, orange ones less likely, gray ones are stopped by the clip.

# %%
logps = group.per_token_logps.clone().requires_grad_()
now = importance_ratio(logps, group.old_per_token_logps, mask)
(gradient,) = torch.autograd.grad((clipped_loss(now, advantages) * mask).sum(), logps)
stopped = (gradient == 0) & mask.bool()

labels = [
    [f"{token}\n{ratio[i, t]:.2f}" for t, token in enumerate(row)]
    for i, row in enumerate(words)
]
figure, axes = plt.subplots(figsize=(8, 2.6))
axes.set_title(
    "token and its ratio; blue: pushed up, orange: pushed down, gray: stopped"
)
axes.imshow(
    torch.where(stopped, 1.0, torch.nan), cmap="Greys", vmin=0, vmax=2.5, aspect="auto"
)
draw_rows(axes, torch.where(stopped, torch.nan, -gradient), "RdBu", (-2.4, 2.4), labels)

# %% [markdown]
# ## OBJECTIVE: from tokens to one number
#
# The papers differ most, and most quietly, in how they average. Every rule is a weight for each
# token, $L = \sum_{i,t} w_{i,t} L_{i,t}$, and the weights are known before the loss is:
#
# $$w^\text{GRPO}_{i,t} = \frac{m_{i,t}}{G\,|o_i|} \qquad
# w^\text{DAPO}_{i,t} = \frac{m_{i,t}}{\sum_j |o_j|} \qquad
# w^\text{Dr. GRPO}_{i,t} = \frac{m_{i,t}}{G\,L_\text{max}}$$
#
# (GRPO Eq 3; DAPO Eq 8 for one prompt; Dr. GRPO §3.) In words: each *completion* the same, each
# *token* the same, and each token the same whatever the lengths of the others are.

# %%
from rlnotes.equations.aggregation import aggregate_loss, token_weights

n, limit = mask.sum(1, keepdim=True), 12
weights = {
    "grpo": mask / (4 * n),
    "dapo": mask / mask.sum(),
    "dr_grpo": mask / (4 * limit),
}
for loss_type, w in weights.items():
    extra = {"max_completion_length": limit} if loss_type == "dr_grpo" else {}
    torch.testing.assert_close(w, token_weights(mask, loss_type=loss_type, **extra))
    torch.testing.assert_close(
        (w * loss).sum(), aggregate_loss(loss, mask, loss_type=loss_type, **extra)
    )

# %%
figure, panels = plt.subplots(1, 3, figsize=(9.5, 2.4), sharey=True)
figure.suptitle("weight of a token × tokens = weight of the completion")
for axes, (loss_type, w) in zip(panels, weights.items(), strict=True):
    draw_rows(axes, w, "Blues", (0, 1 / 10), [])
    for i, count in enumerate(lengths):
        inside = f"{w[i, 0]:.3f} × {count} = {w[i].sum():.2f}"
        axes.text(count - 0.3, i, inside, va="center", fontsize=8)
    axes.set(title=loss_type, xlim=(-0.5, 20))
    axes.set_xticks([0, 4, 8, 11], [1, 5, 9, 12])
# %% [markdown]
# The same losses, three answers. Under GRPO a token of the short right answer weighs four times
# as much as one of the rambling wrong answer, so rambling is punished little per token: that is the
# length bias of Dr. GRPO's paper. The token mean gives the long row 12 of 27 parts. Dr. GRPO's shares
# are the same as DAPO's, but its weights do not change when *another* completion gets longer.

# %% tags=["nbval-check-output"]
for loss_type, w in weights.items():
    shares = (w.sum(1) / w.sum()).tolist()
    print(
        f"{loss_type:8s} loss {(w * loss).sum():+.4f}  shares {[round(s, 3) for s in shares]}"
    )

# %% [markdown]
# `policy_loss` is the whole chain: ratio, clip, KL, aggregation. With `beta` it adds the distance to
# the frozen reference policy, token by token ([04](04_kl_and_biases.ipynb) takes the estimators apart). The
# call below is what the training loop minimizes.

# %% tags=["nbval-check-output"]
from rlnotes.equations.objectives import policy_loss

tensors = (group.per_token_logps, group.old_per_token_logps, advantages, mask)
whole = policy_loss(*tensors, loss_type="grpo", epsilon=0.2)
torch.testing.assert_close(whole, (weights["grpo"] * loss).sum())
with_kl = policy_loss(
    *tensors, beta=0.04, ref_per_token_logps=group.ref_per_token_logps
)
print(f"loss {whole:+.4f}, with 0.04 · KL to the reference {with_kl:+.4f}")

# %% [markdown]
# ## UPDATE: the line in motion
#
# Now the same line with a real policy. `load_policy("tiny")` pretrains a two-layer Llama of 85 thousand
# parameters in a few seconds on noisy sums modulo ten: it thinks in dots, sometimes puts brackets
# round its answer, and is often wrong. Its tokens are characters, `;` ends a completion.

# %%
from rlnotes.policies.policy import load_policy
from rlnotes.tasks.loading import load_task

task = load_task("scratch-addition")
policy = load_policy("tiny")
print(
    f"{policy.num_parameters:,} parameters; prompts like {task.sample(1, seed=0, step=0)[0].prompt!r}"
)

# %% [markdown]
# Question, rollouts, rewards: two questions with a group of four each. The columns are what
# `Rollouts` holds: text, length, whether the limit cut it off, and the mean log-probability of its
# tokens. The reward reads the last digit of the text.

# %%
from rlnotes.rollouts.rollouts import generate_rollouts

rollouts = generate_rollouts(
    policy,
    task.sample(2, seed=0, step=0),
    num_generations=4,
    max_completion_length=12,
    generator=torch.Generator().manual_seed(0),
)
asked = [one for one in rollouts.tasks for _ in range(4)]
mean_logp = rollouts.per_token_logps.sum(1) / rollouts.lengths
show = DataFrame(
    {"prompt": [one.prompt for one in asked], "completion": rollouts.texts}
)
show["length"], show["cut off"] = rollouts.lengths.tolist(), rollouts.truncated.tolist()
show["mean log-prob"] = mean_logp.numpy().round(2)
show["reward"] = [
    task.verify(t, one) for t, one in zip(rollouts.texts, asked, strict=True)
]
show

# %% [markdown]
# And the rest of the line, 40 times: `train` samples 16 questions × 8 completions, scores them,
# takes group advantages, makes one update and writes a row of metrics. One seed: an illustration,
# not a claim.

# %%
from rlnotes.training.config import make_config
from rlnotes.training.loop import train

config = make_config(
    algorithm="grpo",
    policy="tiny",
    task="scratch-addition",
    bf16=False,
    learning_rate=1e-3,
    max_steps=40,
    generation_batch_size=128,
    max_completion_length=12,
)
metrics = train(config, policy=policy, task=task, progress=False).metrics
steps = metrics[metrics["step"] > 0]

# %%
keys = ["reward", "completions/mean_length", "entropy"]
keys += ["frac_reward_zero_std"]
assert steps["clip_ratio/region_mean"].max() == 0  # one update a batch: ratio 1
figure = plot_run(steps, keys, columns=2)
# %% [markdown]
# The reward rises on the sums that are trained on. Before we believe a reward curve, we ask questions that
# were never trained on: a quarter of the sums is held out, in both orders ($3+4$ and $4+3$ go together). The
# base policy has met them among its noisy demonstrations; RL has not. We compare the first rewards with the
# last, and held-out accuracy before and after.

# %%
first, last = steps["reward"].iloc[:4].mean(), steps["reward"].iloc[-4:].mean()
print(f"reward, first four steps {first:.2f}, last four {last:.2f}")
held_out = metrics["eval/sampled_accuracy"].dropna()
print(
    f"held-out accuracy, sampled: before {held_out.iloc[0]:.2f}, after {held_out.iloc[-1]:.2f}"
)
greedy = metrics["eval/greedy_accuracy"].dropna()
print(
    f"held-out accuracy, greedy:  before {greedy.iloc[0]:.2f}, after {greedy.iloc[-1]:.2f}"
)
recorded = load_runs(
    project_folder() / "data" / "runs" / "*_scratch-addition_tiny_seed*"
)
ends = recorded.dropna(subset=["eval/greedy_accuracy"]).groupby("run")
ends = ends["eval/greedy_accuracy"].agg(["first", "last"])
print(
    f"{len(ends)} recorded runs, greedy: before {ends['first'].min():.2f} in all,"
    f" after {ends['last'].min():.2f} to {ends['last'].max():.2f}, mean {ends['last'].mean():.2f}"
)

# %% [markdown]
# The two lines say different things. *Sampled* accuracy rises, and *greedy* accuracy does not: the base policy
# answers every held-out sum right when it always takes its most probable token, and after RL it no longer does.
# So the toy's held-out curve shows **sharpening**: RL makes likely what the base already knew, and it costs some of
# the sums that it is not trained on. All our recorded runs of the toy show the same, whatever the algorithm. Where a
# notebook shows the toy's held-out accuracy, read it in this light.

# %% [markdown]
# ## RECORD: how to read the metrics
#
# The keys of a run. Those that TRL's trainer also writes carry TRL's name; the others are ours:
# `mean_length_right` and `_wrong`, `eval/…`, `search/…`, `dynamic_sampling/…`, `loss/value`,
# `num_completions`, `updates`. Some appear only where they apply: `kl` with a KL term, `loss/value` with
# PPO, `search/…` in the search lab. The ranges are rules of thumb from runs of this repository and from
# what users of TRL and verl report, not theorems; a curve that *jumps* says more than a level.
#
# | key | meaning | healthy | alarm |
# | --- | --- | --- | --- |
# | `reward` | mean weighted reward of the step's completions | rises, noisily | flat at 0 (format never matches, answers cut off); a sudden jump to the maximum (the reward is being gamed) |
# | `rewards/<name>/mean`, `…/std` | one reward function alone | each rises | one rises while another falls: [09](09_gdpo.ipynb) |
# | `reward_std` | std of the reward in a group, averaged | above 0 | near 0: no differences, no advantages |
# | `frac_reward_zero_std` | share of groups with equal rewards | climbs as the policy succeeds (0.6 and more in the run above); early in a run below one half | near 1 while the reward is low: nothing to learn from; other questions, or dynamic sampling ([08](08_dapo.ipynb)) |
# | `loss` | the objective with its sign turned, since an optimizer minimizes | near 0 with one update a batch | says little: advantages are centered, so it is about 0 whatever happens. Read `grad_norm` |
# | `grad_norm` | norm of the gradient before it is clipped | steady, same order | exactly 0: no signal; growing tenfold: step too large, ratio unbounded |
# | `clip_ratio/low_mean`, `high_mean`, `region_mean` | share of tokens that the clip stops, below, above, either | 0 with one update a batch; a few percent with several | above about 0.2: policy moves too far on one batch |
# | `entropy` | mean entropy of the next token, nats | falls slowly | collapses to 0 while the reward is still low; or rises with the length (babble) |
# | `kl` | mean k3 estimate of KL to the reference (with `beta` > 0) | grows slowly | grows without end, NaN |
# | `completions/mean_length`, `min_`, `max_` | tokens, end included | drifts with a reason | drifts towards the limit |
# | `completions/mean_terminated_length` | the same of completions that ended | below the limit | 0: none ended |
# | `completions/mean_length_right`, `_wrong` | the same of right and of wrong answers | wrong ones longer | wrong ones grow and right ones do not: [12](12_compare_runs.ipynb) |
# | `completions/clipped_ratio` | share cut off at the limit | below a few percent | 1: nobody ends; wrong chat template or limit too small |
# | `eval/greedy_accuracy`, `eval/sampled_accuracy`, `eval/maj@k`, `eval/pass@k` | held-out questions, before, after and every `eval_steps` | rise with the reward | reward rises, these do not: memorizing |
# | `eval/terminated`, `eval/mean_length`, `eval/entropy` | how held-out answers end | as in training | |
# | `loss/value` | the critic's squared error, halved (PPO) | falls, then levels off | rises: [02](02_ppo.ipynb) |
# | `search/…`, `eval/search/…` | what responses of the search lab did: tries, `wait`, hits recognized | | [12](12_compare_runs.ipynb) |
# | `dynamic_sampling/…` | batches, groups, tokens that resampling cost | few extra batches | always at `max_resample_times` |
# | `updates`, `num_tokens`, `num_completions` | optimizer updates, tokens (prompts included) and completions so far: the price of a curve | grow evenly | tokens grow faster and faster: length runs away |
# | `learning_rate` | the optimizer's rate | | |
# | `step_time`, `step_time/rollout` | seconds of the step, and of sampling | steady | tenfold: another process on the same cores |

# %% tags=["nbval-check-output"]
print(*sorted(key for key in metrics if key != "step"), sep="\n")

# %% [markdown]
# ## Where the deck mixes notations
#
# The slides copy each paper's own symbols. Three places (numbered as in the [errata](../docs/errata.md)) make
# two different things look the same:
#
# * **[Erratum 2](../docs/errata.md#erratum-2), slide "PPO".** It says
#   $\hat A_t^{\text{GAE}} = \sum_{l=0}^\infty (\gamma\lambda)^l\,\delta_{t+l}$ with
#   $\delta_l = R_l + \gamma V(s_{l+1}) - V(s_l)$. The letter $l$ counts steps *ahead of t* in the
#   first formula and names a *position* in the second, and the reward is a capital $R$, which
#   elsewhere in the deck is the reward of a whole completion. Right:
#   $\delta_t = r_t + \gamma V(s_{t+1}) - V(s_t)$ (PPO Eq 12). The slip comes from DAPO's Eq 3.
# * **[Erratum 3](../docs/errata.md#erratum-3), slide "GRPO".** It says
#   $\hat A_{i,t} = \frac{r_i - \operatorname{mean}(\{R_i\})}{\operatorname{std}(\{R_i\})}$, while
#   $r_{i,t}(\theta)$ on the same slide is the *ratio*. Both $r_i$ and $R_i$ mean the reward of
#   completion $i$; DAPO's Eq 4 has the mixture, its Eq 9 and the deck's DAPO slide have $R_i$
#   throughout. We write $r_i$ for the reward and $\rho_{i,t}$ for the ratio, always.
# * **[Erratum 27](../docs/errata.md#erratum-27), slide "GDPO".** $A^{(i,j)}$ counts *questions* by $i$ and completions by $j$; on
#   the DAPO slides $i$ is the completion. And $A^{(i,j)}$ is one number for a completion, which is
#   then given to each of its tokens. Our rows $1 \dots N$ are GDPO's pairs $(i, j)$ in reading order:
#   row $= (i - 1)\,G + j$.

# %%
questions, G = 3, 4
pairs = [(i, j) for i in range(1, questions + 1) for j in range(1, G + 1)]
assert [(i - 1) * G + j for i, j in pairs] == list(range(1, questions * G + 1))
rows = torch.arange(questions * G).view(-1, G)  # view(-1, G) is the way back
assert rows[1].tolist() == [4, 5, 6, 7]

# %% [markdown]
# ## What usually goes wrong
#
# * **The end token is masked out** (`ids != pad`). Look at `completions/mean_length`: it drifts, and
#   `completions/clipped_ratio` climbs.
# * **Groups are not consecutive.** A shuffled batch gives every row the baseline of other questions;
#   `reward_std` is then large even on questions that are always answered right.
# * **"The loss is 0, so nothing is learned."** With one update a batch the ratio is 1 and the advantages
#   add up to 0. Look at `grad_norm`.
# * **Two numbers of two papers are compared** that divide by different things: check `loss_type`,
#   `scale_rewards`, the std (biased or not) and its ε before you compare a `loss` or a learning rate.
# * **Log-probs are taken at another temperature than the samples.** Then the ratio is not 1 on the first
#   update; look at `clip_ratio/region_mean` with one update a batch: it must be 0.

# %% [markdown]
# ## Exercises
#
# Replace the `raise`, run the cell, read the hint. The solutions are folded away below.
#
# **map-1.** Write the mask without a loop over tokens: `ids` is (N, T), `eos` one id. (`cumsum` helps.)


# %%
def mask_without_loop(ids, eos):
    raise NotImplementedError


check_exercise("map-1", mask_without_loop)

# %% [markdown]
# **map-2.** Rewards (N,) in groups of G: what does `frac_reward_zero_std` show?


# %%
def share_of_dead_groups(rewards, num_generations):
    raise NotImplementedError


check_exercise("map-2", share_of_dead_groups)

# %% [markdown]
# **map-3.** Lengths (N,) of one group. Return the factor by which a token of the shortest completion
# outweighs one of the longest under GRPO, and the same factor under DAPO, as a pair.


# %%
def short_over_long(lengths):
    raise NotImplementedError


check_exercise("map-3", short_over_long)

# %% [markdown]
# **map-4.** The worked group's `ratio`, `advantages` and mask: how many tokens does the clip stop with
# DAPO's range ε = 0.2, ε_high = 0.28? Return the pair (stopped below, stopped above).


# %%
def stopped_tokens(ratio, advantages, mask):
    raise NotImplementedError


check_exercise("map-4", stopped_tokens)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # map-1
# def mask_without_loop(ids, eos):
#     ends = (ids == eos).long()
#     return (ends.cumsum(dim=1) - ends == 0).long()
# ```
#
# ```python
# # map-2
# def share_of_dead_groups(rewards, num_generations):
#     groups = rewards.view(-1, num_generations)
#     return (groups.amax(dim=1) == groups.amin(dim=1)).float().mean()
# ```
#
# ```python
# # map-3
# def short_over_long(lengths):
#     return max(lengths) / min(lengths), 1.0
# ```
#
# ```python
# # map-4
# def stopped_tokens(ratio, advantages, mask):
#     below = (ratio < 0.8) & (advantages[:, None] < 0) & (mask == 1)
#     above = (ratio > 1.28) & (advantages[:, None] > 0) & (mask == 1)
#     return int(below.sum()), int(above.sum())
# ```
#
# </details>

# %% [markdown]
# ## References
#
# * PPO: Schulman et al., 2017, arXiv 1707.06347
# * DeepSeekMath (GRPO): Shao et al., 2024, arXiv 2402.03300
# * RLOO: Ahmadian et al., 2024, arXiv 2402.14740
# * DAPO: Yu et al., 2025, arXiv 2503.14476
# * Dr. GRPO: Liu et al., 2025, arXiv 2503.20783
# * GDPO: Liu et al., 2026, arXiv 2601.05242
# * TRL 1.16 and verl 0.9, for the names
