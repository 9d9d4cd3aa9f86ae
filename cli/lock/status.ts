/** `lock status`: the state of the lock as text, and as JSON of schema 1. Source: cli.printTailnetLockStatus, tslockjsonv1. */
import { fromBase64, toHex } from "../../base/bytes.ts";
import { LockPublic } from "../../base/lock_key.ts";
import { aumHashOf } from "../../tka/aum_hash.ts";
import { nodeKeySignatureText, sigKindName } from "../../tka/node_key_signature.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import { columns } from "../terminal.ts";
import type { LockStatus, PeerJson, SignatureJson } from "./types.ts";

function bytes(text: string | null): Uint8Array | undefined {
  return text === null ? undefined : fromBase64(text);
}

function signatureOf(json: SignatureJson): NodeKeySignature {
  const fields = {
    pubkey: bytes(json.Pubkey),
    keyId: bytes(json.KeyID),
    signature: bytes(json.Signature),
    nested: json.Nested === null ? undefined : signatureOf(json.Nested),
    wrappingPubkey: bytes(json.WrappingPubkey),
  };
  return { kind: json.SigKind, ...fields };
}

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
  if (Agent !== undefined && Agent.Reason !== "") {
    out.push("", `Condition: ${Agent.Condition}, since ${Agent.Since}: ${Agent.Reason}`);
    if (Agent.Remedy !== "") out.push(`What to do: ${Agent.Remedy}`);
  }
  return `${out.join("\n")}\n`;
}

/** Every node with the state of its signature, ours. */
export function allNodesText(status: LockStatus): string {
  const why = new Map((status.Agent?.Rejected ?? []).map(({ NodeKey, Why }) => [NodeKey, Why]));
  const row = (peer: PeerJson, word: string) => [
    peer.Name.replace(/\.$/, ""),
    (peer.TailscaleIPs ?? [])[0] ?? "",
    word,
    peer.NodeKey,
  ];
  const kind = (peer: PeerJson) => `signed (${sigKindName(peer.NodeKeySignature.SigKind)})`;
  const rows = [
    ...(status.VisiblePeers ?? []).map((peer) =>
      row(peer, peer.NodeKeySignature.SigKind === 0 ? "outside the lock" : kind(peer))
    ),
    ...(status.FilteredPeers ?? []).map((peer) => row(peer, `LOCKED OUT: ${why.get(peer.NodeKey) ?? ""}`)),
  ];
  return rows.length === 0 ? "" : `${columns([["NODE", "ADDRESS", "LOCK", "NODE KEY"], ...rows])}\n`;
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

function peerV1(peer: PeerJson): Record<string, unknown> {
  const { Name, StableID, TailscaleIPs, NodeKey } = peer;
  return { ID: StableID, DNSName: Name, TailscaleIPs: TailscaleIPs ?? [], NodeKey };
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
    ...(status.NodeKeySignature !== null && { NodeKeySignature: signatureV1(status.NodeKeySignature) }),
    TrustedKeys: (status.TrustedKeys ?? []).map(({ Kind, Votes, Key, Metadata }) => ({
      Kind,
      Votes,
      Public: cliKey(Key),
      ...(Metadata && { Meta: Metadata }),
    })),
    VisiblePeers: (status.VisiblePeers ?? []).map((peer) => ({
      ...peerV1(peer),
      NodeKeySignature: signatureV1(peer.NodeKeySignature),
    })),
    FilteredPeers: (status.FilteredPeers ?? []).map(peerV1),
    ...(status.StateID !== 0 && { State: status.StateID }),
  };
}
