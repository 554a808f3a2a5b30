"""For the name of every case, the service that was made to fail it: `BROKEN`."""

import posixpath
import re
from functools import partial
from urllib.parse import unquote

from tests.broken import checks, servers
from tests.broken.makers import (
    accepts,
    both,
    compares,
    fails_at,
    folds,
    limited,
    opens,
    picks,
    presented,
    reads,
    saying,
    silent_above,
    splits,
    without,
)
from tests.broken.service import HEADER, CarefulService, Request
from tests.contract.groups.deny import METHODS, RARE_METHODS
from tests.contract.target import UNCONFIGURED, Target


def unword(value: bytes) -> bytes:
    """Decode an RFC 2047 word."""
    return re.sub(rb"=\?utf-8\?q\?(.*?)\?=", rb"\1", value)


def parameter(request: Request) -> bytes:
    """Return the secret that is a parameter of the query."""
    name, _, value = request.target.partition("?")[2].partition("=")
    return value.encode() if name.lower().encode() == HEADER else b""


def after(prefix: bytes, value: bytes) -> bytes:
    """Return what comes after a prefix, or nothing."""
    return value[len(prefix) :] if value.startswith(prefix) else b""


def has_method(method: str, request: Request) -> bool:
    """Return whether a request is of a method."""
    return request.method == method


def decodes(text: str) -> bool:
    """Decode percent-encoded UTF-8, strictly."""
    return unquote(text, errors="strict") == ""


def first(found: list[bytes]) -> bytes:
    """Return the first of several values."""
    return found[0]


def last(found: list[bytes]) -> bytes:
    """Return the last of several values."""
    return found[-1]


UNCONFIGURED_DEFECTS: dict[str, type[CarefulService]] = {
    "unset": checks.RefusesWhenUnconfigured,
    "file-missing": checks.FallsBackToTheVariable,
    "previous-only": checks.PreviousIsEnough,
}  # for every other state: checks.DoesNotStrip
ALL_METHODS = (*METHODS, *RARE_METHODS, "CONNECT")
DOCS = ("docs", "redoc", "openapi", "schema", "schema-openapi")
Prefix = opens(lambda path: path.startswith("/healthz"))
Normal = opens(lambda path: posixpath.normpath(unquote(path)) == "/healthz")
OpenToAllMethods = accepts(lambda request: request.path == "/healthz")
OpenDocs = accepts(lambda request: re.match(r"/(docs|redoc|schema|openapi)", request.path))
NotAPath = accepts(lambda request: not request.target.startswith("/"))
DecodesWords = fails_at(lambda request: any(b"=?" in value for _, value in request.fields))
ParsesBodies = fails_at(lambda request: request.all(b"content-type"))
DecodesPaths = fails_at(lambda request: decodes(request.path))
DecodesRoots = fails_at(lambda request: not request.get(b"x-vhm-root").isascii())
AnyValue = compares(lambda secret, value: True)
CountsFields = fails_at(lambda request: len(request.fields) > 100)
Endless = limited(1_000_000_000)

BROKEN: dict[str, type[CarefulService]] = {
    "open/alone": checks.NothingIsOpen,
    "open/wrong-secret": checks.ChecksTheOpenPath,
    "open/query": checks.LooksAtTheWholeTarget,
    "open/odd-query": fails_at(lambda request: "self=" in request.target),
    "open/HTTP-1.0": servers.RefusesOldHttp,
    "open/absolute-form": fails_at(lambda request: "://" in request.target),
    "open/unknown-charset": DecodesWords,
    "open/virtual-root": DecodesRoots,
    "open/body": checks.OtherBodies,
    **{f"config/{state}-open": checks.OpenPathNeedsASecret for state in UNCONFIGURED},
    **{
        f"config/{state}-{sent}": UNCONFIGURED_DEFECTS.get(state, checks.DoesNotStrip)
        for state in UNCONFIGURED
        for sent in ("missing", "empty", "secret", "previous")
    },
    "config/first-blank": checks.HeaderFirst,
    "config/first-wrong": checks.RefusesWhenUnconfigured,
    "config/first-byte-0xe9": checks.HeaderFirst,
    "config/first-twice": checks.HeaderFirst,
    "config/first-unknown": checks.RoutesFirst,
    "config/first-method": checks.RoutesFirst,
    "config/first-docs": OpenDocs,
    "config/first-near-open": Prefix,
    "config/first-body": servers.KnowsTheBodyFirst,
    "auth/right": compares(lambda secret, value: False),
    "auth/right-and-query": checks.LooksAtTheWholeTarget,
    "auth/right-and-odd-query": fails_at(lambda request: "self=" in request.target),
    "auth/right-HTTP-1.0": servers.RefusesOldHttp,
    "auth/right-body": checks.OtherBodies,
    "auth/name-in-lower-case": servers.KnowsLetterCase,
    "auth/space-around": servers.KeepsSpace,
    "auth/missing": checks.AcceptsAMissingHeader,
    "auth/missing-HTTP-1.0": accepts(lambda request: request.version == "HTTP/1.0"),
    "auth/empty": checks.AcceptsAMissingHeader,
    "auth/blank": checks.AcceptsAMissingHeader,
    "auth/wrong": AnyValue,
    "auth/secret-less-a-byte": compares(lambda secret, value: secret.startswith(value)),
    "auth/secret-less-its-first-byte": compares(lambda secret, value: secret.endswith(value)),
    "auth/secret-plus-a-byte": compares(lambda secret, value: value.startswith(secret)),
    "auth/letter-case": compares(lambda secret, value: secret.lower() == value.lower()),
    "auth/quoted": compares(lambda secret, value: secret == value.strip(b'"')),
    "auth/bearer": compares(lambda secret, value: secret == value.removeprefix(b"Bearer ")),
    "auth/rfc-2047-word": compares(lambda secret, value: secret == unword(value)),
    "auth/previous": checks.RemembersTheOldSecret,
    "auth/in-query": presented(parameter),
    "auth/in-cookie": presented(lambda request: after(Target.header.encode() + b"=", request.get(b"cookie"))),
    "auth/in-authorization": presented(lambda request: after(b"Bearer ", request.get(b"authorization"))),
    "auth/in-trailer": servers.ReadsTrailers,
    "auth/in-trailer-of-post": both(servers.ReadsTrailers, checks.FindsEverything),
    "deny/HEAD-protected": accepts(lambda request: request.method == "HEAD"),
    **{
        f"deny/{method}-protected": accepts(partial(has_method, method))
        for method in (*METHODS, *RARE_METHODS, "CONNECT")
    },
    **{f"deny/{method}-open": OpenToAllMethods for method in ("HEAD", *ALL_METHODS)},
    **{f"deny/path-{name}": OpenDocs for name in DOCS},
    **{f"deny/path-{name}": checks.RoutesFirst for name in ("root", "unknown", "favicon")},
    "deny/path-not-utf-8": DecodesPaths,
    "deny/path-protected-slash": servers.RedirectsFirst,
    "deny/absolute-form": NotAPath,
    "deny/absolute-form-other-host": NotAPath,
    "deny/CONNECT-authority": NotAPath,
    "deny/asterisk-form": NotAPath,
    "deny/preflight": accepts(lambda request: request.method == "OPTIONS" and request.all(b"origin")),
    "deny/websocket": accepts(lambda request: request.all(b"upgrade")),
    "deny/body-not-sent": servers.ReadsTheBodyFirst,
    "deny/chunks-not-sent": servers.ReadsTheBodyFirst,
    "deny/bad-json": servers.KnowsTheBodyFirst,
    "deny/wrong-secret-unknown": checks.RoutesFirst,
    "deny/open-slash-after": Prefix,
    "deny/open-slash-before": opens(lambda path: re.sub("/+", "/", path) == "/healthz"),
    "deny/open-nul": opens(lambda path: path.partition("%00")[0] == "/healthz"),
    "deny/open-space": opens(lambda path: unquote(path).strip() == "/healthz"),
    "deny/open-not-utf-8": opens(lambda path: unquote(path, errors="ignore") == "/healthz"),
    "deny/open-parameter": opens(lambda path: path.partition(";")[0] == "/healthz"),
    "deny/open-encoded-query": opens(lambda path: unquote(path).partition("?")[0] == "/healthz"),
    "deny/open-suffix": Prefix,
    "deny/open-letter-case": opens(lambda path: path.lower() == "/healthz"),
    "deny/open-below": Prefix,
    "deny/open-above": opens(lambda path: path.endswith("/healthz")),
    "deny/open-dots-to-protected": Prefix,
    "deny/open-encoded-dots-to-protected": Prefix,
    "deny/open-dot": Normal,
    "deny/open-dots": Normal,
    "deny/method-override": checks.Overridden,
    "deny/original-url": checks.Overridden,
    "deny/rewrite-url": checks.Overridden,
    "deny/forwarded-prefix": checks.Overridden,
    "deny/path-info": checks.Overridden,
    "deny/script-name": servers.LosesItsPlace,
    "deny/script-name-elsewhere": servers.LosesItsPlace,
    "deny/moved-from-open": checks.RoutedByHeader,
    "deny/forwarded-for": accepts(lambda request: request.get(b"x-forwarded-for") == b"127.0.0.1"),
    "deny/forwarded": accepts(lambda request: b"for=127.0.0.1" in request.get(b"forwarded")),
    "deny/forwarded-host": accepts(lambda request: request.get(b"x-forwarded-host") == b"localhost"),
    "deny/real-ip": accepts(lambda request: request.get(b"x-real-ip") == b"127.0.0.1"),
    "deny/pipelined": checks.RemembersTheConnection,
    "deny/body-is-no-request": servers.TakesTheBodyForARequest,
    "wire/right-twice": picks(first),
    "wire/right-then-wrong": picks(first),
    "wire/wrong-then-right": picks(last),
    "wire/right-then-empty": picks(first),
    "wire/empty-then-right": picks(last),
    "wire/joined-right-twice": splits(first),
    "wire/joined-right-then-wrong": splits(first),
    "wire/joined-wrong-then-right": splits(last),
    "wire/underscores": folds(first),
    "wire/half-underscores": folds(first),
    "wire/underscores-after-wrong": folds(last),
    "wire/underscores-before-wrong": folds(first),
    "wire/half-underscores-after-wrong": folds(last),
    "wire/wrong-underscores-after-right": fails_at(lambda request: request.all(HEADER.replace(b"-", b"_"))),
    "wire/byte-0xe9": checks.TextComparison,
    "wire/right-and-0xe9": checks.LossyText,
    "wire/utf-8": checks.TextComparison,
    "wire/not-utf-8": checks.TextComparison,
    "wire/nul": reads(lambda head: head.replace(b"\0", b"")),
    "wire/folded": reads(lambda head: re.sub(rb"\r\n[ \t][^\r]*", b"", head)),
    "wire/space-before-colon": reads(lambda head: head.replace(b" :", b":")),
    "wire/no-colon": reads(lambda head: re.sub(rb"(?i)(\r\n" + HEADER + rb") ", rb"\1: ", head)),
    "wire/bare-lf": both(reads(lambda head: re.sub(rb"(?<!\r)\n", b"\r\n", head)), picks(last)),
    "wire/bare-cr": both(reads(lambda head: re.sub(rb"\r(?!\n)", b"\r\n", head)), picks(last)),
    "wire/8-KB": silent_above(7_000),
    "wire/64-KB": silent_above(60_000),
    "wire/1-MB": silent_above(900_000),
    "wire/200-fields": CountsFields,
    "wire/no-host": servers.NeedsOneHost,
    "wire/two-hosts": servers.NeedsOneHost,
    "wire/length-twice": servers.AddsUpLengths,
    "wire/length-not-a-number": servers.AddsUpLengths,
    "wire/length-and-chunks": servers.ExpectsOneFraming,
    "wire/version": servers.ExpectsAVersion,
    "wire/no-version": servers.ExpectsAVersion,
    "wire/unknown-transfer-encoding": fails_at(lambda request: request.get(b"transfer-encoding") == b"odd"),
    "wire/unknown-charset": DecodesWords,
    "wire/bad-path-right": DecodesPaths,
    "wire/form-charset-right": ParsesBodies,
    "wire/form-bytes-right": ParsesBodies,
    "wire/no-boundary-right": ParsesBodies,
    "wire/half-json-right": ParsesBodies,
    "wire/odd-type-right": ParsesBodies,
    "wire/no-host-right": servers.NeedsOneHost,
    "wire/odd-host-right": fails_at(lambda request: b"[" in request.get(b"host")),
    "wire/odd-cookie-right": fails_at(lambda request: not request.get(b"cookie").isascii()),
    "wire/bad-query-right": fails_at(lambda request: decodes(request.target)),
    "wire/unknown-charset-right": DecodesWords,
    "wire/bad-base64-right": DecodesWords,
    "wire/word-in-text-right": DecodesWords,
    "wire/virtual-root-right": DecodesRoots,
    "wire/HEAD-right": fails_at(lambda request: request.method == "HEAD"),
    "wire/OPTIONS-right": fails_at(lambda request: request.method == "OPTIONS"),
    "wire/slash-right": fails_at(lambda request: request.path.endswith("/")),
    "wire/200-fields-right": CountsFields,
    "errors/not-found": checks.FindsEverything,
    "errors/no-method": checks.FindsEverything,
    "errors/accept-html": checks.AsksBrowsersToLogIn,
    "errors/challenge": without("WWW-Authenticate"),
    "errors/no-secret": checks.TellsTheSecret,
    "errors/no-traceback": saying(b'{"error": "Traceback (most recent call last): ..."}'),
    "errors/no-file-path": saying(b'{"error": "in /srv/app/main.py, line 1"}'),
    "errors/no-version": saying(b'{"error": "Express/4.18"}'),
    "errors/json": saying(b"Unauthorized", "text/plain"),
    "errors/words": saying(b'{"error": "no"}'),
    "errors/no-store": without("Cache-Control"),
    "load/endless-value": Endless,
    "load/endless-lines": Endless,
    "load/endless-target": Endless,
    "load/memory": limited(48_000_000),
    "load/slow-client": servers.OneAtATime,
    "load/slow-clients": servers.FiftyAtATime,
    "rotate/new": checks.StaysWithTheOldSecret,
    "rotate/old": checks.ForgetsTheOldSecret,
    "rotate/other": AnyValue,
    "rotate/both": picks(first),
    "rotate/twice": picks(first),
    "rotate/files": servers.ReadsItsFilesOnce,
    "rotate/workers": servers.RestartsAllAtOnce,
    "life/half-closed": servers.HangsUpOnHalfClosed,
    "life/half-closed-in-flight": servers.HangsUpInFlight,
    "life/silent-on-stop": servers.WaitsForIdleConnections,
    "life/refused-upload": servers.ResetsUploads,
    "life/kept-on-reload": servers.DropsKeptConnections,
    "stop/in-flight": servers.EndsAtOnce,
    "stop/on-its-way": servers.EndsAtOnce,
    "stop/port-closed": servers.KeepsItsPortOpen,
    "stop/exit-status": servers.EndsWithAnError,
    "stop/worker-killed": servers.LosesWorkers,
    "leak/own-secret": servers.LogsSecrets,
    "leak/presented-secret": servers.LogsWhatIsRefused,
    "leak/query": servers.LogsTheQuery,
    "leak/forged-line": servers.LogsDecodedPaths,
}
