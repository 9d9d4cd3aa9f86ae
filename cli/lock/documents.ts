/**
 * What goes to and from a machine on no network: requests to sign, and signatures. JSON, so that it can be read before
 * it is believed; nothing in it is secret.
 *
 *   node ──request──▶ signer's machine, with the key in a file ──signatures──▶ any node of the tailnet ──▶ control
 */
import { fromBase64, toBase64 } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { LockPublic } from "../../base/lock_key.ts";
import { reasonOf } from "../../base/reason.ts";
import { CliError } from "../exit_codes.ts";
import { oneLine, print } from "../terminal.ts";

/** A node that wants a signature. */
export interface NodeToSign {
  /** For people; nothing hangs on it. */
  readonly name: string;
  readonly nodeKey: NodePublic;
  /** May rotate the node key on; undefined: the node needs a new signature when its key expires. */
  readonly rotation: LockPublic | undefined;
}

/** A signature by name. */
export interface MadeSignature {
  readonly name: string;
  readonly nodeKey: NodePublic;
  /** A serialized NodeKeySignature. */
  readonly signature: Uint8Array;
}

const REQUEST = "agent lock request";
const SIGNATURES = "agent lock signatures";

export function requestText(nodes: readonly NodeToSign[]): string {
  const list = nodes.map(({ name, nodeKey, rotation }) => ({
    name,
    nodeKey: nodeKey.toString(),
    ...(rotation && { lockKey: rotation.cliString() }),
  }));
  return `${JSON.stringify({ document: REQUEST, version: 1, nodes: list }, null, 2)}\n`;
}

export function signaturesText(signer: LockPublic, signatures: readonly MadeSignature[]): string {
  const list = signatures.map(({ name, nodeKey, signature }) => ({
    name,
    nodeKey: nodeKey.toString(),
    signature: toBase64(signature),
  }));
  const document = { document: SIGNATURES, version: 1, signer: signer.cliString(), signatures: list };
  return `${JSON.stringify(document, null, 2)}\n`;
}

type Fields = Record<string, unknown>;

/** The list in a document of that kind. @throws CliError */
function listIn(text: string, from: string, kind: string, field: string): Fields[] {
  const wrong = (seen: string) => new CliError(`Cannot use ${from}: want "${kind}", version 1, and this ${seen}`);
  let value: Fields;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong("is not JSON");
  }
  if (value?.document !== kind) throw wrong(`is ${JSON.stringify(value?.document ?? "something else")}`);
  if (value.version !== 1) throw wrong(`has version ${JSON.stringify(value.version)}`);
  const list = value[field];
  if (!Array.isArray(list)) throw wrong(`has no list of ${field}`);
  return list.map((item) => typeof item === "object" && item !== null ? item : {});
}

const textOf = (value: unknown): string => typeof value === "string" ? value : "";

/** @param from names the document in errors. @throws CliError */
export function parseRequest(text: string, from: string): NodeToSign[] {
  return listIn(text, from, REQUEST, "nodes").map(({ name, nodeKey, lockKey }, i) => {
    const key = NodePublic.parse(textOf(nodeKey));
    const rotation = lockKey === undefined ? undefined : LockPublic.parse(textOf(lockKey));
    if (key === undefined) throw new CliError(`Cannot use ${from}: node ${i + 1} has no nodekey:<64 hex digits>`);
    if (lockKey !== undefined && rotation === undefined) {
      throw new CliError(`Cannot use ${from}: the lockKey of node ${i + 1} is not tlpub:<64 hex digits>`);
    }
    return { name: oneLine(textOf(name)), nodeKey: key, rotation };
  });
}

/** @throws CliError */
export function parseSignatures(text: string, from: string): MadeSignature[] {
  return listIn(text, from, SIGNATURES, "signatures").map(({ name, nodeKey, signature }, i) => {
    const key = NodePublic.parse(textOf(nodeKey));
    const bytes = fromBase64(textOf(signature));
    if (key === undefined || bytes === undefined || bytes.length === 0) {
      throw new CliError(`Cannot use ${from}: signature ${i + 1} has no node key or is not base64`);
    }
    return { name: oneLine(textOf(name)), nodeKey: key, signature: bytes };
  });
}

/** Reads a document; "-" is standard input. @throws CliError */
export function readDocument(path: string): string {
  try {
    return path === "-" ? new TextDecoder().decode(readAll(Deno.stdin)) : Deno.readTextFileSync(path);
  } catch (cause) {
    throw new CliError(`Cannot read ${path}: ${reasonOf(cause)}`, undefined, { cause });
  }
}

function readAll(from: { readSync(buffer: Uint8Array): number | null }): Uint8Array<ArrayBuffer> {
  const chunks: number[] = [];
  const buffer = new Uint8Array(64 << 10);
  for (let count = from.readSync(buffer); count !== null; count = from.readSync(buffer)) {
    for (const byte of buffer.subarray(0, count)) chunks.push(byte);
  }
  return Uint8Array.from(chunks);
}

/** Writes a document, to standard output when no path is given. @throws CliError */
export function writeDocument(path: string, text: string): void {
  if (path === "" || path === "-") return print(text);
  try {
    Deno.writeTextFileSync(path, text);
  } catch (cause) {
    throw new CliError(`Cannot write ${path}: ${reasonOf(cause)}`, undefined, { cause });
  }
}
