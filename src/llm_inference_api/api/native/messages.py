"""Messages that several services of the typed API share."""

from llm_inference.v1 import generation_pb2, models_pb2
from llm_inference_api.requests.events import Logprobs, Progress, Stage, TokenLogprob, Usage
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.speeds import Speeds


def usage(domain: Usage) -> generation_pb2.Usage:
    """Returns the Usage message."""
    return generation_pb2.Usage(
        prompt_tokens=domain.prompt_tokens,
        completion_tokens=domain.completion_tokens,
        total_tokens=domain.prompt_tokens + domain.completion_tokens,
        cached_tokens=domain.cached_tokens,
        reasoning_tokens=domain.reasoning_tokens,
    )


def timings(domain: Usage) -> generation_pb2.Timings | None:
    """Returns the Timings message; None if the usage has no times."""
    if domain.times is None:
        return None
    speeds = Speeds(domain)
    return generation_pb2.Timings(
        queue_ms=speeds.queue_ms,
        prompt_tokens=speeds.prompt_tokens,
        prompt_ms=speeds.prompt_ms,
        prompt_tokens_per_second=speeds.prompt_per_second,
        completion_tokens=speeds.completion_tokens,
        completion_ms=speeds.completion_ms,
        completion_tokens_per_second=speeds.completion_per_second,
    )


def logprobs(domain: Logprobs) -> generation_pb2.Logprobs | None:
    """Returns the Logprobs message; None if there are no entries."""
    return generation_pb2.Logprobs(tokens=[_token_logprob(entry) for entry in domain]) if domain else None


def _token_logprob(entry: TokenLogprob) -> generation_pb2.TokenLogprob:
    return generation_pb2.TokenLogprob(
        token_id=entry.token_id,
        token=entry.token_bytes.decode("utf-8", "replace"),
        token_bytes=entry.token_bytes,
        logprob=entry.logprob,
        top_logprobs=[
            generation_pb2.TopLogprob(
                token_id=top.token_id,
                token=top.token_bytes.decode("utf-8", "replace"),
                token_bytes=top.token_bytes,
                logprob=top.logprob,
            )
            for top in entry.top_logprobs
        ],
    )


def progress(domain: Progress) -> generation_pb2.Progress:
    """Returns the Progress message, with the counts that apply to its stage."""
    # The contract has no DECODE stage: a request that decodes without text to send reports a complete prefill.
    stage = Stage.PREFILL if domain.stage is Stage.DECODE else domain.stage
    message = generation_pb2.Progress(stage=stage.value)
    if stage is Stage.QUEUED:
        message.requests_ahead = domain.requests_ahead
    if stage is Stage.PREFILL:
        message.prompt_tokens, message.computed_tokens = domain.prompt_tokens, domain.computed_tokens
        message.cached_tokens, message.elapsed_ms = domain.cached_tokens, 1000 * domain.seconds
    return message


def model_message(status: ModelStatus) -> models_pb2.Model:
    """Returns the Model message of a status."""
    return models_pb2.Model(
        id=status.id,
        state=status.state.value,
        reason=status.reason,
        progress=models_pb2.LoadProgress(**status.progress._asdict()) if status.progress else None,
        reference=status.source,
        info=_info(status.info, status.memory) if status.info else None,
    )


def _info(domain: ModelInfo, memory: int) -> models_pb2.ModelInfo:
    shared = {**domain._asdict(), "thinking": models_pb2.ThinkingOptions(**domain.thinking._asdict())}
    del shared["chat_template"]  # As long as all else together; Ollama's clients alone ask for it.
    return models_pb2.ModelInfo(**shared, memory_bytes=memory)
