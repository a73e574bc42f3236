"""The reader of llama.cpp's cases reads all of them."""

from pathlib import Path

import pytest

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool, ToolCall
from tests.oracle.families.cases import SOURCE, Answer, Case, read_cases
from tests.oracle.families.cpp import Reader, tokens_of
from tests.oracle.material import cached_material


@pytest.mark.oracle
def test_every_case_is_read() -> None:
    """Each chain of calls that ends with `run()` gives a case for each template that it is run with."""
    material = cached_material("llama-chat")
    found = read_cases(material)
    tokens = tokens_of((material / SOURCE).read_text())
    chains = [at for at, token in enumerate(tokens) if token.value == "run" and tokens[at - 1].value == "."]
    assert len({case.line for case in found}) == len(chains)
    assert len({case.name for case in found}) == len(found)


def test_values_are_those_of_the_code() -> None:
    """Literals are joined, raw ones are as they stand, bytes that are escaped are UTF-8, and names are their values."""
    source = r"""
        const std::string mark = "\xef\xbd\x9c" /* a bar */ "\n";
        auto found = { mark + R"({"a": "\n"})" "x", 'c', 3, true, {} };  // a list
    """
    names: dict[str, object] = {}
    Reader({}, {}).run(tokens_of(source), names)
    assert names["found"] == ['｜\n{"a": "\\n"}x', "c", 3, True, []]


def test_loops_and_functions_run() -> None:
    """A function of the code runs with its arguments, and a loop for each value of its list."""
    source = """
        static void twice(const std::string & text, bool other) {
            for (const auto & end : { "a", "b" }) { add(text + end); }
        }
        twice("x", false);
    """
    found: list[str] = []
    Reader({"add": found.append}, {}).run(tokens_of(source), {})
    assert found == ["xa", "xb"]


def test_a_case_has_what_its_chain_says(tmp_path: Path) -> None:
    """Tools, messages, and what is expected, by a message or one by one."""
    source = tmp_path / SOURCE
    source.parent.mkdir()
    source.write_text(_SOURCE)
    whole, one_by_one = read_cases(tmp_path)
    assert whole == Case(
        "a-template",
        7,
        "a b",
        Answer("b", "a", (ToolCall("1", "f", '{"x": 1}'),)),
        tools=(Tool("f", "d", "{}"),),
        thinking=False,
        is_parsed=True,
    )
    assert one_by_one.expected == Answer("b", "a", (ToolCall("", "g", "{}"),))
    assert one_by_one.messages == (Message("user", "u"), Message("assistant", "c", reasoning="r"))
    assert (one_by_one.choice, one_by_one.continues, one_by_one.begins) == ("required", True, False)


_SOURCE = r"""
static common_chat_tool tool{ /* .name = */ "f", "d", "{}" };
const common_chat_msg user{ "user", "u", {}, {}, "", "", "" };

static void test_template_output_peg_parsers(bool debug) {
    auto tst = peg_tester("models/a-template.jinja", debug);
    tst.test("a " "b").reasoning_format(COMMON_REASONING_FORMAT_AUTO).enable_thinking(false).tools({ tool })
        .expect(simple_assist_msg("b", "a", "f", "{\"x\": 1}", "1")).run();
    {
        common_chat_templates_inputs inputs;
        inputs.messages = { user };
        if (!ends_with(inputs.prompt, "x")) { throw std::runtime_error("x"); }
    }
    tst.test("a b").tool_choice(COMMON_CHAT_TOOL_CHOICE_REQUIRED).messages({ user, simple_assist_msg("c", "r") })
        .add_generation_prompt(false).continue_final_message(COMMON_CHAT_CONTINUATION_CONTENT)
        .expect_reasoning("a").expect_content("b").expect_tool_calls({ { "g", "{}", {} } }).run();
}
"""
