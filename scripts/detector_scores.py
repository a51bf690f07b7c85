"""Precision and recall of the reflection detectors on data/labels/reflection.jsonl.

python scripts/detector_scores.py [LABELS.jsonl]
"""

import sys
from pathlib import Path

from rlnotes.reflection.scores import read_labels, score_labels

LABELS = Path(__file__).resolve().parent.parent / "data" / "labels" / "reflection.jsonl"


def main(argv: list[str]) -> int:
    """Print the table of `score_labels`; 2 when there are no labels to read."""
    path = Path(argv[0]) if argv else LABELS
    try:
        table = score_labels(read_labels(path))
    except (OSError, ValueError) as error:
        print(f"detector_scores: {error}", file=sys.stderr)
        return 2
    print(table.to_string(index=False, float_format="{:.3f}".format))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
