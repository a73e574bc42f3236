"""The bundled demo model: a very small chat model that this project trained itself (see `tools/demo_model`)."""

from pathlib import Path

MODEL_PATH = Path(__file__).parent / "demo.gguf"
