"""Work that makes a great many objects, and no cycles among them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let Python not look for cycles meanwhile: over events and rows by the ten thousand that takes half of all time.

    They are freed as ever, when nothing refers to them any more. Leave the block when they are: Python looks through
    all that are still there.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
