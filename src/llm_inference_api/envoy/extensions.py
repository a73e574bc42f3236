"""Typed configuration of Envoy's extensions."""

from typing import Any


def typed(kind: str, **fields: Any) -> dict[str, Any]:
    """Returns an extension's configuration with its type URL, as JSON of a protobuf Any."""
    return {"@type": f"type.googleapis.com/envoy.{kind}", **fields}
