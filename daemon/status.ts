/**
 * The node and its peers as `status --json` prints them: Go's `ipnstate.Status`, field for field, plus `Agent`, an object
 * of ours with what the data plane is doing. Source: ipn/ipnstate/ipnstate.go; LocalBackend.updateStatusLocked.
 */
import { fromGoTime, goTime, ZERO_TIME } from "../control/wire/tailcfg.ts";
import type { Node, UserProfile } from "../control/wire/tailcfg.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import { regionOf } from "../derp/derp_map.ts";
import type { EngineStatus, PeerStatus as PeerTraffic } from "../engine/config.ts";
import type { BackendState } from "./backend_state.ts";
import type { LocalUse } from "./netfilter/local_use.ts";
import { isExpired } from "./router.ts";
import { addressesOf } from "./node_view.ts";
import type { NodeView } from "./node_view.ts";

/** All that a status is made of. */
export interface StatusInput {
  readonly version: string;
  readonly state: BackendState;
  readonly authUrl: string;
  readonly haveNodeKey: boolean;
  readonly health: readonly string[];
  readonly hostname: string;
  /** Undefined before the first netmap. */
  readonly view: NodeView | undefined;
  readonly engine: EngineStatus | undefined;
  /** The map poll is connected. */
  readonly online: boolean;
  readonly homeDerp: number;
  /** Own endpoints, `ip:port`. */
  readonly endpoints: readonly string[];
  /** Unix milliseconds by control's clock. */
  readonly controlNow: number;
  readonly tunName: string;
  readonly controlUrl: string;
  /** The packet filter: program in use, "" for none; and what of 100.64.0.0/10 is let in beside the tailnet. */
  readonly netfilter: { readonly backend: string; readonly localUse: LocalUse };
  /** Stable ID of the exit node in use, "" or undefined for none. */
  readonly exitNode?: string;
}

type Json = Record<string, unknown>;

function regionCode(map: DERPMap | undefined, id: number): string {
  if (id === 0) return "";
  return (map && regionOf(map, id)?.RegionCode) ?? String(id);
}

function time(unixMs: number): string {
  return unixMs === 0 ? ZERO_TIME : goTime(unixMs);
}

/** Go rounds a key's expiry to the second. */
function expiryText(node: Node): string | undefined {
  const ms = fromGoTime(node.KeyExpiry);
  return ms === undefined ? undefined : goTime(Math.round(ms / 1000) * 1000).replace(".000Z", "Z");
}

/** The fields that come from the node alone, in Go's order. */
function fromNode(node: Node, input: StatusInput, traffic: PeerTraffic | undefined, isSelf: boolean): Json {
  const host = node.Hostinfo ?? {};
  const expiry = expiryText(node);
  const derpMap = input.view?.netmap.derpMap;
  const caps = Object.keys(node.CapMap ?? {}).sort();
  const peerApi = isSelf ? [] : peerApiUrls(node);
  const online = isSelf ? input.online : node.Online === true;
  return {
    ID: node.StableID,
    NodeID: node.ID,
    PublicKey: node.Key,
    HostName: host.Hostname ?? (isSelf ? input.hostname : ""),
    DNSName: node.Name,
    OS: host.OS ?? (isSelf ? "linux" : ""),
    UserID: node.User,
    ...(node.Sharer && { AltSharerUserID: node.Sharer }),
    TailscaleIPs: addressesOf(node),
    ...(node.AllowedIPs && node.AllowedIPs.length > 0 && { AllowedIPs: node.AllowedIPs }),
    ...(node.Tags && node.Tags.length > 0 && { Tags: node.Tags }),
    ...(node.PrimaryRoutes && node.PrimaryRoutes.length > 0 && { PrimaryRoutes: node.PrimaryRoutes }),
    Addrs: isSelf ? input.endpoints : null,
    CurAddr: traffic?.currentAddress ?? "",
    Relay: regionCode(derpMap, isSelf ? input.homeDerp : node.HomeDERP ?? 0),
    PeerRelay: traffic?.peerRelay ?? "",
    RxBytes: traffic?.rxBytes ?? 0,
    TxBytes: traffic?.txBytes ?? 0,
    Created: node.Created ?? ZERO_TIME,
    LastWrite: time(traffic?.lastSend ?? 0),
    LastSeen: online ? ZERO_TIME : node.LastSeen ?? ZERO_TIME,
    LastHandshake: time(traffic?.lastHandshake ?? 0),
    Online: online,
    ExitNode: !isSelf && input.exitNode === node.StableID,
    ExitNodeOption: (node.AllowedIPs ?? []).includes("0.0.0.0/0") && (node.AllowedIPs ?? []).includes("::/0"),
    Active: traffic?.active ?? false,
    PeerAPIURL: peerApi.length > 0 ? peerApi : null,
    TaildropTarget: 0,
    NoFileSharingReason: "",
    ...(caps.length > 0 && { Capabilities: caps, CapMap: node.CapMap }),
    ...(host.sshHostKeys && host.sshHostKeys.length > 0 && { sshHostKeys: host.sshHostKeys }),
    ...(host.ShareeNode && { ShareeNode: true }),
    InNetworkMap: true,
    InMagicSock: traffic !== undefined,
    InEngine: traffic !== undefined,
    ...(isExpired(node, input.controlNow) && { Expired: true }),
    ...(expiry !== undefined && { KeyExpiry: expiry }),
    ...(host.Location && { Location: host.Location }),
  };
}

/** Where the peer's own HTTP API listens, by its announced services (ipnlocal.peerAPIURL). */
function peerApiUrls(node: Node): string[] {
  const port = (proto: string) => node.Hostinfo?.Services?.find((service) => service.Proto === proto)?.Port;
  const [v4, v6] = [port("peerapi4"), port("peerapi6")];
  const addresses = addressesOf(node);
  const ip4 = addresses.find((address) => !address.includes(":"));
  const ip6 = addresses.find((address) => address.includes(":"));
  return [
    ...(v4 && ip4 ? [`http://${ip4}:${v4}`] : []),
    ...(v6 && ip6 ? [`http://[${ip6}]:${v6}`] : []),
  ];
}

/** Oneself before control has said anything. */
function unknownSelf(input: StatusInput): Json {
  const node: Node = { ID: 0, StableID: "", Name: "", User: 0, Key: `nodekey:${"0".repeat(64)}` };
  return { ...fromNode(node, input, undefined, true), TailscaleIPs: null, Addrs: null, InNetworkMap: false };
}

function usersJson(view: NodeView, peers: boolean): Record<string, UserProfile> {
  const users: Record<string, UserProfile> = {};
  if (peers) { for (const user of view.netmap.users) users[String(user.ID)] = user; }
  const own = view.user(view.netmap.self.User);
  if (own !== undefined) users[String(own.ID)] = own;
  return users;
}

/** Go's ipnstate.ExitNodeStatus, while one is in use. */
function exitNodeStatus({ view, exitNode }: StatusInput): Json {
  const node = exitNode ? view?.peers.find((peer) => peer.StableID === exitNode) : undefined;
  if (node === undefined) return {};
  const { StableID: ID, Addresses: TailscaleIPs = [] } = node;
  return { ExitNodeStatus: { ID, Online: node.Online === true, TailscaleIPs } };
}

/** The status; `peers` false leaves peers and their users out. */
export function statusJson(input: StatusInput, peers: boolean): Json {
  const { view, engine } = input;
  const traffic = new Map((engine?.peers ?? []).map((peer) => [`nodekey:${peer.key}`, peer]));
  const netmap = view?.netmap;
  const suffix = view?.magicDnsSuffix ?? "";
  const list = (items: readonly unknown[] | undefined) => items && items.length > 0 ? items : null;
  const peerMap: Json = {};
  if (peers) {
    for (const node of view?.peers ?? []) peerMap[node.Key] = fromNode(node, input, traffic.get(node.Key), false);
  }
  return {
    Version: input.version,
    TUN: true,
    BackendState: input.state,
    ...(input.haveNodeKey && { HaveNodeKey: true }),
    AuthURL: input.authUrl,
    TailscaleIPs: netmap ? addressesOf(netmap.self) : null,
    Self: netmap ? fromNode(netmap.self, input, undefined, true) : unknownSelf(input),
    ...exitNodeStatus(input),
    Health: input.health,
    MagicDNSSuffix: suffix,
    CurrentTailnet: netmap
      ? { Name: netmap.domain, MagicDNSSuffix: suffix, MagicDNSEnabled: netmap.dns.Proxied === true }
      : null,
    CertDomains: list(netmap?.dns.CertDomains),
    ExtraRecords: list(netmap?.dns.ExtraRecords),
    Peer: view && peers ? peerMap : null,
    User: view ? usersJson(view, peers) : null,
    ClientVersion: null,
    Agent: {
      ControlURL: input.controlUrl,
      TUN: input.tunName,
      Netfilter: {
        Backend: input.netfilter.backend,
        Exempt: [
          ...input.netfilter.localUse.prefixes.map(({ prefix, use }) => `${prefix} (${use})`),
          ...input.netfilter.localUse.tunnels.map((device) => `${device} (another tailnet)`),
        ],
      },
      CryptoProvider: engine?.cryptoProvider ?? "",
      Offloads: engine?.offloads ?? {},
      Drops: engine?.drops ?? {},
      Paths: engine?.paths ?? {},
      Turns: engine?.turns ?? {},
    },
  };
}
