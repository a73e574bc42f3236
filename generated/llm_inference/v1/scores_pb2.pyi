from google.api import annotations_pb2 as _annotations_pb2
from llm_inference.v1 import embeddings_pb2 as _embeddings_pb2
from llm_inference.v1 import generation_pb2 as _generation_pb2
from llm_inference.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreRequest(_message.Message):
    __slots__ = ("prompt", "prompt_tokens", "messages", "continuations", "continuation_tokens", "model", "top_logprobs")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CONTINUATIONS_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    prompt_tokens: _embeddings_pb2.TokenList
    messages: _containers.RepeatedCompositeFieldContainer[_inference_pb2.ChatMessage]
    continuations: _containers.RepeatedScalarFieldContainer[str]
    continuation_tokens: _containers.RepeatedCompositeFieldContainer[_embeddings_pb2.TokenList]
    model: str
    top_logprobs: int
    def __init__(self, prompt: _Optional[str] = ..., prompt_tokens: _Optional[_Union[_embeddings_pb2.TokenList, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_inference_pb2.ChatMessage, _Mapping]]] = ..., continuations: _Optional[_Iterable[str]] = ..., continuation_tokens: _Optional[_Iterable[_Union[_embeddings_pb2.TokenList, _Mapping]]] = ..., model: _Optional[str] = ..., top_logprobs: _Optional[int] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("id", "model", "scores", "usage")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    usage: _generation_pb2.Usage
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("logprob", "is_greedy", "logprobs")
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    IS_GREEDY_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    logprob: float
    is_greedy: bool
    logprobs: _generation_pb2.Logprobs
    def __init__(self, logprob: _Optional[float] = ..., is_greedy: _Optional[bool] = ..., logprobs: _Optional[_Union[_generation_pb2.Logprobs, _Mapping]] = ...) -> None: ...
