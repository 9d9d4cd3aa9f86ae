/** One tunnel of the benchmark: two namespaces, a veth pair, an end in each, and the programs that measure. */
import type { Lab, LabLink, LabNamespace } from "../../tests/netlab/lab.ts";
import { innerAddress } from "./ends.ts";
import type { End, Kind } from "./ends.ts";
import { PacketRate } from "./packet_rate.ts";

/** A tunnel that is up: the client's end first. */
export interface Site {
  readonly name: string;
  readonly client: LabNamespace;
  readonly ends: readonly [End, End];
  readonly rate: PacketRate;
  setOffloads(on: boolean): Promise<void>;
}

/** Super-packets cross a veth whole and flatter whoever makes them: off, the kernel cuts them as a wire would. */
const FEATURES = ["tso", "gso", "gro", "tx-udp-segmentation"];

/** Raises a tunnel from `client` to `server`, and what measures it. @throws Error when no packet gets through. */
export async function raise(lab: Lab, number: number, client: Kind, server: Kind, mtu: number): Promise<Site> {
  const namespaces = [lab.namespace(`${number}a`), lab.namespace(`${number}b`)] as const;
  const [a, b] = namespaces;
  const link = lab.link(a, "10.9.0.1/24", b, "10.9.0.2/24");
  const places = [
    { namespace: a, number: 1, remote: "10.9.0.2", mtu },
    { namespace: b, number: 2, remote: "10.9.0.1", mtu },
  ] as const;
  const ends = [await client.start(places[0]), await server.start(places[1])] as const;
  b.spawn(["iperf3", "-s"], { stdout: "null", stderr: "null" });
  const name = client === server ? client.name : `${client.name} to ${server.name}`;
  const up = await a.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", innerAddress(2)]);
  if (up.code !== 0) throw new Error(`${name}: no ping through the tunnel`);
  await client.populate?.(places[0]);
  await server.populate?.(places[1]);
  const rate = await PacketRate.start(a, b);
  return { name, client: a, ends, rate, setOffloads: (on) => setOffloads(namespaces, link, on) };
}

async function setOffloads(
  [a, b]: readonly [LabNamespace, LabNamespace],
  { aDevice, bDevice }: LabLink,
  on: boolean,
): Promise<void> {
  for (const [namespace, device] of [[a, aDevice], [b, bDevice]] as const) {
    // A feature the device does not have stays as it is.
    for (const feature of FEATURES) await namespace.run(["ethtool", "-K", device, feature, on ? "on" : "off"]);
  }
}
