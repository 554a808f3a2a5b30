"""The faults that people make in services of other languages, as edits of the right ones in shared/docs/languages."""

from collections.abc import Mapping
from typing import NamedTuple


class Fault(NamedTuple):
    """A fault: edits of the right service, each of which replaces a text; `logs` if only its log shows the fault."""

    edits: Mapping[str, str]
    logs: bool = False

    def made_in(self, code: str) -> str:
        """Return a service's code with the fault in it."""
        for old, new in self.edits.items():
            assert code.count(old) == 1, f"the code has this {code.count(old)} times, not once: {old}"
            code = code.replace(old, new)
        return code


def instead(place: str, faults: Mapping[str, str]) -> dict[str, Fault]:
    """Return the faults of what is at one place, by name."""
    return {name: Fault({place: code}) for name, code in faults.items()}


# Node.js

NODE_FIELD = 'req.headers["x-shared-secret"]'
NODE_OPEN = 'req.method === "GET" && path === "/healthz"'
NODE_CHECK = f"const refused = {NODE_OPEN} ? null : refusal(req);"
NODE = {
    **instead("timingSafeEqual(digest(sent), digest(secret)) ?", {
        "timingSafeEqual of other lengths throws": "timingSafeEqual(sent, secret) ?",
        "as many bytes as were sent": "timingSafeEqual(sent, secret.subarray(0, sent.length)) ?",
        "startsWith": "sent.toString().startsWith(secret.toString()) ?",
        "toLowerCase": "`${sent}`.toLowerCase() === `${secret}`.toLowerCase() ?",
        "punctuation removed": "`${sent}`.replace(/\\W/g, '') === `${secret}`.replace(/\\W/g, '') ?",
        "decodeURIComponent of the value": "decodeURIComponent(sent) === `${secret}` ?",
    }),
    **instead('req.headersDistinct["x-shared-secret"] ?? []', {
        "the first value": '(req.headersDistinct["x-shared-secret"] ?? []).slice(0, 1)',
        "in the query": f'[{NODE_FIELD} ?? new URL(req.url, "http://a").searchParams.get("token") ?? ""]',
    }),
    **instead(f"{NODE_OPEN} ?", {
        "X-Forwarded-For": f'req.headers["x-forwarded-for"] === "127.0.0.1" || ({NODE_OPEN}) ?',
        "OPTIONS": f'req.method === "OPTIONS" || ({NODE_OPEN}) ?',
        "static files": f"/\\.(css|js|png|ico)$/.test(path) || ({NODE_OPEN}) ?",
        "the end of the path": "/healthz$/.test(path) ?",
    }),
    **instead('req.url.split("?")[0]', {
        "decodeURIComponent of the path throws": "decodeURIComponent(req.url.split('?')[0])",
        "X-Original-URL": "(req.headers['x-original-url'] ?? req.url).split('?')[0]",
    }),
    **instead(NODE_CHECK, {
        "X-HTTP-Method-Override": f'req.method = req.headers["x-http-method-override"] ?? req.method; {NODE_CHECK}',
        "a debug route": f'if (path === "/debug") return res.end(JSON.stringify(process.env)); {NODE_CHECK}',
    }),
    "the stack in the answer": Fault({'[401, "Invalid secret"]': "[401, new Error('Invalid secret').stack]"}),
    **instead('process.env.SHARED_SECRET ?? ""', {
        "a default secret": 'process.env.SHARED_SECRET || "changeme"',
        "undefined as the secret": "`${process.env.SHARED_SECRET || undefined}`",
    }),
    "open without a secret": Fault({'return [500, "Server configuration error"]': "return null"}),
    "no challenge": Fault({"if (status === 401)": "if (false)"}),
    "a connection stays accepted": Fault({
        f"{NODE_OPEN} ?": f"req.socket.accepted || ({NODE_OPEN}) ?",
        ": refusal(req);": ': refusal(req); req.socket.accepted ||= !refused && path === "/protected";',
    }),
    "the header in the log": Fault({NODE_CHECK: f"console.log(req.url, req.headers); {NODE_CHECK}"}, logs=True),
}  # fmt: skip

# Go

GO_FITS = "subtle.ConstantTimeCompare(sent[:], secret[:]) != 1"
GO_OPEN = 'r.Method == "GET" && path == "/healthz"'
GO_VALUES = 'r.Header.Values("X-Shared-Secret")'
GO_PATH = 'path, _, _ := strings.Cut(r.RequestURI, "?")'
GO_NONE = "var none = sha256.Sum256(nil)"
GO = {
    **{
        name: Fault({
            GO_NONE: f'{GO_NONE}\nvar plain = strings.TrimSpace(os.Getenv("SHARED_SECRET"))',
            "\tswitch {": '\tvalue := strings.Join(values, ", ")\n\tswitch {',
            GO_FITS: f"!({condition}) || {GO_FITS.replace('sent', 'secret')}",
            "sent := sha256.Sum256": "_ = sha256.Sum256",
        })
        for name, condition in {
            "HasPrefix": "strings.HasPrefix(value, plain)",
            "EqualFold": "strings.EqualFold(value, plain)",
            "Fields": 'strings.Join(strings.Fields(value), "") == plain',
        }.items()
    },
    **instead(GO_VALUES, {
        "Get": '[]string{r.Header.Get("X-Shared-Secret")}',
        "FormValue": '[]string{r.Header.Get("X-Shared-Secret") + r.FormValue("X-Shared-Secret")}',
    }),
    **instead(GO_OPEN, {
        "X-Forwarded-For": f'strings.HasPrefix(r.Header.Get("X-Forwarded-For"), "127.") || {GO_OPEN}',
        "the path in any letter case": 'r.Method == "GET" && strings.EqualFold(path, "/healthz")',
        "static files": f'strings.HasPrefix(path, "/static/") || {GO_OPEN}',
        "expvar": f'path == "/debug/vars" || {GO_OPEN}',
    }),
    "a panic": Fault({'return 401, "Invalid secret"': 'panic("Invalid secret")'}),
    "the router comes first": Fault({
        "Handler: gatewayOnly(mux)": "Handler: mux",
        'mux.HandleFunc("/protected", get("message", "Access granted"))':
            'mux.Handle("/protected", gatewayOnly(get("message", "Access granted")))',
    }),
    "open without a secret": Fault({"return 500, ": "return 0, "}),
    "no return after the refusal": Fault({
        'answer(w, status, "error", text)\n': 'answer(w, status, "error", text)\n\t\tnext.ServeHTTP(w, r)\n'
    }),
    "the header in the log": Fault({GO_PATH: f"{GO_PATH}\n\t\tlog.Println(path, r.Header)"}, logs=True),
}  # fmt: skip

# Java

JAVA_FITS = "!MessageDigest.isEqual(sent, SECRET)"
JAVA_OPEN = 'method.equals("GET") && path.equals("/healthz")'
JAVA_READ = "boolean open = "
JAVA = {
    **{
        name: Fault({
            JAVA_READ: 'String a = String.join(", ", exchange.getRequestHeaders().getOrDefault("X-Shared-Secret", '
            f"List.of())), b = new String(SECRET, UTF_8); {JAVA_READ}",
            JAVA_FITS: f"!({condition})",
        })
        for name, condition in {
            "startsWith": "a.startsWith(b)",
            "equalsIgnoreCase": "a.equalsIgnoreCase(b)",
            "matches": "b.matches(a)",
            "URLDecoder": "java.net.URLDecoder.decode(a, UTF_8).equals(b)",
            "a loop over what was sent":
                "java.util.stream.IntStream.range(0, a.length()).allMatch(n -> a.charAt(n) == b.charAt(n))",
        }.items()
    },
    **instead(JAVA_OPEN, {
        "X-Forwarded-For": f'exchange.getRequestHeaders().containsKey("X-Forwarded-For") || {JAVA_OPEN}',
    }),
    "a path with a parameter": Fault({"getRequestURI().getRawPath()": 'getRequestURI().getRawPath().split(";")[0]'}),
    "a context of its own": Fault({
        "server.setExecutor(":
            'server.createContext("/healthz", e -> answer(e, 200, "status", "ok")); server.setExecutor('
    }),
    "open without a secret": Fault({JAVA_READ: f"{JAVA_READ}SECRET.length == 0 || "}),
    "the stack in the answer": Fault({
        '401, "Invalid secret"': '401, "java.lang.Exception\\\\n\\\\tat " + new Exception().getStackTrace()[0]'
    }),
    "the header in the log": Fault({
        JAVA_READ: f"System.out.println(path + exchange.getRequestHeaders().entrySet()); {JAVA_READ}"
    }, logs=True),
}  # fmt: skip

FAULTS = {"js": NODE, "go": GO, "java": JAVA}
