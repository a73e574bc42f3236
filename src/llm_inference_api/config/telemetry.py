"""Settings for logs, metrics and traces."""

from collections.abc import Iterator
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from llm_inference_api.config.fields import variable as _variable
from llm_inference_api.observability.otlp import OtlpTarget, Protocol, parse_headers

ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"

_LEVELS = {"TRACE": "DEBUG", "WARN": "WARNING", "CRITICAL": "ERROR", "FATAL": "ERROR"}


class TelemetrySettings(BaseSettings):
    """Logs, metrics and traces."""

    service_name: str = Field(
        default="llm-inference-api",
        validation_alias=AliasChoices("SERVICE_NAME", "OTEL_SERVICE_NAME"),
        description="Name of the service in logs and traces.",
        min_length=1,
    )
    log_format: Literal["json", "pretty"] | None = _variable(
        "LOG_FORMAT", None, "`json`, or `pretty` for human-readable lines. Unset: `pretty` on a terminal, else `json`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _variable(
        "LOG_LEVEL", "INFO", "Minimum level of log lines."
    )
    metrics_port: int | None = _variable(
        "LLM_METRICS_PORT",
        None,
        "Port for `/metrics` without Envoy, TLS and API key. Unset: metrics are served on LLM_INFERENCE_PORT only.",
        ge=1,
        le=65535,
    )
    otlp_endpoint: str | None = _variable(
        ENDPOINT,
        None,
        "OTLP collector that traces are sent to, such as `http://localhost:4317`. Unset: no tracing.",
    )
    otlp_protocol: Protocol = _variable(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTLP transport: `grpc`, or `http/protobuf` (usually port 4318)."
    )
    otlp_headers: SecretStr | None = _variable(
        HEADERS, None, "Headers sent to the collector, such as `api-key=secret,tenant=7`."
    )
    traces_sampler: Literal["parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"] = _variable(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Sampling of requests without a trace context: all, none (`parentbased_always_off`) or a fraction "
        "(`parentbased_traceidratio`). Requests with one follow their caller's decision.",
    )
    traces_sampler_arg: float = _variable(
        "OTEL_TRACES_SAMPLER_ARG", 1.0, "Sampled fraction, 0 to 1.", ge=0, le=1, allow_inf_nan=False
    )
    otel_disabled: bool = _variable("OTEL_SDK_DISABLED", False, "Whether tracing is off, regardless of other settings.")

    @field_validator("log_level", mode="before")
    @classmethod
    def _read_level(cls, value: object) -> object:
        """Takes the names that other programs give levels, in any case: the variable is not only this service's."""
        name = value.upper() if isinstance(value, str) else value
        return _LEVELS.get(name, name) if isinstance(name, str) else name

    def trace_problems(self) -> Iterator[str]:
        """Yields one message per problem of the settings for traces, each beginning with the variable's name."""
        address = urlsplit(self.otlp_endpoint or "http://unset")
        if address.scheme not in ("http", "https") or not address.hostname or not _has_good_port(address):
            yield "OTEL_EXPORTER_OTLP_ENDPOINT: it must be an address such as http://localhost:4317"
        elif "@" in address.netloc:
            yield "OTEL_EXPORTER_OTLP_ENDPOINT: it must not hold a password; set OTEL_EXPORTER_OTLP_HEADERS instead"
        elif address.path.strip("/") and self.otlp_protocol == "grpc":
            yield "OTEL_EXPORTER_OTLP_ENDPOINT: it must have no path if OTEL_EXPORTER_OTLP_PROTOCOL is grpc"
        try:
            parse_headers(self.otlp_headers.get_secret_value() if self.otlp_headers else "")
        except ValueError as error:
            yield f"OTEL_EXPORTER_OTLP_HEADERS: {error}"

    @property
    def otlp_target(self) -> OtlpTarget | None:
        """The collector that traces are sent to; None without tracing."""
        if self.otlp_endpoint is None or self.otel_disabled:
            return None
        headers = parse_headers(self.otlp_headers.get_secret_value() if self.otlp_headers else "")
        return OtlpTarget(self.otlp_endpoint, self.otlp_protocol, headers)

    @property
    def sampled(self) -> float:
        """Sampled fraction of traces that begin in this service, 0 to 1."""
        parts = {"parentbased_always_on": 1.0, "parentbased_always_off": 0.0}
        return parts.get(self.traces_sampler, self.traces_sampler_arg)


def _has_good_port(address: SplitResult) -> bool:
    try:
        return address.port != 0
    except ValueError:
        return False
