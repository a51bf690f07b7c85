"""What nbval compares when it runs these notebooks (`make test`).

A cell with the tag `nbval-check-output` must print what is stored. Warnings, progress bars
and the HTML twin of a table differ between machines and are left out.
"""

from typing import Any


def pytest_collectstart(collector: Any) -> None:
    """Leave stderr and HTML out of the comparison."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html")
