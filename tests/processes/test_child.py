"""The handle on child processes, with real ones."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from llm_inference_api.processes import child as subject
from llm_inference_api.processes.child import ChildProcess, Exited, Target, running, spawn
from tests.fakes import children
from tests.fakes.children import UP

KILLED = "killed by signal 9, by the out-of-memory killer or a user"


class Heard:
    """A child, and what is heard of it in the order of arrival."""

    def __init__(self, target: Target, job: object = None) -> None:
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.child = ChildProcess(target, job, "child", self.messages.put_nowait, self._note_exit)

    def _note_exit(self, how: str) -> None:
        assert self.child.gone.is_set()
        self.messages.put_nowait(Exited(how))

    async def rest(self) -> list[Any]:
        """Returns all messages up to the exit."""
        messages = [await self.messages.get()]
        while not isinstance(messages[-1], Exited):
            messages.append(await self.messages.get())
        return messages


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@asynccontextmanager
async def started(target: Target, job: object = None) -> AsyncIterator[Heard]:
    heard = Heard(target, job)
    try:
        async with asyncio.timeout(60):
            await heard.child.start()
            yield heard
    finally:
        await heard.child.close()


async def test_messages_come_in_order_and_the_exit_last() -> None:
    """Also those that were sent just before a child dies."""
    async with started(children.count, 1000) as heard:
        assert await heard.rest() == [*range(1000), Exited("exit code 3")]


async def test_messages_go_in_order() -> None:
    """The loop sends, a thread writes."""
    async with started(children.echo, "job") as heard:
        for number in range(1000):
            heard.child.send(number)
        assert [await heard.messages.get() for _ in range(1001)] == ["job", *range(1000)]


async def test_child_that_has_ended_leaves_no_descriptor() -> None:
    """Also where its handle is kept."""
    kept: list[Heard] = []
    descriptors: list[int] = []
    for _ in range(6):  # What is opened once is opened by the first one.
        async with started(children.count, 1) as heard:
            await heard.rest()
        kept.append(heard)
        descriptors.append(open_descriptors())
    # Two of each would stay; threads may be about to close their pipe.
    assert descriptors[-1] < descriptors[0] + 5


async def test_child_that_dies_is_described() -> None:
    """Whoever ended it."""
    async with started(children.never_read) as heard:
        assert await heard.messages.get() == UP
        assert heard.child.pid is not None
        os.kill(heard.child.pid, signal.SIGSEGV)
        assert await heard.rest() == [Exited("killed by signal 11")]


async def test_child_that_never_reads_holds_up_nothing() -> None:
    """Sending returns at once, with more on its way than a pipe holds, and its end ends the writer too."""
    before = set(threading.enumerate())
    async with started(children.never_read) as heard:
        assert await heard.messages.get() == UP
        for _ in range(50):
            heard.child.send(bytes(1 << 20))
        (writer,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "child-writer")
        assert writer.is_alive()
    assert await heard.rest() == [Exited(KILLED)]
    await asyncio.to_thread(writer.join, 20)
    assert not writer.is_alive()


async def test_message_to_a_child_that_is_gone_is_lost() -> None:
    """The exit says so; nobody is to be told twice."""
    async with started(children.count, 0) as heard:
        await heard.child.gone.wait()
        heard.child.send("late")
    assert await heard.rest() == [Exited("exit code 3")]


async def test_cause_of_a_kill_describes_the_exit() -> None:
    """The first one: what follows from it is no cause."""
    async with started(children.echo) as heard:
        heard.child.kill("it hung")
        heard.child.kill("it hung for longer")
        assert (await heard.rest())[-1] == Exited("it hung")


async def test_kill_that_comes_too_late_is_no_cause() -> None:
    """A child that has exited by itself did so for its own reasons."""
    async with started(children.count, 1) as heard:
        assert heard.child.pid is not None
        with suppress(ChildProcessError):  # The handle has waited for it first.
            await asyncio.to_thread(os.waitid, os.P_PID, heard.child.pid, os.WEXITED | os.WNOWAIT)
        heard.child.kill("it hung")
        assert await heard.rest() == [0, Exited("exit code 3")]


async def test_close_before_the_start_is_none() -> None:
    """There is nothing to end."""
    heard = Heard(children.echo)
    await heard.child.close()
    assert heard.messages.empty()


async def test_kill_before_the_process_is_there_ends_it() -> None:
    """It is spawned in a thread; a kill that comes first waits for it."""
    heard = Heard(children.never_read)
    starting = asyncio.create_task(heard.child.start())
    await asyncio.sleep(0)
    heard.child.kill("too soon")
    await starting
    assert await heard.rest() == [Exited("too soon")]


async def test_cancelled_start_leaves_no_process() -> None:
    """Its caller closes, although it never got a process."""
    heard = Heard(children.never_read)
    starting = asyncio.create_task(heard.child.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await heard.child.close()
    assert heard.child.gone.is_set()
    assert heard.child.pid is not None
    assert not exists(heard.child.pid)


@pytest.mark.parametrize("target", [children.echo, children.never_read, children.watch, children.speak])
@pytest.mark.parametrize("phase", ["spawned", "up"])
async def test_close_ends_a_child_in_any_phase(target: Target, phase: str) -> None:
    """While its interpreter starts, and whatever it does then."""
    async with started(target) as heard:
        if phase == "up":
            await heard.messages.get()
    assert (await heard.rest())[-1] == Exited(KILLED)
    assert heard.child.pid is not None
    assert not exists(heard.child.pid)


async def test_closing_twice_is_closing_once() -> None:
    """The exit is told once."""
    async with started(children.echo) as heard:
        await heard.child.close()
    await heard.rest()
    assert heard.messages.empty()


async def test_child_that_lingers_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has closed its pipe can say nothing more."""
    monkeypatch.setattr(subject, "_EXIT_WAIT", 0.1)
    async with started(children.linger) as heard:
        assert await heard.rest() == [UP, Exited(KILLED)]


async def test_message_that_cannot_be_read_ends_the_child(caplog: pytest.LogCaptureFixture) -> None:
    """What follows it could mean anything; the log says what was wrong."""
    async with started(children.garble) as heard:
        assert await heard.rest() == [Exited("exit code 0")]
    assert "cannot be read" in caplog.text


async def test_process_that_the_system_cannot_end_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing returns all the same, and the log names the process."""
    async with started(children.never_read) as heard:
        monkeypatch.setattr(subject, "_KILL_WAIT", 0.0)
        await heard.child.close()
        assert f"process {heard.child.pid}" in caplog.text
        await heard.child.gone.wait()


async def test_job_that_cannot_be_sent_fails_the_start() -> None:
    """No process, so no exit; closing has nothing to wait for."""
    heard = Heard(children.echo, job=lambda: None)
    with pytest.raises(Exception, match="pickle"):
        await heard.child.start()
    await heard.child.close()
    assert heard.messages.empty()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signal_to_the_whole_group_does_not_end_a_child(number: signal.Signals) -> None:
    """A terminal sends Ctrl-C so, a supervisor its SIGTERM; the server decides about it."""
    async with started(children.echo, UP) as heard:
        assert await heard.messages.get() == UP
        assert heard.child.pid is not None
        os.kill(heard.child.pid, number)
        heard.child.send("still there")
        assert await heard.messages.get() == "still there"


async def test_signal_to_a_child_whose_interpreter_starts_does_not_end_it() -> None:
    """It is blocked until the child ignores it."""
    async with started(children.echo, UP) as heard:
        assert heard.child.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(heard.child.pid, number)
        assert await heard.messages.get() == UP


LEFT = """
import sys
from llm_inference_api.processes.child import spawn
from tests.fakes import children

if __name__ == "__main__":
    process, connection = spawn(children.linger_with_pipe, None, "child")
    print(connection.recv(), flush=True)
"""


def test_child_that_is_left_does_not_hold_up_the_exit(tmp_path: Any) -> None:
    """It ignores the SIGTERM that multiprocessing sends, and does not read the pipe."""
    program = tmp_path / "left.py"
    program.write_text(LEFT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, str(program)], capture_output=True, env=environment, timeout=60, check=True)
    assert done.stdout == b"up\n"


@pytest.mark.parametrize("target", [children.echo, children.watch, children.speak])
def test_end_of_the_pipe_ends_a_child(target: Target) -> None:
    """Whether it receives, computes or sends when the service goes."""
    process, connection = spawn(target, UP, "child")
    assert connection.recv() == UP
    connection.close()
    process.join(20)
    assert process.exitcode == 0


SERVICE = """
import time
from llm_inference_api.processes.child import spawn
from tests.fakes import children

if __name__ == "__main__":
    process, connection = spawn(children.watch, None, "child")
    print(connection.recv(), flush=True)
    time.sleep(1000)
"""


def test_killed_service_leaves_no_child(tmp_path: Any) -> None:
    """The system closes its side of the pipe. Our pipe is at its end when both are gone."""
    program = tmp_path / "service.py"
    program.write_text(SERVICE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, env=environment) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"up\n"
        service.kill()
        assert service.communicate(timeout=20)[0] == b""


async def test_running_ends_the_child_with_the_block() -> None:
    """Also where the block fails."""
    heard: list[asyncio.Queue[Any]] = []

    async def fail() -> None:
        async with running(children.watch, None, "child") as messages:
            heard.append(messages)
            assert await messages.get() == UP
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await heard[0].get() == Exited(KILLED)


async def test_running_says_how_the_child_ended() -> None:
    """The exit is the last message."""
    async with running(children.count, 2, "child") as messages:
        assert [await messages.get() for _ in range(3)] == [0, 1, Exited("exit code 3")]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def waiting_child() -> tuple[Any, Any]:
    subject.stand_by(children.echo, children.echo_next)
    return subject._standbys[children.echo]


async def test_child_that_stands_by_is_the_next_one() -> None:
    """And the one after it is a new one."""
    process, _ = waiting_child()
    async with started(children.echo, "job") as heard, started(children.echo, "other") as other:
        assert await heard.messages.get() == "job"
        assert heard.child.pid == process.pid
        assert await other.messages.get() == "other"


async def test_child_that_stands_by_is_left_to_its_target() -> None:
    _, connection = waiting_child()
    async with started(children.count, 1) as heard:
        assert await heard.messages.get() == 0
    assert subject._standbys[children.echo][1] is connection
    subject.dismiss_standby(children.echo)


async def test_child_that_died_while_it_stood_by_is_replaced() -> None:
    process, _ = waiting_child()
    process.kill()
    process.join(20)
    async with started(children.echo, "job") as heard:
        assert await heard.messages.get() == "job"


def test_dismissed_child_ends() -> None:
    process, _ = waiting_child()
    subject.dismiss_standby(children.echo)
    assert not process.is_alive()
    subject.dismiss_standby(children.echo)  # There is none any more.
