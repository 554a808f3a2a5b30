"""The options of `origin-guard check`: one that does not fit the service ends it with status 2, and is named."""

import argparse
import asyncio
import json
import os
import re
import time
from pathlib import Path

import pytest

from tests.broken.conftest import RunCheck, Serve
from tests.broken.fixtures import SECRET
from tests.broken.makers import accepts
from tests.broken.service import HEADER, CarefulService, Refused, Request
from tests.broken.table import BROKEN
from tests.contract.http1 import Address
from tests.contract.options import at, routes

ROUTES = {"openapi": "3.1.0", "servers": [{"url": "/v1"}], "paths": {"/items/{id}": {"get": {}, "summary": "an item"}}}


class OtherNames(CarefulService):
    """Careful, with names of its own."""

    header, protected, open = b"x-origin-key", "/api/items", "/up"


class NothingOpen(CarefulService):
    """Careful, with no open path."""

    open = "?"


class OtherAnswers(CarefulService):
    """Careful, takes POST with a body, and answers with status codes of its own."""

    def route(self, request: Request) -> dict[str, str]:
        if request.path != self.protected:
            return super().route(request)
        if request.method != "POST":
            raise Refused(405)
        raise Refused(202 if request.get(b"content-type") == b"application/json" else 422)

    def check(self, request: Request) -> None:
        try:
            super().check(request)
        except Refused as error:
            raise Refused(403 if error.status == 401 else error.status, error.args[0]) from None


class HasAHost(CarefulService):
    """Answers 421 to requests for another host."""

    def before(self, request: Request) -> None:
        if request.get(b"host") != b"api.test":
            raise Refused(421)


class Lost(CarefulService):
    """Answers 404 to everything, as a gateway does that knows no such host."""

    def before(self, request: Request) -> None:
        raise Refused(404)


class Moved(CarefulService):
    """Redirects everything to https."""

    def before(self, request: Request) -> None:
        raise Refused(308, Location="https://api.test/")


class Silent(CarefulService):
    """Takes connections and says nothing."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        await reader.read()
        writer.close()


class SpeaksTls(CarefulService):
    """Answers as TLS does where it is asked in plain HTTP."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        await reader.read(1)
        writer.write(b"\x15\x03\x03\x00\x02\x02\x46")
        writer.close()


class Limits(CarefulService):
    """Answers 429 to some requests at first."""

    left, after = 1_000_000, "0"

    def before(self, request: Request) -> None:
        if self.left > 0:
            self.left -= 1
            raise Refused(429, "Too many requests", **{"Retry-After": self.after})


class LimitsTwice(Limits):
    """Answers 429 twice, and says when to come again."""

    left, after = 2, "1"


class Documented(CarefulService):
    """Has an OpenAPI document, for those who have the secret, and keeps what it was asked."""

    asked: list[Request] = []

    def route(self, request: Request) -> dict[str, str]:
        self.asked.append(request)
        return ROUTES if request.path == "/openapi.json" else super().route(request)  # type: ignore[return-value]


def test_other_names(serve: Serve, run_check: RunCheck) -> None:
    """The field, the protected path and the open one can be given."""
    names = ["--header", "X-Origin-Key", "--protected", "/api/items", "--open", "/up"]
    status, output = run_check(serve(OtherNames), *names)
    assert status == 0, output


def test_other_answers(serve: Serve, run_check: RunCheck) -> None:
    """So can the method, the body and the status codes."""
    given = ["--method", "POST", "--body", '{"a": 1}', "--granted", "202", "--denied", "403"]
    status, output = run_check(serve(OtherAnswers), *given, "--only", "open,auth,config")
    assert status == 0, output


def test_no_open_path(serve: Serve, run_check: RunCheck) -> None:
    """Cases about the open path are then not checked."""
    status, output = run_check(serve(NothingOpen), "--open", "")
    assert status == 0, output
    assert "--   open/alone" in output


def test_another_host(serve: Serve, run_check: RunCheck) -> None:
    """It is asked for in the Host field, and in TLS."""
    status, output = run_check(serve(HasAHost), "--host", "api.test", "--only", "auth")
    assert status == 0, output
    assert Address("127.0.0.1", 443, True, "api.test:8443").server_name == "api.test"


POST = ["--method", "POST", "--denied", "403"]


@pytest.mark.parametrize(
    ("service", "options", "words"),
    [
        (CarefulService, ["--protected", "/nope"], "--protected is a path that exists"),
        (CarefulService, ["--open", "/healthz,/up"], "GET /up without the secret is answered 401. --open names"),
        (BROKEN["open/alone"], [], "GET /healthz without the secret is answered 401. --open names"),
        (CarefulService, ["--header", "X-Key"], "--header is not the field that the service reads, or SHARED_SECRET"),
        (BROKEN["auth/right"], [], "as with a wrong one. SHARED_SECRET is not the secret"),
        (CarefulService, ["--method", "POST"], "--method is the method"),
        (OtherAnswers, [*POST, "--granted", "202"], "422. --body is the JSON"),
        (OtherAnswers, [*POST, "--body", "{}"], "answered 202, not 200. --granted is"),
        (OtherAnswers, ["--method", "POST", "--body", "{}", "--granted", "202"], "403, not 401. --denied is"),
        (CarefulService, ["--granted", "204"], "answered 200, not 204. --granted is"),
        (CarefulService, ["--denied", "403"], "401, not 403. --denied is"),
        (HasAHost, [], "Every request is answered 421, the open path too. Is it https://, or another --host?"),
        (Lost, [], "Is it another --host, or other paths: --protected, --open?"),
        (Moved, [], "a redirect to https://api.test/. Is it https://"),
        (SpeaksTls, [], "does not answer HTTP: no answer: "),
        (SpeaksTls, [], "Is it https://, another port"),
        (Silent, ["--timeout", "0.2"], "a longer --timeout?"),
        (Limits, [], "limits requests, with 429: exempt the client that runs the check."),
    ],
)
def test_what_does_not_fit(
    service: type[CarefulService], options: list[str], words: str, serve: Serve, run_check: RunCheck
) -> None:
    """Status 2 and one line that names the option, before any case is run."""
    status, output = run_check(serve(service), *options)
    assert status == 2
    assert words in output.splitlines()[-1]
    assert len(output.splitlines()) == 2, "the usage, and that line"


def test_another_secret(serve: Serve, run_check: RunCheck) -> None:
    """It is SHARED_SECRET that does not fit, or the service has none."""
    for environ, words in ({"SHARED_SECRET": "another-secret"}, "SHARED_SECRET is not"), ({}, "to have no secret"):
        status, output = run_check(serve(environ=environ))
        assert status == 2
        assert words in output.splitlines()[-1]


def test_another_scheme(serve: Serve, run_check: RunCheck) -> None:
    """TLS is not spoken there."""
    status, output = run_check(serve().replace("http:", "https:"), "--timeout", "0.5")
    assert status == 2
    assert "Is it http://?" in output.splitlines()[-1]


def test_a_limit_that_ends(serve: Serve, run_check: RunCheck) -> None:
    """After 429 a request is made again when the service says so."""
    begin = time.monotonic()
    status, output = run_check(serve(LimitsTwice), "--only", "auth/right")
    assert status == 0, output
    assert time.monotonic() - begin >= 2


def test_a_limit_in_the_middle(serve: Serve, run_check: RunCheck) -> None:
    """A service that limits requests later is not said to have failed."""

    class LimitsWrongOnes(CarefulService):
        """Answers 429 to a client that has been wrong too often."""

        wrong = 0

        def before(self, request: Request) -> None:
            self.wrong += request.all(HEADER) == [b"presented-and-wrong"]
            if self.wrong:
                raise Refused(429, "Too many requests", **{"Retry-After": "0"})

    status, output = run_check(serve(LimitsWrongOnes), "--only", "open,auth")
    assert status == 2
    assert "limits requests" in output.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "secret", "words"),
    [
        ([], "a-secret", "URL"),
        (["127.0.0.1:3000"], "a-secret", "http://host:port"),
        (["http://127.0.0.1:3000/path"], "a-secret", "http://host:port"),
        (["http://127.0.0.1:port"], "a-secret", "http://host:port"),
        (["http://127.0.0.1:0"], "a-secret", "http://host:port"),
        (["http://[::1"], "a-secret", "http://host:port"),
        (["http://127.0.0.1:3000", "--protected", "protected"], "a-secret", "path"),
        (["http://127.0.0.1:3000", "--open", "up"], "a-secret", "path"),
        (["http://127.0.0.1:3000", "--header", "X Key"], "a-secret", "header field"),
        (["http://127.0.0.1:3000", "--granted", "401"], "a-secret", "from 200 to 299"),
        (["http://127.0.0.1:3000", "--denied", "x"], "a-secret", "from 400 to 499"),
        (["http://127.0.0.1:3000", "--host", "a b"], "a-secret", "name of a host"),
        (["http://127.0.0.1:3000", "--timeout", "0"], "a-secret", "number of seconds"),
        (["http://127.0.0.1:3000", "--only", "auht"], "a-secret", "no group 'auht'"),
        (["http://127.0.0.1:3000", "--level", "lan"], "a-secret", "internet"),
        (["http://127.0.0.1:3000", "--headre", "X"], "a-secret", "--headre"),
        (["http://127.0.0.1:3000", "--report", "r.pdf"], "a-secret", ".html, .json, .xml"),
        (["http://127.0.0.1:3000", "--report", "nowhere/r.xml"], "a-secret", "folder"),
        (["http://127.0.0.1:3000"], "short", "8 characters"),
        (["http://127.0.0.1:3000"], None, "SHARED_SECRET"),
        (["http://127.0.0.1:3000"], " ", "SHARED_SECRET"),
        (["http://127.0.0.1:1"], "a-secret", "URL: no connection"),
        (["http://127.0.0.1:3000", "--log", "nowhere"], "a-secret", "nowhere"),
        (["http://127.0.0.1:3000", "--log", "/dev/null"], "a-secret", "not a regular file"),
        (["http://127.0.0.1:3000", "--known", "nowhere"], "a-secret", "nowhere"),
        (["http://127.0.0.1:3000", "--pid", "99999999"], "a-secret", "99999999"),
    ],
)
def test_what_makes_no_sense(arguments: list[str], secret: str | None, words: str, run_check: RunCheck) -> None:
    """Status 2 and one clear line."""
    status, output = run_check(*arguments, secret=secret)
    assert status == 2
    assert words in output.splitlines()[-1]


def test_files_that_cannot_be_used(tmp_path: Path, serve: Serve, run_check: RunCheck) -> None:
    """A pipe never hangs the command; a case that does not exist is not known to fail."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "known").write_text("auth/nope because\n")
    for options, words in (
        (["--log", str(tmp_path / "pipe")], "is not a regular file"),
        (["--known", str(tmp_path / "pipe")], "is not a regular file"),
        (["--paths", str(tmp_path / "pipe")], "is not a regular file"),
        (["--known", str(tmp_path / "known")], "there is no case auth/nope"),
    ):
        status, output = run_check(serve(), *options)
        assert (status, words in output.splitlines()[-1]) == (2, True), output


def test_other_instances(serve: Serve, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each URL lets its cases be checked; one that nobody listens at is named."""
    monkeypatch.setenv("SHARED_SECRET_PREVIOUS", "the-one-before")
    rotating = {"SHARED_SECRET": SECRET, "SHARED_SECRET_PREVIOUS": "the-one-before"}
    urls = ["--empty-url", serve(environ={"SHARED_SECRET": ""}), "--blank-url", serve(environ={"SHARED_SECRET": " \t"})]
    urls += ["--rotation-url", serve(environ=rotating), "--unconfigured-url", serve(environ={})]
    status, output = run_check(serve(), *urls, "--only", "config,rotate")
    assert status == 0, output
    for name in ("config/unset-missing", "config/empty-missing", "config/blank-secret", "rotate/old", "rotate/both"):
        assert f"ok   {name}" in output
    status, output = run_check(serve(), "--empty-url", "http://127.0.0.1:1")
    assert status == 2
    assert "--empty-url: no connection" in output.splitlines()[-1]


def test_a_rotation_has_a_secret_before(serve: Serve, run_check: RunCheck) -> None:
    """Without it, there is nothing to check there."""
    status, output = run_check(serve(), "--rotation-url", serve())
    assert status == 2
    assert "SHARED_SECRET_PREVIOUS" in output.splitlines()[-1]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROUTES),
        json.dumps({"swagger": "2.0", "basePath": "/v1", "paths": {"/items/{id}": {"get": {}}}}),
        "# routes\n\nGET /v1/items/1\n",
        "/v1/items/{id}",
        "get /v1/items/{id}",
    ],
)
def test_routes(text: str) -> None:
    """OpenAPI in JSON, and lines."""
    assert routes(text) == (("GET", "/v1/items/1"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("openapi: 3.1.0\npaths:\n  /items:\n    get: {}\n", "YAML"),
        ("<!doctype html>", "neither"),
        ("GET items", "neither"),
        ("[]", "no OpenAPI document"),
        ('{"paths": {}}', "no route"),
        ('{"paths": {"/a": null}}', "no route"),
        ("", "no route"),
    ],
)
def test_no_routes(text: str, words: str) -> None:
    """One sentence says why."""
    with pytest.raises(argparse.ArgumentTypeError, match=words):
        routes(text)


def test_paths(serve: Serve, run_check: RunCheck, tmp_path: Path) -> None:
    """Each route is tried without the secret, whether a file or the service lists it."""
    (file := tmp_path / "routes").write_text("GET /v1/items/1\n")
    open_item = type("OpenItem", (accepts(lambda request: request.path == "/v1/items/1"), Documented), {})
    for service, expected in (Documented, 0), (open_item, 1):
        url = serve(service)
        for source in (str(file), f"{url}/openapi.json"):
            status, output = run_check(url, "--paths", source, "--only", "doors/listed")
            assert status == expected, output
    status, output = run_check(serve(), "--paths", f"{serve()}/openapi.json")
    assert status == 2
    assert "openapi.json: it is answered 401" in output.splitlines()[-1]


def test_nobody_else_is_sent_the_secret(serve: Serve, run_check: RunCheck) -> None:
    """A document is asked for with the secret only where the service is."""
    Documented.asked.clear()
    stranger = type("Stranger", (accepts(lambda request: False), Documented), {"check": lambda self, request: None})
    run_check(serve(), "--paths", f"{serve(stranger)}/openapi.json", "--only", "doors/listed")
    (asked,) = Documented.asked
    assert asked.all(HEADER) == []


def test_addresses() -> None:
    """Usual ports are known."""
    assert at("http://host") == Address("host", 80)
    assert at("https://[::1]/") == Address("::1", 443, True)
    assert re.match(r"\[::1\]:443", str(at("https://[::1]")))
