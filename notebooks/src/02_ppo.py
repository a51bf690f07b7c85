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
# question → rollouts → **rewards → advantages → objective → update** → record → figure
#
# Page [00](00_first_step.ipynb) made one update per batch, and its baseline was the mean of a group. PPO makes several updates per batch, and
# it learns its baseline: a second network, the critic, predicts at every token how much reward is still to come. This page takes one step of
# PPO apart in the order in which it runs. Then it writes the step out and trains with it.
#
# You will be able to
#
# * turn a critic's values into an advantage for each token, as a sum and as a recursion, and say what $\lambda$ trades,
# * say which tokens the clip stops, and why it has nothing to do in the first update of a batch,
# * read a value loss, a whitened advantage and a KL penalty inside the reward,
# * write a step of PPO that gives the numbers of the library.
#
# **Reading:** about 34 minutes. **Running:** under a minute on one core. **Papers:** PPO
# ([Schulman et al., 2017](https://arxiv.org/abs/1707.06347)); GAE ([Schulman et al., 2015](https://arxiv.org/abs/1506.02438));
# InstructGPT ([Ouyang et al., 2022](https://arxiv.org/abs/2203.02155)). **Builds on** [00 First step](00_first_step.ipynb).
# **Next:** [03 GRPO](03_grpo.ipynb); [15 PPO, measured](15_ppo_measured.ipynb) has what the critic costs and knows, and a run without the clip.

# %%
import copy

import torch
from ipywidgets import interact
from matplotlib import pyplot as plt
from pandas import DataFrame

import rlnotes as rl
from rlnotes import check_exercise, plot_run, plot_surrogate, use_style
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.worked_group import worked_group
from rlnotes.training.batches import score

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
# PPO for language models keeps up to four models in memory: the policy (the *actor*), a value model (the *critic*), a reward model, and a
# reference. GRPO replaces the critic by the mean of a group of answers, and DeepSeek-R1 replaces the reward model by rules. In the drawing, orange boxes learn,
# gray ones are frozen, blue ones are data, and green ones are computed by a rule.

# %% tags=["hide-input"]
boxes, arrows = {}, []
for name, y, answers in (("PPO", 3.3, "answer o"), ("GRPO", 0.9, "answers\no1 … oG")):
    boxes[f"{name} q"] = (0.8, y, f"{name}:\nquestion q", "data")
    boxes[f"{name} p"] = (2.4, y, "policy\n(actor)", "learns")
    boxes[f"{name} o"] = (4.0, y, answers, "data")
    boxes[f"{name} f"] = (5.8, y + 0.75, "reference", "frozen")
    arrows += [(f"{name} q", f"{name} p", "-", ""), (f"{name} p", f"{name} o", "-", "")]
    arrows += [(f"{name} o", f"{name} {x}", "-", "") for x in "fr"]
boxes["PPO r"] = (5.8, 3.3, "reward model", "frozen")
boxes["GRPO r"] = (5.8, 0.6, "rule, or\nreward model", "rule")
boxes["v"] = (5.8, 2.5, "value model\n(critic)", "learns")
boxes["g"] = (7.8, 3.3, "GAE:\nÂ of each token", "rule")
boxes["m"] = (7.8, 0.6, "mean, std of the group:\nÂ of each answer", "rule")
boxes["l"], boxes["k"] = (9.7, 3.3, "policy loss", "rule"), (9.7, 0.9, "loss", "rule")
boxes["c"] = (9.7, 2.5, "value loss", "rule")
arrows += [("PPO o", "v", "-", ""), ("v", "g", "-", ""), ("PPO r", "g", "-", "")]
arrows += [("PPO f", "g", "--", "KL in the reward"), ("GRPO r", "m", "-", "")]
arrows += [("g", "l", "-", ""), ("m", "k", "-", ""), ("g", "c", "-", "")]
arrows += [("GRPO f", "k", "--", "KL in the loss")]
_ = draw_graph(boxes, arrows, size=(10.4, 4.4))

# %% [markdown]
# One step of PPO, in words:
#
# 1. **Sample.** The policy answers a batch of questions. We keep the tokens and $\log \pi_\text{old}$ of each.
# 2. **Score.** The reward is paid at the last token. Where there is a reference, a KL penalty is paid at every token.
# 3. **Predict.** The critic gives $V(s_t)$ before every token, where $s_t = (q, o_{<t})$ is the question with the answer so far.
# 4. **Advantages.** Generalized advantage estimation (GAE) turns rewards and values into $\hat A_t$, from the last token to the first. The critic's target is
#    $R_t = \hat A_t + V(s_t)$. Both are numbers from here on, and no gradient flows through them.
# 5. **Update.** For each of $K$ epochs and for each mini-batch, the policy makes one step on its clipped loss, and the critic one step on
#    its squared error.
# 6. **Forget** the batch, and go to 1 with the new policy.
#
# *Notation on this page:* tokens count from $t = 0$ to $T-1$, as in the GAE paper (other pages count from 1). A reward $r_t$ with a
# token's index is paid at that token, and $r$ alone is the reward of the whole answer. $\delta_t$ is the critic's surprise; the config field `delta` is
# something else, the bound of the dual clip.

# %% [markdown]
# ## What the slide calls actor and critic
#
# **[Erratum 1](../docs/errata.md#erratum-1).** The slide "PPO: Proximal Policy Optimization" puts the heading *Actor* over the objective
# $\mathcal J_\text{PPO}(\theta)$, and the heading *Critic* over $\hat A_t^{\text{GAE}(\gamma,\lambda)}$. But GAE is not the critic. The critic is the network
# $V_\phi(s_t)$, and GAE is the arithmetic that makes advantages of its predictions. The slide also leaves out how the critic
# learns. The paper's objective (Eq 9) has three terms to maximize:
#
# $$L_t = \hat{\mathbb E}_t\big[L_t^\text{CLIP} - c_1\,(V_\phi(s_t) - V_t^\text{targ})^2
# + c_2\,S[\pi_\theta](s_t)\big]$$
#
# The second is the value loss. The third is an entropy bonus, which language models mostly leave out ($c_2 = 0$). The mean $\hat{\mathbb E}_t$ is
# taken over *tokens*; the slide has no sum over them.

# %% [markdown]
# ## REWARDS: KL inside the reward
#
# The reward $r$ of an answer is known when the answer is complete, so it is paid at the last token. InstructGPT (Eq 2) also pays a
# penalty at every token for leaving the frozen reference, $k_1 = \log\pi_\text{old} - \log\pi_\text{ref}$ of the sampled token:
#
# $$r_t = r \cdot \mathbf 1\{t = T-1\} - \beta\,k_{1,t}$$
#
# We compute it for the *worked group*: four made-up answers to "What is 7 * 8?", two of them right, which most pages put through their formulas.

# %% tags=["nbval-check-output"]
k1 = rl.kl_k1(group.old_per_token_logps, group.ref_per_token_logps)
paid = rl.kl_penalized_rewards(group.rewards, k1, mask, beta=0.05)
by_hand = -0.05 * k1 * mask
by_hand[range(4), mask.sum(1) - 1] += group.rewards
torch.testing.assert_close(paid, by_hand)
print("reward of each answer    ", group.rewards)
print("sum of its token rewards ", paid.sum(1))

# %% [markdown]
# The penalty passes through GAE like any other reward, and no gradient flows through it. GRPO puts the KL into the loss instead, which is
# another estimator with another gradient ([04](04_kl_and_biases.ipynb)). The $k_1$ of one token may be negative, so an answer can even be paid for
# it, as $o_2$ and $o_4$ are here. Its mean over the policy's own samples is the KL, which is never negative. Because every token pays, a long answer
# has more to pay. DeepSeek-R1's appendix names that as a reason against a KL in the reward for long reasoning.

# %% [markdown]
# ## ADVANTAGES: δ, the surprise of one step
#
# The critic says $V(s_t)$ before a token and $V(s_{t+1})$ after it. The difference, plus what was paid in between, says how much better
# the token was than expected (PPO Eq 12):
#
# $$\delta_t = r_t + \gamma\,V(s_{t+1}) - V(s_t), \qquad V = 0 \text{ after the last token}$$
#
# In the cell, the reward of 1 comes at the last of three tokens. The critic expects a little more before each token, and far too little at the end.
#
# <details><summary>On the slide</summary>
#
# **[Erratum 2](../docs/errata.md#erratum-2).** The slide writes $\delta_l = R_l + \gamma V(s_{l+1}) - V(s_l)$ next to
# $\sum_l (\gamma\lambda)^l \delta_{t+l}$. One letter is a position in the first formula and a distance from $t$ in the second, where we write $k$. $R_l$ is
# the reward of one token, mostly 0, and not the reward of the answer. The second PPO slide drops $\delta$ altogether. And the sum does not
# run to $\infty$: an answer ends at $|o|$.
#
# </details>

# %% tags=["nbval-check-output"]
rewards = torch.tensor([0.0, 0.0, 1.0])  # paid at the last token
values = torch.tensor([0.1, 0.2, 0.3])


def deltas(rewards, values, gamma):
    """δ_t of one completion, (T,)."""
    after = torch.cat([values[1:], torch.zeros(1)])
    return rewards + gamma * after - values


print(deltas(rewards, values, gamma=1.0))

# %% [markdown]
# ## ADVANTAGES: GAE as a sum and as a recursion
#
# The surprise of one token trusts the critic for all that follows. GAE adds the surprises of the later tokens, with
# weights that fall by $\gamma\lambda$ at each step (PPO Eq 11). The sum is a recursion from the back:
#
# $$\hat A_t = \sum_{k=0}^{T-1-t} (\gamma\lambda)^k\,\delta_{t+k}
# \qquad\Longleftrightarrow\qquad \hat A_t = \delta_t + \gamma\lambda\,\hat A_{t+1}$$
#
# The drawing has both for the wrong answer $o_2$, "7\*8=54". The recursion runs along the blue arrows. The last row has the weights of the
# sum for the first token, and their values for $\gamma\lambda = 0.9$.

# %% tags=["hide-input"]
boxes = {"o": (0.9, 3.1, "token", "frozen"), "d": (0.9, 2.3, "surprise δ", "frozen")}
boxes["a"] = (0.9, 1.5, "advantage Â", "frozen")
boxes["w"] = (0.9, 0.5, "weight of δ in Â0", "frozen")
arrows, powers = [], "⁰¹²³⁴"
for t, token in enumerate(group.tokens[1]):
    x = 2.6 + 1.6 * t
    boxes[f"o{t}"] = (x, 3.1, token, "data")
    boxes[f"d{t}"] = (x, 2.3, f"δ{t}", "rule")
    boxes[f"a{t}"] = (x, 1.5, f"Â{t}", "rule")
    weight = "1" if t == 0 else f"(γλ){powers[t]}"
    boxes[f"w{t}"] = (x, 0.5, f"{weight}\n{0.9**t:.2f}", "rule")
    arrows += [(f"o{t}", f"d{t}", "-", ""), (f"d{t}", f"a{t}", "-", "")]
    if t:
        arrows += [(f"o{t - 1}", f"o{t}", "-", "")]
        arrows += [(f"a{t}", f"a{t - 1}", "--", "times γλ")]
_ = draw_graph(boxes, arrows, size=(9.8, 3.5))


# %%
def gae_sum(rewards, values, gamma, lam):
    """Each advantage on its own, T²/2 terms."""
    delta, T = deltas(rewards, values, gamma), len(rewards)
    terms = [
        [(gamma * lam) ** k * delta[t + k] for k in range(T - t)] for t in range(T)
    ]
    return torch.stack([sum(row) for row in terms])


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
print("held: the sum is the recursion, and both are the library's")
print(gae_backward(rewards, values, gamma=1.0, lam=0.95))

# %% [markdown]
# Look at the two ends of $\lambda$. With $\lambda = 0$ only the next step counts, and the critic answers for the rest. With $\lambda = 1$ all
# values cancel except the first, $\hat A_t = \sum_k \gamma^k r_{t+k} - V(s_t)$: what was really paid, minus what was expected.
#
# <details><summary>A slip in the paper</summary>
#
# Eq 11 prints the last term of the sum as $(\gamma\lambda)^{T-t+1}\,\delta_{T-1}$. But $\delta_{T-1}$ is $T-1-t$ steps ahead of $t$, so that is its
# exponent: the printed one is too large by two. With $\lambda = 1$ nobody notices. The assertion above, sum against recursion, would fail with the
# printed one.
#
# </details>

# %%
r, v = torch.randn(12), torch.randn(12)
torch.testing.assert_close(gae_backward(r, v, 0.9, lam=0.0), deltas(r, v, 0.9))
to_come = torch.stack(
    [sum(0.9**k * r[t + k] for k in range(12 - t)) for t in range(12)]
)
torch.testing.assert_close(gae_backward(r, v, 0.9, lam=1.0), to_come - v)
print("held: λ = 0 leaves δ, and λ = 1 what was paid minus what was expected")

# %% [markdown]
# **Predict first (ppo-3).** An untrained critic says 0 everywhere, $\gamma = 1$ and $\lambda = 0.95$. A reward of 1 is paid at the last token. You go
# back from there token by token. After how many steps does the advantage fall below one half?

# %%
steps_back = None  # a whole number

check_exercise("ppo-3", steps_back)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # ppo-3
# steps_back = 14
# ```
#
# All $\delta$ are 0 except the last, which is 1, so the token $k$ steps before it hears $0.95^k$, and $0.95^{14} = 0.49$.
#
# </details>
#
# ### What λ does to the weights
#
# The left panel shows the weight $\lambda^k$ of the surprise $k$ steps ahead. The right panel shows what that means for an answer of 400
# tokens and a critic that knows nothing yet. $\lambda = 0.95$ looks close to 1, and with it all but the last few dozen tokens of a chain of thought
# hear almost nothing of the reward.

# %% tags=["hide-input"]
lams = (0.5, 0.9, 0.95, 0.99, 1.0)
shades = plt.cm.viridis(torch.linspace(0.85, 0.0, len(lams)).numpy())
steps = torch.arange(0, 401)
figure, panels = plt.subplots(1, 2, figsize=(9, 2.8))
for lam, shade in zip(lams, shades):
    panels[0].plot(steps[:31], lam ** steps[:31], color=shade)
    panels[1].plot(400 - steps, lam**steps, color=shade, label=f"λ = {lam:g}")
panels[0].set(xlabel="steps ahead, k", ylabel="weight of the surprise, λᵏ")
panels[0].set_title("how far a token looks ahead")
panels[1].set(xlabel="token of 400", ylabel="share of the reward that arrives")
panels[1].set_title("who hears of the reward, V = 0")
panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
print(f"0.95^999 = {0.95**999:.0e}: what the first of 1,000 tokens hears of the reward")

# %% [markdown]
# This is one reading of a result in DeepSeek-R1's appendix (A.3, Fig 4, arXiv v2): on MATH with a 16 B model, PPO with $\lambda = 0.95$ was clearly
# worse than GRPO, and with $\lambda = 1$ about equal. Our configs have $\lambda = 1$ for the same reason.
#
# ### The worked group
#
# We give the four answers a made-up critic. It is unsure at first, and it is sure of itself after the digit that decides. The reward is paid at the last token,
# without a KL penalty. The pictures show for three values of $\lambda$ which tokens get the credit (blue) and which the blame (red). The slider below them needs a
# running kernel.

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
paid = rl.kl_penalized_rewards(group.rewards, k1, mask, beta=0.0)
gae = {
    lam: rl.generalized_advantage_estimation(paid, values, mask, lam=lam)
    for lam in (0.0, 0.95, 1.0)
}


# %% tags=["hide-input"]
def draw_blame(lam, axes=None):
    """The worked group's advantages, token by token."""
    axes = axes or plt.subplots(figsize=(8, 2))[1]
    found, _ = rl.generalized_advantage_estimation(paid, values, mask, lam=lam)
    image = torch.where(mask.bool(), found, torch.nan)
    axes.imshow(image, cmap="RdBu", vmin=-0.9, vmax=0.9, aspect="auto")
    for i, row in enumerate(group.tokens):
        for t, token in enumerate(row):
            label = f"{token.strip()}\n{found[i, t]:+.2f}"
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
# With $\lambda = 0$ the blame is on the token that lowered the value, the "4" of 7\*8=54. Only a critic can give that: GRPO has one advantage for the
# whole row. With $\lambda = 1$ each token gets the final reward minus what was expected before it, so the tokens before the mistake are blamed as
# well. How useful $\lambda < 1$ is depends on the values. Here we have made up good ones; [15](15_ppo_measured.ipynb) looks at learned ones.
#
# ### Whitening
#
# PPO's codebases shift and scale the advantages of a batch to mean 0 and unit variance, which the paper does not mention. The statistics are over
# *tokens*, so a long answer counts for more. In the worked group most tokens belong to wrong answers, so the mean is negative, and whitening makes right answers
# stand out more than wrong ones.
#
# $$\hat A \leftarrow \frac{\hat A - \operatorname{mean}}{\sqrt{\operatorname{var} + 10^{-8}}}$$

# %% tags=["nbval-check-output"]
advantages, returns = gae[1.0]
tokens = advantages[mask.bool()]
white = (tokens - tokens.mean()) / (tokens.var() + 1e-8).sqrt()
torch.testing.assert_close(white, rl.whiten(advantages, mask)[mask.bool()])
table = DataFrame({"first token": advantages[:, 0]}, index=["o1", "o2", "o3", "o4"])
table["whitened"] = rl.whiten(advantages, mask)[:, 0]
print(table.round(2).to_string())

# %% [markdown]
# ## OBJECTIVE: the value loss
#
# The critic learns by least squares. Its target is $R_t = \hat A_t + V(s_t)$, the *return* of a token. Codebases add a clip that the paper does
# not have: a value that has moved by more than $c$ in the right direction gets no gradient until the next batch.
#
# $$L^V = \tfrac12 \operatorname{mean}_t \max\big((V - R_t)^2,\ (\operatorname{clip}(V, V_\text{old} - c,
# V_\text{old} + c) - R_t)^2\big)$$
#
# [15](15_ppo_measured.ipynb) shows why it takes the larger of the two errors, and what the regression converges to.


# %%
def clipped_value_loss(values, old_values, returns, mask, c=0.2):
    """Mean over tokens of the larger of the two squared errors, halved."""
    near = old_values + (values - old_values).clamp(-c, c)
    errors = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return 0.5 * (errors * mask).sum() / mask.sum()


new_values = values + 0.4 * torch.randn(4, 12)
ours = clipped_value_loss(new_values, values, returns, mask)
torch.testing.assert_close(ours, rl.value_loss(new_values, values, returns, mask))
print("held: ours = the library's value loss")

# %% [markdown]
# ## OBJECTIVE: the clip
#
# The batch was sampled by $\pi_\text{old}$. From the second update on, the policy that learns is another one, and [00](00_first_step.ipynb) has shown
# that each sample must then be weighted by the ratio $\rho_t = \pi_\theta(o_t \mid s_t) / \pi_\text{old}(o_t \mid s_t)$. The further the ratio is from 1,
# the noisier is the weighted gradient, and the less do advantages of the old policy say about the new one. So PPO takes the gradient away from a
# token that has moved far enough in its own direction (PPO Eq 7, to maximize):
#
# $$L_t^\text{CLIP} = \min\big(\rho_t \hat A_t,\ \operatorname{clip}(\rho_t, 1-\varepsilon,
# 1+\varepsilon)\,\hat A_t\big)$$


# %%
def surrogate(ratio, advantages, epsilon=0.2):
    """What PPO maximizes, for each token; advantages (N, T)."""
    plain = ratio * advantages
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon) * advantages
    return torch.minimum(plain, clipped)


ratio, some = 2 * torch.rand(64, 8), torch.randn(64, 8)
torch.testing.assert_close(
    surrogate(ratio, some), -rl.clipped_surrogate_loss(ratio, some)
)
print("held: ours = the library's clipped surrogate")

# %% [markdown]
# **Predict first (ppo-1).** Take $\varepsilon = 0.2$. What is the slope of the clipped term by the ratio at $\rho = 0.5$, 1 and 1.5, for
# $\hat A = 1$ and then for $\hat A = -1$?

# %%
slopes = None  # a list of six numbers: three for Â = 1, three for Â = -1

check_exercise("ppo-1", slopes)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # ppo-1
# slopes = [1, 1, 0, 0, -1, -1]
# ```
#
# </details>
#
# The drawing is the answer in boxes. An arrow points to where the gradient pushes the ratio. A good token is pushed up until it is 20 % likelier, and a bad
# one down until it is 20 % less likely. On the *far* sides there is no clip: a good token that has become rarer, or a bad one that has become
# likelier, has gone the wrong way and keeps its full gradient.

# %% tags=["hide-input"]
boxes, arrows = {}, []
columns = {2.9: "ρ below 1 − ε", 5.6: "ρ between 1 − ε and 1 + ε", 8.3: "ρ above 1 + ε"}
for column, (x, text) in enumerate(columns.items()):
    boxes[f"head {column}"] = (x, 2.4, text, "data")
    for row, stopped, push in ((0, 2, "up"), (1, 0, "down")):
        words = f"gradient pushes ρ {push}" if column != stopped else "no gradient"
        kind = "frozen" if column == stopped else "learns"
        boxes[f"{row} {column}"] = (x, 1.6 - row, words, kind)
boxes["good"] = (0.9, 1.6, "good token\nÂ > 0", "rule")
boxes["bad"] = (0.9, 0.6, "bad token\nÂ < 0", "rule")
arrows += [(f"0 {i}", f"0 {i + 1}", "-", "") for i in (0, 1)]
arrows += [(f"1 {i + 1}", f"1 {i}", "-", "") for i in (1, 0)]
_ = draw_graph(boxes, arrows, size=(9.8, 2.8))

# %% [markdown]
# PPO's Figure 1 shows the same as curves; the slopes on the right are autograd's. For the bad token the objective falls without bound on the right. With a running kernel,
# the sliders below move both sides of the band. [08 DAPO](08_dapo.ipynb) raises the upper one alone.

# %%
figure = plot_surrogate(epsilon=0.2)

# %%
_ = interact(plot_surrogate, epsilon=(0.05, 0.5, 0.05), epsilon_high=(0.05, 1.0, 0.05))

# %% [markdown]
# Three properties hold for any numbers. The clipped term never promises more than the plain one (it is a *pessimistic* bound). With $\varepsilon \to
# \infty$ it is the plain one. And at ratio 1, in the first update after sampling, its gradient is that of the plain policy gradient,
# $\hat A_t \nabla \log \pi$. So with one update per batch the clip has nothing to do, and PPO is REINFORCE with a learned baseline.

# %%
assert bool((surrogate(ratio, some) <= ratio * some).all())
assert torch.equal(surrogate(ratio, some, epsilon=1e9), ratio * some)
logps = torch.randn(64, 8).requires_grad_()
at_one = surrogate((logps - logps.detach()).exp(), some).sum()
plain = -rl.policy_gradient_loss(logps, some).sum()
torch.testing.assert_close(*(torch.autograd.grad(x, logps)[0] for x in (at_one, plain)))
print("held: a lower bound; ε → ∞ removes it; at ratio 1 plain policy gradient")

# %% [markdown]
# ## UPDATE: one step of PPO, nothing hidden
#
# Now a policy learns: the tiny Llama of [00](00_first_step.ipynb), pretrained on noisy sums. The critic starts as a copy of its body, with a head of zeros
# in place of the vocabulary, so $V = 0$ everywhere. Actor and critic each have an optimizer of their own. The first two functions read what both networks say about
# the tokens of an answer: the log-probability of each, and the value before each.

# %%
task, base = rl.load_task("scratch-addition"), rl.load_policy("tiny")
actor, critic = copy.deepcopy(base), rl.Critic(base)
options = {"betas": (0.9, 0.99), "weight_decay": 0.0}
optimizers = [
    torch.optim.AdamW(actor.model.parameters(), lr=1e-3, **options),
    torch.optim.AdamW(critic.parameters(), lr=3e-3, **options),
]
PROMPT = len(base.tokenizer("3+4=")["input_ids"])  # every prompt is as long


def logps_of(ids):
    logits = actor.model(input_ids=ids).logits[:, PROMPT - 1 : -1]
    return logits.log_softmax(-1).gather(2, ids[:, PROMPT:, None])[..., 0]


def values_of(ids):
    hidden = critic.backbone(input_ids=ids).last_hidden_state
    return critic(hidden[:, PROMPT - 1 : -1])


# %% [markdown]
# Steps 1 to 4 of the algorithm: 16 questions with eight answers each, a reward of 1 for a right answer, the values before every token, and GAE. There is
# no KL penalty here, and $\gamma = \lambda = 1$. The seeds are those of `rlnotes.train`, so that we can compare.


# %%
@torch.no_grad()
def sample_batch(step):
    """What an update needs, a dict of tensors (128, …), and the rewards (128,)."""
    dice = torch.Generator().manual_seed(1000 * step)
    questions = task.sample(16, seed=0, step=1000 * step)
    sizes = {"num_generations": 8, "max_completion_length": 12}
    rollouts = rl.generate_rollouts(actor, questions, generator=dice, **sizes)
    prompts = rollouts.prompt_ids.repeat_interleave(8, 0)
    batch = {"ids": torch.cat([prompts, rollouts.completion_ids], 1)}
    mask = batch["mask"] = rollouts.completion_mask
    right = score(rollouts, [rl.get_accuracy_reward(task.verify)])[:, 0]
    rewards = torch.zeros(mask.shape)
    rewards[range(128), mask.sum(1) - 1] = right  # paid at the last token
    batch["old_logps"] = logps_of(batch["ids"])
    values = batch["old_values"] = values_of(batch["ids"]) * mask
    gae = rl.generalized_advantage_estimation(rewards, values, mask, gamma=1.0, lam=1.0)
    batch["advantages"], batch["returns"] = rl.whiten(gae[0], mask), gae[1]
    return batch, right


# %% [markdown]
# Step 5: two epochs over the batch, in two mini-batches of eight questions each, make four updates. In the first, every ratio is 1. Each network's
# gradient is shortened to norm 1, if it is longer, before its optimizer steps.


# %%
def update_on(batch, step):
    """Two epochs of two mini-batches; the policy's gradient norm, its mean."""
    dice, norms = torch.Generator().manual_seed(step), []
    for _epoch in range(2):
        for questions in torch.randperm(16, generator=dice).view(2, 8):
            rows = torch.isin(torch.arange(128) // 8, questions)
            part = {name: tensor[rows] for name, tensor in batch.items()}
            mask, ids = part["mask"], part["ids"]
            ratio = (logps_of(ids) - part["old_logps"]).exp()
            gains = surrogate(ratio, part["advantages"]) * mask
            targets = part["old_values"], part["returns"]
            loss = clipped_value_loss(values_of(ids), *targets, mask)
            (loss - gains.sum() / mask.sum()).backward()
            for model, optimizer in zip((actor.model, critic), optimizers):
                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                norms += [norm.item()] if model is actor.model else []
                optimizer.step()
                optimizer.zero_grad()
    return sum(norms) / len(norms)


# %% [markdown]
# That is the whole of PPO. We make four steps with it, and four with the library, from the same policy. The rewards must be equal, because a reward depends on every
# token that was sampled before, and the norms equal up to rounding.

# %%
config = {"policy": "tiny", "task": task.name, "bf16": False, "algorithm": "ppo"}
config |= {"learning_rate": 1e-3, "critic_learning_rate": 3e-3}
config |= {"generation_batch_size": 128, "max_completion_length": 12}


def train(**changes):
    """The library's run on a fresh copy of the tiny policy."""
    settings = rl.make_config(**(config | changes))
    return rl.train(settings, policy=copy.deepcopy(base), task=task, progress=False)


rows = []
for step in range(1, 5):
    batch, right = sample_batch(step)
    rows.append((right.mean().item(), update_on(batch, step)))
ours = DataFrame(rows, columns=["reward", "grad_norm"])
library = train(max_steps=4).metrics.query("step > 0")[list(ours)].to_numpy()
assert (ours - library).abs().max().max() < 1e-3
print("held: our four steps are those of rlnotes.train")
print(ours.round(3))

# %% [markdown]
# ### The same step, 24 times
#
# From here on `rlnotes.train` makes the steps. One seed is an illustration, not a claim.

# %%
ppo = train(max_steps=24)
curves = ppo.metrics[ppo.metrics["step"] > 0]
_ = plot_run(curves, ["reward", "loss/value", "clip_ratio/region_mean"])
held_out = ppo.metrics[["eval/sampled_accuracy", "eval/greedy_accuracy"]].dropna()
held_out.columns = ["held out, sampled", "held out, greedy"]
held_out.set_axis(["before", "after"]).round(2)

# %% [markdown]
# The reward rises. The value loss falls; but it would also fall for a critic that has only learned how high the reward is by now, and
# [15](15_ppo_measured.ipynb) finds just that. The clip is at work from the first step, because the second to fourth update of every batch see ratios other than 1.
#
# On held-out sums the policy gains when its answers are *sampled*. Greedily decoded, it could answer all of them before: they were held out of RL, and not
# of its pretraining. In this run RL has made known answers likelier, and it has cost some of the greedy ones.

# %% [markdown]
# ### When the clip binds
#
# One epoch in one piece is one update, at ratio 1, and the clip does nothing whatever $\varepsilon$ is. Each further epoch on the same completions moves the
# ratio away from 1. We train with 1, 2 and 4 epochs of a single mini-batch.

# %%
figure, axes = plt.subplots(figsize=(6, 2.8))
for epochs in (1, 2, 4):
    run = train(num_iterations=epochs, steps_per_generation=1, max_steps=8)
    share = run.metrics.set_index("step")["clip_ratio/region_mean"].dropna()
    axes.plot(share, label=f"epochs: {epochs}", marker="o", ms=4)
    if epochs == 1:
        assert (share == 0).all()  # by arithmetic, not by luck
axes.set(xlabel="step", ylabel="share of tokens", ylim=(0, None))
axes.set_title("tokens that the clip stops")
_ = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# The clip is not a wall. It removes a token's *own* gradient, but all tokens share their weights, and the optimizer has momentum, so the others can still carry it
# further. How far they do, and what happens without a clip, [15](15_ppo_measured.ipynb) measures.
#
# ## What usually goes wrong
#
# * **`clip_ratio/region_mean` is 0 and you wonder why ε changes nothing**: one update per batch. Raise
#   `num_iterations` or `steps_per_generation`, or do not tune ε.
# * **`clip_ratio/region_mean` above 0.2 or so, `grad_norm` rising**: too many epochs, or a step too large.
# * **`loss/value` falls and the reward does not move**: the critic has learned the mean reward, and the advantages are noise. Compare V on right
#   and wrong answers ([15](15_ppo_measured.ipynb)).
# * **The reward is flat with `lam` = 0.95 and long answers**: the first tokens never hear of the reward.
# * **The value of padding gets into GAE**, or the reward sits on a padding token: short answers learn differently from long ones.
# * **KL in the reward, and the length falls** (`completions/mean_length`): every token pays. Compare with `kl_coef = 0`.
#
# ## What changed
#
# The table has the fields in which the configs of PPO and of GRPO (used in [00](00_first_step.ipynb)) differ. `bnpo` is the mean over all
# tokens of the mini-batch, as in our step above.

# %% tags=["nbval-check-output"]
names = ("grpo", "ppo")
fields = DataFrame({name: rl.make_config(algorithm=name).to_dict() for name in names})
fields = fields.drop("algorithm").astype(str)
print(fields[fields.nunique(axis=1) > 1].to_string())

# %% [markdown]
# ## Exercises
#
# **ppo-2.** Our `gae_backward` takes one answer. Write it for a batch, without a loop over the rows: rewards, values and mask are (N, T), and so are the advantages. A
# critic may say anything on padding. None of it may get into the advantages, and these are 0 on padding.


# %%
def gae_of_a_batch(rewards, values, mask, gamma, lam):
    raise NotImplementedError


check_exercise("ppo-2", gae_of_a_batch)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# # ppo-2
# def gae_of_a_batch(rewards, values, mask, gamma, lam):
#     values, out = values * mask, torch.zeros_like(values)
#     after, advantage = torch.zeros(len(values)), torch.zeros(len(values))
#     for t in reversed(range(values.shape[1])):
#         delta = rewards[:, t] + gamma * after - values[:, t]
#         advantage = (delta + gamma * lam * advantage) * mask[:, t]
#         out[:, t], after = advantage, values[:, t]
#     return out
# ```
#
# </details>
#
# ### Change the run, and an open experiment
#
# Give `train` the argument `lam=0.5` in the cell of the 24 steps. Answers have up to 12 tokens here. Say first what will happen to the reward and to the value
# loss, and then look.
#
# | question | your words |
# | --- | --- |
# | From which answer length on do you expect $\lambda = 0.95$ to learn more slowly than $\lambda = 1$? Why? | |
# | Which task, which lengths, how many seeds? | |
# | What did you see? | |

# %% [markdown]
# ## References
#
# * Schulman et al., 2017, [*Proximal Policy Optimization Algorithms*](https://arxiv.org/abs/1707.06347): Eq 7, 9, 11, 12, Figure 1.
# * Schulman et al., 2015, [*High-Dimensional Continuous Control Using GAE*](https://arxiv.org/abs/1506.02438).
# * Ouyang et al., 2022, [*InstructGPT*](https://arxiv.org/abs/2203.02155): Eq 2, the KL in the reward.
# * DeepSeek-AI, [*DeepSeek-R1*](https://arxiv.org/abs/2501.12948), v2 (2026), appendix A.3: PPO against GRPO.
#
# In the library: [`equations/gae.py`](../rlnotes/equations/gae.py), [`equations/surrogates.py`](../rlnotes/equations/surrogates.py),
# [`training/updates.py`](../rlnotes/training/updates.py).
#
# **Next:** [03 GRPO](03_grpo.ipynb) does without the critic.
