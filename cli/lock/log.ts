/** `lock log`: the chain of AUMs, newest first, as text and as JSON of schema 1. Source: cli.nlDescribeUpdate, tslockjsonv1. */
import { fromBase64, toHex } from "../../base/bytes.ts";
import { Aum } from "../../tka/aum.ts";
import { aumHashOf } from "../../tka/aum_hash.ts";
import { aumKindName } from "../../tka/aum_kind.ts";
import type { Key } from "../../tka/key.ts";
import { keyKindName } from "../../tka/key.ts";
import { CliError } from "../exit_codes.ts";
import { tlpub } from "./args.ts";

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
      lines.push(`Raw: ${toHex(aum.bytes)}`);
  }
  return `${lines.join("\n")}\n\n`;
}

function keyV1(key: Key): Record<string, unknown> {
  return {
    Kind: keyKindName(key.kind),
    Votes: Number(key.votes),
    Public: tlpub(key.public ?? new Uint8Array(0)),
    ...(key.meta && { Meta: Object.fromEntries(key.meta) }),
  };
}

function exact(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
}

function aumV1(aum: Aum): Record<string, unknown> {
  const { state } = aum;
  return {
    MessageKind: aumKindName(aum.kind),
    ...(aum.parent !== undefined && { PrevAUMHash: aum.parent }),
    ...(aum.key && { Key: keyV1(aum.key) }),
    ...(aum.keyId && { KeyID: tlpub(aum.keyId) }),
    ...(state && {
      State: {
        ...(state.lastAumHash !== null && { LastAUMHash: state.lastAumHash }),
        DisablementValues: (state.disablementValues ?? []).map((value) => toHex(value ?? new Uint8Array(0))),
        Keys: (state.keys ?? []).map(keyV1),
        StateID1: exact(state.stateId1),
        StateID2: exact(state.stateId2),
      },
    }),
    ...(aum.votes !== undefined && { Votes: Number(aum.votes) }),
    ...(aum.meta && { Meta: Object.fromEntries(aum.meta) }),
    ...(aum.signatures.length > 0 && {
      Signatures: aum.signatures.map(({ keyId, signature }) => ({
        KeyID: tlpub(keyId ?? new Uint8Array(0)),
        Signature: (signature ?? new Uint8Array(0)).toBase64({ alphabet: "base64url" }),
      })),
    }),
  };
}

/** `--json=1`. */
export function logV1(aums: readonly Aum[]): Record<string, unknown> {
  const Messages = aums.map((aum) => ({
    Hash: aum.hash,
    AUM: aumV1(aum),
    Raw: aum.bytes.toBase64({ alphabet: "base64url" }),
  }));
  return { SchemaVersion: "1", Messages };
}
