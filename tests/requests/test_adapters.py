"""Adapters in the settings and in requests."""

from pathlib import PurePosixPath

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.adapters import (
    Adapter,
    AdapterFile,
    check_known,
    checked_adapters,
    parse_adapters,
)


def test_entry_names_model_adapter_and_path() -> None:
    """The model's id may have a colon."""
    assert parse_adapters("tiny:a=a.gguf, owner/name:file.gguf:b=sub/b.gguf") == (
        AdapterFile("tiny", "a", PurePosixPath("a.gguf")),
        AdapterFile("owner/name:file.gguf", "b", PurePosixPath("sub/b.gguf")),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.gguf", "must be model:adapter=path"),
        ("a=a.gguf", "must be model:adapter=path"),
        ("tiny:=a.gguf", "must be model:adapter=path"),
        ("tiny:a=", "must be model:adapter=path"),
        ("tiny:a=/etc/a.gguf", "below LLM_MODEL_PATH"),
        ("tiny:a=../a.gguf", "below LLM_MODEL_PATH"),
        ("tiny:a=a.gguf,tiny:a=b.gguf", "tiny:a is listed more than once"),
    ],
)
def test_malformed_entry_is_refused(text: str, says: str) -> None:
    """With what is wrong."""
    with pytest.raises(ValueError, match=says):
        parse_adapters(text)


def test_order_and_adapters_that_are_off_make_no_difference() -> None:
    """Requests for the same computation are equal."""
    checked = checked_adapters("adapters", [Adapter("b"), Adapter("c", 0.0), Adapter("a", 0.5)])
    assert checked == (Adapter("a", 0.5), Adapter("b"))


@pytest.mark.parametrize(
    ("adapters", "field"),
    [
        ([Adapter("a", 10.5)], "adapters[0].scale"),
        ([Adapter("a", float("nan"))], "adapters[0].scale"),
        ([Adapter("a"), Adapter("a", 0.5)], "adapters[1].id"),
    ],
)
def test_adapter_that_cannot_be_applied_is_refused_by_field(adapters: list[Adapter], field: str) -> None:
    """Scales are from -10 to 10."""
    with pytest.raises(InvalidFieldError) as found:
        checked_adapters("adapters", adapters)
    assert found.value.field == field


def test_unknown_adapter_is_refused_with_the_known_ones() -> None:
    """Or with the fact that there are none."""
    with pytest.raises(InvalidFieldError, match=r"no adapter 'c'; it has a, b"):
        check_known("adapters", [Adapter("c")], ("a", "b"))
    with pytest.raises(InvalidFieldError, match="it has none"):
        check_known("adapters", [Adapter("c")], ())


def test_unknown_adapter_is_refused_by_its_place() -> None:
    """Known ones before it are counted."""
    with pytest.raises(InvalidFieldError) as found:
        check_known("adapters", [Adapter("a"), Adapter("c"), Adapter("d")], ("a", "b"))
    assert found.value.field == "adapters[1].id"
