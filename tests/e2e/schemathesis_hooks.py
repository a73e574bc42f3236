"""What schemathesis is told beyond the OpenAPI document (loaded by it, see test_openapi.py)."""

import json
from typing import Any

import schemathesis

MOST_TOKENS = 8
"""Of most answers: generating more shows nothing more, and takes time."""


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Lets most requests that name a model name the one there is, and ask for little."""
    if isinstance(body, dict) and isinstance(body.get("model", ""), str) and len(json.dumps(body)) % 8:
        body["model"] = "demo"
        for field in ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "n"):
            if isinstance(body.get(field), int) and not isinstance(body[field], bool):
                body[field] = MOST_TOKENS if body[field] == -1 and field != "n" else min(body[field], MOST_TOKENS)
    return body
