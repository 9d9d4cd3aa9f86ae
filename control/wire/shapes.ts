/** The tailcfg types as shapes to check. One entry a field that anything of ours reads; the rest passes unlooked at. */
import {
  address,
  addrPort,
  base64,
  bool,
  exactInteger,
  type FieldShape,
  integer,
  integerMap,
  key,
  list,
  map,
  number,
  port,
  prefix,
  raw,
  struct,
  text,
  time,
} from "./shape.ts";

const needed = (shape: FieldShape): FieldShape => typeof shape === "function" ? { required: shape } : shape;
const textField = { shape: text, zero: "" };
const integerField = { shape: integer, zero: 0 };
const capMap = map(list(raw));
const nodeKey = key("nodekey:");
const discoKey = key("discokey:");
const machineKey = key("mkey:");

const netInfo = struct({
  MappingVariesByDestIP: bool,
  WorkingIPv6: bool,
  OSHasIPv6: bool,
  WorkingUDP: bool,
  WorkingICMPv4: bool,
  HavePortMap: bool,
  UPnP: bool,
  PMP: bool,
  PCP: bool,
  PreferredDERP: integer,
  LinkType: text,
  DERPLatency: map(number),
  FirewallMode: text,
});

const location = struct({
  Country: text,
  CountryCode: text,
  City: text,
  CityCode: text,
  Latitude: number,
  Longitude: number,
  Priority: integer,
});

export const hostinfo = struct({
  IPNVersion: text,
  FrontendLogID: text,
  BackendLogID: text,
  OS: text,
  OSVersion: text,
  Container: bool,
  Env: text,
  Distro: text,
  DistroVersion: text,
  DistroCodeName: text,
  App: text,
  Desktop: bool,
  Package: text,
  DeviceModel: text,
  Hostname: text,
  ShieldsUp: bool,
  ShareeNode: bool,
  NoLogsNoSupport: bool,
  RemoteConfig: bool,
  WireIngress: bool,
  IngressEnabled: bool,
  AllowsUpdate: bool,
  Machine: text,
  GoArch: text,
  GoArchVar: text,
  GoVersion: text,
  RoutableIPs: list(prefix),
  RequestTags: list(text),
  WoLMACs: list(text),
  Services: list(struct({ Proto: textField, Port: { shape: port, zero: 0 }, Description: text })),
  NetInfo: netInfo,
  sshHostKeys: list(text),
  Cloud: text,
  Userspace: bool,
  UserspaceRouter: bool,
  AppConnector: bool,
  ServicesHash: text,
  PeerRelay: bool,
  ExitNodeID: text,
  Location: location,
  StateEncrypted: bool,
});

const resolver = struct({ Addr: text, BootstrapResolution: list(address), UseWithExitNode: bool });

export const node = struct({
  ID: needed(integer),
  StableID: textField,
  Name: textField,
  User: integerField,
  Sharer: integer,
  Key: needed(nodeKey),
  KeyExpiry: time,
  KeySignature: base64,
  Machine: machineKey,
  DiscoKey: discoKey,
  Addresses: list(prefix),
  AllowedIPs: list(prefix),
  Endpoints: list(addrPort),
  DERP: text,
  HomeDERP: integer,
  Hostinfo: hostinfo,
  Created: time,
  Cap: integer,
  Tags: list(text),
  PrimaryRoutes: list(prefix),
  LastSeen: time,
  Online: bool,
  MachineAuthorized: bool,
  Capabilities: list(text),
  CapMap: capMap,
  UnsignedPeerAPIOnly: bool,
  ComputedName: text,
  ComputedNameWithHost: text,
  DataPlaneAuditLogID: text,
  Expired: bool,
  SelfNodeV4MasqAddrForThisPeer: address,
  SelfNodeV6MasqAddrForThisPeer: address,
  IsWireGuardOnly: bool,
  IsJailed: bool,
  ExitNodeDNSResolvers: list(resolver),
});

const peerChange = struct({
  NodeID: needed(integer),
  DERPRegion: integer,
  Cap: integer,
  CapMap: capMap,
  Endpoints: list(addrPort),
  Key: nodeKey,
  KeySignature: base64,
  DiscoKey: discoKey,
  Online: bool,
  LastSeen: time,
  KeyExpiry: time,
});

const userProfile = struct({
  ID: needed(integer),
  LoginName: textField,
  DisplayName: textField,
  ProfilePicURL: text,
  Groups: list(text),
});

const user = struct({ ID: integerField, DisplayName: textField, ProfilePicURL: text, Created: time });
const login = struct({
  ID: integerField,
  Provider: textField,
  LoginName: textField,
  DisplayName: textField,
  ProfilePicURL: text,
});

const dnsConfig = struct({
  Resolvers: list(resolver),
  Routes: map(list(resolver)),
  FallbackResolvers: list(resolver),
  Domains: list(text),
  Proxied: bool,
  Nameservers: list(address),
  CertDomains: list(text),
  ExtraRecords: list(struct({ Name: textField, Type: text, Value: textField })),
  ExitNodeFilteredSet: list(text),
  TempCorpIssue13969: text,
});

const portRange = struct({ First: { shape: port, zero: 0 }, Last: { shape: port, zero: 0 } });
const filterRule = struct({
  SrcIPs: list(text),
  SrcBits: list(integer),
  DstPorts: list(
    struct({ IP: textField, Bits: integer, Ports: { shape: portRange, zero: Object.freeze({ First: 0, Last: 0 }) } }),
  ),
  IPProto: list(integer),
  CapGrant: list(struct({ Dsts: list(prefix), Caps: list(text), CapMap: map(list(raw)) })),
});

const sshAction = struct({
  message: text,
  reject: bool,
  accept: bool,
  sessionDuration: number,
  allowAgentForwarding: bool,
  holdAndDelegate: text,
  allowLocalPortForwarding: bool,
  allowRemotePortForwarding: bool,
  recorders: list(addrPort),
  onRecordingFailure: struct({
    RejectSessionWithMessage: text,
    TerminateSessionWithMessage: text,
    NotifyURL: text,
  }),
});
const sshPolicy = struct({
  rules: list(struct({
    ruleExpires: time,
    principals: list(struct({ node: text, nodeIP: text, userLogin: text, any: bool, pubKeys: list(text) })),
    sshUsers: map(text),
    action: sshAction,
    acceptEnv: list(text),
  })),
});

const displayMessage = struct({
  Title: textField,
  Text: textField,
  Severity: textField,
  ImpactsConnectivity: bool,
  PrimaryAction: struct({ URL: textField, Label: textField }),
});

export const pingRequest = struct({
  URL: textField,
  URLIsNoise: bool,
  Log: bool,
  Types: text,
  IP: address,
  Payload: base64,
});

export const mapResponse = struct({
  MapSessionHandle: text,
  Seq: integer,
  KeepAlive: bool,
  PingRequest: pingRequest,
  PopBrowserURL: text,
  Node: node,
  DERPMap: struct({ HomeParams: struct({ RegionScore: integerMap(number) }), Regions: integerMap(struct({})) }),
  Peers: list(node),
  PeersChanged: list(node),
  PeersRemoved: list(integer),
  PeersChangedPatch: list(peerChange),
  PeerSeenChange: integerMap(bool),
  OnlineChange: integerMap(bool),
  DNSConfig: dnsConfig,
  Domain: text,
  CollectServices: bool,
  PacketFilter: list(filterRule),
  PacketFilters: map(list(filterRule)),
  UserProfiles: list(userProfile),
  Health: list(text),
  DisplayMessages: map(displayMessage),
  SSHPolicy: sshPolicy,
  ControlTime: time,
  TKAInfo: struct({ Head: text, Disabled: bool }),
  DomainDataPlaneAuditLogID: text,
  Debug: struct({ SleepSeconds: number, DisableLogTail: bool, Exit: integer }),
  ControlDialPlan: struct({
    Candidates: list(struct({
      IP: address,
      ACEHost: text,
      DialStartDelaySec: number,
      DialTimeoutSec: number,
      Priority: integer,
    })),
  }),
  ClientVersion: struct({
    RunningLatest: bool,
    LatestVersion: text,
    UrgentSecurityUpdate: bool,
    Notify: bool,
    NotifyURL: text,
    NotifyText: text,
  }),
  DefaultAutoUpdate: bool,
});

export const registerResponse = struct({
  User: user,
  Login: login,
  NodeKeyExpired: bool,
  MachineAuthorized: bool,
  AuthURL: text,
  NodeKeySignature: base64,
  Error: text,
});

export const registerRequest = struct({
  Version: needed(integer),
  NodeKey: needed(nodeKey),
  OldNodeKey: { shape: nodeKey, zero: "nodekey:" + "0".repeat(64) },
  NLKey: { shape: key("nlpub:"), zero: "nlpub:" + "0".repeat(64) },
  Auth: struct({ AuthKey: text }),
  Expiry: { shape: time, zero: "0001-01-01T00:00:00Z" },
  Followup: textField,
  Hostinfo: hostinfo,
  Ephemeral: bool,
  NodeKeySignature: { shape: base64, zero: null },
  Timestamp: time,
  Tailnet: text,
});

export const mapRequest = struct({
  Version: needed(integer),
  Compress: text,
  KeepAlive: bool,
  NodeKey: needed(nodeKey),
  DiscoKey: { shape: discoKey, zero: "discokey:" + "0".repeat(64) },
  Stream: bool,
  Hostinfo: hostinfo,
  MapSessionHandle: text,
  MapSessionSeq: integer,
  Endpoints: list(addrPort),
  EndpointTypes: list(integer),
  TKAHead: text,
  ReadOnly: bool,
  OmitPeers: bool,
  DebugFlags: list(text),
  ConnectionHandleForTest: text,
});

export const serverKeys = struct({
  legacyPublicKey: { shape: machineKey, zero: "mkey:" + "0".repeat(64) },
  publicKey: needed(machineKey),
});

const call = { Version: needed(integer), NodeKey: needed(nodeKey) };

/** Requests of `/machine/tka/…`, by the path's end. */
export const tkaRequests = {
  "init/begin": struct({ ...call, GenesisAUM: needed(base64) }),
  "init/finish": struct({ ...call, Signatures: integerMap(base64), SupportDisablement: base64 }),
  "bootstrap": struct({ ...call, Head: textField }),
  "sync/offer": struct({ ...call, Head: textField, Ancestors: list(text) }),
  "sync/send": struct({
    ...call,
    Head: textField,
    MissingAUMs: list(base64),
    Interactive: { shape: bool, zero: false },
  }),
  "disable": struct({ ...call, Head: textField, DisablementSecret: needed(base64) }),
  "sign": struct({ ...call, Signature: needed(base64) }),
  "affected-sigs": struct({ ...call, KeyID: needed(base64) }),
  "agent/auth-keys": struct({ ...call, IDs: list(text) }),
} as const;

/** Responses of `/machine/tka/…`, by the path's end. */
export const tkaResponses = {
  "init/begin": struct({
    NeedSignatures: list(struct({
      NodeID: needed(exactInteger),
      NodePublic: needed(nodeKey),
      RotationPubkey: { shape: base64, zero: "" },
    })),
  }),
  "init/finish": struct({}),
  "bootstrap": struct({ GenesisAUM: base64, DisablementSecret: base64 }),
  "sync/offer": struct({ Head: textField, Ancestors: list(text), MissingAUMs: list(base64) }),
  "sync/send": struct({ Head: textField }),
  "disable": struct({}),
  "sign": struct({}),
  "affected-sigs": struct({ Signatures: list(base64) }),
  "agent/auth-keys": struct({ States: list(struct({ ID: textField, State: textField })) }),
} as const;
