/** How a coordinator is to run: the options, their defaults, and what is refused before anything is touched. */
import type { Scheduler } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { formatPrefix, isMasked, parsePrefix } from "../../base/ip.ts";
import type { PeerUid } from "./admin_api.ts";
import {
  checkPlainHttp,
  isLoopback,
  OptionError,
  parseListen,
  parseServerUrl,
  urlHost,
  urlOfListener,
} from "./listen_policy.ts";
import type { ListenAddress } from "./listen_policy.ts";
import { DEFAULT_INIT_POLICY, parseInitPolicy } from "./lock/init_policy.ts";
import type { InitPolicy } from "./lock/init_policy.ts";
import type { ApprovalPolicy } from "./routes.ts";
import type { TlsPair } from "./tls_pair.ts";

/** What holds when nothing is said. */
export const DEFAULTS = {
  stateDir: "/var/lib/agent/coordinator",
  listen: "127.0.0.1:8080",
  listenTls: ":443",
  derpPort: 8443,
  stunPort: 3478,
  magicDnsDomain: "tailnet.internal",
  keyExpiryMs: 180 * 24 * 3600_000,
} as const;

/** How a coordinator is to run. Addresses are `host:port`; port 0 takes any free one. */
export interface CoordinatorOptions {
  readonly stateDir: string;
  readonly listen?: string;
  /** What nodes call it; told from `listen` when that is one address. */
  readonly serverUrl?: string;
  /** PEM texts. Both or none. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Plain http is fine beyond loopback and private addresses. */
  readonly insecureHttp?: boolean;
  /**
   * The relay's own TLS listener. Absent: the coordinator's listener if that speaks TLS, else port 8443 of the same
   * address, or of all addresses when the coordinator is on the loopback behind a proxy.
   */
  readonly derpListen?: string;
  /** UDP. Absent: port 3478, where the relay would be by default. "off": no STUN. */
  readonly stunListen?: string;
  readonly magicDnsDomain?: string;
  /** Life of node keys in ms; 0: for ever. */
  readonly keyExpiryMs?: number;
  /** Routes approved before anybody offers them: prefixes and "exit", comma-separated. */
  readonly approveRoutes?: string;
  /** Who may lock the tailnet, as `--lock-init`. Absent: untagged nodes of the user "operator". */
  readonly lockInit?: string;
  /** Path of the operator's socket; absent: in the state directory. */
  readonly socket?: string;
  readonly peerUid?: PeerUid;
  readonly log?: (line: string) => void;
  readonly scheduler?: Scheduler;
  readonly random?: RandomBytes;
}

/** The options that need checking, checked. */
export interface CheckedOptions {
  readonly tls: TlsPair | undefined;
  readonly listen: ListenAddress;
  readonly serverUrl: URL | undefined;
  /** Undefined: the relay shares the coordinator's TLS listener. */
  readonly derpListen: ListenAddress | undefined;
  /** Undefined: no STUN. */
  readonly stunListen: ListenAddress | undefined;
  readonly magicDnsDomain: string;
  /** Undefined: node keys never expire. */
  readonly keyExpiryMs: number | undefined;
  readonly lockInit: InitPolicy;
  readonly approval: ApprovalPolicy;
}

/** @throws OptionError */
function checkApproval(text = ""): ApprovalPolicy {
  const words = text.split(",").map((word) => word.trim()).filter((word) => word !== "");
  const subnets = words.filter((word) => word !== "exit").map((word) => {
    const prefix = word.includes("/") ? parsePrefix(word) : undefined;
    if (prefix !== undefined && isMasked(prefix)) return formatPrefix(prefix);
    throw new OptionError(`Cannot use --approve-routes ${word}: want prefixes as 10.0.0.0/8, and exit for exit nodes`);
  });
  return { subnets, exitNodes: words.includes("exit") };
}

/** A DNS name of two labels or more, lower case. @throws OptionError */
function checkDomain(text: string): string {
  const domain = text.replace(/\.$/, "").toLowerCase();
  const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
  const labels = domain.split(".");
  if (labels.length >= 2 && domain.length <= 180 && labels.every((part) => label.test(part))) return domain;
  throw new OptionError(`Cannot use --magic-dns-domain ${text}: want a name such as ${DEFAULTS.magicDnsDomain}`);
}

/** Checks everything that can be checked without touching the machine. @throws OptionError */
export function checkOptions(options: CoordinatorOptions): CheckedOptions {
  const { tlsCert: cert, tlsKey: key, derpListen, stunListen } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw new OptionError("Cannot use one of --tls-cert and --tls-key alone: give both");
  }
  const tls = cert !== undefined && key !== undefined ? { cert, key } : undefined;
  const listen = parseListen("--listen", options.listen ?? (tls ? DEFAULTS.listenTls : DEFAULTS.listen));
  const serverUrl = options.serverUrl === undefined ? undefined : parseServerUrl(options.serverUrl);
  checkPlainHttp(tls !== undefined, listen, serverUrl, options.insecureHttp === true);
  if (serverUrl === undefined) urlOfListener(tls !== undefined, listen);
  const keyExpiryMs = options.keyExpiryMs ?? DEFAULTS.keyExpiryMs;
  if (!(keyExpiryMs >= 0)) throw new OptionError("Cannot use --key-expiry below zero: want a time, or never");
  // Behind a proxy the coordinator itself may listen on the loopback; a relay there would be of no use to nodes.
  const proxied = isLoopback(listen.host) && serverUrl !== undefined && !isLoopback(urlHost(serverUrl));
  const beside = (port: number): ListenAddress => ({ host: proxied ? "" : listen.host, port });
  return {
    tls,
    listen,
    serverUrl,
    derpListen: derpListen !== undefined
      ? parseListen("--derp-listen", derpListen)
      : tls === undefined
      ? beside(DEFAULTS.derpPort)
      : undefined,
    stunListen: stunListen === "off"
      ? undefined
      : stunListen !== undefined
      ? parseListen("--stun-listen", stunListen)
      : beside(DEFAULTS.stunPort),
    magicDnsDomain: checkDomain(options.magicDnsDomain ?? DEFAULTS.magicDnsDomain),
    keyExpiryMs: keyExpiryMs === 0 ? undefined : keyExpiryMs,
    approval: checkApproval(options.approveRoutes),
    lockInit: options.lockInit === undefined ? DEFAULT_INIT_POLICY : parseInitPolicy(options.lockInit),
  };
}
