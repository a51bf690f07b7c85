"""Notebooks run in order, a failure is named and stops nothing, parameters are checked.

Every test of a run is one of real notebooks of a few cells in real kernels.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from rlnotes.batch.notebook_runner import find_notebooks, run_notebooks
from rlnotes.batch.notebook_times import committed_seconds, pace, time_left
from rlnotes.batch.one_notebook import check_parameters, run_notebook_with_config
from rlnotes.cli import main
from rlnotes.machine.provenance import project_folder
from rlnotes.teaching.notebook_pairs import KERNELSPEC

PARAMETERS = """\
steps = 2
learning_rate = 1.0e-5  # a float
algorithm = "grpo"
delta = None
reward_funcs = ["accuracy_reward"]
bf16 = True"""


def write_notebook(path: Path, *sources: str, parameters: str | None = None) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters:
        cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        cells.insert(0, cell)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = KERNELSPEC
    nbformat.write(notebook, path)
    return path


def printed(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    outputs = [x for cell in cells for x in cell.get("outputs", [])]
    return "".join(x.get("text", "") for x in outputs if x.get("name") == "stdout")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A clone with three notebooks, the second of which fails in its second cell."""
    (tmp_path / "rlnotes").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    first = "import os, pathlib; print(os.environ['RLNOTES_RUNS'], pathlib.Path.cwd())"
    write_notebook(
        folder / "00_a.ipynb", first, "print('noise\\nstep 1/2 reward 0.5\\nsteps 3')"
    )
    write_notebook(folder / "01_b.ipynb", "x = 1", "# cell two\nassert x == 2, 'no'")
    write_notebook(folder / "02_c.ipynb", "print('last')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLNOTES_RUNS", raising=False)
    return tmp_path


def test_a_failing_notebook_is_named_and_the_others_run(project, capfd, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda command: None)  # no model to fetch
    assert main(["run", "--output", "out", "--jobs", "1"]) == 1
    out, err = capfd.readouterr()
    assert "01_b.ipynb failed in cell [2]: AssertionError: no" in err
    assert "[1/3] 00_a" in out and "step 1/2 reward 0.5" in out
    assert "noise" not in out and "steps" not in out
    table = out[out.index("notebook  seconds  result") :].splitlines()
    assert [line.split()[0] for line in table[1:4]] == ["00_a", "01_b", "02_c"]
    assert [line.split(maxsplit=2)[2] for line in table[1:4]] == [
        "ok",
        "failed in cell [2]: AssertionError: no",
        "ok",
    ]
    assert table[5] == (
        f"01_b: open {Path('out/01_b.ipynb')} at the failing cell;"
        " once it is mended: make run NB=01_b"
    )
    assert table[-1] == "executed notebooks: out"
    names = sorted(path.name for path in (project / "out").iterdir())
    assert names == ["00_a.ipynb", "01_b.ipynb", "02_c.ipynb"]
    records, cwd = project / "out" / "records", project / "notebooks"
    assert printed(project / "out" / "00_a.ipynb").startswith(f"{records} {cwd}\n")
    assert printed(project / "out" / "02_c.ipynb") == "last\n"


FIRST_KERNELS_DIE = """
import os, pathlib, sys
if "ipykernel_launcher" in sys.orig_argv:
    for number in range(int(os.environ["DYING"])):
        if not (mark := pathlib.Path(__file__).with_name(f"died_{number}")).exists():
            mark.touch()
            os._exit(1)
"""


@pytest.mark.parametrize(("dying", "well"), [(2, True), (3, False)])
def test_a_kernel_that_dies_at_its_start_gets_two_more(
    project, monkeypatch, tmp_path_factory, dying, well
):
    """As when another kernel has taken its port: no cell has run yet."""
    path = tmp_path_factory.mktemp("site")
    (path / "sitecustomize.py").write_text(FIRST_KERNELS_DIE)
    monkeypatch.setenv("PYTHONPATH", f"{path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("DYING", str(dying))
    (result,) = run_notebooks("notebooks", "out", ["00_a"], jobs=1)
    assert (result.error is None) == well
    assert well or "before replying to kernel_info" in result.error


DIES = "import os; os.kill(os.getpid(), 9)"


def test_a_killed_kernel_costs_its_own_notebook_only(project, capfd):
    """As the system kills it for memory: the advice names what to halve."""
    folder = project / "notebooks"
    write_notebook(folder / "00_a.ipynb", "print('last words')", DIES, "print('never')")
    parameters = "max_steps = 4\neval_samples = 8\ngeneration_batch_size = 64"
    write_notebook(folder / "01_b.ipynb", DIES, parameters=parameters)
    results = run_notebooks("notebooks", "out", jobs=1)
    assert [r.error for r in results] == [
        "outside a cell: DeadKernelError: Kernel died",
        "outside a cell: DeadKernelError: Kernel died",
        None,
    ]
    assert printed(project / "out" / "00_a.ipynb") == "last words\n"
    assert printed(project / "out" / "02_c.ipynb") == "last\n"
    out, err = capfd.readouterr()
    assert err.count(" failed outside a cell: DeadKernelError") == 2
    died = "a kernel that is killed mostly ran out of memory:"
    assert f"\n00_a: {died} close other programs, then make run NB=00_a\n" in out
    command = "rlnotes notebook notebooks/01_b.ipynb out/01_b.ipynb"
    halve = f"halve generation_batch_size: {command} generation_batch_size=32"
    assert f"\n01_b: {died} {halve}\n" in out
    assert main(halve.split(": rlnotes ")[1].split()) == 2  # it knows the parameter
    assert "Kernel died" in capfd.readouterr().err


def test_a_kernel_that_cannot_start_is_no_matter_of_memory(project, monkeypatch, capfd):
    monkeypatch.setattr("rlnotes.batch.one_notebook.KERNEL", "nothing")
    (result,) = run_notebooks("notebooks", "out", ["02_c"])
    assert result.error == (
        "outside a cell: NoSuchKernel: No such kernel named nothing"
    )
    assert "02_c: see whether `rlnotes check` finds" in capfd.readouterr().out


def test_each_notebook_says_how_long_it_and_the_rest_will_take(project, capfd):
    """No terminal here. 01_b fails at once: it says nothing on this machine's pace."""
    seconds = {"00_a": 30, "01_b": 600, "02_c": 90}
    path = project / "notebooks" / "seconds.json"
    path.write_text(json.dumps({"machine": "another", "seconds": seconds}))
    results = run_notebooks("notebooks", "out", speed=0.5, jobs=1)
    lines = [x for x in capfd.readouterr().out.splitlines() if x.startswith("[")]
    assert lines[0] == "[1/3] 00_a, about 1 min; 24 min left"
    now = (60 / 0.5 + results[0].seconds) / (60 + 30)
    b, both = (math.ceil(x * now / 60) for x in (600, 690))
    assert lines[1] == f"[2/3] 01_b, about {b} min; {both} min left"
    c = math.ceil(90 * now / 60)
    assert lines[2] == f"[3/3] 02_c, about {c} min; {c} min left"


def test_the_pace_starts_at_the_speed_and_goes_to_what_is_measured():
    committed = {"a": 60.0, "b": 540.0}
    assert pace(committed, {}) == 1.0
    assert pace(committed, {}, speed=4.0) == 0.25
    # (60 + 180)/(60 + 60): one notebook as long as the prior counts half
    assert pace(committed, {"a": 180.0, "of my own": 999.0}) == 2.0
    assert pace(committed, {"a": 180.0, "b": 1620.0}) == pytest.approx(1860 / 660)
    for speed in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"speed must be > 0, got {speed}"):
            pace(committed, {}, speed=speed)


def test_unknown_notebooks_are_left_out_of_the_time():
    committed = {"a": 30.0, "b": 61.0}
    assert time_left(["a", "b"], committed, 1.0) == ", about 1 min; 2 min left"
    assert time_left(["b", "a"], committed, 2.0) == ", about 3 min; 4 min left"
    assert time_left(["x", "b"], committed, 1.0) == "; at least 2 min left"
    assert time_left(["b", "x"], committed, 1.0) == ", about 2 min; at least 2 min left"
    assert time_left(["x"], committed, 1.0) == ""


def test_the_committed_seconds_are_of_notebooks_that_there_are(tmp_path):
    assert committed_seconds(tmp_path) == {}
    folder = project_folder() / "notebooks"
    seconds = committed_seconds(folder)
    assert seconds and all(x > 0 for x in seconds.values())
    assert set(seconds) <= {path.stem for path in find_notebooks(folder)}


def test_one_notebook_can_be_chosen(project, capfd):
    results = run_notebooks("notebooks", "out", ["02_c.ipynb"])
    assert [(r.name, r.error) for r in results] == [("02_c", None)]
    assert results[0].seconds > 0


def test_bad_names_and_folders_are_refused_before_anything_runs(project):
    with pytest.raises(ValueError, match=r"'09_z' is unknown.*'00_a', '01_b', '02_c'"):
        run_notebooks("notebooks", "out", ["00_a", "09_z"])
    with pytest.raises(ValueError, match="has no notebook"):
        run_notebooks("rlnotes", "out")
    assert not (project / "out").exists()
    with pytest.raises(ValueError, match="output folder notebooks is not empty"):
        run_notebooks("notebooks", "notebooks")
    with pytest.raises(ValueError, match=r"pyproject.toml/out cannot be written"):
        run_notebooks("notebooks", "pyproject.toml/out")


def test_notebooks_come_in_order(project):
    for name in ("10_k", "03_d"):
        write_notebook(project / "notebooks" / f"{name}.ipynb", "1")
    stems = [path.stem for path in find_notebooks(Path("notebooks"))]
    assert stems == ["00_a", "01_b", "02_c", "03_d", "10_k"]
    chosen = find_notebooks(Path("notebooks"), ["10_k", "00_a"])
    assert [path.stem for path in chosen] == ["00_a", "10_k"]


def test_a_config_file_and_overrides_reach_the_notebook(tmp_path):
    cell = "print(algorithm, steps, learning_rate, delta)"
    notebook = write_notebook(tmp_path / "n.ipynb", cell, parameters=PARAMETERS)
    (tmp_path / "c.yaml").write_text("algorithm: dapo\nsteps: 3\nlearning_rate: 1\n")
    out = tmp_path / "new" / "out.ipynb"
    words = [str(notebook), str(out), "--config", str(tmp_path / "c.yaml"), "steps=4"]
    assert main(["notebook", *words]) == 0
    assert printed(out) == "dapo 4 1 None\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepps": 3}, r"'stepps' is unknown to n.ipynb, .*; did you mean 'steps'\?"),
        ({"steps": "3"}, "'steps' must be int like 2, got '3'"),
        ({"steps": True}, "'steps' must be int like 2, got True"),
        ({"steps": 2.5}, "'steps' must be int like 2, got 2.5"),
        ({"learning_rate": "1e-5"}, "'learning_rate' must be float like 1e-05"),
        ({"algorithm": 3}, "'algorithm' must be str like 'grpo', got 3"),
        ({"reward_funcs": "accuracy_reward"}, "'reward_funcs' must be list"),
        ({"bf16": 1}, "'bf16' must be bool like True, got 1"),
    ],
)
def test_papermill_only_warns_but_we_refuse(tmp_path, values, message):
    notebook = write_notebook(tmp_path / "n.ipynb", "1", parameters=PARAMETERS)
    with pytest.raises(ValueError, match=message):
        run_notebook_with_config(notebook, tmp_path / "out.ipynb", values)
    assert not (tmp_path / "out.ipynb").exists()


def test_an_int_is_a_float_and_none_leaves_a_choice_open(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "1", parameters=PARAMETERS)
    check_parameters(notebook, {"learning_rate": 1, "delta": 3.0, "steps": None})


def test_a_notebook_without_parameters_takes_none(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "steps = 1")
    check_parameters(notebook, {})
    with pytest.raises(ValueError, match="'steps' is unknown"):
        check_parameters(notebook, {"steps": 1})


def test_a_missing_config_or_one_that_is_no_mapping_is_refused(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "1", parameters=PARAMETERS)
    with pytest.raises(FileNotFoundError, match="config: no file"):
        run_notebook_with_config(notebook, tmp_path / "o.ipynb", tmp_path / "c.yaml")
    for text in ("- a\n- b", "a: [1", "3: x"):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ValueError, match="c.yaml"):
            run_notebook_with_config(notebook, tmp_path / "o", tmp_path / "c.yaml")


def test_two_at_a_time_begin_with_the_longest_and_end_in_order(project, capfd):
    """Each waits for the other's file: one after the other they would never end."""
    wait = (
        "import os, pathlib, time\n"
        "pathlib.Path('{mine}').touch()\n"
        "end = time.monotonic() + 120  # the other's kernel may have died\n"
        "while not pathlib.Path('{other}').exists():\n"
        "    assert time.monotonic() < end, 'the other never came'\n"
        "    time.sleep(0.05)\n"
        "print('step', os.environ['OMP_NUM_THREADS'], os.environ['RLNOTES_RUNS'])"
    )
    folder = project / "notebooks"
    write_notebook(folder / "00_a.ipynb", wait.format(mine="a", other="c"))
    write_notebook(folder / "02_c.ipynb", wait.format(mine="c", other="a"))
    seconds = {"seconds": {"00_a": 60, "01_b": 1, "02_c": 120}}
    (folder / "seconds.json").write_text(json.dumps(seconds))
    before = dict(os.environ)
    results = run_notebooks(folder, project / "out", jobs=2)
    assert [r.name for r in results] == ["00_a", "01_b", "02_c"]
    assert [r.error is None for r in results] == [True, False, True], results
    assert dict(os.environ) == before
    out = capfd.readouterr().out
    records = project / "out" / "records"
    assert "[1/3] 02_c, about 2 min; 2 min left" in out and "[2/3] 00_a" in out
    assert f"  00_a: step 1 {records}" in out and f"  02_c: step 1 {records}" in out


@pytest.mark.parametrize(
    ("memory", "cores", "count", "jobs"),
    [
        (20e9, 2, 9, 2),
        (20e9, 8, 9, 2),
        (20e9, 2, 1, 1),
        (20e9, 1, 9, 1),
        (12e9, 2, 9, 1),
        (None, 2, 9, 1),
    ],
)
def test_two_at_a_time_where_there_is_room(memory, cores, count, jobs, monkeypatch):
    from rlnotes.batch import notebook_runner

    monkeypatch.setattr(notebook_runner, "free_memory", lambda: memory)
    monkeypatch.setattr(notebook_runner, "free_cores", lambda: cores)
    assert notebook_runner.simultaneous(count) == jobs


def test_the_first_guess_is_the_ratio_of_float32_products(tmp_path, monkeypatch):
    from rlnotes.batch import notebook_times

    assert notebook_times.speed_here(tmp_path) == 1
    (tmp_path / "seconds.json").write_text('{"seconds": {}}')
    assert notebook_times.speed_here(tmp_path) == 1
    (tmp_path / "seconds.json").write_text('{"float32_gflops": 80, "seconds": {}}')
    monkeypatch.setattr(notebook_times, "_RATE", "print(40)")
    assert notebook_times.speed_here(tmp_path) == 0.5


def test_the_rate_that_is_asked_for_can_be_had():
    from rlnotes.batch import notebook_times

    done = subprocess.run(
        [sys.executable, "-c", notebook_times._RATE], capture_output=True, text=True
    )
    assert float(done.stdout) > 0
