"""Headers of GGUF files, whole and damaged."""

from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFWriter

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.models.gguf_header import read_header, read_tensor_sizes
from tests.fakes.gguf import write_tiny_model


def test_header_has_the_scalars(tiny_model: Path) -> None:
    """Numbers and texts are read, arrays of texts are passed over."""
    header = read_header(tiny_model)
    assert header["general.architecture"] == "llama"
    assert header["llama.block_count"] == 2
    assert "tokenizer.ggml.tokens" not in header


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "m.gguf is an empty file"),
        (b"<html>log in</html>", "m.gguf is not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        (b"GGUF\x01\0\0\0" + bytes(16), "of version 1; versions 2 and 3"),
        (b"GGUF\0\0\0\x03" + bytes(16), "of the other byte order"),
        (b"GGUF\x03\0\0\0" + bytes(10), "damaged, or the file is cut off"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "damaged, or the file is cut off"),
        (b"GGUF", "damaged, or the file is cut off"),
    ],
)
def test_file_without_a_header_says_what_it_is(tmp_path: Path, content: bytes, says: str) -> None:
    """What is mended by another file, a download or another version is told apart."""
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFailedError, match=says):
        read_header(path)


def test_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A directory stands for what the system refuses."""
    with pytest.raises(ModelFailedError, match="cannot be read: "):
        read_header(tmp_path)


def test_damaged_headers_never_hang_or_crash(tmp_path: Path) -> None:
    """Whatever the header's bytes say, it is read or refused, at once."""
    whole = write_tiny_model(tmp_path / "m.gguf").read_bytes()[:8000]
    damaged = tmp_path / "damaged.gguf"
    for at in range(0, 2000, 7):
        damaged.write_bytes(whole[:at] + b"\xff" * 4 + whole[at + 4 :])
        try:
            read_header(damaged)
        except ModelFailedError:
            continue


def test_long_arrays_are_passed_over(tmp_path: Path) -> None:
    """Those of a vocabulary's size are not kept; the values after them are read."""
    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_array("llama.long", [1] * 513)
    writer.add_array("llama.short", [1] * 512)
    writer.add_uint32("llama.last", 7)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = read_header(path)
    assert "llama.long" not in found
    assert (found["llama.short"], found["llama.last"]) == ((1,) * 512, 7)


def test_tensors_have_the_sizes_that_the_library_reads(tmp_path: Path) -> None:
    """Each to its last byte but for what aligns the next one, whatever its type is."""
    path = write_tiny_model(tmp_path / "m.gguf")
    tensors = {tensor.name: int(tensor.n_bytes) for tensor in GGUFReader(path).tensors}
    sizes = read_tensor_sizes(path)
    assert sizes.keys() == tensors.keys()
    assert all(0 <= sizes[name] - size < 32 for name, size in tensors.items())


def test_damaged_tensors_never_hang_or_crash(tmp_path: Path) -> None:
    """Wherever the list of tensors is damaged or cut off, it is read or refused, at once."""
    whole = write_tiny_model(tmp_path / "m.gguf").read_bytes()
    start, damaged = whole.index(b"token_embd.weight") - 8, tmp_path / "damaged.gguf"
    for at in range(start, start + 400, 3):
        for content in (whole[:at], whole[:at] + b"\xff" * 4 + whole[at + 4 :]):
            damaged.write_bytes(content)
            try:
                sizes = read_tensor_sizes(damaged)
            except ModelFailedError:
                continue
            assert all(size >= 0 for size in sizes.values())
