"""Regenerates tests/models/convert/fixtures; needs sentence-transformers with torch, sentencepiece and tiktoken.

Run as `PYTHONPATH=src:. python -m tools.conversion_fixtures.generate [PART]…`; the parts are `tokenizers`, `logits`,
`embeddings`, `rankers` and `decisions`, all by default.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from tools.conversion_fixtures import decisions, embeddings, logits, rankers, tokens

FIXTURES = Path("tests/models/convert/fixtures")
_RECORDED = (
    *("torch", "transformers", "sentence-transformers", "tokenizers", "sentencepiece", "tiktoken"),
    *("numpy", "safetensors"),
)
"""Packages whose versions are written beside the fixtures."""


def main(parts: list[str]) -> None:
    """Writes the named parts of the fixtures, and the versions of the programs that made them."""
    if "tokenizers" in parts:
        tokens.generate(FIXTURES / "tokenizers")
    if "logits" in parts:
        logits.generate(FIXTURES / "logits")
    if "embeddings" in parts:
        embeddings.generate(FIXTURES / "embeddings")
    if "rankers" in parts:
        rankers.generate(FIXTURES / "rankers", FIXTURES / "embeddings")
    if "decisions" in parts:
        decisions.generate(FIXTURES / "decisions.json", FIXTURES / "logits")
    versions = {name: version(name) for name in _RECORDED}
    (FIXTURES / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["tokenizers", "logits", "embeddings", "rankers", "decisions"])
