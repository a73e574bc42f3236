"""Saved sequences with the state behind them, and which of them go."""

from dataclasses import dataclass

from llm_inference_api.engine.prefix_store import Block
from llm_inference_api.engine.state_store import StateStore
from tests.fakes.backend import FakeState

LAYERS = 100
"""Bytes of a state; a token takes one."""
ABC, ABCD = [1, 2, 3], [1, 2, 3, 4, 5, 6]


@dataclass
class Saved:
    """Tokens with a state behind them."""

    cells: FakeState

    @property
    def nbytes(self) -> int:
        """That of the tokens and of the state."""
        return self.cells.nbytes + LAYERS


@dataclass
class Plain:
    """Tokens whose state has no part of its own."""

    cells: FakeState

    @property
    def nbytes(self) -> int:
        """That of the tokens."""
        return self.cells.nbytes


def put(store: StateStore, tokens: list[int], scope: str = "") -> None:
    """Saves a sequence behind the longest one that is held, as the scheduler does."""
    start = store.saved(tokens, scope)
    store.put(tokens, start, Saved(FakeState(tokens[start:])), scope)


def found(store: StateStore, tokens: list[int], scope: str = "") -> list[Block]:
    """Returns what leads to the tokens' longest saved beginning; only the last one has a state."""
    pieces = store.match([*tokens, -1], scope)
    assert all(piece.length == len(piece.block.tokens) for piece in pieces)
    assert [type(piece.block.state) for piece in pieces] == [FakeState] * (len(pieces) - 1) + [Saved] * bool(pieces)
    assert [token for piece in pieces for token in piece.block.tokens] == tokens[: sum(p.length for p in pieces)]
    return [piece.block for piece in pieces]


def test_prompt_goes_on_only_where_a_state_was_saved() -> None:
    """Not in the middle of a saved sequence, and not in another scope."""
    store = StateStore(10_000)
    put(store, ABC)
    put(store, ABCD)
    assert [block.tokens for block in found(store, [*ABCD, 7])] == [(1, 2, 3), (4, 5, 6)]
    assert [block.tokens for block in found(store, [1, 2, 3, 4, 5, 9])] == [(1, 2, 3)]
    assert found(store, [1, 2, 9]) == found(store, ABCD, "other") == []


def test_last_token_is_never_found() -> None:
    """It must be computed for its scores."""
    store = StateStore(10_000)
    put(store, ABC)
    assert store.match(ABC, "") == []


def test_nothing_is_found_that_has_to_be_exact() -> None:
    """Sums of a state depend on how its tokens came in batches."""
    store = StateStore(10_000)
    put(store, ABC)
    assert store.match([*ABC, 4], "", exact=True) == []


def test_keys_and_values_in_common_are_held_once() -> None:
    """Each state for itself."""
    store = StateStore(10_000)
    put(store, ABC)
    put(store, ABCD)
    put(store, [*ABC, 9])
    assert (store.tokens, store.size) == (7, 7 + 3 * LAYERS)


def test_sequence_is_held_once() -> None:
    """A second copy changes nothing."""
    store = StateStore(10_000)
    put(store, ABC)
    store.put(ABC, 0, Saved(FakeState(ABC)), "")
    assert (store.tokens, store.size) == (3, 3 + LAYERS)


def test_length_in_common_is_known_where_no_state_is() -> None:
    """So that one can be saved there."""
    store = StateStore(10_000)
    put(store, ABCD)
    assert store.common([1, 2, 3, 4, 9], "") == 4
    assert store.common([1, 2, 3, 4, 9], "other") == store.common([9], "") == 0


def test_oldest_state_goes_first_and_keys_and_values_stay_for_those_behind() -> None:
    """A used one is not the oldest."""
    store = StateStore(2 * LAYERS + 12)
    put(store, ABC)
    put(store, ABCD)
    put(store, [9, 9])
    assert found(store, ABC) == []
    assert [block.tokens for block in found(store, ABCD)] == [(1, 2, 3), (4, 5, 6)]
    assert (store.tokens, store.size) == (8, 8 + 2 * LAYERS)
    store.use(found(store, ABCD)[-1])
    put(store, [8, 8])
    assert found(store, [9, 9]) == []
    assert found(store, ABCD)


def test_keys_and_values_that_nothing_needs_go_with_the_last_state() -> None:
    """Of the whole way."""
    store = StateStore(2 * LAYERS + 12)
    put(store, ABC)
    put(store, ABCD)
    put(store, [9, 9])
    put(store, [8, 8])
    assert found(store, ABCD) == []
    assert (store.tokens, store.size) == (4, 4 + 2 * LAYERS)


def test_state_within_the_cells_goes_with_them_alone() -> None:
    """As of models with sliding windows: what others stand on would be lost for nothing."""
    store = StateStore(9)
    for tokens in (ABC, ABCD):
        start = store.saved(tokens, "")
        store.put(tokens, start, Plain(FakeState(tokens[start:])), "")
    store.put([9] * 3, 0, Plain(FakeState([9] * 3)), "")
    store.put([8], 0, Plain(FakeState([8])), "")
    assert store.saved(ABCD, "") == len(ABC)
    assert (store.tokens, store.size) == (7, 7)


def test_what_is_larger_than_the_store_or_has_lost_its_beginning_is_not_held() -> None:
    """Nothing else is dropped for it."""
    store = StateStore(LAYERS + 5)
    put(store, ABC)
    put(store, list(range(20, 30)))
    store.put(ABCD, 2, Saved(FakeState(ABCD[2:])), "")
    assert store.size == LAYERS + 3
    assert found(store, ABC)
