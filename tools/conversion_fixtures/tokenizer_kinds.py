"""Small tokenizers of each kind that can be converted, trained on the corpus."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import tiktoken
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from llm_inference_api.models.convert.tokenizer import pre_tokenizer
from tools.conversion_fixtures.corpus import training_lines

SIZE = 560
"""Tokens of a vocabulary, added tokens included."""


def sentencepiece_model(directory: Path, *, dummy_prefix: bool, user_symbols: list[str]) -> None:
    """Writes tokenizer.model, a BPE with byte fallback."""
    text = directory / "training.txt"
    text.write_text("\n".join(line.replace("\n", " ") for line in training_lines(9)), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(directory / "tokenizer"),
        vocab_size=SIZE,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.99,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=dummy_prefix,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=user_symbols,
        num_threads=1,
        minloglevel=2,
    )
    text.unlink()
    (directory / "tokenizer.vocab").unlink()


def from_sentencepiece(path: Path) -> Tokenizer:
    """Returns a BPE whose merges are all pairs of pieces that join to a piece, best piece first, as in transformers."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    pieces = [model.id_to_piece(n) for n in range(model.vocab_size())]
    normal = {
        piece: n
        for n, piece in enumerate(pieces)
        if not (model.is_control(n) or model.is_unknown(n) or model.is_byte(n))
    }
    merges = sorted(
        (
            (piece[:cut], piece[cut:])
            for piece in normal
            for cut in range(1, len(piece))
            if piece[:cut] in normal and piece[cut:] in normal
        ),
        key=lambda pair: (-model.get_score(normal[pair[0] + pair[1]]), normal[pair[0]], normal[pair[1]]),
    )
    ids = {piece: n for n, piece in enumerate(pieces)}
    return Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))


def _control(*texts: str, rstrip: bool = False) -> list[AddedToken]:
    return [AddedToken(text, special=True, normalized=False, rstrip=rstrip) for text in texts]


def _with_bos(tokenizer: Tokenizer, bos: str) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )


def llama2(directory: Path) -> None:
    """Writes Llama 2's: a prefix space through the normalizer."""
    sentencepiece_model(directory, dummy_prefix=True, user_symbols=[])
    tokenizer = from_sentencepiece(directory / "tokenizer.model")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(_control("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"))
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    _with_bos(tokenizer, "<s>")
    tokenizer.save(str(directory / "tokenizer.json"))


def codellama(directory: Path) -> None:
    """Writes Code Llama's: Llama 2's with infilling tokens that strip the white space beside them."""
    llama2(directory)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.add_special_tokens(
        [
            AddedToken("<PRE>", special=True, normalized=False, lstrip=True, rstrip=True),
            AddedToken("<SUF>", special=True, normalized=False, lstrip=True),
            AddedToken("<MID>", special=True, normalized=False, rstrip=True),
        ]
    )
    tokenizer.save(str(directory / "tokenizer.json"))


def llama2_model_only(directory: Path) -> None:
    """Writes Llama 2's without tokenizer.json."""
    sentencepiece_model(directory, dummy_prefix=True, user_symbols=[])


def mistral(directory: Path) -> None:
    """Writes Mistral's: Metaspace with a space before the first text only."""
    sentencepiece_model(directory, dummy_prefix=True, user_symbols=[])
    tokenizer = from_sentencepiece(directory / "tokenizer.model")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    tokenizer.add_special_tokens(_control("<unk>", "<s>", "</s>", "[INST]", "[/INST]"))
    _with_bos(tokenizer, "<s>")
    tokenizer.save(str(directory / "tokenizer.json"))


def llama_always(directory: Path) -> None:
    """Writes what transformers 5 makes of Llama 2 with `legacy`: Metaspace with a space before each text."""
    mistral(directory)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=False)
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    tokenizer.save(str(directory / "tokenizer.json"))


def phi3(directory: Path) -> None:
    """Writes Phi-3's: added tokens that strip the white space after them."""
    sentencepiece_model(directory, dummy_prefix=True, user_symbols=[])
    tokenizer = from_sentencepiece(directory / "tokenizer.model")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(_control("<unk>", "<s>"))
    tokenizer.add_tokens([AddedToken("</s>", special=False, normalized=False, rstrip=True)])
    tokenizer.add_special_tokens(_control("<|endoftext|>"))
    tokenizer.add_special_tokens(_control("<|assistant|>", "<|system|>", "<|end|>", "<|user|>", rstrip=True))
    _with_bos(tokenizer, "<s>")
    tokenizer.save(str(directory / "tokenizer.json"))


def gemma(directory: Path) -> None:
    """Writes Gemma's: no prefix space, runs of spaces and line ends as added tokens."""
    runs = ["\n" * n for n in range(2, 6)] + ["▁" * n for n in range(2, 6)]
    sentencepiece_model(
        directory, dummy_prefix=False, user_symbols=["<mask>", "<start_of_turn>", "<end_of_turn>", *runs]
    )
    tokenizer = from_sentencepiece(directory / "tokenizer.model")
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_special_tokens(_control("<unk>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>"))
    tokenizer.add_tokens([AddedToken(run, special=False, normalized=False) for run in ["<mask>", *runs]])
    _with_bos(tokenizer, "<s>")
    tokenizer.save(str(directory / "tokenizer.json"))


@dataclass(frozen=True)
class TrainedByteLevel:
    """A byte-level BPE to train."""

    specials: tuple[str, ...] = ()
    """Special tokens; no text contains them."""
    plain: tuple[str, ...] = ()
    """Added tokens that text contains."""
    patterns: tuple[str, ...] = ()
    """Regular expressions that split text one after the other; GPT-2's where there is none."""
    digits: bool = False
    """Whether digits are split from each other."""
    ignore_merges: bool = False
    nfc: bool = False
    bos: str | None = None
    """A special token before each text."""

    def write(self, directory: Path) -> None:
        """Writes tokenizer.json."""
        tokenizer = Tokenizer(models.BPE(ignore_merges=self.ignore_merges))
        tokenizer.pre_tokenizer = self._pre_tokenizer()
        tokenizer.normalizer = normalizers.NFC() if self.nfc else None
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=SIZE - 20,
            special_tokens=[],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(training_lines(), trainer)
        tokenizer.add_special_tokens(_control(*self.specials))
        tokenizer.add_tokens([AddedToken(text, special=False, normalized=True) for text in self.plain])
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        if self.bos:
            _with_bos(tokenizer, self.bos)
        tokenizer.save(str(directory / "tokenizer.json"))

    def _pre_tokenizer(self) -> pre_tokenizers.PreTokenizer:
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in self.patterns]
        splits += [pre_tokenizers.Digits(individual_digits=True)] if self.digits else []
        last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not self.patterns)
        return pre_tokenizers.Sequence([*splits, last]) if splits else last


_CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Special tokens of ChatML."""


def llama3(directory: Path) -> None:
    """Writes Llama 3's."""
    bos = "<|begin_of_text|>"
    others = ("<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    TrainedByteLevel((bos, *others), patterns=(pre_tokenizer.LLAMA3,), ignore_merges=True, bos=bos).write(directory)


def dbrx(directory: Path) -> None:
    """Writes Phi-4's: Llama 3's pattern in tiktoken's spelling (cl100k), without ignore_merges."""
    spelled = pre_tokenizer.LLAMA3.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)")
    spelled = spelled.replace(r"?\p{L}+", r"?+\p{L}+").replace(r"[^\s\p{L}\p{N}]+[\r\n]*", r"[^\s\p{L}\p{N}]++[\r\n]*")
    spelled = spelled.replace(r"|\s*[\r\n]+|", r"|\s*[\r\n]|")
    TrainedByteLevel(_CHAT, patterns=(spelled,)).write(directory)


def qwen2(directory: Path) -> None:
    """Writes Qwen2's: NFC, and added tokens that text contains."""
    plain = ("<tool_call>", "</tool_call>", "<|fim_prefix|>")
    TrainedByteLevel(_CHAT, plain, (pre_tokenizer.QWEN2,), nfc=True).write(directory)


def stablelm2(directory: Path) -> None:
    """Writes StableLM 2's: Qwen2's pattern in another spelling."""
    TrainedByteLevel(_CHAT, patterns=(pre_tokenizer.QWEN2.replace(r"\p{N}|", r"\p{N}{1}|"),)).write(directory)


def gpt2(directory: Path) -> None:
    """Writes Phi-2's: GPT-2's with runs of white space as added tokens."""
    runs = [" " * n for n in range(8, 1, -1)] + ["\t" * n for n in range(4, 1, -1)]
    TrainedByteLevel(("<|endoftext|>",), tuple(runs)).write(directory)


def neox(directory: Path) -> None:
    """Writes StableLM 1's: GPT-2's pattern after NFC."""
    runs = tuple(" " * n for n in range(8, 1, -1))
    TrainedByteLevel(("<|endoftext|>", "<|padding|>"), runs, nfc=True).write(directory)


def smollm(directory: Path) -> None:
    """Writes SmolLM's: GPT-2's pattern with single digits."""
    TrainedByteLevel(_CHAT, digits=True).write(directory)


QWEN_SPECIALS = (*_CHAT, *(f"<|extra_{n}|>" for n in range(205)))
QWEN_RANKS = 340


def qwen1(directory: Path) -> None:
    """Writes qwen.tiktoken: the merges of a trained byte-level BPE, by rank."""
    TrainedByteLevel(patterns=(pre_tokenizer.QWEN2,)).write(directory)
    trained = json.loads((directory / "tokenizer.json").read_text())
    (directory / "tokenizer.json").unlink()
    bytes_of = {character: byte for byte, character in byte_characters().items()}
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [bytes(bytes_of[character] for character in "".join(pair)) for pair in trained["model"]["merges"]]
    ranked = dict.fromkeys(tokens[:QWEN_RANKS])
    lines = (base64.b64encode(token).decode() + f" {rank}\n" for rank, token in enumerate(ranked))
    (directory / "qwen.tiktoken").write_text("".join(lines))


def byte_characters() -> dict[int, str]:
    """Returns GPT-2's printable character for each byte, written independently of the code under test."""
    alphabet = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in alphabet]
    return {b: chr(b) for b in alphabet} | {b: chr(256 + n) for n, b in enumerate(rest)}


def qwen1_encoding(path: Path) -> tiktoken.Encoding:
    """Returns the encoding that tokenization_qwen.py of the published checkpoints builds from a qwen.tiktoken."""
    ranks = {
        base64.b64decode(token): int(rank) for token, rank in (line.split() for line in path.read_bytes().splitlines())
    }
    return tiktoken.Encoding(
        "Qwen",
        pat_str=r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        mergeable_ranks=ranks,
        special_tokens={text: len(ranks) + n for n, text in enumerate(QWEN_SPECIALS)},
    )


KINDS = {
    "llama2": llama2,
    "codellama": codellama,
    "llama2_model_only": llama2_model_only,
    "mistral": mistral,
    "llama_always": llama_always,
    "phi3": phi3,
    "gemma": gemma,
    "llama3": llama3,
    "dbrx": dbrx,
    "qwen2": qwen2,
    "stablelm2": stablelm2,
    "gpt2": gpt2,
    "neox": neox,
    "smollm": smollm,
    "qwen1": qwen1,
}
"""Writers of a tokenizer's files to a directory, by name."""
