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
# You will be able to
#
# * read a claim about reflection as three claims: about words, about behavior, about benefit,
# * count words in three ways, and say when the three disagree,
# * tell a check that works from a `wait` that leads nowhere, exactly in the search lab and badly in prose,
# * say what a jump in a training curve proves when a setting was changed at the same step.
#
# **Reading:** about 50 minutes. **Running:** half a minute. **Papers:** [DeepSeek-R1](https://arxiv.org/abs/2501.12948) (v1 and v2); [Dr. GRPO](https://arxiv.org/abs/2503.20783);
# [Gandhi et al.](https://arxiv.org/abs/2503.01307); oat-zero's blog post.
# **Builds on** [03 GRPO](03_grpo.ipynb) and [05 R1-Zero](05_r1_zero.ipynb) (R1-Zero in the lab). **Next:**
# [08 DAPO](08_dapo.ipynb).

# %% [markdown]
# ## Set-up
#
# Nothing is trained here. We read records: R1-Zero in miniature, GRPO on two base policies, a change of the
# length limit, five seeds each. Only one experiment runs live, in seconds: we put a word into a policy's mouth.

# %%
import re
from collections import Counter

import matplotlib.pyplot as plt
import pandas as pd
import torch
from ipywidgets import Textarea, interact

import rlnotes as rl
from rlnotes.analysis.figures import ALGORITHM_COLORS
from rlnotes.reflection.benefit import right_before_reflection
from rlnotes.reflection.lab import first_try_solves
from rlnotes.reflection.scores import read_labels, score_labels
from rlnotes.tasks.search_traces import analyze, parts_of
from rlnotes.teaching.exercises import check_exercise

rl.use_style()
torch.set_num_threads(1)  # the policies are tiny
data = rl.project_folder() / "data"
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#999999"

# %% [markdown]
# ## What the slides say
#
# Two slides, and three sentences on them that matter:
#
# > *Figure 3 | The average response length of DeepSeek-R1-Zero on the training set during the RL process.
# > DeepSeek-R1-Zero naturally learns to solve reasoning tasks with more thinking time.*
#
# > ***Wait, wait. Wait. That's an aha moment I can flag here.** Let's reevaluate this step-by-step …*
#
# > *"wait" depicts the self-correction of model*
#
# * **[Erratum 8](../docs/errata.md#erratum-8).** The first figure lost its axes: it shows the average length in tokens over the steps.
#   The example is abridged: neither the mistake nor the final answer is on the slide.
# * **[Erratum 9](../docs/errata.md#erratum-9).** The third sentence is the slide's own. What the paper (v2, Appendix C.2, Figure 9) reports is
#   that ten words become five to seven times as frequent, and that `wait` is rare at first and frequent late.
#   It does not say that a `wait` corrects anything. The slide drops the axes, the word list and the factor,
#   and that the length limit was doubled at step 8,200, where its own figure jumps.
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

aha = (
    "Wait, wait. Wait. That's an aha moment I can flag here. Let's reevaluate this"
    " step-by-step ... First, let's square both sides: ... Next, I could square both"
    " sides again"
)
print("words of R1's list: ", dict(rl.load_words("r1").count(aha)))
print("words of Dr. GRPO's:", dict(rl.load_words("dr_grpo").count(aha)))
print("behavior in wording:", [b for b, seen in rl.text_behaviors(aha).items() if seen])

# %% [markdown]
# * **Words:** three `wait` by R1's list. Dr. GRPO's list leaves `wait` out and finds `reevaluate`, which R1's
#   list does not have (`evaluate` is another word).
# * **Behavior:** what stands before "Wait" is right, and what follows begins with the same squaring. On the
#   slide we see a text go back, and no error that it goes back to. Our pattern detector sees nothing at all;
#   we shall measure how much it misses.
# * **Benefit:** not on the slide. (The equation factors as $(x^2+x+1-a)(x^2-x-a)$, and the sum asked for is
#   $\frac{\sqrt{4a-3}-1}{2}$; whether the response got there, neither the slide nor the paper claims.)
#
# Nothing here is against the paper, which shows the passage as a charming one. It is against reading one layer
# as another. The rest of this notebook measures each by itself.

# %% [markdown]
# With a running kernel you can read a text of your own in three layers. The first two are counted; the third asks whether the answer behind the last reflecting word is another than the one before it.


# %%
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

# %%
_ = interact(three_layers, text=Textarea("Wait. Wait. Wait. 7 * 8 = 54."))

# %% [markdown]
# ## Layer 1, words: ten lines
#
# A word counts in any case and only whole, so that `await` and `checkout` do not. A hyphen ends a word. The
# list is R1's, as v2 gives it: three experts' lists, merged.

# %% tags=["nbval-check-output"]
R1_WORDS = rl.WORD_LISTS["r1"]
print(", ".join(R1_WORDS))


def count_words(text, words):
    found = re.findall(r"\w+", text.casefold())
    return Counter(word for word in found if word in words)


# %% [markdown]
# Five texts of our own. The library has to agree on all of them (it also knows phrases, accents and scripts
# without spaces). Which of the five reflect, to your eye?

# %% tags=["nbval-check-output"]
texts = [
    "7 * 8 = 54. Wait, that is wrong: 7 * 8 = 56.",
    "It is $7, but shipping is free. The standard error is 2. However, check the date.",
    "Evaluate 7 * 8. We double-check the checkout and await an errorless reply.",
    "54? No. Seven eights are 56, so 56.",
    "Wait. Wait. Wait. 7 * 8 = 54.",
]
for text in texts:
    counts = count_words(text, R1_WORDS)
    assert counts == rl.load_words("r1").count(text)
    print(sum(counts.values()), dict(counts))

# %% [markdown]
# The first reflects and has two words of the list. The second has four and reflects on nothing: `but`, `error`,
# `however` and `check` have ordinary uses. The third is an instruction. The fourth corrects itself without any
# word of the list, and the fifth says `wait` three times to no effect. A count of words sorts them in
# the wrong order.

# %% [markdown]
# ### Three ways to normalize
#
# Per response, per 1,000 tokens, or the share of responses with at least one word. The paper's figure does not
# say which. On the same data they can go three ways: below are four short responses, two of which say `wait`
# once, and four that are seventeen times as long, one of which says it twelve times.


# %% tags=["nbval-check-output"]
def three_rates(counts, lengths):
    return {
        "per response": sum(counts) / len(counts),
        "per 1,000 tokens": 1000 * sum(counts) / sum(lengths),
        "share with at least one": sum(count > 0 for count in counts) / len(counts),
    }


early = three_rates([1, 1, 0, 0], [10, 10, 10, 10])
late = three_rates([12, 0, 0, 0], [170, 170, 170, 170])
print(pd.DataFrame({"early": early, "late": late}).round(2).to_string())

# %% [markdown]
# Six times as many per response, a third as many per token, half as many responses. R1's own figures have just
# these proportions. The paper's responses grow from 555 to 9,555 tokens (v1, Figure 3, one run, digitized); its words
# grow five- to sevenfold (v2, Figure 9(a)), the unit not stated. Both readings, as arithmetic:

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
left.set(
    xlabel="step", ylabel="tokens", title="R1-Zero: response length (v1, Figure 3)"
)
factors = {"length": growth, "words × 5": 5, "words × 7": 7}
factors |= {"words × 5, per token": 5 / growth, "words × 7, per token": 7 / growth}
colors = [BLUE] * 3 + [ORANGE] * 2  # bars begin at 1, no change
bars = right.barh(
    list(factors), [factor - 1 for factor in factors.values()], left=1, color=colors
)
right.bar_label(bars, [f"× {factor:.2g}" for factor in factors.values()], fontsize=8)
right.axvline(1, color="black", lw=0.8)
right.set(xscale="log", xlim=(0.08, 60), title="end over start")
right.invert_yaxis()

# %% [markdown]
# If Figure 9(a) counts per response, the words became **rarer per token**, to a third. Then the growth of the
# words is less than the growth of the text that holds them. We cannot know: so we report all three, always.

# %% [markdown]
# ## Words over training, in the lab
#
# R1-Zero in miniature ([05](05_r1_zero.ipynb)): GRPO for the right answer alone, from `search-mixed`, a
# base that guesses, checks, says `wait` or 等 (the same word in a second language), and gives up after half of
# its misses. We kept all responses to held-out questions at steps 0, 20, … 80, for five seeds. Step 0
# is the untrained policy: no statement about training without it. The command line counts the same, the seeds taken together:
#
# ```
# rlnotes reflect data/experiments/r1_pipeline/zero_seed*.jsonl --words search
# ```

# %%
files = sorted((data / "experiments" / "r1_pipeline").glob("zero_seed*.jsonl"))
seeds = {int(path.stem.removeprefix("zero_seed")): path for path in files}


def over_seeds(tables, name="R1-Zero, lab"):
    """One table of several seeds' with the labels that the statistics ask for."""
    labels = {"algorithm": name, "task": "search", "policy": "search-mixed"}
    return pd.concat(
        table.assign(run=f"{name} {seed}", seed=seed, **labels)
        for seed, table in tables.items()
    )


reports = {seed: rl.reflect([path], words="search") for seed, path in seeds.items()}
words = over_seeds({s: r.table().query("part == 'step'") for s, r in reports.items()})
total = sum(report.counted.total.responses for report in reports.values())
print(f"{len(seeds)} seeds, {total} responses")

# %% [markdown]
# Two helpers that the rest of the notebook uses: a band over seeds, and a table of
# `estimate [95 % interval]` at chosen steps. Intervals are Student's t over the seeds, cut to
# [0, 1] where the number is a share ([12](12_compare_runs.ipynb)).


# %% tags=["hide-input"]
def band(axes, runs, key, label=None, color=BLUE):
    line = rl.metric_bands(runs, key)
    axes.plot(line["step"], line["estimate"], color=color, label=label)
    axes.fill_between(
        line["step"], line["low"], line["high"], color=color, alpha=0.15, lw=0
    )
    axes.axhline(0, color="black", lw=0.8)
    axes.set(xlabel="step", title=key)


def at_steps(runs, keys, steps):
    cells = {}
    for key in keys:
        for row in rl.metric_bands(runs[runs["step"].isin(steps)], key).itertuples():
            same = row.high - row.low < 1e-9  # one policy, one sample: no interval
            interval = rl.Interval(row.estimate, row.low, row.high, row.n)
            cells[key, int(row.step)] = f"{row.estimate:.2f}" if same else str(interval)
    return pd.Series(cells).unstack()[steps].loc[keys]


# %% tags=["hide-input"]
responses = pd.concat(
    pd.read_json(path, lines=True).assign(seed=seed) for seed, path in seeds.items()
)
accuracy = responses.groupby(["seed", "step"], as_index=False)["accuracy"].mean()
words = words.merge(accuracy, on=["seed", "step"])
keys = [
    "per_response",
    "per_1000_tokens",
    "share",
    "completions/mean_length",
    "accuracy",
]
figure, panels = plt.subplots(1, 5, figsize=(13, 2.6))
for axes, key in zip(panels, keys, strict=True):
    band(axes, words, key)

# %% tags=["nbval-check-output"]
print(at_steps(words, keys, [0, 20, 80]).to_string())
untrained = words[words["step"] == 0].set_index("seed")
for step in (20, 80):
    now = words[words["step"] == step].set_index("seed")
    for key in keys[:3]:
        times = rl.stratified_bootstrap((now[key] / untrained[key]).to_numpy())
        print(f"step {step}, times untrained: {key:16} {times}")

# %% [markdown]
# All three say the same here: up steeply within 20 steps, then down again, while accuracy only rises. The factors
# differ: at step 80 there are 2.8 times as many `wait` per response as before training, 1.7 times as many per
# token, in 1.4 times as many responses. At step 20 it would have been 5.4 times per response. "The words
# became five times as frequent" and "not even twice" are both in this one record.
#
# The length tells the same story: the policy first learns not to give up, later to guess better
# ([12](12_compare_runs.ipynb) has the tries). The end of the curve is more accurate *and* shorter. (Step 0 has no
# interval: it is one policy and one sample, the same for all seeds. Its 0.29 is of these responses;
# [06](06_r1_pipeline.ipynb) finds 0.26 in others.)

# %% [markdown]
# ### Which word? Which language?
#
# Of R1's ten words this language knows one. And our base says it in two languages, which R1's list does not
# know: a count with the list as it stands misses every 等. The same responses, counted by both lists:

# %% tags=["nbval-check-output"]
english = {s: rl.reflect([path], words="r1") for s, path in seeds.items()}
english = over_seeds({s: r.table().query("part == 'step'") for s, r in english.items()})
other = [f"word/{word}" for word in R1_WORDS if word != "wait"]
assert (english[other] == 0).all(axis=None)
both = {"wait/等": words, "wait alone": english}
for name, table in both.items():
    print(f"{name:10}", *at_steps(table, ["word/wait"], [0, 20, 80]).to_numpy()[0])

# %% [markdown]
# A quarter of the `wait` are 等 and escape the list, before training as after it. Here the share stays the same, so
# the curve keeps its shape; had RL moved the policy from one language to the other, the plain list would have shown
# reflection "vanish" or "emerge". R1-Zero mixed languages, too, and Figure 9's list is English.

# %% [markdown]
# ### In natural language: SmolLM2
#
# A policy that speaks English could use all ten words. Our records hold a sample of the responses that SmolLM2-135M
# gave in short GRPO runs on arithmetic, a dozen tokens or two each.

# %%
for name in ("multiplication", "addition-r1"):
    paths = sorted(data.glob(f"runs/grpo_{name}_smollm2-135m_seed*/samples.jsonl"))
    if paths:
        total = rl.reflect(paths).counted.total
        print(f"{name}: {len(paths)} seeds, {total.responses} responses,", end=" ")
        print(f"{total.tokens} tokens; words {dict(total.words)}, `wait` {total.waits}")

# %% [markdown]
# Next to nothing: no `wait` at all, a handful of `but`. A model of this size asked for a product does not reflect,
# and reward on short answers does not make it. That says nothing about large models; it says that a word count needs
# words, and that our evidence about natural language is thin. We look at its prose once more below, for the detector.

# %% [markdown]
# ## Layer 2, behavior
#
# In the lab we need no judge. A response is a chain of tries, and each ends in a number, so what it did can be
# calculated (`rl.lab_reflection`): a **hit** is a try whose result is the target, a **miss** one whose is not.
#
# * **knows a hit**: the share of hits that are answered, minus the share of misses that are answered. One number for
#   all decisions: 1 for a policy that verifies, 0 for a blind one. A try that is cut off before its consequence counts for neither.
# * **verification**, the usual count by *response*: some finished try has the right consequence (hit → `answer`,
#   miss → `wait`), none the wrong.
# * **backtracking**: a miss, `wait`, and then a try not made before.
# * **superficial**: a `wait` that leads nowhere: after a hit, before a try already made, or before nothing.

# %% tags=["nbval-check-output"]
question = rl.search_question("make 20 from 5 6 9 :")
for text in (
    "5 * 6 = 30 - 9 = 21 ? 20 wait 5 + 6 = 11 + 9 = 20 ? 20 answer + +",
    "5 * 6 = 30 - 9 = 21 ? 20 wait 5 * 6 = 30 - 9 = 21 ? 20 answer * -",
    "5 + 6 = 11 + 9 = 20 ? 20 wait 5 * 6 = 30 - 9 = 21 ? 20 answer * -",
):
    seen = rl.lab_reflection(text, question)
    shown = [name for name, yes in seen.behaviors().items() if yes]
    print(f"waits {seen.waits}, superficial {seen.superficial}, {shown}")

# %% [markdown]
# Each of the three says `wait` once. The first is what the slide means; the second tries the same again and
# gives up; the third has the solution, says `wait`, and throws it away. Over training:


# %%
def decisions(part):
    """What follows hits and misses, over all tries of some responses."""
    questions = map(rl.search_question, part["prompt"])
    total = Counter()
    for trace in map(analyze, part["completion"], questions):
        total.update(vars(trace))
    hits = total["hits_answered"] / total["hits"]
    misses = total["give_ups"] / total["misses"]
    return pd.Series(
        {"hits answered": hits, "misses answered": misses, "knows a hit": hits - misses}
    )


texts = responses.groupby(["seed", "step"])[["prompt", "completion"]]
words = words.merge(texts.apply(decisions).reset_index(), on=["seed", "step"])

# %% tags=["hide-input"]
behavior = ["knows a hit", "behavior/backtracking", "superficial"]
figure, panels = plt.subplots(1, 3, figsize=(9, 2.6))
for axes, key in zip(panels, behavior, strict=True):
    band(axes, words, key)
    axes.set_ylim(0, 1)

# %% tags=["nbval-check-output"]
shown = [*behavior, "hits answered", "misses answered", "behavior/verification"]
print(at_steps(words, shown, [0, 20, 80]).to_string())
kinds = Counter()
for row in responses[responses["step"] == 80].itertuples():
    kinds.update(
        vars(rl.lab_reflection(row.completion, rl.search_question(row.prompt)))
    )
waits = {
    kind: n for kind, n in kinds.items() if "wait" in kind or kind == "superficial"
}
print("step 80:", waits)


# %% tags=["nbval-check-output"]
def verified(row):
    seen = rl.lab_reflection(row["completion"], rl.search_question(row["prompt"]))
    return seen.behaviors()["verification"]


for step in (0, 20, 80):
    part = responses[responses["step"] == step]
    says, right = part.apply(verified, axis=1), part["accuracy"] == 1
    print(
        f"step {step:2}: verified {says.mean():.3f}, right {right.mean():.3f},"
        f" agree {(says == right).mean():.3f}, verified and wrong {(says & ~right).mean():.3f}"
    )

# %% [markdown]
# `knows a hit` doubles: hits were always answered, and giving up after a miss becomes rare. The base knew what a miss
# is and half of the time did not act on it. The count by response (`behavior/verification`) would have told us 0.29 → 0.95,
# and that number is not what it seems. Before training it *is* accuracy: an untrained response either answers a hit or
# gives up on a miss, so "verified" and "right" agree in nearly every response. Later it also credits responses that are wrong
# because they were cut off while they searched, at step 20 nearly one in five of all: none of their finished tries had the wrong consequence. Part of its
# rise is accuracy measured again, part is truncation. (A `wait` can be superficial in two ways, after a hit and before a repeated try, so
# the kinds add up to more than their total.) Backtracking doubles and then falls, as first tries get better. And
# the share of superficial `wait` **rises**, from a quarter to more than a third. Nearly all of these go before a try
# that the response has made already: guessing with replacement repeats itself more the longer it goes on.
# So of the words of layer 1, at step 80, four in ten lead nowhere.

# %% [markdown]
# ### How good are the detectors?
#
# 245 responses were labeled by reading, without sight of the detector: 185 of the lab and 60 of SmolLM2, asked to
# plan, check or work backwards. The readers were two sessions of a language model and no people;
# `data/labels/README.md` has their instructions and how often they agreed. Precision: of the detected, how many
# are labeled so. Recall: of the labeled, how many are detected. Wilson's 95 % intervals.

# %%
labels = read_labels(data / "labels" / "reflection.jsonl")
scores = score_labels(labels)
for kind in ("precision", "recall"):
    columns = [kind, f"{kind}_low", f"{kind}_high"]
    scores[kind] = [
        f"{p:.2f} [{low:.2f}, {high:.2f}]" if p == p else "–"
        for p, low, high in scores[columns].to_numpy()
    ]
shown = "source responses behavior support detected precision recall".split()
print(scores[shown].to_string(index=False))

# %% [markdown]
# In the lab the analysis agrees with the readers in all but one of 185 responses (that one writes a stray number
# after the target; the readers let it pass). The rest of this notebook rests on it. In prose the detector is **bad**: of seven checks it
# finds one, of four ways back none, and five of the six that it does find are not there. Subgoals fare better, half of them
# found. The intervals are wide, since
# 60 responses hold few of either; none of them makes it good. Some of its errors:

# %%
by_id = {row["id"]: row for row in labels}
examples = {
    "smollm2-018": "backtracking",
    "smollm2-017": "backtracking",
    "smollm2-032": "verification",
    "smollm2-059": "backward_chaining",
}
for name, behavior_name in examples.items():
    row = by_id[name]
    seen = rl.detect_behaviors(row["prompt"], row["completion"])[behavior_name]
    verdict = "detected, not there" if seen else "there, not detected"
    print(
        f"{behavior_name}, {verdict}:\n    " + " ".join(row["completion"][:230].split())
    )

# %% [markdown]
# A `no` that denies nothing; a correction worded as "is not correct", which no pattern foresaw; a check announced by
# "verify" in a wording of its own; the prompt's "work backwards", parroted. Patterns read wording. Papers that
# count behavior in prose ask a language model (Gandhi et al.; Dr. GRPO keeps what keywords *and* a judge agree on), and
# a judge has a precision and a recall, too.

# %% [markdown]
# ## Layer 3, benefit
#
# Are responses right *because* they reflect? Three comparisons, from weak to strong.
#
# 1. **Across responses:** accuracy with and without a `wait`.
# 2. **Matched by problem:** the same difference within each question that the policy of one step answered both ways.
# 3. **Within a response:** what its first try would have scored as the answer, and what it answered in the end:
#    flips from wrong to right, and from right to wrong.

# %%
lab_words = rl.load_words("search")


def benefit(rows):
    matched, flips = rl.MatchedCounts(), rl.Flips()
    for row in rows.to_dict("records"):
        right = row["accuracy"] == 1
        reflected = lab_words.first(row["completion"]) is not None
        matched.add(row["prompt"], reflected=reflected, right=right)
        if reflected:
            flips.add(right_before_reflection(row, lab_words), right)
    sides = {
        f"accuracy, wait {w}": matched.accuracy(reflected=w) for w in (False, True)
    }
    matched_by_problem = {"matched difference": matched.difference().estimate}
    return pd.Series(sides | matched_by_problem | flips.rates())


per_step = responses.groupby(["seed", "step"]).apply(benefit).reset_index()
effect = over_seeds({s: t for s, t in per_step.groupby("seed")})

# %% tags=["nbval-check-output"]
rows = ["accuracy, wait False", "accuracy, wait True", "matched difference"]
rows += ["accuracy_if_cut", "accuracy", "wrong_to_right", "right_to_wrong"]
print(at_steps(effect, rows, [0, 20, 80]).to_string())

# %% tags=["hide-input"]
figure, (across, matched, within) = plt.subplots(1, 3, figsize=(10, 2.8))
for key, label, color in zip(
    rows, ("no wait", "with wait"), (GRAY, BLUE), strict=False
):
    band(across, effect, key, label, color)
band(matched, effect, "matched difference")
band(within, effect, "accuracy_if_cut", "first try as the answer", GRAY)
band(within, effect, "accuracy", "the answer given", BLUE)
across.set(title="1 · accuracy across responses", ylim=(0, 1.05))
matched.set(title="2 · with wait − without, same problem", ylim=(-0.5, 0.5))
within.set(title="3 · responses with wait", ylim=(0, 1.05))
for axes in (across, within):
    axes.legend(fontsize=8)

# %% [markdown]
# Read from the left, reflection looks harmful. After RL, responses *with* `wait` are right less often than those without,
# and matching by problem does not help: at step 20 they lie 0.23 behind on the same questions, at step 80 still 0.06,
# and no interval holds zero. Dr. GRPO's Appendix D reports as much of R1-Zero: reflection does not go with higher accuracy.
#
# The right panel shows why that is no harm. Responses with `wait` are those whose first try missed: taken as the answer,
# that first try would have been right in 0 to 2 % of them. What they answered in the end was right in 71 % (step 20)
# and 88 % (step 80), and flips from right to wrong are rarer than one in a hundred. **A response
# reflects because it is in trouble.** Comparing it with one that was not compares luck on the first try. Matching takes out
# the problem's difficulty, not this.

# %% [markdown]
# ### The experiment: put the word into its mouth
#
# All three comparisons only watch. In the lab we can intervene: let a policy make its first try, then write the
# next word ourselves, `answer` or `wait`, and let it go on. Beside it the policy's own choice. Before any RL, on
# `search-base`, whose pretraining answered hits and retried half of the misses, and on `search-control`, the
# same but blind: it answered and retried without regard to the result.


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

# %% [markdown]
# The questions are what was drawn, not the responses, so we average within a question first, and the interval
# is over questions.

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
figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
for axes, name in zip(panels, ("search-base", "search-control"), strict=True):
    for k, (option, color) in enumerate(
        zip(options, (GRAY, BLUE, ORANGE), strict=True)
    ):
        cells = [result[name, first][k] for first in ("wrong", "right")]
        errors = [
            [c.estimate - c.low for c in cells],
            [c.high - c.estimate for c in cells],
        ]
        places = [0.27 * k, 1 + 0.27 * k]
        axes.bar(places, [c.estimate for c in cells], 0.25, color=color, label=option)
        axes.errorbar(
            places, [c.estimate for c in cells], errors, fmt="none", color="black"
        )
    axes.set_xticks([0.27, 1.27], ["first try wrong", "first try right"])
    axes.set_title(name)
panels[0].set_ylabel("accuracy")
_ = panels[0].legend(title="next word", fontsize=8)

# %% [markdown]
# After a **wrong** first try, `answer` never helps and `wait` does, on either base: 0.26 and 0.17, against 0.15 and 0.07
# when the policy chooses for itself. It gives up too often; that is what RL changes first. After a **right** one, `wait`
# throws a sure point away: what is left is about the chance of another guess.
#
# So the benefit of `wait` is no property of the word. It is worth something to a policy that says it after misses and not after hits:
# `search-base` answers every hit (own choice 1.00), `search-control` one in two or three of its hits throws away again.
# If it says `wait` blindly, it trades one guess for another. (One policy each, 128 questions; the interval
# is over questions, not over trainings.)

# %% [markdown]
# ## Reflection without verification
#
# Now RL on both: GRPO for 80 steps, accuracy alone, five seeds each. The reward is the same, the words are the
# same, the bases say `wait` equally often. What differs is whether a base knows a hit when it sees one.

# %% tags=["hide-input"]
pair = rl.load_runs(data / "runs" / "grpo_search_search-*_seed*")
pair["misses answered"] = 1 - pair["eval/search/misses_retried"]
pair["knows a hit"] = pair["eval/search/hits_recognized"] - pair["misses answered"]
keys = [
    "eval/search/waits",
    "eval/sampled_accuracy",
    "knows a hit",
    "eval/search/arithmetic",
]
figure, panels = plt.subplots(1, 4, figsize=(12, 2.7))
for axes, key in zip(panels, keys, strict=True):
    for name, color in (("search-base", BLUE), ("search-control", ORANGE)):
        band(axes, pair[pair["policy"] == name], key, name, color)
_ = panels[0].legend(fontsize=8)

# %% tags=["nbval-check-output"]
keys = ["eval/search/waits", "eval/sampled_accuracy", "eval/search/hits_recognized"]
keys += ["misses answered", "knows a hit", "eval/search/arithmetic"]
for name in ("search-base", "search-control"):
    print(name)
    print(at_steps(pair[pair["policy"] == name], keys, [0, 10, 20, 80]).to_string())
by_seed = pair[(pair["step"] == 20) & (pair["policy"] == "search-control")]
print("control, waits at step 20:", by_seed["eval/search/waits"].round(2).tolist())

# %% [markdown]
# `knows a hit` again, from the records of the runs: here a miss that was cut off before its consequence counts as answered, so the numbers lie a little lower. Both bases start with 0.67 `wait` per response. A word count could not tell them apart.
#
# * **On `search-base`** `wait` rises sixfold by step 20 and ends at 2.2; it verifies almost perfectly and solves 0.91.
# * **On `search-control`** `wait` falls, to 0.16 at step 80, and `knows a hit` stays at or just below zero: RL does not
#   teach it to verify, it teaches it to answer at once, hit or miss. Accuracy still triples, by better first guesses. It even
#   computes worse than before, since nothing depends any more on the numbers it writes.
#
# Word counts alone would have said: the first run discovers self-correction, the second one unlearns it. In truth the
# second never had any. What its base said was `wait` without verification, and RL removed it, because it did not pay.
#
# **A correction to ourselves.** In an early draft of this lab, one run on another base that hardly verified, `wait` tripled
# within 40 steps while accuracy stood still, and we meant to show it here as *RL breeds empty reflection*. The five seeds above
# contradict it for this control: 0.77 at step 10 with an interval from 0.44 to 1.10, and down from there. One of the five nearly
# doubles its `wait` by step 20 before it falls. Had we run that seed alone, and stopped there, the story would have stood.

# %% [markdown]
# ## Length: right and wrong answers
#
# "More thinking time" is a mean over right and wrong responses, and they differ. Dr. GRPO's paper (Figure 6;
# Qwen2.5-1.5B, one run) blames part of the growth on the loss: under GRPO's $1/|o_i|$ a long wrong answer is
# punished less per token. There, wrong answers grow from 960 to about 1,980 tokens under GRPO and stay near 960
# under Dr. GRPO ([04](04_kl_and_biases.ipynb) has the derivation). Ours, five seeds, the same questions for both:

# %%
lengths = ["completions/mean_length_right", "completions/mean_length_wrong"]
names = [f"*grpo_search_search-{base}_seed*" for base in ("base", "control")]
runs = rl.load_runs([data / "runs" / name for name in names])
runs = runs[runs["step"] > 0].reset_index(drop=True)
smooth = runs.copy()
for key in lengths:
    by_run = smooth.groupby("run")[key]
    smooth[key] = by_run.transform(lambda x: x.rolling(5, min_periods=1).mean())
smooth = smooth[smooth["step"] % 5 == 0]

# %% tags=["hide-input"]
cases = [(policy, key) for policy in runs["policy"].unique() for key in lengths]
figure, panels = plt.subplots(1, len(cases), figsize=(3.1 * len(cases), 2.7))
for axes, (policy, key) in zip(panels, cases, strict=True):
    for name, chosen in smooth[smooth["policy"] == policy].groupby("algorithm"):
        band(axes, chosen, key, name, ALGORITHM_COLORS[name])
    axes.set_title(f"{policy}: {key.rpartition('_')[2]}")
panels[0].set_ylabel("tokens, mean of 5 steps")
_ = panels[0].legend(fontsize=8)

# %% tags=["nbval-check-output"]
for policy, table in runs.groupby("policy"):
    print(policy)
    for key in lengths:
        label = key.rpartition("_")[2]
        grpo = table[table["algorithm"] == "grpo"].groupby("step")[key].mean()
        early, late = grpo.loc[:5].mean(), grpo.loc[61:].mean()
        print(
            f"  {label}: GRPO {early:.0f} in the first 5 steps, {late:.0f} in the last 20;"
        )
        finals = rl.final_scores(table, key, last=20)
        print("   ", rl.paired_difference(finals, key, "dr_grpo", "grpo"))

# %% [markdown]
# On `search-base` wrong answers do grow, fourfold, as in Dr. GRPO's figure, but **under both algorithms**: Dr. GRPO's are 3 tokens
# shorter at the end, and the interval holds zero. Right answers become longer by a third. The growth has another cause here: a wrong answer of the beginning
# gave up after one miss, one of the end searched until the limit cut it off.
#
# On `search-control` wrong answers become *shorter*, from 24 tokens to 18, under the very same $1/|o_i|$, and again Dr. GRPO
# goes the same way (1 token shorter, the interval from −3 to 2). Ten pairs of runs on two bases do not
# show the bias; intervals of this width do not exclude a small one.
#
# "More thinking time", then: the mean rises because giving up ends, and falls because guesses get better. Neither
# is visible in the mean alone, and the $1/|o_i|$ of the loss is not needed to explain it, at this size.

# %% [markdown]
# ## The jump at step 8,200
#
# R1-Zero's limit was 32,768 tokens before step 8,200 and 65,536 after; v2 says that accuracy and length jump
# there *because of it*. The slide's Figure 9 has its spikes of `wait` just there, and without that sentence it
# looks as if the model had understood something. We repeat the change in the lab: 40 steps under a limit of 40
# tokens, three tries; then one arm goes on so (*kept*), the other with 128 (*raised*). Same weights, same seeds.

# %%
folder = data / "experiments" / "length_limit"


def arm(name):
    """The records of one arm over the five seeds, steps counted from the start."""
    table = rl.load_runs(sorted(folder.glob(f"seed*/{name}")))
    table["step"] += 0 if name == "before" else 40
    table["seed"] %= 1000  # the second half draws other questions
    run = [f"{name} {seed}" for seed in table["seed"]]
    return table.assign(run=run, algorithm=name, policy="search-base")


arms = {name: arm(name) for name in ("before", "kept", "raised")}

# %% tags=["hide-input"]
keys = ["eval/sampled_accuracy", "eval/mean_length", "eval/search/waits"]
keys += ["eval/terminated"]
figure, panels = plt.subplots(1, 4, figsize=(12, 2.7))
for axes, key in zip(panels, keys, strict=True):
    for (name, table), color in zip(arms.items(), (GRAY, BLUE, ORANGE), strict=True):
        band(axes, table, key, name, color)
    axes.axvline(40, color="black", lw=0.8, ls=":")
_ = panels[0].legend(fontsize=8)

# %% [markdown]
# At step 40 the two arms have the *same weights*, to the bit. What differs there is the ruler. Raised minus kept,
# seed by seed, before the first update under the new limit and 40 steps later:

# %% tags=["nbval-check-output"]
both = pd.concat([arms["kept"], arms["raised"]])
for step in (40, 80):
    print("step", step)
    for key in keys:
        now = both[both["step"] == step].dropna(subset=[key])
        level = now.groupby("algorithm")[key].mean()
        difference = rl.paired_difference(now, key, "raised", "kept").interval
        print(f"  {key:22} {level['kept']:5.2f} → {level['raised']:5.2f}: {difference}")

# %% [markdown]
# And what was *learned* under each limit, both arms measured with 128 tokens at the end, eight samples a question:

# %% tags=["nbval-check-output"]
ends = pd.concat(map(pd.read_csv, sorted(folder.glob("seed*.csv"))))
ends = ends.assign(algorithm=ends["stage"], task="search", policy="search-base")
for key in ("search", "search-hard", "mean_length", "waits", "misses_retried"):
    print(f"{key:15}", rl.paired_difference(ends, key, "raised", "kept"))

# %% [markdown]
# **No update, and a jump:** accuracy +0.17, 12 tokens, 1.7 times as many `wait`, in every seed, at the step of the change and at
# no other. All of it is responses that were cut off before (more than a quarter at step 40) and now come to their end: the patience had been learned
# already and could not be seen. Forty steps later the gap is 0.14, and measured alike only 0.03 of it is left: that is what
# *training* under the higher limit added. It is there in five of five seeds, and it is the small part.
#
# A reader who is not told of the setting sees, at one step, more `wait`, longer thought and a better score: an aha moment. For R1-Zero the paper
# itself gives the setting as the reason; what the slide lost is one sentence. Two limits of the comparison: our limit cuts off a quarter of the
# responses, while R1-Zero's mean at that step is 9,369 of 32,768 tokens; and v1's Figure 3 ends 200 steps after the change, too early to show it.

# %% [markdown]
# ## What usually goes wrong
#
# * **No step 0.** oat-zero found "aha" patterns in base models before any RL; our bases say `wait` before any
#   RL as well. Look at `eval/search/waits` at step 0, or give `rlnotes reflect` a `--baseline`.
# * **One normalization.** Longer responses have more of every word. Report `per_response`, `per_1000_tokens` and
#   `share`, and `completions/mean_length` beside them.
# * **Ordinary words.** `but`, `however`, `check` and `error` are most of many a count: look at `word/<w>`.
# * **Truncation.** `completions/clipped_ratio`: under a limit, a word at the end of a long response is never
#   written, and raising the limit makes it appear. A response that was cut off counts as "verified" when nothing it finished was wrong.
# * **Matching as if it were an experiment.** Who reflects has failed once already; see `matched difference`.
# * **A detector nobody measured.** `python scripts/detector_scores.py`; then read the responses that it got wrong.

# %% [markdown]
# ## The claims of these slides
#
# Intervals are 95 % over five seeds of R1-Zero in the lab where nothing else is said; verdicts are about this miniature, not about the papers,
# whose curves are one run each.
#
# | claim | paper | ours | verdict |
# | --- | --- | --- | --- |
# | "learns to solve reasoning tasks with more thinking time" | v1, Figure 3: 555 → 9,555 tokens, 8,400 steps | 24 → 60 [56, 65] tokens by step 20, back to 39 [36, 42] at step 80; accuracy 0.29 → 0.76 → 0.92 | holds for 20 steps; **contradicted here** after that: better *and* shorter |
# | ten words grow × 5 to 7 | v2, Figure 9(a), unit not stated | `wait`, the one word of ours: × 5.4 [4.8, 5.9] at step 20, × 2.8 [2.4, 3.1] at step 80 per response; × 2.1 and × 1.7 per token | a rise holds here; the factor is a choice of step and unit |
# | `wait` is rare at first and frequent late | v2, Figure 9(b) | 0.72 per response untrained, highest at step 20, falling since | does not show here |
# | "'wait' depicts the self-correction of model" | nowhere: the slide's own | 38 % [35, 41] of `wait` lead nowhere; as many `wait` in a base that cannot tell hit from miss | **contradicted here** as a rule |
# | reflection does not go with higher accuracy | Dr. GRPO, Appendix D | matched by problem −0.23 [−0.28, −0.17] at step 20, −0.06 [−0.08, −0.04] at step 80 | holds here, by selection: it does not mean that reflection is useless |
# | reflection helps | (the slide's reading) | a forced `wait`: 0.00 → 0.26 [0.21, 0.30] after a wrong first try, 1.00 → 0.17 [0.09, 0.26] after a right one (one policy, 128 questions) | holds here after misses only |
# | base models reflect before any RL | oat-zero; Dr. GRPO | `wait` in 44 % of untrained responses | holds here, because we pretrained it so |
# | superficial self-reflection | oat-zero | 23 % of `wait` before RL, 38 % [35, 41] after | holds here |
# | GRPO lengthens wrong answers, Dr. GRPO does not | Dr. GRPO, Figure 6: 960 → 1,980 tokens against flat | 29 → 112 under GRPO, Dr. GRPO −3 [−9, 2] beside it; on the control 24 → 18, Dr. GRPO −1 [−3, 2] | does not show here |
# | accuracy and length jump at 8.2k *because of* the limit | v2's text | the setting alone: accuracy +0.17 [0.14, 0.20], length +12 [9, 16], `wait` +0.9 [0.6, 1.1] | holds here |
# | RL teaches a blind policy to verify | (what a word count would miss) | `knows a hit` −0.04 → −0.01 [−0.05, 0.03] | does not show here |
# | an "anthropomorphic tone", an aha in words | one example of R1-Zero | the language has numbers and a dozen words, none of feeling | not testable here |

# %% [markdown]
# ## Exercises
#
# Replace `raise NotImplementedError` and run the cell: `check_exercise` says "right", or gives a hint.
#
# **1.** Whole words in any case, from a list of single words: a dict of those that occur, with their counts.


# %%
def count_reflective(text, words):
    raise NotImplementedError


check_exercise("aha-1", count_reflective)


# %% [markdown]
# **2.** From R1's two factors, tokens per response × `length` and words per response × `words`: by which factor does
# the rate per token change? And, if `words` was per token after all, the count per response? A tuple of the two.


# %%
def other_readings(words, length):
    raise NotImplementedError


check_exercise("aha-2", other_readings)


# %% [markdown]
# **3.** Accuracy with minus without reflection, matched by problem. Three lists of one length: `problems` (names),
# `reflected`, `right` (0 or 1). Problems that were not answered both ways do not count; each other one counts once.


# %%
def matched_difference(problems, reflected, right):
    raise NotImplementedError


check_exercise("aha-3", matched_difference)


# %% [markdown]
# **4.** Does a policy know a hit when it sees one? From an `rlnotes.Trace`: the share of hits that are answered minus
# the share of misses that are answered (`give_ups`). 1: it verifies; 0: it answers blindly.


# %%
def knows_a_hit(trace):
    raise NotImplementedError


check_exercise("aha-4", knows_a_hit)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # aha-1
# def count_reflective(text, words):
#     import re
#
#     found = re.findall(r"\w+", text.casefold())
#     return {word: found.count(word) for word in words if word in found}
# ```
#
# ```python
# # aha-2
# def other_readings(words, length):
#     return words / length, words * length
# ```
#
# ```python
# # aha-3
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
# ```python
# # aha-4
# def knows_a_hit(trace):
#     return trace.hits_answered / trace.hits - trace.give_ups / trace.misses
# ```
#
# </details>

# %% [markdown]
# ## References
#
# * DeepSeek-AI, 2025, *DeepSeek-R1*, arXiv 2501.12948: v1 Figure 3 and Table 3; v2 Figures 1(b) and 9, Table 2,
#   Appendix C.2.
# * Liu et al., 2025, *There May Not be Aha Moment in R1-Zero-like Training* (oat-zero, a blog post): superficial
#   self-reflection.
# * Liu et al., 2025, *Understanding R1-Zero-Like Training*, arXiv 2503.20783: Appendix D on self-reflection, Figure 6
#   on length.
# * Gandhi et al., 2025, *Cognitive Behaviors that Enable Self-Improving Reasoners*, arXiv 2503.01307: the four
#   behaviors.
# * Gandhi et al., 2024, *Stream of Search*, arXiv 2404.03683: learning to search from written-out mistakes.
# * *The Illusion of Insight in Reasoning Models*, arXiv 2601.00514: mid-trace shifts and accuracy.
# * Zeng et al., 2025, *SimpleRL-Zoo*, arXiv 2503.18892: length and verification over ten base models.
#
# Next: [08 DAPO](08_dapo.ipynb).
