"""What a case may send in place of the secret, by the name of its placeholder: how it is made here, and by a shell."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote


class Change(NamedTuple):
    """How a value is made from the secret; `shell` is an expression for a shell that has it in SHARED_SECRET.

    `differs` is false where it is the secret itself, spelled as the place needs that it is put in.
    """

    make: Callable[[bytes], bytes]
    shell: str
    differs: bool = True


NAMES = (  # that a secret may have where it is a parameter: in a query, a cookie, a body
    "shared_secret", "sharedSecret", "shared-secret", "secret", "token", "access_token", "auth_token", "api_key",
    "apiKey", "apikey", "api-key", "key", "auth", "authorization", "password", "signature",
)  # fmt: skip
BODY = 4000  # bytes of a body with the secret in it, whatever its length


def python(code: str) -> str:
    """Return the shell's expression for what Python writes, with the secret as the bytes `s`."""
    return f'"$(python3 -c \'import os, sys; s = os.environb[b"SHARED_SECRET"]; sys.stdout.buffer.write({code})\')"'


def wide(secret: bytes) -> bytes:
    """Return the secret in full-width letters, which Unicode normalisation (NFKC) turns back (UAX 15)."""
    return b"".join(chr(byte + 0xFEE0).encode() if 0x21 <= byte <= 0x7E else bytes([byte]) for byte in secret)


def other(letter: bytes) -> bytes:
    """Return another letter."""
    return b"y" if letter == b"x" else b"x"


def credentials(text: str) -> Change:
    """Return the change to Basic credentials, a text with `%s` for the secret (RFC 7617)."""
    before, after = text.split("%s")
    shell = python(f'__import__("base64").b64encode(b"{before}" + s + b"{after}")')
    return Change(lambda s: base64.b64encode(before.encode() + s + after.encode()), shell)


def hashed(name: str) -> Change:
    """Return the change to the hexadecimal digits of a hash."""
    return Change(
        lambda s: hashlib.new(name, s, usedforsecurity=False).hexdigest().encode(),
        python(f'__import__("hashlib").{name}(s).hexdigest().encode()'),
    )


def form(secret: bytes) -> bytes:
    """Return a form that has the secret under each of the usual names (HTML, application/x-www-form-urlencoded)."""
    return "&".join(f"{name}={quote(secret)}" for name in NAMES).ljust(BODY, "&").encode()


def object_of(secret: bytes) -> bytes:
    """Return a JSON object that has the secret under each of the usual names."""
    return json.dumps(dict.fromkeys(NAMES, secret.decode("utf-8", "replace"))).ljust(BODY).encode()


def encoded_letter(secret: bytes) -> bytes:
    """Return the secret with its first byte percent-encoded."""
    return b"%%%02X" % secret[0] + secret[1:]


CHANGES: Mapping[str, Change] = {
    "secret percent encoded": Change(
        lambda s: quote(s).encode(), python('__import__("urllib.parse").parse.quote(s).encode()'), differs=False
    ),
    "secret with all bytes encoded": Change(
        lambda s: "".join(f"%{byte:02X}" for byte in s).encode(), python('"".join(f"%{c:02X}" for c in s).encode()')
    ),
    "secret less a byte": Change(lambda s: s[:-1], '"${SHARED_SECRET%?}"'),
    "secret less its first byte": Change(lambda s: s[1:], '"${SHARED_SECRET#?}"'),
    "secret in other letter case": Change(bytes.swapcase, python("s.swapcase()")),
    "first half of the secret": Change(lambda s: s[: len(s) // 2], python("s[:len(s)//2]")),
    "second half of the secret": Change(lambda s: s[len(s) // 2 :], python("s[len(s)//2:]")),
    "first eight bytes of the secret": Change(lambda s: s[:8], python("s[:8]")),
    "secret with an encoded letter": Change(encoded_letter, python('b"%%%02X" % s[0] + s[1:]')),
    "secret in base64": Change(base64.b64encode, python('__import__("base64").b64encode(s)')),
    "secret in hex": Change(lambda s: s.hex().encode(), python("s.hex().encode()")),
    "secret as SHA-256": hashed("sha256"),
    "secret as SHA-1": hashed("sha1"),
    "secret as MD5": hashed("md5"),
    "secret backwards": Change(lambda s: s[::-1], python("s[::-1]")),
    "secret in full width": Change(
        wide, python('b"".join(chr(c + 0xFEE0).encode() if 33 <= c <= 126 else bytes([c]) for c in s)')
    ),
    "secret without punctuation": Change(
        lambda s: bytes(byte for byte in s if byte >= 0x80 or chr(byte).isalnum()),
        python("bytes(c for c in s if c >= 128 or chr(c).isalnum())"),
    ),
    "secret with a dash inside": Change(lambda s: s[:4] + b"-" + s[4:], python('s[:4] + b"-" + s[4:]')),
    "secret with a space inside": Change(lambda s: s[:4] + b" " + s[4:], python('s[:4] + b" " + s[4:]')),
    "as many bytes": Change(lambda s: b"x" * len(s), python('b"x" * len(s)')),
    "as many dots": Change(lambda s: b"." * len(s), python('b"." * len(s)')),
    "as many question marks": Change(lambda s: b"?" * len(s), python('b"?" * len(s)')),
    "as many underscores": Change(lambda s: b"_" * len(s), python('b"_" * len(s)')),
    "as many odd bytes": Change(lambda s: b"\xe9" * len(s), python(r'b"\xe9" * len(s)')),
    "as many letters": Change(lambda s: b"\xc3\xa9" * len(s), python(r'b"\xc3\xa9" * len(s)')),
    "secret with another last byte": Change(
        lambda s: s[:-1] + other(s[-1:]), python('s[:-1] + (b"y" if s[-1:] == b"x" else b"x")')
    ),
    "secret with another first byte": Change(
        lambda s: other(s[:1]) + s[1:], python('(b"y" if s[:1] == b"x" else b"x") + s[1:]')
    ),
    "basic credentials": credentials("gateway:%s"),
    "basic credentials of no user": credentials(":%s"),
    "basic credentials without a password": credentials("%s:"),
    "form with the secret": Change(
        form,
        python(
            '"&".join(n + "=" + __import__("urllib.parse").parse.quote(s) for n in "'
            + " ".join(NAMES)
            + f'".split()).ljust({BODY}, "&").encode()'
        ),
    ),
    "JSON with the secret": Change(
        object_of,
        python(
            '__import__("json").dumps(dict.fromkeys("'
            + " ".join(NAMES)
            + f'".split(), s.decode("utf-8", "replace"))).ljust({BODY}).encode()'
        ),
    ),
}
SIZES = {  # placeholders for long texts
    "8 KB": "x" * 8_000,
    "64 KB": "x" * 64_000,
    "1 MB": "x" * 1_000_000,
    "200 fields": "\r\n".join(f"X-Field-{number}: x" for number in range(200)),
}
SIZES_IN_SHELL = {
    **{name: f'"$(head -c {len(SIZES[name])} /dev/zero | tr "\\0" x)"' for name in ("8 KB", "64 KB", "1 MB")},
    "200 fields": """"$(seq -f 'X-Field-%.0f: x' 0 199 | sed '$!s/$/\\r/')\"""",
}
