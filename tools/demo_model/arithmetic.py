"""Sums, differences, products, quotients, comparisons, counting and sorting of small numbers."""

from random import Random

from .conversation import Case, Exchange, Wordings, asked, kept_back

SUM = Wordings(
    (
        "What is {a}+{b}?",
        "What is {a} + {b}?",
        "What is {a} plus {b}?",
        "{a}+{b}",
        "{a} + {b} = ?",
        "{a}+{b}=",
        "What's {a} + {b}?",
        "Add {a} and {b}.",
        "Calculate {a} + {b}.",
        "How much is {a} plus {b}?",
        "Can you add {a} and {b}?",
        "What do you get when you add {b} to {a}?",
        "What is the sum of {a} and {b}?",
        "Tell me {a} plus {b}.",
        "I have {a} apples and get {b} more. How many apples do I have?",
        "There are {a} birds on a tree and {b} more arrive. How many birds are there?",
        "Compute {a}+{b}.",
    ),
    ("How much do {a} and {b} make?", "Please work out {a} + {b} for me.", "Give me the sum of {a} and {b}."),
)
DIFFERENCE = Wordings(
    (
        "What is {a}-{b}?",
        "What is {a} - {b}?",
        "What is {a} minus {b}?",
        "{a}-{b}",
        "{a} - {b} = ?",
        "Subtract {b} from {a}.",
        "Calculate {a} - {b}.",
        "How much is {a} minus {b}?",
        "What is the difference between {a} and {b}?",
        "I have {a} apples and eat {b}. How many are left?",
        "Take {b} away from {a}.",
    ),
    ("How much is left when you take {b} from {a}?", "Please work out {a} - {b} for me."),
)
PRODUCT = Wordings(
    (
        "What is {a}*{b}?",
        "What is {a} * {b}?",
        "What is {a} times {b}?",
        "What is {a} x {b}?",
        "{a}*{b}",
        "{a} * {b} = ?",
        "Multiply {a} by {b}.",
        "Calculate {a} * {b}.",
        "How much is {a} times {b}?",
        "What is the product of {a} and {b}?",
    ),
    ("Please work out {a} * {b} for me.", "Multiply {a} and {b}."),
)
QUOTIENT = Wordings(
    (
        "What is {a}/{b}?",
        "What is {a} / {b}?",
        "What is {a} divided by {b}?",
        "Divide {a} by {b}.",
        "{a}/{b}",
        "How much is {a} divided by {b}?",
    ),
    ("Please work out {a} / {b} for me.",),
)
BIGGER = Wordings(
    (
        "Which is bigger, {a} or {b}?",
        "Which is larger, {a} or {b}?",
        "Which number is bigger: {a} or {b}?",
        "What is greater, {a} or {b}?",
        "Is {a} or {b} the bigger number?",
        "Compare {a} and {b}.",
    ),
    ("Of {a} and {b}, which is bigger?",),
)
SMALLER = Wordings(
    ("Which is smaller, {a} or {b}?", "Which number is smaller: {a} or {b}?", "What is less, {a} or {b}?"),
    ("Of {a} and {b}, which is smaller?",),
)
SORT = Wordings(
    (
        "Sort these numbers: {items}.",
        "Sort {items}.",
        "Put these numbers in order: {items}.",
        "Sort the numbers {items} from small to large.",
        "Order these numbers: {items}.",
        "Can you sort {items}?",
        "Arrange {items} in ascending order.",
    ),
    ("Bring {items} into order, smallest first.",),
)
COUNT = Wordings(
    (
        "Count from {a} to {b}.",
        "Count from {a} to {b}",
        "Can you count from {a} to {b}?",
        "Count up from {a} to {b}.",
        "List the numbers from {a} to {b}.",
    ),
    ("Count for me from {a} up to {b}.",),
)
COUNT_DOWN = Wordings(
    ("Count down from {a}.", "Count backwards from {a}.", "Count down from {a} to 1.", "Can you count down from {a}?"),
    ("Count backwards for me from {a}.",),
)
WHY = (
    "Why is that correct?",
    "Why?",
    "Why is that?",
    "Are you sure?",
    "How do you know?",
    "Can you explain that?",
    "Explain why.",
    "How did you get that?",
    "Why is that right?",
)
TIMES_TABLE = 10
LARGEST = 50
SIGNS = {"+": SUM, "-": DIFFERENCE, "*": PRODUCT, "/": QUOTIENT}


def is_held_out(a: int, sign: str, b: int) -> bool:
    """Returns whether a sum or difference is held out for evaluation: of two-digit numbers, none a multiple of ten."""
    if sign not in "+-" or min(a, b) < 10 or a % 10 == 0 or b % 10 == 0:
        return False
    low, high = sorted((a, b))
    return kept_back(f"{low}{sign}{high}")


def evaluate(a: int, sign: str, b: int) -> int:
    """Returns the value of `a sign b`."""
    return {"+": a + b, "-": a - b, "*": a * b, "/": a // max(b, 1)}[sign]


def _operand(rng: Random) -> int:
    return rng.randint(0, rng.choice((10, 20, LARGEST, LARGEST)))


def draw(rng: Random, sign: str) -> tuple[int, int]:
    """Returns operands for training: up to fifty for sums and differences, the times table for the rest."""
    if sign in "*/":
        a, b = rng.randint(0, TIMES_TABLE), rng.randint(0, TIMES_TABLE)
        return (a * max(b, 1), max(b, 1)) if sign == "/" else (a, b)
    while True:
        a, b = _operand(rng), _operand(rng)
        if sign == "-" and a < b and rng.random() < 0.9:
            a, b = b, a
        if not is_held_out(a, sign, b):
            return a, b


def _reason_for_sum(a: int, b: int) -> str:
    if a >= 10 and b >= 10:
        tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
        return (
            f"Because {a // 10 * 10} + {b // 10 * 10} = {tens} and {a % 10} + {b % 10} = {ones}, "
            f"and {tens} + {ones} = {a + b}."
        )
    return f"Because when you start at {max(a, b)} and count up {min(a, b)} more, you reach {a + b}."


def reason(a: int, sign: str, b: int) -> str:
    """Returns the answer to "Why is that correct?"."""
    value = evaluate(a, sign, b)
    if sign == "+":
        return _reason_for_sum(a, b)
    if sign == "-":
        if value < 0 or is_held_out(value, "+", b):
            return f"Because {max(a, b)} is {abs(value)} more than {min(a, b)}."
        return f"Because {value} and {b} together make {a}."
    if sign == "*":
        return f"Because {a} groups of {b} make {value} in all."
    return f"Because {value} times {b} is {a}."


def calculation(rng: Random) -> list[Exchange]:
    """Returns one calculation, sometimes followed by the question why, a continuation or thanks."""
    sign = rng.choices("+-*/", (62, 22, 13, 3))[0]
    a, b = draw(rng, sign)
    value = evaluate(a, sign, b)
    exchanges = [Exchange(SIGNS[sign].pick(rng, a=a, b=b), f"The answer is {value}.", f"{value}.")]
    chance = rng.random()
    if chance < 0.25:
        exchanges.append(Exchange(rng.choice(WHY), reason(a, sign, b)))
    elif chance < 0.35 and 0 <= value <= LARGEST:
        exchanges += continuation(rng, value)
    elif chance < 0.38:
        exchanges.append(Exchange(rng.choice(("Thanks!", "Thank you.", "Thanks")), "You are welcome!"))
    return exchanges


def continuation(rng: Random, value: int) -> list[Exchange]:
    """Returns an exchange that adds to or takes from the last result."""
    more = rng.randint(1, 10)
    if rng.random() < 0.6:
        user = rng.choice(("Now add {n}.", "And plus {n}?", "Add {n} to that.", "Add {n} more.")).format(n=more)
        return [Exchange(user, f"The answer is {value + more}.", f"{value + more}.")]
    user = rng.choice(("Now subtract {n}.", "And minus {n}?", "Take away {n}.")).format(n=more)
    return [Exchange(user, f"The answer is {value - more}.", f"{value - more}.")]


WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
WORD_SUM = (
    "What is {a} plus {b}?",
    "What's {a} plus {b}?",
    "How much is {a} plus {b}?",
    "Add {a} and {b}.",
    "{a} plus {b}",
)
BARE = (
    "What is {a}{s}{b}? Answer with the number only.",
    "{a} {s} {b}? Just the number.",
    "Only the result: {a}{s}{b}",
)


def variation(rng: Random) -> list[Exchange]:
    """Returns a sum in words, a sum of three numbers, or a calculation whose answer is the bare result."""
    chance = rng.random()
    if chance < 0.35:
        a, b = rng.randint(0, 10), rng.randint(0, 10)
        return [Exchange(rng.choice(WORD_SUM).format(a=WORDS[a], b=WORDS[b]), f"The answer is {a + b}.", f"{a + b}.")]
    if chance < 0.65:
        a, b, c = (rng.randint(0, 10) for _ in range(3))
        user = rng.choice(
            ("What is {a}+{b}+{c}?", "{a} + {b} + {c}", "What is {a} + {b} + {c}?", "Add {a}, {b} and {c}.")
        )
        return [Exchange(user.format(a=a, b=b, c=c), f"The answer is {a + b + c}.", f"{a + b + c}.")]
    sign = rng.choice("++-*")
    a, b = draw(rng, sign)
    return [Exchange(rng.choice(BARE).format(a=a, s=sign, b=b), str(evaluate(a, sign, b)), fixed=True)]


def drill(rng: Random) -> list[Exchange]:
    """Returns several calculations asked at once."""
    tasks = []
    for _ in range(rng.randint(2, 6)):
        sign = rng.choices("+-*", (60, 30, 10))[0]
        tasks.append((*draw(rng, sign), sign))
    listed = ", ".join(f"{a}{sign}{b}" for a, b, sign in tasks)
    solved = ", ".join(f"{a}{sign}{b}={evaluate(a, sign, b)}" for a, b, sign in tasks)
    user = rng.choice(("Solve these: {t}.", "Calculate: {t}", "Solve {t}.", "What are {t}?")).format(t=listed)
    return [Exchange(user, solved, fixed=True)]


def quick_fire(rng: Random) -> list[Exchange]:
    """Returns short calculations, one in each turn."""
    exchanges = []
    for _ in range(rng.randint(5, 12)):
        sign = rng.choices("+-*", (70, 20, 10))[0]
        a, b = draw(rng, sign)
        wording = rng.choice(SIGNS[sign].train[:6])
        exchanges.append(Exchange(wording.format(a=a, b=b), f"The answer is {evaluate(a, sign, b)}."))
    return exchanges


def sheet(rng: Random) -> str:
    """Returns a plain-text sheet of solved calculations."""
    lines = []
    for _ in range(rng.randint(8, 24)):
        sign = rng.choices("+-*", (65, 25, 10))[0]
        a, b = draw(rng, sign)
        lines.append(f"{a}{sign}{b}={evaluate(a, sign, b)}")
    return "\n".join(lines)


def comparison(rng: Random) -> list[Exchange]:
    """Returns a question which of two numbers is bigger or smaller."""
    while True:
        a, b = rng.randint(0, LARGEST), rng.randint(0, LARGEST)
        if not kept_back(f"{a}?{b}"):
            break
    if a == b:
        return [Exchange(BIGGER.pick(rng, a=a, b=b), "Neither: they are equal.", "Equal.")]
    return [_compared(rng, a, b)]


def _compared(rng: Random, a: int, b: int) -> Exchange:
    low, high = sorted((a, b))
    if rng.random() < 0.65:
        return Exchange(BIGGER.pick(rng, a=a, b=b), f"{high} is bigger than {low}.", f"{high}.")
    return Exchange(SMALLER.pick(rng, a=a, b=b), f"{low} is smaller than {high}.", f"{low}.")


def _joined(rng: Random, items: list[int]) -> str:
    if rng.random() < 0.3:
        return ", ".join(map(str, items[:-1])) + f" and {items[-1]}"
    return ", ".join(map(str, items))


def sorting(rng: Random) -> list[Exchange]:
    """Returns a list of numbers to sort."""
    while True:
        items = rng.sample(range(rng.choice((10, 21, 51))), rng.choice((3, 3, 4, 5)))
        if not kept_back(f"sort{items}"):
            break
    answer = ", ".join(map(str, sorted(items)))
    exchanges = [Exchange(SORT.pick(rng, items=_joined(rng, items)), f"In order: {answer}.", fixed=True)]
    if rng.random() < 0.2:
        exchanges.append(Exchange("Which is the biggest?", f"The biggest is {max(items)}.", f"{max(items)}."))
    return exchanges


def counting(rng: Random) -> list[Exchange]:
    """Returns a request to count up or down."""
    if rng.random() < 0.3:
        top = rng.randint(3, 20)
        return [Exchange(COUNT_DOWN.pick(rng, a=top), ", ".join(map(str, range(top, 0, -1))) + ".", fixed=True)]
    start = rng.choice((1, 1, 1, rng.randint(0, 60)))
    stop = rng.choice((20, 30, 50, 100)) if start == 1 and rng.random() < 0.15 else start + rng.randint(2, 14)
    if start == 1 and rng.random() < 0.3:
        user = rng.choice(("Count to {b}.", "Can you count to {b}?", "Please count to {b}."))
        user = user.format(b=stop)
    else:
        user = COUNT.pick(rng, a=start, b=stop)
    return [Exchange(user, ", ".join(map(str, range(start, stop + 1))) + ".", fixed=True)]


TOO_BIG = (
    "That number is too big for me: I only learned to calculate with numbers up to 50. "
    "A real model can help; name one in LLM_ALLOWED_MODELS."
)


def too_big(rng: Random) -> list[Exchange]:
    """Returns a calculation with numbers outside the training range, and an answer that says so."""
    sign = rng.choice("+-*")
    a = rng.randint(*rng.choice(((51, 99), (100, 999), (1000, 99999))))
    b = rng.randint(*rng.choice(((1, LARGEST), (51, 99), (100, 9999))))
    if rng.random() < 0.3 and sign != "-":
        a, b = b, a
    if sign == "*" and rng.random() < 0.5:
        a, b = rng.randint(11, 99), rng.randint(11, 99)
    return [Exchange(SIGNS[sign].pick(rng, a=a, b=b), TOO_BIG)]


def _pairs(sign: str, count: int) -> list[tuple[int, int]]:
    rng = Random(7)
    pairs = [
        (a, b)
        for a in range(10, LARGEST)
        for b in range(10, LARGEST)
        if is_held_out(a, sign, b) and (sign == "+" or a > b)
    ]
    return rng.sample(pairs, min(count, len(pairs)))


def _pair_cases(group: str, sign: str, count: int) -> list[Case]:
    rng = Random(11)
    return [
        Case(group, asked(SIGNS[sign].pick(rng, a=a, b=b)), "number", str(evaluate(a, sign, b)))
        for a, b in _pairs(sign, count)
    ]


def _wording_cases() -> list[Case]:
    rng = Random(13)
    cases = []
    for sign in "+-*":
        for wording in [*SIGNS[sign].held_out] * 12:
            a, b = draw(rng, sign)
            cases.append(
                Case("sums, held-out wordings", asked(wording.format(a=a, b=b)), "number", str(evaluate(a, sign, b)))
            )
    return cases


def _comparison_cases() -> list[Case]:
    rng = Random(17)
    pairs = [(a, b) for a in range(LARGEST) for b in range(LARGEST) if a != b and kept_back(f"{a}?{b}")]
    return [
        Case("comparisons, held-out pairs", asked(BIGGER.pick(rng, a=a, b=b)), "starts", str(max(a, b)))
        for a, b in rng.sample(pairs, 50)
    ]


def _sorting_cases() -> list[Case]:
    rng = Random(19)
    cases: list[Case] = []
    while len(cases) < 50:
        items = rng.sample(range(21), rng.randint(3, 5))
        if kept_back(f"sort{items}"):
            expected = ", ".join(map(str, sorted(items)))
            cases.append(
                Case(
                    "sorting, held-out lists",
                    asked(SORT.pick(rng, items=_joined(rng, items))),
                    "contains",
                    f" {expected}.",
                )
            )
    return cases


def cases() -> list[Case]:
    """Returns the held-out calculations, comparisons and lists."""
    return (
        _pair_cases("sums, held-out pairs", "+", 200)
        + _pair_cases("differences, held-out pairs", "-", 100)
        + _wording_cases()
        + _comparison_cases()
        + _sorting_cases()
    )
