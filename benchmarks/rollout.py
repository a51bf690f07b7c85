"""Sampling completions: `generate_rollouts` against transformers' `model.generate`.

    python benchmarks/rollout.py            # about 5 minutes on an idle machine
    python benchmarks/rollout.py --quick    # one round, writes nothing

SmolLM2-135M in bfloat16 (8 prompts × 8 completions, at most 24 tokens, and the same
with all 24 sampled) and the search policy in float32 (32 × 8, at most 128 tokens).
Temperature 1, no truncated sampling. One thread by default.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from common import (
    OFFLINE,
    Row,
    Task,
    argument_parser,
    compare,
    interleave,
    print_table,
    write_results,
)
from torch import Tensor, nn

from rlnotes.masking import completion_mask_from_ids
from rlnotes.policies import Policy, load_policy
from rlnotes.rollouts import encode_prompts, generate_rollouts
from rlnotes.tasks import load_task

PEER = "transformers model.generate"
METHOD = (
    "Ours and the peer take turns in one process on one model object, the same prompts "
    "in a round, every other round in the other order, one whole batch of each first "
    "as a warm-up; each number is the median over rounds. The peer is timed without "
    "tokenizing the prompts, decoding the text and log-probs; ours includes them and "
    "the entropies. Tokens are those up to and with the first eos; the samplers draw "
    "different completions, so tokens/s is the fair row; 'no eos' ends neither side "
    "before the last token. Limit: 2 FLOPs a weight of the linear layers and position "
    "that must be computed (a prompt once for its group, a completion less its final "
    "token, the head only where a token is drawn; no attention) at the best rate at "
    "which these layers alone run here."
)


@dataclass(frozen=True)
class Case:
    """A policy, a task and a batch that both samplers share."""

    policy: str
    task: str
    bf16: bool
    num_prompts: int
    max_completion_length: int
    num_generations: int = 8
    endless: bool = False

    def label(self) -> str:
        """How the results call it."""
        precision = "bfloat16" if self.bf16 else "float32"
        batch = f"{self.num_prompts} × {self.num_generations}"
        length = f"{self.max_completion_length} tokens"
        length += ", no eos" if self.endless else " at most"
        return f"{self.policy.rsplit('/', 1)[-1]}, {precision}, {batch}, {length}"


@dataclass
class EndlessPolicy(Policy):
    """A policy whose eos is an id beyond the vocabulary: no sampler draws it."""

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The first id that does not exist."""
        return (self.model.config.vocab_size,)


@cache
def prepared_policy(case: Case) -> Policy:
    """The policy of a case in its precision."""
    policy = load_policy(case.policy).clone(
        dtype=torch.bfloat16 if case.bf16 else torch.float32
    )
    made = EndlessPolicy if case.endless else Policy
    return made(policy.model, policy.tokenizer, policy.name)


def forward_flops(
    model: Any, prompt_lengths: Sequence[int], lengths: Sequence[int]
) -> int:
    """FLOPs of the linear layers for completions of `lengths` (N,) after prompts (P,).

    2·W·(Σ prompt + Σ (length − 1)), with the head's W over P + Σ (length − 1) only.
    """
    head = model.get_output_embeddings().weight.numel()
    body = sum(weight.numel() for weight in linear_weights(model)) - head
    fed = sum(lengths) - len(lengths)
    return 2 * (body * (sum(prompt_lengths) + fed) + head * (len(prompt_lengths) + fed))


def linear_weights(model: nn.Module) -> list[Tensor]:
    """Weights of all linear layers, the head included."""
    return [m.weight for m in model.modules() if isinstance(m, nn.Linear)]


def measure_ours(case: Case, seed: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds, tokens and FLOPs of one batch of ours, texts and log-probs included."""
    policy = prepared_policy(case)
    tasks = load_task(case.task).sample(case.num_prompts, seed=0, step=seed)
    start = clock()
    rollouts = generate_rollouts(
        policy,
        tasks,
        num_generations=case.num_generations,
        max_completion_length=case.max_completion_length,
        generator=torch.Generator().manual_seed(seed),
    )
    seconds = clock() - start
    return numbers(case, seconds, rollouts.prompt_mask.sum(1), rollouts.lengths)


@torch.no_grad()
def measure_peer(case: Case, seed: int, clock: Callable[[], float]) -> dict[str, float]:
    """The same of `generate`, with the settings that TRL gives it."""
    policy = prepared_policy(case)
    tasks = load_task(case.task).sample(case.num_prompts, seed=0, step=seed)
    ids, mask = encode_prompts(policy, [task.prompt for task in tasks])
    torch.manual_seed(seed)
    start = clock()
    sequences = policy.model.generate(
        input_ids=ids,
        attention_mask=mask,
        num_return_sequences=case.num_generations,
        max_new_tokens=case.max_completion_length,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=list(policy.eos_token_ids),
        pad_token_id=policy.tokenizer.pad_token_id,
        disable_compile=True,
    )
    seconds = clock() - start
    completions = completion_mask_from_ids(
        sequences[:, ids.shape[1] :], policy.eos_token_ids
    )
    return numbers(case, seconds, mask.sum(1), completions.sum(1))


def numbers(
    case: Case, seconds: float, prompt_lengths: Tensor, lengths: Tensor
) -> dict[str, float]:
    """What is compared, from the time and the lengths of one batch."""
    tokens = int(lengths.sum())
    flops = forward_flops(
        prepared_policy(case).model, prompt_lengths.tolist(), lengths.tolist()
    )
    return {
        "seconds": seconds,
        "rate": tokens / seconds,
        "length": tokens / len(lengths),
        "flops": flops,
        "flops_per_token": flops / tokens,
    }


@torch.no_grad()
def measure_products(
    case: Case, seed: int, clock: Callable[[], float]
) -> dict[str, float]:
    """FLOP/s of the linear layers alone, at the batch's rows or 1,024, the better."""
    weights = linear_weights(prepared_policy(case).model)
    best = 0.0
    for rows in (case.num_prompts * case.num_generations, 1024):
        inputs = {w.shape[1]: torch.randn(rows, w.shape[1]).to(w) for w in weights}
        for _ in range(3):
            start = clock()
            for weight in weights:
                nn.functional.linear(inputs[weight.shape[1]], weight)
            flops = 2 * rows * sum(weight.numel() for weight in weights)
            best = max(best, flops / (clock() - start))
    return {"flops_per_second": best}


MEASURES = {"ours": measure_ours, "peer": measure_peer, "products": measure_products}


def measure_all(
    cases: list[Case], rounds: int, clock: Callable[[], float]
) -> dict[Task, dict[str, float]]:
    """Medians over rounds; both samplers see the same prompts in a round."""
    done: Counter[Task] = Counter()

    def measure(task: Task) -> dict[str, Any]:
        name, case = task
        if name != "products" and not done[task]:
            MEASURES[name](case, 0, clock)  # warm-up
        done[task] += 1
        return MEASURES[name](case, done[task], clock)

    tasks = [(name, case) for case in cases for name in MEASURES]
    return interleave(tasks, rounds, measure)


def make_rows(medians: dict[Task, dict[str, float]], case: Case) -> list[Row]:
    """Tokens a second, seconds a batch and mean length: against peer and limit."""
    ours, peer = medians["ours", case], medians["peer", case]
    speed = medians["products", case]["flops_per_second"]
    limits = {
        "rate": {"limit": speed / ours["flops_per_token"]},
        "seconds": {"limit": ours["flops"] / speed},
        "length": {},
    }
    rows: list[Row] = []
    for key, label, unit in (
        ("rate", "sampling", "tokens/s"),
        ("seconds", "one batch", "s"),
        ("length", "mean length", "tokens"),
    ):
        peers = {PEER: peer[key]} | limits[key]
        rows += compare(f"{label}, {case.label()}", unit, ours[key], peers)
    return rows


def main() -> None:
    """Measure everything, print the table, write the results."""
    parser = argument_parser(__doc__, rounds=5)
    parser.add_argument("--search-policy", default="search-base")
    arguments = parser.parse_args()
    os.environ.update(OFFLINE)
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    sampled = Case("smollm2-135m", "multiplication", True, 8, 24)
    cases = [
        sampled,
        replace(sampled, endless=True),
        Case(arguments.search_policy, "search", False, 32, 128),
    ]
    medians = measure_all(cases, 1 if arguments.quick else arguments.rounds, clock)
    rows = [row for case in cases for row in make_rows(medians, case)]
    print_table(rows)
    if not arguments.quick:
        method = METHOD + f" {arguments.threads} thread(s), {arguments.clock} clock."
        path = write_results("rollout", rows, method=method)
        print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
