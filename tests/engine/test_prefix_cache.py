from llm_inference_api.engine.prefix_cache import PrefixCache, Seat, common_prefix


def filled(cache: PrefixCache, index: int, tokens: list[int]) -> Seat:
    seat = cache.seats[index]
    cache.occupy(seat)
    cache.extend(seat, tokens)
    return seat


def test_shared_cells_are_paid_once() -> None:
    """A prefix that two seats hold takes its cells once, and is free when both have dropped it."""
    cache = PrefixCache(seats=3, cells=20)
    source = filled(cache, 0, [1, 2, 3, 4])
    cache.share(source, cache.seats[1], 3)
    assert cache.free == 16
    cache.release(source)
    cache.truncate(source, 0)
    assert cache.free == 17
    cache.truncate(cache.seats[1], 0)
    assert cache.free == 20


def test_used_by_busy_counts_shared_cells_once() -> None:
    """Cells that several busy seats own count once, and stop counting with the last of them."""
    cache = PrefixCache(seats=3, cells=20)
    source = filled(cache, 0, [1, 2, 3, 4])
    cache.share(source, cache.seats[1], 3)
    cache.occupy(cache.seats[1])
    cache.extend(cache.seats[1], [9])
    assert cache.used_by_busy == 5
    cache.release(source)
    assert cache.used_by_busy == 4
    cache.release(cache.seats[1])
    assert cache.used_by_busy == 0


def test_longest_prefix_leaves_the_last_token_out() -> None:
    """A prompt that the cache holds in full is computed for its last token at least."""
    cache = PrefixCache(seats=2, cells=20)
    filled(cache, 0, [1, 2, 3])
    assert cache.longest_prefix([1, 2, 3])[1] == 2


def test_longest_prefix_prefers_an_idle_seat() -> None:
    """Among seats that hold equally much, an idle one is returned."""
    cache = PrefixCache(seats=2, cells=20)
    filled(cache, 0, [1, 2, 3])
    idle = filled(cache, 1, [1, 2, 3])
    cache.release(idle)
    assert cache.longest_prefix([1, 2, 3, 4]) == (idle, 3)


def test_idle_seats_come_longest_unused_first() -> None:
    """The seat to be emptied first is the one whose last use is longest ago."""
    cache = PrefixCache(seats=2, cells=20)
    first, second = filled(cache, 0, [1]), filled(cache, 1, [2])
    cache.release(second)
    cache.release(first)
    assert cache.idle_seats() == [second, first]


def test_reclaimable_spares_busy_seats_and_the_source() -> None:
    """What eviction can free is everything but busy seats' cells and the prefix that is to be shared."""
    cache = PrefixCache(seats=3, cells=20)
    filled(cache, 0, [1, 2])
    idle = filled(cache, 1, [5, 6, 7, 8])
    cache.release(idle)
    assert cache.reclaimable(idle, 3) == 15


def test_common_prefix_across_blocks() -> None:
    """Long lists are compared in blocks; the first difference is found wherever it is."""
    left = list(range(1000))
    right = [*range(700), -1, *range(701, 1000)]
    assert common_prefix(left, right, 1000) == 700
    assert common_prefix(left, left, 999) == 999
    assert common_prefix(left, left[:300], 1000) == 300


def test_new_tokens_take_the_lowest_free_cells() -> None:
    """As llama.cpp's search for cells does."""
    cache = PrefixCache(seats=3, cells=20)
    first, second = filled(cache, 0, [1, 2, 3]), filled(cache, 1, [4, 5])
    cache.release(first)
    cache.truncate(first, 1)
    cache.extend(second, [6, 7, 8])
    assert second.cells == [3, 4, 1, 2, 5]


def test_tokens_behind_a_lower_cell_are_out_of_order() -> None:
    """Only those whose cells ascend count as a prefix where order is asked for, in a copy too."""
    cache = PrefixCache(seats=3, cells=20)
    first, second = filled(cache, 0, [1, 2, 3]), filled(cache, 1, [4, 5])
    cache.release(first)
    cache.truncate(first, 0)
    assert cache.would_part(second)
    cache.extend(second, [6, 7])
    assert not cache.would_part(second)
    assert cache.longest_prefix([4, 5, 6, 7, 8]) == (second, 4)
    assert cache.longest_prefix([4, 5, 6, 7, 8], exact=True) == (second, 2)
    cache.share(second, cache.seats[2], 3)
    assert cache.seats[2].exact == 2


def test_tokens_in_the_place_of_exact_ones_are_not_exact_by_that() -> None:
    """A truncation forgets what was known of the tokens that it drops."""
    cache = PrefixCache(seats=2, cells=20)
    seat = filled(cache, 0, [1, 2, 3, 4])
    cache.truncate(seat, 2)
    cache.extend(seat, [3, 4], exact=0)
    cache.release(seat)
    assert cache.longest_prefix([1, 2, 3, 4, 5], exact=True) == (seat, 2)


def test_leading_tokens_of_a_step_may_be_exact_alone() -> None:
    """The rest of it is not, nor what follows."""
    cache = PrefixCache(2, 10)
    seat = cache.seats[0]
    cache.occupy(seat)
    cache.extend(seat, [1, 2, 3], exact=2)
    cache.extend(seat, [4])
    assert cache.longest_prefix([1, 2, 3, 4, 5], exact=True) == (seat, 2)


def test_tokens_behind_inexact_ones_are_inexact() -> None:
    """Their keys and values depend on those before them; a truncation makes what follows exact again."""
    cache = PrefixCache(seats=1, cells=20)
    seat = filled(cache, 0, [1, 2])
    cache.extend(seat, [3], exact=0)
    cache.extend(seat, [4])
    assert cache.longest_prefix([1, 2, 3, 4, 5], exact=True) == (seat, 2)
    cache.truncate(seat, 2)
    cache.extend(seat, [3, 4])
    assert cache.longest_prefix([1, 2, 3, 4, 5], exact=True) == (seat, 4)


def test_moved_seat_has_the_lowest_cells_of_its_own() -> None:
    """What it shared stays with the other owner; its next cell follows those that it has."""
    cache = PrefixCache(seats=3, cells=20)
    gone, source = filled(cache, 0, [7, 8, 9]), filled(cache, 1, [1, 2])
    cache.share(source, cache.seats[2], 2)
    cache.occupy(cache.seats[2])
    cache.release(gone)
    cache.truncate(gone, 0)
    assert cache.shared_cells(cache.seats[2]) == 2
    cache.rehome(cache.seats[2])
    assert cache.seats[2].cells == [0, 1]
    assert source.cells == [3, 4]
    assert (cache.free, cache.used_by_busy) == (16, 4)
    assert not cache.would_part(cache.seats[2])
