"""Typed reading of a checkpoint's JSON files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_inference_api.models.convert.errors import ConversionError

MAX_JSON_BYTES = 512 * 1024 * 1024
"""Size limit of a JSON file; a tokenizer.json of 250,000 tokens has about 35 MB."""

_FLOAT32_LIMIT = 3.4e38
"""GGUF metadata holds numbers as float32."""


class Config:
    """A JSON object of a checkpoint. Fields are read by type; a wrong or missing one raises ConversionError.

    A field that is null counts as missing, as in transformers.
    """

    values: Mapping[str, Any]
    """The object as it was parsed."""
    origin: str
    """File name, and path inside the file, for error messages."""

    def __init__(self, values: Mapping[str, Any], origin: str) -> None:
        self.values = values
        self.origin = origin

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Returns the object in a file. Raises ConversionError where the file holds none or is too large."""
        values = _parsed(path)
        if not isinstance(values, dict):
            raise ConversionError(f"{path.name}: must hold a JSON object, holds {type(values).__name__}")
        return cls(values, path.name)

    @classmethod
    def read_list(cls, path: Path) -> list["Config"]:
        """Returns the objects of the list in a file. Raises ConversionError as `read` does."""
        values = _parsed(path)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise ConversionError(f"{path.name}: must hold a list of JSON objects")
        return [cls(value, f"{path.name}: {index}") for index, value in enumerate(values)]

    @classmethod
    def read_optional(cls, path: Path) -> "Config":
        """Returns the object in a file, an empty one where there is no such file. Raises as `read` does."""
        return cls.read(path) if path.is_file() else cls({}, path.name)

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def section(self, name: str) -> "Config":
        """Returns a nested object, an empty one where the field is missing."""
        value = self.values.get(name) or {}
        if not isinstance(value, dict):
            raise self.error(name, "a JSON object", value)
        return Config(value, f"{self.origin}: {name}")

    def with_defaults(self, defaults: Mapping[str, Any]) -> "Config":
        """Returns the same object with `defaults` for the fields that are missing."""
        present = {name: value for name, value in self.values.items() if value is not None}
        return Config({**defaults, **present}, self.origin)

    def integer(self, name: str, default: int | None = None, *, minimum: int = 1, maximum: int = 2**31 - 1) -> int:
        """Returns an integer from `minimum` to `maximum`; a float without a fraction is accepted."""
        value = self._value(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise self.error(name, f"an integer from {minimum} to {maximum}", value)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Returns a number in the range of float32."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _FLOAT32_LIMIT:
            raise self.error(name, "a finite number", value)
        return float(value)

    def positive(self, name: str, default: float | None = None) -> float:
        """Returns a number above zero, in the range of float32."""
        value = self.number(name, default)
        if value <= 0:
            raise self.error(name, "a number above 0", value)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Returns a boolean."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "true or false", value)
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Returns a string."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self.error(name, "a string", value)
        return value

    def items(self, name: str) -> list[Any]:
        """Returns a list, an empty one where the field is missing."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(name, "a list", value)
        return value

    def numbers(self, name: str) -> list[float]:
        """Returns a list of numbers, an empty one where the field is missing."""
        values = self.items(name)
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            raise self.error(name, "a list of numbers", values)
        return [float(value) for value in values]

    def require(self, name: str, allowed: tuple[object, ...], default: object = None) -> None:
        """Raises ConversionError unless the field has one of the values for which llama.cpp computes the same."""
        value = self.values.get(name)
        value = default if value is None else value
        if value not in allowed:
            raise self.error(name, " or ".join(repr(item) for item in allowed), value)

    def error(self, name: str, accepted: str, value: object) -> ConversionError:
        """Returns the error for a field whose `value` is not what is `accepted`."""
        return ConversionError(f"{self.origin}: {name!r} must be {accepted}, is {_shortened(value)}")

    def _value(self, name: str, default: object) -> Any:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            raise ConversionError(f"{self.origin}: {name!r} is missing")
        return value


def _parsed(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ConversionError(f"{path.name}: larger than {MAX_JSON_BYTES} bytes, not a checkpoint's JSON")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ConversionError(f"{path.name}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path.name}: not valid JSON ({error})") from error


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
