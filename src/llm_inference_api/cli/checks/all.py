"""The checks in their order."""

from collections.abc import Callable, Iterator

from llm_inference_api.cli.checks.finding import Finding
from llm_inference_api.cli.checks.llama import llama
from llm_inference_api.cli.checks.machine import compiler, memory, open_files, processors
from llm_inference_api.cli.checks.network import envoy, hub, ports
from llm_inference_api.cli.checks.storage import cache, models
from llm_inference_api.config.settings import Settings, SettingsError, load_settings

_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    processors,
    memory,
    open_files,
    compiler,
    llama,
    envoy,
    ports,
    models,
    cache,
    hub,
)


def findings() -> Iterator[Finding]:
    """Yields what is found, one check after the other. Without valid settings there is nothing to check by."""
    try:
        settings = load_settings(uses_files=True)
    except SettingsError as error:
        lines = " ".join(str(error).split())
        yield Finding("problem", "settings", lines, "correct them; `llm-inference-api settings` lists all")
        return
    yield Finding("ok", "settings", "valid")
    for check in _CHECKS:
        yield from check(settings)
