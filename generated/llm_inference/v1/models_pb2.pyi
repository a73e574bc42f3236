from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Model(_message.Message):
    __slots__ = ("id", "state", "reason", "progress", "reference", "info")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Model.State]
        UNLOADED: _ClassVar[Model.State]
        DOWNLOADING: _ClassVar[Model.State]
        CONVERTING: _ClassVar[Model.State]
        QUANTIZING: _ClassVar[Model.State]
        LOADING: _ClassVar[Model.State]
        ACTIVE: _ClassVar[Model.State]
        UNLOADING: _ClassVar[Model.State]
        FAILED: _ClassVar[Model.State]
    STATE_UNSPECIFIED: Model.State
    UNLOADED: Model.State
    DOWNLOADING: Model.State
    CONVERTING: Model.State
    QUANTIZING: Model.State
    LOADING: Model.State
    ACTIVE: Model.State
    UNLOADING: Model.State
    FAILED: Model.State
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: Model.State
    reason: str
    progress: LoadProgress
    reference: str
    info: ModelInfo
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[Model.State, str]] = ..., reason: _Optional[str] = ..., progress: _Optional[_Union[LoadProgress, _Mapping]] = ..., reference: _Optional[str] = ..., info: _Optional[_Union[ModelInfo, _Mapping]] = ...) -> None: ...

class LoadProgress(_message.Message):
    __slots__ = ("done", "total", "unit")
    class Unit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNIT_UNSPECIFIED: _ClassVar[LoadProgress.Unit]
        BYTES: _ClassVar[LoadProgress.Unit]
        TENSORS: _ClassVar[LoadProgress.Unit]
        FRACTION: _ClassVar[LoadProgress.Unit]
    UNIT_UNSPECIFIED: LoadProgress.Unit
    BYTES: LoadProgress.Unit
    TENSORS: LoadProgress.Unit
    FRACTION: LoadProgress.Unit
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    done: float
    total: float
    unit: LoadProgress.Unit
    def __init__(self, done: _Optional[float] = ..., total: _Optional[float] = ..., unit: _Optional[_Union[LoadProgress.Unit, str]] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("description", "parameters", "size_bytes", "context_length", "trained_context_length", "vocabulary_size", "slots", "cache_tokens", "has_chat_template", "memory_bytes", "devices", "tool_format", "opens_thoughts", "generates", "embedding_length", "thinking", "ranks", "adapters", "labels", "state_bytes")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    TRAINED_CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CACHE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HAS_CHAT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    TOOL_FORMAT_FIELD_NUMBER: _ClassVar[int]
    OPENS_THOUGHTS_FIELD_NUMBER: _ClassVar[int]
    GENERATES_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_LENGTH_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    description: str
    parameters: float
    size_bytes: float
    context_length: int
    trained_context_length: int
    vocabulary_size: int
    slots: int
    cache_tokens: int
    has_chat_template: bool
    memory_bytes: float
    devices: _containers.RepeatedScalarFieldContainer[str]
    tool_format: str
    opens_thoughts: bool
    generates: bool
    embedding_length: int
    thinking: ThinkingOptions
    ranks: bool
    adapters: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.RepeatedScalarFieldContainer[str]
    state_bytes: float
    def __init__(self, description: _Optional[str] = ..., parameters: _Optional[float] = ..., size_bytes: _Optional[float] = ..., context_length: _Optional[int] = ..., trained_context_length: _Optional[int] = ..., vocabulary_size: _Optional[int] = ..., slots: _Optional[int] = ..., cache_tokens: _Optional[int] = ..., has_chat_template: _Optional[bool] = ..., memory_bytes: _Optional[float] = ..., devices: _Optional[_Iterable[str]] = ..., tool_format: _Optional[str] = ..., opens_thoughts: _Optional[bool] = ..., generates: _Optional[bool] = ..., embedding_length: _Optional[int] = ..., thinking: _Optional[_Union[ThinkingOptions, _Mapping]] = ..., ranks: _Optional[bool] = ..., adapters: _Optional[_Iterable[str]] = ..., labels: _Optional[_Iterable[str]] = ..., state_bytes: _Optional[float] = ...) -> None: ...

class ThinkingOptions(_message.Message):
    __slots__ = ("can_be_off", "efforts", "by_default")
    CAN_BE_OFF_FIELD_NUMBER: _ClassVar[int]
    EFFORTS_FIELD_NUMBER: _ClassVar[int]
    BY_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    can_be_off: bool
    efforts: _containers.RepeatedScalarFieldContainer[str]
    by_default: bool
    def __init__(self, can_be_off: _Optional[bool] = ..., efforts: _Optional[_Iterable[str]] = ..., by_default: _Optional[bool] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "defaults")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    defaults: RequestDefaults
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., defaults: _Optional[_Union[RequestDefaults, _Mapping]] = ...) -> None: ...

class RequestDefaults(_message.Message):
    __slots__ = ("temperature", "top_p", "max_tokens", "max_tokens_limit", "seed")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_p: float
    max_tokens: int
    max_tokens_limit: int
    seed: int
    def __init__(self, temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., max_tokens: _Optional[int] = ..., max_tokens_limit: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class LoadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class UnloadModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class UnloadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class DownloadModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class DownloadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class DeleteModelFilesRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class DeleteModelFilesResponse(_message.Message):
    __slots__ = ("model", "freed_bytes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    model: Model
    freed_bytes: float
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., freed_bytes: _Optional[float] = ...) -> None: ...

class WatchModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class WatchModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...
