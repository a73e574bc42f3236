"""Runs a program that ends when its parent wants it to, or exits; a script, so that nothing else needs to be imported.

SIGTERM and SIGHUP, which a supervisor may send to all processes of a service, do not reach the program: the service
drains first, and then ends it by SIGINT. The kernel kills it when its parent exits.

Usage: `python -I -S bound.py <parent's process id> <program> [<argument>…]`. The program replaces this process.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""Linux's prctl(2) option; kept by execve(2). The parent is the thread that started this process."""


def main(parent: int, program: str, *arguments: str) -> None:
    """Binds this process to its parent, and executes the program, which inherits the blocked signals.

    On systems other than Linux, the program outlives a parent that is killed.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGHUP))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It exited before it was bound to.
            sys.exit(1)
    os.execv(program, (program, *arguments))  # noqa: S606 - the arguments are the service's own


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
