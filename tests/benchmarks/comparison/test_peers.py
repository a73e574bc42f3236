"""The columns of the table."""

from itertools import groupby

from benchmarks.comparison.peers import COLUMNS, LAUNCHES
from benchmarks.comparison.run import rotated


def test_each_column_has_a_server() -> None:
    """That can be started."""
    assert {column.server for column in COLUMNS.values()} == LAUNCHES.keys()


def test_wires_of_one_server_have_prompts_of_their_own() -> None:
    """Its cache would know the others'; the first wires of all servers have the same ones."""
    servers = groupby(sorted(COLUMNS.values(), key=lambda column: column.server), lambda column: column.server)
    for _, columns in servers:
        own = [column.own_prompts for column in columns]
        assert len(own) == len(set(own))
        assert "" in own


def test_each_turn_begins_with_another_column() -> None:
    """All are there every time."""
    columns = list(COLUMNS.values())[:3]
    assert [rotated(columns, turn)[0] for turn in range(4)] == [*columns, columns[0]]
    assert all(set(rotated(columns, turn)) == set(columns) for turn in range(4))
    assert rotated([], 1) == []
