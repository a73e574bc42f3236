"""How model families write calls: one form of each kind, with calls of the functions that the tests have."""

from dataclasses import dataclass, field

from llm_inference_api.text.families.form import CallForm, Form, MarkedBlock, Pairs, Slot, Values

NAME, ARGUMENTS, KEY, VALUE, KIND = Slot.NAME, Slot.ARGUMENTS, Slot.KEY, Slot.VALUE, Slot.KIND
THINK = (MarkedBlock("<think>", "</think>"),)
_M3 = "]<]minimax[>["


@dataclass(frozen=True)
class Kind:
    """A form, and how its calls look."""

    calls: CallForm
    call: str
    """A call, with `@name`, `@arguments` and perhaps `@index`."""
    good: str
    """The arguments `{"a": "<b>", "n": 3}`, where `a` is a string and `n` an integer."""
    bad: str
    """The same with a word for `n`."""
    none: str = ""
    """No arguments."""
    opening: str = ""
    between: str = ""
    closing: str = ""
    special: tuple[str, ...] = ()
    """Special tokens of a vocabulary that has some."""
    ends: tuple[str, ...] = ()
    """Those that end the answer."""
    thoughts: tuple[MarkedBlock, ...] = THINK
    contents: tuple[MarkedBlock, ...] = ()
    separator: str = ""
    """Text between two blocks."""
    ending: str = ""
    text: str = "hello\nyou"
    """Content."""
    form: Form = field(init=False)

    def __post_init__(self) -> None:
        """Makes the form."""
        form = Form("x", self.calls, self.thoughts, self.contents, between=self.separator, ending=self.ending)
        object.__setattr__(self, "form", form)

    def answer(self, *calls: tuple[str, str]) -> str:
        """Returns an answer of calls, each a name and arguments."""
        written = [
            self.call.replace("@name", name).replace("@arguments", arguments).replace("@index", str(index))
            for index, (name, arguments) in enumerate(calls)
        ]
        return self.opening + self.between.join(written) + self.closing


def _json(calls: CallForm, call: str, **more: object) -> Kind:
    good, bad = '{"a": "<b>", "n": 3}', '{"a": "<b>", "n": "three"}'
    return Kind(calls, call, good, bad, "{}", **more)  # type: ignore[arg-type]


def _tags(calls: CallForm, call: str, pair: str, **more: object) -> Kind:
    good, bad = (
        "".join(pair.replace("KEY", key).replace("VALUE", value) for key, value in (("a", "<b>"), ("n", number)))
        for number in ("3", "three")
    )
    return Kind(calls, call, good, bad, **more)  # type: ignore[arg-type]


_CODER = ("<tool_call>\n<function=", NAME, ">\n", ARGUMENTS, "</function>\n</tool_call>")
_DSML = tuple((kind, "false") for kind in ("number", "integer", "boolean", "array", "object", "null"))
_K3_KINDS = tuple((kind, kind) for kind in ("string", "number", "boolean", "array", "object", "null"))
_OSS = "<|channel|>commentary to=functions."
KINDS = {
    "JSON in markers": _json(
        CallForm(('<tool_call>\n{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}\n</tool_call>"), separator="\n"),
        '<tool_call>\n{"name": "@name", "arguments": @arguments}\n</tool_call>',
        between="\n",
        special=("<think>", "</think>", "<tool_call>", "</tool_call>"),
    ),
    "bare JSON": _json(
        CallForm(('{"name": "', NAME, '", "parameters": ', ARGUMENTS, "}"), separator="; "),
        '{"name": "@name", "parameters": @arguments}',
        between="; ",
        thoughts=(),
    ),
    "a list in a section": _json(
        CallForm(('{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}"), "[TOOL_CALLS][", ", ", "]"),
        '{"name": "@name", "arguments": @arguments}',
        opening="[TOOL_CALLS][",
        between=", ",
        closing="]",
        special=("[TOOL_CALLS]",),
        thoughts=(),
    ),
    "name and JSON": _json(
        CallForm(("[TOOL_CALLS]", NAME, "[ARGS]", ARGUMENTS)),
        "[TOOL_CALLS]@name[ARGS]@arguments",
        special=("[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"),
        thoughts=(MarkedBlock("[THINK]", "[/THINK]"),),
    ),
    "name, id and JSON": _json(
        CallForm(("[TOOL_CALLS]", NAME, "[CALL_ID]", Slot.ID, "[ARGS]", ARGUMENTS)),
        "[TOOL_CALLS]@name[CALL_ID]00000000@index[ARGS]@arguments",
        special=("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"),
        thoughts=(),
    ),
    "indexed": _json(
        CallForm(
            (
                *("<|tool_call_begin|>functions.", NAME, ":", Slot.INDEX),
                *("<|tool_call_argument_begin|>", ARGUMENTS, "<|tool_call_end|>"),
            ),
            "<|tool_calls_section_begin|>",
            "",
            "<|tool_calls_section_end|>",
        ),
        "<|tool_call_begin|>functions.@name:@index<|tool_call_argument_begin|>@arguments<|tool_call_end|>",
        opening="<|tool_calls_section_begin|>",
        closing="<|tool_calls_section_end|>",
        special=(
            *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_end|>"),
            *("<|tool_call_argument_begin|>", "<think>", "</think>"),
        ),
    ),
    "tags": _tags(
        CallForm(
            _CODER,
            separator="\n",
            arguments=Pairs(("<parameter=", KEY, ">\n", VALUE, "\n</parameter>\n")),
            others=(("<function=", NAME, ">\n", ARGUMENTS, "</function>\n</tool_call>"),),
        ),
        "<tool_call>\n<function=@name>\n@arguments</function>\n</tool_call>",
        "<parameter=KEY>\nVALUE\n</parameter>\n",
        between="\n",
        special=("<tool_call>", "</tool_call>", "<think>", "</think>"),
    ),
    "keys and values": _tags(
        CallForm(
            ("<tool_call>", NAME, "\n", ARGUMENTS, "</tool_call>"),
            separator="\n",
            arguments=Pairs(("<arg_key>", KEY, "</arg_key>\n<arg_value>", VALUE, "</arg_value>\n")),
        ),
        "<tool_call>@name\n@arguments</tool_call>",
        "<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n",
        between="\n",
        special=(
            *("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
            *("<think>", "</think>"),
        ),
    ),
    "tags with kinds": Kind(
        CallForm(
            ('<｜DSML｜invoke name="', NAME, '">\n', ARGUMENTS, "</｜DSML｜invoke>\n"),
            "<｜DSML｜function_calls>\n",
            "",
            "</｜DSML｜function_calls>",
            Pairs(
                ('<｜DSML｜parameter name="', KEY, '" string="', KIND, '">', VALUE, "</｜DSML｜parameter>\n"),
                kinds=(("string", "true"), *_DSML),
            ),
        ),
        '<｜DSML｜invoke name="@name">\n@arguments</｜DSML｜invoke>\n',
        '<｜DSML｜parameter name="a" string="true"><b></｜DSML｜parameter>\n'
        '<｜DSML｜parameter name="n" string="false">3</｜DSML｜parameter>\n',
        '<｜DSML｜parameter name="a" string="true"><b></｜DSML｜parameter>\n'
        '<｜DSML｜parameter name="n" string="true">three</｜DSML｜parameter>\n',
        opening="<｜DSML｜function_calls>\n",
        closing="</｜DSML｜function_calls>",
        special=("<think>", "</think>", "｜DSML｜"),
    ),
    "tokens with kinds": Kind(
        CallForm(
            (
                *('<|open|>call tool="', NAME, '" index="', Slot.INDEX, '"<|sep|>'),
                *(ARGUMENTS, "<|close|>call<|sep|>"),
            ),
            "<|open|>tools<|sep|>",
            "",
            "<|close|>tools<|sep|>",
            Pairs(
                (
                    *('<|open|>argument key="', KEY, '" type="', KIND, '"<|sep|>'),
                    *(VALUE, "<|close|>argument<|sep|>"),
                ),
                kinds=_K3_KINDS,
            ),
        ),
        '<|open|>call tool="@name" index="@index"<|sep|>@arguments<|close|>call<|sep|>',
        '<|open|>argument key="a" type="string"<|sep|><b><|close|>argument<|sep|>'
        '<|open|>argument key="n" type="number"<|sep|>3<|close|>argument<|sep|>',
        '<|open|>argument key="a" type="string"<|sep|><b><|close|>argument<|sep|>'
        '<|open|>argument key="n" type="string"<|sep|>three<|close|>argument<|sep|>',
        opening="<|open|>tools<|sep|>",
        closing="<|close|>tools<|sep|>",
        special=("<|open|>", "<|close|>", "<|sep|>"),
        thoughts=(MarkedBlock("<|open|>think<|sep|>", "<|close|>think<|sep|>"),),
        contents=(MarkedBlock("<|open|>response<|sep|>", "<|close|>response<|sep|>"),),
        ending="<|close|>message<|sep|>",
        text="<|open|>response<|sep|>hello<|close|>response<|sep|><|close|>message<|sep|>",
    ),
    "nested tags": _tags(
        CallForm(
            (f'{_M3}<invoke name="', NAME, '">', ARGUMENTS, f"{_M3}</invoke>\n"),
            f"{_M3}<tool_call>\n",
            "",
            f"{_M3}</tool_call>",
            Pairs((f"{_M3}<", KEY, ">", VALUE, f"{_M3}</", KEY, ">"), item="item"),
        ),
        f'{_M3}<invoke name="@name">@arguments{_M3}</invoke>\n',
        f"{_M3}<KEY>VALUE{_M3}</KEY>",
        opening=f"{_M3}<tool_call>\n",
        closing=f"{_M3}</tool_call>",
        special=("<mm:think>", "</mm:think>", _M3),
        thoughts=(MarkedBlock("<mm:think>", "</mm:think>"),),
    ),
    "Python": Kind(
        CallForm(
            (NAME, "(", ARGUMENTS, ")"),
            "<|tool_call_start|>[",
            ", ",
            "]<|tool_call_end|>",
            Pairs((KEY, "=", VALUE), ", ", Values.PYTHON),
        ),
        "@name(@arguments)",
        'a="<b>", n=3',
        'a="<b>", n="three"',
        opening="<|tool_call_start|>[",
        between=", ",
        closing="]<|tool_call_end|>",
        special=("<|tool_call_start|>", "<|tool_call_end|>", "<think>", "</think>"),
    ),
    "bare values": Kind(
        CallForm(
            ("<|tool_call>call:", NAME, ARGUMENTS, "<tool_call|>"),
            arguments=Pairs((KEY, ":", VALUE), ",", Values.BARE, '<|"|>', opening="{", closing="}"),
        ),
        "<|tool_call>call:@name{@arguments}<tool_call|>",
        'a:<|"|><b><|"|>,n:3',
        'a:<|"|><b><|"|>,n:<|"|>three<|"|>',
        special=("<|tool_call>", "<tool_call|>", '<|"|>', "<|channel>", "<channel|>"),
        thoughts=(MarkedBlock("<|channel>thought\n", "<channel|>"),),
    ),
    "a section after content with markers": _json(
        CallForm(
            ('    {"tool_call_id": "', Slot.ID, '", "tool_name": "', NAME, '", "parameters": ', ARGUMENTS, "}"),
            "<|START_ACTION|>[\n",
            ",\n",
            "\n]<|END_ACTION|>",
        ),
        '    {"tool_call_id": "@index", "tool_name": "@name", "parameters": @arguments}',
        opening="<|START_ACTION|>[\n",
        between=",\n",
        closing="\n]<|END_ACTION|>",
        special=(
            *("<|START_ACTION|>", "<|END_ACTION|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
            *("<|START_THINKING|>", "<|END_THINKING|>"),
        ),
        thoughts=(MarkedBlock("<|START_THINKING|>", "<|END_THINKING|>"),),
        contents=(MarkedBlock("<|START_RESPONSE|>", "<|END_RESPONSE|>"),),
        text="<|START_RESPONSE|>hello<|END_RESPONSE|>",
    ),
    "channels": _json(
        CallForm(
            (_OSS, NAME, " <|constrain|>json<|message|>", ARGUMENTS, "<|call|>"),
            are_parallel=False,
            others=((_OSS, NAME, "<|message|>", ARGUMENTS, "<|call|>"),),
        ),
        f"{_OSS}@name <|constrain|>json<|message|>@arguments<|call|>",
        special=("<|channel|>", "<|message|>", "<|constrain|>", "<|call|>", "<|end|>", "<|start|>", "<|return|>"),
        ends=("<|call|>", "<|return|>"),
        thoughts=(MarkedBlock("<|channel|>analysis<|message|>", "<|end|>"),),
        contents=(
            MarkedBlock("<|channel|>final<|message|>", "<|return|>"),
            MarkedBlock("<|channel|>commentary<|message|>", "<|end|>"),
        ),
        separator="<|start|>assistant",
        text="<|channel|>final<|message|>hello",
    ),
    "content that ends at the next block": _json(
        CallForm((NAME, "\n", ARGUMENTS)),
        "@name\n@arguments",
        between=">>>",
        special=(),
        thoughts=(),
        contents=(MarkedBlock("all\n", ""),),
        separator=">>>",
        text="all\nhello\nyou",
    ),
}
"""Kinds of forms by name."""
