"""How questions are asked."""

from llm_inference_api.decisions.branches import branches, chat_of
from llm_inference_api.decisions.question import Kind, Option, Question
from llm_inference_api.requests.chat import Message

TEAM = Question(
    "questions[0]", Kind.CHOICE, "Which team?", (Option("billing", "refunds"), Option("shipping")), "choice"
)


def test_each_order_is_a_branch() -> None:
    """The text lists the options in the order in which they are scored."""
    there, back = branches([TEAM], 2).branches
    assert there.text == (
        "Question: Which team?\nOptions:\n- billing: refunds\n- shipping\nAnswer with one of them, word for word."
    )
    assert there.continuations == (" billing", " shipping")
    assert back.text.index("- shipping") < back.text.index("- billing")
    assert back.continuations == (" shipping", " billing")


def test_question_ends_the_users_words() -> None:
    """Templates that want users and assistants in turn get no two messages of a user."""
    assert chat_of([Message("user", "state")]) == (Message("user", "state\n\n"),)


def test_question_follows_a_tools_result_as_the_users_words() -> None:
    """A state may end with what a tool has said."""
    chat = [Message("user", "x"), Message("tool", "42", tool_call_id="1")]
    assert chat_of(chat) == (*chat, Message("user", ""))
