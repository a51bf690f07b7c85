"""RECORD of a TRL run: its logs as our rows, its checkpoints as our state."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from rlnotes.engines.trl_sharding import whole_model
from rlnotes.engines.trl_trainer import NotesTrainer
from rlnotes.policies.policy import Policy
from rlnotes.records.recording import RunRecorder
from rlnotes.training.checkpoints import SaveClock
from rlnotes.training.config import Config
from rlnotes.training.evaluation import evaluate, sample_records, summarize
from rlnotes.training.first_look import say_constant_rewards
from rlnotes.training.keeping import PolicyKeeper
from rlnotes.training.learner import Learner
from rlnotes.training.loop import is_over, sample_steps

_FROM_TRL = ("entropy", "learning_rate")  # measured in the update, not while sampling


class TrlRecorder(RunRecorder):
    """A `RunRecorder` whose meta.json also names the engine and its processes."""

    def __init__(self, *arguments: Any, num_processes: int, **options: Any) -> None:
        import trl

        super().__init__(*arguments, **options)
        self._meta |= {"engine": f"trl {trl.__version__}", "processes": num_processes}


class Recording(TrainerCallback):
    """Turns TRL's log of a step into a row, evaluates, keeps samples, asks for saves.

    Every process evaluates, on the same questions with the same seed, because a sharded
    model answers only when all of them ask; the first process writes.
    """

    def __init__(
        self,
        trainer: NotesTrainer,
        policy: Policy,
        record: RunRecorder | None,
        *,
        kind: type,
        evaluations: bool,
        on_step: Callable[[dict[str, float]], None] | None,
    ) -> None:
        self.trainer, self.policy, self.record = trainer, policy, record
        self.evaluations, self.on_step = evaluations, on_step
        self.rows: list[dict[str, float]] = [] if record is None else record.rows
        self.keeper, self._kind = PolicyKeeper(trainer.config, record), kind
        self._clock = SaveClock(trainer.config.save_steps)
        self._entered, self.stopped = time.perf_counter(), ""

    def on_train_begin(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Row 0: the untrained policy."""
        if state.global_step == 0 and self.evaluations:
            self._log(0, self._evaluate())
        self._clock = SaveClock(self.trainer.config.save_steps)
        self._started = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """One row for each batch of rollouts; the summary at the end is none."""
        logs = given["logs"]
        if "loss" not in logs:
            return
        config = self.trainer.config
        step = state.global_step // config.updates_per_step
        row = self._row(logs) | {"step_time": time.perf_counter() - self._started}
        over = step < config.max_steps and self._over()
        if over:
            self.stopped = f"max_minutes={config.max_minutes:g} over at step {step}"
            control.should_training_stop = True
        due = config.eval_steps and step % config.eval_steps == 0
        if self.evaluations and (due or over or step == config.max_steps):
            row |= self._evaluate()
        self._log(step, row)
        if step == 1 and self.trainer.batch is not None:
            say_constant_rewards(self.trainer.batch, config, self.policy)
        self._keep(self.rows[-1])
        if self.record is not None and step in sample_steps(config.max_steps):
            assert self.trainer.batch is not None
            self.record.add_samples(step, sample_records(self.trainer.batch, config))
        if step < config.max_steps and (over or self._due(step)):
            control.should_save = True
            self._clock.begin()
        self._started = time.perf_counter()

    def on_save(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Note the checkpoint: only now is it what a resumed run goes on from."""
        trainer = self.trainer
        trainer.accelerator.wait_for_everyone()  # each writes a part of it
        if self.record is not None:
            self.record.save_state(
                {
                    "step": state.global_step // trainer.config.updates_per_step,
                    "checkpoint": f"checkpoint-{state.global_step}",
                    "processes": trainer.accelerator.num_processes,
                    "num_completions": trainer.num_completions,
                    "multipliers": trainer.weighting.multipliers.tolist(),
                }
            )
        self._clock.end()
        self._started = time.perf_counter()

    def _row(self, logs: dict[str, Any]) -> dict[str, float]:
        """Our metrics of the batch; TRL's of the updates, and whatever only it has."""
        trainer, config = self.trainer, self.trainer.config
        assert trainer.batch is not None and trainer.optimizer is not None
        counters = Learner(
            config,
            self.policy,
            self.policy,
            optimizers=[trainer.optimizer],
            updates=trainer.state.global_step,
            num_tokens=trainer.state.num_input_tokens_seen,
            num_completions=trainer.num_completions,
        )
        ours = summarize(counters, trainer.batch, trainer.task, {}, {})
        theirs = {
            key: float(value)
            for key, value in logs.items()
            if (key not in ours or key in _FROM_TRL)
            and key != "epoch"
            and value is not None
        }
        return {"updates": ours["updates"], "loss": theirs["loss"], **ours, **theirs}

    def _evaluate(self) -> dict[str, float]:
        trainer = self.trainer
        with plain_forward(trainer) as model, torch.random.fork_rng():
            policy = Policy(model, self.policy.tokenizer, self.policy.name)
            return evaluate(policy, trainer.task, self._evaluated_config())

    def _evaluated_config(self) -> Config:
        """A sharded model cannot be copied: it answers in its own precision."""
        config = self.trainer.config
        sharded = self.trainer.is_sharded
        return dataclasses.replace(config, bf16=False) if sharded else config

    def _keep(self, row: dict[str, float]) -> None:
        """Keep the best policy; where it is in shards, every process lends its own."""
        if self.trainer.config.save_policy != "best":
            return
        if broadcast_object_list([self.keeper.is_better(row)])[0]:
            policy = self.trained()
            if self.record is not None:
                self.keeper.keep(row, policy)

    def trained(self) -> Policy:
        """The model as it is now, whole, with its tokenizer."""
        trainer = self.trainer
        sharded = trainer.is_sharded
        model = whole_model(trainer, self._kind) if sharded else trainer.model
        return Policy(model, self.policy.tokenizer, self.policy.name)

    def _log(self, step: int, metrics: dict[str, float]) -> None:
        self.rows.append({"step": step, **metrics})
        if self.record is not None:
            self.record.log(step, metrics)
        if self.on_step is not None and self.trainer.is_world_process_zero():
            self.on_step(self.rows[-1])

    def _over(self) -> bool:
        """Whether the time is over, by the first process's clock."""
        limit = self.trainer.config.max_minutes
        return bool(broadcast_object_list([is_over(limit, self._entered)])[0])

    def _due(self, step: int) -> bool:
        """Whether to save now: the first process's clock decides for all."""
        answer = self.record is not None and self._clock.is_due(step)
        return bool(broadcast_object_list([answer])[0])


@contextlib.contextmanager
def plain_forward(trainer: NotesTrainer) -> Iterator[Any]:
    """The bare model in evaluation mode, without the head that TRL fused into it."""
    from trl.models import unwrap_model_for_generation

    with unwrap_model_for_generation(
        trainer.model_wrapped, trainer.accelerator
    ) as model:
        fused, training = model.__dict__.pop("forward", None), model.training
        model.eval()
        try:
            yield model
        finally:
            model.train(training)
            if fused is not None:
                model.forward = fused


class ProgressBar(TrainerCallback):
    """The bar of our own loop: steps, with the reward beside it."""

    def __init__(self, max_steps: int) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """One step further."""
        logs = given["logs"]
        if "loss" in logs:
            self._bar.update()
            self._bar.set_postfix(reward=f"{logs['reward']:.2f}")

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Leave the bar as it is."""
        self._bar.close()
