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
# One parametrized run, whatever the algorithm. By default a real pretrained language
# model, SmolLM2-135M-Instruct, learns one-digit multiplication by GRPO on two CPU cores.
#
# You will be able to
#
# * train PPO, GRPO, Dr. GRPO, DAPO or GDPO by changing one parameter,
# * read reward, length, entropy and clip curves side by side,
# * say how much of a rise is *stopping*, how much *sharpening*, how much *new answers* (at most).
#
# **Time:** some five minutes on two cores. **Memory:** under 6 GB.
# **Builds on** [03 GRPO](03_grpo.ipynb), [08 DAPO](08_dapo.ipynb), [09 GDPO](09_gdpo.ipynb).
# **Next:** [12 Compare runs](12_compare_runs.ipynb).
#
# In batch, the same notebook takes its parameters from a file:
#
# ```bash
# papermill notebooks/11_train.ipynb out.ipynb -f configs/dapo.yaml -p seed 1
# rlnotes train --config configs/dapo.yaml seed=1     # the same run, without a notebook
# papermill notebooks/11_train.ipynb out.ipynb -f configs/search/dapo.yaml  # two minutes
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
from rlnotes.training.evaluation import answer_held_out, first_sentence, split_gain

figures.use_style()
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## The question
#
# A task gives endless questions and one verifier. The arithmetic tasks split on *unordered*
# pairs: if 4 × 7 is held out, so is 7 × 4, or the model could look the answer up in its mirror
# image. RL never trains on a question that we evaluate on.

# %% tags=["nbval-check-output"]
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
# What does the policy know already, and does it know when to stop? (SmolLM2 knows some
# arithmetic and mostly does not stop.) We keep its answers to the held-out questions, one
# greedy and several sampled, so that we can take the rise apart afterwards.

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
# An answer that did not end was cut off, perhaps before any number came. To be fair to the
# untrained policy we also let it speak four times as long, greedily, and keep that for later.

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
# In the default run reward rises while length and entropy fall: the policy learns to answer
# at once and to be sure. `frac_reward_zero_std` is the share of groups whose rewards are all
# equal, which teach nothing; when it nears one, little is left to learn from. With a single
# update per batch (the default here) the ratio is one and the clip curves stay at zero,
# whatever happens: a zero there says nothing about safety.

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
# ## What was learned: stopping, sharpening, or new answers?
#
# A rise of accuracy does not mean that the model learned to multiply. The untrained policy may have had
# the answer in reach: it found it in some samples and not in others, or it said it and went on talking. So
# we look at every held-out question by itself. A question is **in reach** when at least one of the $k$
# *untrained* samples is right, as it stands or cut at its first sentence. The share of questions in reach is
# the untrained pass@k, and whatever happens on them can be had without anything new. The rise of the sampled
# accuracy then has three parts, and they add up:
#
# 1. **stopping**: the *untrained* samples, each cut at its first sentence, over the same samples uncut;
# 2. **sharpening**: the trained samples over the cut ones, on the questions in reach;
# 3. **new answers**: the same on the other questions. It cannot be more than 1 − pass@k.


# %%
def right(answers, edit=str):
    """Right (1) or wrong (0): one row a held-out question, one column a sample."""
    size = answers.sampled.num_generations
    asked = [one for one in held_out for _ in range(size)]
    pairs = zip(map(edit, answers.sampled.texts), asked, strict=True)
    found = [float(task_set.verify(text, one)) for text, one in pairs]
    return torch.tensor(found).view(len(held_out), size)


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

# %%
levels = pd.Series(gain).cumsum()
pd.DataFrame(
    {"part": pd.Series(gain).round(3), "sampled accuracy so far": levels.round(3)}
)

# %%
figure, axes = plt.subplots(figsize=(6, 2.8))
bottoms = [0, *levels[:-1]]
colors = ["#999999", "#E69F00", "#0072B2", "#D55E00"]
bars = axes.bar(list(gain), list(gain.values()), bottom=bottoms, color=colors)
axes.bar_label(bars, [f"{v:+.2f}" for v in gain.values()], padding=2)
reach = in_reach.float().mean().item()
axes.axhline(reach, color="black", lw=0.8, ls=":", label="in reach before: pass@k")
axes.set(ylabel="held-out accuracy (sampled)", ylim=(0, 1.15))
axes.legend(fontsize=8, loc="upper left")
plt.show()

# %%
out = ~in_reach
print(
    f"in reach before training: {int(in_reach.sum())} of {len(held_out)} questions"
    f" (k = {whole.shape[1]} samples each)\n"
    f"of the {int(out.sum())} others the trained policy now answers"
    f" {int((trained[out].amax(1) > 0).sum())} in at least one sample,"
    f" {trained[out].mean().item() if out.any() else 0:.2f} of the samples"
)

# %% [markdown]
# "New" is an upper bound: with more samples the untrained policy would have reached more questions, so raise
# `eval_samples` and watch the part shrink. It may also have no room to reach an answer that it knows. Given four
# times the tokens, its greedy answer is right as often as this:

# %%
print(
    f"untrained, greedy, {4 * config.max_completion_length} tokens:"
    f" {sum(patient_right) / len(held_out):.2f} of the held-out questions right;"
    f" within {config.max_completion_length} tokens: {first['eval/greedy_accuracy']:.2f};"
    f" trained: {last['eval/greedy_accuracy']:.2f}"
)

# %% [markdown]
# ## Where the run lies
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
# * **reward stays at zero**: no group is ever mixed (`frac_reward_zero_std` near 1).
#   Start from an easier task, or from a base that is right now and then.
# * **`completions/clipped_ratio` stays at 1**: no answer ends in time. Raise
#   `max_completion_length`, or check that the chat template reaches the model.
# * **the loss prints 0**: advantages are centered and the ratio is one; look at
#   `grad_norm` instead.
# * **out of memory**: lower `per_device_train_batch_size` first; the gradient stays the
#   same, only slower.
# * **steps that take ten times as long**: another process on the same cores. Set
#   `OMP_NUM_THREADS=1`.

# %% [markdown]
# ## Exercises
#
# 1. Run addition instead (`task = "addition"`). Which of the three parts of the gain
#    grows, and why is that to be expected from pass@k before training?
# 2. Set `num_iterations = 4`. When does `clip_ratio/high_mean` leave zero, and does the
#    reward rise per *sample* change?
# 3. Run `algorithm = "gdpo"`: which of its two rewards saturates first?
#
# ## References
#
# * SmolLM2: Ben Allal et al., 2025, arXiv 2502.02737
# * GRPO: Shao et al., 2024, arXiv 2402.03300; Dr. GRPO: Liu et al., 2025, arXiv 2503.20783
# * DAPO: Yu et al., 2025, arXiv 2503.14476; GDPO: Liu et al., 2026, arXiv 2601.05242
