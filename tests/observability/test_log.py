import io
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest

from llm_inference_api.observability.log import fields, line_identity, set_up_log


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


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_line_about_a_request_names_it(form: str) -> None:
    """Whoever logs in a request's context need not know of it; lines of others are left alone."""
    stream = io.StringIO()
    set_up_log(form, "INFO", "my-service", "1.2", stream)  # type: ignore[arg-type]

    def of_request() -> None:
        line_identity.set({"request_id": "r1", "trace_id": "t1", "span_id": None})
        logging.getLogger("x").info("inside", extra=fields(model="tiny"))

    copy_context().run(of_request)
    logging.getLogger("x").info("outside")
    inside, outside = stream.getvalue().splitlines()
    assert all(value in inside for value in ("r1", "t1", "tiny"))
    assert "span_id" not in inside
    assert "r1" not in outside


def test_pretty_lines_have_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a choice, a terminal gets lines for people; they are coloured there."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    set_up_log(None, "INFO", "my-service", "1.2", stream)
    logging.getLogger("x").error("broken")
    assert "\x1b[" in stream.getvalue()
    assert "broken" in stream.getvalue()


class Window(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def logged_call(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, level: int = logging.INFO) -> str:
    """Returns what is written for a call, to something of 80 columns, without styles."""
    monkeypatch.setenv("TERM", "dumb")
    set_up_log("pretty", "INFO", "my-service", "1.2", stream)
    call = {
        "request_id": "4" * 32,
        "answer_id": "chat-1",
        "rpc.method": "/llm_inference.v1.InferenceService/Chat",
        "peer": "127.0.0.1",
    }
    facts = {"duration_ms": 12.5, "model": "tiny", "code": "OK", "error": None}
    logging.getLogger("x").log(level, "Chat", extra=fields(**call, **facts))
    return stream.getvalue().removesuffix("\n")


def test_pretty_line_is_one_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """How the call ended comes first; what there is no room for is left out."""
    line = logged_call(monkeypatch, Window())
    assert len(line) == 80
    assert "INFO    Chat  code=OK  duration_ms=12.5  model=tiny  request_id=444" in line
    assert line.endswith("…")


def test_nothing_is_left_out_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a file nor of a warning."""
    for line in (logged_call(monkeypatch, io.StringIO()), logged_call(monkeypatch, Window(), logging.WARNING)):
        assert line.endswith("peer=127.0.0.1")


def test_message_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields are."""
    monkeypatch.setenv("TERM", "dumb")
    stream = Window()
    set_up_log("pretty", "INFO", "my-service", "1.2", stream)
    logging.getLogger("x").info("m" * 100, extra=fields(model="tiny"))
    assert "m" * 100 in stream.getvalue()


FORGED = "a\n12:00:00 INFO    forged\r\x1b[2K\x1b]0;title\x07\x9b2J\u2028\u202e\x7f"
"""A line break, escape sequences of both forms, a line separator, a change of writing direction, and DEL."""


def forged(form: str) -> str:
    """Returns what is written for a record whose message, field, field's name and exception others have chosen."""
    stream = io.StringIO()
    set_up_log(form, "INFO", "my-service", "1.2", stream)  # type: ignore[arg-type]
    error = ValueError(FORGED)
    logging.getLogger("x").error("%s", FORGED, exc_info=error, extra=fields(**{"error": FORGED, FORGED: 1}))
    return stream.getvalue()


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_value_cannot_forge_a_line(form: str) -> None:
    """What callers have chosen stays on its line, or indented below it, and moves no terminal's cursor."""
    first, *rest = forged(form).removesuffix("\n").split("\n")
    assert all(line.startswith("  ") for line in rest)
    assert all(line.isprintable() or form == "json" for line in (first, *rest))
    assert not set("\r\x1b\x07\x9b\u2028\x7f") & set("".join((first, *rest)))
    assert "forged" in first


def test_lone_surrogate_is_written(tmp_path: Path) -> None:
    """A field that UTF-8 has no bytes for does not cost the line."""
    for form in ("json", "pretty"):
        path = tmp_path / form
        with path.open("w", encoding="utf-8") as stream:
            set_up_log(form, "INFO", "my-service", "1.2", stream)  # type: ignore[arg-type]
            logging.getLogger("x").info("said", extra=fields(value="\ud800"))
        assert "\\ud800" in path.read_text(encoding="utf-8")
