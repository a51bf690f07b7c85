"""Two processes over gloo are one: the same gradients, denominators and record.

Sampling is replaced by completions that are a function of the prompt alone, so that two
processes can be shown the same batch as one; everything behind it is TRL and ours.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlnotes.policies.policy import load_policy
from rlnotes.records.reading import load_run
from rlnotes.records.recording import RunRecorder
from rlnotes.tasks.loading import load_task
from rlnotes.tasks.splits import stable_hash
from rlnotes.training.config import make_config

pytestmark = pytest.mark.trl

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ["-m", "accelerate.commands.launch", "--config_file"]
CPU2 = str(ROOT / "configs" / "accelerate" / "cpu2.yaml")
BASE = {
    "policy": "search-base",
    "task": "search-all",
    "bf16": False,
    "generation_batch_size": 32,
    "num_generations": 4,
    "max_completion_length": 24,
    "learning_rate": 1e-4,
    "eval_samples": 1,
    "save_steps": 0,
}
# Mini-batches, dynamic sampling, token denominators and a filter; several rewards over
# the batch's statistics; groups that the processes would tear apart; a KL term.
CASES = {
    "dapo": {
        "algorithm": "dapo",
        "max_steps": 2,
        "num_iterations": 2,
        "mask_truncated_completions": True,
        "per_device_train_batch_size": 4,
    },
    "dapo_prompt": {"loss_type": "dapo_prompt", "max_steps": 1},
    "gdpo": {
        "algorithm": "gdpo",
        "loss_type": "dapo",
        "length_limit": 12,
        "max_steps": 1,
        "generation_batch_size": 24,
        "num_generations": 8,
    },
    "kl": {"beta": 0.1, "max_steps": 1, "num_iterations": 2},
}


class Scripted:
    """Search questions, right or wrong by the hash of a text; some questions never.

    The short questions come first: two processes get prompts of unequal width.
    """

    def __init__(self):
        self.task = load_task("search-all")

    def __getattr__(self, name):
        return getattr(self.task, name)

    def sample(self, count, *, seed, step):
        tasks = self.task.sample(count, seed=seed, step=step)
        return sorted(tasks, key=lambda task: len(task.columns["numbers"]))

    def verify(self, completion, task):
        answerable = stable_hash(str(task.prompt)) % 2 == 0
        return float(answerable and stable_hash(completion) % 3 == 0)


def scripted_completions(trainer, prompt_ids, first):
    """Tokens of each row: a function of its prompt and its place in the group."""
    size, limit = trainer.num_generations, trainer.max_completion_length
    rows = []
    for i, prompt in enumerate(prompt_ids):
        seed = stable_hash(f"{prompt} {(first + i) % size}") % 2**31
        draw = torch.Generator().manual_seed(seed)
        length = int(torch.randint(3, limit + 6, (), generator=draw))
        ids = torch.randint(8, 110, (min(length, limit),), generator=draw).tolist()
        rows.append(ids if length > limit else [*ids[:-1], 1])
    return rows


def trained(fields, *, trainers, **options):
    """A run of `BASE` with these fields, by this process or by all launched with it."""
    from rlnotes.engines.trl import train_with_trl
    from rlnotes.engines.trl_trainer import NotesTrainer

    config = make_config(**{**BASE, **fields})
    # the caller's own policy: the KL's reference has to be made from it
    given = {"task": Scripted(), "policy": load_policy("search-base")}

    class Hooked(NotesTrainer):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self.gradients = []
            trainers.append(self)

        def _generate_single_turn(self, prompt_ids, *_, **__):
            first = self.accelerator.process_index * len(prompt_ids)
            return scripted_completions(self, prompt_ids, first), None

        def create_optimizer(self, *arguments):
            optimizer = super().create_optimizer(*arguments)
            optimizer.register_step_pre_hook(self.note)
            return optimizer

        def note(self, *_):
            gradients = (p.grad for p in self.model.parameters())
            self.gradients.append([g.clone() for g in gradients if g is not None])

    import rlnotes.engines.trl_trainer as module

    module.NotesTrainer, original = Hooked, NotesTrainer
    try:
        return train_with_trl(
            config,
            progress=False,
            report_to="none",
            options={"adam_epsilon": 1e-3},
            **given | {"evaluations": False} | options,
        )
    finally:
        module.NotesTrainer = original


def worker(folder):
    """What each launched process does: every case, then the first one writes."""
    torch.set_num_threads(1)
    found = {}
    for case, fields in CASES.items():
        trainers = []
        evaluated = case == "dapo"
        result = trained(
            fields, trainers=trainers, output=folder / case, evaluations=evaluated
        )
        (trainer,) = trainers
        assert trainer.accelerator.num_processes == 2
        weights = [p.detach() for p in result.policy.model.parameters()]
        found[case] = {"gradients": trainer.gradients, "weights": weights}
    torch.save(found, folder / f"rank{trainer.accelerator.process_index}.pt")


def dying_worker(folder):
    """The second process is gone in the second step, without a word."""
    from accelerate import PartialState

    state = PartialState(cpu=True)

    class Mortal(Scripted):
        calls = 0

        def verify(self, completion, task):
            self.calls += 1
            if state.process_index == 1 and self.calls > 100:
                os._exit(9)
            return super().verify(completion, task)

    from rlnotes.engines.trl import train_with_trl

    config = make_config(**{**BASE, "max_steps": 200})
    train_with_trl(
        config,
        task=Mortal(),
        output=folder / "run",
        overwrite=True,
        progress=False,
        evaluations=False,
        report_to="none",
    )


def launch(
    name, folder, *, config=CPU2, options=(), module="tests.engines.test_distributed"
):
    """`accelerate launch` of a file of tests with two CPU processes."""
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, *LAUNCH, config, *options, "-m", module]
    return subprocess.run(
        [*command, name, str(folder)],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if "RANK" not in k} | threads,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    pytest.importorskip("trl")
    done = launch("worker", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(case, two, tmp_path):
    folder, (first, second) = two
    trainers = []
    result = trained(CASES[case], trainers=trainers, output=tmp_path / "one")
    one = trainers[0].gradients
    config = make_config(**{**BASE, **CASES[case]})
    assert len(one) == config.max_steps * config.updates_per_step
    for rank in (first, second):
        assert len(rank[case]["gradients"]) == len(one)
        for theirs, ours in zip(rank[case]["gradients"], one, strict=True):
            assert max(float(g.abs().max()) for g in ours) > 1e-4
            for a, b in zip(theirs, ours, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        weights = zip(
            rank[case]["weights"], result.policy.model.parameters(), strict=True
        )
        for a, b in weights:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    metrics, run = load_run(tmp_path / "one").metrics, load_run(folder / case)
    theirs = run.metrics[run.metrics["step"] > 0].reset_index()
    for key in metrics:
        # the extremes are TRL's: of a forward pass's rows, then averaged over passes
        if not key.startswith(
            ("step_time", "clip_ratio/low_min", "clip_ratio/high_max")
        ):
            expected = pytest.approx(
                metrics[key].tolist(), rel=1e-5, abs=1e-5, nan_ok=True
            )
            assert theirs[key].tolist() == expected, key
    assert run.meta["processes"] == 2


def test_the_cases_reach_what_they_are_for(two):
    folder, _ = two
    dapo = load_run(folder / "dapo").metrics
    assert dapo["dynamic_sampling/batches"].max() > 1
    assert (dapo["completions/clipped_ratio"][1:] > 0).all()
    assert dapo["clip_ratio/region_mean"].max() > 0
    assert dapo["eval/mean_length"].notna().tolist() == [True, False, True]
    assert load_run(folder / "kl").metrics["kl"].max() > 0


def test_a_process_that_dies_ends_the_run_and_overwrites_nothing(tmp_path):
    pytest.importorskip("trl")
    config = make_config(**{**BASE, "max_steps": 200}).to_dict()
    with RunRecorder(tmp_path / "run", config) as earlier:
        earlier.log(1, {"reward": 0.5})
    whole = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    done = launch("dying_worker", tmp_path)
    assert done.returncode != 0
    assert "exitcode" in done.stderr and "9" in done.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == whole
    left = json.loads((tmp_path / "run.partial" / "meta.json").read_text())
    assert left["status"] != "finished" and left["processes"] == 2
    assert load_run(tmp_path / "run.partial").metrics["step"].tolist()[:1] == [1]


def test_configs_of_accelerate_load():
    from accelerate.commands.config.config_args import load_config_from_file

    folder = ROOT / "configs" / "accelerate"
    loaded = {p.stem: load_config_from_file(str(p)) for p in folder.glob("*.yaml")}
    assert set(loaded) == {"cpu2", "fsdp2", "gpu", "gpus", "nodes", "zero3"}
    types = {name: config.distributed_type.value for name, config in loaded.items()}
    assert types["fsdp2"] == "FSDP" and types["zero3"] == "DEEPSPEED"
    assert loaded["fsdp2"].fsdp_config["fsdp_version"] == 2
    assert loaded["zero3"].deepspeed_config["zero_stage"] == 3
    assert loaded["nodes"].num_machines == 2 and loaded["gpu"].num_processes == 1
    # Config.bf16 decides: two places for the precision could disagree
    assert {config.mixed_precision for config in loaded.values()} == {"no"}


if __name__ == "__main__":
    {"worker": worker, "dying_worker": dying_worker}[sys.argv[1]](Path(sys.argv[2]))
