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
# # 05 · R1-Zero: two rules and a template
#
# **question → rollouts → rewards** → advantages → objective → update → **record** → figure
#
# DeepSeek-R1-Zero is a language model after reinforcement learning alone. Nobody showed it worked solutions; two rules said which of its answers count. This page writes
# the rules down, tries to fool them, trains a small model by them, and measures the drawbacks that the paper reports. The next page is about R1, which adds stages to mend
# them.
#
# You will be able to
#
# * write R1-Zero's two rules, and say what they pay and what they overlook,
# * say why a rule that is never fulfilled teaches nothing,
# * read R1-Zero's curves without mixing two versions of one paper,
# * take "language mixing" apart: per word, per response, per switch.
#
# **Reading:** about 31 minutes. **Running:** two to four minutes, most of it a live run on SmolLM2.
# **Paper:** [DeepSeek-R1](https://arxiv.org/abs/2501.12948); *v1* is the text of January 2025, *v2* that of January 2026. **Builds on:**
# [03 GRPO](03_grpo.ipynb), the algorithm, and [01 The search lab](01_search_lab.ipynb). **Next:** [06 R1's pipeline](06_r1_pipeline.ipynb).

# %% tags=["parameters"]
max_steps = 2
eval_samples = 4

# %%
import re

import matplotlib.pyplot as plt
import pandas as pd
import torch

import rlnotes as rl
from rlnotes.analysis import figures, statistics
from rlnotes.analysis.log_keys import in_words
from rlnotes.machine.rates import bfloat16_pays
from rlnotes.tasks.base import Task
from rlnotes.tasks.numbers import read_number, same_number
from rlnotes.tasks.search_language import ANSWER, WAIT
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.r1_tables import before_and_after, claims_table, read_stages
from rlnotes.teaching.worked_group import worked_group

figures.use_style()
torch.manual_seed(0)
print("torch", torch.__version__.split("+")[0])

# %% [markdown]
# ## REWARDS: two rules, no model
#
# $$R_{\text{rule}} = R_{\text{acc}} + R_{\text{format}}$$
#
# One rule asks whether the answer is right, the other whether the response has the form that the template asks for. Both have the same weight, and neither is a neural network:
# a learned reward can be exploited in a long run, and would have to be trained again (v1, §2.2.2). In the drawing, orange boxes learn, green ones are rules.
#
# <details><summary>On the slide</summary>
#
# The slide's flow chart says "Large Scale RL (GRPO, Rule-based Reward Model)". **[Erratum 6](../docs/errata.md#erratum-6):** there is no reward *model*, and the slide
# does not say that there are two rules.
#
# </details>

# %% tags=["hide-input"]
boxes = {
    "q": (0.9, 1.5, "question\nin a template", "data"),
    "p": (2.9, 1.5, "policy\n(starts as\nV3-Base)", "learns"),
    "o": (4.9, 1.5, "G responses\n<think> … </think>\n<answer> … </answer>", "data"),
    "a": (7.1, 2.1, "accuracy rule", "rule"),
    "f": (7.1, 0.9, "format rule", "rule"),
    "s": (8.9, 1.5, "sum,\nadvantages", "rule"),
    "r": (4.9, 0.3, "reference policy", "frozen"),
    "u": (8.9, 3.2, "GRPO: loss and update", "learns"),
}
arrows = [("q", "p", "-", ""), ("p", "o", "-", ""), ("o", "a", "-", "")]
arrows += [("o", "f", "-", ""), ("a", "s", "-", ""), ("f", "s", "-", "")]
arrows += [("s", "u", "-", ""), ("u", "p", "-", "new weights")]
arrows += [("r", "p", "--", "KL, small")]
_ = draw_graph(boxes, arrows, size=(10, 3.5))

# %% [markdown]
# We begin with the format. The text must be one block of thinking and one block of answer, with nothing around them.

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
# The accuracy rule reads the answer block and nothing else. R1 asks for a box around the final answer of a mathematical question and runs tests on code. We compare numbers. The rule never evaluates
# the text of a completion, because anybody could have written it.


# %%
def accuracy_rule(text, answer):
    """1 if the only answer block outside the thought is the answer's number."""
    said = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    blocks = re.findall(r"<answer>(.*?)</answer>", said, re.DOTALL)
    number = read_number(blocks[0]) if len(blocks) == 1 else None
    return float(same_number(number, read_number(answer)))


# %% [markdown]
# The next cell tries to fool both rules. What would a policy write to be paid without a right
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
# * *No tags* and *outside the block* are right and unpaid, because the rule reads no number outside the block.
# * *Two answers*: a policy that may answer twice is paid for guessing; so neither counts.
# * *Upper case, nested, unclosed*: each of the four tags must stand there once, in lower case and in order. *Nested* has its answer
#   inside the thought, where none is given; *empty thinking* loses the format alone.
# * *Code* and *a sum* are read as text. `5 + 7` is no number, and nothing computes 12.
# * *Arabic digits* are digits (Unicode decimal), so this is a right answer.
# * *Wrong thinking* gets full pay: **neither rule reads the thinking**. R1-Zero is about that
#   freedom. It is also why nothing keeps the thinking readable.
# * *A hedge* is unpaid because the answer is the whole of its block: `11 or 12` is no number.

# %% [markdown]
# ### What the sum does to a group
#
# Since both rules have the same weight, a well-formed wrong answer is worth as much as a right answer in bad
# form. In the group below, two completions at 1 get the same advantage for opposite merits;
# [09 GDPO](09_gdpo.ipynb) is about that. A rule that nobody in the group fulfills adds a
# constant, which the group's mean takes out again. Our worked group has no tags at all, so
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
    rates = {"format": form, "accuracy": accuracy}
    shown[name] = {rule: sum(x) / len(x) for rule, x in rates.items()}
pd.DataFrame(shown).T.round(2)

# %% [markdown]
# These chances decide whether anything is learned, because a group teaches only when its rewards differ. If the policy
# fulfills a rule with chance $p$, a group of $G$ is mixed with chance $1-p^G-(1-p)^G$. At
# $p=0$ that is zero for every $G$, and no number of steps repairs it. The paper reports that smaller
# bases (7B dense, 16B mixture of experts) gained nothing from RL from scratch.

# %% tags=["hide-input"]
chances = torch.linspace(0, 1, 201)
figure, axes = plt.subplots(figsize=(7.5, 2.8))
for size, style in ((8, "-"), (16, "--")):
    mixed = 1 - chances**size - (1 - chances) ** size
    axes.plot(chances, mixed, style, color="black", label=f"G = {size}")
for (name, rates), color in zip(shown.items(), ("#D55E00", "#0072B2"), strict=True):
    for rule, marker in (("format", "o"), ("accuracy", "s")):
        p = rates[rule]
        height = 1 - p**8 - (1 - p) ** 8
        axes.plot(p, height, marker, color=color, label=f"{name}: {rule}")
axes.set(xlabel="chance that a rule is fulfilled", ylabel="share of mixed groups")
_ = axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# ## RECORD: R1-Zero's curves
#
# The slide "Performance of DeepSeek-R1-Zero" has one table and no curve. **[Erratum 7](../docs/errata.md#erratum-7)**: its
# header is flattened (AIME 2024 has *two* columns, pass@1 and cons@64) and its numbers are v1's.
# pass@1 is the mean over samples, and cons@k is the majority vote of k. This is all of v1's Table 2:

# %% tags=["nbval-check-output"]
print(rl.wide_table(rl.paper_table("r1v1_table2")).T.to_string())

# %% [markdown]
# The curves are v1's Figures 2 and 3, digitized from a bitmap: one training run, no error
# bars, "step" is a policy update. Thin dashed lines are o1-0912, which v1 draws beside it: pass@1
# 0.744, and **cons@64** 0.833 next to R1-Zero's **cons@16**.
# The band of the right panel is the spread of the raw curve.

# %% tags=["hide-input"]
aime = rl.paper_curve("r1v1_fig2_aime")
length = rl.paper_curve("r1v1_fig3_length")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
left.plot(aime["step"], aime["pass1"], "o-", ms=3, color="#0072B2", label="pass@1")
left.plot(aime["step"], aime["cons16"], "o-", ms=3, color="#D55E00", label="cons@16")
left.axhline(0.744, color="#0072B2", lw=0.8, ls="--", label="o1-0912 pass@1")
left.axhline(0.833, color="#D55E00", lw=0.8, ls="--", label="o1-0912 cons@64")
left.set(xlabel="step", ylabel="share right", ylim=(0, 0.95), title="AIME 2024")
left.legend(fontsize=8, loc="lower right")
right.fill_between(length["step"], length["raw_lo"], length["raw_hi"], alpha=0.2)
right.plot(length["step"], length["smoothed_len"], color="#0072B2")
_ = right.set(xlabel="step", ylabel="tokens", title="mean length of a response")

# %% tags=["nbval-check-output"]
first, last = length.iloc[0], length.iloc[-1]
shortest = length.loc[length["smoothed_len"].idxmin()]
growth = last["smoothed_len"] / first["smoothed_len"]
print(f"length {first['smoothed_len']:.0f} → {last['smoothed_len']:.0f}, ×{growth:.0f}")
print(f"dip: {shortest['smoothed_len']:.0f} tokens at step {shortest['step']:.0f}")
ends = aime.iloc[[0, -1]][["step", "pass1", "cons16"]]
print(ends.to_string(index=False))

# %% [markdown]
# Three questions are easily confused:
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
# `configs/r1_zero.yaml` is the recipe at our size: GRPO from SmolLM2-135M-*Instruct*, the two rules with one weight, and a small KL term. Since
# [03](03_grpo.ipynb) the reward, the template and $\beta=0.001$ are new. The table below sets our values beside
# R1-Zero's (v2, §2.1). The largest difference is the start: R1-Zero starts from a *base* model, without any supervised fine-tuning (SFT). Our policy has been instruction-tuned, though not for this format, so nothing here tests
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
# We train one seed for a few steps, so that you can watch the rewards move. This is an illustration and no result. `result.metrics` has
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
    print(f"{in_words(f'eval/{key}')[0]:28} {before:5.2f} → {after:5.2f}")

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

# %% tags=["hide-input"]
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
zero_differences = {}
for key in keys:
    table = before_and_after(recorded, key)
    means = table.groupby("algorithm")[key].mean()
    zero_differences[key] = difference = statistics.paired_difference(
        table, key, "after", "before"
    )
    name, change = in_words(key)[0], f"{means['before']:.2f} → {means['after']:.2f}"
    print(f"{name:24} {change}: {difference}")
small = zero_differences["eval/sampled_accuracy"]
longer = zero_differences["completions/mean_length"]

# %% [markdown]
# The policy learns both rules within ten steps. The example had shown the form, and one-digit sums were in the
# weights ([11](11_train.ipynb) takes such a rise apart). The length goes to that of the example
# and stays there, because a sum of two digits needs no thinking time and this reward does not pay for length. Responses grow where
# thinking longer makes more answers right, as in the lab of the next section.

# %% [markdown]
# ## The drawbacks, measured
#
# The slide "Drawback of DeepSeek-R1-Zero" lists "Poor readability, Language Mixing". Neither
# has a number in the paper, so we measure both on the search lab. `search-mixed` is a policy of
# 0.3 million weights that was pretrained on guess and check in two languages: half of its
# demonstrations are English, the other half draw each word by a coin, `wait` or 等, `answer` or 答.
# `zero` is GRPO from there with the accuracy reward alone: 80 steps. Some of its
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
# change from one such word to the next? In the figure a thin line is a seed and the black line is their mean.

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

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(11, 2.6))
for panel, key in zip(axes, mixing.columns[3:7], strict=True):
    for _, one in mixing.groupby("seed"):
        panel.plot(one["step"], one[key], color="#0072B2", lw=0.8, alpha=0.6)
    panel.plot(mixing.groupby("step")[key].mean(), color="black")
    panel.set(title=key, xlabel="step", ylim=(0, None))

# %% tags=["nbval-check-output"]
mixing_differences = {}
for key in mixing.columns[3:7]:
    table = before_and_after(mixing, key)
    mixing_differences[key] = difference = statistics.paired_difference(
        table, key, "after", "before"
    )
    print(f"{key:23} {difference}")

# %% [markdown]
# Responses that hold two languages become more frequent. For the share of Chinese words and for the switching, however, the
# interval holds zero. A longer response has more words, so it is more likely to hold both languages even when each word is chosen as before. Seed by
# seed (thin lines) the share *drifts*: down in four seeds, up by half in one. So these seeds do not show that RL taught
# mixing. No reward holds the language in place, so it can move by chance.
#
# `readable` in the tables is our rule that every try is well formed and none is made twice. It measures waste,
# not whether a person can read the text. **[Erratum 11](../docs/errata.md#erratum-11)**: the slide's two drawbacks are v1's; v2 adds that
# R1-Zero is narrow (weak at writing and open questions). We have no such tasks. What we can measure is whether
# RL on one size carries over to two others, two numbers (easy) and four (hard). Rows of
# `data/experiments/r1_pipeline/seed*.csv`, paired by seed:


# %% tags=["nbval-check-output"]
def compare(first, second, metric):
    return statistics.paired_difference(stages, metric, first, second)


stages = read_stages("r1_pipeline")
print(stages["seed"].nunique(), "seeds; zero − base")
names = {"english": "wholly English", "readable": "readable (our rule)"}
names |= {"repeated": "some try made twice", "mean_length": "tokens"}
names |= {"search": "accuracy, three numbers", "search-easy": "accuracy, two numbers"}
names |= {"search-hard": "accuracy, four numbers"}
for metric, name in names.items():
    print(f"{name:24} {compare('zero', 'base', metric).interval}")

# %% [markdown]
# One response in five more breaks our rule, mostly by a repeated try, which no reward forbids. Both sizes that RL did not see
# gain as well, so the skill carries over here. [06](06_r1_pipeline.ipynb) shows a stage where in some seeds it does not.

# %% [markdown]
# ## What usually goes wrong
#
# * **`rewards/format_reward/mean` stays at 0.** The policy never shows the format by itself, and
#   nothing can be reinforced. Show one example, or do a cold start first.
# * **`rewards/format_reward/mean` is 1 and `rewards/accuracy_reward/mean` is not.** The cheap rule
#   is learned first and from then on is a constant in every group: look at
#   `frac_reward_zero_std`.
# * **Accuracy rises and nobody can read it.** No rule reads the thinking. Log what you want to
#   keep (`language_consistency`, readability), even when you do not reward it.
# * **`completions/clipped_ratio` rises with the length.** A response that is cut off gets neither
#   reward, whatever it had found. R1-Zero's limit was raised in mid-run.
# * **Two versions of one paper in one table.** 71.0 and 77.9 are both R1-Zero's AIME.

# %% [markdown]
# ## The claims, and what this page can say about them
#
# One row a claim: the paper's numbers with their version, ours as a mean difference with its 95 % interval over seeds, and a verdict by rule. The interval excludes zero on the claimed
# side (*holds here*), on the other (*contradicted here*), or does not exclude it (*does not show here*). Where we measure something else than the paper means, the row says *not testable
# here*. These are verdicts about the miniature, not about the paper. The tables of this page and the next hold some twenty intervals: even if nothing differed, about one of them would exclude zero by luck.

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

# %% [markdown]
# *Not testable here:* "without SFT", because SmolLM2 is instruction-tuned and the lab's bases saw demonstrations of guess and check; "poor readability", because ours counts repeated tries, which is waste and not
# legibility; "R1-Zero is narrow", because the paper means writing and open questions, and we have only other numbers of digits.

# %% [markdown]
# ## Exercises
#
# Replace `raise NotImplementedError`. The check says "right" or gives a hint.
#
# **r1-1. Mixed or foreign?** A response that is Chinese throughout is not English and not mixed either. Say whether a text holds words of both languages. Tags and numbers are no words.


# %%
def is_mixed(text):
    raise NotImplementedError


check_exercise("r1-1", is_mixed)

# %% [markdown]
# **r1-2. pass@1 and cons@k.** From the k answers to one question (`None` where there is none) and
# the reference: the mean correctness, and whether the majority is right. Of equally frequent
# answers the first drawn one counts.


# %%
def pass_and_consensus(answers, reference):
    raise NotImplementedError


check_exercise("r1-2", pass_and_consensus)

# %% [markdown]
# <details><summary>Solutions</summary>
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
# </details>

# %% [markdown]
# **Predict, then run.** A policy fulfills a rule with chance 0.02. Which share of its groups of 8 teaches anything, and how large must a group be for half of them to? Write
# both down before you run the cell.

# %%
share, group_size = None, None  # your two numbers

p = 0.02
if share is not None:
    print(f"groups of 8: {1 - p**8 - (1 - p) ** 8:.2f}, you said {share}")
    half = next(g for g in range(2, 999) if 1 - p**g - (1 - p) ** g >= 0.5)
    print(f"half of the groups from G = {half} on, you said {group_size}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# About one group in seven, and $G = 35$ completions a question. If success is rare, larger groups help, and more steps alone do not. If it never
# happens, as with our template alone, no group size helps, and one example in the prompt does.
#
# </details>
#
# **A small experiment of your own.** Write a fourteenth completion that both rules pay in full and that you would not want. Then change one of the two rules so that it is no longer paid, and look which of the honest cases loses.
#
# | question | your words |
# | --- | --- |
# | Which completion, and why is it paid? | |
# | What does your rule cost on the cases of this page? | |
# | How would you notice in a run that the policy writes it? | |

# %% [markdown]
# ## References
#
# * DeepSeek-AI, 2025, [*DeepSeek-R1: Incentivizing Reasoning Capability in LLMs via Reinforcement Learning*](https://arxiv.org/abs/2501.12948). v1 (January 2025): Figures 2 and 3, Tables 1 and 2. v2
#   (January 2026): §2.1. Values and their sources: [`data/papers/SOURCES.md`](../data/papers/SOURCES.md).
# * Ben Allal et al., 2025, [*SmolLM2*](https://arxiv.org/abs/2502.02737).
# * The runs: [`experiments/r1_pipeline.py`](../experiments/r1_pipeline.py), [`configs/r1_zero.yaml`](../configs/r1_zero.yaml).
#
# **Next:** [06 R1's pipeline](06_r1_pipeline.ipynb) mends the drawbacks, stage by stage.
