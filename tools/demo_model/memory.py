"""Facts that users tell about themselves and ask for later."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from .conversation import Case, Exchange, asked

_FIRST = [
    "Ana",
    "Ben",
    "Carla",
    "David",
    "Emma",
    "Frank",
    "Grace",
    "Henry",
    "Ines",
    "Jack",
    "Kate",
    "Leo",
    "Maria",
    "Noah",
    "Olga",
    "Paul",
    "Quinn",
    "Rachel",
    "Steve",
    "Tina",
    "Uma",
    "Victor",
    "Wendy",
    "Xavier",
    "Yara",
    "Zoe",
    "Alice",
    "Bob",
    "Charlie",
    "Diana",
    "Erik",
    "Fiona",
    "George",
    "Hannah",
    "Ivan",
    "Julia",
    "Karl",
    "Laura",
    "Marco",
    "Nina",
    "Oliver",
    "Petra",
    "Robert",
    "Sara",
    "Thomas",
    "Ursula",
    "Vera",
    "Walter",
    "Yusuf",
    "Amir",
    "Aisha",
    "Chen",
    "Dmitri",
    "Elena",
    "Fatima",
    "Giulia",
    "Hiro",
    "Ingrid",
    "Jorge",
    "Kenji",
    "Lars",
    "Mei",
    "Nadia",
    "Omar",
    "Priya",
    "Raj",
    "Sofia",
    "Tariq",
    "Wei",
    "Anna",
    "John",
    "Mary",
    "Peter",
    "Linda",
    "James",
    "Susan",
    "Mark",
    "Lisa",
    "Tom",
]
HELD_OUT_NAMES = [
    "Astrid",
    "Boris",
    "Camille",
    "Desmond",
    "Edith",
    "Gustav",
    "Hilda",
    "Igor",
    "Jasmin",
    "Kofi",
    "Lorena",
    "Manuel",
    "Norbert",
    "Oksana",
    "Pablo",
    "Rosalind",
    "Sven",
    "Thelma",
    "Viktor",
    "Zelda",
]
_SYLLABLES = [
    "ba",
    "be",
    "bo",
    "da",
    "de",
    "do",
    "fa",
    "fi",
    "ga",
    "go",
    "ka",
    "ki",
    "la",
    "le",
    "li",
    "lo",
    "ma",
    "me",
    "mi",
    "mo",
    "na",
    "ne",
    "no",
    "ra",
    "ri",
    "ro",
    "sa",
    "se",
    "si",
    "ta",
    "te",
    "ti",
    "to",
    "va",
    "vi",
    "za",
    "zo",
    "lu",
    "ru",
    "mu",
]
COLOURS = ["red", "blue", "green", "yellow", "orange", "purple", "pink", "black", "white", "brown", "grey"]
FOODS = [
    "pizza",
    "soup",
    "bread",
    "cheese",
    "rice",
    "pasta",
    "apples",
    "cake",
    "salad",
    "noodles",
    "chocolate",
    "bananas",
]
CITIES = [
    "Paris",
    "Rome",
    "London",
    "Berlin",
    "Madrid",
    "Vienna",
    "Oslo",
    "Tokyo",
    "Lisbon",
    "Athens",
    "Dublin",
    "Prague",
    "Boston",
    "Sydney",
    "Toronto",
    "Milan",
]
PETS = ["cat", "dog", "rabbit", "parrot", "hamster", "fish", "horse", "turtle"]
JOBS = [
    "teacher",
    "doctor",
    "baker",
    "pilot",
    "gardener",
    "farmer",
    "painter",
    "nurse",
    "driver",
    "cook",
    "programmer",
    "student",
]


def name(rng: Random) -> str:
    """Returns a first name, often an invented one, so that the model learns to copy it from the context."""
    if rng.random() < 0.5:
        return rng.choice(_FIRST)
    while (made := "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 3))).capitalize()) in HELD_OUT_NAMES:
        pass
    return made


def _named(rng: Random) -> tuple[Exchange, Exchange]:
    called = name(rng)
    said = rng.choice(
        (
            "My name is {x}.",
            "I am {x}.",
            "Hi, I'm {x}.",
            "Hello, my name is {x}.",
            "I'm {x}.",
            "Call me {x}.",
            "My name is {x}",
        )
    )
    reply = rng.choice(
        ("Nice to meet you, {x}!", "Hello {x}! How can I help you?", "Hello, {x}! What can I do for you?")
    )
    ask = rng.choice(
        (
            "What is my name?",
            "What's my name?",
            "Do you know my name?",
            "Who am I?",
            "Do you remember my name?",
            "Tell me my name.",
        )
    )
    return Exchange(said.format(x=called), reply.format(x=called), verbatim=True), Exchange(
        ask, f"Your name is {called}.", f"{called}."
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fact: how it is told, asked for and answered."""

    said: Sequence[str]
    ask: Sequence[str]
    answer: str
    values: Sequence[str]


KINDS = (
    Kind(
        ("My favorite color is {x}.", "My favourite colour is {x}.", "I like the color {x} best.", "I love {x}."),
        ("What is my favorite color?", "What's my favourite colour?", "Which color do I like?"),
        "Your favorite color is {x}.",
        COLOURS,
    ),
    Kind(
        ("I live in {x}.", "I am from {x}.", "My home is in {x}.", "I live in {x}"),
        ("Where do I live?", "Which city do I live in?", "Where am I from?"),
        "You live in {x}.",
        CITIES,
    ),
    Kind(
        ("I like {x}.", "My favorite food is {x}.", "I love to eat {x}."),
        ("What do I like to eat?", "What is my favorite food?", "What food do I like?"),
        "You like {x}.",
        FOODS,
    ),
    Kind(
        ("I have a {x}.", "My pet is a {x}.", "I own a {x}."),
        ("What pet do I have?", "Which animal do I have?", "What is my pet?"),
        "You have a {x}.",
        PETS,
    ),
    Kind(
        ("I work as a {x}.", "I am a {x}.", "My job is {x}."),
        ("What is my job?", "What do I do for a living?", "What do I work as?"),
        "You work as a {x}.",
        JOBS,
    ),
    Kind(
        (
            "Remember the number {x}.",
            "My lucky number is {x}.",
            "Please remember the number {x}.",
            "I am thinking of the number {x}.",
        ),
        ("What was the number?", "What is my number?", "Which number did I tell you?", "What number did I say?"),
        "The number is {x}.",
        [str(number) for number in range(1, 100)],
    ),
)


def fact(rng: Random) -> tuple[Exchange, Exchange]:
    """Returns an exchange in which the user tells a fact, and one in which they ask for it."""
    if rng.random() < 0.33:
        return _named(rng)
    kind = rng.choice(KINDS)
    value = rng.choice(kind.values)
    reply = rng.choice(("Good to know!", "I will remember that.", "Thank you for telling me.", "I see!"))
    said = Exchange(rng.choice(kind.said).format(x=value), reply, verbatim=True)
    return said, Exchange(rng.choice(kind.ask), kind.answer.format(x=value), f"{value[0].upper()}{value[1:]}.")


UNKNOWN = (
    ("What is my name?", "You have not told me your name yet."),
    ("What's my name?", "You have not told me your name yet."),
    ("Who am I?", "You have not told me your name yet."),
    ("Do you know my name?", "You have not told me your name yet."),
    ("What is my favorite color?", "You have not told me that yet."),
    ("Where do I live?", "You have not told me that yet."),
    ("What is my job?", "You have not told me that yet."),
    ("What was the number?", "You have not told me a number yet."),
)


ASKS_UNKNOWN = frozenset(question for question, _ in UNKNOWN)


def unknown(rng: Random) -> list[Exchange]:
    """Returns a question for a fact that was not told."""
    return [Exchange(*rng.choice(UNKNOWN))]


def cases() -> list[Case]:
    """Returns chats with held-out names, and with another exchange between a fact and the question for it."""
    found = [
        Case(
            "two turns, held-out names",
            asked(f"My name is {n}.", f"Nice to meet you, {n}!", "What is my name?"),
            "contains",
            n,
        )
        for n in HELD_OUT_NAMES
    ]
    rng = Random(23)
    for _ in range(60):
        said, recall = fact(rng)
        messages = asked(
            said.user, said.answer, "What is the capital of France?", "The capital of France is Paris.", recall.user
        )
        found.append(Case("recall over another exchange", messages, "contains", recall.answer))
    return found
