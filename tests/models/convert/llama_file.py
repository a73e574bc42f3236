"""A GGUF file loaded by llama.cpp, for tests: token ids and logits."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import llama_cpp  # noqa: TID251 - an oracle beside the code under test
import numpy as np

from llm_inference_api.backends.llama.devices import load_backends
from llm_inference_api.text.text_preparation import TextPreparation

_silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
load_backends()


class LlamaFile:
    """A loaded model, on the CPU."""

    def __init__(self, path: Path, *, vocab_only: bool = False) -> None:
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        assert self.model, f"llama.cpp refuses {path}"
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.preparation = TextPreparation.from_metadata(self.metadata())

    def close(self) -> None:
        llama_cpp.llama_model_free(self.model)

    def metadata(self) -> dict[str, str]:
        buffer = ctypes.create_string_buffer(1 << 16)
        entries = {}
        for index in range(llama_cpp.llama_model_meta_count(self.model)):
            llama_cpp.llama_model_meta_key_by_index(self.model, index, buffer, len(buffer))
            key = buffer.value.decode()
            llama_cpp.llama_model_meta_val_str_by_index(self.model, index, buffer, len(buffer))
            entries[key] = buffer.value.decode(errors="replace")
        return entries

    def tokens(self, text: str, *, specials: bool = True, around: bool = True) -> list[int]:
        """Returns the token ids of a text.

        Args:
            text: Text after `preparation`.
            specials: Whether special tokens in the text are parsed.
            around: Whether bos and eos are added where the tokenizer says so.
        """
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 16))()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), ids, len(ids), around, specials)
        assert count >= 0
        return list(ids[:count])

    def piece(self, token: int) -> bytes:
        """Returns the text of a token."""
        buffer = ctypes.create_string_buffer(512)
        size = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
        return buffer.raw[:size]

    def logits(self, tokens: Sequence[int], *, context: int | None = None) -> np.ndarray:
        """Returns logits of shape (tokens, vocabulary), computed in one batch with a float32 cache."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context or len(tokens), len(tokens), len(tokens)
        params.n_threads = params.n_threads_batch = 1
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        handle = llama_cpp.llama_init_from_model(self.model, params)
        try:
            return self._decode(handle, tokens)
        finally:
            llama_cpp.llama_free(handle)

    def _decode(self, handle: llama_cpp.llama_context_p, tokens: Sequence[int]) -> np.ndarray:
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for position, token in enumerate(tokens):
            batch.token[position], batch.pos[position] = token, position
            batch.n_seq_id[position], batch.seq_id[position][0], batch.logits[position] = 1, 0, True
        assert llama_cpp.llama_decode(handle, batch) == 0
        llama_cpp.llama_batch_free(batch)
        rows = llama_cpp.llama_get_logits(handle)
        return np.ctypeslib.as_array(rows, (len(tokens), self.size)).copy()


@contextmanager
def opened(path: Path, *, vocab_only: bool = False) -> Iterator[LlamaFile]:
    file = LlamaFile(path, vocab_only=vocab_only)
    try:
        yield file
    finally:
        file.close()
