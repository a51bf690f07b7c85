"""Commands that train or plan it: algorithms, fields, train, sweep, size, …"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlnotes.cli.options import command, option, output, parameters, parse_overrides

_ENGINE = option("--engine", choices=("rlnotes", "trl"), default="rlnotes")
_FIELD = "a further field of GRPOConfig, like use_vllm=true; may be repeated"


@command()
def algorithms() -> None:
    """What each algorithm sets in the configuration."""
    from rlnotes.training.config import ALGORITHMS

    width = max(map(len, ALGORITHMS))
    for name, values in ALGORITHMS.items():
        settings = " ".join(f"{key}={_shown(value)}" for key, value in values.items())
        print(f"{name:<{width}}  {settings}")


@command(option("word", nargs="?", default="", help="in the name or the meaning"))
def fields(word: str) -> None:
    """Every field of a configuration: type, default, meaning, algorithms."""
    from rlnotes.training.config import ALGORITHMS
    from rlnotes.training.fields import config_fields

    for one in config_fields(word):
        notes = [f"{name}: {_shown(value)}" for name, value in one.set_by.items()]
        if len(one.algorithms) < len(ALGORITHMS):
            notes.insert(0, f"{' '.join(one.algorithms)} only")
        text = one.meaning if word else one.meaning.partition(". ")[0].rstrip(".")
        head = f"{one.name}={_shown(one.default)}  ({one.kind})"
        print("  ".join([head, *notes]), f"    {text}", sep="\n")


@command(
    output("the run's folder"),
    option("--resume", action="store_true", help="go on with an interrupted run"),
    _ENGINE,
    option("--report-to", metavar="NAME", help="tensorboard, none; TRL has more"),
    option("--trl", action="append", default=[], metavar="key=value", help=_FIELD),
    *parameters(),
)
def train(
    output: Path | None,
    resume: bool,
    config: Path | None,
    overrides: list[str],
    **how: Any,
) -> None:
    """Train a policy and record the run."""
    from rlnotes.training.config import DEFAULTS, load_config, make_config

    values, trl = parse_overrides(overrides), parse_overrides(how.pop("trl"))
    if trl and how["engine"] != "trl":
        raise ValueError(f"--trl needs --engine trl, got {list(trl)}")
    made = load_config(config, **values) if config else make_config(**values)

    from rlnotes.machine.free import use_free_cores
    from rlnotes.records.partial import check_startable
    from rlnotes.records.run_folders import run_name, runs_folder

    fields = made.to_dict()  # all is checked before anything starts
    output = output or runs_folder() / run_name(fields)
    check_startable(output, fields, defaults=DEFAULTS, resume=resume)
    use_free_cores()
    result = _train(made, **how, trl=trl, output=output, resume=resume)
    if result.finished:
        print(f"recorded run: {output}")
        return
    done, minutes = result.metrics["step"].iloc[-1], made.max_minutes
    print(
        f"stopped after {minutes:g} minutes at step {done:.0f} of {made.max_steps}:"
        f" the same command with --resume goes on ({result.folder})"
    )


def _train(
    config: Any, engine: str, report_to: str | None, trl: Any, **where: Any
) -> Any:
    """Train with the engine asked for; tensorboard is a hook for our own loop."""
    from rlnotes import engines
    from rlnotes.engines.tracking import reporter

    if engine == "trl":
        options = {"report_to": report_to, "options": trl, **where}
        return engines.train(config, engine="trl", **options)
    with reporter(report_to, where["output"]) as board:
        return engines.train(config, on_step=board, **where)


@command(
    option(
        "overrides", nargs="*", metavar="CONFIG|key=value", help="YAML files, values"
    ),
    option("--seeds", required=True, help="like 0-4 or 0,2,5 or 0-2,7"),
    output("folder of the runs"),
    option("--jobs", type=int, metavar="N", help="default: the cores"),
)
def sweep(
    overrides: list[str], seeds: str, output: Path | None, jobs: int | None
) -> int:
    """Train every config with every seed, a process each."""
    from rlnotes.batch.plan import parse_seeds, plan_sweep
    from rlnotes.batch.sweeps import run_sweep

    paths = [Path(word) for word in overrides if "=" not in word]
    values = parse_overrides([word for word in overrides if "=" in word])
    if not paths:
        raise ValueError("expected a config file (like configs/grpo.yaml), got none")
    runs = plan_sweep(paths, parse_seeds(seeds), output=output, overrides=values)
    return _report(runs, run_sweep(runs, jobs=jobs), "sweep")


@command(
    option("file", type=Path, metavar="FILE", help="configs, seeds"),
    output("folder of the runs"),
    option("--jobs", type=int, default=1, metavar="N", help="default: 1"),
)
def matrix(file: Path, output: Path | None, jobs: int) -> int:
    """Train every run of a file by notebook 11, resumable."""
    from rlnotes.batch.matrix import plan_matrix
    from rlnotes.batch.sweeps import run_sweep

    runs = plan_matrix(file, output=output)
    return _report(runs, run_sweep(runs, jobs=jobs), "matrix")


@command(
    *parameters(required=True),
    _ENGINE,
    option("--memory", type=float, metavar="GB", help="what there is"),
    option("--prompt-length", type=int, default=256, metavar="TOKENS"),
    option("--held-out", type=int, default=128, metavar="QUESTIONS"),
)
def size(config: Path, overrides: list[str], memory: float | None, **how: Any) -> None:
    """Memory and work of a run, computed from its shapes."""
    from rlnotes.batch.sizing import describe, estimate
    from rlnotes.policies.shapes import load_shape
    from rlnotes.training.config import load_config

    made = load_config(config, **parse_overrides(overrides))
    sizes = estimate(made, load_shape(made.policy), **how)
    print(describe(made, sizes, limit_gb=memory))


@command(output("new folder"), *parameters())
def pretrain(output: Path | None, config: Path | None, overrides: list[str]) -> None:
    """Pretrain a base policy of the search lab, with its card."""
    from rlnotes.machine.files import read_mapping
    from rlnotes.records.run_folders import runs_folder
    from rlnotes.supervised import search_card

    values = (read_mapping(config) if config else {}) | parse_overrides(overrides)
    settings = search_card.make_pretraining(values)
    folder = output or runs_folder() / "policies" / settings.name
    rates = search_card.pretrain_to_folder(settings, folder)
    print("  ".join(f"{name} {rate:.3f}" for name, rate in rates.items()))
    print(f"policy: {folder}")


def _report(runs: Sequence[Any], failed: dict[str, str], name: str) -> int:
    """Say what failed and how many runs there are now; 1 if one failed, else 0."""
    for run, error in failed.items():
        print(f"rlnotes {name}: {run} failed: {error}", file=sys.stderr)
    print(f"{len(runs) - len(failed)} of {len(runs)} runs are recorded")
    return int(bool(failed))


def _shown(value: object) -> str:
    """A value as it would be typed after `key=`."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_shown, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
