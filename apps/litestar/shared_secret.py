"""Answer only the gateway: decide whether a request carries the secret that the gateway adds to it.

What is accepted comes from the environment, as text or, with `_FILE` added to the name, from a file:

    SHARED_SECRET           the secret; without one every request is denied
    SHARED_SECRET_PREVIOUS  also accepted, while the gateway still sends the old one
"""

import hmac
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HEADER = "X-Shared-Secret"


class Denial(NamedTuple):
    """The response to a request that is not accepted: status code, message for the body, header fields."""

    status: int
    message: str
    headers: dict[str, str]


_NO_STORE = {"Cache-Control": "no-store"}
_CHALLENGE = {"WWW-Authenticate": 'SharedSecret realm="origin"', **_NO_STORE}  # RFC 9110 section 11.6.1
NOT_CONFIGURED = Denial(500, "Server configuration error", _NO_STORE)
NOT_PROVIDED = Denial(401, "No secret provided", _CHALLENGE)
INVALID = Denial(401, "Invalid secret", _CHALLENGE)


class SharedSecret:
    """The secrets that this origin accepts; files are read again once a second."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._accepted: list[bytes] | None = None
        self._looking = threading.Lock()
        self._look()

    def check(self, values: Sequence[bytes]) -> Denial | None:
        """Take the value of every `X-Shared-Secret` field in a request; return the denial, or None to accept it."""
        if time.monotonic() >= self._next_look:
            with self._looking:  # other threads wait: the secrets in memory may be hours old
                if time.monotonic() >= self._next_look:
                    self._look()
        accepted = self._accepted
        if not accepted:
            return NOT_CONFIGURED
        if len(values) > 1:
            return INVALID
        value = values[0].strip(b" \t") if values else b""
        if not value:
            return NOT_PROVIDED
        # Compare bytes, because text that is not ASCII raises. Compare with every secret, even after a match, and with
        # the client's value second, because the length of the second argument alone sets the time.
        fits = False
        for secret in accepted:
            fits |= hmac.compare_digest(secret, value)
        return None if fits else INVALID

    def _look(self) -> None:
        # Read the current secret first: a rotation writes the previous one before it.
        current, previous = self._read("SHARED_SECRET"), self._read("SHARED_SECRET_PREVIOUS")
        accepted = [secret for secret in (current, previous) if secret] if current else []
        if not accepted and self._accepted != []:
            logging.getLogger(__name__).error(
                "No shared secret: set SHARED_SECRET, or SHARED_SECRET_FILE to the path of a readable file "
                "that holds it. Until then requests are answered 500."
            )
        self._accepted = accepted
        self._next_look = time.monotonic() + 1

    def _read(self, name: str) -> bytes:
        try:
            path = self._environ.get(name + "_FILE")
            secret = Path(path).read_bytes() if path else os.fsencode(self._environ.get(name, ""))
        except (OSError, ValueError):  # missing, unreadable or not a path
            return b""
        return secret.strip()
