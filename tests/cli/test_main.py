"""The command line, as a person uses it, against a running service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.service import COMMAND, RunningService, clean_environment
from tests.fakes.chat_service import ChatService
from tests.fakes.gguf import write_tiny_model
from tests.fakes.ports import free_port
from tests.fakes.terminal import IS_INSTALLED, terminal


def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**clean_environment(), **variables}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_the_commands() -> None:
    """A newcomer sees what there is."""
    done = run("--help")
    assert done.returncode == 0
    for command in ("serve", "envoy-config", "settings", "models", "health", "generate", "chat"):
        assert command in done.stdout


def test_generate_prints_the_text(service: RunningService) -> None:
    """The continuation goes to standard output; that it is cut is said elsewhere."""
    arguments = ("--model", "tiny", "--max-tokens", "5", "--temperature", "0", "--address", service.address)
    done = run("generate", "hello", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert run("generate", "-", *arguments, stdin="hello").stdout == done.stdout


def test_chat_keeps_the_conversation(service: RunningService) -> None:
    """Lines of standard input are turns of one conversation: the second answer depends on the first turn."""
    arguments = ("chat", "--model", "tiny", "--max-tokens", "8", "--temperature", "0", "--address", service.address)
    both = run(*arguments, stdin="first\nsecond\n")
    assert both.returncode == 0, both.stderr
    alone = run(*arguments, stdin="second\n")
    assert both.stdout.startswith(run(*arguments, stdin="first\n").stdout)
    assert not both.stdout.endswith(alone.stdout)


def test_error_of_the_service_is_a_sentence(service: RunningService) -> None:
    """A refused request is exit code 1 and a line that says why, without a traceback."""
    done = run("generate", "hello", "--model", "none", "--address", service.address)
    assert done.returncode == 1
    assert "model 'none' is not served here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "right"), [("LLM_ADRESS", "LLM_ADDRESS"), ("LLM_APIKEY", "LLM_API_KEY"), ("LLM_THREDS", "LLM_THREADS")]
)
def test_misspelt_variable_is_said_by_every_command(variable: str, right: str) -> None:
    """Else the command would ask the service of this machine, or send no key, and not say so."""
    done = run("settings", "--json", **{variable: "1"})
    assert done.stderr == f"Warning: {variable}: is not a setting; did you mean {right}?\n"
    json.loads(done.stdout)


def test_no_service_is_said_so() -> None:
    """Without a service the commands say how to start one."""
    done = run("models", "list", "--address", f"127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "is it running?" in done.stderr


def test_host_that_does_not_exist_is_said_so() -> None:
    """In words, not in a resolver's."""
    done = run("models", "list", "--address", "nobody.invalid:1")
    assert done.returncode == 1
    assert "the host's name in nobody.invalid:1 cannot be resolved" in done.stderr


def test_url_of_the_rest_api_is_an_address(service: RunningService) -> None:
    """Envoy takes gRPC on the same port."""
    assert run("health", "--address", f"{service.url}/").stdout == "SERVING\n"
    done = run("health", "--address", f"{service.url}/v1")
    assert done.returncode == 2
    assert "write host:port" in done.stderr


def test_health_of_a_model_that_is_not_served_is_a_sentence(service: RunningService) -> None:
    """gRPC's health service says nothing but NOT_FOUND."""
    done = run("health", "--model", "nope", "--address", service.address)
    assert done.stderr == "Error: model 'nope' is not served here; `models list` names those that are\n"


def test_pipe_gets_the_text_of_the_model_as_it_is() -> None:
    """Neither rendered nor escaped: it may be data for another program. Commands are text there."""
    service = ChatService(("**bold** \x1b[1m\r\n",), ("Two",))
    with service.serve() as address:
        command = [*COMMAND, "chat", "--address", address]
        written = subprocess.check_output(command, env=clean_environment(), input=b"/help\nexit\n", timeout=60)
    assert written == b"**bold** \x1b[1m\r\n\nTwo\n"
    assert [asked[-1] for asked in service.asked] == [("user", "/help"), ("user", "exit")]


def test_figures_of_an_answer_go_beside_it() -> None:
    """Standard output has the text alone."""
    with ChatService(("Yes",)).serve() as address:
        done = run("chat", "Hi", "--stats", "--address", address)
    assert done.stdout == "Yes\n"
    assert done.stderr.startswith("[34 tokens in ")


@pytest.mark.parametrize("arguments", [("chat",), ("generate", "-"), ("chat", b"\xff"), ("generate", b"\xff")])
def test_text_that_is_not_utf_8_is_said_so(arguments: tuple[str | bytes, ...]) -> None:
    """Without a traceback, wherever it comes from."""
    with ChatService(("Yes",)).serve() as address:
        command = [*COMMAND, *arguments, "--address", address]
        environment = {**clean_environment(), "PYTHONUTF8": "1"}
        done = subprocess.run(command, env=environment, input=b"\xff\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith(b"Error: arguments and standard input must be text in UTF-8\n")


def test_model_list_is_a_line_for_each_in_a_pipe(service: RunningService) -> None:
    """Whatever the reason of a failure; that stands below."""
    done = run("models", "list", "--address", service.address)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:9]] == [
        *("tiny", "plain.gguf", "missing.gguf", "empty.gguf", "truncated.gguf", "garbage.gguf", "nan.gguf"),
        "steady.gguf",
    ]
    assert "?B" not in done.stdout


def test_values_of_a_file_are_no_markup(tmp_path: Path) -> None:
    """A template's [/INST] is neither left out nor an error."""
    write_tiny_model(tmp_path / "a.gguf", template="[INST] {{ messages[0]['content'] }} [/INST]")
    done = run("models", "show", "a.gguf", LLM_MODEL_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "[INST] {{ messages[0]['content'] }} [/INST]" in done.stdout


@pytest.mark.parametrize(("model", "code"), [(None, 0), ("tiny", 0), ("missing.gguf", 1), ("nobody", 1)])
def test_health_is_an_exit_code(service: RunningService, model: str | None, code: int) -> None:
    """Scripts learn from the exit code whether the service, or a model, serves."""
    chosen = ("--model", model) if model else ()
    assert run("health", *chosen, "--address", service.address).returncode == code


def test_models_are_listed_loaded_and_unloaded(service: RunningService) -> None:
    """A person steers models from a terminal."""
    address = ("--address", service.address)
    assert "plain.gguf is active" in run("models", "load", "plain.gguf", *address).stdout
    assert "ACTIVE" in run("models", "list", *address).stdout
    assert run("models", "unload", "plain.gguf", *address).returncode == 0


def test_settings_mask_nothing_that_is_no_secret_and_show_origins() -> None:
    """Each variable stands there with its value and where it came from."""
    done = run("settings", LLM_THREADS="3")
    assert done.returncode == 0
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("LLM_THREADS"))
    assert line.split()[1:3] == ["3", "environment"]


def test_settings_are_json_on_request() -> None:
    """By variable, with secrets masked."""
    done = run("settings", "--json", LLM_ALLOWED_MODELS="demo,x=a.gguf", LLM_API_KEYS="ann:secret-secret-secret")
    shown = json.loads(done.stdout)
    assert shown["LLM_ALLOWED_MODELS"]["value"] == ["demo", "x=a.gguf"]
    assert (shown["LLM_API_KEYS"]["value"], shown["LLM_API_KEYS"]["set_by"]) == ("***", "environment")
    assert shown["LLM_QUEUE_TIMEOUT"]["value"] == 30.0
    assert all(setting["meaning"] for setting in shown.values())
    assert "secret-" not in done.stdout


@pytest.mark.skipif(not IS_INSTALLED, reason="needs tmux")
def test_settings_can_be_read_on_a_terminal(tmp_path: Path) -> None:
    """Each value on a line of its own, what it means below, in whole lines."""
    environment = {**clean_environment(), "LLM_THREADS": "3"}
    with terminal(tmp_path, [*COMMAND, "settings"], environment, columns=100, rows=200) as shown:
        shown.wait_for("ended with 0")
        lines = shown.lines()
    line = lines.index("LLM_THREADS=3  (environment)")
    assert lines[line + 1] == "    Compute threads. Unset: the number of processors available."


@pytest.mark.skipif(not IS_INSTALLED, reason="needs tmux")
def test_models_fit_a_terminal_of_80_columns(tmp_path: Path, service: RunningService) -> None:
    """Ids are not cut."""
    with terminal(
        tmp_path, [*COMMAND, "models", "list"], {**clean_environment(), "LLM_ADDRESS": service.address}, columns=80
    ) as shown:
        shown.wait_for("ended with 0")
        assert any(line.split()[:2] == ["tiny", "ACTIVE"] for line in shown.lines())
        assert "…" not in shown.screen()


@pytest.mark.skipif(not IS_INSTALLED, reason="needs tmux")
def test_answer_to_one_message_is_markdown_on_a_terminal(tmp_path: Path) -> None:
    """And nothing that a terminal would obey."""
    service = ChatService(("**bold** \x1b[2J",))
    with (
        service.serve() as address,
        terminal(tmp_path, [*COMMAND, "chat", "Hi", "--address", address], clean_environment()) as shown,
    ):
        assert shown.wait_for("ended with 0").startswith("bold \\x1b[2J")


def test_commands_load_what_they_need_only() -> None:
    """The terminal's libraries are large; most commands print a line."""
    heavy = ("prompt_toolkit", "rich.console", "markdown_it", "llm_inference_api.server")
    program = f"import sys, llm_inference_api.cli.main; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_bad_settings_are_exit_code_2() -> None:
    """Checking the settings says what is wrong with them."""
    done = run("settings", LLM_THREADS="none")
    assert done.returncode == 2
    assert "LLM_THREADS" in done.stderr


def test_envoy_config_prints_a_bootstrap() -> None:
    """The bootstrap for a container follows the options and the settings."""
    done = run("envoy-config", "--upstream", "service:50055", LLM_INFERENCE_PORT="9000")
    assert done.returncode == 0
    assert '"port_value": 9000' in done.stdout
    assert '"port_value": 50055' in done.stdout


def test_envoy_has_an_admin_interface_where_one_is_asked_for() -> None:
    """None by default; a port for everybody on the machine, or a socket for Envoy's user."""
    assert "admin" not in json.loads(run("envoy-config").stdout)
    port = json.loads(run("envoy-config", "--admin-port", "9901").stdout)["admin"]["address"]
    assert port["socket_address"] == {"address": "127.0.0.1", "port_value": 9901}
    socket = json.loads(run("envoy-config", "--admin-socket", "/run/admin.sock").stdout)["admin"]["address"]
    assert socket == {"pipe": {"path": "/run/admin.sock", "mode": 0o600}}
    both = run("envoy-config", "--admin-port", "9901", "--admin-socket", "/run/admin.sock")
    assert both.returncode == 2
    assert "--admin-port" in both.stderr


def test_envoys_metrics_have_a_port_where_one_is_asked_for() -> None:
    """They come from the admin interface, without which there are none."""
    config = json.loads(run("envoy-config", "--admin-port", "9901", "--metrics-port", "9464").stdout)[
        "static_resources"
    ]
    assert config["listeners"][-1]["address"]["socket_address"]["port_value"] == 9464
    (endpoint,) = config["clusters"][-1]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 9901}
    alone = run("envoy-config", "--metrics-port", "9464")
    assert alone.returncode == 2
    assert "--admin-port" in alone.stderr


def test_envoy_config_for_replicas() -> None:
    """Several upstreams, or a name, make a front Envoy; without affinity it looks into no body."""
    done = run("envoy-config", "--upstream", "a:50051", "--upstream", "b:50052")
    assert done.returncode == 0
    assert all(part in done.stdout for part in ('"a"', "50051", '"b"', "50052", "x-session-id", "MAGLEV"))
    without = run("envoy-config", "--upstream", "llm-headless:50051", "--no-affinity")
    assert without.returncode == 0
    assert "LEAST_REQUEST" in without.stdout
    assert "MAGLEV" not in without.stdout


def test_upstreams_that_are_none_are_exit_code_2() -> None:
    """Every wrong one is named, with what would be right."""
    done = run("envoy-config", "--upstream", "nonsense", "--upstream", "a:b", "--upstream", "c:1")
    assert done.returncode == 2
    assert "write host:port, such as nonsense:50051" in done.stderr
    assert "'a:b' has the port 'b'" in done.stderr


def test_descriptor_set_can_be_found() -> None:
    """The file that Envoy needs is where the command says."""
    assert Path(run("envoy-config", "--print-descriptor-path").stdout.strip()).is_file()
