"""`rlnotes reflect`: from files of any kind to a table, a figure or one clear line."""

import io
import json
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnotes.cli import main
from rlnotes.reflection.benefit import is_right
from rlnotes.reflection.counts import MAX_STEPS, Counts, count_reflection, rates
from rlnotes.reflection.report import Report, reflect
from rlnotes.reflection.responses import Reader, RecordedResponse
from rlnotes.reflection.words import load_words

R1 = load_words("r1")
LAB = "make 20 from 5 6 9 :"
MISS, HIT = "5 * 6 = 30 - 9 = 21 ? 20", "5 + 6 = 11 + 9 = 20 ? 20"


def write(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def record(completion, step=1, **columns):
    return {"step": step, "completion": completion, **columns}


def counts_of(texts, words=R1):
    counts = Counts()
    for text in texts:
        counts.add(
            RecordedResponse(text, len(text.split()), False, None, {}, ""), words
        )
    return counts


# --- counters -------------------------------------------------------------------------


def test_rates_by_hand():
    counts = counts_of(["Wait, wait: But no", "so it is", "check: 3 = 3"])
    found = rates(counts, R1)
    assert found["per_response"] == 4 / 3
    assert found["per_1000_tokens"] == pytest.approx(1000 * 4 / 11)
    assert found["share"] == 2 / 3
    assert found["wait/per_response"] == found["word/wait"] == 2 / 3
    assert found["wait/per_1000_tokens"] == pytest.approx(1000 * 2 / 11)
    assert found["word/but"] == found["word/check"] == 1 / 3
    assert found["word/retry"] == 0
    assert found["behavior/verification"] == found["behavior/backtracking"] == 1 / 3
    assert found["completions/mean_length"] == pytest.approx(11 / 3)


def test_counts_rise_while_the_rate_per_token_falls():
    """R1-Zero's Fig 9(a) and length: 6 times the words in 17 times the tokens."""
    before = rates(counts_of(["wait " + "x " * 99]), R1)
    after = rates(counts_of(["wait " * 6 + "x " * 1694]), R1)
    assert after["per_response"] == 6 * before["per_response"]
    ratio = after["per_1000_tokens"] / before["per_1000_tokens"]
    assert ratio == pytest.approx(6 / 17)


def test_wait_is_counted_alone_for_a_list_without_it():
    found = rates(counts_of(["Wait, wait; recheck"], load_words("dr_grpo")), R1)
    assert found["per_response"] == 1 and found["wait/per_response"] == 2
    lab = rates(counts_of(["等 wait"], load_words("search")), load_words("search"))
    assert lab["wait/per_response"] == lab["word/wait"] == 2


TEXTS = st.lists(st.sampled_from(["wait", "I made a mistake", "so 7", "", "等 check"]))


@given(TEXTS, TEXTS)
def test_parts_add_up_to_the_whole(one, other):
    assert counts_of(one) + counts_of(other) == counts_of(one + other)


@given(TEXTS)
def test_a_response_without_words_lowers_every_rate(texts):
    before, after = (rates(counts_of(t), R1) for t in (texts, [*texts, "so it is"]))
    if counts_of(texts).reflecting:
        for key in ("per_response", "per_1000_tokens", "share"):
            assert after[key] < before[key]


@given(st.lists(st.sampled_from(["wait", "so 7", '"\n', "等"])), st.integers(0, 9))
def test_a_file_in_two_is_the_file(tmp_path_factory, texts, cut):
    records = [record("start"), *(record(t, step=i % 3) for i, t in enumerate(texts))]
    records.append(record("end", step=2))
    cut = 1 + cut % len(texts or [0])
    folder = tmp_path_factory.mktemp("split")
    whole = write(folder / "whole.jsonl", records)
    parts = [write(folder / "a", records[:cut]), write(folder / "b", records[cut:])]
    assert count_reflection(parts, R1).by_step == count_reflection([whole], R1).by_step


def test_lab_and_text_are_told_apart_by_the_prompt(tmp_path):
    records = [
        record(f"{MISS} wait {HIT} answer + +", prompt=LAB),
        record(f"{MISS} wait {MISS} wait", prompt=LAB),
        record("Wait, that is wrong.", prompt="7 * 8?"),
        record("Wait, that is wrong.", prompt=[{"role": "user", "content": LAB}]),
    ]
    total = count_reflection([write(tmp_path / "f", records)], R1).total
    assert total.lab_responses == 2
    assert (total.lab_waits, total.lab_superficial) == (3, 2)
    assert total.behaviors == {"verification": 2, "backtracking": 3}
    assert rates(total, R1)["superficial"] == pytest.approx(2 / 3)


def test_lengths_are_split_by_right_and_wrong(tmp_path):
    records = [
        record("x", length=10, rewards={"accuracy_reward": 1.0}),
        record("x", length=20, correct=True),
        record("x", length=50, correct=0),
        record("x", length=99),
    ]
    report = reflect([write(tmp_path / "f", records)])
    row = report.table().iloc[-1]
    assert row["completions/mean_length_right"] == 15
    assert row["completions/mean_length_wrong"] == 50
    assert row["completions/mean_length"] == 179 / 4


@pytest.mark.parametrize(
    ("lengths", "tokens", "source"),
    [
        ([7, 5], 12, "length"),
        ([None, None], 6, "white-space words"),
        ([7, None], 10, "mixed"),
        ([7, -1], 10, "mixed"),
        ([True, "9"], 6, "white-space words"),
    ],
)
def test_the_table_says_what_a_token_is(tmp_path, lengths, tokens, source):
    records = [record("one two three", length=n) for n in lengths]
    row = reflect([write(tmp_path / "f", records)]).table().iloc[-1]
    assert (row["tokens"], row["tokens_from"]) == (tokens, source)


# --- reading --------------------------------------------------------------------------


def read_bytes(tmp_path, content, **options):
    path, reader = tmp_path / "f.jsonl", Reader(**options)
    path.write_bytes(content)
    return list(reader.read(path)), reader


GOOD = b'{"completion": "wait"}\n'


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        (b'{"completion": "wa', "broken_json", "line 2: no JSON: "),
        (b"{'completion': 'wait'}", "broken_json", "line 2: no JSON: "),
        (b"[" * 100_000, "broken_json", "line 2: no JSON: "),
        (b"9" * 5000, "broken_json", "line 2: no JSON: "),
        (b'["wait"]', "not_an_object", "line 2: list, no JSON object"),
        (b"null", "not_an_object", "line 2: NoneType, no JSON object"),
        (b'{"text": "wait"}', "without_completion", "line 2: no completion in field"),
        (b'{"completion": null}', "without_completion", "line 2: no completion"),
        (b'{"completion": 7}', "without_completion", "line 2: no completion"),
        (b'{"completion": []}', "without_completion", "line 2: no completion"),
        (b'{"completion": ["wait"]}', "without_completion", "line 2: no completion"),
        (b'{"completion": [{"content": null}]}', "without_completion", "no completion"),
    ],
)
def test_bad_lines_are_counted_or_stop_a_strict_reading(tmp_path, line, kind, message):
    content = GOOD + line + b"\n" + GOOD
    responses, reading = read_bytes(tmp_path, content)
    assert (len(responses), reading.lines, reading.responses) == (2, 3, 2)
    assert reading.faults == {kind: 1}
    with pytest.raises(ValueError, match=message):
        read_bytes(tmp_path, content, strict=True)


def test_invalid_utf8_is_replaced_and_counted(tmp_path):
    content = GOOD + b'{"completion": "wait \xff\xfe wait"}\n'
    responses, reading = read_bytes(tmp_path, content)
    assert responses[1].text == "wait \ufffd\ufffd wait"
    assert reading.faults == {"invalid_utf8": 1}
    with pytest.raises(ValueError, match="f.jsonl, line 2: not UTF-8: invalid start"):
        read_bytes(tmp_path, content, strict=True)


def test_a_bad_step_is_no_step(tmp_path):
    content = b"".join(
        b'{"completion": "wait", "step": %s}\n' % step
        for step in (b"3", b'"3"', b"true", b"NaN", b"1e999", b"null", b"2.5")
    )
    responses, reading = read_bytes(tmp_path, content)
    assert [r.step for r in responses] == [3, None, None, None, None, None, 2.5]
    assert reading.faults == {"bad_step": 4}
    with pytest.raises(ValueError, match="line 2: step is no number: '3'"):
        read_bytes(tmp_path, content, strict=True)


def test_what_is_no_fault(tmp_path):
    content = "\ufeff".encode() + GOOD + b"\r\n   \n" + GOOD.replace(b"\n", b"\r\n")
    chat = [{"role": "assistant", "content": "wait"}]
    parts = [{"content": [{"type": "text", "text": "等 \u2028 x"}]}]
    for completion in (chat, parts, "", "\ud800"):
        content += json.dumps({"completion": completion}).encode() + b"\n"
    responses, reading = read_bytes(tmp_path, content.rstrip(), strict=True)
    texts = ["wait", "wait", "wait", "等 \u2028 x", "", "\ud800"]
    assert [r.text for r in responses] == texts
    assert reading.faults == {} and reading.lines == 6


def test_ten_megabytes_in_one_completion(tmp_path):
    text = ("Seven times eight is fifty-six, and so on. " * 99 + "Check 7 ") * 2400
    path = write(tmp_path / "f", [record(text), record("x")])
    assert path.stat().st_size > 10_000_000
    found = count_reflection([path], R1).total
    assert found.words == {"check": 2400} and found.reflecting == 1
    assert found.tokens == 2400 * (99 * 8 + 2) + 1


def test_memory_holds_steps_and_no_responses(tmp_path):
    """What is kept after any number of responses are counters of numbers."""
    path = write(tmp_path / "f", [record("wait") for _ in range(500)])
    counted = count_reflection([path], R1, benefit=False)
    assert list(counted.by_step) == [1] and counted.benefit is None
    assert not any(
        "wait" in str(v) for k, v in vars(counted.total).items() if k != "words"
    )


def test_an_id_is_no_step(tmp_path):
    lines = (f'{{"completion": "", "step": {i}}}\n' for i in range(MAX_STEPS + 1))
    (tmp_path / "f").write_text("".join(lines))
    with pytest.raises(ValueError, match="'step' has more than 20000 values"):
        count_reflection([tmp_path / "f"], R1)


# --- the whole command ----------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """Samples of a policy that learns to reflect, and of the untrained one."""
    untrained = [
        record(
            f"{MISS} answer * -", prompt=LAB, length=15, rewards={"accuracy_reward": 0}
        )
    ] * 3
    untrained.append(
        record(f"{MISS} wait {HIT} answer + +", prompt=LAB, length=27, correct=1)
    )
    trained = [*untrained]
    for step in (2, 3):
        trained += [
            record(
                f"{MISS} wait {HIT} answer + +", step, prompt=LAB, length=27, correct=1
            )
        ] * 3
        trained.append(record(f"{MISS} wait {MISS} wait", step, prompt=LAB, correct=0))
        trained.append(
            record(f"{HIT} answer + +", step, prompt=LAB, length=15, correct=1)
        )
    return write(tmp_path / "t.jsonl", trained), write(tmp_path / "u.jsonl", untrained)


def run(capsys, *words):
    status = main(["reflect", *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_from_files_to_table_and_figure(files, tmp_path, capsys):
    trained, untrained = files
    output = tmp_path / "new" / "out"
    options = ["--words", "search", "--baseline", untrained, "--output", output]
    status, out, err = run(capsys, trained, *options, "--benefit")
    assert (status, err) == (0, "")
    assert "14 responses in 14 lines; words: search; tokens: mixed and length" in out
    names = {"reflection.csv", "reflection.png", "benefit.csv"}
    assert {path.name for path in output.iterdir()} == names
    assert (output / "reflection.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(output / "reflection.csv")
    assert table["part"].tolist() == ["step", "step", "step", "all", "baseline"]
    assert table["step"].tolist()[:3] == [1, 2, 3]
    assert table["responses"].tolist() == [4, 5, 5, 14, 4]
    assert table["per_response"].tolist() == [0.25, 1.0, 1.0, 11 / 14, 0.25]
    assert table["behavior/backtracking"].tolist() == [0.25, 0.6, 0.6, 0.5, 0.25]
    benefit = pd.read_csv(output / "benefit.csv").set_index(
        ["part", "reflection", "quantity"]
    )["estimate"]
    # step 1: 1 − 0; steps 2 and 3: 3/4 − 1
    matched = benefit["completions", "words", "difference, matched"]
    assert matched == pytest.approx((1 - 0.25 - 0.25) / 3)
    assert benefit["completions", "backtracking", "accuracy with reflection"] == 1
    assert benefit["completions", "words", "accuracy_if_cut"] == 0
    assert benefit["completions", "words", "wrong_to_right"] == pytest.approx(7 / 9)
    assert benefit["baseline", "words", "accuracy"] == 1


def test_the_summary_compares_the_last_step_with_the_untrained_policy(files):
    trained, untrained = files
    report = reflect([trained], words="search", baseline=untrained)
    row = report.summary().loc["per_response"]
    assert row.to_dict() == {
        "all": 11 / 14,
        "first step": 0.25,
        "last step": 1.0,
        "baseline": 0.25,
        "difference": 0.75,
        "ratio": 4.0,
    }
    assert list(reflect([trained]).summary()) == ["all", "first step", "last step"]


def test_completions_without_steps_are_one_row_and_bars(files, tmp_path, capsys):
    path = write(tmp_path / "f", [{"text": "Wait, but"}, {"text": "so"}])
    words = [path, "--field", "text", "--output", tmp_path / "o"]
    status, out, _ = run(capsys, *words, "--step-field", "epoch")
    assert status == 0 and "first step" not in out
    table = pd.read_csv(tmp_path / "o" / "reflection.csv")
    assert table["part"].tolist() == ["all"] and table["share"].tolist() == [0.5]
    baseline = write(tmp_path / "b", [{"text": "check"}])
    assert run(capsys, *words, "--baseline", baseline)[0] == 0
    table = pd.read_csv(tmp_path / "o" / "reflection.csv")
    assert table["part"].tolist() == ["all", "baseline"]


def test_stdin_is_a_file(files, tmp_path, capsys, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(files[0].read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    status, out, _ = run(capsys, "-", "--output", tmp_path / "o")
    assert status == 0 and "14 responses" in out


def test_faults_are_reported_and_the_rest_is_counted(tmp_path, capsys):
    path = tmp_path / "f"
    path.write_bytes(GOOD + b'{"x"\n[]\n{}\n{}\n' + b'{"completion": "\xff"}\n')
    status, out, _ = run(capsys, path, "--output", tmp_path / "o")
    assert status == 0 and "2 responses in 6 lines" in out
    for line in ("1 lines broken json", "1 lines not an object"):
        assert line in out
    for line in ("2 lines without completion", "1 lines invalid utf8"):
        assert line in out


def test_without_output_it_goes_to_the_users_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path / "runs"))
    assert run(capsys, write(tmp_path / "f", [record("wait")]))[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_reflect") and len(list(folder.iterdir())) == 2


def test_a_list_of_ones_own(tmp_path, capsys):
    (tmp_path / "w.txt").write_text("aha moment\n")
    path = write(tmp_path / "f", [record("That's an AHA  moment")])
    words = [path, "--words", tmp_path / "w.txt", "--output", tmp_path / "o"]
    status, out, _ = run(capsys, *words)
    assert status == 0 and "word/aha moment" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.jsonl"], "files: no file none.jsonl"),
        (["folder"], "files: folder is a folder, expected a JSONL file"),
        (["-", "-"], "files: - (stdin) can be read only once"),
        (["-", "--baseline", "-"], "files: - (stdin) can be read only once"),
        (["good", "none.jsonl"], "files: no file none.jsonl"),
        (["good", "--baseline", "none.jsonl"], "files: no file none.jsonl"),
        (["empty"], "empty: no completion in field 'completion' of any line"),
        (["good", "empty"], "empty: no completion in field 'completion' of any line"),
        (["good", "--baseline", "empty"], "empty: no completion in field"),
        (["good", "--field", "text"], "no completion in field 'text' of any line"),
        (["good", "--words", "r2"], "words: expected one of ['dr_grpo', 'oat_zero'"),
        (["good", "--words", "folder"], "or a file, got 'folder'"),
        (["good", "--benefit"], "benefit compares with the untrained policy: give a"),
        (["bad", "--strict"], "bad, line 2: no JSON: "),
        (["good", "--baseline", "bad", "--strict"], "bad, line 2: no JSON: "),
        (["good", "--output", "good/o"], "output: good is a file, expected a folder"),
    ],
)
def test_a_refusal_is_one_line_and_writes_nothing(
    words, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path / "runs"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "good").write_bytes(GOOD)
    (tmp_path / "bad").write_bytes(GOOD + b"{\n")
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err and err.startswith("rlnotes reflect: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["reflect", "--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0 and "usage: rlnotes reflect" in out
    for option in ("field", "words", "step-field", "baseline", "strict", "output"):
        assert f"--{option} " in out


def test_no_file_at_all_is_refused():
    with pytest.raises(ValueError, match="expected a JSONL file or -"):
        reflect([])


def test_benefit_that_was_not_counted_is_refused(files):
    trained, untrained = files
    counted = count_reflection([trained], R1, benefit=True)
    for baseline in (None, count_reflection([untrained], R1)):
        with pytest.raises(ValueError, match="benefit was not counted"):
            Report(R1, counted, baseline).benefit()


def test_step_0_is_the_untrained_policy_unless_a_baseline_is_given(tmp_path):
    rows = [{"step": 0, "completion": "7"}, {"step": 9, "completion": "wait wait 7"}]
    both = write(tmp_path / "both", rows)
    table = reflect([both], words="search").table()
    assert table["part"].tolist() == ["step", "step", "all", "baseline"]
    assert table["per_response"].tolist() == [0, 2, 1, 0]
    other = write(tmp_path / "other", [{"completion": "wait"}])
    given = reflect([both], words="search", baseline=other).table()
    assert given["per_response"].iloc[-1] == 1
    late = write(tmp_path / "late", rows[1:])
    assert reflect([late], words="search").baseline is None


def test_a_record_of_the_lab_has_its_verdict_in_accuracy():
    assert is_right({"accuracy": 1.0}) is True
    assert is_right({"accuracy": 0.0, "rewards": {"accuracy_reward": 1.0}}) is False
    assert is_right({"accuracy": 0.5}) is None
    assert is_right({"correct": 0, "accuracy": 1}) is False
