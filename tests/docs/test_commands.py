"""Commands, settings and metrics that the project's pages name exist."""

import re
from pathlib import Path

import click
import pytest

from llm_inference_api.cli import credentials
from llm_inference_api.cli.main import cli
from llm_inference_api.config.settings import Settings
from llm_inference_api.observability.metrics import Metrics
from tests.docs.pages import PROJECT, Page, pages

_CLIENT = {
    "LLM_ADDRESS",
    *(credentials.KEY, credentials.AUTHORITY, credentials.CERTIFICATE, credentials.CERTIFICATE_KEY),
}
_VARIABLE = re.compile(r"\bLLM_[A-Z_]*[A-Z]\b")
_FOLDERS = ("benchmarks/", "compose.", "constraints.", "deploy/", "proto/", "tests/", "third_party/", "tools/")
ALL = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.path.relative_to(PROJECT)))


def unknown_words(words: list[str]) -> list[str]:
    """Returns what the command line does not know of a command's words: subcommands and options."""
    command: click.Command = cli
    unknown = []
    for word in words:
        if word.startswith("-"):
            options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            if word not in options | {"-h", "--help"}:
                unknown.append(word)
        elif isinstance(command, click.Group):
            known = command.commands.get(word) or command.commands.get(getattr(command, "default", ""))
            if known is None:
                return [*unknown, word]
            command = known
    return unknown


def make_targets() -> set[str]:
    """Returns the Makefile's targets for people."""
    (line,) = re.findall(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    return set(line.split())


@ALL
def test_commands_exist(page: Page) -> None:
    """Each command line of a page has its subcommands and options, each `make` its targets."""
    for program, *words in page.commands():
        match program.rpartition("/")[2]:
            case "make":
                assert set(words) <= make_targets()
            case "llm-inference-api":
                assert unknown_words(words) == []


@ALL
def test_files_exist(page: Page) -> None:
    """Each file of the project that a command names is there."""
    named = {word for command in page.commands() for word in command if word.startswith(_FOLDERS) and "*" not in word}
    assert {name for name in named if not (PROJECT / name).exists()} == set()


@ALL
def test_targets_in_sentences_exist(page: Page) -> None:
    """`make …` within a sentence too."""
    named = {word for code in page.code if code.startswith("make ") for word in code.split()[1:] if "=" not in word}
    assert named <= make_targets()


@ALL
def test_settings_exist(page: Page) -> None:
    """Each `LLM_…` of a page is a setting of the service or of the command line."""
    known = {str(name) for info in Settings.model_fields.values() for name in info.validation_alias.choices}  # type: ignore[union-attr]
    assert set(_VARIABLE.findall(page.path.read_text())) <= known | _CLIENT


def test_every_metric_has_its_line() -> None:
    """The page about observability names each metric of the service; those of the process are Prometheus' own."""
    page = (PROJECT / "docs/observability.md").read_text()
    families = [family for family in Metrics("0").registry.collect() if "_process_" not in family.name]
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert set(re.findall(r"`(llm_inference_[a-z_]+)`", page)) <= names


def test_unknown_words_are_found() -> None:
    """A misspelt subcommand or option is one."""
    assert unknown_words(["serve", "--no-envoy", "--port", "8091"]) == []
    assert unknown_words(["models", "pul", "x"]) == ["pul"]
    assert unknown_words(["chat", "Hello", "--max-token", "3"]) == ["--max-token"]


def test_commands_are_taken_apart(tmp_path: Path) -> None:
    """Variables before a command, comments, loops, continued lines and quoted texts are told apart."""
    script = """
# A comment.
A=1 B="two words" make run    # another
for port in 1 2; do
  PORT=$port .venv/bin/llm-inference-api serve --no-envoy &
done
curl -d '{"a":
  "b; c"}' \\
  host && make clean test
"""
    page = tmp_path / "page.md"
    page.write_text(f"```sh{script}```\n\n```python\nmake = 1\n```\n")
    assert list(Page(page).commands()) == [
        ["make", "run"],
        ["for", "port", "in", "1", "2"],
        [".venv/bin/llm-inference-api", "serve", "--no-envoy"],
        ["done"],
        ["curl", "-d", '{"a":\n  "b; c"}', "host"],
        ["make", "clean", "test"],
    ]
