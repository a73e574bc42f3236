"""AMX kernels are used where the build of llama.cpp has working ones, and left out elsewhere."""

import ctypes
from pathlib import Path

import pytest

from llm_inference_api.backends.llama import devices
from llm_inference_api.backends.llama.devices import leave_out_buffer_type


class Registry:
    """The CPU's buffer types, as llama.cpp keeps them: an array of pointers that ends with null."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: bytes) -> None:
        self._names = dict(enumerate(names, 1))
        self._array = (ctypes.c_void_p * (len(names) + 1))(*self._names)
        monkeypatch.setattr(devices, "_extra_buffer_array", lambda: self._array)
        monkeypatch.setattr(devices, "_buffer_type_name", self._names.get)

    @property
    def names(self) -> list[bytes]:
        """Returns those that llama.cpp would find, up to the first null."""
        values = list(self._array)
        return [self._names[value] for value in values[: values.index(None)]]


@pytest.mark.parametrize("names", [(b"AMX", b"CPU_REPACK"), (b"CPU_REPACK", b"AMX"), (b"AMX",)])
def test_buffer_type_is_left_out_and_others_stay(monkeypatch: pytest.MonkeyPatch, names: tuple[bytes, ...]) -> None:
    """In their order, wherever it stands."""
    registry = Registry(monkeypatch, *names)
    leave_out_buffer_type(b"AMX")
    assert registry.names == [name for name in names if name != b"AMX"]


def test_build_without_it_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is logged."""
    registry = Registry(monkeypatch, b"CPU_REPACK")
    leave_out_buffer_type(b"AMX")
    assert registry.names == [b"CPU_REPACK"]
    assert not caplog.records


def test_library_without_the_mark_is_not_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The mark is a symbol of the library that this process has loaded, whoever compiled it."""
    maps = tmp_path / "maps"
    libc = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)
    unmarked = tmp_path / "libggml-cpu.so"
    unmarked.symlink_to(libc)
    maps.write_text(f"7f00-7f01 r-xp 00000000 00:00 0 {unmarked}\n")
    assert not devices.has_working_amx(maps)
    maps.write_text("7f00-7f01 r-xp 00000000 00:00 0 /lib/another.so\n")
    assert devices.has_working_amx(maps)
