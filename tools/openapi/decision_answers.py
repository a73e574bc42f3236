"""Schemas of answers to typed questions below `/v1`, as `api/openai/decisions.py` and `systemone.py` write them."""

from typing import Any

from tools.openapi.json_schemas import COUNT, TEXT, list_of, map_of, object_of

Json = dict[str, Any]

_NAME: Json = {"type": ["string", "null"]}
_VALUE: Json = {"type": ["string", "boolean"]}
_LEVEL: Json = {"type": "number", "minimum": 0}
_PROBABILITY: Json = {"type": "number", "minimum": 0, "maximum": 1}
_COVERAGE = "The part of all the model's probability that lies on the allowed answers."
_TEMPERATURE = "By which the probabilities are calibrated, where a calibration has the question."
_SPREAD: Json = {"confidence": _PROBABILITY, "probabilities": map_of(_PROBABILITY)}


def _answer(kind: str, **properties: Json) -> Json:
    trust: Json = {
        "coverage": {**_PROBABILITY, "description": _COVERAGE},
        "temperature": {"type": "number", "exclusiveMinimum": 0, "description": _TEMPERATURE},
    }
    return object_of({"type": {"const": kind}, **properties, **trust}, optional=("temperature",))


def _spread(**probability: Json) -> Json:
    return {
        "confidence": _PROBABILITY,
        "probabilities": list_of(object_of({**probability, "probability": _PROBABILITY})),
    }


DECISION = object_of(
    {
        "model": TEXT,
        "answers": list_of(
            {
                "anyOf": [
                    _answer("predicate", name=_NAME, probability=_PROBABILITY),
                    _answer("choice", name=_NAME, choice=_VALUE, **_spread(value=_VALUE)),
                    _answer("score", name=_NAME, score=_LEVEL, **_spread(value=COUNT, label=TEXT)),
                ]
            }
        ),
        "usage": object_of(
            {
                "input_tokens": COUNT,
                "input_tokens_details": object_of({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
                "output_tokens": COUNT,
                "output_tokens_details": object_of({"reasoning_tokens": COUNT}),
                "total_tokens": COUNT,
            }
        ),
    }
)
SYSTEM_ONE = object_of(
    {
        "model": TEXT,
        "answers": map_of(
            {
                "anyOf": [
                    _answer("noul", noul=_PROBABILITY),
                    _answer("choice", choice=TEXT, **_SPREAD),
                    _answer("score", score=_LEVEL, legend=map_of({"type": ["string", "object", "array"]}), **_SPREAD),
                ]
            }
        ),
        "usage": object_of({"input_tokens": COUNT, "output_tokens": COUNT}),
    }
)
