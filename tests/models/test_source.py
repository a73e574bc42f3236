"""From references to files, with a real checkpoint in safetensors."""

import os
import threading
from pathlib import Path

import pytest

from llm_inference_api.errors import DiskFullError, ModelFailedError, UnavailableError
from llm_inference_api.models import source
from llm_inference_api.models.convert import process
from llm_inference_api.models.footprint import estimate
from llm_inference_api.models.gguf_header import read_header
from llm_inference_api.models.hub.fetch import HubOptions
from llm_inference_api.models.source import Preparation, Sources
from llm_inference_api.requests.engine_config import ContextChoice
from llm_inference_api.requests.reference import parse_references
from tests.fakes import children
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint


class Place:
    """A directory with a checkpoint, and what is heard of its way."""

    def __init__(self, directory: Path, quantisation: str | None = None) -> None:
        self.checkpoint = write_checkpoint(directory / "models" / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2")
        hub = HubOptions({})
        self.sources = Sources(directory / "models", directory / "cache", hub, quantisation=quantisation)
        self.heard: list[Preparation] = []

    async def provide(self, source: str = "./tiny") -> Path:
        (reference,) = parse_references(f"m={source}")
        files = await self.sources.provide(reference, lambda stage, done, total: self.heard.append(stage))
        return files.paths[0]


async def test_checkpoint_becomes_a_gguf_file_once(tmp_path: Path) -> None:
    """The first start converts, the next finds the file without any work."""
    place = Place(tmp_path)
    first = await place.provide()
    assert read_header(first)["general.architecture"] == "llama"
    assert place.heard.count(Preparation.CONVERTING) > 0
    place.heard.clear()
    assert await place.provide() == first
    assert place.heard == []


async def test_cache_that_cannot_be_written_to_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, with the path, and none for the caller."""
    place = Place(tmp_path)
    (tmp_path / "cache").write_text("a file where the directory should be")
    with pytest.raises(ModelFailedError, match="cannot be read or written") as refused:
        await place.provide()
    assert str(tmp_path) not in str(refused.value)
    (record,) = caplog.records
    assert record.getMessage().endswith(f"File exists: {tmp_path / 'cache'}")


async def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the checkpoint."""
    monkeypatch.setattr(process, "run", children.fill_disk)
    with pytest.raises(DiskFullError, match="LLM_CACHE_PATH has no room"):
        await Place(tmp_path).provide()


async def test_checkpoint_with_a_fifo_is_refused(tmp_path: Path) -> None:
    """Its conversion would wait for a writer."""
    place = Place(tmp_path)
    os.mkfifo(place.checkpoint / "extra.safetensors")
    with pytest.raises(ModelFailedError, match=r"extra\.safetensors in the checkpoint is not a regular file"):
        await place.provide()


async def test_disk_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on meanwhile, as the timeout shows."""
    monkeypatch.setattr(source, "_FILES_TIMEOUT", 0.01)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.01 s"):
        await source.read_files(threading.Event().wait)


async def test_changed_checkpoint_is_converted_again(tmp_path: Path) -> None:
    """A file that is another one now is not answered with what was made of the old one."""
    place = Place(tmp_path)
    first = await place.provide()
    (place.checkpoint / "generation_config.json").write_text("{}")
    assert await place.provide() != first


async def test_changed_pooling_is_converted_again(tmp_path: Path) -> None:
    """What lies in a module's directory is a part of the checkpoint too."""
    place = Place(tmp_path)
    pooling = place.checkpoint / "1_Pooling"
    pooling.mkdir()
    (place.checkpoint / "modules.json").write_text(
        '[{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}]'
    )
    made = []
    for mode in ("mean", "cls"):
        (pooling / "config.json").write_text(f'{{"pooling_mode": "{mode}"}}')
        made.append(read_header(await place.provide())["llama.pooling_type"])
    assert made == [1, 2]


async def test_quantised_file_is_kept_and_the_step_before_it_is_not(tmp_path: Path) -> None:
    """In-situ quantisation leaves one smaller file."""
    place = Place(tmp_path, quantisation="Q8_0")
    path = await place.provide()
    assert Preparation.QUANTIZING in place.heard
    assert list((tmp_path / "cache").glob("*.gguf")) == [path]
    assert estimate([path], ContextChoice()).weights > 0


async def test_checkpoint_that_cannot_be_converted_says_why(tmp_path: Path) -> None:
    """The reason names the file and what is wrong with it, and no path of this machine."""
    place = Place(tmp_path)
    (place.checkpoint / "config.json").write_text("{")
    with pytest.raises(ModelFailedError, match=r"config\.json") as error:
        await place.provide()
    assert str(tmp_path) not in str(error.value)
    assert not list((tmp_path / "cache").glob("*.gguf"))
