/**
 * `lock status`: the state of the lock as text, and as JSON of schema 1. Source: cli.runTailnetLockStatus,
 * jsonoutput.PrintTailnetLockStatusJSONV1. `--all` adds every node, in the JSON as `AllNodes`, which is ours.
 */
import { toHex } from "../../base/bytes.ts";
import { LockPublic } from "../../base/lock_key.ts";
import { aumHashOf } from "../../tka/aum_hash.ts";
import { nodeKeySignatureText, sigKindName } from "../../tka/node_key_signature.ts";
import { WARN_KEYS } from "../../tka/limits.ts";
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import { goJson, JSON_FLAG, lockStatus, metaV1, requireSchema, withJsonVersion } from "./command.ts";
import type { Run } from "./command.ts";
import { allNodesText, allNodesV1, lockNodes } from "./nodes.ts";
import { signatureOf } from "./signature.ts";
import type { LockStatus, PeerJson, SignatureJson } from "./types.ts";

export const STATUS_FLAGS = {
  json: JSON_FLAG,
  all: { type: "boolean", help: "show every node: who signed it, how, and why it is kept out" },
} as const;

function cliKey(nlpub: string): string {
  return LockPublic.parse(nlpub)?.cliString() ?? nlpub;
}

function hasKey(status: LockStatus): boolean {
  return !/^nlpub:0+$/.test(status.PublicKey);
}

/** The text, with a final line break. @param program as the user calls it. */
export function statusText(status: LockStatus, program: string): string {
  const out: string[] = [`Tailnet Lock is ${status.Enabled ? "ENABLED" : "NOT enabled"}.`, ""];
  if (status.Enabled && status.NodeKey !== null && hasKey(status)) {
    if (status.NodeKeySigned && status.NodeKeySignature !== null) {
      out.push("This node is accessible under Tailnet Lock. Node signature:");
      out.push(nodeKeySignatureText(signatureOf(status.NodeKeySignature)));
    } else {
      out.push("This node is LOCKED OUT by Tailnet Lock, and action is required to establish connectivity.");
      out.push("Run the following command on a node with a trusted key:");
      out.push(`\t${program} lock sign ${status.NodeKey} ${cliKey(status.PublicKey)}`);
    }
    out.push("");
  }
  if (hasKey(status)) out.push(`This node's tailnet-lock key: ${cliKey(status.PublicKey)}`, "");
  if (status.Enabled && (status.TrustedKeys ?? []).length > 0) {
    out.push("Trusted signing keys:");
    for (const { Key, Votes, Metadata } of status.TrustedKeys ?? []) {
      const self = Key === status.PublicKey ? "(self)" : "";
      const id = Metadata?.authkey_stableid;
      const purpose = Metadata?.purpose === "pre-auth key" ? (id ? `(pre-auth key ${id})` : "(pre-auth key)") : "";
      out.push(`\t${cliKey(Key)}\t${Votes}\t${self}${purpose}`);
    }
  }
  if (status.Enabled && (status.FilteredPeers ?? []).length > 0) {
    out.push("", "The following nodes are locked out by tailnet lock and cannot connect to other nodes:");
    for (const { Name, TailscaleIPs, StableID, NodeKey } of status.FilteredPeers ?? []) {
      out.push(`\t${Name}\t${(TailscaleIPs ?? []).join(",")}\t${StableID}\t${NodeKey}`);
    }
  }
  const { Agent } = status;
  const keys = (status.TrustedKeys ?? []).length;
  if (Agent !== undefined && keys >= WARN_KEYS) {
    out.push("", `Warning: ${keys} of 512 keys are trusted; '${program} lock prune' retires those of used auth keys.`);
  }
  if (Agent !== undefined && Agent.Reason !== "") {
    if (out.at(-1) !== "") out.push("");
    out.push(`Condition: ${Agent.Condition}, since ${Agent.Since}: ${Agent.Reason}`);
    if (Agent.Remedy !== "") out.push(`What to do: ${Agent.Remedy}`);
  }
  return `${out.join("\n")}\n`;
}

function base64Url(data: Uint8Array | undefined): string {
  return (data ?? new Uint8Array(0)).toBase64({ alphabet: "base64url" });
}

function signatureV1(json: SignatureJson): Record<string, unknown> {
  const { kind, pubkey, keyId, signature, wrappingPubkey } = signatureOf(json);
  return {
    SigKind: sigKindName(kind),
    ...(pubkey && { PublicKey: `tlpub:${toHex(pubkey)}` }),
    ...(keyId && { KeyID: `tlpub:${toHex(keyId)}` }),
    Signature: base64Url(signature),
    ...(json.Nested && { Nested: signatureV1(json.Nested) }),
    ...(wrappingPubkey && { WrappingPublicKey: `tlpub:${toHex(wrappingPubkey)}` }),
  };
}

/** Go writes a list that nobody added to as null. */
function listOrNull<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

function peerV1(peer: PeerJson): Record<string, unknown> {
  const { Name, StableID, TailscaleIPs, NodeKey } = peer;
  return { ID: StableID, DNSName: Name, TailscaleIPs: listOrNull(TailscaleIPs ?? []), NodeKey };
}

/** `--json=1`. */
export function statusV1(status: LockStatus): Record<string, unknown> {
  const head = {
    SchemaVersion: "1",
    Enabled: status.Enabled,
    ...(hasKey(status) && { PublicKey: cliKey(status.PublicKey) }),
    ...(status.NodeKey !== null && { NodeKey: status.NodeKey }),
  };
  if (!status.Enabled) return head;
  return {
    ...head,
    ...(status.Head !== null && { Head: aumHashOf(Uint8Array.from(status.Head)) }),
    NodeKeySigned: status.NodeKeySigned,
    NodeKeySignature: status.NodeKeySignature === null ? null : signatureV1(status.NodeKeySignature),
    TrustedKeys: listOrNull((status.TrustedKeys ?? []).map(({ Kind, Votes, Key, Metadata }) => ({
      Kind,
      Votes,
      Public: cliKey(Key),
      ...(Metadata && Object.keys(Metadata).length > 0 && { Meta: metaV1(Object.entries(Metadata)) }),
    }))),
    VisiblePeers: listOrNull((status.VisiblePeers ?? []).map((peer) => ({
      ...peerV1(peer),
      NodeKeySignature: signatureV1(peer.NodeKeySignature),
    }))),
    FilteredPeers: listOrNull((status.FilteredPeers ?? []).map(peerV1)),
    ...(status.StateID !== 0 && { State: status.StateID }),
  };
}

export const status: Run = async (args, { client, program }) => {
  const { values, rest } = withJsonVersion(STATUS_FLAGS, args);
  if (rest.length > 0) throw new UsageError(`${program} lock status: unexpected argument`);
  const seen = await lockStatus(client);
  const nodes = values.all ? await lockNodes(client, seen) : undefined;
  if (values.json !== "") {
    requireSchema(values.json);
    print(goJson({ ...statusV1(seen), ...(nodes && { AllNodes: allNodesV1(nodes), Agent: seen.Agent }) }));
  } else {
    print(statusText(seen, program));
    if (nodes !== undefined) print(`\n${allNodesText(nodes, seen)}`);
  }
  return EXIT_OK;
};
