/**
 * `http://100.100.100.100/metrics`: the node's metrics for collectors on this machine.
 *
 * ```
 *   node up ─▶ bind port 5252 of our service addresses, again every second until it works ─▶ serve
 *   node down ─▶ close
 *   packet filter: port 80 of those addresses ─▶ port 5252
 * ```
 * The port is not 80, because a web server that listens on all addresses could not be started beside it; the packet filter
 * leads from one to the other. Who may ask is this machine, its containers and virtual machines, and no web page: Host must
 * name the address (TS-2022-004, TS-2022-005). There is nothing here but counts. Source: client/web.Server.serve,
 * tsconst.WebListenPort.
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Scheduler, Timer } from "../base/clock.ts";
import type { Backend } from "./backend.ts";
import { isDown } from "./backend_state.ts";
import { METRICS_PORT } from "./instance.ts";

const RETRY_MS = 1_000;
/** A collector asks once in a while, by one connection. */
const MAX_CONNECTIONS = 32;

/** What it needs. */
export interface MetricsPageOptions {
  readonly addresses: readonly string[];
  /** The page's text. */
  readonly text: () => Promise<string>;
  /** Whether the sender at this address is on this machine. */
  readonly mayAsk: (address: string) => boolean;
  readonly scheduler: Scheduler;
  readonly log: (text: string) => void;
  /** 5252; another in tests. */
  readonly port?: number;
}

/** The page. */
export class MetricsPage {
  readonly #options: MetricsPageOptions;
  #servers: Server[] = [];
  #retry: Timer | undefined;
  #wanted = false;
  #told = false;

  constructor(options: MetricsPageOptions) {
    this.#options = options;
  }

  /** Binds, and tries again until it works. Nothing happens when it serves already. */
  open(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    void this.#bind();
  }

  close(): void {
    this.#wanted = false;
    this.#retry?.cancel();
    this.#unbind();
  }

  async #bind(): Promise<void> {
    const { addresses, scheduler, log } = this.#options;
    try {
      for (const address of addresses) this.#servers.push(await this.#listen(address));
      if (!this.#wanted) this.#unbind();
    } catch (cause) {
      this.#unbind();
      if (!this.#wanted) return;
      // The addresses come a moment after us.
      if (!this.#told && (cause as { code?: string }).code !== "EADDRNOTAVAIL") {
        this.#told = true;
        log(`metrics page: ${cause instanceof Error ? cause.message : cause}`);
      }
      this.#retry = scheduler.after(RETRY_MS, () => void this.#bind());
    }
  }

  #unbind(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
    this.#servers = [];
  }

  #listen(address: string): Promise<Server> {
    const server = createServer((request, response) => void this.#answer(address, request, response));
    server.maxConnections = MAX_CONNECTIONS;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port: this.#options.port ?? METRICS_PORT }, () => {
        server.removeListener("error", reject);
        server.on("error", () => {});
        resolve(server);
      });
    });
  }

  async #answer(address: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { mayAsk, text } = this.#options;
    request.resume();
    if (!mayAsk((request.socket.remoteAddress ?? "").replace(/^::ffff:/, ""))) return void request.socket.destroy();
    const send = (status: number, body: string, type = "text/plain; charset=utf-8") => {
      response.writeHead(status, { "Content-Type": type, "X-Content-Type-Options": "nosniff" });
      response.end(request.method === "HEAD" ? undefined : body);
    };
    if (!isForUs(request.headers, address)) return send(403, `ask for http://${hostOf(address)}/metrics\n`);
    if (request.url !== "/metrics") return send(404, "only /metrics is served here\n");
    if (request.method !== "GET" && request.method !== "HEAD") return send(405, "want GET\n");
    try {
      send(200, await text(), "text/plain; version=0.0.4; charset=utf-8");
    } catch (cause) {
      send(500, `${cause instanceof Error ? cause.message : cause}\n`);
    }
  }
}

function hostOf(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** Whether a request names the address it came to, and no web page made it. */
export function isForUs(headers: Readonly<Record<string, unknown>>, address: string): boolean {
  const host = String(headers.host ?? "").replace(/:\d+$/, "");
  return host === hostOf(address) && headers.origin === undefined && headers.referer === undefined;
}

/** Serves the metrics while the node is up. @returns the end of it */
export function serveWhileUp(backend: Backend, page: MetricsPage): () => void {
  const watcher = backend.bus.watch(0);
  const look = () => isDown(backend.state) ? page.close() : page.open();
  look();
  (async () => {
    for await (const _change of watcher.messages()) look();
  })();
  return () => {
    backend.bus.unwatch(watcher);
    page.close();
  };
}
