"""Records what sentence-transformers computes with all-MiniLM-L6-v2, which a Python package contains.

Run as `PYTHONPATH=src:. python -m tools.conversion_fixtures.minilm`, with sentence-transformers and the package.
"""

from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from llm_inference_api.requests.bundled import BUNDLED
from tests.minilm.texts import TEXTS
from tools.conversion_fixtures.tokens import packed

REFERENCE = Path("tests/minilm/reference.npz")


def main() -> None:
    """Writes the texts' ids, as `tokens.packed` returns them, and their unit `vectors` (float16)."""
    model = SentenceTransformer(str(BUNDLED["all-minilm-l6-v2"].path()), device="cpu")
    ids = [model.tokenizer(text, truncation=False)["input_ids"] for text in TEXTS]
    np.savez_compressed(REFERENCE, vectors=model.encode(TEXTS, batch_size=1).astype(np.float16), **packed(ids))


if __name__ == "__main__":
    main()
