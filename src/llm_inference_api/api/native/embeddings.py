"""Embeddings of texts."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc.aio

from llm_inference.v1 import embeddings_pb2, embeddings_pb2_grpc, generation_pb2
from llm_inference_api.api.native.translation import check_size
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.answers import Answers
from llm_inference_api.requests.inquiry import Embed, Embedding, Embeddings, Input

MAX_INPUTS = 128
MAX_TOKENS = 100_000
"""Of all token lists of a request together."""

Context = grpc.aio.ServicerContext[Any, Any]


class EmbeddingServicer(embeddings_pb2_grpc.EmbeddingServiceServicer):  # type: ignore[misc]
    """Translates between RPCs and embeddings."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def Embed(self, request: embeddings_pb2.EmbedRequest, context: Context) -> embeddings_pb2.EmbedResponse:
        """Returns a vector for each text."""
        embed = _embed(request)
        model = self._answers.model(request.model)
        found = await self._answers.embed(model, embed, context)
        return await asyncio.to_thread(_response, model.status.id, found)


def checked(field: str, inputs: Sequence[Input]) -> Embed:
    """Returns the question for the field's inputs. Raises InvalidFieldError where one is empty or they are too many."""
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise InvalidFieldError(field, f"must have 1 to {MAX_INPUTS} items, not {len(inputs)}")
    for item in inputs:
        if not item.content:
            raise InvalidFieldError(item.field, "is empty")
    check_size(field, sum(len(item.content.encode()) for item in inputs if isinstance(item.content, str)))
    tokens = sum(len(item.content) for item in inputs if not isinstance(item.content, str))
    if tokens > MAX_TOKENS:
        raise InvalidFieldError(field, f"has {tokens} tokens; at most {MAX_TOKENS} are allowed")
    return Embed(tuple(inputs))


def _embed(request: embeddings_pb2.EmbedRequest) -> Embed:
    if request.texts and request.token_lists:
        raise InvalidFieldError("token_lists", "may not be given together with texts; send a request for each")
    if request.token_lists:
        lists = [tuple(tokens.token_ids) for tokens in request.token_lists]
        return checked("token_lists", [Input(f"token_lists[{index}]", tokens) for index, tokens in enumerate(lists)])
    return checked("texts", [Input(f"texts[{index}]", text) for index, text in enumerate(request.texts)])


def _response(model: str, found: Embeddings) -> embeddings_pb2.EmbedResponse:
    tokens = sum(embedding.tokens for embedding in found)
    usage = generation_pb2.Usage(prompt_tokens=tokens, total_tokens=tokens)
    return embeddings_pb2.EmbedResponse(model=model, embeddings=map(_message, found), usage=usage)


def _message(embedding: Embedding) -> embeddings_pb2.Embedding:
    return embeddings_pb2.Embedding(values=embedding.numbers, tokens=embedding.tokens)
