/**
 * A client of SOCKS5. RFC 1928, and user and password as RFC 1929 has them.
 *
 * ```
 *   05 n methods                ──▶  ◀── 05 method               00 nothing more, 02 login, ff none of these
 *   01 n user n password        ──▶  ◀── 01 status               only after 02; 00 is welcome
 *   05 01 00 address port u16BE ──▶  ◀── 05 reply 00 address port      00 succeeded, and the stream is the target's
 *
 *   address: 01 and 4 bytes, 04 and 16 bytes, 03 and a name with its length in front
 * ```
 * Names go to the proxy as they are, which is what `socks5h` says elsewhere. Each answer is waited for, since a proxy may
 * close the connection over what it was not asked for yet. Source: net/http socks_bundle.go.
 */
import type { Duplex } from "node:stream";
import { concat, utf8 } from "./bytes.ts";
import { hostPort, parseIp } from "./ip.ts";
import { readMessage } from "./read_message.ts";
import type { Login } from "./secret.ts";

const VERSION = 5;
const LOGIN_VERSION = 1;
const METHOD = { none: 0, login: 2, refused: 0xff } as const;
const ADDRESS = { ipv4: 1, name: 3, ipv6: 4 } as const;
const COMMAND_CONNECT = 1;
const SUCCEEDED = 0;

/** RFC 1928 6. */
const REPLIES: readonly string[] = [
  "succeeded",
  "general failure",
  "its rules do not allow that",
  "network unreachable",
  "host unreachable",
  "connection refused",
  "TTL expired",
  "it does not know the command",
  "it does not know this kind of address",
];

/** An answer: its code, and the bytes it took. */
export interface SocksAnswer {
  readonly code: number;
  readonly length: number;
}

function notSocks(bytes: Uint8Array): string {
  const seen = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `answered ${seen}: that is no SOCKS5`;
}

/** The method chosen, or the status of a login. Undefined while incomplete, a text when it is neither. */
export function parseChoice(bytes: Uint8Array, version: number): SocksAnswer | string | undefined {
  if (bytes.length > 0 && bytes[0] !== version) return notSocks(bytes);
  return bytes.length < 2 ? undefined : { code: bytes[1], length: 2 };
}

/** The answer to a request; the address it says is of no use to us. As `parseChoice`. */
export function parseReply(bytes: Uint8Array): SocksAnswer | string | undefined {
  if (bytes.length > 0 && bytes[0] !== VERSION) return notSocks(bytes);
  // A proxy that refuses may leave the rest away.
  if (bytes.length >= 2 && bytes[1] !== SUCCEEDED) return { code: bytes[1], length: bytes.length };
  if (bytes.length < 5) return undefined;
  if (bytes[2] !== 0) return notSocks(bytes);
  const length = addressLength(bytes[3], bytes[4]);
  if (length === undefined) return notSocks(bytes);
  return bytes.length < 4 + length + 2 ? undefined : { code: SUCCEEDED, length: 4 + length + 2 };
}

/** @param first the byte behind the kind, the length of a name */
function addressLength(kind: number, first: number): number | undefined {
  switch (kind) {
    case ADDRESS.ipv4:
      return 4;
    case ADDRESS.ipv6:
      return 16;
    case ADDRESS.name:
      return 1 + first;
    default:
      return undefined;
  }
}

/** @throws Error for a name of no bytes or more than 255. */
export function encodeConnect(host: string, port: number): Uint8Array<ArrayBuffer> {
  const ip = parseIp(host);
  const tail = Uint8Array.of(port >> 8, port & 0xff);
  const kind = ip?.length === 4 ? ADDRESS.ipv4 : ip?.length === 16 ? ADDRESS.ipv6 : ADDRESS.name;
  const head = Uint8Array.of(VERSION, COMMAND_CONNECT, 0, kind);
  return concat(head, ip ?? counted(host, "the name of the target"), tail);
}

/** @throws Error as RFC 1929 bounds them. */
export function encodeLogin({ user, password }: Login): Uint8Array<ArrayBuffer> {
  const secret = utf8(password.reveal());
  if (secret.length > 255) throw new Error("takes no password of more than 255 bytes");
  return concat(
    Uint8Array.of(LOGIN_VERSION),
    counted(user, "the user"),
    Uint8Array.of(secret.length),
    secret,
  );
}

function counted(text: string, what: string): Uint8Array<ArrayBuffer> {
  const bytes = utf8(text);
  if (bytes.length === 0 || bytes.length > 255) {
    throw new Error(`takes 1 to 255 bytes for ${what}, not ${bytes.length}`);
  }
  return concat(Uint8Array.of(bytes.length), bytes);
}

/**
 * Asks the proxy at the other end of `stream` for a connection; afterwards the stream is the target's. It stays the
 * caller's to destroy.
 * @throws Error whose message goes on from the proxy's name; the signal's reason.
 */
export async function connectBySocks(
  stream: Duplex,
  target: { readonly host: string; readonly port: number },
  login: Login | undefined,
  signal: AbortSignal,
): Promise<void> {
  const ask = (request: Uint8Array, parse: (bytes: Uint8Array) => SocksAnswer | string | undefined) => {
    stream.write(request);
    return readMessage(stream, parse, signal);
  };
  const methods = login === undefined ? [METHOD.none] : [METHOD.none, METHOD.login];
  const { code: method } = await ask(
    Uint8Array.of(VERSION, methods.length, ...methods),
    (bytes) => parseChoice(bytes, VERSION),
  );
  if (method === METHOD.login && login !== undefined) {
    const { code } = await ask(encodeLogin(login), (bytes) => parseChoice(bytes, LOGIN_VERSION));
    if (code !== SUCCEEDED) throw new Error("does not take the user and password of its URL");
  } else if (method !== METHOD.none) {
    throw new Error(
      login === undefined && (method === METHOD.refused || method === METHOD.login)
        ? "wants a user and password; put them into its URL, socks5://user:password@host"
        : `knows no way to log in that we know: it chose method ${method}`,
    );
  }
  const { code } = await ask(encodeConnect(target.host, target.port), parseReply);
  if (code !== SUCCEEDED) {
    const reason = REPLIES[code] ?? `reply ${code}`;
    throw new Error(`refused to connect to ${hostPort(target.host, target.port)}: ${reason}`);
  }
  // Reading the answer paused it. Nothing can be lost: the target speaks when it is spoken to.
  stream.resume();
}
