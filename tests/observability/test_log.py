import io
import json
import logging
from collections.abc import Iterator

import pytest

from llm_inference_api.observability.log import fields, set_up_log


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(form: str) -> str:
    stream = io.StringIO()
    set_up_log(form, "INFO", "my-service", "1.2", stream)  # type: ignore[arg-type]
    error = ValueError("bad [bold]luck[/bold]")
    logging.getLogger("x").error("it [red]failed[/red]", exc_info=error, extra=fields(model="tiny", nothing=None))
    logging.getLogger("x").debug("not shown")
    return stream.getvalue()


def test_json_line_has_its_values() -> None:
    """A record is one JSON object with severity, service and named values; the traceback is inside it."""
    (line,) = logged("json").splitlines()
    record = json.loads(line)
    assert record["severity"] == "ERROR"
    assert record["service.name"] == "my-service"
    assert record["model"] == "tiny"
    assert "nothing" not in record
    assert "ValueError" in record["exception"]


def test_pretty_line_shows_text_as_it_is() -> None:
    """What looks like markup in a message is text."""
    first, *rest = logged("pretty").splitlines()
    assert "ERROR" in first
    assert "it [red]failed[/red]  model=tiny" in first
    assert any("bad [bold]luck[/bold]" in line for line in rest)
