import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm_inference_api.cli.main import cli
from llm_inference_api.config.settings import SettingsError, load_settings, place_of
from llm_inference_api.requests.reference import Reference
from tests.e2e.service import clean_environment

TINY = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
REPLACED = {
    "server": {"host": "127.0.0.1", "port": 3000},
    "model": {"model_id": TINY, "revision": "main", "dtype": "float32"},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting but those of the test, in an empty working directory."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def write(document: Any, name: str = "config.json") -> Path:
    path = Path(name)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def problems() -> str:
    with pytest.raises(SettingsError) as found:
        load_settings()
    return str(found.value)


def test_replaced_services_file_is_read_as_it_is() -> None:
    """Host, port, model, revision and type come from its config.json; requests name the model without revision."""
    write(REPLACED)
    settings = load_settings()
    assert (settings.hostname, settings.port, settings.model_dtype) == ("127.0.0.1", 3000, "float32")
    assert settings.models == (Reference(TINY, f"{TINY}#main"),)


def test_replaced_services_variables_go_before_its_file(environment: pytest.MonkeyPatch) -> None:
    """A variable overrides its key and leaves the others to the file."""
    write(REPLACED)
    environment.setenv("INFRS_SERVER__PORT", "8080")
    environment.setenv("INFRS_MODEL__MODEL_ID", "org/other")
    settings = load_settings()
    assert (settings.hostname, settings.port) == ("127.0.0.1", 8080)
    assert settings.models == (Reference("org/other", "org/other#main"),)


def test_precedence_is_command_line_environment_file_default(environment: pytest.MonkeyPatch) -> None:
    """Each source goes before those after it."""
    assert load_settings().port == 8091
    write(REPLACED)
    assert load_settings().port == 3000
    environment.setenv("INFRS_SERVER__PORT", "8080")
    assert load_settings().port == 8080
    environment.setenv("LLM_INFERENCE_PORT", "8081")
    assert load_settings().port == 8081
    assert load_settings(port=8082).port == 8082


def test_file_may_name_any_setting_by_its_variable() -> None:
    """What has a variable can stand in the file too."""
    write({"server": {}, "LLM_MAX_CONCURRENT_REQUESTS": 3, "CORS_ALLOWED_ORIGINS": "http://a,http://b"})
    settings = load_settings()
    assert settings.max_concurrent_requests == 3
    assert settings.cors_allowed_origins == ("http://a", "http://b")


@pytest.mark.parametrize("document", ['{"architectures": ["LlamaForCausalLM"]}', "[1]"])
def test_config_json_of_another_program_is_left_alone(document: str) -> None:
    """A model's directory has a config.json as well, which says nothing about this service."""
    write(document)
    assert load_settings().port == 8091


def test_named_file_is_read_wherever_it_is(environment: pytest.MonkeyPatch) -> None:
    """A variable or the command line names another file."""
    path = write({"LLM_INFERENCE_PORT": 1234}, "other.json")
    assert load_settings(config_file=str(path)).port == 1234
    environment.setenv("LLM_CONFIG_FILE", str(path))
    assert load_settings().port == 1234


def test_all_that_means_nothing_is_said(environment: pytest.MonkeyPatch) -> None:
    """Misspelt keys and variables are errors, with their places."""
    write({"server": {"prt": 1}, "model": 3, "extra": 1})
    environment.setenv("INFRS_SERVER__PRT", "1")
    assert problems().splitlines() == [
        "config.json: model is not a JSON object",
        "config.json: server.prt is not a setting",
        "INFRS_SERVER__PRT: is not a setting",
        "config.json: extra is not a setting",
    ]


def test_wrong_value_is_said_with_its_place(environment: pytest.MonkeyPatch) -> None:
    """The error names the key or the variable that the person wrote."""
    write({"server": {"port": "x"}})
    assert problems().startswith("config.json: server.port: input should be a valid integer")
    environment.setenv("INFRS_SERVER__PORT", "99999")
    assert problems().startswith("INFRS_SERVER__PORT: input should be less than")


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"LLM_REQUEST_TIMEOUT": "x"}, "LLM_REQUEST_TIMEOUT: input should be a valid number"),
        ({"LLM_MAX_CONCURRENT_REQUESTS": True}, "LLM_MAX_CONCURRENT_REQUESTS: input should not be true or false"),
        ({"LLM_LAME_DUCK": False}, "LLM_LAME_DUCK: input should not be true or false"),
        ({"LLM_MEMORY_BUDGET": True}, "LLM_MEMORY_BUDGET: input should not be true or false"),
        ({"server": {"port": True}}, "server.port: input should not be true or false"),
    ],
)
def test_wrong_value_of_the_file_is_said_with_its_setting(document: dict[str, object], place: str) -> None:
    """JSON's booleans are no numbers."""
    write({"server": {"host": "127.0.0.1"}} | document)
    assert problems().startswith(f"config.json: {place}")


def test_booleans_of_the_file_are_values_of_switches(environment: pytest.MonkeyPatch) -> None:
    """They are not refused where they belong."""
    write({"server": {}, "LLM_GRPC_REFLECTION": False})
    assert load_settings().reflection is False


def test_file_of_deep_json_is_an_error(environment: pytest.MonkeyPatch) -> None:
    """Python's parser gives up on it in its own way."""
    write("[" * 100_000)
    assert problems() == "config.json cannot be read: its JSON is nested too deeply"


def test_file_that_cannot_be_read_is_an_error(environment: pytest.MonkeyPatch) -> None:
    """Broken JSON and a missing named file are said, not skipped."""
    write('{"server": // comment\n {}}')
    assert problems().startswith("config.json cannot be read")
    write("[" * 100_000)
    assert problems().startswith("config.json cannot be read: its JSON is nested too deeply")
    environment.setenv("LLM_CONFIG_FILE", "missing.json")
    assert problems() == "LLM_CONFIG_FILE: missing.json does not exist"


def test_settings_say_where_each_value_comes_from(environment: pytest.MonkeyPatch) -> None:
    """The place is a variable, the file's key, or the default."""
    write(REPLACED)
    environment.setenv("INFRS_SERVER__HOST", "::1")
    environment.setenv("LLM_GRPC_PORT", "5000")
    places = {name: place_of(name) for name in ("port", "hostname", "grpc_port", "log_level")}
    assert places == {
        "port": "config.json: server.port",
        "hostname": "INFRS_SERVER__HOST",
        "grpc_port": "environment",
        "log_level": "default",
    }
    shown = CliRunner().invoke(cli, ["settings"])
    assert shown.exit_code == 0
    assert "INFRS_SERVER__HOST" in shown.output
