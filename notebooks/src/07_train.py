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
# # 07 · Train
#
# **question → rollouts → rewards → advantages → objective → update → record → figure**
#
# One parametrized run, whatever the algorithm. By default a real pretrained language
# model, SmolLM2-135M-Instruct, learns one-digit multiplication by GRPO on two CPU cores.
#
# You will be able to
#
# * train PPO, GRPO, Dr. GRPO, DAPO or GDPO by changing one parameter,
# * read reward, length, entropy and clip curves side by side,
# * say how much of a rise is *stopping*, how much *sharpening*, how much *new answers*.
#
# **Time:** some five minutes on two cores. **Memory:** under 6 GB.
# **Builds on** [02 GRPO](02_grpo.ipynb), [05 DAPO](05_dapo.ipynb), [06 GDPO](06_gdpo.ipynb).
#
# In batch, the same notebook takes its parameters from a file:
#
# ```bash
# papermill notebooks/07_train.ipynb out.ipynb -f configs/dapo.yaml -p seed 1
# rlnotes train --config configs/dapo.yaml seed=1     # the same run, without a notebook
# papermill notebooks/07_train.ipynb out.ipynb -f configs/search/dapo.yaml  # two minutes
# ```

# %% [markdown]
# ## Parameters
#
# The next cell is what papermill overrides. `None` leaves a field to the algorithm:
# `rlnotes algorithms` prints what each one sets, and `rlnotes.training.config.Config`
# documents every field with the papers' values.

# %% tags=["parameters"]
algorithm = "grpo"
policy = "smollm2-135m"
task = "multiplication"
seed = 0
max_steps = None  # 25, or fewer where the machine is slow
generation_batch_size = 64
num_generations = 8
max_completion_length = 24
per_device_train_batch_size = 16  # completions a forward pass: memory, nothing else
bf16 = None
learning_rate = 1e-5
critic_learning_rate = None
num_iterations = None
steps_per_generation = None
loss_type = None
epsilon = None
epsilon_high = None
beta = None
scale_rewards = None
dynamic_sampling = None
reward_funcs = None  # like ["accuracy_reward", "my_rewards.py:brevity"]
reward_weights = None
soft_punish_cache = None
length_limit = None
eval_steps = None
eval_samples = 8
# the other fields of Config
temperature = None
warmup_steps = None
lr_scheduler_type = None
adam_beta2 = None
weight_decay = None
max_grad_norm = None
delta = None
importance_sampling_level = None
kl_gradient = None
multi_objective_aggregation = None
conditioned_reward = None
condition_on = None
mask_truncated_completions = None
max_resample_times = None
critic = None
gamma = None
lam = None
vf_coef = None
cliprange_value = None
whiten_advantages = None
kl_coef = None
save_policy = None  # "last" or "best": keep the weights, 0.5 GB; here: not
save_steps = None
full_determinism = None
cache_implementation = None
max_minutes = None  # stop after this time; resume goes on
# how the run is made, not what it is
engine = "rlnotes"  # or "trl"
resume = False  # go on with an interrupted run of the same config

# %% [markdown]
# Papermill injects whatever it is given, and only warns when a name is unknown. We
# collect the parameters into one frozen `Config`, which refuses a misspelled name or a
# value of the wrong type before anything is loaded. Two fields depend on the machine: whether
# products in bfloat16 are faster here than in float32 (`bf16`), which is measured, and on a slow
# processor how many of the 25 steps are made live.

# %%
from dataclasses import replace

from rlnotes.machine.devices import best_device
from rlnotes.machine.rates import live_steps
from rlnotes.training.config import config_from_notebook

_how = ("engine", "resume")
wanted = config_from_notebook({k: v for k, v in globals().items() if k not in _how})
config = wanted.settled(best_device().type)
if max_steps is None:
    config = replace(config, max_steps=live_steps(wanted.max_steps))
if save_policy is None:
    config = replace(config, save_policy=False)
config

# %%
import time

import matplotlib.pyplot as plt
import pandas as pd
import torch

from rlnotes import engines
from rlnotes.analysis import figures
from rlnotes.machine.provenance import project_folder
from rlnotes.policies.policy import load_policy
from rlnotes.records.partial import check_same
from rlnotes.records.reading import load_run
from rlnotes.records.run_folders import run_name, runs_folder
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.tasks.loading import load_task
from rlnotes.training.config import DEFAULTS
from rlnotes.training.evaluation import answer_held_out, split_gain

figures.use_style()
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## The question
#
# A task gives endless questions and one verifier. The split is on *unordered* pairs: if
# 4 × 7 is held out, so is 7 × 4, or the model could look the answer up in its mirror
# image. Nothing that we evaluate on is ever trained on.

# %%
# NBVAL_CHECK_OUTPUT
task_set = load_task(config.task)
held_out = task_set.held_out()
print(
    "train    ",
    [
        t.prompt[-1]["content"] if isinstance(t.prompt, list) else t.prompt
        for t in task_set.sample(4, seed=config.seed, step=0)
    ],
)
print(
    "held out ",
    [
        t.prompt[-1]["content"] if isinstance(t.prompt, list) else t.prompt
        for t in held_out[:4]
    ],
    f"… {len(held_out)} in all",
)

# %% [markdown]
# ## Before training
#
# The policy already knows some arithmetic and mostly does not know when to stop. We
# keep its answers to the held-out questions, one greedy and several sampled at
# temperature 1, so that we can take the rise apart afterwards.

# %%
model = load_policy(config.policy).to(best_device())
print(f"{model.name}: {model.num_parameters / 1e6:.1f} M parameters on {model.device}")
before = answer_held_out(model, task_set, config)


# %%
def show(answers, count=8):
    """The first sampled answer to some held-out questions."""
    size = answers.sampled.num_generations
    rows = [
        {
            "question": one.prompt[-1]["content"]
            if isinstance(one.prompt, list)
            else one.prompt,
            "answer": one.answer,
            "completion": " ".join(answers.sampled.texts[i * size].split())[:70],
            "ended": not bool(answers.sampled.truncated[i * size]),
        }
        for i, one in enumerate(answers.sampled.tasks[:count])
    ]
    return pd.DataFrame(rows)


show(before)

# %% [markdown]
# Many of these answers are cut off before any number comes. To be fair to the untrained
# policy we also let it speak four times as long, greedily, and keep that for later.

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
# record goes to a run folder when the run is whole.

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
# Reward rises while length and entropy fall: the policy learns to answer at once and to
# be sure. `frac_reward_zero_std` is the share of groups that are all right or all wrong
# and teach nothing; when it nears one, the run is over. With a single update per batch
# the ratio is one and the clip curves stay at zero: that is arithmetic, not safety.

# %%
keys = [
    "reward",
    "completions/mean_length",
    "entropy",
    "frac_reward_zero_std",
    "completions/clipped_ratio",
    "grad_norm",
    "clip_ratio/low_mean",
    "clip_ratio/high_mean",
    "step_time",
]

# %%
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
# With several rewards their sum hides who moved. Each component has a curve of its own;
# with dynamic sampling, so has its price.

# %%
names = [f"rewards/{name}/mean" for name in config.reward_names]
names += [key for key in steps if key.startswith("dynamic_sampling/")][:3]
figures.plot_run(steps, names)
plt.show()

# %% [markdown]
# ## After training
#
# The same held-out questions, the same sampling seed.

# %%
after = answer_held_out(result.policy, task_set, config)
show(after)

# %%
first, last = metrics.iloc[0], metrics.iloc[-1]
labels = {
    "greedy": "eval/greedy_accuracy",
    "sampled": "eval/sampled_accuracy",
    f"pass@{config.eval_samples}": f"eval/pass@{config.eval_samples}",
    "terminated": "eval/terminated",
}
figures.plot_before_after(
    {k: first[v] for k, v in labels.items()},
    {k: last[v] for k, v in labels.items()},
    ylabel="share of held-out",
)
plt.show()

# %% [markdown]
# ## What was learnt: stopping, sharpening, or arithmetic?
#
# A rise from 0.2 to 0.9 does not mean that the model learnt to multiply. We walk from
# the untrained samples to the trained ones in three steps that add up:
#
# 1. **stopping**: the *untrained* samples, each cut at its first sentence;
# 2. **sharpening**: the *untrained* greedy answer, cut likewise;
# 3. **new answers**: the trained samples.
#
# The first two levels are within reach of the policy we started from. Only the third
# step is something it would not have said within the same number of tokens. A part can
# be negative.

# %%
gain = split_gain(before, after, task_set)
levels = pd.Series(gain).cumsum()
pd.DataFrame(
    {"part": pd.Series(gain).round(3), "sampled accuracy so far": levels.round(3)}
)

# %%
figure, axes = plt.subplots(figsize=(6, 2.8))
bottoms = [0, *levels[:-1]]
colors = ["#999999", "#56B4E9", "#0072B2", "#D55E00"]
bars = axes.bar(list(gain), list(gain.values()), bottom=bottoms, color=colors)
axes.bar_label(bars, [f"{v:+.2f}" for v in gain.values()], padding=2)
axes.set(ylabel="held-out accuracy (sampled)", ylim=(0, 1.1))
plt.show()

# %% [markdown]
# "New" has a limit: the untrained policy may know an answer that it has no room to
# reach. Given four times the tokens, its greedy answer is right as often as this:

# %%
print(
    f"untrained, greedy, {4 * config.max_completion_length} tokens:"
    f" {sum(patient_right) / len(held_out):.2f} of the held-out questions right;"
    f" within {config.max_completion_length} tokens: {first['eval/greedy_accuracy']:.2f};"
    f" trained: {last['eval/greedy_accuracy']:.2f}"
)

# %% [markdown]
# A second reading needs no cut: questions that the untrained policy *never* answered
# right, in any of its samples or greedily, and how the trained policy does on them.


# %%
def ever_right(answers):
    """For each held-out question: was any sampled or greedy answer right?"""
    size = answers.sampled.num_generations
    return [
        any(
            task_set.verify(t, one)
            for t in answers.sampled.texts[i * size : (i + 1) * size]
        )
        or bool(task_set.verify(answers.greedy.texts[i], one))
        for i, one in enumerate(held_out)
    ]


out_of_reach = [i for i, right in enumerate(ever_right(before)) if not right]
now = sum(task_set.verify(after.greedy.texts[i], held_out[i]) for i in out_of_reach)
print(
    f"{len(out_of_reach)} of {len(held_out)} questions were never answered right before;"
    f" greedy now answers {now:.0f} of them right"
)

# %% [markdown]
# ## Where the run lies
#
# The folder holds `metrics.csv` (one row a step, TRL's log keys), `samples.jsonl`,
# `config.yaml` and `meta.json` (commit, command, versions, memory). Everything above can
# be drawn again from it, and [08] compares such folders. With `save_policy = "last"` the
# trained weights are there as well, in `policy/`: `rlnotes chat` talks to them.

# %%
print(f"record: {folder.name}/", sorted(p.name for p in folder.iterdir()))

# %% [markdown]
# ## What usually goes wrong
#
# * **reward stays at zero**: no group is ever mixed (`frac_reward_zero_std` near 1).
#   Start from an easier task, or from a base that is right now and then.
# * **`completions/clipped_ratio` stays at 1**: no answer ends in time. Raise
#   `max_completion_length`, or check that the chat template reaches the model.
# * **the loss prints 0**: advantages are centred and the ratio is one; look at
#   `grad_norm` instead.
# * **out of memory**: lower `per_device_train_batch_size` first; the gradient stays the
#   same, only slower.
# * **steps that take ten times as long**: another process on the same cores. Set
#   `OMP_NUM_THREADS=1`.

# %% [markdown]
# ## Exercises
#
# 1. Run addition instead (`task = "addition"`). Which of the three parts of the gain
#    grows, and why is that to be expected from the greedy accuracy before training?
# 2. Set `num_iterations = 4`. When does `clip_ratio/high_mean` leave zero, and does the
#    reward rise per *sample* change?
# 3. Run `algorithm = "gdpo"`: which of its two rewards saturates first?
#
# ## References
#
# * SmolLM2: Ben Allal et al., 2025, arXiv 2502.02737
# * GRPO: Shao et al., 2024, arXiv 2402.03300; Dr. GRPO: Liu et al., 2025, arXiv 2503.20783
# * DAPO: Yu et al., 2025, arXiv 2503.14476; GDPO: Liu et al., 2026, arXiv 2601.05242
