/** The arguments of `run`, told apart: the daemon's, `up`'s, and the auth key. */
import { UsageError } from "./exit_codes.ts";
import type { FlagTable } from "./flags.ts";

/** The daemon's flags that `run` takes. The daemon itself reads them. */
export const DAEMON_FLAGS = {
  state: { type: "string", value: "PATH", help: "state file, or mem: to keep nothing" },
  "state-dir": { type: "string", value: "DIR", help: "directory of the state file and other state" },
  statedir: { type: "string", help: "", hidden: true },
  config: { type: "string", value: "PATH", help: "file that declares the node's settings" },
  socket: { type: "string", value: "PATH", help: "unix socket of the LocalAPI" },
  port: { type: "string", value: "N", help: "UDP port for peers, 0 picks one" },
  tun: { type: "string", value: "NAME", help: "name of the TUN device" },
  instance: { type: "string", value: "NAME", help: "run beside other nodes on this machine" },
  verbose: { type: "string", value: "N", help: "0 quiet, 1 with debug lines" },
  "log-format": { type: "string", value: "text|json", help: "how the log is written" },
  "expiry-warning": { type: "string", value: "TIME", help: "how long before its end the node key is warned of" },
  "expiry-hook": { type: "string", value: "PATH", help: "program to run then" },
  "ca-file": { type: "string", value: "PATH", help: "PEM file of more certificate authorities to trust" },
  "static-endpoints": { type: "string", value: "IP:PORT,…", help: "where peers reach this node besides" },
  "accept-new-server-key": { type: "boolean", help: "accept that the control server's key has changed" },
} as const satisfies FlagTable;

/** Whose arguments are whose. */
export interface RunArgs {
  readonly daemon: readonly string[];
  readonly up: readonly string[];
  /** As given, "" for none. */
  readonly authKey: string;
}

/**
 * Tells them apart by name; what is unknown is left to `up`, which refuses it. A flag's value follows it or its `=`.
 * @throws UsageError for a flag whose value is missing
 */
export function splitRunArgs(args: readonly string[]): RunArgs {
  const daemon: string[] = [];
  const up: string[] = [];
  let authKey = "";
  for (let i = 0; i < args.length; i++) {
    const [, name, inline] = /^--?([a-z][a-z-]*)(?:=([^]*))?$/.exec(args[i]) ?? [];
    const value = (): string => {
      const text = inline ?? args[++i];
      if (text === undefined) throw new UsageError(`flag needs an argument: --${name}`);
      return text;
    };
    if (name === "auth-key" || name === "authkey") {
      authKey = value();
      continue;
    }
    const spec = name !== undefined && Object.hasOwn(DAEMON_FLAGS, name)
      ? DAEMON_FLAGS[name as keyof typeof DAEMON_FLAGS]
      : undefined;
    if (spec === undefined) {
      up.push(args[i]);
      continue;
    }
    const spelt = name === "state-dir" ? "statedir" : name;
    if (spec.type === "boolean") daemon.push(inline === undefined ? `--${spelt}` : `--${spelt}=${inline}`);
    else daemon.push(`--${spelt}=${value()}`);
  }
  return { daemon, up, authKey };
}
