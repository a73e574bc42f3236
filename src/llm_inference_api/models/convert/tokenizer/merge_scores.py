"""Scores with which llama.cpp's sentencepiece algorithm merges as a list of BPE merges does.

`tokenizers` applies the earliest merge of the list that fits. llama.cpp joins the two neighbours whose joined text is
the token of the highest score, and the leftmost of equals. The results are the same if the merges of each token are
contiguous in the list and are all the ways to make it of two tokens. Lists derived from a sentencepiece model are like
this, except for runs of one character (Llama's spaces): these share a score in the model, and some converters sort
their merges by length. Such runs share a score here too, after a check that this merges them in the same way.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

from llm_inference_api.models.convert.errors import ConversionError

Merge = tuple[str, str]
"""Two tokens that are joined to a third."""


class MergeOrderError(ConversionError):
    """No scores merge in the same way as the list."""


def scores_of_merges(merges: Sequence[Merge], pieces: AbstractSet[str]) -> dict[str, float]:
    """Returns a score for each token that merges make: 0 for the first, less for later ones.

    Args:
        merges: Pairs, first merges first.
        pieces: All tokens except added tokens and byte tokens.

    Raises:
        MergeOrderError: No scores merge in the same way.
    """
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
    """Returns the list, cut wherever no token has merges on both sides."""
    last = {left + right: index for index, (left, right) in enumerate(merges)}
    blocks: list[list[Merge]] = []
    end = -1
    for index, merge in enumerate(merges):
        if index > end:
            blocks.append([])
        blocks[-1].append(merge)
        end = max(end, last[merge[0] + merge[1]])
    return blocks


def _refuse_unless_runs(shared: AbstractSet[str]) -> None:
    mixed = sorted(token for token in shared if len(set(token)) > 1)
    if mixed:
        raise MergeOrderError(f"tokenizer.json: the merges of {mixed[0]!r} are not contiguous in the list")


def _refuse_unless_equal(character: str, merges: Sequence[Merge], scores: dict[str, float]) -> None:
    """Raises MergeOrderError unless ranks and scores merge runs of the character in the same way."""
    runs = [(rank, pair) for rank, pair in enumerate(merges) if not "".join(pair).strip(character)]
    by_rank = {pair: float(rank) for rank, pair in runs}
    by_score = {pair: -scores["".join(pair)] for _, pair in runs}
    longest = max(len(left + right) for left, right in by_rank)
    for length in range(2, 2 * longest + 2):
        if _merged(character * length, by_rank) != _merged(character * length, by_score):
            raise MergeOrderError(
                f"tokenizer.json: the merge order of runs of {character!r} has no equivalent in llama.cpp"
            )


def _merged(text: str, ranks: dict[Merge, float]) -> list[str]:
    """Returns the pieces of the text after all merges, lowest rank first, leftmost of equal ranks first."""
    parts = list(text)
    while True:
        ranked = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not ranked:
            return parts
        at = min(ranked)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def _refuse_incomplete(merges: AbstractSet[Merge], pieces: AbstractSet[str]) -> None:
    """Raises MergeOrderError where two tokens join to a third without a merge, since llama.cpp would join them."""
    for piece in pieces:
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in pieces and right in pieces and (left, right) not in merges:
                raise MergeOrderError(
                    f"tokenizer.json: {left!r} and {right!r} make the token {piece!r} but are not merged; "
                    "llama.cpp's sentencepiece algorithm would merge them"
                )
