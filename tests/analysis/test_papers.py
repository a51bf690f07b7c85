"""The papers' numbers: the deck's five tables cell by cell, and every file's source."""

import re
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from rlnotes.analysis.papers import paper_curve, paper_sources, paper_table, wide_table

ROOT = Path(__file__).resolve().parents[2]
PAPERS = ROOT / "data" / "papers"
FIXTURE = Path(__file__).with_name("deck_tables.txt")
DECK = ROOT.parent / "shared" / "deck.txt"
SOURCES = paper_sources()
TABLES = list(SOURCES.query("kind == 'table'")["name"])
CURVES = list(SOURCES.query("kind == 'curve'")["name"].unique())
SIX = ("pass@1", "cons@64", "pass@1", "pass@1", "pass@1", "rating")
# One name for one thing in all tables, where the deck has two.
SPELLING = {
    "Claude-3.5- Sonnet-1022": "Claude-3.5-Sonnet-1022",
    "GPT-4o 0513": "GPT-4o-0513",
    "DeepSeek V3": "DeepSeek-V3",
    "DeepSeek R1": "DeepSeek-R1",
    "OpenAI o1-mini": "OpenAI-o1-mini",
    "OpenAI o1-1217": "OpenAI-o1-1217",
    "LiveCode Bench": "LiveCodeBench",
    "CodeForces": "Codeforces",
    "AIME24": "AIME 2024",
    "+ Dynamic Sampling ( DAPO )": "+ Dynamic Sampling (DAPO)",
    **{x: x[0].lower() + x[1:] for x in ("Pass@1", "Pass@1-COT")},
    **{x: x.lower() for x in ("Rating", "Percentile")},
}
# Lower and upper end of each unit; "" is a cell that is a word.
RANGES = {
    "%": (0, 100),
    "percentile": (0, 100),
    "share": (-0.001, 1),  # the reading of Figure 3b starts 0.0002 below 0
    "probability": (0, 1),
    "rating": (500, 3000),
    "nats": (0, 12),  # log of the vocabulary
    "tokens": (300, 65536),
    "reward": (-2, 1),
    "billion parameters": (37, 671),
}

# -- the deck's tables, read by this file alone ------------------------------------


def blocks(text: str) -> list[str]:
    """The deck's tables: its runs of lines with a tab."""
    return re.findall(r"(?:^[^\n]*\t[^\n]*\n)+", text, re.M)


def plain(cell: str) -> str:
    text = re.sub(r"</?b>", "", cell).strip()
    return SPELLING.get(text, text)


def rows_of(block: str) -> list[list[str]]:
    return [line.split("\t") for line in block.splitlines()]


def by_model(block: str, metrics: tuple[str, ...] = SIX) -> dict[tuple, tuple]:
    """A row a model: the header names the benchmarks, the second row the metrics.

    A name stands over all columns up to the next; metrics of Table 2 are in the names.
    """
    header, second, *body = rows_of(block)
    benchmarks = []
    for name in header[1:]:
        name = re.sub(r" (pass@1|rating)$", "", name)
        benchmarks.append(SPELLING.get(name, name) or benchmarks[-1])
    metrics = metrics[: len(benchmarks)]
    for printed, name in zip(second[1:], metrics, strict=True):
        assert printed in ("", name)
    return {
        ("", plain(model), benchmark, metric): (plain(cell), "<b>" in cell)
        for model, *cells in body
        for benchmark, metric, cell in zip(benchmarks, metrics, cells, strict=True)
    }


def by_benchmark(block: str) -> dict[tuple, tuple]:
    """Table 4: an unlabeled group column, which the architecture rows do not have."""
    header, *body = rows_of(block)
    models, found, group = [plain(x) for x in header[1:-1]], {}, ""
    for row in body:
        if row[-1] == "":  # shifted left: no group, no metric
            (name, *cells), metric = row[:-1], ""
        else:
            group, (_, label, *cells) = row[0] or group, row
            name, metric = re.fullmatch(r"(.+) \((.+)\)", label).groups()
        for model, cell in zip(models, cells, strict=True):
            key = (group, model, name, plain(metric))
            found[key] = (plain(cell), "<b>" in cell)
    return found


def ladder(block: str) -> dict[tuple, tuple]:
    (_, header), *body = rows_of(block)
    benchmark, metric = re.fullmatch(r"(\S+) <sub>(\S+)</sub>", header).groups()
    return {
        ("", plain(model), plain(benchmark), metric): (plain(cell), "<b>" in cell)
        for model, cell in body
    }


def cells(name: str) -> dict[tuple, tuple]:
    table = paper_table(name)
    if "group" not in table:
        table["group"] = ""
    keys = table[["group", "model", "benchmark", "metric"]].itertuples(index=False)
    content = zip(table["text"], table["bold"], strict=True)
    found = dict(zip(map(tuple, keys), content, strict=True))
    assert len(found) == len(table), "two rows for one cell"
    return found


IN_DECK = dict(
    zip(
        ("r1v1_table2", "r1v1_table4", "r1v1_table5", "r1v1_table6", "dapo_table1"),
        (by_model, by_benchmark, by_model, by_model, ladder),
        strict=True,
    )
)


@pytest.mark.parametrize("number, name", enumerate(IN_DECK))
def test_every_cell_is_the_decks(number, name):
    block = blocks(FIXTURE.read_text(encoding="utf-8"))[number]
    assert cells(name) == IN_DECK[name](block)


def test_the_decks_repeats_say_the_same():
    *_, ladder_1, ladder_2, rl_2 = blocks(FIXTURE.read_text(encoding="utf-8"))
    assert ladder_2 == ladder_1
    without_bold = {k: (text, False) for k, (text, _) in cells("r1v1_table6").items()}
    assert by_model(rl_2) == without_bold


def test_the_fixture_is_the_decks():
    fixture = blocks(FIXTURE.read_text(encoding="utf-8"))
    assert len(fixture) == 7
    if not DECK.is_file():
        pytest.skip("the deck is not in the repository")
    assert blocks(DECK.read_text(encoding="utf-8")) == fixture


@pytest.mark.parametrize("name", IN_DECK)
def test_bold_is_the_best_of_what_is_compared(name):
    table = paper_table(name)
    best = table.groupby(["benchmark", "metric"])["value"].transform("max")
    marked = table["bold"]
    assert (table["value"] == best)[marked].all()
    assert marked.sum() == {
        "r1v1_table2": 0,
        "r1v1_table4": 21,
        "r1v1_table5": 6,
        "r1v1_table6": 5,
        "dapo_table1": 1,
    }.get(name)


# -- values ------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_a_value_is_its_text(name):
    """The number in `text`, its separators and its k read; NaN where it has none."""
    for row in paper_table(name).itertuples():
        if getattr(row, "fact", "") in ("GPUs", "reflective words"):
            continue  # a product, and a list with its length
        number = re.fullmatch(r"\$?(\d[\d.,e-]*)([BkK]?)", row.text)
        if number is None:
            assert pd.isna(row.value), row
        else:
            scale = 1000 if number[2] in ("k", "K") else 1
            number = float(number[1].replace(",", "")) * scale
            assert row.value == pytest.approx(number, rel=1e-12), row


def test_words_have_no_value():
    table = paper_table("r1v1_table4")
    assert set(table[table["value"].isna()]["text"]) == {"-", "MoE"}
    assert table["value"].isna().sum() == 14 + 10  # model's size, o1-1217's gaps
    facts = paper_table("r1v2_zero_training").set_index("fact")["value"]
    assert list(facts[facts.isna()].index) == [
        "base model",
        "clip range epsilon",
        "reward",
        "reflective words, end over start",
    ]


@pytest.mark.parametrize("name", sorted({*TABLES} - {"r1v2_zero_training"}))
def test_table_values_are_in_the_range_of_their_unit(name):
    for unit, group in paper_table(name).dropna(subset="value").groupby("unit"):
        assert group["value"].between(*RANGES[unit]).all()


@pytest.mark.parametrize("row", SOURCES.query("kind == 'curve'").itertuples())
def test_curve_values_are_in_the_range_of_their_unit(row):
    low, high = RANGES[row.unit]
    if row.name == "dapo_fig1_3":
        low = -0.02  # the reading starts there
    assert paper_curve(row.name)[row.column].between(low, high).all()


@pytest.mark.parametrize("name", CURVES)
def test_steps_rise(name):
    steps = paper_curve(name)["step"]
    assert all(one < two for one, two in pairwise(steps))
    assert steps.iloc[0] >= 0 and steps.iloc[-1] <= 10_400


def test_the_raw_band_holds_the_smoothed_length():
    curve = paper_curve("r1v1_fig3_length")
    assert (curve["raw_lo"] < curve["raw_hi"]).all()
    inside = curve["smoothed_len"].between(curve["raw_lo"], curve["raw_hi"])
    assert inside.mean() > 0.99


# Typed by hand from the tables and grids of our notes on the papers.
@pytest.mark.parametrize(
    ("name", "step", "column", "y", "digits"),
    [
        ("dapo_fig1_1", 5280, "y", 49.6, 1),
        ("dapo_fig1_2", 1340, "y", 60.0, 1),
        ("dapo_fig1_3", 1970, "y", 40.0, 1),
        ("dapo_fig2a_1", 1200, "y", 0.281, 3),
        ("dapo_fig2a_2", 720, "y", 0.269, 3),
        ("dapo_fig2b_1", 32, "y", 0.741, 3),
        ("dapo_fig2b_2", 400, "y", 0.125, 3),
        ("dapo_fig3a_1", 112, "y", 0.354, 3),
        ("dapo_fig3b_1", 9056, "y", 0.564, 3),
        ("dapo_fig4a_2", 5296, "y", 2.700, 3),
        ("dapo_fig4b_1", 144, "y", 558, 0),
        ("dapo_fig4b_2", 2528, "y", 4877, 0),
        ("dapo_fig5a_1", 4480, "y", 0.302, 3),
        ("dapo_fig5a_2", 3120, "y", 0.358, 3),
        ("dapo_fig5b_1", 3888, "y", 4.78, 2),
        ("dapo_fig5b_2", 4336, "y", 0.007, 3),
        ("dapo_fig6_1", 2320, "y", 0.437, 3),
        ("dapo_fig6_2", 6080, "y", 0.421, 3),
        ("dapo_fig7a_1", 79, "y", 566, 0),
        ("dapo_fig7b_1", 0, "y", -0.852, 3),
        ("dapo_fig7c_1", 5280, "y", 0.533, 3),
        ("dapo_fig7d_1", 1340, "y", 0.842, 3),
        ("r1v1_fig2_aime", 200, "pass1", 0.156, 3),
        ("r1v1_fig2_aime", 8400, "pass1", 0.710, 3),
        ("r1v1_fig2_aime", 8400, "cons16", 0.867, 3),
        ("r1v1_fig3_length", 5200, "smoothed_len", 6100, 0),
    ],
)
def test_points_of_the_curves(name, step, column, y, digits):
    curve = paper_curve(name)
    nearest = curve.loc[(curve["step"] - step).abs().idxmin()]
    assert abs(nearest["step"] - step) < 1
    assert nearest[column] == pytest.approx(y, abs=0.51 * 10**-digits)


# Cells that the deck does not have.
@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("r1v2_table3", ("DeepSeek-R1-Zero", "AIME 2024", "pass@1"), 77.9),
        ("r1v2_table3", ("DeepSeek-R1-Zero", "GPQA Diamond", "pass@1"), 75.8),
        ("r1v2_table3", ("DeepSeek-R1-Dev1", "AIME 2024", "pass@1"), 59.0),
        ("r1v2_table3", ("DeepSeek-R1-Dev2", "Codeforces", "rating"), 1687),
        ("r1v2_table3", ("DeepSeek-R1-Dev3", "IF-Eval", "Prompt Strict"), 78.1),
        ("r1v2_table3", ("DeepSeek-R1", "ArenaHard", "GPT-4-1106"), 92.3),
        ("r1v2_table16", ("Qwen2.5-32B-Zero", "AIME 2024", "pass@1"), 47.0),
        ("r1v2_table17", ("Qwen2-Math-7B-Zero", "AIME 2025", "average score"), 18.1),
    ],
)
def test_cells_of_version_2(name, cell, value):
    table = paper_table(name).set_index(["model", "benchmark", "metric"])
    assert table.loc[cell, "value"].item() == value


@pytest.mark.parametrize(
    ("fact", "value", "unit"),
    [
        ("learning rate", 3e-6, "1"),
        ("KL coefficient", 0.001, "1"),
        ("completions per question", 16, "completions"),
        ("steps", 10_400, "steps"),
        ("maximum length, before step 8.2k", 32_768, "tokens"),
        ("maximum length, after step 8.2k", 65_536, "tokens"),
        ("steps between replacements of the reference", 400, "steps"),
        ("AIME 2024 pass@1, end", 77.9, "%"),
    ],
)
def test_facts_of_the_training_of_r1_zero(fact, value, unit):
    row = paper_table("r1v2_zero_training").set_index("fact").loc[fact]
    assert (row["value"], row["unit"]) == (value, unit)


def test_every_fact_has_a_unit_and_a_basis():
    facts = paper_table("r1v2_zero_training")
    assert len(facts) == facts["fact"].nunique() == 29
    assert set(facts["model"]) == {"DeepSeek-R1-Zero"}
    assert (facts["unit"] == "").tolist() == facts["value"].isna().tolist()
    counted = {"completions", "questions", "mini-batches", "epochs", "steps", "tokens"}
    spent = {"GPUs", "hours", "GPU hours", "US dollars", "words"}
    assert set(facts["unit"]) == counted | spent | {"", "1", "%", "billion parameters"}
    assert (
        facts["basis"]
        .str.fullmatch(r"(not )?stated (in|for) \S+( and v2)?([,; ].+)?")
        .all()
    )


# Rows, columns and gaps of the tables that the deck does not have: a misspelt name
# makes one more, a lost cell a gap.
@pytest.mark.parametrize(
    ("name", "rows", "shape", "gaps"),
    [
        ("r1v2_table3", ("group", "benchmark", "metric"), (21, 5), 0),
        ("r1v2_table16", ("model",), (3, 5), 0),
        ("r1v2_table17", ("model",), (3, 2), 0),
        ("gdpo_tool_calling", ("group", "model"), (7, 5), 0),
        ("gdpo_table3", ("group", "model"), (9, 10), 12),
        ("gdpo_table4", ("benchmark", "metric"), (9, 4), 0),
        ("gdpo_table5", ("benchmark", "metric"), (10, 5), 0),
    ],
)
def test_tables_are_whole(name, rows, shape, gaps):
    wide = wide_table(paper_table(name), rows)
    assert wide.shape == shape
    assert (wide == "").sum().sum() == gaps


@pytest.mark.parametrize(
    ("name", "query", "benchmark", "metric", "typed"),
    [
        (
            "gdpo_tool_calling",
            "model == 'GDPO'",
            "BFCL-v3 Live",
            "accuracy",
            [55.36, 71.22],
        ),
        (
            "gdpo_tool_calling",
            "group.str.contains('1.5B')",
            "BFCL-v3",
            "correct format",
            [4.74, 76.33, 0, 80.66],
        ),
        (
            "gdpo_table3",
            "model != ''",
            "AIME",
            "accuracy",
            [29.8, 23.1, 29.4, 55.4, 50.2, 53.1, 63.7, 54.6, 56.9],
        ),
        (
            "gdpo_table3",
            "model != ''",
            "MATH",
            "over 4,000 tokens",
            [35.0, 1.5, 0.8, 26, 0.5, 0.1, 11.3, 0.8, 0.1],
        ),
        (
            "gdpo_table4",
            "condition.str.startswith('cond')",
            "AIME",
            "accuracy",
            [53.3, 57.7],
        ),
        ("gdpo_table4", "model == 'GDPO'", "Olympiad", "over 4,000 tokens", [0.4, 6.2]),
        (
            "gdpo_table5",
            "model != ''",
            "CodeContests",
            "tests passed",
            [47.3, 63.2, 65.8, 65.6, 65.6],
        ),
        ("gdpo_table5", "condition == '3 rewards'", "Apps", "bug", [20.3, 18.8]),
        (
            "gdpo_table5",
            "model == 'GDPO'",
            "Codeforces",
            "over the length limit",
            [18.4, 13.6],
        ),
        ("r1v2_table17", "model != ''", "AIME 2024", "average score", [9.3, 7.9, 22.3]),
    ],
)
def test_lines_of_tables_that_the_deck_does_not_have(
    name, query, benchmark, metric, typed
):
    cell = "benchmark == @benchmark and metric == @metric"
    assert paper_table(name).query(cell).query(query)["value"].tolist() == typed


# -- tables that overlap agree -----------------------------------------------------


def values(name: str, model: str) -> dict[tuple, float]:
    table = paper_table(name).query("model == @model").dropna(subset="value")
    keys = zip(table["benchmark"], table["metric"], strict=True)
    return dict(zip(keys, table["value"], strict=True))


def test_one_cell_has_one_value_within_a_version():
    names = ("r1v1_table2", "r1v1_table4", "r1v1_table5", "r1v1_table6")
    every = pd.concat(map(paper_table, names)).dropna(subset="value")
    grouped = every.groupby(["model", "benchmark", "metric"])["value"]
    assert (grouped.nunique() == 1).all()
    assert (grouped.size() > 1).sum() > 15


def test_what_version_2_changes():
    one, two = (
        values(f"r1{x}", "DeepSeek-R1-Zero") for x in ("v1_table2", "v2_table3")
    )
    one["LiveCodeBench", "pass@1-COT"] = one.pop(("LiveCodeBench", "pass@1"))
    del one["AIME 2024", "cons@64"]
    assert {key: two[key] for key in one if two[key] != one[key]} == {
        ("AIME 2024", "pass@1"): 77.9,
        ("GPQA Diamond", "pass@1"): 75.8,
    }
    one, two = (values(f"r1{x}", "DeepSeek-R1") for x in ("v1_table4", "v2_table3"))
    one["MMLU", "EM"] = one.pop(("MMLU", "pass@1"))
    assert two == {k: v for k, v in one.items() if "Params" not in k[0]}
    cell = ["model", "benchmark", "metric", "value", "unit", "text"]
    renamed = {"DeepSeek-R1-Zero-Qwen-32B": "Qwen2.5-32B-Zero"}
    table_6 = paper_table("r1v1_table6")[cell].replace(renamed)
    assert table_6.equals(paper_table("r1v2_table16")[cell])
    row = ["group", "benchmark", "metric"]
    table_4 = paper_table("r1v1_table4")[row].drop_duplicates().values[3:].tolist()
    table_4[0][2] = "EM"
    assert table_4 == paper_table("r1v2_table3")[row].drop_duplicates().values.tolist()


def test_the_steps_of_dapo():
    rises = paper_table("dapo_table1")["value"].diff().iloc[2:]
    assert list(rises) == [6, 2, 3, 1, 8]


def test_gdpo_tables_agree_with_each_other():
    tools = paper_table("gdpo_tool_calling").query("metric == 'accuracy'")
    average = tools["benchmark"] == "BFCL-v3 average"
    keys = ["group", "model"]
    means = tools[~average].groupby(keys)["value"].mean()
    printed = tools[average].set_index(keys)["value"]
    assert (means - printed).abs().max() < 0.006
    of_3 = paper_table("gdpo_table3").query("group == 'DeepSeek-R1-Distill-Qwen-7B'")
    of_4 = paper_table("gdpo_table4").query("condition == 'length reward'")
    keys = ["model", "benchmark", "metric"]
    both = of_4.merge(of_3, on=keys, validate="one_to_one")
    assert len(both) == len(of_4) == 18
    assert (both["value_x"] == both["value_y"]).all()


# -- sources -----------------------------------------------------------------------


def test_every_file_has_a_source_and_every_source_a_file():
    curves = {path.stem for path in PAPERS.glob("*.csv")} - {"sources"}
    tables = {path.stem for path in (PAPERS / "tables").glob("*.csv")}
    assert curves == {*CURVES} and len(curves) == 25
    assert tables == {*TABLES} and len(tables) == len(TABLES)
    assert not curves & tables


@pytest.mark.parametrize("name", CURVES)
def test_every_column_of_a_curve_is_explained(name):
    rows = SOURCES.query("name == @name")
    text = (PAPERS / f"{name}.csv").read_text()
    assert text.splitlines()[0].split(",") == ["step", *rows["column"]]
    assert (rows[["x", "y", "unit", "metric", "curve", "origin"]] != "").all(None)
    assert rows["notes"].str.startswith("One run, no error bars.").all()


def test_versions_are_never_mixed():
    columns = ["paper", "arxiv", "version", "item"]
    assert (SOURCES.groupby("name")[columns].nunique() == 1).all(None)
    for row in SOURCES.itertuples():
        prefix, arxiv = {
            "DeepSeek-R1": (f"r1{row.version}_", "2501.12948"),
            "DAPO": ("dapo_", "2503.14476"),
            "GDPO": ("gdpo_", "2601.05242"),
        }[row.paper]
        assert row.name.startswith(prefix) and row.arxiv == arxiv
        assert row.version in ("v1", "v2")
        number = re.search(r"_(table|fig)(\d+[a-d]?)", row.name)
        if number:
            kind = {"table": "Table", "fig": "Figure"}[number[1]]
            assert row.item == f"{kind} {number[2]}"


@pytest.mark.parametrize("read, name", [(paper_table, TABLES), (paper_curve, CURVES)])
def test_a_frame_carries_its_source_through_a_filter_and_a_join(read, name):
    frame = pd.concat([read(name[0]).head(1), read(name[-1]).head(1)])
    rows = SOURCES.drop_duplicates("name").set_index("name").loc[[name[0], name[-1]]]
    columns = ["paper", "version", "item"]
    assert frame[columns].values.tolist() == rows[columns].values.tolist()


@pytest.mark.parametrize("read, other", [(paper_table, CURVES), (paper_curve, TABLES)])
def test_an_unknown_name_lists_the_known(read, other):
    known = ", ".join(TABLES if read is paper_table else CURVES)
    for name in ("r1v3_table1", other[0]):
        with pytest.raises(ValueError, match=f"one of {known}, got '{name}'"):
            read(name)


def test_outside_the_project_the_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"sources\.csv"):
        paper_sources()


# -- the slide's shape -------------------------------------------------------------


def test_wide_is_the_slide():
    block = blocks(FIXTURE.read_text(encoding="utf-8"))[2]
    wide = wide_table(paper_table("r1v1_table5"))
    body = [[plain(cell) for cell in row] for row in rows_of(block)[2:]]
    assert wide.reset_index().values.tolist() == body
    assert list(wide.columns.get_level_values("metric")) == list(SIX)


def test_wide_with_groups_is_the_slide():
    block = blocks(FIXTURE.read_text(encoding="utf-8"))[1]
    wide = wide_table(paper_table("r1v1_table4"), ("group", "benchmark", "metric"))
    rows = [[plain(x) for x in row if x or len(row) == 7] for row in rows_of(block)]
    assert wide.values.tolist() == [row[-6:] for row in rows[1:]]
    assert list(wide.columns) == rows[0][1:7]
    assert list(wide.index.get_level_values("group").unique()) == [
        *("", "English", "Code", "Math", "Chinese")
    ]


def test_wide_takes_rows_in_any_order_and_leaves_gaps_empty():
    table = paper_table("gdpo_table3")
    wide = wide_table(table, ("model", "group"))
    assert wide.index.names == ["model", "group"]
    cell = ("GDPO", "DeepSeek-R1-Distill-Qwen-7B")
    assert wide.loc[cell, ("MATH", "accuracy")] == "93.9"
    assert wide.loc[cell, ("Minerva", "over 4,000 tokens")] == ""


@pytest.mark.parametrize(
    "rows", [(), ("text",), ("group",), "model", ("model", "benchmark", "metric")]
)
def test_wide_says_which_rows_it_takes(rows):
    table = paper_table("r1v1_table2")
    message = r"rows must be some, not all, of \['model', 'benchmark', 'metric'\], got"
    with pytest.raises(ValueError, match=message):
        wide_table(table, rows)
