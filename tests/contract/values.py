"""What is presented in place of the secret, and where else the secret is put; with placeholders, as in messages.py."""

# Wrong values

AS_LONG = (
    b"<as many bytes>",
    b"<as many dots>",
    b"<as many question marks>",
    b"<as many underscores>",
    b"<secret with another last byte>",
    b"<secret with another first byte>",
)
NOT_ASCII = (b"<as many odd bytes>", b"<as many letters>")
PARTS = (
    b"<first half of the secret>",
    b"<second half of the secret>",
    b"<first eight bytes of the secret>",
    b"<first eight bytes of the secret>-and-others",
    b"<secret less a byte>xx",
    b"xx<secret less its first byte>",
)
ENCODED = (
    b"<secret with an encoded letter>",
    b"<secret with all bytes encoded>",
    b"<secret in base64>",
    b"<secret in hex>",
    b"<secret as MD5>",
    b"<secret as SHA-1>",
    b"<secret as SHA-256>",
    b"<basic credentials>",
)
REARRANGED = (
    b"<secret backwards>",
    b"<secret without punctuation>",
    b"<secret with a dash inside>",
    b"<secret with a space inside>",
    b"<secret><secret>",
)
INVISIBLE = (  # a zero-width space, a soft hyphen, a byte order mark, a combining accent, and what is not UTF-8
    b"\xe2\x80\x8b",
    b"\xc2\xad",
    b"\xef\xbb\xbf",
    b"\xcc\x81",
    b"\xff",
)
FOLDED = (
    b"<secret in full width>",
    *(b"<first half of the secret>" + inside + b"<second half of the secret>" for inside in INVISIBLE),
)
SPACE = (b"\xc2\xa0", b"\xe2\x80\x83", b"\xe3\x80\x80", b"\xe2\x80\x8b", b"\xef\xbb\xbf")  # of Unicode, in UTF-8
SPACED = (*(space + b"<secret>" for space in SPACE), *(b"<secret>" + space for space in SPACE))
CONTROLS = (b"\v", b"\f", b"\x1c", b"\x1f", b"\x85", b"\xa0")  # and a no-break space: space to some servers
CONTROLLED = (*(control + b"<secret>" for control in CONTROLS), *(b"<secret>" + control for control in CONTROLS))
WITH_MORE = (
    *(b"x<secret>", b"x <secret>", b"<secret> x", b",<secret>"),
    *(b"'<secret>'", b"`<secret>`", b"[<secret>]", b"(<secret>)"),
    *(b"<secret>" + more for more in rb", ; = + ;x |x &x #x /x \n \r\n \0 %0a %0d%0a %00 %20".split()),
    *(b'["<secret>"]', b'{"secret":"<secret>"}'),
)
SCHEMES = (
    *(scheme + b" <secret>" for scheme in b"bearer Basic Token ApiKey Key Secret SharedSecret <header>:".split()),
    *(b"Basic <basic credentials>", b'SharedSecret secret="<secret>"'),
    *(name + b"<secret>" for name in b"secret= token= key= secret: v1= v1, sha256=".split()),
)
NUMBERS = (
    *(before + b"<secret>" for before in (b"0", b"+", b"-", b"0x")),
    *(b"<secret>" + after for after in (b".0", b".", b"e0", b"L")),
    b"0x<secret in hex>",
)
WORDS = (
    *b"null NULL nil None undefined true True false False yes on 0 1 -1 00 0e0 NaN Infinity Array [] {} -".split(),
    *b"__proto__ constructor toString length __class__".split(),
    *(b"[object Object]", b'""', b"''"),
)
PATTERNS = (
    *rb"* ** .* .+ ^.*$ ^ $ [^x]* (.*) | x| ( [ \ ? % %% _% %s%s%n {0} { ${x} {{x}} <header>".split(),
    *(b"' OR '1'='1", b'" OR ""="', b"' OR 1=1 -- ", b"1; --"),
)
DEFAULTS = b"""
    changeme change-me change_me changeit secret Secret SECRET my-secret mysecret super-secret supersecret shared-secret
    shared_secret sharedsecret SHARED_SECRET your-secret-here your-shared-secret s3cr3t password passw0rd 123456
    12345678 test testing test-secret dev dev-secret development debug local localhost default demo example foo admin
    root token key apikey gateway internal letmein placeholder xxx TODO none
""".split()
OF_NOTHING = (  # SHA-256, SHA-1 and MD5 of no bytes, and Basic credentials without a password
    b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"da39a3ee5e6b4b0d3255bfef95601890afd80709",
    b"d41d8cd98f00b204e9800998ecf8427e",
    b"Basic Og==",
)
NEAR = (  # to the secret, of which an answer may say so
    *AS_LONG,
    b"<secret less a byte>",
    b"<secret>x",
    b"<first half of the secret>",
    b"<secret in other letter case>",
)

# Other places

AUTHORIZATION = (
    *b"<secret> Bearer,<secret>".split(),
    *(scheme + b" <secret>" for scheme in b"bearer Token ApiKey Key Secret SharedSecret Basic Digest".split()),
    *(b"Basic <secret in base64>", b"Bearer <secret in base64>", b'SharedSecret realm="origin", secret="<secret>"'),
    *(b"Basic <basic credentials>", b"Basic <basic credentials of no user>"),
    b"Basic <basic credentials without a password>",
)
FIELDS = (
    b"Proxy-Authorization: Bearer <secret>",
    b"Proxy-Authorization: Basic <basic credentials>",
    *(name + b": <secret>" for name in b"""
        X-Authorization Authentication X-Auth X-Auth-Token X-Auth-Key X-Access-Token X-Token Token X-Api-Key Api-Key
        ApiKey X-Api-Token X-Key X-Secret Secret X-Secret-Key X-Secret-Token Shared-Secret X-Gateway-Secret
        X-Gateway-Token X-Gateway-Key X-Origin-Secret X-Origin-Auth X-Proxy-Secret X-Backend-Secret X-Internal-Secret
        X-Internal-Token X-Service-Secret X-Service-Token X-Client-Secret X-Zuplo-Secret X-Signature X-Csrf-Token
        X-Forwarded-Authorization X-Original-Authorization X-Password Sec-WebSocket-Protocol User-Agent Referer From
    """.split()),
)  # fmt: skip
BEFORE_NAME = ("X-", "X-Forwarded-", "X-Original-", "X-Real-", "HTTP-", "Proxy-", "Old-", "x")
AFTER_NAME = ("-Previous", "-Old", "-New", "-Next", "-Current", "-Key", "-Token", "-2", "1", "s", "x", "[]", "[0]", "*")
PATHS = (
    "<protected>/<secret percent encoded>",
    "/<secret percent encoded><protected>",
    "<protected>;secret=<secret percent encoded>",
    "<protected>;<header>=<secret percent encoded>",
    "http://<secret percent encoded>@<host><protected>",
    "http://gateway:<secret percent encoded>@<host><protected>",
)

# What is asked for with the secret

TELLING = b"""
    / /nope /%ff /%zz /.. /debug /debug/vars /debug/pprof/ /debug/pprof/cmdline /debug/requests /headers /request /get
    /echo /anything /whoami /env /.env /environment /config /config.json /settings /actuator/env /actuator/configprops
    /actuator/httpexchanges /actuator/httptrace /phpinfo.php /info.php /info /server-info /server-status /status
    /trace /trace.axd /elmah.axd /metrics /console /__debug__/ /_debug /_profiler /healthz/ /health /docs /openapi.json
""".split()  # paths that often show a request, its fields or the environment
BODIES = (
    (b"application/json", b'{"a": 1}'),
    (b"application/json", b"{"),
    (b"application/xml", b"<a"),
    (b"application/x-www-form-urlencoded", b"a=%ff"),
    (b"multipart/form-data", b"--"),
    (b"odd", b"x"),
)
