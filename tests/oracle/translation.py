"""llama-server's requests in this service's words, and the answers back in llama-server's.

Only what both have is translated. A field of a request for which this service has no word raises Untranslatable; a
field of an answer that only llama-server has is absent.
"""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

RENAMED = {"n_predict": "max_tokens", "repeat_penalty": "repetition_penalty"}
SAME = (
    *("prompt", "model", "temperature", "top_k", "top_p", "min_p", "typical_p", "seed", "stop", "ignore_eos"),
    *("presence_penalty", "frequency_penalty", "return_progress"),
)
NO_PENDANT = ("cache_prompt", "id_slot", "return_tokens", "stream", "timings_per_token")
"""Fields of `/completion` that are left out: prefixes are always cached, there are no slots, and no ids in answers."""
WITHOUT_LIMIT = 2**32 - 1
"""`max_tokens` that is no limit: -1 for llama-server."""


class Untranslatable(Exception):  # noqa: N818 - what it says is no error of this service
    """A request has a field that this service has no word for."""


@dataclass(frozen=True)
class Call:
    """A request to this service, and how its answers are said in llama-server's words."""

    path: str
    body: Any
    back: Callable[[Json], Any] = lambda body: body


def translated(path: str, body: Any) -> Call:
    """Returns the request that means the same here. Raises Untranslatable."""
    path, _, query = path.partition("?")
    if path in _PATHS:
        return _PATHS[path](body)
    if path.startswith("/v1/"):
        return Call(path, _chat_fields(body))
    return Call(f"{path}?{query}" if query else path, body)


def stream_event(event: Json) -> Json:
    """Returns an event of `/api/generate/stream` as one of llama-server's `/completion`."""
    if "progress" in event:
        progress = event["progress"]
        done, total = progress.get("computed_tokens", 0), progress.get("prompt_tokens", 0)
        cached = progress.get("cached_tokens", 0)
        times = {"prompt_n": done - cached, "prompt_ms": progress.get("elapsed_ms", 0.0), "predicted_n": 0}
        shown = {"total": total, "cache": cached, "processed": done}
        return {"content": "", "stop": False, "prompt_progress": shown, "timings": {**times, "predicted_ms": 0.0}}
    return {**_completion(event), "stop": "finish_reason" in event}


def openai_error(status: int, body: Json) -> Json:
    """Returns an error of `/api` or `/v1` as llama-server writes it."""
    if "error" in body:
        error = body["error"]
    else:
        reasons = [detail for detail in body.get("details", ()) if "reason" in detail and "metadata" in detail]
        code = reasons[0]["reason"].lower() if reasons else None
        error = {"message": body.get("message", ""), "code": code, "type": "invalid_request_error"}
    return {"error": {**error, "type": _TYPES.get(error.get("code"), error.get("type")), "code": status}}


_TYPES = {"context_length_exceeded": "exceed_context_size_error", "invalid_api_key": "authentication_error"}
"""llama-server's types of errors, by the codes of OpenAI's, which are the reasons of `google.rpc.ErrorInfo` here."""


def _completion_call(body: Json) -> Call:
    """`/completion`: `/api/generate`, or `/v1/completions` for token ids and several prompts, which only that takes."""
    fields = {RENAMED.get(name, name): value for name, value in body.items() if name not in NO_PENDANT}
    if fields.get("max_tokens") == -1:
        fields["max_tokens"] = WITHOUT_LIMIT
    if isinstance(fields.get("prompt"), list):
        several = not isinstance(fields["prompt"][0], int)
        return Call("/v1/completions", fields, lambda answer: _choices(answer, several=several))
    if "n_probs" in fields:
        fields |= {"logprobs": True, "top_logprobs": fields.pop("n_probs")}
    fields |= _biases(fields.pop("logit_bias", ()))
    if "json_schema" in fields or "grammar" in fields:
        raise Untranslatable("/completion with a schema or a grammar")
    if unknown := fields.keys() - {*SAME, *_ADDED}:
        raise Untranslatable(f"/completion: {sorted(unknown)}")
    path = "/api/generate/stream" if body.get("stream") else "/api/generate"
    return Call(path, {**fields, "timings": True}, _completion)


_ADDED = ("max_tokens", "repetition_penalty", "logprobs", "top_logprobs", "logit_bias", "logit_bias_texts")


def _biases(given: Any) -> Json:
    pairs = given.items() if isinstance(given, dict) else given
    by_id: Json = {}
    by_text: Json = {}
    for key, bias in pairs:
        is_id = isinstance(key, int) or key.isdigit()
        (by_id if is_id else by_text)[str(key)] = bias
    return {name: value for name, value in (("logit_bias", by_id), ("logit_bias_texts", by_text)) if value}


def _completion(answer: Json) -> Json:
    reason = answer.get("finish_reason")
    said: Json = {"content": answer.get("text", ""), "model": answer.get("model")}
    if reason:
        said["stop_type"] = "limit" if reason == "LENGTH" else "eos"
    if "usage" in answer:
        said |= _counts(answer["usage"], answer.get("timings") or {})
    if "logprobs" in answer:
        said["completion_probabilities"] = [_probability(token) for token in answer["logprobs"]["tokens"]]
    return said


def _counts(usage: Json, times: Json) -> Json:
    prompt, predicted = usage["prompt_tokens"], usage["completion_tokens"]
    timings: Json = {"prompt_n": prompt - usage["cached_tokens"], "cache_n": usage["cached_tokens"]}
    timings["predicted_n"] = predicted
    if times:
        timings |= {
            "prompt_ms": times["prompt_ms"],
            "prompt_per_second": times["prompt_tokens_per_second"],
            "predicted_ms": times["completion_ms"],
            "predicted_per_second": times["completion_tokens_per_second"],
        }
    return {"tokens_predicted": predicted, "tokens_evaluated": prompt, "timings": timings}


def _probability(token: Json) -> Json:
    shown = {"id": token["token_id"], "token": token["token"], "logprob": token["logprob"]}
    shown["bytes"] = list(b64decode(token["token_bytes"]))
    if "top_logprobs" in token:
        shown["top_logprobs"] = [_probability(top) for top in token["top_logprobs"]]
    return shown


def _choices(answer: Json, *, several: bool) -> Any:
    shown = [{"content": choice["text"]} for choice in answer["choices"]]
    return shown if several else shown[0]


def _chat_fields(body: Any) -> Any:
    """A body below `/v1`: the names are OpenAI's on both sides, but for llama-server's own."""
    if not isinstance(body, dict):
        return body
    fields = {name: value for name, value in body.items() if name not in ("id_slot", "verbose", "cache_prompt")}
    if fields.get("model", "") is None:
        del fields["model"]
    if fields.pop("timings_per_token", False):
        fields["timings"] = True
    return fields


def _chat_call(body: Json) -> Call:
    return Call("/v1/chat/completions", _chat_fields(body))


def _native_chat(body: Json) -> Json:
    """Returns the messages and tools of a chat in the typed API's form."""
    messages = []
    for message in body["messages"]:
        if isinstance(message["content"], list):
            raise Untranslatable("/api/chat/render: parts of a message")
        calls = [_native_call(call) for call in message.get("tool_calls", ())]
        messages.append({**message, "tool_calls": calls})
    chat: Json = {"messages": messages}
    chat |= {name: body[name] for name in ("add_generation_prompt", "continue_final_message") if name in body}
    if tools := body.get("tools"):
        chat["tools"] = [_native_tool(tool["function"]) for tool in tools]
    return chat


def _native_call(call: Json) -> Json:
    return {"id": call["id"], **call["function"]}


def _native_tool(function: Json) -> Json:
    return {**function, "parameters": json.dumps(function["parameters"])}


def _render_call(body: Json) -> Call:
    return Call("/api/chat/render", _native_chat(body), lambda answer: {"prompt": answer["prompt"]})


def _count_call(body: Json) -> Call:
    return Call("/api/chat/render", _native_chat(body), lambda answer: {"input_tokens": len(answer["tokens"])})


def _tokenize_call(body: Json) -> Call:
    fields = {"text": body["content"]}
    fields |= {name: body[name] for name in ("add_special", "parse_special", "model") if name in body}

    def back(answer: Json) -> Json:
        if body.get("with_pieces"):
            return {"tokens": [{"id": token["token_id"], "piece": _piece(token)} for token in answer["tokens"]]}
        return {"tokens": [token["token_id"] for token in answer["tokens"]]}

    return Call("/api/tokenize", fields, back)


def _piece(token: Json) -> str | list[int]:
    raw = b64decode(token["token_bytes"])
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)


def _detokenize_call(body: Json) -> Call:
    return Call("/api/detokenize", {"token_ids": body["tokens"]}, lambda answer: {"content": answer["text"]})


def _infill_call(body: Json) -> Call:
    if body.get("input_extra"):
        raise Untranslatable("/infill: input_extra")
    prompt = body["input_prefix"] + body["prompt"]
    return Call("/api/generate", {"prompt": prompt, "suffix": body["input_suffix"]}, _completion)


_STATES = {"ACTIVE": "loaded", "LOADING": "loading", "UNLOADED": "unloaded", "FAILED": "failed"}


def _models_call(_body: Any) -> Call:
    def back(answer: Json) -> Json:
        return {
            "data": [
                {"id": model["id"], "status": {"value": _STATES.get(model["state"], model["state"].lower())}}
                for model in answer["models"]
            ]
        }

    return Call("/api/llms", None, back)


def _move_call(verb: str) -> Callable[[Json], Call]:
    return lambda body: Call(f"/api/llms/{body['model']}:{verb}", {}, lambda _answer: {"success": True})


def _props_call(_body: Any) -> Call:
    """The state of the only model: llama-server sleeps where a model is unloaded here for want of requests."""
    return Call("/api/llms", None, lambda answer: {"is_sleeping": answer["models"][0]["state"] == "UNLOADED"})


_PATHS: dict[str, Callable[[Any], Call]] = {
    "/completion": _completion_call,
    "/completions": _completion_call,
    "/chat/completions": _chat_call,
    "/apply-template": _render_call,
    "/chat/completions/input_tokens": _count_call,
    "/responses": lambda body: Call("/v1/responses", body),
    "/tokenize": _tokenize_call,
    "/detokenize": _detokenize_call,
    "/infill": _infill_call,
    "/props": _props_call,
    "/models": _models_call,
    "/models/load": _move_call("load"),
    "/models/unload": _move_call("unload"),
}
