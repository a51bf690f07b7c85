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
# # 13 · Two open questions
#
# question → rollouts → **rewards** → **advantages** → objective → update → record → figure
#
# The deck ends with two questions and no answers: an effective reward model for open-ended data, and an effective automatic
# weighting of rewards. Here methods from the literature compete on tasks that are small enough to repeat, and you can enter your own.
#
# You will be able to
#
# * say what a weight does before and after the normalization, and which rules move it during training;
# * read an experiment with two rewards as a trade, not as one number;
# * see a proxy rise while what was meant falls, and name what prevents it;
# * enter a rule of twenty lines and get its row in the same table.
#
# **Time:** half a minute on one core; the runs are recorded. A last cell trains a rule of yours.
# **Papers:** GDPO 2601.05242; SA-MRPO and Focal Reward 2605.26579; SAW 2606.07705; DVAO 2605.25604; Constrained GRPO 2602.05863.
# For reward models: Rubrics as Rewards 2507.17746; Pref-GRPO 2508.20751.
# We read notes and abstracts of the four papers on weights beside GDPO's and of these two, not all of their formulas; where we infer, it says so.
# **Builds on** [09 GDPO](09_gdpo.ipynb).

# %%
import inspect
import sys
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch

import rlnotes as rl
from rlnotes.analysis import statistics
from rlnotes.analysis.figures import use_style
from rlnotes.analysis.intervals import mean_interval
from rlnotes.teaching.exercises import check_exercise
from rlnotes.training.weighting import Weighting

sys.path.append(str(rl.project_folder() / "experiments"))
import gdpo as lab
import open_answers

use_style()
pd.set_option("display.width", 170)
print(f"torch {torch.__version__}")

# %% [markdown]
# ## Weights
#
# A rule may look at how far a reward is (saturation), how much it varies, or whether a constraint is met. All of these give $w_k$ for GDPO's
# $\sum_k w_k A_k$ (Eq 7), so they are a weight on the *normalized advantage*.
#
# | `reward_weighting` | weight | from |
# | --- | --- | --- |
# | `static` | $w_k$ | GDPO; without Eq 6 MO-GRPO, 2509.22047 |
# | `saturation` | $w_k (1 - s_k)^\gamma$, $s = (\text{mean} - \min)/(\max - \min)$ | SA-MRPO, Focal Reward |
# | `variation` | $K \cdot CV_k / \sum_j CV_j$, $CV = \text{std}/(\text{mean} - \min)$ | SAW |
# | `sigma` | $w_k\,\text{std}_k / \sum_j w_j\,\text{std}_j$ within the group | DVAO, an inference |
# | `lagrangian` | $\lambda_k \leftarrow \max(0, \lambda_k + \eta(t - \text{mean}_k))$ | Constrained GRPO |
# | `file.py:rule` | yours | |
#
# We ask each about the same batch of two prompts: the hard reward is earned by 2 of 8, the easy one by 7 of 8. **Predict** which
# rule gives the easy reward the least for a point of the hard one.

# %% tags=["nbval-check-output"]
batch = torch.tensor(
    [[1, 1], [0, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 1], [0, 1]]
).float()


def weights_of(rule, rewards=batch, **fields):
    """Mean weight of each reward under a rule of the config."""
    arm = {"reward_weighting": rule, "num_generations": 4, **fields}
    return Weighting(lab.config_of(arm)).weigh(rewards).expand(rewards.shape).mean(0)


RULES = ["static", "saturation", "variation", "sigma", "lagrangian"]
table = pd.DataFrame(
    {r: weights_of(r).tolist() for r in RULES}, index=["hard", "easy"]
).T
print(table.assign(ratio=table["easy"] / table["hard"]).round(2).to_string())

# %% [markdown]
# <details><summary>Answer</summary>
#
# `variation`: a reward that nearly all earn has a small std and a large mean. `sigma` looks at one group at a time: where the easy reward varies as much as
# the hard one it gets half, where it is constant nothing: a quarter in the mean. `lagrangian` has seen one batch and hardly moved; it is the only rule with a memory.
#
# </details>
#
# **Unit and zero point.** Pay the easy reward ten times as much, or from −1: GDPO, and every rule whose statistics are ratios of differences, do not notice.
# `sigma` and a constraint do (the target is in the reward's own unit), and so does GRPO's sum.

# %% tags=["nbval-check-output"]
scaled = batch * torch.tensor([1.0, 10.0]) - torch.tensor([0.0, 1.0])
for rule in RULES:
    change = (weights_of(rule, scaled) - weights_of(rule)).abs().max()
    print(f"{rule:10} weights change by {change:.2f}")

# %% [markdown]
# ### A competition of two seconds a run
#
# The smallest setting in which weights matter: sums modulo 10, a tiny policy, and three rewards. The right digit is hard, brackets around it and brevity are easy. `<7>` and
# the end are four tokens. In **toy** the limit is four, and all three can be earned. In **conflict** it is three: who writes brackets is too long, so of two rewards one can be had, or each half of
# the time. Five seeds an arm, 48 steps, `python experiments/gdpo.py arms --seeds 0-4`; no arm was tuned, and the arms of a setting differ in their weights alone.
#
# **Predict** what plain GDPO does with two rewards that exclude each other, and which rule keeps both.

# %% tags=["hide-input"]
runs = lab.recorded("conflict_*")
KEYS = [f"rewards/{k}_reward/mean" for k in ("length", "bracket_format", "accuracy")]
ends = runs[runs["step"] > 38].groupby(["algorithm", "seed"])[KEYS].mean()[KEYS[1]]
order = ends.groupby("algorithm").std().sort_values().index
figure, panels = plt.subplots(1, 2, figsize=(11, 3.6))
for place, arm in enumerate(order):
    panels[0].plot(ends[arm], [place] * len(ends[arm]), "o", color="#0072B2", alpha=0.6)
panels[0].set_yticks(range(len(order)), order.str.removeprefix("conflict_"))
panels[0].set(xlabel="share with brackets, last ten steps, a dot a run")
panels[0].set(xlim=(-0.05, 1.05), title="Conflict: where each run ends")
for arm, color in (("conflict_gdpo", "#D55E00"), ("conflict_saturation", "#009E73")):
    for _, one in runs[runs["algorithm"] == arm].groupby("seed"):
        (line,) = panels[1].plot(one[KEYS[1]].rolling(5).mean().to_numpy(), color=color)
    line.set_label(arm.removeprefix("conflict_"))
panels[1].set(xlabel="step (mean of 5), a line a run", ylabel="share with brackets")
panels[1].set_title("A corner, or both")
panels[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# Brevity is one less this, in nearly all runs. The arms are in the order of their spread over the seeds. The numbers, the best `volume` first (of all that a run's
# five-step means of the rewards dominate): `least` is the reward that ends lowest, `dip` how far accuracy falls below its start, `failed` the share of runs that end below it, `t` after
# how many steps a reward has made nine tenths of its way.

# %% tags=["hide-input"]
SHORT = {"accuracy": "right", "length": "short", "bracket_format": "form"}
SHORT |= {f"steps, {long}": f"t {name}" for long, name in SHORT.items()}
SHORT |= {"hypervolume": "volume", "held-out accuracy": "held out"}


def show(runs):
    """`lab.table` with short names, best hypervolume first."""
    found = lab.table(runs).sort_values("hypervolume", ascending=False)
    found = found.drop(columns="longest").rename(columns=SHORT)
    found.index = found.index.str.partition("_").get_level_values(2).rename(None)
    print(found.dropna(axis=1, how="all").round(2).to_string())


for setting in ("conflict", "toy"):
    print(setting)
    show(lab.recorded(f"{setting}_*"))

# %% [markdown]
# Each rule less plain GDPO, seed by seed: the difference of the last ten steps, its 95 % interval, and the verdict on "better than GDPO" that follows from it
# ([`data/claims.csv`](../data/claims.csv), [08](08_dapo.ipynb) has the rule). *right* is accuracy, *least* the reward that is earned least.

# %% tags=["hide-input"]
claims = pd.read_csv(rl.project_folder() / "data" / "claims.csv")
rules = claims[claims["slide"] == "Research questions"].copy()
rules["setting"] = rules["first"].str.partition("_")[0]
rules["rule"] = rules["claim"].str.extract(", (.*):")
rules["what"] = rules["claim"].str.rpartition(": ")[2]
ends = rules[["value", "low", "high"]].map("{:.2f}".format)
rules["says"] = ends["value"] + " [" + ends["low"] + ", " + ends["high"] + "] "
rules["says"] += rules["verdict"]


def verdicts(*settings):
    """The rules' rows of `data/claims.csv`, a column a setting and a measure."""
    rows = rules[rules["setting"].isin(settings)]
    names = ["setting", "what"]
    table = rows.pivot(index="rule", columns=names, values="says")
    print(table.fillna("").to_string())


verdicts("conflict")
verdicts("toy")

# %% [markdown]
# Where two rewards exclude each other, GDPO and GRPO end in a corner, and chance picks it: if $r_2 = 1 - r_1$ the two z-scores cancel
# ([09](09_gdpo.ipynb)), so nothing pulls a run back once it leans to one side. Two rules give the *rarer* reward more weight, pull it back and keep both:
# saturation and variation, with an interval above zero. The coefficient of variation pays in accuracy, because a reward that is nearly earned gets next
# to no weight; for $(1 - s)^\gamma$ with $\gamma = 0.5$ such a price is not shown. The multiplier pays as well: its target, nine tenths of both, cannot be met, so its
# weights grow without bound and drown the first reward. Where all rewards can be earned no rule is shown to beat plain GDPO: every interval of the toy holds zero.
#
# ### The same rules where being right takes length
#
# The setting of [09](09_gdpo.ipynb): four numbers, one point for the right answer, one for at most 64 tokens, and a policy that begins right in a third of its
# answers and within the limit in a third. Each arm differs from the GDPO arm in one field, five seeds each, and no arm was tuned. First the weights that the
# rules chose, and what the two rewards did. After that, three of the rules under a limit of 20 tokens, `short`, where the two rewards are at odds.
#
# **Predict** which rule takes weight from the length reward, and at what time of the training.


# %% tags=["hide-input"]
runs = lab.recorded("length_*")
runs = runs[runs["step"] > 0]
KEYS = {
    "reward_weights/length_reward": "Weight of the length reward",
    "rewards/length_reward/mean": "Share within the limit",
    "rewards/accuracy_reward/mean": "Share right",
}
runs = runs.reindex(columns=["algorithm", "step", *KEYS])
moved = runs[runs["reward_weights/length_reward"].notna()]["algorithm"].unique()
figure, panels = plt.subplots(1, 3, figsize=(12, 3.2))
for arm in ["length_gdpo", *moved]:
    mean = runs[runs["algorithm"] == arm].groupby("step")[[*KEYS]].mean().fillna(1.0)
    for axes, key in zip(panels, KEYS, strict=True):
        style = lab.style_of(arm) | {"marker": ""}
        axes.plot(mean[key].rolling(5).mean(), **style)
for axes, (key, title) in zip(panels, KEYS.items(), strict=True):
    axes.set(title=title, xlabel=f"step (mean of 5)\n{key}", ylim=(0, None))
panels[2].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# One number for each method would hide the trade. Below a point is an arm, means of the last ten steps over its seeds, and the bars are 95 % intervals in both
# directions. Up and to the right is better; an arm that lies beside another on the line from top left to bottom right has traded and not won.


# %% tags=["hide-input"]
def competing(setting):
    """The arms of a setting, without those of other fixed weights (page 09)."""
    runs = lab.recorded(f"{setting}_*")
    others = "half|quarter|w75|grpo_conditioned"
    return runs[~runs["algorithm"].str.contains(others)]


settings = {"length": "at most 64 tokens", "short": "at most 20 tokens"}
figure, panels = plt.subplots(1, len(settings), figsize=(6 * len(settings), 4))
for axes, (setting, name) in zip(panels, settings.items(), strict=True):
    runs = competing(setting)
    lab.draw_trade(axes, runs, "accuracy", "length")
    axes.set(xlabel="share right (accuracy_reward)", title=f"The trade: {name}")
    axes.set_ylabel("share within the limit (length_reward)")
plt.show()

# %%
for setting in settings:
    print(setting)
    show(competing(setting))

# %% [markdown]
# The same as differences from the GDPO arm, paired by seed, and the verdicts on "better than GDPO" for both rewards.

# %%
NAMES = ["hypervolume", "dip", "steps, accuracy", "steps, length"]
for setting in settings:
    found = lab.differences(competing(setting), f"{setting}_gdpo", NAMES)
    found.index = found.index.str.removeprefix(f"{setting}_")
    print(found.rename(columns=SHORT).map(str).to_string())
    verdicts(setting)

# %% [markdown]
# What all of it says about each rule, put together by the verdicts alone. A rule is worth leaving plain GDPO for in a setting if one of its intervals there lies above
# zero and none below.

# %%
for setting, rows in rules.groupby("setting", sort=False):
    seen = rows.groupby("rule")["verdict"].agg(set)
    better = seen[seen.map(lambda x: "reproduced" in x and "reversed" not in x)]
    trade = seen[seen.map(lambda x: {"reproduced", "reversed"} <= x)]
    worse = seen[seen.map(lambda x: "reversed" in x and "reproduced" not in x)]
    for word, found in (("better", better), ("trades", trade), ("worse", worse)):
        print(f"{setting:9} {word:7} {', '.join(found.index) or 'none'}")
print(f"{len(rules)} intervals; by chance one in twenty would exclude zero")

# %% [markdown]
# **What it says.** On the search lab no rule is better than plain GDPO, at 64 tokens or at 20. The multiplier does what it is told, nine tenths within the limit, and pays with accuracy: every one
# of its runs ends less accurate than it began (`failed`). Its hypervolume is the highest all the same, because a run is credited for the pairs that it
# passed on its way; look at where it ends. σ in the group ends less often right, and our own rule less often within the limit: like the condition of [09](09_gdpo.ipynb) it moves along
# the trade, at 20 tokens further and with both intervals beside zero. Saturation and variation are not shown to differ from GDPO: both rewards are about half
# earned here, so the weights that these two rules give them stay near each other.
#
# **Recommendation.** Start with GDPO and weights of 1: where all rewards can be earned, and in the search lab, no rule is shown to beat it. If a reward is to count only for right answers, say
# so by a condition, not by a weight. If rewards may exclude each other and each should survive, use
# `reward_weighting: saturation`. Use a multiplier only for a target that you want at any price, and watch accuracy. The evidence is four settings of two small tasks, five seeds an arm.
#
# ## Reward models
#
# A summary or a plan has no answer to look up. What pays for it is a *proxy*: a model of what
# raters preferred, or a list of criteria that somebody wrote. A policy climbs the proxy, not what
# was meant. R1 met this too: its preference rewards come in for the last 400 of 1,700 steps only,
# because longer training on them was hacked (R1, Fig. 6).
#
# To see it, one has to know what was meant. Here we do: every response of the search lab gets a
# **gold score** that the trainer never sees. It stands in each record with weight 0.
#
# $$\text{gold} = \text{right}\cdot\big(0.4 + 0.2\,(\text{fresh}+\text{brief}+\text{sound})\big) - 0.2\,(1-\text{honest})$$
#
# *Right*: the answer makes the target. *Fresh*: nothing is tried twice. *Brief*: four tries at
# most. *Sound*: every equation is true. *Honest*: it does not answer what it has just seen to miss.

# %% tags=["nbval-check-output"]
hit, miss = "5 + 6 = 11 + 9 = 20 ? 20", "5 * 6 = 30 - 9 = 21 ? 20"
responses = {
    "finds it": f"{miss} wait {hit} answer + +",
    "tries it twice": f"{miss} wait {miss} wait {hit} answer + +",
    "gives up": f"{miss} answer * -",
    "never answers": f"{miss} wait {miss} wait {miss} wait",
}
scored = {}
for name, text in responses.items():
    met = open_answers.judge(text, [5, 6, 9], 20)
    scored[name] = {**met, "gold": round(open_answers.gold_score(met), 2)}
print(pd.DataFrame(scored).T.to_string())

# %% [markdown]
# ### A rater who likes length
#
# Preferences come from a rater who mostly prefers by gold, also by length, and sometimes by
# mistake. Both knobs are ours:
#
# $$P(a\succ b)=\sigma\big(5\,(\text{gold}_a-\text{gold}_b)+\text{bias}\cdot(\text{tokens}_a-\text{tokens}_b)/10\big)$$
#
# and a share *noise* of the labels is turned round. How often does each rater prefer a short
# right response to one that is 24 tokens longer and never answers?


# %% tags=["nbval-check-output"]
def prefers(rater, gold, tokens):
    """Chance of the label "first", given what the first has more of."""
    odds = open_answers.SHARPNESS * gold + rater.length_bias * tokens / 10
    p = float(torch.sigmoid(torch.tensor(odds)))
    return p * (1 - rater.noise) + (1 - p) * rater.noise


for name, rater in open_answers.RATERS.items():
    short = prefers(rater, gold=1.0, tokens=-24)
    long = prefers(rater, gold=0.0, tokens=24)
    print(
        f"{name:6} short and right {short:.2f}   of two equals, the longer {long:.2f}"
    )

# %% [markdown]
# The **Bradley–Terry model** is a scalar score whose differences are the log-odds of a preference:
# $\mathcal L=-\log\sigma(r_\text{chosen}-r_\text{rejected})$. It is the policy's own network with
# one number in place of the words, trained by TRL's `RewardTrainer` on the base policy's samples.
# What did it learn? On answers to other questions, from the same policy:

# %%
records = rl.project_folder() / "data" / "experiments" / "reward_models"
arms = sorted(path.name for path in records.iterdir() if path.is_dir())
runs = {arm: rl.load_arms(records, arm) for arm in arms}


def told(found):
    """An interval and its number of seeds."""
    return f"{found} (n={found.n})"


models = pd.read_csv(records / "models.csv").rename(
    columns={
        "accuracy": "orders pairs as gold does",
        "gold": "correlation with gold",
        "length": "and with length",
    }
)
by_rater = models.drop(columns="seed").groupby("rater", sort=False)
print(by_rater.agg(lambda column: told(mean_interval(column))).to_string())

# %% [markdown]
# The number that is usually reported, the share of pairs in the right order, does not show a liking
# for length; the last column does. On the base policy's samples it does little harm: there a longer
# response has had more tries. A policy in training leaves these samples.
#
# ### Gold falls while the proxy rises
#
# GRPO on that model's score, nothing else. Line: mean over seeds; band: 95 %.


# %%
def smoothed(arm, key, width=3):
    """A metric of each run of an arm, the mean of three steps; a column a seed."""
    table = runs[arm].query("step > 0").pivot(index="step", columns="seed", values=key)
    return table.rolling(width, min_periods=1).mean()


# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8))
panels = {
    "reward": "proxy: score above the start",
    "rewards/gold/mean": "gold, which nobody pays",
    "completions/mean_length": "tokens a response",
}
for axis, (key, label) in zip(axes, panels.items(), strict=True):
    table = smoothed("bt_biased", key)
    if key == "reward":  # a score is known up to a constant
        table = table - table.iloc[0]
    found = [mean_interval(row) for row in table.to_numpy()]
    axis.plot(table.index, [one.estimate for one in found], color="black")
    low, high = [one.low for one in found], [one.high for one in found]
    axis.fill_between(table.index, low, high, color="black", alpha=0.15)
    axis.set(xlabel="step (mean of 3)", ylabel=label)
_ = figure.suptitle("Over-optimization: the proxy rises, gold rises and falls")

# %% [markdown]
# At first both rise: a policy that gives up less often is longer *and* better. Then length goes on alone. In numbers, from steps 9–16 to the last eight, for
# every arm with five seeds. (The windows are the second and the last quarter, for every arm; the best step of a run, chosen by looking at gold, would flatter it.) An arm is over-optimized
# where gold falls and what is paid rises, both with an interval beside zero. A win rate cannot show it: its mean in a group is one half, always.


# %%
def later(arm, key):
    """Change from steps 9–16 to 25–32 of each run of an arm, with its interval."""
    table = runs[arm].pivot(index="step", columns="seed", values=key)
    return mean_interval(table.loc[25:32].mean() - table.loc[9:16].mean())


rows = {}
for arm in runs:
    gold, paid = later(arm, "rewards/gold/mean"), later(arm, "reward")
    flat = arm.startswith("win_rate")
    over = gold.high < 0 < paid.low and not flat
    shown = "one half, always" if flat else paid
    rows[arm] = {"gold": gold, "what is paid": shown, "over-optimized": over}
print(pd.DataFrame(rows).T.to_string())

# %% [markdown]
# Early stopping would help the arms that are over-optimized, but the only curve in sight, the proxy, says to go on.
#
# What do the responses do? One question at the start, in the middle and at the end of seed 0:

# %%
samples = rl.load_run(records / "bt_biased" / "seed0").samples
for step in sorted({sample["step"] for sample in samples})[::2]:
    one = max((s for s in samples if s["step"] == step), key=lambda s: s["advantage"])
    proxy, gold = list(one["rewards"].values())[:2]
    print(f"step {step}, proxy {proxy:.2f}, gold {gold:.1f}: {one['prompt']}")
    print(textwrap.fill(one["completion"], 90, initial_indent="    "), "\n")
    # the response of its step that the trainer pushed up most

# %% [markdown]
# The hack is length for its own sake: tries that were made before, and no answer. The base policy
# stops early, so the raters hardly saw such responses: a reward model is only as good as the samples
# that it was shown.
#
# ### What prevents it
#
# Same raters, same preferences, and guards: a KL penalty (`beta`), the lower bound
# $\bar r - \text{std}$ of three models, the win rate in the group instead of the score, and a
# check of the answer with the win rate counted only where it is right. Beside them the ceiling:
# gold itself.

# %% tags=["hide-input"]
names = {
    "true": "gold itself",
    "right_and_win_rate": "right, and win rate where right",
    "bt_biased_kl": "score, β = 0.5",
    "bt_biased_weak_kl": "score, β = 0.04",
    "ensemble_biased": "three models' lower bound",
    "win_rate_biased": "win rate",
    "bt_biased": "score",
}
GOLD = "rewards/gold/mean"
untrained = runs["bt_biased"].query("step == 1")[GOLD].mean()


def at_end(arm, metric=GOLD):
    """Mean of the last eight steps of an arm, with its 95 % interval over seeds."""
    scores = statistics.final_scores(runs[arm], metric, last=8)[metric]
    return mean_interval(scores)


# %% tags=["hide-input"]
def bars(names, title):
    """Gold at the end of each arm, with its interval."""
    figure, axis = plt.subplots(figsize=(7, 0.4 * len(names) + 1))
    for arm in reversed(names):
        found = at_end(arm)
        axis.barh(names[arm], found.estimate, color="#999999")
        axis.plot([found.low, found.high], [names[arm]] * 2, color="black")
        print(f"{names[arm]:36} {told(found)}")
    axis.axvline(untrained, ls=":", color="black")
    axis.set(xlabel="gold at the end (dotted: untrained)", title=title)


bars(names, "Preferences of a biased rater: what keeps gold")

# %% [markdown]
# The win rate knows the order of the scores and nothing else, so what the model mistakes for
# quality it mistakes too. Three models that were trained on one rater's preferences share the
# rater's taste, and so does their lower bound. Both end where the plain score ends, and their
# intervals leave no room for a difference that would matter. The penalty keeps what was gained on
# the way, and gains no more. A check of the answer with the win rate inside it does without either.
#
# Gold against the distance from the base policy shows why β works: a policy that stays near cannot
# go where the model was never trained.

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(6, 3.2))
for arm in ("bt_biased", "bt_biased_weak_kl", "bt_biased_kl", "true"):
    distance, gold = smoothed(arm, "kl", 4), smoothed(arm, GOLD, 4)
    axis.plot(distance.mean(axis=1) ** 0.5, gold.mean(axis=1), ".-", label=names[arm])
axis.set(xlabel="√KL from the base policy, nats a token", ylabel="gold")
axis.set_title("Gold against distance, step by step (mean of seeds)")
legend = axis.legend(fontsize=8)

# %% [markdown]
# ### Length bias and label noise
#
# Two levels each, and two guards where they could matter.

# %% tags=["hide-input"]
grid = {
    ("fair", "score"): "bt_fair",
    ("mistakes", "score"): "bt_noisy",
    ("mistakes", "three models"): "ensemble_noisy",
    ("mistakes", "win rate"): "win_rate_noisy",
    ("length", "score"): "bt_biased",
    ("length", "three models"): "ensemble_biased",
    ("length", "win rate"): "win_rate_biased",
    ("both", "score"): "bt_both",
}
cells = {key: told(at_end(arm)) for key, arm in grid.items()}
print(pd.Series(cells).unstack().fillna("–").to_string())

# %% [markdown]
# A row is what is wrong with the rater, a column what is paid, and untrained gold is the dotted line above. The liking for length costs gold. Learning from preferences
# costs some already: the fair rater's model ends below what paying gold ends at, and the two intervals do not meet. With a third of the labels turned round the models order pairs
# hardly better than a coin (the table of the models above), and the runs differ so much that neither the loss nor a guard against it is decided. Against the bias neither guard helps, and that is decided.
#
# ### Controls: does the reward matter at all?
#
# A random reward improved some models on mathematics (Shao et al., 2025), so a claim about a reward
# needs a coin, a constant and a wrong reward beside it, and form apart from correctness.

# %% tags=["hide-input"]
controls = {
    "constant": "constant",
    "random": "a coin",
    "wrong": "pays what is wrong",
    "form": "form alone",
    "right": "right alone",
    "true": "gold",
}
columns = {
    "gold": GOLD,
    "right": "rewards/only_right/mean",
    "form": "rewards/form/mean",
    "tokens": "completions/mean_length",
}
rows = {}
for arm in controls:
    ends = {what: at_end(arm, key) for what, key in columns.items()}
    shown = {what: str(end) for what, end in ends.items()}
    rows[controls[arm]] = shown | {"seeds": ends["gold"].n}
print(pd.DataFrame(rows).T.to_string())

# %% [markdown]
# *Right* and *form* are printed apart because a reward can move one without the other. Here paying
# form alone makes answers right as well: one of its criteria, *honest*, forbids giving up, which is
# what the base policy lacks. A coin does harm: its answers are less often right than those of a constant reward, in all
# five seeds, and so are those of the wrong reward. Where a reward carries nothing, the updates still move the policy.
#
# ## The two joined
#
# A rubric is a vector of rewards, so the two open questions are one: how to pay criteria of
# different weight and difficulty. The rubric's author knows the criteria of the gold score, but
# neither its weights nor that style counts only where the answer is right. Weights as in Rubrics
# as Rewards (essential 1, important 0.7, optional 0.3, pitfall 0.9):

# %% tags=["nbval-check-output"]
criteria = ["right", "fresh", "brief", "sound", "honest"]
table = torch.tensor([[scored[name][c] for c in criteria] for name in scored])
total = rl.rubric_scores(table, torch.tensor(open_answers.RUBRIC))
summed = rl.group_relative_advantages(total, 4)
apart = rl.decoupled_advantages(table, 4)
where_right = table.clone()
where_right[:, 1:4] *= table[:, :1]
conditioned = rl.decoupled_advantages(where_right, 4)
print(f"{'':16} gold  rubric   sum  GDPO  GDPO, style where right")
for i, name in enumerate(scored):
    parts = summed[i], apart[i], conditioned[i]
    shown = "".join(f"{float(part):6.2f}" for part in parts)
    print(f"{name:16}{scored[name]['gold']:5.1f}{float(total[i]):8.2f}{shown}")

# %% [markdown]
# The response that gives up and the one that never answers are paid for being brief, fresh or
# honest. Conditioning takes that away.

# %% tags=["hide-input"]
joined = {
    "true": "gold itself",
    "rubric_sum": "rubric, summed (GRPO)",
    "rubric_gdpo": "criteria apart, weights of 1 (GDPO)",
    "rubric_gdpo_weighted": "criteria apart, the rubric's weights",
    "rubric_gdpo_conditioned": "GDPO, style where right",
    "right_and_win_rate": "right, win rate where right (GDPO)",
    "right": "right alone",
    "bt_fair": "score of a fair rater's model",
    "bt_biased": "score of a biased rater's model",
}
bars(joined, "A rubric as a vector of rewards")

# %%
open_ended = claims[claims["command"].str.contains("reward_models.py", na=False)].copy()
open_ended["of"] = open_ended["metric"].str.split("/").str[1]
columns = ["claim", "of", "value", "low", "high", "seeds", "verdict"]
print(open_ended[columns].to_string(index=False))
print(f"{len(open_ended)} intervals; by chance one in twenty would exclude zero")

# %% [markdown]
# Every rubric with its weights ends near what paying gold itself ends at. Kept apart with weights
# of 1, the criteria end below their weighted sum, in all five seeds. That seems to be the loss of the weights and
# not the work of the normalization: with the rubric's weights on the advantages no difference is left
# that would matter. Whether style has to be counted only where the answer is right is not decided. In
# this lab, then: check what can be checked, write down what is essential and by how much, and let a
# learned score neither stand alone nor train long.
#
# ### On free text
#
# A demonstration on a pretrained model and three seeds (`experiments/free_text.py`, ten steps). SmolLM2 writes a sentence about a topic in which a given word
# must stand. Five criteria are checked: the word (essential), the topic, one whole sentence, six to sixteen words, and nothing listed, quoted or repeated. *Sum* is
# GRPO on the rubric's weighted share; *apart* is GDPO on the word and on the rest, which counts where the word is there.

# %% tags=["hide-input"]
texts = records.with_name("free_text")
free = rl.load_arms(texts, "sum", "apart").query("step > 0")
keys = ["rewards/rubric/mean", "rewards/essential/mean", "completions/mean_length"]
colors = {"sum": "#0072B2", "apart": "#009E73"}
figure = rl.plot_bands(free, keys, smooth=3, colors=colors)
figure.set_size_inches(10, 2.8)
plt.show()
for key in keys[:2]:
    ends = rl.final_scores(free, key, last=3)
    print(f"{key}, last three: {rl.paired_difference(ends, key, 'apart', 'sum')}")
for arm in colors:
    samples = rl.load_run(texts / arm / "seed0").samples
    print(f"{arm}, one response in eight of the last step that was logged")
    for one in [s for s in samples if s["step"] == samples[-1]["step"]][::8]:
        paid = one["rewards"]
        asked = one["prompt"][0]["content"].removeprefix("Write one sentence about ")
        print(f"  {asked} rubric {paid['rubric']:.2f}: {one['completion']}")

# %% [markdown]
# Both arms climb both rewards. The sum ends higher on the rubric in all three seeds, and *apart* more often has the word, in all three as well (the interval of that just holds
# 0). Paid by the sum, a tidy sentence keeps 0.72 of the rubric without its essential word, so where the word is hard the policy leaves it out: in the samples nobody writes "alone". Under
# *apart* most do, and the sentence suffers. No criterion asks whether it makes sense, and often it does not.
#
# **Enter your own.** A function of TRL's contract in a file, one command, a row beside these
# (`experiments/reward_models.py` prints it; the records go to `runs/reward_models`):
#
# ```sh
# python experiments/reward_models.py --own my_rewards.py:mine --seeds 0-4
# ```

# %% [markdown]
# ## Exercises
#
# **open-1 (predict first).** Four completions; one earns $r_1$, the three others earn $r_2 = 1 - r_1$. Write down the advantage of the first under GDPO before
# Eq 6, with $w_2 = 1$ and with $w_2 = 0.5$. The cell shows what comes out once you have.
#
# **open-2.** Write SAW's weights for rewards (N, K), none of them constant: see the table under "Weights".

# %%
PREDICTION = None  # two numbers in a list


def my_variation_weights(rewards):
    raise NotImplementedError


check_exercise("open-1", PREDICTION)
check_exercise("open-2", my_variation_weights)
if PREDICTION is not None:
    excluding = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    for w in (1.0, 0.5):
        options = {"reward_weights": [1.0, w], "batch_stats": "none"}
        print(w, rl.decoupled_advantages(excluding, 4, **options)[0].item())

# %% [markdown]
# **open-3 (predict first).** A reward model gives four completions the scores 0.1, 0.2, 0.3 and 9. What of their differences does a z-score keep, what a win
# rate? Then write the win rate of a group's scores (G,); a tie is half a win.
#
# **open-4.** Hack the rubric: two rows of the five criteria (right, fresh, brief, sound, honest) of which the rubric with the weights 1, 0.7, 0.3, 0.3, 0.9 pays the first
# more, and gold the second.


# %%
def win_rate(scores):
    raise NotImplementedError


def two_responses():
    raise NotImplementedError


check_exercise("open-3", win_rate)
check_exercise("open-4", two_responses)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # open-1
# PREDICTION = [0.0, 0.75]
# ```
#
# With equal weights nothing pushes: a run that leans to one side is not pulled back. Any inequality of the weights breaks the tie.
#
# ```python
# # open-2
# def my_variation_weights(rewards):
#     variation = rewards.std(0) / (rewards.mean(0) - rewards.amin(0))
#     return len(variation) * variation / variation.sum()
# ```
#
# ```python
# # open-3
# def win_rate(scores):
#     more, equal = scores[:, None] > scores, scores[:, None] == scores
#     wins = more.double().sum(1) + 0.5 * (equal.double().sum(1) - 1)
#     return wins / (len(scores) - 1)
# ```
#
# The z-scores of the three small ones nearly agree; their win rates are a third apart. A score of 900 in the place of 9 changes no win rate.
#
# ```python
# # open-4
# def two_responses():
#     return torch.tensor([[0, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
# ```
#
# Wrong and tidy against right and untidy. A condition on the essential criterion closes this hole.
#
# </details>
#
# ## Enter your own
#
# A rule is a function of a batch's rewards (N, K), groups one after another, that returns K weights or N × K. This one switches the
# other rewards off where nobody is right, and is an arm like the rest:

# %% tags=["nbval-check-output"]
import where_right

print(inspect.getsource(where_right.rule))
print(where_right.rule(batch, 4)[[0, 4]])

# %% [markdown]
# Write yours into a file, and one command trains it on the setting of all others, seed by seed, and prints the table with your row in it (some
# two minutes a seed on a quiet core):
#
# ```sh
# python experiments/gdpo.py own --rule my_rule.py:rule --seeds 0-4
# ```
#
# The run keeps the text of your rule beside its metrics; an edited rule is another row. A rule that fails, or returns another shape, is refused before
# anything is written. In a training of your own it is one field, in both engines: `rlnotes train --config configs/search/gdpo.yaml reward_weighting=my_rule.py:rule`.

# %% [markdown]
# **An open experiment.** The rule below doubles a reward that fewer than half of the batch earn. Put your own in its place. **Predict** where the share with brackets
# ends in `conflict`: near 0, near 1, or between? Then run the cell: two seeds, some seconds each, beside the recorded arms. For a claim use five seeds.


# %%
def my_rule(rewards, num_generations):
    """Weights (K,) for rewards (N, K), or (N, K) of them."""
    return 1.0 + (rewards.mean(0) < 0.5).float()


SEEDS = (0, 1)
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "my_rule.py"
    file.write_text("import torch\n\n\n" + inspect.getsource(my_rule))
    yours = lab.try_rule(f"{file}:my_rule", SEEDS)
both = pd.concat([lab.recorded("conflict_*").query("seed in @SEEDS"), yours])
show(both)
paired = lab.differences(both, "conflict_gdpo", ["accuracy", "bracket_format"])
print(paired.loc[["conflict_yours"]].to_string())
