"""The visible loop, one for PPO, GRPO, Dr. GRPO, DAPO and GDPO.

    question → rollouts → rewards → advantages → objective → update → record

`train` reads top to bottom in that order; every step of it is a function of the module
that bears the step's name, or an equation of the library.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from rlnotes.machine.devices import (
    SAMPLING,
    UPDATING,
    best_device,
    deterministic_algorithms,
    naming_what_to_lower,
)
from rlnotes.policies.policy import Critic, Policy, load_policy
from rlnotes.records.partial import check_startable, decided_before
from rlnotes.records.recording import RunRecorder
from rlnotes.records.run_folders import partial_folder
from rlnotes.rewards.rewards import RewardFunction
from rlnotes.rollouts.rollouts import Rollouts, generate_rollouts
from rlnotes.tasks.base import TaskSet
from rlnotes.tasks.loading import load_task
from rlnotes.training.batches import (
    Batch,
    check_paid,
    draw_batch,
    prepare,
    score,
)
from rlnotes.training.checkpoints import Checkpoints
from rlnotes.training.chosen_rewards import (
    Given,
    build_rewards,
    recorded,
    say_what_changed,
    with_rewards,
)
from rlnotes.training.config import DEFAULTS, Config
from rlnotes.training.evaluation import evaluate, sample_records, summarize
from rlnotes.training.first_look import look_at, say_constant_rewards
from rlnotes.training.keeping import PolicyKeeper, check_keeping
from rlnotes.training.learner import Learner
from rlnotes.training.updates import update


@dataclass
class TrainingResult:
    """A finished run: the trained policy, its metrics as `load_run` reads them."""

    policy: Policy
    metrics: pd.DataFrame
    """One row per step, step 0 with the evaluation of the untrained policy."""
    folder: Path | None
    """Where the record lies: the partial folder if `max_minutes` stopped the run."""
    critic: Critic | None = None
    """PPO's trained value model; None without a critic."""
    finished: bool = True
    """False: `max_minutes` were over first; `resume` goes on."""


def train(
    config: Config,
    *,
    policy: Policy | None = None,
    task: TaskSet | None = None,
    reward_funcs: Given | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    evaluations: bool = True,
    on_step: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train `config.policy` on `config.task`; the whole of it, in data-flow order.

    With `output`, the record (`records.recording`) and, as `config.save_policy` says,
    the policy appear there when the run has finished, whole; `overwrite` lets it
    replace an earlier one. The given policy is changed in place, where it is; without
    one, `config.policy` is trained on the GPU if there is one. `on_step` is called with
    each row of metrics. `reward_funcs`, names and functions by TRL's contract, takes
    the place of the config's (docs/own_rewards.md). Raises ValueError before anything
    is written if the config cannot run, RuntimeError that names what to lower when
    memory runs out.

    With `resume`, a run that was killed goes on in its `.partial` folder from the last
    state that `config.save_steps` had it save, to the same bits on the same machine;
    give it the same policy, untrained, and the same task. `on_step` sees the new rows.
    Raises ValueError when the interrupted run has another config or its state is
    damaged; without an interrupted run, or one without a state, it starts anew. After
    `config.max_minutes` the run stops behind a step, evaluates, saves its state and
    stays in the `.partial` folder for such a resumption.
    """
    from tqdm.auto import tqdm

    started = time.perf_counter()
    device = best_device() if policy is None else policy.device
    config, passed = with_rewards(config, reward_funcs)
    config = _settle(config, device.type, output, overwrite, resume)
    task = task or load_task(config.task)
    check_budget(config, task)
    rewards = build_rewards(config, task, passed)
    policy = policy or load_policy(config.policy).to(device)
    kept = recorded(rewards, config)
    kept["provenance"] |= look_at(policy, task, config)
    check_keeping(config, policy, output, evaluations=evaluations)
    torch.manual_seed(config.seed)
    learner = Learner.create(config, policy)
    rows: list[dict[str, float]] = []

    def log(step: int, metrics: dict[str, float]) -> None:
        rows.append({"step": step, **metrics})
        if record is not None:
            record.log(step, metrics)
        if on_step is not None:
            on_step(rows[-1])

    last = config.max_steps
    with (
        deterministic_algorithms(config.full_determinism),
        _recorder(config, device.type, output, overwrite, resume, kept) as record,
        tqdm(total=last, disable=not progress) as bar,
    ):
        checkpoints = Checkpoints(learner, record, config.save_steps)
        done = checkpoints.restore()
        rows += record.rows if record is not None else []
        keeper = PolicyKeeper(config, record)
        if done < 0:
            if evaluations:
                log(0, evaluate(learner.refreshed_sampler(), task, config))
            checkpoints.save(0)
        bar.update(max(done, 0))
        for step in range(max(done, 0) + 1, last + 1):
            batch, metrics = take_step(learner, task, rewards, step)
            if step < last and is_over(config.max_minutes, started):
                last = step
            due = config.eval_steps and step % config.eval_steps == 0
            if evaluations and (due or step == last):
                metrics |= evaluate(learner.refreshed_sampler(), task, config)
            log(step, metrics)
            if keeper.is_better(rows[-1]):
                keeper.keep(rows[-1], policy)
            if record is not None and step in sample_steps(config.max_steps):
                record.add_samples(step, sample_records(batch, config))
            if step < config.max_steps:
                checkpoints.save(step, now=step == last)
            bar.update()
            bar.set_postfix(reward=f"{metrics['reward']:.2f}")
            if step == last:
                break
        say_what_changed(rewards)
        finished = last == config.max_steps
        if finished:
            keeper.finish(last, policy)
        elif record is not None:
            record.stop(f"max_minutes={config.max_minutes:g} over at step {last}")
    folder = None if output is None else Path(output)
    if folder is not None and not finished:
        folder = partial_folder(folder)
    return TrainingResult(
        policy, pd.DataFrame(rows), folder, learner.critic, finished=finished
    )


def _settle(
    config: Config,
    device: str,
    output: str | Path | None,
    overwrite: bool,
    resume: bool,
) -> Config:
    """The config with nothing left open, once it may run in `output`."""
    if resume:
        if output is None:
            raise ValueError("resume needs output, the folder of the run, got None")
        config = replace(config, **decided_before(output, config.to_dict()))
    config = config.settled(device)
    if output is not None and not overwrite:
        fields = config.to_dict()
        check_startable(output, fields, defaults=DEFAULTS, resume=resume)
    return config


def _recorder(
    config: Config,
    device: str,
    output: str | Path | None,
    overwrite: bool,
    resume: bool,
    kept: dict[str, Any],
) -> RunRecorder | nullcontext[None]:
    """What writes the run's folder; nothing without one."""
    if output is None:
        return nullcontext()
    return RunRecorder(
        output,
        config.to_dict(),
        device=device,
        overwrite=overwrite,
        resume=resume,
        defaults=DEFAULTS,
        **kept,
    )


def take_step(
    learner: Learner, task: TaskSet, reward_funcs: list[RewardFunction], step: int
) -> tuple[Batch, dict[str, float]]:
    """rollouts → rewards → advantages → objective → update: one step and its row."""
    config, start = learner.config, time.perf_counter()
    with naming_what_to_lower(config, "sampling", *SAMPLING):
        rollouts, rewards, costs = collect(learner, task, reward_funcs, step)
    rolled = time.perf_counter()
    with naming_what_to_lower(config, "updating", *UPDATING):
        batch = prepare(learner, rollouts, rewards)
        if step == 1:
            say_constant_rewards(batch, config, learner.policy)
        stats = update(learner, batch, step)
    return batch, {
        **summarize(learner, batch, task, stats, costs),
        "step_time": time.perf_counter() - start,
        "step_time/rollout": rolled - start,
    }


def is_over(max_minutes: float | None, started: float) -> bool:
    """Whether `max_minutes` have passed since `started` on the performance counter."""
    return max_minutes is not None and time.perf_counter() - started > 60 * max_minutes


def check_budget(config: Config, task: TaskSet) -> None:
    """Raise ValueError if no response of the task fits into the budget."""
    shortest = getattr(task, "min_completion_length", 1)
    if config.max_completion_length < shortest:
        raise ValueError(
            f"max_completion_length={config.max_completion_length} is shorter than one"
            f" whole response of {task.name!r}, {shortest} tokens"
        )


def collect(
    learner: Learner, task: TaskSet, reward_funcs: list[RewardFunction], step: int
) -> tuple[Rollouts, Tensor, dict[str, float]]:
    """Questions → rollouts → rewards (N, K) of one step, dynamic sampling included.

    Every draw is a function of (seed, step, attempt), so a step can be repeated.
    """
    config = learner.config
    sampler = learner.refreshed_sampler()

    def sample(attempt: int) -> Rollouts:
        stream = step * 1000 + attempt
        rollouts = generate_rollouts(
            sampler,
            task.sample(config.num_prompts, seed=config.seed, step=stream),
            num_generations=config.num_generations,
            max_completion_length=config.max_completion_length,
            temperature=config.temperature,
            generator=torch.Generator().manual_seed(config.seed * 1_000_003 + stream),
            cache_implementation=config.cache_implementation,
        )
        learner.num_tokens += rollouts.num_tokens
        learner.num_completions += len(rollouts)
        return rollouts

    rollouts, costs = draw_batch(sample, task, config)
    noted: dict[str, list[float]] = defaultdict(list)
    rewards = score(
        rollouts,
        reward_funcs,
        trainer_state=SimpleNamespace(
            global_step=learner.updates,
            max_steps=config.max_steps * config.updates_per_step,
        ),
        log_metric=lambda name, value: noted[name].append(float(value)),
    )
    check_paid(rewards, config)
    means = {name: sum(values) / len(values) for name, values in noted.items()}
    return rollouts, rewards, means | costs


def sample_steps(max_steps: int) -> set[int]:
    """The steps whose samples are kept: first, each quarter, last."""
    return {1, *(max(1, round(max_steps * k / 4)) for k in (1, 2, 3, 4))}
