"""Helpers to declare settings."""

from typing import Annotated, Any

from pydantic import AliasChoices, Field
from pydantic_settings import NoDecode

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Items = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list."""


def variable(name: str, default: Any, description: str, **constraints: Any) -> Any:
    """Returns a field that is read from the environment variable `name`."""
    return Field(default, validation_alias=AliasChoices(name), description=description, **constraints)
