"""Limits of this process's control groups, of version 1 and 2 (cgroups(7)).

A limit of any group from this process's own up to the root holds, and a container may see its own group as the root.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_ROOT = Path("/")


class _Mount(NamedTuple):
    """A hierarchy of groups in the file system."""

    point: Path
    root: PurePosixPath
    """The group that the mount point shows."""
    controllers: frozenset[str]
    """Those of a hierarchy of version 1; none of version 2, which has all."""


def memory_limit(root: Path = _ROOT) -> int | None:
    """Returns the least memory limit in bytes, None without one. `root` is where the file system begins, for tests."""
    limits = []
    for group, is_unified in _groups(root, "memory"):
        with suppress(OSError, ValueError):
            limits.append(int((group / ("memory.max" if is_unified else "memory.limit_in_bytes")).read_text()))
    return min(limits, default=None)


def processor_limit(root: Path = _ROOT) -> float | None:
    """Returns the least processor time per time, such as 1.5 processors, None without a limit."""
    limits = []
    for group, is_unified in _groups(root, "cpu"):
        with suppress(OSError, ValueError):
            if is_unified:
                quota, period = map(int, (group / "cpu.max").read_text().split())
            else:
                quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if quota > 0 and period > 0:
                limits.append(quota / period)
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Yields the directories of this process's groups, up to the root, and whether they are of version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = list(_mounts(root))
    except OSError:
        return  # No Linux, or no /proc.
    for line in lines:
        _, controllers, path = line.split(":", 2)
        is_unified = not controllers
        if not is_unified and controller not in controllers.split(","):
            continue
        for mount in mounts:
            if is_unified != (not mount.controllers) or not (is_unified or controller in mount.controllers):
                continue
            yield from ((group, is_unified) for group in _upwards(mount, PurePosixPath(path)))


def _upwards(mount: _Mount, path: PurePosixPath) -> Iterator[Path]:
    inside = path.relative_to(mount.root) if path.is_relative_to(mount.root) and ".." not in path.parts else None
    group = mount.point / inside if inside is not None else mount.point
    while group != mount.point:
        yield group
        group = group.parent
    yield group


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yields the mounted hierarchies, by /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mounted, filesystem = before.split(" "), after.split(" ")
        if filesystem[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(filesystem[2].split(",")) if filesystem[0] == "cgroup" else frozenset[str]()
        yield _Mount(root / mounted[4].lstrip("/"), PurePosixPath(mounted[3]), controllers)
