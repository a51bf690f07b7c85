"""A run that is killed at any moment goes on to the same bits."""

import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import rlnotes.records.recording
from rlnotes.cli import main
from rlnotes.policies.policy import load_policy
from rlnotes.records.partial import check_config, load_state, save_state
from rlnotes.records.reading import load_run
from rlnotes.records.recording import RunRecorder
from rlnotes.tasks.arithmetic import ScratchAddition
from rlnotes.tasks.loading import load_task
from rlnotes.training.checkpoints import Checkpoints
from rlnotes.training.config import DEFAULTS, load_config, make_config
from rlnotes.training.learner import Learner
from rlnotes.training.loop import train
from tests.conftest import random_policy

ROOT = Path(__file__).parents[2]
SMALL = {
    "policy": "random-llama",
    "task": "scratch-addition",
    "bf16": False,
    "max_steps": 4,
    "generation_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 4,
    "learning_rate": 1e-2,
    "critic_learning_rate": 1e-2,
    "eval_steps": 2,
    "eval_samples": 1,
    "save_steps": 1,
}
CASES = {
    "grpo": {"beta": 0.04, "warmup_steps": 3},
    "ppo": {"kl_coef": 0.05, "save_steps": 2},
    "dapo": {"soft_punish_cache": 2, "max_resample_times": 1, "bf16": True},
}
PLAIN = ["config.yaml", "meta.json", "metrics.csv", "samples.jsonl"]


class Killed(BaseException):
    """Nothing in the library catches it."""


class Coin(ScratchAddition):
    """Right is what has an even sum of letters: an untrained policy gets a signal."""

    def held_out(self):
        return super().held_out()[:4]

    def verify(self, completion, one):
        return sum(map(ord, completion + one.prompt)) % 2 == 0


@pytest.fixture
def task():
    return Coin()


def small(algorithm, **overrides):
    values = {**SMALL, **CASES[algorithm], **overrides}
    return make_config(algorithm=algorithm, **values)


def run(config, output, task, **options):
    options = {"policy": random_policy(), "resume": True, **options}
    return train(config, task=task, output=output, progress=False, **options)


def record(folder: Path) -> tuple:
    """What must not depend on kills: the files, less the columns of wall-clock time."""
    with (folder / "metrics.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    kept = [i for i, name in enumerate(header) if not name.startswith("step_time")]
    metrics = [[row[i] for i in kept] for row in [header, *rows]]
    texts = [(folder / name).read_bytes() for name in ("samples.jsonl", "config.yaml")]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*PLAIN, "policy"])
    texts.append((folder / "policy" / "model.safetensors").read_bytes())
    return metrics, *texts


def same(a, b) -> bool:
    """Whether two nested states are equal to the bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def weights(result) -> list:
    critic = result.critic.state_dict() if result.critic else {}
    return [result.policy.model.state_dict(), critic]


def raise_at(step):
    """An `on_step` that stops the run when it has logged `step`."""

    def stop(row):
        if row["step"] == step:
            raise Killed

    return stop


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run of a case: its record, weights, and result."""
    cache = {}

    def get(algorithm):
        if algorithm not in cache:
            folder = tmp_path_factory.mktemp("whole") / "run"
            result = run(small(algorithm), folder, Coin())
            cache[algorithm] = (record(folder), weights(result), result)
        return cache[algorithm]

    return get


def count_moments(monkeypatch, last=None):
    """Count the moments before and after each write reaches the disk.

    From the moment `last` on each of them raises: the process is as good as dead.
    """
    seen = [0]

    def tick():
        seen[0] += 1
        if last is not None and seen[0] >= last:
            raise Killed

    def around(function):
        def call(*arguments, **options):
            tick()
            result = function(*arguments, **options)
            tick()
            return result

        return call

    for owner, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, around(getattr(owner, name)))
    return seen


@pytest.mark.parametrize("algorithm", CASES)
def test_a_run_killed_in_every_step_ends_as_if_it_had_not_been(
    algorithm, task, tmp_path, whole
):
    config, folder = small(algorithm), tmp_path / "run"
    for step in (0, 2, 2, 4):
        with pytest.raises(Killed):
            run(config, folder, task, on_step=raise_at(step))
    result = run(config, folder, task)
    assert record(folder) == whole(algorithm)[0]
    assert same(weights(result), whole(algorithm)[1])
    times = ["step_time", "step_time/rollout"]
    assert result.metrics.drop(columns=times).equals(
        whole(algorithm)[2].metrics.drop(columns=times)
    )


@pytest.mark.parametrize("algorithm", CASES)
def test_a_kill_between_any_two_writes_changes_nothing(
    algorithm, task, tmp_path, whole
):
    config, rng = small(algorithm), random.Random(algorithm)
    with pytest.MonkeyPatch.context() as patch:
        total = count_moments(patch)
        run(config, tmp_path / "count", task)
    end = total[0]
    for moment in [*rng.sample(range(1, end - 4), 3), end - 4, end - 2, end]:
        folder = tmp_path / f"run{moment}"
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            count_moments(patch, moment)
            run(config, folder, task)
        if not folder.exists():  # else the kill came behind the last rename
            result = run(config, folder, task)
            assert same(weights(result), whole(algorithm)[1])
        assert record(folder) == whole(algorithm)[0], moment


def test_a_kill_within_a_step_changes_nothing(task, tmp_path, whole):
    calls = [0]

    class Mortal:
        def __getattr__(self, name):
            return getattr(task, name)

        def verify(self, *arguments):
            calls[0] += 1
            if calls[0] % 70 == 0:
                raise Killed
            return task.verify(*arguments)

    kills = 0
    while not (tmp_path / "run").exists():
        try:
            result = run(small("dapo"), tmp_path / "run", Mortal())
        except Killed:
            kills += 1
    assert kills >= 1
    assert record(tmp_path / "run") == whole("dapo")[0]
    assert same(weights(result), whole("dapo")[1])


@pytest.mark.parametrize("algorithm", CASES)
def test_the_whole_state_is_that_of_an_uninterrupted_run(algorithm, task, tmp_path):
    """Moments of each optimizer, counters and random state, not the weights alone."""
    config = small(algorithm, save_steps=1)
    for name, kills in (("once", [4]), ("often", [1, 2, 3, 4])):
        for step in kills:
            with pytest.raises(Killed):
                run(config, tmp_path / name, task, on_step=raise_at(step))
    once, often = (load_state(tmp_path / f"{n}.partial") for n in ("once", "often"))
    assert same(once, often) and once["step"] == 3
    optimizers = once["learner"]["optimizers"]
    assert len(optimizers) == 1 + config.critic
    assert all(o["state"][0]["step"] >= 3 for o in optimizers)
    assert once["learner"]["updates"] == 3 * config.updates_per_step
    assert once["learner"]["num_completions"] >= 3 * config.generation_batch_size
    assert (once["learner"]["reference"] is None) == (algorithm == "dapo")


def test_the_global_random_state_is_kept(task, tmp_path):
    """A reward or a model with dropout may draw from it; here the caller does."""
    drawn = {}

    def draw(name, last):
        def step(row):
            drawn[name, row["step"]] = float(torch.rand(()))
            if row["step"] == last:
                raise Killed

        return step

    run(small("grpo"), tmp_path / "whole", task, on_step=draw("whole", None))
    with pytest.raises(Killed):
        run(small("grpo"), tmp_path / "run", task, on_step=draw("run", 2))
    torch.manual_seed(99)
    run(small("grpo"), tmp_path / "run", task, on_step=draw("run", None))
    assert [drawn["run", k] for k in range(5)] == [drawn["whole", k] for k in range(5)]


def test_rows_and_samples_behind_the_saved_step_are_cut_off(task, tmp_path):
    config, partial = small("grpo", save_steps=2), tmp_path / "run.partial"
    with pytest.raises(Killed):
        run(config, tmp_path / "run", task, on_step=raise_at(4))
    for name, half in (("metrics.csv", "9,0.1"), ("samples.jsonl", '{"step": 9, "c')):
        with (partial / name).open("a") as file:
            file.write(half)
    seen = []
    with RunRecorder(tmp_path / "run", config.to_dict(), resume=True) as recorder:
        assert [row["step"] for row in recorder.rows] == [0, 1, 2]
        now = load_run(partial)
        assert now.metrics["step"].tolist() == [0, 1, 2]
        assert {sample["step"] for sample in now.samples} == {1, 2}
        raised = pytest.raises(ValueError, match="step must be above 2")
        with raised:
            recorder.log(2, {"loss": 0.0})
        seen.append(recorder.take_state()["step"])
    assert seen == [2]


def test_a_column_of_a_lost_step_does_not_come_first(tmp_path):
    """Columns stand in the order in which the steps of the final record bring them."""
    config = {"seed": 0}
    with pytest.raises(Killed), RunRecorder(tmp_path / "run", config) as recorder:
        recorder.log(1, {"loss": 0.5})
        recorder.save_state({"step": 1})
        recorder.log(2, {"loss": 0.25, "eval": 1})
        raise Killed
    with RunRecorder(tmp_path / "run", config, resume=True) as recorder:
        recorder.log(2, {"kl": 0.1, "eval": 2})
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert lines == ["step,loss,kl,eval", "1,0.5,,", "2,,0.1,2"]


def test_meta_tells_of_the_resumes(task, tmp_path):
    config = small("grpo")
    for step in (1, 3):
        with pytest.raises(Killed):
            run(config, tmp_path / "run", task, on_step=raise_at(step))
    earlier = load_run(tmp_path / "run.partial").meta
    assert earlier["resumes"] == 1
    start = time.perf_counter()
    run(config, tmp_path / "run", task)
    last = time.perf_counter() - start
    meta = load_run(tmp_path / "run").meta
    assert meta["status"] == "finished" and meta["steps"] == 5
    assert meta["resumes"] == 2
    assert [session["step"] for session in meta["resumed"]] == [0, 2]
    assert {"step", "date"} == set(meta["resumed"][0])
    assert earlier["seconds"] < meta["seconds"] <= earlier["seconds"] + last + 1e-3
    run(config, tmp_path / "other", task)
    meta = load_run(tmp_path / "other").meta
    assert meta["resumes"] == 0 and "resumed" not in meta


def test_other_code_or_versions_are_recorded_and_warned_about(
    task, tmp_path, monkeypatch
):
    config, describe = small("grpo"), rlnotes.records.recording.describe_run
    with pytest.raises(Killed):
        run(config, tmp_path / "run", task, on_step=raise_at(2))

    def elsewhere(**options):
        now = describe(**options)
        now["versions"]["torch"] = "9.0"
        return {**now, "commit": "f" * 40}

    monkeypatch.setattr(rlnotes.records.recording, "describe_run", elsewhere)
    with pytest.warns(UserWarning) as warned:
        run(config, tmp_path / "run", task)
    text = " ".join(str(w.message) for w in warned)
    assert "commit was" in text and "f" * 40 in text and "torch was" in text
    meta = load_run(tmp_path / "run").meta
    assert meta["commit"] == describe()["commit"]
    assert meta["resumed"][0]["commit"] == "f" * 40
    assert meta["resumed"][0]["torch"] == "9.0"
    assert "cpu" not in meta["resumed"][0]


def snapshot(folder: Path) -> dict:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture
def interrupted(task, tmp_path):
    """A GRPO run of four steps, stopped in step 3 with the state of step 2."""
    with pytest.raises(Killed):
        run(small("grpo"), tmp_path / "run", task, on_step=raise_at(3))
    return tmp_path / "run.partial"


def test_another_config_is_refused_and_nothing_overwritten(interrupted, task, tmp_path):
    before = snapshot(interrupted)
    config = small("grpo", learning_rate=0.5, seed=7)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="config: the run in") as error:
            run(config, tmp_path / "run", task, overwrite=overwrite)
        assert "learning_rate was 0.01, is 0.5" in str(error.value)
        assert "seed was 0, is 7" in str(error.value)
        assert "max_steps" not in str(error.value)
    assert snapshot(interrupted) == before


def damage(path: Path, kind: str) -> None:
    data = bytearray(path.read_bytes())
    if kind == "cut":
        data = data[: len(data) // 2]
    elif kind == "empty":
        data = bytearray()
    elif kind == "text":
        data = bytearray(b"no state")
    else:  # one bit of a weight: torch.load alone would not see it
        data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "bit"])
def test_a_damaged_state_is_refused_and_nothing_overwritten(
    interrupted, task, tmp_path, kind
):
    damage(interrupted / "state.pt", kind)
    before = snapshot(interrupted)
    for _ in range(2):  # the first refusal does not keep the folder locked
        with pytest.raises(ValueError, match=r"state\.pt is damaged.*to start over"):
            run(small("grpo"), tmp_path / "run", task)
    assert snapshot(interrupted) == before


def test_a_record_that_lacks_the_saved_step_is_refused(interrupted, task, tmp_path):
    lines = (interrupted / "metrics.csv").read_text().splitlines(keepends=True)
    (interrupted / "metrics.csv").write_text("".join(lines[:2]))
    with pytest.raises(ValueError, match="has no row of step 2"):
        run(small("grpo"), tmp_path / "run", task)


def test_a_run_of_another_engine_is_refused(interrupted, task, tmp_path):
    save_state(interrupted, {"step": 2, "checkpoint": "checkpoint-2", "processes": 1})
    with pytest.raises(ValueError, match="started by engine='trl', got 'rlnotes'"):
        run(small("grpo"), tmp_path / "run", task)


def test_another_reference_or_model_is_refused(interrupted, task, tmp_path):
    with pytest.raises(ValueError, match="expected the untrained policy"):
        run(small("grpo"), tmp_path / "run", task, policy=random_policy(seed=1))
    learner = Learner.create(small("dapo"), random_policy())
    other = Learner.create(small("dapo"), random_policy("qwen2"))
    with pytest.raises(ValueError, match="the saved state is another's"):
        other.load_state_dict(learner.state_dict())


@pytest.mark.parametrize("content", [[], ["config.yaml"], PLAIN])
def test_a_run_killed_before_its_first_save_starts_over(
    interrupted, task, tmp_path, whole, content
):
    for path in interrupted.iterdir():
        if path.name not in content:
            path.unlink()
    run(small("grpo"), tmp_path / "run", task)
    assert record(tmp_path / "run") == whole("grpo")[0]
    assert load_run(tmp_path / "run").meta["resumes"] == 0


def test_resume_does_not_touch_a_whole_run_and_needs_a_folder(task, tmp_path):
    run(small("grpo", max_steps=1), tmp_path / "run", task)
    with pytest.raises(FileExistsError, match="a run is already in"):
        run(small("grpo", max_steps=1), tmp_path / "run", task)
    with pytest.raises(ValueError, match="resume needs output"):
        run(small("grpo"), None, task)


def test_overwrite_discards_what_was_interrupted(interrupted, task, tmp_path):
    config = small("grpo", max_steps=1)
    run(config, tmp_path / "run", task, resume=False, overwrite=True)
    assert load_run(tmp_path / "run").meta["resumes"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_a_run_in_progress_cannot_be_resumed_beside_itself(task, tmp_path):
    refused = []

    def try_it(row):
        for options in ({"resume": True}, {"resume": False, "overwrite": True}):
            with pytest.raises(FileExistsError, match="written by another process"):
                run(small("grpo"), tmp_path / "run", task, **options)
            refused.append(row["step"])

    run(small("grpo", max_steps=1), tmp_path / "first", task)
    with pytest.raises(Killed):
        run(small("grpo"), tmp_path / "run", task, on_step=raise_at(0))
    run(small("grpo"), tmp_path / "run", task, on_step=try_it)
    assert len(refused) == 10


def test_saving_can_be_turned_off_or_made_rarer(task, tmp_path):
    steps = {}
    for save_steps in (0, 1, 3):
        config, saved = small("grpo", save_steps=save_steps), []

        def look(row, saved=saved, folder=tmp_path / f"{save_steps}.partial"):
            state = load_state(folder)
            saved.append(state and state["step"])

        run(config, tmp_path / str(save_steps), task, on_step=look)
        steps[save_steps] = saved
    assert steps == {
        0: [None] * 5,
        1: [None, 0, 1, 2, 3],
        3: [None, 0, 0, 0, 3],
    }
    with pytest.raises(ValueError, match="save_steps must be >= 0 or None, got -1"):
        small("grpo", save_steps=-1)


def test_by_default_saving_takes_a_twentieth_of_the_time():
    now = [0.0]

    class Slow:
        """Stands for a disk on which a save takes two seconds."""

        def save_state(self, state):
            saved.append(state["step"])
            now[0] += 2.0

    saved: list[int] = []
    learner = Learner.create(small("grpo"), random_policy())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: now[0])
        checkpoints = Checkpoints(learner, Slow(), None)
        for step in range(21):
            checkpoints.save(step)
            now[0] += 8.0
    assert saved == [0, 5, 10, 15, 20]


def test_a_disk_without_room_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left.*save_steps=0"):
        with RunRecorder(tmp_path / "run", {"seed": 0}) as recorder:
            monkeypatch.setattr(torch, "save", full)
            recorder.save_state({"step": 0})
    assert sorted(p.name for p in (tmp_path / "run.partial").iterdir()) == PLAIN


def test_the_recorded_runs_go_without_the_new_field(tmp_path):
    """Their config.yaml is from before `save_steps`: it still loads, and matches."""
    for folder in sorted((ROOT / "data" / "runs").iterdir())[:3]:
        config = load_config(folder / "config.yaml")
        check_config(folder, config.to_dict(), DEFAULTS)


# --- the command, and real processes ---

SCRIPT = """
import sys, torch
from rlnotes.training.config import load_config
from rlnotes.training.loop import train
torch.set_num_threads(1)
train(load_config(sys.argv[1]), output=sys.argv[2], resume=True, progress=False)
"""


def test_the_command_says_that_it_can_resume_and_does(policy_folder, tmp_path, capsys):
    config = small("grpo", policy=str(policy_folder)).to_dict()
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    words = ["train", "--config", str(tmp_path / "c.yaml")]
    words += ["--output", str(tmp_path / "run")]
    with pytest.raises(Killed):
        train(
            make_config(**config),
            output=tmp_path / "run",
            progress=False,
            on_step=raise_at(2),
        )
    assert main(words) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume", "seed=4"]) == 2
    assert "seed was 0, is 4" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert load_run(tmp_path / "run").meta["resumes"] == 1


def start(config: Path, output: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(config), str(output)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
    )


def kill_after(child: subprocess.Popen, partial: Path, ready, seconds=0.0) -> bool:
    """SIGKILL, `seconds` after `ready(partial)`; False when it had ended before."""
    while child.poll() is None and not ready(partial):
        time.sleep(0.002)
    time.sleep(seconds)
    child.kill()
    return child.wait() == -signal.SIGKILL


def with_signal(name, policy_folder, max_steps):
    """A config whose rewards differ although the policy is never right."""
    names = ["accuracy_reward", "length_reward", "bracket_format_reward"]
    values = {"reward_funcs": names, "length_limit": 3, "max_steps": max_steps}
    return small(name, policy=str(policy_folder), **values)


def test_a_sigkill_changes_nothing(policy_folder, tmp_path):
    """The killed process is a fresh one, this one does the run alone and the rest."""
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(with_signal("ppo", policy_folder, 12).to_dict()))
    config = load_config(path)
    options = {"policy": load_policy(str(policy_folder))}
    alone = run(config, tmp_path / "alone", load_task(config.task), **options)
    child = start(path, tmp_path / "run")
    saved = tmp_path / "run.partial" / "state.pt"
    assert kill_after(child, saved, Path.exists, 0.1)
    assert not (tmp_path / "run").exists()
    resumed = run(config, tmp_path / "run", load_task(config.task), policy=None)
    assert record(tmp_path / "run") == record(tmp_path / "alone")
    assert same(weights(resumed), weights(alone))
    assert load_run(tmp_path / "run").meta["resumes"] == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_twenty_kills_at_random_moments(policy_folder, tmp_path):
    """Kill and resume at 20 random moments: 20 identical final records."""
    rng, equal, steps, task = random.Random(), 0, [], load_task("scratch-addition")
    alone, seconds, own = {}, {}, {"policy": None}
    fork = multiprocessing.get_context("fork")
    configs = {name: with_signal(name, policy_folder, 12) for name in CASES}
    for name, config in configs.items():
        alone[name] = weights(run(config, tmp_path / name, task, **own))
        seconds[name] = load_run(tmp_path / name).meta["seconds"]
    while len(steps) < 20:
        name = list(CASES)[len(steps) % 3]
        folder = tmp_path / f"{name}{len(steps)}"
        partial = folder.with_name(f"{folder.name}.partial")
        # forked: no time goes into imports, all of it is at risk
        child = fork.Process(target=run, args=(configs[name], folder, task), kwargs=own)
        child.start()
        while child.is_alive() and not partial.exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, seconds[name]))
        child.kill()
        child.join()
        if folder.exists():  # it was faster: again
            shutil.rmtree(folder)
            continue
        rows = partial / "metrics.csv"
        steps.append(rows.read_text().count("\n") - 2 if rows.exists() else -1)
        result = run(configs[name], folder, task, **own)
        same_files = record(folder) == record(tmp_path / name)
        equal += same_files and same(weights(result), alone[name])
    print(f"killed after steps {steps}: {equal} identical final records")
    assert equal == 20


@pytest.fixture
def interrupted_run(tmp_path, task):
    """The partial folder of a run that was killed behind step 2."""
    with pytest.raises(Killed):
        run(small("grpo"), tmp_path / "run", task, on_step=raise_at(3))
    return tmp_path / "run.partial"


def test_the_state_knows_its_config(interrupted_run, task):
    """Without config.yaml, or with one that was edited, another config is refused."""
    other = small("grpo", seed=5, learning_rate=0.1)
    (interrupted_run / "config.yaml").write_text(json.dumps(other.to_dict()))
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"seed was 0, is 5; learning_rate was 0\."
        ):
            run(other, interrupted_run.with_suffix(""), task)
        (interrupted_run / "config.yaml").unlink(missing_ok=True)
    assert run(small("grpo"), interrupted_run.with_suffix(""), task).finished


def cut(name, lines):
    def damage(folder):
        kept = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(kept[:lines]))

    return damage


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut("samples.jsonl", 0), r"samples\.jsonl has 0 samples up to step 2, .*16"),
        (cut("samples.jsonl", 3), r"samples\.jsonl has 3 samples up to step 2, .*16"),
        (lambda folder: (folder / "samples.jsonl").unlink(), "has 0 samples up to"),
        (
            write("samples.jsonl", '{"step": 1}\n{"st\n'),
            "line 2 is damaged",
        ),
        (write("samples.jsonl", "[]\n"), r"samples\.jsonl, line 1: expected names"),
        (
            write("meta.json", '{"commit": "12'),
            r"meta\.json is damaged",
        ),
        (
            write("meta.json", "[]"),
            r"meta\.json: expected names",
        ),
        (cut("metrics.csv", 2), "no row of step 2"),
        (write("metrics.csv", ""), r"metrics\.csv: expected a first column 'step'"),
        (
            write("metrics.csv", "step,loss\n0,\n1,much\n"),
            r"metrics\.csv, line 3: loss must be a number, got 'much'",
        ),
        (write("metrics.csv", "step,loss\n0,1,2\n"), "line 2: expected 2 columns"),
    ],
)
def test_a_damaged_record_does_not_go_on_in_silence(
    interrupted_run, task, damage, said
):
    damage(interrupted_run)
    with pytest.raises(ValueError, match=said) as error:
        run(small("grpo"), interrupted_run.with_suffix(""), task)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("meta.json", "[]"),
        ("meta.json", "{"),
        ("samples.jsonl", "{]\n"),
        ("metrics.csv", "step,loss\n1,much\n"),
        ("config.yaml", "a: [\n"),
        ("config.yaml", "[]\n\n- 1"),
    ],
)
def test_a_damaged_whole_run_names_its_file(tmp_path, name, text):
    with RunRecorder(tmp_path / "run", {"seed": 0}) as recorder:
        recorder.log(1, {"loss": 0.5})
    (tmp_path / "run" / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        load_run(tmp_path / "run")


def test_a_full_disk_is_what_the_error_says(tmp_path):
    """Not torch's opinion about its own positions: a limit that the system sets."""
    script = """
import resource, signal, sys, torch
from rlnotes.records.partial import save_state
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
save_state(Path(sys.argv[1]), {"weights": torch.zeros(400_000)})
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "cannot be saved in" in done.stderr.splitlines()[-1]
    assert "(File too large)" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
