"""The same over HTTP/2, where it is spoken."""

from collections.abc import Callable
from functools import cache

from ..case import ENOUGH, Case, Exchange, Finding, Requirement, Trial, is_elsewhere_open, more
from ..http1 import NO_ANSWER, request
from ..http2 import UPGRADE, NotSpokenError, ResetError, converted, exchange, upgraded
from ..messages import REJECTED, RIGHT, protected
from ..target import NotCheckedError, Target
from . import auth, deny, open, wire

SAME = Requirement(
    "Over HTTP/2 everything is answered as it is over HTTP/1.1.",
    "RFC 9113 sections 8.2 and 8.3; RFC 9110 section 2.5",
    "Put the check where the requests of every version pass: behind the server, ahead of routing.",
)
UPGRADED = Requirement(
    "A request that asks for a change to HTTP/2 is checked too, before the change or after it.",
    "RFC 9113 section 3.1; CWE-444",
    "Turn off the change from HTTP/1.1 to HTTP/2 (`Upgrade: h2c`), or let the check see what is asked after it.",
)


@cache
def speaks(target: Target) -> bool:
    """Return whether a service speaks HTTP/2: over TLS if it chooses it there, else from the first byte on."""
    try:
        ask(target, protected(RIGHT))
    except ResetError:
        return True
    except (NotSpokenError, *NO_ANSWER):
        return False
    return True


def ask(target: Target, sent: bytes) -> int:
    """Return the status code that a request gets over HTTP/2; raises as http2.exchange does."""
    address = target.instance("configured").address
    found = converted(target.fill(sent, address), b"https" if address.tls else b"http")
    if found is None:
        raise NotCheckedError("It has no meaning in HTTP/2.")
    return exchange(address, *found, target.deadline).status


def over_http2(cases: list[Case]) -> Callable[[Target], Finding]:
    """Return the trial that asks what other cases require, over HTTP/2, and looks at the status codes."""

    def trial(target: Target) -> Finding:
        if not speaks(target):
            raise NotCheckedError("It does not speak HTTP/2.")
        problems: list[str] = []
        asked = 0
        for case in cases:
            if not isinstance(case, Exchange) or case.requirement.level != "required" or case.state != "configured":
                continue
            if is_elsewhere_open(target, case.sent):
                continue
            wanted = case.expected.on(target)
            try:
                status: int | str = ask(target, case.sent)
            except NotCheckedError:
                continue
            except ResetError as error:
                status = "" if 400 in wanted.status else f"the stream is reset, {error}"
            except NO_ANSWER as error:
                status = f"no answer, {error!r}"
            asked += 1
            if status and status not in wanted.status:
                problems.append(f"{case.name}: {status}, not {wanted.label}")
        return Finding(problems[:ENOUGH] + more(problems), f"{asked} requests were sent")

    return trial


def upgrade(target: Target) -> Finding:
    """Ask for the change without the secret, and look at what is answered, after the change if it comes."""
    address = target.instance("configured").address
    sent = request("<protected>", UPGRADE[0], b"HTTP2-Settings: %s", connection=UPGRADE[1])
    try:
        status, after = upgraded(address, target.fill(sent, address), target.deadline)
    except ResetError as error:
        return Finding([], f"after the change the stream is reset, {error}")
    seen = f"{'after the change ' if after else ''}it is answered {status}"
    return Finding([] if status in REJECTED.on(target).status else [seen], seen)


CASES: list[Case] = [
    Trial("http2/open", SAME, "each request of the group `open`, over HTTP/2", over_http2(open.CASES)),
    Trial("http2/auth", SAME, "each request of the group `auth`, over HTTP/2", over_http2(auth.CASES)),
    Trial("http2/deny", SAME, "each request of the group `deny`, over HTTP/2", over_http2(deny.CASES)),
    Trial("http2/wire", SAME, "each request of the group `wire` that HTTP/2 has, too", over_http2(wire.CASES)),
    Trial("http2/upgrade", UPGRADED, "GET <protected>, Upgrade: h2c, without the secret", upgrade),
]
