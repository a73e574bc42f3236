"""Checks of llama.cpp in a process of its own."""

from pathlib import Path

import pytest

from llm_inference_api.cli.checks import llama
from llm_inference_api.config.settings import Settings
from llm_inference_api.models.rpc_servers import NoAnswerError, RpcServer


def test_library_is_named_with_what_it_uses() -> None:
    """Of this machine's processor, and of its GPUs."""
    found = {finding.subject: finding for finding in llama.llama(Settings())}
    assert list(found) == ["llama.cpp", "kernels", "GPUs"]
    assert "llama-cpp-python" in found["llama.cpp"].says
    assert found["llama.cpp"].verdict == "ok"


def test_library_that_does_not_load_is_a_problem(tmp_path: Path) -> None:
    """Its last words are shown."""
    (finding,) = llama.llama(Settings(llama_library=tmp_path))
    assert (finding.verdict, finding.subject) == ("problem", "llama.cpp")
    assert str(tmp_path) in finding.says


def test_gpu_that_llama_cpp_cannot_use_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the option of a build that can."""
    device = tmp_path / "nvidia0"
    monkeypatch.setattr(llama, "_GPUS", {str(device): ("an NVIDIA GPU", "-DGGML_CUDA=on")})
    assert [finding.verdict for finding in llama.gpus([], Settings())] == ["ok"]
    device.touch()
    (finding,) = llama.gpus([], Settings())
    assert (finding.verdict, "-DGGML_CUDA=on" in finding.todo) == ("advice", True)


@pytest.mark.parametrize(("layers", "words"), [(-1, "CUDA0, used"), (0, "CUDA0, not used")])
def test_gpu_is_used_unless_settings_say_no(layers: int, words: str) -> None:
    """`LLM_GPU_LAYERS` decides."""
    (finding,) = llama.gpus(["CUDA0"], Settings(gpu_layers=layers))
    assert words in finding.says


@pytest.mark.parametrize(
    ("flags", "system", "has_amx", "verdict"),
    [
        (" avx2 fma", "CPU : SSE3 = 1 | AVX2 = 1 | ", True, "ok"),
        (" avx2 fma", "CPU : SSE3 = 1 | AVX2 = 0 | ", True, "advice"),
        (" avx2 amx_tile", "CPU : AVX2 = 1 | ", False, "advice"),
        (" asimd", "CPU : NEON = 1 | ", False, "ok"),
    ],
)
def test_kernels_that_leave_the_processor_unused_are_shown(
    tmp_path: Path, flags: str, system: str, verdict: str, *, has_amx: bool
) -> None:
    """Compiled on another machine, or by a compiler that miscompiles them."""
    (tmp_path / "cpuinfo").write_text(f"flags\t:{flags}\n")
    (finding,) = llama.kernels(system, has_amx_kernels=has_amx, cpuinfo=tmp_path / "cpuinfo")
    assert finding.verdict == verdict


def test_rpc_servers_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is shown with its memory, or with what is wrong; so is a library that cannot use them."""

    async def answer(server: RpcServer) -> int:
        if server.endpoint.startswith("away"):
            raise NoAnswerError("nothing listens there")
        return 3 << 30

    monkeypatch.setattr(RpcServer, "free_memory", answer)
    settings = Settings(rpc_servers=("away:1", "there:1"), rpc_model="demo")
    found = [(finding.verdict, finding.says) for finding in llama.rpc_servers(settings, has_rpc=True)]
    assert found == [("problem", "away:1: nothing listens there"), ("ok", "there:1, 3.0 GiB free")]
    first = next(llama.rpc_servers(settings, has_rpc=False))
    assert (first.verdict, "make llama-rpc" in first.todo) == ("problem", True)
