"""Counting reflection in JSONL: `rlnotes reflect` against pandas and against parsing.

    python benchmarks/reflect.py            # 10 MB and 1 GB, about 10 minutes
    python benchmarks/reflect.py --quick    # 10 MB once, writes nothing

The files are made for the run, in the system's temporary folder, and deleted after it.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import (
    PeakMemory,
    Row,
    Task,
    argument_parser,
    compare,
    interleave,
    print_table,
    run_child,
    write_results,
)

SIZES = {"10 MB": 10_000_000, "1 GB": 1_000_000_000}
PEER = "pandas read_json + str.count"
METHOD = (
    "A file of 90 % English reasoning (1 to 60 sentences, every third with reflective "
    "words) and 10 % responses of the search lab, at 100 steps. Each contestant in a "
    "process of its own, imports outside the clock, the file in the page cache; median "
    "over rounds, every other round backwards. Ours counts words, behavior and lengths "
    "by step. The peer reads the whole file at once and counts the ten words by one "
    "case-insensitive pattern, and the white-space words, by step: one layer of our "
    "three. Limit: json.loads of every line, and nothing else. MB are bytes of the file"
    " / 1e6; memory is the peak above the level at the start."
)
SUBJECTS = ("we", "the sum", "this", "the answer", "that value", "x", "the product")
VERBS = ("is", "becomes", "equals", "gives", "leads to", "comes to", "should be")
OBJECTS = ("a number", "the area", "12 + 30", "7 * 8 = 56", "one half", "the total")
REFLECTIVE = (
    "Wait, that is not right.",
    "Let me double-check this result.",
    "However, the error is small, but we can verify it.",
    "First, find 7 * 4. Then double it.",
    "Hmm, I made a mistake, so let us try again.",
)


def write_completions(path: Path, size: int) -> None:
    """A JSONL file of `size` bytes or a little more; the same every time."""
    rng = random.Random(0)
    plain = [f"{clause(rng).capitalize()}, so {clause(rng)}." for _ in range(500)]
    written = index = 0
    with path.open("wb") as file:
        while written < size:
            record = lab_record(rng) if index % 10 == 0 else text_record(rng, plain)
            record["step"] = index % 100
            written += file.write(json.dumps(record).encode() + b"\n")
            index += 1


def clause(rng: random.Random) -> str:
    """A few plain words."""
    return " ".join(rng.choice(words) for words in (SUBJECTS, VERBS, OBJECTS))


def text_record(rng: random.Random, plain: list[str]) -> dict[str, Any]:
    """A natural text; every third holds a reflective sentence."""
    sentences = rng.choices(plain, k=rng.randint(1, 60))
    if rng.random() < 1 / 3:
        sentences.insert(rng.randrange(len(sentences)), rng.choice(REFLECTIVE))
    messages = [{"role": "user", "content": f"What is {rng.randrange(1000)} * 7?"}]
    rewards = {"accuracy_reward": float(rng.random() < 0.5)}
    return {"prompt": messages, "completion": " ".join(sentences), "rewards": rewards}


def lab_record(rng: random.Random) -> dict[str, Any]:
    """A response of the search lab with a few tries."""
    tries = ["5 * 6 = 30 - 9 = 21 ? 20 wait"] * rng.randint(0, 4)
    completion = " ".join([*tries, "5 + 6 = 11 + 9 = 20 ? 20 answer + +"])
    return {"prompt": "make 20 from 5 6 9 :", "completion": completion, "correct": 1}


def prepare_ours() -> Callable[[str], object]:
    """`reflect`, with everything imported that it needs."""
    import pandas  # noqa: F401

    from rlnotes.reflection.report import reflect

    return lambda path: reflect([path], words="r1").table()


def prepare_pandas() -> Callable[[str], object]:
    """What one would write in a notebook: one layer of three, all in memory."""
    import pandas as pd

    from rlnotes.reflection.words import WORD_LISTS

    pattern = rf"(?i)\b(?:{'|'.join(WORD_LISTS['r1'])})\b"

    def count(path: str) -> object:
        table = pd.read_json(path, lines=True)
        table["words"] = table["completion"].str.count(pattern)
        table["tokens"] = table["completion"].str.split().str.len()
        return table.groupby("step")[["words", "tokens"]].sum()

    return count


def prepare_parsing() -> Callable[[str], object]:
    """The limit: every line parsed, nothing counted."""

    def parse(path: str) -> int:
        with open(path, "rb") as file:
            return sum(len(json.loads(line)) for line in file)

    return parse


CONTESTANTS = {"ours": prepare_ours, PEER: prepare_pandas, "limit": prepare_parsing}


def child(task: dict[str, Any]) -> dict[str, float]:
    """Seconds and peak bytes of one contestant on one file."""
    run = CONTESTANTS[task["name"]]()
    clock = time.process_time if task["clock"] == "cpu" else time.perf_counter
    with PeakMemory() as memory:
        start = clock()
        run(task["path"])
        seconds = clock() - start
    return {"seconds": seconds, "peak": memory.peak}


def make_rows(
    medians: dict[Task, dict[str, float]], files: dict[str, Path]
) -> list[Row]:
    """MB a second and peak memory of every file."""
    rows: list[Row] = []
    for label, path in files.items():
        megabytes = path.stat().st_size / 1e6
        found = {name: medians[name, label] for name in CONTESTANTS}
        rates = {name: megabytes / found[name]["seconds"] for name in found}
        peaks = {name: found[name]["peak"] / 1e6 for name in found}
        rows += compare(f"reading {label}", "MB/s", rates.pop("ours"), rates)
        rows += compare(f"peak memory, {label}", "MB", peaks.pop("ours"), peaks)
    return rows


def main() -> None:
    """Measure everything, print the table, write the results."""
    arguments = argument_parser(__doc__, rounds=3).parse_args()
    sizes = dict(list(SIZES.items())[: 1 if arguments.quick else None])
    with tempfile.TemporaryDirectory() as folder:
        files = {label: Path(folder, f"{size}.jsonl") for label, size in sizes.items()}
        for label, path in files.items():
            write_completions(path, sizes[label])

        def measure(task: Task) -> dict[str, Any]:
            name, label = task
            options = {
                "name": name,
                "path": str(files[label]),
                "clock": arguments.clock,
            }
            return run_child(__file__, options, threads=arguments.threads)

        tasks = [(name, label) for label in files for name in CONTESTANTS]
        rounds = 1 if arguments.quick else arguments.rounds
        rows = make_rows(interleave(tasks, rounds, measure), files)
    print_table(rows)
    if not arguments.quick:
        method = METHOD + f" {arguments.threads} thread(s), {arguments.clock} clock."
        path = write_results("reflect", rows, method=method, packages=["pandas"])
        print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    if "--child" in sys.argv:
        os.environ.setdefault("MPLBACKEND", "agg")
        print(json.dumps(child(json.loads(sys.argv[-1]))))
    else:
        main()
