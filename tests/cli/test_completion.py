"""Scripts that complete what is typed."""

import shutil
import subprocess

import pytest

from tests.cli.test_main import run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_asks_the_program(shell: str) -> None:
    """By click's variable."""
    done = run("completion", shell)
    assert done.returncode == 0
    assert "_LLM_INFERENCE_API_COMPLETE" in done.stdout


def test_bash_completes_a_command() -> None:
    """As a person would see it."""
    bash = shutil.which("bash")
    assert bash is not None
    script = run("completion", "bash").stdout
    check = f"{script}\ncomplete -p llm-inference-api"
    done = subprocess.run([bash, "-c", check], capture_output=True, text=True, timeout=60, check=False)
    assert "llm-inference-api" in done.stdout
    words = run(_LLM_INFERENCE_API_COMPLETE="bash_complete", COMP_WORDS="llm-inference-api mod", COMP_CWORD="1")
    assert words.stdout.splitlines() == ["plain,models"]
