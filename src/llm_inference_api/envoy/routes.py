"""Routes of the REST listener, and of the one of Ollama's API: path and method → cluster and filters."""

from typing import Any

from llm_inference_api import headers
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.envoy.wire_errors import ANTHROPIC_ERRORS, OLLAMA_ERRORS, OPENAI_ERRORS

Json = dict[str, Any]

SERVICE_CLUSTER = "service"
"""The service, healthy while it is live: one that drains says itself when to retry, and where."""
OPS_CLUSTER = "operations"
"""The same service: for health, reflection, metrics and pages."""
READY_CLUSTER = "readiness"
"""The same service, healthy while it is ready; no request is routed to it."""

_GENERATE = "/api/(generate|chat)(/stream)?"
_OPENAI_POST = "/v1/((chat/)?completions|embeddings|rerank|decisions|systemone)"
_RESPONSES_POST = "/v1/responses(/input_tokens|/[^/]+/cancel)?"
_RESPONSES_GET = "/v1/responses/[^/]+/input_items"
_STORED = "/v1/responses/[^/]+"
_ANTHROPIC_POST = "/v1/messages(/count_tokens)?"

_OPENAI_GET = ("/v1/models(/.*)?", "/v1/(files/[^/]+/content|batches/[^/]+)")
_CANCEL = "/v1/batches/[^/]+/cancel"
_FILES = "/v1/files"

_STEER = "/api/llms/.+:(load|unload|download|delete)"
_PAGES = "/|/status|/openapi.json|/assets/.*|/swagger-ui(/.*)?"
_OLLAMA_GENERATE = "/api/(chat|generate)"
_OLLAMA_GET = "/|/api/(tags|ps|version)"
_OLLAMA_DELETE = "/api/delete"
# Several expressions, because Envoy limits the size of each.
_OLLAMA_POST = (_OLLAMA_GENERATE, "/api/(embed|embeddings|show|pull|create|copy|push)")
_POST_ONLY = (
    _GENERATE,
    "/api/(tokenize|detokenize|embed|rank|score|decide|chat/(render|parse))",
    _STEER,
)
_GET_ONLY = (_PAGES, "/metrics|/health(/(live|ready))?", "/api/llms(/.*)?")


def routes() -> list[Json]:
    """Returns all routes; the first matching one applies.

    Refused requests have a route to a cluster too, as the CORS filter skips direct responses.
    """
    return [
        {
            "name": "grpc",
            "match": {"prefix": "/llm_inference.", "grpc": {}},
            "route": _to(SERVICE_CLUSTER),
            "typed_per_filter_config": {"envoy.filters.http.body_size_limit": _OFF},
        },
        {
            "name": "grpc-infrastructure",
            "match": {"prefix": "/grpc.", "grpc": {}},
            "route": _to(OPS_CLUSTER),
            "tracing": _UNTRACED,
        },
        {
            "name": "grpc-web",
            "match": {"prefix": "/llm_inference.", "headers": [_content_type("application/grpc-web")]},
            "route": _to(SERVICE_CLUSTER),
        },
        _connect("proto", "application/(connect\\+)?proto"),
        _connect("json", "application/connect\\+json"),
        _connect("json", "application/json.*", {"name": "connect-protocol-version", "present_match": True}),
        _generate("generate", _GENERATE, _STRIP),
        *_below_v1(),
        {
            "name": "steer",
            "match": {"safe_regex": {"regex": _STEER}, "headers": [_method("POST")]},
            "route": _to(SERVICE_CLUSTER),
            "typed_per_filter_config": _STRIP,
        },
        *(_only(paths, "POST") for paths in _POST_ONLY),
        *(_only(paths, "GET") for paths in _GET_ONLY),
        {
            "name": "api",
            "match": {"prefix": "/api/"},
            "route": _to(SERVICE_CLUSTER),
            "typed_per_filter_config": _STRIP,
        },
        {
            "name": "metrics",
            "match": {"path": "/metrics"},
            "route": _to(OPS_CLUSTER),
            "typed_per_filter_config": _STRIP,
            "tracing": _UNTRACED,
        },
        {
            "name": "pages",
            "match": {"safe_regex": {"regex": _PAGES}, "headers": [_method("GET")]},
            "route": _to(OPS_CLUSTER),
            "typed_per_filter_config": _STRIP,
        },
        {
            "name": "not-found",
            "match": {"prefix": "/"},
            "route": _to(OPS_CLUSTER),  # The transcoder rejects the unknown path.
        },
    ]


def ollama_routes() -> list[Json]:
    """Returns all routes of the listener of Ollama's API, which has OpenAI's and Anthropic's too."""
    no_grpc = {**_content_type("application/grpc"), "invert_match": True, "treat_missing_header_as_empty": True}
    return [
        _generate("ollama-generate", _OLLAMA_GENERATE, _OLLAMA),
        *_below_v1(),
        *(_only(paths, "POST") for paths in _OLLAMA_POST),
        _only(_OLLAMA_GET, "GET"),
        _only(_OLLAMA_DELETE, "DELETE"),
        {
            "name": "ollama",
            "match": {"prefix": "/", "headers": [no_grpc]},
            "route": _to(SERVICE_CLUSTER),
            "typed_per_filter_config": _OLLAMA,
        },
    ]


def _below_v1() -> list[Json]:
    """Returns the routes of OpenAI's and Anthropic's APIs."""
    answer_id = _header(headers.ANSWER_ID, f"%REQ({headers.REQUEST_ID})%")
    return [
        _generate("openai-generate", f"{_OPENAI_POST}|{_RESPONSES_POST}", _OPENAI),
        _generate("anthropic-generate", _ANTHROPIC_POST, _ANTHROPIC, answer_id),
        {
            "name": "openai-upload",
            "match": {"path": _FILES, "headers": [_method("POST")]},
            "route": _to(SERVICE_CLUSTER),
            # The service counts the bytes of a file as they pass; no filter holds more than a part of it.
            "typed_per_filter_config": {**_OPENAI, "envoy.filters.http.body_size_limit": _OFF},
        },
        *(_only(paths, "POST") for paths in (_OPENAI_POST, _RESPONSES_POST, _ANTHROPIC_POST, _CANCEL)),
        *(_only(paths, "GET") for paths in (*_OPENAI_GET, _RESPONSES_GET)),
        *(_only(paths, "GET", "DELETE") for paths in (_STORED, "/v1/files/[^/]+")),
        _only("/v1/(files|batches)", "GET", "POST"),
        {
            "name": "openai",
            "match": {"prefix": "/v1/"},
            "route": _to(SERVICE_CLUSTER),
            "typed_per_filter_config": _OPENAI,
        },
    ]


def _generate(name: str, paths: str, filters: Json, *answer_headers: Json) -> Json:
    """Returns the route of POST requests that a model answers."""
    return {
        "name": name,
        "match": {"safe_regex": {"regex": paths}, "headers": [_method("POST")]},
        "route": _to(SERVICE_CLUSTER),
        "response_headers_to_add": [_header("cache-control", "no-cache"), *answer_headers],
        "typed_per_filter_config": filters,
    }


_UNTRACED = {"overall_sampling": {"numerator": 0}}
"""For requests of probes and Prometheus."""
_OFF = typed("config.route.v3.FilterConfig", disabled=True)


def _refuse_method(*methods: str) -> Json:
    more = ("HEAD", "OPTIONS") if "GET" in methods else ("OPTIONS",)  # The guard asks HEAD by GET.
    allowed, instead = ", ".join((*methods, *more)), " or ".join(methods)
    code = f"""function envoy_on_request(request)
  if request:headers():get(":method") == "OPTIONS" then
    request:respond({{[":status"] = "204", ["allow"] = "{allowed}"}}, "")
  else
    request:respond({{[":status"] = "405", ["allow"] = "{allowed}"}}, "method not allowed; use {instead}")
  end
end"""
    return typed("extensions.filters.http.lua.v3.LuaPerRoute", source_code={"inline_string": code})


def _stripped(*more: str) -> Json:
    """Returns the filter configuration that removes internal response headers, gRPC's status among them."""
    names = (headers.GRPC_STATUS, headers.GRPC_MESSAGE, headers.RETRY_ELSEWHERE, *more)
    removed = [{"remove": name} for name in names]
    config = typed(
        "extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute", mutations={"response_mutations": removed}
    )
    return {"strip": config}


_STRIP = _stripped()
_ON = typed("config.route.v3.FilterConfig", config={})
_OPENAI = {**_stripped(*headers.OPENAI_ERROR.values()), OPENAI_ERRORS: _ON}
_ANTHROPIC = {**_stripped(headers.ERROR_TYPE, headers.ERROR_CODE), ANTHROPIC_ERRORS: _ON}
_OLLAMA = {**_STRIP, OLLAMA_ERRORS: _ON}


def _only(paths: str, *methods: str) -> Json:
    """Returns the route that answers OPTIONS, and 405 for all methods other than these, on the paths."""
    return {
        "name": f"only-{'-'.join(methods).lower()}",
        "match": {"safe_regex": {"regex": paths}, "headers": [_method("|".join(methods), invert=True)]},
        "route": _to(OPS_CLUSTER),
        "typed_per_filter_config": {"envoy.filters.http.lua": _refuse_method(*methods)},
    }


def _to(cluster: str) -> Json:
    # The service enforces deadlines itself; Envoy's default timeout of 15 s would cut streams.
    return {"cluster": cluster, "timeout": "0s"}


def _connect(codec: str, content_type: str, *more: Json) -> Json:
    """Returns the route of Connect's calls (https://connectrpc.com/docs/protocol) whose messages have this codec."""
    kind = {"name": "content-type", "string_match": {"safe_regex": {"regex": content_type}}}
    return {
        "name": f"connect-{codec}",
        "match": {"prefix": "/llm_inference.", "headers": [kind, *more]},
        "route": _to(SERVICE_CLUSTER),
        "request_headers_to_add": [_header(headers.MESSAGE_CODEC, codec)],
        # gRPC's server does not say the codec, of which Envoy makes the content type.
        "response_headers_to_add": [_header("content-type", f"application/grpc+{codec}")],
    }


def _method(names: str, *, invert: bool = False) -> Json:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": names}}, "invert_match": invert}


def _content_type(prefix: str) -> Json:
    return {"name": "content-type", "string_match": {"prefix": prefix}}


def _header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
