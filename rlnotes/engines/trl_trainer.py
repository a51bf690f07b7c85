"""TRL's `GRPOTrainer` with what it lacks: dynamic sampling, whole prompts, GDPO Eq 8.

TRL generates, scores log-probs, computes the loss, steps and distributes. Ours is what
lies between: which groups make the batch, their advantages, and which rows make an
update. One private method is overridden, `_prepare_inputs`; RELIED_ON lists what it
reads and calls, and a test holds their sources against a recorded digest.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl import GRPOTrainer

from rlnotes.engines.trl_passes import ForwardPass, forward_passes, own_rows
from rlnotes.engines.trl_sampling import (
    Completion,
    as_output,
    as_rollouts,
    question_rows,
)
from rlnotes.engines.trl_sharding import correct_fsdp, drop_idle_gradients
from rlnotes.equations.shaping import overlong_filter
from rlnotes.policies.policy import Policy
from rlnotes.rewards.rewards import RewardFunction
from rlnotes.rollouts.rollouts import Rollouts
from rlnotes.tasks.base import TaskSet
from rlnotes.training.batches import (
    Batch,
    check_paid,
    draw_batch,
    weigh_rewards,
)
from rlnotes.training.config import Config
from rlnotes.training.schedules import learning_rate_share
from rlnotes.training.updates import mini_batches
from rlnotes.training.weighting import Weighting

TESTED_VERSION = "1.16.0"
_PER_TOKEN = ("entropy", "kl", "cispo_clip_ratio")
_CLIPPED = tuple(f"clip_ratio/{name}_mean" for name in ("low", "high", "region"))
RELIED_ON = (
    "_prepare_inputs",
    "_generate",
    "_generate_and_score_completions",
    "_calculate_rewards",
    "_compute_loss",
    "training_step",
    "log",
)


class NotesTrainer(GRPOTrainer):
    """A `GRPOTrainer` whose batches, advantages and updates are those of our loop.

    `args` come from `trl_config.to_trl_kwargs(config)`; the dataset's rows are the
    questions of each step in order. Every process holds the whole batch of rollouts as
    token ids on the CPU, so all of them choose the same groups without a vote.
    """

    args: Any  # TRL's stubs know less of these than its code
    optimizer: Any
    num_generations: Any
    _logs: dict[str, Any]

    def __init__(
        self,
        config: Config,
        task: TaskSet,
        policy: Policy,
        rewards: list[RewardFunction],
        **arguments: Any,
    ) -> None:
        self.config, self.task = config, task
        self.weighting = Weighting(config)
        self.batch: Batch | None = None
        """The rollouts of the step under way, of all processes."""
        self.num_completions = 0
        """Sampled so far over all processes, resampled ones included."""
        self._tokens: list[float] = []  # of each forward pass since the last log
        self._pad_id: int = policy.tokenizer.pad_token_id
        super().__init__(
            model=policy.model,
            processing_class=policy.tokenizer,
            reward_funcs=list(rewards),
            **arguments,
        )

    @property
    def step(self) -> int:
        """The batch of rollouts under way, from 1; TRL counts updates."""
        return self.state.global_step // self.config.updates_per_step + 1

    @property
    def is_sharded(self) -> bool:
        """Whether no process holds the whole model (FSDP, DeepSpeed)."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def create_accelerator_and_postprocess(self) -> None:
        """What TRL does; under FSDP with the precision that `Config.bf16` means."""
        super().create_accelerator_and_postprocess()
        if self.is_fsdp_enabled:
            correct_fsdp(self.accelerator.state.fsdp_plugin, self.args)

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """All of them: our AdamW decays norms and biases as well."""
        return [name for name, _ in model.named_parameters()]

    def create_optimizer(self, *arguments: Any) -> torch.optim.Optimizer:
        """TRL's, which leaves the weights alone when there is nothing to learn."""
        optimizer = super().create_optimizer(*arguments)
        optimizer.register_step_pre_hook(drop_idle_gradients)
        return optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: Any = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """By steps, as our own loop does it (`schedules.learning_rate_share`)."""
        if self.lr_scheduler is None:

            def share(update: int) -> float:
                step = update // self.config.updates_per_step + 1
                return learning_rate_share(self.config, step)

            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, share
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """The rows of this forward pass; where a step begins, its rollouts first.

        TRL shuffles rows between mini-batches, which tears groups apart; ours are whole
        prompts in a new order each pass, the order of `updates.update`.
        """
        per_pass = self.args.steps_per_generation
        position = self._step % (per_pass * self.num_iterations)
        if position == 0:
            self._collect(generation_batch)
        if position % per_pass == 0:
            self._parts = [
                one
                for groups in mini_batches(self.config, self._orders)
                for one in self._forward_passes(groups)
            ]
        part, tokens = self._parts[position % per_pass]
        self._tokens.append(tokens)
        return part

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's log; its means over forward passes become means over tokens.

        TRL weighs every pass alike, however few tokens it holds: an entropy or a KL
        would depend on `per_device_train_batch_size` and the number of processes.
        """
        metrics: Any = self._metrics["train"]
        tokens, total = self._tokens, sum(self._tokens)
        by_token = self.config.importance_sampling_level == "token"
        for name in (*_PER_TOKEN, *(_CLIPPED if by_token else ())):
            if name in metrics and total > 0:
                pairs = zip(metrics[name], tokens, strict=True)
                metrics[name] = [sum(x * n for x, n in pairs if n) / total]
        self._tokens = []
        super().log(logs, start_time)

    def _forward_passes(self, groups: list[int]) -> list[ForwardPass]:
        assert self.batch is not None
        return forward_passes(
            self.batch.select(groups),
            groups,
            self._scored,
            self.config,
            self.accelerator,
            micro=self.args.per_device_train_batch_size,
        )

    def _collect(self, rows: list[dict[str, Any]]) -> None:
        """Questions → rollouts → rewards → advantages, over all processes."""
        start = time.perf_counter()
        config = self.config

        def sample(attempt: int) -> Rollouts:
            return self._sample(rows if attempt == 0 else self._further(attempt))

        kept = self._metrics["train"]
        self._metrics["train"] = defaultdict(list)  # what TRL notes of each attempt
        rollouts, costs = draw_batch(sample, self.task, config)
        self._metrics["train"] = kept
        self._scored = self._score(rollouts)
        names = self.reward_func_names
        # TRL has gathered them, in the order of the processes
        columns = [torch.tensor(list(self._logs["rewards"][name])) for name in names]
        rewards = torch.stack(columns, 1)
        check_paid(rewards, config)
        mask = rollouts.completion_mask
        if config.mask_truncated_completions:
            mask = overlong_filter(mask, rollouts.truncated)
        self.batch = Batch(rollouts, rewards, rewards.new_zeros(len(rollouts)), mask)
        weigh_rewards(self.batch, config, self.weighting)
        self._logs["advantages"].clear()
        self._logs["advantages"].extend(self.batch.advantages.tolist())
        costs["step_time/rollout"] = time.perf_counter() - start
        for name, value in costs.items():
            kept[name].append(value)
        seed = config.seed * 1_000_003 + self.step
        self._orders = torch.Generator().manual_seed(seed)

    def _further(self, attempt: int) -> list[dict[str, Any]]:
        """This process's rows of a further batch: the questions our loop would draw."""
        config = self.config
        stream = self.step * 1000 + attempt
        tasks = self.task.sample(config.num_prompts, seed=config.seed, step=stream)
        rows = question_rows(tasks, config.num_generations)
        return [rows[i] for i in own_rows(self.accelerator, len(rows))]

    def _sample(self, rows: list[dict[str, Any]]) -> Rollouts:
        """Completions of every process's rows, by whatever TRL generates with."""
        prompt_ids, ids, _, texts, logps, *_ = self._generate(
            [row["prompt"] for row in rows]
        )
        self._has_logps = logps is not None
        logps = logps if self._has_logps else [None] * len(ids)
        parts = zip(rows, prompt_ids, ids, texts, logps, strict=True)
        gathered = gather_object([Completion(*part) for part in parts])
        self.num_completions += len(gathered)
        return as_rollouts(
            gathered,
            num_generations=self.num_generations,
            end_ids=[*self.eos_token_ids, self._pad_id],
        )

    def _score(self, rollouts: Rollouts) -> dict[str, Any]:
        """TRL's tensors of this process's rows: it is shown the chosen completions.

        They were counted when they were sampled, so the token count is put back.
        """
        rows = own_rows(self.accelerator, len(rollouts))
        tasks = [rollouts.tasks[i // self.num_generations] for i in rows]
        output = as_output(rollouts, rows, with_logps=self._has_logps)
        tokens = self.state.num_input_tokens_seen
        self.rollout_func = lambda prompts, trainer: output
        try:
            scored = self._generate_and_score_completions(question_rows(tasks, 1))
        finally:
            self.rollout_func = None
        self.state.num_input_tokens_seen = tokens
        self._metrics["train"]["num_tokens"] = [tokens]
        if self.config.steps_per_generation > 1:  # any row may be needed anywhere
            scored = {name: self._gathered(name, x) for name, x in scored.items()}
        return scored

    def _gathered(self, name: str, value: Tensor) -> Tensor:
        """One of TRL's tensors from all processes, widened to the widest."""
        if value.dim() == 0 or self.accelerator.num_processes == 1:
            return value
        if value.dim() > 1:
            pad = self._pad_id if name.endswith("_ids") else 0
            value = self.accelerator.pad_across_processes(
                value, dim=1, pad_index=pad, pad_first=name.startswith("prompt_")
            )
        return self.accelerator.gather(value)
