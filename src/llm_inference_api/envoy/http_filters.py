"""Envoy's HTTP filters: health, the guard, compression, and the transcoder that makes REST and SSE of gRPC."""

from collections.abc import Sequence
from typing import Any

from llm_inference_api.envoy.apis import Api
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.envoy.fields import fields_filter
from llm_inference_api.envoy.guard import guard_filter
from llm_inference_api.envoy.limits import BUFFER_BYTES, MAX_BODY_BYTES
from llm_inference_api.envoy.routes import OPS_CLUSTER, READY_CLUSTER
from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
from llm_inference_api.envoy.wire_errors import error_filters

Json = dict[str, Any]


def http_filters(sidecar: Sidecar, api: Api) -> list[Json]:
    """Returns the HTTP filters; requests pass them in this order, responses in reverse."""
    http = "extensions.filters.http"
    probes = {"/health/live": OPS_CLUSTER, "/health/ready": READY_CLUSTER, "/health": READY_CLUSTER}
    return [
        {"name": "envoy.filters.http.cors", "typed_config": typed(f"{http}.cors.v3.Cors")},
        *(_health_filter(*probe) for probe in probes.items() if api.has_health),
        guard_filter(sidecar.pages),
        {"name": "envoy.filters.http.lua", "typed_config": typed(f"{http}.lua.v3.Lua")},
        {"name": "strip", "typed_config": typed(f"{http}.header_mutation.v3.HeaderMutation")},
        {"name": "envoy.filters.http.compressor", "typed_config": _compressor()},
        *error_filters(),
        {
            "name": "envoy.filters.http.body_size_limit",
            "typed_config": typed(f"{http}.body_size_limit.v3.BodySizeLimit", max_request_bytes=MAX_BODY_BYTES),
        },
        fields_filter(descriptor_path(), api.services),
        {
            "name": "envoy.filters.http.connect_grpc_bridge",
            "typed_config": typed(f"{http}.connect_grpc_bridge.v3.FilterConfig"),
        },
        {"name": "envoy.filters.http.grpc_web", "typed_config": typed(f"{http}.grpc_web.v3.GrpcWeb")},
        {
            "name": "envoy.filters.http.grpc_json_transcoder",
            "typed_config": _transcoder(sidecar.descriptor, api.services),
        },
        {"name": "envoy.filters.http.router", "typed_config": typed(f"{http}.router.v3.Router")},
    ]


def _health_filter(path: str, cluster: str) -> Json:
    config = typed(
        "extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[
            {"name": ":path", "string_match": {"exact": path}},
            {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        ],
        cluster_min_healthy_percentages={cluster: {"value": 1}},
    )
    return {"name": f"health{path.replace('/', '-')}", "typed_config": config}


def _compressor() -> Json:
    kinds = ("application/json", "text/html", "text/css", "text/javascript", "image/svg+xml", "text/plain")
    matcher = [{"prefix": kind} for kind in kinds]
    common = {"min_content_length": 1024, "content_type_matcher": matcher}
    gzip = {"name": "gzip", "typed_config": typed("extensions.compression.gzip.compressor.v3.Gzip")}
    return typed(
        "extensions.filters.http.compressor.v3.Compressor",
        response_direction_config={"common_config": common},
        compressor_library=gzip,
    )


def _transcoder(descriptor: str, services: Sequence[str]) -> Json:
    return typed(
        "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=descriptor,
        services=list(services),
        convert_grpc_status=True,
        match_incoming_request_route=True,
        url_unescape_spec="ALL_CHARACTERS",
        query_param_unescape_plus=True,
        case_insensitive_enum_parsing=True,
        print_options={
            "always_print_primitive_fields": True,
            "preserve_proto_field_names": True,
            "stream_sse_style_delimited": True,
        },
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        max_request_body_size=MAX_BODY_BYTES + (64 << 10),
        max_response_body_size=BUFFER_BYTES,
    )
