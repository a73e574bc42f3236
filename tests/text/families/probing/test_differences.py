import pytest

from llm_inference_api.text.families.probing.differences import common_end, common_start


@pytest.mark.parametrize(
    ("texts", "size"),
    [
        (("<a><think>x", "<a><tool>x"), 3),
        (("<a>one", "<a>only"), 3),
        (("[ARGS]", "[ANSWER]"), 0),
        (("<|open|>think<|sep|>", "<|open|>tools<|sep|>"), 0),
        (("same", "same"), 4),
        (("", "x"), 0),
    ],
)
def test_markers_and_words_are_not_cut(texts: tuple[str, str], size: int) -> None:
    """The common start ends where one begins."""
    assert common_start(texts) == size


@pytest.mark.parametrize(
    ("texts", "size"), [(("x</think><e>", "x</tool><e>"), 3), (("one.", "stone."), 1), (("<a>", "<b>"), 0)]
)
def test_common_end_begins_behind_a_marker(texts: tuple[str, str], size: int) -> None:
    """The same from behind."""
    assert common_end(texts) == size
