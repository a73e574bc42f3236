"""Runs the programs of this directory that have transformers, in a Python that has it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.oracle.families.renderings import PYTHON
from tests.oracle.material import cached_material

_ROOT = Path(__file__).parents[3]


def make(program: str, case: str, directory: Path, *needs: str) -> None:
    """Has transformers make the case's checkpoint and answers, and upstream's converter the GGUF file.

    Skips the test where packages are missing that the program needs.
    """
    if PYTHON not in os.environ and not all(map(importlib.util.find_spec, ("torch", "transformers", *needs))):
        pytest.skip(
            f"{', '.join(('torch', 'transformers', *needs))}: not installed; {PYTHON} can name a Python with them"
        )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [os.environ.get(PYTHON, sys.executable), "-m", f"{__package__}.{program}", case, str(directory)]
    subprocess.run([*command, str(cached_material("llama-convert"))], env=environment, cwd=_ROOT, check=True)
