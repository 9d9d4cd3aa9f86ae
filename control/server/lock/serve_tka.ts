/** `GET /machine/tka/…`: the calls of Tailnet Lock, with a JSON body, as Tailscale's clients send them. */
import { decodeTkaRequest, isMalformed } from "../../wire/decode.ts";
import type { TkaCall } from "../../wire/decode.ts";
import type { ServerHttp2Stream } from "../../wire/h2.ts";
import type { LockServer } from "./lock_server.ts";
import { Refusal } from "./refusal.ts";

export const TKA_PREFIX = "/machine/tka/";
/** Largest body: signatures of all nodes, or a page of AUMs. Only machines of the tailnet may send so much. */
export const MAX_TKA_BODY = 10 << 20;

const CALLS: ReadonlySet<string> = new Set<TkaCall>([
  "init/begin",
  "init/finish",
  "bootstrap",
  "sync/offer",
  "sync/send",
  "sign",
  "disable",
  "affected-sigs",
  "agent/auth-keys",
]);

/** The call a path names; undefined when it names none. */
export function tkaCall(path: string): TkaCall | undefined {
  const name = path.startsWith(TKA_PREFIX) ? path.slice(TKA_PREFIX.length) : "";
  return CALLS.has(name) ? name as TkaCall : undefined;
}

function answer(stream: ServerHttp2Stream, status: number, type: string, body: string): void {
  if (stream.destroyed) return;
  stream.respond({ ":status": status, "content-type": type });
  stream.end(body);
}

/** Answers one call. @param machineKey proven by the Noise handshake. */
export async function serveTka(
  stream: ServerHttp2Stream,
  machineKey: string,
  call: TkaCall,
  body: Uint8Array,
  lock: LockServer,
): Promise<void> {
  const plain = "text/plain; charset=utf-8";
  const request = decodeTkaRequest(call, body);
  if (isMalformed(request)) return answer(stream, 400, plain, `${request.malformed}\n`);
  try {
    answer(stream, 200, "application/json", JSON.stringify(await lock.call(call, machineKey, request.value)));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    answer(stream, error.status, plain, `${error.message}\n`);
  }
}
