"""The files of the gateway for Zuplo, which is not run here: they agree with haproxy.cfg where both can do the same."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from secrets import token_urlsafe

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ROOT
from tests.gateway.forging import spellings
from tests.gateway.zuplo import (
    FILES,
    FOLDER,
    Files,
    headers_of,
    one_route,
    operations,
    options,
    parse_strictly,
    policy,
    texts,
)

HAPROXY_CFG = (ROOT / "shared" / "gateway" / "haproxy.cfg").read_text()
METHODS = {"get", "head", "post", "put", "patch", "delete", "options"}  # an answer to TRACE would contain the secret
RUNTIME = "$import(@zuplo/runtime)"
ORDER = {  # the kinds of policy in the order in which they run, with the export and the module of each
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
        HEADER.lower(),
        "x-consumer",
        "x-request-id",
        "x-real-ip",
        "forwarded",
    ),
    *(f"x-forwarded-{part}" for part in ("by", "for", "host", "port", "prefix", "proto", "protocol", "scheme")),
    *("x-forwarded-server", "x-forwarded-ssl", "connection", "upgrade", "http2-settings", "trailer", "te"),
}


def valid(files: Files) -> None:
    """The routes are OpenAPI 3.1."""
    assert files.routes["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(files.routes).iter_errors()] == []


def apps(files: Files) -> None:
    """There is a route for everything below each app's name, and no other."""
    assert sorted(files.routes["paths"]) == sorted(f"/{app}:path(/.*)" for app in APPS)
    for item in files.routes["paths"].values():
        assert item["x-zuplo-path"] == {"pathMode": "url-pattern"}
        assert item.keys() == METHODS | {"x-zuplo-path"}


def origins(files: Files) -> None:
    """Each route goes to its own origin, without the app's name, with the query; redirects are left to the client."""
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
    kinds = {policy["name"]: policy["policyType"] for policy in files.policies["policies"]}
    assert len(kinds) == len(files.policies["policies"])
    for _, route in operations(files):
        assert [kinds.get(name) for name in route["policies"]["inbound"]] == list(ORDER)
        assert route["policies"].keys() == {"inbound"}


def named(files: Files) -> None:
    """The routes name every policy, and none that does not exist."""
    names = {name for _, route in operations(files) for name in route["policies"]["inbound"]}
    assert names == {policy["name"] for policy in files.policies["policies"]}


def handlers(files: Files) -> None:
    """Every policy has the export and the module of its kind."""
    for kind, (export, module) in ORDER.items():
        handler = policy(files, kind)["handler"]
        assert (handler["export"], handler["module"]) == (export, module)


def keys(files: Files) -> None:
    """A request without a key is refused."""
    assert options(files, "api-key-inbound").get("allowUnauthenticatedRequests") is False


def rate(files: Files) -> None:
    """On average a consumer may send as many requests as through HAProxy."""
    number = re.search(r"presetenv RATE (\d+)", HAPROXY_CFG)
    period = re.search(r"gpc0_rate\((\d+)s\)", HAPROXY_CFG)
    assert number
    assert period
    limit = options(files, "rate-limit-inbound")
    assert limit["rateLimitBy"] == "user"
    assert limit["requestsAllowed"] * int(period[1]) == int(number[1]) * 60 * limit["timeWindowMinutes"]


def removed(files: Files) -> None:
    """The headers that HAProxy removes are removed, each spelling once; for an open pattern, the names in use."""
    headers = [name.lower() for name in options(files, "remove-headers-inbound")["headers"]]
    assert sorted(headers) == sorted({spelling for name in REMOVED for spelling in spellings(name)})
    patterns = re.findall(r"http-request del-header '(.+)' -m reg", HAPROXY_CFG)
    assert all(any(re.fullmatch(pattern, name) for pattern in patterns) for name in headers)
    assert all(any(re.fullmatch(pattern, name) for name in headers) for pattern in patterns)


def secret(files: Files) -> None:
    """The secret is set from the environment, and replaces anything that a client has sent."""
    assert options(files, "set-headers-inbound")["headers"] == [
        {"name": HEADER, "value": "$env(SHARED_SECRET)", "overwrite": True}
    ]


def environment(files: Files) -> None:
    """A variable is named only where Zuplo puts in its value, and no secret is written out."""
    for at, text in texts(files.routes):
        assert "$env(" not in text, at
        assert "${env." not in text or re.fullmatch(r"paths/.+/x-zuplo-route/handler/options/rewritePattern", at), at
    for at, text in texts(files.policies):
        assert "$env(" not in text or at.startswith("policies/handler/options/"), at
        assert "${env." not in text, at
    for at, text in (*texts(files.routes), *texts(files.policies)):
        assert not re.search(r"[\w+/=-]{32,}", text), at  # `secrets.token_urlsafe(32)` has 43


def modules(files: Files) -> None:
    """The project has the modules that are imported, and no others."""
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
    """The files pass every check."""
    check(FILES)


DEFECTS: dict[str, tuple[Check, Callable[[Files], object]]] = {
    "no info": (valid, lambda files: files.routes.pop("info")),
    "an invalid operation": (valid, lambda files: files.routes["paths"]["/falcon:path(/.*)"].update(get=[])),
    "another version": (valid, lambda files: files.routes.update(openapi="3.0.3")),
    "an app without a route": (apps, lambda files: files.routes["paths"].pop("/falcon:path(/.*)")),
    "a route without an app": (apps, lambda files: files.routes["paths"].update({"/flask:path(/.*)": {}})),
    "a path without a pattern": (
        apps,
        lambda files: files.routes["paths"]["/falcon:path(/.*)"]["x-zuplo-path"].update(pathMode="open-api"),
    ),
    "a method too few": (apps, lambda files: files.routes["paths"]["/falcon:path(/.*)"].pop("delete")),
    "a method too many": (apps, lambda files: files.routes["paths"]["/falcon:path(/.*)"].update(trace={})),
    "another app's origin": (
        origins,
        lambda files: one_route(files)["handler"]["options"].update(rewritePattern="${env.FASTAPI_URL}${params.path}"),
    ),
    "the app's name kept": (
        origins,
        lambda files: one_route(files)["handler"]["options"].update(rewritePattern="${env.FALCON_URL}${pathname}"),
    ),
    "no query": (origins, lambda files: one_route(files)["handler"]["options"].update(forwardSearch=False)),
    "redirects followed": (
        origins,
        lambda files: one_route(files)["handler"]["options"].update(followRedirects=True),
    ),
    "any web page allowed": (origins, lambda files: one_route(files).update(corsPolicy="anything-goes")),
    "the secret before the key": (order, lambda files: one_route(files)["policies"]["inbound"].reverse()),
    "removed after it is set": (
        order,
        lambda files: one_route(files)["policies"]["inbound"].append(one_route(files)["policies"]["inbound"].pop(2)),
    ),
    "no key asked for": (order, lambda files: one_route(files)["policies"]["inbound"].pop(0)),
    "a policy that changes answers": (
        order,
        lambda files: one_route(files)["policies"].update(outbound=["set-secret"]),
    ),
    "two policies of a name": (
        order,
        lambda files: files.policies["policies"].append(deepcopy(policy(files, "api-key-inbound"))),
    ),
    "a policy that does not exist": (named, lambda files: one_route(files)["policies"]["inbound"].append("cache")),
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
    "not set whether open": (keys, lambda files: options(files, "api-key-inbound").popitem()),
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
        lambda files: one_route(files)["handler"]["options"].update(rewritePattern="$env(FALCON_URL)${params.path}"),
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


@pytest.mark.parametrize("defect", DEFECTS)
def test_broken_files(defect: str) -> None:
    """A check fails for files with one defect, and for each check there is such a defect."""
    assert {check for check, _ in DEFECTS.values()} == set(CHECKS)
    check, change = DEFECTS[defect]
    files = deepcopy(FILES)
    change(files)
    assert files != FILES
    with pytest.raises(AssertionError):
        check(files)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1,}', '// no\n{"a": 1}'])
def test_json_is_parsed_strictly(text: str) -> None:
    """JSON that only some parsers accept is refused."""
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        parse_strictly(text)


def test_readme_names_every_variable_and_file() -> None:
    """Anyone who sets it up needs them."""
    readme = (FOLDER / "README.md").read_text()
    used = set()
    for _, text in (*texts(FILES.routes), *texts(FILES.policies)):
        used |= set(re.findall(r"\$env\((\w+)\)|\$\{env\.(\w+)\}", text))
    assert {f"`{name}`" for pair in used for name in pair if name} <= set(re.findall(r"`[A-Z_]+`", readme))
    files = {path.relative_to(FOLDER) for path in FOLDER.rglob("*") if path.is_file()} - {Path("README.md")}
    assert {f"`{path}`" for path in files} <= set(re.findall(r"`[\w./-]+`", readme))
