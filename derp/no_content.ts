/**
 * The answer by which a node knows that no captive portal stands between it and a relay: nothing, and a challenge
 * repeated. Source: derpserver.ServeNoContent.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

/** Where it is asked for. */
export const NO_CONTENT_PATH = "/generate_204";

/** Answers. */
export function serveNoContent(request: IncomingMessage, response: ServerResponse): void {
  const challenge = request.headers["x-tailscale-challenge"];
  const sound = typeof challenge === "string" && /^[a-zA-Z0-9._:-]{1,64}$/.test(challenge);
  response.writeHead(204, {
    "Cache-Control": "no-cache, no-store, must-revalidate, no-transform, max-age=0",
    ...(sound && { "X-Tailscale-Response": `response ${challenge}` }),
  }).end();
}
