"""The SQLite database of the stored responses."""

import sqlite3
from pathlib import Path

_VERSION = 1
"""Version of the tables."""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, previous TEXT, used REAL NOT NULL, size INTEGER NOT NULL,
    document BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS age ON responses (used);
CREATE INDEX IF NOT EXISTS share ON responses (caller, used, size, id);
CREATE TABLE IF NOT EXISTS items (
    id TEXT NOT NULL, response TEXT NOT NULL REFERENCES responses ON DELETE CASCADE, place INTEGER NOT NULL,
    is_input INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (response, place)
);
CREATE INDEX IF NOT EXISTS item ON items (id);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


def opened(path: Path | None) -> sqlite3.Connection:
    """Returns a connection to the database, which any thread may use, one at a time.

    Args:
        path: The file; None: memory.

    Raises:
        OSError: The file cannot be made.
        sqlite3.Error: It is no database of this service's.
    """
    if path is not None:
        path.touch(mode=0o600)  # SQLite would let others read what callers have said.
    database = sqlite3.connect(path or ":memory:", check_same_thread=False)
    try:
        _prepare(database)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"its tables have the version {version}, not {_VERSION}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")  # A loss of power may cost the last responses, and no others.
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA secure_delete = ON")  # What a caller deletes is no longer in the file.
    if version == 0:
        database.executescript(_SCHEMA)
