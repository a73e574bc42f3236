"""What models make of texts."""

from llm_inference.v1 import inference_pb2, tokens_pb2, tokens_pb2_grpc
from llm_inference_api.api.native import translation
from llm_inference_api.api.native.translation import Defaults
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.answers import Answers, new_id
from llm_inference_api.requests.inquiry import Detokenize, Findings, Render, Token, Tokenize
from llm_inference_api.rpc.call import Call

MAX_TOKENS = 100_000


class TokenServicer(tokens_pb2_grpc.TokenServiceServicer):  # type: ignore[misc]
    """Translates between RPCs and inquiries."""

    def __init__(self, answers: Answers, defaults: Defaults) -> None:
        self._answers = answers
        self._defaults = defaults

    async def Tokenize(self, request: tokens_pb2.TokenizeRequest, call: Call) -> tokens_pb2.TokenizeResponse:
        """Returns the tokens of a text."""
        translation.check_size("text", len(request.text.encode()))
        inquiry = Tokenize(
            request.text,
            add_special=request.add_special if request.HasField("add_special") else True,
            parse_special=request.parse_special if request.HasField("parse_special") else True,
        )
        found = await self._answers.inquire(self._answers.model(request.model), inquiry, call)
        return tokens_pb2.TokenizeResponse(tokens=map(_token, found))

    async def Detokenize(self, request: tokens_pb2.DetokenizeRequest, call: Call) -> tokens_pb2.DetokenizeResponse:
        """Returns the text of tokens."""
        if len(request.token_ids) > MAX_TOKENS:
            raise InvalidFieldError(
                "token_ids", f"there are {len(request.token_ids)}; at most {MAX_TOKENS} are allowed"
            )
        inquiry = Detokenize(tuple(request.token_ids))
        found = await self._answers.inquire(self._answers.model(request.model), inquiry, call)
        return tokens_pb2.DetokenizeResponse(text=_text(found))

    async def RenderChat(self, request: inference_pb2.ChatRequest, call: Call) -> tokens_pb2.RenderChatResponse:
        """Returns the prompt of a chat."""
        model = self._answers.model(request.model)
        inquiry = Render(translation.chat_request(request, new_id("chat"), self._defaults))
        found = await self._answers.inquire(model, inquiry, call)
        return tokens_pb2.RenderChatResponse(prompt=_text(found), tokens=map(_token, found))


def _token(token: Token) -> tokens_pb2.Token:
    return tokens_pb2.Token(token_id=token.id, token=token.text.decode("utf-8", "replace"), token_bytes=token.text)


def _text(found: Findings) -> str:
    return b"".join(token.text for token in found).decode("utf-8", "replace")
