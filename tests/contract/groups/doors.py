"""Other doors: the paths that servers and frameworks open by themselves."""

from collections.abc import Callable, Iterable, Mapping

from ..case import Case, Expected, Finding, Requirement, Trial, each, exchanges
from ..http1 import request
from ..messages import NO_FAILURE, REFUSED, REJECTED, WRONG
from ..target import NotCheckedError, Target

DOORS = Requirement(
    "What a server or a framework serves by itself needs the secret too: metrics, docs, static files, health checks.",
    "ASVS 5.0 13.4.5, 13.4.6 and 8.2.1; CWE-425, CWE-489",
    "Put the check in front of everything: mounts, static files, docs, the routes of plug-ins; or turn these off.",
)
SOCKET = Requirement(
    "The open path is no WebSocket.",
    "RFC 6455 section 4.2.2; ASVS 5.0 8.2.1; CWE-1385",
    "Check a handshake as every other request: let the open path pass only where it is asked for as HTTP.",
)
LISTED = Requirement(
    "Every route of the service needs the secret, apart from the open paths.",
    "ASVS 5.0 8.2.1 and 8.3.1; CWE-862",
    "Check in one place, in front of routing, and not on each route or router.",
)

PATHS = {  # by what is behind them
    "metrics": (
        "/metrics /metrics/ /metrics/prometheus /prometheus /actuator/prometheus /actuator/metrics /-/metrics"
        " /internal/metrics /stats /stats/prometheus /_stats /server-status /server-info /nginx_status /stub_status"
        " /basic_status /fpm-status /q/metrics /monitoring /haproxy?stats /varz /statsz"
    ),
    "debug": (
        "/debug /debug/ /debug/env /debug/config /debug/routes"
        " /debug/request /debug/pprof /debug/pprof/ /debug/pprof/heap /debug/vars /debug/requests /_debug /__debug__/"
        " /debug/default/view /console /h2-console /_profiler /_profiler/phpinfo /_wdt /phpinfo.php /telescope /horizon"
        " /rails/info /rails/info/routes /rails/info/properties /rails/mailers /trace /threads /heapdump /dump"
        " /_ignition/health-check /_ah/admin /elmah.axd /trace.axd /__inspect /pprof /jolokia /arthas"
        " /_error /_next/data /__webpack_hmr /@vite/client /@fs/etc/passwd"
    ),
    "management": (
        "/actuator /actuator/ /actuator/env /actuator/health /actuator/info /actuator/beans /actuator/heapdump"
        " /actuator/loggers /actuator/mappings /actuator/gateway/routes /manage /manage/health /management"
        " /management/health /env /beans /mappings /configprops /loggers /shutdown /refresh /restart /q/dev /q/health"
        " /observe /observe/health /-/reload /-/quit /_cat /_cluster/health /hangfire /jobs /sidekiq /resque /flower"
        " /rq /bull /admin/queues /oban /dashboard /live-dashboard /__admin /__admin/mappings /config"
    ),
    "well-known": (
        "/robots.txt /sitemap.xml /favicon.ico /humans.txt /ads.txt /security.txt /.well-known/security.txt"
        " /.well-known/openid-configuration /.well-known/oauth-authorization-server /.well-known/jwks.json"
        " /.well-known/change-password /.well-known/assetlinks.json /.well-known/apple-app-site-association"
        " /.well-known/acme-challenge/x /.well-known/mcp /.well-known/ai-plugin.json /.well-known/x /jwks.json /jwks"
        " /apple-touch-icon.png /manifest.json /site.webmanifest /crossdomain.xml /browserconfig.xml /sw.js"
    ),
    "static": (
        "/static /static/ /static/app.js /static/index.html /assets /assets/ /assets/app.css /public /public/ /media/"
        " /uploads/ /files/ /dist/ /dist/app.js /build/ /css/ /css/style.css /js/ /js/app.js /img/ /images/logo.png"
        " /fonts/ /vendor/ /webjars/ /node_modules/ /_next/static/ /_next/image?url=/x&w=64&q=75 /_nuxt/ /_app/"
        " /storage/ /resources/ /lib/ /packs/ /bundles/ /wwwroot/ /swaggerui/bower/jquery/dist/jquery.min.js"
        " /app.js /app.css /style.css /logo.png"
    ),
    "index": (
        "/ /index.html /index.htm /index.php /index.jsp /default.aspx /home /home/ /app /app/ /welcome /en /en/ /x.html"
        " /?x /nope /nope/nope"
    ),
    "admin": (
        "/admin /admin/ /admin/login /admin/login/ /administrator /login /login/ /logout /signin /signup /register"
        " /auth /auth/login /oauth/token /oauth2/token /token /api-token-auth/ /accounts/login/ /users/sign_in /session"
        " /sessions /user/login /forgot-password /password/reset /wp-admin /wp-login.php /wp-json/ /phpmyadmin/ /setup"
        " /install /callback /auth/callback /saml/acs /sso /webhook /webhooks /hooks /callbacks/x"
    ),
    "docs": (
        "/docs /docs/ /docs/oauth2-redirect /redoc /redoc/ /rapidoc /elements /scalar /scalar/v1 /openapi /openapi.json"
        " /openapi.yaml /openapi.yml /openapi/v1.json /openapi/swagger /swagger /swagger/ /swagger/index.html"
        " /swagger/v1/swagger.json /swagger/doc.json /swagger-ui /swagger-ui/ /swagger-ui/index.html /swagger-ui.html"
        " /swagger.json /swagger.yaml /swagger-resources /v2/api-docs /v3/api-docs /v3/api-docs.yaml /q/openapi"
        " /q/swagger-ui /api-docs /api-docs/ /api-docs.json /apidocs /apidocs/ /apispec_1.json /apispec.json /api/docs"
        " /api/openapi.json /api/schema /api/schema/ /api/swagger.json /explorer /explorer/ /documentation"
        " /documentation/json /reference /graphql /graphql/ /graphiql /playground /altair /voyager /schema /schema/"
        " /schema.json /schema/openapi.json /schema/swagger /schema/redoc /spec /spec.json /wsdl /service?wsdl"
        " /_schema /raml /asyncapi.json"
    ),
    "health": (
        "/health /health/ /healthz /healthz/ /healthz/live /health/live /health/ready /health/liveness"
        " /health/readiness /health-check /healthcheck /health_check /hc /ht/ /livez /readyz /live /liveness /ready"
        " /readiness /startup /startupz /started /alive /alive.txt /ping /pong /status /status/ /status.json /statusz"
        " /up /heartbeat /__heartbeat__ /__lbheartbeat__ /lbstatus /ok /okay /version /__version__ /version.json /info"
        " /build-info /about /_health /_healthz /_ping /_status /-/health /-/healthy /-/ready /.health"
        " /.well-known/health /api/health /api/status /api/ping /api/version /v1/health /grpc.health.v1.Health/Check"
        " /_ah/health /_ah/warmup /_ah/start /.netlify/functions/x /time /echo /test"
    ),
    "mounted": (
        "/api /api/ /api/v1 /api/v1/ /v1 /v1/ /v2/ /rest/ /rpc /jsonrpc /xmlrpc.php /soap /ws /sub /sub/ /legacy/ /old/"
        " /internal /internal/ /private /private/ /system /system/ /_internal /backend/ /service/ /services/ /proxy"
        " /proxy/ /proxy?url=http://127.0.0.1 /forward /mcp /sse /events /stream /upload /download /export /batch"
        " /cgi-bin/ /api/protected /v1/protected /internal/protected /app/protected"
    ),
}
FILES = (
    "/.env /.env.local /.git/HEAD /.git/config /.htaccess /.htpasswd /.DS_Store /package.json /package-lock.json"
    " /composer.json /app.py /main.py /manage.py /wsgi.py /server.js /index.js /config.json /config.js /config.yml"
    " /settings.py /appsettings.json /application.yml /application.properties /web.config /Dockerfile"
    " /docker-compose.yml /Makefile /README.md /requirements.txt /pyproject.toml /Gemfile /config.ru /go.mod /pom.xml"
    " /WEB-INF/web.xml /META-INF/MANIFEST.MF /.secrets/shared_secret /run/secrets/shared_secret /log/production.log"
    " /service.log /backup.zip /db.sqlite3 /dump.sql /id_rsa /etc/passwd /proc/self/environ"
)
SOCKETS = (
    "/ws /ws/ /ws/x /wss /websocket /websocket/ /socket /socket/ /socket/websocket /sockets /sockjs/x/x/websocket"
    " /sockjs-node /socket.io/ /socket.io/?EIO=4&transport=websocket /engine.io/?EIO=4&transport=websocket /cable"
    " /live /live/websocket /phoenix/live_reload/socket/websocket /signalr /signalr/connect /hub /hubs/x /chat"
    " /chathub /graphql /graphql-ws /subscriptions /api/ws /v1/ws /stomp /stomp/websocket /mqtt /echo /stream /events"
    " /notifications /realtime /feed /reverb /app/x?protocol=7 /faye /bayeux /_blazor /__webpack_hmr /ws/chat/1"
    " / /nope <protected>"
)
WAYS: Mapping[str, Callable[[str], bytes]] = {  # in which each is asked for
    "GET": request,
    "HEAD": lambda path: request(path, method="HEAD"),
    "POST": lambda path: request(
        path, b"Content-Type: application/json", b"Content-Length: 24", method="POST", body=b'{"query":"{__typename}"}'
    ),
    "OPTIONS": lambda path: request(
        path, b"Origin: https://a.test", b"Access-Control-Request-Method: GET", method="OPTIONS"
    ),
}
WEBSOCKET = (
    b"Upgrade: websocket",
    b"Origin: http://<host>",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)
PROTOCOLS = (b"", b"Sec-WebSocket-Protocol: graphql-transport-ws, graphql-ws, actioncable-v1-json, chat")


def handshake(path: str, *fields: bytes) -> bytes:
    """Return the beginning of a WebSocket (RFC 6455 section 4.1)."""
    return request(path, *WEBSOCKET, *filter(None, fields), connection=b"Connection: Upgrade")


def closed(target: Target, paths: Iterable[str]) -> list[str]:
    """Return the paths that are not open on a target."""
    return [path for path in paths if path.partition("?")[0] not in target.opens]


def behind(paths: str, expected: Expected = REFUSED) -> Callable[[Target], Finding]:
    """Return the trial of some doors, each of which is asked for in all WAYS."""
    return each("configured", expected, lambda target: {
        f"{way} {path}": ask(path) for path in closed(target, paths.split()) for way, ask in WAYS.items()
    })  # fmt: skip


def listed(target: Target) -> Finding:
    """Ask for every route of a service that is not open, without the secret and with a wrong one."""
    if not target.paths:
        raise NotCheckedError("It needs the routes of the service: PATHS, or --paths.")
    routes = [(method, path) for method, path in target.paths if path not in target.opens]
    return each("configured", REFUSED, {
        f"{method} {path}{about}": request(path, *fields, method=method)
        for method, path in routes
        for about, fields in {"": (), ", a wrong secret": (WRONG,)}.items()
    })(target)  # fmt: skip


def sockets(target: Target) -> Mapping[str, bytes]:
    """Return a handshake on each path on which a WebSocket may be, with a protocol of its own and without."""
    every = [*SOCKETS.split(), *(path for paths in PATHS.values() for path in paths.split()[:3])]
    return {
        f"WebSocket {path}{'' if not protocol else ', protocols'}": handshake(path, protocol)
        for path in every
        for protocol in PROTOCOLS
    }


def asked(name: str) -> str:
    """Return what the trial of some doors does, in words."""
    return f"{', '.join(WAYS)} {', '.join(PATHS[name].split()[:4])} ..."


CASES: list[Case] = [
    *(Trial(f"doors/{name}", DOORS, asked(name), behind(paths)) for name, paths in PATHS.items()),
    Trial("doors/files", DOORS, f"the same, {', '.join(FILES.split()[:4])} ...", behind(FILES, REJECTED)),
    Trial("doors/websocket", DOORS, f"a WebSocket on {', '.join(SOCKETS.split()[:4])} ...", each(
        "configured", REJECTED, sockets)),
    *exchanges("doors", SOCKET, NO_FAILURE, {"websocket-open": handshake("<open>")}),
    Trial("doors/listed", LISTED, "each route in PATHS, without the secret and with a wrong one", listed),
]  # fmt: skip
