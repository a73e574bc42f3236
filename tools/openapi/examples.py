"""Example requests and streams, for the bundled demo model."""

import json
from typing import Any

Json = dict[str, Any]

_QUESTION = [{"role": "user", "content": "What is 2+2?"}]
_HAIKU = [{"role": "user", "content": "Write a haiku about coding."}]
_MEMORY = [
    {"role": "user", "content": "My name is Ana."},
    {"role": "assistant", "content": "Nice to meet you, Ana!"},
    {"role": "user", "content": "What is my name?"},
]
_STORY = {"prompt": "Once upon a time", "max_tokens": 40, "temperature": 0.8}


def _named(**bodies: Json) -> Json:
    return {name: {"summary": name.replace("_", " "), "value": body} for name, body in bodies.items()}


EXAMPLES: dict[str, Json] = {
    "Generate": _named(a_story=_STORY, with_a_seed={**_STORY, "seed": 7}),
    "GenerateStream": _named(a_story=_STORY),
    "Chat": _named(
        a_question={"messages": _QUESTION},
        several_turns={"messages": _MEMORY},
        one_of_two_words={
            "messages": [{"role": "user", "content": "Name a colour."}],
            "choice": {"texts": ["red", "blue"]},
        },
    ),
    "ChatStream": _named(a_haiku={"messages": _HAIKU}),
    "RenderChat": _named(a_question={"messages": _QUESTION}),
    "ParseChat": _named(an_answer={"request": {"messages": _QUESTION}, "text": "<think>Easy.</think>It is 4."}),
    "Tokenize": _named(a_text={"text": "What is 2+2?"}),
    "Decide": _named(
        a_predicate={
            "text": "I was charged twice.",
            "questions": [{"name": "refund", "instructions": "Does the customer ask for money?", "predicate": {}}],
        },
    ),
    "Score": _named(
        two_continuations={"prompt": "The capital of France is", "continuations": [" Paris", " London"]},
    ),
    "Detokenize": _named(three_tokens={"token_ids": [20, 21, 22]}),
    "Embed": _named(two_texts={"texts": ["What is 2+2?", "How much is two and two?"]}),
    "Rank": _named(a_query={"query": "Who wrote Hamlet?", "documents": ["It rains.", "A play by Shakespeare."]}),
    "CreateResponse": _named(
        a_question={"model": "demo", "input": "What is 2+2?"},
        a_stream={"model": "demo", "input": "Write a haiku about coding.", "stream": True},
    ),
    "CountInputTokens": _named(a_question={"model": "demo", "input": "What is 2+2?"}),
    "CreateMessage": _named(a_question={"model": "demo", "max_tokens": 100, "messages": _QUESTION}),
    "CountMessageTokens": _named(a_question={"model": "demo", "messages": _QUESTION}),
    "CreateChatCompletion": _named(
        a_question={"model": "demo", "messages": _QUESTION},
        a_stream={"model": "demo", "messages": _HAIKU, "stream": True, "stream_options": {"include_usage": True}},
    ),
    "CreateCompletion": _named(
        a_story={"model": "demo", "prompt": "Once upon a time", "max_tokens": 40},
        a_stream={"model": "demo", "prompt": "Once upon a time", "max_tokens": 40, "stream": True},
    ),
    "CreateDecision": _named(
        a_predicate={
            "model": "demo",
            "input": "I was charged twice.",
            "questions": [{"type": "predicate", "instructions": "Does the customer ask for money?"}],
        },
    ),
    "CreateSystemOne": _named(
        a_noul={
            "model": "demo",
            "state": "I was charged twice.",
            "questions": {"refund": {"type": "noul", "instructions": "Does the customer ask for money?"}},
        },
    ),
    "CreateEmbedding": _named(a_text={"model": "demo", "input": "What is 2+2?"}),
    "CreateRerank": _named(
        a_query={"query": "Who wrote Hamlet?", "documents": ["It rains.", "A play by Shakespeare."], "top_n": 1}
    ),
}
"""Examples by method, for methods with a request body."""


def _events(*values: Json, end: str = "") -> str:
    return "".join(f"data: {json.dumps(value)}\n\n" for value in values) + end


_USAGE = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17, "cached_tokens": 0, "reasoning_tokens": 0}
_ENDING = {"finish_reason": "STOP", "max_tokens": 512, "usage": _USAGE}
_FIRST = {"id": "chat-1", "created": 1795370727, "model": "demo", "seed": 7}
_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795370727, "model": "demo"}
_ACTIVE = {"model": {"id": "demo", "state": "ACTIVE", "reason": "", "reference": "demo"}}


def _chunk(delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    if finish:
        choice["max_tokens"] = 512
    return {**_CHUNK, "system_fingerprint": "fp_0", "seed": 7, "choices": [choice]}


_ANTHROPIC_USAGE = {
    "input_tokens": 14,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
    "output_tokens_details": {"thinking_tokens": 0},
}
STREAMS = {
    "GenerateStream": _events({**_FIRST, "text": " there was"}, {"text": " a fox."}, {"text": "", **_ENDING}),
    "ChatStream": _events(
        {**_FIRST, "delta": {"content": "The answer"}},
        {"delta": {"content": " is 4."}},
        {"delta": {"content": ""}, **_ENDING},
    ),
    "WatchModel": _events({"model": {**_ACTIVE["model"], "state": "LOADING"}}, _ACTIVE),
    "CreateChatCompletion": _events(
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"content": "The answer is 4."}),
        _chunk({}, "stop"),
        end="data: [DONE]\n\n",
    ),
    "CreateCompletion": _events(
        {
            **_CHUNK,
            "object": "text_completion",
            "system_fingerprint": "fp_0",
            "seed": 7,
            "choices": [
                {"index": 0, "text": " there was", "logprobs": None, "finish_reason": "length", "max_tokens": 40}
            ],
        },
        end="data: [DONE]\n\n",
    ),
    "CreateResponse": "".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        for event in (
            {
                "type": "response.output_text.delta",
                "item_id": "msg_0",
                "output_index": 0,
                "content_index": 0,
                "delta": "The answer is 4.",
                "logprobs": [],
                "sequence_number": 4,
            },
        )
    ),
    "CreateMessage": "".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        for event in (
            {
                "type": "message_start",
                "message": {
                    "id": "msg_0",
                    "type": "message",
                    "role": "assistant",
                    "model": "demo",
                    "seed": 7,
                    "content": [],
                    "stop_reason": None,
                    "stop_sequence": None,
                    "max_tokens": None,
                    "usage": _ANTHROPIC_USAGE,
                },
            },
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": "", "citations": None},
            },
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "The answer is 4."}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None, "max_tokens": 100},
                "usage": {**_ANTHROPIC_USAGE, "output_tokens": 6},
            },
            {"type": "message_stop"},
        )
    ),
}
"""Example streams by method, for methods that stream."""
