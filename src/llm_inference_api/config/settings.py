"""All settings of the service: variable, default, range and description.

`load_settings` returns one frozen object. Values are validated here; whether files and ports are usable is checked
where they are used, except for certificates and keys.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from llm_inference_api.config.addresses import is_loopback
from llm_inference_api.config.batches import BatchSettings
from llm_inference_api.config.fields import Items, Seconds
from llm_inference_api.config.fields import variable as _variable
from llm_inference_api.config.foreign import is_service_address, misspelt, warnings
from llm_inference_api.config.security import API_KEYS, SECRETS, SecuritySettings, host_problems, origin_problems
from llm_inference_api.config.sources import FILE_VARIABLE, Found, find
from llm_inference_api.config.telemetry import ENDPOINT, HEADERS, TelemetrySettings
from llm_inference_api.network import is_unspecified, listed
from llm_inference_api.processes.cgroups import processor_limit
from llm_inference_api.requests.adapters import AdapterFile, parse_adapters
from llm_inference_api.requests.bundled import installed
from llm_inference_api.requests.reference import Reference, parse_references
from llm_inference_api.requests.request import MAX_SEED

QUANTISATION_TYPES = (
    *("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M"),
    *("Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"),
    *("IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL"),
)
"""llama.cpp's types that need no importance matrix; keep in step with `models.convert.quantise`."""
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
UNSHOWN = ("HF_ENDPOINT", ENDPOINT)
"""Variables whose values are left out of error messages, as a URL may contain a password."""
_ENDPOINT = re.compile(r"[A-Za-z0-9._-]+:([1-9][0-9]{0,4})")
_LAST_PORT = 65535
_SECRET_VARIABLES = (*TOKEN_VARIABLES, API_KEYS, HEADERS)


class SettingsError(Exception):
    """The settings are invalid; the text has one line per problem."""


class Settings(SecuritySettings, TelemetrySettings, BatchSettings):
    """All settings, from the command line, the environment or a file, in this order of precedence."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, populate_by_name=True, extra="ignore")

    allowed_models: Annotated[tuple[Reference, ...], NoDecode] = _variable(
        "LLM_ALLOWED_MODELS",
        (),
        "Models to serve, comma-separated: `repo`, `repo:file.gguf`, `repo:file.gguf@tokenizer-repo`, each optionally "
        "with `#revision`; `file.gguf`, `file.bin` or `./directory` below LLM_MODEL_PATH; `smollm2`, `demo` and "
        "`all-minilm-l6-v2`, from installed packages; any of these after `alias=`. Unset: the bundled models that are "
        "installed; the first answers requests that name no model.",
    )
    model_path: Path = _variable("LLM_MODEL_PATH", Path("models"), "Directory of the model files.")
    preload_models: Items | None = _variable(
        "LLM_PRELOAD_MODELS",
        None,
        "Ids of the models to load at startup, comma-separated. Unset: the model that answers requests without one.",
    )
    adapters: Annotated[tuple[AdapterFile, ...], NoDecode] = _variable(
        "LLM_ADAPTERS",
        (),
        "LoRA adapters of the models, comma-separated: `model:adapter=file.gguf`, or `=./directory` as peft writes it, "
        "below LLM_MODEL_PATH, with the id of a model of LLM_ALLOWED_MODELS. Requests choose them by id and scale, or "
        "as the model `model:adapter`.",
    )
    matryoshka_models: Items | None = _variable(
        "LLM_MATRYOSHKA_MODELS",
        None,
        "Ids of the models whose embeddings requests may cut (`dimensions`), comma-separated: those that were trained "
        "so. Checkpoints that say it themselves (`matryoshka_dimensions`) need not be named.",
    )
    calibration: Path | None = _variable(
        "LLM_CALIBRATION",
        None,
        "JSON file with the temperatures by which answers to typed questions are calibrated, as `llm-inference-api "
        "decide calibrate` writes it. Unset: the probabilities are the model's.",
    )
    model_dtype: Literal["float32", "float16", "bfloat16"] | None = _variable(
        "LLM_MODEL_DTYPE",
        None,
        "Data type that the weights of safetensors checkpoints are converted to; GGUF files keep theirs. Unset: the "
        "checkpoint's own.",
    )
    config_file: Path | None = _variable(
        FILE_VARIABLE,
        None,
        "JSON file with settings; environment variables take precedence. Unset: `config.json` in the working "
        "directory, if it has a section `server` or `model`.",
    )
    hostname: str = _variable(
        "LLM_INFERENCE_HOSTNAME",
        "0.0.0.0",
        "Addresses to listen on, comma-separated. A name stands for all its addresses, such as `localhost` for "
        "127.0.0.1 and ::1; `::` is all addresses of IPv6 and IPv4.",
        min_length=1,
    )
    port: int = _variable("LLM_INFERENCE_PORT", 8091, "Port for REST, and for gRPC through Envoy.", ge=1, le=65535)
    ollama_port: int | None = _variable(
        "LLM_OLLAMA_PORT",
        None,
        "Port for Ollama's API, whose clients expect it on 11434, and for OpenAI's and Anthropic's. Unset: none; their "
        "paths are those of other messages on LLM_INFERENCE_PORT.",
        ge=1,
        le=65535,
    )
    grpc_port: int = _variable("LLM_GRPC_PORT", 50051, "Port for gRPC; 0 selects a free one.", ge=0, le=65535)
    grpc_hostname: str | None = _variable(
        "LLM_GRPC_HOSTNAME",
        None,
        "Addresses for the gRPC port to listen on; 127.0.0.1 leaves others the way through Envoy, which bounds what a "
        "connection may cost. Unset: LLM_INFERENCE_HOSTNAME.",
        min_length=1,
    )
    cors_allowed_origins: Items = _variable(
        "CORS_ALLOWED_ORIGINS",
        ("*",),
        "Origins that may call the REST API (CORS), comma-separated; `localhost` "
        "allows http and https pages of `localhost`, `127.0.0.1` and `[::1]` at any port, `*` allows all.",
    )
    allowed_hosts: Items = _variable(
        "LLM_ALLOWED_HOSTS",
        (),
        "Host names by which callers may call the REST API, comma-separated, besides `localhost`, addresses, the "
        "machine's name and the hosts of CORS_ALLOWED_ORIGINS; `*` allows all. Checked where CORS_ALLOWED_ORIGINS is a "
        "list and there are neither keys nor TLS.",
    )

    default_temperature: float = _variable(
        "LLM_DEFAULT_TEMPERATURE", 0.7, "Default temperature of a request.", ge=0, le=2, allow_inf_nan=False
    )
    default_top_p: float = _variable(
        "LLM_DEFAULT_TOP_P", 0.9, "Default top_p of a request.", ge=0, le=1, allow_inf_nan=False
    )
    default_max_tokens: int = _variable("LLM_DEFAULT_MAX_TOKENS", 512, "Default max_tokens of a request.", ge=1)
    max_tokens_limit: int = _variable(
        "LLM_MAX_TOKENS_LIMIT",
        4096,
        "Maximum tokens of an answer; a request's larger max_tokens is lowered to it.",
        ge=1,
    )
    default_seed: int | None = _variable(
        "LLM_DEFAULT_SEED",
        None,
        "Seed of requests that set none. Unset: a random one for each request.",
        ge=0,
        le=MAX_SEED,
    )

    max_concurrent_requests: int = _variable(
        "LLM_MAX_CONCURRENT_REQUESTS", 10, "Maximum number of requests that a model computes at once.", ge=1, le=64
    )
    max_queued_requests: int | None = _variable(
        "LLM_MAX_QUEUED_REQUESTS",
        None,
        "Maximum number of queued requests per model; others are refused. Unset: 4 × LLM_MAX_CONCURRENT_REQUESTS.",
        ge=0,
        le=100_000,
    )
    queue_timeout: Seconds = _variable(
        "LLM_QUEUE_TIMEOUT", 30.0, "Maximum time of a request in the queue, and of its wait for another model to leave."
    )
    request_timeout: Seconds = _variable(
        "LLM_REQUEST_TIMEOUT", 300.0, "Time limit of a request that has no deadline of its own."
    )
    max_request_timeout: Seconds = _variable(
        "LLM_MAX_REQUEST_TIMEOUT", 3600.0, "Time limit of any request, whatever its deadline."
    )
    step_timeout: Seconds = _variable(
        "LLM_STEP_TIMEOUT", 60.0, "Seconds without a response after which a model's process is restarted."
    )
    write_timeout: Seconds = _variable(
        "LLM_WRITE_TIMEOUT", 60.0, "Seconds after which a stream whose reader takes nothing is ended."
    )
    progress_interval: Seconds = _variable(
        "LLM_PROGRESS_INTERVAL", 5.0, "Seconds without output after which a stream sends a progress event."
    )
    drain_timeout: Seconds = _variable(
        "LLM_DRAIN_TIMEOUT", 300.0, "Seconds that running requests have to finish when the service stops."
    )
    lame_duck: float = _variable(
        "LLM_LAME_DUCK",
        2.5,
        "Seconds after SIGTERM in which health is NOT_SERVING but requests are still accepted, so that load balancers "
        "can react.",
        ge=0,
        le=600,
    )

    context_length: int | None = _variable(
        "LLM_CONTEXT_LENGTH",
        None,
        "Maximum tokens of a request's prompt and answer together. Unset: what the model was trained on, as far as its "
        "equal share of LLM_MEMORY_BUDGET allows, but no less than 4096 for want of a larger share.",
        ge=16,
        le=1 << 22,
    )
    kv_cache_tokens: int | None = _variable(
        "LLM_KV_CACHE_TOKENS",
        None,
        "Capacity, in tokens, of a model's key-value cache, shared by all requests. Unset: 4 × LLM_CONTEXT_LENGTH as "
        "far as the memory allows; where that is unset too, 4 contexts, but at most 16384 or one context.",
        ge=16,
        le=1 << 24,
    )
    threads: int | None = _variable(
        "LLM_THREADS",
        None,
        "Compute threads. Unset: the number of processors available.",
        ge=1,
        le=1024,
    )
    llama_library: Path | None = _variable(
        "LLM_LLAMA_LIBRARY",
        None,
        "Directory of a libllama.so to use instead of llama-cpp-python's; another version of llama.cpp is refused.",
    )
    batch_tokens: int = _variable("LLM_BATCH_TOKENS", 512, "Maximum number of tokens per step.", ge=64, le=16384)
    prefix_store: ByteSize | None = _variable(
        "LLM_PREFIX_STORE",
        None,
        "Memory for prefixes of ended requests, of each model, such as `2GiB`; they leave its key-value cache, where "
        "they would slow others down. Unset: as much as that cache, and 32 states of recurrent layers, as far as the "
        "memory allows; 0: they stay there.",
    )
    max_gap: float = _variable(
        "LLM_MAX_GAP",
        4.0,
        "How much longer a running answer may wait for its next token while prompts are computed, in multiples of its "
        "normal time; 50 ms and a step of 16 tokens are always allowed, and as many times more as there are more "
        "requests that wait than answers that run, up to a second. More of it computes prompts sooner, less lets "
        "answers flow.",
        ge=1,
        le=1000,
    )
    reproducible: bool = _variable(
        "LLM_REPRODUCIBLE",
        True,
        "Whether the same request gives the same text on a CPU, whatever ran before or beside it; long prompts take "
        "longer then.",
    )
    gpu_layers: int = _variable(
        "LLM_GPU_LAYERS", -1, "Layers to offload to GPUs, if llama.cpp was built for them; -1 is all.", ge=-1
    )
    main_gpu: int = _variable("LLM_MAIN_GPU", 0, "Index of the GPU that holds a model that is not split.", ge=0)
    split_mode: Literal["none", "layer", "row"] = _variable(
        "LLM_SPLIT_MODE", "layer", "How a model is split over several GPUs: `none`, `layer` or `row`."
    )
    tensor_split: Annotated[tuple[float, ...], NoDecode] = _variable(
        "LLM_TENSOR_SPLIT",
        (),
        "Proportions of a model per GPU, such as `3,1`, after those of LLM_RPC_SERVERS. Unset: by their free memory.",
    )
    rpc_servers: Items = _variable(
        "LLM_RPC_SERVERS",
        (),
        "Experimental: other machines that hold and compute layers of one model, by llama.cpp's `ggml-rpc-server`: "
        "`host:port`, comma-separated. On trusted networks only, since they ask nobody who they are.",
        max_length=16,
    )
    rpc_model: str | None = _variable(
        "LLM_RPC_MODEL",
        None,
        "Id of the model that LLM_RPC_SERVERS compute. Unset: the model that answers requests without one.",
    )

    max_loaded_models: int | None = _variable(
        "LLM_MAX_LOADED_MODELS", None, "Maximum number of loaded models; idle ones are evicted for others.", ge=1
    )
    memory_budget: ByteSize | None = _variable(
        "LLM_MEMORY_BUDGET",
        None,
        "Maximum memory of all models together, such as `8GiB`. Unset: 90 % of the machine's or container's memory.",
    )
    load_on_request: bool = _variable(
        "LLM_LOAD_ON_REQUEST",
        True,
        "Whether a request loads the model that it names. If not, only `:load`, LLM_PRELOAD_MODELS and the restart of "
        "a process that died do, and requests for other models are refused.",
    )
    idle_unload: Seconds | None = _variable(
        "LLM_IDLE_UNLOAD", None, "Seconds without a request after which a model is unloaded. Unset: never."
    )
    cache_path: Path = _variable(
        "LLM_CACHE_PATH",
        Path("~/.cache/llm-inference-api/models"),
        "Directory of the GGUF files that are converted from checkpoints.",
    )
    enable_isq: bool = _variable("LLM_ENABLE_ISQ", False, "Whether checkpoints are quantised when they are converted.")
    isq_type: str | None = _variable("LLM_ISQ_TYPE", None, "Quantisation type, such as `Q4_K_M`.")

    cluster: str | None = _variable(
        "LLM_CLUSTER",
        None,
        "Address of the Ray cluster that serves the models, such as `10.0.0.1:6379`, or `auto` for the one that "
        "runs on this machine. Unset: this machine serves them. Needs the extra `cluster`.",
        min_length=1,
    )
    cluster_replicas: str = _variable(
        "LLM_CLUSTER_REPLICAS",
        "1",
        "Replicas of each model on the cluster: a number, or a range such as `1-8`, in which they follow the load.",
        pattern=r"^[1-9]\d{0,2}(-[1-9]\d{0,2})?$",
    )
    cluster_gpus: float = _variable(
        "LLM_CLUSTER_GPUS", 0.0, "GPUs of each replica on the cluster; below 1, replicas share one.", ge=0, le=64
    )

    response_store: Path | None = _variable(
        "LLM_RESPONSE_STORE",
        None,
        "SQLite file for the responses of `/v1/responses`, which later requests may go on from. Unset: memory, which a "
        "restart empties.",
    )
    response_store_size: ByteSize = _variable(
        "LLM_RESPONSE_STORE_SIZE",
        "64MiB",
        "Maximum size of all stored responses, such as `64MiB`. Those that were not used for longest make room, of the "
        "callers that have most. 0: none is stored.",
        validate_default=True,
    )
    response_store_ttl: Seconds = _variable(
        "LLM_RESPONSE_STORE_TTL", 86400.0, "Seconds after its last use for which a response is stored."
    )

    reflection: bool = _variable("LLM_GRPC_REFLECTION", True, "Whether gRPC server reflection is enabled.")

    hf_home: Path | None = _variable(
        "HF_HOME", None, "Directory of the hub's cache. Unset: huggingface_hub's default, ~/.cache/huggingface."
    )
    hf_endpoint: str | None = _variable("HF_ENDPOINT", None, "URL of a mirror to use instead of the public hub.")
    hf_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices(*TOKEN_VARIABLES),
        description="Token for private and gated repositories; sent to HF_ENDPOINT only.",
    )
    hf_hub_offline: bool = Field(
        default=False,
        validation_alias=AliasChoices("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
        description="Whether to use the hub's cache only, without network access.",
    )
    download_timeout: Seconds = _variable("LLM_DOWNLOAD_TIMEOUT", 3600.0, "Time limit of a download.")
    download_stall_timeout: Seconds = _variable(
        "LLM_DOWNLOAD_STALL_TIMEOUT", 60.0, "Seconds without data after which a download is stopped."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the sources of settings, in order of precedence."""
        return init_settings, _Environment(settings_cls, env_settings), _OtherSources(settings_cls)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: object, info: ValidationInfo) -> object:
        """Refuses the booleans of JSON where they are no values: pydantic takes them as the numbers 1 and 0."""
        assert info.field_name is not None
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("input should not be true or false")
        return value

    @field_validator("allowed_models", mode="before")
    @classmethod
    def _parse_models(cls, value: object) -> object:
        return parse_references(value) if isinstance(value, str) else value

    @field_validator("adapters", mode="before")
    @classmethod
    def _parse_adapters(cls, value: object) -> object:
        return parse_adapters(value) if isinstance(value, str) else value

    @field_validator("tensor_split", mode="before")
    @classmethod
    def _split_numbers(cls, value: object) -> object:
        return tuple(map(str.strip, value.split(","))) if isinstance(value, str) else value

    @field_validator("*", mode="after")
    @classmethod
    def _expand(cls, value: object) -> object:
        return expanded(value) if isinstance(value, Path) else value

    @field_validator(
        *("preload_models", "matryoshka_models", "cors_allowed_origins", "allowed_hosts", "rpc_servers"), mode="before"
    )
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
        yield from self._endpoint_problems()
        yield from self.trace_problems()
        yield from self._quantisation_problems()
        yield from self._cluster_problems()
        yield from self._server_problems()
        yield from self.security_problems()
        yield from self.batch_problems()
        yield from origin_problems(self.cors_allowed_origins)
        yield from host_problems(self.allowed_hosts)
        for name, hosts in (("LLM_INFERENCE_HOSTNAME", self.hostnames), ("LLM_GRPC_HOSTNAME", self.grpc_hostnames)):
            if not hosts:
                yield f"{name}: it names no address"
        if self.default_max_tokens > self.max_tokens_limit:
            yield f"LLM_DEFAULT_MAX_TOKENS: {self.default_max_tokens} exceeds LLM_MAX_TOKENS_LIMIT"
        if self.port == self.grpc_port:
            yield f"LLM_GRPC_PORT: {self.grpc_port} equals LLM_INFERENCE_PORT; the ports must differ"
        if self.health_port in (self.port, self.grpc_port):
            yield f"LLM_HEALTH_PORT: {self.health_port} equals another port of the service; the ports must differ"
        if self.ollama_port is not None and self.ollama_port in (self.port, self.grpc_port, self.health_port):
            yield f"LLM_OLLAMA_PORT: {self.ollama_port} equals another port of the service; the ports must differ"
        if self.metrics_port is not None and self.metrics_port in (
            *(self.port, self.grpc_port, self.health_port, self.ollama_port),
        ):
            yield f"LLM_METRICS_PORT: {self.metrics_port} equals another port of the service; the ports must differ"
        named = {
            "LLM_PRELOAD_MODELS": set(self.preload_models or ()),
            "LLM_ADAPTERS": {file.model for file in self.adapters},
            "LLM_MATRYOSHKA_MODELS": set(self.matryoshka_models or ()),
            "LLM_RPC_MODEL": set(filter(None, (self.rpc_model,))),
        }
        for variable, models in named.items():
            if unknown := sorted(models - {model.id for model in self.models}):
                yield f"{variable}: {', '.join(unknown)} is not in LLM_ALLOWED_MODELS"

    def _cluster_problems(self) -> Iterator[str]:
        fewest, most = self.replica_range
        if fewest > most:
            yield f"LLM_CLUSTER_REPLICAS: the range {self.cluster_replicas} ends before it begins"
        if self.cluster is not None and self.adapters:
            yield "LLM_ADAPTERS: replicas on a cluster have none yet; unset it, or LLM_CLUSTER"
        if self.cluster is not None and self.matryoshka_models:
            yield "LLM_MATRYOSHKA_MODELS: replicas on a cluster are not told of them yet; unset it, or LLM_CLUSTER"

    def _server_problems(self) -> Iterator[str]:
        if not self.rpc_servers:
            if self.rpc_model is not None:
                yield "LLM_RPC_SERVERS: required where LLM_RPC_MODEL is set"
            return
        for server in self.rpc_servers:
            if not (found := _ENDPOINT.fullmatch(server)) or int(found[1]) > _LAST_PORT:
                yield f"LLM_RPC_SERVERS: {server!r} must be host:port, the host a name or an address of IPv4"
        if len(set(self.rpc_servers)) < len(self.rpc_servers):
            yield "LLM_RPC_SERVERS: it names a server twice"
        if self.offloaded_model is None:
            yield "LLM_RPC_MODEL: required with LLM_RPC_SERVERS where several models are served: each server has one"
        if self.gpu_layers == 0:
            yield "LLM_GPU_LAYERS: 0 leaves nothing to LLM_RPC_SERVERS; -1 gives them all layers"
        if self.split_mode != "layer":
            yield f"LLM_SPLIT_MODE: {self.split_mode} does not use LLM_RPC_SERVERS; they need layer"
        if self.cluster is not None:
            yield "LLM_RPC_SERVERS: replicas on a cluster have none; unset it, or LLM_CLUSTER"

    def _quantisation_problems(self) -> Iterator[str]:
        if self.enable_isq and self.isq_type is None:
            yield "LLM_ISQ_TYPE: required if LLM_ENABLE_ISQ is true; Q4_K_M is a usual choice"
        if self.isq_type is not None and self.isq_type.upper() not in QUANTISATION_TYPES:
            yield f"LLM_ISQ_TYPE: it must be one of {', '.join(QUANTISATION_TYPES)} (it is {self.isq_type!r})"

    def _endpoint_problems(self) -> Iterator[str]:
        if self.hf_endpoint is None:
            return
        address = urlsplit(self.hf_endpoint)
        if address.scheme not in ("http", "https") or not address.hostname or address.query or address.fragment:
            yield "HF_ENDPOINT: it must be an address such as https://huggingface.co"
        elif "@" in address.netloc:
            yield "HF_ENDPOINT: it must not hold a password; set HF_TOKEN instead"
        elif self.hf_token is not None and address.scheme == "http" and not is_loopback(address.hostname):
            yield "HF_ENDPOINT: it must start with https://, or HF_TOKEN would be sent in clear text"

    @property
    def hub_environment(self) -> dict[str, str]:
        """huggingface_hub's variables, including the token; for the download process only."""
        variables = {
            "HF_HOME": self.hf_home and str(self.hf_home),
            "HF_ENDPOINT": self.hf_endpoint,
            "HF_TOKEN": self.hf_token and self.hf_token.get_secret_value(),
            "HF_HUB_OFFLINE": "1" if self.hf_hub_offline else "0",
        }
        return {name: value for name, value in variables.items() if value}

    @property
    def models(self) -> tuple[Reference, ...]:
        """The models to serve: the allowed ones, or the bundled ones that are installed if none are set."""
        return self.allowed_models or tuple(Reference(model, model) for model in installed())

    @property
    def default_model(self) -> str | None:
        """Id of the model that answers requests without one; None if they have to name it."""
        is_clear = len(self.models) == 1 or not self.allowed_models
        return self.models[0].id if is_clear else None

    @property
    def offloaded_model(self) -> str | None:
        """Id of the model that LLM_RPC_SERVERS compute."""
        return self.rpc_model or self.default_model

    @property
    def preload(self) -> tuple[str, ...]:
        """Ids of the models to load at startup."""
        if self.preload_models is not None:
            return self.preload_models
        return (self.default_model,) if self.default_model is not None else ()

    @property
    def hostnames(self) -> tuple[str, ...]:
        """Names and addresses to listen on, for REST and metrics and for gRPC health checks."""
        return listed(self.hostname)

    @property
    def grpc_hostnames(self) -> tuple[str, ...]:
        """Names and addresses for the gRPC port to listen on."""
        return listed(self.grpc_hostname or self.hostname)

    @property
    def rest_url(self) -> str:
        """Address of REST and pages for a person on this machine, without a path."""
        scheme = "https" if self.tls_files else "http"
        is_local = any(is_loopback(name) or is_unspecified(name) for name in self.hostnames)
        host = "localhost" if is_local else self.hostnames[0]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def replica_range(self) -> tuple[int, int]:
        """Fewest and most replicas of a model on the cluster."""
        fewest, _, most = self.cluster_replicas.partition("-")
        return int(fewest), int(most or fewest)

    @property
    def queue_length(self) -> int:
        """Maximum number of requests queued per model."""
        return 4 * self.max_concurrent_requests if self.max_queued_requests is None else self.max_queued_requests

    @cached_property
    def compute_threads(self) -> int:
        """Compute threads per model."""
        return self.threads or available_processors()


class _SettingsOfHere(Settings):
    """Settings of a service that runs on this machine: the named files are checked too."""

    uses_files: ClassVar[bool] = True


class _Environment(PydanticBaseSettingsSource):
    """Source for the variables of the environment, without those that Kubernetes sets, see `config.foreign`."""

    def __init__(self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Abstract in the base class, but never called: `__call__` returns all values at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Returns the values, by variable."""
        return {name: value for name, value in self._source().items() if not is_service_address(name, value)}


class _OtherSources(PydanticBaseSettingsSource):
    """Source for the settings file and the variables of infrs, see `config.sources`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Abstract in the base class, but never called: `__call__` returns all values at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Returns the values, by variable."""
        state = self.current_state
        found = _others(state.get(FILE_VARIABLE) or state.get("config_file"))
        return {variable: value for variable, (value, _) in found.items()}


def _others(config_file: object = None) -> dict[str, Found]:
    path = config_file or os.environ.get(FILE_VARIABLE)
    variables = {variable_of(name) for name in Settings.model_fields}
    return find(os.environ, variables, expanded(Path(str(path))) if path else None)


def load_settings(*, uses_files: bool = False, **overrides: object) -> Settings:
    """Returns the settings.

    Args:
        uses_files: Whether to check the files of certificates and keys too.
        overrides: Values by field name, which take precedence over all other sources; None is ignored.

    Raises:
        SettingsError: Settings are invalid; the text has one line per problem.
    """
    kind = _SettingsOfHere if uses_files else Settings
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        places = _others(given.get("config_file"))
        return kind(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = (*_lines(places, error), *_lines_besides(kind, given, places, error))
        raise SettingsError("\n".join(lines)) from error
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _lines(places: dict[str, Found], error: ValidationError) -> list[str]:
    problems = ((problem["loc"], problem["msg"], problem["input"]) for problem in error.errors())
    return [line for problem in problems for line in _describe(places, *problem)]


def _lines_besides(
    kind: type["Settings"], given: dict[str, object], places: dict[str, Found], error: ValidationError
) -> list[str]:
    """Returns the problems between settings, which pydantic checks only once every single value is valid.

    Validates again with the defaults of the invalid settings; problems that mention those settings are dropped.
    """
    wrong = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
    fields = {name for name in Settings.model_fields if name in wrong or _names(name) & wrong}
    if not fields:
        return []
    try:
        kind(**given | {name: Settings.model_fields[name].default for name in fields})  # type: ignore[arg-type]
    except ValidationError as more:
        reported = set().union(*map(_names, fields))
        return [line for line in _lines(places, more) if not any(name in line for name in reported)]
    return []


def _names(field: str) -> set[str]:
    alias = Settings.model_fields[field].validation_alias
    assert isinstance(alias, AliasChoices)
    return set(map(str, alias.choices))


def place_of(field: str) -> str:
    """Returns the source of a field's value, command line aside: `environment`, `default`, or a place in the file."""
    values = {name: os.environ.get(name) for name in _names(field)}
    if any(value and not is_service_address(name, value) for name, value in values.items()):
        return "environment"
    found = _others().get(variable_of(field))
    return found.place if found else "default"


def expanded(path: Path) -> Path:
    """Returns the path with `~` replaced by the home directory. Raises ValueError for a user who has none."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"the home directory of {path.parts[0]} is unknown") from None


def start_warnings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each variable that is set in vain."""
    return warnings(environment, _all_names())


def misspelt_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each variable whose name is nearly that of a setting."""
    return misspelt(environment, _all_names())


def _all_names() -> set[str]:
    return {name for field in Settings.model_fields for name in _names(field)}


def hide_secrets() -> None:
    """Removes secrets from the environment, so that child processes do not inherit them."""
    for name in [name for name in os.environ if name.upper() in _SECRET_VARIABLES]:  # Settings ignore the case.
        del os.environ[name]


def variable_of(field: str) -> str:
    """Returns the environment variable of a settings field."""
    alias = Settings.model_fields[field].validation_alias
    assert isinstance(alias, AliasChoices)
    return str(alias.choices[0])


def available_processors() -> int:
    """Returns the processors that this process may use: its CPU affinity, capped by the quota of its control groups."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.ceil(processor_limit() or allowed)))


def _describe(places: dict[str, Found], location: tuple[int | str, ...], message: str, value: object) -> list[str]:
    message = message.removeprefix("Value error, ")
    if not location:
        return message.split("\n")
    field = str(location[0])
    name = variable_of(field) if field in Settings.model_fields else field
    is_shown = name not in (*_SECRET_VARIABLES, *UNSHOWN) and field not in SECRETS
    if name in places and not os.environ.get(name):
        name = places[name].place
    shown = f" (it is {value!r})" if is_shown else ""
    return [f"{name}: {message[:1].lower()}{message[1:]}{shown}"]
