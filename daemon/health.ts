/**
 * What is wrong with this node, as `status`, the bus and the metrics tell it.
 *
 * A warning has a code (Tailscale's where it has one, so that tools recognise it), is shown only once it has lasted its
 * grace time, and is silent while something it depends on is wrong too. Source: health/warnings.go, health/state.go,
 * tsconst/health.go.
 */
import type { DisplayMessage } from "../control/wire/tailcfg.ts";

/** What the text of a warning is made of. */
export type WarningArgs = Readonly<Record<string, string>>;

interface Warnable {
  readonly severity: "high" | "medium" | "low";
  readonly title: string;
  readonly text: (args: WarningArgs) => string;
  readonly dependsOn?: readonly WarningCode[];
  readonly impactsConnectivity?: boolean;
  /** How long it must last before it is shown, ms. */
  readonly graceMs?: number;
}

/** Names of all warnings. Those that begin with `agent-` are ours. */
export type WarningCode =
  | "wantrunning-false"
  | "login-state"
  | "not-in-map-poll"
  | "no-derp-home"
  | "no-derp-connection"
  | "derp-timed-out"
  | "derp-region-error"
  | "no-udp4-bind"
  | "captive-portal-detected"
  | "state-store-health"
  | "agent-server-key-changed"
  | "agent-tailnet-lock"
  | "agent-locked-out"
  | "no-tailnet-lock-state-dir"
  | "agent-key-expired"
  | "agent-routing"
  | "agent-netfilter"
  | "ip-forwarding-off"
  | "agent-conntrack-full"
  | "agent-exit-node-missing"
  | "agent-address-conflict"
  | "agent-peer-relay"
  | "agent-dns-service"
  | "dns-set-os-config-failed"
  | "resolv-conf-overwritten"
  | "dns-forward-failing"
  | "agent-accept-routes-off"
  | "agent-slow-crypto"
  | "agent-not-implemented";

const WARNABLES: Readonly<Record<WarningCode, Warnable>> = {
  "wantrunning-false": { severity: "low", title: "Stopped", text: () => "This node is stopped." },
  "login-state": {
    severity: "medium",
    title: "Logged out",
    text: ({ error }) => error ? `You are logged out. The last login error was: ${error}` : "You are logged out.",
    dependsOn: ["wantrunning-false"],
  },
  "not-in-map-poll": {
    severity: "medium",
    title: "Out of sync",
    text: ({ error }) =>
      "Unable to connect to the coordination server to synchronize the state of your tailnet. " +
      `Traffic between known peers goes on; changes of the tailnet are not seen.${error ? ` (${error})` : ""}`,
    dependsOn: ["wantrunning-false", "agent-server-key-changed"],
    graceMs: 10_000,
  },
  "no-derp-home": {
    severity: "medium",
    title: "No home relay server",
    text: () => "No relay server could be reached; peers that need one cannot reach this node.",
    impactsConnectivity: true,
    graceMs: 10_000,
  },
  "no-derp-connection": {
    severity: "medium",
    title: "Relay server unavailable",
    text: ({ region, error }) => `Cannot connect to the relay server ${region}${error ? `: ${error}` : "."}`,
    dependsOn: ["no-derp-home"],
    impactsConnectivity: true,
    graceMs: 10_000,
  },
  "derp-timed-out": {
    severity: "medium",
    title: "Relay server timed out",
    text: ({ region, duration }) => `Nothing has come from the relay server ${region} in ${duration}.`,
    dependsOn: ["no-derp-connection", "no-derp-home"],
  },
  "derp-region-error": {
    severity: "low",
    title: "Relay server error",
    text: ({ region, error }) => `The relay server ${region} is reporting an issue: ${error}`,
  },
  "no-udp4-bind": {
    severity: "medium",
    title: "No UDP socket",
    text: () => "No IPv4 UDP port could be opened; all traffic goes by relay.",
    dependsOn: ["wantrunning-false"],
    impactsConnectivity: true,
  },
  "captive-portal-detected": {
    severity: "high",
    title: "Captive portal detected",
    text: () => "This network requires you to log in using your web browser.",
    impactsConnectivity: true,
  },
  "state-store-health": {
    severity: "high",
    title: "State cannot be saved",
    text: ({ error }) => `Keys and preferences could not be saved: ${error}`,
  },
  "agent-server-key-changed": {
    severity: "high",
    title: "Control server's key changed",
    text: ({ error }) => error,
    impactsConnectivity: true,
  },
  "agent-tailnet-lock": {
    severity: "high",
    title: "Tailnet Lock",
    text: ({ error }) => error,
    impactsConnectivity: true,
  },
  "agent-locked-out": {
    severity: "high",
    title: "Locked out",
    text: ({ command }) =>
      "this node is locked out; it will not have connectivity until it is signed. " +
      `On a node with a trusted key, run: ${command}`,
    impactsConnectivity: true,
    dependsOn: ["wantrunning-false"],
  },
  "no-tailnet-lock-state-dir": {
    severity: "medium",
    title: "No statedir for Tailnet Lock",
    text: () =>
      "Tailnet Lock state is only being stored in-memory. Set --statedir to store state on disk, which is more secure.",
  },
  "agent-key-expired": {
    severity: "high",
    title: "Node key expired",
    text: () => "The key of this node has expired; log in again with `up --force-reauth`.",
    impactsConnectivity: true,
    dependsOn: ["wantrunning-false"],
  },
  "agent-routing": {
    severity: "medium",
    title: "Routing",
    text: ({ error }) => `Addresses, routes or rules of this machine could not be set: ${error}`,
    impactsConnectivity: true,
  },
  "agent-peer-relay": {
    severity: "low",
    title: "Peer relay",
    text: ({ error }) => `The peer relay server of this node does not run: ${error}`,
    dependsOn: ["wantrunning-false"],
  },
  "agent-netfilter": {
    severity: "medium",
    title: "Packet filter",
    text: ({ error }) => `The packet filter of this machine could not be set as it should be: ${error}`,
  },
  "ip-forwarding-off": { severity: "medium", title: "IP forwarding", text: ({ error }) => error },
  "agent-conntrack-full": { severity: "medium", title: "Connection tracking", text: ({ error }) => error },
  "agent-exit-node-missing": {
    severity: "high",
    title: "Exit node not available",
    text: ({ name }) =>
      `The exit node ${name} is not there, or is none: nothing leaves this machine until it is. ` +
      "Choose another with `set --exit-node`, or none with `set --exit-node=`.",
    impactsConnectivity: true,
  },
  "agent-address-conflict": {
    severity: "high",
    title: "Address in two tailnets",
    text: ({ error }) => error,
    impactsConnectivity: true,
  },
  "agent-dns-service": {
    severity: "medium",
    title: "MagicDNS",
    text: ({ error }) => `This node cannot answer DNS: ${error}`,
    dependsOn: ["wantrunning-false"],
  },
  "dns-set-os-config-failed": {
    severity: "medium",
    title: "DNS settings",
    text: ({ error }) => `The DNS settings of this machine could not be set: ${error}`,
    dependsOn: ["wantrunning-false"],
  },
  "resolv-conf-overwritten": {
    severity: "medium",
    title: "DNS configuration issue",
    text: ({ error }) => `System DNS config not ideal: ${error}. See 'agent dns status'.`,
    dependsOn: ["wantrunning-false"],
  },
  "dns-forward-failing": {
    severity: "medium",
    title: "DNS unavailable",
    text: ({ error }) => `None of the DNS servers that questions are sent on to answers: ${error}`,
    dependsOn: ["wantrunning-false"],
    graceMs: 15_000,
  },
  "agent-accept-routes-off": {
    severity: "low",
    title: "Routes not accepted",
    text: () => "Some peers are advertising routes but --accept-routes is false",
  },
  "agent-slow-crypto": {
    severity: "low",
    title: "Slower encryption",
    text: ({ name, failure }) =>
      `The fastest implementation of ChaCha20-Poly1305, ${name}, cannot be used: ${failure}. A slower one is in use; ` +
      "install OpenSSL 3 (libcrypto.so.3), or name the one you want in AGENT_CRYPTO.",
  },
  "agent-not-implemented": {
    severity: "low",
    title: "Set but not implemented",
    text: ({ settings }) => `${settings} set but not implemented in this version.`,
  },
};

interface Warning {
  readonly since: number;
  readonly args: WarningArgs;
}

/** One entry of Go's `health.State`. */
export interface UnhealthyState {
  readonly WarnableCode: string;
  readonly Severity: string;
  readonly Title: string;
  readonly Text: string;
  readonly BrokenSince?: string;
  readonly Args?: WarningArgs;
  readonly DependsOn?: readonly string[];
  readonly ImpactsConnectivity?: boolean;
  readonly PrimaryAction?: { readonly URL: string; readonly Label: string };
}

/** Go's `health.State`. */
export interface HealthState {
  readonly Warnings: Readonly<Record<string, UnhealthyState>> | null;
}

/** The warnings that stand. Times are Unix milliseconds, given by the caller. */
export class Health {
  readonly #warnings = new Map<WarningCode, Warning>();
  #messages: Readonly<Record<string, DisplayMessage>> = {};
  #shown = "";

  /** A warning stands; `since` stays that of the first call. */
  warn(code: WarningCode, now: number, args: WarningArgs = {}): void {
    this.#warnings.set(code, { since: this.#warnings.get(code)?.since ?? now, args });
  }

  /** A warning stands; one that stands already keeps what it says. */
  warnOnce(code: WarningCode, now: number): void {
    if (!this.#warnings.has(code)) this.warn(code, now);
  }

  clear(code: WarningCode): void {
    this.#warnings.delete(code);
  }

  /** Warns when `bad`, clears otherwise. */
  set(code: WarningCode, bad: boolean, now: number, args: WarningArgs = {}): void {
    if (bad) this.warn(code, now, args);
    else this.clear(code);
  }

  /** Messages of the control server, all of them. */
  setControlMessages(messages: Readonly<Record<string, DisplayMessage>>): void {
    this.#messages = messages;
  }

  /** One sentence each, as `status` shows them. */
  strings(now: number): string[] {
    const own = this.#visible(now).map(([code, { args }]) => WARNABLES[code].text(args));
    const told = Object.values(this.#messages).map((message) => {
      const text = message.Title && message.Text
        ? `${message.Title}: ${message.Text}`
        : message.Text || `${message.Title}.`;
      return message.PrimaryAction ? `${text} ${message.PrimaryAction.Label}: ${message.PrimaryAction.URL}` : text;
    });
    return [...own, ...told.sort()];
  }

  /** The state for the bus. */
  state(now: number): HealthState {
    const warnings: Record<string, UnhealthyState> = {};
    for (const [code, { since, args }] of this.#visible(now)) {
      const { severity, title, text, dependsOn, impactsConnectivity } = WARNABLES[code];
      warnings[code] = {
        WarnableCode: code,
        Severity: severity,
        Title: title,
        Text: text(args),
        BrokenSince: new Date(since).toISOString(),
        ...(Object.keys(args).length > 0 && { Args: args }),
        ...(dependsOn && { DependsOn: dependsOn }),
        ...(impactsConnectivity && { ImpactsConnectivity: true }),
      };
    }
    for (const [id, message] of Object.entries(this.#messages)) {
      const code = `control-health.${id}`;
      warnings[code] = {
        WarnableCode: code,
        Severity: message.Severity,
        Title: message.Title,
        Text: message.Text,
        ...(message.ImpactsConnectivity && { ImpactsConnectivity: true }),
        ...(message.PrimaryAction && { PrimaryAction: message.PrimaryAction }),
      };
    }
    return { Warnings: Object.keys(warnings).length === 0 ? null : warnings };
  }

  /** The codes of the warnings that impact connectivity, undefined when none does. @param but is left out */
  impact(now: number, but: WarningCode): string | undefined {
    const all = Object.values(this.state(now).Warnings ?? {});
    const impacting = all.filter((one) => one.ImpactsConnectivity === true && one.WarnableCode !== but);
    return impacting.length === 0 ? undefined : impacting.map((one) => one.WarnableCode).join();
  }

  /** The state, when it is not what the last call gave; so that the bus hears of changes only. */
  changed(now: number): HealthState | undefined {
    const state = this.state(now);
    const text = JSON.stringify(state);
    if (text === this.#shown) return undefined;
    this.#shown = text;
    return state;
  }

  #visible(now: number): [WarningCode, Warning][] {
    return [...this.#warnings].filter(([code, { since }]) => {
      const { graceMs = 0, dependsOn = [] } = WARNABLES[code];
      return now - since >= graceMs && !dependsOn.some((other) => this.#warnings.has(other));
    });
  }
}
