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
# # 01 · The search lab
#
# Many results of this course come from one small world, the *search lab*. Its questions look like "make 20 from 5 6 9", its
# policy has 0.3 million weights, and a training run takes two minutes. The policy can think: it may try, look at the result,
# say `wait`, and try again. This page explains the world before any page uses it.
#
# You will be able to
#
# * say by hand whether a response is right, and mark every word of it,
# * measure an accuracy with its interval, and say what the interval is about,
# * say why sampled and greedy decoding give two different accuracies, and which one a page means.
#
# **Reading:** about 17 minutes. **Running:** about 15 seconds. **Builds on:** [00 First step](00_first_step.ipynb).
# **Next:** [02 PPO](02_ppo.ipynb).

# %%
import torch
from ipywidgets import interact
from pandas import DataFrame

from rlnotes.analysis.figures import use_style
from rlnotes.analysis.intervals import mean_interval
from rlnotes.machine.provenance import data_folder
from rlnotes.policies.policy import load_policy
from rlnotes.tasks.loading import load_task
from rlnotes.tasks.search_language import legal_tries
from rlnotes.tasks.search_traces import analyze
from rlnotes.teaching.drawings import draw_response
from rlnotes.teaching.exercises import check_exercise
from rlnotes.training.evaluation import sample_held_out

use_style()
torch.set_num_threads(1)  # the policy is tiny: a second thread only waits
task = load_task("search")
print(f"{len(task.held_out())} questions are held out, for evaluation only")

# %% [markdown]
# ## The rule
#
# A question gives three digits and a target. The digits stay in their order, and between them stand two operators out of
# `+ - *`. The operators apply **from left to right**, so `5 + 6 * 9` is `99` here and not `59`. No value on the way may leave
# the numbers from 0 to 99, because each of those is one token. There are nine pairs of operators. For our example, the table
# shows the ones that stay in range.

# %% tags=["nbval-check-output"]
question = task.task([5, 6, 9], 20)
print(question.prompt)
for operators, value in legal_tries((5, 6, 9)).items():
    mark = "   <- the target" if value == 20 else ""
    print(f"  {' '.join(operators)}   makes {value:2d}{mark}")

# %% [markdown]
# **Predict first (search-1).** Write the rule as a function. It takes the numbers and the operators and returns the final
# value, or `None` as soon as a value leaves 0 to 99.


# %%
def value_of(numbers, operators):
    raise NotImplementedError  # a loop over zip(operators, numbers[1:])


check_exercise("search-1", value_of)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # search-1
# def value_of(numbers, operators):
#     value = numbers[0]
#     for operator, number in zip(operators, numbers[1:]):
#         steps = {"+": value + number, "-": value - number, "*": value * number}
#         value = steps[operator]
#         if not 0 <= value <= 99:
#             return None
#     return value
# ```
#
# </details>
#
# ## One response, word by word
#
# The policy does not simply name two operators. Its pretraining has shown it a language for searching, and the picture
# reads one response in it.

# %% tags=["hide-input"]
example = "5 * 6 = 30 - 9 = 21 ? 20 wait 5 + 6 = 11 + 9 = 20 ? 20 answer + +"
_ = draw_response(example, question)

# %% [markdown]
# | word | what it is |
# | --- | --- |
# | `5 * 6 = 30 - 9 = 21` | a *try*: two operators, with every intermediate value written down |
# | `? 20` | the *check*: the policy repeats the target beside its result |
# | 21 `?` 20 | a *miss*: result and target differ |
# | 20 `?` 20 | a *hit*: they agree |
# | `wait` | the policy goes on with another try (*backtracking*) |
# | `answer + +` | the answer: the operators of the try it believes in |
#
# Nothing forces these words to be used well. A policy may answer after a miss (it *gives up*), say `wait` after a hit, repeat
# a try, or calculate wrongly. `analyze` counts all of it from the text alone, without a model and without judgment.

# %% tags=["nbval-check-output"]
trace = analyze(example, question)
print(f"tries {trace.tries}, hits {trace.hits}, misses {trace.misses}")
print(f"misses followed by wait {trace.misses_retried}, given up {trace.give_ups}")
print(f"wait {trace.waits}, tries made before {trace.repeated_tries}")

# %% [markdown]
# ### What the reward reads
#
# The reward is 1 if the text ends with the only `answer` and right operators, and 0 otherwise. **It reads nothing else.** The
# search before the answer is neither paid nor punished. So if training changes the search, it does so because a better search
# leads to more right answers.

# %% tags=["nbval-check-output"]
responses = {
    "the example": example,
    "no search at all": "answer + +",
    "wrong arithmetic, right answer": "5 + 6 = 12 + 9 = 21 ? 20 answer + +",
    "a miss, and given up": "5 * 6 = 30 - 9 = 21 ? 20 answer * -",
    "two answers": "answer * - answer + +",
    "cut off before the answer": "5 * 6 = 30 - 9 = 21 ? 20 wait 5 + 6 = 11",
}
for name, text in responses.items():
    print(f"{task.verify(text, question):.0f}  {name}")

# %% [markdown]
# With a running kernel you can write a response of your own below. Find one that is paid without any try, and one that finds the
# hit and is not paid.


# %%
def read_mine(text):
    draw_response(text, question)
    print("reward", task.verify(text, question))


read_mine("5 + 6 = 11 + 9 = 20 ? 20 wait 5 * 6 = 30 + 9 = 39 ? 20 answer * +")

# %%
_ = interact(read_mine, text=example)

# %% [markdown]
# ## The policy before reinforcement learning
#
# `search-base` is a Llama of 0.3 million weights. It was pretrained on written-out searches that guess at random, answer a hit,
# and toss a coin after a miss: `wait`, or give up. Here it answers one held-out question three times.

# %% tags=["hide-input"]
LIMIT = 128  # tokens; a longer response is cut off
base = load_policy("search-base")
sampled = sample_held_out(base, task, num_generations=8, max_completion_length=LIMIT)
asked = [one for one in sampled.tasks for _ in range(8)]
for row in (0, 2, 4):
    draw_response(sampled.texts[row], asked[row])

# %% [markdown]
# ### How often is it right?
#
# We ask all held-out questions eight times. That gives a thousand responses, but they are not a thousand independent measurements:
# eight of them share a question, and some questions are easier than others. So we take the accuracy of each *question* first, and
# compute the interval over questions. It answers: how different could this number be with other questions of the same kind?


# %%
def accuracies(rollouts):
    """(questions, samples) of 0 and 1."""
    samples = len(rollouts.texts) // len(rollouts.tasks)
    asked = [one for one in rollouts.tasks for _ in range(samples)]
    right = [task.verify(text, one) for text, one in zip(rollouts.texts, asked)]
    return torch.tensor(right).view(-1, samples)


right = accuracies(sampled)
found = mean_interval(right.mean(1)).within(0, 1)
print(f"untrained, sampled accuracy {found}, from {found.n} questions")

# %% [markdown]
# **Predict first (search-2).** By how much would the width of the interval over questions shrink, roughly, if we asked four times as
# many questions? Give the factor.

# %%
factor = None  # your number

check_exercise("search-2", factor)

# %% [markdown]
# <details><summary>Answer</summary>
#
# ```python
# # search-2
# factor = 1 / 2
# ```
#
# The standard error is $s/\sqrt n$. Asking the *same* questions more often makes each question's accuracy more precise, but the
# questions stay the ones we happened to have.
#
# </details>
#
# This is an interval over questions, for one policy. Other pages show intervals over *seeds*: how different could the result be if
# the whole training were repeated? Each page says which one it means.
#
# ## Sampled or greedy?
#
# So far every word was drawn from the policy's distribution. *Greedy* decoding takes the most probable word each time, so there is
# one response to each question. We compare the two for the untrained policy and for one that GRPO has trained
# (`data/runs`, seed 0, step 80).

# %%
folder = data_folder() / "runs" / "grpo_search_search-base_seed0" / "policy"
policies = {"untrained": base, "after GRPO": load_policy(str(folder))}
table, greedy_texts = [], {}
for name, policy in policies.items():
    for way, samples, temperature in (("sampled", 8, 1.0), ("greedy", 1, 0.0)):
        sizes = {"num_generations": samples, "max_completion_length": LIMIT}
        drawn = sample_held_out(policy, task, **sizes, temperature=temperature)
        interval = mean_interval(accuracies(drawn).mean(1)).within(0, 1)
        naive = mean_interval(accuracies(drawn).flatten()).within(0, 1)
        cut = f"{drawn.truncated.float().mean():.0%}"
        table.append((name, way, interval, naive, cut))
        greedy_texts[name] = drawn.texts
columns = ["policy", "decoding", "accuracy (95 % over questions)"]
DataFrame(table, columns=[*columns, "as if all were independent", "cut off"])

# %% [markdown]
# The column "as if all were independent" is the wrong one. For the untrained policy it hardly differs, because this policy guesses, and no question is much
# easier for it than another. After training some questions are always answered and some seldom, and the wrong interval of the sampled accuracy is
# too narrow. A greedy answer is one per question, so there the two agree.
#
# Sampling is far better, before training and after it. That is unusual for a benchmark of single answers, and the reason is easy to
# see in a greedy response that was cut off:

# %% tags=["hide-input"]
asked_greedy = task.held_out()
loops = [i for i, t in enumerate(greedy_texts["after GRPO"]) if "answer" not in t]
_ = draw_response(greedy_texts["after GRPO"][loops[0]], asked_greedy[loops[0]])
repeated = analyze(greedy_texts["after GRPO"][loops[0]], asked_greedy[loops[0]])
print(f"{repeated.tries} tries, {repeated.repeated_tries} of them made before")
print(f"{len(loops)} of {len(asked_greedy)} greedy responses never answer")

# %% [markdown]
# The policy sees the miss and says `wait`, as it should. Then it takes the most probable try, which is the one it has just made. Neither
# pretraining nor the reward taught it to remember what it has tried. Sampling escapes because each try is a new draw.
# Therefore the accuracy of the search lab is the **sampled** one on every page, unless the page says otherwise.
#
# ## The keys in the log
#
# A run of the lab writes what `analyze` counts beside the accuracy. These keys appear on later pages. The numbers are those of the sampled responses above.

# %% tags=["hide-input"]
rates = task.describe(sampled.texts, asked)
meaning = {
    "tries": "tries in a response",
    "waits": "times it says wait in a response",
    "hits_recognized": "share of hits that are answered",
    "misses_retried": "share of misses followed by wait",
    "repeated": "share of tries made before in the same response",
    "arithmetic": "share of equations that are right",
}
rows = [("eval/sampled_accuracy", "share of right answers", right.mean().item())]
best = right.amax(1).mean().item()
rows += [("eval/pass@8", "share of questions with a right answer in 8", best)]
rows += [(f"eval/search/{key}", meaning[key], rates[key]) for key in meaning]
table = DataFrame(rows, columns=["key", "what it is", "untrained"]).round(2)
table.set_index("key")

# %% [markdown]
# Arithmetic and hits are in order before any reinforcement learning. What is missing is patience: half of the misses end the response.
# [12](12_compare_runs.ipynb) shows what five algorithms make of it, and [07](07_aha_moment.ipynb) asks what a `wait` is worth.
#
# ## Two relatives
#
# * `search-control` was pretrained on searches that answer hits and misses alike. It has the words but does not know a hit.
# * `search-mixed` says some of its words in Chinese (等 for `wait`, 答 for `answer`). [05](05_r1_zero.ipynb) watches what becomes of it.
#
# ## What usually goes wrong
#
# * **Two accuracies of one policy.** One was sampled and the other greedy, or their temperatures or token limits differ. Compare the
#   settings before the numbers.
# * **The interval is too narrow.** Responses to the same question were counted as independent.
# * **Accuracy falls when responses get longer.** Look at the share that was cut off: an answer after the limit is not paid.
# * **The final answer is right, and the work is wrong.** The reward cannot see it. If you want right work, you have to measure it.
#
# ## Change the run
#
# Predict the accuracy of the trained policy at a temperature between greedy and 1, and then look. Is there a best one?

# %%
temperature = 0.6  # change this
sizes = {"num_generations": 4, "max_completion_length": LIMIT}
cool = sample_held_out(policies["after GRPO"], task, **sizes, temperature=temperature)
print(f"temperature {temperature}: {mean_interval(accuracies(cool).mean(1))}")
print(f"cut off: {cool.truncated.float().mean():.0%}")

# %% [markdown]
# ## An open experiment
#
# How much of the sampled accuracy is luck that a longer search would have anyway? Choose token limits up to 128, and draw accuracy
# against the limit for both policies. Write down first where you expect the curves to become flat.
#
# | question | your words |
# | --- | --- |
# | Where does each curve become flat, and why there? | |
# | Could a policy that guesses without memory reach the same? (Each of the legal tries is equally likely.) | |
# | What would you have to change in the pretraining to make greedy decoding better? | |
#
# ## References
#
# * The task is a small relative of Countdown in [Gandhi et al., 2025](https://arxiv.org/abs/2503.01307), which asks which behaviors
#   let a model improve itself.
#
# In the library: the question and its verifier are [`tasks/search.py`](../rlnotes/tasks/search.py), the reading of a response is
# [`tasks/search_traces.py`](../rlnotes/tasks/search_traces.py), and `rlnotes train --config configs/search/grpo.yaml` trains the policy.
#
# **Next:** [02 PPO](02_ppo.ipynb) takes up the gradient of page 00 and makes several updates of one batch.
