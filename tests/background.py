"""Run cases against services by name; those that take long begin before anybody asks for their results."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.contract import waiting
from tests.contract.case import Case, Result

SLOW_GROUPS = ("load", "rotate", "life", "stop")  # most of their time is waiting
BROKEN_AT_ONCE = 3  # each is a service of its own, so that they do not disturb each other

RunCase = Callable[[str, Case], Result]  # takes the name of a service


class Background:
    """Runs cases with `run`; of the services in `alone` each has one slow case at a time."""

    def __init__(self, run: RunCase, alone: Iterable[str]) -> None:
        self.run = run
        self.pools = {name: ThreadPoolExecutor(max_workers=1) for name in alone}
        self.others = ThreadPoolExecutor(max_workers=BROKEN_AT_ONCE)
        self.begun: dict[tuple[str, str], Future[Result]] = {}

    def begin(self, name: str, case: Case) -> None:
        """Begin a case if it is a slow one."""
        if case.group in SLOW_GROUPS:
            pool = self.pools.get(name, self.others)
            self.begun[name, case.name] = pool.submit(self.run, name, case)

    def result(self, name: str, case: Case) -> Result:
        """Return how a case went; one that was not begun is run now."""
        begun = self.begun.get((name, case.name))
        return begun.result() if begun else self.run(name, case)

    def stop(self) -> None:
        """Begin no more, and wait for what is under way, which is cut short."""
        waiting.interrupted.set()
        for pool in (*self.pools.values(), self.others):
            pool.shutdown(cancel_futures=True)
