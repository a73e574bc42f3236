"""TokenService: tokenize, detokenize, render chats and parse answers."""

from collections.abc import Iterator
from contextlib import contextmanager

from llm_inference.v1 import inference_pb2, tokens_pb2, tokens_pb2_grpc
from llm_inference_api.api.native.reading import read_chat
from llm_inference_api.api.native.writers import delta, message
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.answers import Answer
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.requests.inquiry import (
    Detokenize,
    Findings,
    Parse,
    Readings,
    Render,
    Token,
    Tokenize,
    check_tokens,
)
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.sizes import check_count, check_size
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

_MOST_PIECES = 100_000
_MESSAGE_BYTES = 16
"""Approximate size of a token's message."""


class TokenServicer(tokens_pb2_grpc.TokenServiceServicer):
    """Translates between RPCs and inquiries."""

    def __init__(self, inquiries: Inquiries, limits: Limits) -> None:
        self._inquiries = inquiries
        self._limits = limits

    async def Tokenize(self, request: tokens_pb2.TokenizeRequest, call: Call) -> tokens_pb2.TokenizeResponse:
        """Returns the tokens of a text. Special tokens are added and parsed by default."""
        check_size("text", len(request.text.encode()))
        inquiry = Tokenize(
            request.text,
            add_special=request.add_special if request.HasField("add_special") else True,
            parse_special=request.parse_special if request.HasField("parse_special") else True,
        )
        found = await self._inquiries.inquire(request.model, inquiry, call)
        return await off_loop(len(found) * _MESSAGE_BYTES, _tokens_of, found)

    async def Detokenize(self, request: tokens_pb2.DetokenizeRequest, call: Call) -> tokens_pb2.DetokenizeResponse:
        """Returns the text of tokens."""
        check_tokens("token_ids", len(request.token_ids))
        inquiry = Detokenize(await off_loop(len(request.token_ids), tuple, request.token_ids))
        found = await self._inquiries.inquire(request.model, inquiry, call)
        return tokens_pb2.DetokenizeResponse(text=await off_loop(len(found), _text, found))

    async def RenderChat(self, request: inference_pb2.ChatRequest, call: Call) -> tokens_pb2.RenderChatResponse:
        """Returns the prompt that a chat is rendered to, as text and tokens, without generating."""
        ask = await off_loop(request.ByteSize(), read_chat, request, self._limits)
        found = await self._inquiries.inquire(request.model, Render(ask), call)
        return await off_loop(len(found) * _MESSAGE_BYTES, _prompt_of, found)

    async def ParseChat(self, request: tokens_pb2.ParseChatRequest, call: Call) -> tokens_pb2.ParseChatResponse:
        """Returns how a text is read that answers a chat, without generating."""
        pieces = await off_loop(request.ByteSize(), _pieces, request)
        with _below("request"):
            ask = await off_loop(request.ByteSize(), read_chat, request.request, self._limits)
            found = await self._inquiries.parse(request.request.model, Parse(ask, pieces), call)
        return await off_loop(request.ByteSize(), _read_of, found, bool(request.pieces))


@contextmanager
def _below(field: str) -> Iterator[None]:
    """Names the fields in errors as parts of `field`."""
    try:
        yield
    except InvalidFieldError as error:
        raise type(error)(f"{field}.{error.field}", error.problem) from error


def _pieces(request: tokens_pb2.ParseChatRequest) -> tuple[str, ...]:
    if not request.HasField("request"):
        raise InvalidFieldError("request", "is missing; it is the chat request that the text answers")
    if bool(request.text) == bool(request.pieces):
        raise InvalidFieldError("text", "give either `text` or `pieces`: the answer to parse")
    check_count("pieces", len(request.pieces), _MOST_PIECES, "pieces")
    pieces = tuple(request.pieces) or (request.text,)
    check_size("pieces" if request.pieces else "text", sum(len(piece.encode()) for piece in pieces))
    return pieces


def _read_of(found: Readings, in_pieces: bool) -> tokens_pb2.ParseChatResponse:  # noqa: FBT001 - by off_loop
    answer = Answer(0)
    for pieces in found:
        for piece in pieces:
            answer.add(piece)
    read = [tokens_pb2.ParsedPiece(deltas=map(delta, pieces)) for pieces in found] if in_pieces else ()
    return tokens_pb2.ParseChatResponse(message=message(answer), pieces=read)


def _tokens_of(found: Findings) -> tokens_pb2.TokenizeResponse:
    return tokens_pb2.TokenizeResponse(tokens=map(_token, found))


def _prompt_of(found: Findings) -> tokens_pb2.RenderChatResponse:
    return tokens_pb2.RenderChatResponse(prompt=_text(found), tokens=map(_token, found))


def _token(token: Token) -> tokens_pb2.Token:
    return tokens_pb2.Token(token_id=token.id, token=token.text.decode("utf-8", "replace"), token_bytes=token.text)


def _text(found: Findings) -> str:
    return b"".join(token.text for token in found).decode("utf-8", "replace")
