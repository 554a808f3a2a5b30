"""Clients that keep a gateway busy, to see whether a request is lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import requests

from tests.contract.http1 import DEADLINE

CLIENTS = 4


class BusyClients:
    """Clients that send request after request; they count the requests and keep the failures.

    They keep their connections, unless each request is to have one of its own.
    """

    def __init__(self, url: str, key: str, trust: str | None = None, keep: bool = True) -> None:
        self.url, self.trust, self.headers = url, trust, {"Authorization": f"Bearer {key}"}
        if not keep:
            self.headers["Connection"] = "close"
        self.ended = threading.Event()
        self.sent = 0
        self.lost: list[str] = []

    def send(self) -> None:
        """Send requests until the end, as one client."""
        with requests.Session() as session:
            while not self.ended.wait(0.02):
                try:
                    got = session.get(self.url, headers=self.headers, timeout=DEADLINE, verify=self.trust)
                    if got.status_code != 200:
                        self.lost.append(f"{got.status_code} {got.text}")
                except requests.RequestException as error:
                    self.lost.append(repr(error))
                self.sent += 1


@contextmanager
def busy(url: str, key: str, trust: str | None = None, keep: bool = True) -> Iterator[BusyClients]:
    """Keep a gateway busy for as long as the block lasts; `trust` is a file with the authority of its certificate."""
    clients = BusyClients(url, key, trust, keep)
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(clients.send) for _ in range(CLIENTS)]
        try:
            yield clients
        finally:
            clients.ended.set()
    for client in running:
        client.result()
