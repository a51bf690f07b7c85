"""Deterministic algorithms as a switch, what is said when memory runs out, the GPU."""

import os
import subprocess
import sys

import pytest
import torch

from rlnotes.machine.devices import (
    best_device,
    deterministic_algorithms,
    is_out_of_memory,
    naming_what_to_lower,
)
from rlnotes.machine.provenance import describe_run, gpu_driver, same_bits
from rlnotes.rollouts.sampling import draw_tokens
from rlnotes.training.config import make_config

# ------------------------------------------------------------------- determinism


def deterministic_state():
    cudnn = torch.backends.cudnn
    return (
        torch.get_deterministic_debug_mode(),
        cudnn.deterministic,
        cudnn.benchmark,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


def test_the_switch_holds_within_and_leaves_no_trace():
    before = deterministic_state()
    with pytest.raises(ZeroDivisionError), deterministic_algorithms(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        1 / 0  # noqa: B018
    assert deterministic_state() == before
    with deterministic_algorithms(False):
        assert deterministic_state() == before


@pytest.mark.parametrize(
    "engine", ["rlnotes", pytest.param("trl", marks=[pytest.mark.trl])]
)
def test_a_run_trains_under_the_switch_that_its_config_asks_for(policy, task, engine):
    from rlnotes import engines

    seen = []
    config = make_config(
        task="scratch-addition", bf16=False, max_steps=1, full_determinism=True
    )
    engines.train(
        config,
        engine=engine,
        policy=policy,
        task=task,
        progress=False,
        evaluations=False,
        on_step=lambda _: seen.append(torch.are_deterministic_algorithms_enabled()),
    )
    assert seen == [True] and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("vocabulary", [64, 128, 1280])
def test_integer_sums_draw_what_float_sums_draw(vocabulary):
    torch.manual_seed(0)
    logits, uniforms = 3 * torch.randn(4000, vocabulary), torch.rand(4000)
    floats = draw_tokens(logits.clone(), 1.0, uniforms)
    with deterministic_algorithms(True):
        integers = draw_tokens(logits.clone(), 1.0, uniforms)
    same = floats[0] == integers[0]
    assert same.float().mean() > 0.999  # a draw at the border of two tokens may differ
    for mine, theirs in zip(floats, integers, strict=True):
        assert torch.equal(mine[same], theirs[same])


def test_integer_sums_never_draw_what_has_no_weight():
    logits = torch.full((3, 128), -torch.inf)
    logits[:, 5] = 0.0
    with deterministic_algorithms(True):
        ids, logps, _ = draw_tokens(logits, 1.0, torch.tensor([0.0, 0.5, 1 - 2**-24]))
    assert ids.tolist() == [5, 5, 5] and logps.tolist() == [0, 0, 0]


# ------------------------------------------------------------------------- memory


def test_out_of_memory_names_the_numbers_with_their_values():
    config = make_config(algorithm="grpo", per_device_train_batch_size=16)
    with pytest.raises(RuntimeError) as error:
        with naming_what_to_lower(config, "updating", "per_device_train_batch_size"):
            torch.empty(2**55)  # an exbibyte
    message = str(error.value)
    assert (
        "while updating" in message and "per_device_train_batch_size (is 16)" in message
    )
    assert is_out_of_memory(error.value.__cause__)


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="size mismatch|shapes cannot"):
        with naming_what_to_lower(make_config(algorithm="grpo"), "updating", "epsilon"):
            torch.ones(2, 3) @ torch.ones(2, 3)


SCRIPT = """
import resource, sys
import torch
from tests.conftest import random_policy
from rlnotes.training.config import make_config
from rlnotes.tasks.loading import load_task
from rlnotes.training.loop import train
torch.set_num_threads(1)
config = make_config(algorithm="grpo", task="scratch-addition", bf16=False, max_steps=2,
    generation_batch_size=int(sys.argv[1]), num_generations=4, eval_samples=1,
    per_device_train_batch_size=int(sys.argv[1]), max_completion_length=64)
policy, task = random_policy(), load_task("scratch-addition")
def limit(row):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 60 * 2**20, -1))
train(config, policy=policy, task=task, output=sys.argv[2], progress=False,
    on_step=limit)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_run_that_memory_ends_says_so_and_keeps_its_steps(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "4096", str(tmp_path / "run")],
        capture_output=True,
        text=True,
    )
    assert "out of memory while" in done.stderr.splitlines()[-1], done.stderr[-500:]
    assert "generation_batch_size (is 4096)" in done.stderr
    assert not (tmp_path / "run").exists() and (tmp_path / "run.partial").is_dir()


# ---------------------------------------------------------------------------- GPU


def test_the_driver_is_what_the_tool_says_or_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_driver() is None
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 580.65.06\necho 580.65.06\n")
    tool.chmod(0o755)
    assert gpu_driver() == "580.65.06"


def test_a_cpu_run_names_no_gpu():
    assert describe_run()["gpu"] is None


@pytest.mark.skipif(torch.accelerator.is_available(), reason="has an accelerator")
def test_without_an_accelerator_the_cpu_is_best():
    assert best_device() == torch.device("cpu")


@pytest.mark.parametrize(("found", "best"), [("cuda", "cuda"), ("mps", "cpu")])
def test_the_accelerator_is_taken_unless_it_is_apples(monkeypatch, found, best):
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda **_: torch.device(found)
    )
    assert best_device().type == best


def test_a_machine_is_the_same_where_all_that_bits_depend_on_is():
    meta = {
        "cpu": "a",
        "cpu_capability": "AVX2",
        "threads": 1,
        "versions": {"torch": "2.13"},
    }
    assert same_bits(meta, dict(meta))
    for name, other in (
        ("cpu", "b"),
        ("cpu_capability", "AVX512"),
        ("threads", 2),
        ("versions", {"torch": "2.9"}),
        ("gpu", {"name": "c"}),
    ):
        assert not same_bits(meta, meta | {name: other}), name
    older = {k: v for k, v in meta.items() if k != "cpu_capability"}
    assert not same_bits(older, older)
