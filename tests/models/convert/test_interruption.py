"""A process that is killed during a conversion leaves either a complete output or none."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from llm_inference_api.models.convert.conversion import convert_checkpoint
from llm_inference_api.models.convert.quantise import quantise_file
from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert.conftest import ignore_progress
from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import TINY_LLAMA_SHAPES

CONVERT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from llm_inference_api.models.convert.conversion import convert_checkpoint

def progress(done, total):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), dtype=None, progress=progress)
"""
"""Converts a checkpoint (first argument) to a file (second), and kills itself after so many tensors (third)."""

QUANTISE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from llm_inference_api.models.convert.quantise import quantise_file

def progress(done, total):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

quantise_file(Path(sys.argv[1]), Path(sys.argv[2]), "Q8_0", progress)
"""

DIE_AROUND_REPLACE = """
import os, signal, sys
from pathlib import Path
from llm_inference_api.models.convert.conversion import convert_checkpoint

replace = Path.replace

def die(path, target):
    if sys.argv[3] == "after":
        replace(path, target)
    os.kill(os.getpid(), signal.SIGKILL)

Path.replace = die
convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), dtype=None, progress=lambda done, total: None)
"""
"""As CONVERT_AND_DIE, but kills itself "before" or "after" (third argument) the file is renamed."""


def run(program: str, *arguments: object) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


@pytest.mark.parametrize("done", [0, 1, len(TINY_LLAMA_SHAPES) // 2, len(TINY_LLAMA_SHAPES)])
def test_a_kill_during_conversion_leaves_no_output(done: int, tiny_llama: Path, tmp_path: Path) -> None:
    """What was written has another name, and the next conversion removes it."""
    output = tmp_path / "cache" / "m.gguf"

    assert run(CONVERT_AND_DIE, tiny_llama, output, done) == -signal.SIGKILL

    assert not output.exists()
    convert_checkpoint(tiny_llama, output, dtype=None, progress=ignore_progress)
    assert [path.name for path in output.parent.iterdir()] == ["m.gguf"]
    with opened(output):
        pass


@pytest.mark.parametrize("done", [0, 1, 5])
def test_a_kill_during_quantisation_leaves_no_output(done: int, tiny_llama: Path, tmp_path: Path) -> None:
    """The same holds for llama.cpp's quantiser."""
    source, output = tmp_path / "m.gguf", tmp_path / "cache" / "q.gguf"
    convert_checkpoint(tiny_llama, source, dtype=Dtype.FLOAT16, progress=ignore_progress)

    assert run(QUANTISE_AND_DIE, source, output, done) == -signal.SIGKILL

    assert not output.exists()
    quantise_file(source, output, "Q8_0", ignore_progress)
    assert [path.name for path in output.parent.iterdir()] == ["q.gguf"]
    with opened(output):
        pass


def test_a_kill_before_the_rename_leaves_no_output(tiny_llama: Path, tmp_path: Path) -> None:
    """A complete file that is not renamed yet does not count."""
    output = tmp_path / "cache" / "m.gguf"

    assert run(DIE_AROUND_REPLACE, tiny_llama, output, "before") == -signal.SIGKILL

    assert not output.exists()


def test_a_kill_after_the_rename_leaves_a_complete_file(tiny_llama: Path, tmp_path: Path) -> None:
    """A file that has its name is complete."""
    output = tmp_path / "cache" / "m.gguf"

    assert run(DIE_AROUND_REPLACE, tiny_llama, output, "after") == -signal.SIGKILL

    with opened(output) as llama:
        assert llama.logits([1, 5, 9]).shape == (3, 600)


def test_a_conversion_in_progress_is_not_removed(tiny_llama: Path, tmp_path: Path) -> None:
    """A conversion does not remove the temporary file of another that is running."""
    output = tmp_path / "cache" / "m.gguf"
    waiting = CONVERT_AND_DIE.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(1, flush=True); sys.stdin.read()")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", waiting, str(tiny_llama), str(output), "3"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        before = set(output.parent.iterdir())

        convert_checkpoint(tiny_llama, output, dtype=None, progress=ignore_progress)

        assert set(output.parent.iterdir()) == before | {output}
        other.communicate()
    assert other.returncode == 0
    assert [path.name for path in output.parent.iterdir()] == ["m.gguf"]


def test_kills_at_any_moment_leave_a_complete_file_or_none(tiny_llama: Path, tmp_path: Path) -> None:
    """Ten kills, spread over the second half of a conversion's time and a little beyond."""
    output = tmp_path / "cache" / "m.gguf"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", CONVERT_AND_DIE, str(tiny_llama), str(output), "-1"]
    started = time.monotonic()
    subprocess.run(command, env=environment, check=True)
    duration = time.monotonic() - started
    for attempt in range(10):
        output.unlink(missing_ok=True)
        with subprocess.Popen(command, env=environment) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(duration * (0.5 + attempt / 18))
            process.kill()
        if output.exists():
            with opened(output) as llama:
                assert llama.size == 600
