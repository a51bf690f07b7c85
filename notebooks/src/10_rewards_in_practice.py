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
# # 10 · Rewards in practice: from the template to the verdict
#
# question → rollouts → **rewards** → advantages → objective → update → record → figure
#
# "Is the answer right?" sounds like one line of code. Between the model's tokens and the number 1 or 0 stand a template, a decoder, a
# parser, a reference answer and a comparison, and each can be wrong without an error message. Training then moves the policy to whatever the wrong reward pays.
#
# You will be able to
#
# * follow one completion from the chat template to its verdict,
# * count both kinds of error of a rule on a saved set of completions,
# * find the shortcuts that a reward pays for, before a policy finds them,
# * compare a reward with a random, a constant and a wrong one,
# * write a reward that ranks the answers to one question.
#
# **Reading:** about 26 minutes. **Running:** about 40 seconds. **Builds on:** [03 GRPO](03_grpo.ipynb), [05 R1-Zero](05_r1_zero.ipynb).
# **Next:** [11 Train](11_train.ipynb).

# %%
import re
import time
import warnings
from math import comb

import matplotlib.pyplot as plt
import pandas as pd
import torch
from ipywidgets import interact

import rlnotes as rl
from rlnotes.analysis.figures import use_style
from rlnotes.rewards.probing import probe
from rlnotes.tasks.base import last_number
from rlnotes.tasks.final_answers import final_answer, reference_answer
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.exercises import check_exercise

use_style()
torch.set_num_threads(1)  # tiny models
print("torch", torch.__version__.split("+")[0])

# %% tags=["hide-input"]
boxes = {
    "q": (0.9, 1.5, "question +\nchat template", "data"),
    "m": (2.6, 1.5, "model", "learns"),
    "d": (4.0, 1.5, "decoded\ntext", "data"),
    "e": (5.7, 1.5, "extraction:\nwhere is the answer?", "rule"),
    "g": (5.7, 0.5, "gold column:\nwhat is the answer?", "data"),
    "v": (7.9, 1.0, "verifier:\nthe same?", "rule"),
    "f": (5.7, 2.5, "format rules", "rule"),
    "r": (9.7, 1.8, "weighted\nsum", "rule"),
}
arrows = [("q", "m", "-", ""), ("m", "d", "-", ""), ("d", "e", "-", "")]
arrows += [("e", "v", "-", ""), ("g", "v", "-", ""), ("d", "f", "-", "")]
arrows += [("v", "r", "-", ""), ("f", "r", "-", "")]
_ = draw_graph(boxes, arrows, size=(10.5, 3))

# %% [markdown]
# ## The template may have written the first words
#
# A chat template turns messages into one text. Some templates for reasoning models end the prompt with an **opened thinking tag**. The completion then starts
# inside the thought, and its own text has a closing tag without an opening one. A strict format rule pays such a completion nothing, ever. We show it with the
# tokenizer of SmolLM2 and two templates.

# %% tags=["nbval-check-output"]
turn = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
plain = "{% for m in messages %}" + turn + "{% endfor %}<|im_start|>assistant\n"
tokenizer = rl.load_policy("smollm2-135m").tokenizer
message = [{"role": "user", "content": "What is 3/4 of 96?"}]
for name, template in (("plain", plain), ("opened", plain + "<think>\n")):
    options = {"chat_template": template, "tokenize": False}
    prompt = tokenizer.apply_chat_template(message, **options)
    print(f"{name:7} the prompt ends with {prompt[-30:]!r}")
completion = "24 is a quarter</think> <answer>72</answer>"
strict = rl.format_reward(completions=[completion, "<think>" + completion])
print("format, as it was written:", strict[0], " with the tag put back:", strict[1])
print("accuracy:", rl.accuracy_reward(completions=[completion], answer=["72"]))

# %% [markdown]
# Put the tag back before the format is judged, or judge only what the model has written. The accuracy rule of this library knows the case: what stands before a
# closing tag is thought.
#
# ## Decoding: what is left in the text
#
# Ids become text by `decode`. With `skip_special_tokens=False` the end token stays in it, and every rule that looks at the *end* of the text misses.

# %% tags=["nbval-check-output"]
ids = tokenizer("The answer is 72.<|im_end|>")["input_ids"]
for skip in (False, True):
    text = tokenizer.decode(ids, skip_special_tokens=skip)
    at_end = bool(re.search(r"(\d+)\.?$", text))
    print(f"skip_special_tokens={skip!s:5} {text!r}: a number at the end? {at_end}")

# %% [markdown]
# ## Extraction: strict, lenient, and both kinds of error
#
# Here are eighteen completions for "What is 3/4 of 96?", and for each what a person would say: right or wrong. All of them are kinds that real policies write.

# %%
RIGHT = [
    r"3/4 of 96 is \boxed{72}.",
    "96 / 4 = 24, and 3 * 24 = 72. The answer is 72.",
    "<think>24 * 3</think><answer>72</answer>",
    r"I think \boxed{71}. No: \boxed{72}.",
    r"\boxed{72.0}",
    r"\boxed{72 \text{ apples}}",
    "The answer is **72**.",
    "Answer: 72, because 24 * 3 = 72 and 4 * 24 = 96",
    "seventy-two",
]

# %%
WRONG = [
    r"3/4 of 96 is \boxed{71}.",
    "It is not 72.",
    r"\boxed{27} (checked against 72)",
    r"\boxed{70 or 72}",
    "<think>it is 72</think>I give up.",
    r"the total is \boxed{72",
    r"\boxed{172}",
    "68, 69, 70, 71, 72",
    "3/4 of 96 is 70. I checked it in 72",
]

# %% [markdown]
# Three rules read them. The *strict* one wants the text in the last box to be exactly the reference. The *lenient* one takes the last number of the text. The third is
# the library's `accuracy_reward`: it takes the whole of the last box or the only answer block, or a last number that stands as a statement, and compares numbers exactly.
#
# **Predict first (reward-1).** How many of the nine right completions does the strict rule miss?

# %%
missed = None  # your number

check_exercise("reward-1", missed)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # reward-1
# missed = 7
# ```
#
# Only the first and the fourth have exactly `72` in their last box.
#
# </details>

# %% tags=["nbval-check-output"]
rules = {
    "strict": lambda text: float(final_answer(text, "boxed") == "72"),
    "lenient": lambda text: float(str(last_number(text)) == "72"),
    "library": lambda x: rl.accuracy_reward(completions=[x], answer=["72"])[0],
}
rows = []
for person, texts in (("right", RIGHT), ("wrong", WRONG)):
    for text in texts:
        paid = {name: int(rule(text)) for name, rule in rules.items()}
        rows.append({"completion": text[:48], "a person": person} | paid)
table = pd.DataFrame(rows)
print(table.to_string(index=False))

# %% tags=["nbval-check-output"]
is_right = table["a person"] == "right"
for name in rules:
    unpaid, paid = (table[name] == 0) & is_right, (table[name] == 1) & ~is_right
    print(f"{name:8} right and unpaid {unpaid.sum()}, wrong and paid {paid.sum()}")

# %% [markdown]
# A **right answer that is unpaid** makes learning slower, and it teaches the form that is paid. A **wrong answer that is paid** is worse, because its share grows: the policy
# moves to whatever is paid. So the strict rule belongs in training, and both belong in an evaluation: what lies between them is a matter of form. `rlnotes evaluate` prints both.
# The library's rule errs as well. It misses a number in words and an answer that goes on calculating, and it pays two texts that end in 72 without claiming it. It takes a last number only where a text has neither box nor block:
# a template that asks for one closes this hole.
#
# With a running kernel you can write a completion of your own, and see which rule pays and what it has read.


# %%
def who_pays(text):
    read = {"strict": final_answer(text, "boxed"), "lenient": last_number(text)}
    for name, rule in rules.items():
        what = f", has read {read[name]}" if name in read else ""
        print(f"{name:8} pays {rule(text):.0f}{what}")
    print("format  ", rl.format_reward(completions=[text])[0])


who_pays(RIGHT[3])

# %%
_ = interact(who_pays, text=WRONG[2])

# %% [markdown]
# ## The gold column
#
# The reference comes from a data set, and its column may hold a number, a formula, or a whole solution in prose. `reference_answer` takes what stands behind `####` (GSM8K) or in the
# last box (MATH). From a solution without either, nothing can be taken, and every answer to it is "wrong".

# %% tags=["nbval-check-output"]
columns = {
    "a number": "72",
    "GSM8K": "A quarter is 24, three are 72.\n#### 72",
    "MATH": r"So the share is $\boxed{\frac{3}{4}}$.",
    "prose": "A quarter of 96 is 24, and three of them are 72.",
}
for name, gold in columns.items():
    reference = reference_answer(gold)
    answers = [r"\boxed{72}", r"\boxed{0.75}"]
    paid = rl.accuracy_reward(completions=answers, answer=[reference] * 2)
    print(f"{name:8} reference {reference[:24]!r:28} answers 72 and 0.75: {paid}")

# %% [markdown]
# Look at the share of questions whose *own reference* is paid when it is given as the answer. If it is below 1, the column is wrong, not the model. A run of this library asks that before its first
# step.
#
# ## The verifier: slow and hostile texts
#
# Formulas need a computer algebra system, and a completion is text from a stranger. It may ask for a tower of powers, or contain code. The verifier runs in a process of its own with a time
# limit, it never evaluates a text as code, and a comparison that is stopped counts as wrong (`verdicts/timed_out` in the log).

# %%
hostile = {
    "the same, in another form": r"\boxed{x^2+2x+1}",
    "a tower of powers": r"\boxed{9^{9^{9^{9}}}}",
    "code": r"\boxed{__import__('os').system('ls')}",
    "five thousand brackets": r"\boxed{" + "(" * 5000 + "}",
}
for name, text in hostile.items():
    start = time.perf_counter()
    paid = rl.accuracy_reward(completions=[text], answer=["(x+1)^2"])[0]
    print(f"{name:26} paid {paid:.0f}, {time.perf_counter() - start:.1f} s")

# %% [markdown]
# ## Format rules: strict, tolerant, graded
#
# The strict rule wants the two blocks and nothing else. A tolerant rule searches for them anywhere. A graded rule pays a quarter for each tag. The graded one gives a policy
# something to climb when it never fulfills the strict rule. It also pays for tags alone, and for tags in any order.

# %% tags=["nbval-check-output"]
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
PAIR = re.compile(r"<think>.*</think>\s*<answer>.*</answer>", re.DOTALL)
formats = {
    "strict": lambda text: rl.format_reward(completions=[text])[0],
    "tolerant": lambda text: float(bool(PAIR.search(text))),
    "graded": lambda text: sum(0.25 for tag in TAGS if text.count(tag) == 1),
}
samples = {
    "as intended": "<think>24 * 3</think> <answer>72</answer>",
    "a word before": "Sure! <think>24 * 3</think> <answer>72</answer>",
    "answer not closed": "<think>24 * 3</think> <answer>72",
    "two answers": "<think>a</think> <answer>1</answer> <answer>72</answer>",
    "wrong order": "</think><think></answer><answer>",
    "no tags": "72",
}
paid = {name: [rule(x) for x in samples.values()] for name, rule in formats.items()}
print(pd.DataFrame(paid, index=list(samples)).to_string())

# %% [markdown]
# ## Shortcuts that pay
#
# Before training, ask a reward what it pays for. `probe` shows it some thirty shortcuts and ten honest spellings of right answers. We probe the rule that is most often seen in
# tutorials: the reference stands somewhere in the text.


# %%
def somewhere(completions, answer, **kwargs):
    """1 if the reference stands anywhere in the text."""
    texts = [completion[0]["content"] for completion in completions]
    return [float(gold in text) for text, gold in zip(texts, answer)]


task = rl.load_task("addition-r1")
for reward in (somewhere, rl.get_accuracy_reward(task.verify)):
    found = probe(reward, task, "accuracy")
    names = found.paid_shortcuts
    print(f"{found.reward}: pays for {len(names)} shortcuts, leaves", end=" ")
    print(f"{len(found.unpaid_honest)} honest answers unpaid")
    for name in names[:6]:
        print("   pays for:", name)

# %% [markdown]
# The command line has the same: `rlnotes probe my_rewards.py:brevity --task gsm8k` ([docs/own_rewards.md](../docs/own_rewards.md)).
#
# ## Control rewards
#
# A reward curve that rises shows that the policy follows the reward. Does it follow *your* reward, or would it have learned the same from noise? Train the same policy with controls: a **constant**
# reward, a **random** one, and a **wrong** one that pays exactly what the true one does not. The true accuracy is written down beside it.
#
# **Predict first (reward-2).** Which of the four can change the policy at all in GRPO? Give the set of their names.

# %%
can_change = None  # a set out of {"true", "constant", "random", "wrong"}

check_exercise("reward-2", can_change)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # reward-2
# can_change = {"true", "random", "wrong"}
# ```
#
# With a constant reward every group has no spread, all advantages are 0, and so is the gradient. A random reward has a gradient in every step. Its mean is zero, but each single one moves
# the policy, because the division by the group's standard deviation makes noise as large as a signal.
#
# </details>

# %%
toy, dice = rl.load_task("scratch-addition"), torch.Generator()
controls = {
    "true": lambda verdicts: verdicts,
    "constant": lambda verdicts: [1.0] * len(verdicts),
    "random": lambda verdicts: torch.randint(
        0, 2, (len(verdicts),), generator=dice
    ).tolist(),
    "wrong": lambda verdicts: [1.0 - verdict for verdict in verdicts],
}
size = {"generation_batch_size": 64, "num_generations": 8, "max_steps": 12}
size |= {"max_completion_length": 12, "learning_rate": 1e-3, "bf16": False}


# %%
def true_accuracy(control, seed):
    """Share of right answers in each step of training by a control reward."""
    shares = []

    def reward(completions, answer, **kwargs):
        verdicts = rl.accuracy_reward(completions=completions, answer=answer)
        shares.append(sum(verdicts) / len(verdicts))
        return control(verdicts)

    dice.manual_seed(seed)
    names = {"algorithm": "grpo", "policy": "tiny", "task": toy.name}
    config = rl.make_config(**names, **size, seed=seed)
    quiet = {"progress": False, "evaluations": False}
    rl.train(config, task=toy, reward_funcs=[reward], **quiet)
    return shares[-config.max_steps :]


# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    curves = {
        name: torch.tensor([true_accuracy(control, seed) for seed in range(5)])
        for name, control in controls.items()
    }
print("the library said:", *sorted({str(one.message) for one in said}), sep="\n")

# %% tags=["hide-input"]
figure, axes = plt.subplots(figsize=(7.5, 3))
looks = {"true": "#0072B2", "constant": "#999999", "random": "#E69F00"}
looks["wrong"] = "#D55E00"
for name, values in curves.items():
    axes.plot(range(1, 13), values.T, color=looks[name], lw=0.6, alpha=0.6)
    axes.plot(range(1, 13), values.mean(0), color=looks[name], lw=2, label=name)
axes.set(xlabel="step", ylabel="share of right answers", ylim=(0, 1))
axes.set_xticks(range(0, 13, 3))
axes.set_title("true accuracy under four rewards: five seeds and their mean")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
for name, values in curves.items():
    first, last = values[:, :5].mean(), values[:, -5:].mean(1)
    print(
        f"{name:8} first five steps {first:.2f}, last five {last.mean():.2f}", end=" "
    )
    print(f"(seeds {last.min():.2f} to {last.max():.2f})")

# %% [markdown]
# The constant reward changes nothing, and the library says so at the first step. Its curve is the difficulty of the questions. The random reward moves the policy, but not in any direction that these five seeds could show. The wrong reward does harm, as it should. If a random reward *raises* the accuracy of your model, the
# gain is not your reward's: look for what else the update does, such as sharpening what was probable already or a clip that treats the two signs differently.
#
# ## Rewards that rank siblings
#
# Some qualities have no scale of their own. Is 40 tokens short? Shorter than its siblings is a clear statement. A reward may compare the answers to *one* question: it gets the prompts, and
# `group_rows` says which rows belong together. They need not be neighbors.


# %%
def shorter_of_the_right(prompts, completions, answer, **kwargs):
    """1 less the share of right siblings that are shorter; 0 for a wrong answer."""
    right = rl.accuracy_reward(completions=completions, answer=answer)
    paid = [0.0] * len(completions)
    for rows in rl.group_rows(prompts):
        good = [row for row in rows if right[row]]
        for row in good:
            shorter = [x for x in good if len(completions[x]) < len(completions[row])]
            paid[row] = 1 - len(shorter) / len(good)
    return paid


# %% tags=["nbval-check-output"]
texts = ["72", "24 * 3 = 72", "a quarter is 24, so 72", "71"]
given = {"prompts": ["3/4 of 96?"] * 4, "completions": texts, "answer": ["72"] * 4}
ranked = torch.tensor(shorter_of_the_right(**given))
true = torch.tensor(rl.accuracy_reward(**given))
for name, reward in (("accuracy", true), ("ranked", ranked)):
    advantages = rl.group_relative_advantages(reward, 4)
    print(
        f"{name:9} {reward.numpy().round(2)}  advantages {advantages.numpy().round(2)}"
    )

# %% [markdown]
# Two properties to keep in mind. A ranking never runs out of signal, so it goes on pushing for shorter answers when all are right. And it pays a short *wrong* answer unless you forbid it, as the
# function above does.
#
# ## What an evaluation counts
#
# The verdicts are right, and now several samples a question must become one number. Take a policy that is simulated: three questions, and for each the chance of the right answer and of its
# favorite wrong one. **avg@k** is the mean accuracy of k samples. **pass@k** asks whether one of k is right. **maj@k** takes the most frequent answer of k.


# %%
chances = {"easy": (0.8, 0.2), "unsure": (0.4, 0.6), "hard": (0.1, 0.3)}


def maj_at(k, right, favorite, trials=4000):
    """Share of votes won by the right answer; other wrong answers differ each time."""
    dice = torch.Generator().manual_seed(k)
    drawn = torch.rand(trials, k, generator=dice)
    votes = (drawn < right).sum(1)
    rivals = ((drawn >= right) & (drawn < right + favorite)).sum(1)
    rivals = rivals.clamp_min((drawn >= right + favorite).any(1).long())
    return ((votes > rivals).float() + 0.5 * (votes == rivals)).mean().item()


# %%
ks = [1, 3, 5, 9, 17, 33, 65]
names = ("avg@k", "pass@k", "maj@k")
rows = {
    k: (
        sum(right for right, _ in chances.values()) / 3,
        sum(1 - (1 - right) ** k for right, _ in chances.values()) / 3,
        sum(maj_at(k, *pair) for pair in chances.values()) / 3,
    )
    for k in ks
}
scores = pd.DataFrame(rows, index=names).T
print(scores.round(2).to_string())

# %% tags=["hide-input"]
axes = scores.plot(logx=True, style=["o-", "s--", "^:"], figsize=(7.5, 2.8))
axes.set_xticks(ks, map(str, ks))
axes.minorticks_off()
axes.set(xlabel="samples k", ylabel="score", ylim=(0, 1.05))
axes.set_title("three scores of one and the same policy")
_ = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# Nothing about the policy changed from left to right. avg@k has no trend in k: more samples only make it more precise. pass@k goes to 1 wherever a right answer is possible at all. maj@k goes to the share of
# questions on which the right answer is the *most frequent* one, which is one of three here. So a comparison must name the score and k, and "pass@1 rose, pass@64 did not" means that training sharpened what was
# there ([11](11_train.ipynb)).
#
# ### pass@k from n samples
#
# From $n \ge k$ samples with $c$ right ones, $1-\binom{n-c}{k}/\binom nk$ is unbiased. The obvious $1-(1-c/n)^k$ is not. We take its expectation over $c$ exactly:

# %% tags=["nbval-check-output"]
n, k, p = 16, 8, 0.1
chance = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
unbiased = sum(w * (1 - comb(n - c, k) / comb(n, k)) for c, w in enumerate(chance))
obvious = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(chance))
print(
    f"true pass@{k} {1 - (1 - p) ** k:.3f}, unbiased {unbiased:.3f}, obvious {obvious:.3f}"
)

# %% [markdown]
# ## What usually goes wrong
#
# * **The format reward is 0 from the first step to the last.** The template has opened the tag, or the strict rule is never fulfilled by chance.
# * **Accuracy is 0 although the samples look right.** Read ten completions with their special tokens, and ask the verifier about the references themselves.
# * **The reward jumps to its maximum within some steps.** Read the samples: a shortcut was found. Ask `probe` before you train.
# * **Training accuracy and a public leaderboard disagree.** One is strict and the other lenient, or k differs.
# * **A reward takes seconds.** The comparison of two formulas does not end. Look at `verdicts/timed_out`.
#
# ## Exercises
#
# **reward-3.** A tolerant extraction: return the text of the last `\boxed{…}` if there is one, otherwise the last number of the text as a string, otherwise `None`. Nested braces need not be read.


# %%
def extract(text):
    raise NotImplementedError  # re.findall twice


check_exercise("reward-3", extract)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # reward-3
# import re
#
#
# def extract(text):
#     boxes = re.findall(r"\\boxed\{([^{}]*)\}", text)
#     numbers = re.findall(r"\d+", text)
#     return (boxes or numbers or [None])[-1]
# ```
#
# </details>
#
# ### Change the run
#
# The random reward pays half of the answers. Predict what a reward does that pays one answer in ten by chance, or that pays *every* answer and one in ten
# twice. Then change the cell.

# %%
chance, seeds = 0.5, 1  # change these


def coin(verdicts):
    return (torch.rand(len(verdicts), generator=dice) < chance).float().tolist()


changed = torch.tensor([true_accuracy(coin, seed) for seed in range(seeds)])
print(f"last five steps {changed[:, -5:].mean():.2f}, first five", end=" ")
print(f"{changed[:, :5].mean():.2f}")

# %% [markdown]
# ### An open experiment
#
# Write a reward of your own into a cell and `probe` it. Then train `tiny` by it beside `accuracy_reward`, and read eight samples before and after.
#
# | question | your words |
# | --- | --- |
# | What should your reward pay for, and what did `probe` say? | |
# | What do you predict for the true accuracy? | |
# | What did the policy write in the end? | |
# | Which control would have shown that it is your reward that did it? | |
#
# ## References
#
# * [Own data, own reward, own policy](../docs/own_rewards.md): the whole way on one page, and ten rewards of tutorials with what they pay for.
# * Chen et al., 2021, [*Evaluating Large Language Models Trained on Code*](https://arxiv.org/abs/2107.03374): the unbiased pass@k.
#
# In the library: [`rewards/rewards.py`](../rlnotes/rewards/rewards.py), [`rewards/probing.py`](../rlnotes/rewards/probing.py), [`tasks/final_answers.py`](../rlnotes/tasks/final_answers.py),
# [`tasks/verdicts.py`](../rlnotes/tasks/verdicts.py).
#
# **Next:** [11 Train](11_train.ipynb) trains a real language model by such a reward.
