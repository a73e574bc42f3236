"""Blocks of prefixes, and which of them go."""

import random

from llm_inference_api.engine.prefix_store import BLOCK, PrefixStore
from tests.fakes.backend import FakeState


def put(store: PrefixStore, tokens: list[int], scope: str = "", *, exact: int | None = None) -> None:
    """Offers all blocks of a prefix, as the scheduler does."""
    exact = len(tokens) if exact is None else exact
    for start in range(0, len(tokens), BLOCK):
        block = tokens[: start + BLOCK]
        if store.wants(block, start, scope, exact=min(exact, len(block))):
            store.put(block, start, FakeState(block[start:]), scope, exact=min(exact, len(block)))


def held(store: PrefixStore, tokens: list[int], scope: str = "", *, exact: bool = False) -> int:
    """Returns how many leading tokens are found; each block has those of its positions."""
    pieces = store.match([*tokens, -1], scope, exact=exact)
    found = [token for piece in pieces for token in piece.block.tokens[: piece.length]]
    assert found == tokens[: len(found)]
    return len(found)


def prefix(seed: int, length: int) -> list[int]:
    return random.Random(seed).choices(range(1000), k=length)


def test_prefix_is_found_to_where_prompts_part() -> None:
    """Within a block as well as at its end."""
    store, tokens = PrefixStore(10_000), prefix(1, 200)
    put(store, tokens)
    assert held(store, tokens) == 200
    for length in (1, 63, 64, 65, 128, 199):
        assert held(store, [*tokens[:length], -2]) == length
    assert held(store, [-2]) == 0


def test_last_token_is_never_found() -> None:
    """It must be computed for its scores."""
    store, tokens = PrefixStore(10_000), prefix(1, 128)
    put(store, tokens)
    assert sum(piece.length for piece in store.match(tokens, "")) == 127


def test_what_prefixes_have_in_common_is_held_once() -> None:
    """Whole blocks of it."""
    store, common = PrefixStore(10_000), prefix(1, 3 * BLOCK)
    put(store, [*common, *prefix(2, 10)])
    put(store, [*common, *prefix(3, 10)])
    assert store.size == store.tokens == 3 * BLOCK + 20
    assert held(store, [*common, *prefix(3, 10)]) == 3 * BLOCK + 10


def test_end_of_a_prefix_that_goes_on_is_replaced() -> None:
    """By the block of which it is the beginning."""
    store, tokens = PrefixStore(10_000), prefix(1, 200)
    put(store, tokens[:100])
    put(store, tokens)
    assert store.tokens == 200
    put(store, tokens[:150])
    assert store.tokens == 200


def test_oldest_ends_are_dropped_first() -> None:
    """A block that others follow stays as long as one of them."""
    store = PrefixStore(4 * BLOCK)
    first, second, third = (prefix(seed, 2 * BLOCK) for seed in (1, 2, 3))
    put(store, first)
    put(store, second)
    store.use(store.match([*first, -1], "")[-1].block)
    put(store, third)
    assert [held(store, tokens) for tokens in (first, second, third)] == [2 * BLOCK, 0, 2 * BLOCK]
    put(store, prefix(4, BLOCK))
    assert held(store, first) == BLOCK


def test_scopes_see_their_own() -> None:
    """Whoever else has the same tokens."""
    store, tokens = PrefixStore(10_000), prefix(1, 100)
    put(store, tokens, "a")
    assert (held(store, tokens, "a"), held(store, tokens, "b"), held(store, tokens)) == (100, 0, 0)


def test_exact_tokens_are_told_from_others() -> None:
    """A block with more of them takes the place of one with less, not the reverse."""
    store, tokens = PrefixStore(10_000), prefix(1, 3 * BLOCK)
    put(store, tokens, exact=BLOCK + 8)
    assert held(store, tokens) == 3 * BLOCK
    assert held(store, tokens, exact=True) == BLOCK + 8
    put(store, tokens)
    assert held(store, tokens, exact=True) == 3 * BLOCK
    put(store, tokens, exact=0)
    assert held(store, tokens, exact=True) == 3 * BLOCK
    assert store.tokens == 3 * BLOCK


def test_block_without_those_before_it_is_not_taken() -> None:
    """They were dropped meanwhile."""
    store, tokens = PrefixStore(10_000), prefix(1, 2 * BLOCK)
    assert not store.wants(tokens, BLOCK, "", exact=0)
    store.put(tokens, BLOCK, FakeState(tokens[BLOCK:]), "", exact=0)
    assert store.tokens == 0


def test_block_larger_than_the_store_is_not_taken() -> None:
    """Nothing else goes for it."""
    store = PrefixStore(BLOCK - 1)
    put(store, prefix(1, 10))
    put(store, prefix(2, BLOCK))
    assert (store.size, held(store, prefix(1, 10))) == (10, 10)


def test_any_order_of_prefixes_keeps_the_books() -> None:
    """Bytes, tokens and the order of use, over thousands of prefixes with common beginnings."""
    store, chance = PrefixStore(2_000), random.Random(0)
    for _ in range(2_000):
        parts = [prefix(chance.randrange(4), BLOCK) for _ in range(chance.randrange(4))]
        tokens = [token for part in parts for token in part] + prefix(chance.randrange(8), chance.randrange(1, BLOCK))
        put(store, tokens, exact=chance.randrange(len(tokens) + 1))
        assert held(store, tokens) == len(tokens)
        store.use(store.match([*tokens, -1], "")[-1].block)
        assert store.size == store.tokens <= store.capacity
    while store.size:
        store.capacity = store.size - 1
        put(store, [-store.size])
        if store.size == 1:
            break
