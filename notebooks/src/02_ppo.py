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
# # 02 · PPO: an actor, a critic, and a clip
#
# question → rollouts → rewards → **advantages → objective → update** → record → figure
#
# You will be able to
#
# * derive the advantages of a completion from a critic's values, as a sum and as a recursion, and say
#   what $\lambda$ trades,
# * say which tokens the clip stops, and why it needs several updates per batch to do anything,
# * read a value loss, a whitened advantage and a KL penalty inside the reward,
# * say what a critic costs and how much it knows after a short run.
#
# **Reading:** about 46 minutes. **Running:** under a minute on one core. **Papers:** PPO
# ([Schulman et al., 2017](https://arxiv.org/abs/1707.06347)); GAE ([Schulman et al., 2015](https://arxiv.org/abs/1506.02438));
# InstructGPT ([Ouyang et al., 2022](https://arxiv.org/abs/2203.02155)). **Builds on** [00 First step](00_first_step.ipynb).
# **Next:** [03 GRPO](03_grpo.ipynb).

# %%
import copy

import torch
from ipywidgets import interact
from matplotlib import pyplot as plt
from pandas import DataFrame

import rlnotes as rl
from rlnotes import check_exercise, plot_run, plot_surrogate, use_style
from rlnotes.analysis.figures import NEGATIVE, POSITIVE
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.worked_group import worked_group

use_style()
torch.manual_seed(0)
torch.set_num_threads(1)  # a tiny model: a second thread only waits
torch.set_printoptions(precision=3, sci_mode=False, linewidth=120)
group = worked_group()
mask = group.completion_mask
print(f"torch {torch.__version__.split('+')[0]}")

# %% [markdown]
# ## The whole algorithm first
#
# Orange boxes learn, gray ones are frozen, blue ones are data, green ones are rules. PPO for language models keeps up to four networks in memory: the policy (*actor*), a value
# model (*critic*), a reward model, and a reference. GRPO replaces the critic by the group, and DeepSeek-R1 the reward model by rules.

# %% tags=["hide-input"]
boxes, arrows = {}, []
for name, y in (("PPO", 3.3), ("GRPO", 1.0)):
    several = "o" if name == "PPO" else "o1 … oG"
    boxes[f"{name} q"] = (0.9, y, f"{name}:\nquestion q", "data")
    boxes[f"{name} p"] = (2.5, y, "policy", "learns")
    boxes[f"{name} o"] = (4.0, y, several, "data")
    boxes[f"{name} f"] = (5.8, y + (0.6 if y > 2 else 0.9), "reference", "frozen")
    boxes[f"{name} r"] = (5.8, y, "reward", "frozen" if name == "PPO" else "rule")
    arrows += [(f"{name} q", f"{name} p", "-", ""), (f"{name} p", f"{name} o", "-", "")]
    arrows += [(f"{name} o", f"{name} {x}", "-", "") for x in "fr"]
boxes["v"] = (5.8, 2.7, "value model", "learns")
boxes["g"] = (7.8, 3.3, "GAE:\nA of each token", "rule")
boxes["m"] = (7.8, 1.0, "mean, std of the group:\nA of each answer", "rule")
arrows += [("PPO o", "v", "-", ""), ("v", "g", "-", ""), ("PPO r", "g", "-", "")]
arrows += [("PPO f", "g", "--", "KL in the reward"), ("GRPO r", "m", "-", "")]
boxes["l"], boxes["k"] = (9.6, 3.3, "loss", "rule"), (9.6, 1.0, "loss", "rule")
arrows += [("g", "l", "-", ""), ("m", "k", "-", "")]
arrows += [("GRPO f", "k", "--", "KL in the loss")]
_ = draw_graph(boxes, arrows, size=(10.2, 4.2))

# %% [markdown]
# In words, for one step:
#
# 1. **Sample.** The policy answers a batch of questions. Keep the tokens and $\log \pi_\text{old}$ of each.
# 2. **Score.** The reward is paid at the last token, less a KL penalty at every token if there is one.
# 3. **Predict.** The critic gives $V(s_t)$ before every token.
# 4. **Advantages.** GAE turns rewards and values into $\hat A_t$, from the last token to the first. The critic's target is
#    $R_t = \hat A_t + V(s_t)$. Both are numbers from here on: no gradient flows through them.
# 5. **Update.** For each of $K$ epochs and each mini-batch: one step on the clipped loss of the policy plus the squared error of the
#    critic.
# 6. **Forget** the batch and go to 1 with the new policy.
#
# The clip is needed because of step 5: from the second update on, the batch is from an older policy, and [00](00_first_step.ipynb) has shown that
# the ratio then corrects the gradient and makes it noisy. *Notation on this page:* tokens count from $t = 0$ to $T-1$, as in the GAE paper (other pages count
# from 1), and $\delta_t$ is the critic's surprise. The config field `delta` is something else, the bound of the dual clip.

# %% [markdown]
# ## What the slide calls actor and critic
#
# **[Erratum 1](../docs/errata.md#erratum-1).** The slide "PPO: Proximal Policy Optimization" puts the heading *Actor* over
# $\mathcal J_\text{PPO}(\theta)$ and the heading *Critic* over $\hat A_t^{\text{GAE}(\gamma,\lambda)}$.
# The actor is the policy $\pi_\theta$, and the formula under its name is what it maximizes. But GAE is
# not the critic: the critic is a second network, $V_\phi(s_t)$, which predicts the reward still to
# come from the state $s_t = (q, o_{<t})$. GAE is the arithmetic that turns its predictions into
# advantages. What the slide leaves out is how the critic learns. The paper's objective (Eq 9) has
# three terms,
#
# $$L_t = \hat{\mathbb E}_t\big[L_t^\text{CLIP} - c_1\,(V_\phi(s_t) - V_t^\text{targ})^2
# + c_2\,S[\pi_\theta](s_t)\big],$$
#
# the second of which is the value loss, the third an entropy bonus (for language models mostly
# $c_2 = 0$). RLHF adds a KL penalty inside the reward. And the slide's expectation over $o_{\le t}$ has
# no sum over $t$: the loss is an average over *tokens*.
#
# So PPO for language models has four parts, and this notebook takes them in order: clip, critic with
# GAE, value loss, KL in the reward. Then it trains.

# %% [markdown]
# ## OBJECTIVE: the clip
#
# With $\rho_t = \pi_\theta(o_t \mid s_t) / \pi_\text{old}(o_t \mid s_t)$ (PPO Eq 7, a term to maximize):
#
# $$L_t^\text{CLIP} = \min\big(\rho_t \hat A_t,\ \operatorname{clip}(\rho_t, 1-\varepsilon,
# 1+\varepsilon)\,\hat A_t\big)$$


# %%
def surrogate(ratio, advantages, epsilon=0.2):
    """What PPO maximizes, for each token; advantages (N, T)."""
    plain = ratio * advantages
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon) * advantages
    return torch.minimum(plain, clipped)


# %%
ratio, advantages = 2 * torch.rand(64, 8), torch.randn(64, 8)
ours, library = (
    surrogate(ratio, advantages),
    -rl.clipped_surrogate_loss(ratio, advantages),
)
torch.testing.assert_close(ours, library)

# %% [markdown]
# Three properties that hold for any numbers: the clipped term never promises more than the plain one (a
# *pessimistic* bound); with $\varepsilon \to \infty$ it is the plain one; and at ratio 1, the first
# update after sampling, its gradient is that of plain policy gradient, $\hat A_t \nabla \log \pi$. So
# with one update per batch PPO *is* REINFORCE with a baseline.

# %%
assert bool((surrogate(ratio, advantages) <= ratio * advantages).all())
assert torch.equal(surrogate(ratio, advantages, epsilon=1e9), ratio * advantages)
assert bool((surrogate(ratio, torch.zeros(64, 8)) == 0).all())

logps = torch.randn(64, 8).requires_grad_()
at_one = surrogate((logps - logps.detach()).exp(), advantages).sum()
plain = -rl.policy_gradient_loss(logps, advantages).sum()
torch.testing.assert_close(*(torch.autograd.grad(x, logps)[0] for x in (at_one, plain)))

# %% [markdown]
# PPO's Figure 1, redrawn, with the slope that autograd finds. A good token ($\hat A > 0$) gains until
# its probability is 20 % up, then stops. A bad one is pushed down until it is 20 % down. On the *far*
# sides there is no clip: a good token that became less likely, or a bad one that became likelier,
# keeps its full slope, and for the bad one the loss grows without bound.

# %%
figure = plot_surrogate(epsilon=0.2)

# %% [markdown]
# With a running kernel, move both sides of the clip band. [08 DAPO](08_dapo.ipynb) raises the upper one alone.

# %%
_ = interact(plot_surrogate, epsilon=(0.05, 0.5, 0.05), epsilon_high=(0.05, 1.0, 0.05))

# %% [markdown]
# The clip is not a wall. It takes away a token's *own* reason to move further; momentum and the other
# tokens, which share all weights with it, can still carry it along. How far is an empirical question
# that we answer below.
#
# ## ADVANTAGES: δ, the surprise of one step
#
# The critic says $V(s_t)$ before a token and $V(s_{t+1})$ after it. The difference, plus whatever was
# paid in between, is how much better the token turned out than expected (PPO Eq 12):
#
# $$\delta_t = r_t + \gamma\,V(s_{t+1}) - V(s_t), \qquad V = 0 \text{ after the last token}$$
#
# **[Erratum 2](../docs/errata.md#erratum-2).** The slide writes $\delta_l = R_l + \gamma V(s_{l+1}) - V(s_l)$ next to
# $\sum_l (\gamma\lambda)^l \delta_{t+l}$: one letter for a *position* and for the distance from $t$. And
# $R_l$ is a reward of one step, mostly 0, not the reward of the completion. The second PPO slide
# drops $\delta$ altogether. We write $k$ for the distance. For language models the sum also does not run to $\infty$: it ends at
# $|o|$.

# %%
rewards = torch.tensor([0.0, 0.0, 1.0])  # paid at the last token
values = torch.tensor([0.1, 0.2, 0.3])


def deltas(rewards, values, gamma):
    """δ_t of one completion, (T,)."""
    after = torch.cat([values[1:], torch.zeros(1)])
    return rewards + gamma * after - values


deltas(rewards, values, gamma=1.0)

# %% [markdown]
# ## ADVANTAGES: GAE as a sum and as a recursion
#
# One step's surprise trusts the critic for everything that follows. GAE adds the later surprises, with
# weights that fall by $\gamma\lambda$ a step (PPO Eq 11), and the sum is a recursion from the back:
#
# $$\hat A_t = \sum_{k=0}^{T-1-t} (\gamma\lambda)^k\,\delta_{t+k}
# \qquad\Longleftrightarrow\qquad \hat A_t = \delta_t + \gamma\lambda\,\hat A_{t+1}$$
#
# The critic's target is $R_t = \hat A_t + V(s_t)$.


# %%
def gae_sum(rewards, values, gamma, lam):
    """Each advantage on its own, T²/2 terms."""
    delta, T = deltas(rewards, values, gamma), len(rewards)
    terms = [
        [(gamma * lam) ** k * delta[t + k] for k in range(T - t)] for t in range(T)
    ]
    return torch.stack([sum(row) for row in terms])


# %%
def gae_backward(rewards, values, gamma, lam):
    """The same from the last token to the first, T terms."""
    delta, advantage, out = deltas(rewards, values, gamma), 0.0, []
    for t in reversed(range(len(rewards))):
        advantage = delta[t] + gamma * lam * advantage
        out.append(advantage)
    return torch.stack(out[::-1])


# %% tags=["nbval-check-output"]
for length in (1, 3, 12):  # one token is a completion, too
    r, v = torch.randn(length), torch.randn(length)
    both = gae_sum(r, v, 0.9, 0.8), gae_backward(r, v, 0.9, 0.8)
    library, returns = rl.generalized_advantage_estimation(
        r[None], v[None], torch.ones(1, length), gamma=0.9, lam=0.8
    )
    torch.testing.assert_close(both[0], both[1])
    torch.testing.assert_close(both[1], library[0])
    torch.testing.assert_close(returns[0], library[0] + v)
print(gae_backward(rewards, values, gamma=1.0, lam=0.95))

# %% [markdown]
# The two ends of $\lambda$. At 0 only the next step counts and the critic answers for the rest. At 1 the
# critic's values cancel except the first, $\hat A_t = \sum_k \gamma^k r_{t+k} - V(s_t)$: what really
# came, minus what was expected.

# %%
r, v = torch.randn(12), torch.randn(12)
torch.testing.assert_close(gae_backward(r, v, 0.9, lam=0.0), deltas(r, v, 0.9))
to_come = torch.stack(
    [sum(0.9**k * r[t + k] for k in range(12 - t)) for t in range(12)]
)
torch.testing.assert_close(gae_backward(r, v, 0.9, lam=1.0), to_come - v)

# %% [markdown]
# <details><summary>A slip in the paper</summary>
#
# Eq 11 prints the last term of the sum as $(\gamma\lambda)^{T-t+1}\,\delta_{T-1}$. But $\delta_{T-1}$ is $T-1-t$ steps ahead of $t$, so that is its
# exponent: the printed one is too large by two. With $\lambda = 1$ nobody notices. The assertion above, sum against recursion, would fail with the
# printed one.
#
# </details>

# %% [markdown]
# ### What λ does to the weights
#
# How much does the surprise $k$ steps ahead count for this token? The left panel shows $\lambda^k$. The
# right panel asks what that means for a language model whose critic knows nothing yet, $V = 0$: the
# reward arrives at the last token and is worth $\lambda^{T-1-t}$ at token $t$. $\lambda = 0.95$ looks
# close to 1 and forgets a chain of thought of a few hundred tokens.

# %% tags=["hide-input"]
steps = torch.arange(0, 401)
figure, panels = plt.subplots(1, 2, figsize=(8, 2.8))
for lam in (0.0, 0.5, 0.9, 0.95, 0.99, 1.0):
    panels[0].plot(steps[:31], lam ** steps[:31])
    panels[1].plot(400 - steps, lam**steps, label=f"λ = {lam}")
panels[0].set(xlabel="steps ahead, k", ylabel="weight of δ at t + k")
panels[1].set(xlabel="token t of 400", ylabel="reward that arrives, V = 0")
panels[1].legend(fontsize=8, loc="center left")

print(f"0.95^999 = {0.95**999:.0e}: what the first of 1,000 tokens hears of the reward")

# %% [markdown]
# That is one reading of a result in DeepSeek-R1's appendix (A.3, Fig 4, arXiv v2): on MATH with a 16 B
# model, PPO with $\lambda = 0.95$ was clearly worse than GRPO, with $\lambda = 1$ about equal. Our
# configs have $\lambda = 1$ for the same reason.
#
# ### The worked group
#
# We give the four completions a critic, with made-up values: unsure at first, sure of itself after the
# digit that decides. The reward is paid at the last token. Three values of $\lambda$, three pictures
# of who is to blame.

# %%
guesses = [
    [0.5, 0.7, 0.9],
    [0.5, 0.5, 0.5, 0.6, 0.1],
    [0.5, 0.5, 0.5, 0.5, 0.6, 0.8, 0.95],
    [0.5, 0.45, 0.45, 0.4, 0.4, 0.45, 0.45, 0.4, 0.35, 0.2, 0.15, 0.1],
]
values = torch.zeros(4, 12)
for i, row in enumerate(guesses):
    values[i, : len(row)] = torch.tensor(row)
token_rewards = rl.kl_penalized_rewards(
    group.rewards, torch.zeros(4, 12), mask, beta=0.0
)
gae = {
    lam: rl.generalized_advantage_estimation(token_rewards, values, mask, lam=lam)
    for lam in (0.0, 0.95, 1.0)
}


# %% tags=["hide-input"]
def draw_blame(lam, axes=None):
    """The worked group's advantages, token by token."""
    axes = axes or plt.subplots(figsize=(8, 2))[1]
    options = {"gamma": 1.0, "lam": lam}
    found = rl.generalized_advantage_estimation(token_rewards, values, mask, **options)
    image = torch.where(mask.bool(), found[0], torch.nan)
    axes.imshow(image, cmap="RdBu", vmin=-0.9, vmax=0.9, aspect="auto")
    for i, row in enumerate(group.tokens):
        for t, token in enumerate(row):
            label = f"{token.strip()}\n{found[0][i, t]:+.2f}"
            axes.text(t, i, label, ha="center", va="center", fontsize=7)
    axes.set(title=f"λ = {lam:g}", yticks=range(4), xticks=[])
    axes.set_yticklabels(["o1", "o2", "o3", "o4"])
    axes.grid(False)


figure, panels = plt.subplots(3, 1, figsize=(8, 5.4))
for panel, lam in zip(panels, gae):
    draw_blame(lam, panel)

# %%
_ = interact(lambda lam: draw_blame(lam), lam=(0.0, 1.0, 0.05))

# %% [markdown]
# With $\lambda = 0$ the blame is on the *token* that lowered the value: the "4" of 7*8=54. That is what
# only a critic can give: GRPO's advantage is one number for the whole row. With $\lambda = 1$ each token
# gets the final reward minus what was expected before it: the tokens *before* the mistake are blamed
# as well. All of it stands and falls with the values, which here are ours, and good.

# %% [markdown]
# ### Whitening
#
# Practice, not paper: PPO's codebases shift and scale the advantages of a batch to mean 0 and unit variance.
# The statistics are over *tokens*, so long completions have more say: in the worked group most tokens belong to wrong answers.
#
# $$\hat A \leftarrow \frac{\hat A - \operatorname{mean}}{\sqrt{\operatorname{var} + 10^{-8}}}$$

# %% tags=["nbval-check-output"]
advantages, returns = gae[1.0]
tokens = advantages[mask.bool()]
white = (tokens - tokens.mean()) / (tokens.var() + 1e-8).sqrt()
torch.testing.assert_close(white, rl.whiten(advantages, mask)[mask.bool()])
table = DataFrame(
    {"first": advantages[:, 0], "first, whitened": rl.whiten(advantages, mask)[:, 0]}
)
print(table.round(2).to_string())

# %% [markdown]
# ## OBJECTIVE: the value loss
#
# The critic learns by least squares towards $R_t = \hat A_t + V(s_t)$, the *return* of a token (PPO Eq 9, with a factor ½). The
# clip of the *value* is practice: whoever wrote it wanted the critic, too, to stay near its old self.
#
# $$L^V = \tfrac12 \operatorname{mean}_t \max\big((V - R_t)^2,\ (\operatorname{clip}(V, V_\text{old} - c,
# V_\text{old} + c) - R_t)^2\big)$$


# %%
def clipped_value_loss(values, old_values, returns, mask, c=0.2):
    """Mean over tokens of the larger of the two squared errors, halved."""
    near = old_values + (values - old_values).clamp(-c, c)
    errors = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return 0.5 * (errors * mask).sum() / mask.sum()


# %%
new_values = values + 0.4 * torch.randn(4, 12)
ours = clipped_value_loss(new_values, values, returns, mask)
torch.testing.assert_close(ours, rl.value_loss(new_values, values, returns, mask))
wide = rl.value_loss(new_values, values, returns, mask, cliprange_value=1e6)
plain = rl.value_loss(new_values, values, returns, mask, cliprange_value=None)
torch.testing.assert_close(wide, plain)  # c → ∞

# %% [markdown]
# Loss and slope for one token with $V_\text{old} = 0.5$, target $R_t = 1$ and $c = 0.2$. Towards the target
# the slope vanishes as soon as $V$ has moved by $c$: enough for this batch. Away from the target nothing
# is clipped. It is the policy's clip again, with "towards $R_t$" for "along $\hat A$".

# %% tags=["hide-input"]
v = torch.linspace(0, 1.2, 601, requires_grad=True)
figure, panels = plt.subplots(1, 2, figsize=(8, 2.6))
for c, color in ((None, "#999999"), (0.2, POSITIVE)):
    one = torch.ones(601, 1)
    loss = 601 * rl.value_loss(v[:, None], 0.5 * one, one, one, cliprange_value=c)
    (slope,) = torch.autograd.grad(loss, v)
    near = v.detach() if c is None else v.detach().clamp(0.5 - c, 0.5 + c)
    height = 0.5 * torch.maximum((v.detach() - 1) ** 2, (near - 1) ** 2)
    for axes, y in zip(panels, (height, slope), strict=True):
        axes.plot(v.detach(), y, color=color, label="plain" if c is None else "clipped")
for axes, name in zip(panels, ("value loss", "slope"), strict=True):
    axes.axvline(0.5, color="black", lw=0.8, ls=":")
    axes.axvline(1.0, color=NEGATIVE, lw=0.8, ls="--")
    axes.set(xlabel="V (dotted: old, dashed: target)", ylabel=name)
    axes.legend(fontsize=8)
# %% [markdown]
# Why the *larger* of the two errors? With the smaller one the clip would work the wrong way round. We count the tokens that keep a gradient, among those whose value moved by more than $c$, apart for
# values that went toward the target and away from it.

# %% tags=["nbval-check-output"]
dice = torch.Generator().manual_seed(0)
old_v, target = torch.rand(2, 4000, generator=dice)
new_v = (old_v + torch.randn(4000, generator=dice) * 0.5).requires_grad_()
near = old_v + (new_v - old_v).clamp(-0.2, 0.2)
far = (new_v - old_v).abs() > 0.2
toward = (new_v - old_v) * (target - old_v) > 0
passed = far & toward & ((new_v - old_v).abs() < (target - old_v).abs())
for name, larger in (("max", torch.maximum), ("min", torch.minimum)):
    errors = larger((new_v - target) ** 2, (near - target) ** 2).sum()
    kept = torch.autograd.grad(errors, new_v, retain_graph=True)[0] != 0
    print(
        f"{name}: a gradient is left for {kept[passed].float().mean():.0%} of those",
        end=" ",
    )
    print(
        f"on their way, {kept[far & ~toward].float().mean():.0%} of those that went away"
    )

# %% [markdown]
# With max, a value that went the wrong way is pulled back, and one that has moved enough in the right direction rests. With min it is the other way round: the value that went wrong stays wrong.
#
# **What does the regression converge to?** The squared error has its minimum at the *mean* return. We check it on three states whose true values are known, 0.2, 0.5 and 0.9, with returns of 0 and 1. The absolute
# error, for comparison, has its minimum at the median, which is 0 or 1.

# %% tags=["nbval-check-output"]
chances = torch.tensor([0.2, 0.5, 0.9])
returns_drawn = (torch.rand(2001, 3, generator=dice) < chances).float()
for name, power in (("squared", 2), ("absolute", 1)):
    learned = torch.full((3,), 0.45, requires_grad=True)
    for step in range(400):
        error = ((learned - returns_drawn).abs() ** power).mean(0).sum()
        (gradient,) = torch.autograd.grad(error, learned)
        learned = (learned - 0.3 / (1 + step / 20) * gradient).detach().requires_grad_()
    print(
        f"{name:8} error: V = {learned.detach()}, mean return {returns_drawn.mean(0)}"
    )

# %% [markdown]
# **The sign of the entropy bonus.** $c_2 S$ is *added* to what is maximized, so its negative is in the loss. One gradient step with either sign shows which is which:

# %% tags=["nbval-check-output"]
logits = torch.tensor([2.0, 0.5, 0.0])
for sign, name in ((-1.0, "loss - c S"), (1.0, "loss + c S")):
    leaf = logits.clone().requires_grad_()
    entropy = -(leaf.softmax(0) * leaf.log_softmax(0)).sum()
    (gradient,) = torch.autograd.grad(sign * entropy, leaf)
    after = torch.distributions.Categorical(logits=leaf - 0.5 * gradient).entropy()
    print(f"{name}: entropy {entropy:.3f} → {after:.3f}")

# %% [markdown]
# ## REWARDS: KL inside the reward
#
# RLHF keeps the policy near a frozen reference by *paying* for it (InstructGPT Eq 2), token by token,
# with $k_1 = \log\pi_\text{old} - \log\pi_\text{ref}$ of the sampled token:
#
# $$r_t = r \cdot \mathbf 1\{t = T-1\} - \beta\,k_{1,t}$$
#
# where $r$ is the reward of the completion and tokens count from 0.
#
# The KL goes through GAE like any reward and no gradient flows through it. GRPO moves it into the loss
# instead, which is another estimator with another gradient: [04](04_kl_and_biases.ipynb).

# %% tags=["nbval-check-output"]
k1 = rl.kl_k1(group.old_per_token_logps, group.ref_per_token_logps)
paid = rl.kl_penalized_rewards(group.rewards, k1, mask, beta=0.05)
by_hand = -0.05 * k1 * mask
by_hand[range(4), mask.sum(1) - 1] += group.rewards
torch.testing.assert_close(paid, by_hand)
print("score of each completion  ", group.rewards)
print("sum of its token rewards  ", paid.sum(1))

# %% [markdown]
# $k_1$ of one token may be negative, so a completion can even be paid for it; its mean over the policy's
# own samples is the KL, which is not negative. Since the *sum* over tokens counts, a longer answer has
# more to pay: DeepSeek-R1's appendix names that as one reason against KL in the reward for long
# reasoning.
#
# **Fixed or adaptive β.** PPO's own alternative to the clip is a penalty on the KL to $\pi_\text{old}$
# (Eq 8), with a fixed $\beta$ or one that steers: after each update, halve $\beta$ if the KL fell below
# target / 1.5, double it if it rose above 1.5 · target. RLHF codebases took the controller over for the
# KL to $\pi_\text{ref}$, with a proportional rule. These are two different distances: to the policy of a
# minute ago, which the clip guards as well, and to the policy before all training, which only a
# reference knows.

# %% [markdown]
# ## UPDATE: PPO on the tiny policy
#
# The tiny policy of [00](00_first_step.ipynb), pretrained on noisy sums. The critic starts as a copy
# of its body with a head of zeros, so $V = 0$ everywhere. Each step samples 128 completions, which serve
# two epochs of two mini-batches: four updates of actor and critic. One seed: an illustration.

# %%
task, base = rl.load_task("scratch-addition"), rl.load_policy("tiny")
common = dict(
    policy="tiny",
    task=task.name,
    bf16=False,
    learning_rate=1e-3,
    max_completion_length=12,
)
common |= dict(generation_batch_size=128, critic_learning_rate=3e-3)


def run(**changes):
    """Train a fresh copy of the tiny policy; evaluate it before and after."""
    config = rl.make_config(**(common | changes))
    return rl.train(config, policy=copy.deepcopy(base), task=task, progress=False)


ppo = run(algorithm="ppo", max_steps=24)

# %%
curves = ppo.metrics[ppo.metrics["step"] > 0]
keys = [
    "reward",
    "entropy",
    "loss/value",
    "clip_ratio/low_mean",
    "clip_ratio/high_mean",
]
figure = plot_run(curves, keys)

# %%
first, last = curves["reward"].iloc[:4].mean(), curves["reward"].iloc[-4:].mean()
print(f"reward, first four steps {first:.2f}, last four {last:.2f}")
held_out = ppo.metrics["eval/sampled_accuracy"].dropna()
print(
    f"held-out accuracy, sampled: before {held_out.iloc[0]:.2f}, after {held_out.iloc[-1]:.2f}"
)

# %% [markdown]
# The reward rises, on held-out sums as well. Both clip curves are off zero from the first step, because
# the second to fourth update of a batch see a ratio that is no longer 1. The value loss falls, too; but
# it would fall for a critic that only learns how high the reward is by now. So we look closer.
#
# ### What does the critic know now?
#
# A good critic would be unsure while the dots go by and change its mind at the answer digit: up when it is
# right, down when it is wrong. We sample, ask the critic at every state, align the completions at their
# *last* token, and average over right and over wrong ones.

# %%
from rlnotes.training.batches import predict_values, score

accuracy = [rl.get_accuracy_reward(task.verify)]


def sample(policy, seed, prompts=64, size=8):
    """Rollouts of some training questions and their rewards (N,)."""
    rollouts = rl.generate_rollouts(
        policy,
        task.sample(prompts, seed=seed, step=0),
        num_generations=size,
        max_completion_length=12,
        generator=torch.Generator().manual_seed(seed),
    )
    return rollouts, score(rollouts, accuracy)[:, 0]


# %%
def value_path(critic, policy, back=6):
    """Mean V of right and wrong completions, from `back` tokens before the last one on."""
    rollouts, right = sample(policy, seed=1000)
    with torch.no_grad():
        values = predict_values(critic, rollouts)
    places = rollouts.lengths[:, None] - 1 - torch.arange(back, -1, -1)
    path = torch.where(places >= 0, values.gather(1, places.clamp(min=0)), torch.nan)
    path[rollouts.truncated] = torch.nan  # these have no last token
    return path[right == 1].nanmean(0), path[right == 0].nanmean(0)


trained = value_path(ppo.critic, ppo.policy)
print(
    "before the last token: right {:.2f}, wrong {:.2f}".format(
        *(p[-1] for p in trained)
    )
)

# %% [markdown]
# After 24 steps the critic has learned *how often* the policy is right, and hardly *which* answer is: its two
# lines lie together. Its target moves while it learns, too. How long would it take? We freeze the policy
# and fit a critic to it alone, by the value loss, with all that $\gamma = \lambda = 1$ leaves of GAE: each
# token's return is the reward.

# %%
batches = [sample(base, seed, prompts=32, size=4) for seed in range(16)]
fitted = rl.Critic(base)
optimizer = torch.optim.AdamW(
    fitted.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.0
)
for step in range(160):
    rollouts, right = batches[step % 16]
    predicted = predict_values(fitted, rollouts)
    returns = right[:, None].float() * rollouts.completion_mask
    loss = rl.value_loss(
        predicted,
        predicted.detach(),
        returns,
        rollouts.completion_mask,
        cliprange_value=None,
    )
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(fitted.parameters(), 1.0)
    optimizer.step()

# %% tags=["hide-input"]
cases = {
    "untrained": value_path(rl.Critic(base), base),
    "after 24 steps of PPO": trained,
    "fitted alone, 160 updates": value_path(fitted, base),
}
figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True)
for axes, (title, (right, wrong)) in zip(panels, cases.items(), strict=True):
    axes.plot(
        range(-6, 1), right, color=POSITIVE, marker="o", ms=4, label="right answers"
    )
    axes.plot(
        range(-6, 1), wrong, color=NEGATIVE, marker="o", ms=4, label="wrong answers"
    )
    axes.set(title=title, xlabel="tokens before the last", ylim=(-0.05, 1.05))
    axes.set_ylabel("V(s), mean")
    axes.legend(fontsize=8)
# %% [markdown]
# With a still target and 160 updates, more than our whole PPO run makes, the lines part at the answer. To
# judge an answer the critic must learn to add, from one number a completion. For a chain of thought of
# thousands of tokens it must judge half-finished reasoning that may still turn round: R1's argument against a critic
# (v2, Appendix A.3), and a reason for [03](03_grpo.ipynb). The second PPO slide has another one: "High resource
# demands of maintaining a separate value function (Critic)". What that costs, we measure below.
#
# ### Bias and variance of λ, measured
#
# With $\lambda = 1$ the advantage of the *first* token is right on average, but noisy: it carries the luck
# of every later token. With $\lambda = 0$ it is calm, and as wrong as the critic. We sample 512
# completions of eight questions, compute $\hat A_0$ for several $\lambda$, and compare the mean for each
# first token with its mean at $\lambda = 1$.

# %%
questions = [one for one in task.sample(8, seed=7, step=0) for _ in range(16)]
many = rl.generate_rollouts(
    base,
    questions,
    num_generations=32,
    max_completion_length=12,
    generator=torch.Generator().manual_seed(7),
)
many_rewards = score(many, accuracy)[:, 0]
nothing = torch.zeros_like(many.per_token_logps)
paid = rl.kl_penalized_rewards(many_rewards, nothing, many.completion_mask, beta=0.0)
question = torch.arange(8).repeat_interleave(512)
_, cell, count = torch.unique(
    question * 100 + many.completion_ids[:, 0], return_inverse=True, return_counts=True
)


# %%
def first_token(values, lam):
    """Mean and variance of Â_0 for each (question, first token), by λ."""
    advantages, _ = rl.generalized_advantage_estimation(
        paid, values, many.completion_mask, lam=lam
    )
    first = advantages[:, 0]
    mean = torch.zeros(len(count)).index_add(0, cell, first) / count
    spread = (
        torch.zeros(len(count)).index_add(0, cell, (first - mean[cell]) ** 2) / count
    )
    return mean, spread


common_cells = count >= 100  # else the mean is noise
share = count[common_cells] / count[common_cells].sum()
lams = [0.0, 0.5, 0.8, 0.9, 0.95, 1.0]

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
with torch.no_grad():
    known = {"V = 0": nothing, "fitted critic": predict_values(fitted, many)}
for axes, (name, values) in zip(panels, known.items(), strict=True):
    truth, _ = first_token(values, 1.0)
    pairs = [first_token(values, lam) for lam in lams]
    bias = [(share * (m - truth)[common_cells] ** 2).sum().sqrt() for m, _ in pairs]
    noise = [(share * s[common_cells]).sum().sqrt() for _, s in pairs]
    axes.plot(lams, bias, color=NEGATIVE, marker="o", ms=4, label="bias (rms)")
    axes.plot(lams, noise, color=POSITIVE, marker="o", ms=4, label="noise (std)")
    axes.set(title=name, xlabel="λ", ylabel="of the first advantage", ylim=(0, None))
    axes.legend(fontsize=8)
# %% [markdown]
# Noise grows with $\lambda$ under either critic, and the bias shrinks. With $V = 0$ the bias of a small
# $\lambda$ is large, since it then simply does not hear the reward; with a critic that has learned something
# it is smaller. $\lambda < 1$ pays where the critic is good, and hurts where it is not.
#
# ## What the critic costs
#
# We give PPO and GRPO the same 128 completions and let both make the same four updates. Counted: what learns
# (weights, gradients, Adam's two moments), and the seconds of everything but sampling, the best of five
# (other processes only ever make it slower).

# %%
import time

from rlnotes.training.batches import prepare
from rlnotes.training.learner import Learner
from rlnotes.training.loop import build_rewards, collect
from rlnotes.training.updates import update


def step_seconds(learner, rollouts, rewards):
    """Advantages and updates on one batch, best of five."""
    seconds = []
    for step in range(1, 6):
        start = time.perf_counter()
        update(learner, prepare(learner, rollouts, rewards), step)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


# %%
def memory(learner):
    """Parameters that learn, and bytes of weights, gradients and Adam's moments."""
    states = [
        item for optimizer in learner.optimizers for item in optimizer.state.items()
    ]
    moments = sum(x.nbytes for _, state in states for x in state.values())
    count = sum(p.numel() for p, _ in states)
    return count, moments + 2 * sum(p.nbytes for p, _ in states)


# %%
table = {}
for name in ("ppo", "grpo"):
    changes = dict(algorithm=name, num_iterations=2, steps_per_generation=2)
    config = rl.make_config(**(common | changes))
    learner = Learner.create(config, copy.deepcopy(base))
    rollouts, rewards, _ = collect(learner, task, build_rewards(config, task), step=1)
    seconds = step_seconds(learner, rollouts, rewards)
    count, size = memory(learner)
    table[name] = [f"{count:,}", round(size / 2**20, 2), round(size / count), seconds]
table = DataFrame(table, index=["parameters", "MiB", "bytes each", "s"]).T
table

# %%
print(
    f"PPO's step took {table['s']['ppo'] / table['s']['grpo']:.1f} times as long as GRPO's"
)
for name, billions in (("SmolLM2", 0.135), ("a 7 B model", 7.0)):
    print(
        f"{name}: critic + {16 * billions:.1f} GB at 16 bytes a parameter (fp32, Adam)"
    )

# %% [markdown]
# Twice the parameters and twice the memory: the critic is a second model of the policy's size, without the
# output head. It takes a forward pass before the updates, and a forward and a backward pass in each of
# them. With KL in the reward, classic RLHF holds *four* models: policy, critic, reference and reward
# model; the last two are only read. Whether PPO or GRPO learns *better* is not what this cell compares.
#
# ### On the search lab: five seeds
#
# The toy above trains for seconds. [12](12_compare_runs.ipynb) introduces the search lab, where a policy of
# 0.3 million weights reasons by guess and check. PPO and GRPO ran there for 80 steps of 256 responses, with
# the same questions, learning rate and number of updates
# (`rlnotes sweep configs/search/ppo.yaml configs/search/grpo.yaml --seeds 0-4`). Line: mean over seeds;
# band: 95 % interval.

# %%
lab = rl.load_runs(rl.project_folder() / "data" / "runs" / "*_search_search-base_seed*")
lab = lab[lab["algorithm"].isin(["ppo", "grpo"])]
keys = ["eval/sampled_accuracy", "eval/mean_length"]
_ = rl.plot_bands(lab, keys, columns=2)
finals = rl.final_scores(lab, keys[0], last=1)
print("held-out accuracy", rl.paired_difference(finals, keys[0], "ppo", "grpo"))
lab.groupby("algorithm")[["step_time", "step_time/rollout"]].mean().round(2)

# %% [markdown]
# Held out, both rise to about 0.9 by step 80, and the interval of the difference holds zero: five
# seeds **do not show a difference** in what is learned. The price is certain: PPO's step takes nearly twice as long
# (a critic's forward before the updates, its forward and backward in each of them), with the same sampling.
#
# ## Several updates per batch: when the clip binds
#
# One epoch in one piece means one update, at ratio 1: the clip is inert whatever $\varepsilon$ is. Each
# further epoch on the same completions moves the ratio away. We train with 1, 2 and 4 epochs of a single
# mini-batch and plot the share of clipped tokens.

# %%
epochs = {
    n: run(algorithm="ppo", num_iterations=n, steps_per_generation=1, max_steps=8)
    for n in (1, 2, 4)
}
figure, axes = plt.subplots(figsize=(6, 2.8))
for n, result in epochs.items():
    curve = result.metrics[result.metrics["step"] > 0]
    share = curve["clip_ratio/region_mean"]
    axes.plot(curve["step"], share, label=f"epochs: {n}", marker="o", ms=4)
axes.set(xlabel="step", ylabel="clip_ratio/region_mean", ylim=(0, None))
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
one_epoch = epochs[1].metrics["clip_ratio/region_mean"].dropna()
assert (one_epoch == 0).all()  # by arithmetic, not by luck

# %% [markdown]
# ### Without the clip
#
# And if nothing stops? PPO's paper has that row: no clip and no penalty is its worst variant. We make
# eight epochs on each of three batches, with a large step, once with $\varepsilon = 0.2$ and once with
# $\varepsilon = 10^9$: same seeds, same questions, same first batch. Five seeds (the learning rate was
# chosen on three others); accuracy is that of 512 fresh samples on training questions.

# %%
changes = dict(algorithm="ppo", num_iterations=8, steps_per_generation=1)
hot = common | changes | dict(max_steps=3, learning_rate=5e-3)


def train_and_ask(seed, epsilon):
    """One row of the table: train a fresh copy, then sample training questions."""
    config = rl.make_config(**(hot | dict(seed=seed, epsilon=epsilon)))
    policy = copy.deepcopy(base)
    result = rl.train(
        config, policy=policy, task=task, progress=False, evaluations=False
    )
    accuracy = sample(policy, seed=2000)[1].mean().item()
    norm = result.metrics["grad_norm"].max()
    return {"seed": seed, "clip": epsilon < 1, "accuracy": accuracy, "grad_norm": norm}


# %%
table = DataFrame([train_and_ask(seed, eps) for seed in range(5) for eps in (0.2, 1e9)])
before = sample(base, seed=2000)[1].mean().item()

# %% tags=["hide-input"]
clipped, free = (
    table[table["clip"] == kind].set_index("seed") for kind in (True, False)
)
figure, panels = plt.subplots(1, 2, figsize=(8, 2.8))
for axes, key in zip(panels, ("accuracy", "grad_norm"), strict=True):
    for seed in range(5):
        pair = [clipped[key][seed], free[key][seed]]
        axes.plot([0, 1], pair, color="#999999", marker="o", ms=5)
    axes.set(ylabel=key, xlim=(-0.4, 1.4))
    axes.set_xticks([0, 1], ["ε = 0.2", "ε → ∞"])
panels[0].axhline(before, color=NEGATIVE, ls="--", lw=0.8, label="untrained")
panels[0].set_ylim(0, None)
panels[0].legend()
panels[1].set(ylabel="largest grad_norm", ylim=(0, None))
for name, kind in (("ε = 0.2", clipped), ("ε → ∞", free)):
    values, better = kind["accuracy"], (kind["accuracy"] > before).sum()
    print(
        f"{name}: {values.mean():.2f} (std {values.std():.2f}), {better} of 5 above untrained"
    )

# %% [markdown]
# Each gray line is one seed, with and without the clip; the dashed line is where both start. With the clip
# the eight epochs of this far too large step still help; without it the policy runs along whatever the
# batch happened to say, gradients grow, and some seeds lose what they could do before. With a smaller step
# the two come closer (try 3e-3 or 1e-3 in the cell above): a small step is a trust region, too.
#
# The paper's own numbers, for the order of magnitude (PPO Table 1: normalized score, random policy = 0, best =
# 1; mean of 7 MuJoCo tasks × 3 seeds, one million steps; we did not rerun it):
#
# | variant | score |
# | --- | --- |
# | no clipping, no penalty | −0.39 |
# | clipping, ε = 0.1 / **0.2** / 0.3 | 0.76 / **0.82** / 0.70 |
# | adaptive KL, target 0.003 / 0.01 / 0.03 | 0.68 / 0.74 / 0.71 |
# | fixed KL, β = 0.3 / 1 / 3 / 10 | 0.62 / 0.71 / 0.72 / 0.69 |
#
# So ε = 0.2 comes from robots in simulation and ten epochs a batch; language models took it over.

# %% [markdown]
# ## What usually goes wrong
#
# * **`clip_ratio/region_mean` is 0 and you wonder why ε changes nothing**: one update per batch. Raise
#   `num_iterations` or `steps_per_generation`, or do not tune ε.
# * **`clip_ratio/region_mean` above 0.2 or so, `grad_norm` rising**: too many epochs, or a step too large.
# * **`loss/value` falls and the reward does not move**: the critic learns the mean reward, the advantages
#   are noise. Look at V on right and wrong answers, as above.
# * **Reward flat with `lam` = 0.95 and long answers**: the first tokens never hear of the reward.
# * **The value of padding gets into GAE**, or the score sits on a padding token: `loss/value` stays high
#   and short completions learn differently from long ones.
# * **KL in the reward, length falls** (`completions/mean_length`): every token pays. Compare with
#   `kl_coef = 0`.

# %% [markdown]
# ## What changed
#
# PPO as a difference from the config of [00](00_first_step.ipynb), which was GRPO's. Fields on which
# they agree are left out.

# %% tags=["nbval-check-output"]
names = ("grpo", "ppo")
fields = DataFrame({name: rl.make_config(algorithm=name).to_dict() for name in names})
fields = fields.drop("algorithm").astype(str)
print(fields[fields.nunique(axis=1) > 1].to_string())

# %% [markdown]
# `bnpo` is the mean over all tokens of the mini-batch, as PPO's codebases take it. For one process and one mini-batch it is the weight of `dapo`: one over the number of tokens.

# %% [markdown]
# ## Exercises
#
# **ppo-1.** The slope of the clipped objective by the ratio, for three floats, as a float.


# %%
def surrogate_slope(ratio, advantage, epsilon):
    raise NotImplementedError


check_exercise("ppo-1", surrogate_slope)

# %% [markdown]
# **ppo-2.** Advantages (T,) of one completion without padding, by whichever formula you like.


# %%
def my_gae(rewards, values, gamma, lam):
    raise NotImplementedError


check_exercise("ppo-2", my_gae)

# %% [markdown]
# **ppo-3.** The critic says 0 everywhere, γ = 1, and a reward of 1 comes at the last of `length` tokens. What
# is the advantage of the first token?


# %%
def what_the_first_token_hears(length, lam):
    raise NotImplementedError


check_exercise("ppo-3", what_the_first_token_hears)

# %% [markdown]
# **ppo-4.** The slope of the clipped value loss of one token by its value.


# %%
def value_slope(value, old_value, target, c):
    raise NotImplementedError


check_exercise("ppo-4", value_slope)

# %% [markdown]
# **ppo-5.** PPO's adaptive KL controller (§4): the next β, from β, the KL measured and its target.


# %%
def next_beta(beta, kl, target):
    raise NotImplementedError


check_exercise("ppo-5", next_beta)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # ppo-1
# def surrogate_slope(ratio, advantage, epsilon):
#     stopped_above = advantage > 0 and ratio > 1 + epsilon
#     stopped_below = advantage < 0 and ratio < 1 - epsilon
#     return 0.0 if stopped_above or stopped_below else advantage
# ```
#
# ```python
# # ppo-2
# def my_gae(rewards, values, gamma, lam):
#     advantages, advantage, after = torch.zeros(len(rewards)), 0.0, 0.0
#     for t in reversed(range(len(rewards))):
#         advantage = rewards[t] + gamma * after - values[t] + gamma * lam * advantage
#         advantages[t], after = advantage, values[t]
#     return advantages
# ```
#
# ```python
# # ppo-3
# def what_the_first_token_hears(length, lam):
#     return lam ** (length - 1)
# ```
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

# %% [markdown]
# ## References
#
# * PPO: Schulman et al., 2017, arXiv 1707.06347
# * GAE: Schulman et al., 2015, arXiv 1506.02438
# * InstructGPT: Ouyang et al., 2022, arXiv 2203.02155
# * DeepSeek-R1, appendix A.3: arXiv 2501.12948 v2 (2026)
# * KL estimators: Schulman, 2020, "Approximating KL divergence"
