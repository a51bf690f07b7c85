"""Command line of rlnotes: `rlnotes --help`.

A subcommand is one function that does the work and one entry in `_parser`. Whatever is
slow to import is imported inside the function, so that help comes at once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ERRORS = (ValueError, OSError, RuntimeError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status.

    0: done. 1: it ran and something failed. 2: bad input, in one line on stderr (the
    traceback with `--debug`). 130: interrupted.
    """
    arguments = _parse(argv)
    try:
        return arguments.handler(arguments)
    except KeyboardInterrupt:
        print("rlnotes: interrupted", file=sys.stderr)
        return 130
    except ERRORS as error:
        if getattr(arguments, "debug", False):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"rlnotes {arguments.command}: {message}", file=sys.stderr)
        return 2


def check(arguments: argparse.Namespace) -> int:
    """`rlnotes check`."""
    from rlnotes.batch.check import run_check

    return run_check()


def fetch(arguments: argparse.Namespace) -> int:
    """`rlnotes fetch`."""
    from rlnotes.policies.policy import fetch_embedded_model

    print(f"smollm2-135m is in {fetch_embedded_model()}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """`rlnotes run`: 0 if every notebook ran through, 1 if one failed."""
    from datetime import datetime

    from rlnotes.batch.notebook_runner import find_notebooks, run_notebooks
    from rlnotes.machine.provenance import project_folder
    from rlnotes.records.run_folders import runs_folder

    folder = project_folder() / "notebooks"
    output = arguments.output or runs_folder() / datetime.now().strftime("%F_%H-%M-%S")
    find_notebooks(folder, arguments.only)
    # In a process of its own: torch's memory is gone when the notebooks start. A model
    # that cannot be had is said here, and the notebooks that do without it still run.
    subprocess.run([sys.executable, "-m", "rlnotes.cli", "fetch"])
    results = run_notebooks(folder, output, arguments.only)
    return int(any(result.error for result in results))


def notebook(arguments: argparse.Namespace) -> int:
    """`rlnotes notebook`: papermill, but an unknown parameter is refused."""
    from rlnotes.batch.notebook_runner import run_notebook_with_config

    overrides = parse_overrides(arguments.overrides)
    run_notebook_with_config(
        arguments.notebook, arguments.output, arguments.config, overrides
    )
    print(f"executed notebook: {arguments.output}")
    return 0


def train(arguments: argparse.Namespace) -> int:
    """`rlnotes train`: every parameter is checked before anything starts."""
    from rlnotes.training.config import DEFAULTS, load_config, make_config

    overrides = parse_overrides(arguments.overrides)
    trl_options = parse_overrides(arguments.trl)
    if trl_options and arguments.engine != "trl":
        raise ValueError(f"--trl needs --engine trl, got {list(trl_options)}")
    if arguments.config is None:
        config = make_config(**overrides)
    else:
        config = load_config(arguments.config, **overrides)

    from rlnotes.records.partial import check_startable
    from rlnotes.records.run_folders import run_name, runs_folder

    output = arguments.output or runs_folder() / run_name(config.to_dict())
    fields, resume = config.to_dict(), arguments.resume
    check_startable(output, fields, defaults=DEFAULTS, resume=resume)
    options: dict[str, Any] = {"output": output, "resume": arguments.resume}
    if arguments.engine == "trl":
        options["options"] = trl_options
    _train(config, arguments, options)
    print(f"recorded run: {output}")
    return 0


def _train(config: Any, arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    """Train with the engine asked for; tensorboard is a hook for our own loop."""
    from rlnotes import engines
    from rlnotes.engines.tracking import reporter

    if arguments.engine == "trl":
        engines.train(config, engine="trl", report_to=arguments.report_to, **options)
        return
    with reporter(arguments.report_to, options["output"]) as board:
        engines.train(config, on_step=board, **options)


def sweep(arguments: argparse.Namespace) -> int:
    """`rlnotes sweep`: 0 if every run is recorded, 1 if one failed."""
    from rlnotes.batch.plan import parse_seeds, plan_sweep
    from rlnotes.batch.sweeps import run_sweep

    words = [word for word in arguments.overrides if "=" in word]
    paths = [Path(word) for word in arguments.overrides if "=" not in word]
    if not paths:
        raise ValueError("expected a config file (like configs/grpo.yaml), got none")
    seeds, overrides = parse_seeds(arguments.seeds), parse_overrides(words)
    runs = plan_sweep(paths, seeds, output=arguments.output, overrides=overrides)
    return _report(runs, run_sweep(runs, jobs=arguments.jobs), "sweep")


def matrix(arguments: argparse.Namespace) -> int:
    """`rlnotes matrix`: 0 if every run is recorded, 1 if one failed."""
    from rlnotes.batch.matrix import plan_matrix
    from rlnotes.batch.sweeps import run_sweep

    runs = plan_matrix(arguments.file, output=arguments.output)
    return _report(runs, run_sweep(runs, jobs=arguments.jobs), "matrix")


def _report(runs: Sequence[Any], failed: dict[str, str], command: str) -> int:
    """Say what failed and how many runs there are now; the exit status."""
    for name, error in failed.items():
        print(f"rlnotes {command}: {name} failed: {error}", file=sys.stderr)
    print(f"{len(runs) - len(failed)} of {len(runs)} runs are recorded")
    return int(bool(failed))


def size(arguments: argparse.Namespace) -> int:
    """`rlnotes size`: memory and work of a run, computed from its shapes."""
    from rlnotes.batch.sizing import describe, estimate
    from rlnotes.policies.shapes import load_shape
    from rlnotes.training.config import load_config

    config = load_config(arguments.config, **parse_overrides(arguments.overrides))
    names = ("engine", "prompt_length", "held_out")
    options = {name: getattr(arguments, name) for name in names}
    sizes = estimate(config, load_shape(config.policy), **options)
    print(describe(config, sizes, limit_gb=arguments.memory))
    return 0


def pretrain(arguments: argparse.Namespace) -> int:
    """`rlnotes pretrain`: a base policy of the search lab, with its card."""
    from rlnotes.machine.files import read_mapping
    from rlnotes.records.run_folders import runs_folder
    from rlnotes.supervised.search_checkpoint import (
        make_pretraining,
        pretrain_to_folder,
    )

    values = read_mapping(arguments.config) if arguments.config else {}
    settings = make_pretraining(values | parse_overrides(arguments.overrides))
    folder = arguments.output or runs_folder() / "policies" / settings.name
    rates = pretrain_to_folder(settings, folder)
    print("  ".join(f"{name} {rate:.3f}" for name, rate in rates.items()))
    print(f"policy: {folder}")
    return 0


def algorithms(arguments: argparse.Namespace) -> int:
    """`rlnotes algorithms`: what each algorithm sets, one line each."""
    from rlnotes.training.config import ALGORITHMS

    width = max(map(len, ALGORITHMS))
    for name, values in ALGORITHMS.items():
        settings = " ".join(f"{key}={_shown(value)}" for key, value in values.items())
        print(f"{name:<{width}}  {settings}")
    return 0


def table(arguments: argparse.Namespace) -> int:
    """`rlnotes table`: recorded runs as a Markdown table."""
    from rlnotes.machine.provenance import project_folder
    from rlnotes.records.results import results_table

    print(results_table(arguments.runs or project_folder() / "data" / "runs"))
    return 0


def reflect(arguments: argparse.Namespace) -> int:
    """`rlnotes reflect`: everything is read before the first file is written."""
    from datetime import datetime

    from rlnotes.records.run_folders import runs_folder
    from rlnotes.reflection.files import check_output, describe, save
    from rlnotes.reflection.report import reflect as count

    name = datetime.now().strftime("%F_%H-%M-%S_reflect")
    output = arguments.output or runs_folder() / name
    check_output(output)
    report = count(
        arguments.files,
        words=arguments.words,
        baseline=arguments.baseline,
        field=arguments.field,
        step_field=arguments.step_field,
        strict=arguments.strict,
        benefit=arguments.benefit,
        progress=True,
    )
    print(describe(report))
    print("saved:", *save(report, output))
    return 0


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """`["seed=1", "beta=0.04"]` as typed values, each read as YAML.

    Raises ValueError for a word without `=`, a name given twice, or a bad value.
    """
    import yaml

    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"expected key=value (like seed=1), got {word!r}")
        if name in values:
            raise ValueError(f"parameter {name!r} is given twice")
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ValueError(f"value of {name!r} is no YAML: {text!r}") from None
    return values


def _shown(value: object) -> str:
    """A value as it would be typed after `key=`."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; `key=value` words may stand before and after options."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes positional words from one place only and leaves the others over
    unknown = [x for x in rest if x.startswith("-") or "overrides" not in arguments]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        arguments.overrides += rest
    return arguments


def _parser() -> argparse.ArgumentParser:
    debug = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    debug.add_argument("--debug", action="store_true", help="show tracebacks")
    parser = argparse.ArgumentParser(
        prog="rlnotes",
        parents=[debug],
        description="Reinforcement learning on reasoning language models, PPO to GDPO.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(handler: Any, text: str) -> argparse.ArgumentParser:
        name = handler.__name__
        command = commands.add_parser(
            name, help=text, description=text, parents=[debug]
        )
        command.set_defaults(handler=handler)
        return command

    add(check, "versions, device, cache and a one-second self-test")
    add(fetch, "download and convert the embedded model, once")
    add(algorithms, "what each algorithm sets in the configuration")
    command = add(run, "execute the notebooks in order into runs/<time>/")
    command.add_argument("--only", nargs="+", metavar="NAME", help="like 02_grpo")
    command.add_argument("--output", type=Path, metavar="DIR", help="new folder")
    command = add(notebook, "execute one notebook with checked parameters")
    command.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    command.add_argument("output", type=Path, metavar="OUTPUT")
    _add_parameters(command)
    command = add(train, "train a policy and record the run")
    command.add_argument("--output", type=Path, metavar="DIR", help="the run's folder")
    command.add_argument(
        "--resume", action="store_true", help="go on with an interrupted run"
    )
    command.add_argument("--engine", choices=("rlnotes", "trl"), default="rlnotes")
    command.add_argument(
        "--report-to",
        metavar="NAME",
        help="tensorboard (default) or none; TRL has more",
    )
    command.add_argument(
        "--trl",
        action="append",
        default=[],
        metavar="key=value",
        help="a further field of GRPOConfig, like use_vllm=true; may be repeated",
    )
    _add_parameters(command)
    command = add(sweep, "train every config with every seed, a process each")
    command.add_argument(
        "overrides",
        nargs="*",
        metavar="CONFIG|key=value",
        help="YAML files, parameters",
    )
    command.add_argument("--seeds", required=True, help="like 0-4 or 0,2,5 or 0-2,7")
    command.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the runs"
    )
    command.add_argument("--jobs", type=int, metavar="N", help="default: the cores")
    command = add(matrix, "train every run of a file by notebook 07, resumable")
    command.add_argument("file", type=Path, metavar="FILE", help="configs, seeds")
    command.add_argument("--output", type=Path, metavar="DIR", help="of the runs")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="default: 1")
    command = add(size, "memory and work of a run, computed from its shapes")
    _add_parameters(command, required=True)
    command.add_argument("--engine", choices=("rlnotes", "trl"), default="rlnotes")
    command.add_argument("--memory", type=float, metavar="GB", help="what there is")
    command.add_argument("--prompt-length", type=int, default=256, metavar="TOKENS")
    command.add_argument("--held-out", type=int, default=128, metavar="QUESTIONS")
    command = add(pretrain, "pretrain a base policy of the search lab")
    command.add_argument("--output", type=Path, metavar="DIR", help="new folder")
    _add_parameters(command)
    command = add(table, "recorded runs as a Markdown table")
    command.add_argument("runs", nargs="*", type=Path, help="default: data/runs")
    _add_reflect(add(reflect, "count reflective words and behavior in completions"))
    return parser


def _add_reflect(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files", nargs="+", metavar="FILE", help="JSONL of completions, - for stdin"
    )
    command.add_argument("--field", default="completion", help="text or chat messages")
    command.add_argument(
        "--words",
        default="r1",
        metavar="LIST",
        help="a list's name, or a file of words",
    )
    command.add_argument("--step-field", default="step", metavar="FIELD")
    command.add_argument(
        "--baseline",
        metavar="FILE",
        help="completions of the untrained policy (else: those at step 0)",
    )
    command.add_argument(
        "--benefit",
        action="store_true",
        help="accuracy with and without; memory grows with the different problems",
    )
    command.add_argument(
        "--strict", action="store_true", help="stop at the first broken line"
    )
    command.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the table and the figure"
    )


def _add_parameters(
    command: argparse.ArgumentParser, *, required: bool = False
) -> None:
    """A YAML file and `key=value` words over it."""
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file", required=required
    )
    command.add_argument(
        "overrides", nargs="*", metavar="key=value", help="like seed=1 beta=0.04"
    )


if __name__ == "__main__":
    raise SystemExit(main())
