"""Every app on every server that can run it: its speed without an access log; and the contract, with one."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil

from shared.apps import APPS
from tests.bench.measure import CORES, Load, Round, summary
from tests.bench.results import Scale, ServerRow
from tests.bench.run import CONFIGURED, OPEN, PREVIOUS, PROGRAMS, PROTECTED, RIGHT, SECRET, Bench, Part
from tests.bench.variants import Server, servers
from tests.contract import waiting
from tests.contract.case import Case, Result
from tests.contract.groups import CASES
from tests.contract.target import STATES, Instance, Target, environ
from tests.processes import end_all

COMBINATIONS = [(app, server) for app in APPS for server in servers(app)]
REQUIRED = {case.name for case in CASES if case.requirement.level == "required"}
NEEDED = {name for name in REQUIRED if not name.startswith("http2/")}  # which is not checked where it is not spoken
ROUTES = (("GET", PROTECTED), ("GET", OPEN))  # of every app
NAMED = 3  # failed cases in a printed row


def run_cases(bench: Bench, app: str, server: Server, cases: Sequence[Case]) -> dict[str, Result]:
    """Return how each case went, by its name, on an app on a server that keeps an access log if it has one."""
    found = {}
    with ExitStack() as running:

        def start(state: str) -> Instance:
            config = environ(STATES[state], SECRET, PREVIOUS)
            service = bench.service(app, server.words(True), config, state=state, programs=PROGRAMS, cores=CORES)
            return running.enter_context(service).instance()

        target = Target(app, start, SECRET, PREVIOUS, paths=ROUTES, deadline=10)
        for case in cases:
            try:
                found[case.name] = case.run(target)
            except (RuntimeError, psutil.Error) as error:  # it does not start, or is gone
                found[case.name] = Result("failed", [str(error)], "", "")
    return found


def run_contract(bench: Bench, app: str, server: Server) -> dict[str, Result]:
    """Return how every case of the run's groups went; one that fails is run once more, because the machine is busy."""
    cases = [case for case in CASES if case.group in bench.scale.groups]
    found = run_cases(bench, app, server, cases)
    found |= run_cases(bench, app, server, [case for case in cases if found[case.name].problems])
    bench.advance(bench.scale.contract_seconds)
    return found


def run_contracts(bench: Bench) -> dict[tuple[str, Server], dict[str, Result]]:
    """Run the contract against every app on every server, some at once."""
    with ThreadPoolExecutor(3) as pool:
        try:
            begun = {(app, server): pool.submit(run_contract, bench, app, server) for app, server in COMBINATIONS}
            return {combination: future.result() for combination, future in begun.items()}
        except BaseException:
            waiting.interrupted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()  # so that nothing under way waits for answers
            raise


def measure_app(bench: Bench, app: str) -> dict[Server, list[Round]]:
    """Measure an app on all of its servers, started several times, in rounds that take turns."""
    found: dict[Server, list[Round]] = {server: [] for server in servers(app)}
    for _ in range(bench.scale.starts):
        with ExitStack() as running:
            loads = {}
            for server in servers(app):
                service = bench.service(app, server.words(False), CONFIGURED, quiet=True, programs=PROGRAMS)
                running.enter_context(service)
                loads[server] = Load(service, service.url + PROTECTED, [RIGHT])
            for server, rounds in bench.rounds(loads, 1).items():
                found[server] += rounds
    return found


def as_row(app: str, server: Server, rounds: Sequence[Round], results: Mapping[str, Result]) -> ServerRow:
    """Return the row of an app on a server, out of its rounds of load and how each case of the contract went."""
    wire, life = (
        [result.outcome for name, result in results.items() if name.startswith(group)] for group in ("wire/", "life/")
    )
    failed = {name: result.problems[:3] for name, result in results.items() if result.outcome == "failed"}
    return ServerRow(
        app,
        server.name,
        server.interface,
        shipped=server.is_shipped(app),
        speed=summary(rounds),
        passed=sum(result.outcome == "passed" for result in results.values()),
        wire_passed=wire.count("passed"),
        wire_cases=len(wire),
        failed={name: problems for name, problems in failed.items() if name in REQUIRED},
        failed_recommended={name: problems for name, problems in failed.items() if name not in REQUIRED},
        not_checked=[name for name, result in results.items() if result.outcome == "not checked" and name in NEEDED],
        life_passed=life.count("passed"),
        life_cases=len(life),
    )


def measure(bench: Bench) -> Iterator[ServerRow]:
    """Yield a row for each app on each server."""
    bench.print_row("app", "server", "requests/s", "CPU µs", "wire cases", "life cases", "  required cases that failed")
    contract = run_contracts(bench)
    for app in APPS:
        for server, rounds in measure_app(bench, app).items():
            row = as_row(app, server, rounds, contract[app, server])
            names = list(row.failed)
            failed = ", ".join(names[:NAMED]) or "-"
            if len(names) > NAMED:
                failed += f" and {len(names) - NAMED} more"
            wire = f"{row.wire_passed} of {row.wire_cases}"
            life = f"{row.life_passed} of {row.life_cases}" if row.life_cases else "not run"
            bench.print_row(app, server.name, row.speed.rps.median, row.speed.cpu.median, wire, life, f"  {failed}")
            yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly."""
    return len(COMBINATIONS) * (scale.starts * (scale.seconds + 0.5) + scale.contract_seconds)


PART = Part("servers", measure, seconds)
