"""Services with a defect in the server: in how they read requests, log them, share their time, rotate and stop."""

import asyncio
import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from tests.broken.service import HEADER, NAME, CarefulService, Refused, Request, server


class RefusesOldHttp(CarefulService):
    def before(self, request: Request) -> None:
        if request.version == "HTTP/1.0":
            raise Refused(505)


class KnowsLetterCase(CarefulService):
    def parse(self, head: bytes) -> Request:
        return super().parse(head.replace(HEADER, b"X-Other"))


class KeepsSpace(CarefulService):
    def parse(self, head: bytes) -> Request:
        request = super().parse(head)
        raw = re.findall(rb"(?i)\r\n" + HEADER + rb": ([^\r\n]*)", head + b"\r\n")
        request.fields = [field for field in request.fields if field[0] != HEADER]
        request.fields += [(HEADER, value) for value in raw]
        return request


class ReadsTheBodyFirst(CarefulService):
    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        if request.all(b"transfer-encoding"):
            await reader.readuntil(b"0\r\n\r\n")
        await reader.readexactly(int(request.get(b"content-length") or 0))


class KnowsTheBodyFirst(CarefulService):
    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        if b"json" in request.get(b"content-type"):
            try:
                json.loads(await reader.readexactly(int(request.get(b"content-length"))))
            except ValueError:
                raise Refused(400) from None


class ReadsTrailers(CarefulService):
    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        if request.all(b"transfer-encoding"):
            trailer = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n0\r\n")[2]
            request.fields += [
                (name.lower(), value) for name, value in re.findall(rb"(" + NAME + rb"): (.*?)\r\n", trailer)
            ]


class TakesTheBodyForARequest(CarefulService):
    def stays(self, request: Request) -> bool:
        return request.get(b"connection") == b"keep-alive"


class LosesItsPlace(CarefulService):
    """Takes SCRIPT_NAME off the path, and answers what is not below it before the check."""

    def before(self, request: Request) -> None:
        script = request.get(b"script_name").decode()
        if script and (not request.path.startswith(script) or request.path == script):
            raise Refused(500)


class RedirectsFirst(CarefulService):
    def before(self, request: Request) -> None:
        if len(request.path) > 1 and request.path.endswith("/"):
            raise Refused(307, Location=request.path.rstrip("/"))


class LogsSecrets(CarefulService):
    def log(self, request: Request, status: int) -> None:
        super().log(request, status)
        if status != 401:
            self.write(f"{request.fields}")


class LogsItsEnvironment(CarefulService):
    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        super().__init__(environ, folder, slow)
        self.write(f"Starting with {environ}")


class LogsWhatIsMalformed(CarefulService):
    def parse(self, head: bytes) -> Request:
        try:
            return super().parse(head)
        except Refused:
            self.write(f"Cannot parse {head!r}")
            raise


class LogsWhatIsRefused(CarefulService):
    def log(self, request: Request, status: int) -> None:
        super().log(request, status)
        if status == 401:
            self.write(f"refused: {request.get(HEADER)!r}")


class LogsTheQuery(CarefulService):
    def log(self, request: Request, status: int) -> None:
        self.write(f"{request.method} {request.target} {status}")


class LogsDecodedPaths(CarefulService):
    def log(self, request: Request, status: int) -> None:
        for line in unquote(f"{request.method} {request.path} {status}").split("\n"):
            self.write(line)


class OneAtATime(CarefulService):
    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        super().__init__(environ, folder, slow)
        self.turn = asyncio.Semaphore(1)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self.turn:
                await super().connected(reader, writer)
        finally:
            writer.close()


class FiftyAtATime(OneAtATime):
    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        super().__init__(environ, folder, slow)
        self.turn = asyncio.Semaphore(50)


class ReadsItsFilesOnce(CarefulService):
    def secret(self, name: str) -> bytes:
        self.known: dict[str, bytes] = getattr(self, "known", {})
        return self.known.setdefault(name, super().secret(name))


class NeedsOneHost(CarefulService):
    def frame(self, request: Request) -> None:
        [_] = request.all(b"host")


class AddsUpLengths(CarefulService):
    def frame(self, request: Request) -> None:
        int(b",".join(request.all(b"content-length")) or 0)


class ExpectsOneFraming(CarefulService):
    def frame(self, request: Request) -> None:
        assert not (request.all(b"content-length") and request.all(b"transfer-encoding"))
        super().frame(request)


class ExpectsAVersion(CarefulService):
    def parse(self, head: bytes) -> Request:
        (b"HTTP/1.0", b"HTTP/1.1").index(head.partition(b"\r\n")[0].split(b" ")[2])
        return super().parse(head)


class EndsAtOnce(CarefulService):
    async def finish(self) -> None:
        os._exit(0)


class KeepsItsPortOpen(CarefulService):
    def close(self, server: asyncio.Server | socket.socket) -> None:
        pass


class EndsWithAnError(CarefulService):
    exit_status = 1


class HangsUpOnHalfClosed(CarefulService):
    """Takes the end of what a client sends for the end of the connection."""

    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        await asyncio.sleep(0.05)  # until that has come
        if reader.at_eof():
            raise ConnectionError


class HangsUpInFlight(HangsUpOnHalfClosed):
    """The same, but only while an answer takes long."""

    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        if self.slow:
            await super().read_body(request, reader)


class WaitsForIdleConnections(CarefulService):
    def end_idle(self) -> None:
        pass


class ResetsUploads(CarefulService):
    async def linger(self, reader: asyncio.StreamReader) -> None:
        pass


class DropsKeptConnections(CarefulService):
    """When it stops, it still reads requests on kept connections, and answers none."""

    async def finish(self) -> None:
        self.stopping = True
        while self.idle:  # each is dropped with its next request
            await asyncio.sleep(0.05)
        await super().finish()

    def before(self, request: Request) -> None:
        if self.stopping and request.get(b"connection") == b"keep-alive":
            raise ConnectionError


class LosesWorkers(CarefulService):
    replaces = False


class RestartsAllAtOnce(CarefulService):
    overlaps = False


class OpensAWebSocket(CarefulService):
    """Changes to WebSocket before the check, on the open path."""

    def before(self, request: Request) -> None:
        if request.get(b"upgrade") == b"websocket" and self.is_open(request):
            raise Refused(101, Upgrade="websocket", Connection="Upgrade")


class ChangesToHttp2(CarefulService):
    """And answers the first request there without a check."""

    async def changes(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        if request.get(b"upgrade") != b"h2c":
            return False
        state = server()
        state.initiate_upgrade_connection(request.get(b"http2-settings"))
        state.send_headers(1, [(":status", "200")], end_stream=True)
        writer.write(b"HTTP/1.1 101 -\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + state.data_to_send())
        await writer.drain()
        return True
