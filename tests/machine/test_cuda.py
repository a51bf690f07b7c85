"""What only a GPU can show; skipped without one (docs/gpu.md lists the rest)."""

import pytest
import torch

from rlnotes.machine.devices import best_device
from rlnotes.records.reading import load_run
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.rollouts.scoring import packed_logps, per_token_logps
from rlnotes.training.config import make_config
from rlnotes.training.loop import train
from tests.conftest import random_policy

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SMALL = {
    "task": "scratch-addition",
    "bf16": False,
    "max_steps": 3,
    "generation_batch_size": 32,
    "num_generations": 8,
    "eval_samples": 1,
}


def trained(task, **changes):
    policy = random_policy().to("cuda")
    output = changes.pop("output", None)
    config = make_config(**{**SMALL, **changes})
    return train(config, policy=policy, task=task, output=output, progress=False)


def curves(result):
    timed = [name for name in result.metrics if name.startswith("step_time")]
    return result.metrics.drop(columns=timed)


@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "dapo", "gdpo"])
@pytest.mark.parametrize("bf16", [False, True])
def test_with_deterministic_algorithms_a_run_repeats_to_the_bit(task, algorithm, bf16):
    options = {"algorithm": algorithm, "bf16": bf16, "full_determinism": True}
    first, again = (curves(trained(task, **options)) for _ in range(2))
    assert first.equals(again)


def test_without_them_it_repeats_within_a_thousandth(task):
    first, again = (curves(trained(task, algorithm="grpo")) for _ in range(2))
    for name in ("reward", "loss", "grad_norm", "entropy"):
        assert again[name].tolist() == pytest.approx(
            first[name].tolist(), rel=1e-3, abs=1e-3, nan_ok=True
        )


def test_log_probs_are_those_of_the_cpu(task):
    policy = random_policy()
    rollouts = generate_rollouts(
        policy.to("cuda"),
        task.sample(4, seed=0, step=0),
        num_generations=4,
        max_completion_length=12,
        generator=torch.Generator().manual_seed(0),
    )
    for logps in (packed_logps(policy, rollouts), per_token_logps(policy, rollouts)):
        torch.testing.assert_close(
            logps, rollouts.per_token_logps, rtol=1e-4, atol=1e-4
        )


def test_the_record_names_the_gpu(task, tmp_path):
    trained(task, algorithm="grpo", max_steps=1, output=tmp_path / "run")
    meta = load_run(tmp_path / "run").meta
    assert meta["device"] == "cuda" and best_device().type == "cuda"
    assert meta["gpu"]["name"] == torch.cuda.get_device_name()
    assert meta["gpu"]["driver"] and meta["peak_gpu_memory_mb"] > 0
