/** Every node with what the lock says of it: for `lock status --all` and for signing many at once. */
import { toHex } from "../../base/bytes.ts";
import { CliError } from "../exit_codes.ts";
import { LocalApiError } from "../local_client.ts";
import type { LocalClient } from "../local_client.ts";
import { columns, oneLine } from "../terminal.ts";
import { tlpub } from "./args.ts";
import { signatureOf, summaryOf } from "./signature.ts";
import type { LockNodeJson, LockStatus } from "./types.ts";

/** The nodes, this one first. @throws CliError from a daemon that does not tell of them. */
export async function lockNodes(client: LocalClient, status: LockStatus): Promise<readonly LockNodeJson[]> {
  if (!status.Enabled && status.Agent?.Condition === "off") return [];
  try {
    return await client.json<readonly LockNodeJson[]>("GET", "agent/lock/nodes");
  } catch (error) {
    if (!(error instanceof LocalApiError) || error.status !== 404) throw error;
    throw new CliError("this daemon does not tell of every node; is it a daemon of this program?");
  }
}

/** A node's name without the dot at its end, as control gave it, on one line. */
export function shortName({ Name }: LockNodeJson): string {
  return oneLine(Name.replace(/\.$/, ""));
}

/** Its tags, or else its user. */
export function ownerText({ Tags, User }: LockNodeJson): string {
  return oneLine(Tags.length > 0 ? Tags.join(",") : User);
}

/** Who a trusted key is, as far as the lock itself tells. */
function signerText(id: Uint8Array | undefined, { PublicKey, TrustedKeys }: LockStatus): string {
  if (id === undefined) return "-";
  const nlpub = `nlpub:${toHex(id)}`;
  const short = `${tlpub(id).slice(0, 22)}…`;
  if (nlpub === PublicKey) return `${short} (this node)`;
  const key = (TrustedKeys ?? []).find(({ Key }) => Key === nlpub);
  if (key === undefined) return `${short} (not trusted)`;
  const { purpose, authkey_stableid } = key.Metadata ?? {};
  return purpose === "pre-auth key" ? `${short} (auth key ${authkey_stableid ?? ""})`.replace(" )", ")") : short;
}

const WORDS: Readonly<Partial<Record<LockNodeJson["Verdict"], string>>> = {
  signed: "signed",
  outside: "outside the lock",
};

/** The table of `status --all`; "" when there is no lock. */
export function allNodesText(nodes: readonly LockNodeJson[], status: LockStatus): string {
  if (nodes.length === 0) return "";
  const rows = nodes.map((node) => {
    const { kind, signer, depth } = summaryOf(signatureOf(node.NodeKeySignature));
    return [
      shortName(node),
      node.TailscaleIPs[0] ?? "",
      WORDS[node.Verdict] ?? `LOCKED OUT: ${node.Why}`,
      kind === "" ? "-" : depth === 1 ? kind : `${kind}, ${depth} deep`,
      signerText(signer, status),
      node.NodeKey,
    ];
  });
  return `${columns([["NODE", "ADDRESS", "LOCK", "SIGNATURE", "SIGNED BY", "NODE KEY"], ...rows])}\n`;
}

/** `AllNodes` of `status --all --json`. */
export function allNodesV1(nodes: readonly LockNodeJson[]): Record<string, unknown>[] {
  return nodes.map((node) => {
    const { kind, signer, depth } = summaryOf(signatureOf(node.NodeKeySignature));
    const { Name, StableID, TailscaleIPs, NodeKey, Tags, User, Self, Verdict, Why } = node;
    return {
      ID: StableID,
      DNSName: Name,
      TailscaleIPs,
      NodeKey,
      Self,
      Tags,
      User,
      Verdict,
      ...(Why !== "" && { Why }),
      ...(kind !== "" && { SigKind: kind, Depth: depth }),
      ...(signer !== undefined && { Signer: tlpub(signer) }),
    };
  });
}
