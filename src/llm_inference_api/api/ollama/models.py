"""The models of the service as Ollama's API names and describes them."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.ollama.writers import timestamp
from llm_inference_api.errors import UnavailableError
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.adapters import SEPARATOR
from llm_inference_api.requests.model_info import ModelInfo, short_count
from llm_inference_api.requests.model_status import ModelStatus, State

_LATEST = ":latest"
"""The tag of a name that has none."""
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a model that stays leaves the memory; Ollama's clients show a time so far away as "forever"."""

_KIND = re.compile(r" - (\w)\w*")
"""llama.cpp's words for `_S`, `_M` and `_L`."""


def model_id(registry: Registry, name: str) -> str:
    """Returns the id of the model, or of the model with an adapter, that a name stands for, with or without `:latest`.

    A name of no model is returned as it is; the registry refuses it.
    """
    known = {status.id for status in registry.statuses()}
    names = (name, name.removesuffix(_LATEST), f"{name}{_LATEST}")
    return next((each for each in names if registry.adapted(each)[0] in known), name)


def name_of(model: str) -> str:
    """Returns the name by which the API lists a model with this id: one with a tag."""
    return model if SEPARATOR in model else f"{model}{_LATEST}"


class ModelList:
    """Describes the models of a registry."""

    def __init__(self, registry: Registry, idle_unload: float | None) -> None:
        """Creates the list; `idle_unload` is the time in seconds after which an idle model leaves the memory."""
        self._registry = registry
        self._idle_unload = idle_unload
        self._since = timestamp(datetime.now(UTC))
        """Start of the service: the time at which the models came on its list."""

    def tags(self) -> Json:
        """Returns the document of `/api/tags`."""
        return {"models": list(self._tags())}

    def loaded(self) -> Json:
        """Returns the document of `/api/ps`."""
        return {
            "models": [
                self._loaded(status)
                for status in self._registry.statuses()
                if status.state is State.ACTIVE and status.info is not None
            ]
        }

    def shown(self, model: str) -> Json:
        """Returns the document of `/api/show` for a model, or one with an adapter, which has to be in memory.

        Raises:
            ModelNotFoundError: The model is not served.
            UnavailableError: It is not in memory.
        """
        base, adapter = self._registry.adapted(model)
        status = self._registry.get(base).status
        info = status.info
        if info is None:
            raise UnavailableError("MODEL_UNLOADING", "the model has left the memory meanwhile; try again")
        return {
            "modelfile": f"FROM {status.source}\n",
            "parameters": f"num_ctx    {info.context_length}",
            "template": info.chat_template,
            "details": _details(info, base if adapter else ""),
            "model_info": _properties(info),
            "capabilities": list(_capabilities(info)),
            "modified_at": self._since,
        }

    def _tags(self) -> Iterator[Json]:
        for status in self._registry.statuses():
            yield self._tag(status, status.id, "")
            for adapter in self._registry.get(status.id).adapters:
                yield self._tag(status, f"{status.id}{SEPARATOR}{adapter}", status.id)

    def _tag(self, status: ModelStatus, model: str, parent: str) -> Json:
        size = status.info.size_bytes if status.info else 0
        return {
            **_named(model, status),
            "modified_at": self._since,
            "size": size,
            "details": _details(status.info, parent),
        }

    def _loaded(self, status: ModelStatus) -> Json:
        assert status.info is not None
        is_on_gpu = any(device != "CPU" for device in status.info.devices)
        leaves = _NEVER if self._idle_unload is None else datetime.now(UTC) + timedelta(seconds=self._idle_unload)
        return {
            **_named(status.id, status),
            "size": status.info.size_bytes,
            "size_vram": status.info.size_bytes if is_on_gpu else 0,
            "details": _details(status.info, ""),
            "expires_at": timestamp(leaves),
            "context_length": status.info.context_length,
        }


def digest_of(model: str, status: ModelStatus) -> str:
    """Returns a digest of the model's id and reference: the files have none before they are there."""
    return hashlib.sha256(f"{model} {status.source}".encode()).hexdigest()


def _named(model: str, status: ModelStatus) -> Json:
    return {"name": name_of(model), "model": name_of(model), "digest": digest_of(model, status)}


def _details(info: ModelInfo | None, parent: str) -> Json:
    """Returns what is known of the model's kind; that is empty until it has been loaded."""
    family, _, quantisation = _described(info) if info else ("", "", "")
    return {
        "parent_model": name_of(parent) if parent else "",
        "format": "gguf",
        "family": family,
        "families": [family] if family else [],
        "parameter_size": short_count(info.parameters) if info else "",
        "quantization_level": quantisation,
    }


def _described(info: ModelInfo) -> tuple[str, str, str]:
    """Returns architecture, size and quantisation of a description such as `llama 1.1B Q4_K - Medium`."""
    architecture, _, rest = info.description.partition(" ")
    size, _, quantisation = rest.partition(" ")
    return architecture, size, _KIND.sub(r"_\1", quantisation.removeprefix("all "))


def _properties(info: ModelInfo) -> Json:
    """Returns the properties by the names that GGUF files have for them (llama.cpp's gguf-py, `constants.py`)."""
    architecture, _, _ = _described(info)
    width = {f"{architecture}.embedding_length": info.embedding_length} if info.embedding_length else {}
    return {
        "general.architecture": architecture,
        "general.parameter_count": info.parameters,
        f"{architecture}.context_length": info.trained_context_length,
        f"{architecture}.vocab_size": info.vocabulary_size,
        **width,
    }


def _capabilities(info: ModelInfo) -> Iterator[str]:
    if info.generates:
        yield "completion"
        yield "tools"  # The service teaches those to models whose template knows none.
    if info.embedding_length:
        yield "embedding"
    if info.opens_thoughts or info.thinking.can_be_off or info.thinking.efforts:
        yield "thinking"
