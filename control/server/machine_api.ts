/**
 * What a node may ask inside Noise: HTTP/2 requests under `/machine/`. The machine key of the connection is the only
 * identity here; no header is looked at for one (TS-2025-002).
 */
import type { ServerHttp2Stream } from "../wire/h2.ts";
import { decodeMapRequest, decodeRegisterRequest, isMalformed } from "../wire/decode.ts";
import type { IncomingHttpHeaders } from "../wire/h2.ts";
import { MAX_TKA_BODY, serveTka, tkaCall } from "./lock/serve_tka.ts";
import { refuseStream, serveMap } from "./map_poll.ts";
import type { MapPollOptions } from "./map_poll.ts";
import type { Registration } from "./registration.ts";
import { MAX_BODY, readBody } from "./request_body.ts";

export interface MachineApiOptions extends MapPollOptions {
  readonly registration: Registration;
  /** Told of failures of our own; the client gets a plain 500. */
  readonly onFailure: (error: unknown) => void;
}

async function serveRegister(
  stream: ServerHttp2Stream,
  machineKey: string,
  body: Uint8Array,
  { registration }: MachineApiOptions,
): Promise<void> {
  const request = decodeRegisterRequest(body);
  if (isMalformed(request)) return refuseStream(stream, 400, request.malformed);
  const gone = new AbortController();
  stream.once("close", () => gone.abort(new Error("Cannot answer a registration: the client is gone")));
  const outcome = await registration.register(machineKey, request.value, gone.signal);
  if (outcome.kind === "busy") {
    stream.respond({ ":status": 429, "retry-after": String(outcome.retryAfterSeconds), "content-type": "text/plain" });
    return void stream.end("too many logins wait for approval; try again later\n");
  }
  stream.respond({ ":status": 200, "content-type": "application/json" });
  stream.end(JSON.stringify(outcome.response));
}

function isMember(machineKey: string, { tailnet }: MachineApiOptions): boolean {
  for (const { record } of tailnet.nodes.values()) if (record.machineKey === machineKey) return true;
  return false;
}

async function route(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  machineKey: string,
  options: MachineApiOptions,
): Promise<void> {
  const path = String(headers[":path"]).split("?")[0];
  const call = headers[":method"] === "GET" ? tkaCall(path) : undefined;
  const limit = call !== undefined && isMember(machineKey, options) ? MAX_TKA_BODY : MAX_BODY;
  const body = await readBody(stream, limit);
  if (body === undefined) return refuseStream(stream, 413, `request too large, want at most ${limit} bytes`);
  if (call !== undefined && options.lock !== undefined) {
    return await serveTka(stream, machineKey, call, body, options.lock);
  }
  if (path.startsWith("/machine/") && headers[":method"] === "POST") {
    switch (path) {
      case "/machine/register":
        return await serveRegister(stream, machineKey, body, options);
      case "/machine/map": {
        const request = decodeMapRequest(body);
        if (isMalformed(request)) return refuseStream(stream, 400, request.malformed);
        return await serveMap(stream, machineKey, request.value, options);
      }
      case "/machine/update-health":
        stream.respond({ ":status": 204 });
        return void stream.end();
    }
  }
  refuseStream(stream, 404, "this coordinator does not serve that");
}

/** Answers one request of a node. Never throws; a failure is a 500 and told to `onFailure`. */
export function serveMachineRequest(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  machineKey: string,
  options: MachineApiOptions,
): void {
  // Without a listener a reset by the client would be an uncaught error; "close" is what everyone here waits for.
  stream.on("error", () => {});
  route(stream, headers, machineKey, options).catch((error) => {
    if (stream.destroyed || stream.closed) return;
    options.onFailure(error);
    if (stream.headersSent) stream.destroy();
    else refuseStream(stream, 500, "the coordinator failed to answer; its log says why");
  });
}
