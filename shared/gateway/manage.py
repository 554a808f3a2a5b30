"""The gateway's keys and secret, also while it runs: make up, make gateway, make key, make revoke, make rotate.

All of it is in .secrets/: what the origins accept, `shared_secret` and `shared_secret_previous`; what the gateway
sends, `sent.map`; and its consumers, `keys.map`. Files are changed in place: Compose mounts each file, not its name.
"""

import argparse
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER, CONFIG, ENV = ROOT / ".secrets", ROOT / "shared" / "gateway" / "haproxy.cfg", ROOT / ".env"
CURRENT, PREVIOUS, SENT, KEYS = "shared_secret", "shared_secret_previous", "sent.map", "keys.map"
SETTINGS = {
    "SHARED_SECRET_FILE": f"./{FOLDER.name}/{CURRENT}",
    "SHARED_SECRET_PREVIOUS_FILE": f"./{FOLDER.name}/{PREVIOUS}",
    "GATEWAY_PORT": "8080",
}
SOCKET = "admin.sock"
PREFIX = "ogk_"  # of every key, so that a leaked one is recognised
PATIENCE = 60.0  # seconds that a gateway has to answer a command
SETTLED = 5.0  # seconds after which a changed secret counts everywhere, for requests under way too
THROUGH_BASH = 'address=${ADMIN#*@}; exec 3<>"/dev/tcp/${address%:*}/${address#*:}"; cat >&3; cat <&3'


def read(name: str) -> str:
    """Return what a file says, without the white space around it; nothing where there is no file."""
    return Path(name).read_text("utf-8", "surrogateescape").strip() if Path(name).exists() else ""


def write(name: str, text: str) -> None:
    """Change a file in place: in one write, so that nobody finds it empty, and then to its length."""
    file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(file, "wb", buffering=0) as new:
        os.fchmod(file, 0o644)  # the users in the containers are others; who is not in one cannot enter the folder
        data = f"{text}\n".encode("utf-8", "surrogateescape") if text else b""
        new.write(data.ljust(os.fstat(file).st_size, b"\n"))
        new.truncate(len(data))


def setup() -> None:
    """Make what is not there yet: .env and a secret, which the origins accept and the gateway sends."""
    if not read(CURRENT):
        write(CURRENT, secrets.token_urlsafe(32))
        write(SENT, f"secret {read(CURRENT)}")
        print(f"Wrote {FOLDER.name}/ with a fresh secret.")
    for name, text in ((SENT, f"secret {read(CURRENT)}"), (PREVIOUS, ""), (KEYS, "")):
        if not read(name):
            write(name, text)
    CONFIG.parent.chmod(0o755)  # and so is this
    CONFIG.chmod(0o644)
    before = ENV.read_text() if ENV.exists() else ""
    missing = [f"{name}={value}\n" for name, value in SETTINGS.items() if not re.search(f"(?m)^{name}=", before)]
    if missing:
        ENV.write_text("".join([before and before.rstrip("\n") + "\n", *missing]))
        print(f"Wrote {ENV.name}.")


def port() -> int:
    """Return the gateway's port."""
    found = re.search(r"""(?m)^GATEWAY_PORT=["']?(.*?)["']?\s*$""", ENV.read_text())
    told = os.environ.get("GATEWAY_PORT") or (found[1] if found else "")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", told):
        sys.exit(f"GATEWAY_PORT is {told!r}, which is no port: set it to 8080, say, in {ENV.name}.")
    return int(told)


def compose(words: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of Docker Compose."""
    words = ["docker", "compose", *words]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, **how)


def through_socket(commands: str) -> str:
    """Give commands to the gateway of `make gateway`, and return what it says (HAProxy management guide, 9.3)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(SOCKET)
        connection.sendall(commands.encode())
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def through_compose(commands: str) -> str:
    """Give commands to the gateway of `docker compose up`, whose admin socket nothing outside its container reaches."""
    command = ["exec", "-T", "gateway", "bash", "-c", THROUGH_BASH]
    return compose(command, input=commands, check=True).stdout


def local() -> list[Callable[[str], str]]:
    """Return the way to the gateway of `make gateway`, if it runs."""
    try:
        through_socket("show version\n")
    except (FileNotFoundError, ConnectionRefusedError):
        return []
    return [through_socket]


def running() -> list[Callable[[str], str]]:
    """Return the ways to every gateway that runs."""
    found = local()
    if shutil.which("docker") and not compose(["version"]).returncode:
        listed = compose(["ps", "--quiet", "gateway"])
        if listed.returncode:
            told = f"Docker does not tell whether a gateway runs there: {listed.stderr.strip()}"
            if not found:
                sys.exit(f"{told}\nNothing was changed.")
            print(f"{told}\nIf one does, run this again when it can be told.", file=sys.stderr)
        found += [through_compose] * bool(listed.stdout.strip())
    return found


def tell(ask: Callable[[str], str], commands: str, expected: str = "") -> str:
    """Give commands to one gateway, and return its answer; anything but the expected answer is an error."""
    answer = ask(commands).strip()
    if not re.fullmatch(expected, answer):
        sys.exit(f"The gateway was not told: run the command again when it answers. It says: {answer}")
    return answer


def consumers() -> dict[str, str]:
    """Return the SHA-256 of every key, by the name of its consumer."""
    lines = [line.split() for line in read(KEYS).splitlines()]
    if any(len(line) != 2 for line in lines):
        sys.exit(f"Mend {FOLDER.name}/{KEYS}: a line is the SHA-256 of a key, a space, and the name of its consumer.")
    known = {name: digest for digest, name in lines}
    if len(known) < len(lines):
        sys.exit(f"Mend {FOLDER.name}/{KEYS}: a consumer has one line, and one of these has more.")
    return known


def write_consumers(known: dict[str, str]) -> None:
    """Store the consumers, one line each."""
    write(KEYS, "\n".join(f"{digest} {name}" for name, digest in known.items()))


def add(name: str) -> None:
    """Make a key, and print it this once."""
    known = consumers()
    if name in known:
        sys.exit(f"{name} has a key, which is not stored: `make revoke NAME={name}` first, or use another name.")
    key = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    write_consumers({**known, name: digest})
    try:
        for ask in running():
            tell(ask, f"add map {KEYS} {digest} {name}\n")
    except BaseException:
        write_consumers(known)
        raise
    print(f"The key of {name}, which is shown only now: {key}")
    print_curl(key)


def forget(digest: str) -> None:
    """Let every gateway that runs know a key no more."""
    for ask in running():
        tell(ask, f"del map {KEYS} {digest}\n", r"|Key not found\.")


def revoke(name: str) -> None:
    """Take a consumer's key away."""
    known = consumers()
    if name not in known:
        sys.exit(f"{name} has no key. These have one: {' '.join(known) or 'none'}")
    digest = known.pop(name)
    forget(digest)
    write_consumers(known)
    forget(digest)  # one that was started meanwhile may have read it
    print(f"Revoked the key of {name}.")


def switch() -> None:
    """Let every gateway that runs send the secret that the origins accept; without one it is an error."""
    gateways = running()
    if not gateways:
        sys.exit("No gateway runs that could be told of a new secret: `make up` or `make gateway` first.")
    for ask in gateways:
        version = tell(ask, f"prepare map {SENT}\n", r"New version created: \d+").split()[-1]
        tell(ask, f"add map @{version} {SENT} <<\nsecret {read(CURRENT)}\n\n")
        tell(ask, f"commit map @{version} {SENT}\n")


def rotate() -> None:
    """Put a fresh secret in the place of the old one, under way; after an interruption it goes on where it was."""
    if read(SENT) == f"secret {read(CURRENT)}":
        switch()  # which is what it sends already: it has to be there
        write(PREVIOUS, read(CURRENT))
        write(CURRENT, secrets.token_urlsafe(32))
    print("The origins accept the old secret and the new one.", flush=True)
    time.sleep(SETTLED)
    switch()
    write(SENT, f"secret {read(CURRENT)}")
    print("The gateway sends the new one.", flush=True)
    time.sleep(SETTLED)
    switch()  # a gateway that was started meanwhile may have read the old one
    write(PREVIOUS, "")
    print("The origins accept the new one alone.")


def serve(origins: list[str]) -> None:
    """Become the gateway in front of origins on this machine; each is `name=port`."""
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not haproxy:
        sys.exit("There is no haproxy here: `apt install haproxy`, `brew install haproxy`, or use `make up`.")
    if local():
        sys.exit("A gateway of this folder runs already, and a second one would take its admin socket.")
    here = port()
    try:
        socket.create_server(("127.0.0.1", here)).close()  # another HAProxy would share the port
    except (OSError, OverflowError) as error:
        sys.exit(f"Cannot listen on 127.0.0.1:{here}: {error}")
    print(f"gateway on http://127.0.0.1:{here}, in front of `make run`; `make key NAME=acme` makes a key", flush=True)
    where = {name.upper(): f"127.0.0.1:{number}" for name, number in (origin.split("=") for origin in origins)}
    settings = {"HOST": "127.0.0.1", "PORT": str(here), "FILES": ".", "ADMIN": f"unix@{SOCKET}", "REPLICAS": "1"}
    os.execve(haproxy, [haproxy, "-f", str(CONFIG)], {**os.environ, **settings, **where})


def print_curl(key: str = "") -> None:
    """Print a command that makes a request through the gateway."""
    line = f"curl -i http://127.0.0.1:{port()}/falcon/protected -H 'Authorization: Bearer {key or 'KEY'}'"
    print(line if key else f"{line}\nwhere KEY is one of those that you were shown; `make key NAME=...` makes another.")


def curl() -> None:
    """Print a curl line that works; the first time, make the key for it."""
    if consumers():
        print_curl()
    else:
        add("first")


def consumer(name: str) -> str:
    """Return the name of a consumer, or refuse what is none."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise argparse.ArgumentTypeError("letters, digits, `.`, `_` and `-` say whose key it is: NAME=acme")
    return name


def main() -> None:
    """Do what a command line says; an error ends it with a status that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function, usage in (
        (setup, "make up"),
        (curl, "make up"),
        (add, "make key NAME=acme"),
        (revoke, "make revoke NAME=acme"),
        (rotate, "make rotate"),
        (serve, "make gateway"),
    ):
        command = commands.add_parser(function.__name__, usage=usage, prog=usage)
        command.set_defaults(function=function)
        if function in (add, revoke):
            command.add_argument("name", type=consumer)
        elif function is serve:
            command.add_argument("origins", nargs="+")
    options = vars(parser.parse_args())
    FOLDER.mkdir(exist_ok=True)
    FOLDER.chmod(0o700)
    os.chdir(FOLDER)  # the name of a socket is short
    with Path(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one after the other
        function = options.pop("function")
        function(**options)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: run the command again.")
    except OSError as error:
        sys.exit(f"{error.filename or FOLDER}: {error.strerror or error}")
    except subprocess.SubprocessError as error:
        told = getattr(error, "stderr", "") or error
        sys.exit(f"The gateway in Docker was not told: run the command again when it answers. {told}")
