/** Why a node that is somewhere in the tailnet is not to be reached: the lock keeps it out. */
import { parseIp } from "../../base/ip.ts";
import type { LocalClient } from "../local_client.ts";
import type { Program } from "../program.ts";
import type { LockStatus, PeerJson } from "./types.ts";

function isCalled({ Name, TailscaleIPs }: PeerJson, word: string): boolean {
  if (parseIp(word) !== undefined) return (TailscaleIPs ?? []).includes(word);
  const [name, full] = [word, Name].map((text) => text.toLowerCase().replace(/\.$/, ""));
  return full !== "" && (full === name || full.split(".")[0] === name);
}

/** A line for the person who named the node; undefined when the lock has no part in it. Never throws. */
export async function lockedOutText(client: LocalClient, word: string, program: Program): Promise<string | undefined> {
  let status: LockStatus;
  try {
    status = await client.json<LockStatus>("GET", "tka/status");
  } catch {
    return undefined;
  }
  const node = (status.FilteredPeers ?? []).find((peer) => isCalled(peer, word));
  if (node === undefined) {
    return status.Enabled && !status.NodeKeySigned
      ? `this node is locked out by Tailnet Lock; '${program} lock status' has the command that signs it`
      : undefined;
  }
  return `${node.Name.replace(/\.$/, "")} is locked out by Tailnet Lock; on a node with a trusted key run: ` +
    `${program} lock sign ${node.NodeKey}`;
}
