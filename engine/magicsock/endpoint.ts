import type { AddrId } from "../ports.ts";

/** Where the next packets for a peer go; both set means both. */
export interface SendPath {
  addr: AddrId;
  /** DERP region, 0 for none. */
  derp: number;
}

/** A peer's paths. */
export class Endpoint {
  /** 64 hex digits of the node key. */
  readonly key: string;
  lastSend = 0;
  lastReceive = 0;

  constructor(key: string) {
    this.key = key;
  }

  /** Home DERP region of the peer, 0 for none. */
  get derp(): number {
    throw new Error("being written");
  }

  /** Once per batch of packets for this peer. The result is reused. */
  pathForSend(_now: number): SendPath {
    throw new Error("being written");
  }

  /** WireGuard data was authenticated from this source (0: by DERP). */
  noteReceived(_source: AddrId, _now: number): void {
    throw new Error("being written");
  }

  /** A send to `addr` failed with EHOSTUNREACH. */
  noteBadAddress(_addr: AddrId, _now: number): void {
    throw new Error("being written");
  }

  /** `ip:port` in use alone, "" while DERP carries (some of) the traffic. */
  currentAddress(_now: number): string {
    throw new Error("being written");
  }

  /** Sent to within the last 45 s. */
  active(_now: number): boolean {
    throw new Error("being written");
  }
}
