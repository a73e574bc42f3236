"""A conversation in a terminal, as a person has it."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.service import COMMAND, clean_environment
from tests.fakes.chat_service import FAIL, HOLD, THOUGHT, ChatService
from tests.fakes.ports import free_port
from tests.fakes.terminal import IS_INSTALLED, Terminal, terminal

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="needs tmux")


@contextmanager
def chat(directory: Path, address: str, *arguments: str, columns: int = 100) -> Iterator[Terminal]:
    """Yields the terminal of a conversation."""
    environment = {**clean_environment(), "XDG_STATE_HOME": str(directory), "LLM_ADDRESS": address}
    with terminal(directory, [*COMMAND, "chat", *arguments], environment, columns) as shown:
        yield shown


@contextmanager
def conversation(directory: Path, service: ChatService, *arguments: str, columns: int = 100) -> Iterator[Terminal]:
    """Yields the terminal of a conversation that has begun."""
    with service.serve() as address, chat(directory, address, *arguments, columns=columns) as shown:
        shown.wait_until(lambda screen: screen.endswith("\n>"), "the prompt")
        yield shown


def test_first_lines_say_with_whom_one_talks_and_how_to_end(tmp_path: Path) -> None:
    """The model is the first that generates, where none is named."""
    with ChatService().serve() as address, chat(tmp_path, address) as shown:
        screen = shown.wait_for("Ctrl-D ends.")
        assert screen.startswith(f"first at {address}\n/help lists the commands")
        shown.keys("C-d")
        shown.wait_for("ended with 0")


def test_service_that_cannot_be_reached_is_said_at_once(tmp_path: Path) -> None:
    """Before anything is typed."""
    address = f"127.0.0.1:{free_port()}"
    with chat(tmp_path, address) as shown:
        assert f"no service answers at {address}; is it running?" in shown.wait_for("ended with 1")


@pytest.mark.parametrize(
    ("model", "why"), [("nope", "there are vectors, first, second"), ("vectors", "generates no text")]
)
def test_model_that_cannot_answer_is_said_at_once(tmp_path: Path, model: str, why: str) -> None:
    """With what would be right."""
    with ChatService().serve() as address, chat(tmp_path, address, "--model", model) as shown:
        assert why in shown.wait_for("ended with 1")


def test_conversation_goes_on_with_what_was_said(tmp_path: Path) -> None:
    """Each answer is part of the next request."""
    service = ChatService(("Hello", " **there**."), ("Fine",))
    with conversation(tmp_path, service, "--system", "Be short.") as shown:
        shown.type("Hi")
        shown.wait_for("Hello there.")
        shown.type("How are you?")
        shown.wait_for("Fine")
    assert service.asked[1] == [
        ("system", "Be short."),
        ("user", "Hi"),
        ("assistant", "Hello **there**."),
        ("user", "How are you?"),
    ]
    assert {request.model for request in service.requests} == {"first"}


def test_ctrl_c_in_an_answer_stops_that_answer_alone(tmp_path: Path) -> None:
    """The service stops computing, and what has come stays in the conversation."""
    service = ChatService(("Once upon", HOLD), ("Yes",))
    with conversation(tmp_path, service) as shown:
        shown.type("A story")
        shown.wait_for("Once upon")
        shown.keys("C-c")
        shown.wait_for("[stopped]")
        assert service.cancelled.wait(60)
        shown.type("Go on")
        shown.wait_for("Yes")
    assert service.asked[1] == [("user", "A story"), ("assistant", "Once upon"), ("user", "Go on")]


def test_ctrl_c_before_the_first_token_takes_the_question_back(tmp_path: Path) -> None:
    """Else the next question would be read as its second half."""
    service = ChatService((HOLD,), ("Yes",))
    with conversation(tmp_path, service) as shown:
        shown.type("What is the capital of France?")
        shown.wait_until(lambda _: bool(service.requests), "the request")
        shown.keys("C-c")
        shown.wait_for("[stopped]")
        shown.type("Hello")
        shown.wait_for("Yes")
    assert service.asked[1] == [("user", "Hello")]


def test_question_that_failed_is_no_part_of_the_conversation(tmp_path: Path) -> None:
    """The failure is said, and the conversation goes on without it."""
    service = ChatService((THOUGHT, FAIL), ("Yes",))
    with conversation(tmp_path, service) as shown:
        shown.type("Hi")
        shown.wait_for("the model's process ended (UNAVAILABLE)")
        shown.type("Hello")
        shown.wait_for("Yes")
    assert service.asked[1] == [("user", "Hello")]


def test_ctrl_c_at_the_prompt_clears_the_line(tmp_path: Path) -> None:
    """At an empty line it says how to end."""
    service = ChatService(("Yes",))
    with conversation(tmp_path, service) as shown:
        shown.keys("half a line")
        shown.wait_for("> half a line")
        shown.keys("C-c")
        shown.wait_until(lambda screen: screen.endswith("\n>"), "the empty line")
        shown.keys("C-c")
        shown.wait_for("Ctrl-D or /exit ends.")
        shown.type("Hi")
        shown.wait_for("Yes")
    assert service.asked == [[("user", "Hi")]]


def test_arrows_edit_the_line_and_bring_earlier_ones(tmp_path: Path) -> None:
    """Those of earlier sessions too."""
    service = ChatService(("One",), ("Two",), ("Three",))
    with conversation(tmp_path, service) as shown:
        shown.keys("Hell", "Left", "Left", "Left", "Left", "_", "End", "o", "Enter")
        shown.wait_for("One")
        shown.wait_until(lambda screen: screen.endswith("\n>"), "the prompt")
        shown.keys("Up", "!", "Enter")
        shown.wait_for("Two")
    with conversation(tmp_path, service) as shown:
        shown.keys("Up", "Up", "Enter")
        shown.wait_for("Three")
    assert [asked[-1][1] for asked in service.asked] == ["_Hello", "_Hello!", "_Hello"]
    assert (tmp_path / "llm-inference-api/chat-history").stat().st_mode & 0o777 == 0o600


def test_without_history_nothing_is_kept(tmp_path: Path) -> None:
    """No file, and no directory for it."""
    with conversation(tmp_path, ChatService(("Yes",)), "--no-history") as shown:
        shown.type("Hi")
        shown.wait_for("Yes")
    assert not (tmp_path / "llm-inference-api").exists()


def test_paste_of_several_lines_is_one_message(tmp_path: Path) -> None:
    """It is sent by Enter only, and can be edited before."""
    service = ChatService(("Yes",))
    with conversation(tmp_path, service) as shown:
        shown.paste("one\n\ttwo\nthree\n")
        assert "> one\n      two\n  three" in shown.wait_for("three")
        assert service.requests == []
        shown.keys("Enter")
        shown.wait_for("Yes")
    assert service.asked == [[("user", "one\n\ttwo\nthree\n")]]


def test_alt_enter_begins_a_new_line(tmp_path: Path) -> None:
    """Enter sends both."""
    service = ChatService(("Yes",))
    with conversation(tmp_path, service) as shown:
        shown.keys("one", "M-Enter", "two", "Enter")
        shown.wait_for("Yes")
    assert service.asked == [[("user", "one\ntwo")]]


def test_what_is_typed_during_an_answer_waits_for_its_end(tmp_path: Path) -> None:
    """It is neither mixed into the answer nor sent line by line: it stands at the prompt."""
    service = ChatService(("Once", HOLD), ("Yes",))
    with conversation(tmp_path, service) as shown:
        shown.type("A story")
        shown.wait_for("Once")
        shown.paste("next\nquestion")
        service.cancelled.set()  # The answer ends.
        shown.wait_for("> next\n  question")
        shown.keys("Enter")
        shown.wait_for("Yes")
    assert service.asked[1][-1] == ("user", "next\nquestion")


def test_figures_stand_below_each_answer_on_request(tmp_path: Path) -> None:
    """From the start by --stats, later by /stats."""
    service = ChatService(("One",), ("Two",))
    with conversation(tmp_path, service, "--stats") as shown:
        shown.type("Hi")
        assert re.search(r"One *\n\[34 tokens in .* s, the first after .* s", shown.wait_for("the first after"))
        shown.type("/stats off")
        shown.wait_for("followed by no figures")
        shown.type("And?")
        shown.wait_for("Two")
        shown.wait_until(lambda screen: screen.endswith("\n>"), "the prompt")
        assert shown.screen().count("the first after") == 1


@pytest.mark.parametrize("word", ["/exit", "exit", "quit", "/quit"])
def test_words_for_the_end_end_it(tmp_path: Path, word: str) -> None:
    """They do not go to the model."""
    service = ChatService()
    with conversation(tmp_path, service) as shown:
        shown.type(word)
        shown.wait_for("ended with 0")
    assert service.requests == []


def test_commands_do_not_go_to_the_model(tmp_path: Path) -> None:
    """Misspelt ones neither; a space before makes them messages, and a path is one."""
    service = ChatService(("One",), ("Two",))
    with conversation(tmp_path, service) as shown:
        shown.type("/help")
        shown.wait_for("/stats")
        shown.type("/hlep")
        shown.wait_for("do you mean /help?")
        shown.type(" /help")
        shown.wait_for("One")
        shown.type("/etc/hosts is what?")
        shown.wait_for("Two")
    assert [asked[-1][1] for asked in service.asked] == [" /help", "/etc/hosts is what?"]


def test_control_characters_of_an_answer_are_shown(tmp_path: Path) -> None:
    """A model cannot clear the screen, or forge what the program says."""
    with conversation(tmp_path, ChatService(("\x1b[2J\x1b]0;title\x07 red\rgreen",))) as shown:
        shown.type("Hi")
        assert shown.wait_for("green").startswith("first at")
        assert r"\x1b[2J\x1b]0;title\x07 redgreen" in shown.screen()


def test_thoughts_stand_above_the_answer(tmp_path: Path) -> None:
    """They are shown, and are not part of what is sent next."""
    service = ChatService((f"I think.{THOUGHT}", f" Then more.{THOUGHT}", "Yes", "."), ("Fine",))
    with conversation(tmp_path, service) as shown:
        shown.type("Hi")
        assert "I think. Then more.\n\nYes." in shown.wait_for("Yes.")
        shown.type("And?")
        shown.wait_for("Fine")
    assert service.asked[1][1] == ("assistant", "Yes.")


def test_ctrl_c_in_the_answer_to_one_message_ends_the_program(tmp_path: Path) -> None:
    """What has come stays on the screen."""
    service = ChatService(("Once", HOLD))
    with service.serve() as address, chat(tmp_path, address, "A story") as shown:
        shown.wait_for("Once")
        shown.keys("C-c")
        assert shown.wait_for("ended with 130").startswith("Once")
        assert service.cancelled.wait(60)


def test_narrow_window_loses_nothing(tmp_path: Path) -> None:
    """What does not fit goes on below."""
    table = "| name | what it is |\n|---|---|\n| alpha | averyveryverylongwordwithoutspaces |\n"
    words = " ".join(f"word{number}" for number in range(60))
    with conversation(tmp_path, ChatService((table, "\n", words)), columns=24) as shown:
        shown.type("Hi")
        screen = "".join(shown.wait_for("word59").split())
    assert "".join(words.split()) in screen
    assert "averyveryve" in screen
    assert "…" not in screen


def test_answer_higher_than_the_window_stands_there_once(tmp_path: Path) -> None:
    """Its beginning has scrolled away, and nothing of it is drawn twice."""
    lines = [f"line {number}\n" for number in range(80)]
    with conversation(
        tmp_path,
        ChatService(
            (
                "```\n",
                *lines,
                "```\nend",
            )
        ),
    ) as shown:
        shown.type("Hi")
        screen = shown.wait_for("\n\nend").splitlines()
    assert [line.strip() for line in screen if line.startswith("line ")] == [line.strip() for line in lines]


def test_end_by_a_signal_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    """SIGTERM during an answer: what is typed afterwards is seen."""
    service = ChatService(("Once", HOLD))
    with conversation(tmp_path, service) as shown:
        shown.type("A story")
        shown.wait_for("Once")
        os.kill(shown.pid(), signal.SIGTERM)
        shown.wait_for("ended with 143")
        shown.keys("seen")
        shown.wait_for("seen")
