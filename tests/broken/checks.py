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


class HasADefault(CarefulService):
    def secret(self, name: str) -> bytes:
        return super().secret(name) or {"SHARED_SECRET": b"changeme"}.get(name, b"")


class ComparesWithNothing(CarefulService):
    """What is not configured turns into the word for it."""

    def secret(self, name: str) -> bytes:
        return super().secret(name) or {"SHARED_SECRET": b"undefined"}.get(name, b"")


class LooksElsewhereFirst(CarefulService):
    """Refuses another field before it looks at its configuration."""

    def check(self, request: Request) -> None:
        if request.all(b"authorization"):
            raise Refused(401, "Invalid secret")
        super().check(request)


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


class SetsACookie(CarefulService):
    """Remembers in a cookie who was accepted."""

    def is_open(self, request: Request) -> bool:
        return request.get(b"cookie") == b"accepted=1" or super().is_open(request)

    def route(self, request: Request) -> dict[str, str]:
        answer = super().route(request)
        raise Refused(200, answer.get("message", "ok"), **{"Set-Cookie": "accepted=1; HttpOnly"})


class SaysWhatIsWrong(CarefulService):
    def fits(self, secret: bytes, value: bytes) -> bool:
        if len(value) != len(secret):
            raise Refused(401, "Invalid secret: wrong length")
        return super().fits(secret, value)


class ShowsFields(CarefulService):
    """Has a page that shows the header fields of a request."""

    def route(self, request: Request) -> dict[str, str]:
        return {"fields": str(request.fields)} if request.path == "/headers" else super().route(request)


class TellsTheSecret(CarefulService):
    def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
        fields, _ = super().form(error)
        return fields, json.dumps({"error": error.args[0], "expected": self.environ.get("SHARED_SECRET")}).encode()


class GoesOnAfterRefusing(CarefulService):
    def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
        fields, body = super().form(error)
        return fields, body + json.dumps({"message": "Access granted"}).encode()


class OpensByAnotherMethod(CarefulService):
    """Takes the method from a form or a query."""

    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        form = await reader.readexactly(int(request.get(b"content-length") or 0))
        if b"_method=GET" in form or "_method=GET" in request.target:
            request.method = "GET"


class RemembersTheAddress(CarefulService):
    """Who was accepted once is accepted from then on."""

    known = False

    def check(self, request: Request) -> None:
        if not self.known:
            super().check(request)
            self.known = True


class GivesUp(CarefulService):
    """Lets everything pass after too many failures."""

    failures = 0

    def check(self, request: Request) -> None:
        try:
            super().check(request)
        except Refused:
            self.failures += 1
            if self.failures < 20:
                raise


class KeepsTheSecretInAGlobal(CarefulService):
    latest: list[bytes] = []

    async def answer(self, request: Request) -> dict[str, str]:
        self.latest = request.all(HEADER)
        await asyncio.sleep(0.002)  # as a service does that waits for a database
        return await super().answer(request)

    def values(self, request: Request) -> list[bytes]:
        return self.latest


class ClosedOverHttp2(CarefulService):
    def is_open(self, request: Request) -> bool:
        return request.version != "HTTP/2" and super().is_open(request)
