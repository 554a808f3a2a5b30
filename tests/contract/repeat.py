"""The line for a shell that sends again what a case has sent; the secret stays in the variable SHARED_SECRET."""

import re
import shlex
from typing import TYPE_CHECKING

from .changes import CHANGES, SIZES_IN_SHELL

if TYPE_CHECKING:
    from .http1 import Address
    from .target import Target

SHELL = {
    "secret": '"${SHARED_SECRET:?}"',  # an error where it is not set, instead of an empty value
    "previous": '"${SHARED_SECRET_PREVIOUS:?}"',
    **{name: change.shell for name, change in CHANGES.items()},
    **SIZES_IN_SHELL,
}
FIELD = rb"[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?"  # that curl sends as it is
PLACEHOLDER = rb"<([a-z0-9A-Z -]+)>"
TOO_LONG = ("1 MB", "200 fields")  # for one argument of a program; printf is the shell's own
ESCAPES = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\\\", "%": "%%", "'": "'\\''"}


def command(target: "Target", sent: bytes, state: str = "configured") -> str:
    """Return the line that sends a request with placeholders to a target: curl where it can, else printf and nc."""
    if not sent:
        return ""
    address = target.instance(state).address
    named = target.named(sent, address)
    return with_curl(address, named) or with_printf(address, named)


def with_curl(address: "Address", sent: bytes) -> str | None:
    """Return the line for curl, or None for a request that curl would not send so."""
    found = re.fullmatch(
        rb"([A-Z]+) (/[!-~]*) HTTP/1\.1\r\nHost: ([!-~]+)\r\n((?:" + FIELD + rb"\r\n)*)\r\n([ -~]*)", sent
    )
    if not found:
        return None
    method, path, host, rest, body = (part.decode() for part in found.groups())
    length = f"Content-Length: {len(body)}"  # which curl sends by itself
    fields = [line for line in rest.split("\r\n") if line not in ("", "Connection: close", body and length)]
    own = {line.partition(":")[0].lower() for line in rest.split("\r\n")}
    if host != str(address) or "host" in own or method in ("CONNECT", "HEAD"):
        return None
    if body and (length not in rest.split("\r\n") or "content-type" not in own):
        return None
    if "#" in path or re.search(PLACEHOLDER.decode(), path + body):
        return None
    words = ["curl", "-sig", "--path-as-is"]
    words += ["--http1.1"] if address.tls else []
    words += ["--connect-to", f"::{bracketed(address.host)}:{address.port}"] if address.name else []
    words += ["-X", method] if method != "GET" or body else []
    line = shlex.join([*words, f"{'https' if address.tls else 'http'}://{host}{path}"])
    for field in fields:
        parts = re.split(PLACEHOLDER.decode(), field)
        if any(name not in SHELL or name in TOO_LONG for name in parts[1::2]):
            return None
        line += f" -H {quoted(parts)}"
    return f"{line} --data-raw {shlex.quote(body)}" if body else line


def quoted(parts: list[str]) -> str:
    """Return a word for the shell, of which every second part is the name of a placeholder."""
    if not re.fullmatch(r"[\w:;,.=/ -]*", "".join(parts[::2]), re.ASCII):
        return "".join(SHELL[part] if n % 2 else shlex.quote(part) for n, part in enumerate(parts) if part)
    word = parts[0]
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        word += SHELL[name].strip('"') + text
    return f'"{word}"'


def with_printf(address: "Address", sent: bytes) -> str:
    """Return the line for printf, and nc or openssl."""
    text, arguments = "", []
    for place, piece in enumerate(re.split(PLACEHOLDER, sent)):
        name = piece.decode("latin-1")
        if place % 2 and name in SHELL:
            text += "%s"
            arguments.append(SHELL[name])
        else:
            text += escaped(f"<{name}>" if place % 2 else name)
    to = f"nc {address.host} {address.port}"
    if address.tls:
        where = f"{bracketed(address.host)}:{address.port}"
        to = f"openssl s_client -quiet -connect {where} -servername {address.server_name}"
    return " ".join(["printf", f"'{text}'", *arguments, "|", to])


def bracketed(host: str) -> str:
    """Return a host as it stands before a port (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def escaped(text: str) -> str:
    """Return text, decoded as Latin-1, as a format of printf in single quotes."""
    return "".join(ESCAPES.get(char) or (char if " " <= char <= "~" else f"\\{ord(char):03o}") for char in text)
