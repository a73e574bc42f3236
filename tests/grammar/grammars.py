"""What compiles constraints for vocabularies of the 256 bytes and a few special tokens."""

from collections.abc import Sequence

from llguidance import LLTokenizer, TokenizerWrapper

from llm_inference_api.grammar.token_mask import Grammars
from llm_inference_api.grammar.trial import Trial

_TOKENIZER = LLTokenizer("byte")
BYTES = Grammars(_TOKENIZER, Trial(_TOKENIZER.vocab_size, {256: b"<x>", 257: b"<y>"}))


class _Bytes:
    bos_token_id = None

    def __init__(self, special: Sequence[str]) -> None:
        self.tokens = [*(bytes([byte]) for byte in range(256)), *(text.encode() for text in special)]
        self.special_token_ids = list(range(256, len(self.tokens)))
        self.eos_token_id = len(self.tokens) - 1

    def __call__(self, text: str) -> list[int]:
        return list(text.encode())


def bytes_and(special: Sequence[str], ends: Sequence[str] = ()) -> Grammars:
    """Returns what compiles constraints for a vocabulary with these special tokens, and ends of answers among them."""
    vocabulary = _Bytes([*special, "<end>"])
    ids = {text.decode(): token for token, text in enumerate(vocabulary.tokens) if token >= 256}
    tokenizer = LLTokenizer(
        TokenizerWrapper(vocabulary), eos_token=[ids["<end>"], *(ids[text] for text in ends)], slices=[]
    )
    return Grammars(tokenizer, Trial(len(vocabulary.tokens), {ids[text]: text.encode() for text in ids}))
