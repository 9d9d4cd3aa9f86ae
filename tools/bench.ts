/**
 * What a packet costs in this process: bare crypto by provider, and the data path's segmenting and coalescing around
 * the provider in use. Ratios to the bare provider do not depend on the machine; nanoseconds do.
 *
 * deno task bench
 */
import { createArena } from "../ffi/arena.ts";
import { selectProvider } from "../ffi/crypto_provider.ts";
import { Coalescer } from "../engine/dataplane/coalesce.ts";
import { ARENA_BYTES, DATA_HEADER, DATA_OVERHEAD, reserveLayout } from "../engine/dataplane/layout.ts";
import { createKernels, PlainKernels } from "../engine/dataplane/packet_kernels.ts";
import type { Kernels } from "../engine/dataplane/packet_kernels.ts";
import { describe, SuperPacket } from "../engine/dataplane/segment.ts";
import { GSO_TCPV4, NEEDS_CSUM, VIRTIO_LENGTH } from "../engine/dataplane/virtio.ts";
import { GENEVE_LENGTH } from "../engine/geneve.ts";
import type { AeadProvider, TunPort } from "../engine/ports.ts";
import { tcpPacket } from "../tests/support/packets.ts";
import { relayTurn } from "./dataplane/relay.ts";

const PACKET = 1280;
const SEGMENTS = 50;
const ROUNDS = 9;

const arena = createArena(ARENA_BYTES + (8 << 20));
const layout = reserveLayout(arena);

/** Nanoseconds of one unit over `ms`; `run` does `units` of them. */
function timed(units: number, run: () => void, ms: number): number {
  let done = 0;
  const startedAt = performance.now();
  while (performance.now() - startedAt < ms) {
    run();
    done += units;
  }
  return (performance.now() - startedAt) * 1e6 / done;
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1];
}

/** Median nanoseconds of one unit. */
function measure(units: number, run: () => void): number {
  timed(units, run, 200);
  return median(Array.from({ length: ROUNDS }, () => timed(units, run, 100)));
}

function row(name: string, ns: number, ratio: number): void {
  const gbit = (PACKET * 8 / ns).toFixed(2);
  console.log(
    `${name.padEnd(38)}${ns.toFixed(0).padStart(7)} ns${gbit.padStart(8)} Gb/s${ratio.toFixed(2).padStart(8)}`,
  );
}

function benchProvider(provider: AeadProvider): number {
  const key = provider.createKey(new Uint8Array(32).fill(7), "seal");
  const open = provider.createKey(new Uint8Array(32).fill(7), "open");
  const sealed = new Uint8Array(PACKET + 16);
  provider.seal(key, layout.tx, PACKET, 1, 0);
  sealed.set(arena.u8.subarray(layout.tx, layout.tx + sealed.length));
  let counter = 0;
  const seal = measure(SEGMENTS, () => {
    for (let i = 0; i < SEGMENTS; i++) provider.seal(key, layout.tx, PACKET, counter++ >>> 0, 0);
  });
  row(`${provider.name} seal`, seal, 1);
  const opened = measure(SEGMENTS, () => {
    for (let i = 0; i < SEGMENTS; i++) {
      arena.u8.set(sealed, layout.tx);
      if (!provider.open(open, layout.tx, PACKET, 1, 0)) throw new Error("a good packet did not open");
    }
  });
  row(`${provider.name} open (with its copy)`, opened, opened / seal);
  return seal;
}

function superPacket(): number {
  const payload = new Uint8Array(SEGMENTS * (PACKET - 52)).map((_, i) => i * 31);
  const packet = tcpPacket({
    source: Uint8Array.of(100, 64, 0, 1),
    destination: Uint8Array.of(100, 64, 0, 2),
    sourcePort: 1,
    destinationPort: 2,
    payload,
    options: new Uint8Array(12),
  });
  const header = new Uint8Array(VIRTIO_LENGTH);
  const view = new DataView(header.buffer);
  header[0] = NEEDS_CSUM;
  header[1] = GSO_TCPV4;
  view.setUint16(4, PACKET - 52, true);
  view.setUint16(6, 20, true);
  view.setUint16(8, 16, true);
  arena.u8.set(header, layout.tunRead);
  arena.u8.set(packet, layout.tunRead + VIRTIO_LENGTH);
  return VIRTIO_LENGTH + packet.length;
}

console.log(`${PACKET}-byte packets, one core, medians of ${ROUNDS}\n${" ".repeat(60)}ratio`);
for (const force of ["libcrypto-fast", "libcrypto", "wasm", "noble"]) {
  const { provider } = selectProvider({ arena, force });
  if (provider.name !== force) console.log(`${force}: not available here`);
  else benchProvider(provider);
}

const { provider } = selectProvider({ arena, force: undefined });
const key = provider.createKey(new Uint8Array(32).fill(7), "seal");
const sealOnly = () => {
  for (let i = 0; i < SEGMENTS; i++) provider.seal(key, layout.tx, PACKET, i, 0);
};

/** Alternates with bare sealing, because the machine's pace changes within a run; the ratio is of neighbours. */
function compare(name: string, run: () => void): void {
  timed(SEGMENTS, run, 200);
  const pairs = Array.from({ length: ROUNDS }, () => {
    const bare = timed(SEGMENTS, sealOnly, 50);
    const ns = timed(SEGMENTS, run, 50);
    return { ns, ratio: ns / bare };
  });
  row(name, median(pairs.map(({ ns }) => ns)), median(pairs.map(({ ratio }) => ratio)));
}

const bytes = superPacket();
const packet = new SuperPacket();
describe(arena, layout.tunRead, bytes, packet);
const sink: TunPort = {
  fd: -1,
  name: "sink",
  offloads: { csum: true, tso: true, uso: true },
  read: () => -1,
  writev: () => 0,
  close: () => {},
};
const slots = { at: layout.tx, stride: PACKET + DATA_OVERHEAD, receiver: 1, counter: 0 };

function benchKernels(kernels: Kernels): void {
  const cut = () => kernels.writeSegments(packet, 0, SEGMENTS, slots);
  compare(`segment and checksum (${kernels.name})`, cut);
  const sealAll = () => {
    cut();
    for (let i = 0; i < SEGMENTS; i++) {
      provider.seal(key, layout.tx + i * slots.stride + DATA_HEADER, PACKET, i, 0);
    }
  };
  compare(`and seal (${kernels.name}, ${provider.name})`, sealAll);
  const coalescer = new Coalescer(arena, kernels, sink, layout, { tunWriteFailed: () => {} });
  cut();
  const first = layout.tx + DATA_HEADER;
  const firstHeaders = arena.u8.slice(first, first + 60);
  const coalesce = () => {
    // Joining rewrites the first packet's headers in place.
    arena.u8.set(firstHeaders, first);
    for (let i = 0; i < SEGMENTS; i++) coalescer.add(first + i * slots.stride, PACKET, 4, 6, 20);
    coalescer.flush();
  };
  compare(`verify and coalesce (${kernels.name})`, coalesce);
}

benchKernels(createKernels(arena, arena.memory));
benchKernels(new PlainKernels(arena));

for (const joined of [1, 40]) {
  const { packets, run } = relayTurn(PACKET + DATA_OVERHEAD + GENEVE_LENGTH, joined);
  const ns = measure(packets, run);
  row(`peer relay: forward, ${joined} a receive`, ns, ns / measure(SEGMENTS, sealOnly));
}
