"""The demo model: a very small chat model trained by this project (see `tools/demo_model`)."""

from pathlib import Path

MODEL_PATH = Path(__file__).parent / "demo.gguf"
