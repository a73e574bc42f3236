"""The command `llm-inference-api completion`."""

from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

_PROGRAM = "llm-inference-api"
_VARIABLE = "_LLM_INFERENCE_API_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script by which SHELL completes commands and options.

    For bash: `eval "$(llm-inference-api completion bash)"` in ~/.bashrc; for zsh the same with zsh in ~/.zshrc; for
    fish: `llm-inference-api completion fish > ~/.config/fish/completions/llm-inference-api.fish`.
    """
    kind: type[ShellComplete] | None = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, _PROGRAM, _VARIABLE).source())
