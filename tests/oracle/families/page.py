"""The table on docs/models.md."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
_SECTION = re.compile(r"(?<=<!-- families: made by `make families` -->\n).*?(?=<!-- end of families -->)", re.DOTALL)


def write(table: str) -> None:
    """Puts the table between the page's markers."""
    PAGE.write_text(_SECTION.sub(lambda _: f"\n{table}\n\n", PAGE.read_text()))


def written() -> str:
    """Returns the table between the page's markers."""
    found = _SECTION.search(PAGE.read_text())
    assert found is not None
    return found[0].strip()
