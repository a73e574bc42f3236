"""qwen.tiktoken, the vocabulary of the first Qwen: byte strings with ranks, converted to byte-level BPE."""

import base64
import binascii
from pathlib import Path

from gguf import TokenType

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tokenizer.vocabulary import GgufToken, GgufVocabulary
from llm_inference_api.text.text_preparation import TextPreparation

_NAMED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_EXTRAS = 205
"""Special tokens after the vocabulary: named, then so many numbered ones (tokenization_qwen.py of the checkpoints)."""


def _byte_characters() -> dict[int, str]:
    """Returns GPT-2's printable character for each byte (bytes_to_unicode of its encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


_CHARACTERS = _byte_characters()


def _written(token: bytes) -> str:
    return "".join(_CHARACTERS[byte] for byte in token)


def read_tiktoken(path: Path) -> GgufVocabulary:
    """Returns the vocabulary of a file with a token, in base64, and its rank on each line.

    Raises:
        ConversionError: A line is malformed, ranks repeat, or a token is not the result of merges.
    """
    ranks = _ranks(path)
    tokens = {rank: GgufToken(_written(token), TokenType.NORMAL) for token, rank in ranks.items()}
    first = max(tokens) + 1
    names = (*_NAMED, *(f"<|extra_{number}|>" for number in range(_EXTRAS)))
    tokens |= {first + n: GgufToken(name, TokenType.CONTROL) for n, name in enumerate(names)}
    merges = [
        " ".join(map(_written, _halves(token, ranks)))
        for token in sorted(ranks, key=ranks.__getitem__)
        if len(token) > 1
    ]
    return GgufVocabulary(
        "gpt2",
        "qwen2",
        tokens,
        merges,
        preparation=TextPreparation(nfc=True),
        default_ids={"bos": first, "eos": first, "unknown": first},
    )


def _ranks(path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ConversionError(f"{path.name}: line {number} must be a token in base64 and its rank") from error
    if not ranks or len(set(ranks.values())) != len(ranks) or min(ranks.values()) < 0:
        raise ConversionError(f"{path.name}: must give each token a different rank")
    return ranks


def _halves(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Returns the two parts that the last merge joins to the token.

    Parts are merged as tiktoken does: the pair of the lowest rank first, only pairs of a lower rank than the token's.
    """
    parts = [token[n : n + 1] for n in range(len(token))]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda n: ranks.get(parts[n] + parts[n + 1], ranks[token]))
        if ranks.get(parts[best] + parts[best + 1], ranks[token]) >= ranks[token]:
            raise ConversionError(f"qwen.tiktoken: the token {token!r} is not the result of merges")
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts[0], parts[1]
