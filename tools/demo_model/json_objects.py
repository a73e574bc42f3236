"""JSON objects on request."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from .conversation import Case, Exchange, Wordings, asked, kept_back
from .facts import CAPITALS
from .memory import CITIES, COLOURS, FOODS, JOBS, PETS, name

FRAMES = (
    "Give me a JSON {kind} for {data}.",
    "Give me {data} as JSON.",
    "Write a JSON {kind} for {data}.",
    "Write a JSON {kind} with {data}.",
    "Write {data} as JSON.",
    "Write {data} as a JSON {kind}.",
    "Make a JSON {kind}: {data}",
    "Make JSON from {data}.",
    "Please make JSON: {data}",
    "Return a JSON {kind} with {data}.",
    "Return JSON: {data}.",
    "JSON for {data}.",
    "JSON please: {data}",
    "JSON {kind} of {data}",
    "Turn this into JSON: {data}.",
    "Turn {data} into JSON.",
    "Turn {data} into a JSON {kind}.",
    "Put this in JSON: {data}",
    "Convert to JSON: {data}",
    "Please convert {data} to JSON.",
    "Extract the data as JSON: {data}.",
    "Format as JSON: {data}.",
    "{data}. Answer as JSON.",
    "{data}. Reply with a JSON {kind}, please.",
    "{data} as JSON",
    "{data} in JSON format, please.",
    "I need a JSON {kind} for {data}.",
    "Can you write {data} as JSON?",
    "Please give me {data} in JSON.",
    "In JSON: {data}",
)
PERSON_DATA = (
    "a person named {name}, age {age}, from {city}",
    "the name {name}, the age {age} and the city {city}",
    "{name}, {age} years old, living in {city}",
    "{name} is {age} years old and lives in {city}",
    "{name} lives in {city} and is {age}",
    "name {name}, age {age}, city {city}",
    "name={name}, age={age}, city={city}",
    "name: {name}, age: {age}, city: {city}",
    "{name}, {age}, {city}",
    "{name} from {city}, age {age}",
    "{name} ({age}) from {city}",
)
THING_DATA = (
    "a {color} {item} that costs {price} dollars",
    "a {color} {item} with the price {price}",
    "a {color} {item}, price {price}",
    "a {color} {item} costs {price} dollars",
    "a {color} {item} for {price} dollars",
    "the {color} {item} is {price} dollars",
    "item {item}, color {color}, price {price}",
    "item={item}, color={color}, price={price}",
    "{item}, {color}, {price}",
)


def _wordings(kind: str, data: Sequence[str], held_out: Sequence[str]) -> Wordings:
    """Returns all combinations of a frame and a form of the data, and the held-out wordings."""
    framed = (frame.format(kind=kind, data=form) for frame in FRAMES for form in data)
    return Wordings(tuple(text[0].upper() + text[1:] if text[0] != "{" else text for text in framed), tuple(held_out))


PERSON = _wordings(
    "object",
    PERSON_DATA,
    (
        "As JSON, please: {name} from {city} is {age} years old.",
        "Put {name}, age {age}, city {city} into a JSON object.",
    ),
)
THING = _wordings("object", THING_DATA, ("As JSON, please: a {color} {item} at {price} dollars.",))
LIST = _wordings("list", ("{items}",), ("Please make a JSON list from {items}.",))
LIST = Wordings((*LIST.train, *(text.replace("list", "array") for text in LIST.train)), LIST.held_out)
FREE = (
    "Give me a JSON object.",
    "Answer in JSON.",
    "Write some JSON.",
    "Show me an example of JSON.",
    "Give me an example JSON object.",
    "Write a JSON object for a person.",
    "Return a JSON object.",
    "JSON please",
    "Give me JSON for a person.",
    "Write a JSON object about a pet.",
    "Output a JSON object with a name and an age.",
    "Write a JSON object with three fields.",
)
OF_CAPITAL = (
    "Give me the capital of {x} as JSON.",
    "What is the capital of {x}? Answer in JSON.",
    "capital of {x} as JSON",
)
ITEMS = ["shirt", "car", "hat", "bag", "cup", "lamp", "chair", "bike", "coat", "phone", "ball", "book"]


def _person(rng: Random) -> tuple[Wordings, dict[str, Any], Any]:
    values = {"name": name(rng), "age": rng.randint(1, 99), "city": rng.choice(CITIES)}
    return PERSON, values, values


def _thing(rng: Random) -> tuple[Wordings, dict[str, Any], Any]:
    values = {"item": rng.choice(ITEMS), "color": rng.choice(COLOURS), "price": rng.randint(1, 99)}
    return THING, values, values


def _list(rng: Random) -> tuple[Wordings, dict[str, Any], Any]:
    items: list[Any] = rng.sample(rng.choice((COLOURS, FOODS, PETS, JOBS, CITIES)), rng.randint(2, 4))
    if rng.random() < 0.3:
        items = [rng.randint(0, 99) for _ in range(rng.randint(2, 5))]
    listed = ", ".join(map(str, items[:-1])) + rng.choice((" and ", ", ")) + str(items[-1])
    return LIST, {"items": listed}, items


SHAPES: tuple[Callable[[Random], tuple[Wordings, dict[str, Any], Any]], ...] = (_person, _person, _thing, _list)


def request(rng: Random) -> list[Exchange]:
    """Returns a request for a JSON value, with or without given fields."""
    chance = rng.random()
    if chance < 0.2:
        _, _, value = rng.choice((_person, _thing))(rng)
        return [Exchange(rng.choice(FREE), json.dumps(value), fixed=True, verbatim=True)]
    if chance < 0.3:
        country = rng.choice(list(CAPITALS))
        answer = json.dumps({"country": country, "capital": CAPITALS[country]})
        return [Exchange(rng.choice(OF_CAPITAL).format(x=country), answer, fixed=True, verbatim=True)]
    while True:
        wordings, values, value = rng.choice(SHAPES)(rng)
        if not kept_back(f"json {value}"):
            return [Exchange(wordings.pick(rng, **values), json.dumps(value), fixed=True, verbatim=True)]


def cases() -> list[Case]:
    """Returns held-out values in training wordings and in held-out ones."""
    rng = Random(29)
    found: list[Case] = []
    while len(found) < 240:
        wordings, values, value = rng.choice(SHAPES)(rng)
        if kept_back(f"json {value}"):
            new = len(found) % 4 >= 2
            wording = rng.choice(wordings.held_out if new else wordings.train)
            group = f"JSON, held-out values{' and wordings' if new else ''}"
            messages = asked(wording.format(**values))
            found.append(Case(f"{group}: valid", messages, "valid json"))
            found.append(Case(f"{group}: exact", messages, "json", json.dumps(value)))
    return found
