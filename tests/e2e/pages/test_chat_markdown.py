"""How the chat page shows what a model writes."""

from typing import Any

import pytest

from tests.e2e.browser import MARKS, Answers, answer, ask, expect

pytestmark = MARKS

TABLE = "| a | b |\n|---|--:|\n| 1 | **2** |\n| 3 | 4 |"
LISTS = "1. one\n   - inner\n\n     more\n2. two\n\n- [x] done"
TEXT = (
    f"# Title\n\nA **bold** [link](https://a.example/) and `code`.\n\n{TABLE}\n\n{LISTS}\n\n```py\nx = 1\n```\n\n"
    "$$\na^2\n$$\n\nSee [late].\n\n[late]: https://b.example/\n\n~~End~~ $x$."
)
VIEWS = """async ({text, step}) => {
    const {MarkdownView} = await import("/assets/markdown/view.js");
    const [whole, parts] = [document.createElement("div"), document.createElement("div")];
    new MarkdownView(whole).show(text, true);
    const view = new MarkdownView(parts);
    for (let at = step; at < text.length; at += step) view.show(text.slice(0, at), false);
    view.show(text, true);
    const has = (selector) => whole.querySelector(selector) !== null;
    const isDone = () => whole.innerHTML === parts.innerHTML && has("math") && has(".hljs-number");
    while (!isDone()) {
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return whole.innerHTML === parts.innerHTML;
}"""
KEPT = """async ({text, step}) => {
    const {MarkdownView} = await import("/assets/markdown/view.js");
    const [element, seen] = [document.createElement("div"), []];
    const view = new MarkdownView(element);
    for (let at = step; at < text.length; at += step) {
        view.show(text.slice(0, at), false);
        seen.push(element.firstElementChild);
    }
    return new Set(seen.filter(Boolean)).size;
}"""
STATES = """async (text) => {
    const {MarkdownView} = await import("/assets/markdown/view.js");
    const [element, seen] = [document.createElement("div"), []];
    const view = new MarkdownView(element);
    for (let at = 1; at <= text.length; at += 1) {
        view.show(text.slice(0, at), false);
        seen.push(element.innerHTML);
    }
    return seen;
}"""


def shown(page: Any, text: str) -> Any:
    """Returns the answer that says the text."""
    Answers(page).say(text)
    ask(page, "hello")
    return answer(page)


def test_markup_of_github_is_shown(page: Any) -> None:
    """Tables, links, nested and continued lists, tasks, strikes, rules, headings and quotes."""
    text = shown(
        page, f"## T\n\n{TABLE}\n\n{LISTS}\n\n---\n\n> quote\n\n~~no~~ [x](https://a.example/b) https://c.example/"
    )
    expect(text.get_by_role("heading")).to_have_text("T")
    expect(text.locator("tr")).to_have_count(3)
    expect(text.locator("td strong")).to_have_text("2")
    expect(text.locator("ol > li")).to_have_count(2)
    expect(text.locator("ol ul p").nth(1)).to_have_text("more")
    expect(text.get_by_role("checkbox")).to_be_checked()
    expect(text.locator("s")).to_have_text("no")
    expect(text.locator("hr")).to_have_count(1)
    expect(text.locator("blockquote")).to_have_text("quote")
    expect(text.get_by_role("link", name="x", exact=True)).to_have_attribute("rel", "noopener noreferrer")
    expect(text.get_by_role("link")).to_have_count(2)


def test_text_of_the_model_never_becomes_markup(page: Any) -> None:
    """HTML is text, scripts are no links, and pictures of other hosts are links."""
    text = shown(
        page, "<img src=x onerror=alert(1)> [a](javascript:alert(1)) ![b](https://a.example/b.png)\n\n<b>c</b>"
    )
    expect(text.locator("img, b")).to_have_count(0)
    expect(text).to_contain_text("<img src=x onerror=alert(1)>")
    expect(text.get_by_role("link")).to_have_text("b")


@pytest.mark.parametrize(
    "text",
    [
        "call __init__ and __repr__ here",
        "2**3 or 2 ** 3",
        "x**2 + y**2",
        "a*b*c and 5*3*2",
        "C:\\*.txt",
        "&lt; and &copy; are entities",
        "it costs $5 and $10",
        "f(*args, **kwargs)",
        "see main.py or a.is",
    ],
)
def test_what_a_model_writes_is_not_changed(page: Any, text: str) -> None:
    """Names, products, paths, entities and prices are no markup."""
    expect(shown(page, text)).to_have_text(text, use_inner_text=True)


def test_code_is_coloured_and_keeps_its_indentation(page: Any) -> None:
    """Within lists too."""
    text = shown(page, "- so:\n\n  ```python\n  def f():\n      return 1\n  ```")
    expect(text.locator("pre")).to_have_text("def f():\n    return 1", use_inner_text=True)
    expect(text.locator(".hljs-keyword")).to_have_text(["def", "return"])
    expect(text.locator("figcaption")).to_contain_text("python")


def test_formulas_are_shown(page: Any) -> None:
    """As MathML; one with an error stays as it was written."""
    text = shown(page, "Euler: $e^{i\\pi}$ and \\(a+b\\)\n\n$$\n\\frac{1}{2}\n$$\n\n$\\frac{$")
    expect(text.locator("math")).to_have_count(3)
    expect(text.locator("mfrac")).to_have_count(1)
    expect(text).to_contain_text("$\\frac{$")


@pytest.mark.parametrize("step", [1, 7, 40])
def test_text_that_grew_looks_as_if_it_had_come_at_once(page: Any, step: int) -> None:
    """In whatever pieces it came."""
    assert page.evaluate(VIEWS, {"text": TEXT, "step": step})


def test_what_is_closed_is_never_rendered_again(page: Any) -> None:
    """The first paragraph is one element, or two where its last state differs, however much follows."""
    assert page.evaluate(KEPT, {"text": "First.\n\n" + "More **text**.\n\n" * 50, "step": 9}) <= 2


@pytest.mark.parametrize(
    ("text", "unwanted"),
    [
        ("A line\n- item", "<h4"),
        ("Some **bold** text", "**"),
        ("a `code` b", "`"),
        (f"{TABLE}\n", "<p>|"),
        ("## Head", "<p>#"),
    ],
)
def test_nothing_flickers(page: Any, text: str, unwanted: str) -> None:
    """No state of the text shows marks that vanish, or what the next character makes something else."""
    assert [state for state in page.evaluate(STATES, text) if unwanted in state] == []
