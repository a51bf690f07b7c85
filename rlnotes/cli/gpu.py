"""The command for a short time on a GPU: gpu-day."""

import sys
import tempfile
from datetime import datetime
from pathlib import Path

from rlnotes.cli.options import command, option, output


@command(
    option("--minutes", type=float, default=13.0, help="default: 13"),
    option("--only", nargs="+", metavar="PART", help="like check tests loss"),
    option("--dry-run", action="store_true", help="plan and rehearsal, on the CPU"),
    option("--collect", type=Path, metavar="FOLDER", help="file what a day left"),
    output("new folder of the results"),
)
def gpu_day(
    minutes: float,
    only: list[str] | None,
    dry_run: bool,
    collect: Path | None,
    output: Path | None,
) -> int:
    """Check, measure and train on a GPU within some minutes."""
    from rlnotes.batch import gpu_day as day
    from rlnotes.machine.devices import best_device
    from rlnotes.machine.provenance import project_folder
    from rlnotes.records.run_folders import runs_folder

    if collect:
        from rlnotes.batch.gpu_results import collect as file_results

        print(*file_results(collect, project_folder()), sep="\n")
        return 0
    parts = day.select(only)
    if not dry_run and best_device().type == "cpu":
        raise ValueError("gpu-day: torch finds no GPU; --dry-run rehearses on the CPU")
    print(day.plan(parts, day.measured_rates(), minutes), flush=True)
    if dry_run:
        output = output or Path(tempfile.mkdtemp(prefix="gpu_day_"))
    name = datetime.now().strftime("%F_%H-%M-%S_gpu_day")
    output = output or runs_folder() / name
    outcomes = day.run_day(output, minutes=minutes, dry_run=dry_run, parts=parts)
    print(f"results: {output}")
    failed = [one["name"] for one in outcomes if one["state"].startswith("failed")]
    if failed:
        print(f"rlnotes gpu-day: failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))
