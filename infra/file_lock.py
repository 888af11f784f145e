"""Advisory locks on files. The kernel drops a lock with its last holder, so kill -9 leaves nothing stale."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.02


def open_lock_file(path: Path) -> int:
    """Open (or make) a lock file and return its descriptor; closing the descriptor drops its lock.

    Made by root in a folder of somebody else, it belongs to that other, who can then still open it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor


def try_exclusive(descriptor: int) -> bool:
    """Take the lock alone, without waiting; False when anybody else holds it, shared or alone."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share(descriptor: int) -> None:
    """Take the lock together with others."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def exclusive(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock alone. Raises TimeoutError when it is not to be had within `seconds`."""
    descriptor = open_lock_file(path)
    try:
        deadline = time.monotonic() + seconds
        while not try_exclusive(descriptor):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} has been locked by another process for {seconds:g} s.")
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
