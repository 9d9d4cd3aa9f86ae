/**
 * The tailnet's own relay: a DERP server, its certificate, its STUN responder, and the DERP map that names them.
 *
 * ```
 *   coordinator speaks TLS, no --derp-listen   DERP on the same listener, under its certificate
 *   otherwise                                  DERP on a TLS listener of its own, with one self-signed leaf that the
 *                                              map pins by its hash (CertName "sha256-raw:…")
 * ```
 * Nodes always speak TLS to a relay, whatever they speak to the coordinator. Only keys of nodes that are in the tailnet
 * and not expired may use it, so it is no open relay.
 */
import { renameSync } from "node:fs";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import https from "node:https";
import type { Server } from "node:https";
import type { Scheduler } from "../../base/clock.ts";
import type { NodePrivate, NodePublic, RandomBytes } from "../../base/keys.ts";
import { certNameOf, makeMetaCertificate, makeSelfSigned } from "../../derp/self_signed.ts";
import { DerpServer } from "../../derp/server.ts";
import type { DERPMap, DERPNode } from "../wire/tailcfg.ts";
import { ipFamily, isUnspecified } from "./listen_policy.ts";
import type { ListenAddress } from "./listen_policy.ts";
import { closeServer, listenTcp } from "./listeners.ts";
import { isExpired } from "./node_record.ts";
import { createStateFile, readStateFile, STATE_FILES } from "./state_dir.ts";
import type { Tailnet } from "./tailnet.ts";

/** The region's number: 900 to 999 are left to tailnets of their own. Source: tailcfg.DERPRegion. */
export const REGION_ID = 900;
const REGION_CODE = "agent";
const REGION_NAME = "Coordinator";
/** A certificate this near its end is replaced at the next start. */
const RENEW_BEFORE_MS = 30 * 24 * 3600_000;

/** Where nodes find the relay. */
export interface RelayPlace {
  /** Name or address nodes dial. */
  readonly host: string;
  readonly derpPort: number;
  /** -1: none. */
  readonly stunPort: number;
  /** Set when the certificate is pinned. */
  readonly certName?: string;
  /** At port 80 of the host a node can find out whether a captive portal answers in its place. */
  readonly answersPort80?: boolean;
}

/** The DERP map with that one relay. An address literal rules out the other family, so that nobody looks it up. */
export function derpMapOf({ host, derpPort, stunPort, certName, answersPort80 }: RelayPlace): DERPMap {
  const family = ipFamily(host);
  const node: DERPNode = {
    Name: `${REGION_ID}a`,
    RegionID: REGION_ID,
    HostName: host,
    ...(certName !== undefined && { CertName: certName }),
    ...(family !== undefined && { IPv4: family === 4 ? host : "none", IPv6: family === 6 ? host : "none" }),
    STUNPort: stunPort,
    DERPPort: derpPort,
    ...(answersPort80 && { CanPort80: true }),
  };
  const region = { RegionID: REGION_ID, RegionCode: REGION_CODE, RegionName: REGION_NAME, Nodes: [node] };
  return { Regions: { [REGION_ID]: region }, omitDefaultRegions: true };
}

/** A stored key and certificate, one PEM after the other. */
interface StoredPair {
  readonly pem: string;
  readonly certName: string;
}

function usablePair(pem: string, host: string, now: number): StoredPair | undefined {
  const certName = certNameOf(pem);
  if (certName === undefined || !pem.includes("PRIVATE KEY-----")) return undefined;
  const certificate = new X509Certificate(pem.slice(pem.indexOf("-----BEGIN CERTIFICATE-----")));
  const names = ipFamily(host) === undefined ? certificate.checkHost(host) : certificate.checkIP(host);
  if (names === undefined || Date.parse(certificate.validTo) < now + RENEW_BEFORE_MS) return undefined;
  return { pem, certName };
}

/**
 * The relay's self-signed pair from the state directory, made if there is none that fits the host and the date. A pair
 * that no longer fits is kept under another name.
 */
async function loadCertificate(
  dir: string,
  host: string,
  now: number,
  random: RandomBytes,
): Promise<StoredPair> {
  const stored = readStateFile(dir, STATE_FILES.derpCertificate);
  const usable = stored === undefined ? undefined : usablePair(stored, host, now);
  if (usable !== undefined) return usable;
  const path = join(dir, STATE_FILES.derpCertificate);
  if (stored !== undefined) renameSync(path, `${path}.until-${new Date(now).toISOString().slice(0, 10)}`);
  const made = await makeSelfSigned([host], now, random);
  const pem = made.keyPem + made.certPem;
  createStateFile(dir, STATE_FILES.derpCertificate, pem, random);
  return { pem, certName: made.certName };
}

/** A DERP server that admits the tailnet's own nodes. */
export function makeDerpServer(
  tailnet: Tailnet,
  privateKey: NodePrivate,
  scheduler: Scheduler,
  random: RandomBytes,
  log: (line: string) => void,
): DerpServer {
  const verifyClient = (key: NodePublic): boolean => {
    const view = tailnet.byNodeKey(key.toString());
    return view !== undefined && !isExpired(view.record, scheduler.wall());
  };
  return new DerpServer({ privateKey, scheduler, random, log, verifyClient });
}

/** A TLS listener for a relay alone. */
export interface RelayListener {
  readonly port: number;
  readonly certName: string;
  close(): Promise<void>;
}

/** Opens the relay's own TLS listener. @param host name or address nodes dial, for the certificate. */
export async function listenRelay(
  derp: DerpServer,
  listen: ListenAddress,
  host: string,
  stateDir: string,
  now: number,
  random: RandomBytes,
): Promise<RelayListener> {
  const pair = await loadCertificate(stateDir, isUnspecified(host) ? "localhost" : host, now, random);
  const meta = await makeMetaCertificate(derp.publicKey, now);
  const cert = pair.pem.slice(pair.pem.indexOf("-----BEGIN CERTIFICATE-----"));
  const server: Server = https.createServer({ key: pair.pem, cert: cert + meta }, (request, response) => {
    if (!derp.handleRequest(request, response)) response.writeHead(404).end();
  });
  server.on("upgrade", (request, socket, head) => {
    if (!derp.handleUpgrade(request, socket, head)) socket.destroy();
  });
  const port = await listenTcp(server, listen, "--derp-listen");
  return { port, certName: pair.certName, close: () => closeServer(server) };
}
