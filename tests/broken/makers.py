"""Makers of broken services: each returns a class with one defect, which its arguments describe."""

import asyncio
from collections.abc import Callable

from tests.broken.service import HEADER, CarefulService, Refused, Request


def fails_at(seen: Callable[[Request], object]) -> type[CarefulService]:
    """Make a service that raises at some requests, before the check."""

    class Fails(CarefulService):
        def before(self, request: Request) -> None:
            if seen(request):
                raise ValueError("unexpected")

    return Fails


def accepts(seen: Callable[[Request], object]) -> type[CarefulService]:
    """Make a service that does not check some requests."""

    class Accepts(CarefulService):
        def is_open(self, request: Request) -> bool:
            return bool(seen(request)) or super().is_open(request)

        def route(self, request: Request) -> dict[str, str]:
            return {"status": "ok"} if seen(request) else super().route(request)

    return Accepts


def presented(find: Callable[[Request], bytes]) -> type[CarefulService]:
    """Make a service that takes the secret from another place too."""

    class Elsewhere(CarefulService):
        def values(self, request: Request) -> list[bytes]:
            return super().values(request) or [find(request)]

    return Elsewhere


def presented_in_body(find: Callable[[bytes], bytes]) -> type[CarefulService]:
    """Make a service that takes the secret from a body too, if there is nothing in its field."""

    class InBody(CarefulService):
        async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
            if request.get(b"content-length").isdigit() and not request.all(HEADER):
                body = await reader.readexactly(int(request.get(b"content-length")))
                request.fields.append((HEADER, find(body)))

    return InBody


def opens(is_open: Callable[[str], bool]) -> type[CarefulService]:
    """Make a service that opens more paths, all answered as the open path is."""

    class Wide(CarefulService):
        def is_open(self, request: Request) -> bool:
            return request.method == "GET" and is_open(request.path)

        def route(self, request: Request) -> dict[str, str]:
            return {"status": "ok"} if self.is_open(request) else super().route(request)

    return Wide


def compares(fits: Callable[[bytes, bytes], bool]) -> type[CarefulService]:
    """Make a service that compares in another way."""

    class Compares(CarefulService):
        def fits(self, secret: bytes, value: bytes) -> bool:
            return fits(secret, value)

    return Compares


def picks(pick: Callable[[list[bytes]], bytes]) -> type[CarefulService]:
    """Make a service that takes one of several values."""

    class Picks(CarefulService):
        def values(self, request: Request) -> list[bytes]:
            return [pick(request.all(HEADER))] if request.all(HEADER) else []

    return Picks


def folds(pick: Callable[[list[bytes]], bytes]) -> type[CarefulService]:
    """Make a service that reads an underscore as a dash, and takes one of the values that it then finds."""

    class Folds(CarefulService):
        def values(self, request: Request) -> list[bytes]:
            found = [value for name, value in request.fields if name.replace(b"_", b"-") == HEADER]
            return [pick(found)] if found else []

    return Folds


def reads(change: Callable[[bytes], bytes]) -> type[CarefulService]:
    """Make a service with a lenient parser, which changes a header section before it reads it."""

    class Lenient(CarefulService):
        def parse(self, head: bytes) -> Request:
            return super().parse(change(head))

    return Lenient


def answers(change: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]]) -> type[CarefulService]:
    """Make a service that refuses in another form."""

    class Answers(CarefulService):
        def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
            return change(*super().form(error))

    return Answers


def splits(pick: Callable[[list[bytes]], bytes]) -> type[CarefulService]:
    """Make a service that takes one of several values with commas between them."""

    class Splits(CarefulService):
        def values(self, request: Request) -> list[bytes]:
            return [pick(value.split(b",")).strip() for value in super().values(request)]

    return Splits


def both(one: type[CarefulService], other: type[CarefulService]) -> type[CarefulService]:
    """Make a service that is wrong in two ways, of which each alone would do no harm."""
    return type("Both", (one, other), {})


def silent_above(size: int) -> type[CarefulService]:
    """Make a service that hangs up on a header section of some size."""

    class HangsUp(CarefulService):
        limit = 10_000_000

        def parse(self, head: bytes) -> Request:
            if len(head) > size:
                raise ConnectionError
            return super().parse(head)

    return HangsUp


def limited(size: int) -> type[CarefulService]:
    """Make a service that takes a header section of some size."""
    return type("Limited", (CarefulService,), {"limit": size})


def without(*names: str) -> type[CarefulService]:
    """Make a service that leaves out header fields."""
    return answers(lambda fields, body: ({name: v for name, v in fields.items() if name not in names}, body))


def saying(body: bytes, kind: str = "application/json") -> type[CarefulService]:
    """Make a service that refuses with another body."""
    return answers(lambda fields, _: ({**fields, "Content-Type": kind}, body))
