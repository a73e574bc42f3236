"""Restricted answers through the typed API, with a model of random weights: all sense is the constraint's."""

import json
import re
from typing import Any

import httpx
import jsonschema
import pytest

from tests.e2e.secured import wait_until
from tests.e2e.sse import read, text_of

BODY: dict[str, Any] = {"model": "tiny", "prompt": "hello", "max_tokens": 400, "seed": 5, "temperature": 1}
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "ok": {"type": "boolean"}},
    "required": ["n", "ok"],
    "additionalProperties": False,
}
NOISE = 0.01
"""Most that the order of sums, which batch and cache decide, changes in a log probability. Others lie further apart."""


def generate(http: httpx.Client, **fields: Any) -> Any:
    """Returns an answer that must have ended by itself."""
    answer = http.post("/api/generate", json={**BODY, **fields}).json()
    assert answer.get("finish_reason") == "STOP", answer
    return answer


@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_json_schema_is_followed(http: httpx.Client, temperature: float) -> None:
    """Whatever the temperature, the text is an instance."""
    text = generate(http, json_schema=json.dumps(SCHEMA), temperature=temperature)["text"]
    jsonschema.validate(json.loads(text), SCHEMA)


def test_regex_matches_the_whole_text(http: httpx.Client) -> None:
    """A regular expression restricts all of the text, also where tokens cut characters."""
    assert re.fullmatch("[a-c]{3,9}-[äöü]{2}", generate(http, regex="[a-c]{3,9}-[äöü]{2}")["text"])


def test_choice_is_one_of_the_texts(http: httpx.Client) -> None:
    """The text is one of those to choose from."""
    assert generate(http, choice={"texts": ["yes", "no"]})["text"] in ("yes", "no")


def test_lark_grammar_is_followed(http: httpx.Client) -> None:
    """A grammar may nest, which no regular expression can."""
    text = generate(http, lark='start: "(" start ")" | "x"')["text"]
    assert re.fullmatch(r"(\(*)x\)*", text)
    assert text.count("(") == text.count(")")


def test_same_seed_gives_the_same_restricted_text(http: httpx.Client) -> None:
    """A restricted answer can be repeated, and its stream is the same text."""
    fields = {**BODY, "model": "steady.gguf", "json_schema": json.dumps(SCHEMA)}
    whole = [generate(http, **fields)["text"] for _ in range(2)]
    assert whole == [text_of(read(http, "/api/generate/stream", fields))] * 2


def test_bias_chooses_among_what_is_allowed(http: httpx.Client) -> None:
    """logit_bias moves the choice, but lets in nothing that the constraint forbids."""
    assert generate(http, regex="[ab]", logit_bias={"98": 100, "99": 100}, temperature=0)["text"] == "b"


def test_stop_string_cuts_no_json(http: httpx.Client) -> None:
    """A stop string inside an object does not end it: what ends with STOP is complete."""
    text = generate(http, json_schema=json.dumps(SCHEMA), stop=['"', "n", "}"])["text"]
    jsonschema.validate(json.loads(text), SCHEMA)


def test_stop_string_ends_a_complete_text(http: httpx.Client) -> None:
    """Where the text so far matches, a stop string ends it."""
    assert generate(http, regex="a+b*;", stop=["b"], logit_bias={"98": -100})["text"].endswith(";")
    assert generate(http, regex="a*b*", stop=["b"], logit_bias={"98": 50})["text"] == ""


def test_logprobs_are_the_models_own(http: httpx.Client) -> None:
    """Log probabilities say what the model thought before it was restricted."""
    free = http.post("/api/generate", json={**BODY, "max_tokens": 1, "logprobs": True, "top_logprobs": 1}).json()
    bound = generate(http, choice={"texts": ["x"]}, logprobs=True, top_logprobs=1)
    assert bound["logprobs"]["tokens"][0]["token"] == "x"
    (best,), (best_of_free,) = (each["logprobs"]["tokens"][0]["top_logprobs"] for each in (bound, free))
    assert best["token_id"] == best_of_free["token_id"]
    assert best["logprob"] == pytest.approx(best_of_free["logprob"], abs=NOISE)


def test_several_answers_share_the_prompt(http: httpx.Client) -> None:
    """n restricted answers all match, come as alternatives, and compute their prompt once."""
    prompt = "a prompt that is long enough to be worth sharing " * 4
    before = _cached(http)
    answer = generate(http, prompt=prompt, regex="[a-z]{4}", n=3)
    texts = [answer["text"], *(other["text"] for other in answer["alternatives"]["answers"])]
    assert all(re.fullmatch("[a-z]{4}", text) for text in texts)
    assert [other["index"] for other in answer["alternatives"]["answers"]] == [1, 2]
    assert [other["seed"] for other in answer["alternatives"]["answers"]] == [6, 7]
    # Prompts of these weights are shared in steps of 64 tokens, in which they are computed alone too.
    shared = 2 * (answer["usage"]["prompt_tokens"] // 64 * 64)
    wait_until(lambda: _cached(http) - before >= shared)


def test_stream_of_several_answers_numbers_its_parts(http: httpx.Client) -> None:
    """Each part says which answer it continues; each answer has its reason, the last part the usage."""
    events = read(http, "/api/generate/stream", {**BODY, "regex": "[a-z]{4}", "n": 2})
    parts = [event for event in events if "progress" not in event]
    assert {part["index"] for part in parts} == {0, 1}
    assert sorted(part["index"] for part in parts if "finish_reason" in part) == [0, 1]
    assert [part for part in parts if "usage" in part] == parts[-1:]


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"json_schema": "{"}, "json_schema", "is no valid JSON"),
        ({"json_schema": "[]"}, "json_schema", "is no JSON object"),
        ({"json_schema": '{"a":' * 70 + "1" + "}" * 70}, "json_schema", "has more than 64 levels"),
        ({"json_schema": '{"a":' * 9000 + "1" + "}" * 9000}, "json_schema", "has more than 64 levels"),
        ({"json_schema": '{"type": "x"}'}, "json_schema", "cannot be followed: type: Invalid type: x"),
        ({"regex": "("}, "regex", "unclosed group"),
        ({"regex": "x" * 70_000}, "regex", "has more than 65536 bytes"),
        ({"choice": {"texts": []}}, "choice", "1 to 1000 texts"),
        ({"choice": {"texts": ["a", ""]}}, "choice", "has an empty text"),
        ({"lark": "start: foo"}, "lark", "unknown name"),
        ({"regex": "a", "ignore_eos": True}, "ignore_eos", "contradicts regex"),
    ],
)
def test_bad_constraint_is_refused(http: httpx.Client, fields: dict[str, Any], field: str, problem: str) -> None:
    """What is wrong with a constraint is 400, before anything is computed."""
    answer = http.post("/api/generate", json={**BODY, **fields})
    assert answer.status_code == 400
    (violation,) = answer.json()["details"][1]["field_violations"]
    assert violation["field"] == field
    assert problem in violation["description"]


@pytest.mark.parametrize("pattern", ["(a|a)*b(a|b){200}c{1000}", "((a{1,1000}){1,1000}){1,1000}", "(.*a){50}"])
def test_regex_bomb_costs_others_nothing(http: httpx.Client, pattern: str) -> None:
    """A pattern that explodes is refused, or computed as any other."""
    answer = http.post("/api/generate", json={**BODY, "regex": pattern, "max_tokens": 50}, timeout=30)
    assert answer.status_code in (200, 400)
    assert answer.elapsed.total_seconds() < 10


def _cached(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("llm_inference_cached_tokens_total"))
