"""Variables that look like settings: those that Kubernetes sets stop no start, and misspelt ones are named."""

import os
from pathlib import Path

import pytest

from llm_inference_api.config.settings import load_settings, misspelt_variables, place_of, start_warnings
from tests.e2e.service import clean_environment

KUBERNETES = {
    "LLM_INFERENCE_SERVICE_HOST": "10.0.0.1",
    "LLM_INFERENCE_SERVICE_PORT": "8091",
    "LLM_INFERENCE_SERVICE_PORT_HTTP": "8091",
    "LLM_INFERENCE_PORT_8091_TCP": "tcp://10.0.0.1:8091",
    "LLM_INFERENCE_PORT_8091_TCP_PROTO": "tcp",
    "LLM_INFERENCE_PORT_8091_TCP_PORT": "8091",
    "LLM_INFERENCE_PORT_8091_TCP_ADDR": "10.0.0.1",
    "INFRS_SERVICE_HOST": "10.0.0.2",
    "INFRS_SERVICE_PORT": "80",
    "INFRS_PORT": "tcp://10.0.0.2:80",
    "LLM_GRPCS_PORT": "tcp://10.0.0.3:80",
    "INFRS_PORT_80_TCP": "tcp://10.0.0.2:80",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting but those of the test, in an empty working directory."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_variables_about_services_are_no_settings(environment: pytest.MonkeyPatch) -> None:
    """Kubernetes names them after services, whatever these are; nobody is warned of them."""
    for name, value in KUBERNETES.items():
        environment.setenv(name, value)
    load_settings()
    assert not list(start_warnings(os.environ))
    assert not list(misspelt_variables(os.environ))


@pytest.mark.parametrize(
    ("name", "field", "default"),
    [
        ("LLM_INFERENCE_PORT", "port", 8091),
        ("LLM_GRPC_PORT", "grpc_port", 50051),
        ("LLM_HEALTH_PORT", "health_port", None),
        ("LLM_METRICS_PORT", "metrics_port", None),
    ],
)
def test_address_of_a_service_is_no_port(
    environment: pytest.MonkeyPatch, name: str, field: str, default: object
) -> None:
    """The default counts, as if it were unset, and the warning says what the value is."""
    environment.setenv(name, "tcp://10.96.0.17:8091")
    assert getattr(load_settings(), field) == default
    assert place_of(field) == "default"
    (warning,) = start_warnings(os.environ)
    assert warning.startswith(f"{name}: tcp://10.96.0.17:8091 is the address of a service, which Kubernetes has set")


def test_address_of_a_service_hides_no_port_of_the_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The next source is asked."""
    (tmp_path / "config.json").write_text('{"server": {"port": 3000}}')
    environment.setenv("LLM_INFERENCE_PORT", "tcp://10.96.0.17:8091")
    assert load_settings().port == 3000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LLM_ALOWED_MODELS", "LLM_ALOWED_MODELS: is not a setting; did you mean LLM_ALLOWED_MODELS?"),
        ("llm_thread", "llm_thread: is not a setting; did you mean LLM_THREADS?"),
        ("LLM_ADRESS", "LLM_ADRESS: is not a setting; did you mean LLM_ADDRESS?"),
        ("LLM_ZZZZ", "LLM_ZZZZ: is not a setting; docs/settings.md has all"),
        ("INFRS_PORT", "INFRS_PORT: is not a setting; docs/settings.md has all"),
    ],
)
def test_misspelt_variable_is_named_with_the_nearest(environment: pytest.MonkeyPatch, name: str, said: str) -> None:
    """The start goes on; the value, which may be a secret, is not shown."""
    environment.setenv(name, "3000")
    load_settings()
    assert list(start_warnings(os.environ)) == [said]
    assert list(misspelt_variables(os.environ)) == ([said] if "did you mean" in said else [])


@pytest.mark.parametrize(
    "name", ["LLM_THREADS", "llm_threads", "LLM_API_KEY", "LLM_ADDRESS", "LLM_TLS_CA", "INFRS_SERVER__PORT", "OTHER"]
)
def test_known_variable_is_no_cause_for_a_warning(environment: pytest.MonkeyPatch, name: str) -> None:
    """In any case, and the client's too."""
    environment.setenv(name, "1")
    assert not list(start_warnings(os.environ))
    assert not list(misspelt_variables(os.environ))


@pytest.mark.parametrize(("given", "level"), [("info", "INFO"), ("warn", "WARNING"), ("Trace", "DEBUG")])
def test_level_of_the_log_has_all_usual_names(environment: pytest.MonkeyPatch, given: str, level: str) -> None:
    """The variable is shared with other programs, which write it in their way."""
    environment.setenv("LOG_LEVEL", given)
    assert load_settings().log_level == level


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("LLM_MODEL_PATH", "model_path"),
        ("LLM_CACHE_PATH", "cache_path"),
        ("LLM_API_KEYS_FILE", "api_keys_file"),
        ("LLM_GRPC_SOCKET", "grpc_socket"),
        ("LLM_LLAMA_LIBRARY", "llama_library"),
        ("HF_HOME", "hf_home"),
    ],
)
def test_home_directory_is_known_in_every_path(environment: pytest.MonkeyPatch, name: str, field: str) -> None:
    """A shell expands `~` only where it is not quoted."""
    environment.setenv("HOME", "/home/someone")
    environment.setenv(name, "~/x")
    assert getattr(load_settings(), field) == Path("/home/someone/x")


def test_home_directory_is_known_in_the_settings_files_path(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is read before other settings."""
    environment.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.json").write_text('{"LLM_INFERENCE_PORT": 1234}')
    environment.setenv("LLM_CONFIG_FILE", "~/mine.json")
    assert load_settings().port == 1234
