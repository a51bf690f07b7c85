"""The policy of a run is kept: whole or absent, read by all, its numbers repeated."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlnotes import engines
from rlnotes.cli import main
from rlnotes.policies.kept import save_policy
from rlnotes.policies.policy import load_policy
from rlnotes.records.reading import load_run
from rlnotes.records.run_folders import run_name
from rlnotes.training.config import make_config
from rlnotes.training.evaluation import evaluate
from rlnotes.training.keeping import check_keeping
from rlnotes.training.loop import train
from tests.conftest import random_policy

SMALL = {
    "policy": "random-llama",
    "task": "scratch-addition",
    "bf16": False,
    "max_steps": 1,
    "generation_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "eval_samples": 2,
    "temperature": 0.8,
    "save_steps": 1,
}
LAB = {
    **SMALL,
    "policy": "search-base",
    "task": "search",
    "max_completion_length": 32,
    "learning_rate": 3e-3,
    "max_steps": 4,
    "eval_steps": 1,
}
FILES = ["README.md", "config.json", "generation_config.json", "model.safetensors"]
FILES += ["run.yaml", "tokenizer.json", "tokenizer_config.json"]


def same_weights(a, b):
    pairs = zip(a.model.parameters(), b.model.parameters(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_the_last_policy_is_kept_and_read_by_everybody(tmp_path, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "run"
    result = train(
        make_config(**SMALL), policy=random_policy(), output=folder, progress=False
    )
    said = capsys.readouterr().err
    assert f"the policy will be kept in {folder}/policy, 0.068 MB (" in said
    assert sorted(p.name for p in (folder / "policy").iterdir()) == FILES
    assert same_weights(load_policy(str(folder / "policy")), result.policy)
    model = AutoModelForCausalLM.from_pretrained(folder / "policy")
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    assert torch.equal(model.lm_head.weight, result.policy.model.lm_head.weight)
    assert tokenizer.get_vocab() == result.policy.tokenizer.get_vocab()
    generation = model.generation_config
    sampler = (generation.do_sample, generation.temperature, generation.max_new_tokens)
    assert (*sampler, generation.top_k, generation.top_p) == (True, 0.8, 8, 0, 1.0)
    for path in (folder / "policy").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_the_card_tells_what_the_record_holds(tmp_path):
    folder = tmp_path / "run"
    config = make_config(**SMALL)
    train(config, policy=random_policy(), output=folder, progress=False)
    run, card = load_run(folder), (folder / "policy" / "README.md").read_text()
    assert run.meta["policy_step"] == 1
    assert run.meta["commit"][:7] in card and run.meta["command"] in card
    last = run.metrics.iloc[-1]
    for name in ("greedy_accuracy", "entropy", "pass@2"):
        assert f"| {name} | {last[f'eval/{name}']:.4g} |" in card
    assert f"| 1 | {last['reward']:.4g} |" in card
    assert "max_completion_length: 8" in card


def test_a_kept_policy_is_the_next_stage_s_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(
        make_config(**SMALL), policy=random_policy(), output="runs/one", progress=False
    )
    config = make_config(**{**SMALL, "policy": "runs/one/policy"})
    assert run_name(config.to_dict()) == "grpo_scratch-addition_one_seed0"
    assert train(config, output="runs/two", progress=False).finished
    assert (tmp_path / "runs/two/policy/model.safetensors").is_file()


@pytest.mark.parametrize(
    "engine", ["rlnotes", pytest.param("trl", marks=pytest.mark.trl)]
)
def test_best_is_the_first_of_the_best_evaluations(engine, tmp_path):
    extra = {}
    if engine == "trl":
        pytest.importorskip("trl")
        extra = {"report_to": "none"}
    config = make_config(**LAB, save_policy="best")
    output = tmp_path / "run"
    engines.train(config, engine=engine, output=output, progress=False, **extra)
    run = load_run(output)
    scores = run.metrics.set_index("step")["eval/sampled_accuracy"].drop(0)
    assert scores.iloc[-1] < scores.max()  # else the last one would do
    assert run.meta["policy_step"] == scores.idxmax()
    kept = load_policy(str(output / "policy"))
    again = evaluate(kept, load_task_of(run), config)
    assert again["eval/sampled_accuracy"] == scores.max()
    assert not (output / "best").exists()


def load_task_of(run):
    from rlnotes.tasks.loading import load_task

    return load_task(run.config["task"])


def test_a_new_process_repeats_the_record_s_numbers(tmp_path):
    output = tmp_path / "run"
    train(make_config(**{**LAB, "max_steps": 2}), output=output, progress=False)
    saved = tmp_path / "report.json"
    command = [sys.executable, "-m", "rlnotes.cli", "evaluate", str(output / "policy")]
    done = subprocess.run(
        [*command, "--output", str(saved)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "the record's held-out numbers: repeated exactly" in done.stdout
    told = json.loads(saved.read_text())
    last = load_run(output).metrics.iloc[-1]
    evaluated = {k: v for k, v in last.items() if k.startswith("eval/")}
    assert told["policy"]["metrics"] == evaluated and len(evaluated) > 6


def test_false_keeps_nothing(tmp_path):
    config = make_config(**SMALL, save_policy=False)
    train(config, policy=random_policy(), output=tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "policy").exists()
    assert "policy_step" not in load_run(tmp_path / "run").meta


def test_an_older_record_goes_on_and_another_save_policy_is_no_other_run(tmp_path):
    """A config.yaml from before the field; one that is resumed without keeping."""
    config = make_config(**{**SMALL, "max_steps": 3, "max_minutes": 1e-9})
    output = tmp_path / "run"
    options = {"output": output, "progress": False}
    assert not train(config, policy=random_policy(), **options).finished
    path = tmp_path / "run.partial" / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("save_policy: last\n", ""))
    assert path.read_text() != text
    config = make_config(**{**SMALL, "max_steps": 3}, save_policy=False)
    assert train(config, policy=random_policy(), **options, resume=True).finished
    assert not (output / "policy").exists()


# ------------------------------------------------------------------ kills, full disks


def in_a_child(work):
    """Run `work` in a forked child, where a kill or a limit hurts nobody else."""
    child = os.fork()
    if child == 0:
        os.close(2)
        os.open(os.devnull, os.O_WRONLY)
        status = 1
        try:
            status = work() or 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return status


def killed_at(event, options, save_policy):
    """Train in a child that kills itself at the n-th touch of a file while it saves."""

    def work():
        seen = {"saving": False, "count": 0}

        def audit(name, arguments):
            if name not in ("open", "os.mkdir", "os.rename", "os.rmdir", "os.remove"):
                return
            seen["saving"] |= any("policy.tmp" in str(x) for x in arguments)
            seen["saving"] |= any("step2.tmp" in str(x) for x in arguments)
            if seen["saving"]:
                seen["count"] += 1
                if seen["count"] == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(audit)
        config = make_config(**{**SMALL, "max_steps": 2}, save_policy=save_policy)
        train(config, policy=random_policy(), **options)

    return in_a_child(work) == signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
@pytest.mark.parametrize("save_policy", ["last", "best"])
def test_killed_while_saving_20_times_it_is_whole_or_absent(save_policy, tmp_path):
    output = tmp_path / "run"
    options = {"output": output, "progress": False}
    config = make_config(**{**SMALL, "max_steps": 2}, save_policy=save_policy)
    whole = train(config, policy=random_policy(), **options).policy
    states = []
    while True:
        shutil.rmtree(output, ignore_errors=True)
        if not killed_at(len(states) + 1, options, save_policy):
            break  # it touches no further file
        partial = tmp_path / "run.partial"
        found = [p for p in tmp_path.rglob("policy") if p.is_dir()]
        states.append(len(found))
        for folder in found:
            assert sorted(p.name for p in folder.iterdir()) == FILES
            assert same_weights(load_policy(str(folder)), whole)
        if partial.is_dir():
            result = train(config, policy=random_policy(), resume=True, **options)
            assert result.finished
        assert same_weights(load_policy(str(output / "policy")), whole)
    assert len(states) >= 20 and set(states) == {0, 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits a forked child")
def test_a_full_disk_is_one_line_and_the_run_goes_on(tmp_path):
    """The last save fails; with the state of the step before, nothing is lost."""
    output = tmp_path / "run"
    values = {**SMALL, "max_steps": 3}
    told = tmp_path / "told"

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        def fill(row):
            if row["step"] == 3:
                limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit))

        try:
            train(
                make_config(**values),
                policy=random_policy(),
                output=output,
                progress=False,
                on_step=fill,
            )
        except OSError as error:
            told.write_text(str(error))

    assert in_a_child(work) == 0
    message = told.read_text()
    assert "the policy cannot be kept in" in message and "--resume" in message
    assert "\n" not in message
    partial = tmp_path / "run.partial"
    assert not (partial / "policy").exists() and not (partial / "policy.tmp").exists()
    result = train(
        make_config(**values),
        policy=random_policy(),
        output=output,
        progress=False,
        resume=True,
    )
    assert result.finished and (output / "policy").is_dir()


def test_too_little_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    few = shutil._ntuple_diskusage(10, 9, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: few)
    with pytest.raises(RuntimeError, match="save_policy: the policy needs .* MB in"):
        train(
            make_config(**SMALL),
            policy=random_policy(),
            output=tmp_path / "run",
            progress=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_best_needs_evaluations(tmp_path):
    config = make_config(**SMALL, save_policy="best")
    with pytest.raises(ValueError, match="'best' needs evaluations"):
        check_keeping(config, random_policy(), tmp_path / "run", evaluations=False)


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        save_policy(random_policy(), tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []
    folder = save_policy(random_policy(), tmp_path / "new" / "policy")
    assert same_weights(load_policy(str(folder)), random_policy())


@pytest.mark.parametrize("value", [True, "first", None])
def test_save_policy_is_last_best_or_false(value):
    if value is None:
        assert make_config(save_policy=None).save_policy == "last"
        return
    with pytest.raises(ValueError, match="save_policy must be one of"):
        make_config(save_policy=value)


def test_evaluate_refuses_in_one_line(tmp_path, policy_folder, capsys):
    words = ["evaluate", str(policy_folder), "--output", str(tmp_path / "x.json")]
    cases = {
        "does not say what it was trained on": [],
        "samples must be": ["--task", "scratch-addition", "--samples", "0"],
        "unknown task 'nothing'": ["--task", "nothing"],
    }
    for message, more in cases.items():
        assert main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    assert not Path(tmp_path / "x.json").exists()
