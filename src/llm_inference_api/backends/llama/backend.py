"""Model and context of llama.cpp, through llama-cpp-python's low-level bindings.

An invalid argument may abort the process (a C++ assertion), so arguments are checked here.
"""

import ctypes
import os
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Rows
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.llama import error_lines, sequence_state
from llm_inference_api.backends.llama.adapters import LlamaAdapters
from llm_inference_api.backends.llama.devices import gpu_names, load_backends
from llm_inference_api.backends.llama.library import function
from llm_inference_api.backends.llama.outputs import Outputs
from llm_inference_api.backends.llama.rpc_servers import add_rpc_servers
from llm_inference_api.backends.llama.sampler import LlamaSampler, MaskedSampler, check_score
from llm_inference_api.backends.llama.tensors import Tensors
from llm_inference_api.backends.llama.vocabulary import Vocabulary
from llm_inference_api.engine.backend import BackendError, Mask, Row
from llm_inference_api.engine.logprobs import token_logprobs
from llm_inference_api.engine.pooling import Pooling, is_encoder, pooling_of
from llm_inference_api.engine.prefix_store import BlockState
from llm_inference_api.errors import ModelFailedError
from llm_inference_api.grammar.token_mask import TokenMask
from llm_inference_api.requests.adapters import NO_ADAPTERS, Adapters
from llm_inference_api.requests.constraint import ArgumentSchemas, Constraint, FollowedSchema
from llm_inference_api.requests.engine_config import GpuChoice
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.model_info import short_count
from llm_inference_api.requests.request import Sampling

MAX_SEATS = 255
"""LLAMA_MAX_SEQ of llama.cpp (src/llama-cparams.h), less one that copies need."""
_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
"""enum llama_split_mode (llama.h)."""
_NO_GPU = -1
"""Index of the main GPU that stands for none, in the split mode `none` (llama.h)."""
_QUANTISE_BUFFER = 512 << 20
"""Bytes of a tensor that are quantized at a time."""
_NAMED_TEMPLATE = "tokenizer.chat_template."
"""Start of the metadata keys of chat templates with names."""
EXACT_CHUNK = 64
"""Rows of a step that computes a prompt reproducibly where a row's scores depend on its batch; larger ones are hardly
faster on CPUs."""
EXACT_BLOCK = 8
"""Rows from which on ggml's kernels compute all whole blocks of a step alike: two for F32 (llamafile/sgemm.cpp), four
for repacked types (repack.cpp), eight for K and IQ types in tiles (tiled/tiled.cpp)."""
_PROBE = 21
"""Rows that show whether they depend on their batch: no multiple of 2, 4 or 8, which kernels take at once."""
_HEADS = ("cls", "cls.output")
"""Tensors of a head (LLM_TENSOR_CLS and _CLS_OUT in llama-arch.cpp); converted rankers often say nothing else."""
_ANSWERING_IN_WORDS = ("qwen3", "qwen3vl")
"""Architectures of which llama.cpp normalizes a head's outputs by softmax (llm_graph_context::build_pooling)."""
_ONE_AT_A_TIME = ("plamo2",)
"""Architectures of which llama.cpp computes batches of several sequences wrongly (src/models/plamo2.cpp takes tokens of
one for those of another)."""
_OTHER_STATES = ("deepseek4", "glm5-next", "qwen4exp")
"""Architectures with caches of their own beside keys, values and states (llama_kv_cache_dsv4, llama_memory_hybrid_idx),
of which a saved sequence has not been tried."""
_BF16 = 30
"""GGML_TYPE_BF16 (ggml.h)."""
_DEBUG_LINE, _CONTINUES_LINE = 1, 5
"""GGML_LOG_LEVEL_DEBUG and _CONT (ggml.h)."""


_AbortCallback = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_set_abort_callback = function("ggml_set_abort_callback", ctypes.c_void_p, _AbortCallback)

_kept_for_c: list[Any] = []
"""Callbacks that C holds pointers to; they must not be collected."""


def route_log(on_line: Callable[[int, str], None], *, verbose: bool = True) -> None:
    """Sets llama.cpp's log callback: `on_line` gets the ggml log level and text of each line, on any thread.

    Without `verbose`, lines for debugging are dropped here: CUDA's backend has one for each forward.
    """
    level, text = 0, ""

    @C.llama_log_callback  # type: ignore[untyped-decorator]
    def callback(part_level: int, part: bytes, _: ctypes.c_void_p) -> None:
        nonlocal level, text
        level = level if part_level == _CONTINUES_LINE else part_level
        if level == _DEBUG_LINE and not verbose:
            return
        text += part.decode("utf-8", "replace")
        *lines, text = text.split("\n")
        for line in filter(None, lines):
            error_lines.note(level, line)
            on_line(level, line)

    _kept_for_c.append(callback)
    C.llama_log_set(callback, ctypes.c_void_p(0))


def on_abort(callback: Callable[[str], None]) -> None:
    """Sets ggml's abort callback, which gets the message of a failed assertion just before the process aborts."""

    @_AbortCallback  # type: ignore[untyped-decorator]
    def relay(message: bytes) -> None:
        callback(message.decode("utf-8", "replace"))

    _kept_for_c.append(relay)
    _set_abort_callback(relay)


def quantise_model(source: Path, output: Path, file_type: int, log: Callable[[str], None]) -> bool:
    """Quantizes a GGUF file. May abort the process on an unexpected file, so call it in a child process.

    Args:
        source: The file to read.
        output: The file to write.
        file_type: A value of `enum llama_ftype` (llama.h).
        log: Gets llama.cpp's log output, in fragments of lines.

    Returns:
        Whether llama.cpp succeeded.
    """
    parameters = C.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.nthread = len(os.sched_getaffinity(0))
    parameters.max_buf_size = _QUANTISE_BUFFER
    callback = C.llama_log_callback(lambda _level, text, _data: log(text.decode("utf-8", "replace")))
    before, data = C.llama_log_callback(), ctypes.c_void_p()
    C.llama_log_get(ctypes.byref(before), ctypes.byref(data))
    C.llama_log_set(callback, None)
    try:
        status = C.llama_model_quantize(os.fsencode(source), os.fsencode(output), ctypes.byref(parameters))
    finally:
        C.llama_log_set(before, data)
    return bool(status == 0)


class LlamaModel:
    """A loaded model file: weights, vocabulary and metadata."""

    def __init__(
        self,
        path: Path,
        gpu: GpuChoice,
        on_progress: Callable[[float], None],
        adapters: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """Loads the file.

        Args:
            path: A GGUF file.
            gpu: Layers, devices, servers and split to offload.
            on_progress: Called with the loaded fraction of the weights, 0 to 1.
            adapters: Files of the model's LoRA adapters, by id.

        Raises:
            ModelFailedError: llama.cpp cannot load a file, or the kind of model is not supported.
        """
        load_backends()
        add_rpc_servers(gpu.servers)
        params = C.llama_model_default_params()
        params.n_gpu_layers = gpu.layers
        params.main_gpu = gpu.main
        params.split_mode = _SPLIT_MODES[gpu.split_mode]
        if not gpu.layers:
            # Without layers on it, a GPU would still compute the products of large batches.
            params.main_gpu, params.split_mode = _NO_GPU, _SPLIT_MODES["none"]
        split = _tensor_split(gpu.tensor_split)
        params.tensor_split = split

        @C.llama_progress_callback  # type: ignore[untyped-decorator]
        def progress(fraction: float, _: ctypes.c_void_p) -> bool:
            on_progress(fraction)
            return True

        params.progress_callback = progress
        with error_lines.first_error() as said:
            self.handle = C.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise ModelFailedError(said.after("llama.cpp cannot load the file"))
        metadata = self.metadata
        self._path = path
        self.is_encoder = is_encoder(metadata)
        """Whether the model only computes embeddings."""
        self.has_head = any(f"{name}.weight" in self.tensors for name in _HEADS)
        """Whether the file has a head that makes scores; of a split model, whether its first file has one."""
        self.pooling = pooling_of(metadata, Pooling.RANK if self.has_head else Pooling.MEAN)
        """How the token vectors of an embedding become one."""
        self.answers_in_words = metadata.get("general.architecture") in _ANSWERING_IN_WORDS
        """Whether a head's outputs are probabilities of words."""
        self.has_states = bool(C.llama_model_is_recurrent(self.handle) or C.llama_model_is_hybrid(self.handle))
        """Whether layers are recurrent: each keeps one state of a whole sequence."""
        self.goes_back = not self.has_states and not C.llama_model_n_swa(self.handle)
        """Whether a sequence can be taken back to fewer tokens. Not to those whose window the cache has let go, either:
        llama.cpp gives away the cells that the newest token's window has left (llama_kv_cache::find_slot)."""
        self.most_seats = 1 if metadata.get("general.architecture") in _ONE_AT_A_TIME else MAX_SEATS
        """Largest number of sequences that can be computed at once."""
        self.token_types = int(metadata.get("tokenizer.ggml.token_type_count", 0))
        self._refuse_unsupported()
        self.vocabulary = Vocabulary(C.llama_model_get_vocab(self.handle))
        self.trained_context_length = int(C.llama_model_n_ctx_train(self.handle))
        self.embedding_length = int(C.llama_model_n_embd_out(self.handle))
        self.parameters = int(C.llama_model_n_params(self.handle))
        self.size_bytes = int(C.llama_model_size(self.handle))
        self.devices = (gpu_names() if gpu.layers else ()) or ("CPU",)
        """Names of the devices that run the model."""
        self.adapters = LlamaAdapters(self.handle, adapters)

    @property
    def description(self) -> str:
        """Architecture, number of parameters and quantization, such as `llama 1.1B Q4_K - Medium`."""
        buffer = ctypes.create_string_buffer(256)
        C.llama_model_desc(self.handle, buffer, len(buffer))
        # llama.cpp guesses the size from the number of layers: `?B`, or `256M` for one of 135 million.
        architecture, _, rest = buffer.value.decode("utf-8", "replace").partition(" ")
        return f"{architecture} {short_count(self.parameters)} {rest.partition(' ')[2]}"

    @property
    def chat_templates(self) -> dict[str, str]:
        """Jinja sources of the chat templates in the file's metadata, by name; that without a name is `default`."""
        named = {
            key.removeprefix(_NAMED_TEMPLATE): source
            for key, source in self.metadata.items()
            if key.startswith(_NAMED_TEMPLATE)
        }
        source = C.llama_model_chat_template(self.handle, None)
        return {**named, **({"default": source.decode("utf-8", "replace")} if source else {})}

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata, with values as strings."""
        return dict(self._entry(index) for index in range(C.llama_model_meta_count(self.handle)))

    @cached_property
    def tensors(self) -> Tensors:
        """The tensors of the file; of a split model those of its first file."""
        return Tensors(self._path)

    @property
    def has_experts(self) -> bool:
        """Whether layers choose among experts, for each token its own."""
        metadata = self.metadata
        return int(metadata.get(f"{metadata.get('general.architecture')}.expert_count", 0)) > 0

    def _entry(self, index: int) -> tuple[str, str]:
        key = _text(lambda buffer, room: C.llama_model_meta_key_by_index(self.handle, index, buffer, room))
        return key, _text(lambda buffer, room: C.llama_model_meta_val_str_by_index(self.handle, index, buffer, room))

    def _refuse_unsupported(self) -> None:
        if C.llama_model_has_encoder(self.handle) or not C.llama_model_has_decoder(self.handle):
            raise ModelFailedError("the model has an encoder; only decoder-only models generate text here")
        architecture = self.metadata.get("general.architecture")
        if architecture in _OTHER_STATES:
            raise ModelFailedError(
                f"models of the architecture {architecture} cannot share prompts between requests yet"
            )


def _tensor_split(parts: tuple[float, ...]) -> Any:
    """Returns the parts as a C array of `llama_max_devices` floats, padded with 0; None for llama.cpp's default."""
    devices = int(C.llama_max_devices())
    if len(parts) > devices:
        raise ModelFailedError(f"LLM_TENSOR_SPLIT has {len(parts)} parts; this build of llama.cpp takes {devices}")
    return (ctypes.c_float * devices)(*parts) if parts else None


def _text(write: Callable[[Any, int], int]) -> str:
    """Calls a function of llama.cpp that fills a buffer and returns the text's length, or a negative error.

    The buffer grows until the text fits. Returns an empty string on error.
    """
    room = 256
    while True:
        buffer = ctypes.create_string_buffer(room)
        length = write(buffer, room)
        if length < room:
            return buffer.raw[: max(length, 0)].decode("utf-8", "replace")
        room = length + 1


class ContextSizes(NamedTuple):
    """Sizes of a llama.cpp context."""

    cells: int
    """Size of the KV cache in tokens, for all seats together."""
    seats: int
    batch_tokens: int
    threads: int
    reproducible: bool = False
    """Whether a row's scores may depend only on its sequence, as far as llama.cpp can compute so."""


class LlamaBackend:
    """A llama.cpp context with a unified KV cache for all seats; an `engine.backend.Backend`."""

    def __init__(self, model: LlamaModel, sizes: ContextSizes) -> None:
        """Creates the context. Raises ModelFailedError if llama.cpp cannot, for example out of memory."""
        self._model = model
        self.vocabulary = model.vocabulary
        params = C.llama_context_default_params()
        params.n_ctx = sizes.cells
        self._spare_seat = sizes.seats
        """Holds a part of another seat while that is copied."""
        params.n_seq_max = sizes.seats + 1
        # With fewer rows than sequences, llama.cpp aborts where it plans its graphs.
        params.n_batch = params.n_ubatch = max(sizes.batch_tokens, params.n_seq_max)
        params.n_threads = params.n_threads_batch = sizes.threads
        params.kv_unified = True
        params.no_perf = True
        if any(key.endswith(".pooling_type") for key in model.metadata):
            # llama.cpp warns of a type other than the file's, also where the file has none.
            params.pooling_type = C.LLAMA_POOLING_TYPE_NONE
        self.keeps_order = sizes.reproducible and model.devices == ("CPU",) and model.goes_back
        """Whether a row's scores are the same in every batch and wherever its sequence's cells are, if they ascend."""
        if self.keeps_order:
            # With keys and values of one type, ggml chooses among three attention kernels that add up in different
            # orders, by the rows of a batch and the cells in use, and one of them adds up in F16. With two types it has
            # one kernel, in F32. CUDA has none for them by default, and converts the values to F16 in each step.
            params.type_v = _BF16
        with error_lines.first_error() as said:
            self._context = C.llama_init_from_model(model.handle, params)
        if not self._context and self.keeps_order:  # Multi-head latent attention has one type for keys and values.
            self.keeps_order, params.type_v = False, params.type_k
            with error_lines.first_error() as said:
                self._context = C.llama_init_from_model(model.handle, params)
        if not self._context:
            raise ModelFailedError(said.after(f"llama.cpp cannot make a context of {sizes.cells} tokens"))
        self._memory = C.llama_get_memory(self._context)
        if model.has_states:
            self._no_layers = sequence_state.read_layers(self._context, self._spare_seat)
        self._batch = Batch(sizes.batch_tokens)
        self._outputs = Outputs(self._context, self.vocabulary.size)
        self.adapt(model.adapters.all)  # Their products depend on the batch too.
        self.exact_block = self._exact_block() if self.keeps_order else 1
        """Rows of which a step begins at a multiple, and has as many at least, so that its results are those of another
        such step; 1 where a row has the same in batches of any size, or where that does not matter."""
        self.adapt(NO_ADAPTERS)

    def _exact_block(self) -> int:
        """Computes the same tokens in different batches, and compares what becomes of each to the last bit.

        ggml's kernels for a row and for several differ for some types of weights, such as Q4_K without AMX. Of experts
        they are chosen by the rows that each expert gets, so that only equal batches are alike.
        """
        count = min(_PROBE, len(self._batch), self.cells)
        at_once = self._computed(count, 0)
        if all(self._computed(count, first) == at_once for first in (count - 1, max(count - 7, 0))):
            return 1
        has_blocks = count >= 2 * EXACT_BLOCK and not self._model.has_experts
        return EXACT_BLOCK if has_blocks and self._computed(count, EXACT_BLOCK) == at_once else EXACT_CHUNK

    def _computed(self, count: int, first: int) -> bytes:
        """Returns the last layer's output for `count` tokens in an empty cache: of the `first` ones, then of the rest.

        Not their scores: of a request that runs alone, those of one row are computed at a time, whatever the batch.
        Equal tokens all go to the same experts.
        """
        stride = 0 if self._model.has_experts else 17
        rows = [Row((1 + stride * at) % self.vocabulary.size, at, 0, wants_scores=True) for at in range(count)]
        C.llama_set_embeddings(self._context, True)
        output = b""
        for part in (rows[:first], rows[first:]):
            if part:
                self.forward(part)
                vectors = C.llama_get_embeddings(self._context)
                output += ctypes.string_at(vectors, 4 * self._model.embedding_length * len(part))
        C.llama_set_embeddings(self._context, False)
        self.clear()
        return output

    @property
    def cells(self) -> int:
        """Actual size of the KV cache in cells; llama.cpp rounds the requested size up."""
        return int(C.llama_n_ctx(self._context))

    def forward(self, rows: Rows[Row]) -> None:
        """See `Backend.forward`."""
        status = C.llama_decode(self._context, self._batch.fill(rows))
        if status:
            raise BackendError(f"llama.cpp could not compute a batch of {len(rows)} rows (llama_decode: {status})")
        self._outputs.take(rows)

    def sampler(self, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool) -> LlamaSampler:
        """See `Backend.sampler`."""
        return LlamaSampler(self._outputs, self.vocabulary, sampling, prompt, ignore_eos=ignore_eos)

    def mask(self, constraint: Constraint) -> TokenMask:
        """See `Backend.mask`."""
        return self.vocabulary.grammars.mask(constraint)

    def arguments(self, schemas: ArgumentSchemas) -> list[FollowedSchema]:
        """See `Backend.arguments`."""
        return self.vocabulary.grammars.arguments(schemas)

    def terminal(self, text: str) -> str:
        """See `Backend.terminal`."""
        return self.vocabulary.grammars.terminal(text)

    def masked_sampler(self, sampling: Sampling, prompt: Rows[int], mask: Mask) -> MaskedSampler:
        """See `Backend.masked_sampler`."""
        return MaskedSampler(self._outputs, self.vocabulary, sampling, prompt, mask)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """See `Backend.copy_prefix`."""
        self._check_end(source, length)
        C.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def truncate(self, seat: int, length: int) -> None:
        """See `Backend.truncate`."""
        whole = not length or self._model.goes_back
        if not whole or not C.llama_memory_seq_rm(self._memory, seat, length, -1):
            raise BackendError(f"llama.cpp cannot drop the tokens of seat {seat} from {length} on")

    def rehome(self, seat: int) -> None:
        """See `Backend.rehome`. Takes memory for the seat's keys and values meanwhile."""
        state = sequence_state.read(self._context, seat)
        C.llama_memory_seq_rm(self._memory, seat, -1, -1)
        sequence_state.write(self._context, seat, state)

    def save(self, seat: int, start: int, end: int, cuts: Rows[int] = ()) -> BlockState:
        """See `Backend.save`."""
        self._check_end(seat, end)
        if not cuts:
            return self._saved(seat, start, end)
        spans = pairwise((start, *cuts, end))
        return sequence_state.SpanStates(tuple((self._saved(seat, first, last), first) for first, last in spans))

    def _saved(self, seat: int, start: int, end: int) -> BlockState:
        # llama.cpp copies whole sequences: these positions become one for a moment, in the same cells.
        C.llama_memory_seq_cp(self._memory, seat, self._spare_seat, start, end)
        state = self._copy(self._spare_seat)
        self.truncate(self._spare_seat, 0)
        return state

    def _copy(self, seat: int) -> BlockState:
        if self._model.goes_back:
            return sequence_state.read(self._context, seat)
        if not self._model.has_states or C.llama_model_n_swa(self._model.handle):
            # The window of a sequence may begin in any of its parts.
            return sequence_state.LlamaState(sequence_state.read(self._context, seat), None)
        return sequence_state.read_apart(self._context, seat, self._no_layers)

    def _check_end(self, seat: int, end: int) -> None:
        """Raises BackendError if a seat has another state than that of so many tokens."""
        if not self._model.goes_back and C.llama_memory_seq_pos_max(self._memory, seat) != end - 1:
            raise BackendError(f"the state of seat {seat} is not that of its first {end} tokens")

    def restore(self, seat: int, state: Any, start: int, length: int) -> None:
        """See `Backend.restore`."""
        parts = state.spans if isinstance(state, sequence_state.SpanStates) else ((state, start),)
        for part, first in parts:
            if first < start + length:
                sequence_state.write(self._context, self._spare_seat, part)
                C.llama_memory_seq_cp(self._memory, self._spare_seat, seat, first, start + length)
                self.truncate(self._spare_seat, 0)

    def logprobs(self, row: int, tokens: Rows[int], top: int) -> list[TokenLogprob]:
        """See `Backend.logprobs`."""
        scores = self._outputs.row(row).astype(np.float64)
        check_score(float(scores.max()))
        return token_logprobs(scores, tokens, top, self.vocabulary.text)

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
        """See `Backend.adapt`."""
        self._model.adapters.apply(self._context, adapters)

    def clear(self) -> None:
        """See `Backend.clear`."""
        C.llama_memory_clear(self._memory, True)

    def close(self) -> None:
        """Frees the context."""
        C.llama_free(self._context)


class Batch:
    """A reusable `llama_batch` whose arrays are NumPy's."""

    def __init__(self, size: int) -> None:
        self._token = np.zeros(size, np.int32)
        self._pos = np.zeros(size, np.int32)
        self._seat = np.zeros(size, np.int32)
        self._seats_per_row = np.ones(size, np.int32)
        self._scores = np.zeros(size, np.int8)
        addresses = self._seat.ctypes.data + np.arange(size, dtype=np.uintp) * self._seat.itemsize
        self._seat_pointers = addresses.astype(np.uintp)
        self._vectors: npt.NDArray[np.float32] | None = None
        self._struct = C.llama_batch(
            pos=self._pointer(self._pos, C.llama_pos),
            n_seq_id=self._pointer(self._seats_per_row, ctypes.c_int32),
            seq_id=self._pointer(self._seat_pointers, ctypes.POINTER(C.llama_seq_id)),
            logits=self._pointer(self._scores, ctypes.c_int8),
        )

    def __len__(self) -> int:
        """Returns the largest number of rows."""
        return len(self._token)

    def fill(self, rows: Rows[Row], vectors: npt.NDArray[np.float32] | None = None) -> Any:
        """Returns a `llama_batch` of the rows, valid until the next call.

        Raises BackendError if there are no rows or more than the batch's size.

        Args:
            rows: The rows.
            vectors: What stands for the tokens' rows of the embedding table, shape [rows, embedding length].
        """
        count = len(rows)
        if not 0 < count <= len(self._token):
            raise BackendError(f"a batch has 1 to {len(self._token)} rows, not {count}")
        columns = np.array(rows, np.int32)
        self._token[:count], self._pos[:count], self._seat[:count] = columns[:, 0], columns[:, 1], columns[:, 2]
        self._scores[:count] = columns[:, 3]
        self._struct.n_tokens = count
        self._vectors = vectors
        self._struct.token = None if vectors is not None else self._pointer(self._token, C.llama_token)
        self._struct.embd = None if vectors is None else self._pointer(vectors, ctypes.c_float)
        return self._struct

    @staticmethod
    def _pointer(array: npt.NDArray[Any], kind: Any) -> Any:
        return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
