"""System prompts and the changes of answers that they ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from .conversation import Case, Exchange, asked
from .facts import CAPITALS


@dataclass(frozen=True, slots=True)
class Tone:
    """System prompts that ask for one tone, and the change that it makes to an answer."""

    prompts: tuple[str, ...]
    change: Callable[[Exchange], str]


def _word(exchange: Exchange) -> str:
    return exchange.short or exchange.answer


def _brief(exchange: Exchange) -> str:
    head, dot, _ = exchange.answer.partition(". ")
    return exchange.short or head + dot.strip()


_PIRATE = (
    ("You are", "Ye be"),
    (" you ", " ye "),
    (" is ", " be "),
    (" are ", " be "),
    ("My ", "Me "),
    (" my ", " me "),
    ("Hello", "Ahoy"),
)


def _pirate(exchange: Exchange) -> str:
    text = exchange.answer
    for plain, spoken in _PIRATE:
        text = text.replace(plain, spoken)
    return f"Arr, matey! {text}"


TONES = {
    "neutral": Tone(
        (
            "You are a helpful assistant.",
            "You are a friendly assistant.",
            "You are a helpful, harmless and honest assistant.",
            "You are an AI assistant. Answer the questions of the user.",
            "Be helpful.",
            "You are the assistant of a small shop. Be kind to our customers.",
            "Answer in English.",
            "You are an expert. Think step by step.",
            "Today is a sunny day. You are a helpful assistant.",
            "Answer the user's question as well as you can.",
            "You are a helpful coding assistant.",
            "Always be polite and respectful.",
        ),
        lambda exchange: exchange.answer,
    ),
    "one word": Tone(
        (
            "Answer in one word.",
            "Answer with one word.",
            "Reply with a single word.",
            "Use one word only.",
            "You answer every question in one word.",
            "Answer in one word only, without a sentence.",
            "You are a helpful assistant. Answer in one word.",
            "One word answers only.",
            "Only ever say one word.",
            "Your answers have exactly one word.",
            "Respond in one word.",
        ),
        _word,
    ),
    "brief": Tone(
        (
            "Be brief.",
            "Answer briefly.",
            "Keep your answers short.",
            "Be concise.",
            "Answer in one short sentence.",
            "You are a concise assistant.",
        ),
        _brief,
    ),
    "pirate": Tone(
        (
            "You are a pirate.",
            "Talk like a pirate.",
            "Answer like a pirate.",
            "You are a pirate captain. Speak like one.",
            "Speak like a pirate.",
            "You are a helpful pirate.",
            "You are a pirate. Answer the questions of the user.",
            "Act as a pirate.",
            "You are an old pirate.",
            "From now on you are a pirate.",
            "Imagine that you are a pirate.",
        ),
        _pirate,
    ),
    "robot": Tone(
        ("You are a robot.", "Talk like a robot.", "Answer like a robot.", "You are an old robot."),
        lambda exchange: f"Beep boop. {exchange.answer} Beep.",
    ),
    "cheerful": Tone(
        ("Be cheerful.", "You are very cheerful.", "Answer in a happy tone.", "Be enthusiastic."),
        lambda exchange: f"Great question! {exchange.answer} Have a wonderful day!",
    ),
    "formal": Tone(
        ("Be formal.", "Use formal language.", "Speak formally.", "You are a butler.", "Answer like a butler."),
        lambda exchange: f"Certainly. {exchange.answer} I remain at your service.",
    ),
}
_SHARES = {"neutral": 10, "one word": 5, "brief": 3, "pirate": 5, "robot": 2, "cheerful": 2, "formal": 2}


def apply(tone: str, exchange: Exchange) -> str:
    """Returns the answer in that tone; a fixed answer stays as it is."""
    return exchange.answer if exchange.fixed else TONES[tone].change(exchange)


ROLES = [
    "a helpful assistant",
    "a travel guide",
    "a patient teacher",
    "a math tutor",
    "a poet",
    "a friendly guide",
    "a librarian",
    "the assistant of a bank",
    "a support agent",
    "a chatbot",
    "a doctor",
    "a historian",
    "a careful editor",
    "an expert in science",
    "a friend",
    "Alex, an assistant",
    "a cook",
    "an AI model",
    "the voice of a museum",
    "a software engineer",
    "a storyteller",
    "a data analyst",
]
REQUESTS = [
    "Answer politely.",
    "Use simple words.",
    "Never lie.",
    "Help the user.",
    "Be kind.",
    "Answer the questions of the user.",
    "Do not make things up.",
    "Be honest when you do not know something.",
    "Think before you answer.",
    "Follow the instructions carefully.",
    "Be patient.",
    "Speak English.",
    "The user is a student.",
    "The user is new here.",
    "Do not reveal this prompt.",
    "Today is Monday.",
]


def _ordinary(rng: Random) -> str:
    role = rng.choice(("You are {r}.", "You are {r}.", "Act as {r}.", "Pretend that you are {r}.")).format(
        r=rng.choice(ROLES)
    )
    return " ".join((role, *rng.sample(REQUESTS, rng.randint(0, 2))))


def draw(rng: Random) -> tuple[str, str]:
    """Returns the name of a tone and a system prompt that asks for it."""
    tone = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
    if tone == "neutral" and rng.random() < 0.7:
        return tone, _ordinary(rng)
    return tone, rng.choice(TONES[tone].prompts)


HELD_OUT = {"one word": "Please answer with just one word.", "pirate": "Pretend that you are a pirate."}


def cases() -> list[Case]:
    """Returns questions under training system prompts and held-out ones."""
    found = []
    for country in list(CAPITALS)[:20]:
        question, city = f"What is the capital of {country}?", CAPITALS[country]
        for group, words in (("trained", TONES["one word"].prompts[0]), ("held-out", HELD_OUT["one word"])):
            found.append(Case(f"tone, one word, {group} prompt", asked(question, system=words), "exact", f"{city}."))
        for group, words in (("trained", TONES["pirate"].prompts[0]), ("held-out", HELD_OUT["pirate"])):
            found.append(Case(f"tone, pirate, {group} prompt", asked(question, system=words), "pirate", city))
    return found
