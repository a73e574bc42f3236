from llm_inference_api.backends.llama.error_lines import first_error, note

_INFO, _WARNING, _ERROR = 2, 3, 4
"""Of `enum ggml_log_level` (ggml.h)."""


def test_first_error_of_the_block_is_the_cause() -> None:
    """Warnings are none, and what llama.cpp says after the first error follows from it."""
    note(_ERROR, "before the block")
    with first_error() as said:
        for level, line in ((_INFO, "reads"), (_WARNING, "odd"), (_ERROR, "no memory"), (_ERROR, "no context")):
            note(level, line)
    note(_ERROR, "after the block")
    assert said.after("cannot load") == "cannot load: no memory"


def test_problem_without_a_line_stands_alone() -> None:
    """A function may fail without a word."""
    with first_error() as said:
        pass
    assert said.after("cannot load") == "cannot load"
