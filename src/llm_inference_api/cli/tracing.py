"""Tracing of the command line's calls."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc.aio
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from llm_inference_api.config.telemetry import ENDPOINT, TelemetrySettings
from llm_inference_api.errors import StartError

Interceptors = Sequence[grpc.aio.ClientInterceptor]


class _TracingEnvironment(TelemetrySettings):
    """Settings for tracing, from the environment only."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)


@asynccontextmanager
async def call_tracing() -> AsyncIterator[Interceptors]:
    """Yields client interceptors that record a span per call and propagate it as `traceparent`; then exports the spans.

    Yields none, and does not import OpenTelemetry, unless the environment names a collector. The spans' service name is
    the configured one with the suffix `-cli`.

    Raises:
        StartError: A variable for tracing is invalid.
    """
    settings = _settings() if os.environ.get(ENDPOINT) else None
    if settings is None or settings.otlp_target is None:
        yield ()
        return
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    from llm_inference_api.observability.tracing import TraceChoice, Tracing

    choice = TraceChoice(settings.otlp_target, f"{settings.service_name}-cli", settings.sampled)
    tracing = Tracing(choice, on_lost=lambda _count: None)  # Losses are logged.
    try:
        yield aio_client_interceptors(tracing.provider)  # type: ignore[no-untyped-call]
    finally:
        await asyncio.to_thread(tracing.close)


def _settings() -> TelemetrySettings:
    try:
        settings = _TracingEnvironment()
        problems = list(settings.trace_problems())
    except ValidationError as error:
        # Without values, as OTEL_EXPORTER_OTLP_HEADERS may contain a secret.
        problems = [f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()]
    if problems:
        raise StartError("\n".join(problems))
    return settings
