"""What the requests of some cases are made of: methods, paths, fields and values, as tables of words and lines."""


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


def lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text, without the space around each."""
    return tuple(line.strip() for line in text.strip().splitlines())


# Methods

OTHER_METHODS = words(  # of WebDAV and of other protocols, unknown ones, and other spellings of known ones
    """
    PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH REPORT MKCALENDAR ACL BIND REBIND UNBIND CHECKIN CHECKOUT
    MERGE MKACTIVITY UPDATE LABEL ORDERPATCH VERSION-CONTROL BASELINE-CONTROL PURGE BAN REFRESH LINK UNLINK DEBUG
    TRACK QUERY SOURCE SUBSCRIBE UNSUBSCRIBE NOTIFY M-SEARCH POLL VIEW WRAPPED INVOKE RPC_IN_DATA ANY ALL * GETX
    HEADX GET_ Get gET head Post options G
    """
)

# What is added to a path

EXTENSIONS = words(  # of what is often served without a check
    """
    json css js png ico html htm txt xml map svg woff2 php jsp do action pdf gz
    """
)
PARAMETERS = words(  # RFC 3986 section 3.3, and delimiters that are encoded
    """
    ; ;x ;x=y ;.css ;jsessionid=1 ;/x.js %3Bx %3B.css %3F %3F.css %23 :x
    """
)
QUERIES = words(  # that a check of the whole target may take for something else
    """
    ? ?.css ?/x.png ?<open> ?path=<open> ?public=1 ?debug ?debug=1 ?debug=true ?test ?test=1 ?dev=1
    ?admin ?admin=1 ?admin=true ?internal=1 ?preview=true ?bypass=1 ?skip_auth=true ?auth=0 ?noauth ?mode=debug ?env=dev
    ?a=<open>&format=json ?wsdl
    """
)
ENDS = words(  # that are cut off or trimmed, or that `.` and `$` do not see in a pattern
    """
    %20 %00 %0a %0d%0a %0d %09 %0b %0c %85 %a0 %c2%a0 %e2%80%a8 %ff % . .. / // /. /./ %2f %5c ~ %7e * %2e %00.css
    %0a.css %20.css # #.css @x |
    """
)
LINES = words(  # the open path and the protected one in one target
    """
    <open>%0a<protected> <protected>%0a<open> <open>%0d%0a<protected> <protected>%0d<open> <open>%00<protected>
    <protected>%00<open> <protected>%20<open> <protected>%23<open> <protected>%3f<open> <protected>#<open>
    <protected>,<open> <protected>;<open> <protected>&<open> <protected><open> <open><protected> <protected>/<open>
    <protected>/..;<open>
    """
)
PUBLIC = words(  # where a detour may begin
    """
    /static /public /assets /docs /favicon.ico /x <open>
    """
)
DETOURS = words(  # to the folder above
    """
    /.. /%2e%2e /.%2e /%2E. /..; /..;x /x/../.. /..%00 /%252e%252e /%c0%ae%c0%ae
    """
)
BEGINNINGS = words(  # that may be taken for the first slash
    """
    // /// /./ /.// \\ /\\ \\/ /%2f /%5c %2f /;/ /%20/ /%09/ . /.%00/ //<host>/ //x/ @/ /@/
    """
)

# Fields that a request may have

CONDITIONS = lines(  # preconditions, ranges, caching; | is between fields of one request
    """
    If-None-Match: *
    If-None-Match: "x"
    If-Match: *
    If-Match: "x"
    If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT
    If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT
    If-Modified-Since: x
    Range: bytes=0-0
    Range: bytes=999999-
    Range: bytes=-1
    Range: items=x
    Range: bytes=0-0 | If-Range: "x"
    Cache-Control: only-if-cached
    Cache-Control: max-stale=999999
    X-Accel-Expires: 999 | X-Cache: HIT | Age: 1
    Cache-Control: no-cache | Pragma: no-cache
    Max-Forwards: 0
    """
)
PREFERENCES = lines(  # whatever else a client may ask for or claim
    """
    Accept: */*
    Accept: text/html
    Accept: image/png
    Accept: application/openmetrics-text
    Accept: x
    Accept: text/event-stream
    Accept: text/css,*/*;q=0.1
    Accept: application/grpc
    Accept-Encoding: gzip
    Accept-Encoding: identity;q=0
    Accept-Language: en
    Accept-Charset: utf-8
    TE: trailers
    DNT: 1
    Content-Type: application/grpc
    Content-Type: text/css
    Expect: 100-continue
    Expect: x
    Prefer: return=minimal
    Via: 1.1 gateway
    From: admin@internal
    Authorization: Basic YWRtaW46YWRtaW4=
    Authorization: Bearer x
    Cookie: session=1; admin=true; secret=1
    Upgrade-Insecure-Requests: 1
    Service-Worker: script
    Next-Action: x
    X-Middleware-Subrequest: middleware:middleware:middleware:middleware
    X-Middleware-Prefetch: 1
    RSC: 1
    HX-Request: true
    X-Inertia: true
    Turbo-Frame: x
    Connection: <header>
    Metadata-Flavor: Google
    Content-Length: 0
    X-Amz-Sns-Message-Type: x
    """
)
CLIENTS = words(  # that name the client's address
    """
    X-Forwarded-For X-Real-IP X-Client-IP Client-IP True-Client-IP CF-Connecting-IP CF-Connecting-IPv6
    CF-Pseudo-IPv4 Fastly-Client-IP Fly-Client-IP X-Cluster-Client-IP X-Originating-IP X-Remote-IP X-Remote-Addr
    Remote-Addr X-Forwarded Forwarded-For X-ProxyUser-Ip X-Azure-ClientIP X-Azure-SocketIP X-Envoy-External-Address
    X-Appengine-User-IP X-Appengine-Remote-Addr DO-Connecting-IP X-Original-Forwarded-For X-Vercel-Forwarded-For
    X-Nf-Client-Connection-Ip Ali-CDN-Real-IP Cdn-Src-Ip Cdn-Real-Ip WL-Proxy-Client-IP Proxy-Client-IP X-Client
    X-Host-IP X-Source-IP X-Forwarded-By X-Backend X-Custom-IP-Authorization X-Trusted-IP X-Real-Client-IP
    """
)
LOCAL = lines(  # addresses that are often trusted
    """
    127.0.0.1
    127.1.2.3
    ::1
    [::1]
    localhost
    0.0.0.0
    ::
    10.0.0.1
    172.16.0.1
    172.17.0.1
    192.168.0.1
    169.254.169.254
    169.254.1.1
    100.64.0.1
    fc00::1
    fd00::1
    fe80::1
    ::ffff:127.0.0.1
    ::ffff:7f00:1
    [::ffff:127.0.0.1]:80
    127.0.0.1:80
    [::1]:80
    10.0.0.1:1234
    203.0.113.9, 127.0.0.1
    127.0.0.1, 203.0.113.9
    10.0.0.1, 127.0.0.1
    127.0.0.1,10.0.0.1,203.0.113.9
    unknown
    2130706433
    """
)
FORWARDED = words(  # RFC 7239 section 4
    """
    for=%s for="%s" by=%s;for=_gateway;host=localhost;proto=https for=%s,for=203.0.113.9 for=203.0.113.9,for=%s
    For=%s;Proto=https;By=203.0.113.43
    """
)
HOSTS = words(  # that only something inside would ask for
    """
    localhost localhost:80 127.0.0.1 127.0.0.1:8000 [::1] [::1]:8000 0.0.0.0 10.0.0.1 internal gateway api.internal
    service.local app.localhost service.default.svc.cluster.local kubernetes.default 169.254.169.254
    metadata.google.internal admin backend app other.test healthcheck.railway.app x:x
    """
)
HOST_FIELDS = words(  # that name the host
    """
    X-Forwarded-Host X-Host X-Original-Host X-Forwarded-Server X-HTTP-Host-Override
    """
)
SITES = words(  # where a page may be that sends a request
    """
    http://localhost http://localhost:3000 http://127.0.0.1 https://<host> http://<host> null https://admin.internal
    http://<host><open> http://<host>/admin
    """
)
AGENTS = lines(  # health checks, crawlers, gateways, tools
    """
    kube-probe/1.29
    ELB-HealthChecker/2.0
    GoogleHC/1.0
    Google-Health-Checks
    Prometheus/2.51.0
    curl/8.5.0
    Googlebot/2.1
    Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
    bingbot/2.0
    Amazon-Route53-Health-Check-Service
    Azure-Load-Balancer
    HealthCheck/1.0
    Edge Health Probe
    AlwaysOn
    ReadyForRequest/1.0 (HealthCheck)
    Consul Health Check
    Traefik
    Envoy/HC
    HAProxy
    nginx
    Pingdom.com_bot
    UptimeRobot/2.0
    Blackbox Exporter/0.24.0
    Datadog Agent
    Varnish
    internal
    gateway
    Zuplo
    Kong
    python-requests/2.31.0
    Go-http-client/1.1
    Wget/1.21
    PostmanRuntime/7.36
    Mozilla/5.0
    testclient
    """
)
CLAIMS = words(  # fields that something inside could be known by
    """
    X-Internal X-Internal-Request X-Internal-Call X-Internal-Secret X-Admin X-Is-Admin X-Debug X-Test X-Testing
    X-Dev X-Gateway X-From-Gateway X-Forwarded-By-Gateway X-Authenticated X-Auth X-Authorized X-Verified X-Trusted
    X-Secure X-User X-User-Id X-Username X-Consumer X-Consumer-Username X-Forwarded-User X-Remote-User Remote-User
    REMOTE-USER-ID X-Auth-Request-User X-Auth-User X-WebAuth-User X-Authenticated-User X-Authenticated-Userid
    X-Roles X-Role X-Scope X-Tenant X-SSL-Client-Verify SSL-Client-Verify X-Client-Verify X-Envoy-Internal
    X-Health-Check X-Healthcheck X-Probe X-Skip-Auth X-No-Auth X-Bypass X-Bypass-Auth X-Auth-Bypass X-Disable-Auth
    X-Public X-Allow X-Local X-Service
    """
)
CLAIMED = words(  # what such a field may say
    """
    true 1 yes on admin root SUCCESS internal gateway localhost allow <host> *
    """
)
CIRCUMSTANCES = lines(  # as a proxy, a platform or a browser states them
    """
    X-Forwarded-Proto: https | X-Forwarded-Port: 443 | X-Forwarded-Ssl: on | Front-End-Https: on
    X-Forwarded-Proto: http | X-Forwarded-Port: 80
    X-Forwarded-Port: 8080
    X-Forwarded-Port: 22
    X-Requested-With: XMLHttpRequest
    X-Requested-With: fetch
    Purpose: prefetch | X-Purpose: preview | X-Moz: prefetch
    Sec-Purpose: prefetch;prerender
    Sec-Fetch-Site: same-origin | Sec-Fetch-Mode: cors | Sec-Fetch-Dest: empty
    Sec-Fetch-Site: none | Sec-Fetch-Mode: navigate | Sec-Fetch-Dest: document | Sec-Fetch-User: ?1
    Sec-Fetch-Dest: image
    Sec-Fetch-Mode: no-cors | Sec-Fetch-Dest: script
    X-Forwarded-Client-Cert: By=spiffe://a/b;Hash=00;URI=spiffe://a/gateway
    X-SSL-Client-S-DN: CN=gateway | X-Client-Cert: x | SSL-Client-Cert: x | X-ARR-ClientCert: x | Client-Cert: :AAAA:
    X-Amzn-Trace-Id: Root=1-0-0 | X-Request-Id: 1 | Traceparent: 00-1-1-01
    X-Amz-Cf-Id: x | CloudFront-Is-Desktop-Viewer: true
    X-Appengine-Cron: true | X-AppEngine-QueueName: x | X-CloudScheduler: true | X-CloudTasks-QueueName: x
    X-Vercel-Cron: 1 | X-Netlify-Event: x | X-Hub-Signature: x | X-GitHub-Event: ping
    Dapr-Api-Token: x | X-Istio-Attributes: x
    X-Kubernetes-Pf-Flowschema-Uid: x | L5d-Client-Id: x
    X-Goog-Authenticated-User-Email: accounts.google.com:a@a.test
    X-MS-Client-Principal: x | X-MS-Client-Principal-Name: admin | X-MS-Client-Principal-Id: 1
    Cf-Access-Jwt-Assertion: x
    X-Amzn-Oidc-Identity: admin | X-Amzn-Oidc-Data: x | X-Apigateway-Event: {}
    Tailscale-User-Login: admin
    X-API-Key: x | Api-Key: x | X-Auth-Token: x | X-Access-Token: x
    X-CSRF-Token: x | X-XSRF-Token: x
    Proxy-Authorization: Basic x
    """
)
OVERRIDES = words(  # fields that name the method
    """
    X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Method X-Original-Method X-Forwarded-Method
    X-Envoy-Original-Method REQUEST-METHOD
    """
)
METHOD_PARAMETERS = words(  # of a query or a form, that name it
    """
    _method method _METHOD http_method $method
    """
)
REWRITES = words(  # fields that name the path
    """
    X-Original-URL X-Original-URI X-Original-Path X-Rewrite-URL X-Rewrite-URI X-Forwarded-Uri X-Forwarded-Url
    X-Forwarded-Path X-Forwarded-Prefix X-Forwarded-Request-Uri X-Script-Name Script-Name X-Path-Info Path-Info
    X-Replaced-Path X-Replaced-Path-Regex X-Envoy-Original-Path X-Envoy-Decorator-Operation X-Override-URL
    X-Request-URI Request-URI X-Real-Url X-HTTP-DestinationURL X-HTTP-Path-Override X-Accel-Redirect X-Sendfile
    X-Proxy-Url X-WAP-Profile X-Auth-Request-Redirect X-Ms-Original-Url X-Matched-Path X-Invoke-Path
    X-Now-Route-Matches X-Nextjs-Data X-Base-Path Base-Url Url Uri Path Destination Redirect Content-Location
    X-Waws-Unencoded-Url X-Arr-Log-Id
    """
)
