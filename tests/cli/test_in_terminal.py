"""`serve` and `models pull` in a terminal, as a person sees them, with a model of the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.service import COMMAND, clean_environment
from tests.fakes.gguf import write_tiny_model
from tests.fakes.hub import FakeHub, Handler, Repository
from tests.fakes.ports import free_port
from tests.fakes.terminal import IS_INSTALLED, Terminal, terminal

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="needs tmux")
NAME = "org/some-longer-name-GGUF:some-longer-name.gguf"
BAR = "━"


def half(handler: Handler) -> bool:
    """Sends half of a file, and the rest when it is released."""
    _, content = handler.wanted(handler.path.rpartition("/")[2])
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.fake.released.wait()
    handler.wfile.write(content[len(content) // 2 :])
    return True


@contextmanager
def command(directory: Path, *arguments: str, columns: int = 80, **more: str) -> Iterator[tuple[Terminal, FakeHub]]:
    """Yields the terminal of a command, and the hub of a model whose download stands still half way."""
    repository, file = NAME.split(":")
    content = write_tiny_model(directory / "m.gguf", width=512).read_bytes()
    hub = FakeHub({repository: Repository({file: content})}, content_fault=half)
    with hub:
        ports = {name: str(free_port()) for name in ("LLM_INFERENCE_PORT", "LLM_GRPC_PORT")}
        variables = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(directory / "hub"),
            "LLM_THREADS": "1",
            **ports,
            **more,
        }
        environment = {**clean_environment(), **variables}
        with terminal(directory, [*COMMAND, *arguments], environment, columns) as shown:
            yield shown, hub


def test_model_that_serve_loads_has_a_bar_below_the_log(tmp_path: Path) -> None:
    """Ctrl-C takes it from the screen, and nothing of it stays."""
    with command(tmp_path, "serve", "--no-envoy", "--models", f"m={NAME}") as (shown, _):
        screen = shown.wait_until(lambda screen: " MB " in screen.rpartition("\n")[2], "the bar, below all lines")
        assert screen.rpartition("\n")[2].startswith(("⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"))
        assert " downloading m " in screen
        shown.keys("C-c")
        assert BAR not in shown.wait_for("ended with 0")


def test_pull_in_a_narrow_window_shows_what_is_done_and_how_to_serve_it(tmp_path: Path) -> None:
    """The bar is short there, whatever width the environment claims; the path, for scripts, is a line of its own."""
    with command(tmp_path, "models", "pull", NAME, columns=40, COLUMNS="80", LINES="24") as (shown, hub):
        screen = shown.wait_until(lambda screen: " MB" in screen, "the bytes")
        assert "".join(screen.split()).startswith(NAME)
        hub.released.set()
        screen = shown.wait_for("ended with 0")
    assert BAR not in screen
    *_, path, hint, _ = screen.split("\n")
    assert path.endswith("/some-longer-name.gguf")
    assert hint == f"To serve it: llm-inference-api serve --models {NAME}"
