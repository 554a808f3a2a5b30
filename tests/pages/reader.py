"""Follow a page as a reader would: write its files, run its commands, send its requests."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from shared import new
from shared.apps import APPS, ORIGIN, ROOT
from shared.docs.render import GATEWAY
from tests.commands import PROGRAMS, run
from tests.gateway.runner import Gateway
from tests.markdown import Block
from tests.pages.routes import TITLES, secret
from tests.processes import Service


class Step(Enum):
    """What a reader does with a code block."""

    WRITE = auto()  # it is a file
    RUN = auto()
    SOURCE = auto()  # in the terminal of the requests
    START = auto()  # the service
    ASK = auto()  # send a request
    COMPARE = auto()  # it is the answer to the request above it
    CHANGE = auto()  # app.py, or service.py
    LOOK = auto()


def steps(app: str, page: Sequence[Block]) -> Iterator[tuple[Step, Block]]:
    """Return each block of a page with its step; a block without a step would go untested, so it is an error."""
    files = {path.name for path in new.files(APPS[app])}
    start = f".venv/bin/{APPS[app].start}"
    before: Step | None = None
    for block in page:
        last = block.code.rstrip().rpartition("\n")[2]
        match block.language:
            case "python" if block.title in files:
                step = Step.WRITE
            case "sh" if last in (start, f"SHARED_SECRET= {start}"):
                step = Step.START
            case "sh" if block.code.startswith("curl -i ") and "\n" not in block.code.rstrip():
                step = Step.ASK
            case "sh" if block.code == ". ./.env\n":
                step = Step.SOURCE
            case "sh" if start not in block.code and "curl" not in block.code:
                step = Step.RUN
            case "http" if before is Step.ASK:
                step = Step.COMPARE
            case "diff" if block.title and block.title == TITLES.get(block.heading):
                step = Step.CHANGE
            case "text" if block.heading == "Who does what":
                step = Step.LOOK
            case _:
                raise AssertionError(f"no step tests this block, under {block.heading!r}:\n{block.title}\n{block.code}")
        is_answer, needs_answer = step is Step.COMPARE, before is Step.ASK
        assert is_answer == needs_answer, f"the request above this block has no answer:\n{block.code}"
        yield step, block
        before = step
    assert before is not Step.ASK, "the last request on the page has no answer"


@dataclass
class Reader:
    """A reader who follows a page in an empty folder: the answers so far, and the service that was started last."""

    app: str
    folder: Path
    running: ExitStack  # ends the service and the gateway
    commands: str = ""  # start the service
    answers: list[str] = field(default_factory=list)
    service: Service | None = None
    gateway: Gateway | None = None
    sourced: str = ""  # commands that come before each request

    @property
    def home(self) -> Path:
        """The folder with the page's files."""
        return self.folder / "home"

    def serve(self, commands: str, **config: str) -> Service:
        """Return the service that commands start, not started."""
        (log := self.folder / "log").touch()
        return Service(self.app, ["sh", "-e", "-c", commands], self.home, config, log, PROGRAMS)

    def serve_with(self, start: str) -> Service:
        """Return the service that a start command makes, with the page's other commands, not started."""
        return self.serve(self.commands.replace(APPS[self.app].start, start))

    def take(self, step: Step, block: Block) -> None:
        """Do what a block says; CHANGE is left to `try_changes`, COMPARE to those who look at the answers."""
        match step:
            case Step.WRITE:
                (self.home / block.title).write_text(block.code)
            case Step.RUN:
                run(block.code, self.home, TMPDIR=str(self.folder / "tmp"))
            case Step.SOURCE:
                self.sourced += block.code
            case Step.START:
                self.start(block.code)
            case Step.ASK:
                self.ask(block.code)

    def start(self, commands: str) -> None:
        """Start the service; where one is running, stop it and use its port."""
        if self.service:
            self.service.stop()
            self.service = self.serve(commands, PORT=str(self.service.address.port))
        else:
            self.service, self.commands = self.serve(commands), commands
        self.running.enter_context(self.service)

    def ask(self, command: str) -> None:
        """Send a request to where the service, or a gateway in front of it, listens here; keep the answer."""
        assert self.service, "there is a request before the service is started"
        command = command.replace(ORIGIN, self.service.url)
        if GATEWAY in command:
            if not self.gateway:
                self.gateway = gateway_for(self.service, self.folder / "gateway")
                self.running.enter_context(self.gateway)
            command = command.replace(GATEWAY, self.gateway.url).replace("YOUR_API_KEY", self.gateway.key())
        self.answers.append(run(self.sourced + command, self.home))

    def run_contract(self) -> None:
        """Run the contract against the page's service, and against the one without a secret that was started last."""
        assert self.service
        with self.serve(self.commands) as configured:
            words = ["check", configured.url, "--unconfigured-url", self.service.url]
            run(shlex.join([sys.executable, "-m", "tests.contract", *words]), ROOT, SHARED_SECRET=secret(self.home))


@contextmanager
def followed(app: str, page: Sequence[Block], folder: Path) -> Iterator[Reader]:
    """Follow a page in a folder, block by block; give the reader while the service and the gateway run.

    Only the ports differ from those on the page, and the gateway is one that is started for this.
    """
    with ExitStack() as running:
        reader = Reader(app, folder, running)
        for path in (reader.home, folder / "tmp"):
            path.mkdir(parents=True)
        for step, block in list(steps(app, page)):
            reader.take(step, block)
        yield reader


def gateway_for(service: Service, folder: Path) -> Gateway:
    """Return a gateway, not started, in front of a service; it sends the secret in the service's .env."""
    gateway = Gateway(folder, dict.fromkeys(APPS, service.address.port))
    gateway.send_secret(secret(service.folder))
    gateway.key()
    return gateway
