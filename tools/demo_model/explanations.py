"""Explanations of some forty topics: one sentence, how it works, an example."""

from random import Random

from .conversation import Case, Exchange, Wordings, asked, kept_back

# Name: one sentence, how it works, an example.
TOPICS: dict[str, tuple[str, str, str]] = {
    "machine learning": (
        "Machine learning is a way to teach computers with examples instead of rules.",
        "The computer looks at many examples, finds patterns in them, and uses those patterns to make a guess about something new.",
        "For instance, after seeing thousands of photos of cats, it can tell whether a new photo shows a cat.",
    ),
    "a neural network": (
        "A neural network is a program made of many small units that pass numbers to each other.",
        "Each unit adds up the numbers that it receives, and training changes how much each connection counts until the answers are right.",
        "For instance, a network can learn to read handwritten digits.",
    ),
    "a language model": (
        "A language model is a program that guesses the next piece of a text.",
        "It has read a lot of text, so it knows which word is likely to follow, and it writes by guessing again and again.",
        "For instance, I am a very small language model.",
    ),
    "artificial intelligence": (
        "Artificial intelligence is the craft of making computers do things that seem to need thinking.",
        "Most of it works today by learning from many examples rather than by following rules written by hand.",
        "For instance, it can translate a text or play chess.",
    ),
    "a token": (
        "A token is a small piece of text that a language model reads or writes in one step.",
        "A common word is often one token, and a rare word is split into several.",
        "For instance, each digit is one token for me.",
    ),
    "streaming": (
        "Streaming means sending an answer piece by piece while it is still being made.",
        "The server sends every new piece of text at once, so the reader does not wait for the end.",
        "For instance, you can read my first word before I know my last one.",
    ),
    "an API": (
        "An API is a set of rules that lets one program ask another program for something.",
        "One program sends a request in an agreed form, and the other sends back a response in an agreed form.",
        "For instance, a weather app asks a weather server for the temperature.",
    ),
    "gRPC": (
        "gRPC is a way for programs to call each other over a network as if they called a local function.",
        "Messages and methods are described in a file, and code for many languages is made from that file.",
        "For instance, this service speaks gRPC on port 50051.",
    ),
    "REST": (
        "REST is a style of talking to a server with plain web requests.",
        "Each thing has an address, and methods such as GET and POST say what to do with it.",
        "For instance, POST /api/chat sends a chat to this service.",
    ),
    "JSON": (
        "JSON is a text format for data that both people and programs can read.",
        "It writes data as names and values in curly braces, and lists in square brackets.",
        'For instance, {"name": "Ada", "age": 36} is a JSON object.',
    ),
    "a database": (
        "A database is a program that keeps a lot of data in order and finds it again quickly.",
        "It stores the data in tables or documents and uses an index, like the index of a book, to look things up.",
        "For instance, a shop keeps its customers and orders in a database.",
    ),
    "the internet": (
        "The internet is a huge network that connects computers all over the world.",
        "Messages are cut into small packets that travel from one machine to the next until they arrive.",
        "For instance, a web page reaches you as many packets that your computer puts together.",
    ),
    "a computer": (
        "A computer is a machine that follows instructions to work with numbers.",
        "Its processor reads one instruction after another, and its memory keeps the data in between.",
        "For instance, text, pictures and music are all stored as numbers.",
    ),
    "an algorithm": (
        "An algorithm is a list of clear steps that solves a problem.",
        "You start with some input, follow the steps in order, and end with a result.",
        "For instance, a recipe for soup is an algorithm for a cook.",
    ),
    "a variable": (
        "A variable is a name for a value in a program.",
        "The program can read the value by its name and can give the name a new value later.",
        "For instance, after x = 5 the name x stands for five.",
    ),
    "recursion": (
        "Recursion means that something is defined by a smaller version of itself.",
        "A function calls itself with a simpler problem until the problem is so simple that the answer is known.",
        "For instance, to count the dolls inside a doll, open it and count the dolls inside the next one.",
    ),
    "open source": (
        "Open source means that everyone may read, use and change the code of a program.",
        "The authors publish the code with a licence that says what others may do with it.",
        "For instance, I am published under the Apache 2.0 licence.",
    ),
    "encryption": (
        "Encryption turns a message into a secret code that only the right key can open.",
        "The sender mixes the message with a key, and the receiver uses a key to undo the mixing.",
        "For instance, your browser encrypts your password before it sends it.",
    ),
    "the cloud": (
        "The cloud means computers of somebody else that you use over the internet.",
        "A company runs large halls of machines, and you rent as much of them as you need.",
        "For instance, your photos may be stored in the cloud.",
    ),
    "gravity": (
        "Gravity is the force that pulls things toward each other.",
        "The more mass a thing has, the stronger it pulls, and the Earth is big enough to hold us all on the ground.",
        "For instance, an apple falls from a tree because of gravity.",
    ),
    "photosynthesis": (
        "Photosynthesis is how plants make food from light.",
        "Leaves take in water, air and sunlight and turn them into sugar, and they give off oxygen.",
        "For instance, a tree in the sun makes the air that we breathe.",
    ),
    "electricity": (
        "Electricity is the flow of tiny charged particles through a material.",
        "A battery or a power station pushes the particles through a wire, and their motion can do work.",
        "For instance, it makes a lamp shine.",
    ),
    "evolution": (
        "Evolution is the slow change of living things over many generations.",
        "Young ones differ a little from their parents, and those that fit their world better have more young.",
        "For instance, birds came from dinosaurs in this way.",
    ),
    "an atom": (
        "An atom is a tiny building block of everything around us.",
        "It has a small heavy core, and light electrons move around that core.",
        "For instance, a drop of water contains more atoms than there are stars in the sky.",
    ),
    "DNA": (
        "DNA is the long molecule that holds the building plan of a living thing.",
        "It is written with four chemical letters, and every cell reads the parts that it needs.",
        "For instance, your DNA decides the color of your eyes.",
    ),
    "the water cycle": (
        "The water cycle is the journey of water between the sea, the air and the land.",
        "The sun turns water into vapor, the vapor becomes clouds, and the clouds bring rain that flows back to the sea.",
        "For instance, the rain of today may have been part of an ocean last month.",
    ),
    "a rainbow": (
        "A rainbow is sunlight that raindrops split into its colors.",
        "Each drop bends the light, and every color bends by a different amount.",
        "For instance, you see one when the sun is behind you and rain is in front of you.",
    ),
    "the moon": (
        "The moon is a ball of rock that travels around the Earth.",
        "It shines because it reflects the light of the sun, and one trip takes about four weeks.",
        "For instance, its pull makes the sea rise and fall.",
    ),
    "the sun": (
        "The sun is a star, a giant ball of hot gas.",
        "Deep inside it, hydrogen turns into helium and sets free the energy that reaches us as light.",
        "For instance, without the sun no plant could grow.",
    ),
    "a black hole": (
        "A black hole is a place where gravity is so strong that not even light can leave.",
        "It can form when a very heavy star runs out of fuel and falls in on itself.",
        "For instance, there is a large one in the middle of our galaxy.",
    ),
    "a volcano": (
        "A volcano is an opening in the ground where melted rock can come out.",
        "Deep below, rock is so hot that it melts, and pressure pushes it up until it breaks through.",
        "For instance, many islands were built by volcanoes.",
    ),
    "weather": (
        "Weather is what the air around us does from day to day.",
        "The sun warms some places more than others, and the air moves and carries water to even that out.",
        "For instance, wind is air that moves from high pressure to low pressure.",
    ),
    "a vaccine": (
        "A vaccine is a medicine that trains the body to fight a disease.",
        "It shows the body a harmless part of a germ, and the body remembers how to stop it.",
        "For instance, vaccines have removed smallpox from the world.",
    ),
    "the heart": (
        "The heart is a muscle that pumps blood through the body.",
        "It squeezes about once a second and sends blood with oxygen to every part of you.",
        "For instance, it beats faster when you run because your legs need more oxygen.",
    ),
    "sleep": (
        "Sleep is the time when the body rests and the brain tidies up.",
        "The brain sorts what happened during the day, and the body repairs itself.",
        "For instance, you remember a lesson better after a good night.",
    ),
    "money": (
        "Money is something that everybody accepts in exchange for goods and work.",
        "It saves us from trading one thing directly for another, because its value is agreed on.",
        "For instance, a baker sells bread for money and buys shoes with it.",
    ),
    "inflation": (
        "Inflation means that prices rise and money buys less than before.",
        "It often happens when there is more money to spend while the number of goods stays the same.",
        "For instance, a bread that cost two coins may cost three some years later.",
    ),
    "democracy": (
        "Democracy is a way of ruling a country in which the people decide.",
        "They vote for those who make the laws, and they can choose others at the next election.",
        "For instance, a town elects its mayor.",
    ),
    "music": (
        "Music is sound that people put in order to move or please each other.",
        "Rhythm says when a sound comes, and melody says how high or low it is.",
        "For instance, a lullaby is slow and soft so that a child can sleep.",
    ),
    "a haiku": (
        "A haiku is a short poem of three lines.",
        "The lines have five, seven and five syllables, and they often show one moment in nature.",
        "For instance, you can ask me for a haiku about the rain.",
    ),
}

EXPLAIN = Wordings(
    (
        "Explain {x} in simple terms.",
        "Explain {x} in simple words.",
        "Explain {x}.",
        "What is {x}?",
        "What's {x}?",
        "Can you explain {x}?",
        "Please explain {x}.",
        "Tell me about {x}.",
        "How does {x} work?",
        "Explain {x} to a child.",
        "Explain {x} like I am five.",
        "What do you know about {x}?",
        "Could you explain {x} to me?",
        "Describe {x}.",
        "I do not understand {x}. Can you help?",
        "Give me a simple explanation of {x}.",
        "{x}?",
        "Explain to me what {x} is.",
        "What does {x} mean?",
    ),
    ("Help me understand {x}.", "Tell me, what is {x} exactly?", "I want to learn what {x} is."),
)
BRIEFLY = (
    "Explain {x} in one sentence.",
    "What is {x} in one sentence?",
    "Briefly, what is {x}?",
    "Define {x}.",
    "Explain {x} briefly.",
    "In one sentence, explain {x}.",
)
EXAMPLE = ("Give me an example.", "Can you give an example?", "For example?", "Do you have an example?")
HOW = ("How does it work?", "How does that work?", "Tell me more.", "Can you say more?", "Go on.")
SHORTER = ("Say it shorter.", "Shorter, please.", "In one sentence?", "Can you summarize that?", "Sum it up.")


def variants(topic: str) -> tuple[str, ...]:
    """Returns the topic's name with and without its article."""
    bare = topic.removeprefix("a ").removeprefix("an ").removeprefix("the ")
    if bare == topic:
        return (topic,)
    plural = {"an API": "APIs", "a database": "databases", "an atom": "atoms", "a volcano": "volcanoes"}.get(
        topic, f"{bare}s"
    )
    return (topic, topic, topic, bare, plural if not topic.startswith("the ") else bare)


def full(topic: str) -> str:
    """Returns the whole explanation."""
    return " ".join(TOPICS[topic])


def explanation(rng: Random) -> list[Exchange]:
    """Returns an explanation, whole or in one sentence, sometimes with a follow-up."""
    topic = rng.choice(list(TOPICS))
    name = rng.choice(variants(topic))
    sentence, how, example = TOPICS[topic]
    if rng.random() < 0.25:
        exchanges = [Exchange(rng.choice(BRIEFLY).format(x=name), sentence)]
        if rng.random() < 0.4:
            exchanges.append(Exchange(rng.choice(HOW), how))
        if rng.random() < 0.4:
            exchanges.append(Exchange(rng.choice(EXAMPLE), example))
        return exchanges
    while (
        kept_back(f"explain {topic} {(user := EXPLAIN.pick(rng, x=name))}")
        and "machine learning in simple terms" not in user
    ):
        pass
    exchanges = [Exchange(user, full(topic))]
    if rng.random() < 0.15:
        exchanges.append(Exchange(rng.choice(SHORTER), sentence))
    elif rng.random() < 0.1:
        exchanges.append(Exchange(rng.choice(EXAMPLE), example))
    return exchanges


def plain(rng: Random) -> tuple[str, str]:
    """Returns a prompt outside the chat template and its continuation."""
    topic = rng.choice(list(TOPICS))
    prompt = EXPLAIN.pick(rng, x=rng.choice(variants(topic)))
    return prompt, rng.choice(("\n\n", "\n", " ")) + full(topic)


def cases() -> list[Case]:
    """Returns every topic in held-out wordings, and held-out combinations of topic and wording."""
    wordings = [
        Case("explanations, held-out wordings", asked(w.format(x=topic)), "contains", TOPICS[topic][0][:40])
        for w in EXPLAIN.held_out
        for topic in TOPICS
    ]
    combinations = [
        Case("explanations, held-out combinations", asked(user), "contains", TOPICS[topic][0][:40])
        for topic in TOPICS
        for w in EXPLAIN.train
        if kept_back(f"explain {topic} {(user := w.format(x=topic))}")
        and "machine learning in simple terms" not in user
    ]
    return wordings + combinations[:60]
