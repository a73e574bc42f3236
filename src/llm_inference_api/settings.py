"""Every setting of the service: its variable, default, range and meaning.

One frozen object, made once at the start. What a variable may hold is checked here; whether files and ports can be used
is checked by those that use them.
"""

import math
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from llm_inference_api.models.reference import DEMO, Reference, parse_references

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Items = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list."""


class SettingsError(Exception):
    """The settings cannot be used; its text has a line for each problem."""


def _variable(name: str, default: Any, description: str, **constraints: Any) -> Any:
    return Field(default, validation_alias=AliasChoices(name), description=description, **constraints)


class Settings(BaseSettings):
    """The settings, read from the environment."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, populate_by_name=True, extra="ignore")

    allowed_models: Annotated[tuple[Reference, ...], NoDecode] = _variable(
        "LLM_ALLOWED_MODELS",
        (),
        "Models that requests may name, comma-separated: `file.gguf` or `file.bin` below LLM_MODEL_PATH, `demo`, "
        "`alias=reference`. "
        "Unset: the bundled demo model.",
    )
    model_path: Path = _variable("LLM_MODEL_PATH", Path("models"), "Directory of the model files.")
    preload_models: Items | None = _variable(
        "LLM_PRELOAD_MODELS",
        None,
        "Ids of the models to load at the start, comma-separated. Unset: the allowed model if there is only one.",
    )
    hostname: str = _variable("LLM_INFERENCE_HOSTNAME", "0.0.0.0", "Address to listen on.", min_length=1)
    port: int = _variable("LLM_INFERENCE_PORT", 8091, "Port for REST, and for gRPC through Envoy.", ge=1, le=65535)
    grpc_port: int = _variable("LLM_GRPC_PORT", 50051, "Port for gRPC; 0 takes a free one.", ge=0, le=65535)
    cors_allowed_origins: Items = _variable(
        "CORS_ALLOWED_ORIGINS", ("*",), "Origins whose pages may call the REST API, comma-separated; `*` is all."
    )

    default_temperature: float = _variable(
        "LLM_DEFAULT_TEMPERATURE", 0.7, "Temperature of requests that name none.", ge=0, le=2, allow_inf_nan=False
    )
    default_top_p: float = _variable(
        "LLM_DEFAULT_TOP_P", 0.9, "top_p of requests that name none.", gt=0, le=1, allow_inf_nan=False
    )
    default_max_tokens: int = _variable("LLM_DEFAULT_MAX_TOKENS", 512, "max_tokens of requests that name none.", ge=1)
    max_tokens_limit: int = _variable("LLM_MAX_TOKENS_LIMIT", 4096, "The largest max_tokens of a request.", ge=1)

    max_concurrent_requests: int = _variable(
        "LLM_MAX_CONCURRENT_REQUESTS", 10, "Requests that a model computes at the same time.", ge=1, le=64
    )
    max_queued_requests: int | None = _variable(
        "LLM_MAX_QUEUED_REQUESTS",
        None,
        "Requests that wait for a model before more are refused. Unset: 4 × LLM_MAX_CONCURRENT_REQUESTS.",
        ge=0,
        le=100_000,
    )
    queue_timeout: Seconds = _variable("LLM_QUEUE_TIMEOUT", 30.0, "Seconds that a request waits for a slot at most.")
    request_timeout: Seconds = _variable(
        "LLM_REQUEST_TIMEOUT", 300.0, "Seconds that a request without a deadline of its own may take."
    )
    max_request_timeout: Seconds = _variable(
        "LLM_MAX_REQUEST_TIMEOUT", 3600.0, "Seconds that any request may take, whatever its deadline."
    )
    step_timeout: Seconds = _variable(
        "LLM_STEP_TIMEOUT", 60.0, "Seconds after which a model's process that says nothing is restarted."
    )
    progress_interval: Seconds = _variable(
        "LLM_PROGRESS_INTERVAL", 5.0, "Seconds of silence after which a stream says where it stands."
    )
    drain_timeout: Seconds = _variable(
        "LLM_DRAIN_TIMEOUT", 300.0, "Seconds that running requests have to end when the service stops."
    )
    lame_duck: float = _variable(
        "LLM_LAME_DUCK",
        2.5,
        "Seconds after SIGTERM in which the service says NOT_SERVING but still takes requests; balancers notice then.",
        ge=0,
        le=600,
    )

    context_length: int | None = _variable(
        "LLM_CONTEXT_LENGTH",
        None,
        "Tokens of a request's prompt and answer together. Unset: what the model was trained on, at most 4096.",
        ge=16,
        le=1 << 22,
    )
    kv_cache_tokens: int | None = _variable(
        "LLM_KV_CACHE_TOKENS",
        None,
        "Tokens that a model's key-value cache holds for all requests together. Unset: 4 × the context length.",
        ge=16,
        le=1 << 24,
    )
    threads: int | None = _variable(
        "LLM_THREADS", None, "Threads that compute. Unset: the processors that this process may use.", ge=1, le=1024
    )
    batch_tokens: int = _variable("LLM_BATCH_TOKENS", 512, "Tokens that one step computes at most.", ge=64, le=16384)
    gpu_layers: int = _variable(
        "LLM_GPU_LAYERS", -1, "Layers to keep on a GPU, where llama.cpp was built for one; -1 is all.", ge=-1
    )

    service_name: str = _variable("SERVICE_NAME", "llm-inference-api", "Name of the service in logs.", min_length=1)
    log_format: Literal["json", "pretty"] | None = _variable(
        "LOG_FORMAT", None, "`json`, or `pretty` for people. Unset: `pretty` on a terminal, else `json`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _variable(
        "LOG_LEVEL", "INFO", "Lowest level of the lines that are logged."
    )
    reflection: bool = _variable("LLM_GRPC_REFLECTION", True, "Whether gRPC clients may ask for the API's definition.")

    enable_isq: bool = _variable("LLM_ENABLE_ISQ", False, "Whether models are quantised when they are loaded.")
    isq_type: str | None = _variable("LLM_ISQ_TYPE", None, "The quantisation's type.")
    hf_home: Path | None = _variable("HF_HOME", None, "Directory of the hub's cache.")
    hf_endpoint: str | None = _variable("HF_ENDPOINT", None, "Address of the hub.")
    hf_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        description="Token for gated repositories of the hub.",
    )
    otlp_endpoint: str = _variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317", "Where traces are sent.")
    ssl_enabled: bool = _variable("SERVER_SSL_ENABLED", False, "Whether clients connect with TLS.")
    tls_cert_path: Path | None = _variable("TLS_SERVER_CERT_PATH", None, "The server's certificate.")
    tls_key_path: Path | None = _variable("TLS_SERVER_KEY_PATH", None, "The certificate's key.")

    @field_validator("allowed_models", mode="before")
    @classmethod
    def _parse_models(cls, value: object) -> object:
        return parse_references(value) if isinstance(value, str) else value

    @field_validator("preload_models", "cors_allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        problems = list(self._problems())
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        yield from self._unsupported()
        if self.default_max_tokens > self.max_tokens_limit:
            yield f"LLM_DEFAULT_MAX_TOKENS: {self.default_max_tokens} exceeds LLM_MAX_TOKENS_LIMIT"
        if self.port == self.grpc_port:
            yield f"LLM_GRPC_PORT: {self.grpc_port} is LLM_INFERENCE_PORT too; they must differ"
        unknown = sorted(set(self.preload_models or ()) - {model.id for model in self.models})
        if unknown:
            yield f"LLM_PRELOAD_MODELS: {', '.join(unknown)} is not in LLM_ALLOWED_MODELS"

    def _unsupported(self) -> Iterator[str]:
        """Settings of the replaced services that have no effect yet are refused: ignoring them would mislead."""
        for name in ("enable_isq", "isq_type", "hf_home", "hf_endpoint", "hf_token"):
            if name in self.model_fields_set and getattr(self, name) not in (None, False):
                yield f"{variable_of(name)}: not supported yet; unset it (models are files below LLM_MODEL_PATH)"
        for name in ("ssl_enabled", "tls_cert_path", "tls_key_path"):
            if name in self.model_fields_set and getattr(self, name) not in (None, False):
                yield f"{variable_of(name)}: TLS is not supported yet; unset it and end TLS in front of the service"
        if "otlp_endpoint" in self.model_fields_set:
            yield "OTEL_EXPORTER_OTLP_ENDPOINT: traces are not supported yet; unset it"

    @property
    def models(self) -> tuple[Reference, ...]:
        """The models that requests may name: the allowed ones, or the demo model."""
        return self.allowed_models or (Reference(DEMO, DEMO),)

    @property
    def preload(self) -> tuple[str, ...]:
        """Ids of the models that the start loads."""
        if self.preload_models is not None:
            return self.preload_models
        return (self.models[0].id,) if len(self.models) == 1 else ()

    @property
    def queue_length(self) -> int:
        """Requests that wait for a model before more are refused."""
        return 4 * self.max_concurrent_requests if self.max_queued_requests is None else self.max_queued_requests

    @cached_property
    def compute_threads(self) -> int:
        """Threads that compute a model."""
        return self.threads or available_processors()


def load_settings(**overrides: object) -> Settings:
    """Returns the settings of the environment; overrides, by field name, go before it.

    Raises SettingsError with all problems.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            line for problem in error.errors() for line in _describe(problem["loc"], problem["msg"], problem["input"])
        ]
        raise SettingsError("\n".join(lines)) from error


def variable_of(field: str) -> str:
    """Returns the environment variable of a field of the settings."""
    alias = Settings.model_fields[field].validation_alias
    assert isinstance(alias, AliasChoices)
    return str(alias.choices[0])


def available_processors() -> int:
    """Returns the processors that this process may use: its affinity, and the quota of its container (cgroup v2)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, math.ceil(int(quota) / int(period))))


def _describe(location: tuple[int | str, ...], message: str, value: object) -> list[str]:
    message = message.removeprefix("Value error, ")
    if not location:
        return message.split("\n")
    field = str(location[0])
    name = variable_of(field) if field in Settings.model_fields else field
    shown = "" if "token" in name.lower() and "hf" in name.lower() else f" (it is {value!r})"
    return [f"{name}: {message[:1].lower()}{message[1:]}{shown}"]
