"""Manage the gateway's keys and secret, also while it runs: make up, make gateway, make key, make revoke, make rotate.

Everything is in .secrets/: the secrets that the origins accept, in `shared_secret` and `shared_secret_previous`; the
secret that the gateway sends, in `sent.map`; and its consumers, in `keys.map`. Files are changed in place: Compose
mounts the file itself, and would not see a new file of the same name.
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
PREFIX = "ogk_"  # of every key, so that a leaked key is recognised
PATIENCE = 60.0  # seconds to wait for the answer to a command
SETTLED = 5.0  # seconds until a changed secret has taken effect everywhere, also for requests under way
THROUGH_BASH = 'address=${ADMIN#*@}; exec 3<>"/dev/tcp/${address%:*}/${address#*:}"; cat >&3; cat <&3'


def read(name: str) -> str:
    """Return the text of a file without the white space around it, or an empty text if there is no file."""
    return Path(name).read_text("utf-8", "surrogateescape").strip() if Path(name).exists() else ""


def write(name: str, text: str) -> None:
    """Change a file in place: first in one write, so that nobody reads an empty file, then to its new length."""
    file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(file, "wb", buffering=0) as new:
        os.fchmod(file, 0o644)  # containers read it as other users; nobody else on this machine can enter the folder
        data = f"{text}\n".encode("utf-8", "surrogateescape") if text else b""
        new.write(data.ljust(os.fstat(file).st_size, b"\n"))
        new.truncate(len(data))


def setup() -> None:
    """Create whatever is missing: .env, and a secret that the origins accept and the gateway sends."""
    if not read(CURRENT):
        write(CURRENT, secrets.token_urlsafe(32))
        write(SENT, f"secret {read(CURRENT)}")
        print(f"Wrote {FOLDER.name}/ with a new secret.")
    for name, text in ((SENT, f"secret {read(CURRENT)}"), (PREVIOUS, ""), (KEYS, "")):
        if not read(name):
            write(name, text)
    CONFIG.parent.chmod(0o755)  # a container reads this too
    CONFIG.chmod(0o644)
    before = ENV.read_text() if ENV.exists() else ""
    missing = [f"{name}={value}\n" for name, value in SETTINGS.items() if not re.search(f"(?m)^{name}=", before)]
    if missing:
        ENV.write_text("".join([before and before.rstrip("\n") + "\n", *missing]))
        print(f"Wrote {ENV.name}.")


def port() -> int:
    """Return the gateway's port."""
    found = re.search(r"""(?m)^GATEWAY_PORT=["']?(.*?)["']?\s*$""", ENV.read_text())
    value = os.environ.get("GATEWAY_PORT") or (found[1] if found else "")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", value):
        sys.exit(f"GATEWAY_PORT is {value!r}, which is not a port. Set it in {ENV.name}, for example to 8080.")
    return int(value)


def compose(words: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of Docker Compose."""
    words = ["docker", "compose", *words]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, **how)


def through_socket(commands: str) -> str:
    """Send commands to the gateway of `make gateway`, and return its answer (HAProxy management guide, 9.3)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(SOCKET)
        connection.sendall(commands.encode())
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def through_compose(commands: str) -> str:
    """Send commands to the gateway in Docker, whose admin socket can be reached only from inside its container."""
    command = ["exec", "-T", "gateway", "bash", "-c", THROUGH_BASH]
    return compose(command, input=commands, check=True).stdout


def local() -> list[Callable[[str], str]]:
    """Return how to send commands to the gateway of `make gateway`; an empty list if it does not run."""
    try:
        through_socket("show version\n")
    except (FileNotFoundError, ConnectionRefusedError):
        return []
    return [through_socket]


def running() -> list[Callable[[str], str]]:
    """Return how to send commands to each gateway that runs."""
    found = local()
    if shutil.which("docker") and not compose(["version"]).returncode:
        listed = compose(["ps", "--quiet", "gateway"])
        if listed.returncode:
            problem = f"Docker does not say whether a gateway is running there: {listed.stderr.strip()}"
            if not found:
                sys.exit(f"{problem}\nNothing was changed.")
            print(f"{problem}\nIf one is running, run this again when Docker responds.", file=sys.stderr)
        if listed.stdout.strip():
            found.append(through_compose)
    return found


def update(send: Callable[[str], str], commands: str, expected: str = "") -> str:
    """Send commands to one gateway, and return its answer; exit with a message unless it is the expected one."""
    answer = send(commands).strip()
    if not re.fullmatch(expected, answer):
        sys.exit(f"The gateway was not updated. Run this again when it responds. Its answer: {answer}")
    return answer


def consumers() -> dict[str, str]:
    """Return the SHA-256 of every key, by the name of its consumer."""
    lines = [line.split() for line in read(KEYS).splitlines()]
    if any(len(line) != 2 for line in lines):
        sys.exit(f"Fix {FOLDER.name}/{KEYS}: a line is the SHA-256 of a key, a space, and the name of its consumer.")
    known = {name: digest for digest, name in lines}
    if len(known) < len(lines):
        sys.exit(f"Fix {FOLDER.name}/{KEYS}: a consumer may have only one line, and one of these has more.")
    return known


def write_consumers(known: dict[str, str]) -> None:
    """Store the consumers, one on each line."""
    write(KEYS, "\n".join(f"{digest} {name}" for name, digest in known.items()))


def add(name: str) -> None:
    """Make a key, and print it: it is not stored."""
    known = consumers()
    if name in known:
        sys.exit(
            f"{name} already has a key, which is not stored. `make revoke NAME={name}` first, or use another name."
        )
    key = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    write_consumers({**known, name: digest})
    try:
        for send in running():
            update(send, f"add map {KEYS} {digest} {name}\n")
    except BaseException:
        write_consumers(known)
        raise
    print(f"The key of {name}, shown only this once: {key}")
    print_curl(key)


def forget(digest: str) -> None:
    """Remove a key from every gateway that runs."""
    for send in running():
        update(send, f"del map {KEYS} {digest}\n", r"|Key not found\.")


def revoke(name: str) -> None:
    """Revoke a consumer's key."""
    known = consumers()
    if name not in known:
        sys.exit(f"{name} has no key. Consumers with a key: {' '.join(known) or 'none'}")
    digest = known.pop(name)
    forget(digest)
    write_consumers(known)
    forget(digest)  # a gateway that was started meanwhile may have read it
    print(f"Revoked the key of {name}.")


def switch() -> None:
    """Make every gateway that runs send the current secret; exit with a message if none runs."""
    gateways = running()
    if not gateways:
        sys.exit("No gateway is running that could get a new secret. Run `make up` or `make gateway` first.")
    for send in gateways:
        version = update(send, f"prepare map {SENT}\n", r"New version created: \d+").split()[-1]
        update(send, f"add map @{version} {SENT} <<\nsecret {read(CURRENT)}\n\n")
        update(send, f"commit map @{version} {SENT}\n")


def rotate() -> None:
    """Replace the secret by a new one without losing a request; after an interruption, continue where it stopped."""
    if read(SENT) == f"secret {read(CURRENT)}":
        switch()  # changes nothing, but makes sure that a gateway is there
        write(PREVIOUS, read(CURRENT))
        write(CURRENT, secrets.token_urlsafe(32))
    print("The origins accept the old secret and the new one.", flush=True)
    time.sleep(SETTLED)
    switch()
    write(SENT, f"secret {read(CURRENT)}")
    print("The gateway sends the new secret.", flush=True)
    time.sleep(SETTLED)
    switch()  # a gateway that was started meanwhile may have read the old one
    write(PREVIOUS, "")
    print("The origins accept only the new secret.")


def find_haproxy() -> str | None:
    """Return the path of haproxy, also where only administrators have it on PATH."""
    return shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def serve(origins: list[str]) -> None:
    """Replace this process by the gateway, in front of origins on this machine; each is `name=port`."""
    haproxy = find_haproxy()
    if not haproxy:
        sys.exit("haproxy is not installed. Run `apt install haproxy` or `brew install haproxy`, or use `make up`.")
    if local():
        sys.exit("A gateway is already running from this folder; a second one would take over its admin socket.")
    here = port()
    try:
        socket.create_server(("127.0.0.1", here)).close()  # another HAProxy would share the port
    except (OSError, OverflowError) as error:
        sys.exit(f"Cannot listen on 127.0.0.1:{here}: {error}")
    print(f"Gateway on http://127.0.0.1:{here}, in front of `make run`; `make key NAME=acme` makes a key", flush=True)
    where = {name.upper(): f"127.0.0.1:{number}" for name, number in (origin.split("=") for origin in origins)}
    settings = {"HOST": "127.0.0.1", "PORT": str(here), "FILES": ".", "ADMIN": f"unix@{SOCKET}", "REPLICAS": "1"}
    os.execve(haproxy, [haproxy, "-f", str(CONFIG)], {**os.environ, **settings, **where})


def print_curl(key: str = "") -> None:
    """Print a curl command for a request through the gateway."""
    line = f"curl -i http://127.0.0.1:{port()}/falcon/protected -H 'Authorization: Bearer {key or 'KEY'}'"
    print(line if key else f"{line}\nReplace KEY by a key that was shown before; `make key NAME=...` makes another.")


def curl() -> None:
    """Print a curl command that works; the first time, make a key for it."""
    if consumers():
        print_curl()
    else:
        add("first")


def consumer(name: str) -> str:
    """Return the name of a consumer; an invalid one is an error."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise argparse.ArgumentTypeError("give a consumer's name of letters, digits, `.`, `_` and `-`: NAME=acme")
    return name


def main() -> None:
    """Run the command of the command line; an error exits with a status that is not 0."""
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
    os.chdir(FOLDER)  # the path of a socket has to be short
    with Path(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one command at a time
        function = options.pop("function")
        if function is not setup:
            setup()
        function(**options)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the command again.")
    except OSError as error:
        sys.exit(f"{error.filename or FOLDER}: {error.strerror or error}")
    except subprocess.SubprocessError as error:
        reason = getattr(error, "stderr", "") or error
        sys.exit(f"The gateway in Docker was not updated. Run this again when it responds. {reason}")
