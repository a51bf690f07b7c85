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
# # 12 · Compare runs: the search lab
#
# **question → rollouts → rewards → advantages → objective → update → record → figure**
#
# Notebooks [02](02_ppo.ipynb) to [09](09_gdpo.ipynb) train for seconds, so that you can watch. Here we read
# what longer runs left behind: five algorithms, five seeds each, on a task where *searching longer* and
# *searching better* both pay. Nothing is trained in this notebook; every figure is drawn from `data/`.
#
# You will be able to
#
# * read a response of the search lab, and say by exact analysis what it did,
# * say what reward alone changed: accuracy, length, `wait`, truncation, entropy,
# * compare algorithms with intervals over seeds, at equal steps and at equal samples,
# * say what a critic costs.
#
# **Reading:** about 25 minutes. **Running:** half a minute. **Builds on:** [01 The search lab](01_search_lab.ipynb), [03 GRPO](03_grpo.ipynb), [08 DAPO](08_dapo.ipynb).
# **Next:** [13 Open questions](13_open_questions.ipynb).

# %%
import json

import numpy as np
import pandas as pd
import torch

from rlnotes.analysis import figures, statistics
from rlnotes.analysis.intervals import mean_interval
from rlnotes.analysis.log_keys import in_words
from rlnotes.machine.provenance import data_folder
from rlnotes.policies.policy import Critic, load_policy
from rlnotes.records.reading import load_run, load_runs
from rlnotes.records.run_folders import find_runs
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.tasks.loading import load_task
from rlnotes.tasks.search_traces import analyze, trace_rates
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.exercises import check_exercise

torch.set_num_threads(1)  # the policy is tiny
figures.use_style()
data = data_folder()

# %% [markdown]
# ## What a run leaves
#
# Every run writes a folder. The boxes are its files, and the arrows say what this page reads from them.

# %% tags=["hide-input"]
boxes = {
    "run": (1.2, 1.5, "runs/grpo_search_\nsearch-base_seed0/", "rule"),
    "config": (4.0, 2.6, "config.yaml", "data"),
    "meta": (4.0, 1.9, "meta.json: machine,\nversions, command", "data"),
    "metrics": (4.0, 1.1, "metrics.csv:\na row a step", "data"),
    "samples": (4.0, 0.4, "samples.jsonl", "data"),
    "policy": (1.2, 0.4, "policy/", "learns"),
    "load": (6.6, 1.5, "load_runs(…)", "rule"),
    "figure": (9.0, 2.0, "a mean and a band\nover the seeds", "rule"),
    "pair": (9.0, 1.0, "differences,\nseed by seed", "rule"),
}
files = ("config", "meta", "metrics", "samples", "policy")
arrows = [("run", x, "-", "") for x in files]
arrows += [(x, "load", "--", "") for x in ("config", "metrics")]
arrows += [("load", "figure", "--", ""), ("load", "pair", "--", "")]
_ = draw_graph(boxes, arrows, size=(10.4, 3))

# %% [markdown]
# ## How a response is read
#
# [01](01_search_lab.ipynb) has the rule of the lab. Everything on this page that is not an accuracy comes from `analyze`, so here is its core in the open: cut the text at `wait` and `answer`, and compare what
# stands on both sides of each `?`.


# %%
def read(text):
    """(hit or miss, what followed) of every try of a response."""
    found = []
    for part in text.replace("answer", "wait answer").split("wait"):
        words = part.split()
        if "?" in words:
            place = words.index("?")
            found.append(
                ["hit" if words[place - 1] == words[place + 1] else "miss", "wait"]
            )
        elif words[:1] == ["answer"] and found:
            found[-1][1] = "answer"
    return found


# %% tags=["nbval-check-output"]
task = load_task("search")
base = load_policy("search-base")
options = {"num_generations": 1, "max_completion_length": 128}
dice = torch.Generator().manual_seed(1)
rollouts = generate_rollouts(base, task.held_out()[:64], **options, generator=dice)
for text, asked in zip(rollouts.texts, rollouts.tasks, strict=True):
    trace, pairs = analyze(text, asked), read(text)
    assert trace.hits == sum(kind == "hit" for kind, _ in pairs)
    assert trace.give_ups == pairs.count(["miss", "answer"])
print(rollouts.tasks[0].prompt, rollouts.texts[0], read(rollouts.texts[0]), sep="\n")
print("held: ten lines and the library count the same hits and give-ups, 64 responses")

# %% [markdown]
# The arithmetic is right and a hit is always answered. What is missing is patience: half of the misses end
# the response. `trace_rates` sums such counts. The table has them for many samples, beside `search-control`, a policy
# whose demonstrations answered hits and misses alike:


# %%
def rates_of(name, samples=8):
    rollouts = generate_rollouts(
        load_policy(name),
        task.held_out(),
        num_generations=samples,
        max_completion_length=128,
        generator=torch.Generator().manual_seed(0),
    )
    asked = [one for one in rollouts.tasks for _ in range(samples)]
    return trace_rates(map(analyze, rollouts.texts, asked))


rates = pd.DataFrame({x: rates_of(x) for x in ("search-base", "search-control")})
rates.rename(lambda key: in_words(f"eval/search/{key}")[0].partition(": ")[2]).round(3)

# %% [markdown]
# ## RECORD: five algorithms, five seeds
#
# `rlnotes sweep configs/search/*.yaml --seeds 0-4` made these runs: 80 steps of 256 responses, the same
# questions, length limit, learning rate and two updates a step for all. PPO, GRPO and Dr. GRPO have the
# accuracy reward alone; DAPO adds its soft overlong punishment, GDPO a length reward (64 tokens or fewer).

# %%
folders = find_runs(data / "runs" / "*_search_search-base_seed*")
runs = load_runs(folders)
runs.groupby("algorithm").agg(
    seeds=("seed", "nunique"),
    steps=("step", "max"),
    completions=("num_completions", "max"),
).astype(int)

# %% [markdown]
# Held-out numbers were never seen, neither in pretraining nor in RL: 128 questions, four samples each. Every band in this
# notebook means the same: line, mean over seeds; band, 95 % interval at each step (Student's t over five seeds). A share
# lies between 0 and 1, so its band is cut there: what is cut off cannot hold the mean, and the 95 % stay.

# %% tags=["hide-input"]
figure = figures.plot_bands(
    runs,
    ["eval/sampled_accuracy", "eval/pass@4", "eval/mean_length", "eval/search/waits"],
    columns=2,
)

# %% [markdown]
# The reward reads the final answer alone, but the length and the number of `wait` change as well. Within 20 steps the responses grow from 23 to
# about 60 tokens, and `wait` from 0.7 to about 4 per response. Then both *fall again*, while accuracy goes on
# rising (Dr. GRPO's stands still from step 30 to 50, where one seed falls). First the policy learns not to give up, and later its
# guesses get better. Whoever reads the length curve alone sees "thinking time" grow and, twenty steps later, shrink, and
# both are learning. `pass@4` reaches its ceiling by step 20: of four patient responses one nearly always finds the answer.

# %% [markdown]
# In numbers, at three steps. "Final" means step 80, the last evaluation, everywhere in this notebook and in the README. (Step 0 is the
# untrained policy of the table above, asked again with half as many samples. So its numbers differ a little.)

# %% tags=["nbval-check-output"]
shown = {
    "eval/sampled_accuracy": "sampled",
    "eval/greedy_accuracy": "greedy",
    "eval/search/tries": "tries",
    "eval/search/repeated": "repeated",
    "eval/search/misses_retried": "misses_retried",
    "eval/mean_length": "length",
}
at_steps = runs[runs["step"].isin([0, 20, 80])].groupby(["algorithm", "step"])
print(at_steps[list(shown)].mean().rename(columns=shown).round(2).to_string())

# %%
finals = statistics.final_scores(runs, "eval/sampled_accuracy", last=1)
table = statistics.score_intervals(finals, "eval/sampled_accuracy", by=["algorithm"])
table.round(3)

# %% [markdown]
# ### Greedy decoding loops
#
# The column *greedy* is the same policy, but it always takes its most probable word. It stays far behind sampling: 0.55 against
# 0.76 at step 20 and 0.72 against 0.91 at step 80 (GRPO). The panels show when:

# %% tags=["hide-input"]
figure = figures.plot_bands(
    runs, ["eval/sampled_accuracy", "eval/greedy_accuracy"], columns=2
)

# %% [markdown]
# A policy that always takes its most probable word guesses, sees the miss, says `wait`, and is likely to make the same guess again, since
# nothing in its training made it remember what it had tried: it loops until the limit. (The records keep no greedy texts. To read some, train
# GRPO for 30 steps and sample at temperature 0.) So what RL taught is half of a search. The policy checks and retries, but its retries are
# nearly independent draws, and the search lives on the noise of sampling. DeepSeek evaluates R1 at temperature 0.6 because greedy decoding
# of long reasoning repeats itself.
#
# ### What the responses do differently
#
# More search, or better search? `tries` counts guesses per response, `repeated` the share of guesses that the
# same response had made before, `misses_retried` the share of misses that are followed by `wait`.

# %% tags=["hide-input"]
figure = figures.plot_bands(
    runs,
    [
        "eval/search/tries",
        "eval/search/repeated",
        "eval/search/misses_retried",
        "eval/search/hits_recognized",
        "eval/search/arithmetic",
        "eval/terminated",
    ],
)

# %% [markdown]
# The rise of the first steps is patience: `misses_retried` goes from 0.48 to 0.98 (GRPO at step 20; the table above). It brings a new
# fault: three guesses in ten repeat an earlier one of the same response, since nothing in pretraining rewarded
# remembering. What brings the length down again is mostly better guesses, less better memory: from step 20 to 80 GRPO's tries per
# response fall by a third (4.58 → 2.98), `repeated` only from 0.31 to 0.26. Arithmetic and the recognition of hits
# were there before RL, and a
# little of both is *lost*: long responses were rare in pretraining, and in them the numbers get mixed up.
# Accuracy alone would not have told us.

# %% [markdown]
# ### Entropy, truncation, dead groups
#
# The alarms of [docs/metrics.md](../docs/metrics.md), on the questions of training. A group whose rewards are all
# equal teaches nothing; a response that reaches 128 tokens is cut off.

# %% tags=["hide-input"]
figure = figures.plot_bands(
    runs[runs["step"] > 0],
    ["entropy", "completions/clipped_ratio", "frac_reward_zero_std"],
    smooth=5,
)

# %% [markdown]
# How often does the clip bind? Means over the steps and seeds, and the largest single step:

# %% tags=["nbval-check-output"]
clip = ["clip_ratio/region_mean", "clip_ratio/high_mean"]
trained_steps = runs[runs["step"] > 0].groupby("algorithm")
print(trained_steps[clip].agg(["mean", "max"]).mul(1e4).round(1).to_string())
print("in tokens of ten thousand")

# %% [markdown]
# Entropy falls slowly and does not collapse in 80 steps, with clip-higher or without. The clip stops three to six tokens in
# *ten thousand*, and its upper side, the one that clip-higher moves, one or fewer. With two updates per rollout
# (DAPO's paper makes sixteen) this lab cannot test clip-higher at all. The cut-off responses of the middle phase, up to one in five,
# are those that kept guessing; they become rare as search gets better, without any punishment of length. At
# the end two thirds of GRPO's groups are dull (all right, mostly); DAPO has none, by construction, and pays
# for it in samples.

# %% [markdown]
# ### Right and wrong answers have different lengths
#
# A mean over all responses hides it: a wrong answer is one that searched long, or one that gave up.

# %% tags=["hide-input"]
figure = figures.plot_bands(
    runs[(runs["step"] > 0) & runs["algorithm"].isin(["grpo", "dr_grpo"])],
    ["completions/mean_length_right", "completions/mean_length_wrong"],
    columns=2,
    smooth=5,
)

# %% [markdown]
# Right answers are short and wrong ones long, and the gap widens until most long responses are the ones
# that ran into the limit. Over the last 20 steps the difference is:

# %% tags=["nbval-check-output"]
wrong = "completions/mean_length_wrong"
late = statistics.final_scores(runs[runs["step"] > 0], wrong, last=20)
print(statistics.paired_difference(late, wrong, "dr_grpo", "grpo"))

# %% [markdown]
# Dr. GRPO's wrong answers are 3 tokens shorter, with an interval that contains zero: five seeds do not show the
# length bias of the $1/|o_i|$, nor its absence.

# %% [markdown]
# ## Which algorithm is better?
#
# The same seed draws the same questions for every algorithm, so we compare seed by seed: the mean of the five
# differences with its 95 % interval, at step 80. When the interval contains zero, a difference is not
# shown; that is not the same as "there is none".

# %% tags=["nbval-check-output"]
others = [name for name in runs["algorithm"].unique() if name != "grpo"]
for name in others:
    print(statistics.paired_difference(finals, "eval/sampled_accuracy", name, "grpo"))

# %% [markdown]
# ### Student's interval in the open
#
# Five differences $d_1, \dots, d_5$, one a seed. Their mean $\bar d$ would come out differently with other seeds, by about $s/\sqrt 5$. With five numbers $s$ itself is uncertain, so the interval is wider than the
# usual 1.96 standard errors:
#
# $$\bar d \pm t_{0.975,\,n-1}\,\frac{s}{\sqrt n}, \qquad t_{0.975,\,4} = 2.776$$
#
# The second half of the cell asks how often such an interval holds the true mean when it is known. With 1.96 it would hold it too rarely.

# %% tags=["nbval-check-output"]
key = "eval/sampled_accuracy"
by_seed = finals.pivot(index="seed", columns="algorithm", values=key)
d = (by_seed["dr_grpo"] - by_seed["grpo"]).to_numpy()
half = 2.776 * d.std(ddof=1) / len(d) ** 0.5
print("differences", d.round(3), f"mean {d.mean():.2f}")
print(
    f"interval [{d.mean() - half:.2f}, {d.mean() + half:.2f}]; library {mean_interval(d)}"
)
drawn = np.random.default_rng(0).normal(size=(20_000, 5))
errors = np.abs(drawn.mean(1)) / (drawn.std(1, ddof=1) / 5**0.5)
for factor in (1.96, 2.776):
    print(
        f"± {factor} standard errors hold the true mean in {(errors < factor).mean():.1%}"
    )

# %% [markdown]
# **Predict first (compare-1).** Two algorithms win on the same five seeds by 0.02, 0.02, 0.02, 0.02 and 0.12. The mean difference is 0.04. Does the 95 % interval hold zero?

# %%
holds_zero = None  # True or False

check_exercise("compare-1", holds_zero)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # compare-1
# holds_zero = True
# ```
#
# $s = 0.045$, so the half width is $2.776 \cdot 0.045/\sqrt 5 = 0.056$, and the interval goes from −0.02 to 0.10. Five wins of five do not help: one large difference makes the spread large, and Student's interval
# knows only mean and spread.
#
# </details>

# %% [markdown]
# ### At equal samples
#
# DAPO resamples until every group is partly right, so its steps cost more completions. The same curves over
# completions, up to the budget of the others:

# %% tags=["hide-input"]
evaluated = runs.dropna(subset=["eval/sampled_accuracy"]).copy()
evaluated["num_completions"] = evaluated["num_completions"].fillna(0.0)  # step 0
budget = 80 * 256
equal = statistics.at_equal(
    evaluated, "eval/sampled_accuracy", "num_completions", range(0, budget + 1, 2560)
)
figure = figures.plot_bands(
    equal, ["eval/sampled_accuracy"], x="num_completions", columns=1
)

# %%
at_budget = statistics.final_scores(equal, "eval/sampled_accuracy", last=1)
for name in others:
    print(
        statistics.paired_difference(at_budget, "eval/sampled_accuracy", name, "grpo")
    )

# %% [markdown]
# What five seeds say, at one learning rate for all and nothing tuned for any:
#
# | claim | ours | verdict |
# | --- | --- | --- |
# | reward alone lifts accuracy above 0.80 on numbers never seen | GRPO 0.27 → 0.91, lowest of five seeds 0.88 | yes |
# | PPO, DAPO or GDPO differs from GRPO at equal steps | intervals −0.08 to 0.02, −0.05 to 0.04, −0.01 to 0.04 | not shown |
# | Dr. GRPO differs from GRPO | −0.10, interval −0.23 to 0.03; lower in 5 of 5 seeds, one of which collapsed half way | not shown by the interval; look again |
# | dynamic sampling is worth its samples (DAPO at equal samples) | −0.13, interval −0.19 to −0.06 | **no, not here** |
# | a length reward costs accuracy (GDPO) | 6.4 tokens shorter, accuracy +0.02, interval −0.01 to 0.04 | not shown |
#
# The failed seed of Dr. GRPO stays in: its accuracy fell from 0.76 to 0.41 between steps 30 and 50. These numbers are:

# %% tags=["nbval-check-output"]
key = "eval/sampled_accuracy"
grpo = finals.loc[finals["algorithm"] == "grpo", key]
print(f"GRPO, step 80: mean {grpo.mean():.2f}, lowest seed {grpo.min():.2f}")
print(statistics.paired_difference(at_budget, key, "dapo", "grpo"), "(equal samples)")
length = statistics.final_scores(runs, "eval/mean_length", last=1)
found = statistics.paired_difference(length, "eval/mean_length", "gdpo", "grpo")
print(f"length, {found}")
one = runs[(runs["algorithm"] == "dr_grpo") & runs["step"].isin([30, 50, 80])]
print(one.pivot(index="step", columns="seed", values=key).round(2).to_string())

# %% [markdown]
# ## What the critic costs
#
# PPO's critic is a second network of the policy's size, with its own optimizer. Parameters are counted;
# seconds and memory come from the records (two runs at a time, one thread each).

# %%
critic = sum(p.numel() for p in Critic(base).parameters())
print(f"policy {base.num_parameters:,} weights, critic {critic:,}")
costs = [
    {
        "algorithm": run.config["algorithm"],
        "seconds a step": run.metrics["step_time"].mean(),
        "of which sampling": run.metrics["step_time/rollout"].mean(),
        "peak memory, MB": run.meta["peak_memory_mb"],
    }
    for run in map(load_run, folders)
]
pd.DataFrame(costs).groupby("algorithm").agg(["mean", "std"]).round(2)

# %% [markdown]
# The critic doubles what learns and takes nearly another step's time; sampling, which both need, stays
# what it was. Memory hardly differs because the policy is tiny beside the Python process; at the size of
# SmolLM2 it is gigabytes ([15](15_ppo_measured.ipynb) counts them).

# %% [markdown]
# ## What speed buys
#
# A comparison needs many seeds, so a run should not take long. `benchmarks/` measures this library and others in turns on the same
# machine, with one thread each. The table shows the median times of `benchmarks/results/` that concern a training step. The last column says how
# many times as fast as the other this library is.

# %% tags=["hide-input"]
results = data.parent / "benchmarks" / "results"
names = {"rollout": "model.generate", "train_step": "GRPOTrainer"}
table = []
for benchmark, peer in names.items():
    for row in json.loads((results / f"{benchmark}.json").read_text())["rows"]:
        if peer in row["peer_name"] and row["unit"] in ("tokens/s", "samples/s"):
            what, model, *rest = row["case"].split(", ")
            sizes = ", ".join(rest[1:])
            numbers = (f"{row['ours']:,.0f}", f"{row['peer']:,.0f} {row['unit']}")
            if row["ours"] < 10:
                numbers = (f"{row['ours']:.1f}", f"{row['peer']:.1f} {row['unit']}")
            speed = f"{row['ratio']:.1f}"
            table.append((what, model, sizes, row["peer_name"], *numbers, speed))
columns = ["what", "model", "batch", "beside", "here", "there", "times as fast"]
pd.DataFrame(table, columns=columns).set_index("what")

# %% [markdown]
# On the machine that measured, a whole step of GRPO is about three times as fast as TRL's. Five seeds then take less time than two
# would have taken. Whether five are enough is a question about the spread of the seeds, and the interval above answers it.

# %% [markdown]
# ## What usually goes wrong
#
# * **One seed.** DAPO and PPO end above GRPO in two seeds and below it in three. Ask for the interval, and for pairs.
# * **Steps against samples.** A method that resamples looks better per step than it is per completion.
# * **A mean length.** It hides that right and wrong answers have different lengths and different shares.
# * **A word count.** `wait` rises and falls again while accuracy only rises: how often a policy says it
#   measures neither how well it searches nor how often it is right.
# * **Bands read as tests.** Overlapping bands do not show that two algorithms are equal, and two bands that
#   are apart at one step of many are no test. The paired difference of one number, chosen beforehand, is.
#
# ## Exercises
#
# **compare-2.** Write the interval. From five paired scores of two algorithms, two lists in the same order of seeds, return (mean difference, lower end, upper end). The
# factor is 2.776.


# %%
def paired_interval(first, second):
    raise NotImplementedError


check_exercise("compare-2", paired_interval)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # compare-2
# import numpy as np
#
#
# def paired_interval(first, second):
#     d = np.asarray(first) - np.asarray(second)
#     half = 2.776 * d.std(ddof=1) / len(d) ** 0.5
#     return d.mean(), d.mean() - half, d.mean() + half
# ```
#
# </details>
#
# ### Change the comparison
#
# The step is a choice as well. Predict whether the interval of DAPO less GRPO at step 40 holds zero, and then change the first line. How many such comparisons could you have made on
# this page, and how many of them would exclude zero by luck?

# %%
at, first, second = 80, "dapo", "grpo"  # change these
chosen = runs[runs["step"] == at]
print(f"step {at}:", statistics.paired_difference(chosen, key, first, second))

# %% [markdown]
# ### An open experiment
#
# Choose one field, one number and the number of seeds before you look. The half width of the interval falls with $1/\sqrt n$, so the five differences that you
# know tell you how many seeds you need.
#
# ```
# rlnotes sweep configs/search/grpo.yaml --seeds 0-4 --output runs/mine/base
# rlnotes sweep configs/search/grpo.yaml num_iterations=2 --seeds 0-4 --output runs/mine/twice
# ```
#
# | question | your words |
# | --- | --- |
# | Which number did you choose before you looked, and why that one? | |
# | Which difference would matter to you, and how many seeds does that take? | |
# | What did the interval say? | |
# | At equal steps, equal samples or equal time? | |
#
# ## References
#
# * Agarwal et al., 2021, [*Deep Reinforcement Learning at the Edge of the Statistical Precipice*](https://arxiv.org/abs/2108.13264): few runs, and
#   intervals over them.
# * Gandhi et al., 2025, [*Cognitive Behaviors that Enable Self-Improving Reasoners*](https://arxiv.org/abs/2503.01307): what a base must show before RL.
# * Liu et al., 2025, [*Understanding R1-Zero-Like Training*](https://arxiv.org/abs/2503.20783): Dr. GRPO.
#
# In the library: [`analysis/statistics.py`](../rlnotes/analysis/statistics.py), [`analysis/intervals.py`](../rlnotes/analysis/intervals.py),
# [`records/reading.py`](../rlnotes/records/reading.py).
#
# **Next:** [13 Open questions](13_open_questions.ipynb).
