// Orders of `tailscale lock` for a tsnet node, and who reaches whom under it.

import { until } from "../../support/running_coordinator.ts";
import type { GoJson } from "./control.ts";
import type { LabPeer } from "./peer.ts";

/** A LabPeer as its lock sees it. */
export class LockedPeer {
  readonly peer: LabPeer;

  constructor(peer: LabPeer) {
    this.peer = peer;
  }

  /** ipnstate.TailnetLockStatus. */
  status(): Promise<GoJson> {
    return this.peer.process.send("GET /lock/status");
  }
  /** ipnstate.TailnetLockUpdate[], newest first. */
  log(): Promise<GoJson[]> {
    return this.peer.process.send("GET /lock/log");
  }
  /** Its own lock key, `nlpub:…`. */
  async key(): Promise<string> {
    return (await this.status()).PublicKey;
  }
  /** Trusts itself and these keys. Returns the disablement secret, hex. */
  async init(...keys: readonly string[]): Promise<string> {
    const { secret } = await this.peer.process.send<{ secret: string }>("POST /lock/init", { Keys: keys });
    return secret;
  }
  async sign(other: LockedPeer): Promise<void> {
    const { NodeKey, PublicKey } = await other.status();
    await this.peer.process.send("POST /lock/sign", { NodeKey, Key: PublicKey });
  }
  /** `sign` for a node that is no LabPeer. */
  signKeys(nodeKey: string, lockKey: string): Promise<unknown> {
    return this.peer.process.send("POST /lock/sign", { NodeKey: nodeKey, Key: lockKey });
  }
  modify(change: { add?: readonly string[]; remove?: readonly string[] }): Promise<unknown> {
    return this.peer.process.send("POST /lock/modify", { Add: change.add ?? [], Remove: change.remove ?? [] });
  }
  /** How many signatures hang on a trusted key. */
  async affected(key: string): Promise<number> {
    return (await this.peer.process.send<{ signatures: number }>("POST /lock/affected", { Key: key })).signatures;
  }
  /** An auth key wrapped for the lock. */
  async wrap(authKey: string): Promise<string> {
    const wrapped = await this.peer.process.send<{ authKey: string }>("POST /lock/wrap", { AuthKey: authKey });
    return wrapped.authKey;
  }
  disable(secret: string): Promise<unknown> {
    return this.peer.process.send("POST /lock/disable", { Secret: secret });
  }

  /** Waits until its lock is so. */
  async until(what: string, holds: (status: GoJson) => boolean, timeoutMs = 40_000): Promise<void> {
    let last: GoJson;
    try {
      await until(async () => holds(last = await this.status()), what, timeoutMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}; the node's lock is ${JSON.stringify(last)}`);
    }
  }

  /** Whether it gets an answer through WireGuard. */
  async reaches(other: LockedPeer, timeoutMs = 3_000): Promise<boolean> {
    try {
      return (await this.peer.ping(other.peer.ips[0], "TSMP", timeoutMs)).Err === "";
    } catch {
      return false;
    }
  }

  /** Whether the other is in its netmap. */
  async sees(other: LockedPeer): Promise<boolean> {
    const { Peer } = await this.peer.status();
    return Object.values<GoJson>(Peer ?? {}).some(({ TailscaleIPs }) =>
      (TailscaleIPs ?? []).includes(other.peer.ips[0])
    );
  }
}

/** The head in status (32 numbers) as text of the wire. */
export function headOf(status: GoJson): string {
  return (status.Head as number[] | undefined)?.map((byte) => byte.toString(16).padStart(2, "0")).join("") ?? "";
}
