"""Two processes that hold half of the weights each are one that holds them all.

FSDP2 shards CPU tensors over gloo as it does GPU tensors over NCCL. accelerate turns it
on for GPUs alone, so the processes below call themselves GPUs; all else is what
configs/accelerate/fsdp2.yaml makes of a run. Needs a torch that was built for the CPU.

DeepSpeed ZeRO-3 knows the CPU itself (DS_BUILD_OPS=0 pip install deepspeed; the first
run compiles an operator). It is tested where it is installed, with `-m slow`.
"""

import contextlib
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from rlnotes.policies.policy import load_policy
from rlnotes.records.reading import load_run
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.training.config import make_config
from tests.engines.test_distributed import BASE, CASES, ROOT, Scripted, launch, trained

pytestmark = pytest.mark.trl

TWO = ["--num_processes", "2", "--main_process_port", "0"]
SMALL = {"generation_batch_size": 8, "max_completion_length": 64, "max_steps": 1}
# so cold that one process and two draw the same completions
COLD = {**SMALL, "temperature": 1e-4, "num_generations": 2}
RESUMED = {**SMALL, "algorithm": "dapo", "max_resample_times": 1} | {
    "max_steps": 3,
    "save_steps": 1,
}
REFERENCE = {"beta": 0.1, "max_steps": 1}
IDLE = {"max_steps": 2, "num_iterations": 2}


class Killed(Exception):
    pass


class Silent(Scripted):
    """Nothing is right from the second step on."""

    def __init__(self, trainers):
        super().__init__()
        self.trainers = trainers

    def verify(self, completion, task):
        return super().verify(completion, task) * (self.trainers[0].step == 1)


def tied_policy():
    """The search base with one matrix as embedding and head, as small models have."""
    policy = load_policy("search-base")
    policy.model.config.tie_word_embeddings = True
    policy.model.tie_weights()
    assert policy.model.lm_head.weight is policy.model.model.embed_tokens.weight
    return policy


def run(fields, **options):
    from rlnotes.engines.trl import train_with_trl

    options = {"progress": False, "evaluations": False, "report_to": "none"} | options
    return train_with_trl(make_config(**{**BASE, **fields}), task=Scripted(), **options)


def weights_of(result):
    return [p.detach() for p in result.policy.model.parameters()]


# ----------------------------------------------------------------- in each process


@contextlib.contextmanager
def fsdp2_on_the_cpu():
    """A CPU process that accelerate lets have FSDP: still the CPU, still gloo."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    original = PartialState.__init__

    def init(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartialState, "__init__", init)
        yield


def watch(patch, name, note):
    """Call `note(trainer, what it returned)` after a method of every trainer."""
    from rlnotes.engines.trl_trainer import NotesTrainer

    original = getattr(NotesTrainer, name)

    def watched(self, *arguments, **keywords):
        found = original(self, *arguments, **keywords)
        note(self, found)
        return found

    patch.setattr(NotesTrainer, name, watched)


@contextlib.contextmanager
def zero3_on_the_cpu():
    """What accelerate does on a GPU alone; and no weight is too small to be cut."""
    import deepspeed
    from accelerate import PartialState

    original = PartialState.__init__

    def init(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        deepspeed.init_distributed("gloo", auto_mpi_discovery=False)

    def cut_all(trainer, _):
        config = trainer.accelerator.state.deepspeed_plugin.deepspeed_config
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartialState, "__init__", init)
        watch(patch, "create_accelerator_and_postprocess", cut_all)
        yield


def largest_shard(model):
    """The largest share of any weight that this process holds."""
    shares = []
    for p in model.parameters():
        if hasattr(p, "ds_id"):
            assert p.numel() == 0
            shares.append(p.ds_tensor.numel() / p.ds_numel)
        else:
            shares.append(p.to_local().numel() / p.numel())
    return max(shares)


def case_of(fields, **options):
    """Whole gradients before each update, and the weights that come out."""
    trainers = []
    result = trained(fields, trainers=trainers, **options)
    (trainer,) = trainers
    return {
        "gradients": [[g.full_tensor() for g in one] for one in trainer.gradients],
        "weights": weights_of(result),
        "largest shard": largest_shard(trainer.model),
    }


def with_reference(patch):
    """A tied policy of the caller's own, and the KL's reference made from it."""
    import trl.trainer.grpo_trainer as module

    calls, load = [], module.create_model_from_path
    note = lambda *a, **k: calls.append(k) or load(*a, **k)  # noqa: E731
    patch.setattr(module, "create_model_from_path", note)
    found = case_of(REFERENCE, policy=tied_policy())
    return found | {"device_map": calls[0].get("device_map", "not given")}


def sampling(patch):
    """What TRL itself generates; the model that comes out, asked by one process."""
    batches = []
    watch(patch, "_collect", lambda trainer, _: batches.append(trainer.batch))
    result = run(COLD)
    rollouts = batches[0].rollouts
    found = {"ids": rollouts.completion_ids}
    if torch.distributed.get_rank() == 1:
        found["alone"] = answers_of(result, rollouts)
    return found


def answers_of(result, rollouts):
    answers = generate_rollouts(
        result.policy,
        rollouts.tasks,
        num_generations=1,
        max_completion_length=8,
        temperature=0.0,
    )
    return answers.completion_ids


def resuming(patch, folder):
    """A whole run, and one that is killed in its third step and goes on."""

    def kill(trainer, _):
        if trainer.step == 3:
            raise Killed

    whole = run(RESUMED)
    with pytest.MonkeyPatch.context() as killing:
        watch(killing, "_collect", kill)
        with pytest.raises(Killed):
            run(RESUMED, output=folder)
    saved = folder.with_name(f"{folder.name}.partial") / "checkpoints"
    files = [str(p.relative_to(saved)) for p in saved.rglob("*")]
    resumed = run(RESUMED, output=folder, resume=True)
    return {
        "files": files,
        "whole": weights_of(whole),
        "resumed": weights_of(resumed),
        "lengths": whole.metrics["completions/mean_length"].tolist(),
    }


def idling(patch):
    """Weights after a step, and after one more that nothing can be learnt from."""
    from rlnotes.engines.trl_sharding import any_gradient

    trainers, seen = [], []
    watch(patch, "_collect", lambda trainer, _: seen.append(whole_of(trainer)))
    result = trained(IDLE, trainers=trainers, task=Silent(trainers))
    first = torch.distributed.get_rank() == 0
    return {
        "steps": [*seen, weights_of(result)],
        "any": [any_gradient([torch.tensor([x])]) for x in (0.0, float(first))],
    }


def whole_of(trainer):
    from transformers import LlamaForCausalLM

    from rlnotes.engines.trl_sharding import whole_model

    return [p.detach() for p in whole_model(trainer, LlamaForCausalLM).parameters()]


def half_precision(patch):
    """A bfloat16 run: the types that TRL compares and that come out, FSDP's own."""
    types = []
    note = lambda trainer, found: types.append(found[0].dtype)  # noqa: E731
    watch(patch, "_get_per_token_logps_and_entropies", note)
    trainers = []
    result = trained({**SMALL, "bf16": True}, trainers=trainers)
    plugin = getattr(trainers[0].accelerator.state, "fsdp_plugin", None)
    fsdp = None if plugin is None else plugin.mixed_precision_policy
    return {
        "log-probs": set(types),
        "weights": {p.dtype for p in weights_of(result)},
        "fsdp": fsdp and [fsdp.param_dtype, fsdp.reduce_dtype],
    }


def worker(sharding, folder):
    """What each launched process does; it writes what it found."""
    torch.set_num_threads(1)
    import rlnotes.engines.trl as engine

    engine.check_launcher = lambda: None  # which wants GPUs
    with {"fsdp2": fsdp2_on_the_cpu, "zero3": zero3_on_the_cpu}[sharding]():
        found = {}
        for name, fields in CASES.items():
            evaluated = name == "dapo"
            found[name] = case_of(fields, output=folder / name, evaluations=evaluated)
            forget_deepspeed()
        for function, *more in (
            (with_reference,),
            (sampling,),
            (resuming, folder / "resumed"),
            (idling,),
            (half_precision,),
        ):
            with pytest.MonkeyPatch.context() as patch:
                found[function.__name__] = function(patch, *more)
            forget_deepspeed()
    torch.save(found, folder / f"rank{torch.distributed.get_rank()}.pt")


def forget_deepspeed():
    """transformers would load the next policy in shards, which nobody can copy."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()


# ----------------------------------------------------------------- what they found


@pytest.fixture(
    scope="module", params=["fsdp2", pytest.param("zero3", marks=pytest.mark.slow)]
)
def two(request, tmp_path_factory):
    pytest.importorskip("trl")
    if request.param == "zero3" and importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    if torch.accelerator.current_accelerator() is not None:
        pytest.skip("this torch shards on the accelerator that it was built for")
    folder = tmp_path_factory.mktemp("two")
    config = str(ROOT / "configs" / "accelerate" / f"{request.param}.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DS_ACCELERATOR", "cpu")
        done = launch(
            request.param,
            folder,
            config=config,
            options=TWO,
            module="tests.engines.test_sharded",
        )
    assert done.returncode == 0, done.stderr[-6000:]
    ranks = [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]
    return request.param, folder, ranks


def assert_close(ours, theirs, atol):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("case", [*CASES, "with_reference"])
def test_two_halves_are_one(case, two):
    sharding, _, ranks = two
    fields = CASES.get(case, REFERENCE)
    options = {} if case in CASES else {"policy": tied_policy()}
    trainers = []
    result = trained(fields, trainers=trainers, **options)
    one = trainers[0].gradients
    for rank in ranks:
        assert rank[case]["largest shard"] < 0.51  # 58 of 115 rows
        if sharding == "fsdp2":  # DeepSpeed shows its gradients to nobody
            for theirs, ours in zip(rank[case]["gradients"], one, strict=True):
                assert max(float(g.abs().max()) for g in ours) > 1e-4
                assert_close(theirs, ours, 1e-6)
        assert_close(rank[case]["weights"], weights_of(result), 1e-6)


def test_the_held_out_evaluation_of_a_sharded_model(two, tmp_path):
    _, folder, _ = two
    trained(CASES["dapo"], trainers=[], output=tmp_path / "one", evaluations=True)
    ours, theirs = (load_run(x).metrics for x in (tmp_path / "one", folder / "dapo"))
    assert ours["eval/mean_length"].notna().tolist() == [True, False, True]
    for key in (key for key in ours if key.startswith("eval/")):
        expected = pytest.approx(ours[key].tolist(), abs=1e-6, nan_ok=True)
        assert theirs[key].tolist() == expected, key


def test_trl_samples_from_a_sharded_model(two, monkeypatch):
    batches, (_, _, ranks) = [], two
    watch(monkeypatch, "_collect", lambda trainer, _: batches.append(trainer.batch))
    result, ours = run(COLD), batches[0].rollouts
    for rank in ranks:
        assert torch.equal(rank["sampling"]["ids"], ours.completion_ids)
    # one process has to go on asking when its own completions have ended
    half = len(ours) // 2
    assert ours.lengths[:half].max() != ours.lengths[half:].max()
    assert torch.equal(ranks[1]["sampling"]["alone"], answers_of(result, ours))


def test_a_killed_run_goes_on_from_its_shards(two):
    sharding, folder, ranks = two
    expected = {"fsdp2": "pytorch_model_fsdp_0", "zero3": "zero_pp_rank_1_mp_rank_00"}
    for rank in (one["resuming"] for one in ranks):
        assert any(expected[sharding] in name for name in rank["files"])
        assert_close(rank["whole"], rank["resumed"], 0)
    run = load_run(folder / "resumed")
    assert run.meta["resumes"] == 1
    lengths = run.metrics["completions/mean_length"].tolist()
    assert lengths == ranks[0]["resuming"]["lengths"] and len(lengths) == 3


def test_a_step_without_a_signal_moves_no_shard(two):
    for rank in (one["idling"] for one in two[2]):
        start, after, last = rank["steps"]
        moves = zip(start, after, strict=True)
        assert max(float((a - b).abs().max()) for a, b in moves) > 1e-5
        assert_close(after, last, 0)
        assert rank["any"] == [False, True]


def test_a_bfloat16_run_keeps_the_digits_that_count(two):
    for rank in (one["half_precision"] for one in two[2]):
        assert rank["log-probs"] == rank["weights"] == {torch.float32}
        if two[0] == "fsdp2":
            assert rank["fsdp"] == [torch.bfloat16, torch.float32]


def test_the_reference_of_a_sharded_run_is_not_spread_over_other_gpus(two):
    for rank in two[2]:
        assert rank["with_reference"]["device_map"] is None


if __name__ == "__main__":
    worker(sys.argv[1], Path(sys.argv[2]))
