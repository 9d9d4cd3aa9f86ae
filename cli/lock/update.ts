/** One AUM as the LocalAPI tells of it, and as the text of `lock log`. Source: cli.nlDescribeUpdate. */
import { fromBase64, toBase64, toHex } from "../../base/bytes.ts";
import { Aum } from "../../tka/aum.ts";
import { aumHashOf } from "../../tka/aum_hash.ts";
import { aumKindName } from "../../tka/aum_kind.ts";
import type { Key } from "../../tka/key.ts";
import { keyKindName } from "../../tka/key.ts";
import { CliError } from "../exit_codes.ts";
import { tlpub } from "./args.ts";
import { exact, goJson, metaV1 } from "./command.ts";

/** Go's `ipnstate.TailnetLockUpdate`. */
export interface UpdateJson {
  readonly Hash: readonly number[];
  readonly Change: string;
  readonly Raw: string;
}

/** @throws CliError when the AUM is not the one it is said to be. */
export function decodeUpdate({ Hash, Raw }: UpdateJson): Aum {
  const aum = Aum.decode(fromBase64(Raw) ?? new Uint8Array(0));
  const said = aumHashOf(Uint8Array.from(Hash));
  if (aum.hash !== said) throw new CliError(`incorrect AUM hash: got ${aum.hash}, want ${said}`);
  return aum;
}

/** As Go prints a map. */
function metaText(meta: ReadonlyMap<string, string>): string {
  return `map[${[...meta].sort(([a], [b]) => a < b ? -1 : 1).map(([name, value]) => `${name}:${value}`).join(" ")}]`;
}

function keyLines(key: Key, indent: string): string[] {
  return [
    `${indent}Type: ${keyKindName(key.kind)}`,
    `${indent}KeyID: ${tlpub(key.public ?? new Uint8Array(0))}`,
    ...(key.meta === undefined ? [] : [`${indent}Metadata: ${metaText(key.meta)}`]),
  ];
}

/** Go's JSON of a slice of bytes. */
function bytesJson(bytes: Uint8Array | null | undefined): string | null {
  return bytes === null || bytes === undefined ? null : toBase64(bytes);
}

function keyJson({ kind, votes, public: key, meta }: Key): Record<string, unknown> {
  return { Kind: kind, Votes: exact(votes), Public: bytesJson(key), Meta: meta === undefined ? null : metaV1(meta) };
}

/** Go's JSON of a whole `tka.AUM`: what is printed of a kind that has no words of its own. */
function wholeJson({ kind, prevAumHash, key, keyId, state, votes, meta, signatures }: Aum): Record<string, unknown> {
  return {
    MessageKind: kind,
    PrevAUMHash: bytesJson(prevAumHash),
    Key: key === undefined ? null : keyJson(key),
    KeyID: bytesJson(keyId),
    State: state === undefined ? null : {
      LastAUMHash: state.lastAumHash,
      DisablementValues: state.disablementValues?.map(bytesJson) ?? null,
      Keys: state.keys?.map(keyJson) ?? null,
      StateID1: exact(state.stateId1),
      StateID2: exact(state.stateId2),
    },
    Votes: votes === undefined ? null : exact(BigInt(votes)),
    Meta: meta === undefined ? null : metaV1(meta),
    Signatures: signatures.length === 0
      ? null
      : signatures.map(({ keyId, signature }) => ({ KeyID: bytesJson(keyId), Signature: bytesJson(signature) })),
  };
}

/** One update, with a blank line behind it. */
export function updateText(aum: Aum, colour: boolean): string {
  const name = aumKindName(aum.kind);
  const head = `update ${aum.hash} (${name})`;
  const lines = [colour ? `\x1b[33m${head}\x1b[0m` : head];
  const keyId = `KeyID: ${tlpub(aum.keyId ?? new Uint8Array(0))}`;
  switch (name) {
    case "add-key":
      if (aum.key !== undefined) lines.push(...keyLines(aum.key, ""));
      break;
    case "remove-key":
      lines.push(keyId);
      break;
    case "update-key":
      lines.push(keyId);
      if (aum.votes !== undefined) lines.push(`Votes: ${aum.votes}`);
      if (aum.meta !== undefined) lines.push(`Metadata: ${metaText(aum.meta)}`);
      break;
    case "checkpoint":
      lines.push("Disablement values:");
      for (const value of aum.state?.disablementValues ?? []) lines.push(` - ${toHex(value ?? new Uint8Array(0))}`);
      lines.push("Keys:");
      for (const key of aum.state?.keys ?? []) lines.push(...keyLines(key, "  "));
      break;
    default:
      lines.push(goJson(wholeJson(aum), "\t"));
  }
  return `${lines.join("\n")}\n\n`;
}
