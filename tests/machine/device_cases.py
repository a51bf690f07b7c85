"""The whole of a run on the pretend device, compared with the CPU to the bit.

`test_devices.py` runs it, in a process of its own; by hand, give pytest this file.
"""

import copy
import io
from contextlib import nullcontext

import pandas.testing
import pytest
import torch

from rlnotes import engines
from rlnotes.machine.devices import deterministic_algorithms
from rlnotes.machine.rates import bfloat16_pays
from rlnotes.policies.policy import load_policy
from rlnotes.records.partial import load_state
from rlnotes.records.reading import load_run
from rlnotes.records.run_folders import partial_folder
from rlnotes.rollouts.forwards import bucketed_hidden_states, packed_hidden_states
from rlnotes.rollouts.rollouts import Rollouts, generate_rollouts
from rlnotes.rollouts.scoring import packed_logps, per_token_logps
from rlnotes.rollouts.static import StaticStep
from rlnotes.tasks.base import Task
from rlnotes.training.config import make_config
from tests.conftest import random_policy
from tests.machine.pretend_device import NAME, PretendTensor, graph_recording
from tests.records.test_resume import Coin, Killed, raise_at, record

# the device composes attention from products; so does the CPU then
torch.backends.cuda.enable_flash_sdp(False)

PROMPTS = [Task("1+2=", "3"), Task("=", "0"), Task("9+9+9+1=", "8")]


def pair(kind="llama", **options):
    """One random policy on the CPU and the same on the device."""
    there = random_policy(kind, **options)
    there.model.to(NAME)
    return random_policy(kind, **options), there


def equal(a, b) -> bool:
    return torch.equal(torch.as_tensor(a).cpu(), b.cpu())


# the device itself


def refused():
    x, c = torch.randn(3, 3).to(NAME), torch.randn(3, 3)
    index, number = torch.tensor([0, 2, 1]), torch.tensor(1.0)
    return {
        "pointwise": lambda: x + c,
        "pointwise, to the right": lambda: c * x,
        "in place": lambda: x.add_(c),
        "into the CPU": lambda: c.add_(x),
        "into a number of the CPU": lambda: number.add_(x[0, 0]),
        "product": lambda: x @ c,
        "where": lambda: torch.where(c > 0, x, 0.0),
        "masked_fill": lambda: x.masked_fill(c > 0, 0.0),
        "gather": lambda: x.gather(1, index[:, None]),
        "index_select": lambda: x.index_select(0, index),
        "scatter": lambda: x.scatter_add_(1, index[:, None], x),
        "embedding": lambda: torch.nn.functional.embedding(index, x),
        "searchsorted": lambda: torch.searchsorted(x, c),
        "isin": lambda: torch.isin(x, c),
        "cat": lambda: torch.cat([x, c]),
        "stack of numbers": lambda: torch.stack([x[0, 0], number]),
        "index of the CPU's": lambda: c[index.to(NAME)],
        "indexed values": lambda: x.__setitem__(index, c),
        "masked values": lambda: x.__setitem__(x > 0, c[0]),
        "running sum": lambda: deterministically(lambda: x.cumsum(0)),
        "attention": lambda: torch.nn.functional.scaled_dot_product_attention(x, x, c),
        "generator": lambda: torch.rand(3, device=NAME, generator=torch.Generator()),
        "generator in place": lambda: x.normal_(generator=torch.Generator()),
        "multinomial": lambda: x.exp().multinomial(1, generator=torch.Generator()),
        "to numpy": lambda: x.numpy(),
        "recorded reading": lambda: recorded(lambda: float(x[0, 0])),
        "recorded condition": lambda: recorded(lambda: bool((x > 0).all())),
        "recorded mask": lambda: recorded(lambda: x[x > 0]),
        "recorded isin": lambda: recorded(lambda: torch.isin(x, x[0])),
        "recorded way to the CPU": lambda: recorded(lambda: x.cpu()),
        "recorded way back": lambda: recorded(lambda: c.to(NAME)),
        "recorded constant": lambda: recorded(lambda: torch.tensor([1], device=NAME)),
        "recorded index": lambda: recorded(lambda: x[index]),
    }


def deterministically(function):
    with deterministic_algorithms(True):
        return function()


def recorded(function):
    with graph_recording():
        return function()


@pytest.mark.parametrize("name", refused())
def test_what_cuda_refuses_raises(name):
    with pytest.raises(RuntimeError):
        refused()[name]()


def test_what_cuda_allows_is_allowed():
    x, c = torch.randn(3, 3).to(NAME), torch.randn(3, 3)
    index, number = torch.tensor([0, 2]), torch.tensor(2.0)
    expected = c[index] * 2
    x.copy_(c)
    assert equal(expected, x[index] * number) and equal(expected, number * x[index])
    assert equal(c[:, c[0] > 0], x[:, c[0] > 0])
    x[index] = number
    assert x[index].tolist() == [[2.0] * 3] * 2
    x[1] = c[0]
    c.copy_(x)
    assert torch.equal(c[1].cpu(), x[1].cpu()) and c.device.type == "cpu"
    assert equal(c.clamp(max=2.0), torch.where(x > 2, number, x))
    assert equal(c.double() * 2, recorded(lambda: x.to(torch.float64).mul_(2)))
    assert equal(c.gt(0).cumsum(0), deterministically(lambda: x.gt(0).cumsum(0)))


def test_views_share_their_numbers():
    x = torch.zeros(2, 3, 8, device=NAME)
    row, middle = x[0], x[:, :, 2:5]
    middle[:] = 1.0
    x[:, 1, 4:6] = torch.full((2, 2), 5.0, device=NAME)
    row.mul_(2)
    rows = [[0, 0, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 5, 5, 0, 0]]
    assert x[1].tolist() == [rows[0], rows[1], rows[0]]
    assert row.tolist() == [[2 * n for n in line] for line in x[1].tolist()]
    assert row._base is x and middle[0, 1].tolist() == [2.0, 2.0, 10.0]


def test_random_numbers_are_not_the_cpus():
    torch.manual_seed(0)
    theirs, next_one = torch.rand(4), torch.rand(1)
    torch.manual_seed(0)
    ours = torch.rand(4, device=NAME)
    assert torch.equal(torch.rand(4), theirs) and torch.equal(torch.rand(1), next_one)
    torch.manual_seed(0)
    assert equal(ours, torch.rand(4, device=NAME))
    assert not equal(theirs, torch.rand(4, device=NAME))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("foreach", [False, True])
def test_a_model_learns_as_on_the_cpu_and_goes_through_a_file(kind, tied, foreach):
    models = [policy.model for policy in pair(kind, tied=tied)]
    assert isinstance(models[1].lm_head.weight, PretendTensor)
    ids = torch.randint(0, 12, (3, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    states = []
    for model in models:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, foreach=foreach)
        device = model.device
        for _ in range(3):
            inputs = ids.to(device)
            model(inputs, attention_mask=mask.to(device), labels=inputs).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        file = io.BytesIO()
        torch.save([copy.deepcopy(model).state_dict(), optimizer.state_dict()], file)
        file.seek(0)
        states.append(torch.load(file, map_location="cpu", weights_only=True))
    (weights, moments), (theirs, their_moments) = states
    assert weights.keys() == theirs.keys()
    assert all(
        type(v) is torch.Tensor and equal(weights[k], v) for k, v in theirs.items()
    )
    optimizer.load_state_dict(their_moments)
    for mine, other in zip(
        moments["state"].values(), optimizer.state.values(), strict=True
    ):
        assert equal(mine["exp_avg_sq"], other["exp_avg_sq"])
        assert other["exp_avg_sq"].device.type == NAME
    fresh = copy.deepcopy(models[1])
    fresh.load_state_dict(weights)
    assert (fresh.lm_head.weight is fresh.model.embed_tokens.weight) == tied


def test_autocast_multiplies_in_bfloat16():
    (cpu, there), ids = pair(), torch.arange(6).view(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = cpu.model(ids).logits
    with torch.autocast(NAME, dtype=torch.bfloat16):
        logits = there.model(ids.to(NAME)).logits
    assert logits.dtype == torch.bfloat16 and equal(expected, logits)
    logits.float().square().sum().backward()
    assert there.model.lm_head.weight.grad.dtype == torch.float32


# the library on it

TENSORS = (
    "prompt_ids",
    "prompt_mask",
    "completion_ids",
    "completion_mask",
    "per_token_logps",
    "entropies",
    "truncated",
)


def same_rollouts(mine: Rollouts, theirs: Rollouts) -> bool:
    tensors = [(getattr(mine, name), getattr(theirs, name)) for name in TENSORS]
    assert all(b.device.type == NAME for _, b in tensors)
    return mine.texts == theirs.texts and all(equal(a, b) for a, b in tensors)


def sample(policy, temperature=1.0, **options):
    return generate_rollouts(
        policy,
        PROMPTS,
        num_generations=4,
        max_completion_length=70,  # longer than the room of the cache
        temperature=temperature,
        generator=torch.Generator().manual_seed(3),
        **options,
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_rollouts(kind, temperature):
    mine, theirs = (sample(policy, temperature) for policy in pair(kind))
    assert same_rollouts(mine, theirs)
    if temperature:
        assert len(set(mine.lengths.tolist())) > 3  # rows have left the batch


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_static_rollouts_are_a_graph(kind, monkeypatch):
    policies, step = pair(kind), StaticStep.__call__

    mine = sample(policies[0], cache_implementation="static")
    monkeypatch.setattr(StaticStep, "__call__", lambda s: recorded(lambda: step(s)))
    assert same_rollouts(mine, sample(policies[1], cache_implementation="static"))


def test_rollouts_are_selected_and_joined():
    mine, theirs = map(sample, pair())

    def mix(r):
        return Rollouts.concatenate([r.select([1]), r.select([2, 0]), r])

    assert same_rollouts(mix(mine), mix(theirs))


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_log_probs(kind):
    (cpu, there), (mine, theirs) = pair(kind), map(sample, pair(kind))
    with torch.no_grad():
        for logps in (per_token_logps, packed_logps):
            assert equal(logps(cpu, mine), logps(there, theirs))
    for states in (packed_hidden_states, bucketed_hidden_states):
        expected = states(cpu.model.base_model, mine)
        hidden = states(there.model.base_model, theirs)
        assert equal(expected, hidden)
        expected.square().sum().backward()
        hidden.square().sum().backward()
        for a, b in zip(cpu.model.parameters(), there.model.parameters(), strict=True):
            assert a.grad is None if b.grad is None else equal(a.grad, b.grad)


TINY = {
    "policy": "random-llama",
    "task": "scratch-addition",
    "bf16": False,
    "max_steps": 2,
    "generation_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 1e-2,
    "critic_learning_rate": 1e-2,
    "eval_samples": 2,
    "save_steps": 0,
}
RUNS = {
    "grpo": {},
    "grpo, KL": {"beta": 0.04, "warmup_steps": 2},
    "grpo, sequence ratio": {
        "importance_sampling_level": "sequence",
        "num_iterations": 2,
        "kl_gradient": "k2",
        "beta": 0.01,
    },
    "grpo, micro-batches": {"per_device_train_batch_size": 4, "num_iterations": 2},
    "grpo, filtered": {"mask_truncated_completions": True, "delta": 3.0},
    "grpo, every reward": {
        "reward_funcs": [
            "accuracy_reward",
            "format_reward",
            "bracket_format_reward",
            "length_reward",
            "language_consistency_reward",
        ],
        "conditioned_reward": "length_reward",
    },
    "grpo, deterministic": {"full_determinism": True},
    "grpo, static": {"cache_implementation": "static"},
    "dr_grpo": {},
    "dapo": {"soft_punish_cache": 4, "max_resample_times": 2},
    "dapo, micro-batches": {
        "soft_punish_cache": 4,
        "per_device_train_batch_size": 4,
        "loss_type": "cispo",
    },
    "gdpo": {"reward_weights": [1.0, 0.5]},
    "ppo": {},
    "ppo, KL": {"kl_coef": 0.05, "lam": 0.95, "per_device_train_batch_size": 4},
}
if bfloat16_pays():  # emulated, this one run takes minutes
    RUNS["grpo, bfloat16"] = {"bf16": True}


def run(policy, name="grpo", overrides=None, **options):
    values = {**TINY, **RUNS[name], **(overrides or {})}
    config = make_config(algorithm=name.split(",")[0], **values)
    return engines.train(config, policy=policy, task=Coin(), progress=False, **options)


def numbers(result):
    frame = result.metrics
    return frame.drop(columns=[c for c in frame if c.startswith("step_time")])


def same_weights(mine, theirs) -> bool:
    models = [(mine.policy.model, theirs.policy.model)]
    if mine.critic is not None:
        models.append((mine.critic, theirs.critic))
    pairs = [zip(a.parameters(), b.parameters(), strict=True) for a, b in models]
    return all(equal(a, b) and b.device.type == NAME for one in pairs for a, b in one)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_cpus_numbers(name, tmp_path):
    cpu, there = pair()
    before = copy.deepcopy(cpu.model.state_dict())
    mine = run(cpu, name, output=tmp_path / "cpu")
    theirs = run(there, name, output=tmp_path / "device")
    pandas.testing.assert_frame_equal(numbers(mine), numbers(theirs), check_exact=True)
    assert record(tmp_path / "cpu") == record(tmp_path / "device")
    assert same_weights(mine, theirs)
    # every draw was made on the CPU: the device's generator is as train has seeded it
    seeded = torch.Generator().manual_seed(0).get_state()
    assert torch.equal(torch.get_device_module(NAME).get_rng_state(), seeded)
    assert load_run(tmp_path / "device").meta["device"] == NAME
    after = cpu.model.state_dict()
    assert not all(torch.equal(before[k], after[k]) for k in after)  # it has learned


def test_the_accelerator_is_taken_where_no_policy_is_given(policy_folder):
    result = run(None, overrides={"policy": str(policy_folder)})
    assert result.policy.device.type == NAME
    expected = run(load_policy(str(policy_folder)))
    assert same_weights(expected, result)


def test_a_policy_on_the_device_is_saved(tmp_path):
    cpu, there = pair(tied=True)
    there.model.save_pretrained(tmp_path)
    there.tokenizer.save_pretrained(tmp_path)
    weights = load_policy(str(tmp_path)).model.state_dict()
    assert all(equal(w, there.model.state_dict()[k]) for k, w in weights.items())


@pytest.mark.parametrize("name", ["grpo, KL", "dapo", "ppo, KL"])
@pytest.mark.parametrize("onto", ["cpu", NAME])
def test_a_killed_run_goes_on(name, onto, tmp_path):
    options = {"overrides": {"save_steps": 1}, "resume": True}
    whole = run(pair()[0], name, output=tmp_path / "whole", **options)
    where = {**options, "output": tmp_path / "killed"}
    with pytest.raises(Killed):
        run(pair()[1], name, on_step=raise_at(2), **where)
    state = load_state(partial_folder(tmp_path / "killed"))
    assert state["step"] == 1
    weights = state["learner"]["models"][0].values()
    assert {weight.device.type for weight in weights} == {"cpu"}
    moved = nullcontext() if onto == NAME else pytest.warns(match="resume: gpu was")
    with moved:
        result = run(pair()[onto == NAME], name, **where)
    assert result.policy.device.type == onto
    assert record(tmp_path / "whole") == record(tmp_path / "killed")
    for a, b in zip(
        whole.policy.model.parameters(), result.policy.model.parameters(), strict=True
    ):
        assert equal(a, b)


@pytest.mark.trl
@pytest.mark.parametrize("name", ["grpo, KL", "dapo, micro-batches", "gdpo"])
def test_trls_engine_mixes_no_devices(name, monkeypatch):
    """It draws on the device, so only the number of updates is the CPU's."""
    import rlnotes.engines.trl

    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", NAME)
    monkeypatch.setattr(rlnotes.engines.trl, "has_gpu", lambda: True)
    result = run(pair()[1], name, engine="trl")
    assert result.policy.device.type == NAME
    start = random_policy().model.parameters()
    moved = zip(start, result.policy.model.parameters(), strict=True)
    assert not all(equal(a, b) for a, b in moved)
    trained = result.metrics[result.metrics["step"] > 0]
    assert trained[["reward", "entropy", "grad_norm", "loss"]].notna().all().all()
