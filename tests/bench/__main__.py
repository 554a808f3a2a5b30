"""Measure what the check costs and what each server does with a header, and write that to a folder: `make bench`."""

import argparse
import json
import os
import platform
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import psutil
import pyperf
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from shared.apps import APPS, ROOT
from tests.bench import charts, rule
from tests.bench.measure import CORES, FIRST, LAST, OTHERS, Load, Round, Started, pinned, spread, summary
from tests.bench.variants import PASTED, WITHOUT, BenchError, Edits, Server, copy, servers
from tests.contract import supervised, waiting
from tests.contract.case import Result
from tests.contract.groups import CASES
from tests.contract.target import STATES, Instance, Target, environ
from tests.gateway.runner import HAPROXY, Gateway
from tests.processes import end, end_all, spawn

Row = dict[str, Any]
Key = TypeVar("Key")
HERE = Path(sys.executable).parent  # every framework and every server is installed there
SECRET, PREVIOUS = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
RIGHT, WRONG = (f"X-Shared-Secret: {value}" for value in (SECRET, secrets.token_urlsafe(32)))
CONFIGURED = {"SHARED_SECRET": SECRET}
PROTECTED, OPEN = "/protected", "/healthz"
GROWTH = [(workers, connections) for workers in (1, 2) for connections in (1, 16, 256)]
PACKAGES = (
    *APPS,
    "gunicorn",
    "gevent",
    "uvicorn",
    "uvloop",
    "httptools",
    "granian",
    "hypercorn",
    "waitress",
    "cheroot",
)


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    seconds: float  # of a round
    rounds: int
    starts: int  # of each app, with as many rounds each: two processes of the same code are not equally fast
    groups: tuple[str, ...]  # of the contract
    pyperf: tuple[int, int]  # processes, and values of each
    images: bool  # are built, to see their size
    contract: float  # seconds that it takes, about, for the time that is left


FULL = Scale(1.0, 3, 4, tuple(dict.fromkeys(case.group for case in CASES)), (15, 3), True, 8.0)
QUICK = Scale(0.5, 1, 1, ("wire",), (2, 1), False, 1.0)


class Bench:
    """One run: what it has measured so far, a folder for what it starts, and how far it is."""

    def __init__(self, scale: Scale, folder: Path, progress: Progress, parts: Sequence[str]) -> None:
        self.scale, self.folder, self.progress = scale, folder, progress
        self.task = progress.add_task("", total=sum(STEPS[part](scale) for part in parts))

    def tell(self, *cells: object) -> None:
        """Print a row of a table."""
        told = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
        line = "".join(f"{cell:<22}" if number < 2 else f"{cell:>13}" for number, cell in enumerate(told))
        self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def done(self, steps: float = 1) -> None:
        """Count steps, which are about a second each, as done."""
        self.progress.advance(self.task, steps)

    def service(
        self,
        app: str,
        command: list[str],
        config: Mapping[str, str],
        edits: Edits | None = None,
        *,
        quiet: bool = False,
        state: str = "",
        programs: Path | None = None,
        cores: Sequence[int] = FIRST,
    ) -> Started:
        """Return a service in a folder of its own, not started."""
        folder = Path(tempfile.mkdtemp(prefix=f"{app}-", dir=self.folder))
        (folder / "log").touch()
        home = copy(app, folder, edits=edits or {}, quiet=quiet, state=state)
        service = Started(app, command, home, config, folder / "log", programs)
        service.cores = cores
        return service

    def rounds(self, loads: Mapping[Key, Load], rounds: int) -> dict[Key, list[Round]]:
        """Measure some loads in turn, and then again, so that what disturbs the machine disturbs all of them."""
        found: dict[Key, list[Round]] = {name: [] for name in loads}
        for load in loads.values():
            load.check()
            load.round(0.3)  # the first requests take longer
        for _ in range(rounds):
            for name, load in loads.items():
                found[name].append(load.round(self.scale.seconds))
                self.done(self.scale.seconds)
        return found


def measure_rule(bench: Bench) -> Iterator[Row]:
    """The rule alone: nanoseconds of a call, and how often one bare compare_digest fits into that."""
    output = bench.folder / "rule.json"
    processes, values = bench.scale.pyperf
    command = [
        sys.executable,
        "-m",
        rule.__name__,
        "--quiet",
        f"--processes={processes}",
        f"--values={values}",
        "--warmups=1",
    ]
    command += [f"--output={output}"]
    command += [f"--affinity={core}" for core in FIRST]
    with pinned(FIRST):
        pyperf_run = spawn(command, ROOT, os.environ, subprocess.PIPE, subprocess.STDOUT)
    try:
        told = pyperf_run.communicate()[0].decode()
    finally:
        end(pyperf_run)
    if pyperf_run.returncode:
        raise BenchError(f"The rule could not be timed:\n{told}")
    bench.done(STEPS["rule"](bench.scale))
    found = {each.get_name(): each.get_values() for each in pyperf.BenchmarkSuite.load(str(output)).get_benchmarks()}
    bare = median(found[rule.BARE])
    bench.tell("rule", "", "ns", "times bare")
    for name, seconds in found.items():
        row: Row = {"what": name, "ns": spread(value * 1e9 for value in seconds), "times": median(seconds) / bare}
        bench.tell("", name, row["ns"]["median"], row["times"])
        yield row


def measure_apps(bench: Bench) -> Iterator[Row]:
    """Every app as it is shipped, on one worker: let in, refused, open; without a check, and with the pasted one."""
    bench.tell("app", "request", "requests/s", "p50 ms", "p99 ms", "CPU µs", "of unchecked")
    for app in APPS:
        start = APPS[app].command
        found: dict[str, list[Round]] = {}
        for _ in range(bench.scale.starts):
            with ExitStack() as running:
                shipped, unchecked, pasted = (
                    running.enter_context(bench.service(app, start, CONFIGURED, {"app.py": edits}))
                    for edits in ([], WITHOUT[app], WITHOUT[app] + PASTED[app])
                )
                loads = {
                    "unchecked": Load(unchecked, unchecked.url + PROTECTED, [RIGHT]),
                    "protected": Load(shipped, shipped.url + PROTECTED, [RIGHT]),
                    "pasted": Load(pasted, pasted.url + PROTECTED, [RIGHT]),
                    "missing": Load(shipped, shipped.url + PROTECTED, status=401),
                    "wrong": Load(shipped, shipped.url + PROTECTED, [WRONG], status=401),
                    "open": Load(shipped, shipped.url + OPEN),
                }
                for what, rounds in bench.rounds(loads, bench.scale.rounds).items():
                    found.setdefault(what, []).extend(rounds)
        for what, rounds in found.items():
            ratios = [bare.cpu / each.cpu for bare, each in zip(found["unchecked"], rounds, strict=True)]
            row: Row = {"app": app, "what": what, **summary(rounds), "of unchecked": spread(ratios)}
            bench.tell(app, what, *(row[name]["median"] for name in ("rps", "p50", "p99", "cpu", "of unchecked")))
            yield row


def measure_growth(bench: Bench) -> Iterator[Row]:
    """Every app with more workers and more connections, directly and through the gateway, which is on the load's core.

    On a machine of two cores the second worker is there too. The CPU time is that of the app alone.
    """
    bench.tell("app", "workers, connections", "via", "requests/s", "p50 ms", "p99 ms", "CPU µs", "no answer")
    for app in APPS:
        start = APPS[app].command
        with ExitStack() as running:
            services = {}
            for count, cores in ((1, FIRST), (2, OTHERS)):
                services[count] = bench.service(app, start, CONFIGURED | {"WEB_CONCURRENCY": str(count)}, cores=cores)
                running.enter_context(services[count])
            names = dict(enumerate(APPS, 1))  # by which the gateway knows them, whichever app this is
            ports = {name: services[2 if name == names[2] else 1].address.port for name in APPS}
            with pinned(LAST):
                gateway = Gateway(Path(tempfile.mkdtemp(dir=bench.folder)), ports)
                gateway.send_secret(SECRET)
                key = f"Authorization: Bearer {gateway.key()}"
                running.enter_context(gateway)
            loads = {}
            for count, connections in GROWTH:
                ways = {"direct": (services[count].url, RIGHT), "gateway": (f"{gateway.url}/{names[count]}", key)}
                for via, (url, field) in ways.items():
                    loads[count, connections, via] = Load(
                        services[count], url + PROTECTED, [field], connections=connections
                    )
            found = bench.rounds(loads, bench.scale.rounds)
        for (count, connections, via), rounds in found.items():
            row: Row = {"app": app, "workers": count, "connections": connections, "via": via, **summary(rounds)}
            told = [row[name]["median"] for name in ("rps", "p50", "p99", "cpu")]
            bench.tell(app, f"{count}, {connections}", via, *told, sum(each.unanswered for each in rounds))
            yield row


def size(folder: Path) -> float:
    """Return how many MB of files are in a folder, but for what Python compiles."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths) / 1e6


def docker(*words: str) -> str:
    """Return what docker says, or raise a BenchError."""
    try:
        return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        raise BenchError("There is no docker.") from None
    except subprocess.CalledProcessError as error:
        raise BenchError(f"docker {' '.join(words)} failed:\n{error.stderr}") from None


def image_size(app: str) -> float | None:
    """Return how many MB an app's image adds to the one that it is made from, or None without a Docker engine."""
    try:
        docker("info")
    except BenchError:
        return None
    base = re.findall(r"^FROM (\S+)", (ROOT / "apps" / app / "Dockerfile").read_text(), re.MULTILINE)[-1]
    if not docker("image", "ls", "--quiet", base):
        docker("pull", "--quiet", base)
    tag = f"origin-guard-bench-{app}"
    docker("build", "--quiet", "--tag", tag, str(ROOT / "apps" / app))
    whole, under = (int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (tag, base))
    docker("image", "rm", tag)
    return (whole - under) / 1e6


def measure_sizes(bench: Bench) -> Iterator[Row]:
    """Every app: seconds from its start to the first 200, MB of a worker, of its environment and of its image."""
    bench.tell("app", "", "start s", "worker MB", "env MB", "image MB")
    starts: dict[str, list[float]] = {app: [] for app in APPS}
    memory: dict[str, list[float]] = {app: [] for app in APPS}
    for _ in range(bench.scale.starts):
        for app in APPS:
            with bench.service(app, APPS[app].command, CONFIGURED) as service:
                starts[app].append(service.seconds_to_start)
                Load(service, service.url + PROTECTED, [RIGHT]).round(bench.scale.seconds)
                pids = supervised.workers(service.instance()) or {service.process.pid}
                used = psutil.Process(pids.pop()).memory_full_info()
                memory[app].append(getattr(used, "pss", used.uss) / 1e6)  # what it shares is counted in parts
            bench.done(bench.scale.seconds + 1)
    for app in APPS:
        image = image_size(app) if bench.scale.images else None
        row: Row = {
            "app": app,
            "start": spread(starts[app]),
            "worker": median(memory[app]),
            "environment": size(ROOT / ".venv" / app),
        }
        row["image"] = image
        bench.tell(app, "", row["start"]["median"], row["worker"], row["environment"], image or "not built")
        yield row


def put_contract(bench: Bench, app: str, server: Server) -> dict[str, Result]:
    """Return how every case went that is asked for, on an app on a server that keeps an access log if it has one."""
    found: dict[str, Result] = {}
    for _ in range(2):  # what fails is put once more: the machine is busy
        with ExitStack() as running:

            def start(state: str, running: ExitStack = running) -> Instance:
                config = environ(STATES[state], SECRET, PREVIOUS)
                service = bench.service(app, server.words(True), config, state=state, programs=HERE, cores=CORES)
                return running.enter_context(service).instance()

            target = Target(app, start, SECRET, PREVIOUS, deadline=10)
            for case in CASES:
                if case.group in bench.scale.groups and (case.name not in found or found[case.name].problems):
                    try:
                        found[case.name] = case.run(target)
                    except (RuntimeError, psutil.Error) as error:  # it does not start, or is gone
                        found[case.name] = Result("failed", [str(error)], "", "")
    bench.done(bench.scale.contract)
    return found


def measure_servers(bench: Bench) -> Iterator[Row]:
    """Every app on every server that can carry it, without an access log; and the contract, with one."""
    bench.tell("app", "server", "requests/s", "CPU µs", "wire cases", "  required cases that fail")
    contract = {}
    with ThreadPoolExecutor(3) as pool:
        try:
            for app in APPS:
                for server in servers(app):
                    contract[app, server.name] = pool.submit(put_contract, bench, app, server)
            for each in contract.values():
                each.result()
        except BaseException:
            waiting.interrupted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()  # so that what is under way does not wait for answers
            raise
    required = {case.name for case in CASES if case.requirement.level == "required"}
    for app in APPS:
        found: dict[str, list[Round]] = {}
        for _ in range(bench.scale.starts):
            with ExitStack() as running:
                loads = {}
                for server in servers(app):
                    service = bench.service(app, server.words(False), CONFIGURED, quiet=True, programs=HERE)
                    running.enter_context(service)
                    loads[server.name] = Load(service, service.url + PROTECTED, [RIGHT])
                for name, rounds in bench.rounds(loads, 1).items():
                    found.setdefault(name, []).extend(rounds)
        for server in servers(app):
            outcomes = contract[app, server.name].result()
            wire = [each.outcome for name, each in outcomes.items() if name.startswith("wire/")]
            failed = {name: each.problems[:3] for name, each in outcomes.items() if each.outcome == "failed"}
            row: Row = {
                "app": app,
                "server": server.name,
                "interface": server.interface,
                "shipped": server.is_shipped(app),
                **summary(found[server.name]),
                "passed": sum(each.outcome == "passed" for each in outcomes.values()),
                "wire": {"passed": wire.count("passed"), "of": len(wire)},
                "failed": {name: problems for name, problems in failed.items() if name in required},
                "failed, recommended": {name: problems for name, problems in failed.items() if name not in required},
                "not checked": [
                    name for name, each in outcomes.items() if each.outcome == "not checked" and name in required
                ],
            }
            names = list(row["failed"])
            told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            bench.tell(
                app,
                server.name,
                row["rps"]["median"],
                row["cpu"]["median"],
                f"{wire.count('passed')} of {len(wire)}",
                f"  {told or '-'}",
            )
            yield row


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "rule": measure_rule,
    "apps": measure_apps,
    "growth": measure_growth,
    "sizes": measure_sizes,
    "servers": measure_servers,
}
COMBINATIONS = sum(len(servers(app)) for app in APPS)
STEPS: dict[str, Callable[[Scale], float]] = {  # of each part: seconds, about
    "rule": lambda scale: 0.5 * len(rule.CALLS) * scale.pyperf[0] * (scale.pyperf[1] + 2) / 3,
    "apps": lambda scale: len(APPS) * scale.starts * 6 * scale.rounds * scale.seconds,
    "growth": lambda scale: len(APPS) * 2 * len(GROWTH) * scale.rounds * scale.seconds,
    "sizes": lambda scale: len(APPS) * scale.starts * (scale.seconds + 1),
    "servers": lambda scale: COMBINATIONS * (scale.starts * (scale.seconds + 0.5) + scale.contract),
}


def told_by(*command: str) -> str:
    """Return the first line that a program says of itself."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).partition("\n")[0].strip()


def machine() -> dict[str, Any]:
    """Return what it is measured on, and with which versions."""
    cpus = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.+)", cpus.read_text(), re.MULTILINE) if cpus.exists() else None
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "pinned": bool(CORES),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "wrk": re.sub(r" \[.*| Copyright.*", "", told_by("wrk", "--version")),
        "haproxy": re.sub(r" .*", "", told_by(str(HAPROXY), "-v").removeprefix("HAProxy version ")),
        "versions": {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def main() -> None:
    """Do what a command line says; ends with a message, and a status that is not 0, where that cannot be done."""
    parser = argparse.ArgumentParser(prog="make bench", usage=f"make bench [QUICK=1] [PARTS='{' '.join(PARTS)}']")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", type=str.split, default=list(PARTS))
    options = parser.parse_args()
    unknown = " ".join(part for part in options.parts if part not in PARTS)
    if unknown or not options.parts:
        parser.error(f"PARTS are some of {' '.join(PARTS)}, not {unknown or 'none of them'}")
    missing = [name for name, found in (("wrk", shutil.which("wrk")), ("haproxy", HAPROXY)) if not found]
    if missing:
        names = " and ".join(missing)
        sys.exit(
            f"`make bench` needs {names}: `apt install {' '.join(missing)}`, or `brew install {' '.join(missing)}`."
        )
    if len(CORES) == 1:
        sys.exit("`make bench` needs two cores, one for what is measured and one for the load, and there is one.")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    scale = QUICK if options.quick else FULL
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    data: Row = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "scale": asdict(scale), **machine()}
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Progress(*columns) as progress:
            bench = Bench(scale, Path(folder), progress, options.parts)
            for part in options.parts:
                progress.update(bench.task, description=part)
                data[part] = list(PARTS[part](bench))
                (options.output / "results.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    except (BenchError, AssertionError, OSError, RuntimeError, subprocess.SubprocessError, psutil.Error) as error:
        sys.exit(f"{error}\nThe bench stopped there.")
    except KeyboardInterrupt:
        done = [part for part in PARTS if part in data]
        kept = (
            f"{options.output}/results.json has what was finished: {', '.join(done)}."
            if done
            else "Nothing was written."
        )
        sys.exit(f"\nInterrupted. {kept}")
    finally:
        end_all()
    charts.draw(data, options.output)
    print(f"Written to {options.output}/: results.json and a chart for each part.")


if __name__ == "__main__":
    main()
