"""llama.cpp through llama-cpp-python's low-level bindings: the only module that imports it.

Every call that gets something wrong may abort the process (an assertion in C++), so what goes in is checked here.
"""

import ctypes
import math
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Rows
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt
from llama_cpp._ggml import libggml

from llm_inference_api.engine.backend import BackendError, Row
from llm_inference_api.engine.logprobs import token_logprob
from llm_inference_api.engine.request import Sampling, TokenLogprob
from llm_inference_api.errors import ComputationError, ModelFailedError

MAX_SEATS = 256
"""LLAMA_MAX_SEQ of llama.cpp (src/llama-cparams.h)."""
_CONTINUES_LINE = 5
"""GGML_LOG_LEVEL_CONT (ggml.h)."""

_kept_for_c: list[Any] = []
"""Callbacks that C holds pointers to; they must not be collected."""


def route_log(on_line: Callable[[int, str], None]) -> None:
    """Calls `on_line` with the ggml log level and the text of each line that llama.cpp logs, from any thread."""
    level, text = 0, ""

    @C.llama_log_callback  # type: ignore[untyped-decorator]
    def callback(part_level: int, part: bytes, _: ctypes.c_void_p) -> None:
        nonlocal level, text
        level = level if part_level == _CONTINUES_LINE else part_level
        text += part.decode("utf-8", "replace")
        *lines, text = text.split("\n")
        for line in filter(None, lines):
            on_line(level, line)

    _kept_for_c.append(callback)
    C.llama_log_set(callback, ctypes.c_void_p(0))


def on_abort(callback: Callable[[str], None]) -> None:
    """Calls back with the message of a failed check, just before llama.cpp aborts the process."""

    @ctypes.CFUNCTYPE(None, ctypes.c_char_p)  # type: ignore[untyped-decorator]
    def relay(message: bytes) -> None:
        callback(message.decode("utf-8", "replace"))

    _kept_for_c.append(relay)
    libggml.ggml_set_abort_callback(relay)


class Vocabulary:
    """Tokens and their texts. Its methods may be called from any thread."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self.size = int(C.llama_vocab_n_tokens(vocab))
        self._pieces: dict[int, bytes] = {}
        self.longest_piece = max(len(self.text(token)) for token in range(self.size))
        """Bytes of the longest text that one token may stand for."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Returns the tokens of the text.

        `add_special` adds those that the model wants around every text; `parse_special` takes texts of control tokens
        for these tokens.
        """
        data = text.encode()
        room = len(data) + 16
        while True:
            tokens = (C.llama_token * room)()
            count = C.llama_tokenize(self._vocab, data, len(data), tokens, room, add_special, parse_special)
            if count >= 0:
                return list(tokens[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """Returns the bytes of a token's text; none for control tokens."""
        if token not in self._pieces:
            self._pieces[token] = self._render(token, special=False)
        return self._pieces[token]

    def text(self, token: int) -> bytes:
        """Returns the bytes that spell the token, control tokens included."""
        return self._render(token, special=True)

    def control_texts(self) -> list[str]:
        """Returns the texts of all control tokens."""
        controls = (token for token in range(self.size) if C.llama_vocab_is_control(self._vocab, token))
        return [text for text in (self.text(token).decode("utf-8", "replace") for token in controls) if text]

    def is_end(self, token: int) -> bool:
        """Returns whether the token ends an answer."""
        return bool(C.llama_vocab_is_eog(self._vocab, token))

    def bos_text(self) -> str:
        """Returns the text of the token that begins a text; empty where there is none."""
        return self._special_text(C.llama_vocab_bos(self._vocab))

    def eos_text(self) -> str:
        """Returns the text of the token that ends a text; empty where there is none."""
        return self._special_text(C.llama_vocab_eos(self._vocab))

    def _special_text(self, token: int) -> str:
        return "" if token < 0 else self.text(token).decode("utf-8", "replace")

    def _render(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = C.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            room = -length


class Model:
    """The weights of one model file, loaded once."""

    def __init__(self, path: Path, gpu_layers: int, on_progress: Callable[[float], None]) -> None:
        """Raises ModelFailedError where llama.cpp cannot load the file, or this service cannot serve the model."""
        C.llama_backend_init()
        params = C.llama_model_default_params()
        params.n_gpu_layers = gpu_layers

        @C.llama_progress_callback  # type: ignore[untyped-decorator]
        def progress(fraction: float, _: ctypes.c_void_p) -> bool:
            on_progress(fraction)
            return True

        params.progress_callback = progress
        self.handle = C.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise ModelFailedError("llama.cpp cannot load the file")
        self._refuse_unsupported()
        self.vocabulary = Vocabulary(C.llama_model_get_vocab(self.handle))
        self.trained_context_length = int(C.llama_model_n_ctx_train(self.handle))
        self.parameters = int(C.llama_model_n_params(self.handle))
        self.size_bytes = int(C.llama_model_size(self.handle))

    @property
    def description(self) -> str:
        """The model's architecture, size and quantisation in words."""
        buffer = ctypes.create_string_buffer(256)
        C.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def chat_template(self) -> str | None:
        """The Jinja source that the file brings, or None."""
        source = C.llama_model_chat_template(self.handle, None)
        return source.decode("utf-8", "replace") if source else None

    def _refuse_unsupported(self) -> None:
        if C.llama_model_has_encoder(self.handle) or not C.llama_model_has_decoder(self.handle):
            raise ModelFailedError("the model has an encoder; only decoder-only models generate text here")
        if C.llama_model_is_recurrent(self.handle) or C.llama_model_is_hybrid(self.handle):
            raise ModelFailedError("the model is recurrent: its state cannot be shared between requests")


class ContextSizes(NamedTuple):
    """How large a context is."""

    cells: int
    """Of the key-value cache, for all sequences together."""
    seats: int
    batch_tokens: int
    threads: int


class LlamaBackend:
    """A context of llama.cpp with one key-value cache for all seats; an `engine.backend.Backend`."""

    def __init__(self, model: Model, sizes: ContextSizes) -> None:
        """Raises ModelFailedError where llama.cpp cannot make the context, such as for lack of memory."""
        self._model = model
        self.vocabulary = model.vocabulary
        params = C.llama_context_default_params()
        params.n_ctx = sizes.cells
        params.n_batch = params.n_ubatch = sizes.batch_tokens
        params.n_seq_max = min(sizes.seats, MAX_SEATS)
        params.n_threads = params.n_threads_batch = sizes.threads
        params.kv_unified = True
        params.no_perf = True
        self._context = C.llama_init_from_model(model.handle, params)
        if not self._context:
            raise ModelFailedError(f"llama.cpp cannot make a context of {sizes.cells} tokens")
        self._memory = C.llama_get_memory(self._context)
        self._batch = _Batch(sizes.batch_tokens)

    @property
    def cells(self) -> int:
        """Cells that the key-value cache really has; llama.cpp rounds the number up."""
        return int(C.llama_n_ctx(self._context))

    def forward(self, rows: Rows[Row]) -> None:
        """See `Backend.forward`."""
        status = C.llama_decode(self._context, self._batch.fill(rows))
        if status:
            raise BackendError(f"llama.cpp could not compute a batch of {len(rows)} rows (llama_decode: {status})")

    def sampler(self, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool) -> "LlamaSampler":
        """See `Backend.sampler`."""
        return LlamaSampler(self._context, self.vocabulary, sampling, prompt, ignore_eos=ignore_eos)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """See `Backend.copy_prefix`."""
        C.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def truncate(self, seat: int, length: int) -> None:
        """See `Backend.truncate`."""
        C.llama_memory_seq_rm(self._memory, seat, length, -1)

    def piece(self, token: int) -> bytes:
        """See `Backend.piece`."""
        return self.vocabulary.piece(token)

    def is_end(self, token: int) -> bool:
        """See `Backend.is_end`."""
        return self.vocabulary.is_end(token)

    def clear(self) -> None:
        """See `Backend.clear`."""
        C.llama_memory_clear(self._memory, True)

    def close(self) -> None:
        """Frees the context."""
        C.llama_free(self._context)


class _Batch:
    """The arrays of a `llama_batch`, allocated once and filled through NumPy."""

    def __init__(self, size: int) -> None:
        self._token = np.zeros(size, np.int32)
        self._pos = np.zeros(size, np.int32)
        self._seat = np.zeros(size, np.int32)
        self._seats_per_row = np.ones(size, np.int32)
        self._scores = np.zeros(size, np.int8)
        addresses = self._seat.ctypes.data + np.arange(size, dtype=np.uintp) * self._seat.itemsize
        self._seat_pointers = addresses.astype(np.uintp)
        self._struct = C.llama_batch(
            token=self._pointer(self._token, C.llama_token),
            pos=self._pointer(self._pos, C.llama_pos),
            n_seq_id=self._pointer(self._seats_per_row, ctypes.c_int32),
            seq_id=self._pointer(self._seat_pointers, ctypes.POINTER(C.llama_seq_id)),
            logits=self._pointer(self._scores, ctypes.c_int8),
        )

    def fill(self, rows: Rows[Row]) -> Any:
        """Returns a `llama_batch` of the rows, valid until the next call."""
        count = len(rows)
        if not 0 < count <= len(self._token):
            raise BackendError(f"a batch has 1 to {len(self._token)} rows, not {count}")
        columns = np.array(rows, np.int32)
        self._token[:count], self._pos[:count], self._seat[:count] = columns[:, 0], columns[:, 1], columns[:, 2]
        self._scores[:count] = columns[:, 3]
        self._struct.n_tokens = count
        return self._struct

    @staticmethod
    def _pointer(array: npt.NDArray[Any], kind: Any) -> Any:
        return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))


class LlamaSampler:
    """A chain of llama.cpp's samplers; an `engine.backend.Sampler`."""

    def __init__(
        self, context: Any, vocabulary: Vocabulary, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool
    ) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        bias = dict(sampling.logit_bias)
        if ignore_eos:
            bias |= {token: -math.inf for token in range(vocabulary.size) if vocabulary.is_end(token)}
        self._add_bias(bias)
        self._add_penalties(sampling, prompt)
        self._add_choice(sampling)

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        token = int(C.llama_sampler_sample(self._chain, self._context, row))
        if not math.isfinite(C.llama_get_logits_ith(self._context, row)[token]):
            raise ComputationError("the model computed scores that are no numbers; its file may be damaged")
        return token

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """See `Sampler.logprob`."""
        pointer = C.llama_get_logits_ith(self._context, row)
        scores = np.ctypeslib.as_array(pointer, (self._vocabulary.size,)).astype(np.float64)
        return token_logprob(scores, token, top, self._vocabulary.piece)

    def close(self) -> None:
        """See `Sampler.close`."""
        if self._chain:
            C.llama_sampler_free(self._chain)
            self._chain = None

    def _add(self, sampler: Any) -> None:
        C.llama_sampler_chain_add(self._chain, sampler)

    def _add_bias(self, bias: Mapping[int, float]) -> None:
        if bias:
            entries = (C.llama_logit_bias * len(bias))(*(C.llama_logit_bias(*entry) for entry in bias.items()))
            self._add(C.llama_sampler_init_logit_bias(self._vocabulary.size, len(bias), entries))

    def _add_penalties(self, sampling: Sampling, prompt: Rows[int]) -> None:
        size, window = self._vocabulary.size, int(C.llama_n_ctx_seq(self._context))
        if sampling.repetition_penalty != 1.0:
            repetition = C.llama_sampler_init_penalties(size, window, sampling.repetition_penalty, 0.0, 0.0)
            for token in prompt:
                C.llama_sampler_accept(repetition, token)
            self._add(repetition)
        frequency, presence = sampling.frequency_penalty, sampling.presence_penalty
        if frequency or presence:
            self._add(C.llama_sampler_init_penalties(size, window, 1.0, frequency, presence))

    def _add_choice(self, sampling: Sampling) -> None:
        if sampling.temperature == 0.0:
            self._add(C.llama_sampler_init_greedy())
            return
        if sampling.top_k:
            self._add(C.llama_sampler_init_top_k(min(sampling.top_k, self._vocabulary.size)))
        if sampling.typical_p < 1.0:
            self._add(C.llama_sampler_init_typical(sampling.typical_p, 1))
        if sampling.top_p < 1.0:
            self._add(C.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0.0:
            self._add(C.llama_sampler_init_min_p(sampling.min_p, 1))
        self._add(C.llama_sampler_init_temp(sampling.temperature))
        self._add(C.llama_sampler_init_dist(sampling.seed))
