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
# # 05 · DeepSeek-R1: rules, a pipeline, and what to distill
#
# **question → rollouts → rewards** → advantages → objective → update → **record** → figure
#
# You will be able to
#
# * write R1-Zero's two rules, and say what they pay and what they overlook,
# * read R1-Zero's curves without mixing two versions of one paper,
# * take "language mixing" apart: per word, per response, and after a reward for language,
# * run one SFT stage of the R1 pipeline, and read all of its stages with intervals over seeds,
# * weigh distillation against RL on one axis of compute, with an honest control.
#
# **Time:** two to four minutes on one core, most of it a live R1-Zero run on SmolLM2.
# **Paper:** DeepSeek-R1, arXiv 2501.12948; *v1* is the text of January 2025, *v2* that of
# January 2026. **Builds on** [03 GRPO](03_grpo.ipynb), the algorithm of every RL stage here.
# **Next:** [07 The aha moment](07_aha_moment.ipynb).

# %% [markdown]
# ## Set-up
#
# The parameters shorten the live run; the recorded runs beside it have 20 steps and five
# seeds. Papermill can override them.

# %% tags=["parameters"]
max_steps = 2
eval_samples = 4
sft_prompts = 192

# %%
import re

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import Markdown

import rlnotes as rl
from rlnotes.analysis import figures, statistics
from rlnotes.machine.rates import bfloat16_pays
from rlnotes.supervised import curation
from rlnotes.tasks.base import Task
from rlnotes.tasks.numbers import read_number, same_number
from rlnotes.tasks.search_language import ANSWER, WAIT
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.worked_group import worked_group

figures.use_style()
torch.manual_seed(0)
print("torch", torch.__version__.split("+")[0])

# %% [markdown]
# ## REWARDS: two rules, no model
#
# The slide's flow chart says "Large Scale RL (GRPO, Rule-based Reward Model)".
# **[Erratum 6](../docs/errata.md#erratum-6).** There is no reward *model*: v1 (§2.2.2) and v2 have rules only, and say why (a
# neural one is hacked in long runs, and has to be retrained). The slide also drops that there
# are two of them, with the same weight:
#
# $$R_{\text{rule}} = R_{\text{acc}} + R_{\text{format}}$$
#
# Format first: one block of thinking, one of answer, nothing around them. Five lines:

# %%
BLOCKS = re.compile(r"\s*<think>(.+?)</think>\s*<answer>(.+?)</answer>\s*", re.DOTALL)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def format_rule(text):
    """1 if the text is the two blocks, each tag once in any case, no block blank."""
    if any(text.lower().count(tag) != 1 for tag in TAGS):
        return 0.0
    found = BLOCKS.fullmatch(text)
    return float(found is not None and all(part.strip() for part in found.groups()))


# %% [markdown]
# Accuracy reads the answer block and nothing else. R1 asks for a box around the final answer
# of a mathematical question and runs tests on code; we compare numbers. Nothing is ever
# evaluated: a completion is text from a stranger.


# %%
def accuracy_rule(text, answer):
    """1 if the only answer block outside the thought is the answer's number."""
    said = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    blocks = re.findall(r"<answer>(.*?)</answer>", said, re.DOTALL)
    number = read_number(blocks[0]) if len(blocks) == 1 else None
    return float(same_number(number, read_number(answer)))


# %% [markdown]
# Now the hostile examples. What would a policy write that is paid for anything but a right
# answer in the right form? Each line is a completion for "What is 5 + 7?", so 12 is right.

# %%
# fmt: off
cases = {
    "as intended": "<think>5 + 7 = 12</think> <answer>12</answer>",
    "no tags": "5 + 7 = 12",
    "right, outside the block": "<think>5 + 7 = 12</think> <answer>done</answer> 12",
    "two answers": "<think>hm</think> <answer>11</answer> <answer>12</answer>",
    "upper case": "<THINK>5 + 7</THINK> <ANSWER>12</ANSWER>",
    "nested": "<think>5 + 7 <answer>12</answer></think>",
    "unclosed": "<think>5 + 7 = 12</think> <answer>12",
    "empty thinking": "<think> </think> <answer>12</answer>",
    "code": "<think>run it</think> <answer>__import__('os')</answer>",
    "a sum instead": "<think>easy</think> <answer>5 + 7</answer>",
    "Arabic digits": "<think>٥ + ٧ = ١٢</think> <answer>١٢</answer>",
    "wrong thinking": "<think>5 + 7 = 13</think> <answer>12</answer>",
    "a hedge": "<think>unsure</think> <answer>11 or 12</answer>",
}
# fmt: on

# %% tags=["nbval-check-output"]
task_set = rl.load_task("addition-r1")
question = Task("What is 5 + 7?", "12")
rows = []
for case, text in cases.items():
    accuracy, form = accuracy_rule(text, "12"), format_rule(text)
    assert accuracy == task_set.verify(text, question)
    assert [form] == rl.format_reward(completions=[text])
    rows.append((case, text, accuracy, form, accuracy + form))
table = pd.DataFrame(rows, columns=["case", "completion", "acc", "format", "R_rule"])
print(table.drop(columns="completion").astype(int, errors="ignore").to_string())

# %% [markdown]
# Our lines and the library's agree on all of them. Why each scores what it does:
#
# * *No tags* and *outside the block*: right, and unpaid. A number that no block holds has no owner.
# * *Two answers*: a policy that may answer twice is paid for guessing; so neither counts.
# * *Upper case, nested, unclosed*: every tag counts once and in order. *Nested* has its answer
#   inside the thought, where none is given; *empty thinking* loses the format alone.
# * *Code* and *a sum*: read as text. `5 + 7` is no number, and nothing computes 12.
# * *Arabic digits* are digits (Unicode decimal), so this is a right answer.
# * *Wrong thinking* gets full pay: **neither rule reads the thinking**. That freedom is what
#   R1-Zero is about, and the hole through which its readability will leave.
# * *A hedge* is unpaid because the answer is the whole of its block: `11 or 12` is no number.

# %% [markdown]
# ### What the sum does to a group
#
# Same weight means that a well-formed wrong answer is worth as much as a right answer in bad
# form. In the group below, two completions at 1 get the same advantage for opposite merits;
# [09 GDPO](09_gdpo.ipynb) is about that. And a rule that nobody in the group fulfils adds a
# constant, which the group's mean takes out again: our worked group has no tags at all, so
# $R_{\text{format}}$ changes nothing.

# %% tags=["nbval-check-output"]
four = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
print("R_acc, R_format      ", four.int().tolist())
advantages = rl.group_relative_advantages(four.sum(1), 4)
print("advantage of the sum ", [round(float(a), 3) for a in advantages])
group = worked_group()
form = torch.tensor(rl.format_reward(completions=list(group.texts)))
with_form = rl.group_relative_advantages(group.rewards + form, 4)
assert torch.equal(with_form, rl.group_relative_advantages(group.rewards, 4))
print("format of the worked group", form.tolist())

# %% [markdown]
# ## QUESTION: the template
#
# R1-Zero starts from a base model, so a template must turn text completion into question and
# answer. R1's (v1, Table 1) describes a conversation in which an assistant first reasons in
# `<think>` tags and then answers in `<answer>` tags, and leaves a slot for the question.
# It gives *structure only*: no hint to reflect, no strategy, so that what appears in the
# thinking was not asked for.
#
# A model of 135 million weights does not follow such a description. Our task `addition-r1`
# therefore adds one worked example (a training question, the same for all). The prompt:

# %% tags=["nbval-check-output"]
asked = task_set.held_out()[0]
for turn in asked.prompt:
    print(f"{turn['role']:9} {turn['content']}")

# %% [markdown]
# Does it need the example? We ask the untrained policy the held-out questions both ways,
# four samples each at temperature 1, and score them with the two rules.

# %%
policy = rl.load_policy("smollm2-135m")
dtype = torch.bfloat16 if bfloat16_pays() else torch.float32  # the faster one here
sampler = policy.clone(dtype=dtype)
held_out = task_set.held_out()
bare = [Task([one.prompt[-1]], one.answer) for one in held_out]
options = {"num_generations": 4, "max_completion_length": 32}
shown = {}
for name, tasks in (("template alone", bare), ("with one example", held_out)):
    replies = rl.sample_responses(sampler, task_set, tasks, **options)
    form = rl.format_reward(completions=[reply.completion for reply in replies])
    accuracy = [reply.accuracy for reply in replies]
    shown[name] = {"format": sum(form) / len(form), "acc": sum(accuracy) / len(form)}
pd.DataFrame(shown).T.round(2)

# %% [markdown]
# Why that decides everything: a group teaches only when its rewards differ. If the policy
# fulfils a rule with chance $p$, a group of $G$ is mixed with chance $1-p^G-(1-p)^G$. At
# $p=0$ that is zero for every $G$; no number of steps repairs it. R1 met the same wall from the
# other side: the paper reports that smaller bases (7B dense, 16B mixture of experts) gained nothing from
# RL from scratch.

# %%
chances = torch.linspace(0, 1, 201)
figure, axes = plt.subplots(figsize=(6, 2.8))
for size, style in ((8, "-"), (16, "--")):
    mixed = 1 - chances**size - (1 - chances) ** size
    axes.plot(chances, mixed, style, color="black", label=f"G = {size}")
for (name, rates), color in zip(shown.items(), ("#D55E00", "#0072B2"), strict=True):
    for rule, marker in (("format", "o"), ("acc", "s")):
        p = rates[rule]
        height = 1 - p**8 - (1 - p) ** 8
        axes.plot(p, height, marker, color=color, label=f"{name}: {rule}")
axes.set(xlabel="chance that a rule is fulfilled", ylabel="share of mixed groups")
_ = axes.legend(fontsize=8, loc="lower center")

# %% [markdown]
# ## RECORD: R1-Zero's curves
#
# The slide "Performance of DeepSeek-R1-Zero" has one table and no curve. **[Erratum 7](../docs/errata.md#erratum-7)**: its
# header is flattened (AIME 2024 has *two* columns, pass@1 and cons@64) and its numbers are v1's.
# pass@1 is the mean over samples, cons@k the majority vote of k. Here is v1's Table 2 whole:

# %% tags=["nbval-check-output"]
print(rl.wide_table(rl.paper_table("r1v1_table2")).T.to_string())

# %% [markdown]
# The curves are v1's Figures 2 and 3, digitized from a bitmap: one training run, no error
# bars, "step" is a policy update. Thin lines are o1-0912, which v1 draws beside it: pass@1
# 0.744, and **cons@64** 0.833 next to R1-Zero's **cons@16**.

# %%
aime = rl.paper_curve("r1v1_fig2_aime")
length = rl.paper_curve("r1v1_fig3_length")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
left.plot(aime["step"], aime["pass1"], "o-", ms=3, color="#0072B2", label="pass@1")
left.plot(aime["step"], aime["cons16"], "o-", ms=3, color="#D55E00", label="cons@16")
left.axhline(0.744, color="#0072B2", lw=0.8, ls="--", label="o1-0912 pass@1")
left.axhline(0.833, color="#D55E00", lw=0.8, ls="--", label="o1-0912 cons@64")
left.set(xlabel="step (v1, Figure 2)", ylabel="AIME 2024", ylim=(0, 0.95))
left.legend(fontsize=8, loc="lower right")
right.fill_between(length["step"], length["raw_lo"], length["raw_hi"], alpha=0.2)
right.plot(length["step"], length["smoothed_len"], color="#0072B2")
_ = right.set(xlabel="step (v1, Figure 3)", ylabel="mean response length, tokens")

# %% tags=["nbval-check-output"]
first, last = length.iloc[0], length.iloc[-1]
shortest = length.loc[length["smoothed_len"].idxmin()]
growth = last["smoothed_len"] / first["smoothed_len"]
print(f"length {first['smoothed_len']:.0f} → {last['smoothed_len']:.0f}, ×{growth:.0f}")
print(f"dip: {shortest['smoothed_len']:.0f} tokens at step {shortest['step']:.0f}")
ends = aime.iloc[[0, -1]][["step", "pass1", "cons16"]]
print(ends.to_string(index=False))

# %% [markdown]
# Three things to keep apart:
#
# * **71.0 or 77.9?** v1's curve ends at step 8,400 with 71.0 at AIME (the deck's number). v2's
#   goes on to 10,400 steps and ends with 77.9. **[Erratum 10](../docs/errata.md#erratum-10)**: the deck's Tables 3 to 6 and
#   Figure 3 are numbered as in v1, its Figures 2 and 9 as in v2; nothing on the slides says so.
# * **cons@16 or cons@64?** v1's figure ends with cons@16 = 0.867, its Table 2 with cons@64 = 86.7.
#   The same number under two names; the lines of o1 are cons@64. We know of no explanation.
# * **What else changed?** v2 says that the limit of the length was doubled to 65,536 tokens at
#   step 8,200, with a jump in accuracy and in length. [07](07_aha_moment.ipynb) repeats
#   that jump in miniature.

# %% [markdown]
# ## Live: R1-Zero on SmolLM2
#
# `configs/r1_zero.yaml` is the recipe at our size: GRPO from SmolLM2-135M-*Instruct*, the two rules with one weight, a small KL term. What changed since
# [03](03_grpo.ipynb) is the reward, the template, and $\beta=0.001$; what differs from the real
# thing (v2, §2.1) stands beside it. The largest difference first: R1-Zero starts from a *base* model,
# without any SFT. Our policy has been instruction-tuned, though not for this format, so nothing here tests
# "without SFT".

# %% tags=["nbval-check-output"]
config = rl.load_config(
    rl.project_folder() / "configs" / "r1_zero.yaml",
    **{"max_steps": max_steps, "eval_steps": max_steps, "eval_samples": eval_samples},
)
facts = rl.paper_table("r1v2_zero_training").set_index("fact")["text"]
pairs = {
    "base model": "SmolLM2-135M-Instruct",
    "learning rate": config.learning_rate,
    "KL coefficient": config.beta,
    "clip range epsilon": config.epsilon,
    "completions per question": config.num_generations,
    "completions per step": config.generation_batch_size,
    "mini-batches per rollout": config.steps_per_generation,
    "maximum length, before step 8.2k": config.max_completion_length,
    "steps": f"{config.max_steps} here, 20 recorded",
}
for fact, mine in pairs.items():
    print(f"{fact:33} {facts[fact][:46]:46} {mine}")

# %% [markdown]
# One seed and a few steps, so that you can watch it move: an illustration. `result.metrics` has
# one row a step with TRL's log keys.


# %%
def report(row):
    """One line a step while the run goes on."""
    if row["step"]:
        rules = [f"rewards/{name}/mean" for name in config.reward_funcs]
        scores = "  ".join(f"{key[8:-5]} {row[key]:.2f}" for key in rules)
        print(f"step {row['step']}  {scores}", flush=True)


result = rl.train(config, policy=policy, task=task_set, progress=False, on_step=report)
live = result.metrics

# %%
for key in ("greedy_accuracy", "sampled_accuracy", "terminated", "mean_length"):
    before, after = live[f"eval/{key}"].iloc[[0, -1]]
    print(f"held out, {key:16} {before:5.2f} → {after:5.2f}")

# %% [markdown]
# The same questions, before and after, one sample each at temperature 1:

# %%
trained = rl.sample_responses(
    policy.clone(dtype=dtype),
    *(task_set, held_out[:6]),
    **(options | {"num_generations": 1}),
)
rows = [
    {
        "question": one.task.prompt[-1]["content"][:14],
        "before": " ".join(replies[4 * i].completion.split())[:72],
        "after": " ".join(one.completion.split())[:72],
    }
    for i, one in enumerate(trained)
]
pd.DataFrame(rows)

# %% [markdown]
# Five seeds of 20 steps were recorded (`rlnotes train --config configs/r1_zero.yaml seed=0`
# to 4). Mean and 95 % interval over seeds; dots: the live run above.

# %%
data = rl.project_folder() / "data"
recorded = rl.load_runs(data / "runs" / "grpo_addition-r1_smollm2-135m_seed*")
keys = [
    "rewards/format_reward/mean",
    "rewards/accuracy_reward/mean",
    "completions/mean_length",
    "eval/sampled_accuracy",
]
figure = figures.plot_bands(recorded, keys, columns=2)
for panel, key in zip(figure.axes, keys, strict=True):
    panel.plot("step", key, "k.", data=live.dropna(subset=[key]))


# %% tags=["nbval-check-output"]
def change(runs, metric, count=1):
    """First and last values of every run, as rows that pair by seed."""
    logged = runs.dropna(subset=[metric]).sort_values("step").groupby("run")
    ends = {"before": logged.head(count), "after": logged.tail(count)}
    keys = ["task", "policy", "seed"]
    return pd.concat(
        part.groupby(keys)[[metric]].mean().reset_index().assign(algorithm=name)
        for name, part in ends.items()
    )


zero_differences = {}
for key in keys:
    table = change(recorded, key)
    means = table.groupby("algorithm")[key].mean()
    zero_differences[key] = difference = statistics.paired_difference(
        table, key, "after", "before"
    )
    print(f"{key:29} {means['before']:.2f} → {means['after']:.2f}: {difference}")

# %% [markdown]
# Both rules are learnt, and fast: the one example had shown the form, and one-digit sums were in the
# weights ([11](11_train.ipynb) takes such a rise apart). The length goes to that of the example
# and stays: a sum of two digits needs no thinking time. Growth is nothing that this reward pays for by
# itself; it comes where thinking longer makes more answers right, as in the lab of the next
# section.

# %% [markdown]
# ## The drawbacks, measured
#
# The slide "Drawback of DeepSeek-R1-Zero" lists "Poor readability, Language Mixing". Neither
# has a number in the paper, so we measure both on the search lab. `search-mixed` is a policy of
# 0.3 million weights that was pretrained on guess and check in two languages: half of its
# demonstrations are English, the other half draw each word by a coin, `wait` or 等, `answer` or 答.
# `zero` is GRPO from there with the accuracy reward alone: 80 steps of 256 responses. Some of its
# right answers:


# %% tags=["nbval-check-output"]
experiments = data / "experiments"
TONGUE = dict(zip(WAIT + ANSWER, "ECEC", strict=True))


def tongues(text):
    """The language of every word that has one, in order: E for wait, C for 等."""
    return "".join(TONGUE.get(word, "") for word in text.split())


files = sorted((experiments / "r1_pipeline").glob("zero_seed*.jsonl"))
kept = pd.concat(
    pd.read_json(path, lines=True).assign(seed=seed, run=path.stem)
    for seed, path in enumerate(files)
)
kept["tongues"] = kept["completion"].map(tongues)
kept["mixed"] = kept["tongues"].map(lambda one: len(set(one)) == 2)
final = kept.query("step == 80 and mixed and accuracy == 1")
for text in final.drop_duplicates("prompt")["completion"].head(4):
    print(text[:96])

# %% [markdown]
# Mixing can be counted in three ways, and they disagree. Per response: does it hold both
# languages? Per word: which share is Chinese? Per pair of neighbors: how often does the language
# change from one such word to the next?

# %%
kept["words"] = kept["tongues"].str.len()
kept["chinese words"] = kept["tongues"].str.count("C")
kept["pairs"] = (kept["words"] - 1).clip(lower=0)
kept["switches"] = kept["tongues"].map(lambda s: len(re.findall("(?=EC|CE)", s)))
sums = kept.groupby(["run", "seed", "step"]).agg(
    {"mixed": "mean", "words": "sum", "chinese words": "sum"}
    | {"pairs": "sum", "switches": "sum", "accuracy": "mean", "prompt": "size"}
)
mixing = pd.DataFrame(
    {
        "mixed responses": sums["mixed"],
        "share of Chinese words": sums["chinese words"] / sums["words"],
        "switches per pair": sums["switches"] / sums["pairs"],
        "words per response": sums["words"] / sums["prompt"],
    }
).reset_index()
mixing = mixing.assign(algorithm="zero", task="search", policy="search-mixed")

# %%
figure, axes = plt.subplots(1, 4, figsize=(11, 2.6))
for panel, key in zip(axes, mixing.columns[3:7], strict=True):
    for _, one in mixing.groupby("seed"):
        panel.plot(one["step"], one[key], color="#0072B2", lw=0.8, alpha=0.6)
    panel.plot(mixing.groupby("step")[key].mean(), color="black")
    panel.set(title=key, xlabel="step", ylim=(0, None))

# %% tags=["nbval-check-output"]
mixing_differences = {}
for key in mixing.columns[3:7]:
    table = change(mixing, key)
    mixing_differences[key] = difference = statistics.paired_difference(
        table, key, "after", "before"
    )
    print(f"{key:23} {difference}")

# %% [markdown]
# So the drawback is there, and its cause is not what one would guess. Responses that hold two
# languages become almost twice as frequent, yet in the mean neither the share of Chinese words nor
# the switching changes: longer responses toss the same coin more often. What does happen is
# *drift*. Seed by seed (thin lines) the share wanders, down in four seeds, up by half in one. RL
# did not teach mixing; it had no reason to hold on to a language, and chance moves what no reward
# holds.
#
# `readable` in the tables is our rule that every try is well formed and none is made twice. It measures waste,
# not whether a person can read the text. **[Erratum 11](../docs/errata.md#erratum-11)**: the slide's two drawbacks are v1's; v2 adds that
# R1-Zero is narrow (weak at writing and open questions). We have no such tasks. What we can measure is whether
# RL on one size carries over to two others, two numbers (easy) and four (hard). Rows of
# `data/experiments/r1_pipeline/seed*.csv`, paired by seed:


# %% tags=["nbval-check-output"]
def read_stages(experiment):
    """One row a stage and seed, with the labels that `statistics` asks for."""
    files = sorted((experiments / experiment).glob("seed*.csv"))
    table = pd.concat(map(pd.read_csv, files), ignore_index=True)
    return table.assign(algorithm=table["stage"], task="search", policy=experiment)


def compare(first, second, metric):
    return statistics.paired_difference(stages, metric, first, second)


stages = read_stages("r1_pipeline")
print(stages["seed"].nunique(), "seeds; zero − base")
for metric in ("english", "readable", "repeated", "mean_length", "search"):
    print(f"{metric:12} {compare('zero', 'base', metric).interval}")
for metric in ("search-easy", "search-hard"):
    print(f"{metric:12} {compare('zero', 'base', metric).interval}")

# %% [markdown]
# One response in five more breaks our rule, mostly by a repeated try, which no reward forbids. Both sizes that RL did not see
# gain as well: it carries over, at this stage. One stage later it does not in every seed.

# %% [markdown]
# ## A reward for language
#
# R1's remedy (v2, §3; v1, §2.3.2) is a third rule, added directly to the others in the first
# RL stage:
#
# $$R_{\text{language}} = \frac{\#\,\text{words in the target language}}{\#\,\text{words}}$$
#
# Ten lines for English and Chinese. A Chinese character counts as a word; digits, signs, tags
# and LaTeX commands are neutral; a text without any word gets 0, or silence would pay.


# %%
def english_share(text):
    """Share of Latin words among Latin words and Chinese characters."""
    text = re.sub(r"</?(?:think|answer)>|\\[A-Za-z]+", " ", text)
    latin = re.findall(r"[a-zà-öø-ÿ]+(?:'[a-zà-öø-ÿ]+)*", text.lower())
    chinese = re.findall("[一-鿿]", text)
    words = len(latin) + len(chinese)
    return len(latin) / words if words else 0.0


# %% tags=["nbval-check-output"]
texts = [
    "5 + 6 = 11 ? 20 等 5 * 6 = 30 ? 20 wait then",
    "<think>so 答案 is 7</think> <answer>7</answer>",
    "donc la réponse est 7",
    r"\frac{1}{2} = 0.5",
    "",
]
ours = [english_share(text) for text in texts]
for text, share in zip(texts, ours, strict=True):
    print(f"{share:.2f}  {text}")
sample = [*texts, *kept["completion"]]
library = rl.language_consistency_reward(completions=sample)
assert library == [english_share(text) for text in sample]
kept["share"] = library[len(texts) :]

# %% [markdown]
# Two limits show here. Script tells Chinese from English but not French from English. And the
# share is a *density*: a mixed response of twenty words with one foreign one scores 0.95, hardly
# less than a clean one. Does so small a difference reach the gradient? Once all answers of a
# group are right, it is the only difference left, and the division by the group's standard
# deviation makes it full size:

# %% tags=["nbval-check-output"]
accuracy, language = torch.ones(8), torch.tensor([0.95] + [1.0] * 7)
advantages = rl.group_relative_advantages(accuracy + language, 8)
print(
    f"all right, one of 20 words foreign: {advantages[0]:.2f}, others {advantages[1]:.2f}"
)
accuracy[1:5] = 0
advantages = rl.group_relative_advantages(accuracy + language, 8)
print(f"half right: {advantages[0]:.2f} beside {advantages[7]:.2f} for right and clean")

# %% [markdown]
# ### The ablation
#
# v2's Figure 7 removes this reward on a distilled 7B model: with it, language consistency stays
# level, mathematics is unchanged, code is slightly worse. Ours: `zero+language` is `zero` with
# the language reward and nothing else changed, the same seeds and questions. (Dashed: the language
# consistency of `zero`, from its kept responses.)

# %%
folders = [
    folder
    for stage in ("zero", "zero+language")
    for folder in sorted((experiments / "r1_pipeline").glob(f"seed*/{stage}"))
]
runs = rl.load_runs(folders)
colors = {"zero": "#0072B2", "zero+language": "#D55E00"}
keys = ["eval/sampled_accuracy", "eval/mean_length", "eval/entropy"]
keys += ["rewards/language_consistency_reward/mean"]
figure = figures.plot_bands(runs, keys, by="run", colors=colors, columns=2)
panel = figure.axes[-1]
panel.plot(kept.groupby("step")["share"].mean(), "--", color=colors["zero"])
panel.set_title("language consistency")
figure.set_size_inches(6, 4.4)

# %% tags=["nbval-check-output"]
print("zero+language − zero")
for metric in ("english", "language_consistency", "readable", "mean_length"):
    print(f"{metric:21} {compare('zero+language', 'zero', metric)}")
for metric in ("search-easy", "search", "search-hard"):
    print(f"{metric:21} {compare('zero+language', 'zero', metric)}")

# %% [markdown]
# The reward does what it says in every seed: hardly a response with a foreign word is left. What it
# costs is time at first (at step 10 the bands of accuracy are apart) and little at the end:
# on the trained size four seeds of five are lower, by a hundredth, and the interval holds zero. The
# entropy falls at once, since a coin that is no longer tossed has none. That is the paper's
# picture: consistent language, hardly a price. The two sizes that RL does not see look
# different: their intervals are wide, because single seeds lose a lot. We come back to them.

# %% [markdown]
# ## The pipeline
#
# **[Erratum 12](../docs/errata.md#erratum-12).** The slide "DeepSeek-R1, Simplified Pipeline" has no text at all, and the stage
# table that belongs to it (v2, Table 3) is not in the deck. The pipeline, with ours below:

# %%
STAGES = ["zero", "dev1", "dev2", "dev3", "r1"]
BOXES = ["R1-Zero", "Dev1", "Dev2", "Dev3", "R1"]
THEIRS = [
    "RL of the base:\nrules",
    "SFT of the base: some\nthousand of R1-Zero's,\nrewritten (cold start)",
    "RL of Dev1:\nrules + language",
    "SFT of the base:\n600k of Dev2's, kept,\n+ 200k other",
    "RL of Dev3: rules,\nlanguage, preferences",
]
OURS = [
    "of search-mixed:\naccuracy",
    "64 answers,\nrewritten by rule",
    "accuracy\n+ language",
    "right, readable,\nEnglish answers",
    "three sizes:\n+ length ≤ 64",
]

# %%
figure, axes = plt.subplots(figsize=(10, 2.2))
box = {"boxstyle": "round", "fc": "#EEF3F8", "ec": "#0072B2"}
for x, texts in enumerate(zip(BOXES, THEIRS, OURS, strict=True)):
    place = {"ha": "center", "va": "center", "fontsize": 8}
    axes.text(x, 1.0, texts[0], **place, bbox=box, weight="bold")
    axes.text(x, 0.55, texts[1], **place)
    axes.text(x, 0.1, texts[2], **place, color="#D55E00")
    if x:
        axes.annotate("", (x - 0.2, 1), (x - 0.75, 1), arrowprops={"arrowstyle": "->"})
axes.set(xlim=(-0.5, 4.5), ylim=(-0.1, 1.2))
_ = axes.axis("off")

# %% [markdown]
# An arrow into an SFT stage carries *data*, not weights: Dev1 and Dev3 both start again from the
# base. What R1 does by people and by DeepSeek-V3 (rewriting the cold start) we do by a rule,
# 等 → `wait`; what preference models judge there is a length reward here, so our last stage says
# nothing about preferences.
#
# ### One SFT stage in code
#
# Sample several responses a question, reject, learn what is left. The whole of rejection
# sampling, on the untrained two-language base (in the pipeline it runs on `dev2`):

# %%
base, search = rl.load_policy("search-mixed"), rl.load_task("search")
asked = search.sample(sft_prompts, seed=0, step=0)
limits = {"num_generations": 4, "max_completion_length": 128}
replies = rl.sample_responses(base, search, asked, **limits)
rules = [curation.is_right, curation.is_readable, curation.is_english]
for count in range(len(rules) + 1):
    left = rl.reject(replies, *rules[:count])
    print(f"{len(left):4} {'sampled' if not count else rules[count - 1].__name__}")
lessons = rl.reject(replies, *rules, per_prompt=2)
print(f"{len(lessons):4} at most two of a question\n\n{lessons[0].example}")

# %% [markdown]
# SFT maximizes the log-probability of the kept completions; the prompt carries no loss. It is
# TRL's trainer with R1's schedule (cosine to a tenth of the rate, two epochs) at our rate.


# %%
def describe(policy):
    """Held-out questions, four samples each."""
    found = rl.sample_responses(policy, search, search.held_out(), **limits)
    checks = {"right": lambda one: one.accuracy, "english": curation.is_english}
    checks |= {"readable": curation.is_readable, "tokens": lambda one: one.length}
    return {name: sum(map(check, found)) / len(found) for name, check in checks.items()}


examples = [lesson.example for lesson in lessons]
pupil = rl.fine_tune(
    base.clone(), examples, per_device_train_batch_size=16, progress=False
)
pd.DataFrame({"base": describe(base), "after SFT": describe(pupil)}).round(2)

# %% [markdown]
# One seed, some hundred of its own answers, seconds: an illustration. Selection alone moves the
# policy to what was selected: more right answers, fewer Chinese words. No reward was
# maximized and no teacher was asked; keep that in mind for the last section. Nobody asked
# for twice the length or for the repeated tries (*readable* falls, though every lesson was
# readable) either: a right answer is often one that retried, and retrying is what was learned.
#
# ### All stages, five seeds
#
# Mean and 95 % interval of each stage; a share lies in [0, 1], so its interval is cut there. The base is one policy
# for all seeds and has no interval over them, which is not certainty: its 0.26 is of 1,024 responses, and
# [07](07_aha_moment.ipynb) finds 0.29 in 512 others. Accuracy on held-out questions of the three sizes, eight
# samples each; the other columns describe the responses to `search`.


# %%
def intervals(table, metrics, by="stage"):
    """Mean and 95 % interval over seeds, as text."""
    columns = {}
    for metric in metrics:
        rows = statistics.score_intervals(table, metric, by=[by])
        columns[metric] = pd.Series(
            [
                f"{x.estimate:.2f} [{x.low:.2f}, {x.high:.2f}]"
                if x.high - x.low > 1e-9
                else f"{x.estimate:.2f}"
                for x in rows.itertuples(index=False)
            ],
            index=rows[by],
        )
    return pd.DataFrame(columns)


# %% tags=["nbval-check-output"]
LEVELS = ["search-easy", "search", "search-hard"]
order = ["base", *STAGES, "zero+language"]
for columns in (LEVELS, ["english", "readable", "short", "mean_length"]):
    print(intervals(stages, columns).loc[order].to_string(), "\n")

# %% [markdown]
# And the paper's, as printed (v2, Table 3; scores in percent, Codeforces a rating). No
# intervals, no seeds.

# %% tags=["nbval-check-output"]
paper = rl.paper_table("r1v2_table3")
benchmarks = ["AIME 2024", "MATH-500", "LiveCodeBench", "Codeforces"]
benchmarks += ["IF-Eval", "AlpacaEval2.0", "ArenaHard", "C-Eval"]
chosen = paper[paper["benchmark"].isin(benchmarks)]
wide = rl.wide_table(chosen, rows=("group", "benchmark", "metric"))
print(wide.set_axis(BOXES, axis=1).to_string())

# %% [markdown]
# Side by side, as shapes. Top: what RL is paid for. Bottom: form, which in the paper is
# following instructions and pleasing judges, and here is language, readability and length.

# %%
LAB = [LEVELS, ["english", "readable", "short"]]
PAPER = [["AIME 2024", "MATH-500", "LiveCodeBench"], benchmarks[4:7]]
figure, axes = plt.subplots(2, 2, figsize=(8, 4.4), sharex=True)
for row in (0, 1):
    for metric in LAB[row]:
        rows = statistics.score_intervals(stages, metric, by=["stage"])
        rows = rows.set_index("stage").loc[STAGES]
        error = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
        axes[row, 0].errorbar(
            STAGES, rows["estimate"], error, marker="o", capsize=3, label=metric
        )
    for name in PAPER[row]:
        values = paper.loc[paper["benchmark"] == name, "value"]
        axes[row, 1].plot(STAGES, values / 100, "o-", label=name)
    for panel, title in zip(axes[row], ("the lab, five seeds", "R1, v2"), strict=True):
        panel.set(ylim=(0, 1.05), title=title)
        panel.legend(fontsize=8, loc="lower right")

# %% [markdown]
# The differences from stage to stage, paired by seed:

# %% tags=["nbval-check-output"]
columns = ["search-easy", "search", "search-hard", "english", "readable", "short"]
moves = {
    f"{second} − {first}": {
        metric: str(compare(second, first, metric).interval) for metric in columns
    }
    for first, second in [*zip(STAGES[:-1], STAGES[1:], strict=True), ("zero", "r1")]
}
for half in (columns[:3], columns[3:]):
    print(pd.DataFrame(moves).T[half].to_string(), "\n")

# %% [markdown]
# **Where the shapes agree.** Dev1 gives up reasoning for form: a cold start of few examples, from
# the base, cannot carry what RL had found (the paper: AIME 77.9 → 59.0). Dev2, RL again,
# brings it back. Dev3, a *new* SFT of the base on Dev2's answers, holds what RL reached, in
# 2,500 examples: what RL finds, SFT can copy. The last stage moves form (shorter, a trace more English)
# and leaves accuracy where it was.
#
# **Where they do not.** Our R1 does not reason better than our zero: the trained size was at its
# ceiling already. And `dev2`, after RL on one size, loses another size in some seeds:

# %% tags=["nbval-check-output"]
by_seed = stages.pivot(index="seed", columns="stage", values="search-easy")
print(by_seed[["zero", "dev2", "zero+language", "dev3", "r1"]].round(2).to_string())

# %% [markdown]
# On the *easier* questions some seeds fall below the cold start. We looked at seed 0 of `dev2`:
# asked to make 14 from 2 and 7 it writes `2 * 7 = 14 ? 14`, finds the answer, and then answers
# `* * * *`. It has forgotten how short an answer to two numbers is; three-number questions never
# punish that. The mean over seeds hides it (the interval merely is wide), a mean over benchmarks
# would too. Dev3 repairs it in every seed, because its lessons hold all three sizes: the part
# that the 200,000 other examples play in R1.

# %% [markdown]
# ## What R1's performance table says
#
# **[Erratum 13](../docs/errata.md#erratum-13).** On the slide the column that groups the benchmarks has no header, the rows on
# architecture are shifted by a cell, and bold means "best of the row" (v1; in v2 it is a t-test at
# p < 0.01). With the groups back (v1, Table 4):

# %% tags=["nbval-check-output"]
table = rl.paper_table("r1v1_table4")
table = table[table["group"] != ""]
text = rl.wide_table(table, rows=("group", "benchmark", "metric"))
scores = text.apply(pd.to_numeric, errors="coerce")
extra = "OpenAI-|DeepSeek-|-Sonnet-1022|-0513"
short_names = {name: re.sub(extra, "", name) for name in text}
print(text.rename(columns=short_names).to_string())

# %% [markdown]
# Each score over the best of its row, so that ratings and percentages share an axis; missing
# dots are scores that nobody gives:

# %%
relative = scores.div(scores.max(axis=1), axis=0)
figure, axes = plt.subplots(figsize=(7, 4.8))
places = range(len(relative))
looks = {"DeepSeek-R1": "#0072B2", "OpenAI-o1-1217": "#D55E00"}
for name in relative:
    style = {"marker": "o" if name in looks else ".", "ls": ""}
    color = looks.get(name, "#AAAAAA")
    axes.plot(relative[name], places, color=color, label=short_names[name], **style)
names = [f"{benchmark}, {metric}" for _, benchmark, metric in relative.index]
axes.set_yticks(places, names, fontsize=7)
groups = relative.index.get_level_values("group")
edges = [i - 0.5 for i in places if i and groups[i] != groups[i - 1]]
axes.hlines(edges, 0, 1.02, color="black", lw=0.8)
for group, place in zip(groups.unique(), [-0.5, *edges], strict=True):
    axes.text(0.01, place + 0.8, group, weight="bold", fontsize=8)
axes.invert_yaxis()
axes.set(xlim=(0, 1.02), xlabel="score / best score of the row")
_ = axes.legend(handles=axes.lines[-2:], fontsize=8, bbox_to_anchor=(1, 1))

# %% tags=["nbval-check-output"]
winners = scores.idxmax(axis=1)
bold = table[table["bold"]].set_index(["group", "benchmark", "metric"])["model"]
assert (winners == bold.loc[winners.index]).all()  # bold is the best of its row
counts = pd.crosstab(groups, winners.to_numpy()).loc[groups.unique()]
print(counts.rename_axis(None).rename_axis(None, axis=1).T.to_string())
pair = scores[list(looks)].dropna()
ahead = (pair["DeepSeek-R1"] > pair["OpenAI-o1-1217"]).groupby(level=0, sort=False)
print("\nR1 ahead of o1-1217, where both are given:")
print(ahead.agg(["sum", "count"]).rename_axis(None).T.to_string())

# %% [markdown]
# Read the second count before the first. R1 is best in 12 of 21 rows, but o1-1217, the strongest
# rival, has a score in only part of them, and where both have one they are close to even. The
# gaps are single questions in places: AIME 2024 has 30, so 79.8 against 79.2 is 0.18 of a
# question, and no interval is given.

# %% [markdown]
# ## Distillation or RL?
#
# R1's 800,000 curated answers also teach small models, by SFT alone. **[Erratum 14](../docs/errata.md#erratum-14)**: the
# slides say neither that, nor the number, nor how they were evaluated (temperature 0.6, 64 samples
# for AIME). v1's Table 5 over size, and its Table 6, where the same 32B base went through
# more than 10,000 steps of RL instead:

# %%
table5, table6 = rl.paper_table("r1v1_table5"), rl.paper_table("r1v1_table6")
students = table5[table5["model"].str.contains("Distill")].copy()
students["billions"] = students["model"].str.extract(r"-([\d.]+)B$")[0].astype(float)
students["family"] = students["model"].str.extract(r"-(Qwen|Llama)-")[0]
students = students[students["benchmark"] == "AIME 2024"]
o1_mini = table5.query("model == 'OpenAI-o1-mini' and benchmark == 'AIME 2024'")
ticks = (table6["benchmark"] + "\n" + table6["metric"]).str.replace(" Diamond", "")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.2))
for (metric, family), part in students.groupby(["metric", "family"]):
    style = "o-" if metric == "pass@1" else "s--"
    color = "#0072B2" if family == "Qwen" else "#D55E00"
    label = f"{family}, {metric}"
    left.semilogx(part["billions"], part["value"], style, color=color, label=label)
left.axhline(o1_mini["value"].iloc[0], color="#999999", lw=0.8, label="o1-mini, pass@1")
left.set_xticks([1.5, 7, 14, 32, 70], ["1.5", "7", "14", "32", "70"])
left.minorticks_off()
left.set(xlabel="weights of the student, billions", ylabel="AIME 2024, %", ylim=(0, 95))
left.legend(fontsize=7)
for offset, (name, part) in enumerate(table6.groupby("model", sort=False)):
    places = [x + 0.27 * (offset - 1) for x in range(len(part))]
    right.bar(places, part["value"], 0.25, label=name.removeprefix("DeepSeek-"))
right.set_xticks(range(5), ticks.unique(), fontsize=7)
right.set_yticks(range(0, 101, 20))
right.legend(fontsize=7, loc="upper left")
_ = right.set(ylabel="v1, Table 6, %", ylim=(0, 135))

# %% [markdown]
# The paper's Table 6 leaves three questions open, and the lab can ask them: what does each side
# *cost*, does it matter what the student can do before, and is it the **teacher** or the
# **selection**? We train `search-teacher` (1.7 times the weights) by RL, let it answer, keep
# what is right and readable, and teach two students 256, 1,024 and 4,096 answers: `search-base`,
# who knows a hit when it sees one, and `search-control`, who does not. The control
# experiment does the same with the student's *own* answers: same rules, no teacher.

# %%
distilled = read_stages("distillation")
teacher = distilled[distilled["stage"] == "teacher"]
taught = distilled.dropna(subset=["student"]).copy()
alone = taught["student"] == taught["writer"]
taught["arm"] = alone.map({True: "own answers", False: "teacher's answers"})
taught["size"] = taught["stage"].str.extract(r"(\d+)$")[0].astype(int)

# %% tags=["nbval-check-output"]
print(
    "teacher, after RL", intervals(teacher, LEVELS).to_string(index=False), "", sep="\n"
)
for (student, arm), part in taught.groupby(["student", "arm"]):
    counts = part.groupby("size")["examples"].mean().round().astype(int).tolist()
    print(f"{student}, {arm}; examples, mean over seeds: {counts}")
    print(intervals(part, LEVELS, by="size").rename_axis(None).to_string(), "\n")

# %% [markdown]
# ### On one axis of compute
#
# A weight does about 2 operations to each token that it samples and 6 to each that it learns, so
# RL costs 8 per token and weight, SFT 6, and the answers 2 per weight of whoever wrote them.
# Filled: the lesson and its answers. Hollow: with the teacher's own RL added, paid once for all
# its students. Dashed: the teacher.


# %%
def reinforced(student):
    """The recorded RL of a student: held-out accuracy over teraflops, all seeds."""
    runs = rl.load_runs(data / "runs" / f"grpo_search_{student}_seed*")
    weights = rl.load_policy(student).num_parameters
    return runs.assign(teraflops=8e-12 * weights * runs["num_tokens"])


def lessons_of(student, arm):
    """Accuracy and cost at each size of lesson."""
    part = taught[(taught["student"] == student) & (taught["arm"] == arm)]
    rows = statistics.score_intervals(part, "search", by=["size"])
    costs = part.groupby("size")[["teraflops", "teraflops_sampling"]].mean()
    return rows, costs.sum(axis=1).to_numpy()


# %%
arms = {"teacher's answers": "#D55E00", "own answers": "#009E73"}
figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.4), sharey=True)
for panel, student in zip(axes, ("search-base", "search-control"), strict=True):
    runs = reinforced(student)
    band = statistics.metric_bands(runs, "eval/sampled_accuracy").query("step > 0")
    x = runs.groupby("step")["teraflops"].mean().loc[band["step"]]
    panel.semilogx(x, band["estimate"], color="#0072B2", label="RL")
    panel.fill_between(x, band["low"], band["high"], color="#0072B2", alpha=0.15, lw=0)
    for arm, color in arms.items():
        rows, cost = lessons_of(student, arm)
        look = {"yerr": (rows["high"] - rows["low"]) / 2, "capsize": 3, "color": color}
        panel.errorbar(cost, rows["estimate"], marker="o", label=arm, **look)
        if arm.startswith("teacher"):
            whole, look = cost + teacher["teraflops"].mean(), look | {"ls": ":"}
            panel.errorbar(whole, rows["estimate"], marker="o", mfc="white", **look)
    panel.axhline(teacher["search"].mean(), color="#999999", lw=0.8, ls="--")
    panel.set(xlabel="teraflops", title=student, ylabel="held-out accuracy")
_ = axes[1].legend(fontsize=8, loc="upper left")

# %% tags=["nbval-check-output"]
for student in ("search-base", "search-control"):
    spent = reinforced(student).groupby("seed")["teraflops"].max().mean()
    print(f"{student}: RL {spent:.2f} teraflops", end="")
    for arm in arms:
        print(f"; {arm} {lessons_of(student, arm)[1][-1]:.2f}", end="")
    print(f"; the teacher's RL {teacher['teraflops'].mean():.2f}")

# %% [markdown]
# Now the differences that the slide's sentence is about, paired by seed, at the largest lesson.
# RL counts twice: at its end, and stopped where it has spent what that lesson costs (the
# teacher for free).


# %%
def all_ways(student, budget=None, size=4096):
    """Held-out accuracy of RL (up to a budget), of the teacher's and one's own answers."""
    runs, metric = reinforced(student), "eval/sampled_accuracy"
    if budget is not None:
        runs = statistics.at_equal(runs, metric, "teraflops", [budget])
    last = statistics.final_scores(runs, metric, last=1)
    rows = taught[(taught["student"] == student) & (taught["size"] == size)]
    accuracy = rows.set_index(["arm", "seed"])["search"]
    found = {"teacher": accuracy["teacher's answers"], "own": accuracy["own answers"]}
    found["RL"] = last.set_index("seed")[metric]
    table = pd.concat(found, names=["algorithm"]).rename("accuracy").reset_index()
    return table.assign(task="search", policy=student)


# %% tags=["nbval-check-output"]
ways, early = {}, {}
for student in ("search-base", "search-control"):
    table, budget = all_ways(student), lessons_of(student, "teacher's answers")[1][-1]
    for first, second in (("teacher", "RL"), ("own", "RL"), ("teacher", "own")):
        ways[student, first, second] = difference = statistics.paired_difference(
            table, "accuracy", first, second
        )
        print(f"{student:14} {difference}")
    early[student] = statistics.paired_difference(
        all_ways(student, budget), "accuracy", "teacher", "RL"
    )
    print(f"{student:14} {early[student]}, RL at {budget:.2f} teraflops\n")

# %% [markdown]
# **For the same compute, the slide's sentence holds.** Stopped where it has spent what the largest
# lesson costs, RL is far behind it, for both students: copying is cheap. Two things keep it from
# being the whole story.
#
# *RL goes on.* At its end it has caught up with the lesson on `search-base`, and passed it on
# `search-control`, which learns from a lesson what a good search looks like and from RL to change
# what it does. And a lesson is cheap only *if the teacher is there already*: with the
# teacher's own RL added, it costs twice as much as the RL of `search-base`.
#
# *It is mostly not the teacher.* The student's own selected answers bring it almost as far. On
# `search-base` five seeds show no difference; on `search-control` the teacher is ahead by two
# hundredths, with 4,096 lessons against the 2,250 right ones that the student found by itself. What
# looks like distillation here is **selection**: one large round of rejection sampling.
#
# **Why not as in the paper?** A tempting answer is: because our students have no gap to close. It fits
# `search-base`, which reaches its teacher's level by RL alone (dashed line). It does not fit `search-control`:
# there the gap is largest (the student after RL solves 0.54, far below its teacher) and the teacher's lesson
# still brings less than RL does, 0.44. So a gap alone does not make distillation win. It may be that right
# answers show this student too little of how a hit is told from a miss, the fault that its pretraining left;
# we have not tested that, and two students cannot separate the causes. The paper's case is a 32B model that stays at 47.0 under RL where
# its teacher, twenty times as large, has 79.8 (v1, Tables 4 and 6). v2 adds a counterweight (Table 17): Qwen2-Math-7B
# under RL alone reaches 22.3 at AIME 2024, where its *instruct* sibling (another model, not the start of
# the run) has 7.9.
#
# The slides' second conclusion, "Advancing beyond the boundaries of intelligence may still
# require more powerful base models and larger-scale reinforcement learning", paraphrases v1
# (**[erratum 15](../docs/errata.md#erratum-15)**; v2 speaks of the boundary of *human* intelligence). A lab whose task has an
# exact ceiling cannot test it.

# %% [markdown]
# ## What usually goes wrong
#
# * **`rewards/format_reward/mean` stays at 0.** The policy never shows the format by itself, and
#   nothing can be reinforced. Show one example, or do a cold start first.
# * **`rewards/format_reward/mean` is 1 and `rewards/accuracy_reward/mean` is not.** The cheap rule
#   is learned first and from then on is a constant in every group: look at
#   `frac_reward_zero_std`.
# * **Accuracy rises and nobody can read it.** No rule reads the thinking. Log what you want to
#   keep (`language_consistency`, readability), also when you do not reward it.
# * **`completions/clipped_ratio` rises with the length.** A response that is cut off gets neither
#   reward, whatever it had found. R1-Zero's limit was raised in mid-run.
# * **An SFT stage that "beats RL".** Ask what the same selection does without the teacher, and
#   what everything cost.
# * **Two versions of one paper in one table.** 71.0 and 77.9 are both R1-Zero's AIME.

# %% [markdown]
# ## The claims of these slides
#
# One row a claim: the paper's numbers with their version, ours as a mean difference with its 95 %
# interval over seeds, and a verdict by rule: the interval excludes zero on the claimed side
# (*holds here*), on the other (*contradicted here*), or does not (*does not show here*). Where what
# we measure is not what the paper means, the row says *not testable here*. Verdicts
# are about the miniature, not about the paper. There are some twenty intervals in these tables: even if nothing differed,
# about one of them would exclude zero by luck.


# %%
def verdict(difference, expected):
    """What the interval says of a claim "higher" (+1), "lower" (-1), another (None)."""
    low, high = difference.interval.low, difference.interval.high
    if expected is None:
        return "not testable here"
    if low <= 0 <= high:
        return "does not show here"
    return "holds here" if expected * low > 0 else "contradicted here"


def claims_table(rows):
    """(claim, paper, difference, expected) → claim, paper, ours, verdict."""
    lines = ["| claim | the paper | ours: difference | verdict |", "|---|---|---|---|"]
    for claim, published, found, expected in rows:
        ours = f"{found.interval}, {found.interval.n} seeds"
        lines.append(f"| {claim} | {published} | {ours} | {verdict(found, expected)} |")
    return Markdown("\n".join(lines))


# %%
small = zero_differences["eval/sampled_accuracy"]
longer = zero_differences["completions/mean_length"]

# %% tags=["nbval-check-output"]
rows = [
    ("RL with rules alone teaches (our base saw demonstrations): lab",
     "AIME 15.6 → 71.0 (v1), → 77.9 (v2)",
     compare("zero", "base", "search"), +1),
    ("the same (an instruction-tuned policy): SmolLM2", "as above", small, +1),
    ("… *without SFT*: both of our policies had some", "as above", small, None),
    ("responses grow: lab", "555 → 9,555 tokens (v1, Fig. 3, digitized)",
     compare("zero", "base", "mean_length"), +1),
    ("responses grow: SmolLM2 (to the length of its example)", "as above", longer, +1),
    ("poor readability (ours: no try is made twice)", "no number",
     compare("zero", "base", "readable"), None),
    ("language mixing, per response", "no number", mixing_differences["mixed responses"], +1),
    ("language mixing, per neighboring pair", "no number",
     mixing_differences["switches per pair"], +1),
    ("R1-Zero is narrow: writing, open questions (ours: two numbers)", "v2, no number",
     compare("zero", "base", "search-easy"), None),
    ("the same (ours: four numbers)", "v2, no number",
     compare("zero", "base", "search-hard"), None),
]  # fmt: skip
claims_table(rows)

# %% tags=["nbval-check-output"]
rows = [
    ("a language reward makes it consistent", "level instead of falling (v2, Fig. 7)",
     compare("zero+language", "zero", "english"), +1),
    ("… at a cost in performance", "slight: code lower, mathematics level (v2, Fig. 7)",
     compare("zero+language", "zero", "search"), -1),
]  # fmt: skip
claims_table(rows)

# %% tags=["nbval-check-output"]
rows = [
    ("Dev1 reasons worse than R1-Zero", "AIME 77.9 → 59.0 (v2, Table 3)",
     compare("dev1", "zero", "search"), -1),
    ("Dev1 keeps to the form better", "IF-Eval 46.6 → 71.7 (v2, Table 3)",
     compare("dev1", "zero", "english"), +1),
    ("Dev2 recovers reasoning", "AIME 59.0 → 74.0 (v2, Table 3)",
     compare("dev2", "dev1", "search"), +1),
    ("Dev3 is broader: easier questions", "AlpacaEval 55.8 → 62.1 (v2, Table 3)",
     compare("dev3", "dev2", "search-easy"), +1),
    ("Dev3 is broader: harder questions", "as above",
     compare("dev3", "dev2", "search-hard"), +1),
    ("the last RL adds form (here: a length it is paid for)", "ArenaHard 75.6 → 92.3 (v2, Table 3)",
     compare("r1", "dev3", "short"), +1),
    ("R1 reasons better than R1-Zero", "AIME 77.9 → 79.8 (v2, Table 3)",
     compare("r1", "zero", "search"), +1),
]  # fmt: skip
claims_table(rows)

# %% tags=["nbval-check-output"]
rows = [
    ("distillation > RL: search-base", "AIME 72.6 against 47.0 (v1, Table 6)",
     ways["search-base", "teacher", "RL"], +1),
    ("distillation > RL: search-control", "as above",
     ways["search-control", "teacher", "RL"], +1),
    ("distillation > RL at equal compute, teacher free: search-base",
     "said, not measured (v1, §4.1)", early["search-base"], +1),
    ("the same: search-control", "as above", early["search-control"], +1),
    ("it is the teacher: search-base", "not asked",
     ways["search-base", "teacher", "own"], +1),
    ("it is the teacher: search-control", "not asked",
     ways["search-control", "teacher", "own"], +1),
]  # fmt: skip
claims_table(rows)

# %% [markdown]
# *Not testable here, whatever the verdict by rule in the tables says:* "without SFT" (SmolLM2 is instruction-tuned, and
# the lab's bases saw demonstrations of guess and check); "poor readability" (ours is that no try is made twice, which is waste);
# "R1-Zero is narrow" (the paper means writing and open questions, ours are two or four numbers instead of three). Also: R1 is on a par with o1-1217 (v1, Table 4: ahead in 5 of the 11 rows where
# both are given); preference rewards lift AlpacaEval by 25.5 points (v2, Table 3); the boundary
# needs stronger bases and larger RL (v1, v2).
#
# What does not show or is contradicted stays in. Two verdicts have one cause: RL on the base
# reaches the ceiling of the lab, so neither R1 nor a student has room above it. A miniature can show
# a mechanism at work; that it fails to show a gap says little about large models.

# %% [markdown]
# ## Exercises
#
# Replace `raise NotImplementedError`; the check says "right" or gives a hint. Solutions are at
# the end.
#
# **1. Mixed or foreign?** A response that is Chinese throughout is not English and not mixed
# either. Say whether a text holds words of both languages; tags and numbers are no words.


# %%
def is_mixed(text):
    raise NotImplementedError


check_exercise("r1-1", is_mixed)

# %% [markdown]
# **2. Rejection sampling.** From rows of 0/1 accuracies, cut-offs and English shares, groups of
# $G$ rows to a question: the indices of those that are right, ended by themselves and wholly
# English, at most `per_prompt` of a question.


# %%
def kept_rows(accuracies, truncated, english, num_generations, per_prompt):
    raise NotImplementedError


check_exercise("r1-2", kept_rows)

# %% [markdown]
# **3. pass@1 and cons@k.** From the k answers to one question (`None` where there is none) and
# the reference: the mean correctness, and whether the majority is right. Of equally frequent
# answers the first drawn one counts.


# %%
def pass_and_consensus(answers, reference):
    raise NotImplementedError


check_exercise("r1-3", pass_and_consensus)

# %% [markdown]
# **4. A clip of ten.** v2 trains R1's first RL stage with $\varepsilon=10$. Up to which ratio
# has a token with $\hat{A}>0$ a gradient, and down to which ratio one with $\hat{A}<0$?


# %%
def ratio_limits(epsilon):
    raise NotImplementedError


check_exercise("r1-4", ratio_limits)

# %% [markdown]
# <details>
# <summary>Solutions</summary>
#
# ```python
# # r1-1
# import rlnotes as rl
#
#
# def is_mixed(text):
#     return 0 < rl.language_consistency_reward(completions=[text])[0] < 1
# ```
#
# ```python
# # r1-2
# def kept_rows(accuracies, truncated, english, num_generations, per_prompt):
#     kept, counts = [], {}
#     for row, right in enumerate(accuracies):
#         question = row // num_generations
#         good = right >= 1 and not truncated[row] and english[row] == 1
#         if good and counts.get(question, 0) < per_prompt:
#             counts[question] = counts.get(question, 0) + 1
#             kept.append(row)
#     return kept
# ```
#
# ```python
# # r1-3
# from collections import Counter
#
#
# def pass_and_consensus(answers, reference):
#     right = sum(answer == reference for answer in answers) / len(answers)
#     votes = Counter(answer for answer in answers if answer is not None)
#     winner = votes.most_common(1)[0][0] if votes else None
#     return right, float(winner == reference)
# ```
#
# ```python
# # r1-4
# def ratio_limits(epsilon):
#     return 1 + epsilon, max(0.0, 1 - epsilon)
# ```
#
# A ratio is never negative: with ε = 10 nothing stops a token that is pushed down.
#
# </details>

# %% [markdown]
# ## References
#
# * DeepSeek-AI, 2025, *DeepSeek-R1: Incentivizing Reasoning Capability in LLMs via Reinforcement
#   Learning*, arXiv 2501.12948. v1 (January 2025): Figures 2 and 3, Tables 1, 2, 4, 5, 6. v2 (January
#   2026): Table 3, Figure 7, §2.1 and §3. Values: `data/papers/SOURCES.md`.
# * Shao et al., 2024, *DeepSeekMath*, arXiv 2402.03300: GRPO.
# * Ben Allal et al., 2025, *SmolLM2*, arXiv 2502.02737.
# * The lab's runs: `experiments/r1_pipeline.py`, `experiments/distillation.py`,
#   `configs/r1_zero.yaml`.
#
# Next: [07 The aha moment](07_aha_moment.ipynb), which counts reflection and asks what it is worth.
