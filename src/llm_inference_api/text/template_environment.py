"""Jinja environment of chat templates: a sandbox with transformers' filters, globals and tags."""

import json
from collections.abc import Generator
from datetime import datetime
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment


class TemplateRefusalError(Exception):
    """Raised by a template's `raise_exception`, for example for an invalid order of roles."""


def environment() -> SandboxedEnvironment:
    """Returns an environment that computes nothing before it renders (transformers: utils/chat_template_utils.py).

    Unlike transformers', it lets templates change lists, as llama.cpp does and Kimi K2's template needs: what a
    template is given belongs to one rendering alone.
    """
    made = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[loopcontrols, GenerationTag]
    )
    made.code_generator_class = _NoFolding
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return made


class _NoFolding(CodeGenerator):
    """Computes no expression while the template is compiled: it may be costly, and stand where it is never reached."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Any, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - templates pass these by position too
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys, default=_listed
    )


def _listed(value: Any) -> list[Any]:
    """Returns what Jinja's filters yield as a list. Raises TypeError for anything else that JSON has not."""
    if isinstance(value, Generator):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


class GenerationTag(Extension):
    """Ignores `{% generation %}` blocks, which only mark the assistant's tokens for training."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's name

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Returns the nodes of the block's body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> str:
    raise TemplateRefusalError(message)
