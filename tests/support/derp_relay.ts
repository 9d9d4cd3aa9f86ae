/** A DERP relay of ours on the loopback, with real TLS and a pinned self-signed certificate. */
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { NodePrivate } from "../../base/keys.ts";
import type { NodePublic, RandomBytes } from "../../base/keys.ts";
import type { DERPMap, DERPNode } from "../../derp/derp_map.ts";
import { makeMetaCertificate, makeSelfSigned } from "../../derp/self_signed.ts";
import type { SelfSigned } from "../../derp/self_signed.ts";
import { DerpServer } from "../../derp/server.ts";
import { realScheduler } from "./real_scheduler.ts";

/** True randomness, for tests whose transcript does not matter. */
export const trueRandom: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

/** What a relay is started with; the rest of a restart stays as it was. */
export interface RelayOptions {
  readonly region?: number;
  readonly port?: number;
  readonly privateKey?: NodePrivate;
  readonly certificate?: SelfSigned;
  /** Serve the meta certificate, so that clients make a fast start. */
  readonly meta?: boolean;
  readonly verifyClient?: (key: NodePublic, remote: string) => boolean | Promise<boolean>;
  readonly log?: (line: string) => void;
}

/** A running relay. */
export class Relay {
  readonly server: DerpServer;
  readonly certificate: SelfSigned;
  readonly port: number;
  readonly node: DERPNode;
  readonly map: DERPMap;
  readonly #https: Server;

  private constructor(server: DerpServer, https: Server, certificate: SelfSigned, region: number) {
    this.server = server;
    this.#https = https;
    this.certificate = certificate;
    this.port = (https.address() as AddressInfo).port;
    this.node = {
      Name: `${region}a`,
      RegionID: region,
      HostName: "127.0.0.1",
      CertName: certificate.certName,
      DERPPort: this.port,
      IPv6: "none",
      STUNPort: -1,
    };
    this.map = {
      Regions: { [region]: { RegionID: region, RegionCode: "loop", RegionName: "Loop", Nodes: [this.node] } },
    };
  }

  static async start(options: RelayOptions = {}): Promise<Relay> {
    const certificate = options.certificate ?? await makeSelfSigned(["127.0.0.1"], Date.now(), trueRandom);
    const server = new DerpServer({
      privateKey: options.privateKey ?? NodePrivate.generate(trueRandom),
      scheduler: realScheduler,
      random: trueRandom,
      log: options.log ?? (() => {}),
      verifyClient: options.verifyClient,
    });
    const meta = options.meta ? await makeMetaCertificate(server.publicKey, Date.now()) : "";
    const https = createServer({ key: certificate.keyPem, cert: certificate.certPem + meta }, (request, response) => {
      if (!server.handleRequest(request, response)) response.writeHead(404).end();
    });
    https.on("upgrade", (request, socket, head) => {
      if (!server.handleUpgrade(request, socket, head)) socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
      https.once("error", reject);
      https.listen(options.port ?? 0, "127.0.0.1", () => resolve());
    });
    return new Relay(server, https, certificate, options.region ?? 900);
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#https.close(() => resolve()));
    await this.server.close();
    await closed;
  }
}

/** Waits until `condition` holds; fails the test after `timeoutMs`. */
export async function until(condition: () => boolean, what: string, timeoutMs = 5000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Cannot wait any longer for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
