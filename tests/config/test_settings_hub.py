"""The settings of the hub."""

import os

import pytest

from llm_inference_api.config.settings import SettingsError, hide_secrets, load_settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def test_the_hubs_variables_reach_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable of the hub goes to the process that downloads."""
    variables = {"HF_HOME": "/cache", "HF_ENDPOINT": "https://mirror", "HF_TOKEN": "secret", "HF_HUB_OFFLINE": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load_settings().hub_environment == variables


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_both_names_of_the_token_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token's old name works too."""
    monkeypatch.setenv(name, "secret")
    assert load_settings().hub_environment["HF_TOKEN"] == "secret"


@pytest.mark.parametrize("endpoint", ["https://mirror.example", "http://127.0.0.1:8080", "http://localhost/hub"])
def test_the_token_may_go_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encrypted addresses and this machine may get the token."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert load_settings(hf_endpoint=endpoint).hf_endpoint == endpoint


@pytest.mark.parametrize("endpoint", ["http://mirror.example", "ftp://mirror", "mirror", "https://me:pw@mirror"])
def test_the_token_may_not_go_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where others could read the token, or that is none, is refused, and no secret is shown."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    with pytest.raises(SettingsError, match="HF_ENDPOINT: it must") as raised:
        load_settings(hf_endpoint=endpoint)
    assert "secret" not in str(raised.value)
    assert "pw" not in str(raised.value)


def test_a_mirror_without_encryption_needs_no_token() -> None:
    """Without a token there is nothing to protect: digests protect the files."""
    assert load_settings(hf_endpoint="http://mirror.example").hf_endpoint == "http://mirror.example"


def test_other_processes_get_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token leaves the environment, of which each worker gets a copy, and stays in the settings."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "secret")
    settings = load_settings()
    hide_secrets()
    assert "secret" not in os.environ.values()
    assert settings.hub_environment["HF_TOKEN"] == "secret"
