"""Reads server-sent events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx


@contextmanager
def stream(client: httpx.Client, path: str, body: dict[str, Any]) -> Iterator[tuple[httpx.Response, Iterator[Any]]]:
    """Yields the response and its events, as they come."""
    with client.stream("POST", path, json=body) as response:
        yield response, events(response)


def events(response: httpx.Response) -> Iterator[Any]:
    """Yields the data of each event; each must be one line of JSON."""
    for line in response.iter_lines():
        if line:
            assert line.startswith("data: "), line
            yield json.loads(line.removeprefix("data: "))


def read(client: httpx.Client, path: str, body: dict[str, Any]) -> list[Any]:
    """Returns all events of a stream that must begin well."""
    with stream(client, path, body) as (response, found):
        assert response.status_code == 200, response.read()
        return list(found)


def text_of(found: list[Any]) -> str:
    """Returns the text that the events add up to."""
    return "".join(event.get("text", "") or event.get("delta", {}).get("content", "") for event in found)
