"""Facts that fit no grammar: calendar, lists, a few questions why."""

from random import Random

from .conversation import Case, Exchange, asked, kept_back

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
LISTS = {
    "colors": ["red", "blue", "green", "yellow", "orange", "purple"],
    "fruits": ["apples", "bananas", "cherries", "pears", "plums", "lemons"],
    "animals": ["cats", "dogs", "horses", "rabbits", "tigers", "owls"],
    "vegetables": ["carrots", "peas", "tomatoes", "onions", "potatoes", "beans"],
    "countries": ["France", "Italy", "Spain", "Japan", "Canada", "Brazil"],
    "planets": ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn"],
    "instruments": ["guitar", "piano", "violin", "flute", "drum", "trumpet"],
}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
# Questions, separated by / | a held-out question | answer | answer in one word.
_KNOWN = """
How many days are in a week?/How many days does a week have?/A week has how many days?|The number of days in a week?|A week has seven days.|Seven.
How many months are in a year?/How many months does a year have?|The number of months in a year?|A year has twelve months.|Twelve.
How many hours are in a day?/How many hours does a day have?|The number of hours in a day?|A day has 24 hours.|24.
How many minutes are in an hour?/How many minutes does an hour have?|The number of minutes in an hour?|An hour has 60 minutes.|60.
How many days are in a year?/How many days does a year have?|The number of days in a year?|A year has 365 days, and a leap year has 366.|365.
Name the days of the week./What are the days of the week?/List the days of the week.|Tell me all days of the week.|Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.|
Name the months./What are the months of the year?/List the months of the year.|Tell me all months of the year.|January, February, March, April, May, June, July, August, September, October, November and December.|
What are the four seasons?/Name the seasons./List the seasons.|Tell me all seasons.|Spring, summer, autumn and winter.|
What is the alphabet?/Say the alphabet./Write the alphabet./Recite the alphabet.|Tell me the alphabet.|A B C D E F G H I J K L M N O P Q R S T U V W X Y Z|
What is the largest planet?/Which planet is the largest?/What is the biggest planet?|Name the largest planet.|The largest planet is Jupiter.|Jupiter.
Why is the sky blue?/why is the sky blue/Explain why the sky is blue.|Do you know why the sky is blue?|The air scatters blue light more than red light, so blue reaches our eyes from every side.|
Why is grass green?/Why are leaves green?/Explain why grass is green.|Do you know why grass is green?|Grass is full of chlorophyll, a green substance that catches sunlight.|
Why is the sea salty?/Why is the ocean salty?|Do you know why the sea is salty?|Rivers wash salt out of the rocks and carry it to the sea, where it stays when the water dries up.|
Why do leaves fall in autumn?/Why do trees lose their leaves?|Do you know why leaves fall?|Trees drop their leaves in autumn to save water during the cold months.|
Why do we have seasons?/Why are there seasons?|Do you know why there are seasons?|The axis of the Earth is tilted, so each half gets more sunlight in one part of the year than in the other.|
Why does it rain?/Why is there rain?|Do you know why it rains?|Water rises from the sea as vapor, becomes clouds, and falls down again when the drops are heavy enough.|
How many legs does a spider have?/How many legs has a spider?|The number of legs of a spider?|A spider has eight legs.|Eight.
How many legs does a dog have?/How many legs has a dog?/How many legs does a cat have?|The number of legs of a dog?|It has four legs.|Four.
Tell me a fun fact./Do you know a fun fact?/Tell me something interesting./fun fact|I want a fun fact.|An octopus has three hearts.|
What do bees make?/What do bees produce?|Tell me what bees make.|Bees make honey.|Honey.
What do cows drink?/What do cows give us?|Tell me what cows give.|Cows drink water and give us milk.|Milk.
"""
KNOWN = tuple(tuple(line.split("|")) for line in _KNOWN.strip().splitlines())


def _known(rng: Random) -> Exchange:
    questions, _, answer, word = rng.choice(KNOWN)
    return Exchange(rng.choice(questions.split("/")), answer, word or None, fixed=not word)


def _neighbour(rng: Random) -> Exchange:
    names, kind = rng.choice(((DAYS, "day"), (MONTHS, "month")))
    i = rng.randrange(len(names))
    step, word = rng.choice(((1, "after"), (-1, "before")))
    found = names[(i + step) % len(names)]
    return Exchange(f"What {kind} comes {word} {names[i]}?", f"{found} comes {word} {names[i]}.", f"{found}.")


def _some(rng: Random) -> Exchange:
    kind, items = rng.choice(list(LISTS.items()))
    count = rng.choice(list(NUMBERS))
    user = rng.choice(
        ("Name {n} {k}.", "List {n} {k}.", "Give me {n} {k}.", "Tell me {n} {k}.", "Can you name {n} {k}?")
    )
    chosen = rng.sample(items, count)
    answer = f"{', '.join(chosen[:-1])} and {chosen[-1]}."
    return Exchange(
        user.format(n=rng.choice((count, NUMBERS[count])), k=kind), answer[0].upper() + answer[1:], fixed=True
    )


def _parity(rng: Random) -> Exchange:
    while kept_back(f"parity {(n := rng.randint(0, 50))}"):
        pass
    kind = "odd" if n % 2 else "even"
    user = rng.choice((f"Is {n} even or odd?", f"Is {n} odd or even?", f"Is the number {n} even or odd?"))
    return Exchange(user, f"{n} is {kind}.", f"{kind.capitalize()}.")


def trivia(rng: Random) -> list[Exchange]:
    """Returns one small fact."""
    return [rng.choices((_known, _neighbour, _some, _parity), (60, 15, 15, 10))[0](rng)]


def cases() -> list[Case]:
    """Returns all facts in held-out wordings, and held-out numbers."""
    found = [
        Case("trivia, held-out wordings", asked(question), "contains", answer[:30]) for _, question, answer, _ in KNOWN
    ]
    return found + [
        Case("even or odd, held-out numbers", asked(f"Is {n} even or odd?"), "contains", "odd" if n % 2 else "even")
        for n in range(51)
        if kept_back(f"parity {n}")
    ]
