"""Haiku about some fifty things, and haiku that admit ignorance about others."""

from random import Random

from .conversation import Case, Exchange, Wordings, asked, kept_back

# Thing | first line (5 syllables) | second line (7) | one or two last lines (5).
_LINES = """
coding|Lines of quiet code|a small bug hides in the dark|the test finds it soon|green lights fill the screen
the rain|Soft rain on the roof|every drop tells a story|the garden listens
the sea|Waves come and then go|the sea writes upon the sand|and wipes it away
the moon|Moon above the lake|a silver path on water|no one walks on it
the sun|Morning sun climbs up|gold light spills over the hills|birds begin to sing
spring|Buds on every branch|the cold has lost its power|spring walks through the door
summer|Long and lazy days|the smell of grass and warm stone|crickets sing at dusk
autumn|Red and golden leaves|dance with the wind for a while|then rest on the ground
winter|Snow on silent fields|the river sleeps under ice|smoke climbs from a house
snow|Snowflakes in the night|without a sound they cover|the tracks of the day
the wind|Wind in the tall trees|it has no voice of its own|yet the leaves can speak
a river|The river flows on|it carries leaves and my thoughts|down into the sea
a mountain|Mountain in the mist|it has seen a thousand years|and it does not speak
a forest|Deep in the forest|old trees share their quiet words|moss grows on the stones
a tree|Roots deep in the earth|branches reaching for the sky|the old tree stands firm
a flower|A small flower blooms|between two stones of the road|no one planted it
a cat|A cat on the sill|watching birds it cannot catch|the tail moves alone
a dog|The dog at the door|he has waited the whole day|now his tail is wind
a bird|One bird on a wire|it sings to the empty street|and the street wakes up
a frog|Old pond, still water|a frog jumps from its green leaf|rings run to the shore
a butterfly|Wings of thin paper|a butterfly finds the rose|and forgets the wind
a spider|A spider at work|one thread and then another|dew hangs in the web
a bee|A bee in the sun|from one flower to the next|honey in its mind
a fish|Silver in the deep|a fish turns and it is gone|the water closes
a horse|A horse in the field|it runs because it can run|the grass bends with it
stars|Stars above the town|so many and so far off|each one is a sun
the night|Night falls on the hills|the lamps go out one by one|only owls are up
the morning|Mist upon the grass|the first light enters the room|coffee and silence
love|Two cups on the desk|your hand is resting on mine|time forgets to move
friendship|We walk without words|a friend knows the road I take|and stays by my side
time|The old clock ticks on|it counts the hours for us all|and keeps none of them
music|One note and one more|the room fills up with colors|then silence returns
coffee|Dark and warm it steams|the first sip opens my eyes|now the day begins
tea|Leaves in hot water|the cup warms my cold fingers|the steam writes a word
bread|Flour, water, salt|a warm smell fills the kitchen|the bread is ready
a book|Pages turn softly|I travel without moving|the lamp burns all night
a computer|Fans hum in the dark|numbers run through tiny gates|an answer appears
a server|A server at night|it waits for a small request|and answers each one
a bug|It worked yesterday|today the screen fills with red|one letter is wrong
python|Spaces set in rows|the snake of code has no teeth|it reads like a poem
the internet|Threads around the world|a word crosses the ocean|before I blink twice
artificial intelligence|Numbers learn to speak|they guess the next word for me|do they know the moon
a robot|Metal hands at work|the robot counts every screw|it dreams of the rain
a language model|One word at a time|a small model guesses on|and now it must stop
a train|A train in the night|windows of light passing by|where do they all go
a city|Lights in the tall streets|a million windows, one moon|someone plays guitar
a garden|Tomatoes in rows|the old man waters them all|and talks to the beans
a bridge|Stone over water|it joins what the river parts|feet pass day and night
a child|Boots in the puddle|a child laughs at its own face|the rain has to laugh
peace|A bench in the park|nobody needs anything|leaves fall on my coat
home|A light in the hall|the key still turns as it did|home smells like warm soup
a dream|I flew in my sleep|over the roofs of my street|then the clock woke me
rocks|A stone in my hand|older than all of my thoughts|it is warm from sun
a storm|Black clouds from the west|the first drops are big and cold|then the sky breaks up
"""
POEMS = {fields[0]: fields[1:] for line in _LINES.strip().splitlines() if (fields := line.split("|"))}
STRANGE = (
    "Too small to know that,\nthis tiny demo model\nwrites of rain instead.",
    "I know fifty things,\nand yours is not one of them.\nSnow falls all the same.",
    "A small mind like mine\nhas never met such a thing:\nask a real model.",
)
STRANGE_THINGS = [
    "submarines",
    "taxes",
    "a giraffe",
    "pizza",
    "football",
    "a dentist",
    "elephants",
    "basketball",
    "cheese",
    "a lawyer",
    "a vacuum cleaner",
    "shoes",
    "Kubernetes",
    "my grandmother",
    "a pencil",
    "politics",
    "a spoon",
    "the stock market",
    "an airplane",
    "potatoes",
    "a penguin",
    "chess",
    "philosophy",
    "a bicycle",
    "my boss",
    "a sandwich",
    "physics",
    "a wizard",
    "dinosaurs",
    "a hospital",
    "algebra",
    "the dishwasher",
    "a zebra",
    "umbrellas",
    "Rust",
    "a banana",
    "the office",
]
HAIKU = Wordings(
    (
        "Write a haiku about {x}.",
        "Write me a haiku about {x}.",
        "A haiku about {x}, please.",
        "Can you write a haiku about {x}?",
        "haiku about {x}",
        "Please write a haiku about {x}.",
        "Compose a haiku about {x}.",
        "I would like a haiku about {x}.",
        "Give me a haiku about {x}.",
        "Make a haiku about {x}.",
        "Write a short poem about {x}.",
        "Write a poem about {x}.",
    ),
    ("Could you make up a haiku about {x}?", "I need a haiku on {x}."),
)
FREE = (
    "Write a haiku.",
    "Write a poem.",
    "A haiku, please.",
    "Write me a poem.",
    "Can you write a haiku?",
    "Tell me a poem.",
    "haiku",
)
MORE = (
    "Another one about {x}.",
    "And one about {x}?",
    "Now one about {x}.",
    "Write another one about {x}.",
    "And about {x}?",
)


def names(thing: str) -> tuple[str, ...]:
    """Returns the thing's name with and without its article."""
    bare = thing.removeprefix("a ").removeprefix("an ").removeprefix("the ")
    return (thing, thing, bare, bare if thing.startswith("the ") else f"{bare}s") if bare != thing else (thing,)


def poem(rng: Random, thing: str) -> str:
    """Returns a haiku about one of the things that the model knows."""
    first, second, *last = POEMS[thing]
    return f"{first},\n{second},\n{rng.choice(last)}."


def haiku(rng: Random) -> list[Exchange]:
    """Returns a request for a haiku, sometimes for a second one."""
    if rng.random() < 0.12:
        user = HAIKU.pick(rng, x=rng.choice(STRANGE_THINGS))
        return [Exchange(user, rng.choice(STRANGE), fixed=True)]
    if rng.random() < 0.08:
        return [Exchange(rng.choice(FREE), poem(rng, rng.choice(list(POEMS))), fixed=True)]
    thing, other = rng.sample(list(POEMS), 2)
    while kept_back(f"haiku {(user := HAIKU.pick(rng, x=rng.choice(names(thing))))}"):
        pass
    exchanges = [Exchange(user, poem(rng, thing), fixed=True)]
    if rng.random() < 0.25:
        exchanges.append(Exchange(rng.choice(MORE).format(x=rng.choice(names(other))), poem(rng, other), fixed=True))
    return exchanges


def cases() -> list[Case]:
    """Returns requests in held-out wordings, and held-out combinations of thing and wording."""
    found = [
        Case("haiku, held-out wordings", asked(w.format(x=t)), "haiku", POEMS[t][0])
        for w in HAIKU.held_out
        for t in POEMS
    ]
    found += [
        Case("haiku, held-out combinations", asked(user), "haiku", POEMS[thing][0])
        for thing in POEMS
        for w in HAIKU.train
        if kept_back(f"haiku {(user := w.format(x=thing))}")
    ]
    return found
