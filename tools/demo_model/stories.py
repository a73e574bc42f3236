"""Short stories from a grammar in which trouble, help and end belong together."""

from dataclasses import dataclass
from random import Random

from .conversation import Case, Exchange, Wordings, asked

ANIMALS = [
    "fox",
    "bear",
    "rabbit",
    "mouse",
    "owl",
    "cat",
    "dog",
    "frog",
    "hedgehog",
    "squirrel",
    "duck",
    "goat",
    "horse",
    "wolf",
    "turtle",
    "penguin",
    "lion",
    "elephant",
    "dragon",
    "robot",
]
NAMES = [
    "Pip",
    "Luna",
    "Oscar",
    "Mila",
    "Bruno",
    "Nora",
    "Otto",
    "Ruby",
    "Felix",
    "Ivy",
    "Milo",
    "Hazel",
    "Theo",
    "Wren",
    "Max",
    "Lily",
    "Sam",
    "Clara",
    "Finn",
    "Rosa",
]
TRAITS = ["small", "brave", "curious", "clever", "gentle", "shy", "cheerful", "young", "lonely", "kind"]
PLACES = (
    "in a deep green forest",
    "at the edge of a quiet village",
    "on a hill above the sea",
    "beside a clear blue lake",
    "in an old garden full of roses",
    "under a very old tree",
    "in a valley between two mountains",
    "on a small island",
)
OPENINGS = (
    "Once upon a time, there was",
    "Once upon a time there lived",
    "A long time ago, there was",
    "There once was",
)
# Wish | trouble | help | end | lesson.
PLOTS = (
    (
        "wanted to see the stars from close by",
        "the ladder was much too short",
        "told {n} that the lake held all the stars at night",
        "They sat by the water, and the stars shone right at their feet",
        "what is far away can be near if you look in a new way",
    ),
    (
        "wanted to learn how to sing",
        "only a thin squeak came out",
        "showed {n} how to breathe slowly and to listen first",
        "After many days {n} sang so well that everyone came to hear it",
        "practice makes the hard things easy",
    ),
    (
        "wanted to find the lost golden key",
        "the path was dark and full of thorns",
        "lent {n} a little lantern",
        "In its light they found the key under a flat stone",
        "a small light is enough for a long way",
    ),
    (
        "wanted to bake the best cake in the land",
        "there was no sugar left in the house",
        "brought a jar of sweet honey",
        "They baked a honey cake and shared it with all their neighbors",
        "food tastes best when it is shared",
    ),
    (
        "wanted to cross the wide river",
        "the old bridge had fallen down",
        "helped {n} to build a raft from fallen branches",
        "Together they reached the other side before sunset",
        "together we get further than alone",
    ),
    (
        "wanted to have a friend",
        "everybody seemed too busy to talk",
        "sat down beside {n} and asked what was wrong",
        "They talked until evening and met again on every day after that",
        "a friend may come when you least expect it",
    ),
    (
        "wanted to win the great race",
        "the others were bigger and faster",
        "taught {n} to run with a steady step",
        "{n} did not come first, but {n} finished with a smile and a loud cheer",
        "it is enough to do your best",
    ),
    (
        "wanted to plant a tree that would touch the clouds",
        "the ground was as hard as stone",
        "loosened the earth and carried water from the well",
        "The seed grew slowly, and one spring it carried its first green leaf",
        "great things need time",
    ),
    (
        "wanted to bring a letter to the king",
        "a great storm closed the road",
        "knew a secret way through the caves",
        "The king read the letter, laughed and gave them both a warm meal",
        "there is always another way",
    ),
    (
        "wanted to know where the wind comes from",
        "the wind never stood still to answer",
        "said that one has to follow it to the sea",
        "There they felt the wind rise from the waves, fresh and salty",
        "questions are the start of every journey",
    ),
)
STORY = Wordings(
    (
        "Tell me a story.",
        "Tell me a short story.",
        "Write a short story.",
        "Can you tell me a story?",
        "Please tell me a story.",
        "I would like to hear a story.",
        "Write a story for children.",
        "Tell me a bedtime story.",
        "story please",
        "Make up a story.",
    ),
    ("Have you got a story for me?", "Entertain me with a story."),
)
STORY_ABOUT = Wordings(
    (
        "Tell me a story about a {x}.",
        "Tell me a short story about a {x}.",
        "Write a short story about a {x}.",
        "Can you write a story about a {x}?",
        "A story about a {x}, please.",
        "Write a story about a {x}.",
        "story about a {x}",
    ),
    ("Could you make up a story about a {x}?", "I want to hear a tale about a {x}."),
)


@dataclass(frozen=True, slots=True)
class Story:
    """A story with the facts that can be asked for."""

    text: str
    hero: str
    animal: str
    helper: str


def story(rng: Random, animal: str | None = None) -> Story:
    """Returns a story, about a given animal or a random one."""
    hero, friend = rng.sample(NAMES, 2)
    animal = animal or rng.choice(ANIMALS)
    helper = rng.choice([other for other in ANIMALS if other != animal])
    wish, trouble, help_, end, lesson = (part.format(n=hero) for part in rng.choice(PLOTS))
    trait = rng.choice(TRAITS)
    lines = [
        f"{rng.choice(OPENINGS)} a {trait} {animal} named {hero} who lived {rng.choice(PLACES)}.",
        f"{rng.choice(('One day', 'One morning', 'More than anything'))} {hero} {wish}, but {trouble}.",
        f"{rng.choice(('Then', 'Luckily', 'Just then'))} {_article(helper)} named {friend} came by and {help_}.",
        f"{end}.",
        f"{rng.choice(('And so', 'From that day on'))} {hero} knew that {lesson}.",
    ]
    return Story(" ".join(lines), hero, animal, helper)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def long_story(rng: Random) -> str:
    """Returns a story of three adventures of one hero."""
    hero, *friends = rng.sample(NAMES, 4)
    animal, *helpers = rng.sample(ANIMALS, 4)
    lines = [f"{rng.choice(OPENINGS)} a {rng.choice(TRAITS)} {animal} named {hero} who lived {rng.choice(PLACES)}."]
    starts = ("In the first year,", "In the second year,", "In the third year,")
    for start, plot, friend, helper in zip(starts, rng.sample(PLOTS, 3), friends, helpers, strict=True):
        wish, trouble, help_, end, lesson = (part.format(n=hero) for part in plot)
        lines.append(
            f"{start} {hero} {wish}, but {trouble}. Luckily {_article(helper)} named {friend} came by and {help_}. "
            f"{end}. And so {hero} learned that {lesson}."
        )
    lines.append(f"{hero} told these stories for many years, and everybody loved to hear them.")
    return "\n\n".join(lines)


LONG = (
    "Tell me a long story.",
    "Write a long story.",
    "I want a long story.",
    "Tell me a longer story.",
    "Can you tell me a long story?",
)


def request(rng: Random) -> list[Exchange]:
    """Returns a request for a story, sometimes with a question about it."""
    if rng.random() < 0.06:
        return [Exchange(rng.choice(LONG), long_story(rng), fixed=True)]
    if rng.random() < 0.45:
        animal = rng.choice(ANIMALS)
        told = story(rng, animal)
        user = STORY_ABOUT.pick(rng, x=animal).replace("a owl", "an owl").replace("a elephant", "an elephant")
    else:
        told = story(rng)
        user = STORY.pick(rng)
    exchanges = [Exchange(user, told.text, fixed=True)]
    if rng.random() < 0.35:
        exchanges.append(_question(rng, told))
    return exchanges


def _question(rng: Random, told: Story) -> Exchange:
    return rng.choice(
        (
            Exchange(
                rng.choice(
                    (f"What was the name of the {told.animal}?", "Who is the story about?", "What was the hero called?")
                ),
                f"The {told.animal} was named {told.hero}.",
                f"{told.hero}.",
            ),
            Exchange(
                rng.choice((f"Who helped {told.hero}?", "Who helped?", "Who came by?")),
                f"{_article(told.helper).capitalize()} helped {told.hero}.",
                f"{_article(told.helper).capitalize()}.",
            ),
            Exchange(
                rng.choice((f"What animal was {told.hero}?", f"What kind of animal is {told.hero}?")),
                f"{told.hero} was {_article(told.animal)}.",
                f"{_article(told.animal).capitalize()}.",
            ),
        )
    )


def cases() -> list[Case]:
    """Returns requests for stories in held-out wordings."""
    found = [Case("stories, held-out wordings", asked(w), "story") for w in STORY.held_out for _ in range(5)]
    found += [
        Case("stories, held-out wordings", asked(w.format(x=a)), "story", a)
        for w in STORY_ABOUT.held_out
        for a in ANIMALS
    ]
    return found
