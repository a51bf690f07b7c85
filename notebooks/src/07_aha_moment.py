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
# # 07 · The "aha moment": words, behavior, benefit
#
# question → rollouts → rewards → advantages → objective → update → **record → figure**
#
# DeepSeek-R1-Zero said "Wait, wait. Wait. That's an aha moment", and the slides conclude that `wait` shows a model
# that corrects itself. This page takes the sentence apart and asks a small laboratory what a `wait` is worth.
#
# You will be able to
#
# * read a claim about reflection as three claims: about words, about behavior, about benefit,
# * say why responses that reflect are right less often, and why that is no harm,
# * say what a jump in a training curve proves when a setting was changed at the same step,
# * tell by pass@k whether training found new answers or made old ones likely.
#
# **Reading:** about 35 minutes. **Running:** half a minute. **Papers:** [DeepSeek-R1](https://arxiv.org/abs/2501.12948) (v1 and v2); [Dr. GRPO](https://arxiv.org/abs/2503.20783);
# [Gandhi et al.](https://arxiv.org/abs/2503.01307); oat-zero's blog post.
# **Builds on** [03 GRPO](03_grpo.ipynb) and [05 R1-Zero](05_r1_zero.ipynb). **Next:** [08 DAPO](08_dapo.ipynb). How
# reflection is counted, and how well, is the appendix [16 Counting reflection](16_counting_reflection.ipynb).

# %% [markdown]
# ## Set-up
#
# We read records, mostly of five seeds. One experiment runs live, in seconds: we put a word into a policy's mouth.

# %%
import re
from math import comb

import matplotlib.pyplot as plt
import pandas as pd
import torch
from ipywidgets import Textarea, interact

import rlnotes as rl
from rlnotes.analysis.figures import (
    ALGORITHM_COLORS,
    ALGORITHM_DASHES,
    ALGORITHM_NAMES,
)
from rlnotes.reflection.benefit import right_before_reflection
from rlnotes.reflection.lab import first_try_solves
from rlnotes.tasks.search_traces import analyze, parts_of
from rlnotes.teaching.exercises import check_exercise

rl.use_style()
torch.set_num_threads(1)  # the policies are tiny
data = rl.project_folder() / "data"
LAB_WORDS = rl.load_words("search")
BESIDE = {"fontsize": 8, "loc": "center left", "bbox_to_anchor": (1, 0.5)}  # a legend
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#999999"

# %% [markdown]
# ## What the slides say
#
# Two slides, and four sentences on them that matter:
#
# > *Figure 3 | The average response length of DeepSeek-R1-Zero on the training set during the RL process.
# > DeepSeek-R1-Zero naturally learns to solve reasoning tasks with more thinking time.*
#
# > ***Wait, wait. Wait. That's an aha moment I can flag here.** Let's reevaluate this step-by-step …*
#
# > *Table 3 | … The model learns to rethink using an anthropomorphic tone. This is also an aha moment for us, allowing us
# > to witness the power and beauty of reinforcement learning.*
#
# > *"wait" depicts the self-correction of model*
#
# * **[Erratum 8](../docs/errata.md#erratum-8).** The first figure lost its axes: it shows the average length in tokens over the steps.
#   The example breaks off, so that the slide does not show how it ends.
# * **[Erratum 9](../docs/errata.md#erratum-9).** The last sentence is the slide's own. The paper (v2, Appendix C.2, Figure 9) reports
#   that ten words become five to seven times as frequent, and that `wait` is rare at first and frequent late.
#   It does not say that a `wait` corrects anything. The slide drops the axes, the word list and the factor. It also drops
#   that the length limit was doubled at step 8,200, where the figure jumps.
# * **[Erratum 10](../docs/errata.md#erratum-10).** Figure 3 is v1's numbering and Figure 9 is v2's; they stand on neighboring slides.

# %% [markdown]
# ### The example, read as three layers
#
# *The sum of the real solutions of* $\sqrt{a-\sqrt{a+x}}=x$. Before "Wait" the response squares twice and gets
# $x^4-2ax^2-x+(a^2-a)=0$. Is there a mistake to correct? We square and check at random points, and let the
# library say what it sees in the text.

# %% tags=["nbval-check-output"]
a, x = torch.rand(2, 1000, dtype=torch.float64, generator=torch.manual_seed(0)) * 9
squared_twice = (a - x**2) ** 2 - (a + x)
assert torch.allclose(squared_twice, x**4 - 2 * a * x**2 - x + (a**2 - a))
print("held: the equation before `Wait` is right")

aha = (
    "Wait, wait. Wait. That's an aha moment I can flag here. Let's reevaluate this"
    " step-by-step ... First, let's square both sides: ... Next, I could square both"
    " sides again"
)
print("words of R1's list: ", dict(rl.load_words("r1").count(aha)))
print("words of Dr. GRPO's:", dict(rl.load_words("dr_grpo").count(aha)))
print("behavior in wording:", [b for b, seen in rl.text_behaviors(aha).items() if seen])

# %% [markdown]
# * **Words** are what stands in the text. R1's list finds `wait` three times. Dr. GRPO's list leaves `wait` out and finds `reevaluate`.
# * **Behavior** is what the text does: check a result, go back, try another way. What stands before "Wait" is right, and
#   what follows begins with the same squaring. We see a text go back, and no error that it goes back to.
# * **Benefit** is whether the answer is right *because* of it. The slide does not show it. (The equation factors as
#   $(x^2+x+1-a)(x^2-x-a)$, and the sum asked for is $\frac{\sqrt{4a-3}-1}{2}$. Neither the slide nor the paper
#   claims that the response got there.)
#
# The paper shows the passage as one example, and its "aha moment for us" is what its authors felt. The slide's sentence goes further, from a word to a behavior.

# %% [markdown]
# With a running kernel you can read a text of your own in three layers. The first two are counted. For the third, the box compares the number before the
# first `wait` with the last number of the text.


# %% tags=["hide-input"]
def three_layers(text):
    counts = dict(rl.load_words("r1").count(text))
    seen = [name for name, found in rl.text_behaviors(text).items() if found]
    parts = re.split(r"(?i)\bwait\b", text)
    numbers = [re.findall(r"\d+", part)[-1:] for part in (parts[0], parts[-1])]
    print("words:   ", counts or "none")
    print("behavior:", ", ".join(seen) or "none that the patterns know")
    if len(parts) == 1 or [] in numbers:
        print("benefit:  there are no two answers to compare")
    else:
        changed = "another answer" if numbers[0] != numbers[1] else "the same answer"
        print(f"benefit:  {numbers[0][0]} before, {numbers[1][0]} after: {changed}")


three_layers("7 * 8 = 54. Wait, that is wrong: 7 * 8 = 56.")
_ = interact(three_layers, text=Textarea("Wait. Wait. Wait. 7 * 8 = 54."))

# %% [markdown]
# ### R1's own two figures
#
# R1-Zero's responses grow from 555 to 9,555 tokens (v1, Figure 3, one run, digitized). Its ten words grow five- to sevenfold
# (v2, Figure 9(a)), and the paper does not say per what: per response or per token? Both readings, as arithmetic:

# %% tags=["nbval-check-output"]
length = rl.paper_curve("r1v1_fig3_length")
growth = length["smoothed_len"].iloc[-1] / length["smoothed_len"].iloc[0]
print(f"length: × {growth:.1f}")
for words in (5, 7):
    print(
        f"words × {words}: if that is per response, × {words / growth:.2f} per token;"
        f" if per token, × {words * growth:.0f} per response"
    )

# %% tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[2, 1])
left.fill_between(
    length["step"], length["raw_lo"], length["raw_hi"], color=BLUE, alpha=0.15, lw=0
)
left.plot(length["step"], length["smoothed_len"], color=BLUE)
left.axvline(8200, color=ORANGE, ls="--")
left.text(8100, 300, "limit 32k → 64k", color=ORANGE, ha="right", fontsize=8)
left.set(xlabel="step", ylabel="tokens", title="R1-Zero: length of a response (v1)")
factors = {"length": growth, "words × 5": 5, "words × 7": 7}
factors |= {"words × 5, per token": 5 / growth, "words × 7, per token": 7 / growth}
colors = [BLUE] * 3 + [ORANGE] * 2  # bars begin at 1, no change
bars = right.barh(
    list(factors), [factor - 1 for factor in factors.values()], left=1, color=colors
)
right.bar_label(
    bars, [f"× {factor:.2g}" for factor in factors.values()], fontsize=8, padding=2
)
right.axvline(1, color="black", lw=0.8)
right.set(xscale="log", xlim=(0.05, 80), title="end over start")
right.invert_yaxis()

# %% [markdown]
# If the paper counts per response, its words became **rarer per token**, to a third. It does not tell, so we report both, and the share of
# responses with at least one word.

# %% [markdown]
# ## Words over training, in the lab
#
# The record is R1-Zero in miniature ([05](05_r1_zero.ipynb)): GRPO for the right answer alone, five seeds, from the untrained
# `search-mixed`. This base guesses, checks, says `wait` or 等 (the same word in a second language), and gives up after half of
# its misses. All responses to held-out questions were kept at steps 0, 20, … 80. The command line counts them too, all seeds together:
#
# ```
# rlnotes reflect data/experiments/r1_pipeline/zero_seed*.jsonl --words search
# ```

# %% tags=["hide-input"]
files = sorted((data / "experiments" / "r1_pipeline").glob("zero_seed*.jsonl"))
seeds = {int(path.stem.removeprefix("zero_seed")): path for path in files}


def over_seeds(tables, name="R1-Zero, lab"):
    labels = {"algorithm": name, "task": "search", "policy": "search-mixed"}
    return pd.concat(
        table.assign(run=f"{name} {seed}", seed=seed, **labels)
        for seed, table in tables.items()
    )


reports = {seed: rl.reflect([path], words="search") for seed, path in seeds.items()}
words = over_seeds({s: r.table().query("part == 'step'") for s, r in reports.items()})
responses = pd.concat(
    pd.read_json(path, lines=True).assign(seed=seed) for seed, path in seeds.items()
)
accuracy = responses.groupby(["seed", "step"], as_index=False)["accuracy"].mean()
words = words.merge(accuracy, on=["seed", "step"])
print(f"{len(responses)} responses")

# %% [markdown]
# Two folded helpers draw a band over seeds and print a table of `estimate [95 % interval]`. The intervals are Student's t over the seeds, cut to [0, 1] where the number is a share ([12](12_compare_runs.ipynb)).


# %% tags=["hide-input"]
def band(axes, runs, key, label=None, color=BLUE, style="-"):
    line = rl.metric_bands(runs, key)
    few = "o" if len(line) <= 6 else ""
    x, y = line["step"], line["estimate"]
    axes.plot(x, y, style, marker=few, ms=4, color=color, label=label)
    axes.fill_between(x, line["low"], line["high"], color=color, alpha=0.15, lw=0)
    axes.set(xlabel="step")


def at_steps(runs, names, steps):
    cells = {}  # (words, step): interval
    for key, name in names.items():
        for row in rl.metric_bands(runs[runs["step"].isin(steps)], key).itertuples():
            same = row.high - row.low < 1e-9  # one policy, one sample: no interval
            interval = rl.Interval(row.estimate, row.low, row.high, row.n)
            cells[name, int(row.step)] = (
                f"{row.estimate:.2f}" if same else str(interval)
            )
    table = pd.Series(cells).unstack()[steps].loc[list(names.values())]
    return table.rename(columns=lambda step: f"step {step}")


# %% tags=["hide-input"]
COUNTS = {
    "per_response": "`wait` per response",
    "per_1000_tokens": "`wait` per 1,000 tokens",
    "share": "share of responses with `wait`",
    "completions/mean_length": "tokens per response",
}
untrained = words[words["step"] == 0].set_index("seed")
for key in COUNTS:
    words[f"times {key}"] = words[key] / words["seed"].map(untrained[key])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.9), width_ratios=[3, 2])
styles = (BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (GRAY, ":")
for (key, name), (color, style) in zip(COUNTS.items(), styles, strict=True):
    band(left, words, f"times {key}", name.replace("`", ""), color, style)
_ = left.legend(**BESIDE)
left.axhline(1, color="black", lw=0.8)
left.set(title="words and length", ylabel="times the untrained policy's", ylim=(0, 6.2))
band(right, words, "accuracy")
_ = right.set(title="accuracy on held-out questions", ylabel="share right", ylim=(0, 1))

# %% tags=["nbval-check-output"]
print(at_steps(words, COUNTS | {"accuracy": "accuracy"}, [0, 20, 80]).to_string())
times = {f"times {key}": f"{name}, times untrained" for key, name in COUNTS.items()}
print(at_steps(words, times, [20, 80]).to_string())

# %% [markdown]
# All counts rise steeply by step 20 and then fall, while the accuracy only rises. (Five steps were kept, so we
# do not see where between them the top lies.) The factors differ. At step 80 there are 2.8 times as many `wait` per response as before training, 1.7 times as
# many per token, and 1.4 times as many responses with one. At step 20 the first factor was 5.4. "Five times as frequent" and
# "not even twice" both stand in this one record.
#
# The length goes the same way: the policy first learns not to give up, and later to guess better. The end of training is more
# accurate *and* shorter. (Step 0 is one policy and one sample for all seeds and has no interval. Its 0.29 is of these responses;
# [06](06_r1_pipeline.ipynb) finds 0.26 in others.)

# %% [markdown]
# ## What the responses did
#
# A lab response is a chain of tries with a number at the end of each, so what it did can be calculated. A **hit** is a try
# whose result is the target, and a **miss** is any other. We ask two things. *Knows a hit* is the share of hits that
# are answered minus the share of misses that are answered: 1 for a policy that verifies, 0 for a blind one. A `wait` is
# **superficial** when it leads nowhere: after a hit, before a try already made, or before nothing. [16](16_counting_reflection.ipynb) compares
# these counts with labels made by reading.


# %%
def decisions(part):
    """What follows hits and misses, over all tries of some responses."""
    questions = map(rl.search_question, part["prompt"])
    total = pd.DataFrame(map(vars, map(analyze, part["completion"], questions))).sum()
    hits = total["hits_answered"] / total["hits"]
    misses = total["give_ups"] / total["misses"]
    return pd.Series({"misses answered": misses, "knows a hit": hits - misses})


texts = responses.groupby(["seed", "step"])[["prompt", "completion"]]
words = words.merge(texts.apply(decisions).reset_index(), on=["seed", "step"])

# %% tags=["hide-input"]
BEHAVIOR = {
    "knows a hit": "knows a hit",
    "misses answered": "share of misses answered",
    "superficial": "share of `wait` that is superficial",
}
figure, axes = plt.subplots(figsize=(7.5, 2.9))
styles = (BLUE, "-"), (GRAY, ":"), (ORANGE, "--")
for (key, name), (color, style) in zip(BEHAVIOR.items(), styles, strict=True):
    band(axes, words, key, name.replace("`", ""), color, style)
axes.set(ylim=(0, 1), title="what the tries and the waits led to")
_ = axes.legend(**BESIDE)

# %% tags=["nbval-check-output"]
print(at_steps(words, BEHAVIOR, [0, 20, 80]).to_string())

# %% [markdown]
# *Knows a hit* doubles, because giving up after a miss becomes rare. The base knew what a miss is, and half of the time it did not act on it.
# The share of superficial `wait` **rises** as well, from a quarter to more than a third. Nearly all of these go before
# a try that the response has made already. The policy guesses with replacement, so a longer response repeats itself more. At step 80 four of ten
# `wait` lead nowhere.

# %% [markdown]
# ## Does it help?
#
# Are responses right *because* they reflect? Three comparisons, from weak to strong.
#
# 1. **Across responses:** accuracy with and without a `wait`.
# 2. **Matched by problem:** the same difference within each question that the policy of one step answered both ways.
# 3. **Within a response:** what its first try would have scored as the answer, and what it answered in the end.


# %%
def benefit(rows):
    matched, flips = rl.MatchedCounts(), rl.Flips()
    for row in rows.to_dict("records"):
        right = row["accuracy"] == 1
        reflected = LAB_WORDS.first(row["completion"]) is not None
        matched.add(row["prompt"], reflected=reflected, right=right)
        if reflected:
            flips.add(right_before_reflection(row, LAB_WORDS), right)
    sides = {f"wait {w}": matched.accuracy(reflected=w) for w in (False, True)}
    difference = {"matched difference": matched.difference().estimate}
    rates = flips.rates()
    # named an accuracy, so that its interval is cut to [0, 1]
    rates["accuracy lost"] = rates.pop("right_to_wrong")
    return pd.Series(sides | difference | rates)


per_step = responses.groupby(["seed", "step"]).apply(benefit).reset_index()
effect = over_seeds({s: t for s, t in per_step.groupby("seed")})

# %% tags=["nbval-check-output"]
BENEFIT = {
    "wait False": "1. accuracy without `wait`",
    "wait True": "1. accuracy with `wait`",
    "matched difference": "2. with − without, same question",
    "accuracy_if_cut": "3. with `wait`: first try as the answer",
    "accuracy": "3. with `wait`: the answer given",
    "accuracy lost": "3. from right to wrong",
}
print(at_steps(effect, BENEFIT, [0, 20, 80]).to_string())

# %% tags=["hide-input"]
figure, (across, matched, within) = plt.subplots(1, 3, figsize=(11, 3.1))
band(across, effect, "wait False", "without wait", GRAY, "--")
band(across, effect, "wait True", "with wait", BLUE)
band(matched, effect, "matched difference")
band(within, effect, "accuracy_if_cut", "first try as the answer", GRAY, "--")
band(within, effect, "accuracy", "the answer given", BLUE)
across.set(title="1 · all responses", ylabel="share right", ylim=(0, 1))
matched.set(title="2 · same question", ylabel="with − without", ylim=(-0.5, 0.5))
matched.axhline(0, color="black", lw=0.8)
within.set(title="3 · responses with wait", ylabel="share right", ylim=(0, 1))
for axes in (across, within):
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.25))

# %% [markdown]
# The first two comparisons make reflection look harmful. After RL, responses *with* `wait` are right less often than those without.
# Matching by question does not mend it: at step 20 they lie 0.23 behind on the same questions and at step 80 still 0.06,
# and neither interval holds zero. Dr. GRPO's Appendix D reports the same of R1-Zero: reflection does not go with higher accuracy.
#
# The third comparison shows why this is no harm. Responses with `wait` are those whose first try missed: taken as the answer,
# that try would have been right in 0 to 2 % of them. Their final answers were right in 71 % (step 20)
# and 88 % (step 80), and fewer than one in a hundred went from right to wrong. **A response
# reflects because it is in trouble.** Matching by question removes the difficulty of the question. It cannot remove the
# luck of the first try, and that luck decides whether a response says `wait` at all.

# %% [markdown]
# ### The experiment: put the word into its mouth
#
# These comparisons only watch. In the lab we can intervene: a policy makes its first try, we write the
# next word ourselves, `answer` or `wait`, and the policy goes on. Beside it stands the policy's own choice. Both policies are
# untrained. `search-base` answers every hit and retries half of its misses. `search-control` says as many `wait` but is
# blind: it answers and retries without regard to the result. We average within a question first, and the interval is over questions.


# %%
task = rl.load_task("search")


def go_on(policy, started, word):
    """Accuracy of each response when `word` stands after its first try."""
    starts = [" ".join([*parts_of(r.completion.split())[0][0], word]) for r in started]
    tasks = [
        rl.Task(f"{r.task.prompt} {start}", r.task.answer, r.task.columns)
        for r, start in zip(started, starts, strict=True)
    ]
    rest = rl.sample_responses(
        policy, task, tasks, num_generations=1, max_completion_length=116, seed=1
    )
    whole = [f"{start} {r.completion}" for start, r in zip(starts, rest, strict=True)]
    return [task.verify(w, r.task) for w, r in zip(whole, started, strict=True)]


# %%
def intervene(name):
    """One row a response: first try, and its accuracy under each next word."""
    policy = rl.load_policy(name)
    sampled = rl.sample_responses(
        policy, task, task.held_out(), num_generations=4, max_completion_length=128
    )
    first = [first_try_solves(r.completion, r.task) for r in sampled]
    kept = [i for i, right in enumerate(first) if right is not None]
    started = [sampled[i] for i in kept]
    table = {"policy": name, "question": [r.task.prompt for r in started]}
    table["first try"] = ["right" if first[i] else "wrong" for i in kept]
    table["own choice"] = [r.accuracy for r in started]
    for word in ("answer", "wait"):
        table[word] = go_on(policy, started, word)
    return pd.DataFrame(table)


tried = pd.concat(map(intervene, ("search-base", "search-control")))

# %%
options = ["answer", "own choice", "wait"]
means = tried.groupby(["policy", "first try", "question"])[options].mean()
result = {
    group: [rl.stratified_bootstrap(table[o]) for o in options]
    for group, table in means.groupby(["policy", "first try"])
}
pd.DataFrame(
    {key: map(str, cells) for key, cells in result.items()}, index=options
).T.rename_axis(["policy", "first try"])

# %% tags=["hide-input"]
figure, panels = plt.subplots(1, 2, figsize=(9, 2.9), sharey=True)
for axes, name in zip(panels, ("search-base", "search-control"), strict=True):
    for k, color in enumerate((GRAY, BLUE, ORANGE)):
        cells = [result[name, first][k] for first in ("wrong", "right")]
        errors = [
            [c.estimate - c.low for c in cells],
            [c.high - c.estimate for c in cells],
        ]
        places, heights = [0.27 * k, 1 + 0.27 * k], [c.estimate for c in cells]
        axes.bar(places, heights, 0.25, color=color, label=options[k])
        axes.errorbar(places, heights, errors, fmt="none", color="black")
    axes.set_xticks([0.27, 1.27], ["first try wrong", "first try right"])
    axes.set_title(name)
panels[0].set_ylabel("share right")
panels[1].legend(title="next word", fontsize=8, bbox_to_anchor=(1, 0.8))
plt.show()

# %% [markdown]
# After a **wrong** first try, `answer` never helps. `wait` does, on either base: 0.26 and 0.17, against 0.15 and 0.07
# when the policy chooses for itself. The policies give up too often, and that is what RL changes first. After a **right**
# one, `wait` throws a sure point away, and the policy is left with the chance of another guess.
#
# So `wait` is worth something to a policy that says it after misses and not after hits.
# `search-base` answers every hit (own choice 1.00). `search-control` throws one in three of its hits away. (One policy each, 128
# questions; the interval is over questions, not over trainings.)
#
# RL treats the two differently. From `search-control`, with the same reward and as many `wait` at the start, GRPO trains `wait` *away*:
# [16](16_counting_reflection.ipynb), Reflection without verification.

# %% [markdown]
# ## Length: right and wrong answers
#
# "More thinking time" is a mean over right and wrong responses, and they differ. Dr. GRPO's paper (Figure 6;
# Qwen2.5-1.5B, one run) blames part of the growth on the loss: under GRPO's $1/|o_i|$ a long wrong answer is
# punished less per token. In the paper wrong answers grow from 960 to about 1,980 tokens under GRPO and stay near 960
# under Dr. GRPO ([04](04_kl_and_biases.ipynb) has the derivation). Here are ours, five seeds, the same questions for both:

# %% tags=["hide-input"]
lengths = {
    "completions/mean_length_right": "right answers",
    "completions/mean_length_wrong": "wrong answers",
}
runs = rl.load_runs(data / "runs" / "*grpo_search_search-base_seed*")
runs = runs[runs["step"] > 0].reset_index(drop=True)
smooth = runs.copy()
for key in lengths:
    by_run = smooth.groupby("run")[key]
    smooth[key] = by_run.transform(lambda x: x.rolling(5, min_periods=1).mean())
smooth = smooth[smooth["step"] % 5 == 0]
figure, panels = plt.subplots(1, 2, figsize=(9, 2.9), sharey=True)
for axes, (key, title) in zip(panels, lengths.items(), strict=True):
    for name, chosen in smooth.groupby("algorithm"):
        look = ALGORITHM_COLORS[name], ALGORITHM_DASHES[name]
        band(axes, chosen, key, ALGORITHM_NAMES[name], *look)
    axes.set_title(title)
panels[0].set(ylabel="tokens, mean of 5 steps", ylim=(0, None))
_ = panels[1].legend(**BESIDE)

# %% tags=["nbval-check-output"]
for key, title in lengths.items():
    grpo = runs[runs["algorithm"] == "grpo"].groupby("step")[key].mean()
    early, late = grpo.loc[:5].mean(), grpo.loc[61:].mean()
    print(
        f"{title}, GRPO: {early:.0f} tokens in steps 1 to 5, {late:.0f} in the last 20;"
    )
    finals = rl.final_scores(runs, key, last=20)
    print("   ", rl.paired_difference(finals, key, "dr_grpo", "grpo"))

# %% [markdown]
# Wrong answers do grow, here fourfold, as in Dr. GRPO's figure, but **under both algorithms**. Dr. GRPO's are 3 tokens
# shorter at the end, and the interval holds zero. Right answers become longer by a third. The growth has another cause here: a wrong
# answer of the beginning gave up after one miss, and one of the end searched until the limit cut it off. Five pairs of runs
# do not show the bias, and intervals of this width do not exclude a small one.
# The mean rises because giving up ends, and it falls because guesses get better; the mean alone shows neither.

# %% [markdown]
# ## The jump at step 8,200
#
# R1-Zero's limit was 32,768 tokens before step 8,200 and 65,536 after; v2 says that accuracy and length jump
# there *because of it*. The slide's Figure 9 has its spikes of `wait` just there, and without that sentence it
# looks as if the model had understood something. We repeat the change in the lab: 40 steps under a limit of 40
# tokens, three tries; then one arm goes on so (*kept*), the other with 128 (*raised*). Both have the same weights at step 40, and the same seeds.

# %% tags=["hide-input"]
folder = data / "experiments" / "length_limit"


def arm(name):
    """The records of one arm over the five seeds, steps counted from the start."""
    table = rl.load_runs(sorted(folder.glob(f"seed*/{name}")))
    table["step"] += 0 if name == "before" else 40
    table["seed"] %= 1000  # the second half draws other questions
    run = [f"{name} {seed}" for seed in table["seed"]]
    return table.assign(run=run, algorithm=name, policy="search-base")


# %% tags=["hide-input"]
arms = {name: arm(name) for name in ("before", "kept", "raised")}
JUMP = {
    "eval/sampled_accuracy": "share right",
    "eval/mean_length": "tokens per response",
    "eval/search/waits": "`wait` per response",
    "eval/terminated": "share that ended by itself",
}
figure, panels = plt.subplots(1, 4, figsize=(12, 2.7))
for axes, (key, title) in zip(panels, JUMP.items(), strict=True):
    looks = (GRAY, ":"), (BLUE, "-"), (ORANGE, "--")
    for (name, table), look in zip(arms.items(), looks, strict=True):
        band(axes, table, key, name, *look)
    axes.axvline(40, color="black", lw=0.8, ls=":")
    axes.set(title=title.replace("`", ""), ylim=(0, None))
_ = panels[-1].legend(**BESIDE)

# %% [markdown]
# At step 40 the two arms are the *same policy*, measured under two limits. Raised minus kept, seed by seed, before the first update
# under the new limit and 40 steps later; last, what was *learned*, with both arms measured under 128 tokens at the end:

# %% tags=["hide-input", "nbval-check-output"]
both = pd.concat([arms["kept"], arms["raised"]])
rows = {}
for step in (40, 80):
    for key, name in JUMP.items():
        now = both[both["step"] == step].dropna(subset=[key])
        rows[name, f"step {step}"] = str(
            rl.paired_difference(now, key, "raised", "kept").interval
        )
ends = pd.concat(map(pd.read_csv, sorted(folder.glob("seed*.csv"))))
ends = ends.assign(algorithm=ends["stage"], task="search", policy="search-base")
for key, name in zip(("search", "mean_length", "waits"), JUMP.values(), strict=False):
    rows[name, "step 80, measured alike"] = str(
        rl.paired_difference(ends, key, "raised", "kept").interval
    )
print(pd.Series(rows).unstack().loc[list(JUMP.values())].fillna("").to_string())
at_40 = both[both["step"] == 40].groupby("algorithm")[list(JUMP)].mean()
cut = 1 - at_40.loc["kept", "eval/terminated"]
gain = (at_40.loc["raised"] - at_40.loc["kept"])["eval/sampled_accuracy"] / cut
print(f"step 40: cut off at 40 tokens {cut:.2f}; gain of accuracy on these {gain:.2f}")

# %% [markdown]
# **No update, and a jump:** accuracy +0.17, 12 tokens, almost one more `wait`, in every seed, at the step of the change. What a policy writes within 40 tokens does not
# depend on the limit, so the jump is made of the responses that had not ended by then, more than a quarter; of these alone the gain is 0.61.
# The patience had been learned already and could not be seen. Forty steps later the gap is 0.14, and measured alike only 0.03
# of it is left: that is what *training* under the higher limit added. It is there in five of five seeds, and it is the small part.
#
# A reader who is not told of the setting sees more `wait`, longer thought and a better score at one step, and calls it an aha moment. For R1-Zero the
# paper itself gives the setting as the reason, and the slide lost that sentence. (Our limit cuts off more than a quarter of the
# responses, while R1-Zero's mean at that step is 9,369 of 32,768 tokens.)

# %% [markdown]
# ## New answers, or old ones made likely?
#
# One may read "aha" as: RL finds answers that were not there before. The test is to ask the *untrained* policy often enough. Let $c$ of $n$ samples of a
# question be right. The chance that at least one of $k$ is right has the unbiased estimate (Chen et al., 2021)
#
# $$\text{pass@}k = 1 - \binom{n-c}{k} \Big/ \binom{n}{k}$$
#
# If training only makes likely what the base reaches now and then, pass@1 rises and the base's pass@$k$ catches up at large $k$. The record has 32 samples of each held-out question, from the
# untrained `search-base` and from five trained policies, seed 0 of each algorithm. They were trained on three numbers; four numbers are new to all of them.


# %%
def pass_at(k, right, samples):
    return 1 - comb(samples - right, k) / comb(samples, k)


counts = pd.read_csv(data / "experiments" / "pass_at_k" / "counts.csv")
ks = [1, 2, 4, 8, 16, 32]
for k in ks:
    pairs = zip(counts["right"], counts["samples"], strict=True)
    counts[k] = [pass_at(k, right, samples) for right, samples in pairs]
TASKS = {
    "search": "three numbers (trained)",
    "search-hard": "four numbers (not trained)",
}

# %% tags=["hide-input"]
NAMES = {"untrained": "untrained"} | ALGORITHM_NAMES
figure, panels = plt.subplots(1, 2, figsize=(10, 3.1), sharey=True)
for axes, (size, title) in zip(panels, TASKS.items(), strict=True):
    means = counts[counts["task"] == size].groupby("policy")[ks].mean()
    for policy, name in NAMES.items():
        color = ALGORITHM_COLORS.get(policy, "black")
        dash = ALGORITHM_DASHES.get(policy, (0, (1, 1)))
        axes.plot(
            ks, means.loc[policy], ls=dash, marker="o", ms=3, color=color, label=name
        )
    axes.set(
        xscale="log", xlabel="samples of a question, k", title=title, ylim=(0, 1.02)
    )
    axes.set_xticks(ks, ks)
    axes.minorticks_off()
panels[0].set_ylabel("pass@k, mean over questions")
_ = panels[1].legend(**BESIDE)

# %% tags=["hide-input", "nbval-check-output"]
table = {}
for size, title in TASKS.items():
    one = counts[counts["task"] == size].set_index(["policy", "prompt"])
    base = one.loc["untrained", "right"]
    for policy, name in NAMES.items():
        found = one.loc[policy]
        row = {
            f"pass@{k}": rl.stratified_bootstrap(found[k]).within(0, 1) for k in (1, 32)
        }
        row["new"] = ((found["right"] > 0) & (base == 0)).sum()
        row["lost"] = ((found["right"] == 0) & (base > 0)).sum()
        table[title, name] = {key: str(value) for key, value in row.items()}
print(pd.DataFrame(table).T.to_string())

# %% [markdown]
# *New* counts questions that the untrained policy missed in all of its 32 samples and the trained one answered; *lost* counts the reverse. Intervals are over questions.
#
# On three numbers **nothing is new**: the untrained policy reaches every question within 32 samples. All of the rise from 0.27 to
# about 0.9 is sharpening. The task says why. A question has at most nine tries, and a policy that guesses reaches each of them. That also limits what this lab can show: where
# the base reaches everything, no training can find anything new.
#
# On four numbers the curves of PPO, GRPO and GDPO *cross* that of the untrained policy. At one sample all five policies are ahead, by a factor of two or more. At 32 samples
# none is clearly ahead, and GDPO, which was paid for short responses, has lost 13 questions, a fifth of all. Two questions were out of reach before, and each policy reaches one or both. (One
# seed of each algorithm, so this is about these five policies.) [11](11_train.ipynb) makes the same split for a run of your own.

# %% [markdown]
# ## What usually goes wrong
#
# * **No step 0.** Base models say `wait` before any RL. Look at `eval/search/waits` at step 0, or give `rlnotes reflect` a `--baseline`.
# * **One normalization.** Longer responses have more of every word.
# * **Truncation.** Under a limit, a word at the end of a long response is never written (`completions/clipped_ratio`).
# * **Matching as if it were an experiment.** A response that reflects has failed once already.
# * **A count without its prompt.** The same weights say few or many `wait` under two prompts: [16](16_counting_reflection.ipynb).
#
# [docs/symptoms.md](../docs/symptoms.md) has these in the words in which people ask.

# %% [markdown]
# ## The claims of these slides
#
# Intervals are 95 % over five seeds where nothing else is said. Verdicts are about this miniature, not about the papers,
# whose curves are one run each. An "anthropomorphic tone" is not testable in a language of numbers and a dozen words.
#
# | claim | paper | ours | verdict |
# | --- | --- | --- | --- |
# | "more thinking time" | v1, Figure 3: 555 → 9,555 tokens | 24 → 60 [56, 65] tokens by step 20, 39 [36, 42] at step 80; accuracy 0.29 → 0.76 → 0.92 | holds to step 20; **contradicted here** after it: better *and* shorter |
# | ten words grow × 5 to 7; `wait` is rare at first, frequent late | v2, Figure 9, unit not stated | `wait` × 5.4 [4.8, 5.9] per response at step 20, × 2.8 [2.4, 3.1] at step 80; per token × 2.1 and × 1.7; 0.72 per response untrained | a rise holds here, the factor is a choice of step and unit; "late" does not show |
# | "'wait' depicts the self-correction of model" | nowhere: the slide's own | 38 % [35, 41] of `wait` lead nowhere after RL, 23 % before | **contradicted here** as a rule |
# | reflection does not go with higher accuracy | Dr. GRPO, Appendix D | same question: −0.23 [−0.28, −0.17] at step 20, −0.06 [−0.08, −0.04] at step 80 | holds here, by selection: it does not mean that reflection is useless |
# | reflection helps | (the slide's reading) | a forced `wait`: 0.00 → 0.26 [0.21, 0.30] after a wrong first try, 1.00 → 0.17 [0.09, 0.26] after a right one (one policy, 128 questions) | holds here after misses only |
# | GRPO lengthens wrong answers, Dr. GRPO does not | the paper's Figure 6: 960 → 1,980 tokens against flat | 29 → 112 under GRPO, Dr. GRPO −3 [−9, 2] beside it | does not show here |
# | accuracy and length jump at 8.2k *because of* the limit | v2's text | the setting alone: accuracy +0.17 [0.14, 0.20], length +12 [9, 16], `wait` +0.9 [0.6, 1.1] | holds here |
# | RL finds answers that were not there | (a reading of "aha") | 0 of 128 questions are new: untrained pass@32 is 1.00 (five policies, one seed each) | **contradicted here**, in a task whose base reaches everything |

# %% [markdown]
# ## Exercises
#
# **Predict, then run.** Training makes hits certain answers. Suppose we force `wait` after a *right* first try of the GRPO-trained
# policy. Is it left with more than `search-base` was (0.17), as much, or less? Write your prediction in the first line.

# %%
prediction = None  # "more", "as much" or "less"

if prediction:
    forced = intervene(str(data / "runs/grpo_search_search-base_seed0/policy"))
    right = forced[forced["first try"] == "right"].groupby("question")[options].mean()
    print(right.mean().round(2).to_string())
print("your prediction:", prediction or "none yet: fill in the line, run again")

# %% [markdown]
# <details><summary>Answer</summary>
#
# More, by far. The trained policy goes on guessing until it meets a hit, so a forced `wait` costs it tokens and seldom the answer.
# `search-base` gives up after half of its misses. So what the word costs depends on the policy.
#
# </details>
#
# **aha-1. In reach or new?** Two lists with one number for each question: how many of `samples` answers were right before training, and
# how many after. Return two parts of the mean rise of accuracy, which add up to all of it: the part on questions with a right answer before, and
# the part on the others. Both are means over *all* questions.


# %%
def split_rise(before, after, samples):
    raise NotImplementedError


check_exercise("aha-1", split_rise)


# %% [markdown]
# **aha-2. Matched by problem.** Accuracy with minus without reflection. Three lists of one length: `problems` (names),
# `reflected`, `right` (0 or 1). Problems that were not answered both ways do not count; each other one counts once.


# %%
def matched_difference(problems, reflected, right):
    raise NotImplementedError


check_exercise("aha-2", matched_difference)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # aha-1
# def split_rise(before, after, samples):
#     parts = {True: 0.0, False: 0.0}
#     for old, new in zip(before, after):
#         parts[old > 0] += (new - old) / samples / len(before)
#     return parts[True], parts[False]
# ```
#
# ```python
# # aha-2
# def matched_difference(problems, reflected, right):
#     differences = []
#     for problem in set(problems):
#         sides = {0: [], 1: []}
#         for name, wait, good in zip(problems, reflected, right):
#             if name == problem:
#                 sides[wait].append(good)
#         if sides[0] and sides[1]:
#             means = {wait: sum(goods) / len(goods) for wait, goods in sides.items()}
#             differences.append(means[1] - means[0])
#     return sum(differences) / len(differences)
# ```
#
# </details>
#
# **A small experiment of your own.** Force the word twice (`wait` and, after the next try, `wait` again), or after the second try
# and not after the first. Say what you expect before you run it.
#
# | question | prediction, written first | right first tries | wrong first tries |
# | --- | --- | --- | --- |
# | what does a second forced `wait` bring `search-base`? | | | |
# | and a policy after RL (`data/runs/ppo_search_search-base_seed0/policy`)? | | | |
#
# ## References
#
# * DeepSeek-AI, 2025, [*DeepSeek-R1*](https://arxiv.org/abs/2501.12948): v1 Figure 3, Table 3; v2 Figures 1(b), 9, Appendix C.2.
# * Liu et al., 2025, *There May Not be Aha Moment in R1-Zero-like Training* (oat-zero, a blog post).
# * Liu et al., 2025, [*Understanding R1-Zero-Like Training*](https://arxiv.org/abs/2503.20783): Appendix D, Figure 6.
# * Gandhi et al., [2025](https://arxiv.org/abs/2503.01307) on four behaviors, [2024](https://arxiv.org/abs/2404.03683) on learning to search.
# * [*The Illusion of Insight in Reasoning Models*](https://arxiv.org/abs/2601.00514); [*SimpleRL-Zoo*](https://arxiv.org/abs/2503.18892).
# * Chen et al., 2021, [arXiv 2107.03374](https://arxiv.org/abs/2107.03374): the unbiased pass@k.
#
# **Next:** [08 DAPO](08_dapo.ipynb).
