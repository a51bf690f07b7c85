"""The lab's detector against hand labels, when they are there."""

import importlib.util
from pathlib import Path

import pytest

from rlnotes.reflection.scores import read_labels, score_labels

ROOT = Path(__file__).resolve().parents[2]
LABELS = ROOT / "data" / "labels" / "reflection.jsonl"


@pytest.fixture
def command():
    path = ROOT / "scripts" / "detector_scores.py"
    spec = importlib.util.spec_from_file_location("detector_scores", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not LABELS.exists(), reason="no hand labels yet")
def test_the_lab_detector_agrees_with_hand_labels():
    rows = read_labels(LABELS)
    assert len(rows) >= 200
    table = score_labels(rows)
    print(table.to_string())
    lab = table[(table["source"] == "search") & (table["support"] > 0)]
    assert set(lab["behavior"]) >= {"verification", "backtracking"}
    assert (lab[["precision", "recall"]] >= 0.95).all(axis=None)
    silent = table[(table["source"] == "search") & (table["support"] == 0)]
    assert (silent["detected"] == 0).all()


def test_the_command_prints_a_row_for_each_source_and_behavior(
    command, tmp_path, capsys
):
    path = tmp_path / "labels.jsonl"
    labels = '{"verification": true, "backtracking": false, "subgoal_setting": false'
    labels += ', "backward_chaining": false}'
    lab = '{"source": "search", "prompt": "make 3 from 1 2 :", "completion": '
    lab += f'"1 + 2 = 3 ? 3 answer +", "labels": {labels}}}\n'
    text = '{"source": "smollm2", "prompt": "?", "completion": "3", "labels": '
    path.write_text(lab + text + labels + "}\n")
    assert command.main([str(path)]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 8 and "recall_high" in header
    assert rows[0].split()[:5] == ["search", "verification", "1", "1", "1.000"]
    assert rows[4].split()[:5] == ["smollm2", "verification", "1", "0", "NaN"]


def test_the_command_says_what_is_missing(command, tmp_path, capsys):
    assert command.main([str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
