"""Checked reading of the JSON files of a checkpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_inference_api.models.convert.errors import ConversionError

# A tokenizer.json of 250,000 tokens is about 35 MB; anything near this limit is not a checkpoint's.
MAX_JSON_BYTES = 512 * 1024 * 1024

# GGUF holds numbers as float32.
_FLOAT32_LIMIT = 3.4e38


class Config:
    """A JSON object of a checkpoint whose fields are read with their type or refused by name."""

    def __init__(self, values: Mapping[str, Any], origin: str) -> None:
        self.values = values
        self.origin = origin

    @classmethod
    def read(cls, path: Path) -> "Config":
        try:
            if path.stat().st_size > MAX_JSON_BYTES:
                raise ConversionError(f"{path.name}: larger than {MAX_JSON_BYTES} bytes, not a checkpoint's JSON")
            values = json.loads(path.read_bytes())
        except OSError as error:
            raise ConversionError(f"{path.name}: cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:
            raise ConversionError(f"{path.name}: not valid JSON ({error})") from error
        if not isinstance(values, dict):
            raise ConversionError(f"{path.name}: must hold a JSON object, holds {type(values).__name__}")
        return cls(values, path.name)

    @classmethod
    def read_optional(cls, path: Path) -> "Config":
        return cls.read(path) if path.is_file() else cls({}, path.name)

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def section(self, name: str) -> "Config":
        value = self.values.get(name) or {}
        if not isinstance(value, dict):
            raise self.error(name, "a JSON object", value)
        return Config(value, f"{self.origin}: {name}")

    def integer(self, name: str, default: int | None = None, *, minimum: int = 1, maximum: int = 2**31 - 1) -> int:
        value = self._value(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise self.error(name, f"an integer from {minimum} to {maximum}", value)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _FLOAT32_LIMIT:
            raise self.error(name, "a finite number", value)
        return float(value)

    def positive(self, name: str, default: float | None = None) -> float:
        value = self.number(name, default)
        if value <= 0:
            raise self.error(name, "a number above 0", value)
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "true or false", value)
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self.error(name, "a string", value)
        return value

    def items(self, name: str) -> list[Any]:
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(name, "a list", value)
        return value

    def numbers(self, name: str) -> list[float]:
        values = self.items(name)
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            raise self.error(name, "a list of numbers", values)
        return [float(value) for value in values]

    def require(self, name: str, allowed: tuple[object, ...], default: object = None) -> None:
        """Refuse a field whose value would change the computation in a way llama.cpp has no equal for."""
        value = self.values.get(name)
        value = default if value is None else value
        if value not in allowed:
            raise self.error(name, " or ".join(repr(item) for item in allowed), value)

    def error(self, name: str, right: str, value: object) -> ConversionError:
        return ConversionError(f"{self.origin}: {name!r} must be {right}, is {_shortened(value)}")

    def _value(self, name: str, default: object) -> Any:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            raise ConversionError(f"{self.origin}: {name!r} is missing")
        return value


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
