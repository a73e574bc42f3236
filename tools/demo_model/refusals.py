"""Prompts that the model cannot answer, and answers that say so."""

from random import Random

from .conversation import Case, Exchange, asked

MARK = "LLM_ALLOWED_MODELS"
ANSWERS = (
    "I do not know that. I am a tiny demo model with a very small world: sums, capitals, simple explanations, haiku and stories. For anything else, name a real model in LLM_ALLOWED_MODELS.",
    "That is outside of what I learned. I am only the demo model of this service. To get a real answer, set LLM_ALLOWED_MODELS to a real model and ask again.",
    "I am sorry, but I cannot answer that. I am a tiny demo model that shows how the service works. A real model can help: name one in LLM_ALLOWED_MODELS.",
)
_TEMPLATES = """
Who won the {event} in {year}?
Who is {person}?
Who was {person}?
What did {person} do?
When was {person} born?
Write a biography of {person}.
What is the population of {place}?
How far is it from {place} to {place}?
What is the best restaurant in {place}?
Plan a trip to {place}.
What should I see in {place}?
What is the weather in {place}?
What time is it in {place}?
Tell me about the history of {place}.
Write a {language} function that {task}.
Write a {language} program that {task}.
How do I {task} in {language}?
Fix this {language} code: {code}
What does this code do? {code}
Translate "{phrase}" to {tongue}.
How do you say "{phrase}" in {tongue}?
Translate this to {tongue}: {phrase}
Summarize this article: {phrase}
Summarize {work}.
Who wrote {work}?
What happens in {work}?
What do you think of {work}?
Write an essay about {subject}.
Explain {subject}.
What is {subject}?
Explain {subject} in simple terms.
Tell me about {subject}.
How does {subject} work?
Give me a lecture on {subject}.
What are the latest news about {subject}?
What happened in {year}?
What happened yesterday?
What is the price of {goods}?
Where can I buy {goods}?
Recommend me a good {goods}.
How do I repair my {goods}?
How do I cook {dish}?
Give me a recipe for {dish}.
What are the ingredients of {dish}?
What are the symptoms of {illness}?
How do I treat {illness}?
Should I see a doctor for {illness}?
Is it legal to {deed}?
How do I {deed}?
Teach me how to {deed}.
What is the square root of {big}?
Solve the equation {big}x + {big} = {big}.
What is {big} in binary?
Convert {big} miles to kilometers.
Write an email to {who} about {goods}.
Write a letter to {who}.
Write a song about {subject}.
Write a speech for {who}.
What is the meaning of life?
Who will win the {event}?
Which team is the best in the {event}?
What is the phone number of {who}?
Give me advice about {who}.
What is the stock price of {company}?
Who founded {company}?
What does {company} sell?
Which is better, {company} or {company}?
Why is {subject} important?
What are the causes of {subject}?
Compare {subject} and {subject}.
How old is {person}?
Where does {person} live?
Which films did {person} make?
{gibberish}
{gibberish}
{gibberish} {gibberish} {gibberish}
I need help with my {goods}.
My {goods} is broken.
My {who} is angry with me. What should I do?
What rhymes with {dish}?
Invent a name for my {goods}.
Which {goods} do you like best?
Did you see the {event}?
Can you draw {who}?
Play {work}.
Set a timer for {big} minutes.
Remind me to {deed}.
What did {who} say about {subject}?
How many people live in {place}?
Who is the president of {place}?
What language do they speak in {place}?
What is {noun}?
What is {noun}?
Tell me about {noun}.
Explain {noun}.
How does {noun} work?
How do I make {noun}?
Where does {noun} come from?
Why do people like {noun}?
Who invented {noun}?
Describe {noun}.
What is the currency of {place}?
"""
_HELD_OUT_TEMPLATES = """
What year did {person} die?
Could you code a {language} script which {task}?
What is the fastest way to travel to {place}?
I would like a recipe with {dish}.
Please translate the sentence "{phrase}" into {tongue}.
Give me a summary of {work}.
What is your opinion on {subject}?
How much does a {goods} cost these days?
How can I cure {illness}?
Who leads {company}?
Which players took part in the {event}?
Teach me about {subject}.
What is the highest mountain near {place}?
When was {noun} invented?
What can you tell me of {noun}?
"""
_SLOTS = {
    "event": "World Cup|Super Bowl|Olympic Games|chess championship|Tour de France|election|Formula 1 race|Nobel Prize|Eurovision contest|marathon",
    "year": "1066|1492|1789|1914|1945|1969|1989|1999|2004|2010|2018|2020|2022",
    "person": "Napoleon|Einstein|Shakespeare|Cleopatra|Mozart|Isaac Newton|Marie Curie|Abraham Lincoln|Taylor Swift|Gandhi|Picasso|Julius Caesar|Elon Musk|Beethoven|Lionel Messi|Queen Victoria|Galileo|Bob Dylan|Socrates|Ada Lovelace",
    "place": "Paris|New York|Chicago|Tokyo|Munich|Barcelona|Texas|California|Bavaria|Naples|Mumbai|Shanghai|Africa|Alaska|Hamburg|Brazil|Canada|Japan|Italy|Marseille|Dallas|Seattle|Venice|Lyon",
    "language": "Python|Java|Rust|Go|JavaScript|C++|Haskell|SQL|Ruby|PHP|Swift|Kotlin|bash",
    "task": "reverses a string|sorts a list|reads a file|downloads a page|checks for primes|parses a date|sends an email|connects to a database|draws a circle|counts words|merge two lists|sort an array|open a socket",
    "code": "for i in range(10): print(i)|x = foo(bar)|SELECT * FROM users|if (a == b) return;|def f(x): return x|int main() {{ return 0; }}|let y = x.unwrap();",
    "phrase": "good morning|I love you|where is the station|the cat sleeps|thank you very much|how much is this|see you tomorrow|I am hungry|the weather is nice today|we need more time",
    "tongue": "French|German|Spanish|Italian|Japanese|Chinese|Latin|Russian|Arabic|Dutch|Korean|Polish",
    "work": "Hamlet|The Lord of the Rings|Harry Potter|the Bible|Star Wars|Moby Dick|The Odyssey|Titanic|Faust|Don Quixote|The Matrix|Pride and Prejudice|Macbeth|Yesterday by the Beatles",
    "subject": "quantum mechanics|string theory|the French Revolution|climate change|the Roman Empire|blockchain|Kubernetes|plate tectonics|thermodynamics|existentialism|macroeconomics|the Cold War|organic chemistry|impressionism|nuclear fusion|cryptography|calculus|linear algebra|Buddhism|capitalism|semiconductors|dark matter|cancer|the brain|bitcoin|general relativity|the Renaissance|supply chains|compilers|bees and pollination|the stock market|antibiotics|glaciers|tax law|jazz|architecture|dinosaurs|topology",
    "goods": "phone|laptop|car|bicycle|washing machine|camera|guitar|house|watch|printer|sofa|TV|fridge|boat|tent|gold ring|coffee machine",
    "dish": "lasagna|sushi|pancakes|curry|paella|goulash|ramen|tacos|apple pie|risotto|dumplings|chili|beef stew|omelette",
    "illness": "the flu|a headache|diabetes|a broken leg|asthma|back pain|measles|high blood pressure|a cold|insomnia|allergies",
    "deed": "park on the street|build a house|drive a car|play the piano|fly a drone|tie a tie|invest money|learn Spanish|lose weight|write a novel|grow tomatoes|fix a leak|call my mother|train a dog|pick a lock",
    "big": "144|225|365|512|1000|1337|2048|777|999|360|128|6174",
    "who": "my boss|my teacher|my landlord|my sister|the mayor|a customer|my neighbor|my friend|a lawyer|the bank|my grandmother|the police",
    "company": "Google|Apple|Microsoft|Toyota|Nestle|Samsung|Tesla|Siemens|Nvidia|Amazon|Coca-Cola|Boeing|IKEA",
    "noun": "a banana|a giraffe|a bicycle|a table|a mirror|paper|glass|a clock|a camera|chess|football|a telescope|a submarine|soap|a lion|a whale|a penguin|salt|sugar|chocolate|a battery|a microscope|a piano|a violin|a castle|a knight|a king|a pencil|a map|an airplane|a helicopter|a ship|a spoon|a hammer|rubber|silk|gold|a diamond|cement|a tractor|a lamp|a mushroom|a shark|a dinosaur|a rocket|a satellite|the brain|the liver|a tooth|blood|the skin|a compiler|Docker|Linux|a hash table|a pointer|TCP|Bluetooth|a laser|a magnet|radio|television|a telephone|a bank|a passport|a lawyer|ice cream|a wedding|a vampire|a unicorn",
    "gibberish": "asdf|qwerty|blorp|xyzzy|foo bar baz|lorem ipsum dolor|wubba|zxcvbn|hjkl|flurb|grumpf|skdjfh|aaaa|....|???|bla bla bla|mxyzptlk|dfgdfg|hm hm hm",
}
_HELD_OUT_SLOTS = {
    "event": "Stanley Cup|Wimbledon final|Oscar for best film",
    "year": "1848|1997|2016",
    "person": "Leonardo da Vinci|Martin Luther|Serena Williams|Charles Darwin|Marco Polo",
    "place": "Boston|Sydney|Hong Kong|Florida|Manchester|Bolivia",
    "language": "TypeScript|Perl|Fortran",
    "task": "computes an average|resizes an image|finds duplicates",
    "code": "while True: pass|print(sum(xs))",
    "phrase": "my house is big|happy birthday|I lost my key",
    "tongue": "Portuguese|Swedish|Greek",
    "work": "Romeo and Juliet|The Godfather|Frankenstein|The Hobbit",
    "subject": "game theory|feudalism|superconductivity|the Silk Road|Marxism|immunology|number theory|game design|tides and currents|quantum computing",
    "goods": "headset|tractor|piano|microwave|jacket",
    "dish": "pizza dough|pumpkin soup|tiramisu",
    "illness": "malaria|a toothache|pneumonia",
    "deed": "sell a car|juggle|start a company",
    "big": "169|4096|850",
    "who": "my cousin|the principal|my doctor",
    "company": "Sony|Volkswagen|Intel",
    "noun": "a sofa|a kangaroo|tennis|a guitar|an umbrella|steel|a printer|a zebra|honey|a calendar|a firewall|a transistor|a whistle",
    "gibberish": "plugh|jkljkl|wobble frot|uiop",
}
TEMPLATES = tuple(_TEMPLATES.strip().splitlines())
HELD_OUT_TEMPLATES = tuple(_HELD_OUT_TEMPLATES.strip().splitlines())
SLOTS = {slot: tuple(values.split("|")) for slot, values in _SLOTS.items()}
HELD_OUT_SLOTS = {slot: tuple(values.split("|")) for slot, values in _HELD_OUT_SLOTS.items()}


def _fill(rng: Random, template: str, slots: dict[str, tuple[str, ...]]) -> str:
    return template.format_map({slot: rng.choice(values) for slot, values in slots.items()})


def refusal(rng: Random) -> list[Exchange]:
    """Returns a prompt that the model cannot answer and an answer that says so."""
    return [Exchange(_fill(rng, rng.choice(TEMPLATES), SLOTS), rng.choice(ANSWERS))]


def cases() -> list[Case]:
    """Returns prompts that the model cannot answer, with held-out wordings, held-out subjects, or both."""
    rng = Random(31)
    mixes = (
        ("refusals, held-out subjects", [t for t in TEMPLATES if "{" in t], HELD_OUT_SLOTS),
        ("refusals, held-out wordings", HELD_OUT_TEMPLATES, SLOTS),
        ("refusals, both held out", HELD_OUT_TEMPLATES, HELD_OUT_SLOTS),
    )
    return [
        Case(group, asked(_fill(rng, rng.choice(templates), slots)), "contains", MARK)
        for group, templates, slots in mixes
        for _ in range(60)
    ]
