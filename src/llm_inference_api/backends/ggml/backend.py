"""Legacy GGML models through ctransformers, one sequence at a time. Only this module imports ctransformers.

The library may abort or overrun its compute buffer with long contexts of large models, so the first evals make the
buffer large enough.
"""

import ctypes
import json
from collections.abc import Sequence as Rows
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.ggml.file import FileShape, LegacyFile
from llm_inference_api.backends.ggml.vocabulary import GgmlVocabulary, vocabulary_of
from llm_inference_api.engine.backend import BackendError, Mask, Row
from llm_inference_api.engine.logprobs import token_logprobs
from llm_inference_api.engine.numpy_sampler import NumpySampler
from llm_inference_api.errors import InvalidFieldError, ModelFailedError
from llm_inference_api.requests.adapters import Adapters
from llm_inference_api.requests.constraint import ArgumentSchemas, Constraint, FollowedSchema
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import Sampling

SEATS = 1
"""The library's KV cache holds a single sequence."""
DEFAULT_CONTEXT_LENGTH = 2048
"""Context length if neither the file nor the settings have one: the training context of Falcon and LLaMA."""
_BATCH = 8
"""Tokens per batch of the library, whose scratch buffers have a fixed size."""
_GROWING = {"dollyv2", "gpt2", "gptj", "replit"}
"""Architectures with one compute buffer, sized by the memory per token of the first eval (gpt2.cc: mem_per_token)."""
_FIRST_EVAL_BYTES = 128 << 20
"""Memory budget of the first eval: half of the buffer's initial size."""
_NO_CONSTRAINTS = "constraints are not supported by legacy GGML models; leave the field out"


class GgmlModel:
    """A loaded legacy model."""

    def __init__(self, path: Path, file: LegacyFile, context_length: int | None) -> None:
        """Loads the file.

        Args:
            path: The model file.
            file: Its parsed header and vocabulary.
            context_length: Context length in tokens for files that have none; None for the default.

        Raises:
            ModelFailedError: ctransformers is not installed or cannot load the file.
        """
        self.file = file
        self.llm = _load(path, file.architecture, context_length or DEFAULT_CONTEXT_LENGTH)
        self.trained_context_length = int(self.llm.context_length)
        self.vocabulary: GgmlVocabulary = vocabulary_of(file) if file.shape else NativeVocabulary(self.llm)
        self.parameters = file.shape.parameters if file.shape else 0
        self.size_bytes = path.stat().st_size
        self.devices = ("CPU",)

    @property
    def description(self) -> str:
        """Architecture and format, such as `gpt2, legacy GGML`."""
        return f"{self.file.architecture}, legacy GGML"


def _load(path: Path, architecture: str, context_length: int) -> Any:
    try:
        from ctransformers.llm import LLM, Config
    except ImportError:
        raise ModelFailedError(
            "legacy GGML files need ctransformers, which is not installed: pip install 'llm-inference-api[ggml]'"
        ) from None
    try:
        return LLM(str(path), architecture, config=Config(context_length=context_length))
    except OSError:
        raise ModelFailedError("ctransformers has no library for this machine") from None
    except (RuntimeError, ValueError):
        raise ModelFailedError(f"ctransformers cannot load the file as a {architecture} model") from None


class GgmlBackend:
    """An `engine.backend.Backend` with one seat."""

    def __init__(self, model: GgmlModel, threads: int) -> None:
        self._llm = model.llm
        self._threads = threads
        self.cells = model.trained_context_length
        self.vocabulary = model.vocabulary
        self._held = 0
        """Number of leading positions in the KV cache."""
        self._scores: dict[int, npt.NDArray[np.float64]] = {}
        """Of the rows of the last forward that wanted some."""
        if model.file.shape is not None and model.file.architecture in _GROWING:
            self._make_room(model.file.shape)

    def forward(self, rows: Rows[Row]) -> None:
        """See `Backend.forward`. Raises BackendError also if the rows do not continue the sequence in seat 0."""
        start = rows[0].position
        if start > self._held or any(row[1:3] != (start + at, 0) for at, row in enumerate(rows)):
            raise BackendError("the rows do not continue the sequence")
        if start + len(rows) > self.cells:
            raise BackendError(f"the context holds {self.cells} tokens, not {start + len(rows)}")
        self._scores.clear()
        begin = 0
        for at, row in enumerate(rows):
            if row.wants_scores or at == len(rows) - 1:  # The library keeps the scores of the last row of an eval.
                self._eval([row.token for row in rows[begin : at + 1]], start + begin)
                begin = at + 1
                if row.wants_scores:
                    self._scores[at] = self._newest_scores()
        self._held = start + len(rows)

    def sampler(self, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool) -> NumpySampler:
        """See `Backend.sampler`."""
        return NumpySampler(self, self.vocabulary.size, sampling, prompt, ignore_eos=ignore_eos)

    def mask(self, constraint: Constraint) -> Mask:
        """See `Backend.mask`; always raises InvalidFieldError."""
        raise InvalidFieldError(constraint.field, _NO_CONSTRAINTS)

    def arguments(self, schemas: ArgumentSchemas) -> list[FollowedSchema]:  # noqa: ARG002 - none is followed
        """See `Backend.arguments`; always raises InvalidFieldError."""
        raise InvalidFieldError("tools", _NO_CONSTRAINTS)

    def terminal(self, text: str) -> str:
        """See `Backend.terminal`; no constraint is followed that has it."""
        return json.dumps(text)

    def masked_sampler(self, sampling: Sampling, prompt: Rows[int], mask: Mask) -> NumpySampler:
        """See `Backend.masked_sampler`; never called, since `mask` raises."""
        raise NotImplementedError

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """See `Backend.copy_prefix`; never called, since there is only one seat."""
        raise NotImplementedError

    def truncate(self, seat: int, length: int) -> None:  # noqa: ARG002 - there is one seat
        """See `Backend.truncate`; the next eval overwrites the dropped positions."""
        self._held = min(self._held, length)

    def rehome(self, seat: int) -> None:
        """See `Backend.rehome`; never called, since there is only one seat."""
        raise NotImplementedError

    def save(self, seat: int, start: int, end: int, cuts: object = ()) -> NoReturn:
        """See `Backend.save`; never called, since ctransformers cannot copy its cache."""
        raise NotImplementedError

    def restore(self, seat: int, state: object, start: int, length: int) -> NoReturn:
        """See `Backend.restore`; never called."""
        raise NotImplementedError

    def piece(self, token: int) -> bytes:
        """See `Backend.piece`."""
        return self.vocabulary.piece(token)

    def text(self, token: int) -> bytes:
        """See `Backend.text`."""
        return self.vocabulary.text(token)

    def is_end(self, token: int) -> bool:
        """See `Backend.is_end`."""
        return self.vocabulary.is_end(token)

    def adapt(self, adapters: Adapters) -> None:
        """See `Backend.adapt`; never called, since legacy GGML models have no adapters."""

    def clear(self) -> None:
        """See `Backend.clear`."""
        self._held = 0

    def scores(self, row: int) -> npt.NDArray[np.float64]:
        """Returns a copy of the scores (logits) of a row of the last forward, shape [vocabulary size].

        Raises BackendError if the row did not want any.
        """
        if row not in self._scores:
            raise BackendError(f"there are scores after rows {sorted(self._scores)} only, not after {row}")
        return self._scores[row].copy()

    def logprobs(self, row: int, tokens: Rows[int], top: int) -> list[TokenLogprob]:
        """See `Backend.logprobs`."""
        return token_logprobs(self.scores(row), tokens, top, self.vocabulary.text)

    def _newest_scores(self) -> npt.NDArray[np.float64]:
        if self._llm.ctransformers_llm_logits_size() < self.vocabulary.size:
            raise BackendError("there are fewer scores than tokens")
        data = self._llm.ctransformers_llm_logits_data()
        return np.ctypeslib.as_array(data, (self.vocabulary.size,)).astype(np.float64)

    def _eval(self, tokens: list[int], start: int) -> None:
        array = (ctypes.c_int * len(tokens))(*tokens)
        if not self._llm.ctransformers_llm_batch_eval(array, len(tokens), start, _BATCH, self._threads):
            raise BackendError(f"ctransformers could not compute {len(tokens)} tokens")

    def _make_room(self, shape: FileShape) -> None:
        """Grows the library's compute buffer to fit `_BATCH` tokens at the end of the context.

        The library sizes the buffer as the tokens of an eval times the bytes per token of its very first eval. The
        memory that an eval needs also grows with its position, so after a short first prompt a later eval would
        overrun the buffer. Therefore the first eval is at the highest position that the initial buffer allows, and the
        second has enough tokens to grow the buffer to its final size.
        """
        deep = min(self.cells - 1, _FIRST_EVAL_BYTES // (shape.layers * shape.width * 4))
        wide = min(_BATCH + 2 * -(-self.cells // (deep + 1)), self.cells)
        self._eval([0], deep)
        array = (ctypes.c_int * wide)()
        if not self._llm.ctransformers_llm_batch_eval(array, wide, 0, wide, self._threads):
            raise ModelFailedError("there is not enough memory for the model's context")


class NativeVocabulary:
    """Vocabulary of a model that is tokenized by ctransformers itself: Falcon and LLaMA."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.size = int(llm.vocab_size)
        self._pieces = [bytes(llm.ctransformers_llm_detokenize(token) or b"") for token in range(self.size)]
        self.longest_piece = max(map(len, self._pieces), default=1) or 1
        self._end = int(llm.eos_token_id)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:  # noqa: ARG002 - it has no choice
        """See `GgmlVocabulary.tokenize`."""
        data = text.encode()
        if b"\0" in data:
            raise InvalidFieldError("prompt", "the model's tokenizer does not accept NUL characters")
        tokens = (ctypes.c_int * (len(data) + 2))()
        begins = add_special and self._llm.model_type == "llama"
        return tokens[: self._llm.ctransformers_llm_tokenize(data, begins, tokens)]

    def piece(self, token: int) -> bytes:
        """See `GgmlVocabulary.piece`."""
        return b"" if token == self._end else self._pieces[token]

    def text(self, token: int) -> bytes:
        """See `GgmlVocabulary.text`."""
        return self._pieces[token]

    def is_end(self, token: int) -> bool:
        """See `GgmlVocabulary.is_end`."""
        return token == self._end

    def control_texts(self) -> list[str]:
        """See `GgmlVocabulary.control_texts`; the tokenizer does not parse control tokens."""
        return []
