"""Two apps behind the gateway of `make up`, with one to four replicas; without Docker there are no rows.

The load comes through the port that Docker publishes. It is on the last core; the containers may use every core.
"""

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.bench.measure import Load, Round, Started, summary
from tests.bench.parts.sizes import docker
from tests.bench.results import ReplicaRow, Scale
from tests.bench.run import PROTECTED, Bench, Part
from tests.bench.variants import BenchError
from tests.checkout import DEADLINE
from tests.contract.waiting import wait_until
from tests.gateway.stack import Stack
from tests.processes import end, spawn

MEASURED = ("falcon", "fastapi")
REPLICAS = (1, 2, 3, 4)
CONNECTIONS = 16
SETTINGS = ("RATE=1000000", "PER_ADDRESS=1000")  # limits that no load reaches
SCALING = 5.0  # seconds, roughly
METRICS = r"exec 3<>/dev/tcp/127.0.0.1/9101; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3"


class Published(Started):
    """What a stack publishes; its CPU time is that of the whole machine, because no process here has its containers."""

    def __init__(self, stack: Stack) -> None:
        self.name, self.stack = "the stack", stack

    def cpu(self) -> float:
        times = psutil.cpu_times()._asdict()
        unused = ("idle", "iowait", "guest", "guest_nice")  # user and nice have the guests' too
        return float(sum(spent for name, spent in times.items() if name not in unused))

    def tail(self) -> str:
        return self.stack.compose("logs", "--tail", "20")


def run(stack: Stack, *words: str) -> str:
    """Run a command in a stack's folder and return what it prints; an interruption ends all that belongs to it."""
    process = spawn(list(words), stack.folder, stack.environ, subprocess.PIPE, subprocess.STDOUT)
    try:
        printed = process.communicate(timeout=DEADLINE)[0].decode()
    finally:
        end(process)
    if process.returncode:
        raise BenchError(f"{' '.join(words)} failed:\n{printed}")
    return printed


@contextmanager
def up(folder: Path) -> Iterator[Stack]:
    """Run `make up` in a copy of the repository; remove all that it has made in Docker afterwards."""
    stack = Stack(folder)
    run(stack, "make", "setup")  # without its files, Compose cannot remove anything either
    try:
        printed = run(stack, "make", "up", f"GATEWAY_PORT={stack.address.port}", *SETTINGS)
        stack.key = re.findall(r"\bogk_[\w-]{43}\b", printed)[0]
        yield stack
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave it there
        stack.remove()
        signal.signal(signal.SIGINT, before)


def has_docker() -> bool:
    """Return whether a Docker engine answers, and there is Compose."""
    try:
        return bool(docker("info") and docker("compose", "version"))
    except BenchError:
        return False


def scale_to(stack: Stack, app: str, count: int) -> None:
    """Run as many replicas of an app, and wait until the gateway sends requests to them and to no other."""
    run(stack, "docker", "compose", "up", "--detach", "--no-recreate", "--no-deps", "--scale", f"{app}={count}", app)

    def is_over() -> bool:
        metrics = run(stack, "docker", "compose", "exec", "-T", "gateway", "bash", "-c", METRICS)
        return len(re.findall(rf'haproxy_server_status\{{proxy="{app}",.*state="UP"\}} 1', metrics)) == count

    if not wait_until(is_over, DEADLINE / 10):
        raise BenchError(f"The gateway does not find {count} replicas of {app}.")


def measure_app(bench: Bench, stack: Stack, app: str) -> dict[int, list[Round]]:
    """Measure an app with every number of replicas, in turn, and again."""
    load = Load(
        Published(stack),
        f"{stack.url}/{app}{PROTECTED}",
        [f"Authorization: Bearer {stack.key}"],
        connections=CONNECTIONS,
    )
    found: dict[int, list[Round]] = {count: [] for count in REPLICAS}
    for _ in range(bench.scale.starts):
        for count in REPLICAS:
            scale_to(stack, app, count)
            found[count] += bench.rounds({count: load}, bench.scale.rounds)[count]
            bench.advance(SCALING)
    scale_to(stack, app, 1)
    return found


def measure(bench: Bench) -> Iterator[ReplicaRow]:
    """Yield a row for each app and number of replicas."""
    if not has_docker():
        bench.progress.console.print("No Docker engine with Compose answers: replicas is left out.")
        return
    bench.print_row("app", "replicas", "requests/s", "p50 ms", "p99 ms", "CPU µs", "no answer")
    with up(Path(tempfile.mkdtemp(dir=bench.folder))) as stack:
        for app in MEASURED:
            for count, rounds in measure_app(bench, stack, app).items():
                row = ReplicaRow(app, count, summary(rounds))
                speed = row.speed
                spreads = (speed.rps, speed.p50, speed.p99, speed.cpu)
                bench.print_row(
                    app, count, *(spread.median for spread in spreads), sum(one.unanswered for one in rounds)
                )
                yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly; building images is not in it."""
    return len(MEASURED) * len(REPLICAS) * scale.starts * (scale.rounds * scale.seconds + SCALING)


PART = Part("replicas", measure, seconds)
