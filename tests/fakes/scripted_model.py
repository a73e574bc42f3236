"""Makes tiny models that write what a script says, so that a test can have a real model speak in any form."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

from tests.fakes.gguf import BYTE_TEXTS, MERGED

_LEAD = 0.02
"""How far the next token of the first script is ahead of that of the other one, before the sign is seen."""
_SIGN = 30.0
"""Weight of the sign, whose part of the prompt is between 1 in 1,500 and 1 in 30 tokens, beside `_LEAD` and 1."""
_NARROW = 64


def write_scripted_model(
    path: Path,
    *,
    template: str,
    start: str,
    end: str,
    special: Sequence[str],
    otherwise: str,
    scripts: Sequence[Sequence[str]],
    sign: str,
) -> Path:
    """Writes a model and returns its path. It has to be sampled greedily.

    Each token leads to the one that follows it in the script. Where the prompt has the sign, the second script is
    written; a layer that attends to all tokens alike sees it. Tokens of no script lead to one of them, so that a script
    goes on behind a text that a grammar has spelled in bytes, as it does where it allows no other.

    Args:
        path: Where the file goes.
        template: The chat template; what it writes before an answer ends with `start`.
        start: The special token that a script follows.
        end: The special token that ends each answer.
        special: Texts of all special tokens, also those of scripts.
        otherwise: The text that follows tokens of no script.
        scripts: Two rows of texts, each of which is a token.
        sign: The special token that the template writes where the second script is wanted.
    """
    said = [text for text in dict.fromkeys(text for script in scripts for text in script) if text not in special]
    texts = [*BYTE_TEXTS, "".join(MERGED), *special, *map(_spelled, said)]
    known = {text: len(BYTE_TEXTS) + 1 + at for at, text in enumerate([*special, *said])}
    width = -(-(len(texts) + 1) // 64) * 64
    output = np.zeros((len(texts), width), np.float32)
    first, second = (_followers(known, [start, *script, end]) for script in scripts)
    for token in range(len(texts)):
        follower = first.get(token, second.get(token, known[otherwise]))
        output[follower, token] = 1.0
        other = second.get(token, follower)
        if other != follower:
            assert other not in first.values(), f"{texts[other]!r} has to be in one script only"
            output[other, token] = 1.0 - _LEAD
            output[other, -1] = _SIGN
    seen = np.zeros((width, width), np.float32)
    seen[-1, known[sign]] = width**-0.5  # A normalized row of one 1 has the square root of the width.

    writer = GGUFWriter(path, "llama")
    writer.add_name("scripted")
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_NARROW)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    kinds = [TokenType.NORMAL] * (len(BYTE_TEXTS) + 1) + [TokenType.CONTROL] * len(special)
    writer.add_token_types(kinds + [TokenType.NORMAL] * len(said))
    writer.add_token_merges([" ".join(MERGED)])
    writer.add_eos_token_id(known[end])
    writer.add_add_bos_token(False)
    writer.add_vocab_size(len(texts))
    writer.add_chat_template(template)
    for name, values in _tensors(width, seen, output).items():
        writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(width: int, seen: np.ndarray, output: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the weights: rows of one 1 for the tokens, a layer that sees the sign, and the tokens' followers."""
    shapes = {"attn_q": (width, width), "attn_k": (width, width)}
    shapes |= {"ffn_gate": (_NARROW, width), "ffn_up": (_NARROW, width), "ffn_down": (width, _NARROW)}
    ones = dict.fromkeys(("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"), np.ones(width, np.float32))
    return {
        "token_embd": np.eye(*output.shape, dtype=np.float32),
        **{f"blk.0.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()},
        "blk.0.attn_v": seen,
        "blk.0.attn_output": np.eye(width, dtype=np.float32),
        **ones,
        "output": output,
    }


def _followers(known: dict[str, int], script: Sequence[str]) -> dict[int, int]:
    """Returns each token's follower in a script."""
    ids = [known[text] for text in script]
    assert len(set(ids)) == len(ids), "a script has no text twice"
    return dict(pairwise(ids))


def _spelled(text: str) -> str:
    return "".join(BYTE_TEXTS[byte] for byte in text.encode())
