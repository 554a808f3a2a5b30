"""Serve a broken service: in this process, or as a supervisor with workers, `python -m tests.broken.supervisor ...`."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.broken.service import CarefulService
from tests.broken.table import BROKEN


async def turns() -> None:
    """Let the loop do what it has begun, which takes some turns, however slow the machine is."""
    for _ in range(10):
        await asyncio.sleep(0)


@contextmanager
def served(service: CarefulService) -> Iterator[int]:
    """Serve in this process, on a thread with an event loop, and yield the port."""
    loop = asyncio.new_event_loop()
    begun: set[asyncio.Task[None]] = set()  # a loop keeps no task from being collected
    thread = threading.Thread(target=loop.run_forever, daemon=True)  # so that an interrupt ends everything
    thread.start()

    writers: set[asyncio.StreamWriter] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)  # at once: its task may be cancelled before it has begun
        begun.add(task := loop.create_task(service.connected(reader, writer)))
        task.add_done_callback(begun.discard)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(connected, "127.0.0.1", 0)

    async def stop() -> None:
        loop.remove_reader(server.sockets[0])  # or what it accepts as it is closed is neither connected nor closed
        await turns()  # until what was accepted is connected
        server.close()
        for writer in writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns()  # until the connections are closed

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def work(service: CarefulService, listener: socket.socket) -> int:
    """Start a worker, which serves until SIGTERM and then answers what it has accepted; return its process id."""
    if worker := os.fork():
        return worker

    async def serve() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        server = await asyncio.start_server(service.connected, sock=listener)
        await stopped.wait()
        service.close(server)
        await service.finish()

    asyncio.run(serve())
    os._exit(0)


def ended() -> set[int]:
    """Return the workers that have ended since the last call."""
    found = set()
    with suppress(ChildProcessError):
        while worker := os.waitpid(-1, os.WNOHANG)[0]:
            found.add(worker)
    return found


def supervise(service: CarefulService) -> None:
    """Keep WEB_CONCURRENCY workers, replace them all on SIGHUP, end with them on SIGTERM."""
    signals = {signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    address = os.environ["HOST"], int(os.environ["PORT"])
    listener = socket.create_server(address)
    count = int(os.environ.get("WEB_CONCURRENCY", 1))
    workers = {work(service, listener) for _ in range(count)}
    while (number := signal.sigwait(signals)) != signal.SIGTERM:
        if number == signal.SIGHUP:
            old, workers = workers, set()
            if service.overlaps:
                workers = {work(service, listener) for _ in range(count)}
            for worker in old:
                os.kill(worker, signal.SIGTERM)
            if not service.overlaps:
                listener.close()
                time.sleep(0.5)
                listener = socket.create_server(address)
        workers -= ended()
        while len(workers) < count and (service.replaces or number == signal.SIGHUP):
            workers.add(work(service, listener))
    service.close(listener)
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    with suppress(ChildProcessError):
        while os.wait():
            pass
    sys.exit(service.exit_status)


if __name__ == "__main__":  # python -m tests.broken.supervisor careful|broken CASE STATE
    kind, name, state = sys.argv[1:]
    chosen = (BROKEN[name] if kind == "broken" else CarefulService)(os.environ, slow=state == "slow")
    chosen.aloud = True
    supervise(chosen)
