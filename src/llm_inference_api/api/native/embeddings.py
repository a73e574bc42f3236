"""EmbeddingService: embeddings of texts or token lists."""

import asyncio

from llm_inference.v1 import embeddings_pb2, embeddings_pb2_grpc, generation_pb2
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.requests.inquiry import (
    Embed,
    Embedding,
    Embeddings,
    Input,
    check_input_count,
    check_tokens,
    checked_inputs,
)
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop


class EmbeddingServicer(embeddings_pb2_grpc.EmbeddingServiceServicer):
    """Translates between RPCs and embedding requests."""

    def __init__(self, inquiries: Inquiries) -> None:
        self._inquiries = inquiries

    async def Embed(self, request: embeddings_pb2.EmbedRequest, call: Call) -> embeddings_pb2.EmbedResponse:
        """Returns one vector per text or token list, in order."""
        model, found = await self._inquiries.embed(
            request.model, await off_loop(request.ByteSize(), _embed, request), call
        )
        return await asyncio.to_thread(_response, model, found)


def _embed(request: embeddings_pb2.EmbedRequest) -> Embed:
    dimensions = request.dimensions if request.HasField("dimensions") else None
    if request.texts and request.token_lists:
        raise InvalidFieldError("token_lists", "may not be given together with texts; send a request for each")
    if request.token_lists:
        check_input_count("token_lists", len(request.token_lists))
        check_tokens("token_lists", sum(len(tokens.token_ids) for tokens in request.token_lists))
        lists = [tuple(tokens.token_ids) for tokens in request.token_lists]
        inputs = [Input(f"token_lists[{index}]", tokens) for index, tokens in enumerate(lists)]
        return checked_inputs("token_lists", inputs, dimensions)
    check_input_count("texts", len(request.texts))
    inputs = [Input(f"texts[{index}]", text) for index, text in enumerate(request.texts)]
    return checked_inputs("texts", inputs, dimensions)


def _response(model: str, found: Embeddings) -> embeddings_pb2.EmbedResponse:
    tokens = sum(embedding.tokens for embedding in found)
    usage = generation_pb2.Usage(prompt_tokens=tokens, total_tokens=tokens)
    return embeddings_pb2.EmbedResponse(model=model, embeddings=map(_message, found), usage=usage)


def _message(embedding: Embedding) -> embeddings_pb2.Embedding:
    return embeddings_pb2.Embedding(values=embedding.numbers, tokens=embedding.tokens)
