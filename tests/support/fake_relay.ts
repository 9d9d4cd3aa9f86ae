/** A peer relay server in memory: remembers what it was told. */
import type { RelayRequest, RelaySessionConfig } from "../../engine/config.ts";
import type { Relay } from "../../daemon/peer_relay.ts";
import type { StartPeerRelayOptions } from "../../daemon/peer_relay_host.ts";
import type { RelayStatus } from "../../engine/peer_relay/records.ts";

export const RELAY_SESSION: RelaySessionConfig = {
  server: "5e".repeat(32),
  clients: ["0a".repeat(32), "0b".repeat(32)],
  lamportId: "1",
  vni: 1,
  bindLifetimeMs: 30_000,
  steadyLifetimeMs: 300_000,
  addrs: ["192.0.2.10:7777"],
};

export const RELAY_STATUS: RelayStatus = {
  connecting: 1,
  open: 2,
  forwarded: [{ in: 4, out: 6, packets: 3, bytes: 400 }],
  sessions: [{
    vni: 9,
    clients: [
      { endpoint: "192.0.2.1:1", disco: "0a".repeat(32), packets: 1, bytes: 100 },
      { endpoint: "", disco: "0b".repeat(32), packets: 0, bytes: 0 },
    ],
  }],
  drops: {},
};

/** Starts fake relays, one after another. */
export class FakeRelays {
  readonly started: FakeRelay[] = [];
  /** The next start fails for this reason. */
  failure: string | undefined;

  readonly start = (options: StartPeerRelayOptions): Promise<Relay> => {
    if (this.failure !== undefined) return Promise.reject(new Error(this.failure));
    const relay = new FakeRelay(options);
    this.started.push(relay);
    return Promise.resolve(relay);
  };

  /** Those that run. */
  get running(): FakeRelay[] {
    return this.started.filter(({ closed }) => !closed);
  }
}

export class FakeRelay implements Relay {
  readonly options: StartPeerRelayOptions;
  readonly localPorts: { readonly udp4: number; readonly udp6: number };
  readonly asked: RelayRequest[] = [];
  addresses: readonly string[] = [];
  closed = false;

  constructor(options: StartPeerRelayOptions) {
    this.options = options;
    const port = options.port || 50_000;
    this.localPorts = { udp4: port, udp6: port };
  }
  allocate(request: RelayRequest): Promise<RelaySessionConfig | undefined> {
    this.asked.push(request);
    return Promise.resolve(RELAY_SESSION);
  }
  setAddresses(addrs: readonly string[]): void {
    this.addresses = addrs;
  }
  sendStun(): void {}
  status(): Promise<RelayStatus | undefined> {
    return Promise.resolve(RELAY_STATUS);
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}
