"""What is measured of every family, and the table of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llm_inference_api.requests.tools import ToolMode
from llm_inference_api.text.chat_template import ChatTemplate
from llm_inference_api.text.families.form import Form
from tests.oracle.families.cases import TEMPLATES, Case, read_cases
from tests.oracle.families.reading import Outcome, mask_problem, outcome, prompt_of, template_of
from tests.oracle.families.renderings import BOS, EOS, Kind, Rendering, render_all


@dataclass(frozen=True)
class Masked:
    """A native text with calls under the mask."""

    case: Case
    mode: ToolMode
    problem: str
    """Why the mask does not let a model write it; empty if it does."""

    @property
    def name(self) -> str:
        """The case's name and the mode."""
        return f"{self.case.name} {self.mode.value}"


@dataclass(frozen=True)
class Family:
    """What was measured of one template."""

    name: str
    form: Form
    left_out: Sequence[Case]
    """Cases that are not about what is read here."""
    outcomes: Sequence[Outcome]
    masked: Sequence[Masked]
    renderings: Sequence[Rendering]


def templates(material: Path, chosen: str = "") -> list[str]:
    """Returns the names of all templates, or of those that have a text in their name."""
    return [path.stem for path in sorted((material / TEMPLATES).glob("*.jinja")) if chosen in path.name]


def families(material: Path, chosen: str = "") -> list[Family]:
    """Returns what is measured of all templates, or of those that have a text in their name."""
    names = templates(material, chosen)
    cases = [case for case in read_cases(material) if case.template in names]
    served = [case for case in cases if not left_out(material, case)]
    read = [outcome(template_of(material, case.template), case) for case in served]
    written = [*_masked(material, served)]
    rendered = _renderings(material, names)
    return [
        Family(
            name,
            template_of(material, name).form,
            [case for case in cases if case.template == name and case not in served],
            [one for one in read if one.case.template == name],
            [one for one in written if one.case.template == name],
            [one for one in rendered if one.template == name],
        )
        for name in names
    ]


def left_out(material: Path, case: Case) -> str:
    """Returns why a case is not about what is read here; empty if it is."""
    if case.is_partial:
        return "an answer that is not complete"
    if case.is_parsed:
        return ""
    template = template_of(material, case.template)
    markers = {marker.strip() for block in template.form.thoughts for marker in (block.opening, block.closing)}
    if any(marker and marker in case.expected.content for marker in markers):
        return "thoughts are to be left in the content"
    if case.expected.content and prompt_of(template, case).thoughts.are_open:
        return "thoughts are to be left in the content"
    return ""


def _masked(material: Path, cases: Iterable[Case]) -> Iterator[Masked]:
    """Yields the cases with calls under the mask: where calls are free, and where they are required if it is one."""
    for case in cases:
        if case.expected.calls:
            modes = [ToolMode.AUTO] if case.expected.content.strip() else list(ToolMode)
            for mode in modes:
                yield Masked(case, mode, mask_problem(template_of(material, case.template), case, mode))


def _renderings(material: Path, names: Iterable[str]) -> list[Rendering]:
    """Returns what every template makes of every chat."""
    sources = {name: (material / TEMPLATES / f"{name}.jinja").read_text() for name in names}
    return [*render_all({name: (text, ChatTemplate(text, BOS, EOS, ())) for name, text in sources.items()})]


class Difference(NamedTuple):
    """What is otherwise than in the oracle."""

    kind: str
    """`reading`, `mask` or `rendering`."""
    name: str
    problem: str
    texts: str
    """The texts, for people."""


def differences(family: Family) -> Iterator[Difference]:
    """Yields what differs in a family."""
    for read in family.outcomes:
        if read.difference:
            texts = f"  text     {read.case.text!r}\n  expected {read.case.expected}\n  found    {read.found}"
            yield Difference("reading", read.case.name, read.difference, texts)
    for written in family.masked:
        if written.problem:
            yield Difference("mask", written.name, written.problem, f"  text     {written.case.text!r}")
    for rendered in family.renderings:
        if not rendered.kind.is_same and not rendered.kind.is_rewritten:
            texts = f"  ours     {rendered.ours!r}\n  theirs   {rendered.theirs!r}"
            problem = rendered.problem or rendered.first_difference
            yield Difference("rendering", f"{rendered.template}: {rendered.chat.name}", problem, texts)


def summary(families: Sequence[Family]) -> str:
    """Returns the totals, for people."""
    read = [one for family in families for one in family.outcomes]
    written = [one for family in families for one in family.masked]
    rendered = [one for family in families for one in family.renderings]
    kinds = Counter(one.kind for one in rendered)
    rows = [
        f"cases                     {len(read) + sum(len(family.left_out) for family in families)}",
        f"  not about what is read  {sum(len(family.left_out) for family in families)}",
        f"  read the same           {rate([not one.difference for one in read])}",
        f"    but for white space   {sum(one.spaces and not one.difference for one in read)}",
        f"calls under the mask      {rate([not one.problem for one in written])}",
        f"renderings                {rate([one.kind.is_same for one in rendered if not one.kind.is_rewritten])}",
        *(f"  {kinds[kind]:5} {kind.value}" for kind in Kind),
    ]
    return "\n".join(rows)


def rate(held: Sequence[bool]) -> str:
    """Returns how many hold, and of how many."""
    return f"{sum(held)}/{len(held)} ({sum(held) / max(1, len(held)):.1%})"


def table(families: Iterable[Family]) -> str:
    """Returns the table of docs/models.md."""
    return "\n".join([f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|", *map(_row, families)])


_COLUMNS = ("template", "rendered", "tools", "mask", "calls", "parallel", "thoughts", "switch")


def _row(family: Family) -> str:
    form = family.form
    read = family.outcomes
    calls = [found for found in read if found.case.expected.calls]
    parallel = [found for found in calls if len(found.case.expected.calls) > 1]
    thoughts = [found for found in read if found.case.expected.thoughts]
    cells = [
        family.name,
        _share([found.kind.is_same for found in family.renderings if not found.kind.is_rewritten]),
        "in words" if form.is_generic else form.name,
        _share([not found.problem for found in family.masked]),
        _share([not found.difference for found in calls]),
        _with("yes" if form.calls.are_parallel else "no", _share([not found.difference for found in parallel])),
        _with(f"`{form.thoughts[0].opening.strip()}`" if form.thoughts else "none", _share(_same(thoughts))),
        _switch(form),
    ]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _same(found: Iterable[Outcome]) -> list[bool]:
    return [not one.difference for one in found]


def _share(held: Sequence[bool]) -> str:
    return f"{sum(held)}/{len(held)}" if held else ""


def _with(word: str, share: str) -> str:
    return f"{word}, {share}" if share else word


def _switch(form: Form) -> str:
    if form.switch is None:
        return "none"
    words = [f"`{form.switch.variable}`"] if form.switch.variable else []
    words += [f"`{form.switch.effort_variable}`: {', '.join(form.switch.efforts)}"] if form.switch.efforts else []
    return "; ".join(words)
