"""Do records repeat? Some runs, drawn at random, are trained again and compared.

    python scripts/repeat.py data/experiments/dapo --count 3 --draw 0

Each is trained from its own `config.yaml` into a folder that is thrown away; every
column of `metrics.csv` but the times must equal the record to the last digit. That
holds on one kind of machine: another kind of CPU rounds otherwise, and the comparison
says which kind made the record.
"""

import argparse
import random
import tempfile
from pathlib import Path

import rlnotes as rl
from rlnotes.records.reading import Run

TIMES = ("time", "seconds", "memory")


def different_columns(recorded: Run, repeated: Run) -> list[str]:
    """Columns that are not the same to the last digit; times are not compared."""
    old, new = recorded.metrics, repeated.metrics
    names = sorted({*old.columns, *new.columns})
    kept = [name for name in names if not any(word in name for word in TIMES)]
    same = [
        name in old and name in new and old[name].equals(new[name]) for name in kept
    ]
    return [name for name, equal in zip(kept, same, strict=True) if not equal]


def main() -> int:
    """Print a line a run; 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--draw", type=int, default=0, help="seed of the draw")
    options = parser.parse_args()
    found = sorted(path.parent for path in options.folder.rglob("meta.json"))
    drawn = random.Random(options.draw).sample(found, min(options.count, len(found)))
    wrong = 0
    for folder in drawn:
        record = rl.load_run(folder)
        with tempfile.TemporaryDirectory() as scratch:
            config = rl.make_config(**record.config)
            rl.train(config, output=Path(scratch) / "run", progress=False)
            differs = different_columns(record, rl.load_run(Path(scratch) / "run"))
        wrong += bool(differs)
        count = len(record.metrics.columns)
        said = f"differ: {', '.join(differs)}" if differs else "equal to the last digit"
        print(f"{folder}: {len(record.metrics)} rows × {count} columns, {said}")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
