"""RECORD of a run: a folder with metrics, samples, configuration and provenance.

    runs/<algorithm>_<task>_<policy>_seed<k>/
        metrics.csv     one row per step; the columns are TRL's log keys
        samples.jsonl   some completions, one JSON object a line
        config.yaml     the resolved configuration
        rewards/        the text of own reward functions, if there are any
        policy/         the trained policy, if it is kept
        meta.json       commit, command, versions, device, seconds, peak memory, status

The folder is written as `<name>.partial`, step by step, and takes its final name when
the run ends well: a folder without `.partial` is a whole run, and a killed run leaves
every finished step behind, and the state (`partial`) that it can go on from.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from rlnotes.machine.files import (
    append_text,
    check_ours,
    locked,
    remove_ours,
    replace_text,
)
from rlnotes.machine.provenance import describe_run, peak_gpu_memory_mb, peak_memory_mb
from rlnotes.records.partial import (
    check_config,
    check_startable,
    compare,
    differing_provenance,
    load_state,
    remove_state,
    rows_up_to,
    samples_up_to,
    save_state,
)
from rlnotes.records.rows import as_csv, as_number, read_meta
from rlnotes.records.run_folders import OURS, is_free, partial_folder

_PEAKS = {"peak_memory_mb": peak_memory_mb, "peak_gpu_memory_mb": peak_gpu_memory_mb}


class RunRecorder:
    """Writes one run's folder, so that nothing finished is ever lost.

        with RunRecorder(runs_folder() / run_name(config), config) as run:
            run.log(1, {"reward": 0.25, "loss": 0.0})
            run.add_samples(1, [{"prompt": "2+2=", "completion": "4", "reward": 1.0}])

    Every step is flushed to the disk before `log` returns. `command` is what a reader
    types to repeat the run (default: this process's own command line), `device` is what
    the policy runs on. Entering raises FileExistsError when the run or an interrupted
    one (`.partial`) is there already, unless `overwrite`; an earlier finished run is
    replaced only when the new one ends. A folder that holds anything but a run's files
    is never replaced: FileExistsError, and the finished run stays in `.partial`.
    With `resume` an interrupted run goes on behind its saved state (`take_state`), or
    starts over where none was saved; ValueError when its config is another one, where
    a field that the interrupted run did not know yet counts as its `defaults`.
    `provenance` is further told in meta.json, `files` are texts by their names here.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        command: str | None = None,
        device: str = "cpu",
        overwrite: bool = False,
        resume: bool = False,
        defaults: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.partial = partial_folder(self.folder)
        self._old = partial_folder(self.folder.with_name(f"{self.folder.name}.old"))
        self.config = dict(config)
        self._command = command
        seeds = [self.config["seed"]] if "seed" in self.config else []
        self._meta: dict[str, Any] = {"seeds": seeds, "device": device}
        self._overwrite, self._resume = overwrite, resume
        self._defaults = dict(defaults or {})
        self._provenance, self._files = dict(provenance or {}), dict(files or {})
        self._rows: list[dict[str, Any]] = []
        self._columns, self._samples = ["step"], 0
        self._state: dict[str, Any] | None = None
        self._stopped = ""
        self._spent: dict[str, float] = dict.fromkeys(["seconds", *_PEAKS], 0.0)

    def __enter__(self) -> Self:
        """Refuse, take up or clear what is there, then write config and provenance."""
        with ExitStack() as stack:
            self._make_folder()
            stack.enter_context(locked(self.partial))
            self._start = time.perf_counter()
            self._meta = {
                **describe_run(command=self._command, device=self._meta["device"]),
                **self._meta,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "resumes": 0,
                **self._provenance,
            }
            samples = self._take_up()
            for name, text in self._files.items():
                (self.partial / name).parent.mkdir(exist_ok=True)
                replace_text(self.partial / name, text)
            text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
            replace_text(self.partial / "config.yaml", text)
            self._write_meta("running")
            self._write_metrics()
            replace_text(self.partial / "samples.jsonl", samples)
            self._lock = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Move the whole run to its final name, or leave the finished steps behind."""
        with self._lock:
            if kind is None:
                if self._stopped:
                    self._write_meta(f"stopped: {self._stopped}")
                    return
                self._check_place()
                self._write_meta("finished")
                # first: a whole run never holds a state, whenever the kill comes
                remove_state(self.partial)
                self._move_into_place()
            elif issubclass(kind, KeyboardInterrupt):
                self._write_meta("interrupted")
            else:
                self._write_meta(f"failed: {kind.__name__}: {error}")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What was logged so far, before the run was resumed included."""
        return list(self._rows)

    @property
    def meta(self) -> dict[str, Any]:
        """What meta.json tells of the run's origin."""
        return dict(self._meta)

    def note(self, **facts: Any) -> None:
        """Add to what meta.json tells, at once."""
        self._meta |= facts
        self._write_meta("running")

    def take_state(self) -> dict[str, Any] | None:
        """The state to go on from, handed out once; None: start at the beginning."""
        state, self._state = self._state, None
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Save what `take_state` gives after a kill; `state["step"]` is the last one.

        Log that step and its samples before.
        """
        known = {"config": self.config, "samples": self._samples}
        save_state(self.partial, {**state, **known})
        self._write_meta("running")

    def stop(self, reason: str) -> None:
        """Leave the run where an interrupted one lies when the block ends, resumable.

        The last step's state must have been saved; meta.json says `reason`.
        """
        self._stopped = reason

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row. A new key adds a column, empty in the rows before it.

        Raises ValueError for a step that is not above the last one, an empty mapping,
        or a value that is no number.
        """
        last = self._rows[-1]["step"] if self._rows else None
        if last is not None and step <= last:
            raise ValueError(f"step must be above {last}, the last one, got {step!r}")
        if not metrics or "step" in metrics:
            raise ValueError(
                f"metrics must have entries and none named 'step', got {metrics!r}"
            )
        row = {key: as_number(key, value) for key, value in metrics.items()}
        self._rows.append({"step": int(step), **row})
        new = [key for key in row if key not in self._columns]
        self._columns += new
        if new:
            self._write_metrics()
        else:
            text = as_csv(self._columns, self._rows[-1:])
            append_text(self.partial / "metrics.csv", text)

    def add_samples(self, step: int, samples: Iterable[Mapping[str, Any]]) -> None:
        """Append completions, each a mapping of plain values; the step is added."""
        lines = [
            json.dumps({"step": int(step), **sample}, ensure_ascii=False) + "\n"
            for sample in samples
        ]
        append_text(self.partial / "samples.jsonl", "".join(lines))
        self._samples += len(lines)

    def _make_folder(self) -> None:
        resumed = self._resume and not is_free(self.partial)
        self._replaces = self._overwrite and not is_free(self.folder)
        if self._replaces:
            check_ours(self.folder, OURS)
        if not self._overwrite:
            check_startable(
                self.folder,
                self.config,
                defaults=self._defaults,
                resume=self._resume,
            )
        elif resumed:
            check_config(self.partial, self.config, self._defaults)
        if resumed:
            return
        if self.partial.is_dir():
            with locked(self.partial):
                remove_ours(self.partial, OURS)
        try:
            self.partial.mkdir(parents=True)
        except OSError as error:
            raise ValueError(
                f"folder: cannot write a run to {self.folder}"
                f" ({error.strerror}); expected a folder that can be made"
            ) from None

    def _take_up(self) -> str:
        """Rows, samples and provenance of the session before; its samples' lines."""
        self._state = load_state(self.partial)
        if self._state is None:
            return ""
        step, theirs = self._state["step"], self._state.get("config", self.config)
        compare(theirs, self.config, self._defaults, self.partial)  # not the file's
        samples = samples_up_to(self.partial, step, self._state.get("samples"))
        self._columns, self._rows = rows_up_to(self.partial, step)
        now, self._meta = self._meta, read_meta(self.partial / "meta.json")
        self._samples = samples.count("\n")
        changed = differing_provenance(self._meta, now)
        self._spent = {key: self._meta.get(key) or 0.0 for key in self._spent}
        other = {name: ours for name, (_, ours) in changed.items()}
        self._meta["resumes"] = self._meta.get("resumes", 0) + 1
        session = {"step": step, "date": now["date"], **other}
        self._meta["resumed"] = [*self._meta.get("resumed", []), session]
        for name, (first, ours) in changed.items():
            warnings.warn(
                f"resume: {name} was {first!r} when the run began and is {ours!r} now;"
                " meta.json records it, and the bits may differ",
                stacklevel=4,
            )
        return samples

    def _check_place(self) -> None:
        """Raise FileExistsError, the run left where it is, if a stranger came there."""
        try:
            if not self._replaces and not is_free(self.folder):
                raise FileExistsError(f"{self.folder} was made by somebody else")
            for place in (self.folder, self._old):
                if not is_free(place):
                    check_ours(place, OURS)
        except FileExistsError as error:
            self._write_meta("stopped: the place of the whole run is taken")
            raise FileExistsError(
                f"{error}; the whole run stays in {self.partial}: rename it"
            ) from None

    def _move_into_place(self) -> None:
        if is_free(self.folder):
            if self.folder.is_dir():
                self.folder.rmdir()
            os.replace(self.partial, self.folder)
            return
        remove_ours(self._old, OURS)  # of a kill between these two lines
        os.replace(self.folder, self._old)
        os.replace(self.partial, self.folder)
        remove_ours(self._old, OURS)

    def _write_metrics(self) -> None:
        text = ",".join(self._columns) + "\n" + as_csv(self._columns, self._rows)
        replace_text(self.partial / "metrics.csv", text)

    def _write_meta(self, status: str) -> None:
        seconds = self._spent["seconds"] + time.perf_counter() - self._start
        peaks = {name: measure() for name, measure in _PEAKS.items()}
        meta = {
            **self._meta,
            "status": status,
            "steps": len(self._rows),
            "seconds": round(seconds, 3),
            **{name: x and max(self._spent[name], x) for name, x in peaks.items()},
        }
        text = json.dumps(meta, indent=2, ensure_ascii=False) + "\n"
        replace_text(self.partial / "meta.json", text)
