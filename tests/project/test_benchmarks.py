"""What the benchmarks compute instead of measuring, and how they treat a device."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from rlnotes.rollouts.growing import make_growing
from rlnotes.supervised.search_pretraining import (
    Pretraining,
    search_tokenizer,
    untrained,
)
from rlnotes.training.config import make_config

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = ("common", "objective", "rollout", "train_step", "trl_engine")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def common():
    import common

    return common


@pytest.fixture
def rollout():
    import rollout

    return rollout


@pytest.fixture
def objective():
    import objective

    return objective


@pytest.fixture
def model():
    settings = Pretraining(hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    return untrained(settings, search_tokenizer()).eval()


def counted_flops(model, prompt_length, size, length):
    """Products that torch itself counts while `size` completions are decoded."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        prompt = torch.ones(1, prompt_length, dtype=torch.long)
        out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        cache.batch_repeat_interleave(size)
        make_growing(cache)
        for _ in range(length - 1):
            ids = torch.ones(size, 1, dtype=torch.long)
            model(input_ids=ids, past_key_values=cache, use_cache=True)
    return counter.get_flop_counts()["Global"][torch.ops.aten.mm]


@pytest.mark.parametrize(
    ("prompt_length", "size", "length"), [(7, 3, 5), (1, 1, 1), (4, 2, 1), (2, 1, 9)]
)
def test_forward_flops_are_what_torch_counts(
    rollout, model, prompt_length, size, length
):
    expected = counted_flops(model, prompt_length, size, length)
    found = rollout.forward_flops(model, [prompt_length], [length] * size)
    assert found == expected


def test_forward_flops_add_up_over_groups_of_any_lengths(rollout, model):
    whole = rollout.forward_flops(model, [7, 4], [5, 2, 1, 9])
    parts = [([7], [5, 2]), ([4], [1, 9])]
    assert whole == sum(rollout.forward_flops(model, *part) for part in parts)


# ------------------------------------------------------- bytes that decoding must read


def test_decode_bytes_by_hand(rollout):
    # one prompt of 3 tokens, completions of 1 and 3: three positions for the batch; the
    # second row feeds its first token over a cache of 3 and its second over one of 4
    assert rollout.decode_bytes(1000, 10, [3], [1, 3]) == 3 * 1000 + (3 + 4) * 10
    # two prompts: rows 0 and 1 belong to the first, rows 2 and 3 to the second
    caches = (3) + (3 + 4) + (0) + (5 + 6 + 7)
    found = rollout.decode_bytes(1000, 10, [3, 5], [2, 3, 1, 4])
    assert found == 4 * 1000 + caches * 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decode_bytes_are_what_a_decoding_model_holds(rollout, model, dtype):
    model, prompt_length, size, length = model.to(dtype), 5, 3, 4
    prompt = torch.ones(1, prompt_length, dtype=torch.long)
    read = 0
    with torch.no_grad():
        out = model(input_ids=prompt, use_cache=True)
        cache = out.past_key_values
        cache.batch_repeat_interleave(size)
        make_growing(cache)
        for _ in range(length - 1):
            for layer in cache.layers:
                read += layer.keys.nbytes + layer.values.nbytes
            ids = torch.ones(size, 1, dtype=torch.long)
            model(input_ids=ids, past_key_values=cache, use_cache=True)
    found = rollout.decode_bytes(
        0, rollout.cache_bytes(model), [prompt_length], [length] * size
    )
    assert found == read


@pytest.mark.parametrize("tied", [False, True])
def test_weights_are_read_once_without_an_embedding_of_its_own(rollout, tied):
    from tests.conftest import random_policy

    model = random_policy(tied=tied).model
    vocabulary, hidden, inner, layers = model.config.vocab_size, 32, 48, 2
    attention = 2 * hidden * hidden + 2 * hidden * 16  # q, o; k, v of half the heads
    layer = attention + 3 * hidden * inner + 2 * hidden  # two norms
    numbers = layers * layer + hidden + vocabulary * hidden  # last norm, head
    assert rollout.weight_bytes(model) == 4 * numbers
    assert rollout.weight_bytes(model.to(torch.bfloat16)) == 2 * numbers


def test_shares_of_the_limits_are_ordinary_rows(rollout):
    case = rollout.Case("search-base", "search", False, 2, 8)
    sampled = {"rate": 10.0, "seconds": 2.0, "length": 4.0, "flops": 6e9}
    sampled |= {"flops_per_token": 1e9, "flops_per_second": 3e9}
    sampled |= {"bytes_per_second": 5e9}
    medians = {(name, case): sampled for name in ("ours", "static", "peer")}
    medians["products", case] = {"flops_per_second": 12e9}
    medians["bandwidth", "cpu"] = {"bytes_per_second": 20e9}
    rows = rollout.make_rows(medians, case)
    by_label = {row["case"].split(",")[0]: row for row in rows[-2:]}
    rate, bandwidth = by_label["matrix rate"], by_label["memory bandwidth"]
    assert (rate["ours"], rate["peer"], rate["ratio"]) == (3, 12, 0.25)
    assert (bandwidth["ours"], bandwidth["peer"], bandwidth["ratio"]) == (5, 20, 0.25)
    assert {row["peer_name"] for row in rows[-2:]} == {"limit"}
    peers = [row["peer_name"] for row in rows if row["case"].startswith("sampling")]
    assert peers == [rollout.NAMES["static"], rollout.NAMES["peer"], "limit"]


# --------------------------------------------------------------------------- devices


def ticks(*durations):
    """A clock whose every second look comes that much later."""
    looks = itertools.chain.from_iterable((0.0, duration) for duration in durations)
    return lambda: next(looks)


def test_bandwidth_is_the_best_copy_read_and_written(common, monkeypatch):
    monkeypatch.setattr(common, "COPY_SIZES", (1000, 3000))
    monkeypatch.setattr(common, "COPIES", 5)
    # 5 copies of 3,000 bytes, read and written, in 2 seconds are the fastest
    clock = ticks(1.0, 4.0, 1.0, 3.0, 2.0, 9.0)
    assert common.memory_bandwidth("cpu", clock) == 5 * 2 * 3000 / 2


def test_a_gpu_is_waited_for_before_the_clock_is_read(common, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: seen.append("waited"))
    fake_time = SimpleNamespace(perf_counter=lambda: seen.append("read") or 7.0)
    monkeypatch.setattr(common, "time", fake_time)
    assert common.make_clock("wall", "cuda")() == 7.0
    assert seen == ["waited", "read"]


def test_processor_seconds_are_for_a_cpu_alone(common):
    import time

    assert common.make_clock("cpu", "cpu") is time.process_time
    assert common.make_clock("wall", "cpu") is time.perf_counter
    with pytest.raises(ValueError, match="--clock cpu.*--device cuda"):
        common.make_clock("cpu", "cuda")


def parse(common, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["rollout.py", *options])
    parser = common.argument_parser("A benchmark.", rounds=1)
    return common.parse_with_device(parser)


@pytest.mark.parametrize("found", ["cpu", "cuda"])
def test_the_accelerator_is_the_device_where_there_is_one(common, monkeypatch, found):
    monkeypatch.setattr(
        "rlnotes.machine.devices.best_device", lambda: torch.device(found)
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found == "cuda")
    assert parse(common, monkeypatch).device == found
    assert parse(common, monkeypatch, "--device", "cpu").device == "cpu"


def test_processor_seconds_of_a_gpu_are_refused_by_name(common, monkeypatch, capsys):
    monkeypatch.setattr(
        "rlnotes.machine.devices.best_device", lambda: torch.device("cuda")
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SystemExit):
        parse(common, monkeypatch, "--clock", "cpu")
    assert "error: --clock cpu" in capsys.readouterr().err
    assert parse(common, monkeypatch, "--clock", "cpu", "--device", "cpu")


def test_a_gpu_that_is_not_there_is_refused_by_name(common, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        parse(common, monkeypatch, "--device", "cuda")
    assert "error: --device cuda: torch finds no GPU" in capsys.readouterr().err


def test_memory_of_a_gpu_is_what_torch_allocates_above_the_start(common, monkeypatch):
    state = {"now": 40, "peak": 1000}
    fake = {
        "reset_peak_memory_stats": lambda: state.update(peak=state["now"]),
        "memory_allocated": lambda: state["now"],
        "max_memory_allocated": lambda: state["peak"],
    }
    for name, function in fake.items():
        monkeypatch.setattr(torch.cuda, name, function)
    with common.PeakMemory("cuda") as memory:
        state.update(now=50, peak=max(75, state["peak"]))
    assert memory.peak == 35


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux resets the peak"
)
def test_memory_of_a_cpu_is_resident(common):
    with common.PeakMemory("cpu") as memory:
        bytearray(b"1" * 50_000_000)
    assert memory.peak >= 50_000_000


@pytest.mark.parametrize(
    ("device", "file"), [("cpu", "rollout.json"), ("cuda", "rollout_cuda.json")]
)
def test_results_of_each_device_have_a_file_of_their_own(
    common, monkeypatch, tmp_path, device, file
):
    gpu = {"name": "a GPU", "memory_gb": 80.0}
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(common.provenance, "describe_gpu", lambda: gpu)
    path = common.write_results("rollout", [], method="", device=device)
    assert [path] == list(tmp_path.iterdir()) and path.name == file
    hardware = json.loads(path.read_text())["hardware"]
    assert hardware.get("gpu") == (gpu if device == "cuda" else None)
    assert hardware["cpu"]


def test_a_child_gets_one_gpu(common, monkeypatch, tmp_path):
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os\n"
        "print(json.dumps({'seen': os.environ.get('CUDA_VISIBLE_DEVICES')}))\n"
    )

    def seen(device):
        return common.run_child(str(script), {"device": device}, threads=1)["seen"]

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert (seen("cuda"), seen("cpu")) == ("0", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert (seen("cuda"), seen("cpu")) == ("3", "3,5")


@pytest.mark.parametrize("name", ["objective", "train_step", "trl_engine"])
def test_children_are_told_their_device(monkeypatch, name):
    import importlib

    tasks = []

    def run_child(script, task, threads):
        tasks.append(task)
        raise InterruptedError

    module = importlib.import_module(name)
    monkeypatch.setattr(module, "run_child", run_child)
    arguments = SimpleNamespace(
        rounds=1, steps=1, threads=1, clock="wall", device="cuda"
    )
    measure = {
        "objective": lambda: module.measure_all(
            [module.Case(256)], [], ["plain"], arguments
        ),
        "train_step": lambda: module.measure_all(
            [module.search_config("search-base")], arguments
        ),
        "trl_engine": lambda: module.measure(arguments),
    }[name]
    if name == "objective":
        monkeypatch.setattr(module, "write_inputs", lambda *_: None)
    with pytest.raises(InterruptedError):
        measure()
    assert [task["device"] for task in tasks] == ["cuda"]


def test_a_policy_is_put_on_the_device_of_its_case(rollout):
    case = rollout.Case("search-base", "search", False, 2, 8, device="meta")
    assert rollout.prepared_policy(case).device.type == "meta"


def test_static_shapes_take_turns_and_those_of_generate_on_a_gpu_alone(rollout):
    on_cpu = ["ours", "static", "peer", "products"]
    assert rollout.measured("cpu") == on_cpu
    assert sorted(rollout.measured("cuda")) == sorted([*on_cpu, "peer_static"])


def test_generate_with_a_static_cache_needs_no_compilation(rollout, monkeypatch):
    from transformers import CompileConfig

    def refuse(*_, **__):
        raise AssertionError("compiled")

    case = rollout.make_cases("search-base", "cpu", quick=True)[1]
    model = rollout.prepared_policy(case).model
    monkeypatch.setattr(type(model), "get_compiled_call", refuse)
    # transformers compiles for a static cache on a GPU: here as if this were one
    config = CompileConfig()
    config._compile_all_devices = True
    monkeypatch.setattr(model.generation_config, "compile_config", config)
    prepare, made = model._prepare_static_cache, []
    monkeypatch.setattr(
        model,
        "_prepare_static_cache",
        lambda *a, **k: made.append(1) or prepare(*a, **k),
    )
    growing = rollout.MEASURES["peer"](case, 1, ticks(1.0))
    assert not made
    static = rollout.MEASURES["peer_static"](case, 1, ticks(1.0))
    assert made and static == growing  # the same draws


class OneDevice(TorchDispatchMode):
    """Refuses a tensor that is not on "meta", the device that every machine has."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, result)):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                raise AssertionError(f"{func} met a tensor on {tensor.device}")
        return result


def test_the_copy_lies_on_the_device(common):
    with OneDevice():
        common.memory_bandwidth("meta", ticks(*[1.0] * 9))


@pytest.fixture
def inputs(objective, monkeypatch, tmp_path):
    """Those of the objective, on a small head."""
    monkeypatch.setattr(objective, "VOCAB", 4096)
    monkeypatch.setattr(objective, "WIDTH", 8)
    objective.write_inputs(tmp_path, [256, 1024])
    return tmp_path


def test_products_of_the_objective_run_on_one_device(objective, monkeypatch, inputs):
    monkeypatch.setitem(objective.PRODUCT_ROWS, "meta", (256, 4096))
    looks = itertools.count(0.0, 1.0)  # a second a product
    with OneDevice():
        rates = objective.measure_products(
            inputs, device="meta", clock=lambda: next(looks)
        )
    # 2·rows·H·V operations, most with most rows
    assert rates == dict.fromkeys(rates, 2 * 4096 * 8 * 4096 / 1e9)


@pytest.mark.parametrize("idle", [False, True])
def test_the_objective_is_measured_on_one_device(objective, monkeypatch, inputs, idle):
    for name in ("reset_peak_memory_stats", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda: 0)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5_000_000)
    seen = []

    def loss(hidden, head, data):
        seen.append(len(hidden))
        return objective.plain_loss(hidden, head, data)

    monkeypatch.setitem(objective.LOSSES, "plain", loss)
    with OneDevice():
        found = objective.measure_loss(
            "plain", inputs, 1024, idle=idle, device="meta", clock=ticks(3.0)
        )
    assert seen == [1024, 1024]  # the warm-up of a GPU is a whole one
    gradients = 4 * 8 * (1024 + 4096)
    assert found == {
        "seconds": 3.0,
        "peak": 5.0,
        "working": (5_000_000 - gradients) / 1e6,
    }


def test_linear_layers_of_the_rollout_run_on_one_device(rollout, monkeypatch):
    monkeypatch.setitem(rollout.PRODUCT_ROWS, "meta", (16384,))
    policy = SimpleNamespace(model=torch.nn.Linear(8, 32, bias=False, device="meta"))
    monkeypatch.setattr(rollout, "prepared_policy", lambda _: policy)
    case = rollout.Case("search-base", "search", False, 2, 8, device="meta")
    looks = itertools.count(0.0, 1.0)
    with OneDevice():
        found = rollout.measure_products(case, 1, lambda: next(looks))
    assert found == {"flops_per_second": 2 * 16384 * 8 * 32}


@pytest.mark.trl
@pytest.mark.parametrize("name", ["train_step", "trl_engine"])
def test_trl_is_kept_on_the_cpu_only_there(name, tmp_path):
    import importlib

    module = importlib.import_module(name)
    config = make_config(
        task="search", bf16=False, max_steps=1, per_device_train_batch_size=16
    )
    for device in ("cpu", "cuda"):
        arguments = module.trl_arguments(config, str(tmp_path), device)
        assert arguments.use_cpu is (device == "cpu")


class Started(Exception):
    """What the stand-in of a trainer raises: the device of the policy it was given."""


def test_our_loop_gets_its_policy_on_the_device(monkeypatch):
    import train_step

    def train(config, *, policy, **_):
        raise Started(policy.device.type)

    monkeypatch.setattr("rlnotes.training.loop.train", train)
    config = train_step.search_config("search-base")
    with pytest.raises(Started, match="^meta$"):
        train_step.our_steps(config, ticks(), "meta")


@pytest.mark.trl
@pytest.mark.parametrize("case", ["train_step", "peer", "ours"])
def test_trl_gets_its_policy_on_the_device(monkeypatch, case):
    import train_step
    import trl_engine

    # first: it would be made of the stand-in, and stay so for all other tests
    import rlnotes.engines.trl_trainer  # noqa: F401

    class Trainer:
        def __init__(self, *arguments, model=None, args=None, **_):
            assert not args.use_cpu
            model = model or arguments[2].model
            raise Started(model.device.type)

    monkeypatch.setattr("trl.GRPOTrainer", Trainer)
    monkeypatch.setattr("rlnotes.engines.trl_trainer.NotesTrainer", Trainer)
    with pytest.raises(Started, match="^meta$"):
        if case == "train_step":
            config = train_step.search_config("search-base")
            train_step.trl_steps(config, ticks(), "meta")
        else:
            turns = trl_engine.Turns(case)
            config = trl_engine.make(2)
            trl_engine.make_trainer(case, config, ticks(), "meta", turns, "x")


@pytest.mark.parametrize(("device", "memory"), [("cpu", 300.0), ("cuda", 7.5)])
def test_a_step_reports_the_memory_of_its_device(monkeypatch, capsys, device, memory):
    import train_step

    monkeypatch.setattr(train_step, "peak_memory_mb", lambda: 300.0)
    monkeypatch.setattr(train_step, "peak_gpu_memory_mb", lambda: 7.5)
    monkeypatch.setitem(train_step.STEPS, "ours", lambda *_: ([1.0, 5.0], [0.0, 6.0]))
    config = train_step.search_config("search-base").to_dict()
    task = {"name": "ours", "config": config, "threads": 1, "clock": "wall"}
    train_step.child(task | {"device": device})
    found = json.loads(capsys.readouterr().out)
    assert found == {"rate": 256 / 4, "memory": memory, "length": 6.0}


@pytest.mark.parametrize(
    ("device", "backend"),
    [("cpu", torch.backends.mkldnn), ("cuda", torch.backends.cuda)],
)
def test_shorter_products_are_those_of_the_device(
    objective, monkeypatch, capsys, device, backend
):
    matmul, before = backend.matmul, backend.matmul.fp32_precision
    monkeypatch.setattr(
        objective, "measure_products", lambda *_, **__: matmul.fp32_precision
    )
    precision = objective.SHORTER[device]
    task = {"name": "products", "folder": "", "threads": 1, "clock": "wall"}
    task |= {"case": {"tokens": 256, "precision": precision}, "device": device}
    try:
        objective.child(task)
    finally:
        matmul.fp32_precision = before
    assert json.loads(capsys.readouterr().out) == precision


# ------------------------------------------------------------------------- a whole one


def test_a_quick_run_samples_and_writes_nothing():
    files = {path: path.read_bytes() for path in FOLDER.glob("results/*.json")}
    root = str(FOLDER.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(FOLDER / "rollout.py"), "--quick", "--device", "cpu"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for label in ("sampling", "one batch", "mean length", "matrix rate", "memory band"):
        assert f"\n{label}" in done.stdout
    assert "rlnotes, static shapes" in done.stdout and "wrote" not in done.stdout
    assert files == {path: path.read_bytes() for path in FOLDER.glob("results/*.json")}


@pytest.mark.parametrize("first", ["ours", "peer"])
def test_trainers_take_turns_until_one_has_ended(first):
    import threading

    import trl_engine

    turns, seen = trl_engine.Turns(first), []
    steps = {"ours": 3, "peer": 5}

    def work(name):
        for step in range(steps[name]):
            turns.wait(name)
            seen.append((step, name))
            turns.pass_on(name)
        turns.pass_on(name, for_good=True)

    threads = [threading.Thread(target=work, args=[name]) for name in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    order = [first, "peer" if first == "ours" else "ours"]
    assert seen[:6] == [(step, name) for step in range(3) for name in order]
    assert sorted(seen[6:]) == [(3, "peer"), (4, "peer")]


def test_the_interval_of_a_median_covers_it():
    import random

    import trl_engine

    draw, hits = random.Random(0), 0
    for _ in range(2000):
        values = [draw.expovariate(1.0) for _ in range(100)]
        middle, low, high = trl_engine.median_interval(values)
        assert low <= middle <= high
        hits += low <= 0.6931471805599453 <= high  # ln 2
    assert 0.94 < hits / 2000 < 0.98
    assert trl_engine.median_interval([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
