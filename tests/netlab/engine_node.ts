/**
 * An engine by itself with a fixed peer: the data plane on a real TUN, without control, DERP or daemon.
 *
 * engine_node.ts SEED OWN_ADDRESS PEER_SEED PEER_ADDRESS PEER_ENDPOINT PORT
 * Prints one JSON line when it is ready; a line on standard input asks for the status; it ends with its input.
 */
import { startEngine } from "../../daemon/engine_host.ts";
import { NodePrivate } from "../../base/keys.ts";
import { parsePrefix } from "../../base/ip.ts";
import { Netlink } from "../../ffi/netlink.ts";
import { addAddress } from "../../ffi/rt_addr.ts";
import { linkByName, setLink } from "../../ffi/rt_link.ts";
import { addRoute, TABLE_MAIN } from "../../ffi/rt_route.ts";

const [seed, own, peerSeed, peer, endpoint, port] = Deno.args;
const keyOf = (text: string) => new NodePrivate(new Uint8Array(32).fill(Number(text)));
const engine = await startEngine({
  tunName: "agent0",
  port: Number(port),
  crypto: Deno.env.get("AGENT_CRYPTO"),
  onRefusedProvider: () => {},
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
setLink(netlink, link.index, { mtu: 1280, up: true });
for (const text of own.split(",")) addAddress(netlink, link.index, parsePrefix(text)!);
for (const text of peer.split(",")) {
  addRoute(netlink, { destination: parsePrefix(text)!, device: link.index, table: TABLE_MAIN });
}
engine.configure({
  privateKey: keyOf(seed).reveal().toHex(),
  addresses: own.split(","),
  homeDerp: 0,
  filter: {
    rules: [{
      sources: ["0.0.0.0/0", "::/0"],
      destinations: ["0.0.0.0/0", "::/0"].map((prefix) => ({ prefix, first: 0, last: 65535 })),
      protocols: [],
    }],
    local: own.split(","),
    shieldsUp: false,
  },
  peers: [{
    key: keyOf(peerSeed).public.hex,
    disco: "",
    allowedIps: peer.split(","),
    endpoints: [endpoint],
    derp: 0,
    jailed: false,
    addresses: peer.split(",").map((text) => text.split("/")[0]),
    cap: 113,
  }],
});
console.log(JSON.stringify({ tun: engine.tunName, ports: engine.localPorts }));
const reader = Deno.stdin.readable.getReader();
while (!(await reader.read()).done) console.log(JSON.stringify(await engine.status()));
await engine.close();
Deno.exit(0);
