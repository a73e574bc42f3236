"""Capitals, colours, opposites and spelling: small closed lists that the model memorises."""

from random import Random

from .conversation import Case, Exchange, Wordings, asked

CAPITALS = dict(
    line.split(":")
    for line in (
        "France:Paris Italy:Rome Spain:Madrid Germany:Berlin Austria:Vienna Portugal:Lisbon Greece:Athens "
        "Poland:Warsaw Hungary:Budapest Norway:Oslo Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen "
        "Ireland:Dublin England:London Scotland:Edinburgh Belgium:Brussels Switzerland:Bern Netherlands:Amsterdam "
        "Iceland:Reykjavik Estonia:Tallinn Latvia:Riga Lithuania:Vilnius Ukraine:Kyiv Romania:Bucharest "
        "Bulgaria:Sofia Serbia:Belgrade Croatia:Zagreb Slovenia:Ljubljana Slovakia:Bratislava Turkey:Ankara "
        "Russia:Moscow Egypt:Cairo Morocco:Rabat Tunisia:Tunis Kenya:Nairobi Ethiopia:Addis_Ababa Ghana:Accra "
        "Nigeria:Abuja Senegal:Dakar Japan:Tokyo China:Beijing India:New_Delhi Thailand:Bangkok Vietnam:Hanoi "
        "Indonesia:Jakarta Nepal:Kathmandu Iran:Tehran Iraq:Baghdad Canada:Ottawa Mexico:Mexico_City Cuba:Havana "
        "Brazil:Brasilia Argentina:Buenos_Aires Chile:Santiago Peru:Lima Colombia:Bogota Australia:Canberra"
    )
    .replace("_", "\N{NO-BREAK SPACE}")
    .split(" ")
)
CAPITALS = {country: city.replace("\N{NO-BREAK SPACE}", " ") for country, city in CAPITALS.items()}
COLOURS = dict(
    pair.split(":")
    for pair in [
        "the sky:blue",
        "grass:green",
        "snow:white",
        "a banana:yellow",
        "a lemon:yellow",
        "blood:red",
        "coal:black",
        "milk:white",
        "a strawberry:red",
        "the sea:blue",
        "a carrot:orange",
        "an orange:orange",
        "chocolate:brown",
        "a frog:green",
        "a leaf:green",
        "the sun:yellow",
        "a tomato:red",
        "a fire engine:red",
        "a raven:black",
        "an elephant:grey",
        "a flamingo:pink",
        "gold:yellow",
        "silver:grey",
        "a pumpkin:orange",
        "a cloud:white",
        "the night:black",
        "a cherry:red",
        "a cucumber:green",
        "coffee:brown",
        "a swan:white",
        "a violet:purple",
        "an emerald:green",
        "a ruby:red",
        "salt:white",
        "wood:brown",
        "a plum:purple",
        "a pea:green",
    ]
)
OPPOSITES = tuple(
    tuple(pair.split(":"))
    for pair in [
        "hot:cold",
        "big:small",
        "tall:short",
        "fast:slow",
        "happy:sad",
        "up:down",
        "left:right",
        "day:night",
        "light:dark",
        "old:young",
        "rich:poor",
        "hard:soft",
        "wet:dry",
        "full:empty",
        "open:closed",
        "early:late",
        "strong:weak",
        "loud:quiet",
        "clean:dirty",
        "good:bad",
        "high:low",
        "near:far",
        "thick:thin",
        "wide:narrow",
        "deep:shallow",
        "sweet:sour",
        "true:false",
        "first:last",
        "heavy:light",
        "easy:difficult",
        "begin:end",
        "push:pull",
        "win:lose",
        "buy:sell",
        "love:hate",
        "inside:outside",
        "always:never",
        "more:less",
        "before:after",
        "black:white",
        "smooth:rough",
        "sharp:blunt",
        "brave:afraid",
        "asleep:awake",
        "cheap:expensive",
    ]
)
SPELLED = (
    "apple",
    "banana",
    "cherry",
    "lemon",
    "orange",
    "pear",
    "plum",
    "bread",
    "butter",
    "cheese",
    "milk",
    "water",
    "coffee",
    "sugar",
    "house",
    "window",
    "door",
    "table",
    "chair",
    "garden",
    "flower",
    "tree",
    "river",
    "mountain",
    "forest",
    "ocean",
    "island",
    "bridge",
    "street",
    "city",
    "school",
    "teacher",
    "student",
    "paper",
    "pencil",
    "letter",
    "story",
    "music",
    "guitar",
    "piano",
    "dance",
    "color",
    "number",
    "seven",
    "eleven",
    "twelve",
    "twenty",
    "monday",
    "tuesday",
    "friday",
    "summer",
    "winter",
    "spring",
    "autumn",
    "morning",
    "evening",
    "doctor",
    "farmer",
    "sailor",
    "pirate",
    "robot",
    "computer",
    "keyboard",
    "model",
    "token",
    "python",
    "server",
    "client",
    "stream",
    "cat",
    "dog",
    "horse",
    "rabbit",
    "tiger",
    "lion",
    "monkey",
    "elephant",
    "giraffe",
    "penguin",
    "dolphin",
    "whale",
    "spider",
    "planet",
    "rocket",
    "star",
    "moon",
    "sun",
    "cloud",
    "rain",
    "snow",
    "wind",
)

CAPITAL = Wordings(
    (
        "What is the capital of {x}?",
        "What's the capital of {x}?",
        "capital of {x}",
        "The capital of {x}?",
        "Which city is the capital of {x}?",
        "Tell me the capital of {x}.",
        "Name the capital of {x}.",
        "What is the capital city of {x}?",
        "Do you know the capital of {x}?",
        "What city is the capital of {x}?",
        "Can you tell me the capital of {x}?",
        "{x} has which capital?",
        "Give me the capital of {x}.",
        "What is {x}'s capital?",
        "What is {x}'s capital city?",
        "{x}'s capital?",
        "Tell me {x}'s capital city.",
        "Name {x}'s capital.",
        "Which city is {x}'s capital?",
        "Please tell me what the capital of {x} is.",
        "I want to know the capital of {x}.",
    ),
    (
        "Which city serves as the capital of {x}?",
        "Please name {x}'s capital city.",
        "I would like to know the capital of {x}.",
    ),
)
COUNTRY = Wordings(
    (
        "{x} is the capital of which country?",
        "Which country has the capital {x}?",
        "What country is {x} the capital of?",
    ),
    ("{x} is the capital of what country?",),
)
COLOUR = Wordings(
    (
        "What color is {x}?",
        "What colour is {x}?",
        "What is the color of {x}?",
        "What is the colour of {x}?",
        "Which color is {x}?",
        "Tell me the color of {x}.",
        "Do you know what color {x} is?",
    ),
    ("Which colour does {x} have?", "Name the color of {x}."),
)
OPPOSITE = Wordings(
    (
        "What is the opposite of {x}?",
        "What's the opposite of {x}?",
        "opposite of {x}",
        "Tell me the opposite of {x}.",
        "Name the opposite of {x}.",
        'What is the opposite of "{x}"?',
        "Which word is the opposite of {x}?",
        "Give me the opposite of {x}.",
    ),
    ("Which word means the opposite of {x}?", "Do you know the opposite of {x}?"),
)
SPELL = Wordings(
    (
        "Spell {x}.",
        "Spell the word {x}.",
        "How do you spell {x}?",
        'Spell "{x}".',
        "Can you spell {x}?",
        "How is {x} spelled?",
    ),
    ("Please tell me how to spell {x}.",),
)
LETTERS = Wordings(
    ("How many letters are in {x}?", "How many letters does {x} have?", 'How many letters are in the word "{x}"?'),
    ("Count the letters of {x}.",),
)


def _and_of(rng: Random, thing: str) -> str:
    return rng.choice(("And of {x}?", "And {x}?", "What about {x}?", "And what about {x}?", "How about {x}?")).format(
        x=thing
    )


def _capital_answer(country: str) -> tuple[str, str]:
    return f"The capital of {country} is {CAPITALS[country]}.", f"{CAPITALS[country]}."


def capital(rng: Random) -> list[Exchange]:
    """Returns a question for a capital, sometimes with another country after it, or for the country of a capital."""
    country, other = rng.sample(list(CAPITALS), 2)
    if rng.random() < 0.08:
        city = CAPITALS[country]
        return [Exchange(COUNTRY.pick(rng, x=city), f"{city} is the capital of {country}.", f"{country}.")]
    exchanges = [Exchange(CAPITAL.pick(rng, x=country), *_capital_answer(country))]
    if rng.random() < 0.3:
        exchanges.append(Exchange(_and_of(rng, other), *_capital_answer(other)))
    return exchanges


def _colour_answer(thing: str) -> tuple[str, str]:
    colour = COLOURS[thing]
    return f"{thing[0].upper()}{thing[1:]} is {colour}.", f"{colour.capitalize()}."


def colour(rng: Random) -> list[Exchange]:
    """Returns a question for the colour of something, sometimes followed by another."""
    thing, other = rng.sample(list(COLOURS), 2)
    exchanges = [Exchange(COLOUR.pick(rng, x=thing), *_colour_answer(thing))]
    if rng.random() < 0.25:
        exchanges.append(Exchange(_and_of(rng, other), *_colour_answer(other)))
    return exchanges


def opposite(rng: Random) -> list[Exchange]:
    """Returns a question for an opposite, in either direction, sometimes followed by another."""
    exchanges: list[Exchange] = []
    for pair in rng.sample(OPPOSITES, 2):
        word, answer = pair if pair[0] == "heavy" or rng.random() < 0.5 else pair[::-1]
        if word == "light":
            word, answer = "light", "dark"
        if word == "short":
            word, answer = "short", "tall"
        user = _and_of(rng, word) if exchanges else OPPOSITE.pick(rng, x=word)
        exchanges.append(Exchange(user, f"The opposite of {word} is {answer}.", f"{answer.capitalize()}."))
    return exchanges if rng.random() < 0.25 else exchanges[:1]


def spelled(word: str) -> str:
    """Returns the letters of a word in capitals, joined by hyphens."""
    return "-".join(word.upper())


def spelling(rng: Random) -> list[Exchange]:
    """Returns a word to spell or to count the letters of."""
    word = rng.choice(SPELLED)
    if rng.random() < 0.65:
        exchanges = [Exchange(SPELL.pick(rng, x=word), f"{spelled(word)}.", fixed=True)]
        if rng.random() < 0.25:
            exchanges.append(Exchange("How many letters is that?", f"It has {len(word)} letters.", f"{len(word)}."))
        return exchanges
    return [Exchange(LETTERS.pick(rng, x=word), f"{spelled(word)}: that makes {len(word)} letters.", f"{len(word)}.")]


def cases() -> list[Case]:
    """Returns questions for all entries in held-out wordings."""
    found = [
        Case("capitals, held-out wordings", asked(wording.format(x=country)), "contains", city)
        for wording in CAPITAL.held_out
        for country, city in CAPITALS.items()
    ]
    found += [
        Case("colours, held-out wordings", asked(wording.format(x=thing)), "contains", colour)
        for wording in COLOUR.held_out
        for thing, colour in COLOURS.items()
    ]
    found += [
        Case("opposites, held-out wordings", asked(wording.format(x=word)), "contains", answer)
        for wording in OPPOSITE.held_out
        for word, answer in OPPOSITES
        if word != "light"
    ]
    found += [
        Case("spelling, held-out wordings", asked(SPELL.held_out[0].format(x=w)), "contains", spelled(w))
        for w in SPELLED
    ]
    return found
