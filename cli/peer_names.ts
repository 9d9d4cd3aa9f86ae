/** Which peer a word on the command line means: a Tailscale address, a MagicDNS name, or the first part of one. */
import { parseIp } from "../base/ip.ts";
import { CliError } from "./exit_codes.ts";
import type { PeerStatus, Status } from "./local_types.ts";

/** A peer's name as people type it: the first label of its MagicDNS name, or its host name. */
export function baseName(peer: PeerStatus): string {
  return peer.DNSName.split(".")[0] || peer.HostName;
}

/** All nodes that a word names; itself included. */
export function nodesNamed(status: Status, word: string): PeerStatus[] {
  const nodes = [...(status.Self === null ? [] : [status.Self]), ...Object.values(status.Peer ?? {})];
  return nodes.filter((node) => matches(node, word));
}

/** The node a word names; itself included. @throws CliError when it names none, or more than one. */
export function findNode(status: Status, word: string): { node: PeerStatus; ip: string; isSelf: boolean } {
  const found = nodesNamed(status, word);
  if (found.length === 0) {
    throw new CliError(`no node is called "${word}" and none has that address; 'status' lists the nodes`);
  }
  if (found.length > 1) {
    const names = found.map((node) => node.DNSName.replace(/\.$/, "") || node.ID).sort();
    throw new CliError(`"${word}" names ${found.length} nodes: ${names.join(", ")}; use a full name or an address`);
  }
  const [node] = found;
  const ip = parseIp(word) !== undefined ? word : node.TailscaleIPs?.[0];
  if (ip === undefined) throw new CliError(`"${word}" has no Tailscale address yet`);
  return { node, ip, isSelf: node === status.Self };
}

function matches(node: PeerStatus, word: string): boolean {
  if (parseIp(word) !== undefined) return node.TailscaleIPs?.includes(word) ?? false;
  const name = word.toLowerCase().replace(/\.$/, "");
  const full = node.DNSName.toLowerCase().replace(/\.$/, "");
  if (full === name && full !== "") return true;
  return !name.includes(".") && (full.split(".")[0] === name || (full === "" && node.HostName.toLowerCase() === name));
}

/**
 * What a word on the command line stands for as the target of packets: an address as it is, a node by its name, or what
 * the system's resolver says (a host behind a subnet router).
 */
export async function resolveTarget(status: Status, word: string): Promise<{ ip: string; isSelf: boolean }> {
  if (parseIp(word) !== undefined) return { ip: word, isSelf: false };
  const named = nodesNamed(status, word);
  if (named.length > 0) return findNode(status, word);
  const { lookup } = await import("node:dns/promises");
  try {
    return { ip: (await lookup(word)).address, isSelf: false };
  } catch (cause) {
    throw new CliError(`no node is called "${word}", and looking up its address failed`, undefined, { cause });
  }
}
