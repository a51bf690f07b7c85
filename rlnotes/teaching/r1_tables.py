"""Tables that the pages on DeepSeek-R1 share: stages, intervals, claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rlnotes.analysis import statistics
from rlnotes.machine.provenance import data_folder

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import Markdown

Claim = tuple[str, str, statistics.PairedDifference, int | None]


def read_stages(experiment: str) -> pd.DataFrame:
    """One row a stage and seed of `data/experiments/<experiment>/seed*.csv`."""
    import pandas as pd

    files = sorted((data_folder() / "experiments" / experiment).glob("seed*.csv"))
    table = pd.concat(map(pd.read_csv, files), ignore_index=True)
    return table.assign(algorithm=table["stage"], task="search", policy=experiment)


def before_and_after(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """First and last value of every run, as rows that pair by seed."""
    import pandas as pd

    logged = runs.dropna(subset=[metric]).sort_values("step").groupby("run")
    ends = {"before": logged.head(1), "after": logged.tail(1)}
    keys = ["task", "policy", "seed"]
    return pd.concat(
        part.groupby(keys)[[metric]].mean().reset_index().assign(algorithm=name)
        for name, part in ends.items()
    )


def interval_table(
    table: pd.DataFrame, metrics: Sequence[str], *, by: str = "stage"
) -> pd.DataFrame:
    """Mean and 95 % interval over seeds, as text; the mean alone where all agree."""
    import pandas as pd

    def written(estimate: float, low: float, high: float) -> str:
        spread = f" [{low:.2f}, {high:.2f}]" if high - low > 1e-9 else ""
        return f"{estimate:.2f}{spread}"

    columns = {}
    for metric in metrics:
        rows = statistics.score_intervals(table, metric, by=[by]).set_index(by)
        parts = (rows[name] for name in ("estimate", "low", "high"))
        columns[metric] = pd.Series(map(written, *parts), index=rows.index)
    return pd.DataFrame(columns)


def claims_table(rows: Iterable[Claim]) -> Markdown:
    """(claim, paper, difference, expected sign) → a table with a verdict a row.

    The verdict is what the 95 % interval says of a claim "higher" (+1) or "lower" (−1);
    None stands for a claim that the difference does not test.
    """
    from IPython.display import Markdown

    lines = ["| claim | the paper | ours: difference | verdict |", "|---|---|---|---|"]
    for claim, published, found, expected in rows:
        low, high = found.interval.low, found.interval.high
        if expected is None:
            verdict = "not testable here"
        elif low <= 0 <= high:
            verdict = "does not show here"
        else:
            verdict = "holds here" if expected * low > 0 else "contradicted here"
        ours = f"{found.interval}, {found.interval.n} seeds"
        lines.append(f"| {claim} | {published} | {ours} | {verdict} |")
    return Markdown("\n".join(lines))
