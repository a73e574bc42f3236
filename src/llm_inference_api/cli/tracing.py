"""Spans of the commands' calls, so that a trace begins at the terminal."""

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


class _Environment(TelemetrySettings):
    """What the environment alone says of traces."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)


@asynccontextmanager
async def call_tracing() -> AsyncIterator[Interceptors]:
    """Yields what makes a span for each call, and sends its ids along as `traceparent`; then sends the spans.

    Yields nothing, and loads nothing of OpenTelemetry, where the environment names no collector. The spans have the
    service's name and `-cli`. Raises StartError where a variable about traces cannot be used.
    """
    settings = _settings() if os.environ.get(ENDPOINT) else None
    if settings is None or settings.otlp_target is None:
        yield ()
        return
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    from llm_inference_api.observability.tracing import TraceChoice, Tracing

    choice = TraceChoice(settings.otlp_target, f"{settings.service_name}-cli", settings.sampled)
    tracing = Tracing(choice, on_lost=lambda _count: None)  # The log says it.
    try:
        yield aio_client_interceptors(tracing.provider)  # type: ignore[no-untyped-call]
    finally:
        await asyncio.to_thread(tracing.close)


def _settings() -> TelemetrySettings:
    try:
        settings = _Environment()
        problems = list(settings.trace_problems())
    except ValidationError as error:
        # Without the values: OTEL_EXPORTER_OTLP_HEADERS may be among them.
        problems = [f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()]
    if problems:
        raise StartError("\n".join(problems))
    return settings
