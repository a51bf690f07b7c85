"""Notebooks and their percent sources: build, clean and compare.

    python -m rlnotes.teaching.notebook_pairs build [03_grpo …]  # make notebooks
    python -m rlnotes.teaching.notebook_pairs check [03_grpo …]  # part of make check

`notebooks/src/<name>.py` is the file to edit and review; `notebooks/<name>.ipynb` is
built from it and committed with its outputs, so that a reader on the web sees figures.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlnotes.batch.notebook_runner import find_notebooks
from rlnotes.batch.one_notebook import kernel_environment, run_notebook
from rlnotes.machine.files import replace_text
from rlnotes.machine.provenance import project_folder

KERNELSPEC = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}
_WIDGET = "application/vnd.jupyter.widget-view+json"


def build_notebook(source: Path, notebook: Path) -> None:
    """Make `notebook` from its percent `source`, execute and clean it.

    Cells that did not change keep their ids. The notebook is replaced only when every
    cell ran; a failing cell raises what `run_notebook` raises and leaves it as it was.
    """
    from jupytext.cli import jupytext

    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / notebook.name
        if notebook.exists():
            shutil.copy(notebook, made)
        command = ["--quiet", "--update", "--to", "ipynb", "--output", str(made)]
        jupytext([*command, str(source)])
        records = project_folder() / "build" / "notebook-runs" / notebook.stem
        shutil.rmtree(records, ignore_errors=True)
        # a progress bar on stderr is no result to keep
        with kernel_environment(RLNOTES_RUNS=str(records), TQDM_DISABLE="1"):
            run_notebook(made, made, cwd=notebook.parent)
        _write_notebook(clean_notebook(_read_notebook(made)), notebook)


def clean_notebook(notebook: Any) -> Any:
    """The executed notebook without what differs from machine to machine, in place.

    Out go papermill's and the kernel's times, widget state, the version of Python and
    absolute paths (the project's become relative, `~` and `$TMPDIR` stand for the
    rest). Figures get a palette. Outputs, execution counts, ids and tags stay;
    JupyterLab folds the code of a cell with the tag `hide-input`.
    """
    notebook.metadata = {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if "hide-input" in (tags or ()):
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "code":
            cell.outputs = [_clean(output) for output in cell.outputs]
            cell.outputs = [x for x in cell.outputs if x.get("data", True)]
    return notebook


def compare_pair(source: Path, notebook: Path) -> list[str]:
    """What keeps a notebook from being its source: one line a difference, [] if none.

    Compares the cells one by one: type, text and tags. Outputs are no part of it.
    """
    missing = [str(path.name) for path in (source, notebook) if not path.is_file()]
    if missing:
        return [f"{missing[0]} is missing"]
    import jupytext

    ours, theirs = jupytext.read(source).cells, _read_notebook(notebook).cells
    differences = []
    if len(ours) != len(theirs):
        differences.append(f"{len(ours)} cells in the source, {len(theirs)} here")
    for index, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        for what, x, y in zip(("type", "text", "tags"), _key(a), _key(b), strict=True):
            if x != y:
                differences.append(f"cell {index}: {what} differs from the source")
    return differences


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this module; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rlnotes.teaching.notebook_pairs")
    parser.add_argument("action", choices=("build", "check"))
    parser.add_argument("names", nargs="*", help="default: every notebook")
    arguments = parser.parse_args(argv)
    folder = project_folder() / "notebooks"
    try:
        sources = find_notebooks(folder / "src", arguments.names, suffix=".py")
    except ValueError as error:
        print(f"notebook_pairs: {error}", file=sys.stderr)
        return 2
    pairs = [(source, folder / f"{source.stem}.ipynb") for source in sources]
    if arguments.action == "check":
        return _check(pairs, set() if arguments.names else set(folder.glob("*.ipynb")))
    for source, notebook in pairs:
        print(f"building {notebook.name}", flush=True)
        build_notebook(source, notebook)
    return 0


def _check(pairs: Sequence[tuple[Path, Path]], notebooks: set[Path]) -> int:
    """Print every difference; 1 if there is one. `notebooks` must all have a source."""
    lines = [
        f"{notebook.name}: {difference}"
        for source, notebook in pairs
        for difference in compare_pair(source, notebook)
    ]
    orphans = sorted(notebooks - {notebook for _, notebook in pairs})
    lines += [f"{notebook.name}: no source in notebooks/src" for notebook in orphans]
    for line in lines:
        print(line, file=sys.stderr)
    if lines:
        print("edit notebooks/src, then: make notebooks", file=sys.stderr)
    return bool(lines)


def _key(cell: Any) -> tuple[str, str, list[str]]:
    return cell.cell_type, cell.source.rstrip(), sorted(cell.metadata.get("tags", []))


def _clean(output: Any) -> Any:
    """One output with plain text free of paths, and without a live widget."""
    if "data" in output:
        if _WIDGET in output.data:  # nor its repr, which says nothing to a reader
            output.data.clear()
        output.metadata = {}
        for kind, text in output.data.items():
            if kind.startswith("text/") or kind == "image/svg+xml":
                output.data[kind] = _without_paths(text)
        if "image/png" in output.data:
            output.data["image/png"] = _with_palette(output.data["image/png"])
    if "text" in output:
        output.text = _without_paths(output.text)
    return output


def _with_palette(figure: str) -> str:
    """A PNG in base64 with 256 colors: a third of the size, and to the eye the same."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(figure)))
    if image.mode == "P":
        return figure
    colors = image.convert("RGB").quantize(
        256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    colors.save(made := io.BytesIO(), "png", optimize=True)
    return base64.b64encode(made.getvalue()).decode()


def _without_paths(text: str) -> str:
    """`text` with this machine's folders replaced, the innermost first."""
    project, temporary, home = map(
        re.escape, (str(project_folder()), tempfile.gettempdir(), str(Path.home()))
    )
    for pattern, short in (
        (project + "/", ""),
        (project + r"\b", "."),
        (temporary + r"/ipykernel_\d+/\d+\.py", "<cell>"),
        (temporary + r"\b", "$TMPDIR"),
        (home + r"\b", "~"),
    ):
        text = re.sub(pattern, short, text)
    return text


def _read_notebook(path: Path) -> Any:
    import nbformat

    return nbformat.read(path, as_version=4)


def _write_notebook(notebook: Any, path: Path) -> None:
    import nbformat

    nbformat.validate(notebook)
    replace_text(path, nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
