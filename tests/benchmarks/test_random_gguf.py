"""The vocabulary of the random model."""

from itertools import takewhile

from gguf import TokenType

from benchmarks.random_gguf import VOCABULARY, vocabulary


def test_every_prompt_word_is_one_token() -> None:
    """All words of one to three letters are there, with the space before them."""
    texts = {text for text, _ in vocabulary(VOCABULARY)}
    assert {"▁a", "▁zz", "▁aaa", "▁zzz"} <= texts
    assert len({text for text in texts if len(text) == 4 and text[1:].isalpha()}) == 26**3


def test_words_are_made_of_earlier_ones() -> None:
    """The tokenizer finds a word by joining a letter to a shorter word, which has the higher score."""
    places = {text: place for place, (text, _) in enumerate(vocabulary(VOCABULARY))}
    words = [text for text in places if text.startswith("▁") and len(text) > 1]
    assert all(places[word[:-1]] < places[word] for word in words)


def test_tokens_are_distinct_and_as_many_as_the_head_has_rows() -> None:
    """No text is there twice."""
    tokens = vocabulary(VOCABULARY)
    assert len(tokens) == len(dict(tokens)) == VOCABULARY


def test_tokens_that_end_an_answer_come_first() -> None:
    """Their rows of the head, and those of bytes, are the zeros."""
    first = list(takewhile(lambda token: token[1] != TokenType.NORMAL, vocabulary(VOCABULARY)))
    assert len(first) == 3 + 256
    assert {text for text, kind in first if kind == TokenType.CONTROL} == {"<s>", "</s>"}
