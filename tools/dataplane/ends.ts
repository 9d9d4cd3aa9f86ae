/**
 * The programs the data-plane benchmark runs at each end of a tunnel, and how each is brought up.
 *
 *   agent           tests/netlab/engine_node.ts: the whole engine of this tree
 *   wireguard-go    `lab wireguard` (tests/interop): the newest wireguard-go, linked
 *   wireguard-go-debian   /usr/bin/wireguard-go as the distribution has it
 *
 * All speak WireGuard with the same fixed keys, so any two can be joined.
 */
import { parsePrefix } from "../../base/ip.ts";
import { addAddress } from "../../ffi/rt_addr.ts";
import { linkByName, setLink } from "../../ffi/rt_link.ts";
import { addRoute, TABLE_MAIN } from "../../ffi/rt_route.ts";
import { buildLab } from "../../tests/interop/support/build.ts";
import {
  crowdAddress,
  crowdSeed,
  denoRun,
  ENGINE_PORT,
  engineKey,
  pairedNode,
  startEngineNode,
} from "../../tests/netlab/engine_nodes.ts";
import type { LabNamespace } from "../../tests/netlab/lab.ts";
import { AskedProgram } from "../../tests/netlab/line_reader.ts";

const CROWD = new URL("../../tests/netlab/crowd_program.ts", import.meta.url).pathname;
const DEBIAN = "/usr/bin/wireguard-go";

/** Where one end stands in its tunnel. */
export interface Place {
  readonly namespace: LabNamespace;
  /** 1 or 2; the other end is the other. */
  readonly number: 1 | 2;
  /** Outer address of the other end. */
  readonly remote: string;
  /** Inner MTU. */
  readonly mtu: number;
}

/** A running end. */
export interface End {
  readonly pid: number;
  /** Answers orders, where the program of this end takes any (engine_node.ts). */
  readonly asked?: AskedProgram;
}

/** A kind of end. */
export interface Kind {
  readonly name: string;
  /** With its version, for the report. */
  readonly version: string;
  start(place: Place): Promise<End>;
  /** To be called when both ends are up. */
  populate?(place: Place): Promise<void>;
}

/** Inner address of end `number`. */
export function innerAddress(number: number): string {
  return `100.64.0.${number}`;
}

/** Peers configured and active in the crowded scene, the other end among them. */
export const CROWD_PEERS = 1000;
export const CROWD_ACTIVE = 50;

/** What can be run here; `missing` names the others and says why. */
export async function findKinds(): Promise<{ kinds: Kind[]; missing: string[] }> {
  const kinds: Kind[] = [
    agent("agent", {}),
    agent("agent-wasm", { AGENT_CRYPTO: "wasm" }),
    agent("agent-helper", { AGENT_CRYPTO_WORKERS: "1" }),
    crowded(),
  ];
  const missing: string[] = [];
  const lab = await buildLab();
  if (lab.kind === "ready") kinds.push(await modernWireGuard(lab.path));
  else missing.push(`wireguard-go: ${lab.reason}`);
  try {
    await Deno.stat(DEBIAN);
    kinds.push(await debianWireGuard());
  } catch {
    missing.push(`wireguard-go-debian: no ${DEBIAN}`);
  }
  return { kinds, missing };
}

/** The engine of this tree. */
function agent(name: string, env: Record<string, string>, crowd = 0): Kind {
  return {
    name,
    version: `Deno ${Deno.version.deno}`,
    async start({ namespace, number, remote, mtu }) {
      const pair = pairedNode(number, `${remote}:${ENGINE_PORT}`, { mtu });
      const more = Array.from({ length: crowd }, (_, i) => ({ seed: crowdSeed(i), addresses: [crowdAddress(i)] }));
      const { node } = await startEngineNode(namespace, { ...pair, peers: [...pair.peers, ...more] }, env);
      return { pid: node.child.pid, asked: node };
    },
  };
}

/** The same with many configured peers, of which some speak. Each end's crowd lives at the other end. */
function crowded(): Kind {
  return {
    ...agent(`agent-${CROWD_PEERS}-peers`, {}, CROWD_PEERS - 1),
    async populate({ namespace, number, remote }) {
      const argv = denoRun(CROWD, String(CROWD_ACTIVE - 1), String(3 - number), `${remote}:${ENGINE_PORT}`);
      await new AskedProgram(namespace.spawn(argv, { stdin: "piped", stdout: "piped" })).line();
    },
  };
}

/** wireguard-go's configuration (its cross-platform userspace interface). */
function uapi({ number, remote }: Place): string {
  const key = (n: number) => engineKey(String(n));
  const other = 3 - number;
  return [
    `private_key=${key(number).reveal().toHex()}`,
    `listen_port=${ENGINE_PORT}`,
    `public_key=${key(other).public.hex}`,
    `endpoint=${remote}:${ENGINE_PORT}`,
    `allowed_ip=${innerAddress(other)}/32`,
  ].map((line) => `${line}\n`).join("");
}

function address({ namespace, number, mtu }: Place, device: string): void {
  const { netlink } = namespace;
  const { index } = linkByName(netlink, device)!;
  setLink(netlink, index, { mtu, up: true });
  addAddress(netlink, index, parsePrefix(`${innerAddress(number)}/32`)!);
  addRoute(netlink, {
    destination: parsePrefix(`${innerAddress(3 - number)}/32`)!,
    device: index,
    table: TABLE_MAIN,
  });
}

async function modernWireGuard(lab: string): Promise<Kind> {
  const text = await Deno.readTextFile(new URL("../../tests/interop/go.mod", import.meta.url));
  return {
    name: "wireguard-go",
    version: /golang\.zx2c4\.com\/wireguard (\S+)/.exec(text)![1],
    async start(place) {
      const device = "wg0";
      const argv = [lab, "wireguard", "--tun", device, "--mtu", String(place.mtu)];
      const program = new AskedProgram(place.namespace.spawn(argv, { stdin: "piped", stdout: "piped" }));
      await program.ask(uapi(place));
      address(place, device);
      return { pid: program.child.pid };
    },
  };
}

async function debianWireGuard(): Promise<Kind> {
  const { stdout } = await new Deno.Command(DEBIAN, { args: ["--version"] }).output();
  return {
    name: "wireguard-go-debian",
    version: new TextDecoder().decode(stdout).split("\n")[0].split(" ")[1],
    async start(place) {
      // The control sockets of all namespaces lie in one directory.
      const device = `wg${Deno.pid % 10_000}n${sockets++}`;
      const child = place.namespace.spawn([DEBIAN, "-f", device], { stdout: "null", stderr: "null" });
      const path = `/var/run/wireguard/${device}.sock`;
      for (let tries = 0;; tries++) {
        try {
          using connection = await Deno.connect({ transport: "unix", path });
          await connection.write(new TextEncoder().encode(`set=1\n${uapi(place)}\n`));
          await connection.read(new Uint8Array(100));
          break;
        } catch (error) {
          if (tries === 50) throw error;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
      address(place, device);
      return { pid: child.pid };
    },
  };
}

let sockets = 0;
