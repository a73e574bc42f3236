import os
import subprocess
from pathlib import Path

import pytest

from llm_inference_api.config.settings import SettingsError, hide_secrets, load_settings
from llm_inference_api.security.tls import CERTIFICATE, CLIENT_CA, KEY
from tests.e2e.service import COMMAND, clean_environment
from tests.fakes.certificates import Authority


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting but those of the test."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    return monkeypatch


def problems(environment: pytest.MonkeyPatch, *, uses_files: bool = True, **variables: object) -> list[str]:
    for name, value in variables.items():
        environment.setenv(name, str(value))
    try:
        load_settings(uses_files=uses_files)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def test_tls_needs_certificate_and_key(environment: pytest.MonkeyPatch) -> None:
    """The switch alone encrypts nothing."""
    assert problems(environment, SERVER_SSL_ENABLED="true") == [
        f"{name}: required if SERVER_SSL_ENABLED is true" for name in (CERTIFICATE, KEY)
    ]


@pytest.mark.parametrize("name", [CERTIFICATE, KEY, CLIENT_CA])
def test_certificate_without_the_switch_is_refused(environment: pytest.MonkeyPatch, name: str) -> None:
    """Whoever names a certificate must not get a service without TLS; unless the switch says that this is meant."""
    assert problems(environment, **{name: "/some/file"}) == [
        f"{name}: it has no effect unless SERVER_SSL_ENABLED is true; set that too"
    ]
    assert problems(environment, **{name: "/some/file"}, SERVER_SSL_ENABLED="false") == []


def test_files_are_looked_at_where_the_service_runs(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Elsewhere, such as where a sidecar's configuration is made, they need not be there."""
    paths = {"TLS_SERVER_CERT_PATH": tmp_path / "a", "TLS_SERVER_KEY_PATH": tmp_path / "b"}
    variables = {"SERVER_SSL_ENABLED": "true", "LLM_API_KEYS_FILE": tmp_path / "c", **paths}
    assert problems(environment, uses_files=False, **variables) == []
    assert len(problems(environment, **variables)) == 3


def test_key_is_never_shown(environment: pytest.MonkeyPatch) -> None:
    """Neither a bad key nor a good one beside it is part of a message."""
    found = problems(environment, LLM_API_KEYS="ann:very-secret,bob:not a key")
    assert len(found) == 1
    assert not any(secret in found[0] for secret in ("very-secret", "not a key"))


@pytest.mark.parametrize("host", ["https://a.example", "a.example:8091", "*.example", "a b", "a..b"])
def test_host_that_no_request_has_is_refused(environment: pytest.MonkeyPatch, host: str) -> None:
    """Names are compared without scheme and port; one of another form would allow nobody, unseen."""
    (found,) = problems(environment, LLM_ALLOWED_HOSTS=f"llm.example,LLM,*,{host}")
    assert found.startswith(f"LLM_ALLOWED_HOSTS: '{host}' is not a host name")


@pytest.mark.parametrize("origin", ["example.com", "https://a.example/", "https://a.example/path", "https://*.example"])
def test_origin_that_no_page_has_is_refused(environment: pytest.MonkeyPatch, origin: str) -> None:
    """A browser compares origins as texts; one with a path would allow nobody, unseen."""
    (found,) = problems(environment, CORS_ALLOWED_ORIGINS=f"https://good.example:8443,{origin}")
    assert found.startswith(f"CORS_ALLOWED_ORIGINS: '{origin}' is not an origin")


def test_health_port_is_another_one(environment: pytest.MonkeyPatch) -> None:
    """The port without TLS is not the one with TLS."""
    assert problems(environment, LLM_HEALTH_PORT="50051")[0].startswith("LLM_HEALTH_PORT: 50051")


def test_socket_path_fits_the_system(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unix allows 107 bytes."""
    assert problems(environment, LLM_GRPC_SOCKET=tmp_path / ("x" * 108))[0].startswith("LLM_GRPC_SOCKET: ")


def test_wrong_configuration_stops_the_start_with_all_errors(tmp_path: Path) -> None:
    """Exit code 2, every problem by its variable and file, and nothing started."""
    authority = Authority(tmp_path)
    expired, other = authority.expired(), authority.server("other")
    keys = tmp_path / "keys"
    keys.write_text("ann:good-key-of-ann\nno key\n")
    variables = {
        "SERVER_SSL_ENABLED": "true",
        "TLS_SERVER_CERT_PATH": str(expired.certificate),
        "TLS_SERVER_KEY_PATH": str(other.key),
        "TLS_CLIENT_CA_PATH": str(tmp_path / "missing"),
        "LLM_API_KEYS": "bob:",
        "LLM_API_KEYS_FILE": str(keys),
        "CORS_ALLOWED_ORIGINS": "example.com",
    }
    environment = {**clean_environment(), **variables}
    done = subprocess.run([*COMMAND, "serve"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    for expected in (
        f"TLS_SERVER_CERT_PATH: {expired.certificate} holds a certificate that expired",
        f"TLS_SERVER_KEY_PATH: {other.key} is not the key of the certificate in {expired.certificate}",
        f"TLS_CLIENT_CA_PATH: {tmp_path / 'missing'} cannot be read",
        "LLM_API_KEYS: key 1 must be",
        "LLM_API_KEYS_FILE: line 2 must be",
        "CORS_ALLOWED_ORIGINS: 'example.com' is not an origin",
    ):
        assert expected in done.stderr
    assert "good-key" not in done.stderr


def test_empty_keys_are_refused(environment: pytest.MonkeyPatch) -> None:
    """A secret that was not filled in does not open the service to everybody."""
    environment.setenv("LLM_API_KEYS", "")
    with pytest.raises(SettingsError, match="LLM_API_KEYS: it is empty"):
        load_settings()


def test_secret_in_a_file_is_not_shown(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key of the wrong shape in config.json is named by its place only."""
    path = tmp_path / "config.json"
    path.write_text('{"LLM_API_KEYS": ["ann:verysecret"]}')
    environment.setenv("LLM_CONFIG_FILE", str(path))
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "verysecret" not in str(error.value)


def test_secrets_leave_the_environment_however_they_are_spelt(environment: pytest.MonkeyPatch) -> None:
    """The processes that the service starts get none of them."""
    environment.setenv("llm_api_keys", "ann:verysecret")
    hide_secrets()
    assert "verysecret" not in str(os.environ)
