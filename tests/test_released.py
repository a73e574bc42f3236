"""The protos stay compatible with the contract of the last release, which is committed as an image."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.generate import PROJECT, descriptors

(IMAGE,) = (PROJECT / "proto/released").glob("*.binpb")
PAGES = "llm_inference.web."
"""The package of what is for people, not programs."""
BREAKING = 100
"""The exit code of buf where it found something."""


def breaking(project: Path) -> tuple[int, str]:
    """Returns the exit code and the findings of `make lint`'s comparison, run on a copy of the project's protos."""
    command = [Path(sys.executable).with_name("buf"), "breaking", "proto", "--against", IMAGE]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A directory with what buf reads."""
    for name in ("proto", "third_party"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    shutil.copy(PROJECT / "buf.yaml", tmp_path)
    return tmp_path


def replace(copy: Path, file: str, old: str, new: str) -> None:
    path = copy / "proto/llm_inference" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_contract_is_compatible_with_the_last_release() -> None:
    """What programs were written for is still there."""
    assert breaking(PROJECT) == (0, "")


TOP_K = "  optional uint32 top_k = 6;\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "finding"),
    [
        ("v1/inference.proto", TOP_K, "", 'field "6" with name "top_k" on message "ChatRequest" was deleted'),
        ("v1/inference.proto", TOP_K, '  reserved 6;\n  reserved "top_k";\n', 'field "6" with name "top_k" on message'),
        ("v1/inference.proto", TOP_K, TOP_K.replace("top_k", "top"), 'changed name from "top_k" to "top"'),
        ("v1/inference.proto", TOP_K, TOP_K.replace("6", "160"), 'field "6" with name "top_k" on message'),
        ("v1/inference.proto", TOP_K, TOP_K.replace("uint32", "int32"), 'changed type from "uint32" to "int32"'),
        ("v1/inference.proto", TOP_K, TOP_K.replace("optional", "repeated"), "changed cardinality"),
        ("v1/inference.proto", TOP_K, f"  oneof top {{{TOP_K.replace('optional', '')}}}\n", "oneof"),
        ("v1/models.proto", "    CONVERTING = 3;\n", "", 'enum value "3" on enum "State" was deleted'),
        ("v1/models.proto", "ModelService", "LifeService", 'service "ModelService" was deleted'),
        ("v1/tokens.proto", "rpc Detokenize(", "rpc Decode(", 'RPC "Detokenize" on service "TokenService" was deleted'),
    ],
)
def test_incompatible_change_is_found(copy: Path, file: str, old: str, new: str, finding: str) -> None:
    """What would break a program or a REST caller fails, a field that is removed and reserved included."""
    replace(copy, file, old, new)
    code, findings = breaking(copy)
    assert code == BREAKING
    assert finding in findings


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("v1/inference.proto", TOP_K, f"{TOP_K}  optional uint32 top_q = 160;\n"),
        ("v1/models.proto", "    CONVERTING = 3;\n", "    CONVERTING = 3;\n    PAUSED = 9;\n"),
        ("web/v1/pages.proto", "string path = 1", "string path = 2"),
    ],
)
def test_compatible_change_passes(copy: Path, file: str, old: str, new: str) -> None:
    """Fields and values may be added; pages and metrics are not part of the contract."""
    replace(copy, file, old, new)
    assert breaking(copy) == (0, "")


def bindings(descriptor_set: bytes) -> dict[str, list[str]]:
    """Returns the HTTP bindings of each method: verb, path, body and response body."""
    found = {}
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        for service in file.service:
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                found[f"{file.package}.{service.name}/{method.name}"] = [
                    *map(binding, (rule, *rule.additional_bindings))
                ]
    return found


def binding(rule: http_pb2.HttpRule) -> str:
    verb = rule.WhichOneof("pattern")
    return f"{verb} {getattr(rule, verb)} body={rule.body} response_body={rule.response_body}"


def test_rest_paths_are_those_of_the_last_release() -> None:
    """Paths and bodies are options, of which buf has no rule; a method may only get further paths."""
    released, now = bindings(IMAGE.read_bytes()), bindings(descriptors())
    assert "post /api/generate body=* response_body=" in released["llm_inference.v1.InferenceService/Generate"]
    programs = {method: paths for method, paths in released.items() if not method.startswith(PAGES)}
    gone = {method: [path for path in paths if path not in now[method]] for method, paths in programs.items()}
    assert gone == {method: [] for method in programs}


def test_paths_that_people_know_stay() -> None:
    """The pages' methods and assets may change, not what is bookmarked and scraped."""
    now = {path for method, paths in bindings(descriptors()).items() if method.startswith(PAGES) for path in paths}
    known = ("/", "/{path=swagger-ui}", "/openapi.json", "/metrics")
    assert {f"get {path} body= response_body=http_body" for path in known} <= now
