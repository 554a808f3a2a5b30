"""What is known of the five apps: what each answers where the contract leaves it open, and what none can mend."""

from service import APPS, ROOT, start_command

# Where a case allows more than one status code and not all five answer 401:
# cherrypy, falcon, fastapi, litestar, pyramid, in the order of APPS.
SEEN = {
    "open/absolute-form": (200, 200, 401, 401, 200),
    "open/unknown-charset": (400, 200, 200, 200, 200),
    "open/virtual-root": (200, 200, 200, 200, 200),
    "deny/get-protected": (400, 400, 401, 401, 400),
    "deny/get-open": (400, 400, 401, 401, 400),
    "wire/wrong-underscores-after-right": (200, 200, 200, 200, 200),
    "wire/nul": (400, 400, 400, 400, 400),
    "wire/folded": (400, 400, 401, 401, 400),
    "wire/space-before-colon": (400, 400, 400, 400, 400),
    "wire/no-colon": (400, 400, 400, 400, 400),
    "wire/bare-lf": (400, 400, 401, 401, 400),
    "wire/bare-cr": (400, 400, 400, 400, 400),
    "wire/64-KB": (431, 431, 400, 400, 431),
    "wire/1-MB": (431, 431, 400, 400, 431),
    "wire/200-fields": (431, 431, 401, 401, 431),
    "wire/no-host": (401, 401, 400, 400, 401),
    "wire/two-hosts": (400, 400, 400, 400, 400),
    "wire/length-twice": (400, 400, 400, 400, 400),
    "wire/length-not-a-number": (400, 400, 400, 400, 400),
    "wire/length-and-chunks": (400, 400, 401, 401, 400),
    "wire/version": (400, 400, 401, 401, 400),
    "wire/unknown-transfer-encoding": (501, 501, 400, 400, 501),
    "wire/no-version": (400, 400, 400, 400, 400),
    "wire/bad-path-right": (404, 404, 404, 404, 400),
    "wire/form-charset-right": (404, 404, 404, 404, 404),
    "wire/form-bytes-right": (404, 404, 404, 404, 404),
    "wire/no-boundary-right": (404, 404, 404, 404, 404),
    "wire/half-json-right": (404, 404, 404, 404, 404),
    "wire/odd-type-right": (404, 404, 404, 404, 404),
    "wire/no-host-right": (400, 200, 400, 400, 200),
    "wire/odd-host-right": (200, 404, 307, 200, 404),
    "wire/odd-cookie-right": (200, 200, 200, 200, 200),
    "wire/bad-query-right": (404, 200, 200, 200, 200),
    "wire/unknown-charset-right": (400, 200, 200, 200, 200),
    "wire/bad-base64-right": (400, 200, 200, 200, 200),
    "wire/word-in-text-right": (400, 200, 200, 200, 200),
    "wire/virtual-root-right": (200, 200, 200, 200, 200),
    "wire/HEAD-right": (200, 405, 405, 405, 200),
    "wire/OPTIONS-right": (405, 200, 405, 204, 404),
    "wire/slash-right": (200, 404, 307, 200, 404),
    "wire/200-fields-right": (431, 431, 200, 200, 431),
    "errors/no-method": (405, 405, 405, 405, 404),
}

# What fails and why it cannot be mended here: the test that finds it passing asks for it to be taken out.
BASELINE = {
    ("load/slow-clients", app): "gunicorn's threads wait for their clients, and no setting ends that: "
    "the private network has to keep such clients away."
    for app in APPS
    if start_command(ROOT / "apps" / app) == ["gunicorn"]
}
