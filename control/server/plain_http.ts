/**
 * What the coordinator says in clear, besides upgrades: its key, its health, the page behind login URLs, and that no
 * captive portal answers in its place.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { NO_CONTENT_PATH, serveNoContent } from "../../derp/no_content.ts";
import type { NoiseServer } from "./noise_server.ts";
import { isLoginId, PAGE_HEADERS, registerPage } from "./register_page.ts";
import type { Tailnet } from "./tailnet.ts";

/** Answers one request outside Noise, whatever it is. */
export function servePlain(
  request: IncomingMessage,
  response: ServerResponse,
  noise: NoiseServer,
  tailnet: Tailnet,
): void {
  const path = (request.url ?? "/").split("?")[0];
  if (request.method !== "GET" && request.method !== "HEAD") return reply(response, 405, "want GET");
  if (path === "/key") return noise.serveKey(request, response);
  if (path === NO_CONTENT_PATH) return serveNoContent(request, response);
  if (path === "/health") return serveHealth(response, tailnet);
  const login = path.startsWith("/register/") ? path.slice("/register/".length) : undefined;
  if (login !== undefined && isLoginId(login)) {
    response.writeHead(200, PAGE_HEADERS);
    return void response.end(registerPage(login));
  }
  if (path === "/") return reply(response, 200, "agent coordinator: point `agent up --login-server` here");
  reply(response, 404, "not found");
}

/** 200 when the store answers, 503 otherwise. Says nothing a stranger could use. */
function serveHealth(response: ServerResponse, tailnet: Tailnet): void {
  tailnet.change((tx) => tx.counters.get("next-address"), "relaxed").then(
    () => reply(response, 200, "ok"),
    () => reply(response, 503, "the store does not answer"),
  );
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  response.end(`${text}\n`);
}
