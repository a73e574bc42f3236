"""Schemas of `/v1/files` and `/v1/batches`: requests from their models, responses as `objects.py` there writes them."""

from typing import Any

from llm_inference_api.api.openai.batches.batch_servicer import LARGEST_PAGE, PAGE
from llm_inference_api.api.openai.batches.file_servicer import LARGEST_PAGE as LARGEST_FILE_PAGE
from llm_inference_api.api.openai.batches.params import (
    MAX_KEY,
    MAX_METADATA,
    MAX_VALUE,
    SHORTEST_LIFETIME,
    BatchParams,
)
from llm_inference_api.batches.records import INPUT, OUTPUT, Status
from tools.openapi.openai import limited, plain_schema

Json = dict[str, Any]

_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "integer", "description": "Unix time in seconds."}
_SECONDS: Json = {"minimum": SHORTEST_LIFETIME}


def _object(properties: Json, description: str = "") -> Json:
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"description": description, **schema} if description else schema


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _refer(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _page(of: str) -> Json:
    ids = dict.fromkeys(("first_id", "last_id"), _or_null(_TEXT))
    data = {"type": "array", "items": _refer(of)}
    return _object({"object": {"const": "list"}, "data": data, **ids, "has_more": {"type": "boolean"}})


_PROBLEM = _object({"code": _TEXT, "message": _TEXT, "param": _or_null(_TEXT), "line": _or_null(_COUNT)})
_USAGE = _object(
    {
        "input_tokens": _COUNT,
        "input_tokens_details": _object({"cached_tokens": _COUNT}),
        "output_tokens": _COUNT,
        "output_tokens_details": _object({"reasoning_tokens": _COUNT}),
        "total_tokens": _COUNT,
    }
)
_STATES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
_PARTS: dict[str, Json] = {
    "OpenAIFile": _object(
        {
            "id": _TEXT,
            "object": {"const": "file"},
            "bytes": _COUNT,
            "created_at": _TIME,
            "expires_at": _TIME,
            "filename": _TEXT,
            "purpose": {"enum": [INPUT, OUTPUT]},
            "status": {"const": "processed"},
            "status_details": {"type": "null"},
        },
        "A file of the caller's.",
    ),
    "OpenAIDeletedFile": _object({"id": _TEXT, "object": {"const": "file"}, "deleted": {"const": True}}),
    "OpenAIFileList": _page("OpenAIFile"),
    "OpenAIBatch": _object(
        {
            "id": _TEXT,
            "object": {"const": "batch"},
            "endpoint": _TEXT,
            "model": _or_null(_TEXT),
            "errors": _or_null(_object({"object": {"const": "list"}, "data": {"type": "array", "items": _PROBLEM}})),
            "input_file_id": _TEXT,
            "completion_window": {"const": "24h"},
            "status": {"enum": [status.value for status in Status]},
            "output_file_id": _or_null(_TEXT),
            "error_file_id": _or_null(_TEXT),
            "created_at": _TIME,
            "expires_at": _TIME,
            **{f"{state}_at": _or_null(_TIME) for state in _STATES},
            "request_counts": _object({"total": _COUNT, "completed": _COUNT, "failed": _COUNT}),
            "usage": _USAGE,
            "metadata": _or_null({"type": "object", "additionalProperties": _TEXT}),
        },
        "A batch, with its progress.",
    ),
    "OpenAIBatchList": _page("OpenAIBatch"),
}
_ANSWERS = {
    "CreateFile": "OpenAIFile",
    "ListFiles": "OpenAIFileList",
    "GetFile": "OpenAIFile",
    "DeleteFile": "OpenAIDeletedFile",
    "CreateBatch": "OpenAIBatch",
    "ListBatches": "OpenAIBatchList",
    "GetBatch": "OpenAIBatch",
    "CancelBatch": "OpenAIBatch",
}
QUERIES: dict[str, dict[str, Json]] = {
    "ListFiles": {
        "limit": {"type": "integer", "minimum": 1, "maximum": LARGEST_FILE_PAGE},
        "order": {"enum": ["asc", "desc"]},
    },
    "ListBatches": {"limit": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}},
}
"""Schemas of query parameters that are no texts, by method."""
_FORM = _object(
    {
        "purpose": {"const": INPUT},
        "file": {"type": "string", "contentMediaType": "application/octet-stream", "description": "JSON by line."},
    }
)
_FORM["properties"]["expires_after[anchor]"] = {"const": "created_at"}
_FORM["properties"]["expires_after[seconds]"] = {"type": "integer", **_SECONDS}
_LINE = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"model": "demo", "prompt": "Once"}}


def request(method: str, made: dict[str, Json]) -> Json:
    """Returns the content of a method's request by media type; adds the schemas that it refers to to `made`."""
    if method == "CreateFile":
        example = {"purpose": INPUT, "file": str(_LINE).replace("'", '"')}
        return {"multipart/form-data": {"schema": _FORM, "examples": {"a_line": {"value": example}}}}
    schema = plain_schema(BatchParams, "#/components/schemas/OpenAI{model}")
    schema["properties"]["endpoint"]["enum"] = list(_ENDPOINTS)
    parts = schema.pop("$defs", {})
    for name, part in {**parts, "BatchParams": schema}.items():
        made[f"OpenAI{name}"] = limited(part, {"seconds": _SECONDS}, lambda field: _WORDS.get(field, ""))
    example = {"input_file_id": "file-0", "endpoint": "/v1/completions", "completion_window": "24h"}
    return {
        "application/json": {
            "schema": _refer("OpenAIBatchParams"),
            "examples": {"a_batch": {"summary": "a batch", "value": example}},
        }
    }


def response(method: str, made: dict[str, Json]) -> Json:
    """Returns the content of a method's response by media type; adds the schemas of responses to `made`."""
    made.update(_PARTS)
    if method == "GetFileContent":
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"application/json": {"schema": _refer(_ANSWERS[method])}}


_WORDS = {
    "input_file_id": "Id of the file with the requests, a JSON object in each line.",
    "endpoint": "Endpoint that all lines are for.",
    "completion_window": "Time in which the batch is to be computed; what is left then is given up.",
    "metadata": f"Up to {MAX_METADATA} texts of up to {MAX_VALUE} characters by keys of up to {MAX_KEY}.",
    "output_expires_after": "When the output files are deleted. Default: as all files.",
}
