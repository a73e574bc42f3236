"""How Envoy's configuration names the types of its extensions."""

from typing import Any


def typed(kind: str, **fields: Any) -> dict[str, Any]:
    """Returns an extension's configuration with its type."""
    return {"@type": f"type.googleapis.com/envoy.{kind}", **fields}
