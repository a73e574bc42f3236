from google.api import annotations_pb2 as _annotations_pb2
from llm_inference.v1 import generation_pb2 as _generation_pb2
from llm_inference.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecideRequest(_message.Message):
    __slots__ = ("text", "messages", "questions", "model", "rotations")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROTATIONS_FIELD_NUMBER: _ClassVar[int]
    text: str
    messages: _containers.RepeatedCompositeFieldContainer[_inference_pb2.ChatMessage]
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    model: str
    rotations: int
    def __init__(self, text: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_inference_pb2.ChatMessage, _Mapping]]] = ..., questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., model: _Optional[str] = ..., rotations: _Optional[int] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("name", "instructions", "predicate", "choice", "score")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    instructions: str
    predicate: Predicate
    choice: OptionChoice
    score: Scale
    def __init__(self, name: _Optional[str] = ..., instructions: _Optional[str] = ..., predicate: _Optional[_Union[Predicate, _Mapping]] = ..., choice: _Optional[_Union[OptionChoice, _Mapping]] = ..., score: _Optional[_Union[Scale, _Mapping]] = ...) -> None: ...

class Predicate(_message.Message):
    __slots__ = ("yes", "no")
    YES_FIELD_NUMBER: _ClassVar[int]
    NO_FIELD_NUMBER: _ClassVar[int]
    yes: str
    no: str
    def __init__(self, yes: _Optional[str] = ..., no: _Optional[str] = ...) -> None: ...

class OptionChoice(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: _containers.RepeatedCompositeFieldContainer[Option]
    def __init__(self, options: _Optional[_Iterable[_Union[Option, _Mapping]]] = ...) -> None: ...

class Scale(_message.Message):
    __slots__ = ("levels",)
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    levels: _containers.RepeatedCompositeFieldContainer[Option]
    def __init__(self, levels: _Optional[_Iterable[_Union[Option, _Mapping]]] = ...) -> None: ...

class Option(_message.Message):
    __slots__ = ("value", "description")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    value: str
    description: str
    def __init__(self, value: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("id", "model", "decisions", "usage")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    usage: _generation_pb2.Usage
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("name", "predicate", "choice", "score", "coverage", "temperature")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    predicate: PredicateDecision
    choice: OptionDecision
    score: ScaleDecision
    coverage: float
    temperature: float
    def __init__(self, name: _Optional[str] = ..., predicate: _Optional[_Union[PredicateDecision, _Mapping]] = ..., choice: _Optional[_Union[OptionDecision, _Mapping]] = ..., score: _Optional[_Union[ScaleDecision, _Mapping]] = ..., coverage: _Optional[float] = ..., temperature: _Optional[float] = ...) -> None: ...

class PredicateDecision(_message.Message):
    __slots__ = ("probability",)
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    probability: float
    def __init__(self, probability: _Optional[float] = ...) -> None: ...

class OptionDecision(_message.Message):
    __slots__ = ("value", "confidence", "probabilities")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    value: str
    confidence: float
    probabilities: _containers.RepeatedCompositeFieldContainer[OptionProbability]
    def __init__(self, value: _Optional[str] = ..., confidence: _Optional[float] = ..., probabilities: _Optional[_Iterable[_Union[OptionProbability, _Mapping]]] = ...) -> None: ...

class ScaleDecision(_message.Message):
    __slots__ = ("score", "confidence", "probabilities")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    score: float
    confidence: float
    probabilities: _containers.RepeatedCompositeFieldContainer[OptionProbability]
    def __init__(self, score: _Optional[float] = ..., confidence: _Optional[float] = ..., probabilities: _Optional[_Iterable[_Union[OptionProbability, _Mapping]]] = ...) -> None: ...

class OptionProbability(_message.Message):
    __slots__ = ("value", "probability")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    value: str
    probability: float
    def __init__(self, value: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...
