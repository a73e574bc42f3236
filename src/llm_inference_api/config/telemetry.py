"""The settings that say what operators see of the service: its log, its metrics and its traces."""

from collections.abc import Iterator
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings

from llm_inference_api.config.fields import variable as _variable
from llm_inference_api.observability.otlp import OtlpTarget, Protocol, parse_headers

ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"


class TelemetrySettings(BaseSettings):
    """These settings, and what follows from them."""

    service_name: str = Field(
        default="llm-inference-api",
        validation_alias=AliasChoices("SERVICE_NAME", "OTEL_SERVICE_NAME"),
        description="Name of the service in logs and traces.",
        min_length=1,
    )
    log_format: Literal["json", "pretty"] | None = _variable(
        "LOG_FORMAT", None, "`json`, or `pretty` for people. Unset: `pretty` on a terminal, else `json`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _variable(
        "LOG_LEVEL", "INFO", "Lowest level of the lines that are logged."
    )
    metrics_port: int | None = _variable(
        "LLM_METRICS_PORT",
        None,
        "Port for `/metrics` without Envoy, TLS and key. Unset: it is at LLM_INFERENCE_PORT only.",
        ge=1,
        le=65535,
    )
    otlp_endpoint: str | None = _variable(
        ENDPOINT,
        None,
        "Where traces are sent, such as `http://localhost:4317`. Unset: there are none.",
    )
    otlp_protocol: Protocol = _variable(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "How they are sent: `grpc`, or `http/protobuf` (port 4318 as a rule)."
    )
    otlp_headers: SecretStr | None = _variable(
        HEADERS, None, "Headers for the collector, such as `api-key=secret,tenant=7`."
    )
    traces_sampler: Literal["parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"] = _variable(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Which requests are traced that come without a trace: all, none (`parentbased_always_off`) or a part of them "
        "(`parentbased_traceidratio`). Others are as their caller decided.",
    )
    traces_sampler_arg: float = _variable(
        "OTEL_TRACES_SAMPLER_ARG", 1.0, "That part, 0 to 1.", ge=0, le=1, allow_inf_nan=False
    )
    otel_disabled: bool = _variable("OTEL_SDK_DISABLED", False, "Whether to send no traces, whatever else is set.")

    def trace_problems(self) -> Iterator[str]:
        """Yields what is wrong with the settings for traces."""
        address = urlsplit(self.otlp_endpoint or "http://unset")
        if address.scheme not in ("http", "https") or not address.hostname or not _has_good_port(address):
            yield "OTEL_EXPORTER_OTLP_ENDPOINT: it must be an address such as http://localhost:4317"
        elif "@" in address.netloc:
            yield "OTEL_EXPORTER_OTLP_ENDPOINT: it must not hold a password; set OTEL_EXPORTER_OTLP_HEADERS instead"
        elif address.path.strip("/") and self.otlp_protocol == "grpc":
            yield "OTEL_EXPORTER_OTLP_ENDPOINT: it must have no path where OTEL_EXPORTER_OTLP_PROTOCOL is grpc"
        try:
            parse_headers(self.otlp_headers.get_secret_value() if self.otlp_headers else "")
        except ValueError as error:
            yield f"OTEL_EXPORTER_OTLP_HEADERS: {error}"

    @property
    def otlp_target(self) -> OtlpTarget | None:
        """Where traces are sent; None for nowhere."""
        if self.otlp_endpoint is None or self.otel_disabled:
            return None
        headers = parse_headers(self.otlp_headers.get_secret_value() if self.otlp_headers else "")
        return OtlpTarget(self.otlp_endpoint, self.otlp_protocol, headers)

    @property
    def sampled(self) -> float:
        """Part of the traces that begin here."""
        parts = {"parentbased_always_on": 1.0, "parentbased_always_off": 0.0}
        return parts.get(self.traces_sampler, self.traces_sampler_arg)


def _has_good_port(address: SplitResult) -> bool:
    try:
        return address.port != 0
    except ValueError:
        return False
