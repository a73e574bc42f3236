"""Clocks that stand while a busy machine computes for others, so that a bound in seconds says the same everywhere."""

import os
import resource
import time
from pathlib import Path


def own_time() -> float:
    """Returns seconds on the calling thread's clock, which goes on while it computes or waits for something.

    It stands while the thread could go on but no processor is free for it: the kernel counts these nanoseconds in the
    second field of `schedstat` (Documentation/scheduler/sched-stats.rst).
    """
    try:
        delay = int(Path("/proc/thread-self/schedstat").read_text().split()[1])
    except OSError:  # A kernel without CONFIG_SCHED_INFO.
        delay = 0
    return time.monotonic() - delay / 1e9


def children_cpu_time() -> float:
    """Returns the seconds of processor time of this process's children that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_time_of(pid: int) -> float:
    """Returns the seconds of processor time that the process has used (proc(5), `stat`, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
