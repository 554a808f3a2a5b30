"""The results of the bench: dataclasses, which results.json holds as JSON.

Only the standard library: `make test` reads them in an environment that has no package of the bench.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum, auto
from pathlib import Path
from statistics import median, quantiles
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

FILE = "results.json"
PARTS = (
    "rule",
    "apps",
    "profile",
    "growth",
    "gateway",
    "sizes",
    "replicas",
    "servers",
)  # the fields of Measurements that hold rows
NEED_DOCKER = ("replicas",)  # these have no rows where there is none


@dataclass(frozen=True)
class Spread:
    """The median of some values, and the quartiles below and above it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the spread of some values, rounded to four digits."""
        values = sorted(values)
        low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(*(float(f"{value:.4g}") for value in (median(values), low, high)))


@dataclass(frozen=True)
class Speed:
    """What rounds of load measured: requests per second, latencies in ms, CPU µs per request, requests without answer.

    Every client sends its next request as soon as it has the answer to the last: the latencies are those of a service
    at its limit, and wrk corrects them for the requests that it would have sent meanwhile.
    """

    rps: Spread
    p50: Spread
    p99: Spread
    cpu: Spread
    unanswered: Spread


@dataclass(frozen=True)
class RuleRow:
    """One call of the rule: nanoseconds, and how many times as long as one bare compare_digest."""

    call: str
    ns: Spread
    times_bare: float


class Kind(StrEnum):
    """A kind of request.

    The first four send the right secret: to the app without its check, as shipped, as shipped but for the header in its
    schema, which only FastAPI has, and with the published check. The others go to the app as shipped: without a secret,
    with a wrong one, and for the open path.
    """

    UNCHECKED = auto()
    PROTECTED = auto()
    UNDOCUMENTED = auto()
    PUBLISHED = auto()
    MISSING = auto()
    WRONG = auto()
    OPEN = auto()


@dataclass(frozen=True)
class AppRow:
    """One kind of request to one app; the CPU time without a check, and with the published one, divided by its own."""

    app: str
    kind: Kind
    speed: Speed
    of_unchecked: Spread
    of_published: Spread | None = None  # in older results


@dataclass(frozen=True)
class ProfileRow:
    """One function: how often it is called more, and its percentage of the time that is spent more."""

    function: str
    calls: float
    share: float


class Via(StrEnum):
    """How requests reach an app."""

    DIRECT = auto()
    GATEWAY = auto()


@dataclass(frozen=True)
class GrowthRow:
    """One app with so many workers, on so many connections."""

    app: str
    workers: int
    connections: int
    via: Via
    speed: Speed


@dataclass(frozen=True)
class SizeRow:
    """One app: seconds to its first 200; MB of a worker, of its environment, and of its image if that was built.

    `base` names what the image was built on, as Docker knows it.
    """

    app: str
    start: Spread
    worker: float
    environment: float
    image: float | None
    base: str = ""


@dataclass(frozen=True)
class ServerRow:
    """One app on one server: its speed without an access log, and how the contract went, with one.

    `failed` are the required cases that failed, with their problems; `not_checked` are required cases too, without
    those for HTTP/2 on a server that does not speak it.
    """

    app: str
    server: str
    interface: str
    shipped: bool
    speed: Speed
    passed: int
    wire_passed: int
    wire_cases: int
    failed: dict[str, list[str]]
    failed_recommended: dict[str, list[str]]
    not_checked: list[str]
    life_passed: int = 0
    life_cases: int = 0


class Front(StrEnum):
    """What stands in front of an origin: nothing, an open HAProxy, the gateway, or an nginx that does the least."""

    DIRECT = "no gateway"
    OPEN = "HAProxy, open"
    OURS = "this gateway"
    NGINX = "nginx"


@dataclass(frozen=True)
class GatewayRow:
    """One gateway, and the program that it is, on so many connections; the CPU time is the gateway's alone.

    What it adds to p50 and p99, in ms, is compared with no gateway in the same round. Without a gateway, program and
    CPU time are the origin's.
    """

    front: Front
    program: str
    connections: int
    speed: Speed
    added_p50: Spread
    added_p99: Spread


@dataclass(frozen=True)
class ReplicaRow:
    """One app with so many replicas behind the gateway, in Docker; the CPU time is that of the whole machine."""

    app: str
    replicas: int
    speed: Speed


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    seconds: float  # of a round
    rounds: int
    starts: int  # of each app, with as many rounds each: two processes of the same code are not equally fast
    groups: list[str]  # of the contract
    processes: int  # of pyperf
    values: int  # of each of them
    images: bool  # are built, to measure their size
    contract_seconds: float  # of a run of the contract, roughly, to estimate the time that is left


@dataclass(frozen=True)
class Machine:
    """Where it was measured, and with which versions."""

    cpu: str
    cores: int | None
    pinned: bool  # to cores
    system: str
    wrk: str
    haproxy: str
    versions: dict[str, str]
    commit: str = ""  # "abc1234", or "abc1234 and changes"


@dataclass
class Measurements:
    """One run, with the rows of each part that is finished."""

    made: str
    scale: Scale
    machine: Machine
    rule: list[RuleRow] = field(default_factory=list)
    apps: list[AppRow] = field(default_factory=list)
    profile: list[ProfileRow] = field(default_factory=list)
    growth: list[GrowthRow] = field(default_factory=list)
    gateway: list[GatewayRow] = field(default_factory=list)
    sizes: list[SizeRow] = field(default_factory=list)
    replicas: list[ReplicaRow] = field(default_factory=list)
    servers: list[ServerRow] = field(default_factory=list)

    def finished(self) -> list[str]:
        """Return the parts that have rows."""
        return [part for part in PARTS if getattr(self, part)]

    def digest(self) -> str:
        """Return a hash of these results; a chart names the one it was drawn from."""
        return digest(asdict(self))

    def write(self, path: Path) -> None:
        """Write them to a file, as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the results that a file holds, without kinds of requests that are no longer measured."""
        data = json.loads(path.read_text())
        data["apps"] = [row for row in data["apps"] if row["kind"] in list(Kind)]
        found: Self = from_json(cls, data)
        return found


def digest(data: Any) -> str:
    """Return a hash of JSON."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def from_json(kind: Any, value: Any) -> Any:
    """Return a value out of JSON as what it was before: a dataclass, a list of them, or as it is.

    A field that older results lack has its default.
    """
    if get_origin(kind) is UnionType and value is not None:  # `X | None`
        kind = get_args(kind)[0]
    if isinstance(kind, type) and is_dataclass(kind):
        types = get_type_hints(kind)
        names = [field.name for field in fields(kind) if field.name in value]
        return kind(**{name: from_json(types[name], value[name]) for name in names})
    if get_origin(kind) is list:
        return [from_json(get_args(kind)[0], item) for item in value]
    return kind(value) if isinstance(kind, type) and issubclass(kind, StrEnum) else value
