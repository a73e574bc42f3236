"""The form that brings a file, however it is cut into pieces."""

import pytest

from llm_inference_api.api.openai.batches import form as form_module
from llm_inference_api.api.openai.batches.form import FileForm, Upload
from llm_inference_api.batches.records import Line
from llm_inference_api.errors import InvalidFieldError

TYPE = "multipart/form-data; boundary=xyz"
FILE = b"one\r\n\ntwo\n--xyz is no boundary here\nthree"


def part(name: str, data: bytes, filename: str | None = None, *more: str) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    head = "\r\n".join((f"Content-Disposition: {disposition}", *more))
    return b"--xyz\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xyz--\r\n"


PURPOSE = part("purpose", b"batch")
WHOLE = body(part("file", FILE, "in.jsonl", "Content-Type: application/octet-stream"), PURPOSE)


def read(data: bytes, size: int = 1 << 20, content_type: str = TYPE) -> tuple[list[Line], Upload]:
    form, lines = FileForm(content_type), []
    for at in range(0, len(data), size):
        lines += form.feed(data[at : at + size])
    return lines, form.end()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_do_not_change_what_is_read(size: int) -> None:
    """Each byte of the file is there once, by line, wherever the form was cut."""
    lines, upload = read(WHOLE, size)
    assert b"".join(line.data for line in lines) == FILE
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert upload == Upload("in.jsonl", None)


def test_purpose_may_come_before_the_file() -> None:
    """As OpenAI's Python client sends it; the one for JavaScript sends it behind."""
    lines, _ = read(body(PURPOSE, part("file", b"x", "a")))
    assert lines == [Line(1, b"x")]


def test_line_is_handed_out_when_it_ends() -> None:
    """What is held is one line, not the file."""
    form = FileForm(TYPE)
    head, _, _ = WHOLE.partition(b"three")
    assert len(form.feed(head)) == 4
    assert len(form._tail) == 0


def test_file_says_for_how_long_it_is_kept() -> None:
    """As OpenAI's clients write an object in a form."""
    expiry = part("expires_after[anchor]", b"created_at") + part("expires_after[seconds]", b"7200")
    assert read(body(PURPOSE, expiry, part("file", b"x", "a")))[1].lifetime == 7200


@pytest.mark.parametrize(
    ("data", "field", "problem"),
    [
        (body(part("file", b"x", "a")), "purpose", "must be 'batch'"),
        (body(part("file", b"x", "a"), part("purpose", b"fine-tune")), "purpose", "must be 'batch'"),
        (body(PURPOSE), "file", "is missing"),
        (body(PURPOSE, part("file", b"", "a")), "file", "is empty"),
        (WHOLE[:-20], "body", "ends before the form does"),
        (b"x" * 200, "body", "no valid multipart form"),
        (body(PURPOSE, PURPOSE), "purpose", "is given twice"),
        (body(part("file", b"x", "a"), part("file", b"x", "a")), "file", "is given twice"),
        (body(part("files", b"x", "a")), "files", "is not a parameter"),
        (body(part("purpose", b"x" * 300)), "purpose", "more than 256 bytes"),
        (
            body(PURPOSE, part("expires_after[seconds]", b"9"), part("file", b"x", "a")),
            "expires_after[anchor]",
            "must be",
        ),
        (
            body(PURPOSE, part("expires_after[anchor]", b"created_at"), part("file", b"x", "a")),
            "expires_after[seconds]",
            "whole number",
        ),
        (body(part("file", b"eA==", "a", "Content-Transfer-Encoding: base64")), "body", "Content-Transfer-Encoding"),
        (body(part("file", b"x", "a", *(f"X-{at}: y" for at in range(99)))), "body", "no valid multipart form"),
        (body(part("file", b"x", "a", f"X: {'y' * 99_999}")), "body", "no valid multipart form"),
    ],
)
def test_invalid_form_is_refused_by_field(data: bytes, field: str, problem: str) -> None:
    """Nothing is guessed, and no header costs more than a header may."""
    with pytest.raises(InvalidFieldError, match=problem) as error:
        read(data)
    assert error.value.field == field


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x", "\ufeffmultipart/form-data"],
)
def test_other_types_are_refused(content_type: str) -> None:
    """The error says what would be right."""
    with pytest.raises(InvalidFieldError, match="must be multipart/form-data with a boundary"):
        FileForm(content_type)


def test_boundary_is_bounded() -> None:
    """Each byte is compared with it."""
    with pytest.raises(InvalidFieldError, match="boundary"):
        FileForm(f"multipart/form-data; boundary={'x' * 9999}")


def test_file_is_bounded_in_lines_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line that is too many, or too long, ends the upload, however the form is cut."""
    monkeypatch.setattr(form_module, "MAX_LINES", 3)
    monkeypatch.setattr(form_module, "MAX_LINE_BYTES", 10)
    monkeypatch.setattr(form_module, "MAX_FILE_BYTES", 25)
    for data, problem in (
        (b"a\n" * 4, "more than 3 lines"),
        (b"a\n" + b"x" * 11, "more than 10 bytes in line 2"),
        (b"123456789\n" * 2 + b"123456", "more than 25 bytes"),
    ):
        for size in (1, 999):
            with pytest.raises(InvalidFieldError, match=problem):
                read(body(part("file", data, "a"), PURPOSE), size)
    assert len(read(body(part("file", b"a\n" * 3, "a"), PURPOSE))[0]) == 3
