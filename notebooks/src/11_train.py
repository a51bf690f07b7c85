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
# # 11 · Train
#
# **question → rollouts → rewards → advantages → objective → update → record → figure**
#
# One run with parameters, whatever the algorithm. By default a real pretrained language
# model, SmolLM2-135M-Instruct, learns one-digit multiplication by GRPO on two CPU cores.
#
# You will be able to
#
# * train PPO, GRPO, Dr. GRPO, DAPO or GDPO by changing one parameter,
# * read reward, length, entropy and held-out accuracy side by side,
# * say how much of a rise is *stopping*, how much *sharpening*, how much *new answers* (at most).
#
# **Reading:** about 25 minutes. **Running:** some five minutes on two cores. **Memory:** under 6 GB.
# **Builds on** [03 GRPO](03_grpo.ipynb), [08 DAPO](08_dapo.ipynb), [09 GDPO](09_gdpo.ipynb).
# **Next:** [12 Compare runs](12_compare_runs.ipynb).
#
# In batch, the same notebook takes its parameters from a file:
#
# ```bash
# papermill --help-notebook notebooks/11_train.ipynb            # every parameter
# papermill notebooks/11_train.ipynb out.ipynb -f configs/dapo.yaml -p seed 1
# rlnotes train --config configs/dapo.yaml seed=1     # the same run, without a notebook
# papermill notebooks/11_train.ipynb out.ipynb -f configs/search/dapo.yaml  # two minutes
# ```

# %% [markdown]
# ## Parameters
#
# The next cell is what papermill overrides. `None` leaves a field to the algorithm:
# `rlnotes algorithms` prints what each one sets, and `rlnotes fields` what each field means.

# %% tags=["parameters"]
algorithm: str = "grpo"  # ppo, grpo, dr_grpo, dapo or gdpo
policy: str = "smollm2-135m"  # or "tiny", "search-base", a folder, a hub id
task: str = "multiplication"  # or "addition", "search", "gsm8k", "file/my.jsonl"
seed: int = 0  # of questions, sampling and the order of mini-batches
max_steps: int = None  # batches of rollouts; None: 25, or fewer on a slow machine
# the batch
generation_batch_size: int = 64  # completions a step: prompts x num_generations
num_generations: int = 8  # completions a prompt, G
max_completion_length: int = 24  # tokens after which a completion is cut
temperature: float = None  # of sampling, and of the log-probs in the loss
per_device_train_batch_size: int = 16  # completions a forward pass (memory alone)
num_iterations: int = None  # passes over a batch
steps_per_generation: int = None  # mini-batches a pass; with one no clip ever binds
# the optimizer
learning_rate: float = 1e-5  # AdamW's
warmup_steps: int = None  # over which the rate rises from 0
lr_scheduler_type: str = None  # constant or cosine
adam_beta2: float = None  # decay of the second moment
weight_decay: float = None  # AdamW's
max_grad_norm: float = None  # a longer gradient is scaled down to it
bf16: bool = None  # products in bfloat16; None: where they are measured to be faster
full_determinism: bool = None  # a GPU repeats a run to the bit, more slowly
# the objective
loss_type: str = None  # grpo, dapo, dr_grpo, bnpo, ...: how tokens are averaged
epsilon: float = None  # clip of the ratio, below and above
epsilon_high: float = None  # another upper clip (DAPO 0.28)
delta: float = None  # dual clip for negative advantages
importance_sampling_level: str = None  # token or sequence
beta: float = None  # weight of the KL in the loss
kl_gradient: str = None  # autodiff, importance or k2
scale_rewards: str = None  # group, batch, mean or none: the divisor
multi_objective_aggregation: str = None  # or normalize_then_sum (GDPO)
mask_truncated_completions: bool = None  # a completion that was cut off has no loss
# the rewards
reward_funcs: list = None  # like ["accuracy_reward", "my_rewards.py:brevity"]
reward_weights: list = None  # a weight for each
reward_weighting: str = None  # static, or a rule that moves the weights batch by batch
saturation_gamma: float = None  # of the rule saturation
constraint_target: float = None  # of the rule lagrangian: the mean that it asks for
constraint_rate: float = None  # of the rule lagrangian: weight per reward and batch
advantage_batch_norm: bool = None  # GDPO's normalization of the batch
conditioned_reward: str = None  # counts only where condition_on is 1
condition_on: str = None  # accuracy_reward
soft_punish_cache: int = None  # tokens before the limit from which length is punished
length_limit: int = None  # longest completion that length_reward pays for
dynamic_sampling: bool = None  # resample until every group is partly right
max_resample_times: int = None  # extra batches at most
# PPO alone
critic: bool = None  # a value model in place of the group
critic_learning_rate: float = None  # of the value model
gamma: float = None  # discount
lam: float = None  # GAE's lambda
vf_coef: float = None  # weight of the value loss
cliprange_value: float = None  # clip of the value
whiten_advantages: bool = None  # to mean 0 and variance 1
kl_coef: float = None  # weight of the KL in the reward
# evaluation and what is kept
eval_steps: int = 5  # evaluate on the held-out questions every so many steps
eval_samples: int = 8  # sampled answers a held-out question, k
save_policy: str = None  # "last" or "best": keep the weights, 0.5 GB; here: not
save_steps: int = None  # how often to save what resume goes on from
max_minutes: float = None  # stop after this time; resume goes on
cache_implementation: str = None  # static: a CUDA graph a token
# how the run is made, not what it is
engine: str = "rlnotes"  # or "trl"
resume: bool = False  # go on with an interrupted run of the same config

# %%
import textwrap
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import Markdown

from rlnotes import engines
from rlnotes.analysis import figures
from rlnotes.analysis.log_keys import in_words
from rlnotes.machine.devices import best_device
from rlnotes.machine.provenance import project_folder
from rlnotes.machine.rates import live_steps
from rlnotes.policies.policy import load_policy
from rlnotes.records.partial import check_same
from rlnotes.records.reading import load_run, load_runs
from rlnotes.records.run_folders import run_name, runs_folder

# %%
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.tasks.loading import load_task
from rlnotes.training.config import DEFAULTS, config_from_notebook, make_config
from rlnotes.training.evaluation import answer_held_out, first_sentence, split_gain
from rlnotes.training.fields import config_fields
from rlnotes.training.loop import train

figures.use_style()
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# Papermill injects whatever it is given, and only warns when a name is unknown. We
# collect the parameters into one frozen `Config`, which refuses a misspelled name or a
# value of the wrong type before anything is loaded. Two fields depend on the machine: whether
# products in bfloat16 are faster here than in float32 (`bf16`), which is measured, and on a slow
# processor how many of the steps are made live.

# %%
_how = ("engine", "resume")
wanted = config_from_notebook({k: v for k, v in globals().items() if k not in _how})
config = wanted.settled(best_device().type)
if max_steps is None:
    config = replace(config, max_steps=live_steps(wanted.max_steps))
if save_policy is None:
    config = replace(config, save_policy=False)

# %% [markdown]
# Where the run differs from what its algorithm says by itself:

# %%
own = make_config(algorithm=config.algorithm)
rows = [
    f"| field | here | {config.algorithm}'s own | meaning |",
    "| --- | --- | --- | --- |",
]
for one in config_fields():
    here, there = getattr(config, one.name), getattr(own, one.name)
    if here != there:
        meaning = one.meaning.partition(". ")[0]
        rows.append(f"| `{one.name}` | {here} | {there} | {meaning} |")
Markdown("\n".join(rows))

# %% [markdown]
# ## The question
#
# A task gives endless questions and one verifier. Some questions are held out: RL never trains on a
# question that we evaluate on. The arithmetic tasks split on *unordered* pairs: if 4 × 7 is held out, so is
# 7 × 4, or the model could look the answer up in its mirror image.


# %%
def asked(one):
    """The text of a question, of a chat its last message."""
    return one.prompt if isinstance(one.prompt, str) else one.prompt[-1]["content"]


# %% tags=["nbval-check-output"]
task_set = load_task(config.task)
held_out = task_set.held_out()
print("train    ", [asked(t) for t in task_set.sample(4, seed=config.seed, step=0)])
print("held out ", [asked(t) for t in held_out[:4]], f"… {len(held_out)} in all")

# %% [markdown]
# ## Before training
#
# What does the policy know already, and does it know when to stop? We keep its answers to the
# held-out questions, one greedy and several sampled, so that we can take the rise apart afterwards.

# %%
model = load_policy(config.policy).to(best_device())
print(f"{model.name}: {model.num_parameters / 1e6:.1f} M parameters on {model.device}")
before = answer_held_out(model, task_set, config)


# %%
def right(answers, edit=str):
    """Right (1) or wrong (0): one row a held-out question, one column a sample."""
    size = answers.sampled.num_generations
    pairs = zip(map(edit, answers.sampled.texts), repeated(size), strict=True)
    found = [float(task_set.verify(text, one)) for text, one in pairs]
    return torch.tensor(found).view(len(held_out), size)


def repeated(size):
    """Every held-out question `size` times: one for each sampled answer."""
    return [one for one in held_out for _ in range(size)]


# %%
def show(answers, count, only=None):
    """The first sampled answer to some questions, or the first wrong (only=0) one."""
    marks, size = right(answers), answers.sampled.num_generations
    for i, one in enumerate(held_out):
        columns = [k for k in range(size) if only is None or marks[i, k] == only]
        if columns and count > 0:
            row, count = i * size + columns[0], count - 1
            mark = "✓" if marks[i, columns[0]] else "✗"
            ended = "cut off" if answers.sampled.truncated[row] else "ended"
            print(f"{mark}  {asked(one)}  (right: {one.answer}; {ended})")
            text = answers.sampled.texts[row].strip() or "(nothing)"
            print(textwrap.indent(textwrap.fill(text, 96), "     "))


show(before, 8)

# %% [markdown]
# ✓ is right and ✗ is wrong. An answer that did not end was cut off, perhaps before any number came. To be fair to
# the untrained policy we also let it speak four times as long, greedily, and keep that for later.

# %%
patient = generate_rollouts(
    model,
    held_out,
    num_generations=1,
    max_completion_length=4 * config.max_completion_length,
    temperature=0.0,
)
patient_right = [
    task_set.verify(text, one)
    for text, one in zip(patient.texts, held_out, strict=True)
]

# %% [markdown]
# ## Training
#
# One call. Each step samples `generation_batch_size` completions, scores them, turns
# the scores into advantages and makes its updates; a line is printed as it ends. The
# record is put into its folder when the run is complete.

# %%
folder = runs_folder() / run_name(config.to_dict())
check_same(folder, config.to_dict(), defaults=DEFAULTS)  # never over another run


def report(row):
    """One line a step while the run goes on."""
    if row["step"]:
        print(
            f"step {row['step']:3d}/{config.max_steps}  reward {row['reward']:.2f}"
            f"  length {row['completions/mean_length']:5.1f}"
            f"  entropy {row['entropy']:.2f}  {row['step_time']:.1f} s",
            flush=True,
        )


# %%
start = time.perf_counter()
result = engines.train(
    config,
    engine=engine,
    policy=model,
    task=task_set,
    output=folder,
    overwrite=not resume,
    resume=resume,
    progress=False,
    on_step=report,
)
seconds = time.perf_counter() - start
metrics = result.metrics

# %%
steps = metrics[metrics["step"] > 0]
print(
    f"{len(steps)} steps in {seconds:.0f} s; mean reward"
    f" {steps['reward'].iloc[0]:.2f} at the first step,"
    f" {steps['reward'].iloc[-3:].mean():.2f} over the last three"
)

# %% [markdown]
# ## What the curves say
#
# Read them together. A reward that rises while the length falls says that the policy learns to answer
# and stop; one that rises with the length says that it uses the tokens. Entropy that falls says that
# the policy becomes sure. Groups with equal rewards teach nothing: near one, little is left to
# learn from. Curves that never move are listed and not drawn. With a single update a batch the
# ratio is one, so the clip shares are zero whatever happens: that zero says nothing about
# how far the policy moves. [Every key](../docs/metrics.md), [every symptom](../docs/symptoms.md).

# %%
keys = ["reward", "completions/mean_length", "entropy", "frac_reward_zero_std"]
keys += ["completions/clipped_ratio", "grad_norm", "kl", "loss/value"]
keys += ["clip_ratio/low_mean", "clip_ratio/high_mean"]
keys = [key for key in keys if key in steps]
still = [key for key in keys if steps[key].nunique() == 1]
keys = [key for key in keys if key not in still]
for key in still:
    print(f"{in_words(key)[0]} ({key}): {steps[key].iloc[0]:g} in every step")

# %% tags=["hide-input"]
figure = figures.plot_run(steps, keys)
if config.max_steps < wanted.max_steps:
    print(
        f"{config.max_steps} of {wanted.max_steps} steps live on this machine;"
        " dotted: recorded runs with all steps, on a faster one"
    )
    beside = f"{config.algorithm}_{config.task}_{model.name}_seed*"
    for recorded in sorted((project_folder() / "data" / "runs").glob(beside)):
        kept = load_run(recorded).metrics.query("step > 0")
        for panel, key in zip(figure.axes, keys, strict=False):
            if key in kept:
                panel.plot("step", key, ":", color="gray", data=kept)
                panel.autoscale(axis="y")
plt.show()

# %% [markdown]
# With several rewards their sum hides which of them rises, so each has a curve of its own. Dynamic
# sampling has a price: the batches and completions that it samples for one step.

# %%
names = [f"rewards/{name}/mean" for name in config.reward_names]
names = names if len(names) > 1 else []
names += [key for key in steps if key.startswith("dynamic_sampling/")][:3]
if names:
    figures.plot_run(steps, names)
    plt.show()
else:
    print("one reward and no dynamic sampling: the reward's curve above says it all")

# %% [markdown]
# ## After training
#
# The same held-out questions, before the first step, every `eval_steps` steps and at the end. Training rewards can
# rise on questions that the policy has seen often; these it never trains on.

# %%
k = config.eval_samples
held = ["eval/greedy_accuracy", "eval/sampled_accuracy", f"eval/pass@{k}"]
held += ["eval/terminated"]
figures.plot_run(metrics, held, columns=2)
plt.show()

# %%
first, last = metrics.iloc[0], metrics.dropna(subset=["eval/greedy_accuracy"]).iloc[-1]
pd.DataFrame(
    {"before": [first[key] for key in held], "after": [last[key] for key in held]},
    index=[in_words(key)[0] for key in held],
).round(3)

# %% [markdown]
# The same sampling seed as before, and then wrong answers alone, if there are any:

# %%
after = answer_held_out(result.policy, task_set, config)
show(after, 4)
print("\nwrong:")
show(after, 3, only=0)

# %% [markdown]
# ## What was learned: stopping, sharpening, or new answers?
#
# A rise of accuracy does not mean that the policy learned the task. The untrained policy may have had
# the answer in reach: it found it in some samples and not in others, or it said it and went on talking. So
# we look at every held-out question by itself. A question is **in reach** when at least one of the $k$
# *untrained* samples is right, as it stands or cut at its first sentence. The share of questions in reach is
# the untrained pass@k, and whatever happens on them can be had without anything new. The rise of the sampled
# accuracy then has three parts, and they add up:
#
# 1. **stopping**: the accuracy of the *untrained* samples, each cut at its first sentence, minus that of the same samples uncut;
# 2. **sharpening**: the accuracy of the trained samples minus that of the cut ones, on the questions in reach;
# 3. **new answers**: the same difference on the other questions. It cannot be more than 1 − pass@k.

# %%
whole, cut, trained = right(before), right(before, first_sentence), right(after)
in_reach = torch.cat([whole, cut], dim=1).amax(1) > 0
rise = trained.mean(1) - cut.mean(1)
gain = {
    "start": whole.mean().item(),
    "stopping": (cut.mean() - whole.mean()).item(),
    "sharpening": (rise * in_reach).mean().item(),
    "new answers": (rise * ~in_reach).mean().item(),
}
library = split_gain(before, after, task_set)
assert all(abs(gain[part] - library[part]) < 1e-6 for part in gain)
print("the four parts are those of rlnotes.training.evaluation.split_gain")

# %%
levels = pd.Series(gain).cumsum()
pd.DataFrame(
    {"part": pd.Series(gain).round(3), "sampled accuracy so far": levels.round(3)}
)

# %% tags=["hide-input"]
figure, axes = plt.subplots(figsize=(6, 2.8))
bottoms = [0, *levels[:-1]]
colors = ["#999999", "#E69F00", "#0072B2", "#D55E00"]
bars = axes.bar(list(gain), list(gain.values()), bottom=bottoms, color=colors)
axes.bar_label(bars, [f"{v:+.2f}" for v in gain.values()], padding=2)
reach = in_reach.float().mean().item()
axes.axhline(reach, color="black", lw=0.8, ls=":", label="in reach before: pass@k")
axes.set(ylabel="held-out accuracy (sampled)", ylim=(0, 1.15))
axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
out = ~in_reach
print(
    f"in reach before training: {int(in_reach.sum())} of {len(held_out)} questions"
    f" (k = {whole.shape[1]} samples each)\n"
    f"of the {int(out.sum())} others the trained policy now answers"
    f" {int((trained[out].amax(1) > 0).sum()) if out.any() else 0} in at least one"
    f" sample, {trained[out].mean().item() if out.any() else 0:.2f} of the samples"
)

# %% [markdown]
# "New" is an upper bound: with more samples the untrained policy would have reached more questions, so raise
# `eval_samples` and watch the part shrink. It may also have had too few tokens to reach an answer that it knows.
# Given four times the tokens, its greedy answer is right as often as this:

# %%
print(
    f"untrained, greedy, {4 * config.max_completion_length} tokens:"
    f" {sum(patient_right) / len(held_out):.2f} of the held-out questions right;"
    f" within {config.max_completion_length} tokens: {first['eval/greedy_accuracy']:.2f};"
    f" trained: {last['eval/greedy_accuracy']:.2f}"
)

# %% [markdown]
# ## The run's folder
#
# The folder holds `metrics.csv` (one row a step, TRL's log keys), `samples.jsonl`,
# `config.yaml` and `meta.json` (commit, command, versions, memory). Everything above can
# be drawn again from it, and [12](12_compare_runs.ipynb) compares such folders. With `save_policy = "last"` the
# trained weights are there as well, in `policy/`: `rlnotes chat` talks to them.

# %%
print(f"record: {folder.name}/", sorted(p.name for p in folder.iterdir()))

# %% [markdown]
# ## What usually goes wrong
#
# [docs/symptoms.md](../docs/symptoms.md) has a row for each symptom. The five that meet a first run:
#
# * **The reward stays at zero.** No group is ever mixed (`frac_reward_zero_std` near 1).
#   Start from an easier task, or from a base that is right now and then.
# * **`completions/clipped_ratio` stays at 1.** No answer ends in time. Raise
#   `max_completion_length`, or check that the chat template reaches the model.
# * **The loss prints 0.** Advantages are centered and the ratio is one; look at
#   `grad_norm` instead.
# * **Out of memory.** Lower `per_device_train_batch_size` first; the gradient stays the
#   same, only slower.
# * **Steps take ten times as long.** Another process runs on the same cores. Set
#   `OMP_NUM_THREADS=1`.

# %% [markdown]
# ## Exercises
#
# **train-1. Predict, then run.** The toy trains some steps with one update a batch and the same with four
# mini-batches a batch. In which of the two runs does the clip stop tokens: "neither", "one", "four" or "both"? Write
# your prediction in the first line.

# %%
prediction = None  # "neither", "one", "four" or "both"

toy = {"policy": "tiny", "task": "scratch-addition", "bf16": False, "max_steps": 8}
toy |= {"learning_rate": 1e-3, "max_completion_length": 12, "save_policy": False}
for updates in (1, 4) if prediction else ():
    made = make_config(steps_per_generation=updates, **toy)
    found = train(made, progress=False).metrics["clip_ratio/region_mean"]
    print(f"{updates} updates a batch: {found.max():.3f} of the tokens at most")
print(
    "your prediction:", prediction or "none yet: fill in the first line and run again"
)

# %% [markdown]
# <details><summary>Answer</summary>
#
# "four". With one update a batch the policy that learns *is* the policy that sampled, so every ratio is 1 and the clip
# cannot bind. From the second mini-batch on the weights have moved. The clip's zero in a default run is
# therefore no sign of small steps.
#
# </details>
#
# **train-2. Predict, then read a record.** GDPO on the search lab is paid for two things, being right and being short.
# Which of the two comes within a tenth of its last value first?

# %%
prediction = None  # "accuracy" or "length"

if prediction:
    runs = load_runs(
        project_folder() / "data" / "runs" / "gdpo_search_search-base_seed*"
    )
    for name in ("accuracy_reward", "length_reward"):
        curves = runs.pivot(index="step", columns="seed", values=f"rewards/{name}/mean")
        curves = curves.drop(index=0).rolling(5).mean()
        near = (curves > 0.9 * curves.iloc[-1]).idxmax()
        print(f"{name}: at step {near.tolist()} (five seeds)")
print(
    "your prediction:", prediction or "none yet: fill in the first line and run again"
)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The length. Untrained responses are short, so nearly all are paid for it from the first step, and a few less when
# responses grow. The accuracy needs about half of the run. Normalizing each reward by itself keeps the easy one from
# filling the sum: [09](09_gdpo.ipynb).
#
# </details>
#
# **train-3. Change the run and say what happened.** Run `task = "addition"`. Which of the three parts of the gain
# grows, and was that to be expected from pass@k before training?
#
# **train-4. A small experiment of your own.** Choose one field, one question and one number that answers it, *before*
# you run. Three seeds each, on the search lab, half an hour on two cores:
#
# ```bash
# rlnotes sweep configs/search/grpo.yaml --seeds 0-2 --output runs/mine/base
# rlnotes sweep configs/search/grpo.yaml num_iterations=2 --seeds 0-2 --output runs/mine/twice
# ```
#
# | question | field | number, chosen before | base | changed | paired difference with its interval |
# | --- | --- | --- | --- | --- | --- |
# | does a second pass over each batch pay? | `num_iterations=2` | `eval/sampled_accuracy` at equal completions | | | [12](12_compare_runs.ipynb) shows how |
#
# ## References
#
# * SmolLM2: Ben Allal et al., 2025, [arXiv 2502.02737](https://arxiv.org/abs/2502.02737)
# * GRPO: Shao et al., 2024, [arXiv 2402.03300](https://arxiv.org/abs/2402.03300); Dr. GRPO: Liu et al., 2025,
#   [arXiv 2503.20783](https://arxiv.org/abs/2503.20783)
# * DAPO: Yu et al., 2025, [arXiv 2503.14476](https://arxiv.org/abs/2503.14476); GDPO: Liu et al., 2026,
#   [arXiv 2601.05242](https://arxiv.org/abs/2601.05242)
