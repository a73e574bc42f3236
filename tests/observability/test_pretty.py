from llm_inference_api.observability.pretty import printable


def test_pretty_value_shows_what_was_escaped() -> None:
    """Escapes are Python's, and printable text of any language is left as it is."""
    assert printable("grüße 你好 😀\n\x1b[1m\x85") == r"grüße 你好 😀\n\x1b[1m\x85"
