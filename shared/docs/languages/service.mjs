// A service that answers only its gateway, for Node.js 18 or newer: node service.mjs
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const digest = (bytes) => createHash("sha256").update(bytes).digest(); // as long for every value
const secret = Buffer.from((process.env.SHARED_SECRET ?? "").trim());

function refusal(req) {
  if (!secret.length) return [500, "Server configuration error"];
  const values = req.headersDistinct["x-shared-secret"] ?? [];
  if (!values.join("").trim()) return [401, "No secret provided"];
  const sent = Buffer.from(values.join(", "), "latin1"); // the bytes that came
  return timingSafeEqual(digest(sent), digest(secret)) ? null : [401, "Invalid secret"];
}

function route(path, method) {
  if (path !== "/healthz" && path !== "/protected") return [404, { error: "Not found" }];
  if (method !== "GET" && method !== "HEAD") return [405, { error: "Method not allowed" }];
  return [200, path === "/healthz" ? { status: "ok" } : { message: "Access granted" }];
}

const server = createServer((req, res) => {
  const path = req.url.split("?")[0];
  const refused = req.method === "GET" && path === "/healthz" ? null : refusal(req);
  const [status, body] = refused ? [refused[0], { error: refused[1] }] : route(path, req.method);
  if (refused) res.setHeader("Cache-Control", "no-store");
  if (status === 401) res.setHeader("WWW-Authenticate", 'SharedSecret realm="origin"');
  res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
});
server.listen(process.env.PORT ?? 8000, "127.0.0.1");
