"""The bundled demo model."""

from pathlib import Path

MODEL_PATH = Path(__file__).with_name("demo.gguf")
"""The model's file."""
