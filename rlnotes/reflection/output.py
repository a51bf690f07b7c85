"""What `rlnotes reflect` prints and saves of a report."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rlnotes.machine.files import replace_text, replacing
from rlnotes.reflection.counts import rates
from rlnotes.reflection.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = (
    *("per_response", "per_1000_tokens", "share"),
    *("wait/per_response", "wait/per_1000_tokens", "completions/mean_length"),
    *("behavior/verification", "behavior/backtracking", "behavior/subgoal_setting"),
)


def describe(report: Report) -> str:
    """The summary as text: what was read, what a token is, every rate."""
    reading, table = report.counted.reading, report.table()
    sources = " and ".join(table.loc[table["part"] != "step", "tokens_from"].unique())
    lines = [
        f"{reading.responses} responses in {reading.lines} lines; words:"
        f" {report.words.name}; tokens: {sources}",
        f"behavior: {report.counted.total.lab_responses} responses of the search lab by"
        " exact analysis, the others by patterns",
    ]
    sides = {"": report.counted, "baseline: ": report.baseline}
    for name, side in sides.items():
        for kind, count in (side.reading.faults if side else {}).items():
            lines.append(f"{name}{count} lines {kind.replace('_', ' ')}")
    lines.append(report.summary().to_string(float_format="{:.4g}".format))
    if report.counted.benefit is not None:
        benefit = report.benefit()
        lines.append(benefit.to_string(index=False, float_format="{:.4g}".format))
        lines += _left_out(report)
    return "\n".join(lines)


def check_output(folder: str | os.PathLike[str]) -> None:
    """Raise ValueError when the results cannot lie there: a file is in the way."""
    path = Path(folder)
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise ValueError(f"output: {place} is a file, expected a folder")
            return


def save(report: Report, folder: str | os.PathLike[str]) -> list[Path]:
    """Write reflection.csv, reflection.png and, if counted, benefit.csv; the paths.

    Each file is whole or not there. All are made before the first is written.
    """
    folder = Path(folder)
    texts = {"reflection.csv": report.table().to_csv(index=False)}
    if report.counted.benefit is not None:
        texts["benefit.csv"] = report.benefit().to_csv(index=False)
    picture = io.BytesIO()
    plot_reflection(report).savefig(picture, format="png")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        replace_text(folder / name, text)
    with replacing(folder / "reflection.png") as file:
        file.write(picture.getvalue())
    return [folder / name for name in (*texts, "reflection.png")]


def plot_reflection(report: Report) -> Figure:
    """Rates over steps, the untrained policy dashed; without steps a bar for a word."""
    from rlnotes.analysis.figures import plot_run, use_style

    use_style()
    if not report.counted.steps:
        return _plot_words(report)
    table = report.table()
    figure = plot_run(table[table["part"] == "step"], PANELS)
    for axes, key in zip(figure.axes, PANELS, strict=True):
        for value in table.loc[table["part"] == "baseline", key]:
            axes.axhline(value, color="#999999", ls="--", label="untrained policy")
    if report.baseline is not None:
        figure.axes[0].legend(fontsize=8)
    return figure


def _plot_words(report: Report) -> Figure:
    import matplotlib.pyplot as plt
    import pandas as pd

    sides = {"untrained": report.baseline, "completions": report.counted}
    shown = {
        label: [
            rates(side.total, report.words)[f"word/{n}"] for n in report.words.names
        ]
        for label, side in sides.items()
        if side is not None
    }
    table = pd.DataFrame(shown, index=report.words.names)
    figure, axes = plt.subplots(figsize=(6, 0.35 * len(table) + 1.5))
    table.plot.barh(ax=axes, title=f"words: {report.words.name}")
    axes.set_xlabel("occurrences per response")
    axes.legend(fontsize=8)
    return figure


def _left_out(report: Report) -> list[str]:
    """Responses that layer 3 could not use."""
    lines = []
    for name, side in (("", report.counted), ("baseline: ", report.baseline)):
        if side is not None and side.benefit is not None:
            lines.append(
                f"{name}{side.benefit.without_verdict} responses without a verdict,"
                f" {side.benefit.without_problem} without a problem: not in the benefit"
            )
    return lines
