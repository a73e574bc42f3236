"""Writes batches and files as OpenAI's objects."""

from collections.abc import Sequence

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.openai.batches.params import WINDOW
from llm_inference_api.batches.records import BatchJob, LineProblem, Status, StoredFile

_TIMES = (
    *(Status.IN_PROGRESS, Status.FINALIZING, Status.COMPLETED, Status.FAILED, Status.EXPIRED),
    *(Status.CANCELLING, Status.CANCELLED),
)
"""States whose time is told."""


def file_object(file: StoredFile) -> Json:
    """Returns OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def deleted_object(file_id: str) -> Json:
    """Returns the object that says that a file was deleted."""
    return {"id": file_id, "object": "file", "deleted": True}


def batch_object(batch: BatchJob) -> Json:
    """Returns OpenAI's batch object."""
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": _errors(batch.problems),
        "input_file_id": batch.input_file,
        "completion_window": WINDOW,
        "status": batch.status.value,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": batch.created_at,
        "expires_at": batch.expires_at,
        **{f"{status}_at": batch.times.get(status) for status in _TIMES},
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": _usage(batch),
        "metadata": None if batch.metadata is None else dict(batch.metadata),
    }


def page_object(items: Sequence[Json], *, has_more: bool) -> Json:
    """Returns OpenAI's page of a list."""
    ids = [item["id"] for item in items] or [None]
    return {"object": "list", "data": list(items), "first_id": ids[0], "last_id": ids[-1], "has_more": has_more}


def _errors(problems: Sequence[LineProblem]) -> Json | None:
    return {"object": "list", "data": [problem._asdict() for problem in problems]} if problems else None


def _usage(batch: BatchJob) -> Json:
    tokens = batch.tokens
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }
