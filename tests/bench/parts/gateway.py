"""What the gateway costs, beside the same HAProxy with an open configuration, and beside an nginx that does the least.

The gateway has the first core to itself. The load is on the last, and so is the origin where there are only two. The
origin is an HAProxy that answers with a text of its own, which takes it less time than any gateway takes.
"""

import os
import re
import shutil
import string
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from shared.app.shared_secret import HEADER
from shared.apps import APPS
from tests.bench.measure import CORES, Load, Round, Started, summary
from tests.bench.results import Front, GatewayRow, Scale, Spread
from tests.bench.run import PROTECTED, RIGHT, SECRET, Bench, Part, first_line
from tests.gateway.runner import HAPROXY, Gateway

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
PATH = f"/falcon{PROTECTED}"  # of every request, also of those that no gateway forwards
CONNECTIONS = (1, 16, 64)
Point = tuple[Front, int]  # and connections
POINTS = [(front, connections) for connections in CONNECTIONS for front in Front]

COMMON = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""
ORIGIN = (  # it also proves that the secret arrives
    COMMON
    + f"""
frontend origin
    bind 127.0.0.1:$port
    http-request deny deny_status 401 unless {{ path /healthz }} or {{ req.hdr({HEADER}) -m str -- {SECRET} }}
    http-request return status 200 content-type application/json string '{{"message":"Access granted"}}'
"""
)
OPEN = (
    COMMON
    + """
frontend open
    bind 127.0.0.1:$port
    default_backend origin
backend origin
    server origin 127.0.0.1:$origin
"""
)
LEAST = f"""
daemon off;
worker_processes 1;
pid nginx.pid;
events {{}}
http {{
    access_log off;
    map_hash_bucket_size 128;
    map $$http_authorization $$consumer {{
        "Bearer $key" acme;
    }}
    upstream origin {{
        server 127.0.0.1:$origin;
        keepalive {max(CONNECTIONS)};
    }}
    server {{
        listen 127.0.0.1:$port;
        location = /healthz {{
            return 200;
        }}
        location / {{
            if ($$consumer = "") {{
                return 401;
            }}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header {HEADER} {SECRET};
            proxy_pass http://origin;
        }}
    }}
}}
"""


class Proxy(Started):
    """HAProxy or nginx, with a configuration of its own; `values` stand for the `$names` in it, beside `$port`."""

    def __init__(self, program: str, template: str, folder: Path, **values: object) -> None:
        self.template, self.values, self.config = string.Template(template), values, folder / "config"
        self.name = Path(program).name
        (log := folder / "log").touch()
        command = [program, "-f", str(self.config)]
        if self.name == "nginx":
            command = [program, "-e", "stderr", "-p", str(folder), "-c", str(self.config)]
        super().__init__(self.name, command, folder, {}, log)

    def listen_on(self, port: int) -> None:
        super().listen_on(port)
        self.config.write_text(self.template.substitute(self.values, port=port))


class Ours(Gateway, Started):
    """The gateway as `make gateway` starts it, on one core, with a limit that no load reaches."""


def fronts(bench: Bench, running: ExitStack) -> dict[Front, tuple[Started, str]]:
    """Start every gateway in front of the same origin; give each with the field that its clients send."""

    def folder() -> Path:
        return Path(tempfile.mkdtemp(dir=bench.folder))

    assert HAPROXY
    origin = Proxy(HAPROXY, ORIGIN, folder())
    origin.cores = CORES[1:2]
    running.enter_context(origin)
    port = origin.address.port
    ours = Ours(folder(), dict.fromkeys(APPS, port))
    ours.send_secret(SECRET)
    key = ours.key()
    started: dict[Front, tuple[Started, str]] = {
        Front.DIRECT: (origin, RIGHT),
        Front.OPEN: (Proxy(HAPROXY, OPEN, folder(), origin=port), RIGHT),
        Front.OURS: (ours, f"Authorization: Bearer {key}"),
    }
    if NGINX:
        started[Front.NGINX] = (Proxy(NGINX, LEAST, folder(), origin=port, key=key), f"Authorization: Bearer {key}")
    for front, (service, _) in started.items():
        if front != Front.DIRECT:
            running.enter_context(service)
    for front in (Front.OURS, Front.NGINX):
        if front in started:
            service = started[front][0]
            Load(service, service.url + PATH, status=401).check()  # it does ask for the key
    return started


def measure_once(bench: Bench) -> dict[Point, list[Round]]:
    """Start every gateway once, and measure every point."""
    with ExitStack() as running:
        started = fronts(bench, running)
        loads = {
            (front, connections): Load(service, service.url + PATH, [field], connections=connections)
            for front, connections in POINTS
            if front in started
            for service, field in [started[front]]
        }
        return bench.rounds(loads, bench.scale.rounds)


def program(front: Front) -> str:
    """Return the name and the version of the program that a gateway, or the origin, is."""
    name, path = ("nginx", NGINX) if front == Front.NGINX else ("HAProxy", HAPROXY)
    found = re.search(r"\d+(\.\d+)+", first_line(str(path), "-v"))
    return f"{name} {found[0]}" if found else name


def measure(bench: Bench) -> Iterator[GatewayRow]:
    """Yield a row for each gateway and number of connections."""
    if not NGINX:
        bench.progress.console.print("nginx is not installed: gateway leaves it out. `apt install nginx-light`")
    heads = ("requests/s", "p50 ms", "p99 ms", "CPU µs", "added p50", "added p99")
    bench.print_row("gateway", "connections", *heads)
    found: dict[Point, list[Round]] = {}
    for _ in range(bench.scale.starts):
        for point, rounds in measure_once(bench).items():
            found.setdefault(point, []).extend(rounds)
    for (front, connections), rounds in found.items():
        pairs = list(zip(found[Front.DIRECT, connections], rounds, strict=True))
        row = GatewayRow(
            front,
            program(front),
            connections,
            summary(rounds),
            added_p50=Spread.of(through.p50 - direct.p50 for direct, through in pairs),
            added_p99=Spread.of(through.p99 - direct.p99 for direct, through in pairs),
        )
        speed = row.speed
        spreads = (speed.rps, speed.p50, speed.p99, speed.cpu, row.added_p50, row.added_p99)
        bench.print_row(front, connections, *(spread.median for spread in spreads))
        yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly."""
    return len(POINTS) * scale.starts * scale.rounds * scale.seconds


PART = Part("gateway", measure, seconds)
