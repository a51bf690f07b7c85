"""Records of completions in the shapes in which they are published."""

import gzip
import json

import pytest

from rlnotes.reflection.benefit import is_right
from rlnotes.reflection.report import reflect
from rlnotes.reflection.responses import Reader
from rlnotes.reflection.shapes import completions_of

TOOL = {"role": "tool", "content": "wait wait wait"}
SAID = {"role": "assistant", "reasoning_content": "Wait, 5?", "content": "4"}


@pytest.mark.parametrize(
    ("record", "texts"),
    [
        ({"completion": "a"}, ["a"]),
        ({"completion": [SAID]}, ["Wait, 5?\n4"]),
        ({"completion": [SAID, TOOL]}, ["Wait, 5?\n4"]),
        ({"completion": [TOOL]}, []),
        ({"completion": ["a", "b"]}, []),  # not what a completion is
        ({"generations": ["a", "b"]}, ["a", "b"]),
        ({"resps": [["a"], ["b"]]}, ["a", "b"]),
        ({"resps": [[["a"]]], "doc_id": 3}, ["a"]),
        ({"choices": [{"message": SAID}, {"text": "b"}]}, ["Wait, 5?\n4", "b"]),
        ({"messages": [{"role": "user", "content": "q"}, SAID]}, ["Wait, 5?\n4"]),
        ({"messages": [{"role": "user", "content": "wait"}]}, []),
        (
            {"conversations": [{"from": "human", "value": "q"}]},
            [],
        ),
        (
            {"conversations": [{"from": "human"}, {"from": "gpt", "value": "a"}]},
            ["a"],
        ),
        ({"resps": [[-1.5, False]]}, []),
        ({"text": "a"}, []),
    ],
)
def test_completions_are_found_where_they_are_published(record, texts) -> None:
    found = [row["completion"] for row in completions_of(record, "completion")]
    assert found == texts


def test_a_field_may_be_named_and_dotted() -> None:
    record = {"out": {"texts": ["a", "b"]}, "generations": ["c"]}
    assert [row["out.texts"] for row in completions_of(record, "out.texts")] == [
        "a",
        "b",
    ]


def test_each_generation_has_its_own_verdict_and_the_rows_problem() -> None:
    record = {
        "problem": "q",
        "generations": ["a", "b"],
        "correctness_math_verify": [True, False],
        "length": 9,
    }
    rows = completions_of(record, "completion")
    assert [is_right(row) for row in rows] == [True, False]
    assert [row["problem_id"] for row in rows] == ["q", "q"]
    assert not any("length" in row for row in rows)
    lm_eval = {"resps": [["a"]], "doc_id": 3, "exact_match": 1.0}
    assert is_right(completions_of(lm_eval, "completion")[0]) is True


ROWS = [{"generations": ["Wait, no.", "fine"]}, {"generations": ["wait"]}]


def write(path, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        import pandas as pd

        pd.DataFrame(ROWS).to_parquet(path)
        return
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    if "array" in kind:
        text = json.dumps(ROWS, indent=1)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.jsonl", "lines"), ("a.jsonl.gz", "lines gz"), ("a.json", "array")),
        *(("a.json.gz", "array gz"), ("a.json", "lines"), ("a.jsonl", "array")),
        ("a.parquet", "parquet"),
    ],
)
def test_files_of_every_kind_give_the_same_counts(tmp_path, name, kind) -> None:
    write(tmp_path / name, kind)
    report = reflect([tmp_path / name])
    assert report.counted.reading.responses == 3
    [waits] = report.summary().loc[["wait/per_response"], "all"]
    assert waits == pytest.approx(2 / 3)


def test_a_file_without_a_completion_says_what_it_has(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "wait", "score": 1}\n')
    with pytest.raises(ValueError, match=r"of any line; they have \['text', 'sc"):
        list(Reader().read(path))
    assert len(list(Reader(field="text").read(path))) == 1
