"""Requests to rank documents by their relevance to a query."""

from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.inquiry import Input
from llm_inference_api.requests.sizes import check_count, check_size

MAX_DOCUMENTS = 1000


class Rank(NamedTuple):
    """Asks for the relevance of documents to a query."""

    query: str
    documents: tuple[Input, ...]


class Relevance(NamedTuple):
    """How well a document answers a query."""

    score: float
    """From 0 to 1."""
    tokens: int
    """Number of tokens of the query and the document, special tokens included."""


Relevances = tuple[Relevance, ...]


class Ranked(NamedTuple):
    """A document of the request, by its index there, with its relevance."""

    place: int
    relevance: Relevance


def checked_rank(query: str, documents: Sequence[Input], top_n: int | None) -> Rank:
    """Returns the request to rank the documents; `documents` is the field's name on every wire.

    Raises:
        InvalidFieldError: The query or a document is empty, there are no or too many documents, or they are too large
            together; or `top_n` is below 1.
    """
    if not query:
        raise InvalidFieldError("query", "is empty")
    if not documents:
        raise InvalidFieldError("documents", f"must have 1 to {MAX_DOCUMENTS} items, not 0")
    check_count("documents", len(documents), MAX_DOCUMENTS, "items")
    size = len(query.encode())
    check_size("query", size)
    for document in documents:
        if not document.content:
            raise InvalidFieldError(document.field, "is empty")
        size += len(str(document.content).encode())
    check_size("documents", size)
    if top_n is not None and top_n < 1:
        raise InvalidFieldError("top_n", f"must be at least 1, not {top_n}")
    return Rank(query, tuple(documents))


def best(relevances: Relevances, top_n: int | None) -> list[Ranked]:
    """Returns the `top_n` most relevant documents, all for None; equally relevant ones in their order."""
    ranked = [Ranked(index, relevance) for index, relevance in enumerate(relevances)]
    return sorted(ranked, key=lambda item: -item.relevance.score)[:top_n]
