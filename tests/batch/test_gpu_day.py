"""The day on a GPU: its budget, its failures, its files; and the pack that travels."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from rlnotes.batch.gpu_day import DAY, PARTS, Part, plan, run_day, select
from rlnotes.batch.gpu_results import AWAITS, PAGE, collect
from rlnotes.batch.gpu_runs import Runs, choose_steps

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "scripts" / "gpu_pack.py"
WRITE = (
    "import os, pathlib; (pathlib.Path(os.environ['RLNOTES_RESULTS']) / 'x').touch()"
)


def part(script, **changes):
    command = ("-c", script)
    return replace(Part("a part", command, command, at_most=30.0), **changes)


def test_a_rehearsal_in_which_the_benchmarks_fail_leaves_the_rest_whole(tmp_path):
    parts = select(["check", "tests", "loss", "runs"])
    parts["loss"] = replace(parts["loss"], rehearsal=("-c", "raise SystemExit('no')"))
    outcomes = run_day(tmp_path / "day", minutes=15, dry_run=True, parts=parts)
    states = {one["name"]: one["state"] for one in outcomes}
    failed = states.pop("loss")
    assert failed == "failed: exit status 1" and set(states.values()) == {"done"}
    assert next(x for x in outcomes if x["name"] == "loss")["said"] == "no"
    found = sorted(path.name for path in (tmp_path / "day").iterdir())
    names = ["check", "loss", "runs", "tests"]
    assert found == sorted(["day.json", *(f"{name}.tar.gz" for name in names)])
    # into an empty tree: the record, and a page without a single measured row
    with pytest.raises(ValueError, match="is a rehearsal, expected a day on a GPU"):
        collect(tmp_path / "day", tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    written = collect(tmp_path / "day", tmp_path / "tree", rehearsal=True)
    records = list((tmp_path / "tree" / "data" / "runs").iterdir())
    assert [run.name for run in records] == ["grpo_search_search-base_seed0_gpu"]
    assert (records[0] / "metrics.csv").is_file() and written[-1].name == PAGE.name
    page = (tmp_path / "tree" / PAGE).read_text()
    assert page.count(AWAITS) == 8 and "measured:" not in page
    with pytest.raises(FileExistsError, match="a record is already in"):
        collect(tmp_path / "day", tmp_path / "tree", rehearsal=True)


def test_a_day_ends_with_its_minutes_and_says_what_had_none(tmp_path):
    parts = {
        "slow": part("import time; time.sleep(60)", at_most=None),
        "later": part(WRITE, at_most=1.0),
    }
    outcomes = run_day(tmp_path, minutes=0.15, dry_run=True, parts=parts)
    assert [one["state"] for one in outcomes] == ["out of time", "no time left"]
    assert outcomes[0]["seconds"] < 30
    assert sorted(p.name for p in tmp_path.iterdir()) == ["day.json", "slow.tar.gz"]
    with pytest.raises(FileExistsError, match="output: a day is already in"):
        run_day(tmp_path, minutes=1, parts={})


def test_what_a_part_wrote_is_in_its_archive_and_the_day_is_told_after_each(tmp_path):
    seen = f"import json; print(len(json.load(open({str(tmp_path / DAY)!r}))['parts']))"
    parts = {"first": part(WRITE), "second": part(seen)}
    outcomes = run_day(tmp_path, minutes=1, dry_run=True, parts=parts)
    with tarfile.open(tmp_path / "first.tar.gz") as archive:
        assert "first/x" in archive.getnames()
    assert outcomes[1]["said"] == "1"


def test_a_day_has_at_most_eight_files_and_the_plan_names_every_part():
    assert len(PARTS) + 1 <= 8
    rates = {"start": 2.0, "op": 1e-5, "flops": 1e14}
    assert part("", starts=3, operations=1e5, flops=6e13).seconds(rates) == 9.0
    text = plan(PARTS, rates, 13)
    assert all(name in text for name in PARTS)
    with pytest.raises(ValueError, match="only.*'lunch'"):
        select(["lunch"])


def test_steps_are_chosen_so_that_all_runs_end():
    runs = Runs((Path("a"), Path("b"), Path("c")), {})
    # 15 runs, 8 at once: two waves of 300 s, 20 s of each beside its steps
    assert choose_steps(runs, 600, 2.0, 20, jobs=8) == (125, 5)
    assert choose_steps(runs, 6000, 2.0, 20, jobs=8) == (300, 5)
    assert choose_steps(runs, 120, 2.0, 20, jobs=3) == (50, 1)
    assert choose_steps(runs, 60, 2.0, 20, jobs=3) == (0, 0)


def test_measured_rows_come_from_results_of_a_gpu_alone(tmp_path):
    machine = {"gpu": {"name": "a test's card", "driver": "1"}}
    row = {"case": "copy", "ours": 3, "peer": "", "peer_name": "", "unit": "GB/s"}
    record = {"hardware": machine, "command": "python x", "rows": [row]}
    day = tmp_path / "day"
    day.mkdir()
    (day / DAY).write_text(json.dumps({"rehearsal": False}))
    with tarfile.open(day / "check.tar.gz", "w:gz") as archive:
        for name in ("device_cuda.json", "loss.json"):
            data = json.dumps(record).encode()
            info = tarfile.TarInfo(f"check/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    collect(day, tmp_path / "tree")
    results = tmp_path / "tree" / "benchmarks" / "results"
    assert [path.name for path in results.iterdir()] == ["device_cuda.json"]
    page = (tmp_path / "tree" / PAGE).read_text()
    assert "measured: a test's card" in page and "| copy | 3 |" in page
    assert page.count(AWAITS) == 7


def test_the_page_in_the_repository_is_what_its_results_give():
    from rlnotes.batch.gpu_results import BEGIN, END, measured

    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == measured(ROOT)


def unpack(*folders, target):
    command = [sys.executable, str(PACK), "unpack", *map(str, folders)]
    return subprocess.run(
        [*command, "--target", str(target)], capture_output=True, text=True
    )


def test_unpacking_names_what_is_missing_and_does_nothing_twice(tmp_path):
    import hashlib

    meta = "Metadata-Version: 2.1\nName: small\nVersion: 1\n"
    wheel = tmp_path / "small-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small.py", "x = 1\n")
        archive.writestr("small-1.dist-info/METADATA", meta)
        archive.writestr(
            "small-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
        )
        archive.writestr("small-1.dist-info/RECORD", "")
    parts = {"m-1-py3-none-any.whl.part0": b"ab", "m-1-py3-none-any.whl.part1": b"c"}
    files = {wheel.name: wheel.read_bytes(), **parts}
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    one, two = tmp_path / "1", tmp_path / "2"
    for folder, names in ((one, list(files)[:2]), (two, list(files)[2:])):
        folder.mkdir()
        (folder / "pack.json").write_text(json.dumps(listed))
        for name in names:
            (folder / name).write_bytes(files[name])
    target = tmp_path / "there"
    first = unpack(one, target=target)
    assert (
        first.returncode == 1 and "missing: m-1-py3-none-any.whl.part1" in first.stderr
    )
    assert (target / "site" / "small.py").is_file() and not (target / "model").exists()
    second = unpack(two, target=target)
    assert (
        second.returncode == 0
        and "0 wheels installed, 1 there already" in second.stdout
    )
    assert (target / "model" / "m-1-py3-none-any.whl").read_bytes() == b"abc"
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    again = unpack(one, two, target=target)
    assert again.returncode == 0 and "0 wheels installed" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before
