"""Scores that make llama.cpp's sentencepiece algorithm choose as a list of BPE merges does.

`tokenizers` applies the earliest merge of the list that fits; llama.cpp joins the neighbours whose text
together is the token of the highest score, the leftmost of equal ones. Both choose alike when each token's
merges stand together in the list and are all the ways in which two tokens make it. Lists that come from a
sentencepiece model are so, but for runs of one character (Llama's spaces), which share a score there and
whose merges some converters sort by length: those share a score here too, if that chooses as their merges do.
"""

from collections.abc import Sequence, Set
from itertools import pairwise

from llm_inference_api.models.convert.errors import ConversionError

Merge = tuple[str, str]


class MergeOrderError(ConversionError):
    """A list of merges that token scores cannot express."""


def scores_of_merges(merges: Sequence[Merge], pieces: Set[str]) -> dict[str, float]:
    """A falling score for each token in the order of its merges; refuses lists that it cannot stand for."""
    _refuse_incomplete(set(merges), pieces)
    scores: dict[str, float] = {}
    shared: set[str] = set()
    for rank, block in enumerate(_blocks(merges)):
        joined = {left + right for left, right in block}
        shared |= joined if len(joined) > 1 else set()
        scores |= dict.fromkeys(joined, -float(rank))
    _refuse_unless_runs(shared)
    for character in {token[0] for token in shared}:
        _refuse_unless_equal(character, merges, scores)
    return scores


def _blocks(merges: Sequence[Merge]) -> list[list[Merge]]:
    """The list cut wherever no token has merges on both sides."""
    last = {left + right: index for index, (left, right) in enumerate(merges)}
    blocks: list[list[Merge]] = []
    end = -1
    for index, merge in enumerate(merges):
        if index > end:
            blocks.append([])
        blocks[-1].append(merge)
        end = max(end, last[merge[0] + merge[1]])
    return blocks


def _refuse_unless_runs(shared: Set[str]) -> None:
    mixed = sorted(token for token in shared if len(set(token)) > 1)
    if mixed:
        raise MergeOrderError(f"tokenizer.json: the merges of {mixed[0]!r} do not stand together in the list")


def _refuse_unless_equal(character: str, merges: Sequence[Merge], scores: dict[str, float]) -> None:
    """Runs of `character` must come out the same by the list's ranks and by scores."""
    runs = [(rank, pair) for rank, pair in enumerate(merges) if not "".join(pair).strip(character)]
    by_rank = {pair: float(rank) for rank, pair in runs}
    by_score = {pair: -scores["".join(pair)] for _, pair in runs}
    longest = max(len(left + right) for left, right in by_rank)
    for length in range(2, 2 * longest + 2):
        if _merged(character * length, by_rank) != _merged(character * length, by_score):
            raise MergeOrderError(f"tokenizer.json: runs of {character!r} merge as llama.cpp has no equal for")


def _merged(text: str, ranks: dict[Merge, float]) -> list[str]:
    """The text after all merges, lowest rank first, leftmost of equal ones first."""
    parts = list(text)
    while True:
        ranked = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not ranked:
            return parts
        at = min(ranked)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def _refuse_incomplete(merges: Set[Merge], pieces: Set[str]) -> None:
    for piece in pieces:
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in pieces and right in pieces and (left, right) not in merges:
                raise MergeOrderError(
                    f"tokenizer.json: {left!r} and {right!r} make the token {piece!r} but are not merged, "
                    "which llama.cpp's sentencepiece algorithm has no equal for"
                )
