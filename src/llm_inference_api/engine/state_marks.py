"""Marks: where in its prompt a sequence of a recurrent or hybrid model has its state kept.

The layers of such a model have one state of all tokens of a sequence, which cannot be taken back to fewer of them. So
what others are to go on from must be copied when the sequence is there: a step ends at a mark, and before the next one
the state goes into the store, and into the seats of those that wait for it.
"""

import sys

from llm_inference_api.engine.sequence import Sequence

MIN_SHARED_TOKENS = 32
"""Admission waits for a prefix that a running sequence is still computing if it saves at least this many rows, and a
prefix comes from the store if it is longer by as many than one in the cache. Marks are so far apart."""


def add_mark(sequence: Sequence, at: int) -> None:
    """Marks a number of tokens of the prompt, unless that is computed, or little more than what is or than a mark."""
    before = max((mark for mark in sequence.marks if mark <= at), default=sequence.computed)
    if before + MIN_SHARED_TOKENS <= at <= sequence.prompt_length:
        sequence.marks = sorted([*sequence.marks, at])


def rows_to_mark(sequence: Sequence) -> int:
    """Returns how many rows a step may compute of a sequence because of its marks."""
    return sequence.marks[0] - sequence.computed if sequence.marks else sys.maxsize


def will_keep(sequence: Sequence, lengths: range) -> bool:
    """Returns whether a sequence has yet to reach a mark at one of these numbers of tokens."""
    return any(mark in lengths for mark in sequence.marks)
