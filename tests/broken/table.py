"""For the name of every case, the service that was made to fail it: `BROKEN`."""

import fnmatch
import json
import posixpath
import re
import unicodedata
from functools import partial
from urllib.parse import parse_qs, unquote, unquote_to_bytes

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
    presented_in_body,
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


def parameter_named(name: str, request: Request) -> bytes:
    """Return a parameter of the query."""
    return parse_qs(request.target.partition("?")[2]).get(name, [""])[0].encode()


def near_field(request: Request) -> bytes:
    """Return the first field whose name begins as that of the secret."""
    return next((value for name, value in request.fields if name.startswith(HEADER)), b"")


def in_form(body: bytes) -> bytes:
    """Return the secret in a form."""
    return parse_qs(body).get(b"secret", [b""])[0]


def in_json(body: bytes) -> bytes:
    """Return the secret in a JSON object."""
    try:
        return str(json.loads(body)["secret"]).encode()
    except ValueError:
        return b""


def compares_letters_first(secret: bytes, value: bytes) -> bool:
    """Compare the numbers of letters, and then bytes; where those are of other numbers the service ends."""
    if len(value.decode("latin-1")) == len(secret) and not value.isascii():
        raise ConnectionError
    return secret == value


def normal(value: bytes) -> bytes:
    """Normalise text (NFKC)."""
    return unicodedata.normalize("NFKC", value.decode("utf-8", "replace")).encode()


def trimmed(value: bytes) -> bytes:
    """Take off all that is space in Unicode."""
    return value.decode(errors="replace").strip().encode()


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
ALL_METHODS = (*METHODS, *RARE_METHODS, "get", "CONNECT")
DOCS = ("docs", "redoc", "openapi", "schema", "schema-openapi")
Prefix = opens(lambda path: path.startswith("/healthz"))
Normal = opens(lambda path: posixpath.normpath(unquote(path)) == "/healthz")
OpenToAllMethods = accepts(lambda request: request.path == "/healthz")
RoutedByUri = accepts(lambda request: request.get(b"x-forwarded-uri") == b"/healthz")
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
    "config/default-words": checks.HasADefault,
    "config/words-for-nothing": checks.ComparesWithNothing,
    "config/elsewhere": checks.LooksElsewhereFirst,
    "auth/right": compares(lambda secret, value: False),
    "auth/right-and-query": checks.LooksAtTheWholeTarget,
    "auth/right-and-odd-query": fails_at(lambda request: "self=" in request.target),
    "auth/right-HTTP-1.0": servers.RefusesOldHttp,
    "auth/right-body": checks.OtherBodies,
    "auth/name-in-lower-case": servers.KnowsLetterCase,
    "auth/space-around": servers.KeepsSpace,
    "auth/tab-around": servers.KeepsSpace,
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
    "auth/as-long": compares(lambda secret, value: len(secret) == len(value)),
    "auth/as-long-not-ascii": compares(compares_letters_first),
    "auth/part": compares(lambda secret, value: secret[:8] == value[:8]),
    "auth/encoded": compares(lambda secret, value: secret == unquote_to_bytes(value)),
    "auth/rearranged": compares(lambda secret, value: secret.replace(b"-", b"") == value.replace(b"-", b"")),
    "auth/folded": compares(lambda secret, value: secret == normal(value)),
    "auth/with-more": compares(lambda secret, value: secret in re.split(rb"[ ,;]+", value)),
    "auth/scheme": compares(lambda secret, value: secret == value.split()[-1]),
    "auth/number": compares(lambda secret, value: secret == value.removeprefix(b"+")),
    "auth/words": compares(lambda secret, value: secret == value or hasattr(dict, value.decode("latin-1"))),
    "auth/patterns": compares(fnmatch.fnmatchcase),
    "auth/default-words": compares(lambda secret, value: value in (secret, b"changeme")),
    "auth/other-space-around": compares(lambda secret, value: secret == trimmed(value)),
    "auth/controls-around": reads(lambda head: head.replace(b"\f", b"")),
    "auth/in-parameters": presented(partial(parameter_named, "token")),
    "auth/in-cookies": presented(lambda request: after(b"token=", request.get(b"cookie"))),
    "auth/in-schemes": presented(lambda request: after(b"Token ", request.get(b"authorization"))),
    "auth/in-other-fields": presented(lambda request: request.get(b"x-api-key")),
    "auth/in-near-fields": presented(near_field),
    "auth/in-body": presented_in_body(in_form),
    "auth/in-body-of-get": presented_in_body(in_json),
    "auth/in-path": both(
        presented(lambda request: unquote_to_bytes(request.path.rpartition("/")[2])), checks.FindsEverything
    ),
    "auth/cookie-of-accepted": checks.SetsACookie,
    "auth/in-query": presented(parameter),
    "auth/in-cookie": presented(lambda request: after(Target.header.encode() + b"=", request.get(b"cookie"))),
    "auth/in-authorization": presented(lambda request: after(b"Bearer ", request.get(b"authorization"))),
    "auth/in-trailer": servers.ReadsTrailers,
    "auth/in-trailer-of-post": both(servers.ReadsTrailers, checks.FindsEverything),
    "deny/HEAD-protected": accepts(lambda request: request.method == "HEAD"),
    **{f"deny/{method}-protected": accepts(partial(has_method, method)) for method in ALL_METHODS},
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
    "deny/methods-protected": accepts(partial(has_method, "PROPFIND")),
    "deny/methods-open": accepts(lambda request: request.path == "/healthz" and request.method in ("Post", "SEARCH")),
    "deny/conditions": accepts(lambda request: request.all(b"if-none-match")),
    "deny/preferences": accepts(lambda request: b"openmetrics" in request.get(b"accept")),
    "deny/target-extension": accepts(lambda request: re.search(r"\.(css|js|png)$", request.path)),
    "deny/target-query": accepts(lambda request: re.search(r"\.(css|js|png)$", request.target)),
    "deny/target-parameter": accepts(lambda request: request.path == "/protected;x"),
    "deny/target-letters": accepts(lambda request: request.path == "/PROTECTED"),
    "deny/target-end": accepts(lambda request: request.path == "/protected%0a"),
    "deny/target-lines": accepts(lambda request: re.search(r"(?m)^/healthz$", unquote(request.path))),
    "deny/target-dots": accepts(lambda request: request.path.startswith("/static/")),
    "deny/target-slashes": accepts(lambda request: request.path == "//protected"),
    "deny/moved-method": checks.OpensByAnotherMethod,
    "deny/moved-path": RoutedByUri,
    "deny/client-address": accepts(lambda request: request.get(b"x-real-ip").startswith(b"169.254.")),
    "deny/client-forwarded": accepts(lambda request: b'for="[::1]"' in request.get(b"forwarded")),
    "deny/host": accepts(lambda request: request.get(b"host") == b"localhost"),
    "deny/host-field": accepts(lambda request: request.get(b"x-original-host") == b"internal"),
    "deny/origin": accepts(lambda request: request.get(b"referer").startswith(b"http://127.0.0.1")),
    "deny/user-agent": accepts(lambda request: request.get(b"user-agent").startswith(b"kube-probe/")),
    "deny/claim": accepts(lambda request: request.get(b"x-internal-request") == b"1"),
    "deny/circumstances": accepts(lambda request: request.get(b"sec-fetch-site") == b"same-origin"),
    "deny/after-granted": checks.RemembersTheAddress,
    "deny/many-wrong": checks.GivesUp,
    "deny/side-by-side": checks.KeepsTheSecretInAGlobal,
    "doors/metrics": opens(lambda path: path == "/metrics"),
    "doors/debug": opens(lambda path: path.startswith("/debug/pprof/")),
    "doors/management": opens(lambda path: path.startswith("/actuator")),
    "doors/well-known": opens(lambda path: path.startswith("/.well-known/")),
    "doors/static": opens(lambda path: path.startswith("/static/")),
    "doors/index": opens(lambda path: path == "/index.html"),
    "doors/admin": accepts(lambda request: request.method == "POST" and request.path == "/login"),
    "doors/docs": OpenDocs,
    "doors/health": opens(lambda path: path in ("/healthz", "/readyz")),
    "doors/mounted": accepts(lambda request: request.method == "OPTIONS" and request.path.startswith("/api/")),
    "doors/files": opens(lambda path: path == "/.env"),
    "doors/websocket": accepts(lambda request: request.all(b"upgrade") and request.path == "/ws"),
    "doors/websocket-open": servers.OpensAWebSocket,
    "doors/listed": accepts(lambda request: request.path == "/items"),
    "http2/open": checks.ClosedOverHttp2,
    "http2/auth": accepts(lambda request: request.version == "HTTP/2"),
    "http2/deny": accepts(lambda request: request.version == "HTTP/2" and request.method == "OPTIONS"),
    "http2/wire": picks(first),
    "http2/upgrade": servers.ChangesToHttp2,
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
    "wire/nul": reads(lambda head: re.sub(rb"\0[^\r]*", b"", head)),
    "wire/controls-inside": reads(lambda head: head.replace(b"\0", b"")),
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
    "errors/secret-untold": checks.ShowsFields,
    "errors/no-help": checks.SaysWhatIsWrong,
    "errors/no-content": checks.GoesOnAfterRefusing,
    "errors/no-traceback": saying(b'{"error": "Traceback (most recent call last): ..."}'),
    "errors/no-file-path": saying(b'{"error": "in /srv/app/main.py, line 1"}'),
    "errors/no-version": saying(b'{"error": "Express/4.18"}'),
    "errors/json": saying(b"Unauthorized", "text/plain"),
    "errors/words": saying(b'{"error": "no"}'),
    "errors/no-store": without("Cache-Control"),
    "load/endless-value": Endless,
    "load/endless-lines": Endless,
    "load/endless-target": Endless,
    "load/endless-body": servers.ReadsTheBodyFirst,
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
    "leak/at-start": servers.LogsItsEnvironment,
    "leak/malformed": servers.LogsWhatIsMalformed,
    "leak/query": servers.LogsTheQuery,
    "leak/forged-line": servers.LogsDecodedPaths,
}
