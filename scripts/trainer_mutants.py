"""Mutants of the TRL engine and of the sampler, by hand: each must turn a test red.

    python scripts/trainer_mutants.py         # a quarter of an hour; prints the table
    python scripts/trainer_mutants.py slot    # those whose text holds a word

mutmut changes equations; here most lines order, count or share, and a test takes
seconds. So the changes are picked, one for each thing that could be wrong in silence.
Works on a copy of the tracked files; exit status 1 if a mutant survives. Left out since
nothing notices it: the id that `_gathered` pads with, which every mask hides, and
buckets taken for rows of one length, which are the same numbers more slowly.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
TRL, TWO = ("tests/engines/test_trl_engine.py",), ("tests/engines/test_distributed.py",)
DRAWS = ("tests/rollouts/test_static_rollouts.py", "tests/machine/test_device_rules.py")
TRAINER, CONFIG = "rlnotes/engines/trl_trainer.py", "rlnotes/engines/trl_config.py"
DATA, LISTS = "rlnotes/engines/trl_data.py", "rlnotes/engines/trl_sampling.py"
PASSES, BATCHES = "rlnotes/engines/trl_passes.py", "rlnotes/training/batches.py"
STATIC, SAMPLING = "rlnotes/rollouts/static.py", "rlnotes/rollouts/sampling.py"
DEVICES, SHARDS = "rlnotes/machine/devices.py", "rlnotes/engines/trl_sharding.py"
HALVES = ("tests/engines/test_sharded.py",)
UPDATES, EVALUATION = "rlnotes/training/updates.py", "rlnotes/training/evaluation.py"
BY_HAND = ("tests/training/test_prepare.py",)
LOOP = ("tests/training/test_prepare.py", "tests/training/test_training.py")
FORWARDS, SCORING = "rlnotes/rollouts/forwards.py", "rlnotes/rollouts/scoring.py"
FIRST_USE = "rlnotes/rollouts/first_use.py"
LEAN = ("tests/rollouts/test_models.py", "tests/rollouts/test_rollouts.py")
MUTANTS = (
    (TRAINER, "updates_per_step + 1\n", "updates_per_step\n", TRL),
    (TRAINER, "(update // updates + 1) / warmup", "(update // updates) / warmup", TRL),
    (
        TRAINER,
        "return [name for name, _ in model.named_parameters()]",
        "return []",
        TRL,
    ),
    (TRAINER, "if position % per_pass == 0:", "if position == 0:", TRL),
    (
        TRAINER,
        "sum(x * n for x, n in pairs if n) / total",
        "sum(x for x, n in pairs) / len(tokens)",
        TRL,
    ),
    (
        TRAINER,
        "group_advantages(paid_rewards(rewards, config), config)",
        "group_advantages(rewards, config)",
        TRL,
    ),
    (
        TRAINER,
        "        if config.mask_truncated_completions:",
        "        if False:",
        TRL,
    ),
    (TRAINER, "config.seed * 1_000_003 + self.step", "config.seed * 1_000_003", TRL),
    (TRAINER, "self.step * 1000 + attempt", "self.step * 1000", TRL),
    (TRAINER, "rows if attempt == 0 else self._further(attempt)", "rows", TRL),
    (
        BATCHES,
        "informative_groups(accuracies, config.num_generations)",
        "torch.ones(config.num_prompts, dtype=torch.bool)",
        TRL,
    ),
    (
        TRAINER,
        "self.num_completions += len(gathered)",
        "self.num_completions += len(rows)",
        TWO,
    ),
    (TRAINER, "        self.state.num_input_tokens_seen = tokens\n", "", TRL),
    (PASSES, "start = accelerator.process_index * share", "start = 0", TWO),
    (TRAINER, 'pad_first=name.startswith("prompt_")', "pad_first=False", TWO),
    (
        PASSES,
        "tokens, advantages = mini.loss_mask.sum()",
        "tokens, advantages = mini.rollouts.completion_mask.sum()",
        TRL,
    ),
    (PASSES, " * config.steps_per_generation\n", "\n", TRL),
    (PASSES, ".amax(1) * tokens", ".amax(1)", TRL),
    (PASSES, "rows = rows - own.start", "rows = rows", TWO),
    (PASSES, "shares.sum((0, 2))", "shares[0].sum(1)", TWO),
    (TRAINER, "end_ids=[*self.eos_token_ids, self._pad_id]", "end_ids=[]", TRL),
    (SHARDS, "            p.grad = None", "            pass", TRL),
    (SHARDS, 'bool(reduce(seen, "sum"))', "found", HALVES),
    (SHARDS, "output_dtype=None", "output_dtype=policy.output_dtype", HALVES),
    (SHARDS, "if moving and not", "if not", HALVES),
    (LISTS, "[-1] not in end_ids", "[-1] in end_ids", TRL),
    (
        LISTS,
        "_padded([one.prompt_ids for one in prompts], left=True)",
        "_padded([one.prompt_ids for one in prompts])",
        TRL,
    ),
    (
        CONFIG,
        '"max_steps": config.max_steps * config.updates_per_step',
        '"max_steps": config.max_steps',
        TRL,
    ),
    (CONFIG, "update // (num_processes * micro)", "update // micro", TRL),
    (CONFIG, '{"bnpo": "dapo", "dapo_prompt": "dapo"}', '{"dapo_prompt": "dapo"}', TRL),
    (CONFIG, 'config.kl_gradient == "importance"', "False", TRL),
    (DATA, "step=step * 1000", "step=step", TRL),
    (STATIC, "        self.slot += 1\n", "", DRAWS),
    (STATIC, "        self.positions += 1\n", "", DRAWS),
    (STATIC, "self.attention.index_fill_(3, self.slot, True)", "pass", DRAWS),
    (STATIC, "torch.where(going, logps, 0.0)", "logps", DRAWS),
    (STATIC, "columns[: int(torch.stack(needed).sum())]", "columns", DRAWS),
    (SAMPLING, "2.0**40", "2.0**8", DRAWS),
    (
        SAMPLING,
        "torch.are_deterministic_algorithms_enabled()",
        "False",
        DRAWS + ("tests/machine/test_devices.py",),
    ),
    (DEVICES, "        torch.set_deterministic_debug_mode(before[0])\n", "", DRAWS),
    (
        DEVICES,
        "        if not is_out_of_memory(error):\n            raise\n",
        "",
        DRAWS,
    ),
    (
        BATCHES,
        "advantages = whiten(advantages, mask)\n",
        "advantages = whiten(advantages, mask)\n"
        "        returns = advantages + batch.old_values\n",
        BY_HAND,
    ),
    (
        BATCHES,
        "    return packed_logps(\n"
        "        learner.policy, rollouts, temperature=learner.config.temperature\n",
        "    return packed_logps(\n        learner.policy, rollouts\n",
        BY_HAND,
    ),
    (
        BATCHES,
        "learner.reference, rollouts, temperature=config.temperature",
        "learner.reference, rollouts",
        BY_HAND,
    ),
    (EVALUATION, "(right.amax(1) > 0).float().mean()", "right.mean()", BY_HAND),
    (
        EVALUATION,
        "(right.amax(1) > 0).float().mean()",
        "(1 - (1 - right.mean(1)) ** 4).mean()",
        BY_HAND,
    ),
    (UPDATES, "    if not batch.loss_mask.any():", "    if False:", BY_HAND),
    (
        UPDATES,
        "hidden, head, ids, objective, temperature=config.temperature, skip=skip",
        "hidden, head, ids, objective, skip=skip",
        BY_HAND,
    ),
    (
        UPDATES,
        "hidden, head, ids, objective.whole, temperature=config.temperature",
        "hidden, head, ids, objective.whole",
        BY_HAND,
    ),
    (UPDATES, "float(masked_mean(kl_k1(old, ref), mask))", "0.0", BY_HAND),
    (FORWARDS, "if not paths.packed and packing", "if packing", LEAN),
    (FORWARDS, "[*range(len(prompt))], [0]", "[0] * len(prompt), [0]", LEAN),
    (FORWARDS, "causal & ((key == query) | (key == 0))", "causal", LEAN),
    (SCORING, "        if paths.fused:", "        if False:", LEAN),
    (FIRST_USE, "packed=window or _diff", "packed=_diff", LEAN),
    (
        FIRST_USE,
        "width = float(states.std())",
        "width = 1e9 * float(states.std())",
        LEAN,
    ),
    (FIRST_USE, "model.train(was_training)", "pass", LEAN),
    (FIRST_USE, "        if not off:\n", "        if True:\n", LEAN),
)
"""File, text that stands there once, what it becomes, tests that must notice."""


def survives(copy: Path, path: str, old: str, new: str, tests: tuple[str, ...]) -> bool:
    """Whether all tests stay green with the change; the copy is put back."""
    source = (ROOT / path).read_text(encoding="utf-8")
    (copy / path).write_text(source.replace(old, new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-qx", "-m", "not slow", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True)
    (copy / path).write_text(source, encoding="utf-8")
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{path}: {new!r}: pytest ended with {done.returncode}")
    return done.returncode == 0


def main() -> int:
    """Try the mutants, print those that survive."""
    words = sys.argv[1:]
    chosen = [m for m in MUTANTS if all(w in " ".join(m[:3]) for w in words)]
    for path, old, *_ in chosen:
        found = (ROOT / path).read_text(encoding="utf-8").count(old)
        if found != 1:
            raise ValueError(f"{path}: expected {old!r} once, found {found} times")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    )
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in listed.stdout.splitlines():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        for path, old, new, tests in tqdm(chosen, unit="mutant"):
            if survives(copy, path, old, new, tests):
                survivors.append(f"{path}: {old.strip()!r} → {new.strip()!r}")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants are killed")
    print("\n".join(survivors))
    return int(bool(survivors))


if __name__ == "__main__":
    raise SystemExit(main())
