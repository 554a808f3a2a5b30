"""What the gateway keeps: keys and secrets in .secrets/, and what people told it, as `RATE=500 make up`, in .env.

.secrets/ has the secrets that the origins accept, in `shared_secret` and `shared_secret_previous`; the secret that the
gateway sends, in `sent.map`; its consumers, in `keys.map`; and its certificate, in `cert.pem`. These files are changed
in place: Compose mounts the file itself, and would not see a new file of the same name.
"""

import ipaddress
import os
import re
import secrets
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.apps import APPS, ROOT

FOLDER, ENV = ROOT / ".secrets", ROOT / ".env"
CONFIG = ROOT / "shared" / "gateway" / "haproxy.cfg"
CURRENT, PREVIOUS, SENT, KEYS, CERT = "shared_secret", "shared_secret_previous", "sent.map", "keys.map", "cert.pem"
NEEDED = {  # settings that .env always has
    "SHARED_SECRET_FILE": f"./{FOLDER.name}/{CURRENT}",
    "SHARED_SECRET_PREVIOUS_FILE": f"./{FOLDER.name}/{PREVIOUS}",
    "GATEWAY_PORT": "8080",
}


def read(name: str) -> str:
    """Return the text of a file without the white space around it, or an empty text if there is no file."""
    return Path(name).read_text("utf-8", "surrogateescape").strip() if Path(name).exists() else ""


def write(name: str, text: str, end: str = "\n") -> None:
    """Change a file in place, whole or not at all: raises OSError, and what was there before stays.

    There is one write, so that a reader finds no empty file and, but for one in thousands, no mixture of the two texts.
    Before it the file gets the room that the text needs, as empty lines, which mean nothing in any of these files;
    after it, its new length.
    """
    file = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(file, "rb+", buffering=0) as new:
        os.fchmod(file, 0o644)  # containers read it as other users; nobody else on this machine can enter the folder
        before = new.read()
        data = f"{text}{end}".encode("utf-8", "surrogateescape") if text or end != "\n" else b""
        try:
            put(file, b"\n" * (len(data) - len(before)), len(before))
            put(file, data.ljust(len(before), b"\n"), 0)
        except OSError as error:
            with suppress(OSError):
                put(file, before, 0)
            new.truncate(len(before))
            raise OSError(error.errno, f"{error.strerror}. It is as it was.", f"{FOLDER.name}/{name}") from error
        new.truncate(len(data))
        os.fsync(file)


def nudge(name: str) -> None:
    """Change a file, but not what it means: it has an empty line less at its end, or eight of them."""
    data = Path(name).read_bytes()
    lines = len(data) - len(data.rstrip(b"\n"))
    write(name, read(name), "\n" * (lines - 1 if lines > 1 else 9))


def put(file: int, data: bytes, place: int) -> None:
    """Write all of the data at a place of a file; raises OSError if there is no room for it."""
    while data:
        written = os.pwrite(file, data, place)
        data, place = data[written:], place + written
    os.fsync(file)  # some file systems say only now that there is no room


def fill() -> bool:
    """Create the files that are missing, with a secret that the origins accept and the gateway sends; return if so."""
    if new := not read(CURRENT):
        write(CURRENT, secrets.token_urlsafe(32))
        write(SENT, f"secret {read(CURRENT)}")
    for name, text in ((SENT, f"secret {read(CURRENT)}"), (PREVIOUS, ""), (KEYS, ""), (CERT, "")):
        if not read(name):
            write(name, text)
    return new


def setup() -> None:
    """Create whatever is missing: .env, and what is in .secrets/."""
    if fill():
        print(f"Wrote {FOLDER.name}/ with a new secret.")
    CONFIG.parent.chmod(0o755)  # a container reads this too
    CONFIG.chmod(0o644)
    known = stored()
    missing = [f"{name}={value}\n" for name, value in NEEDED.items() if name not in known]
    if missing:
        text = env_text()
        write_env(text + ("" if text.endswith("\n") or not text else "\n") + "".join(missing))
        print(f"Wrote {ENV.name}.")


def env_text() -> str:
    """Return the text of .env, or an empty text if there is none."""
    return ENV.read_bytes().decode("utf-8", "surrogateescape") if ENV.exists() else ""


def write_env(text: str) -> None:
    """Replace .env, whole or not at all: raises OSError, and what was there before stays."""
    place = ENV.resolve()
    new = place.with_name(f"{place.name}.new")
    try:
        with new.open("wb") as file:
            if place.exists():
                new.chmod(place.stat().st_mode & 0o777)
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        new.replace(place)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}. It is as it was.", ENV.name) from error
    finally:
        new.unlink(missing_ok=True)


def stored() -> dict[str, str]:
    """Return the settings in .env."""
    return {name: re.sub(r"""^(["'])(.*)\1$""", r"\2", value.strip()) for name, value in LINE.findall(env_text())}


LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Z_]+)[ \t]*=(.*)$", re.MULTILINE)


def number(lowest: int, highest: int) -> Callable[[str], str]:
    """Return what checks a whole number; it raises ValueError."""

    def check(value: str) -> str:
        if not re.fullmatch(r"[0-9]{1,10}", value) or not lowest <= int(value) <= highest:
            raise ValueError(f"a number from {lowest} to {highest}")
        return str(int(value))

    return check


def like(pattern: str, words: str) -> Callable[[str], str]:
    """Return what checks the form of a value; it raises ValueError with these words."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(words)
        return value

    return check


def networks(value: str) -> str:
    """Return addresses or networks with spaces between; raises ValueError."""
    try:
        if "%" in value:
            raise ValueError("the name of an interface is no part of them")
        found = [ipaddress.ip_network(word) for word in re.split(r"[\s,]+", value.strip())]
    except ValueError as error:
        raise ValueError(f"addresses or networks such as 10.0.0.0/8, with spaces between ({error})") from error
    return " ".join(str(one if one.num_addresses > 1 else one.network_address) for one in found)


def certificate(value: str) -> str:
    """Return the absolute path of a file with a certificate and its key; raises ValueError."""
    path = ROOT / value
    words = "a PEM file with the certificate, those of its issuers, and its key, which is not encrypted"
    try:
        names(path)
    except ssl.SSLCertVerificationError as error:
        raise ValueError(f"{words}; clients do not accept this one: {error.verify_message}") from error
    except ssl.SSLError as error:
        problem = (
            "its key is that of another certificate" if error.reason == "KEY_VALUES_MISMATCH" else "not all are there"
        )
        raise ValueError(f"{words}: `cat fullchain.pem privkey.pem > cert.pem` ({problem})") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{words} ({getattr(error, 'strerror', None) or error})") from error
    if re.search(r"['\n]", str(path)):
        raise ValueError("a path without quotation marks")
    return str(path)


def names(cert: Path) -> list[str]:
    """Return the host names of a certificate; raises OSError, or ValueError, if a client would not accept it."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(cert, password=lambda: "")
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever has issued it
    client.load_verify_locations(cert)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _ in range(3):  # the messages of a handshake
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    found: Any = (ends[0].getpeercert() or {}).get("subjectAltName", ())
    return [name for kind, name in found if kind == "DNS"]


SETTINGS: dict[str, Callable[[str], str]] = {  # what `make up` and `make gateway` may be told, and what checks it
    "COMPOSE_PROJECT_NAME": like("[a-z0-9][a-z0-9_-]*", "a name of lower-case letters, digits, `-` and `_`"),
    "GATEWAY_PORT": number(1, 65535),
    "RATE": number(1, 10**9),
    "BODY_MAX": number(0, 10**9),
    "TIMEOUT": like("[1-9][0-9]{0,4}(ms|s)|[1-9][0-9]{0,3}m|[1-9][0-9]?h", "a time such as 90s or 2m, up to 99h"),
    "PER_ADDRESS": number(1, 1000),
    "PER_ORIGIN": number(1, 1000),
    "CERT": certificate,
    "TRUSTED": networks,
    "PROXY_PROTOCOL": networks,
    "SERVER": like("granian", "granian, for the apps that can run on it"),
    "CORS": like(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", "the origin of a page, such as https://app.example"),
    **{f"{app.upper()}_REPLICAS": number(1, 10) for app in APPS},
}


def settings() -> dict[str, str]:
    """Return what people have set; an invalid value ends the command with a message."""
    found = {name: value for name, value in stored().items() if name in SETTINGS and value}
    return {name: value if name == "CERT" else checked(name, value, f"in {ENV.name}") for name, value in found.items()}


def checked(name: str, value: str, place: str) -> str:
    """Return a value in the form that is stored; an invalid one ends the command with a message."""
    try:
        return SETTINGS[name](value)
    except ValueError as error:
        sys.exit(f"{name} is {value!r} {place}. It has to be {error}")


def keep_settings() -> None:
    """Store in .env what this command was told, so that the next one does not undo it; empty resets it."""
    told = {name: os.environ.pop(name) for name in SETTINGS if name in os.environ}
    store({name: value and checked(name, value, "in the environment") for name, value in told.items()})
    written = {name: "" for name in stored() if name in SETTINGS} | settings()
    store(written)  # what people wrote into .env, in the form in which the gateway takes it


def store(values: Mapping[str, str]) -> None:
    """Store settings in .env; empty ones are the default again."""
    text, before, said = env_text(), stored(), []
    for name, value in values.items():
        if name in NEEDED and not value:
            value = NEEDED[name]
        if before.get(name) == (value or None):  # no line is the default; an empty one would be no value at all
            continue
        quoted = value if re.fullmatch(r"[\w./:-]*", value) else f"'{value}'"
        line = f"{name}={quoted}\n" if value else ""
        said.append(f"Wrote {ENV.name}: {line.strip() or f'{name} is the default again.'}")
        lines = [one for one in text.splitlines(keepends=True) if not (found := LINE.match(one)) or found[1] != name]
        text = "".join([*lines, "" if not lines or lines[-1].endswith("\n") else "\n", line])
    if said:
        write_env(text)
        print("\n".join(said))


def install_certificate() -> None:
    """Copy the certificate that CERT names to where the gateway reads it."""
    path = settings().get("CERT")
    if path:
        path = checked("CERT", path, f"in {ENV.name}")
    write(CERT, Path(path).read_text("utf-8", "surrogateescape").strip() if path else "")
