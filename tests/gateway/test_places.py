"""A gateway in Docker: who sees which files, and what a rotation does about it. `docker` is a pretended one.

test_stack.py uses Docker itself.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from pathlib import Path

import pytest

from shared.app.shared_secret import HEADER
from tests.contract.waiting import wait_until
from tests.gateway.checks import Running, Start, fails_for
from tests.gateway.origin import parse
from tests.gateway.runner import MANAGE, Edit, Gateway, instead
from tests.processes import STOP_DEADLINE

pytestmark = pytest.mark.usefixtures("haproxy")
WAITS = ("LOOKED", "UNDER_WAY", "LAST_LOOK")
SECRETS = ("shared_secret", "shared_secret_previous", "sent.map")
EVERYBODY = "project-gateway-1 gateway\nproject-falcon-1 falcon\nproject-fastapi-1 fastapi"
DOCKER = r"""#!/bin/sh
PATH=/usr/bin:/bin:/usr/sbin:/sbin
cd "${0%/*}/.." || exit
[ -z "${COMPOSE_PROJECT_NAME+set}" ] || echo "$*" >>docker/misled

is_told() {  # whether a line of a file is this
    grep -qxF -e "$2" "docker/$1"
}

is_time() {  # for a container to see other files than those that are there
    read -r current <.secrets/shared_secret
    read -r previous <.secrets/shared_secret_previous
    read -r _ sent <.secrets/sent.map
    case $(cat docker/when) in
        always) ;;
        'both accepted') [ "$previous" ] && [ "$sent" = "$previous" ] ;;
        'new one sent') [ "$previous" ] && [ "$sent" = "$current" ] ;;
    esac
}

case "$1 $2" in
    'compose version')
        if [ -s docker/compose ]; then
            cat docker/compose >&2
            exit 1
        fi
        ;;
    'ps --quiet') case "$*" in *.service=gateway*.working_dir=*) cat docker/listed ;; esac ;;
    'compose ps')
        while read -r name service; do
            case " $* " in *" $service "*) [ -e docker/gone ] && is_told goes "$name" || echo "$name" ;; esac
        done <docker/containers
        ;;
    'inspect --format')
        while read -r name service; do
            case " $* " in *" $name "*) echo "2026-01-01 False $service /$name sha256:image running" ;; esac
        done <docker/containers
        ;;
    'compose exec')
        commands=$(cat)
        echo "$commands" >>docker/commands
        case $commands in prepare*) echo 'New version created: 1' ;; *) cat docker/answer ;; esac
        ;;
    'compose logs') cat docker/log ;;
    exec\ *)
        container=$2
        shift 3
        if is_told goes "$container"; then
            touch docker/gone
            echo "Error response from daemon: No such container: $container" >&2
            exit 1
        elif is_told broken "$container"; then
            echo 'exec failed' >&2
            exit 1
        fi
        status=0
        for path; do
            file=${path##*/}
            if is_told missing "$container $file"; then
                echo "sha256sum: $path: No such file or directory" >&2
                status=1
            elif is_told stale "$container $file" && is_time; then
                echo "otherwise  $path"
            else
                sum=$(sha256sum ".secrets/$file" 2>/dev/null || shasum -a 256 ".secrets/$file")
                echo "${sum%% *}  $path"
            fi
        done
        exit $status
        ;;
    *)
        echo "unexpected: $*" >&2
        exit 1
        ;;
esac
"""


def pretend(gateway: Gateway, **told: str) -> None:
    """Put a program `docker` beside the gateway's haproxy, and tell it what to answer."""
    folder = gateway.root / "docker"
    folder.mkdir(exist_ok=True)
    nothing = dict.fromkeys(("stale", "missing", "goes", "broken", "log", "answer", "commands"), "")
    for name, text in {"containers": EVERYBODY, "when": "always", **nothing, **told}.items():
        (folder / name).write_text(f"{text}\n")
    for name in ("compose", "listed"):  # the error of Compose, and the gateways that run where it is missing
        (folder / name).write_text(told.get(name, ""))
    program = gateway.root / "bin" / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)


def quickly(*edits: Edit) -> Edit:
    """Return the edits, with short waits of `make rotate`."""
    waits = [instead(f"time.sleep({name})", "time.sleep(0)", "manage.py") for name in WAITS]
    all_edits = [*waits, instead("ARRIVAL = 10.0", "ARRIVAL = 0.2", "places.py"), *edits]
    return lambda name, text: reduce(lambda text, edit: edit(name, text), all_edits, text)


def accepted(gateway: Gateway) -> list[str]:
    """Return the secrets that an origin accepts, the current one first."""
    return [gateway.file(name).read_text().strip() for name in SECRETS[:2]]


def sent(running: Running) -> str:
    """Return the secret that the gateway sends."""
    gateway, origin = running
    gateway.get("/falcon/x")
    return parse(origin.received[-1])[1][HEADER.lower()][0]


@fails_for(
    nobody_is_asked=instead(
        "return {container.name: names for container, names in found if names}", "return {}", "places.py"
    ),
    what_is_missing=instead('if "sha256sum:" not in error.stderr', "if error.stderr", "places.py"),
    too_late=instead('    arrive(home, "Nothing was changed.")\n', "    pass\n", "manage.py"),
    files_unnamed=instead("' and '.join(f'{where}{file}' for file in files)", "'a file'", "places.py"),
    the_gateway_left_out=instead('containers("gateway", *APPS)', "containers(*APPS)", "places.py"),
)
def test_somebody_does_not_see_a_file(start: Start) -> None:
    """The message says who and which file, also where it is missing; every secret means what it meant before."""
    with start(edit=quickly()) as (gateway, origin):
        before = [*accepted(gateway), sent((gateway, origin))]
        for told, message in (
            (
                {"stale": "project-falcon-1 shared_secret\nproject-falcon-1 shared_secret_previous"},
                "falcon-1 does not see what is in .secrets/shared_secret and .secrets/shared_secret_previous.",
            ),
            (
                {"missing": "project-fastapi-1 shared_secret"},
                "fastapi-1 does not see what is in .secrets/shared_secret.",
            ),
            ({"missing": "project-gateway-1 cert.pem"}, "gateway-1 does not see what is in .secrets/cert.pem."),
        ):
            pretend(gateway, **told)
            found = gateway.manage("rotate", fails=True)
            assert message in found
            assert "Nothing was changed." in found
            assert "`make up`" in found
            assert [*accepted(gateway), sent((gateway, origin))] == before
            assert "sent.map" not in (gateway.root / "docker" / "commands").read_text()


@fails_for(
    nothing_said=instead("flush=True)\n    warn(home, places)\n\n", "flush=True)\n\n", "manage.py"),
    an_error=instead(
        '    except subprocess.SubprocessError as error:\n        print(f"It is not known',
        '    except ValueError as error:\n        print(f"It is not known',
        "manage.py",
    ),
)
def test_a_key_is_live_where_the_file_is_not_seen(start: Start) -> None:
    """The key is printed, and so is who will not have it after a restart; that nobody can say so is no error."""
    with start(edit=quickly()) as (gateway, _):
        for name, told, message in (
            ("one", {"stale": "project-gateway-1 keys.map"}, "gateway-1 does not see what is in .secrets/keys.map."),
            (
                "two",
                {"broken": "project-gateway-1"},
                "It is not known whether everybody sees this: exec failed",
            ),
        ):
            pretend(gateway, **told)
            made = gateway.manage("add", name)
            assert message in made
            (key,) = set(re.findall(r"ogk_[\w-]{43}", made))
            assert gateway.get("/falcon/x", key=key).status == 200
            assert f" {name} " in (gateway.root / "docker" / "commands").read_text()


@fails_for(
    not_looked_for=instead("if container in self.containers(container.service)", "if True", "places.py"),
    any_failure=instead("if container in self.containers(container.service)", "if False", "places.py"),
)
def test_a_container_that_ends_meanwhile(start: Start) -> None:
    """It is no error; one that runs and cannot be asked is."""
    with start(edit=quickly()) as (gateway, _):
        before = accepted(gateway)
        pretend(gateway, broken="project-falcon-1")
        message = gateway.manage("rotate", fails=True)
        assert "exec failed" in message
        assert "Traceback" not in message
        assert accepted(gateway) == before
        pretend(gateway, goes="project-falcon-1")
        gateway.manage("rotate")
        assert accepted(gateway) != before


@fails_for(
    sooner=instead('    arrive(home, "The gateway still sends', '    str("The gateway still sends', "manage.py"),
    previous_forgotten=instead("    accept_sent(home)\n    arrive", "    write(PREVIOUS, '')\n    arrive", "manage.py"),
)
def test_an_origin_stops_seeing_before_the_switch(start: Start) -> None:
    """The gateway goes on with the old secret, every origin accepts it, and the next rotation continues."""
    with start(edit=quickly()) as (gateway, origin):
        old = sent((gateway, origin))
        pretend(gateway, stale="project-falcon-1 shared_secret", when="both accepted")
        message = gateway.manage("rotate", fails=True)
        assert "project-falcon-1 does not see what is in .secrets/shared_secret." in message
        assert "The gateway still sends the old secret" in message
        new, previous = accepted(gateway)
        assert (sent((gateway, origin)), previous) == (old, old)
        assert new != old
        pretend(gateway)
        gateway.manage("rotate")
        assert sent((gateway, origin)) == new
        assert accepted(gateway) == [new, ""]


@fails_for(
    removed_anyway=instead(
        '    arrive(home, "The origins still accept', '    str("The origins still accept', "manage.py"
    ),
)
def test_an_origin_stops_seeing_after_the_switch(start: Start) -> None:
    """Both secrets stay accepted."""
    with start(edit=quickly()) as (gateway, origin):
        old = sent((gateway, origin))
        pretend(gateway, stale="project-falcon-1 shared_secret_previous", when="new one sent")
        message = gateway.manage("rotate", fails=True)
        assert "project-falcon-1 does not see what is in .secrets/shared_secret_previous." in message
        assert "The origins still accept the old secret too." in message
        new, previous = accepted(gateway)
        assert (sent((gateway, origin)), previous) == (new, old)
        pretend(gateway)
        gateway.manage("rotate")
        assert accepted(gateway) == [sent((gateway, origin)), ""]


@fails_for(what_is_sent=instead("        home.write(PREVIOUS, sent)", "        pass", "manage.py"))
def test_somebody_has_written_another_secret(start: Start) -> None:
    """The origins accept what the gateway sends until it has switched."""
    with start(edit=quickly()) as (gateway, origin):
        old = sent((gateway, origin))
        gateway.file("shared_secret").write_text("written by hand\n")
        gateway.file("shared_secret_previous").write_text("something else\n")
        pretend(gateway, stale="project-falcon-1 shared_secret", when="both accepted")
        assert "still sends the old secret" in gateway.manage("rotate", fails=True)
        assert accepted(gateway) == ["written by hand", old]
        assert sent((gateway, origin)) == old
        pretend(gateway)
        gateway.manage("rotate")
        assert accepted(gateway) == ["written by hand", ""]
        assert sent((gateway, origin)) == "written by hand"


LAST = "WARNING SHARED_SECRET_PREVIOUS has changed; what it was before was last used {} seconds ago."
USED = "WARNING SHARED_SECRET_PREVIOUS was used: somebody still sends the previous secret."
LOGS = {  # of origins, and how the rotation ends
    f"falcon-1  | {LAST.format('6.6')}\nfalcon-2  | {USED}": "No origin says that the old secret was used any more.",
    f"falcon-1  | {LAST.format('0.4')}\nfastapi-2  | {LAST.format('6.4')}\nfalcon-1  | {LAST.format('0.1')}": (
        "The old secret was used to the end at falcon-1, fastapi-2: besides this gateway somebody else sends it"
    ),
}


@fails_for(
    at_any_time=instead("if float(ago) < UNDER_WAY - LOOKED", "", "manage.py"),
    never=instead("if float(ago) < UNDER_WAY - LOOKED", "if False", "manage.py"),
    on_its_way=instead("float(ago) < UNDER_WAY - LOOKED", "float(ago) < UNDER_WAY", "manage.py"),
)
def test_whether_the_old_secret_was_used_to_the_end(start: Start) -> None:
    """The end of a rotation says who still got it, from the origins' logs; without Docker, where to look."""
    with start(edit=quickly()) as (gateway, _):
        assert "The origins' output says whether" in gateway.manage("rotate")
        for log, message in LOGS.items():
            pretend(gateway, log=log)
            assert message in gateway.manage("rotate")


@pytest.mark.parametrize("words", [["add", "more"], ["revoke", "acme"], ["rotate"]], ids=lambda words: words[0])
def test_a_gateway_that_does_not_respond(words: list[str], tmp_path: Path) -> None:
    """One line says so; nothing has changed."""
    gateway = Gateway(tmp_path, {}, quickly())
    gateway.key()
    before = {path.name: path.read_text().strip() for path in gateway.file("").iterdir()}
    pretend(gateway, answer="something else")
    message = gateway.manage(*words, fails=True)
    assert "The gateway was not updated. Run this again when it responds. Its answer: something else" in message
    assert "ogk_" not in message
    assert {path.name: path.read_text().strip() for path in gateway.file("").iterdir()} == before


@contextmanager
def command(gateway: Gateway, *words: str, ignored: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """Run a command of manage.py in the background, with a signal ignored as `nohup` does."""
    shell = ["/bin/sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh"] if ignored else []
    with subprocess.Popen(
        [*shell, *MANAGE, *words],
        cwd=gateway.root,
        env=gateway.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def interrupted(gateway: Gateway, number: int, *words: str, answers: bool = False) -> tuple[int, str]:
    """Send a signal to a command while Docker does not answer; return its status and what it prints.

    If Docker answers then, the signal is one that the command was started to ignore.
    """
    pretend(gateway)
    program = gateway.root / "bin" / "docker"
    text = program.read_text()
    hangs = "    'compose exec')\n        touch docker/hangs\n        while [ -e docker/hangs ]; do sleep 0.05; done\n"
    program.write_text(text.replace("    'compose exec')\n", hangs))
    try:
        with command(gateway, *words, ignored=number if answers else 0) as process:
            assert wait_until((gateway.root / "docker" / "hangs").exists, STOP_DEADLINE)
            process.send_signal(number)
            if answers:
                program.write_text(text)
                (gateway.root / "docker" / "hangs").unlink()
            output, _ = process.communicate(timeout=STOP_DEADLINE)
    finally:
        program.write_text(text)
        (gateway.root / "docker" / "hangs").unlink(missing_ok=True)
    return process.returncode, output


@pytest.mark.parametrize("words", [["add", "more"], ["revoke", "acme"], ["rotate"]], ids=lambda words: words[0])
def test_ctrl_c(words: list[str], tmp_path: Path) -> None:
    """While Docker does not answer: a line says to run it again, nothing has changed, and again it works."""
    gateway = Gateway(tmp_path, {}, quickly())
    gateway.key()
    before = {path.name: path.read_text().strip() for path in gateway.file("").iterdir()}
    status, output = interrupted(gateway, signal.SIGINT, *words)
    assert status == 1
    assert output.splitlines()[-1] == "Interrupted. Run the command again."
    assert "Traceback" not in output
    assert "ogk_" not in output
    assert {path.name: path.read_text().strip() for path in gateway.file("").iterdir()} == before
    gateway.manage(*words)


@fails_for(
    left_alone=instead("for name in (signal.SIGTERM, signal.SIGHUP):", "for name in ():", "manage.py"),
    one_of_them=instead("(signal.SIGTERM, signal.SIGHUP)", "(signal.SIGTERM,)", "manage.py"),
    never_ignored=instead("        if signal.getsignal(name) is not signal.SIG_IGN:", "        if True:", "manage.py"),
)
def test_other_signals(start: Start) -> None:
    """SIGTERM and SIGHUP are like Ctrl-C: what was half done is taken back; under `nohup`, a command goes on."""
    with start(edit=quickly()) as (gateway, _):
        before = gateway.file("keys.map").read_text()
        for number in (signal.SIGTERM, signal.SIGHUP):
            assert interrupted(gateway, number, "add", "more") == (1, "\nInterrupted. Run the command again.\n")
            assert gateway.file("keys.map").read_text() == before
        status, output = interrupted(gateway, signal.SIGHUP, "add", "more", answers=True)
        assert (status, "ogk_" in output) == (0, True)


NO_COMPOSE = "docker: 'compose' is not a docker command."


@fails_for(
    nobody_asked=instead("        if started_here():\n            raise\n", "", "places.py"),
    always=instead("        if started_here():\n", "        if True:\n", "places.py"),
)
def test_docker_without_compose(start: Start) -> None:
    """A key is not revoked if the gateway that Docker runs cannot be told; if it runs none, that is no problem."""
    with start(edit=quickly()) as (gateway, _):
        before = gateway.file("keys.map").read_text()
        pretend(gateway, compose=NO_COMPOSE, listed="0123456789ab")
        message = gateway.manage("revoke", "acme", fails=True)
        assert f"{NO_COMPOSE}\nNothing was changed.\n" in message
        assert gateway.file("keys.map").read_text() == before
        assert gateway.get("/falcon/x").status == 200
        pretend(gateway, compose=NO_COMPOSE)
        gateway.manage("revoke", "acme")
        assert gateway.get("/falcon/x").status == 401


@fails_for(
    misled=instead(
        '            for name in ("COMPOSE_PROJECT_NAME", "SERVER"):\n', "            for name in ():\n", "manage.py"
    ),
)
def test_the_project_of_another_folder(start: Start) -> None:
    """A name of a project in the environment does not lead a command away from the gateway of this folder."""
    with start(edit=quickly()) as (gateway, _):
        pretend(gateway)
        gateway.environ["COMPOSE_PROJECT_NAME"] = "another"
        for words in (["add", "more"], ["revoke", "more"], ["rotate"]):
            (gateway.root / "docker" / "commands").unlink()
            gateway.manage(*words)
            assert (gateway.root / "docker" / "commands").exists()
            assert not (gateway.root / "docker" / "misled").exists()
