from pathlib import Path

import pytest

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.models.reference import Reference, parse_references


def test_list_is_parsed_in_order() -> None:
    """Entries are references or aliases of references."""
    assert parse_references("demo, a/b.gguf ,chat=c.gguf,old/model.bin,") == (
        Reference("demo", "demo"),
        Reference("a/b.gguf", "a/b.gguf"),
        Reference("chat", "c.gguf"),
        Reference("old/model.bin", "old/model.bin"),
    )


@pytest.mark.parametrize(
    "text", ["../x.gguf", "/x.gguf", "a/../../x.gguf", "x.safetensors", "=x.gguf", "a=", "a\x00.gguf"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """Paths that lead elsewhere and names that cannot be are refused at the start."""
    with pytest.raises(ValueError, match=r"must|reference|neither"):
        parse_references(text)


def test_id_stands_once() -> None:
    """Two models cannot have one id."""
    with pytest.raises(ValueError, match="more than once"):
        parse_references("a=b.gguf,a=c.gguf")


def test_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    """A link inside the directory cannot show a file outside it."""
    (tmp_path / "secret.gguf").touch()
    directory = tmp_path / "models"
    directory.mkdir()
    (directory / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    with pytest.raises(ModelFailedError, match="leads out"):
        Reference("link", "link.gguf").path(directory)


def test_reason_shows_no_path_of_the_machine(tmp_path: Path) -> None:
    """A missing file is named as the settings name it."""
    with pytest.raises(ModelFailedError, match=r"x\.gguf") as error:
        Reference("x", "x.gguf").path(tmp_path)
    assert str(tmp_path) not in str(error.value)
