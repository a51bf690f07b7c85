"""Nothing mixes devices: what a GPU would refuse is found without one.

The cases are in `device_cases.py`. They run in a process of their own: a backend is
registered for good, and transformers, accelerate and TRL would take it for a GPU in
every other test of the process.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

CASES = Path(__file__).parent / "device_cases.py"
SETUP = "_setup_privateuseone_for_python_backend"


@pytest.mark.skipif(
    not hasattr(backend_registration, SETUP),
    reason="this torch has no backends written in Python (2.9 has none, 2.13 has)",
)
@pytest.mark.parametrize(
    "marks", ["not trl", pytest.param("trl", marks=[pytest.mark.trl])]
)
def test_every_case_passes_on_a_pretend_device(marks):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    own = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    own["CUDA_VISIBLE_DEVICES"] = ""  # a real GPU would be taken first
    done = subprocess.run(
        [*command, "-m", marks, str(CASES)],
        cwd=CASES.parent.parent,
        env=own,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout, done.stdout
