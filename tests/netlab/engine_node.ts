/**
 * An engine by itself with fixed peers: the data plane on a real TUN, without control, DERP or daemon. Started by
 * `startEngineNode` (engine_nodes.ts), which says what its one argument is.
 *
 * Prints one JSON line when it is ready, and one for each line on standard input; it ends with its input.
 *   status          the engine's status
 *   netmap COUNT    reads a map response of COUNT more peers as the control client and the router would, and configures
 *                   them: {"ms", "peers"}
 */
import { ONE_NODE } from "../../daemon/instance.ts";
import { systemScheduler } from "../../base/system.ts";
import { MemoryState } from "../../daemon/state_file.ts";
import { TimestampCeiling } from "../../daemon/timestamp_ceiling.ts";
import { startEngine } from "../../daemon/engine_host.ts";
import { parsePrefix } from "../../base/ip.ts";
import type { PeerConfig } from "../../engine/config.ts";
import { Netlink } from "../../ffi/netlink.ts";
import { addAddress } from "../../ffi/rt_addr.ts";
import { linkByName, setLink } from "../../ffi/rt_link.ts";
import { addRoute, TABLE_MAIN } from "../../ffi/rt_route.ts";
import { engineKey } from "./engine_nodes.ts";
import type { EngineNodeConfig } from "./engine_nodes.ts";
import { LineReader } from "./line_reader.ts";
import { largeNetmap, readLargeNetmap } from "./large_netmap.ts";

const config: EngineNodeConfig = JSON.parse(Deno.args[0]);
const timestamps = new TimestampCeiling({ store: new MemoryState(), scheduler: systemScheduler, warn: console.error });
timestamps.begin();
const engine = await startEngine({
  timestamps: timestamps.shared,
  mark: ONE_NODE.bypassMark,
  tunName: "agent0",
  port: config.port,
  crypto: Deno.env.get("AGENT_CRYPTO"),
  cryptoWorkers: Deno.env.get("AGENT_CRYPTO_WORKERS"),
  events: {
    derpSend: () => {},
    stunReceived: () => {},
    endpointsWanted: () => {},
    relayRequested: () => {},
    pathChanged: () => {},
    failed: (error) => {
      console.error(error);
      Deno.exit(1);
    },
  },
});
const netlink = new Netlink();
const link = linkByName(netlink, engine.tunName)!;
setLink(netlink, link.index, { mtu: config.mtu ?? 1280, up: true });
for (const text of config.addresses) addAddress(netlink, link.index, parsePrefix(text)!);
// Of a crowd only the first has a route: the others' packets are not for this node's kernel to send.
for (const text of config.peers[0].addresses) {
  addRoute(netlink, { destination: parsePrefix(text)!, device: link.index, table: TABLE_MAIN });
}
const peers: PeerConfig[] = config.peers.map(({ seed, addresses, endpoint }) => ({
  key: engineKey(seed).public.hex,
  disco: "",
  allowedIps: addresses,
  endpoints: endpoint === undefined ? [] : [endpoint],
  derp: 0,
  jailed: false,
  addresses: addresses.map((text) => text.split("/")[0]),
  cap: 113,
}));

function configure(more: readonly PeerConfig[]): void {
  engine.configure({
    privateKey: engineKey(config.seed).reveal().toHex(),
    addresses: config.addresses,
    homeDerp: 0,
    filter: {
      rules: [{
        sources: ["0.0.0.0/0", "::/0"],
        destinations: ["0.0.0.0/0", "::/0"].map((prefix) => ({ prefix, first: 0, last: 65535 })),
        protocols: [],
      }],
      local: config.addresses,
      shieldsUp: false,
    },
    peers: [...peers, ...more],
  });
}

/** Made once each: making one costs more than reading it, which is what is measured. */
const netmaps = new Map<number, Uint8Array>();

function netmap(count: number): Uint8Array {
  const bytes = netmaps.get(count) ?? largeNetmap(count);
  netmaps.set(count, bytes);
  return bytes;
}

configure([]);
console.log(JSON.stringify({ tun: engine.tunName, ports: engine.localPorts }));
const orders = new LineReader(Deno.stdin.readable);
for (let line = await orders.read(); line !== undefined; line = await orders.read()) {
  const [verb, count] = line.split(" ");
  if (verb === "netmap") {
    const bytes = netmap(Number(count));
    const startedAt = performance.now();
    const more = readLargeNetmap(bytes, engineKey(config.seed));
    configure(more);
    console.log(JSON.stringify({ ms: Math.round(performance.now() - startedAt), peers: more.length }));
  } else {
    console.log(JSON.stringify(await engine.status()));
  }
}
await engine.close();
Deno.exit(0);
