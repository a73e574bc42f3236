"""OpenAPI paths and operations of the contract's methods."""

import re
from collections.abc import Iterator
from typing import Any

from tools.openapi import anthropic, batches, errors, openai, responses
from tools.openapi.contract import Contract, Method
from tools.openapi.examples import EXAMPLES, STREAMS
from tools.openapi.limits import REQUIRED
from tools.openapi.schemas import Schemas

Json = dict[str, Any]


TAGS = {
    "InferenceService": "Generate",
    "OpenAIService": "OpenAI",
    "OpenAIFileService": "Files",
    "OpenAIBatchService": "Batches",
    "ResponsesService": "Responses",
    "AnthropicService": "Anthropic",
    "EmbeddingService": "Embeddings",
    "RankingService": "Ranking",
    "DecisionService": "Decisions",
    "ScoreService": "Scores",
    "TokenService": "Tokens",
    "ModelService": "Models",
    "OperationsService": "Operations",
}
"""Documented services and their tags, in the document's order."""
_WIRES = {"OpenAIService": openai, "ResponsesService": responses, "AnthropicService": anthropic}
"""What knows the schemas of services whose messages are bytes."""
_BATCHES = ("OpenAIFileService", "OpenAIBatchService")
_UNTYPED = {*_WIRES, *_BATCHES, "OperationsService"}
"""Services whose messages are bytes: their methods are of no use over gRPC."""
_ERRORS = {
    **dict.fromkeys(("OpenAIService", "ResponsesService", *_BATCHES), "OpenAIError"),
    "AnthropicService": "AnthropicError",
}
_EVERYWHERE = ("400", "401", "404", "408", "429", "500", "503", "504")
_WITH_BODY = ("413",)
_PROBES = {
    "/health": "Whether the service accepts requests, as `/health/ready`.",
    "/health/live": "Whether the process is live.",
    "/health/ready": "Whether the service accepts requests.",
}


def paths(contract: Contract, schemas: Schemas) -> dict[str, Json]:
    """Returns all paths with their operations."""
    found: dict[str, Json] = {}
    order = list(TAGS)
    methods = [method for method in contract.methods if method.service in TAGS]
    for method in sorted(methods, key=lambda method: order.index(method.service)):
        found.setdefault(method.path, {})[method.verb] = _operation(contract, method, schemas)
    return {**found, **{path: {"get": _probe(path, words)} for path, words in _PROBES.items()}}


def _operation(contract: Contract, method: Method, schemas: Schemas) -> Json:
    name = method.descriptor.name
    operation: Json = {
        "operationId": name,
        "tags": [TAGS[method.service]],
        "summary": re.split(r"[.:] ", method.comment)[0].rstrip("."),
        "description": method.comment,
    }
    if method.service not in _UNTYPED:
        operation["x-grpc-method"] = f"llm_inference.v1.{method.service}/{name}"
    if parameters := [*_parameters(contract, method)]:
        operation["parameters"] = parameters
    if method.body:
        operation["requestBody"] = {"required": _needs_body(method), "content": _request(contract, method, schemas)}
    codes = _EVERYWHERE + (_WITH_BODY if method.body else ())
    if method.service == "ModelService":
        codes += ("403",)  # The hub may deny access to a model.
    operation["responses"] = {
        "200": {"description": "The answer.", "content": _answers(method, schemas)},
        **errors.responses(tuple(sorted(codes)), kind=_ERRORS.get(method.service, "Error")),
    }
    return operation


def _needs_body(method: Method) -> bool:
    return method.body != "*" or method.descriptor.input_type.rpartition(".")[2] in REQUIRED


def _parameters(contract: Contract, method: Method) -> Iterator[Json]:
    """Yields the parameters of a method's path, and those of its query: the other fields that are not its body."""
    owner = method.descriptor.input_type.strip(".")
    in_path = re.findall(r"{(\w+)}", method.path)
    for field in contract.messages[owner].field:
        words = contract.comments[f"{owner}.{field.name}"]
        if field.name in in_path:
            example, more = _EXAMPLES_OF[field.name]
            schema: Json = {"type": "string", "minLength": 1}
            yield _parameter(field.name, "path", f"{words}{more}", schema) | {"required": True, "example": example}
        elif method.body not in ("*", field.name):
            own = batches.QUERIES.get(method.descriptor.name, _QUERIES)
            yield _parameter(field.name, "query", words, own.get(field.name, {"type": "string"}))


_EXAMPLES_OF = {
    "model": ("demo", " A `/` in it may be escaped."),
    "response_id": ("resp_0", ""),
    "file_id": ("file-0", ""),
    "batch_id": ("batch_0", ""),
}
"""Example of each field that stands in a path, and what is said of it beside its comment."""
_QUERIES: dict[str, Json] = {
    "beta": {"type": "boolean"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "order": {"enum": ["asc", "desc"]},
}
"""Schemas of the fields of queries that are no texts."""


def _parameter(name: str, place: str, words: str, schema: Json) -> Json:
    return {"name": name, "in": place, "description": words, "schema": schema}


def _request(contract: Contract, method: Method, schemas: Schemas) -> Json:
    """Returns the content of a request, by media type."""
    name = method.descriptor.name
    if method.service in _BATCHES:
        return batches.request(name, schemas.made)
    if method.body == "*":
        schema = schemas.request(method.descriptor.input_type)
    elif method.service == "OpenAIService":
        schema = openai.request(name, schemas.made, contract.comments)
    else:
        schema = _WIRES[method.service].request(name, schemas.made)
    return {"application/json": {"schema": schema, "examples": EXAMPLES[name]}}


def _answers(method: Method, schemas: Schemas) -> Json:
    name = method.descriptor.name
    if method.service == "OperationsService":
        return {"text/plain": {"schema": {"type": "string"}}}
    if method.service in _BATCHES:
        return batches.response(name, schemas.made)
    if wire := _WIRES.get(method.service):
        content: Json = {"application/json": {"schema": wire.response(name, schemas.made)}}
        if (events := wire.events(name, schemas.made)) is not None:
            content["text/event-stream"] = _stream(events, STREAMS[name])
        return content
    answer = schemas.response(method.descriptor.output_type)
    if method.descriptor.server_streaming:
        return {"text/event-stream": _stream(answer, STREAMS[name])}
    return {"application/json": {"schema": answer}}


def _stream(event: Json, example: str) -> Json:
    """Returns the content of a stream; the schema is that of one event, like `itemSchema` of OpenAPI 3.2."""
    data: Json = {"type": "string", "contentMediaType": "application/json", "contentSchema": event}
    words = "One of the server-sent events: a line `data: ` with JSON, and an empty line."
    if "[DONE]" in example:
        words += " The last event's data is `[DONE]`."
        data = {"anyOf": [{"const": "[DONE]"}, data]}
    schema = {"type": "object", "description": words, "properties": {"data": data}, "required": ["data"]}
    return {"schema": schema, "example": example}


def _probe(path: str, words: str) -> Json:
    return {
        "operationId": {"health": "GetHealth", "live": "GetLive", "ready": "GetReady"}[path.rpartition("/")[2]],
        "tags": ["Operations"],
        "summary": words.rstrip("."),
        "description": f"{words} Answered from gRPC health checks that Envoy makes every second.",
        "security": [],
        "responses": {"200": {"description": "Yes."}, **errors.responses(("503",), kind="Error")},
    }


def tags(contract: Contract) -> list[Json]:
    """Returns the tags, with the services' comments as descriptions."""
    return [{"name": tag, "description": contract.services[service]} for service, tag in TAGS.items()]
