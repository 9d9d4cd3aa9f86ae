/**
 * The daemon's command line.
 *
 * Go's spelling is accepted too (`-state=x`), because units written for `tailscaled` call us by that name. Under it the
 * paths default to Tailscale's own, so that an installed node's state is taken over; as `agent daemon` they are ours.
 */
import { dirname } from "node:path";
import { INSTANCE_WANTED } from "../base/instance_name.ts";
import { parseAddrPort } from "../base/ip.ts";
import { parseArgs } from "node:util";
import { EXPIRY_WARNING_MS } from "./key_expiry.ts";
import { parseConfigSource } from "./config/load.ts";
import type { ConfigSource } from "./config/load.ts";
import { instanceOf } from "./instance.ts";
import type { Instance } from "./instance.ts";
import type { LogFormat } from "./log.ts";

/** The name the program was called by; it decides the default paths. */
export type InvokedAs = "agent" | "tailscaled";

/** Where identity and preferences are kept. `memory` registers the node as ephemeral. */
export type StateLocation = { readonly kind: "file"; readonly path: string } | { readonly kind: "memory" };

/** What one run of the daemon is to use. */
export interface DaemonFlags {
  readonly state: StateLocation;
  /** Directory for what does not fit the state file; undefined with `--state=mem:` and no `--statedir`. */
  readonly stateDir: string | undefined;
  /** Path of the LocalAPI's unix socket. */
  readonly socket: string;
  /** UDP port, 0 lets the kernel choose. */
  readonly port: number;
  /** Name of the TUN device. */
  readonly tun: string;
  /** Numbers and names that other nodes on this machine do not have. */
  readonly instance: Instance;
  /** 0 quiet, 1 with debug lines. */
  readonly verbose: number;
  readonly logFormat: LogFormat;
  /** The file that declares what the node is to be. */
  readonly config: ConfigSource | undefined;
  /** Undo routes and rules of an earlier run, then exit. */
  readonly cleanup: boolean;
  /** A PEM file of more certificate authorities to trust. */
  readonly caFile: string | undefined;
  /** `ip:port` at which the operator says peers reach this node, besides what it finds out. */
  readonly staticEndpoints: readonly string[];
  /** Take a control server's changed key instead of refusing it. */
  readonly acceptNewServerKey: boolean;
  /** How long before its end the node key is spoken of, ms. */
  readonly expiryWarningMs: number;
  /** Absolute path of a program that is told of it. */
  readonly expiryHook: string | undefined;
}

/** What the command line asks for. */
export type ParsedFlags =
  | { readonly kind: "run"; readonly flags: DaemonFlags }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version" }
  | { readonly kind: "error"; readonly message: string };

/** Paths and device where no flag names others. */
export interface Defaults {
  readonly state: string;
  readonly socket: string;
  readonly tun: string;
}

/** Default paths of `agent --instance NAME`. */
export function instanceDefaults(name: string): Defaults {
  return { state: `/var/lib/agent-${name}/agent.state`, socket: `/run/agent-${name}/agent.sock`, tun: `agent-${name}` };
}

/** Default paths by the name called. Source: paths/paths_unix.go for `tailscaled`. */
export const DEFAULTS: Readonly<Record<InvokedAs, Defaults>> = {
  agent: { state: "/var/lib/agent/agent.state", socket: "/run/agent/agent.sock", tun: "agent0" },
  tailscaled: {
    state: "/var/lib/tailscale/tailscaled.state",
    socket: "/var/run/tailscale/tailscaled.sock",
    tun: "tailscale0",
  },
};

const OPTIONS = {
  state: { type: "string" },
  statedir: { type: "string" },
  socket: { type: "string" },
  port: { type: "string" },
  tun: { type: "string" },
  instance: { type: "string" },
  verbose: { type: "string" },
  "log-format": { type: "string" },
  config: { type: "string" },
  cleanup: { type: "boolean" },
  "ca-file": { type: "string" },
  "static-endpoints": { type: "string" },
  "accept-new-server-key": { type: "boolean" },
  "expiry-warning": { type: "string" },
  "expiry-hook": { type: "string" },
  "no-logs-no-support": { type: "boolean" },
  version: { type: "boolean" },
  help: { type: "boolean" },
} as const;

/** Usage text with the defaults of the name called. */
export function usage(invokedAs: InvokedAs): string {
  const { state, socket, tun } = DEFAULTS[invokedAs];
  return `Usage: ${invokedAs === "agent" ? "agent daemon" : "tailscaled"} [flags]

Runs the node: keeps the tailnet's network map and moves its packets. Needs root.

  --state PATH       state file, or mem: to keep nothing and register as ephemeral
                     (default ${state})
  --statedir DIR     directory for other state (default: the state file's directory)
  --socket PATH      unix socket of the LocalAPI (default ${socket})
  --port N           UDP port for peers, 0 picks one (default 0)
  --tun NAME         name of the TUN device (default ${tun})
  --instance NAME    run beside other nodes on this machine: device, tables, marks and paths of its own
  --config PATH      file that declares the node's settings ('agent config schema'); with optional:
                     in front it need not be there
  --verbose N        0 quiet, 1 with debug lines (default 0)
  --log-format FORMAT
                     text, or json: an object a line with time, level, component, msg (default text)
  --cleanup          remove routes and rules an earlier run left, then exit
  --static-endpoints IP:PORT,...
                     where peers reach this node besides what it finds out: ports forwarded by hand
  --ca-file PATH     PEM file of more certificate authorities to trust
  --accept-new-server-key
                     accept that the control server's key has changed
  --expiry-warning TIME
                     how long before its end to warn of the node key's: 14d, 36h, never (default 14d)
  --expiry-hook PATH program to run then, once a day, and when the key has expired; it finds in AGENT_EVENT,
                     AGENT_KEY_EXPIRY, AGENT_NODE and AGENT_SOCKET what it needs, and may run 'agent renew'
  --version          print the version and exit

Environment:
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY
                     web proxy for the control server and the relays, http://[user:password@]host:port; also
                     https:// (TLS to the proxy), socks5://
  SSL_CERT_FILE      as --ca-file
  AGENT_CRYPTO       force an implementation of ChaCha20-Poly1305: libcrypto-fast, libcrypto, wasm, noble
  AGENT_CRYPTO_WORKERS
                     threads that encrypt beside the data plane's own (default 0)
`;
}

/** One spelling for parseArgs: `-x` becomes `--x`, booleans lose their `=true`, a bare `--verbose` becomes 1. */
function normalise(args: readonly string[]): string[] {
  const out: string[] = [];
  for (const [i, arg] of args.entries()) {
    const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) {
      out.push(arg);
      continue;
    }
    const [, name, value] = match;
    const option = OPTIONS[name as keyof typeof OPTIONS];
    if (option?.type === "boolean" && value !== undefined) {
      if (value === "true" || value === "1") out.push(`--${name}`);
      else if (value !== "false" && value !== "0") out.push(`--${name}=${value}`);
    } else if (name === "verbose" && value === undefined && !/^[0-9]+$/.test(args[i + 1] ?? "")) {
      out.push("--verbose=1");
    } else {
      out.push(value === undefined ? `--${name}` : `--${name}=${value}`);
    }
  }
  return out;
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of "14d", "36h", "10m"; 0 of "never". */
function parseSpan(text: string): number | undefined {
  if (text === "never" || text === "0") return 0;
  const match = /^([0-9]{1,5})([smhdw])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * UNITS[match[2]];
}

function parseCount(text: string, most: number): number | undefined {
  return /^[0-9]{1,5}$/.test(text) && Number(text) <= most ? Number(text) : undefined;
}

/** Reads the arguments after the verb. Never throws. */
export function parseDaemonFlags(args: readonly string[], invokedAs: InvokedAs = "agent"): ParsedFlags {
  const error = (message: string): ParsedFlags => ({ kind: "error", message });
  let values;
  try {
    ({ values } = parseArgs({ args: normalise(args), options: OPTIONS, strict: true, allowPositionals: false }));
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    return error(`${text.split(/\. |\n/)[0].replace(/\.$/, "")}; --help lists the flags`);
  }
  if (values.help) return { kind: "help", text: usage(invokedAs) };
  if (values.version) return { kind: "version" };

  const instance = instanceOf(values.instance ?? "");
  if (instance === undefined) {
    return error(`Cannot use --instance ${values.instance}: want ${INSTANCE_WANTED}`);
  }
  const defaults = instance.name === "" ? DEFAULTS[invokedAs] : instanceDefaults(instance.name);
  const port = parseCount(values.port ?? "0", 65535);
  if (port === undefined) return error(`Cannot use --port ${values.port}: want 0 to 65535`);
  const verbose = parseCount(values.verbose ?? "0", 99);
  if (verbose === undefined) return error(`Cannot use --verbose ${values.verbose}: want a small number`);
  const logFormat = values["log-format"] || "text";
  if (logFormat !== "text" && logFormat !== "json") {
    return error(`Cannot use --log-format ${logFormat}: want text or json`);
  }
  const tun = values.tun ?? defaults.tun;
  if (tun === "userspace-networking") {
    return error("Cannot use --tun userspace-networking: this version needs a TUN device; give --tun a device name");
  }
  if (!/^[^\s/]{1,15}$/.test(tun)) {
    return error(`Cannot use --tun ${tun}: want 1 to 15 characters without blanks or slashes`);
  }
  const state = values.state || (values.statedir ? `${values.statedir}/${baseName(defaults.state)}` : defaults.state);
  if (/^(kube|arn|tpmseal):/.test(state)) {
    return error(`Cannot use --state ${state}: want a file path or mem:`);
  }
  const endpoints = (values["static-endpoints"] ?? "").split(",").map((text) => text.trim()).filter((text) =>
    text !== ""
  );
  const bad = endpoints.find((text) => (parseAddrPort(text)?.port ?? 0) === 0);
  if (bad !== undefined) {
    return error(`Cannot use --static-endpoints ${bad}: want IP:PORT, several with commas between`);
  }
  const expiryWarningMs = values["expiry-warning"] === undefined
    ? EXPIRY_WARNING_MS
    : parseSpan(values["expiry-warning"]);
  if (expiryWarningMs === undefined) {
    return error(`Cannot use --expiry-warning ${values["expiry-warning"]}: want a time like 14d or 36h, or never`);
  }
  const expiryHook = values["expiry-hook"] || undefined;
  if (expiryHook !== undefined && !expiryHook.startsWith("/")) {
    return error(`Cannot use --expiry-hook ${expiryHook}: want the absolute path of a program`);
  }
  const config = values.config ? parseConfigSource(values.config) : undefined;
  if (values.config && config === undefined) {
    return error(`Cannot use --config ${values.config}: want a path, or optional: and a path`);
  }
  const memory = state === "mem:" || state.startsWith("mem:");
  return {
    kind: "run",
    flags: {
      state: memory ? { kind: "memory" } : { kind: "file", path: state },
      stateDir: values.statedir || (memory ? undefined : dirname(state)),
      socket: values.socket || defaults.socket,
      port,
      tun,
      instance,
      verbose,
      logFormat,
      config,
      cleanup: values.cleanup ?? false,
      caFile: values["ca-file"] || undefined,
      staticEndpoints: endpoints,
      acceptNewServerKey: values["accept-new-server-key"] ?? false,
      expiryWarningMs,
      expiryHook,
    },
  };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
