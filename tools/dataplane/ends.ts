/**
 * The programs the data-plane benchmark runs at each end of a tunnel, and how each is brought up.
 *
 *   agent           tests/netlab/engine_node.ts: the whole engine of this tree
 *   wireguard-go    `lab wireguard` (tests/interop): the newest wireguard-go, linked
 *   wireguard-go-debian   /usr/bin/wireguard-go as the distribution has it
 *
 * All speak WireGuard with the same fixed keys, so any two can be joined.
 */
import { NodePrivate } from "../../base/keys.ts";
import { parsePrefix } from "../../base/ip.ts";
import { addAddress } from "../../ffi/rt_addr.ts";
import { linkByName, setLink } from "../../ffi/rt_link.ts";
import { addRoute, TABLE_MAIN } from "../../ffi/rt_route.ts";
import { buildLab } from "../../tests/interop/support/build.ts";
import type { LabNamespace } from "../../tests/netlab/lab.ts";

/** Inner MTU of all ends: the product's. */
export const MTU = 1280;
const PORT = 41641;
const NODE = new URL("../../tests/netlab/engine_node.ts", import.meta.url).pathname;
const DEBIAN = "/usr/bin/wireguard-go";

/** Where one end stands in its tunnel. */
export interface Place {
  readonly namespace: LabNamespace;
  /** 1 or 2; the other end is the other. */
  readonly number: 1 | 2;
  /** Outer address of the other end. */
  readonly remote: string;
}

/** A running end. */
export interface End {
  readonly pid: number;
  readonly device: string;
}

/** A kind of end. */
export interface Kind {
  readonly name: string;
  /** With its version, for the report. */
  readonly version: string;
  start(place: Place): Promise<End>;
}

/** Inner address of end `number`. */
export function innerAddress(number: number): string {
  return `100.64.0.${number}`;
}

/** What can be run here; `missing` names the others and says why. */
export async function findKinds(): Promise<{ kinds: Kind[]; missing: string[] }> {
  const kinds: Kind[] = [agent("agent", {}), agent("agent-wasm", { AGENT_CRYPTO: "wasm" })];
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

async function firstLine(child: Deno.ChildProcess): Promise<string> {
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value).split("\n")[0];
}

/** The engine of this tree. */
function agent(name: string, env: Record<string, string>): Kind {
  return {
    name,
    version: `Deno ${Deno.version.deno}`,
    async start({ namespace, number, remote }) {
      const other = 3 - number;
      const addresses = (n: number) => `${innerAddress(n)}/32`;
      const child = namespace.spawn(
        [
          Deno.execPath(),
          "run",
          "-A",
          NODE,
          String(number),
          addresses(number),
          String(other),
          addresses(other),
          `${remote}:${PORT}`,
          String(PORT),
        ],
        { stdin: "piped", stdout: "piped", env },
      );
      const { tun } = JSON.parse(await firstLine(child));
      return { pid: child.pid, device: tun };
    },
  };
}

/** wireguard-go's configuration (its cross-platform userspace interface). */
function uapi({ number, remote }: Place): string {
  const key = (n: number) => new NodePrivate(new Uint8Array(32).fill(n));
  const other = 3 - number;
  return [
    `private_key=${key(number).reveal().toHex()}`,
    `listen_port=${PORT}`,
    `public_key=${key(other).public.hex}`,
    `endpoint=${remote}:${PORT}`,
    `allowed_ip=${innerAddress(other)}/32`,
  ].map((line) => `${line}\n`).join("");
}

function address({ namespace, number }: Place, device: string): void {
  const { netlink } = namespace;
  const { index } = linkByName(netlink, device)!;
  setLink(netlink, index, { mtu: MTU, up: true });
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
      const argv = [lab, "wireguard", "--tun", device, "--mtu", String(MTU)];
      const child = place.namespace.spawn(argv, { stdin: "piped", stdout: "piped" });
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(`${uapi(place)}\n`));
      writer.releaseLock();
      await firstLine(child);
      address(place, device);
      return { pid: child.pid, device };
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
      return { pid: child.pid, device };
    },
  };
}

let sockets = 0;
