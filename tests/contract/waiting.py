"""Waits that end: at a deadline, or when the run is interrupted."""

import threading
import time
from collections.abc import Callable

from .target import NotCheckedError

interrupted = threading.Event()  # set when nobody waits for results any more


def pause(seconds: float) -> None:
    """Sleep; stop early if the run was interrupted."""
    if interrupted.wait(seconds):
        raise NotCheckedError("It was interrupted.")


def wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Return whether a condition came true within so many seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        pause(0.05)
    return True
