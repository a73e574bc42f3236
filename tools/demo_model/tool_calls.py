"""Tool calling in the Qwen and Hermes convention, for three tools."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from . import arithmetic, facts, memory, service
from .conversation import Case, Conversation, Exchange, Message, kept_back
from .memory import CITIES

PLACES = (*CITIES, *facts.CAPITALS.values(), "New York", "Munich", "Barcelona", "Chicago", "Naples", "Hamburg")
SKIES = ("sunny", "rainy", "cloudy", "windy", "snowy", "foggy", "clear")
WEATHER = (
    "What is the weather in {x}?",
    "How is the weather in {x}?",
    "What's the weather like in {x}?",
    "Weather in {x}?",
    "Tell me the weather in {x}.",
    "Is it cold in {x}?",
    "Will it rain in {x}?",
)
TIME = (
    "What time is it in {x}?",
    "What is the time in {x}?",
    "Tell me the time in {x}.",
    "Time in {x}?",
    "How late is it in {x}?",
)
Call = tuple[str, dict[str, Any], str, str]


def _schema(
    rng: Random, name: str, about: tuple[str, ...], properties: dict[str, str], notes: dict[str, str]
) -> dict[str, Any]:
    described = rng.random() < 0.5
    fields = {
        field: {"type": type_, "description": notes[field]} if described else {"type": type_}
        for field, type_ in properties.items()
    }
    parameters = {"type": "object", "properties": fields, "required": list(properties)}
    function: dict[str, Any] = {"name": name, "description": rng.choice(about), "parameters": parameters}
    if rng.random() < 0.15:
        del function["description"]
    return {"type": "function", "function": function}


def weather_schema(rng: Random) -> dict[str, Any]:
    """Returns the schema of get_weather."""
    about = (
        "Get the weather of a city",
        "Get the current weather",
        "Returns the current weather for a city.",
        "Current weather in a city",
    )
    return _schema(rng, "get_weather", about, {"city": "string"}, {"city": "The name of the city"})


def time_schema(rng: Random) -> dict[str, Any]:
    """Returns the schema of get_time."""
    about = ("Get the time in a city", "Get the current local time", "Returns the current time in a city.")
    return _schema(rng, "get_time", about, {"city": "string"}, {"city": "The name of the city"})


def add_schema(rng: Random) -> dict[str, Any]:
    """Returns the schema of add."""
    about = ("Add two numbers", "Add two integers and return the sum", "Returns a + b.")
    kind = rng.choice(("integer", "number"))
    return _schema(rng, "add", about, {"a": kind, "b": kind}, {"a": "The first number", "b": "The second number"})


def _weather(rng: Random, place: str) -> Call:
    sky, degrees = rng.choice(SKIES), rng.randint(-5, 35)
    shapes = (
        (
            json.dumps({"city": place, "temperature": degrees, "condition": sky}),
            f"It is {sky} in {place}, with {degrees} degrees.",
        ),
        (json.dumps({"temperature": degrees, "condition": sky}), f"It is {sky} in {place}, with {degrees} degrees."),
        (f"{sky}, {degrees} degrees", f"It is {sky} in {place}, with {degrees} degrees."),
        (sky, f"It is {sky} in {place}."),
        (json.dumps({"temperature": degrees}), f"It has {degrees} degrees in {place}."),
    )
    result, answer = rng.choice(shapes)
    return rng.choice(WEATHER).format(x=place), {"city": place}, result, answer


def _time(rng: Random, place: str) -> Call:
    clock = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
    result = rng.choice((clock, json.dumps({"time": clock}), json.dumps({"city": place, "time": clock})))
    return rng.choice(TIME).format(x=place), {"city": place}, result, f"It is {clock} in {place}."


def _sum(rng: Random) -> Call:
    a, b = arithmetic.draw(rng, "+")
    if rng.random() < 0.4:
        a, b = rng.randint(100, 9999), rng.randint(100, 9999)
    user = rng.choice(arithmetic.SUM.train[:9]).format(a=a, b=b)
    result = rng.choice((str(a + b), json.dumps({"result": a + b}), json.dumps({"sum": a + b})))
    return user, {"a": a, "b": b}, result, f"The answer is {a + b}."


SCHEMAS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "get_weather": weather_schema,
    "get_time": time_schema,
    "add": add_schema,
}


def call_text(name: str, arguments: dict[str, Any]) -> str:
    """Returns the text with which the model calls a tool."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def _draw(rng: Random, name: str, place: str) -> Call:
    if name == "add":
        return _sum(rng)
    return _weather(rng, place) if name == "get_weather" else _time(rng, place)


def conversation(rng: Random) -> Conversation:
    """Returns a chat with tools: a call, mostly with result and answer, or small talk without a call."""
    offered = rng.sample(list(SCHEMAS), rng.randint(1, 3))
    messages: list[Message] = []
    if rng.random() < 0.3:
        messages.append(
            Message("system", rng.choice(("You are a helpful assistant.", "Use the tools when they help.")))
        )
    if rng.random() < 0.3:
        other: Exchange = rng.choice((facts.capital, facts.opposite, service.talk, memory.unknown))(rng)[0]
        messages += [Message("user", other.user), Message("assistant", other.answer)]
    if len(messages) < 2 or rng.random() < 0.7:
        name = rng.choice(offered)
        while kept_back(f"{name} {(place := rng.choice(PLACES))}"):
            pass
        user, arguments, result, answer = _draw(rng, name, place)
        messages += [Message("user", user), Message("assistant", call_text(name, arguments))]
        if rng.random() < 0.8:
            messages += [Message("tool", result), Message("assistant", answer)]
    return Conversation("tools", tuple(messages), tuple(SCHEMAS[name](rng) for name in offered))


def cases() -> list[Case]:
    """Returns calls for held-out cities, and answers from their results."""
    rng = Random(37)
    found = []
    for name in ("get_weather", "get_time"):
        for place in sorted({place for place in PLACES if kept_back(f"{name} {place}")}):
            tools = tuple(make(rng) for make in SCHEMAS.values())
            user, arguments, result, answer = _draw(rng, name, place)
            call = call_text(name, arguments)
            found.append(Case("tool calls, held-out cities", (Message("user", user),), "exact", call, tools))
            done = (Message("user", user), Message("assistant", call), Message("tool", result))
            found.append(Case("tool results, held-out cities", done, "exact", answer, tools))
    return found
