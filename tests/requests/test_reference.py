"""What references mean, and what is none."""

from pathlib import Path, PurePosixPath

import pytest

from llm_inference_api.errors import ModelFailedError, ModelNotFoundError
from llm_inference_api.models.registry import build_registry
from llm_inference_api.models.served_model import Policy
from llm_inference_api.requests.model_status import Observer
from llm_inference_api.requests.reference import (
    BundledOrigin,
    HubOrigin,
    LocalOrigin,
    Reference,
    parse_origin,
    parse_references,
    parts,
)

FILE = "m-Q4_K_M.gguf"


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ("demo", BundledOrigin("demo")),
        ("tiny.gguf", LocalOrigin(PurePosixPath("tiny.gguf"))),
        ("sub/tiny.gguf", LocalOrigin(PurePosixPath("sub/tiny.gguf"))),
        ("old.bin", LocalOrigin(PurePosixPath("old.bin"))),
        ("./TinyLlama", LocalOrigin(PurePosixPath("TinyLlama"))),
        ("gpt2", HubOrigin("gpt2")),
        ("org/name", HubOrigin("org/name")),
        ("org/name#v1.0", HubOrigin("org/name", revision="v1.0")),
        ("org/name#refs/pr/1", HubOrigin("org/name", revision="refs/pr/1")),
        (f"org/name:{FILE}", HubOrigin("org/name", FILE)),
        (f"org/name:sub/{FILE}", HubOrigin("org/name", f"sub/{FILE}")),
        (f"org/name:{FILE}@org/tok", HubOrigin("org/name", FILE, tokenizer_repo="org/tok")),
        (f"org/name:{FILE}@org/tok#abc", HubOrigin("org/name", FILE, "abc", "org/tok")),
        ("org/name.gguf:x.gguf", HubOrigin("org/name.gguf", "x.gguf")),
    ],
)
def test_a_source_means_one_thing(source: str, origin: object) -> None:
    """Each form of a reference is parsed into its parts."""
    assert parse_origin(source) == origin


@pytest.mark.parametrize(
    "source",
    [
        "../tiny.gguf",
        "/etc/tiny.gguf",
        "a/../../tiny.gguf",
        "..\\tiny.gguf",
        "./..",
        "./",
        "org/../name",
        "org/name/more",
        "org//name",
        "-org/name",
        "org/--name",
        "org/name.git",
        "оrg/name",
        "org/name:",
        "org/name:model.bin",
        "org/name:../m.gguf",
        "org/name:/m.gguf",
        "org/name:a//m.gguf",
        "org/name:./m.gguf",
        "org/name:m.gguf@",
        "org/name:m.gguf@../tok",
        "org/name#",
        "org/name#../main",
        "org/name#-x",
        "org/name#a b",
    ],
)
def test_what_could_lead_elsewhere_is_no_reference(source: str) -> None:
    """Traversal, look-alikes and half-written references are refused when the settings are read."""
    with pytest.raises(ValueError, match=r"must be|is neither|is not"):
        parse_origin(source)


def test_an_alias_is_the_id() -> None:
    """`alias=reference` gives the model its id; without one, the reference is the id."""
    named, plain = parse_references(f"small = org/name:{FILE}, org/other#v1")
    assert named == Reference("small", f"org/name:{FILE}")
    assert plain == Reference("org/other#v1", "org/other#v1")


def test_an_id_stands_once() -> None:
    """Two models of one id are refused, and the error says how to tell them apart."""
    with pytest.raises(ValueError, match="alias=reference"):
        parse_references("a=demo,a=org/name")


@pytest.mark.parametrize("entry", ["a\0=demo", "a\nb=demo", "=demo", "a=", "x" * 201])
def test_an_id_is_printable(entry: str) -> None:
    """NUL, control characters, empty and endless names are refused."""
    with pytest.raises(ValueError, match="printable"):
        parse_references(f"{entry},")


@pytest.mark.parametrize(
    "asked",
    [
        "../tiny.gguf",
        "sub/../tiny.gguf",
        "./tiny.gguf",
        "tiny.gguf\0",
        "tiny.gguf ",
        "TINY.gguf",
        "tіny.gguf",
        "tiny\uff0egguf",
        "ti\u200bny.gguf",
        "/etc/passwd",
        "org/never-allowed",
    ],
)
def test_requests_name_ids_exactly(asked: str) -> None:
    """What differs from an id by a single character is not found, and no file is touched."""

    class Untouchable:
        """Sources and room that nobody may use."""

        def __getattr__(self, name: str) -> object:
            raise AssertionError("a file was looked for")

    policy = Policy(Untouchable(), Untouchable(), Untouchable(), 1)  # type: ignore[arg-type]
    registry = build_registry(parse_references("tiny.gguf,demo"), policy, Observer())
    with pytest.raises(ModelNotFoundError):
        registry.get(asked)


def test_a_link_may_not_lead_out(tmp_path: Path) -> None:
    """A link below LLM_MODEL_PATH to a file elsewhere is refused."""
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "secret.gguf").touch()
    (models / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    with pytest.raises(ModelFailedError, match="is outside"):
        Reference("m", "link.gguf").path(models)


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    """A snapshot of a hub's cache below LLM_MODEL_PATH has links to blobs, whose names say nothing of parts."""
    (tmp_path / "blobs").mkdir()
    for number, name in enumerate(parts("m-00001-of-00002.gguf")):
        (tmp_path / "blobs" / f"{number}").touch()
        (tmp_path / name).symlink_to(Path("blobs", f"{number}"))
    first = tmp_path / "m-00001-of-00002.gguf"
    assert Reference("m", "m-00002-of-00002.gguf").path(tmp_path) == first


def test_each_part_s_link_is_followed_for_the_check(tmp_path: Path) -> None:
    """A later part that lies elsewhere is refused like the first."""
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "secret").touch()
    (models / "m-00001-of-00002.gguf").touch()
    (models / "m-00002-of-00002.gguf").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelFailedError, match="is outside"):
        Reference("m", "m-00001-of-00002.gguf").path(models)


def test_any_part_names_a_split_file() -> None:
    """Each part's name stands for all parts, in order."""
    names = ("m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf")
    assert parts(names[1]) == names
    assert parts("m.gguf") == ("m.gguf",)


def test_a_split_file_is_opened_at_its_first_part(tmp_path: Path) -> None:
    """The path of a split file is that of its first part, which is what llama.cpp wants."""
    for name in parts("m-00002-of-00002.gguf"):
        (tmp_path / name).touch()
    assert Reference("m", "m-00002-of-00002.gguf").path(tmp_path).name == "m-00001-of-00002.gguf"


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    """A split file without one of its parts cannot be loaded, and the error names the part."""
    (tmp_path / "m-00001-of-00002.gguf").touch()
    with pytest.raises(ModelFailedError, match="m-00002-of-00002"):
        Reference("m", "m-00001-of-00002.gguf").path(tmp_path)


@pytest.mark.parametrize("name", ["MODEL.GGUF", "Model.Gguf", "OLD.BIN"])
def test_suffix_of_a_file_may_have_any_case(name: str) -> None:
    """It is a file below LLM_MODEL_PATH, no repository."""
    assert parse_references(name)[0].origin == LocalOrigin(PurePosixPath(name))


def test_file_may_have_the_sign_of_an_alias_in_its_name() -> None:
    """As a path it is a name as a whole; without, what precedes the sign is an alias."""
    (path, alias) = parse_references("./eq=1.gguf, eq=1.gguf")
    assert (path.id, path.origin) == ("./eq=1.gguf", LocalOrigin(PurePosixPath("eq=1.gguf")))
    assert (alias.id, alias.origin) == ("eq", LocalOrigin(PurePosixPath("1.gguf")))
    assert parse_references("a=./eq=1.gguf")[0].origin == LocalOrigin(PurePosixPath("eq=1.gguf"))


def test_parts_keep_the_case_of_their_suffix() -> None:
    """On disk they are other files than those of the other case."""
    assert parts("M-00001-of-00002.GGUF") == ("M-00001-of-00002.GGUF", "M-00002-of-00002.GGUF")
