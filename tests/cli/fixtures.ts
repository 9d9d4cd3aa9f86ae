/** Status and preferences in the daemon's JSON, for tests to vary. */
import type { PeerStatus, Prefs, Status } from "../../cli/local_types.ts";

const ZERO_TIME = "0001-01-01T00:00:00Z";

export function peer(fields: Partial<PeerStatus> = {}): PeerStatus {
  return {
    ID: "n2",
    PublicKey: "nodekey:02",
    HostName: "two",
    DNSName: "two.lab.ts.net.",
    OS: "linux",
    UserID: 3,
    TailscaleIPs: ["100.64.0.2", "fd7a:115c:a1e0::2"],
    CurAddr: "",
    Relay: "",
    RxBytes: 0,
    TxBytes: 0,
    LastSeen: ZERO_TIME,
    Online: true,
    ExitNode: false,
    ExitNodeOption: false,
    Active: false,
    ...fields,
  };
}

export function status(fields: Partial<Status> = {}, ...peers: PeerStatus[]): Status {
  return {
    Version: "0.1.0",
    BackendState: "Running",
    HaveNodeKey: true,
    AuthURL: "",
    TailscaleIPs: ["100.64.0.1", "fd7a:115c:a1e0::1"],
    Self: peer({
      ID: "n1",
      PublicKey: "nodekey:01",
      HostName: "one",
      DNSName: "one.lab.ts.net.",
      TailscaleIPs: ["100.64.0.1", "fd7a:115c:a1e0::1"],
    }),
    Health: [],
    MagicDNSSuffix: "lab.ts.net",
    Peer: Object.fromEntries(peers.map((node) => [node.PublicKey, node])),
    User: { "3": { LoginName: "alice@lab.test", DisplayName: "Alice" } },
    ...fields,
  };
}

export function prefs(fields: Partial<Prefs> = {}): Prefs {
  return {
    ControlURL: "https://control.example",
    RouteAll: false,
    ExitNodeID: "",
    ExitNodeIP: "",
    ExitNodeAllowLANAccess: false,
    CorpDNS: true,
    RunSSH: false,
    RunWebClient: false,
    WantRunning: true,
    LoggedOut: false,
    ShieldsUp: false,
    AdvertiseTags: null,
    Hostname: "",
    AdvertiseRoutes: null,
    NoSNAT: false,
    NoStatefulFiltering: true,
    NetfilterMode: 2,
    PostureChecking: false,
    AppConnector: { Advertise: false },
    AutoUpdate: { Check: true, Apply: null },
    Config: { PrivateNodeKey: "privkey:00" },
    ...fields,
  };
}
