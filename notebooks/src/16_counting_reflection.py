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
# # 16 · Counting reflection: words, detectors, controls, prompts
#
# question → rollouts → rewards → advantages → objective → update → **record → figure**
#
# This is the appendix of [07 The aha moment](07_aha_moment.ipynb). That page asks what a `wait` is worth. This one asks how one counts,
# how wrong a count can be, and what it depends on beside the policy.
#
# You will be able to
#
# * count words in three ways, and say when the three disagree,
# * say what a detector of behavior sees and what it misses, with its precision and recall on labels,
# * name the control that tells reflection from the habit of saying `wait`,
# * report a count together with its prompt, and say why it means little without.
#
# **Reading:** about 29 minutes. **Running:** a few seconds. **Papers:** [DeepSeek-R1](https://arxiv.org/abs/2501.12948) (v2);
# [Gandhi et al.](https://arxiv.org/abs/2503.01307); [Dr. GRPO](https://arxiv.org/abs/2503.20783).
# **Builds on** [01 The search lab](01_search_lab.ipynb) and [07](07_aha_moment.ipynb).

# %%
import re
import textwrap
from collections import Counter

import matplotlib.pyplot as plt
import pandas as pd

import rlnotes as rl
from rlnotes.analysis.intervals import wilson_interval
from rlnotes.reflection.scores import read_labels, score_labels
from rlnotes.teaching.exercises import check_exercise

rl.use_style()
data = rl.project_folder() / "data"
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#999999"

# %% [markdown]
# ## Layer 1, words
#
# A word counts in any case and only whole, so that `await` and `checkout` do not count. A hyphen ends a word. The
# list is R1's, as v2 gives it: three experts' lists, merged.

# %% tags=["nbval-check-output"]
R1_WORDS = rl.WORD_LISTS["r1"]
print(", ".join(R1_WORDS))


def count_words(text, words):
    found = re.findall(r"\w+", text.casefold())
    return Counter(word for word in found if word in words)


# %% [markdown]
# Here are five texts of our own. Which of them reflect, to your eye? The library has to agree with our count on all of them. (It
# also knows phrases, accents and scripts without spaces.)

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
# The first text reflects and has two words of the list. The second has four and reflects on nothing: `but`, `error`,
# `however` and `check` have ordinary uses. The third is an instruction. The fourth corrects itself without any
# word of the list, and the fifth says `wait` three times to no effect. The count sorts them in the wrong order.

# %% [markdown]
# ### Three ways to normalize
#
# One can count per response, per 1,000 tokens, or the share of responses with at least one word. On the same data the three can go
# three ways. Below are four short responses, two of which say `wait` once, and four that are seventeen times as long, one of which
# says it twelve times. ([07](07_aha_moment.ipynb) reads R1's own figures in two of these ways.)


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
# That is six times as many per response, a third as many per token, and half as many responses.
#
# ### A list knows its own language
#
# R1-Zero mixed languages, and Figure 9's list is English. The lab's base `search-mixed` says `wait` or 等, the same word in a second
# language. We count the responses of its untrained and its trained policy (five seeds, step 80) with both lists:

# %% tags=["nbval-check-output"]
files = sorted((data / "experiments" / "r1_pipeline").glob("zero_seed*.jsonl"))
responses = pd.concat(
    pd.read_json(path, lines=True).assign(seed=seed) for seed, path in enumerate(files)
)
for step in (0, 80):
    said = " ".join(responses.loc[responses["step"] == step, "completion"])
    both, english = (rl.load_words(x).count(said)["wait"] for x in ("search", "r1"))
    print(f"step {step:2}: {both} of `wait` or 等, {1 - english / both:.2f} of them 等")

# %% [markdown]
# A quarter escapes R1's list, before training as after it, so a curve by that list keeps its shape here. Had RL moved the policy from one
# language to the other, the list would have shown reflection vanish or emerge.

# %% [markdown]
# ## Layer 2, behavior
#
# Gandhi et al. name four behaviors: verification, backtracking, setting subgoals and working backwards. In the search lab two of them can
# be calculated (`rl.lab_reflection`). A response is a chain of tries. A **hit** is a try whose result is the target, and a **miss** is any other.
#
# * **Verification:** some finished try has the right consequence (hit → `answer`, miss → `wait`), and none the wrong.
# * **Backtracking:** a miss, `wait`, and then a try not made before.
# * **Superficial:** a `wait` that leads nowhere: after a hit, before a try already made, or before nothing.
#
# The other two have no words in this language. Three responses that say `wait` once each:

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
# The first is what the slide means. The second tries the same again and gives up. The third has the solution, says
# `wait`, and throws it away.
#
# ### A share of responses can be accuracy in disguise
#
# "Verification" by response rises from 0.29 to 0.95 in 80 steps of RL. Is that checking? We compare it with the verdict of the same responses:


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
# Before training it *is* accuracy. An untrained response either answers a hit or gives up on a miss, so "verified" and "right" agree in
# nearly every response. Later it also credits responses that were cut off while they searched, because none of their finished tries had the wrong
# consequence: at step 20 nearly one response in five. So part of the rise is accuracy measured again, and part is truncation.
# A count by *decision* has neither fault: the share of hits that are answered minus the share of misses that are answered,
# *knows a hit* in [07](07_aha_moment.ipynb).
#
# Counts by kind can also add up to more than their total, since a `wait` can be superficial in two ways:

# %% tags=["nbval-check-output"]
kinds = Counter()
for row in responses[responses["step"] == 80].itertuples():
    kinds.update(
        vars(rl.lab_reflection(row.completion, rl.search_question(row.prompt)))
    )
names = ("waits", "superficial", "waits_after_hit", "waits_before_repeat")
print({name: kinds[name] for name in names})
print(
    "both:",
    kinds["waits_after_hit"] + kinds["waits_before_repeat"] - kinds["superficial"],
)

# %% [markdown]
# ## How good are the detectors?
#
# 245 responses were labeled by reading, without sight of the detector: 185 of the lab and 60 of SmolLM2, asked to
# plan, check or work backwards. The readers were two sessions of a language model and no people.
# [`data/labels/README.md`](../data/labels/README.md) has their instructions and how often they agreed. *Precision* is the share of the detected that is
# labeled so, and *recall* is the share of the labeled that is detected. Intervals are Wilson's, 95 %.

# %% tags=["nbval-check-output"]
labels = read_labels(data / "labels" / "reflection.jsonl")
scores = score_labels(labels)
for kind in ("precision", "recall"):
    columns = [kind, f"{kind}_low", f"{kind}_high"]
    scores[kind] = [
        f"{p:.2f} [{low:.2f}, {high:.2f}]" if p == p else "–"
        for p, low, high in scores[columns].to_numpy()
    ]
words_for = {"support": "labeled", "source": "", "behavior": ""}
columns = ["source", "responses", "behavior", "support", "detected"]
shown = scores[[*columns, "precision", "recall"]]
print(shown.rename(columns=words_for).to_string(index=False))

# %% [markdown]
# In the lab the calculation agrees with the readers in all but one of 185 responses. (That one writes a stray number
# after the target, and the readers let it pass.) In prose the detector is **bad**. Of seven checks it
# finds one, of four ways back none, and five of the six that it does find are not there. It finds half of the subgoals. The intervals are
# wide, since 60 responses hold few of either, and none of them makes it good. Some of its errors:

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
    print(f"{behavior_name}, {verdict}:")
    print(textwrap.indent(textwrap.fill(row["completion"][:230], 90), "    "))

# %% [markdown]
# The first says `no` and denies nothing. The second corrects itself by "is not correct", which no pattern foresaw. The third announces a check
# in a wording of its own. The last repeats the prompt's "work backwards". Patterns read wording. Papers that
# count behavior in prose ask a language model (Gandhi et al.; Dr. GRPO keeps what keywords *and* a judge agree on). A judge has a
# precision and a recall, too.

# %% [markdown]
# ## Reflection without verification
#
# A count needs a control: a policy that says the words and does not have the behavior. `search-control` was pretrained like
# `search-base`, says as many `wait`, and answers and retries without regard to the result. Both get GRPO for 80 steps, accuracy alone, five seeds each.

# %% tags=["hide-input"]
pair = rl.load_runs(data / "runs" / "grpo_search_search-*_seed*")
pair["misses answered"] = 1 - pair["eval/search/misses_retried"]
pair["knows a hit"] = pair["eval/search/hits_recognized"] - pair["misses answered"]
PAIR = {
    "eval/search/waits": "wait per response",
    "eval/sampled_accuracy": "share right",
    "knows a hit": "knows a hit",
    "eval/search/arithmetic": "share of sums that are right",
}
figure, panels = plt.subplots(1, 4, figsize=(12.5, 2.8))
for axes, (key, title) in zip(panels, PAIR.items(), strict=True):
    for name, color, style in (("base", BLUE, "-"), ("control", ORANGE, "--")):
        line = rl.metric_bands(pair[pair["policy"] == f"search-{name}"], key)
        x, low, high = line["step"], line["low"], line["high"]
        axes.plot(x, line["estimate"], style, color=color, label=f"search-{name}")
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
    axes.set(xlabel="step", title=title)
panels[2].axhline(0, color="black", lw=0.8)
_ = panels[3].legend(fontsize=8, loc="lower left")


# %% tags=["nbval-check-output"]
def at_steps(runs, names, steps):
    """Rows: `names`, {key: words}; columns: steps."""
    cells = {}
    for key, name in names.items():
        for row in rl.metric_bands(runs[runs["step"].isin(steps)], key).itertuples():
            interval = rl.Interval(row.estimate, row.low, row.high, row.n)
            one = row.high - row.low < 1e-9  # one policy, one sample: no interval
            cells[name, int(row.step)] = f"{row.estimate:.2f}" if one else str(interval)
    table = pd.Series(cells).unstack()[steps].loc[list(names.values())]
    return table.rename(columns=lambda step: f"step {step}")


for name in ("search-base", "search-control"):
    table = at_steps(pair[pair["policy"] == name], PAIR, [0, 10, 20, 80])
    print(name, table.to_string(), sep="\n")
by_seed = pair[(pair["step"] == 20) & (pair["policy"] == "search-control")]
print("control, waits at step 20:", by_seed["eval/search/waits"].round(2).tolist())

# %% [markdown]
# Both bases start with 0.67 `wait` per response, so a word count cannot tell them apart.
#
# * **On `search-base`** `wait` rises sixfold by step 20 and ends at 2.2. The policy verifies almost perfectly and solves 0.91.
# * **On `search-control`** `wait` falls, to 0.16 at step 80, and *knows a hit* stays at or just below zero. RL does not
#   teach it to verify. It teaches it to answer at once, hit or miss. Accuracy still triples, by better first guesses. It even
#   computes worse than before, since nothing depends any more on the numbers it writes.
#
# By the words alone the first run discovers self-correction and the second unlearns it. In truth the
# second never had any. What its base said was `wait` without verification, and RL removed it because it did not pay.
# (Here a miss that was cut off counts as answered, so *knows a hit* lies a little lower than in 07.)
#
# **A correction to ourselves.** In an early draft of this lab, one run on another base that hardly verified, `wait` tripled
# within 40 steps while accuracy stood still, and we meant to show it as *RL breeds empty reflection*. The five seeds above
# contradict it for this control: 0.77 at step 10 with an interval from 0.44 to 1.10, and down from there. One of the five nearly
# doubles its `wait` by step 20 before it falls. Had we run that seed alone and stopped there, the story would have stood.

# %% [markdown]
# ## The same weights, other prompts
#
# A count belongs to a policy *and* a prompt. In this section nothing is trained: the weights stay, and the prompt changes. The record is made by
# [`experiments/reflection_prompts.py`](../experiments/reflection_prompts.py), at temperature 1, with the same number of samples for each question. Each layer is averaged within a question first,
# so the 95 % intervals are over questions.


# %% tags=["hide-input"]
def over_questions(rows, values, most=float("inf")):
    """Mean with its interval; Wilson's for questions that all say 0."""
    means = rows.assign(value=list(values)).groupby("prompt")["value"].mean()
    if not means.any():
        return wilson_interval(0, len(means))
    return rl.stratified_bootstrap(means).within(0, most)


# %% tags=["hide-input"]
def layers(rows, behavior):
    """The three layers of some responses to one form of prompt."""
    matched = rl.MatchedCounts()
    for row in rows.itertuples():
        right = row.accuracy == 1
        matched.add(row.prompt, reflected=row.said > 0, right=right)
    return {
        "tokens": f"{rows['length'].mean():.0f}",
        "cut off": f"{rows['truncated'].mean():.2f}",
        "words": over_questions(rows, rows["said"]),
        "per 1,000": f"{1000 * rows['said'].sum() / rows['length'].sum():.1f}",
        behavior: over_questions(rows, [behavior in x for x in rows["behaviors"]], 1),
        "accuracy": over_questions(rows, rows["accuracy"], 1),
        "with − without": matched.difference(),
    }


# %% [markdown]
# ### In the lab: the question's size and form
#
# Three policies get 48 questions in each of six forms, four samples each: the two bases, and `search-base` after GRPO (seed 0 of the record). Three of the forms the policies have seen in training or pretraining, three they have not:
#
# | form | prompt |
# | --- | --- |
# | two numbers | `make 14 from 2 7 :` |
# | as trained | `make 5 from 7 4 6 :` |
# | four numbers | `make 7 from 5 4 7 1 :` |
# | no colon | `make 5 from 7 4 6` |
# | an example before | a solved question with one `wait`, then `make 5 from 7 4 6 :` |
# | begins with wait | `make 5 from 7 4 6 : wait` |
#
# The last form is kept for an exercise.

# %% tags=["nbval-check-output"]
folder = data / "experiments" / "reflection_prompts"
record = pd.read_json(folder / "responses.jsonl", lines=True)
in_lab = record["policy"] != "smollm2-135m"  # of SmolLM2 the counts were kept
texts = record[in_lab].itertuples()
seen = [(rl.load_words("search").count(x.completion), x) for x in texts]
record.loc[in_lab, "words"] = pd.Series(
    [words for words, _ in seen], record.index[in_lab]
)
found = [rl.detect_behaviors(x.prompt, x.completion) for _, x in seen]
shown = [[name for name, yes in one.items() if yes] for one in found]
record.loc[in_lab, "behaviors"] = pd.Series(shown, record.index[in_lab])
record["said"] = [sum(words.values()) for words in record["words"]]
grouped = record[in_lab].groupby(["policy", "form"], sort=False)
found = {key: layers(rows, "backtracking") for key, rows in grouped}
lab = pd.DataFrame(found).T
shown = lab.drop(columns=["tokens", "with − without"]).drop("begins with wait", level=1)
print(shown.map(str).to_string())

# %% tags=["hide-input"]
FORMS = list(dict.fromkeys(form for _, form in found))[:-1]  # one is an exercise
figure, panels = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True)
looks = {"search-control": (ORANGE, "s"), "search-base": (GRAY, "^")}
looks["GRPO, seed 0"] = (BLUE, "o")
for axes, key in zip(panels, ("words", "accuracy"), strict=True):
    for k, (policy, (color, marker)) in enumerate(looks.items()):
        cells = lab.loc[policy].loc[FORMS, key]
        x = [one.estimate for one in cells]
        error = [
            [c.estimate - c.low for c in cells],
            [c.high - c.estimate for c in cells],
        ]
        y = [row + 0.2 * (k - 1) for row in range(len(FORMS))]
        axes.errorbar(x, y, xerr=error, fmt=marker, ms=5, color=color, label=policy)
    axes.set_yticks(range(len(FORMS)), FORMS)
panels[0].invert_yaxis()
panels[0].set(xlabel="`wait` per response".replace("`", ""), title="layer 1: words")
panels[1].set(xlabel="share right", title="accuracy", xlim=(0, 1))
_ = panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# One set of weights, the GRPO policy's, says `wait` 0.7 times a response for two numbers and 6 times without the colon. That is a factor of
# eight, where 80 steps of training made a factor of 2.5 (from 0.73 to 1.80, *as trained*). The two largest changes are different in kind:
#
# * **A harder question.** With four numbers there are more misses, so there are more `wait` (5.16), and 83 % of the responses backtrack. Words and behavior rise together. The count says something about
#   the question.
# * **A prompt that breaks the policy.** Without the colon `wait` triples as well, but backtracking falls from 58 % to 10 % of the responses and accuracy from 96 % to 19 %. The policy
#   does not reflect more. It no longer writes tries at its question. The example has the same effect.
#
# "How much did RL raise `wait`?" has another answer in each form: not clearly on two numbers (0.45 to 0.72), and more than sixfold without the colon. The control, which cannot verify, says
# about as many as `search-base` in most forms. Whoever compares two policies must ask both in the same form, and name it.

# %% [markdown]
# ### In natural language: SmolLM2 under six templates
#
# SmolLM2-135M-Instruct can use all ten of R1's words. It gets the same 24 questions in each template, twelve word problems and twelve products of digits, four samples each, up to 96 tokens:
#
# | template | what the model is given |
# | --- | --- |
# | bare question | the question alone, without a chat template |
# | question and answer | `Question: … Answer:` |
# | R1's template | R1's Table 1: a conversation, with `<think>` and `<answer>` described |
# | chat | the question in the model's own chat template |
# | chat, step by step | the same, and "Let's think step by step." |
# | chat, check | the same, and "Check your answer before you give it." |

# %% tags=["nbval-check-output"]
model = record[~in_lab].groupby("form", sort=False)
templates = pd.DataFrame({f: layers(rows, "verification") for f, rows in model}).T
print(templates.drop(columns="with − without").map(str).to_string(), end="\n\n")
for form, rows in model:
    total = sum(map(Counter, rows["words"]), Counter())
    empty = (rows["length"] == 1).mean()
    print(f"{form:19} {empty:.2f} are empty; {dict(total.most_common(4))}")
print((~in_lab).sum(), "responses")

# %% tags=["hide-input"]
SHOWN = {
    "words": "R1's words per response",
    "verification": "share announcing a check",
    "accuracy": "share right",
}
figure, panels = plt.subplots(1, 3, figsize=(11, 2.9), sharey=True)
for axes, (key, title) in zip(panels, SHOWN.items(), strict=True):
    cells = templates[key]
    x = [one.estimate for one in cells]
    error = [[c.estimate - c.low for c in cells], [c.high - c.estimate for c in cells]]
    axes.errorbar(x, range(len(cells)), xerr=error, fmt="o", color=BLUE)
    axes.set_yticks(range(len(cells)), templates.index)
    axes.set(title=title, xlim=(0, None))
    axes.locator_params(axis="x", nbins=4)
panels[0].invert_yaxis()

# %% [markdown]
# R1's words go from 0.12 a response for the bare question to 0.46 in R1's template, almost four times as many at the same weights. Does R1's template make this model reflect?
#
# * **Words.** Nearly all are `but` and `however`, and no response says `wait`. Most of the difference is length: the bare question is answered by nothing two times out of three, and R1's
#   template by 90 tokens, mostly cut off. Per 1,000 tokens the bare question has the *most* words.
# * **Behavior.** One response of all announces a check in a wording that the detector knows, and it is none of those that were asked to check. (The detector finds one check of seven, so this says "few" and not "none".)
# * **Benefit.** The accuracy changes with the template from 0.03 to 0.19, and not along with the words.
#
# So "this model says 0.46 reflective words a response" is a sentence about R1's template and a limit of 96 tokens as much as about the model. A comparison of a base model in R1's template with a chat
# model in its own compares templates. (We kept the counts of these responses and not the texts: at temperature 1 a model of this size also says offensive things. The command samples them again.)

# %% [markdown]
# ### Layer 3 under each prompt
#
# Accuracy with minus without a word, matched by question, in the forms of both records. A question counts when its four samples hold both kinds:

# %% tags=["nbval-check-output"]
wide = lab["with − without"].map(str).unstack(0)[list(looks)].loc[FORMS]
print(wide.rename_axis(index=None, columns=None).to_string(), end="\n\n")
small = templates["with − without"]
print(small.map(lambda one: f"{one}, {one.n} questions").to_string())

# %% [markdown]
# For the trained policy even the **sign** depends on the prompt. On four numbers responses with `wait` are far behind: half of all responses were cut off, and these were still saying it. Without the colon they are ahead. As trained they are a little behind, for the reason that
# [07](07_aha_moment.ipynb) gives: a first try that missed. For SmolLM2 every interval holds zero. (Of so many intervals one or two exclude zero by luck.)

# %% [markdown]
# ## What usually goes wrong
#
# * **Ordinary words.** `but`, `however`, `check` and `error` are most of many a count: look at `word/<w>`.
# * **A detector that nobody measured.** `python scripts/detector_scores.py` prints its precision and recall. Then read the responses that it got wrong.
# * **Truncation counted as care.** A response that was cut off counts as "verified" when nothing it finished was wrong.
# * **No control.** Count a policy that says the words by habit, with the same prompt.
# * **Two counts under two prompts.** A template, a size of question or a missing colon moves the count as much as training does.
# * **The prompt's own words.** Count completions, never prompt and completion together: "check your answer" holds a word of R1's list.

# %% [markdown]
# ## Exercises
#
# **Predict, then run.** `search-control` says `wait` without regard to the result. Its prompt gets a `wait` at its end. Does it say more of them in
# what follows, as many, or fewer? Write your prediction in the first line.

# %%
prediction = None  # "more", "as many" or "fewer"

for name in ("search-control", "GRPO, seed 0") if prediction else ():
    print(
        name,
        lab.loc[name].loc[["as trained", "begins with wait"]].to_string(),
        sep="\n",
    )
print("your prediction:", prediction or "none yet: fill in the line, run again")

# %% [markdown]
# <details><summary>Answer</summary>
#
# As many, as far as 48 questions can tell: the two intervals overlap by more than half. For a policy that says `wait` without regard to the result,
# one more `wait` before the first try does not change how often it says the word. Its backtracking falls to a few percent of the responses, which a count of words does not show. The trained policy says a few more, and its intervals overlap as well.
#
# </details>
#
# **aha-3. Precision and recall.** Two lists of true and false, one pair for each response: what a detector says, and what a reader says. Return
# precision and recall, each `None` where it has nothing to divide by.


# %%
def precision_and_recall(detected, labeled):
    raise NotImplementedError


check_exercise("aha-3", precision_and_recall)

# %% [markdown]
# **aha-4. Superficial.** A lab response as a list of tries, each `(operators, result, word)`: its operators, what it came to, and the word
# that follows it, `"wait"`, `"answer"` or `""` where the response was cut off. How many `wait` lead nowhere, each counted once?


# %%
def superficial_waits(tries, target):
    raise NotImplementedError


check_exercise("aha-4", superficial_waits)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # aha-3
# def precision_and_recall(detected, labeled):
#     both = sum(a and b for a, b in zip(detected, labeled))
#     return tuple(both / sum(x) if sum(x) else None for x in (detected, labeled))
# ```
#
# ```python
# # aha-4
# def superficial_waits(tries, target):
#     seen, count = set(), 0
#     for i, (operators, result, word) in enumerate(tries):
#         seen.add(operators)
#         if word == "wait":
#             last = i + 1 == len(tries)
#             count += result == target or last or tries[i + 1][0] in seen
#     return count
# ```
#
# </details>
#
# **A small experiment of your own.** Be the reader. Sample twenty responses of SmolLM2 (`rlnotes sample`, or `model_rows` of the experiment), cover the detector's verdict, and label
# them by the [instructions](../data/labels/README.md). Which template's responses does the detector read worst?
#
# | template | responses | you see a check | the detector sees one | both |
# | --- | --- | --- | --- | --- |
# | chat, check | 10 | | | |
# | R1's template | 10 | | | |
#
# ## References
#
# * DeepSeek-AI, 2025, [*DeepSeek-R1*](https://arxiv.org/abs/2501.12948): v1 Table 1; v2 Figure 9, Appendix C.2.
# * Liu et al., 2025, [*Understanding R1-Zero-Like Training*](https://arxiv.org/abs/2503.20783): templates and base models; Appendix D on self-reflection.
# * Gandhi et al., 2025, [*Cognitive Behaviors that Enable Self-Improving Reasoners*](https://arxiv.org/abs/2503.01307): the four behaviors.
# * The records: [`experiments/reflection_prompts.py`](../experiments/reflection_prompts.py), [`data/labels`](../data/labels/README.md).
#
# **Back to** [07 The aha moment](07_aha_moment.ipynb).
