"""Services with a defect in the check: in what they accept, before what, and what they answer."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path

from tests.broken.service import HEADER, CarefulService, Refused, Request
from tests.contract.target import Target


class ChecksTheOpenPath(CarefulService):
    def is_open(self, request: Request) -> bool:
        return super().is_open(request) and not request.all(HEADER)


class OpenPathNeedsASecret(CarefulService):
    def is_open(self, request: Request) -> bool:
        return bool(self.accepted()) and super().is_open(request)


class NothingIsOpen(CarefulService):
    def is_open(self, request: Request) -> bool:
        return False


class OtherBodies(CarefulService):
    def route(self, request: Request) -> dict[str, str]:
        return {"ok": "yes"}


class RefusesWhenUnconfigured(CarefulService):
    def check(self, request: Request) -> None:
        if not self.accepted():
            raise Refused(401, "Invalid secret")
        super().check(request)


class DoesNotStrip(CarefulService):
    """An empty or blank secret is one."""

    def accepted(self) -> list[bytes]:
        return [os.fsencode(self.environ[name]) for name in ("SHARED_SECRET",) if name in self.environ]

    def check(self, request: Request) -> None:
        if request.get(HEADER) not in [secret.strip(b" \t\n") for secret in self.accepted()]:
            raise Refused(401, "Invalid secret")


class FallsBackToTheVariable(CarefulService):
    def secret(self, name: str) -> bytes:
        return super().secret(name) or os.fsencode(self.environ.get(name, ""))


class PreviousIsEnough(CarefulService):
    def accepted(self) -> list[bytes]:
        return [secret for secret in map(self.secret, ("SHARED_SECRET", "SHARED_SECRET_PREVIOUS")) if secret]


class HeaderFirst(CarefulService):
    """Looks at the header before it looks at its configuration."""

    def check(self, request: Request) -> None:
        if len(request.all(HEADER)) != 1 or not request.get(HEADER).isascii() or not request.get(HEADER):
            raise Refused(401, "No secret provided")
        super().check(request)


class RoutesFirst(CarefulService):
    """Answers 404 and 405 before 401."""

    def before(self, request: Request) -> None:
        self.route(request)


class LooksAtTheWholeTarget(CarefulService):
    def is_open(self, request: Request) -> bool:
        return request.target == "/healthz"

    def route(self, request: Request) -> dict[str, str]:
        request.target = request.target.replace("?", "/")
        return super().route(request)


class AcceptsAMissingHeader(CarefulService):
    """`if header and header != secret`."""

    def check(self, request: Request) -> None:
        if request.get(HEADER):
            super().check(request)


class TextComparison(CarefulService):
    def values(self, request: Request) -> list[bytes]:
        return [value.decode("ascii").encode() for value in super().values(request)]


class LossyText(CarefulService):
    def values(self, request: Request) -> list[bytes]:
        return [value.decode("utf-8", "ignore").encode() for value in super().values(request)]


class RemembersTheOldSecret(CarefulService):
    def accepted(self) -> list[bytes]:
        return [*super().accepted(), Target.previous.encode()]


class ForgetsTheOldSecret(CarefulService):
    def accepted(self) -> list[bytes]:
        return super().accepted()[:1]


class StaysWithTheOldSecret(CarefulService):
    def accepted(self) -> list[bytes]:
        return super().accepted()[-1:]


class RemembersTheConnection(CarefulService):
    """The task is the connection: what was accepted once is accepted from then on."""

    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        super().__init__(environ, folder, slow)
        self.known: set[object] = set()

    def check(self, request: Request) -> None:
        if asyncio.current_task() not in self.known:
            super().check(request)
            self.known.add(asyncio.current_task())


class Overridden(CarefulService):
    """Takes method and path from header fields."""

    def before(self, request: Request) -> None:
        for name in (b"x-original-url", b"x-rewrite-url", b"x-forwarded-prefix", b"path_info"):
            request.target = (request.get(name) or request.target.encode("latin-1")).decode("latin-1")
        request.method = (request.get(b"x-http-method-override") or request.method.encode()).decode()


class RoutedByHeader(CarefulService):
    def route(self, request: Request) -> dict[str, str]:
        request.target = (request.get(b"x-original-url") or request.target.encode()).decode("latin-1")
        return super().route(request)


class AsksBrowsersToLogIn(CarefulService):
    def before(self, request: Request) -> None:
        if b"text/html" in request.get(b"accept") and not request.all(HEADER):
            raise Refused(302, Location="/login")


class FindsEverything(CarefulService):
    def route(self, request: Request) -> dict[str, str]:
        return {"message": "Access granted"}


class TellsTheSecret(CarefulService):
    def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
        fields, _ = super().form(error)
        return fields, json.dumps({"error": error.args[0], "expected": self.environ.get("SHARED_SECRET")}).encode()
