"""The examples in other languages, where those are installed: stubs by `buf generate`, an answer whole and streamed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.service import RunningService, run_service
from tools.generate import PROJECT

EXAMPLES = PROJECT / "examples"
BUF = Path(sys.executable).with_name("buf")
GO_LIBRARIES = Path("/usr/share/gocode")
"""Where Debian's packages of Go libraries are."""
JAVA_LIBRARIES = Path("/usr/share/java")
JARS = ("grpc-*", "protobuf*", "proto-google*", "guava", "netty*", "perfmark*", "geronimo-annotation*", "jsr305")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The demo."""
    directory = tmp_path_factory.mktemp("examples")
    with run_service(directory, directory, LLM_ALLOWED_MODELS="demo") as running:
        yield running


def generate(directory: Path, *plugins: str, contract: Path = PROJECT, search: str = "") -> None:
    """Runs `buf generate` with these plugins of buf.gen.yaml."""
    template = yaml.safe_load((PROJECT / "buf.gen.yaml").read_text())
    every = template["plugins"]
    template["plugins"] = [plugin for plugin in every if plugin.get("local", plugin.get("protoc_builtin")) in plugins]
    path = directory / "buf.gen.yaml"
    path.write_text(yaml.safe_dump(template))
    run([BUF, "generate", "--template", path, "-o", directory], contract, PATH=f"{search}:{os.environ['PATH']}")


def run(command: list[str | Path], directory: Path, **variables: str) -> str:
    """Returns what the command prints."""
    given = {**os.environ, **variables}
    done = subprocess.run(command, cwd=directory, env=given, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_is_answered_twice(text: str) -> None:
    """Whole on the first line, streamed on the second."""
    assert [bool(line.strip()) for line in text.strip().split("\n")] == [True, True], text


def test_javascript(service: RunningService, tmp_path: Path) -> None:
    """Over gRPC to the service, and by the Connect protocol through Envoy."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    shutil.copytree(EXAMPLES / "javascript", tmp_path, dirs_exist_ok=True)
    options = ["--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(
        ["npm", "install", *options], cwd=tmp_path, capture_output=True, timeout=300, check=False
    )
    if installed.returncode != 0:
        pytest.skip("the packages could not be installed")
    generate(tmp_path, "protoc-gen-es", search=str(tmp_path / "node_modules/.bin"))
    assert_is_answered_twice(run(["node", "chat.mjs", f"http://{service.address}"], tmp_path))
    *answers, error = run(["node", "connect.mjs", service.url], tmp_path).strip().split("\n")
    assert_is_answered_twice("\n".join(answers))
    assert error.startswith("NotFound MODEL_NOT_FOUND: model 'none' is not served here")


def test_go(service: RunningService, tmp_path: Path) -> None:
    """With Debian's plugins and libraries."""
    if not all(map(shutil.which, ("go", "protoc-gen-go", "protoc-gen-go-grpc"))):
        pytest.skip("Go and its plugins are not installed")
    if not (GO_LIBRARIES / "src/google.golang.org/grpc").is_dir():
        pytest.skip("Debian's packages of gRPC for Go are not installed")
    generate(tmp_path, "protoc-gen-go", "protoc-gen-go-grpc")
    package = tmp_path / "src/example.com/llm"
    shutil.copytree(EXAMPLES / "go", package)
    shutil.move(tmp_path / "gen", package)
    variables = {"GO111MODULE": "off", "GOPATH": f"{tmp_path}:{GO_LIBRARIES}"}
    run(["go", "build", "-o", tmp_path / "chat", "main.go"], package, **variables)
    assert_is_answered_twice(run([tmp_path / "chat", service.address], tmp_path))


def test_java(service: RunningService, tmp_path: Path) -> None:
    """With Debian's plugin and libraries, and the one name in the contract that Java cannot bear changed."""
    plugin, compiler = shutil.which("grpc_java_plugin"), shutil.which("javac")
    jars = [str(jar) for name in JARS for jar in JAVA_LIBRARIES.glob(f"{name}.jar")]
    if not plugin or not compiler or not shutil.which("protoc") or not any("grpc-netty" in jar for jar in jars):
        pytest.skip("a Java compiler, protoc, and Debian's gRPC for Java are not installed")
    contract = tmp_path / "contract"
    for name in ("proto", "third_party"):
        shutil.copytree(PROJECT / name, contract / name)
    shutil.copy(PROJECT / "buf.yaml", contract)
    for path in (contract / "proto").rglob("*.proto"):
        path.write_text(path.read_text().replace("bytes token_bytes =", "bytes raw_bytes ="))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/protoc-gen-grpc-java").symlink_to(plugin)
    generate(tmp_path, "java", "protoc-gen-grpc-java", contract=contract, search=str(tmp_path / "bin"))
    libraries = ":".join(jars)
    out = tmp_path / "out"
    options = ["-nowarn", "-cp", libraries, "-sourcepath", tmp_path / "gen/java", "-d", out]
    run([compiler, *options, EXAMPLES / "java/Chat.java"], tmp_path)
    assert_is_answered_twice(run(["java", "-cp", f"{out}:{libraries}", "Chat", service.address], tmp_path))
