"""How many threads this process may really use."""

from __future__ import annotations

import os
from pathlib import Path


def allowed_threads(root: Path = Path("/")) -> int:
    """The threads that computing should use: one a physical core that this process may run on, within its CPU quota.

    `os.cpu_count` counts the machine; in a container that is often far more than is granted, and threads above the
    quota are put to sleep while others wait for them.

    Args:
        root: where ``proc`` and ``sys`` are.

    Returns:
        At least 1.
    """
    cores = physical_cores(root)
    quota = cpu_quota(root)
    return max(1, cores if quota is None else min(cores, int(quota)))


def logical_cpus() -> set[int]:
    """The logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def physical_cores(root: Path = Path("/")) -> int:
    """The cores behind those processors: two threads of one core do not compute faster than one.

    Args:
        root: where ``sys`` is.
    """
    cpus = logical_cpus()
    siblings = (_read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in cpus)
    return len({text or str(cpu) for cpu, text in zip(cpus, siblings, strict=True)})


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The processors that the cgroup grants, version 1 or 2; the tightest of the group and those above it.

    Args:
        root: where ``proc`` and ``sys`` are.

    Returns:
        Processors, maybe a fraction; None where there is no limit.
    """
    quotas: list[float] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = base / path.lstrip("/")
        while True:
            quotas += [quota for quota in [_quota_of(group)] if quota is not None]
            if group == base or base not in group.parents:
                break
            group = group.parent
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    if limit := _read(group / "cpu.max"):
        quota, period = limit.split()
        return None if quota == "max" else int(quota) / int(period)
    quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
