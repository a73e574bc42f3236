"""This service's metrics under llama-server's names."""

import re


def llama_metrics(text: str) -> str:
    """Returns the counters that both have, in Prometheus's text format, summed over their labels."""
    cached = _sum(text, "cached_tokens_total")
    counters = {
        # llama-server counts what it has computed; here all tokens of prompts are counted.
        "prompt_tokens_total": _sum(text, "prompt_tokens_total") - cached + _sum(text, "embedding_tokens_total"),
        "prompt_tokens_cached_total": cached,
        "tokens_predicted_total": _sum(text, "completion_tokens_total"),
    }
    lines = (f"# TYPE llamacpp:{name} counter\nllamacpp:{name} {value}" for name, value in counters.items())
    return "\n".join(lines)


def _sum(text: str, name: str) -> float:
    series = re.findall(rf"^llm_inference_{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, series))
