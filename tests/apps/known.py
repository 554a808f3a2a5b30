"""What is known of the apps: what each answers where the contract leaves it open, and what cannot be fixed here."""

from collections.abc import Mapping

# Where a case allows more than one status code and not all five answer 401: the code, or that of most and the others.
KNOWN: dict[str, int | Mapping[str, int]] = {
    "open/absolute-form": {"default": 401, "falcon": 200, "pyramid": 200},
    "open/unknown-charset": {"default": 200, "cherrypy": 400},
    "open/virtual-root": 200,
    "doors/websocket-open": 200,
    "deny/get-protected": {"default": 400, "fastapi": 401, "litestar": 401},
    "deny/get-open": {"default": 400, "fastapi": 401, "litestar": 401},
    "wire/wrong-underscores-after-right": 200,
    "wire/nul": 400,
    "wire/folded": {"default": 400, "fastapi": 401, "litestar": 401},
    "wire/space-before-colon": 400,
    "wire/no-colon": 400,
    "wire/bare-lf": {"default": 400, "fastapi": 401, "litestar": 401},
    "wire/bare-cr": 400,
    "wire/64-KB": {"default": 431, "fastapi": 400, "litestar": 400},
    "wire/1-MB": {"default": 431, "fastapi": 400, "litestar": 400},
    "wire/200-fields": {"default": 431, "fastapi": 401, "litestar": 401},
    "wire/no-host": {"default": 401, "fastapi": 400, "litestar": 400},
    "wire/two-hosts": 400,
    "wire/length-twice": 400,
    "wire/length-not-a-number": 400,
    "wire/length-and-chunks": {"default": 400, "fastapi": 401, "litestar": 401},
    "wire/version": {"default": 400, "fastapi": 401, "litestar": 401},
    "wire/unknown-transfer-encoding": {"default": 501, "fastapi": 400, "litestar": 400},
    "wire/no-version": 400,
    "wire/bad-path-right": {"default": 404, "pyramid": 400},
    "wire/form-charset-right": {"default": 404, "cherrypy": 400},
    "wire/form-bytes-right": {"default": 404, "cherrypy": 400},
    "wire/no-boundary-right": {"default": 404, "cherrypy": 400},
    "wire/half-json-right": 404,
    "wire/odd-type-right": 404,
    "wire/no-host-right": {"default": 400, "falcon": 200, "pyramid": 200},
    "wire/odd-host-right": {"default": 200, "falcon": 404, "fastapi": 307, "pyramid": 404},
    "wire/odd-cookie-right": 200,
    "wire/bad-query-right": {"default": 200, "cherrypy": 404},
    "wire/unknown-charset-right": {"default": 200, "cherrypy": 400},
    "wire/bad-base64-right": {"default": 200, "cherrypy": 400},
    "wire/word-in-text-right": {"default": 200, "cherrypy": 400},
    "wire/virtual-root-right": 200,
    "wire/HEAD-right": {"default": 405, "cherrypy": 200, "pyramid": 200},
    "wire/OPTIONS-right": {"default": 405, "falcon": 200, "litestar": 204, "pyramid": 404},
    "wire/slash-right": {"default": 200, "falcon": 404, "fastapi": 307, "pyramid": 404},
    "wire/200-fields-right": {"default": 431, "fastapi": 200, "litestar": 200},
    "errors/no-method": {"default": 405, "pyramid": 404},
}

# What fails, by name of the case and app, and why it cannot be fixed here. A test fails when such a case passes.
BASELINE: dict[tuple[str, str], str] = {
    (case, app): reason
    for app in ("fastapi", "litestar")
    for case, reason in {
        "life/half-closed-in-flight": "uvicorn closes a connection as soon as its client has closed its side",
        "stop/on-its-way": "uvicorn closes a connection whose request has not come as a whole when it stops",
        "leak/query": "uvicorn writes the query to its access log",
    }.items()
}


def known_status(case: str, app: str) -> int:
    """Return the status code that an app is known to answer a case with."""
    known = KNOWN.get(case, 401)
    return known if isinstance(known, int) else known.get(app, known["default"])
