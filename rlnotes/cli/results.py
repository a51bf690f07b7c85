"""Commands on what runs left: table, reflect."""

from datetime import datetime
from pathlib import Path
from typing import Any

from rlnotes.cli.options import command, option, output


@command(option("runs", nargs="*", type=Path, help="default: data/runs"))
def table(runs: list[Path]) -> None:
    """Recorded runs as a Markdown table."""
    from rlnotes.machine.provenance import data_folder
    from rlnotes.records.results import results_table

    print(results_table(runs or data_folder() / "runs"))


@command(
    option(
        "files", nargs="+", metavar="FILE", help="JSONL of completions, - for stdin"
    ),
    option("--field", default="completion", help="text or chat messages"),
    option("--words", default="r1", metavar="LIST", help="a list's name or a file"),
    option("--step-field", default="step", metavar="FIELD"),
    option("--baseline", metavar="FILE", help="of the untrained policy (else: step 0)"),
    option(
        "--benefit", action="store_true", help="accuracy with and without; uses memory"
    ),
    option("--strict", action="store_true", help="stop at the first broken line"),
    output("folder of the table and the figure"),
)
def reflect(files: list[str], output: Path | None, **options: Any) -> None:
    """Count reflective words and behavior in completions."""
    from rlnotes.records.run_folders import runs_folder
    from rlnotes.reflection.output import check_output, describe, save
    from rlnotes.reflection.report import reflect as count

    name = datetime.now().strftime("%F_%H-%M-%S_reflect")
    output = output or runs_folder() / name
    check_output(output)  # everything is read before the first file is written
    report = count(files, progress=True, **options)
    print(describe(report))
    print("saved:", *save(report, output))
