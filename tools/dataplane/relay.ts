/** What forwarding a packet costs a peer relay server in this process, sockets left out: they give and take for nothing. */
import { DropCounters } from "../../base/drops.ts";
import { DiscoPrivate } from "../../base/keys.ts";
import { systemRandom } from "../../base/system.ts";
import { Ring } from "../../engine/dataplane/ring.ts";
import { encapsulate, GENEVE_LENGTH, GENEVE_WIREGUARD } from "../../engine/geneve.ts";
import { Forwarder, FORWARDER_BYTES } from "../../engine/peer_relay/forwarder.ts";
import {
  decodeRelayRecord,
  encodeRelayRecord,
  RECORD_RELAY,
  type RelayEvent,
} from "../../engine/peer_relay/records.ts";
import type { AddrId, Arena, UdpPort } from "../../engine/ports.ts";
import { createArena } from "../../ffi/arena.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import { BindingClient } from "../../tests/engine/peer_relay/client.ts";
import { SeededRandom } from "../../tests/support/random.ts";

/** Receives of one turn, each as many packets as UDP_GRO joins. */
const RECEIVES = 16;

/** Hands over the same datagrams again and again. */
class EndlessSocket implements UdpPort {
  readonly fd = 4;
  readonly family = 4;
  readonly port = 7777;
  readonly offloads = { gso: true, gro: true };
  readonly unreachable = 0;
  segment = 0;
  source: AddrId = 0;
  /** What a receive gives, and how often. */
  batch: { readonly bytes: Uint8Array; readonly segment: number; readonly from: AddrId } | undefined;
  left = 0;
  groups = 0;
  last: Uint8Array = new Uint8Array(0);
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }
  recv(offset: number): number {
    if (this.left === 0 || this.batch === undefined) return -11;
    this.left--;
    const { bytes, segment, from } = this.batch;
    // The kernel's copy is not what is measured.
    if (this.#arena.u8[offset + bytes.length - 1] !== bytes[bytes.length - 1]) this.#arena.u8.set(bytes, offset);
    this.segment = segment;
    this.source = from;
    return bytes.length;
  }
  queue(_to: AddrId, offset: number, length: number): boolean {
    this.groups++;
    if (length < 1000) this.last = this.#arena.u8.slice(offset, offset + length);
    return true;
  }
  flush(): number {
    return 0;
  }
  close(): void {}
}

/** A turn that forwards `packets` packets of `size` bytes joined by `joined`. */
export function relayTurn(size: number, joined: number): { readonly packets: number; run(): void } {
  const random = new SeededRandom(1);
  const arena = createArena(FORWARDER_BYTES + (16 << 20));
  const addrs = createAddrTable(arena);
  const udp4 = new EndlessSocket(arena);
  const [commands, events] = [Ring.allocate(1 << 16), Ring.allocate(1 << 16)];
  const disco = DiscoPrivate.generate(random.bytes);
  let ready = 0;
  const forwarder = new Forwarder({
    ...{ arena, addrs, commands, events, disco },
    sockets: { udp4, udp6: undefined },
    poll: { watch: () => {}, wait: () => ready },
    wake: { fd: 3, wake: () => {}, drain: () => {} },
    drops: new DropCounters(),
    random: systemRandom,
    monotonic: () => performance.now(),
  });
  const turn = (bits: number) => {
    ready = bits;
    forwarder.turn(0);
  };
  const [a, b] = [new BindingClient(random), new BindingClient(random)];
  const at = [1, 2].map((host) => addrs.intern(Uint8Array.of(192, 0, 2, host), host));
  const clients = [a.disco.public.hex, b.disco.public.hex] as const;
  const request = { peer: "", disco: clients[0], clients, generation: 1 };
  commands.write(RECORD_RELAY, encodeRelayRecord({ kind: "addresses", addrs: ["192.0.2.9:7777"] }));
  commands.write(RECORD_RELAY, encodeRelayRecord({ kind: "allocate", id: 1, request }));
  turn(1);
  let vni = 0;
  events.read((_type, payload) => {
    const event = decodeRelayRecord<RelayEvent>(payload);
    if (event.kind === "allocated") vni = event.session!.vni;
  });
  const receive = (from: AddrId, bytes: Uint8Array, segment: number, times: number) => {
    udp4.batch = { bytes, segment, from };
    udp4.left = times;
    turn(2);
  };
  for (const [i, [client, other]] of ([[a, b], [b, a]] as const).entries()) {
    const server = disco.public.bytes;
    const bind = client.message("bind", server, other, { vni });
    receive(at[i], bind, bind.length, 1);
    const fields = { ...client.challenge(server, udp4.last), remote: other.disco.public.bytes };
    const answer = client.message("bind-answer", server, other, fields);
    receive(at[i], answer, answer.length, 1);
  }
  const packet = encapsulate({ protocol: GENEVE_WIREGUARD, control: false, vni }, random.bytes(size - GENEVE_LENGTH));
  const batch = new Uint8Array(size * joined);
  for (let i = 0; i < joined; i++) batch.set(packet, i * size);
  const run = () => receive(at[0], batch, size, RECEIVES);
  const before = udp4.groups;
  run();
  if (udp4.groups - before < RECEIVES) throw new Error("Cannot measure: the session does not forward");
  return { packets: RECEIVES * joined, run };
}
