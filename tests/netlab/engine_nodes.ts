/** Starts engines by themselves (engine_node.ts) in namespaces. */
import { NodePrivate } from "../../base/keys.ts";
import type { LabNamespace } from "./lab.ts";
import { AskedProgram } from "./line_reader.ts";

const NODE = new URL("./engine_node.ts", import.meta.url).pathname;
/** Every node's UDP port. */
export const ENGINE_PORT = 41641;

/** A peer of a node. */
export interface EngineNodePeer {
  /** What its key is made of. */
  readonly seed: string;
  /** "address/bits". */
  readonly addresses: readonly string[];
  /** "ip:port"; undefined for one that will be heard of first, or never. */
  readonly endpoint?: string;
}

/** What a node is told. */
export interface EngineNodeConfig {
  readonly seed: string;
  readonly addresses: readonly string[];
  readonly port: number;
  /** Of the TUN; 1280 by default. */
  readonly mtu?: number;
  /** The first is the one its kernel has a route to. */
  readonly peers: readonly EngineNodePeer[];
}

/** The arguments that run a program of this tree. */
export function denoRun(script: string, ...args: string[]): string[] {
  return [Deno.execPath(), "run", "-A", script, ...args];
}

/** Starts one and waits until it is ready. */
export async function startEngineNode(
  namespace: LabNamespace,
  config: EngineNodeConfig,
  env: Record<string, string> = {},
): Promise<{ node: AskedProgram; tun: string }> {
  const argv = denoRun(NODE, JSON.stringify(config));
  const node = new AskedProgram(namespace.spawn(argv, { stdin: "piped", stdout: "piped", env }));
  const { tun } = JSON.parse(await node.line());
  return { node, tun };
}

/** The key made of a seed: not a secret, as nothing here is. */
export function engineKey(seed: string): NodePrivate {
  return new NodePrivate(Uint8Array.from({ length: 32 }, (_, i) => seed.charCodeAt(i % seed.length)));
}

/** Of peer `i` of a crowd. */
export function crowdSeed(i: number): string {
  return `crowd ${i}`;
}

/** Of peer `i` of a crowd: all bytes under 128. */
export function crowdAddress(i: number): string {
  return `100.66.${i >> 6}.${i & 63}/32`;
}

/** Inner addresses of node `n` of a pair, both families. */
export function engineAddresses(n: number): string[] {
  return [`100.64.0.${n}/32`, `fd7a:115c:a1e0::${n}/128`];
}

/** One end of a pair whose other end is at `endpoint`: nodes 1 and 2. */
export function pairedNode(n: 1 | 2, endpoint: string, more: Partial<EngineNodeConfig> = {}): EngineNodeConfig {
  const other = 3 - n;
  return {
    seed: String(n),
    addresses: engineAddresses(n),
    port: ENGINE_PORT,
    peers: [{ seed: String(other), addresses: engineAddresses(other), endpoint }],
    ...more,
  };
}
