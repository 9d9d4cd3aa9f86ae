// A real headscale as its operators run it: a process with a configuration file in a network namespace, and its commands
// beside it. Its users are one, "alice".

import type { LabNamespace, RunResult } from "../../netlab/lab.ts";
import { buildHeadscale } from "./build.ts";
import type { GoJson } from "./control.ts";
import { LabPeer } from "./peer.ts";
import { type Scene, type SceneOptions, sceneTest } from "./scene.ts";
import { type PrivateCa, privateCa, WebProxy } from "./web_proxy.ts";

export interface HeadscaleOptions {
  readonly namespace: LabNamespace;
  /** Where configuration, database, socket and log go. */
  readonly dir: string;
  /** Address of the namespace that it and its relay and STUN are reached at. */
  readonly host: string;
  /** What nodes are told; the address it listens on, over plain http, unless given. */
  readonly serverUrl?: string;
}

/** What a pre-auth key may be. */
export interface PreAuthKey {
  readonly reusable?: boolean;
  readonly ephemeral?: boolean;
  /** Comma-separated. */
  readonly tags?: string;
}

const LISTEN_PORT = 9080;
const STUN_PORT = 9478;

/** A running headscale, with its embedded relay. */
export class Headscale implements AsyncDisposable {
  readonly url: string;
  readonly #program: string;
  readonly #options: HeadscaleOptions;
  #child: Deno.ChildProcess | undefined;

  private constructor(program: string, options: HeadscaleOptions) {
    this.#program = program;
    this.#options = options;
    this.url = options.serverUrl ?? `http://${options.host}:${LISTEN_PORT}`;
  }

  /** Starts it on an empty database. @throws Error with its log when it does not serve. */
  static async start(program: string, options: HeadscaleOptions): Promise<Headscale> {
    const headscale = new Headscale(program, options);
    await Deno.mkdir(headscale.#dir);
    await Deno.writeTextFile(`${headscale.#dir}/config.yaml`, headscale.#config());
    await headscale.run();
    await headscale.command("users", "create", "alice");
    return headscale;
  }

  /** Where a reverse proxy in the same namespace reaches it. */
  get backend(): string {
    return `${this.#options.host}:${LISTEN_PORT}`;
  }

  /** Starts it, again after `stop` or `kill`, on the same database; resolves once it answers. */
  async run(): Promise<void> {
    const { namespace } = this.#options;
    const script = 'cd "$1" && shift && exec "$@" >>log 2>&1';
    let ended = false;
    this.#child = namespace.spawn(["/bin/sh", "-c", script, "sh", this.#dir, ...this.#argv("serve")], {
      stdin: "null",
      stdout: "null",
      stderr: "null",
    });
    this.#child.status.then(() => ended = true);
    for (let tries = 0; tries < 100 && !ended; tries++) {
      if ((await this.try("users", "list")).code === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`headscale did not start; its log:\n${await this.log()}`);
  }

  /** Runs one of its commands to the end. */
  try(...args: string[]): Promise<RunResult> {
    return this.#options.namespace.run(["/bin/sh", "-c", 'cd "$0" && exec "$@"', this.#dir, ...this.#argv(...args)]);
  }

  /** As `try`. @returns the answer. @throws Error with what it printed, for another exit code than 0. */
  async command(...args: string[]): Promise<GoJson> {
    const { code, stdout, stderr } = await this.try(...args, "--output", "json");
    if (code !== 0) throw new Error(`headscale ${args.join(" ")} ended with ${code}: ${stderr}${stdout}`);
    return JSON.parse(stdout);
  }

  /** A pre-auth key; one that can be used once unless told otherwise. */
  async createKey({ reusable = false, ephemeral = false, tags }: PreAuthKey = {}): Promise<string> {
    const flags = [...(reusable ? ["--reusable"] : []), ...(ephemeral ? ["--ephemeral"] : [])];
    const owner = tags === undefined ? ["--user", "1"] : ["--tags", tags];
    return (await this.command("preauthkeys", "create", ...owner, ...flags)).key;
  }

  async nodes(): Promise<GoJson[]> {
    return await this.command("nodes", "list") ?? [];
  }

  /** The node that registered with this host name. @throws Error when there is none. */
  async node(name: string): Promise<GoJson> {
    const found = (await this.nodes()).find((node) => node.given_name === name || node.name === name);
    if (found === undefined) throw new Error(`headscale has no node ${name}`);
    return found;
  }

  async log(): Promise<string> {
    return (await Deno.readTextFile(`${this.#dir}/log`).catch(() => "")).slice(-4000);
  }

  /** Asks it to end and waits for that. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    try {
      child.kill(signal);
    } catch {
      // It has ended by itself.
    }
    // With nodes connected it takes its time to end.
    const timer = setTimeout(() => child.kill("SIGKILL"), 3_000);
    await child.status;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }

  get #dir(): string {
    return `${this.#options.dir}/headscale`;
  }

  #argv(...args: string[]): string[] {
    return [this.#program, "--config", "config.yaml", ...args];
  }

  #config(): string {
    const { host } = this.#options;
    return `
server_url: ${this.url}
listen_addr: ${host}:${LISTEN_PORT}
metrics_listen_addr: ""
noise: { private_key_path: noise.key }
prefixes: { v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential }
derp:
  server:
    enabled: true
    region_id: 999
    region_code: hs
    region_name: headscale
    verify_clients: true
    stun_listen_addr: "${host}:${STUN_PORT}"
    private_key_path: derp.key
    automatically_add_embedded_derp_region: true
    ipv4: ${host}
  urls: []
  paths: []
  auto_update_enabled: false
disable_check_updates: true
ephemeral_node_inactivity_timeout: 66s
database: { type: sqlite, sqlite: { path: db.sqlite, write_ahead_log: true } }
policy: { mode: file, path: "" }
dns: { magic_dns: true, base_domain: tail.test, override_local_dns: false, nameservers: { global: [] } }
unix_socket: headscale.sock
unix_socket_permission: "0700"
logtail: { enabled: false }
log: { level: info }
`;
  }
}

/**
 * A test with a headscale program in a scene of its own; ignored by name where Go is missing. testcontrol, which the
 * scene brings along, has nothing to do there.
 */
export function headscaleTest(
  name: string,
  body: (scene: Scene, program: string) => Promise<void>,
  options?: SceneOptions,
): void {
  sceneTest(name, async (scene) => {
    const built = await buildHeadscale();
    // Without Go there is no lab program either, and the test was ignored before.
    if (built.kind === "skip") throw new Error(built.reason);
    await body(scene, built.path);
  }, options);
}

/** A headscale in `core`, and what nodes need to reach it and its relay. */
export interface Reach {
  readonly headscale: Headscale;
  /** Options of an agent. */
  readonly agent: { readonly env: Readonly<Record<string, string>> };
  /** Of the private CA. */
  readonly caFile?: string;
  readonly proxy?: WebProxy;
}

const HOST = "10.90.0.1";
const TLS_PORT = 8444;

/** Over plain http. Its relay then speaks no TLS either, which Tailscale's nodes use by this variable only. */
export async function overHttp(scene: Scene, program: string): Promise<Reach> {
  const headscale = await Headscale.start(program, { namespace: scene.core, dir: scene.dir, host: HOST });
  return { headscale, agent: { env: { TS_DEBUG_USE_DERP_HTTP: "1" } } };
}

/** How a headscale over TLS is reached. */
export interface TlsOptions {
  /** See web_proxy_program.ts. */
  readonly mode?: "any" | "websocket";
  /** Of its URL and its relay: hs.example, or the address it is reached at, which it is unless given. */
  readonly host?: string;
}

/** Behind a reverse proxy on an odd port, with a certificate of a private CA for hs.example and the address. */
export async function overTls(
  scene: Scene,
  program: string,
  { mode = "any", host = HOST }: TlsOptions = {},
): Promise<Reach & { readonly ca: PrivateCa }> {
  const ca = await privateCa(scene.dir, ["hs.example"], [HOST]);
  const { caFile, certFile, keyFile } = ca;
  const serverUrl = `https://${host}:${TLS_PORT}`;
  const headscale = await Headscale.start(program, { namespace: scene.core, dir: scene.dir, host: HOST, serverUrl });
  const at = `${HOST}:${TLS_PORT}`;
  const proxy = await WebProxy.start(scene.core, "reverse", at, headscale.backend, certFile, keyFile, mode);
  return { headscale, agent: { env: { SSL_CERT_FILE: caFile } }, caFile, proxy, ca };
}

/** A tsnet node "theirs" on the right. */
export function tsnetBeside(scene: Scene, { headscale, agent, caFile }: Reach, authkey: string): Promise<LabPeer> {
  const prefix = ["nsenter", `--net=/run/netns/${scene.right.name}`, "--"];
  const flags = { hostname: "theirs", control: headscale.url, authkey, ...(caFile !== undefined && { caFile }) };
  return LabPeer.start({ path: scene.program, prefix, env: agent.env }, flags);
}
