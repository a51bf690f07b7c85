"""Write `docs/differences.md`: who computes what differently, with the numbers.

    python scripts/differences.py            # execute every example, write the page
    python scripts/differences.py --check    # compare with the committed page

Every number on the page is computed here, by the library under its conventions, or
read from `tests/equations/golden`, where the other code bases' own numbers are stored.
"""

import inspect
import sys
import textwrap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from difference_links import LINKS
from difference_row import Row
from difference_symptoms import SYMPTOMS
from differences_in_advantages import ROWS as ADVANTAGE_ROWS
from differences_in_losses import ROWS as LOSS_ROWS
from differences_in_training import ROWS as TRAINING_ROWS

from rlnotes.equations.conventions import CONVENTIONS
from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.objectives import policy_loss
from rlnotes.teaching.worked_group import worked_group

PAGE = Path(__file__).parents[1] / "docs" / "differences.md"
ROWS = sorted(ADVANTAGE_ROWS + LOSS_ROWS + TRAINING_ROWS, key=lambda row: row.number)
CHECKED = {
    "paper": "hand values and exact enumeration, `tests/equations/test_truth.py`",
    "trl": "TRL 1.16.0 live, `tests/equations/test_trl_parity.py`",
    "verl": "verl 0.9.1 executed, `tests/equations/golden/verl.json`",
    "nvlabs_trl": "a few numbers written down, `tests/equations/golden/nvlabs.json`",
    "nvlabs_verl": "verl 0.2.0.post2 executed, `tests/equations/golden/verl_0_2.json`",
    "nemo": (
        "estimators and KL executed, `tests/equations/golden/nemo.json`; losses read"
    ),
    "openrlhf": "OpenRLHF 0.11.0 executed, `tests/equations/golden/openrlhf.json`",
}


def by_name() -> dict[str, Any]:
    """Advantage of the first completion, and the loss, under each convention."""
    group = worked_group()
    num_generations = 2  # its four rows as two prompts: rewards 1, 0 and 1, 0
    numbers = {}
    for name, convention in CONVENTIONS.items():
        advantages = group_relative_advantages(
            group.rewards, num_generations, **convention.group_advantage
        )
        loss = policy_loss(
            group.per_token_logps,
            group.old_per_token_logps,
            advantages,
            group.completion_mask,
            beta=0.04,
            ref_per_token_logps=group.ref_per_token_logps,
            num_generations=num_generations,
            **convention.policy_keywords(),
        )
        numbers[name] = [float(advantages[0]), float(loss)]
    return numbers


@cache
def numbers_of(row: Row) -> Mapping[str, list[Any]]:
    """The executed numbers of a row, as lists."""
    if row.example is None:
        return {}
    return {name: _as_list(value) for name, value in row.example().items()}


def _as_list(value: Any) -> list[Any]:
    """Numbers of a tensor, a list or a scalar, in one flat list."""
    if isinstance(value, torch.Tensor):
        return value.detach().flatten().tolist()
    if isinstance(value, list):
        return [item for part in value for item in _as_list(part)]
    return [value]


def _text(values: list[Any]) -> str:
    """Numbers for reading."""
    return ", ".join(_number(value) for value in values)


def _number(value: Any) -> str:
    """Four significant digits, yes and no, or the text itself."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{value + 0.0:.4g}".replace("-", "−") if abs(value) > 1e-12 else "0"


def differs(row: Row) -> list[str]:
    """Conventions whose numbers are not the paper's."""
    numbers = numbers_of(row)
    if "paper" not in numbers:
        return []
    paper = _text(numbers["paper"])
    return [
        name
        for name, values in numbers.items()
        if name in CONVENTIONS and _text(values) != paper
    ]


def anchor(row: Row) -> str:
    """Name of the row's place on the page."""
    return f"b{row.number}"


def _summary() -> str:
    """One line per row."""
    lines = ["| | you may notice | topic | what differs | not as the paper |"]
    lines.append("|---|---|---|---|---|")
    for row in ROWS:
        others = row.who or ", ".join(differs(row))
        link = f"[{row.title}](#{anchor(row)})"
        seen = SYMPTOMS[row.number]
        lines.append(f"| B{row.number} | {seen} | {row.topic} | {link} | {others} |")
    return "\n".join(lines)


def _table(header: str, numbers: Mapping[str, list[Any]]) -> str:
    """Name and numbers, names with the same numbers in one line."""
    groups: dict[str, list[str]] = {}
    for name, values in numbers.items():
        groups.setdefault(_text(values), []).append(name)
    lines = [f"| who | {header} |", "|---|---|"]
    lines += [f"| {'; '.join(names)} | {text} |" for text, names in groups.items()]
    return "\n".join(lines)


def _code(function: Any) -> str:
    """Source of an example, folded."""
    source = textwrap.dedent(inspect.getsource(function)).strip()
    return f"<details><summary>code</summary>\n\n```python\n{source}\n```\n\n</details>"


def _section(row: Row) -> str:
    """One row as text, numbers and code."""
    parts = [
        f'<a id="{anchor(row)}"></a>\n\n### B{row.number}. {row.title}',
        f"**Paper.** {row.paper}",
        f"**Code.** {row.code}",
    ]
    if row.number in LINKS:
        places = (f"{x.who} [`{x.says}`]({x.url})" for x in LINKS[row.number])
        parts.append(f"**Where.** {'; '.join(places)}.")
    if row.example is not None:
        header = (inspect.getdoc(row.example) or "").rstrip(".")
        parts += [_table(header, numbers_of(row)), _code(row.example)]
    if row.read:
        parts.append(f"*Not computed on this page:* {row.read}")
    parts.append(f"**For a run.** {row.means}")
    return "\n\n".join(parts)


def _conventions() -> str:
    """What each name stands for, and what it gives on the worked group."""
    numbers = by_name()
    lines = [
        "| name | is | checked against | Â₁ | loss |",
        "|---|---|---|---|---|",
    ]
    for name, convention in CONVENTIONS.items():
        advantage, loss = (_number(value) for value in numbers[name])
        cells = [f"`{name}`", convention.source, CHECKED[name], advantage, loss]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    sections = "\n\n".join(_section(row) for row in ROWS)
    source = inspect.getsource(by_name).strip()
    return f"""# Differences

The same algorithm comes out with different numbers in every code base. Each row below
says what the paper's equation says, who does what and on which line, what that does to
a small example, and what it means for a run.

This page is written by `python scripts/differences.py`, which executes every example;
`tests/project/test_differences.py` compares it with what is committed. Numbers come
from the library under its conventions. "Itself" marks numbers of the other code base,
stored in `tests/equations/golden` by a script that ran it. Whatever no code of this
library can show is marked, with the version in which it was read or run. A link under
"Where" leads to a line that does not move, or to the file in which the quoted words
stand; those of TRL 1.16.0 are compared with the installed version by the same test.

## Reproduce a code base: name it

A convention is a set of keywords for the functions of this library. Spread the part
that a function wants; what is not named there keeps the paper's default.

```python
{source}
```

On the notebooks' [worked group](../rlnotes/teaching/worked_group.py), with β = .04,
that gives:

{_conventions()}

## Summary

{_summary()}

## Row by row

{sections}
"""


def main() -> None:
    """Write the page, or with --check compare it."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/differences.md is not what python scripts/differences.py writes")


if __name__ == "__main__":
    main()
