"""The names that Envoy and the service agree on stand in one file."""

import ast
import re
from importlib.resources import files
from pathlib import Path

import llm_inference_api
from llm_inference_api import headers

SHARED = frozenset(
    {value for value in vars(headers).values() if isinstance(value, str) and value.startswith("x-")}
    | set(headers.OPENAI_ERROR.values())
)
"""Names of our own and Envoy's; those of HTTP and gRPC are words that other strings have too."""


def literals(path: Path) -> set[str]:
    """Returns the strings of a module, without its docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)
    return {node.value for node in constants if isinstance(node.value, str)}


def test_no_other_module_writes_a_shared_name() -> None:
    """A name that is changed in one place is changed everywhere."""
    package = Path(llm_inference_api.__file__).parent
    modules = [path for room in ("envoy", "rpc", "api") for path in (package / room).rglob("*.py")]
    assert len(modules) > 30
    written = {
        f"{path.relative_to(package)}: {name}"
        for path in modules
        for text in literals(path)
        for name in SHARED
        if name in text.lower()
    }
    assert not written


def test_script_of_the_front_has_the_same_names() -> None:
    """Lua imports nothing of Python."""
    script = files("llm_inference_api.envoy").joinpath("affinity.lua").read_text()
    named = set(re.findall(r'"(x-[a-z-]+)"', script))
    assert named == {headers.SESSION_ID, headers.AFFINITY_KEY}
