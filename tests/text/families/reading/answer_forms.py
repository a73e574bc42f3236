"""Forms of real families, written by hand, and the reading of answers in them."""

from dataclasses import replace

from llm_inference_api.requests.events import CallPart, Piece, Text, Thought
from llm_inference_api.requests.tools import Tool, ToolCall, ToolUse
from llm_inference_api.text.families.form import GENERIC, Asides, CallForm, Form, MarkedBlock, Pairs, Slot, Values
from llm_inference_api.text.families.reading.answer_reader import answer_reader
from llm_inference_api.text.families.thoughts import Thoughts

NAME, ID, INDEX, ARGUMENTS = Slot.NAME, Slot.ID, Slot.INDEX, Slot.ARGUMENTS
KEY, VALUE, KIND = Slot.KEY, Slot.VALUE, Slot.KIND
THINK = (MarkedBlock("<think>", "</think>"),)

HERMES = Form("json", GENERIC.calls, THINK)
LLAMA = Form(
    "json",
    CallForm(
        ('{"name": "', NAME, '", "parameters": ', ARGUMENTS, "}"),
        separator="; ",
        others=(('<|python_tag|>{"name": "', NAME, '", "parameters": ', ARGUMENTS, "}"),),
    ),
)
MISTRAL = Form(
    "json",
    CallForm(
        ('{"name": "', NAME, '", "arguments": ', ARGUMENTS, ', "id": "', ID, '"}'),
        opening="[TOOL_CALLS][",
        separator=", ",
        closing="]",
    ),
)
MISTRAL_ARGS = Form(
    "args", CallForm(("[TOOL_CALLS]", NAME, "[ARGS]", ARGUMENTS)), (MarkedBlock("[THINK]", "[/THINK]"),)
)
MISTRAL_ID = Form("args", CallForm(("[TOOL_CALLS]", NAME, "[CALL_ID]", ID, "[ARGS]", ARGUMENTS)))
QWEN_CODER = Form(
    "tags",
    CallForm(
        ("<tool_call>\n<function=", NAME, ">\n", ARGUMENTS, "</function>\n</tool_call>"),
        separator="\n",
        arguments=Pairs(("<parameter=", KEY, ">\n", VALUE, "\n</parameter>\n")),
        others=(("<function=", NAME, ">\n", ARGUMENTS, "</function>\n</tool_call>"),),
    ),
    (MarkedBlock("<think>\n", "\n</think>\n\n"),),
)
SEED = Form(
    "tags",
    CallForm(
        ("<seed:tool_call>\n<function=", NAME, ">\n", ARGUMENTS, "</function>\n</seed:tool_call>"),
        separator="\n",
        arguments=Pairs(("<parameter=", KEY, ">", VALUE, "</parameter>\n")),
    ),
    (MarkedBlock("<seed:think>", "</seed:think>"),),
)
GLM = Form(
    "tags",
    CallForm(
        ("<tool_call>", NAME, ARGUMENTS, "</tool_call>"),
        arguments=Pairs(("<arg_key>", KEY, "</arg_key><arg_value>", VALUE, "</arg_value>")),
    ),
    THINK,
)
DSML = Form(
    "tags",
    CallForm(
        ('<｜DSML｜invoke name="', NAME, '">\n', ARGUMENTS, "</｜DSML｜invoke>"),
        opening="<｜DSML｜function_calls>\n",
        separator="\n",
        closing="\n</｜DSML｜function_calls>",
        arguments=Pairs(
            ('<｜DSML｜parameter name="', KEY, '" string="', KIND, '">', VALUE, "</｜DSML｜parameter>\n"),
            kinds=(
                ("string", "true"),
                *((kind, "false") for kind in ("number", "integer", "boolean", "array", "object")),
            ),
        ),
    ),
    THINK,
)
KIMI = Form(
    "json",
    CallForm(
        (
            "<|tool_call_begin|>functions.",
            NAME,
            ":",
            INDEX,
            "<|tool_call_argument_begin|>",
            ARGUMENTS,
            "<|tool_call_end|>",
        ),
        opening="<|tool_calls_section_begin|>",
        closing="<|tool_calls_section_end|>",
        id_of=("functions.", NAME, ":", INDEX),
        may_omit_opening=True,
    ),
    THINK,
)
LFM2 = Form(
    "python",
    CallForm(
        (NAME, "(", ARGUMENTS, ")"),
        opening="<|tool_call_start|>[",
        separator=", ",
        closing="]<|tool_call_end|>",
        arguments=Pairs((KEY, "=", VALUE), separator=", ", values=Values.PYTHON),
    ),
    THINK,
)
GEMMA = Form(
    "bare",
    CallForm(
        ("<|tool_call>call:", NAME, ARGUMENTS, "<tool_call|>"),
        arguments=Pairs((KEY, ":", VALUE), separator=",", values=Values.BARE, quote='<|"|>', opening="{", closing="}"),
    ),
    (MarkedBlock("<|channel>thought\n", "<channel|>"),),
)
_NS = "]<]minimax[>["
MINIMAX_M3 = Form(
    "tags",
    CallForm(
        (f'{_NS}<invoke name="', NAME, '">', ARGUMENTS, f"{_NS}</invoke>"),
        opening=f"{_NS}<tool_call>\n",
        separator="\n",
        closing=f"\n{_NS}</tool_call>",
        arguments=Pairs((f"{_NS}<", KEY, ">", VALUE, f"{_NS}</", KEY, ">"), item="item"),
    ),
    (MarkedBlock("<mm:think>", "</mm:think>"),),
)
MINICPM = Form(
    "tags",
    CallForm(
        ('<function name="', NAME, '">', ARGUMENTS, "</function>"),
        separator="\n",
        arguments=Pairs(('<param name="', KEY, '">', VALUE, "</param>"), verbatim=("<![CDATA[", "]]>")),
    ),
    THINK,
)
COMMAND_R7B = Form(
    "json",
    CallForm(
        ('{"tool_call_id": "', ID, '", "tool_name": "', NAME, '", "parameters": ', ARGUMENTS, "}"),
        opening="<|START_ACTION|>[\n    ",
        separator=",\n    ",
        closing="\n]<|END_ACTION|>",
    ),
    (MarkedBlock("<|START_THINKING|>", "<|END_THINKING|>"),),
    (MarkedBlock("<|START_RESPONSE|>", "<|END_RESPONSE|>"),),
)
HARMONY = Form(
    "harmony",
    CallForm(
        ("<|channel|>commentary to=functions.", NAME, " <|constrain|>json<|message|>", ARGUMENTS, "<|call|>"),
        others=(
            ("<|channel|>commentary to=functions.", NAME, "<|message|>", ARGUMENTS, "<|call|>"),
            (" to=functions.", NAME, "<|channel|>commentary <|constrain|>json<|message|>", ARGUMENTS, "<|call|>"),
            (" to=functions.", NAME, "<|channel|>analysis<|message|>", ARGUMENTS, "<|call|>"),
        ),
    ),
    (MarkedBlock("<|channel|>analysis<|message|>", "<|end|>"),),
    (
        MarkedBlock("<|channel|>final<|message|>", "<|return|>"),
        MarkedBlock("<|channel|>final<|message|>", "<|end|>"),
        MarkedBlock("<|channel|>commentary<|message|>", "<|end|>"),
    ),
    asides=Asides(
        ("<|channel|>commentary to=", "<|channel|>analysis to=", "to="),
        "<|message|>",
        "<|channel|>",
        ("<|end|>", "<|call|>"),
    ),
    between="<|start|>assistant",
)
FUNCTIONARY = Form(
    "functionary", CallForm((NAME, "\n", ARGUMENTS)), contents=(MarkedBlock("all\n", ""),), between=">>>"
)
KIMI_K3 = Form(
    "tags",
    CallForm(
        ('<|open|>call tool="', NAME, '" index="', INDEX, '"<|sep|>', ARGUMENTS, "<|close|>call<|sep|>"),
        opening="<|open|>tools<|sep|>",
        closing="<|close|>tools<|sep|>",
        first_index=1,
        arguments=Pairs(
            ('<|open|>argument key="', KEY, '" type="', KIND, '"<|sep|>', VALUE, "<|close|>argument<|sep|>"),
            kinds=tuple((kind, kind) for kind in ("string", "number", "integer", "boolean", "array", "object", "null")),
        ),
    ),
    (MarkedBlock("<|open|>think<|sep|>", "<|close|>think<|sep|>"),),
    (MarkedBlock("<|open|>response<|sep|>", "<|close|>response<|sep|>"),),
    ending="<|close|>message<|sep|>",
)
FORMS = {name: form for name, form in globals().items() if isinstance(form, Form) and form is not GENERIC}

TOOLS = ToolUse(tuple(Tool(name, "", "{}") for name in ("f", "g")))


def tools(**schemas: str) -> ToolUse:
    """Returns tools with the JSON schemas of their arguments."""
    return ToolUse(tuple(Tool(name, "", schema) for name, schema in schemas.items()))


def read(
    form: Form, text: str, size: int = 1, use: ToolUse | None = TOOLS, thoughts: Thoughts = Thoughts.BEFORE
) -> list[Piece | ToolCall]:
    """Returns the pieces of an answer that comes in parts of this size, with texts of one kind joined."""
    found = answer_reader(form, use, thoughts)
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    read = [part for one in parts for part in found.add(one, final=False)] + found.add("", final=True)
    assert sum(part.size for part in read) == len(text)
    at = 0
    joined: list[Piece | ToolCall] = []
    calls = 0
    for piece, length in read:
        last = joined[-1] if joined else None
        match piece:
            case CallPart(call, identity, name, arguments) if identity:
                assert call == calls
                calls += 1
                joined.append(ToolCall(identity, name, arguments))
            case CallPart(call, arguments=arguments):
                assert isinstance(last, ToolCall)
                assert call == calls - 1
                joined[-1] = replace(last, arguments=last.arguments + arguments)
            case Text(said) | Thought(said):
                assert text[at : at + length] == said
                same = isinstance(last, (Text, Thought)) and type(last) is type(piece)
                joined[-1:] = [type(piece)(last.text + said)] if same else [*joined[-1:], piece]
        at += length
    return joined


def without_ids(pieces: list[Piece | ToolCall]) -> list[Piece | ToolCall]:
    """Returns the pieces with the ids of calls left out."""
    return [replace(piece, id="") if isinstance(piece, ToolCall) else piece for piece in pieces]


def call(name: str, arguments: str) -> ToolCall:
    """Returns a call without its id."""
    return ToolCall("", name, arguments)
