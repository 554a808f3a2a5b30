"""What people tell `make up` and `make gateway`, as `RATE=500 make gateway`, and where it stays: in .env."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.http1 import DEADLINE
from tests.gateway.checks import OWN_GATEWAY, Start, fails_for
from tests.gateway.runner import HAPROXY, Gateway, instead

pytestmark = pytest.mark.usefixtures("haproxy")
TELL = """
import contextlib, json, os, resource, sys
from shared.gateway import files
values, size = json.load(sys.stdin)
os.environ.update(values)
if size is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
try:
    with contextlib.redirect_stdout(sys.stderr):
        files.keep_settings()
except (OSError, SystemExit) as error:
    print(getattr(error, "filename", None) or "", error)
"""
REFUSE = """
import contextlib, io, json, os, sys
from shared.gateway import files
messages = []
for name, value, command in json.load(sys.stdin):
    if command == "told":
        os.environ[name] = value
    else:
        files.ENV.write_text(f"{name}={value}\\n")
    before = files.ENV.read_text()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            files.keep_settings() if command == "told" else files.install_certificate()
        messages.append("it is accepted")
    except SystemExit as error:
        messages.append(str(error) if files.ENV.read_text() == before else "it is stored")
    os.environ.pop(name, None)
print(json.dumps(messages))
"""
NUMBERS = ["abc", "-1", "1.5", " 5", "5 # more", "0x10", "٣", "1000000001", "9" * 30, "5\nTIMEOUT=1s"]
ADDRESSES = ["10.0.0.1/8", "300.0.0.1", "example.com", "10.0.0.0/8;::1", "fe80::1%eth0", "10.0.0.0/33", ",", "'"]
PAGES = ["*", "null", "app.example", "https://", "https://app.example/", "https://a b", 'https://a"b', "HTTPS://A"]
INVALID = {  # what each has to be, and what it cannot be
    "COMPOSE_PROJECT_NAME": ("a name of lower-case letters", ["A", "-a", "_a", "a b", "a/b", "a.b"]),
    "GATEWAY_PORT": ("a number from 1 to 65535", [*NUMBERS, "0", "65536"]),
    "RATE": ("a number from 1 to 1000000000", [*NUMBERS, "0"]),
    "BODY_MAX": ("a number from 0 to 1000000000", NUMBERS),
    "TIMEOUT": (
        "a time such as 90s",
        ["0s", "5", "abc", "s", "-5s", "1.5s", "5 s", "100000s", "10000m", "100h", "1d", "5sx"],
    ),
    "PER_ADDRESS": ("a number from 1 to 1000", [*NUMBERS, "0", "1001"]),
    "PER_ORIGIN": ("a number from 1 to 1000", [*NUMBERS, "0", "1001"]),
    "CERT": ("a PEM file", ["nowhere.pem", ".", "shared/apps.py", "our's.pem"]),
    "TRUSTED": ("addresses or networks such as 10.0.0.0/8", ADDRESSES),
    "PROXY_PROTOCOL": ("addresses or networks such as 10.0.0.0/8", ADDRESSES),
    "CORS": ("the origin of a page", PAGES),
    "FALCON_REPLICAS": ("a number from 1 to 10", [*NUMBERS, "0", "11"]),
}
LARGEST = {
    "RATE": "1000000000",
    "BODY_MAX": "1000000000",
    "PER_ADDRESS": "1000",
    "PER_ORIGIN": "1000",
    "TRUSTED": "0.0.0.0/0, ::/0,10.0.0.0/255.0.0.0",
    "PROXY_PROTOCOL": " 2001:db8::/32\t192.0.2.1 ",
    "CORS": "http://a.example:65535",
}


OTHER_LINES = "if not (found := LINE.match(one)) or found[1] != name"
SAME = "        if before.get(name) == (value or None):"


def run(gateway: Gateway, code: str, value: Any) -> subprocess.CompletedProcess[str]:
    """Run code that uses the gateway's own copy of files.py, and takes a value as JSON."""
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(
        command,
        cwd=gateway.root,
        env=gateway.environ,
        input=json.dumps(value),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    return done


def tell(gateway: Gateway, size: int | None = None, **values: str) -> str:
    """Tell settings as `make gateway` is told them, and return the error; a file may have at most so many bytes."""
    for name in ("RATE", "GATEWAY_PORT"):
        gateway.environ.pop(name, None)
    return run(gateway, TELL, [values, size]).stdout


def pretend(gateway: Gateway, script: str) -> None:
    """Put a shell script in the place of haproxy."""
    program = gateway.root / "bin" / "haproxy"
    program.unlink()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@fails_for(
    not_kept=instead("        if before.get(", '        if name == "RATE" or before.get(', "files.py"),
    not_used=instead("{**os.environ, **told,", "{**os.environ,", "manage.py"),
    not_removed=instead(OTHER_LINES, "", "files.py"),
    empty_is_nothing=instead(
        "for name in SETTINGS if name in os.environ}", "for name in SETTINGS if os.environ.get(name)}", "files.py"
    ),
)
def test_a_setting_stays(start: Start) -> None:
    """Until it is told otherwise; an empty one is the default again."""
    with start(config={"RATE": "5"}) as (gateway, _):

        def statuses() -> list[int]:
            return [gateway.get("/falcon/x").status for _ in range(6)]

        def lines() -> list[str]:
            return [line for line in (gateway.root / ".env").read_text().splitlines() if line.startswith("RATE")]

        gateway.stop()
        assert lines() == ["RATE=5"]
        del gateway.environ["RATE"]
        with gateway:
            assert statuses() == [200] * 5 + [429]
        gateway.environ["RATE"] = ""
        with gateway:
            assert statuses() == [200] * 6
        assert lines() == []


@fails_for(
    line_ends=instead(
        'ENV.read_bytes().decode("utf-8", "surrogateescape")', "ENV.read_text(errors='replace')", "files.py"
    ),
    other_lines=instead(OTHER_LINES, "if (found := LINE.match(one)) and found[1] != name", "files.py"),
    any_mode=instead("new.chmod(", "str(", "files.py"),
    no_link=instead("place = ENV.resolve()", "place = ENV", "files.py"),
    last_line=instead('"" if not lines or lines[-1].endswith("\\n") else "\\n"', '""', "files.py"),
    same_again=instead(SAME, "        if not value and name not in before:", "files.py"),
)
def test_what_else_is_in_the_file_stays(start: Start) -> None:
    """Comments, quotes, line ends, bytes that are no text, the mode, and a link; the same again changes nothing."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        env, file = gateway.root / ".env", gateway.root / "elsewhere"
        before = (
            b"# caf\xe9\r\nOTHER='two words'\r\n\r\nRATE=7\r\nTIMEOUT=\"9s\"\r\nSHARED_SECRET_FILE=x\nexport LAST=x"
        )
        file.write_bytes(before)
        file.chmod(0o640)
        env.unlink()
        env.symlink_to(file.name)
        assert tell(gateway, RATE="7", TIMEOUT="9s") == ""
        assert file.read_bytes() == before
        assert tell(gateway, RATE="05", CORS="https://app.example") == ""
        assert file.read_bytes() == before.replace(b"RATE=7\r\n", b"") + b"\nRATE=5\nCORS=https://app.example\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert env.is_symlink()


@fails_for(
    empty_ones=instead('{name: "" for name in stored() if name in SETTINGS} | settings()', "settings()", "files.py"),
    export=instead(r"(?:export[ \t]+)?", "", "files.py"),
    spaces=instead(r"([A-Z_]+)[ \t]*=", "([A-Z_]+)=", "files.py"),
)
def test_lines_that_people_write(start: Start) -> None:
    """Those with `export` or spaces are read and replaced; an empty value, which would be no bound, is removed."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        env = gateway.root / ".env"
        env.write_text("export RATE=5\nPER_ORIGIN=\n TIMEOUT = 9s\nexport PER_ADDRESS=''\nOTHER=\n")
        assert tell(gateway) == ""
        assert env.read_text() == "export RATE=5\n TIMEOUT = 9s\nOTHER=\n"
        assert tell(gateway, RATE="6", TIMEOUT="8s") == ""
        assert env.read_text() == "OTHER=\nRATE=6\nTIMEOUT=8s\n"


@fails_for(
    ignored=instead("    if unknown and function is not prepare:", "    if False:", "manage.py"),
    setup_too=instead("    if unknown and function is not prepare:", "    if unknown:", "manage.py"),
    unnamed=instead("{', '.join(sorted(unknown))}", "something", "manage.py"),
    any_command=instead(".split()} - has - {", ".split()} - {*SETTINGS, 'METRICS'} - {", "manage.py"),
)
def test_variables_that_a_command_does_not_have(start: Start) -> None:
    """One line names them and those that it has, and nothing is changed: they may be misspelt."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        files = [gateway.root / ".env", gateway.file("keys.map")]
        before = [file.read_bytes() for file in files]
        for words, typed, line in (
            (["up"], "CERTS PYTHON", "`make up` does not have: CERTS. It has BODY_MAX, CERT, "),
            (["serve", "falcon=1"], "RATES METRICS RATE", "`make gateway` does not have: RATES. It has BODY_MAX, "),
            (["add", "more"], "RATE NAME", "`make key` does not have: RATE. It has NAME."),
            (["revoke", "acme"], "NAMES APP", "`make revoke` does not have: APP, NAMES. It has NAME."),
            (["rotate"], "NAME", "`make rotate` does not have: NAME. It has no variables."),
        ):
            gateway.environ["TYPED"] = typed
            message = gateway.manage(*words, fails=True)
            assert message.startswith(line), message
            assert message.count("\n") == 1
        assert [file.read_bytes() for file in files] == before
        gateway.environ["TYPED"] = "PORT"  # of `make run`, which sets up what is missing
        gateway.manage("setup")
        gateway.environ["TYPED"] = "NAME UV"
        gateway.manage("revoke", "acme")


@fails_for(
    no_quotes=instead("""else f"'{value}'\"""", "else value", "files.py"),
    as_told=instead('return " ".join(str(one', 'return ",".join(str(one', "files.py"),
    by_hand=instead("    store(written)", "    str(written)", "files.py"),
)
def test_a_shell_and_compose_can_read_the_file(start: Start) -> None:
    """Addresses have spaces between, as the gateway takes them, however they were told; a path may have anything."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        env, name = gateway.root / ".env", "our $HOME #1.pem"
        trustme.CA().issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(gateway.root / name)
        env.write_text("PROXY_PROTOCOL='192.0.2.7,192.0.2.8'\n")
        assert tell(gateway, TRUSTED="10.0.0.0/8, 192.0.2.1", CERT=name, RATE="5") == ""
        expected = {
            "TRUSTED": "10.0.0.0/8 192.0.2.1",
            "PROXY_PROTOCOL": "192.0.2.7 192.0.2.8",
            "CERT": str(gateway.root.resolve() / name),
            "RATE": "5",
        }
        script = "set -a; . ./.env; " + " ".join(f'printf "%s\\n" "${setting}";' for setting in expected)
        done = subprocess.run(["/bin/sh", "-c", script], cwd=gateway.root, capture_output=True, text=True)
        assert done.stdout.splitlines() == list(expected.values()), done.stderr
        # Compose would end a value at " #" and replace the name of a variable, but not within single quotes.
        assert set(env.read_text().splitlines()) == {
            f"RATE={expected.pop('RATE')}",
            *(f"{setting}='{value}'" for setting, value in expected.items()),
        }


@fails_for(
    its_beginning=instead("re.fullmatch(pattern", "re.match(pattern", "files.py"),
    any_text=instead('not re.fullmatch(r"[0-9]{1,10}", value)', "False", "files.py"),
    any_limit=instead(" or not lowest <= int(value) <= highest", "", "files.py"),
    any_host=instead("ipaddress.ip_network(word)", "ipaddress.ip_network(word, strict=False)", "files.py"),
    too_long=instead("[1-9][0-9]?h", "[1-9][0-9]{0,5}h", "files.py"),
    no_name=instead('f"{name} is {value!r} {place}.', 'f"A value is {value!r} {place}.', "files.py"),
    no_value=instead("is {value!r} {place}.", "is wrong {place}.", "files.py"),
    no_place=instead('f"in {ENV.name}"', '""', "files.py"),
)
def test_invalid_values(start: Start) -> None:
    """One line says what is wrong, where it is, and what it has to be; nothing is stored."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        told = [(name, value, "told") for name, (_, values) in INVALID.items() for value in values]
        by_hand = [
            (name, value, "by hand") for name, value, _ in told if value.isprintable() and value.strip(" '") == value
        ]
        cases = [*told, *by_hand]
        messages = json.loads(run(gateway, REFUSE, cases).stdout)
        for (name, value, command), message in zip(cases, messages, strict=True):
            place = "in the environment" if command == "told" else "in .env"
            assert message.startswith(f"{name} is {value!r} {place}. It has to be {INVALID[name][0]}"), message
            assert "\n" not in message


def test_an_invalid_value_starts_nothing(tmp_path: Path) -> None:
    """The status is not 0, also for what somebody has written into .env."""
    gateway = Gateway(tmp_path, {})
    env = tmp_path / ".env"
    pretend(gateway, "touch ../started")
    before = env.read_bytes()
    gateway.environ["TIMEOUT"] = "soon"
    assert "TIMEOUT is 'soon' in the environment. It has to be a time such as 90s" in gateway.manage(
        "serve", "falcon=1", fails=True
    )
    assert env.read_bytes() == before
    del gateway.environ["TIMEOUT"]
    env.write_bytes(before + b"PER_ORIGIN=many\n")
    for words in (["serve", "falcon=1"], ["add", "acme"], ["curl"]):
        message = gateway.manage(*words, fails=True)
        assert "PER_ORIGIN is 'many' in .env. It has to be a number from 1 to 1000" in message
        assert "ogk_" not in message
    assert gateway.file("keys.map").read_bytes() == b""
    assert not (tmp_path / "started").exists()


def test_other_commands_store_nothing(tmp_path: Path) -> None:
    """They take the port from the environment, for the curl line; an empty one is none."""
    gateway = Gateway(tmp_path, {})
    before = (tmp_path / ".env").read_bytes()
    gateway.environ |= {"RATE": "5", "TIMEOUT": "wrong", "GATEWAY_PORT": "8181"}
    assert "http://127.0.0.1:8181/" in gateway.manage("add", "acme")
    gateway.environ["GATEWAY_PORT"] = ""
    assert "http://127.0.0.1:8080/" in gateway.manage("add", "other")
    gateway.manage("setup")
    gateway.manage("keys")
    gateway.manage("rotate", fails=True)
    gateway.manage("reload", fails=True)
    assert (tmp_path / ".env").read_bytes() == before


@pytest.mark.parametrize("timeout", ["99999ms", "99999s", "9999m", "99h", "1ms"])
def test_the_gateway_takes_what_is_accepted(timeout: str, tmp_path: Path) -> None:
    """HAProxy finds nothing wrong with the largest numbers and with addresses in every form."""
    gateway = Gateway(tmp_path, {})
    pretend(gateway, f'exec "{HAPROXY}" -c "$@"')
    gateway.environ |= {**LARGEST, "TIMEOUT": timeout}
    gateway.manage("serve", "falcon=1")


@fails_for(
    written_in_place=instead(
        "        with new.open", "        place.write_text(text)\n        with new.open", "files.py"
    ),
    left_over=instead("        new.unlink(missing_ok=True)", "        pass", "files.py"),
    another_name=instead('It is as it was.", ENV.name', "It is as it was.\", '.secrets'", "files.py"),
)
def test_no_room_for_the_settings(start: Start) -> None:
    """The file is as it was, the message names it, and nothing else is left."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        env = gateway.root / ".env"
        before = env.read_bytes()
        for size in (0, 1, len(before) - 1, len(before) + 3):
            assert ".env" in tell(gateway, size, CORS="https://app.example")
            assert env.read_bytes() == before
        assert not list(gateway.root.glob(".env?*"))
        assert tell(gateway, len(before) + 100, CORS="https://app.example") == ""
        assert env.read_bytes() == before + b"CORS=https://app.example\n"
