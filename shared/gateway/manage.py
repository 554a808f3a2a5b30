"""Manage the gateway: `make up`, `make gateway` and what changes it while it runs; README.md lists the commands."""

import argparse
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from shared.apps import APPS, GIVES_UP, ROOT
from shared.gateway.cluster import Cluster, cluster
from shared.gateway.files import (
    CERT,
    CONFIG,
    CURRENT,
    FOLDER,
    KEYS,
    NEEDED,
    PREVIOUS,
    SENT,
    SETTINGS,
    checked,
    install_certificate,
    keep_settings,
    names,
    nudge,
    read,
    settings,
    setup,
    write,
)
from shared.gateway.places import (
    ARRIVAL,
    PID,
    SOCKET,
    Docker,
    Local,
    Place,
    described,
    docker,
    has_built,
    in_docker,
    running,
)

CONSUMER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ALLOWED = "up to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"  # in CONSUMER
PREFIX = "ogk_"  # of every key, so that a leaked key is recognised
LOOKED = 1.5  # seconds until an origin has looked at its files: it does once a second
UNDER_WAY = 8.0  # seconds until an origin that answers has what the gateway sends it: it may wait, and connect
LAST_LOOK = 3.0  # seconds until an origin has been asked for its health, and has looked
LAST_USE = re.compile(r"^(\S+).*SHARED_SECRET_PREVIOUS has changed; .* last used ([0-9.]+) seconds ago", re.MULTILINE)
NOT_DOCKER = "This needs Docker with Compose v2; `make run` and `make gateway` need none."


class Home(Protocol):
    """What keeps the keys and the secrets, as files in the current folder, and the gateways that have them."""

    make: str  # how its commands begin
    start: str  # the commands that start a gateway
    where: str  # what stands before the name of a file in messages
    repair: str  # what helps where somebody does not see a file
    nobody: str  # what is said where no gateway runs

    def write(self, name: str, text: str) -> None:
        """Change a file for all that have it."""

    def probe(self, *names: str) -> None:
        """Change files, but not what they mean, where it can be that a change does not arrive."""

    def running(self, all_of_them: bool = False) -> Sequence[Place]:
        """Return where each gateway runs; exit with a message if that is not known."""

    def curl_line(self, key: str) -> str:
        """Return a command for a request through the gateway."""


class Machine:
    """The gateways of this machine; .secrets/ has what they need."""

    make, start, where = "make ", "`make up` or `make gateway`", f"{FOLDER.name}/"
    repair = (
        "Another file of that name has replaced the one that Docker shows there. `make up` replaces what does not see"
        " it, the origins one replica after the other."
    )
    nobody = "No gateway is running from here. One that runs elsewhere still accepts the key."

    def write(self, name: str, text: str) -> None:
        write(name, text)

    def probe(self, *names: str) -> None:
        for name in names:
            nudge(name)

    def running(self, all_of_them: bool = False) -> list[Local | Docker]:
        return running(all_of_them)

    def curl_line(self, key: str) -> str:
        trust = f" --cacert {FOLDER.name}/{CERT} --resolve {host()}:{port()}:127.0.0.1" if read(CERT) else ""
        return f"curl -i {url()}/falcon/protected{trust} -H 'Authorization: Bearer {key}'"


def update(place: Place, commands: str, expected: str = "") -> str:
    """Send commands to one gateway, and return its answer; exit with a message unless it is the expected one."""
    answer = place.send(commands).strip()
    if not re.fullmatch(expected, answer):
        sys.exit(f"The gateway was not updated. Run this again when it responds. Its answer: {answer}")
    return answer


class Key(NamedTuple):
    """A line of keys.map: the SHA-256 of a key, its consumer, and the day on which it was made, if that is known."""

    digest: str
    consumer: str
    since: str = ""


def keys(where: str = f"{FOLDER.name}/") -> dict[str, Key]:
    """Return the keys by the names of their consumers; a line that is wrong ends the command with a message."""
    known: dict[str, Key] = {}
    for number, line in enumerate(stored_lines(), 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        problem = ""
        if words[0].startswith(PREFIX):
            problem = "it has a key itself: revoke that key, and make another"
        elif not re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
            problem = "it does not begin with the SHA-256 of a key, 64 hexadecimal digits"
        elif words[0] != words[0].lower():
            problem = "its SHA-256 has upper-case letters, so that the gateway never finds it: write them in lower case"
        elif "\t" in line:
            problem = "it has a tab: write spaces instead"
        elif not 2 <= len(words) <= 3:
            problem = "it is not the SHA-256 of a key, the name of its consumer and, if known, the day it was made"
        elif not re.fullmatch(CONSUMER, words[1]):
            problem = f"the name of a consumer has {ALLOWED}"
        elif words[1] in known:
            problem = f"{words[1]} is already in a line above it: remove one of them"
        elif words[0] in {key.digest for key in known.values()}:
            problem = "the same key is already in a line above it: remove one of them"
        if problem:
            sys.exit(f"Nothing was changed, because line {number} of {where}{KEYS} is wrong: {problem}.")
        known[words[1]] = Key(*words)
    return known


def stored_lines() -> list[str]:
    """Return the lines of keys.map, but for empty ones at its end."""
    text = Path(KEYS).read_text("utf-8", "surrogateescape").rstrip()
    return text.split("\n") if text else []


def add(home: Home, name: str) -> None:
    """Make a key, and print it: it is not stored."""
    if name in keys(home.where):
        sys.exit(
            f"{name} already has a key, which is not stored. `{home.make}revoke NAME={name}` first, or use another"
            " name."
        )
    key = PREFIX + secrets.token_urlsafe(32)
    example = home.curl_line(key)  # an invalid setting ends the command here, while nothing has changed
    line = " ".join(Key(hashlib.sha256(key.encode()).hexdigest(), name, f"{datetime.now(UTC):%Y-%m-%d}"))
    before = stored_lines()
    home.write(KEYS, "\n".join([*before, line]))
    try:
        places = home.running()
        for place in places:
            update(place, f"add map {KEYS} <<\n{line}\n\n")
    except BaseException:
        home.write(KEYS, "\n".join(before))
        raise
    print(f"The key of {name}, shown only this once: {key}")
    print(example, flush=True)
    warn(home, places)


def forget(digest: str, places: Sequence[Place]) -> None:
    """Remove a key from gateways."""
    for place in places:
        update(place, f"del map {KEYS} {digest}\n", r"|Key not found\.")


def revoke(home: Home, name: str) -> None:
    """Revoke a consumer's key."""
    if not (places := home.running(all_of_them=True)):
        print(home.nobody, file=sys.stderr)
    known = keys(home.where)
    if name not in known:
        sys.exit(f"{name} has no key. Consumers with a key: {' '.join(known) or 'none'}")
    forget(known[name].digest, places)
    home.write(KEYS, "\n".join(line for line in stored_lines() if line.split()[:1] != [known[name].digest]))
    forget(known[name].digest, home.running())  # a gateway that was started meanwhile may have read it
    print(f"Revoked the key of {name}.", flush=True)
    warn(home, places)
    forget(known[name].digest, home.running())  # one that has begun again may have read an older file


def list_keys(home: Home) -> None:
    """Print the consumers, and since when they have their keys."""
    known = keys(home.where)
    width = max(map(len, known), default=0)
    for key in known.values():
        print(f"{key.consumer:{width}}  {f'since {key.since}' if key.since else 'since an unknown day'}")
    if not known:
        print(f"No consumer has a key. `{home.make}key NAME=acme` makes one.")


def warn(home: Home, places: Sequence[Place]) -> None:
    """Say it if a file is not seen as it is: what was changed is live, and would be lost when the gateway restarts."""
    try:
        for place in places:
            if stale := wait_for_arrival(place):
                print(f"{described(stale, home.where)}\n{home.repair}", file=sys.stderr)
    except subprocess.SubprocessError as error:
        print(f"It is not known whether everybody sees this: {reason(error)}", file=sys.stderr)


def arrive(home: Home, changed: str) -> None:
    """Wait until everybody sees the files as they are; exit with a message if somebody does not."""
    for place in gateways(home):
        if stale := wait_for_arrival(place):
            again = f"Then run `{home.make}rotate` again."
            sys.exit(f"{described(stale, home.where)}\n{changed} {home.repair} {again}")


def wait_for_arrival(place: Place) -> dict[str, list[str]]:
    """Wait until everybody sees the files as they are; return what somebody does not see after some time."""
    end = time.monotonic() + place.arrival
    while (stale := place.unseen()) and time.monotonic() < end:
        time.sleep(0.2)
    return stale


def switch(places: Sequence[Place]) -> None:
    """Make the gateways send the current secret."""
    for place in places:
        version = update(place, f"prepare map {SENT}\n", r"New version created: \d+").split()[-1]
        update(place, f"add map @{version} {SENT} <<\nsecret {read(CURRENT)}\n\n")
        update(place, f"commit map @{version} {SENT}\n")


def gateways(home: Home) -> Sequence[Place]:
    """Return where each gateway runs; exit with a message if none does."""
    return home.running() or sys.exit(f"No gateway is running. Run {home.start} first.")


def accept_sent(home: Home) -> None:
    """Let the origins accept what the gateway sends, also when somebody has written another secret for them."""
    sent = read(SENT).removeprefix("secret ")
    if sent not in (read(CURRENT), read(PREVIOUS)):
        home.write(PREVIOUS, sent)


def rotate(home: Home) -> None:
    """Replace the secret by a new one without losing a request; after an interruption, continue where it stopped."""
    gateways(home)
    home.probe(CURRENT, PREVIOUS, SENT)
    arrive(home, "Nothing was changed.")
    if read(SENT) == f"secret {read(CURRENT)}" and read(PREVIOUS) in ("", read(CURRENT)):
        switch(gateways(home))  # changes nothing, but makes sure that they can be changed
        home.write(PREVIOUS, read(CURRENT))
        home.write(CURRENT, secrets.token_urlsafe(32))
    accept_sent(home)
    arrive(home, "The gateway still sends the old secret, which every origin accepts.")
    time.sleep(LOOKED)
    print("The origins accept the old secret and the new one.", flush=True)
    switch(gateways(home))
    home.write(SENT, f"secret {read(CURRENT)}")
    print("The gateway sends the new secret.", flush=True)
    arrive(home, "The origins still accept the old secret too.")
    switch(gateways(home))  # one that was started meanwhile may have read the old secret
    time.sleep(UNDER_WAY)
    removed = time.monotonic()
    home.write(PREVIOUS, "")
    arrive(home, "The gateway sends the new secret. An origin still accepts the old one too.")
    time.sleep(LAST_LOOK)
    print("The origins accept only the new secret.")
    logs = [place.origins_say(time.monotonic() - removed + 5) for place in gateways(home)]  # clocks differ
    print(*dict.fromkeys(map(last_use, logs)), sep="\n")


def last_use(log: str | None) -> str:
    """Return in words whether the old secret was used after the gateway sent the new one, from the origins' log."""
    if log is None:
        return "The origins' output says whether the old secret was still used, and when for the last time."
    late = sorted({name for name, ago in LAST_USE.findall(log) if float(ago) < UNDER_WAY - LOOKED})
    if not late:
        return "No origin says that the old secret was used any more."
    return (
        f"The old secret was used to the end at {', '.join(late)}: besides this gateway somebody else sends it, and"
        " gets 401 now. Look for a second gateway."
    )


def reload(home: Machine) -> None:
    """Make the gateway read its configuration, its maps and its certificate again."""
    keys()
    gateways(home)
    places = home.running()
    if settings().get("CERT"):
        install_certificate()
    for place in places:
        if stale := place.unseen():
            sys.exit(f"{described(stale, home.where)}\nNothing was reloaded. {home.repair}")
    for place in places:
        before = process(place)
        place.reload()
        end = time.monotonic() + ARRIVAL
        while process(place) in ("", before):
            if time.monotonic() > end:
                sys.exit("The gateway goes on as it was: it could not read its files. Its log says why.")
            time.sleep(0.2)
    print("The gateway has read its files again.")


def process(place: Place) -> str:
    """Return the process that does the gateway's work, or an empty text while none answers."""
    try:
        return "".join(re.findall(r"(?m)^Pid: (\d+)", place.send("show info\n")))
    except (OSError, subprocess.CalledProcessError):
        return ""


@contextmanager
def built(*apps: str) -> Iterator[set[str]]:
    """Build images of apps, and give a set for those that run from the new one.

    However the block ends, the others have their old image again: a container that starts later would get the new one.
    """
    place = Docker()
    before = {app: found for app in apps if (found := place.image(app))}
    run_from_it = set[str]()
    try:
        if not has_built("compose", "build", *apps):
            sys.exit("It cannot be built: the lines above say why. Nothing was changed.")
        yield run_from_it
    except BaseException:
        for app in before.keys() - run_from_it:
            docker("tag", before[app], place.image_name(app))
        raise


def replace_old(app: str, stale: Collection[str] = ()) -> None:
    """Replace the replicas of an app that are of an older image, or in a set, one after the other."""
    place = Docker()
    place.remove_leftovers(app)
    new = place.image(app)
    outdated = [one for one in place.containers(app) if one.image != new or one.name in stale]
    if outdated:
        try:
            place.try_out(app)
        except subprocess.SubprocessError as error:
            sys.exit(f"The new image of {app} does not work, so that the old one stays. {reason(error)}")
    for number, container in enumerate(outdated, 1):
        place.replace(container)
        print(f"{app}: {number} of {len(outdated)} replaced", flush=True)
    for old in {container.image for container in outdated} - {new}:
        with suppress(subprocess.CalledProcessError):
            docker("image", "rm", old)  # it would stay without a name


def upgrade(home: Machine, app: str) -> None:
    """Build an app anew, and put the new image in the place of the old one, one replica after the other."""
    if not in_docker() or not Docker().containers(app):
        sys.exit(f"{app} is not running in Docker: `make up` starts it.")
    with built(app) as run_from_it:
        replace_old(app)
        run_from_it.add(app)
    print(f"{app} runs from its newest image.")


def up(home: Machine) -> None:
    """Start everything in Docker, and bring what runs up to date, the origins one replica after the other."""
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        sys.exit(NOT_DOCKER)
    keys()
    keep_settings()
    install_certificate()
    if settings().get("SERVER"):
        print(f"{GIVES_UP} apps/*/README.md says what it gives up.")
    with built(*APPS) as run_from_it:
        if in_docker():
            accept_sent(home)
            home.probe(CURRENT, PREVIOUS, SENT, KEYS, CERT)
            stale = wait_for_arrival(Docker())
            for app in APPS:
                replace_old(app, stale)
                run_from_it.add(app)
            if any(container.name in stale for container in Docker().containers("gateway")):
                docker("compose", "up", "--detach", "--no-deps", "--force-recreate", "gateway")
        run_from_it.update(APPS)
        if subprocess.run(["docker", "compose", "up", "--detach", "--wait"], cwd=ROOT).returncode:
            sys.exit("Something did not start: the lines above say what, and `docker compose logs` may say why.")
    curl(home)


def cluster_up(home: Cluster) -> None:
    """Start everything in a cluster, and bring what runs there up to date."""
    if not shutil.which("docker"):
        sys.exit("This needs Docker, to build the images.")
    home.refuse_others()
    manifests = home.manifests()
    home.create()
    keys(home.where)
    accept_sent(home)
    home.apply(manifests)
    arrive(home, "The gateways send what they sent before.")
    switch(gateways(home))  # they read the secret when they start, and it may have been changed by hand
    curl(home)


def cluster_down(home: Cluster) -> None:
    """Stop what runs in a cluster; keys and secrets stay."""
    home.delete()
    print(f"It has ended. `{home.command} delete secrets origin gateway` removes the keys and the secret too.")


def curl(home: Home) -> None:
    """Print a curl command that works; the first time, make a key for it."""
    if keys(home.where):
        again = f"`{home.make}key NAME=...` makes another."
        print(f"{home.curl_line('KEY')}\nReplace KEY by a key that was shown before; {again}")
    else:
        add(home, "first")


def find_haproxy() -> str | None:
    """Return the path of haproxy, also where only administrators have it on PATH."""
    return shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def serve(home: Machine, origins: list[str]) -> None:
    """Replace this process by the gateway, in front of origins on this machine; each is `name=port`."""
    haproxy = find_haproxy()
    if not haproxy:
        sys.exit("haproxy is not installed. Run `apt install haproxy` or `brew install haproxy`, or use `make up`.")
    if Local().runs():
        sys.exit("A gateway is already running from this folder; a second one would take over its admin socket.")
    keep_settings()
    install_certificate()
    here = port()
    try:
        socket.create_server(("127.0.0.1", here)).close()  # another HAProxy would share the port
    except (OSError, OverflowError) as error:
        sys.exit(f"Cannot listen on 127.0.0.1:{here}: {error}")
    print(f"Gateway on {url()}, in front of `make run`; `make key NAME=acme` makes a key", flush=True)
    where = {name.upper(): f"127.0.0.1:{number}" for name, number in (origin.split("=") for origin in origins)}
    told = {name: CERT if name == "CERT" else value for name, value in settings().items()}
    fixed = {"HOST": "127.0.0.1", "PORT": str(here), "FILES": ".", "ADMIN": f"unix@{SOCKET}", "REPLICAS": "1"}
    Path(PID).write_text(str(os.getpid()))
    os.execve(haproxy, [haproxy, "-f", str(CONFIG)], {**os.environ, **told, **fixed, **where})


def port() -> int:
    """Return the gateway's port."""
    name, found = "GATEWAY_PORT", settings()
    if os.environ.get(name):
        return int(checked(name, os.environ[name], "in the environment"))
    return int(found.get(name, NEEDED[name]))


def url() -> str:
    """Return the gateway's address on this machine."""
    return f"{'https' if read(CERT) else 'http'}://{host()}:{port()}"


def host() -> str:
    """Return the name by which this machine asks the gateway: one that its certificate has."""
    named: list[str] = []
    with suppress(OSError, ValueError):  # it has expired since it was installed
        named = names(Path(CERT)) if read(CERT) else []
    return next((name.replace("*", "api") for name in named), "127.0.0.1")


def consumer(name: str) -> str:
    """Return the name of a consumer; an invalid one is an error."""
    if not re.fullmatch(CONSUMER, name):
        raise argparse.ArgumentTypeError(f"give the name of a consumer, which has {ALLOWED}: NAME=acme")
    return name


def app(name: str) -> str:
    """Return the name of an app; an unknown one is an error."""
    if name not in APPS:
        raise argparse.ArgumentTypeError(f"give the name of an app, one of {', '.join(APPS)}: APP=falcon")
    return name


def refuse_unknown(function: Callable[..., None], usage: str) -> None:
    """Exit with a message if make was given a variable that the command does not have, which may be misspelt."""
    variables = {
        add: {"NAME"},
        revoke: {"NAME"},
        upgrade: {"APP"},
        up: {*SETTINGS},
        serve: {*SETTINGS, "METRICS"} - {"SERVER"},
    }
    has = variables.get(function, set()) | ({"CONTEXT"} if usage.startswith("make cluster-") else set())
    unknown = {*os.environ.get("TYPED", "").split()} - has - {"PYTHON", "UV"}
    if unknown and function is not prepare:
        target, known = " ".join(usage.split()[:2]), ", ".join(sorted(has)) or "no variables"
        sys.exit(f"`{target}` does not have: {', '.join(sorted(unknown))}. It has {known}.")


def prepare(home: Machine) -> None:
    """Do no more than every command does: create whatever is missing."""


def reason(error: subprocess.SubprocessError) -> str:
    """Return why a command failed."""
    return str(getattr(error, "stderr", "") or error).strip()


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("setup", prepare, "make up"),
    ("up", up, "make up"),
    ("curl", curl, "make up"),
    ("serve", serve, "make gateway"),
    ("add", add, "make key NAME=acme"),
    ("keys", list_keys, "make keys"),
    ("revoke", revoke, "make revoke NAME=acme"),
    ("rotate", rotate, "make rotate"),
    ("reload", reload, "make reload"),
    ("upgrade", upgrade, "make upgrade APP=falcon"),
    ("cluster-up", cluster_up, "make cluster-up"),
    ("cluster-down", cluster_down, "make cluster-down"),
    ("cluster-key", add, "make cluster-key NAME=acme"),
    ("cluster-keys", list_keys, "make cluster-keys"),
    ("cluster-revoke", revoke, "make cluster-revoke NAME=acme"),
    ("cluster-rotate", rotate, "make cluster-rotate"),
]


def main() -> None:
    """Run the command of the command line; an error exits with a status that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function, usage in COMMANDS:
        command = commands.add_parser(name, usage=usage, prog=usage)
        command.set_defaults(function=function)
        if function in (add, revoke):
            command.add_argument("name", type=consumer)
        elif function is upgrade:
            command.add_argument("app", type=app)
        elif function is serve:
            command.add_argument("origins", nargs="+")
        command.set_defaults(usage=usage)
    options = vars(parser.parse_args())
    function, usage = options.pop("function"), options.pop("usage")
    refuse_unknown(function, usage)
    with cluster() if usage.startswith("make cluster-") else machine(function) as home:
        if isinstance(home, Cluster) and function not in (cluster_up, cluster_down) and home.missing():
            sys.exit(f"There is no Secret {' and no Secret '.join(home.missing())}. Run {home.start} first.")
        function(home, **options)


@contextmanager
def machine(function: Callable[..., None]) -> Iterator[Machine]:
    """Give the gateways of this machine to a command, with everything that they need."""
    FOLDER.mkdir(exist_ok=True)
    FOLDER.chmod(0o700)
    os.chdir(FOLDER)  # the path of a socket has to be short
    with Path(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one command at a time
        except BlockingIOError:
            print("Waiting for another command of this folder to end.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if function not in (up, serve):  # these are told what Docker Compose takes; others find it in .env
            for name in ("COMPOSE_PROJECT_NAME", "SERVER"):
                os.environ.pop(name, None)
        setup()
        yield Machine()


if __name__ == "__main__":
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(name, signal.default_int_handler)  # nothing is left half done then either
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the command again.")
    except OSError as error:
        sys.exit(f"{error.filename or FOLDER}: {error.strerror or error}")
    except subprocess.SubprocessError as error:
        program = getattr(error, "cmd", ["docker"])[0]
        sys.exit(f"{'Docker' if program == 'docker' else program} failed: {reason(error)}")
