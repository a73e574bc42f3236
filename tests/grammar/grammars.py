"""What compiles constraints for a vocabulary of the 256 bytes and a few special tokens."""

from llguidance import LLTokenizer

from llm_inference_api.grammar.constraint import Grammars
from llm_inference_api.grammar.trial import Trial

_TOKENIZER = LLTokenizer("byte")
BYTES = Grammars(_TOKENIZER, Trial(_TOKENIZER.vocab_size, {256: b"<x>", 257: b"<y>"}))
