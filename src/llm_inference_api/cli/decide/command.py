"""The commands `llm-inference-api decide …`: ask typed questions, and calibrate their answers."""

import sys

import click
from typing_extensions import override

from llm_inference_api.cli.common import address_option, calls_service, json_option
from llm_inference_api.cli.decide.calibrate import calibrate
from llm_inference_api.cli.options import model_option

_ASK = "ask"


class DefaultGroup(click.Group):
    """A group with a command that need not be named."""

    default = _ASK

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_named or not args else [self.default, *args])


@click.group(cls=DefaultGroup, subcommand_metavar="TEXT | COMMAND …")
def decide() -> None:
    """Ask typed questions about a text: `decide TEXT --predicate …`; see `decide ask --help`.

    A text that is the name of a command goes behind `ask`.
    """


@decide.command(_ASK)
@click.argument("text")
@click.option("--predicate", "predicates", multiple=True, help="A question with yes or no for an answer.")
@click.option("--choice", "choices", multiple=True, help="A question and its options: 'Which team?|billing|shipping'.")
@click.option("--score", "scores", multiple=True, help="A question and its levels, the lowest first: 'Mood?|bad|good'.")
@click.option("--rotations", type=click.IntRange(1, 255), help="In how many orders the options are shown. Default: 2.")
@model_option
@json_option
@address_option
@calls_service
async def ask(  # noqa: PLR0913
    *,
    text: str,
    predicates: tuple[str, ...],
    choices: tuple[str, ...],
    scores: tuple[str, ...],
    rotations: int | None,
    model: str,
    as_json: bool,
    address: str,
) -> None:
    """Ask questions about TEXT; `-` reads it from standard input.

    Prints a bar for each allowed answer, as long as it is probable. An option or a level may say when it is right,
    behind a `=`: 'billing=charges and refunds'. Options may be given several times.
    """
    from llm_inference.v1 import decisions_pb2
    from llm_inference_api.cli.connection import connect
    from llm_inference_api.cli.decide.asked import choice, predicate, score
    from llm_inference_api.cli.decide.bars import print_decisions, print_json

    questions = [*map(predicate, predicates), *map(choice, choices), *map(score, scores)]
    if not questions:
        raise click.UsageError("ask something: --predicate, --choice or --score")
    said = sys.stdin.read() if text == "-" else text
    request = decisions_pb2.DecideRequest(text=said, questions=questions, model=model, rotations=rotations)
    async with connect(address) as client:
        response = await client.decide(request)
    if as_json:
        print_json(response)
    else:
        print_decisions(questions, response.decisions)


decide.add_command(calibrate)
