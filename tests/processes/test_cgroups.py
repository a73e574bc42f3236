"""Limits of control groups, of both versions, at any level."""

from pathlib import Path

import pytest

from llm_inference_api.processes.cgroups import memory_limit, processor_limit

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
GIB = 1 << 30


def system(root: Path, groups: str, *mounts: str, **files: str) -> Path:
    """Makes a file system with this /proc/self/cgroup, these mounts, and files below /sys/fs/cgroup; `__` is a `/`."""
    contents = {"proc/self/cgroup": groups, "proc/self/mountinfo": "\n".join((*mounts, "1 0 8:1 / / rw - ext4 sda rw"))}
    contents |= {f"sys/fs/cgroup/{name.replace('__', '/')}": text for name, text in files.items()}
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def files(**contents: str) -> dict[str, str]:
    """Returns the files with the dot of their names."""
    return {name.replace("_max", ".max"): text for name, text in contents.items()}


def test_limit_of_version_2_is_found(tmp_path: Path) -> None:
    """In a container, whose own group is the root."""
    root = system(tmp_path, "0::/", V2, **files(memory_max=str(GIB), cpu_max="150000 100000"))
    assert memory_limit(root) == GIB
    assert processor_limit(root) == 1.5


def test_least_limit_up_to_the_root_holds(tmp_path: Path) -> None:
    """A service's group has none of its own, or a larger one than the slice that it is in."""
    limits = files(
        a_slice__memory_max=str(GIB), a_slice__b__memory_max=str(2 * GIB), a_slice__b__c__memory_max="max",
        a_slice__cpu_max="max 100000", a_slice__b__cpu_max="300000 100000", a_slice__b__c__cpu_max="max 100000",
    )  # fmt: skip
    root = system(tmp_path, "0::/a_slice/b/c", V2, **limits)
    assert memory_limit(root) == GIB
    assert processor_limit(root) == 3.0


@pytest.mark.parametrize(
    ("path", "mounted"), [("/docker/a", "/docker/a"), ("/docker/a", "/"), ("/../b", "/"), ("/", "/docker/a")]
)
def test_limit_of_version_1_is_found(tmp_path: Path, path: str, mounted: str) -> None:
    """Each controller has a hierarchy, which a container sees from its own group on, or as a whole."""
    mounts = (
        f"31 23 0:27 {mounted} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        f"32 23 0:28 {mounted} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    )
    below = "docker__a__" if path == "/docker/a" and mounted == "/" else ""
    limits = {
        f"memory__{below}memory.limit_in_bytes": str(GIB // 2),
        f"cpu,cpuacct__{below}cpu.cfs_quota_us": "50000",
        f"cpu,cpuacct__{below}cpu.cfs_period_us": "100000",
    }
    root = system(tmp_path, f"4:memory:{path}\n2:cpu,cpuacct:{path}\n0::/", *mounts, **limits)
    assert memory_limit(root) == GIB // 2
    assert processor_limit(root) == 0.5


def test_no_limit_is_none(tmp_path: Path) -> None:
    """Also where there is no /proc, and where version 1 writes its largest number or -1."""
    assert memory_limit(tmp_path) is None
    assert processor_limit(tmp_path) is None
    root = system(tmp_path, "0::/a", V2, **files(a__memory_max="max", a__cpu_max="max 100000"))
    assert memory_limit(root) is None
    assert processor_limit(root) is None
