"""The TRL engine: one `Config`, TRL's `GRPOTrainer`, the record of our own loop.

    train_with_trl(config, output=folder)
    accelerate launch --config_file configs/accelerate/gpus.yaml \\
        -m rlnotes.cli train --engine trl --config configs/search/dapo.yaml

Questions, rewards, advantages, updates and log keys are those of `training.loop`;
generation, loss, optimizer and distribution are TRL's (`trl_trainer` says where the
border runs).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rlnotes.engines.tracking import beside_the_run, tracker
from rlnotes.engines.trl_config import (
    check_expressible,
    check_launcher,
    check_precision,
    has_gpu,
    read_options,
    to_trl_kwargs,
)
from rlnotes.engines.trl_data import make_dataset
from rlnotes.engines.trl_reference import reference_on_disk
from rlnotes.machine.devices import (
    UPDATING,
    deterministic_algorithms,
    naming_what_to_lower,
)
from rlnotes.policies.policy import TINY_POLICY, Policy, load_policy
from rlnotes.records.partial import check_startable, decided_before
from rlnotes.records.run_folders import partial_folder
from rlnotes.rewards.rewards import RewardFunction
from rlnotes.tasks.base import TaskSet
from rlnotes.tasks.loading import load_task
from rlnotes.training.chosen_rewards import (
    Given,
    build_rewards,
    recorded,
    say_what_changed,
    with_rewards,
)
from rlnotes.training.config import DEFAULTS, Config
from rlnotes.training.first_look import look_at
from rlnotes.training.keeping import check_keeping
from rlnotes.training.loop import TrainingResult, check_budget

if TYPE_CHECKING:
    from rlnotes.engines.trl_recording import Recording, TrlRecorder
    from rlnotes.engines.trl_trainer import NotesTrainer

_CHECKPOINTS = "checkpoints"


def train_with_trl(
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
    report_to: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train `config.policy` on `config.task` with TRL; arguments as `training.train`.

    `options` are further fields of TRL's `GRPOConfig`, like `use_vllm`; `report_to` one
    of TRL's trackers, "none", or None: tensorboard for a recorded run, if installed.
    Under `accelerate launch` every process calls this; the first one writes. Where the
    weights are in shards (FSDP2, ZeRO-3) every process gets a whole model on the CPU,
    and the model that was passed in stays in shards. Raises ValueError, before anything
    is written, for what TRL, this machine or the number of processes cannot do;
    ImportError without TRL.
    """
    config, passed = with_rewards(config, reward_funcs)
    check_expressible(config)
    _check_installed()
    options = read_options(options or {})
    check_precision(config)
    check_launcher()
    from accelerate import PartialState

    state = PartialState(cpu=not has_gpu())
    config = _settle(config, state, output, resume)
    arguments = to_trl_kwargs(config, num_processes=state.num_processes)
    if resume and output is None:
        raise ValueError("resume needs output, the folder of the run, got None")
    if output is not None and not overwrite:
        fields = config.to_dict()
        check_startable(output, fields, defaults=DEFAULTS, resume=resume)
    task = task or load_task(config.task)
    check_budget(config, task)
    rewards = build_rewards(config, task, passed)
    dataset = make_dataset(config, task)
    loaded = policy is None and config.policy != TINY_POLICY
    policy = policy or _load(config.policy)
    kept = recorded(rewards, config)
    kept["provenance"] |= look_at(policy, task, config, engine="trl")
    kind = type(policy.model)  # FSDP puts another in its place
    check_keeping(
        config, policy, output, evaluations=evaluations, say=state.is_main_process
    )
    state.wait_for_everyone()  # the first one writes only when all have looked
    with ExitStack() as stack:
        stack.enter_context(deterministic_algorithms(config.full_determinism))
        if config.beta > 0 and not loaded:
            stack.enter_context(reference_on_disk(policy))
        arguments |= {"report_to": tracker(report_to, output)}
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        with beside_the_run(output):
            trainer = _make_trainer(
                config, task, policy, rewards, dataset, arguments | options, scratch
            )
        record = saved = None
        if output is not None and state.is_main_process:
            record = stack.enter_context(
                _recorder(config, output, state, overwrite, resume, kept)
            )
            saved = record.take_state()
        callback = _attach(
            trainer, policy, kind, record, evaluations, on_step, progress
        )
        _run(trainer, output, saved, record, callback)
        if state.is_main_process:
            say_what_changed(rewards)
        trained = callback.trained()
        trained.model.__dict__.pop("forward", None)  # the head that TRL fused into it
        trained.model.eval()
        if not callback.stopped:
            callback.keeper.finish(config.max_steps, trained)
            if record is not None:  # only now: a save that failed can be resumed
                shutil.rmtree(record.partial / _CHECKPOINTS, ignore_errors=True)
    folder = None if output is None else Path(output)
    if folder is not None and callback.stopped:
        folder = partial_folder(folder)
    return TrainingResult(
        trained,
        pd.DataFrame(callback.rows),
        folder,
        finished=not callback.stopped,
    )


def _settle(
    config: Config, state: Any, output: str | Path | None, resume: bool
) -> Config:
    """The config with nothing left open: the first process measures for all."""
    from accelerate.utils import broadcast_object_list

    if resume and output is not None:
        config = replace(config, **decided_before(output, config.to_dict()))
    settled: Config = broadcast_object_list([config.settled(state.device.type)])[0]
    return settled


def _check_installed() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is
    missing = [x for x in ("trl", "datasets") if importlib.util.find_spec(x) is None]
    if missing:
        raise ImportError(
            f"engine 'trl': {missing[0]} is not installed (pip install 'rlnotes[trl]')"
        )


def _load(name: str) -> Policy:
    try:
        return load_policy(name)
    except RuntimeError as error:
        raise ValueError(f"policy: {error}") from None


def _make_trainer(
    config: Config,
    task: TaskSet,
    policy: Policy,
    rewards: list[RewardFunction],
    dataset: Any,
    arguments: Mapping[str, Any],
    folder: str,
) -> NotesTrainer:
    from transformers import PrinterCallback, ProgressCallback
    from trl import GRPOConfig

    from rlnotes.engines.trl_trainer import NotesTrainer

    args = GRPOConfig(folder, use_cpu=not has_gpu(), **arguments)
    trainer = NotesTrainer(
        config, task, policy, rewards, args=args, train_dataset=dataset
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def _recorder(
    config: Config,
    output: str | Path,
    state: Any,
    overwrite: bool,
    resume: bool,
    kept: dict[str, Any],
) -> TrlRecorder:
    from rlnotes.engines.trl_recording import TrlRecorder

    return TrlRecorder(
        output,
        config.to_dict(),
        num_processes=state.num_processes,
        device=state.device.type,
        overwrite=overwrite,
        resume=resume,
        defaults=DEFAULTS,
        **kept,
    )


def _attach(
    trainer: NotesTrainer,
    policy: Policy,
    kind: type,
    record: TrlRecorder | None,
    evaluations: bool,
    on_step: Callable[[dict[str, float]], None] | None,
    progress: bool,
) -> Recording:
    from rlnotes.engines.trl_recording import ProgressBar, Recording

    callback = Recording(
        trainer,
        policy,
        record,
        kind=kind,
        evaluations=evaluations,
        on_step=on_step,
    )
    trainer.add_callback(callback)
    if progress and trainer.is_world_process_zero():
        trainer.add_callback(ProgressBar(trainer.config.max_steps))
    return callback


def _run(
    trainer: NotesTrainer,
    output: str | Path | None,
    saved: dict[str, Any] | None,
    record: TrlRecorder | None,
    callback: Recording,
) -> None:
    """Train, from the saved checkpoint if there is one; then the checkpoints go."""
    from accelerate.utils import broadcast_object_list

    saved = broadcast_object_list([saved])[0]
    checkpoint = None
    if output is not None:
        folder = partial_folder(Path(output)) / _CHECKPOINTS
        trainer.args.output_dir = str(folder)
        if saved is not None:
            checkpoint = str(folder / _checked_state(saved, trainer))
            trainer.num_completions = saved["num_completions"]
            trainer.weighting.restore(saved["multipliers"])
    with naming_what_to_lower(trainer.config, "training with TRL", *UPDATING):
        trainer.train(resume_from_checkpoint=checkpoint)
    trainer.accelerator.wait_for_everyone()
    if record is not None and callback.stopped:
        record.stop(callback.stopped)


def _checked_state(saved: dict[str, Any], trainer: NotesTrainer) -> str:
    """Name of the checkpoint; ValueError for another engine's or number's."""
    if "checkpoint" not in saved:
        raise ValueError("resume: the run was started by engine='rlnotes', got 'trl'")
    processes = trainer.accelerator.num_processes
    if saved["processes"] != processes:
        raise ValueError(
            f"resume: the run had {saved['processes']} processes, got {processes}"
        )
    return str(saved["checkpoint"])
