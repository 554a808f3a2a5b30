// A service that answers only its gateway, for Java 17 or newer: java Service.java
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.util.List;
import java.util.concurrent.Executors;

class Service {
    static final byte[] SECRET = System.getenv().getOrDefault("SHARED_SECRET", "").strip().getBytes(UTF_8);

    static void handle(HttpExchange exchange) throws IOException {
        String method = exchange.getRequestMethod();
        String path = exchange.getRequestURI().getRawPath(); // as it came: getPath() is decoded
        boolean open = method.equals("GET") && path.equals("/healthz");
        List<String> values = exchange.getRequestHeaders().getOrDefault("X-Shared-Secret", List.of());
        byte[] sent = String.join(", ", values).getBytes(ISO_8859_1); // the bytes that came
        if (!open && SECRET.length == 0) {
            refuse(exchange, 500, "Server configuration error");
        } else if (!open && String.join("", values).isBlank()) {
            refuse(exchange, 401, "No secret provided");
        } else if (!open && !MessageDigest.isEqual(sent, SECRET)) { // takes a time that does not depend on SECRET
            refuse(exchange, 401, "Invalid secret");
        } else if (!path.equals("/healthz") && !path.equals("/protected")) {
            answer(exchange, 404, "error", "Not found");
        } else if (!method.equals("GET") && !method.equals("HEAD")) {
            answer(exchange, 405, "error", "Method not allowed");
        } else if (path.equals("/healthz")) {
            answer(exchange, 200, "status", "ok");
        } else {
            answer(exchange, 200, "message", "Access granted");
        }
    }

    static void refuse(HttpExchange exchange, int status, String text) throws IOException {
        exchange.getResponseHeaders().set("Cache-Control", "no-store");
        if (status == 401) {
            exchange.getResponseHeaders().set("WWW-Authenticate", "SharedSecret realm=\"origin\"");
        }
        answer(exchange, status, "error", text);
    }

    static void answer(HttpExchange exchange, int status, String key, String text) throws IOException {
        byte[] body = "{\"%s\": \"%s\"}".formatted(key, text).getBytes(UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, head ? -1 : body.length);
        try (OutputStream out = exchange.getResponseBody()) { // closing it reads what still comes, up to drainAmount
            out.write(head ? new byte[0] : body);
        }
    }

    public static void main(String[] arguments) throws IOException {
        System.setProperty("sun.net.httpserver.maxReqHeaders", "1000"); // what has more than these, and a body
        System.setProperty("sun.net.httpserver.maxReqHeaderSize", "2000000"); // that is longer than this, is cut off
        System.setProperty("sun.net.httpserver.drainAmount", "2000000"); // without an answer
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8000"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", Service::handle);
        server.setExecutor(Executors.newCachedThreadPool()); // without one, a slow client keeps all others waiting
        server.start();
    }
}
