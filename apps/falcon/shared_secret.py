"""Answer only the gateway: decide whether a request carries the secret that the gateway adds to it.

The environment says what is accepted, as text or, with `_FILE` added to the name, by the path of a file that holds it:
    SHARED_SECRET           the secret; without one every request is denied
    SHARED_SECRET_PREVIOUS  also accepted, while the gateway still sends the old one
    SHARED_SECRET_HEADER    the header field that carries it, X-Shared-Secret by default; never from a file
"""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from pathlib import Path
from time import monotonic
from typing import NamedTuple

HEADER = os.environ.get("SHARED_SECRET_HEADER", "").strip() or "X-Shared-Secret"
_VALUE = str, bytes  # either is one value of a header field
_log = logging.getLogger(__name__)
_CONTROLS = bytes({*range(32), 127} - {ord("\t")})  # which no header field can carry (RFC 9110 section 5.5)


class Denial(NamedTuple):
    """The response to a request that is not accepted: status code, message for the body, header fields."""

    status: int
    message: str
    headers: dict[str, str]


NOT_CONFIGURED = Denial(500, "Server configuration error", {"Cache-Control": "no-store"})
_CHALLENGE = {"WWW-Authenticate": 'SharedSecret realm="origin"', "Cache-Control": "no-store"}  # RFC 9110 section 11.6.1
NOT_PROVIDED, INVALID = Denial(401, "No secret provided", _CHALLENGE), Denial(401, "Invalid secret", _CHALLENGE)


class SharedSecret:
    """The secrets that this origin accepts: looked up once a second, and with each request while there is a problem."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ, self._looking = environ, threading.Lock()
        self._accepted, self._problems = (b"", b""), set[str]()  # current and previous secret, replaced together
        self._last_use = self._next_note = 0.0  # of the previous one
        self._look()

    def check(self, value: str | bytes | Sequence[str | bytes] | None) -> Denial | None:
        """Take the header field's value, all its values, or None; return the denial, or None to accept the request."""
        if monotonic() >= self._next_look:
            with self._looking:  # other threads wait: the secrets in memory may be hours old
                if monotonic() >= self._next_look:
                    self._look()
        current, previous = self._accepted
        if not current:
            return NOT_CONFIGURED
        sent = value or b""
        if not isinstance(sent, _VALUE):  # all the values that were sent
            if len(sent) > 1:
                return INVALID
            sent = sent[0]
        if isinstance(sent, str):  # the bytes of the header, decoded as Latin-1 (PEP 3333)
            sent = sent.encode("latin-1", "namereplace")
        if not (sent := sent.strip(b" \t")):
            return NOT_PROVIDED
        # Compare bytes, because text that is not ASCII raises. Compare with every secret, even after a match, and with
        # the client's value second, because the length of the second argument alone sets the time.
        fits = compare_digest(current, sent)
        if previous and compare_digest(previous, sent) and not fits:
            fits = True
            self._note()
        return None if fits else INVALID

    def _note(self) -> None:  # the end of a rotation is safe when nobody has used it for a while
        self._last_use = now = monotonic()
        if now >= self._next_note:
            self._next_note = now + 60
            _log.warning("SHARED_SECRET_PREVIOUS was used: somebody still sends the previous secret.")

    def _look(self) -> None:
        problems, before, self._problems = self._problems, self._accepted, set[str]()
        current = self._read("SHARED_SECRET", before[0])  # first, because a rotation writes the previous one first
        previous = self._read("SHARED_SECRET_PREVIOUS", before[1])
        if not current:
            self._problems.add("No shared secret: SHARED_SECRET, or its SHARED_SECRET_FILE, is empty or missing.")
        for problem in self._problems - problems:
            _log.error(problem)
        if self._last_use and previous != before[1]:
            ago = monotonic() - self._last_use
            _log.warning("SHARED_SECRET_PREVIOUS has changed; what it was before was last used %.1f seconds ago.", ago)
            self._last_use = 0.0
        self._accepted = current, previous
        self._next_look = 0.0 if self._problems else monotonic() + 1

    def _read(self, name: str, before: bytes, again: bool = True) -> bytes:
        path = self._environ.get(name + "_FILE")
        try:
            secret = Path(path).read_bytes() if path else os.fsencode(self._environ.get(name, ""))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError):
            # As if the file were empty. Once more: Kubernetes removes the old folder when it has put a new one there.
            return self._read(name, before, again=False) if again else b""
        except OSError as error:  # says nothing about the file; the path is not logged, it may be a secret by mistake
            self._problems.add(f"Cannot look at {name}_FILE, what was there before still counts: {error.strerror}")
            return before
        secret = secret.removeprefix(b"\xef\xbb\xbf").strip()  # a byte order mark and line ends are no part of it
        if len(secret) <= 8000 and secret == secret.translate(None, _CONTROLS):
            return secret
        self._problems.add(f"{path or name} holds no secret: it is not one line of text of at most 8000 bytes.")
        return b""
