"""The options of the command: what each means, and the service that they describe."""

import argparse
import json
import os
import re
import socket
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from .groups import CASES, GROUPS
from .http1 import NO_ANSWER, Address, Response, exchange, request
from .messages import RIGHT, WRONG, protected
from .target import STATES, Instance, NotCheckedError, Target

SHORTEST = 8  # characters of a secret
DEADLINE = 10.0  # seconds that a service has for an answer
URLS = {  # the states of which an instance may be given
    "unset": ("unconfigured-url", "an instance without a secret"),
    "empty": ("empty-url", 'an instance with SHARED_SECRET=""'),
    "blank": ("blank-url", "an instance whose secret is white space"),
    "rotation": ("rotation-url", "an instance that accepts SHARED_SECRET_PREVIOUS too"),
}
OPERATIONS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")  # of OpenAPI's path item
REFUSALS = (401, 403, 404)  # the status codes with which services usually refuse
REPORTS = (".html", ".json", ".xml")


def called(option: str) -> str:
    """Return what an option is called here: a variable for make, or a flag."""
    return option.upper().replace("-", "_") if "BY_MAKE" in os.environ else f"--{option}"


def with_value(option: str, value: str) -> str:
    """Return an option with its value, as one types it here."""
    return f"{called(option)}{'=' if 'BY_MAKE' in os.environ else ' '}{value}"


def wrong(text: str) -> argparse.ArgumentTypeError:
    """Return the error for an argument that makes no sense."""
    return argparse.ArgumentTypeError(text)


def at(url: str) -> Address:
    """Return the address in a URL, which has to be http://host:port or https://host:port."""
    try:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}[parts.scheme]
        port = usual if parts.port is None else parts.port
    except (KeyError, ValueError):
        port = 0
    if not port or not parts.hostname or url.rstrip("/") != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise wrong(f"{url!r} is not http://host:port. Give paths as {called('protected')} and {called('open')}")
    return Address(parts.hostname, port, parts.scheme == "https")


def path(text: str) -> str:
    """Return a path; anything else is refused."""
    if not re.fullmatch(r"/[!-~]*", text):
        raise wrong(f"{text!r} is not a path: it starts with / and has no spaces")
    return text


def paths(text: str) -> tuple[str, ...]:
    """Return the paths with commas between them, or none."""
    return tuple(path(part.strip()) for part in text.split(",") if part.strip())


def token(text: str) -> str:
    """Return the name of a header field or of a method (RFC 9110 sections 5.1 and 9.1); anything else is refused."""
    if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", text, re.ASCII):
        raise wrong(f"{text!r} is not the name of a header field or of a method")
    return text


def code(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a status code from a range."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{3}", text) or not low <= int(text) <= high:
            raise wrong(f"{text!r} is not a status code from {low} to {high}")
        return int(text)

    return read


def host(text: str) -> str:
    """Return a host, with or without a port (RFC 9110 section 7.2)."""
    if not re.fullmatch(r"[\w.:\[\]-]+", text, re.ASCII):
        raise wrong(f"{text!r} is not the name of a host")
    return text


def seconds(text: str) -> float:
    """Return a number of seconds."""
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not float(text):
        raise wrong(f"{text!r} is not a number of seconds")
    return float(text)


def regular(path: str) -> Path:
    """Return the path of a file that can be read from its beginning to its end, more than once."""
    try:
        kind = Path(path).stat().st_mode
        if not stat.S_ISREG(kind):
            raise wrong(f"{path} is not a regular file: write what it gives to a file, and name that")
        Path(path).open().close()
    except OSError as error:
        raise wrong(f"{path}: {error.strerror}") from error
    return Path(path)


def process(number: str) -> int:
    """Return the number of a process that exists, and that listens, itself or in one below it."""
    if not number.isdigit() or not psutil.pid_exists(int(number)):
        raise wrong(f"there is no process {number}")
    try:
        main = psutil.Process(int(number))
        sockets = [found for process in (main, *main.children(recursive=True)) for found in process.net_connections()]
    except psutil.Error:  # it may not be looked at
        return int(number)
    if not any(found.status == psutil.CONN_LISTEN for found in sockets):
        raise wrong(f"the process {number} listens on nothing: it is not the service")
    return int(number)


def chosen(text: str) -> list[str]:
    """Return the names of the cases in a list of groups and cases."""
    names: list[str] = []
    for word in filter(None, map(str.strip, text.split(","))):
        found = [case.name for case in CASES if word in (case.name, case.group)]
        if not found:
            raise wrong(f"there is no case and no group {word!r}: the groups are {', '.join(GROUPS)}")
        names += found
    return names


def known(path: str) -> dict[str, str]:
    """Return the cases that are known to fail, with the reason, from a file of lines `group/what the reason`."""
    lines = [line.split(maxsplit=1) for line in regular(path).read_text(errors="replace").splitlines()]
    found = {words[0]: "".join(words[1:]).strip() for words in lines if words and not words[0].startswith("#")}
    if unknown := found.keys() - {case.name for case in CASES}:
        raise wrong(f"{path}: there is no case {', '.join(sorted(unknown))}")
    return found


def report(path: str) -> Path:
    """Return where a report is to be written, by the ending of its name."""
    folder = Path(path).absolute().parent
    if Path(path).suffix not in REPORTS or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise wrong(f"{path}: name a file that ends with {', '.join(REPORTS)}, in a folder that can be written to")
    return Path(path)


def routes(text: str) -> tuple[tuple[str, str], ...]:
    """Return method and path of each operation of an OpenAPI document, or of each line `METHOD /path`."""
    try:
        document = json.loads(text)
    except ValueError:
        if re.search(r"(?m)^(openapi|swagger|paths)\s*:", text):
            raise wrong("it is YAML: give the OpenAPI document as JSON") from None
        found = list(listed(text))
    else:
        found = list(operations(document))
    if not found:
        raise wrong("there is no route in it")
    return tuple((method, path(re.sub(r"\{[^}]*\}", "1", name))) for method, name in found)


def listed(text: str) -> Iterator[tuple[str, str]]:
    """Return the routes in lines such as GET /items."""
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2 or not words[-1].startswith("/"):
            raise wrong("it is neither an OpenAPI document in JSON nor lines such as GET /items")
        yield token(words[0] if len(words) == 2 else "GET").upper(), words[-1]


def operations(document: Any) -> Iterator[tuple[str, str]]:
    """Return the routes in an OpenAPI document, version 2 or 3."""
    items = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(items, dict):
        raise wrong("it is JSON, but no OpenAPI document with paths")
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], dict) else {}
    base = urlsplit(str(first.get("url") or document.get("basePath") or "")).path.rstrip("/")
    for name, item in items.items():
        for method in item if isinstance(item, dict) else ():
            if method in OPERATIONS:
                yield method.upper(), base + name


def read_paths(options: argparse.Namespace, service: Address, secret: str) -> tuple[tuple[str, str], ...]:
    """Return the routes in a file, or in a document at a URL: the service itself is asked for it with the secret."""
    source = options.paths
    if not source:
        return ()
    try:
        if not re.match("https?://", source):
            return routes(regular(source).read_text(errors="replace"))
        return routes(fetched(source, service, f"{options.header}: {secret}".encode("utf-8", "surrogateescape")))
    except argparse.ArgumentTypeError as error:
        raise wrong(f"{called('paths')}: {source}: {str(error).removeprefix(f'{source}: ')}") from error


def fetched(url: str, service: Address, field: bytes) -> str:
    """Return what is at a URL; nobody but the service is sent the field with the secret."""
    parts = urlsplit(url)
    address = at(f"{parts.scheme}://{parts.netloc}")
    own = service[:3] == address[:3]
    asked = request(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", *([field] if own else ()))
    address = service if own else address
    try:
        got = exchange(address, asked.replace(b"<host>", str(address).encode()), DEADLINE)
    except NO_ANSWER as error:
        raise wrong(f"no answer: {error!r}") from error
    if got.status != 200:
        raise wrong(f"it is answered {got.status}")
    return got.body.decode(errors="replace")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `check`."""
    add = parser.add_argument
    add("url", type=at, metavar="URL", help="where the service listens: http://host:port")
    add("--header", type=token, default=Target.header, help=f"the field of the secret, if not {Target.header}")
    add("--protected", type=path, default=Target.protected, help=f"a path that needs it, if not {Target.protected}")
    add("--method", type=token, default=Target.method, help="what the protected path is asked with, if not GET")
    add("--body", default="", help="the JSON that it takes")
    add("--open", type=paths, default=(Target.open,), help="the open paths, comma-separated; empty if there are none")
    add("--granted", type=code(200, 299), default=Target.granted, help="the status of what is accepted, if not 200")
    add("--denied", type=code(400, 499), default=Target.denied, help="the status of what is refused, if not 401")
    add("--host", type=host, help="the host that it is asked for, in Host and in TLS, if not that of the URL")
    add("--paths", default="", help="its routes: a file with lines such as GET /items, or OpenAPI as a file or URL")
    add("--log", type=regular, help="its log, to look for secrets")
    add("--pid", type=process, help="its process on this machine, to measure its memory")
    for name, about in URLS.values():
        add(f"--{name}", type=at, help=f"where {about} listens")
    add("--level", choices=["internet", "gateway"], default="internet", help="who can reach it; default: internet")
    add("--only", type=chosen, help="groups and cases to run, comma-separated")
    add("--known", type=known, default={}, help="a file of cases that are known to fail; one that passes is an error")
    add("--timeout", type=seconds, default=DEADLINE, help=f"seconds for an answer; default: {DEADLINE:g}")
    add("--report", type=report, help="a file to write: .html, .json or .xml (JUnit)")
    add("--quiet", action="store_true", help="show the last lines only")


def secret_of(environ: Mapping[str, str]) -> str:
    """Return the secret that the service has; one that cannot be used is refused."""
    secret = environ.get("SHARED_SECRET", "").strip()
    if not secret:
        raise wrong("set SHARED_SECRET in the environment to the secret that the service has")
    if len(secret) < SHORTEST:
        raise wrong(
            f"SHARED_SECRET has fewer than {SHORTEST} characters: too few to guard anything, or to find in a log"
        )
    return secret


def reach(options: argparse.Namespace) -> None:
    """Connect to every instance that the options name; one that cannot be reached is refused."""
    for name in ("url", *(name for name, _ in URLS.values())):
        url = getattr(options, name.replace("-", "_"))
        if url is None:
            continue
        option = "URL" if name == "url" else called(name)
        try:
            url._replace(name=options.host).connect(options.timeout).close()
        except ssl.SSLCertVerificationError as error:
            own = "For a certificate of your own, name its file in SSL_CERT_FILE."
            raise wrong(f"{option}: {url} is not trusted: {error.verify_message}. {own}") from error
        except (ConnectionRefusedError, socket.gaierror) as error:
            raise wrong(f"{option}: no connection to {url}: {error}") from error
        except OSError as error:
            asked = " Is it http://?" if url.tls else ""
            raise wrong(f"{option}: no connection to {url}: {error}.{asked}") from error


def target(options: argparse.Namespace, secret: str) -> Target:
    """Return the service that the options describe, as far as it can be reached."""
    previous = os.environ.get("SHARED_SECRET_PREVIOUS", "").strip()
    if options.rotation_url and not previous:
        raise wrong(f"{called('rotation-url')}: set SHARED_SECRET_PREVIOUS to the secret that it accepts too")
    before = options.log.stat().st_size if options.log else 0  # skip what was logged earlier
    log = (lambda: options.log.read_bytes()[before:].decode(errors="replace")) if options.log else None
    configured = Instance(options.url._replace(name=options.host), log, options.pid)
    if options.log:
        configured.whole_log = lambda: options.log.read_text(errors="replace")
    instances = dict.fromkeys(("configured", "behind-proxy", "crowded"), configured)
    for state, (name, _) in URLS.items():
        if url := getattr(options, name.replace("-", "_")):
            if url == options.url:
                raise wrong(f"{called(name)} is the URL of the service itself, and has to be that of another instance")
            instances[state] = Instance(url._replace(name=options.host))

    def start(state: str) -> Instance:
        if state in instances:
            return instances[state]
        if state in URLS:
            name, about = URLS[state]
            raise NotCheckedError(f"It needs the URL of {about}: {called(name)}.")
        if state in ("files", "slow", "silent"):
            raise NotCheckedError("It needs to start, change and stop the service itself.")
        environ = " ".join(f"{name}={value!r}" for name, value in STATES[state].items())
        raise NotCheckedError(f"A URL cannot show this: it needs a service started with {environ or 'no secret'}.")

    return Target(
        options.url.host,
        start,
        secret,
        previous or Target.previous,
        header=options.header,
        protected=options.protected,
        open=options.open[0] if options.open else None,
        also_open=options.open[1:],
        method=options.method,
        body=options.body.encode("utf-8", "surrogateescape"),
        denied=options.denied,
        granted=options.granted,
        paths=read_paths(options, configured.address, secret),
        deadline=options.timeout,
    )


def misfit(service: Target) -> str | None:
    """Ask for the protected path with the secret and without it, and for the open paths.

    Returns the sentence that says which option does not fit the service, or None.
    """
    address = service.instance("configured").address
    scheme = "http" if address.tls else "https"
    granted = service.ask("configured", protected(RIGHT))
    if isinstance(granted, str):
        what = f"{address} does not answer HTTP: {granted}"
        return f"{what}. Is it {scheme}://, another port, or a longer {called('timeout')}?"
    refused = service.ask("configured", protected())
    opened = {path: service.ask("configured", request(path)) for path in service.opens}
    statuses = {path: status(got) for path, got in opened.items()}
    if granted.status >= 300 and opened and {granted.status, status(refused), *statuses.values()} == {granted.status}:
        return not_answered(granted, scheme)
    if granted.status != service.granted:
        return not_granted(service, granted, refused)
    for path, got in statuses.items():
        if isinstance(got, str) or not 200 <= got < 300:
            what = f"GET {path} without the secret is answered {got}"
            return f"{what}. {called('open')} names the open paths; leave it empty if there are none."
    if status(refused) in REFUSALS and status(refused) != service.denied:
        what = f"Without the secret it answers {status(refused)}, not {service.denied}"
        return f"{what}. {called('denied')} is the status of what is refused."
    return None


def not_answered(got: Response, scheme: str) -> str | None:
    """Return why every request may be answered alike."""
    what = f"Every request is answered {got.status}, the open path too"
    if got.status // 100 == 3:
        return f"{what}: a redirect to {got.headers['Location']}. Is it {scheme}://, or another {called('host')}?"
    if got.status in (400, 421):
        return f"{what}. Is it {scheme}://, or another {called('host')}?"
    if got.status in (403, 404):
        return f"{what}. Is it another {called('host')}, or other paths: {called('protected')}, {called('open')}?"
    if got.status >= 500:
        return f"{what}. It does not seem to work."
    return f"{what}. Are {called('open')}, {called('header')} and SHARED_SECRET those of this service?"


def not_granted(service: Target, granted: Response, refused: Response | str) -> str:
    """Return why the right secret may not be accepted."""
    what = f"{service.method} {service.protected} with the secret is answered {granted.status}"
    differs = status(refused) != granted.status
    if granted.status // 100 == 3:
        return f"{what}, to {granted.headers['Location']}. {called('protected')} is a path that answers by itself."
    if granted.status == 405:
        return f"{what}. {called('method')} is the method that it takes."
    if granted.status == 404 and (differs or service.denied != 404):
        return f"{what}. {called('protected')} is a path that exists, for {called('method')} {service.method}."
    if 200 <= granted.status < 300:
        return f"{what}, not {service.granted}. {called('granted')} is the status of what is accepted."
    if granted.status in (400, 411, 415, 422) and differs:
        return f"{what}. {called('body')} is the JSON that it takes."
    if granted.status >= 500:
        return f"{what}. It seems to have no secret, or not to work."
    if said(granted) == said(service.ask("configured", protected(WRONG))) != said(refused):
        return f"{what}, as with a wrong one. SHARED_SECRET is not the secret that the service has."
    return (
        f"{what}, as without it. {called('header')} is not the field that the service reads, "
        "or SHARED_SECRET not the secret that it has."
    )


def status(got: Response | str) -> int | str:
    """Return the status code of an answer, or why there is none."""
    return got if isinstance(got, str) else got.status


def said(got: Response | str) -> object:
    """Return what an answer says, to compare it with others."""
    return got if isinstance(got, str) else (got.status, got.body)
