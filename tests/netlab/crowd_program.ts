/**
 * Many WireGuard peers in one process, each with its own key and session, all speaking to one engine: what makes a node of
 * many active peers. Each sends a small packet a few times a second, and does what WireGuard's timers ask for.
 *
 * crowd_program.ts COUNT TARGET_SEED TARGET_IP:PORT        prints "ready" once every session is up; ends with its input
 */
import { parseAddrPort } from "../../base/ip.ts";
import { createArena } from "../../ffi/arena.ts";
import { createPoll } from "../../ffi/poll.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import { createUdp } from "../../ffi/udp.ts";
import { SeededRandom } from "../support/random.ts";
import { sourceNamed, WgNode } from "../support/wg_pair.ts";
import { crowdAddress, crowdSeed, engineKey } from "./engine_nodes.ts";

/** Packets of each peer, ms apart. */
const EVERY_MS = 200;

const [count, targetSeed, target] = Deno.args;
// Its inner address ends like its seed (`engineAddresses`).
const { ip, port } = parseAddrPort(target)!;
const arena = createArena(16 << 20);
const addrs = createAddrTable(arena);
const socket = createUdp({ arena, addrs, family: ip.length === 4 ? 4 : 6, port: 0, mark: 0, offload: false });
const poll = createPoll(arena);
// Standard input is the second descriptor, so that one thread can wait for both.
poll.watch([socket.fd, 0]);
const buffer = arena.reserve(65_536);
const outgoing = arena.reserve(2048);
const to = addrs.intern(ip, port);
const source = sourceNamed("target");
const now = () => performance.now();

/** An IPv4 packet of 32 bytes from peer `i`. Its header checksum is wrong on purpose: the kernel behind it drops it. */
function packet(i: number): string {
  const own = crowdAddress(i).split("/")[0].split(".").map(Number);
  return String.fromCharCode(
    0x45,
    0,
    0,
    32,
    0,
    0,
    0,
    0,
    64,
    17,
    0,
    0,
    ...own,
    100,
    64,
    0,
    Number(targetSeed),
    ...Array(12).fill(0),
  );
}

const nodes = Array.from({ length: Number(count) }, (_, i) => {
  const node = new WgNode(new SeededRandom(i + 1), now, (message) => {
    arena.u8.set(message, outgoing);
    socket.queue(to, outgoing, message.length, message.length);
    socket.flush();
  });
  node.device.setPrivateKey(engineKey(crowdSeed(i)));
  node.peer = node.device.addPeer(engineKey(targetSeed).public);
  return { node, packet: packet(i), nextAt: now() + i * EVERY_MS / Number(count) };
});

let ready = false;
for (const line = new Uint8Array(64);;) {
  const wanted = poll.wait(5);
  for (let length = socket.recv(buffer, 65_536); length >= 0; length = socket.recv(buffer, 65_536)) {
    const message = arena.u8.slice(buffer, buffer + length);
    // Only the one whose key or index it is takes it.
    for (const { node } of nodes) if (node.receive(message, source) === undefined) break;
  }
  for (const each of nodes) {
    if (each.node.device.nextDeadline() <= now()) each.node.device.advance(now());
    if (each.nextAt <= now()) {
      each.nextAt += EVERY_MS;
      each.node.send(each.packet);
    }
  }
  if (!ready && nodes.every(({ node }) => node.peer.keypairForSend(now()) !== undefined)) {
    ready = true;
    console.log("ready");
  }
  if ((wanted & 2) !== 0 && Deno.stdin.readSync(line) === null) break;
}
