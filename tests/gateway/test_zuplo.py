"""The gateway for Zuplo, as far as its files tell: it is not run. What it shares with HAProxy's is read there."""

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import product
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, NamedTuple

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared.apps import APPS, ROOT

FOLDER = ROOT / "shared" / "gateway" / "zuplo"
HAPROXY = (ROOT / "shared" / "gateway" / "haproxy.cfg").read_text()
METHODS = {"get", "head", "post", "put", "patch", "delete", "options"}  # with TRACE the secret would be sent back
RUNTIME = "$import(@zuplo/runtime)"
ORDER = {  # the kinds of policy, in the order in which a request meets them, and what does the work
    "api-key-inbound": ("ApiKeyInboundPolicy", RUNTIME),
    "rate-limit-inbound": ("RateLimitInboundPolicy", RUNTIME),
    "remove-headers-inbound": ("RemoveHeadersInboundPolicy", RUNTIME),
    "custom-code-inbound": ("default", "$import(./modules/set-consumer)"),
    "set-headers-inbound": ("SetHeadersInboundPolicy", RUNTIME),
}
REMOVED = {
    *(
        "authorization",
        "proxy-authorization",
        "x-shared-secret",
        "x-consumer",
        "x-request-id",
        "x-real-ip",
        "forwarded",
    ),
    *(f"x-forwarded-{part}" for part in ("by", "for", "host", "port", "prefix", "proto", "protocol", "scheme")),
    *("x-forwarded-server", "x-forwarded-ssl", "forwarded", "connection", "upgrade", "http2-settings", "trailer", "te"),
}

Json = dict[str, Any]


class Files(NamedTuple):
    """Both documents, parsed."""

    routes: Json
    policies: Json


def strictly(text: str) -> Json:
    """Parse JSON without what RFC 8259 leaves open: names that come twice, and numbers that are none."""

    def once(pairs: list[tuple[str, Any]]) -> Json:
        assert len(dict(pairs)) == len(pairs), f"a name comes twice: {[name for name, _ in pairs]}"
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    parsed = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    assert isinstance(parsed, dict)
    return parsed


FILES = Files(*(strictly((FOLDER / "config" / name).read_text()) for name in ("routes.oas.json", "policies.json")))


def operations(files: Files) -> Iterator[tuple[str, Json]]:
    """Yield the path of every operation, and what Zuplo is told to do in it."""
    for path, item in files.routes["paths"].items():
        for method in item.keys() - {"x-zuplo-path"}:
            yield path, item[method]["x-zuplo-route"]


def policy(files: Files, kind: str) -> Json:
    """Return the one policy of a kind."""
    (found,) = (each for each in files.policies["policies"] if each["policyType"] == kind)
    assert isinstance(found, dict)
    return found


def options(files: Files, kind: str) -> Json:
    """Return the options of the one policy of a kind."""
    found = policy(files, kind)["handler"]["options"]
    assert isinstance(found, dict)
    return found


def texts(node: object, *at: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a document, names among them, with where it stands."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield "/".join(at), name
            yield from texts(value, *at, name)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value, *at)
    elif isinstance(node, str):
        yield "/".join(at), node


def spellings(name: str) -> set[str]:
    """Return a header's name with a dash or an underscore in each place, in lower case."""
    first, *rest = name.lower().split("-")
    marks = product("-_", repeat=len(rest))
    return {first + "".join(mark + word for mark, word in zip(some, rest, strict=True)) for some in marks}


def valid(files: Files) -> None:
    """The routes are OpenAPI 3.1."""
    assert files.routes["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(files.routes).iter_errors()] == []


def apps(files: Files) -> None:
    """There is a route for each app, whatever comes below its name, and no other."""
    assert sorted(files.routes["paths"]) == sorted(f"/{app}:path(/.*)" for app in APPS)
    for item in files.routes["paths"].values():
        assert item["x-zuplo-path"] == {"pathMode": "url-pattern"}
        assert item.keys() == METHODS | {"x-zuplo-path"}


def origins(files: Files) -> None:
    """Each goes to its own origin, without the app's name and with the query; redirects are left to the client."""
    for path, route in operations(files):
        app = path[1:].partition(":")[0]
        assert route["handler"] == {
            "export": "urlRewriteHandler",
            "module": RUNTIME,
            "options": {"rewritePattern": f"${{env.{app.upper()}_URL}}${{params.path}}", "forwardSearch": True},
        }
        assert route["corsPolicy"] == "none"


def order(files: Files) -> None:
    """Every operation has every policy, in the order that makes them safe."""
    kinds = {each["name"]: each["policyType"] for each in files.policies["policies"]}
    assert len(kinds) == len(files.policies["policies"])
    for _, route in operations(files):
        assert [kinds.get(name) for name in route["policies"]["inbound"]] == list(ORDER)
        assert route["policies"].keys() == {"inbound"}


def named(files: Files) -> None:
    """Every policy that a route names exists, and every policy that exists is named."""
    names = {name for _, route in operations(files) for name in route["policies"]["inbound"]}
    assert names == {each["name"] for each in files.policies["policies"]}


def handlers(files: Files) -> None:
    """Every policy does what its kind says."""
    for kind, (export, module) in ORDER.items():
        handler = policy(files, kind)["handler"]
        assert (handler["export"], handler["module"]) == (export, module)


def keys(files: Files) -> None:
    """Without a key nothing goes on."""
    assert options(files, "api-key-inbound").get("allowUnauthenticatedRequests") is False


def rate(files: Files) -> None:
    """A consumer has on average what HAProxy gives it."""
    number = re.search(r'gpc0_rate\(0,rates\) ge "\$\{RATE-(\d+)\}"', HAPROXY)
    period = re.search(r"gpc0_rate\((\d+)s\)", HAPROXY)
    assert number
    assert period
    limit = options(files, "rate-limit-inbound")
    assert limit["rateLimitBy"] == "user"
    assert limit["requestsAllowed"] * int(period[1]) == int(number[1]) * 60 * limit["timeWindowMinutes"]


def removed(files: Files) -> None:
    """What HAProxy removes is removed, in every spelling and once; of a name without end, what is known to be used."""
    headers = [name.lower() for name in options(files, "remove-headers-inbound")["headers"]]
    assert sorted(headers) == sorted(set().union(*map(spellings, REMOVED)))
    patterns = re.findall(r"http-request del-header '(.+)' -m reg", HAPROXY)
    assert all(any(re.fullmatch(pattern, name) for pattern in patterns) for name in headers)
    assert all(any(re.fullmatch(pattern, name) for name in headers) for pattern in patterns)


def secret(files: Files) -> None:
    """The secret is set from the environment, over whatever a client has sent."""
    assert options(files, "set-headers-inbound")["headers"] == [
        {"name": "X-Shared-Secret", "value": "$env(SHARED_SECRET)", "overwrite": True}
    ]


def environment(files: Files) -> None:
    """What stands for a variable stands only where Zuplo puts its value in; and no secret is written out."""
    for at, text in texts(files.routes):
        assert "$env(" not in text, at
        assert "${env." not in text or re.fullmatch(r"paths/.+/x-zuplo-route/handler/options/rewritePattern", at), at
    for at, text in texts(files.policies):
        assert "$env(" not in text or at.startswith("policies/handler/options/"), at
        assert "${env." not in text, at
    for at, text in (*texts(files.routes), *texts(files.policies)):
        assert not re.search(r"[\w+/=-]{32,}", text), at  # `secrets.token_urlsafe(32)` has 43


def modules(files: Files) -> None:
    """What is imported from the project is there, and nothing else is."""
    imported = set()
    for _, text in (*texts(files.routes), *texts(files.policies)):
        imported |= set(re.findall(r"\$import\(\./(.+?)\)", text))
    assert imported == {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("modules/**/*.ts")}


Check = Callable[[Files], None]
CHECKS: tuple[Check, ...] = (
    valid, apps, origins, order, named, handlers, keys, rate, removed, secret, environment, modules,
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_files(check: Check) -> None:
    """All that has to be so is so."""
    check(FILES)


def first(files: Files) -> Json:
    """Return what Zuplo is told in one operation."""
    route: Json = files.routes["paths"]["/falcon:path(/.*)"]["get"]["x-zuplo-route"]
    return route


def headers_of(files: Files, kind: str) -> list[Any]:
    """Return the headers that a policy sets or removes."""
    found = options(files, kind)["headers"]
    assert isinstance(found, list)
    return found


BREAKS: dict[str, tuple[Check, Callable[[Files], object]]] = {
    "no info": (valid, lambda files: files.routes.pop("info")),
    "an operation that is none": (valid, lambda files: files.routes["paths"]["/falcon:path(/.*)"].update(get=[])),
    "another version": (valid, lambda files: files.routes.update(openapi="3.0.3")),
    "an app without a route": (apps, lambda files: files.routes["paths"].pop("/falcon:path(/.*)")),
    "a route without an app": (apps, lambda files: files.routes["paths"].update({"/flask:path(/.*)": {}})),
    "a path that is no pattern": (
        apps,
        lambda files: files.routes["paths"]["/falcon:path(/.*)"]["x-zuplo-path"].update(pathMode="open-api"),
    ),
    "a method too few": (apps, lambda files: files.routes["paths"]["/falcon:path(/.*)"].pop("delete")),
    "a method too many": (apps, lambda files: files.routes["paths"]["/falcon:path(/.*)"].update(trace={})),
    "the origin of another": (
        origins,
        lambda files: first(files)["handler"]["options"].update(rewritePattern="${env.FASTAPI_URL}${params.path}"),
    ),
    "the app's name kept": (
        origins,
        lambda files: first(files)["handler"]["options"].update(rewritePattern="${env.FALCON_URL}${pathname}"),
    ),
    "no query": (origins, lambda files: first(files)["handler"]["options"].update(forwardSearch=False)),
    "redirects followed": (origins, lambda files: first(files)["handler"]["options"].update(followRedirects=True)),
    "any web page": (origins, lambda files: first(files).update(corsPolicy="anything-goes")),
    "the secret before the key": (order, lambda files: first(files)["policies"]["inbound"].reverse()),
    "removed after it is set": (
        order,
        lambda files: first(files)["policies"]["inbound"].append(first(files)["policies"]["inbound"].pop(2)),
    ),
    "no key asked for": (order, lambda files: first(files)["policies"]["inbound"].pop(0)),
    "a policy that changes answers": (order, lambda files: first(files)["policies"].update(outbound=["set-secret"])),
    "two policies of a name": (
        order,
        lambda files: files.policies["policies"].append(deepcopy(policy(files, "api-key-inbound"))),
    ),
    "a policy that does not exist": (named, lambda files: first(files)["policies"]["inbound"].append("cache")),
    "a policy that is not named": (
        named,
        lambda files: files.policies["policies"].append({"name": "cache", "policyType": "caching-inbound"}),
    ),
    "another export": (handlers, lambda files: policy(files, "api-key-inbound")["handler"].update(export="default")),
    "another module": (
        handlers,
        lambda files: policy(files, "set-headers-inbound")["handler"].update(module="$import(./modules/set-consumer)"),
    ),
    "open to all": (keys, lambda files: options(files, "api-key-inbound").update(allowUnauthenticatedRequests=True)),
    "not said whether open": (keys, lambda files: options(files, "api-key-inbound").popitem()),
    "counted by address": (rate, lambda files: options(files, "rate-limit-inbound").update(rateLimitBy="ip")),
    "another number": (rate, lambda files: options(files, "rate-limit-inbound").update(requestsAllowed=100)),
    "another period": (rate, lambda files: options(files, "rate-limit-inbound").update(timeWindowMinutes=60)),
    "a header more": (removed, lambda files: headers_of(files, "remove-headers-inbound").append("Content-Type")),
    "a header twice": (removed, lambda files: headers_of(files, "remove-headers-inbound").append("x-consumer")),
    "another header": (secret, lambda files: headers_of(files, "set-headers-inbound")[0].update(name="X-Secret")),
    "not overwritten": (secret, lambda files: headers_of(files, "set-headers-inbound")[0].update(overwrite=False)),
    "another value": (secret, lambda files: headers_of(files, "set-headers-inbound")[0].update(value="$env(SECRET)")),
    "a secret written out": (
        environment,
        lambda files: headers_of(files, "set-headers-inbound")[0].update(value=token_urlsafe(32)),
    ),
    "a variable in a path": (environment, lambda files: files.routes["paths"].update({"/${env.PATH_PREFIX}": {}})),
    "a variable of a policy in a route": (
        environment,
        lambda files: first(files)["handler"]["options"].update(rewritePattern="$env(FALCON_URL)${params.path}"),
    ),
    "a variable of a route in a policy": (
        environment,
        lambda files: headers_of(files, "set-headers-inbound")[0].update(value="${env.SHARED_SECRET}"),
    ),
    "a variable as a name": (environment, lambda files: policy(files, "api-key-inbound").update(name="$env(NAME)")),
    "no such module": (
        modules,
        lambda files: policy(files, "custom-code-inbound")["handler"].update(module="$import(./modules/missing)"),
    ),
} | {
    f"{name} kept": (removed, lambda files, name=name: headers_of(files, "remove-headers-inbound").remove(name))  # type: ignore[misc]
    for name in headers_of(FILES, "remove-headers-inbound")
}


@pytest.mark.parametrize("how", BREAKS)
def test_what_is_broken_is_found(how: str) -> None:
    """Each check fails on files that are broken in one way, and for each check there is one."""
    assert {check for check, _ in BREAKS.values()} == set(CHECKS)
    check, change = BREAKS[how]
    files = deepcopy(FILES)
    change(files)
    assert files != FILES
    with pytest.raises(AssertionError):
        check(files)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1,}', '// no\n{"a": 1}'])
def test_json_is_parsed_strictly(text: str) -> None:
    """What only some parsers take is refused."""
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        strictly(text)


def test_readme_names_every_variable_and_file() -> None:
    """Who sets it up has to know them."""
    readme = (FOLDER / "README.md").read_text()
    used = set()
    for _, text in (*texts(FILES.routes), *texts(FILES.policies)):
        used |= set(re.findall(r"\$env\((\w+)\)|\$\{env\.(\w+)\}", text))
    assert {f"`{name}`" for pair in used for name in pair if name} <= set(re.findall(r"`[A-Z_]+`", readme))
    files = {path.relative_to(FOLDER) for path in FOLDER.rglob("*") if path.is_file()} - {Path("README.md")}
    assert {f"`{path}`" for path in files} <= set(re.findall(r"`[\w./-]+`", readme))
