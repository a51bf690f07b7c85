"""The papers' tables and curves in `data/papers/`, each with its source."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rlnotes.equations.names import did_you_mean
from rlnotes.machine.provenance import project_folder

_SOURCE = ("paper", "version", "item")
_CELL = ("group", "condition", "model", "benchmark", "metric")


def paper_sources() -> pd.DataFrame:
    """Where each number is from: one row for each file and column of numbers.

    Columns: name, kind ("table" or "curve"), column, paper, arxiv, version, item (table
    or figure), x, y, unit, metric, curve, origin and notes, all text. Raises
    FileNotFoundError outside a clone of the project.
    """
    path = project_folder() / "data" / "papers" / "sources.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def paper_table(name: str) -> pd.DataFrame:
    """One table of a paper, one row a cell, in the paper's order.

    `model`, `benchmark`, `metric` (in some also `group`, `condition`) name the cell;
    `value` is its number in `unit`, NaN where `text`, the cell as printed, has none;
    `bold` is the paper's own mark. `paper`, `version` and `item` repeat the source in
    each row, so that it outlives filters and joins. ValueError for a name that
    `paper_sources()` does not have.
    """
    source = _source(name, "table")
    path = project_folder() / "data" / "papers" / "tables" / f"{name}.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table["value"] = pd.to_numeric(table["value"])
    if "bold" in table:
        table["bold"] = table["bold"] == "true"
    return table.assign(**source)


def paper_curve(name: str) -> pd.DataFrame:
    """One curve of a paper: `step`, its y (mostly `y`), and `paper`, `version`, `item`.

    What x and y are, and their units, is in `paper_sources()`, a row for each column of
    numbers. ValueError for a name that it does not have.
    """
    source = _source(name, "curve")
    path = project_folder() / "data" / "papers" / f"{name}.csv"
    return pd.read_csv(path).assign(**source)


def wide_table(table: pd.DataFrame, rows: Sequence[str] = ("model",)) -> pd.DataFrame:
    """`text` of a `paper_table` in two dimensions, in the paper's order.

    `rows` are the columns that name a row; the others that name a cell make the
    header. A table with one row a benchmark has ("group", "benchmark", "metric").
    ValueError for columns that `table` does not have, or where none is left.
    """
    keys = [name for name in _CELL if name in table]
    header = [name for name in keys if name not in rows]
    if not rows or not header or not set(rows) <= set(keys):
        raise ValueError(f"rows must be some, not all, of {keys}, got {rows!r}")
    cells = table.set_index([*rows, *header])["text"].unstack(header)
    # unstack sorts; the first appearance of each name restores the paper's order
    index, columns = (table.set_index(list(x)).index.unique() for x in (rows, header))
    return cells.reindex(index=index, columns=columns).fillna("")


def _source(name: str, kind: str) -> dict[str, str]:
    """paper, version and item of `name`, or ValueError that lists the known names."""
    sources = paper_sources().query("kind == @kind")
    known = list(dict.fromkeys(sources["name"]))
    if name not in known:
        raise ValueError(
            f"name of a {kind}: one of {', '.join(known)}, got {name!r}"
            f"{did_you_mean(name, known)}"
        )
    first = sources[sources["name"] == name].iloc[0]
    return {key: str(first[key]) for key in _SOURCE}
