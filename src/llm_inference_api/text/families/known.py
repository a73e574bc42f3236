"""What templates do not show of their models' forms, each recognised by markers that the template writes."""

from dataclasses import replace

from llm_inference_api.text.families.form import Asides, CallForm, Form, MarkedBlock, Pairs, Slot, Values

_JSON = ('{"name": "', Slot.NAME, '", "arguments": ', Slot.ARGUMENTS, "}")
_LFM = CallForm(
    (Slot.NAME, "(", Slot.ARGUMENTS, ")"),
    opening="<|tool_call_start|>[",
    separator=", ",
    closing="]<|tool_call_end|>",
    arguments=Pairs((Slot.KEY, "=", Slot.VALUE), ", ", Values.PYTHON),
)
_UNSHOWN = {
    "<|tool_list_start|>": _LFM,
    "List of tools: [": _LFM,
    "<|tool_call|>": CallForm(_JSON, opening="<|tool_call|>[", separator=", ", closing="]"),
    "<tool_call>": CallForm(("<tool_call>\n", *_JSON, "\n</tool_call>"), separator="\n"),
}
"""Calls of templates that describe tools, but write no calls, by what they write beside the tools."""


def known_calls(shown: str) -> CallForm | None:
    """Returns the calls that a prompt with tools asks for, or None."""
    return next((calls for marker, calls in _UNSHOWN.items() if marker in shown), None)


def with_known(form: Form, source: str) -> Form:
    """Returns the form with what the model is known to write beside what its template shows."""
    calls = form.calls
    if "<|constrain|>" in source or ("<|channel|>" in source and "<|message|>" in source):
        # https://cookbook.openai.com/articles/openai-harmony: the recipient stands in the role or in the channel.
        channels = ("<|channel|>commentary", "<|channel|>analysis")
        types = (" <|constrain|>json", "<|constrain|>json", " json", "")
        places = [*((channel, "") for channel in channels), *(("", channel) for channel in channels)]
        others = [
            (f"{before} to=functions.", Slot.NAME, f"{behind}{kind}<|message|>", Slot.ARGUMENTS, "<|call|>")
            for before, behind in places
            for kind in types
        ]
        preamble = MarkedBlock("<|channel|>commentary<|message|>", "<|end|>")
        final = MarkedBlock("<|channel|>final<|message|>", "<|end|>")
        restricted = MarkedBlock("<|channel|>final <|constrain|>json<|message|>", "<|end|>")
        calls = replace(calls, call=others[0], others=tuple(others[1:]))
        # The model was trained with tools of its own, such as `python`, and calls them unasked.
        asides = Asides(
            (*(f"{channel} to=" for channel in channels), "to="),
            text="<|message|>",
            channel="<|channel|>",
            closings=("<|end|>", "<|call|>"),
        )
        return replace(form, name="harmony", calls=calls, contents=(final, preamble, restricted), asides=asides)
    if calls.arguments is not None and "<![CDATA[" in source:
        pairs = replace(calls.arguments, verbatim=("<![CDATA[", "]]>"))
        return replace(form, calls=replace(calls, arguments=pairs))
    if "<|python_tag|>" in source and not calls.opening:
        tagged = ("<|python_tag|>", *calls.call)
        return replace(form, calls=replace(calls, others=(tagged, *calls.others)))
    return form
