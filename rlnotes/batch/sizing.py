"""SIZE of a run, computed from shapes before anything is loaded: memory and work.

    rlnotes size --config configs/full/grpo.yaml --engine trl --memory 80

Formulas, and how far they are from what was measured: docs/sizing.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rlnotes.equations.validation import check_choice, check_range
from rlnotes.machine.devices import best_device
from rlnotes.policies.shapes import Shape
from rlnotes.training.config import Config

PROCESS = 0.57e9
"""Bytes of Python, torch and transformers without a model (peak of the `tiny` runs)."""
HELD_OUT = 128
"""Questions that an evaluation answers at once, if the task sets apart so many."""
_CHUNK, _ROOM = 256, 64  # tokens: of the fused head, and ahead in the cache
_H100_FLOPS, _H100_BYTES, _SHARE = 989e12, 3.35e12, 0.3


@dataclass(frozen=True)
class Sizes:
    """Bytes of a run by item, for each of its three phases, and its work."""

    held: dict[str, float]
    train: dict[str, float]
    sample: dict[str, float]
    evaluate: dict[str, float]
    tokens: float
    flops: float
    seconds: float
    """At least, on one H100 at 30 % of its data sheet's rates."""

    @cached_property
    def phases(self) -> dict[str, float]:
        """Bytes of each phase, what is held all the time included."""
        parts = {"train": self.train, "sample": self.sample, "evaluate": self.evaluate}
        held = sum(self.held.values())
        return {name: held + sum(part.values()) for name, part in parts.items()}

    @property
    def peak(self) -> float:
        """Bytes of the largest phase."""
        return max(self.phases.values())


def estimate(
    config: Config,
    shape: Shape,
    *,
    engine: str = "rlnotes",
    prompt_length: int = 256,
    held_out: int = HELD_OUT,
) -> Sizes:
    """Memory and work of a run in which every completion has the largest length.

    Raises ValueError for another engine or a prompt without tokens.
    """
    check_choice("engine", engine, ("rlnotes", "trl"))
    check_range("prompt_length", prompt_length, low=1, integer=True)
    check_range("held_out", held_out, low=1, integer=True)
    bf16 = bool(config.settled(best_device().type).bf16)
    width, n = (2 if bf16 else 4), shape.parameters
    rows, length = config.generation_batch_size, config.max_completion_length
    mini = rows // config.steps_per_generation
    micro = config.per_device_train_batch_size or mini
    # a packed row holds its prompt once, a padded one with every completion
    prompts = micro // config.num_generations if engine == "rlnotes" else micro
    fed = prompts * prompt_length + micro * length
    kept = shape.activations_per_token(width, recompute=engine == "trl")
    answers = held_out * config.eval_samples
    bf16_copy = 2 * n * bf16  # ours is held all the time and answers as well
    work = _work(config, shape, prompt_length, engine)
    return Sizes(
        held={
            "process": PROCESS,
            "weights": 4 * n,
            "AdamW moments": 8 * n,
            "bfloat16 copy that samples": bf16_copy * (engine == "rlnotes"),
            "reference": 4 * n * (config.beta > 0 or config.kl_coef > 0),
            "critic, its gradient and moments": 16 * n * config.critic,
        },
        train={
            "gradients": 4 * n,
            "bfloat16 weights of a forward": 2 * n * bf16,
            "activations": fed * kept,
            "a chunk of logits": 4 * _CHUNK * shape.vocab_size,
        },
        sample=_sampling(shape, rows, prompt_length + length, width),
        evaluate={
            "bfloat16 copy that answers": bf16_copy * (engine == "trl"),
            **_sampling(shape, answers, prompt_length + length, width),
        },
        **work,
    )


def describe(config: Config, sizes: Sizes, *, limit_gb: float | None = None) -> str:
    """The table of `rlnotes size`; with a limit, whether it fits and what to lower."""
    lines = [f"{'computed':<36}{'GB':>8}"]
    for title in ("held", *sizes.phases):
        lines.append(f"{title}:")
        items = getattr(sizes, title).items()
        lines += [f"  {name:<34}{x / 1e9:8.2f}" for name, x in items if x]
        if title != "held":
            lines.append(f"  {'with what is held':<34}{sizes.phases[title] / 1e9:8.2f}")
    lines += [
        f"peak {sizes.peak / 1e9:.1f} GB; {sizes.tokens / 1e6:.1f} million tokens,"
        f" {sizes.flops:.2g} FLOP; on one H100 at least {sizes.seconds / 3600:.2g} h"
    ]
    if config.bf16 is None:
        kind = best_device().type
        chosen = "true" if config.settled(kind).bf16 else "false"
        lines.append(
            f"bf16={chosen}, as measured on this machine's {kind}; give it for another"
        )
    if limit_gb is not None:
        lines.append(advice(config, sizes, limit_gb * 1e9))
    return "\n".join(lines)


def advice(config: Config, sizes: Sizes, limit: float) -> str:
    """Whether the peak fits into `limit` bytes, else the number to lower first."""
    if sizes.peak <= limit:
        return f"fits into {limit / 1e9:g} GB"
    phase = max(sizes.phases, key=lambda name: sizes.phases[name])
    held, size = sum(sizes.held.values()), config.num_generations
    fixed = held + sum(sizes.train.values()) - sizes.train["activations"]
    if fixed >= limit:
        lower = (
            "policy: its weights and moments alone do not fit; take a smaller one or"
        )
        lower += " shards (configs/accelerate/fsdp2.yaml)"
    elif phase == "train":
        mini = config.generation_batch_size // config.steps_per_generation
        micro = config.per_device_train_batch_size or mini
        fits = int(micro * (limit - fixed) / sizes.train["activations"]) // size * size
        lower = f"per_device_train_batch_size={max(fits, size)}"
        lower += "" if fits else f" and max_completion_length: one group of {size} is"
        lower += "" if fits else " too long"
    elif phase == "evaluate":
        lower = f"eval_samples (now {config.eval_samples}) or the task's held_out"
    else:
        lower = f"generation_batch_size (now {config.generation_batch_size})"
    return f"does not fit into {limit / 1e9:g} GB; lower {lower}"


def _sampling(shape: Shape, rows: int, length: int, width: int) -> dict[str, float]:
    """Keys and values of all rows to their end, and three vocabularies a row."""
    return {
        "key-value cache": rows * (length + _ROOM) * shape.cache_per_token(width),
        "probabilities of a token": 3 * 4 * rows * shape.vocab_size,
    }


def _work(
    config: Config, shape: Shape, prompt_length: int, engine: str
) -> dict[str, float]:
    """Tokens, FLOP = N·tokens·(2 + 6·μ + 2 a scoring pass), and the least seconds.

    With TRL 8·μ: its layers are computed again in the backward pass.
    Sampling reads the weights and half the final cache for every token; dynamic
    sampling is counted as two batches a step.
    """
    rows, length = config.generation_batch_size, config.max_completion_length
    batches = 2 if config.dynamic_sampling else 1
    tokens = rows * (prompt_length + length)
    scored = (config.updates_per_step > 1) + (config.beta > 0 or config.kl_coef > 0)
    models = 2 if config.critic else 1
    update = (8 if engine == "trl" else 6) * models
    passes = update * config.num_iterations + 2 * scored
    n, steps = shape.parameters, config.max_steps
    read = 2 * n + rows * (prompt_length + length / 2) * shape.cache_per_token(2)
    seconds = tokens * n * (passes + 2 * batches) / (_SHARE * _H100_FLOPS)
    seconds += batches * length * read / (_SHARE * _H100_BYTES)
    return {
        "tokens": float(steps * batches * tokens),
        "flops": float(steps * tokens * n * (passes + 2 * batches)),
        "seconds": steps * seconds,
    }
