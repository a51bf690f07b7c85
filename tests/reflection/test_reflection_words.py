"""Reflective words: what is counted as what, worked by hand."""

import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnotes.reflection.words import WORD_LISTS, WordList, load_words

R1, DR_GRPO, OAT_ZERO, SEARCH = (load_words(name) for name in WORD_LISTS)


def test_the_lists_are_the_papers():
    assert list(WORD_LISTS) == ["r1", "dr_grpo", "oat_zero", "search"]
    assert [len(entries) for entries in WORD_LISTS.values()] == [10, 15, 11, 1]
    assert set(OAT_ZERO.names) - set(DR_GRPO.names) == {"try again"}
    assert "wait" not in DR_GRPO.names and "wait" in R1.names


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        (R1, "Wait, let me CHECK. wait", {"wait": 2, "check": 1}),
        (R1, "waiting, waiter, checks, butter, rebut, unverify", {}),
        (
            R1,
            "But: wrong! (error) “mistake” however_ retry2",
            "but wrong error mistake",
        ),
        (R1, "double-check", {"check": 1}),  # a hyphen ends a word
        (DR_GRPO, "double-check and Double\u2011Check", {"double-check": 2}),
        (DR_GRPO, "double check, check  again", {"check again": 1}),
        (DR_GRPO, "check\n\tagain; check, again", {"check again": 1}),
        (DR_GRPO, "go over the\u00a0steps", {"go over the steps": 1}),
        (DR_GRPO, "re-evaluate reevaluation reevaluations", "re-evaluate reevaluation"),
        (DR_GRPO, "wait, try again", {}),
        (SEARCH, "wait 5 等 wait", {"wait": 3}),
        (SEARCH, "等于", {"wait": 1}),  # no boundary to ask for
        (SEARCH, "我们wait一下", {"wait": 1}),
        (SEARCH, "wait\u0301 a\u0301wait", {}),  # an accent continues the word
        (WordList("u", ("straße",)), "STRASSE Straße strassen", {"straße": 2}),
        (WordList("u", ("गलत",)), "गलत गलती", {"गलत": 1}),
        (WordList("u", ("ошибка",)), "Ошибка, ошибками", {"ошибка": 1}),
        (WordList("u", ("hmm...", "hmm")), "Hmm... hmm.hmm", {"hmm...": 1, "hmm": 2}),
        (
            WordList("u", ("check", "check again")),
            "check again check",
            "check again|check",
        ),
        (WordList("u", ("a.b", "(c")), "a.b axb (c", {"a.b": 1, "(c": 1}),
    ],
)
def test_matches_by_hand(words, text, expected):
    if isinstance(expected, str):
        expected = dict.fromkeys(expected.split("|" if "|" in expected else " "), 1)
    name = {"straße": "strasse"}
    expected = {name.get(word, word): n for word, n in expected.items()}
    assert words.count(text) == Counter(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7. Wait, no", 3),
        ("no", None),
        ("", None),
        ("ßß wait", 3),  # casefold doubles what stands before
        ("\u0130\u0130ß check", 4),
        ("await wait", 6),
    ],
)
def test_first_is_a_place_in_the_text_itself(text, expected):
    assert R1.first(text) == expected


@given(st.text(alphabet="wait ßİ,", max_size=30))
def test_what_stands_before_the_first_word_has_none(text):
    place = R1.first(text)
    assert (place is None) == (R1.count(text)["wait"] == 0)
    if place is not None:
        assert text[place : place + 4].casefold() == "wait"
        assert R1.first(text[:place]) is None


@given(st.lists(st.sampled_from(["wait", "but", "x", "等", "7", "double-check"])))
def test_words_between_blanks_are_counted_one_by_one(words):
    alone = sum((R1.count(word) for word in words), Counter())
    assert R1.count(" ".join(words)) == alone


@given(st.text(), st.text())
def test_a_line_break_separates_counts(one, other):
    split = R1.count(one) + R1.count(other)
    assert R1.count(f"{one}\n.\n{other}") == split


def test_no_spaces_are_the_letters_of_scripts_without_them():
    """Every letter of these scripts in the first 64 Ki leaves `wait` a word."""
    scripts = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
    for code in range(0x10000):
        character = chr(code)
        name = unicodedata.name(character, "")
        if name.startswith(scripts) and "EXTENDED" not in name and code < 0xA000:
            if re.match(r"\w", character) and "PHONETIC" not in name:
                assert R1.count(f"{character}wait{character}")["wait"] == 1, name
    for character in "aéωж9אبक":
        assert R1.count(f"{character}wait") == R1.count(f"wait{character}") == {}


def test_a_file_is_a_list(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\ufeffaha # the moment\n\n# none\nwait / 等\naha\n", "utf-8")
    words = load_words(path)
    assert (words.name, words.names) == ("words.txt", ("aha", "wait"))
    assert words.count("Aha! 等 wait") == {"aha": 1, "wait": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"words: expected one of \['dr_grpo', .*\] or a file, got '.*w.txt'"),
        (b"# nothing\n\n", "words: the list 'w.txt' has no entry"),
        (b"wait/\n", "words: 'w.txt' has an empty word: 'wait/'"),
        (b"w\xff\n", "words: .* is not UTF-8"),
    ],
)
def test_bad_lists_are_refused(tmp_path, content, message):
    path = tmp_path / "w.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_words(path)


def test_a_name_that_is_a_folder_is_no_list(tmp_path):
    with pytest.raises(ValueError, match="or a file"):
        load_words(tmp_path)
