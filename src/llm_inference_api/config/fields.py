"""How settings are declared."""

from typing import Annotated, Any

from pydantic import AliasChoices, Field
from pydantic_settings import NoDecode

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Items = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list."""


def variable(name: str, default: Any, description: str, **constraints: Any) -> Any:
    """Returns the field of a setting that the environment variable says."""
    return Field(default, validation_alias=AliasChoices(name), description=description, **constraints)
