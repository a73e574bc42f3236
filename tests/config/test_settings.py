from pathlib import Path

import pytest

from llm_inference_api.config.settings import SettingsError, load_settings, variable_of
from llm_inference_api.observability.otlp import OtlpTarget
from llm_inference_api.requests.reference import Reference
from tests.e2e.service import clean_environment
from tools import settings_page
from tools.settings_page import PAGE, PROJECT, write_settings_page

DEFAULTS = {
    "LLM_INFERENCE_HOSTNAME": "0.0.0.0",
    "LLM_INFERENCE_PORT": 8091,
    "LLM_GRPC_PORT": 50051,
    "CORS_ALLOWED_ORIGINS": ("*",),
    "LLM_DEFAULT_TEMPERATURE": 0.7,
    "LLM_DEFAULT_TOP_P": 0.9,
    "LLM_DEFAULT_MAX_TOKENS": 512,
    "LLM_MAX_TOKENS_LIMIT": 4096,
    "LLM_MAX_CONCURRENT_REQUESTS": 10,
    "LLM_MODEL_PATH": Path("models"),
    "LLM_ENABLE_ISQ": False,
    "SERVICE_NAME": "llm-inference-api",
    "SERVER_SSL_ENABLED": False,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting but those of the test."""
    for name in set(__import__("os").environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    return monkeypatch


def test_defaults_are_those_of_the_replaced_service() -> None:
    """Every variable of the replaced service has its name and its default."""
    settings = load_settings()
    values = {variable_of(name): getattr(settings, name) for name in type(settings).model_fields}
    assert {name: values[name] for name in DEFAULTS} == DEFAULTS


def test_without_allowed_models_the_bundled_ones_are_served_and_the_first_is_loaded() -> None:
    """A newcomer needs no setting."""
    settings = load_settings()
    assert Reference("demo", "demo") in settings.models
    assert settings.preload == (settings.models[0].id,)


def test_several_models_are_loaded_when_they_are_asked_for(environment: pytest.MonkeyPatch) -> None:
    """With several models none is loaded at the start unless the settings name it."""
    environment.setenv("LLM_ALLOWED_MODELS", "a.gguf, chat=b.gguf")
    assert load_settings().preload == ()
    environment.setenv("LLM_PRELOAD_MODELS", "chat")
    assert load_settings().preload == ("chat",)


def test_command_line_goes_before_the_environment(environment: pytest.MonkeyPatch) -> None:
    """An option of the command line wins."""
    environment.setenv("LLM_INFERENCE_PORT", "1000")
    assert load_settings(port=2000).port == 2000
    assert load_settings(port=None).port == 1000


def test_queue_defaults_to_four_times_the_slots(environment: pytest.MonkeyPatch) -> None:
    """The queue grows with what is computed at the same time; 0 is a queue too."""
    environment.setenv("LLM_MAX_CONCURRENT_REQUESTS", "3")
    assert load_settings().queue_length == 12
    environment.setenv("LLM_MAX_QUEUED_REQUESTS", "0")
    assert load_settings().queue_length == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_INFERENCE_PORT", "0"),
        ("LLM_INFERENCE_PORT", "50051"),
        ("LLM_DEFAULT_TEMPERATURE", "2.1"),
        ("LLM_DEFAULT_TEMPERATURE", "nan"),
        ("LLM_DEFAULT_TOP_P", "-0.1"),
        ("LLM_DEFAULT_SEED", "4294967295"),
        ("LLM_DEFAULT_MAX_TOKENS", "5000"),
        ("LLM_MAX_CONCURRENT_REQUESTS", "0"),
        ("LLM_MAX_CONCURRENT_REQUESTS", "65"),
        ("LLM_QUEUE_TIMEOUT", "inf"),
        ("LLM_ALLOWED_MODELS", "a.gguf,a.gguf"),
        ("LLM_ALLOWED_MODELS", "/etc/model.gguf"),
        ("LLM_ALLOWED_MODELS", "a=../b.gguf"),
        ("LLM_PRELOAD_MODELS", "other"),
        ("LOG_FORMAT", "xml"),
        ("SERVER_SSL_ENABLED", "maybe"),
        ("LLM_METRICS_PORT", "8091"),
        ("LLM_OLLAMA_PORT", "8091"),
        ("LLM_OLLAMA_PORT", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:x"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317/v1/traces"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:word@collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ],
)
def test_bad_value_is_refused_by_the_variables_name(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value that cannot be used is named by the variable that holds it."""
    environment.setenv(name, value)
    with pytest.raises(SettingsError, match=name if value != "50051" else "LLM_GRPC_PORT"):
        load_settings()


def test_all_problems_are_told_at_once(environment: pytest.MonkeyPatch) -> None:
    """A person mends all settings in one go."""
    environment.setenv("LLM_GRPC_PORT", "x")
    environment.setenv("LLM_DEFAULT_TOP_P", "7")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert len(str(error.value).splitlines()) == 2


def test_problems_of_several_settings_are_told_beside_those_of_one(environment: pytest.MonkeyPatch) -> None:
    """A number that is none does not hide a contradiction, and starts none."""
    environment.setenv("LLM_GRPC_PORT", "99999")
    environment.setenv("LLM_MAX_TOKENS_LIMIT", "many")
    environment.setenv("LLM_DEFAULT_MAX_TOKENS", "5000")
    environment.setenv("LLM_ENABLE_ISQ", "true")
    environment.setenv("CORS_ALLOWED_ORIGINS", "example.com")
    with pytest.raises(SettingsError) as error:
        load_settings()
    names = sorted(line.partition(":")[0] for line in str(error.value).splitlines())
    assert names == ["CORS_ALLOWED_ORIGINS", "LLM_GRPC_PORT", "LLM_ISQ_TYPE", "LLM_MAX_TOKENS_LIMIT"]


def test_setting_that_asks_for_nothing_is_accepted(environment: pytest.MonkeyPatch) -> None:
    """Features that are switched off need not be supported."""
    environment.setenv("LLM_ENABLE_ISQ", "false")
    environment.setenv("SERVER_SSL_ENABLED", "false")
    load_settings()


def test_token_is_never_shown(environment: pytest.MonkeyPatch) -> None:
    """A secret in the environment does not reach a message."""
    environment.setenv("HF_TOKEN", "hf_verysecret")
    environment.setenv("HF_ENDPOINT", "http://mirror.example")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "verysecret" not in str(error.value)


def test_collectors_key_is_never_shown(environment: pytest.MonkeyPatch) -> None:
    """Neither a list of headers that is none nor an address with a password reaches a message."""
    environment.setenv("OTEL_EXPORTER_OTLP_HEADERS", "verysecret")
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:verysecret@collector:4317")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert len(str(error.value).splitlines()) == 2
    assert "verysecret" not in str(error.value)


def test_traces_go_nowhere_unless_they_are_sent_somewhere(environment: pytest.MonkeyPatch) -> None:
    """Without an endpoint there are no traces, nor where OpenTelemetry is switched off."""
    assert load_settings().otlp_target is None
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
    assert load_settings().otlp_target == OtlpTarget("http://collector:4317")
    environment.setenv("OTEL_SDK_DISABLED", "true")
    assert load_settings().otlp_target is None


@pytest.mark.parametrize(
    ("sampler", "part"),
    [("parentbased_always_on", 1.0), ("parentbased_always_off", 0.0), ("parentbased_traceidratio", 0.25)],
)
def test_sampler_says_which_traces_begin(environment: pytest.MonkeyPatch, sampler: str, part: float) -> None:
    """The argument counts for the sampler that takes one."""
    environment.setenv("OTEL_TRACES_SAMPLER", sampler)
    environment.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    assert load_settings().sampled == part


def test_settings_page_is_that_of_the_code(tmp_path: Path) -> None:
    """Generating the page again changes nothing."""
    write_settings_page(tmp_path)
    assert (tmp_path / PAGE).read_text() == (PROJECT / PAGE).read_text()


def test_settings_page_lists_every_setting() -> None:
    """The page's tables have each variable with its default and its meaning."""
    lines = (PROJECT / PAGE).read_text().splitlines()
    for name, info in type(load_settings()).model_fields.items():
        (line,) = (line for line in lines if line.startswith(f"| `{variable_of(name)}` |"))
        assert str(info.description) in line
        if isinstance(info.default, (int, float, str, Path)) and not isinstance(info.default, bool):
            assert f"`{info.default}`" in line


def test_settings_page_says_what_a_setting_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges, words and other places are those of the code; a setting without a table is an error."""
    lines = (PROJECT / PAGE).read_text().splitlines()
    assert any("| 1 to 65535 |" in line and "`--port`, `server.port`, `INFRS_SERVER__PORT`" in line for line in lines)
    assert any("`LLM_DEFAULT_TOP_P` | `0.9` | 0 to 1 |" in line for line in lines)
    assert any("`LLM_SPLIT_MODE` | `layer` | `none`, `layer`, `row` |" in line for line in lines)
    monkeypatch.setitem(settings_page.SECTIONS, "Models", ())
    with pytest.raises(ValueError, match="allowed_models"):
        settings_page.text()


@pytest.mark.parametrize(("text", "expected"), [("2", (2, 2)), ("1-8", (1, 8))])
def test_replicas_of_a_cluster_are_a_number_or_a_range(text: str, expected: tuple[int, int]) -> None:
    assert load_settings(cluster_replicas=text).replica_range == expected


@pytest.mark.parametrize("text", ["0", "8-1", "1-", "many"])
def test_replicas_that_are_no_range_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="LLM_CLUSTER_REPLICAS"):
        load_settings(cluster_replicas=text)


@pytest.mark.parametrize(
    ("variable", "value"), [("adapters", "demo:a=a.gguf"), ("matryoshka_models", "demo")], ids=["adapters", "vectors"]
)
def test_what_replicas_are_not_told_is_refused_on_a_cluster(variable: str, value: str) -> None:
    """Instead of being left out there."""
    assert load_settings(allowed_models="demo", **{variable: value})
    with pytest.raises(SettingsError, match=f"LLM_{variable.upper()}: replicas on a cluster"):
        load_settings(allowed_models="demo", cluster="auto", **{variable: value})


@pytest.mark.parametrize(
    ("servers", "others", "problem"),
    [
        ("10.0.0.2", {}, "LLM_RPC_SERVERS: '10.0.0.2' must be host:port"),
        ("[::1]:50052", {}, r"LLM_RPC_SERVERS: '\[::1\]:50052' must be host:port"),
        ("a:70000", {}, "LLM_RPC_SERVERS: 'a:70000' must be host:port"),
        ("a:1,a:1", {}, "LLM_RPC_SERVERS: it names a server twice"),
        ("a:1", {"gpu_layers": 0}, "LLM_GPU_LAYERS: 0 leaves nothing to LLM_RPC_SERVERS"),
        ("a:1", {"split_mode": "row"}, "LLM_SPLIT_MODE: row does not use LLM_RPC_SERVERS"),
        ("a:1", {"cluster": "auto"}, "LLM_RPC_SERVERS: replicas on a cluster have none"),
        ("a:1", {"rpc_model": "other"}, "LLM_RPC_MODEL: other is not in LLM_ALLOWED_MODELS"),
        ("a:1", {"allowed_models": "demo,one=demo"}, "LLM_RPC_MODEL: required with LLM_RPC_SERVERS where several"),
        ("", {"rpc_model": "demo"}, "LLM_RPC_SERVERS: required where LLM_RPC_MODEL is set"),
    ],
)
def test_servers_that_cannot_be_used_are_refused(servers: str, others: dict[str, object], problem: str) -> None:
    """Before anything is served, by the setting to change."""
    with pytest.raises(SettingsError, match=problem):
        load_settings(**{"allowed_models": "demo", "rpc_servers": servers, **others})


def test_servers_compute_the_model_without_a_name() -> None:
    """Or the one that is named."""
    servers = "10.0.0.2:50052, big.lan:50052"
    alone = load_settings(allowed_models="demo", rpc_servers=servers)
    assert (alone.rpc_servers, alone.offloaded_model) == (("10.0.0.2:50052", "big.lan:50052"), "demo")
    named = load_settings(allowed_models="demo,one=demo", rpc_servers=servers, rpc_model="one")
    assert named.offloaded_model == "one"
