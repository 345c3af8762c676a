"""The garbage collector, kept from looking through a million objects in vain: records that are read, and modules."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector: it walks through all new objects again and again, and finds no cycle in records."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Import without the garbage collector, and leave all that is there by then out of what it looks through later."""
    with gc_paused():
        yield
        gc.freeze()
