"""Thoughts and content found from small templates."""

import pytest

from llm_inference_api.text.families.form import MarkedBlock
from tests.text.families.probing.templates import JSON, SAID, answering, form

THINK = MarkedBlock("<think>", "</think>")
THOUGHTS = "<t>{{ m.reasoning_content }}</t>"
CALLS = f"{{% for c in m.tool_calls %}}<c>{JSON}}}</c>{{% endfor %}}"


@pytest.mark.parametrize(
    ("source", "block"),
    [
        (answering(SAID), MarkedBlock("<think>", "</think>")),
        (
            answering(SAID.replace("m.reasoning_content", "m.thinking").replace("think>\n", "t>\n")),
            MarkedBlock("<t>", "</t>"),
        ),
        (answering("<think>\n\n</think>\n\n{{ m.content }}", begin="<think>\n"), MarkedBlock("<think>", "</think>")),
        (
            answering("{% if m.thinking %}{{ m.thinking }}[BEGIN ANSWER]{% endif %}{{ m.content }}"),
            MarkedBlock("", "[BEGIN ANSWER]"),
        ),
        (
            answering(SAID.replace("<think>", "[THINK]").replace("</think>", "[/THINK]")),
            MarkedBlock("[THINK]", "[/THINK]"),
        ),
    ],
)  # fmt: skip
def test_markers_of_thoughts(source: str, block: MarkedBlock) -> None:
    """From what the assistant has said, or from how an answer begins."""
    shown = form(source)
    assert (shown.thoughts, shown.shows_thoughts) == ((block,), True)


def test_template_without_thoughts_leaves_them_to_the_model() -> None:
    """Many models think without their template's knowing."""
    shown = form(answering("{{ m.content }}"))
    assert (shown.thoughts, shown.shows_thoughts) == ((MarkedBlock("<think>", "</think>"),), False)


def test_channels_have_markers_for_content_and_between() -> None:
    """As gpt-oss and Solar write them."""
    said = (
        "{% if m.reasoning %}<|c|>think<|m|>{{ m.reasoning }}<|x|><|assistant|>{% endif %}<|c|>say<|m|>{{ m.content }}"
    )
    shown = form(answering(said))
    assert shown.thoughts == (MarkedBlock("<|c|>think<|m|>", "<|x|>"),)
    assert shown.contents[0].opening == "<|c|>say<|m|>"
    assert shown.between == "<|assistant|>"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_have_three_names(name: str) -> None:
    """Templates read them under one of these."""
    shown = form(answering(f"{{% if m.{name} %}}<t>{{{{ m.{name} }}}}</t>{{% endif %}}{{{{ m.content }}}}"))
    assert (shown.thoughts, shown.shows_thoughts) == ((MarkedBlock("<t>", "</t>"),), True)


@pytest.mark.parametrize(
    "condition",
    [
        "loop.last",
        "m.tool_calls",
        "m.tool_calls and not m.content",
        "m.tool_calls and m.content",
        "messages[-1].role == 'tool'",
    ],
)
def test_thoughts_are_found_where_a_template_keeps_them(condition: str) -> None:
    """In the last turn alone, or beside calls alone."""
    shown = form(
        answering(f"{{% if m.reasoning_content and {condition} %}}{THOUGHTS}{{% endif %}}{{{{ m.content }}}}{CALLS}")
    )
    assert (shown.thoughts, shown.shows_thoughts) == ((MarkedBlock("<t>", "</t>"),), True)


@pytest.mark.parametrize(
    ("said", "begin"),
    [
        ("{{ m.content }}", "<think>\n\n</think>\n\n"),
        (
            "{{ m.content }}",
            "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
        ),
        ("{{ m.content.split('</think>')[-1] }}", "<think>\n"),
        ("</think>{{ m.content }}", "<think>"),
        (SAID, "<think>\n"),
    ],
)
def test_thoughts_are_found_by_how_answers_begin(said: str, begin: str) -> None:
    """Opened or closed by the prompt, whether or not thoughts are shown again."""
    shown = form(answering(said, begin=begin))
    assert (shown.thoughts, shown.contents, shown.shows_thoughts) == ((THINK,), (), True)


@pytest.mark.parametrize(
    ("marker", "block"),
    [
        ("</ns:think>", MarkedBlock("<ns:think>", "</ns:think>")),
        ("[/THINK]", MarkedBlock("[THINK]", "[/THINK]")),
        ("<|inner_suffix|>", MarkedBlock("<|inner_prefix|>", "<|inner_suffix|>")),
        ("<|END_THINKING|>", MarkedBlock("<|START_THINKING|>", "<|END_THINKING|>")),
    ],
)
def test_thoughts_that_a_template_cuts_off_are_known_by_their_marker(marker: str, block: MarkedBlock) -> None:
    """It stands in the source alone."""
    shown = form(answering(f"{{{{ m.content.split('{marker}')[-1] }}}}"))
    assert (shown.thoughts, shown.shows_thoughts) == ((block,), True)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("<t>", "</t>"), ("[THINK]", "[/THINK]"), ("<|inner_prefix|>", "<|inner_suffix|>")],
)
@pytest.mark.parametrize("off", ["", "{% if enable_thinking is defined and not enable_thinking %}CLOSING{% endif %}"])
@pytest.mark.parametrize("shown", ["", "OPENING"])
def test_opening_may_be_the_prompts_own(opening: str, closing: str, off: str, shown: str) -> None:
    """Whether or not earlier answers have it too."""
    said = f"{shown}{{{{ m.thinking or '' }}}}CLOSING{{{{ m.content }}}}{CALLS}"
    source = answering(said, begin=f"OPENING{off}").replace("OPENING", opening).replace("CLOSING", closing)
    found = form(source)
    assert (found.thoughts, found.contents, found.shows_thoughts) == ((MarkedBlock(opening, closing),), (), True)


def test_words_that_open_thoughts_may_stand_in_the_prompt() -> None:
    """As Apriel's do; the answer has their end alone."""
    said = "{% if m.thinking %}{{ m.thinking }}[BEGIN FINAL RESPONSE]{% endif %}{{ m.content }}"
    shown = form(answering(f"Reasoning:\n{said}", begin="Reasoning:\n"))
    assert (shown.thoughts, shown.contents) == ((MarkedBlock("", "[BEGIN FINAL RESPONSE]"),), ())


def test_content_has_markers_where_the_template_writes_them() -> None:
    """Beside those of thoughts, and without what ends the answer."""
    shown = form(answering(f"{{% if m.reasoning_content %}}{THOUGHTS}{{% endif %}}<R>{{{{ m.content }}}}</R>{CALLS}"))
    assert shown.thoughts == (MarkedBlock("<t>", "</t>"),)
    assert (shown.contents, shown.ending, shown.between) == ((MarkedBlock("<R>", "</R>"),), "", "")


def test_markers_behind_the_last_block_end_the_answer() -> None:
    """All but the last, which is a token that ends it."""
    thoughts = "{% if m.thinking %}<|o|>think<|s|>{{ m.thinking }}<|c|>think<|s|>{% endif %}"
    shown = form(answering(thoughts + "<|o|>say<|s|>{{ m.content }}<|c|>say<|s|><|c|>message<|s|>"))
    assert shown.thoughts == (MarkedBlock("<|o|>think<|s|>", "<|c|>think<|s|>"),)
    assert shown.contents == (MarkedBlock("<|o|>say<|s|>", "<|c|>say<|s|>"),)
    assert shown.ending == "<|c|>message<|s|>"


@pytest.mark.parametrize("source", ["{{ raise_exception('no') }}", answering("{{ raise_exception('no') }}")])
def test_template_that_refuses_answers_has_the_usual_thoughts(source: str) -> None:
    """There is nothing to see."""
    shown = form(source)
    assert (shown.thoughts, shown.contents, shown.shows_thoughts) == ((THINK,), (), False)


def test_header_of_answers_is_no_marker_of_content_where_prompts_end_with_it() -> None:
    """As Command R+ writes it: earlier answers have another space before it than the one that begins."""
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %} <|a|><|bot|>{{ m.content }}<|end|>"
        "{% else %}<|a|><|user|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|a|><|bot|>{% endif %}"
    )
    assert form(source).contents == ()
