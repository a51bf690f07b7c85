"""docs/models.md: which architectures work, by which path, and what the check costs.

    python scripts/models.py            # some minutes; writes docs/models.md
    python scripts/models.py llama mpt  # rows of these alone, printed

Each architecture of `model_shapes` is a tiny random model. It samples, it is scored,
and one update's gradient is compared with that of the plain loss: every row alone
through the model's own forward. Then one step of TRL's engine.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from model_shapes import SHAPES, tiny_model

from rlnotes.policies.policy import Policy, load_policy
from rlnotes.rollouts import first_use
from rlnotes.rollouts.rollouts import Rollouts, generate_rollouts
from rlnotes.rollouts.scoring import packed_logps
from rlnotes.tasks.loading import load_task
from rlnotes.training.batches import Batch
from rlnotes.training.config import Config, make_config
from rlnotes.training.learner import Learner
from rlnotes.training.updates import policy_backward

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"
HEADER = ("architecture", "sampling", "packed", "head", "TRL", "log-probs", "gradient")
TASK = load_task("scratch-addition")


@dataclass
class Row:
    """What was found out about one architecture."""

    kind: str
    paths: Any
    logps: float
    """Largest difference of a log-prob, sampled or scored, from the row alone, nats."""
    gradient: float
    """‖g − g_plain‖ / ‖g_plain‖."""
    trl: str = ""

    def cells(self) -> tuple[str, ...]:
        """As they stand in the table."""
        paths = self.paths
        return (
            self.kind,
            "reads rows again" if paths.cached else "cache",
            f"no: {paths.packed[:40]}" if paths.packed else "yes",
            "model's logits" if paths.fused else "fused",
            self.trl or "yes",
            f"{self.logps:.0e}",
            f"{self.gradient:.0e}",
        )


def small_config(**changes: Any) -> Config:
    """One step, as small as groups allow."""
    fields = {
        "task": TASK.name,
        "policy": "tiny",
        "bf16": False,
        "max_steps": 1,
        "generation_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 8,
        "eval_samples": 1,
    }
    return make_config(**{**fields, **changes})


def inspect(kind: str) -> Row:
    """Sample, score and differentiate a tiny model of architecture `kind`."""
    policy, config = tiny_model(kind), small_config()
    rollouts = generate_rollouts(
        policy,
        TASK.sample(2, seed=0, step=0),
        num_generations=4,
        max_completion_length=8,
        generator=torch.Generator().manual_seed(0),
    )
    mask = rollouts.completion_mask.bool()
    with torch.no_grad():
        plain = alone(policy, rollouts)
    scored = packed_logps(policy, rollouts)[mask]
    found = max(float((x - plain).abs().max()) for x in (scored, sampled(rollouts)))
    advantages = torch.linspace(-1, 1, len(rollouts))
    weights = mask / mask.sum()
    batch = Batch(rollouts, advantages[:, None], advantages, mask)
    policy_backward(Learner(config, policy, policy), batch, weights)
    ours = gradient(policy)
    slopes = (weights * advantages[:, None])[mask]
    (-(alone(policy, rollouts) * slopes).sum()).backward()
    theirs = gradient(policy)
    off = float((ours - theirs).norm() / theirs.norm())
    return Row(kind, first_use.paths_of(policy), found, off)


def sampled(rollouts: Rollouts) -> torch.Tensor:
    """What was written down while sampling, (M,)."""
    return rollouts.per_token_logps[rollouts.completion_mask.bool()]


def alone(policy: Policy, rollouts: Rollouts) -> torch.Tensor:
    """Log-probs (M,), one row at a time: no batch, no padding, nothing of ours."""
    parts = []
    for index, length in enumerate(rollouts.lengths.tolist()):
        group = index // rollouts.num_generations
        prompt = rollouts.prompt_ids[group][rollouts.prompt_mask[group].bool()]
        taken = rollouts.completion_ids[index, :length]
        row = torch.cat([prompt, taken])[None]
        logits = policy.model(input_ids=row, use_cache=False).logits[0]
        logps = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
        parts.append(logps.gather(1, taken[:, None])[:, 0])
    return torch.cat(parts)


def gradient(policy: Policy) -> torch.Tensor:
    """The gradient of all weights in one vector; it is taken away."""
    weights = [w for w in policy.model.parameters() if w.grad is not None]
    flat = torch.cat([w.grad.flatten().double() for w in weights])
    policy.model.zero_grad(set_to_none=True)
    return flat


def try_trl(kind: str) -> str:
    """ "" where one step of TRL's engine runs, else why not."""
    from rlnotes.engines.trl import train_with_trl

    try:
        train_with_trl(
            small_config(), policy=tiny_model(kind), task=TASK, progress=False
        )
    except Exception as error:
        said = " ".join(str(error).split())
        for sign, why in (("pads rows", "left padding"), ("by the hidden", "states")):
            if sign in said:
                return f"no: {why}"
        return f"no: {type(error).__name__}"
    return ""


def first_use_times() -> dict[str, float]:
    """Seconds of the comparison for the lab, SmolLM2 and a 0.5B shape; best of 3."""
    from transformers import AutoModelForCausalLM

    from rlnotes.policies.shapes import qwen_config

    lab, real = load_policy("search-base"), load_policy("smollm2-135m")
    half = AutoModelForCausalLM.from_config(qwen_config("0.5B")).eval()
    policies = {
        "search-base (0.3 M weights)": lab,
        "SmolLM2-135M": real,
        "Qwen2.5-0.5B's shape, random": Policy(half, real.tokenizer, "0.5B"),
    }
    return {name: min(timed(p) for _ in range(3)) for name, p in policies.items()}


def timed(policy: Policy) -> float:
    """Seconds of one comparison."""
    first_use._SEEN.clear()
    policy.paths, start = None, time.perf_counter()
    first_use.paths_of(policy)
    return time.perf_counter() - start


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Rows as Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(rows: list[Row], times: dict[str, float]) -> str:
    """docs/models.md."""
    import transformers

    from rlnotes.machine.provenance import cpu_model

    seconds = [(name, f"{value:.2f}") for name, value in times.items()]
    return f"""# Which models can be trained

Whatever transformers can sample from left to right, the loop can train. When a model
is first used, a few completions of that very model are sampled and scored by the lean
paths and by its plain forward, a row alone
([`first_use.py`](../rlnotes/rollouts/first_use.py)). Where the numbers differ, or the
config names a window that a few tokens cannot show, the plain path is taken. The run
says so in one line, and meta.json in `plain_paths`.

Tiny random models of {len(rows)} architectures (windows of 6 tokens, transformers
{transformers.__version__}). *sampling*: with a cache, or every row read again for each
token, which is slow. *packed*: a prompt and its completions in one row; else rows side
by side. *head*: fused, or the model's own logits, which take memory. *TRL*: whether
`--engine trl` runs a step; it is refused where left padding gives other numbers.
*log-probs*: the largest difference from every row alone, in nats. *gradient*: of one
update, relative to the plain loss's. Made by `python scripts/models.py`;
`tests/rollouts/test_models.py` holds it.

{table(HEADER, [row.cells() for row in rows])}

Seconds that the comparison takes, once for a model, on one thread of {cpu_model()}:

{table(("model", "seconds"), seconds)}
"""


@contextlib.contextmanager
def quiet() -> Any:
    """Without the remarks of transformers and TRL."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Write the page, or print the rows that are asked for."""
    torch.set_num_threads(1)
    rows = []
    with quiet():
        for kind in sys.argv[1:] or SHAPES:
            rows.append(inspect(kind))
            rows[-1].trl = try_trl(kind)
        times = {} if sys.argv[1:] else first_use_times()
    if sys.argv[1:]:
        print(table(HEADER, [row.cells() for row in rows]))
    else:
        PAGE.write_text(page(rows, times), encoding="utf-8")


if __name__ == "__main__":
    main()
