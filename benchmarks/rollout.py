"""Sampling completions: `generate_rollouts` against transformers' `model.generate`.

    python benchmarks/rollout.py            # some minutes on an idle machine
    python benchmarks/rollout.py --quick    # the search policy once, writes nothing

SmolLM2-135M in bfloat16 (8 prompts × 8 completions, at most 24 tokens, and the same
with all 24 sampled) and the search policy in float32 (32 × 8, at most 128 tokens).
Temperature 1, no truncated sampling. One thread by default. On a GPU by default where
there is one (`--device cpu`: not), into rollout_cuda.json; there `generate` also has a
turn with a static cache.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from common import (
    OFFLINE,
    Clock,
    Row,
    Task,
    argument_parser,
    compare,
    interleave,
    make_clock,
    memory_bandwidth,
    parse_with_device,
    print_table,
    write_results,
)
from torch import Tensor, nn

from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.policies.policy import Policy, load_policy
from rlnotes.rollouts.rollouts import encode_prompts, generate_rollouts
from rlnotes.tasks.loading import load_task

NAMES = {
    "ours": "rlnotes",
    "static": "rlnotes, static shapes",
    "peer": "transformers model.generate",
    "peer_static": "transformers model.generate, static cache",
}
PRODUCT_ROWS = {"cpu": (1024,), "cuda": (1024, 16384)}  # beside the batch's own
METHOD = (
    "All take turns in one process on one model object, the same prompts in a round, "
    "every other round in the other order, one whole batch of each first as a warm-up; "
    "each number is the median over rounds. Before the clock is read, a GPU has "
    "finished. Static shapes: `cache_implementation='static'`; on a GPU ours replays a "
    "CUDA graph then, the peer compiles nothing. The peer is timed without tokenizing "
    "the prompts, decoding the text and log-probs; ours includes them and the "
    "entropies. Tokens are those up to and with the first eos; the samplers draw "
    "different completions, so tokens/s is the fair row; 'no eos' ends neither side "
    "before the last token. Limit: 2 FLOPs a weight of the linear layers and position "
    "that must be computed (a prompt once for its group, a completion less its final "
    "token, the head only where a token is drawn; no attention) at the best rate at "
    "which these layers alone run here, with as many rows as the batch or more: the "
    "matrix rate. Its share is those FLOPs / seconds of ours, against that rate. Share "
    "of the memory bandwidth: bytes that must be read / seconds of ours, against the "
    "bytes read and written a second by the best copy of 128, 192 or 256 MiB (what "
    "fits into a cache, like the search policy, can be read faster). Bytes = W·T + "
    "c·Σ_i (n_i − 1)·(q_i + (n_i − 2)/2): for each of the T = max n_i positions that "
    "are decoded for the batch all weights once (W bytes, without an embedding that is "
    "not the head too); to feed token t = 1 … n_i − 1 of a completion of n_i tokens "
    "its own cache of q_i + t − 1 tokens (prompt included) of c = 2·layers·key-value "
    "heads·d·bytes a number."
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
    device: str = "cpu"

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
    return made(policy.model, policy.tokenizer, policy.name).to(case.device)


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


def weight_bytes(model: Any) -> int:
    """Bytes of the weights that one more token reads: an untied embedding is not."""
    tensors = list(model.parameters())  # tied ones once
    embedding = model.get_input_embeddings().weight
    if embedding is not model.get_output_embeddings().weight:
        tensors = [tensor for tensor in tensors if tensor is not embedding]
    return sum(tensor.nbytes for tensor in tensors)


def cache_bytes(model: Any) -> int:
    """Bytes of the keys and values of one token: 2·layers·heads·d·bytes a number."""
    config = model.config
    width = config.num_key_value_heads * config.head_dim
    return 2 * config.num_hidden_layers * width * model.dtype.itemsize


def decode_bytes(
    weights: int, cached: int, prompt_lengths: Sequence[int], lengths: Sequence[int]
) -> int:
    """Bytes that decoding must read for completions (N,) after prompts (P,).

    weights·max n + cached·Σ_i Σ_{t=1}^{n_i − 1} (q_i + t − 1), a cache for each row.
    """
    group = len(lengths) // len(prompt_lengths)
    tokens = sum(
        (n - 1) * prompt_lengths[i // group] + (n - 1) * (n - 2) // 2
        for i, n in enumerate(lengths)
    )
    return weights * max(lengths) + cached * tokens


def measure_ours(
    case: Case, seed: int, clock: Clock, *, cache_implementation: str | None = None
) -> dict[str, float]:
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
        cache_implementation=cache_implementation,
    )
    seconds = clock() - start
    return numbers(case, seconds, rollouts.prompt_mask.sum(1), rollouts.lengths)


@torch.no_grad()
def measure_peer(
    case: Case, seed: int, clock: Clock, *, cache_implementation: str | None = None
) -> dict[str, float]:
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
        cache_implementation=cache_implementation,
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
    tokens, model = int(lengths.sum()), prepared_policy(case).model
    of_batch = prompt_lengths.tolist(), lengths.tolist()
    flops = forward_flops(model, *of_batch)
    read = decode_bytes(weight_bytes(model), cache_bytes(model), *of_batch)
    return {
        "seconds": seconds,
        "rate": tokens / seconds,
        "length": tokens / len(lengths),
        "flops": flops,
        "flops_per_token": flops / tokens,
        "flops_per_second": flops / seconds,
        "bytes_per_second": read / seconds,
    }


@torch.no_grad()
def measure_products(case: Case, seed: int, clock: Clock) -> dict[str, float]:
    """FLOP/s of the linear layers alone, at the batch's or more rows, the best."""
    weights = linear_weights(prepared_policy(case).model)
    best = 0.0
    batch = case.num_prompts * case.num_generations
    for rows in (batch, *PRODUCT_ROWS[case.device]):
        inputs = {w.shape[1]: w.new_empty(rows, w.shape[1]) for w in weights}
        for one in inputs.values():
            one.normal_()
        for _ in range(3):
            start = clock()
            for weight in weights:
                nn.functional.linear(inputs[weight.shape[1]], weight)
            flops = 2 * rows * sum(weight.numel() for weight in weights)
            best = max(best, flops / (clock() - start))
    return {"flops_per_second": best}


MEASURES = {
    "ours": measure_ours,
    "static": partial(measure_ours, cache_implementation="static"),
    "peer": measure_peer,
    "peer_static": partial(measure_peer, cache_implementation="static"),
    "products": measure_products,
}


def measured(device: str) -> list[str]:
    """What is measured of a case; `generate`'s static cache on a GPU alone."""
    return [name for name in MEASURES if name != "peer_static" or device != "cpu"]


def measure_all(
    cases: list[Case], rounds: int, clock: Clock, device: str
) -> dict[Task, dict[str, float]]:
    """Medians over rounds; all samplers see the same prompts in a round."""
    done: Counter[Task] = Counter()

    def measure(task: Task) -> dict[str, Any]:
        name, case = task
        if name == "bandwidth":
            return {"bytes_per_second": memory_bandwidth(device, clock)}
        if name != "products" and not done[task]:
            MEASURES[name](case, 0, clock)  # warm-up
        done[task] += 1
        return MEASURES[name](case, done[task], clock)

    tasks: list[Task] = [(name, case) for case in cases for name in measured(device)]
    return interleave([*tasks, ("bandwidth", device)], rounds, measure)


def make_rows(medians: dict[Task, dict[str, float]], case: Case) -> list[Row]:
    """Tokens a second, seconds a batch, mean length, shares: against peer and limit."""
    ours = medians["ours", case]
    others = [name for name in NAMES if (name, case) in medians and name != "ours"]
    speed = medians["products", case]["flops_per_second"]
    bandwidth = medians["bandwidth", case.device]["bytes_per_second"]
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
        peers = {NAMES[name]: medians[name, case][key] for name in others}
        rows += compare(
            f"{label}, {case.label()}", unit, ours[key], peers | limits[key]
        )
    for key, label, unit, limit in (
        ("flops_per_second", "matrix rate", "GFLOP/s", speed),
        ("bytes_per_second", "memory bandwidth", "GB/s", bandwidth),
    ):
        peers = {"limit": limit / 1e9}
        rows += compare(f"{label}, {case.label()}", unit, ours[key] / 1e9, peers)
    return rows


def make_cases(search_policy: str, device: str, *, quick: bool) -> list[Case]:
    """SmolLM2 twice and the search policy; quick: the search policy alone, small."""
    if quick:
        small = Case(search_policy, "search", False, 4, 24, device=device)
        return [replace(small, bf16=True, endless=True), small]
    sampled = Case("smollm2-135m", "multiplication", True, 8, 24, device=device)
    search = Case(search_policy, "search", False, 32, 128, device=device)
    return [sampled, replace(sampled, endless=True), search]


def main() -> None:
    """Measure everything, print the table, write the results."""
    parser = argument_parser(__doc__, rounds=5)
    parser.add_argument("--search-policy", default="search-base")
    arguments = parse_with_device(parser)
    os.environ.update(OFFLINE)
    torch.set_num_threads(arguments.threads)
    device, quick = arguments.device, arguments.quick
    clock = make_clock(arguments.clock, device)
    cases = make_cases(arguments.search_policy, device, quick=quick)
    medians = measure_all(cases, 1 if quick else arguments.rounds, clock, device)
    rows = [row for case in cases for row in make_rows(medians, case)]
    print_table(rows)
    if not quick:
        method = METHOD + f" {arguments.threads} thread(s), {arguments.clock} clock."
        path = write_results("rollout", rows, method=method, device=device)
        print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
