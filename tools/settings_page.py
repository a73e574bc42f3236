"""Renders docs/settings.md from the declarations of the settings.

Usage: `python -m tools.settings_page [DIRECTORY]`; the output directory defaults to the project.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import AliasChoices, ByteSize

from llm_inference_api.cli.main import serve
from llm_inference_api.config.settings import QUANTISATION_TYPES, Settings, variable_of
from llm_inference_api.config.sources import KEYS

PROJECT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/settings.md")
Schema = dict[str, Any]

SECTIONS: dict[str, tuple[str, ...]] = {
    "Models": (
        *(
            "allowed_models",
            "model_path",
            "preload_models",
            "adapters",
            "matryoshka_models",
            "calibration",
            "model_dtype",
            "enable_isq",
            "isq_type",
            "cache_path",
        ),
        *("max_loaded_models", "memory_budget", "load_on_request", "idle_unload"),
    ),
    "Addresses": (
        *(
            "hostname",
            "port",
            "ollama_port",
            "grpc_hostname",
            "grpc_port",
            "health_port",
            "metrics_port",
            "grpc_socket",
            "reflection",
        ),
        "cors_allowed_origins",
        "allowed_hosts",
    ),
    "Requests": (
        *("default_temperature", "default_top_p", "default_max_tokens", "max_tokens_limit", "default_seed"),
        *("max_concurrent_requests", "max_queued_requests", "max_requests_per_caller", "queue_timeout"),
        *("request_timeout", "max_request_timeout", "write_timeout", "progress_interval"),
        *("response_store", "response_store_size", "response_store_ttl"),
    ),
    "Computing": (
        *(
            "context_length",
            "kv_cache_tokens",
            "prefix_cache_per_caller",
            "threads",
            "llama_library",
            "batch_tokens",
            "prefix_store",
            "max_gap",
            "reproducible",
            "step_timeout",
        ),
        *("gpu_layers", "main_gpu", "split_mode", "tensor_split"),
    ),
    "Batches": (
        *("batch_store", "batch_store_bytes", "batch_caller_bytes", "batch_caller_count", "batch_lifetime"),
        "batch_lines",
    ),
    "Several machines": ("cluster", "cluster_replicas", "cluster_gpus", "rpc_servers", "rpc_model"),
    "Start and stop": ("config_file", "lame_duck", "drain_timeout"),
    "The hub": (
        *("hf_home", "hf_endpoint", "hf_token", "hf_hub_offline", "download_timeout", "download_stall_timeout"),
    ),
    "TLS and keys": (
        *("ssl_enabled", "tls_cert_path", "tls_key_path", "tls_client_ca_path", "api_keys", "api_keys_file"),
        "public_pages",
    ),
    "Log and traces": (
        *("service_name", "log_format", "log_level", "otlp_endpoint", "otlp_protocol", "otlp_headers"),
        *("traces_sampler", "traces_sampler_arg", "otel_disabled"),
    ),
}
"""Tables of the page: title and field names of the settings."""

_SIZES = ("memory_budget", "batch_store_bytes", "batch_caller_bytes")
_TYPES = {"boolean": "`true`, `false`", "integer": "whole number", "number": "number", "array": "list"}
_HEAD = """\
# Settings

This page is generated from the code by `python -m tools.settings_page`; a test compares the two.

Sources of settings, in order of precedence:

1. the command line: `llm-inference-api serve --help` lists the options
2. the environment variable; an empty one counts as unset
3. the `INFRS_…` variable of the replaced service, if the setting has one
4. the settings file: `LLM_CONFIG_FILE`, else `config.json` in the working directory if it has a section `server` or
   `model`
5. the default

`llm-inference-api settings` prints every effective value with its source, with `--json` as JSON, and validates them
all. With invalid settings, `serve` prints all problems and exits with code 2.

Booleans may also be written `1`, `yes`, `on` and `0`, `no`, `off`. Lists are comma-separated. Times are in seconds.

## The settings file

The file may contain any setting by its variable, and the two sections of the replaced service (infrs):

```json
{"server": {"host": "127.0.0.1", "port": 3000},
 "model": {"model_id": "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "revision": "main", "dtype": "float32"},
 "LLM_MAX_CONCURRENT_REQUESTS": 4}
```

An unknown key is an error. `model.model_id` is the one model to serve, and its id in requests; `model.revision` is its
branch, tag or commit.
"""
_FOOT = """\
## Checks across settings

- The REST, gRPC, health and metrics ports differ.
- `LLM_DEFAULT_MAX_TOKENS` does not exceed `LLM_MAX_TOKENS_LIMIT`.
- `LLM_PRELOAD_MODELS` names allowed models only.
- `LLM_BATCH_CALLER_BYTES` does not exceed `LLM_BATCH_STORE_BYTES`.
- `LLM_ENABLE_ISQ` needs `LLM_ISQ_TYPE`.
- `SERVER_SSL_ENABLED` needs a certificate and a key. A certificate without `SERVER_SSL_ENABLED` is refused, since it
  shows that TLS is expected.
- An empty `LLM_API_KEYS` is refused: an unfilled secret must not disable authentication.
- `HF_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT` hold no password. With `HF_TOKEN`, `HF_ENDPOINT` is `https://` unless
  it is on this machine. Over `grpc`, `OTEL_EXPORTER_OTLP_ENDPOINT` has no path.
- The absolute path of `LLM_GRPC_SOCKET` has at most 107 bytes, and its directory exists.

OpenTelemetry's SDK reads further variables of its own: `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`, and the exporter's
timeouts, compression and certificates.

## The command line as a client

`chat`, `generate`, `health` and `models list`, `load`, `unload` connect to a running service, and read these variables:

| variable | default | meaning |
|---|---|---|
| `LLM_ADDRESS` | `localhost:50051` | `host:port` of gRPC or REST, after `https://` for TLS. Option: `--address`. |
| `LLM_API_KEY` |  | The API key to send. |
| `LLM_TLS_CA` |  | PEM file of the CA of the service's certificate. |
| `LLM_TLS_CERT`, `LLM_TLS_KEY` |  | PEM files of the client certificate and its key (mTLS). |
"""


def text() -> str:
    """Returns the page in Markdown. Raises ValueError unless each setting is in exactly one table."""
    listed = [name for names in SECTIONS.values() for name in names]
    if wrong := set(Settings.model_fields) ^ set(listed) or {name for name in listed if listed.count(name) > 1}:
        raise ValueError(f"SECTIONS must name each setting once: {', '.join(sorted(wrong))}")
    tables = (f"## {title}\n\n{_table(names)}" for title, names in SECTIONS.items())
    return "\n".join((_HEAD, *tables, _FOOT))


def write_settings_page(target: Path) -> None:
    """Writes the page below the target directory."""
    path = target / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text())


def _table(names: tuple[str, ...]) -> str:
    schemas = Settings.model_json_schema(by_alias=False)["properties"]
    head = "| variable | default | values | meaning | also |\n|---|---|---|---|---|\n"
    return head + "".join(_row(name, schemas[name]) for name in names)


def _row(name: str, schema: Schema) -> str:
    cells = (f"`{variable_of(name)}`", _default(schema), _values(name, schema), schema["description"], _also(name))
    return f"| {' | '.join(cells)} |\n"


def _default(schema: Schema) -> str:
    value = schema["default"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    shown = ",".join(map(str, value)) if isinstance(value, list) else value
    return "" if shown in (None, "") else f"`{shown}`"


def _values(name: str, schema: Schema) -> str:
    """Returns the allowed values of a setting: its range, its choices, or its type."""
    schema = schema.get("anyOf", [schema])[0]
    if choices := QUANTISATION_TYPES if name == "isq_type" else schema.get("enum"):
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = Settings.model_fields[name].annotation
    if ByteSize in (kind, *get_args(kind)):
        return "bytes, with a unit"
    return _range(schema) or _TYPES.get(schema["type"]) or ("path" if schema.get("format") == "path" else "text")


def _range(schema: Schema) -> str:
    high = f" to {schema['maximum']}" if "maximum" in schema else ""
    if "exclusiveMinimum" in schema:
        return f"above {schema['exclusiveMinimum']}{high}"
    if "minimum" in schema:
        return f"{schema['minimum']}{high or ' or more'}"
    return ""


def _also(name: str) -> str:
    """Returns the other names of the setting: options, variables and keys of the settings file."""
    return ", ".join(f"`{place}`" for place in (*_options(name), *_other_variables(name), *_keys(variable_of(name))))


def _options(name: str) -> Iterator[str]:
    for parameter in serve.params:
        if parameter.name == name:
            yield from parameter.opts


def _other_variables(name: str) -> Iterator[str]:
    alias = Settings.model_fields[name].validation_alias
    assert isinstance(alias, AliasChoices)
    yield from map(str, alias.choices[1:])


def _keys(variable: str) -> Iterator[str]:
    for (section, key), meant in KEYS.items():
        if meant == variable or (key == "revision" and variable == "LLM_ALLOWED_MODELS"):
            yield f"{section}.{key}"
            yield f"INFRS_{section}__{key}".upper()


if __name__ == "__main__":
    write_settings_page(Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT)
