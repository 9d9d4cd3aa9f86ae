/**
 * A small Internet with the kinds of connections people have, each in namespaces of its own:
 *
 *   host ── [home router] ── [carrier NAT] ── core ── … other sites        core has the addresses servers listen on
 *
 *   public    20.0.N.2 itself                       double    192.168 behind 172.30 behind 20.0.N.2
 *   easy      one NAT that keeps ports              blocked   one easy NAT that forwards no UDP
 *   hard      one NAT, a port for each destination  portmap   one hard NAT that maps ports on request (miniupnpd)
 *   ipv6      2600:90:N::2 and nothing else         dual      one easy NAT for IPv4, and 2600:90:N:1::2 behind a firewall
 *
 * Addresses are such as the Internet routes: programs treat private and documentation ranges as special.
 */
import { Lab, type LabNamespace } from "./lab.ts";

export const SIDE_KINDS = ["public", "easy", "hard", "double", "blocked", "ipv6", "dual", "portmap"] as const;
export type SideKind = typeof SIDE_KINDS[number];

/** One connection to the Internet. */
export interface Site {
  readonly kind: SideKind;
  /** Unique in its Internet. */
  readonly name: string;
  /** Where a node runs. */
  readonly host: LabNamespace;
  /** Interface of `host`. */
  readonly hostDevice: string;
  /** From the host outwards; none where the host is on the Internet itself. */
  readonly routers: readonly Router[];
  /** Address of `host` in its own network, and the prefix length. */
  readonly hostAddress: string;
  /** Its next hop. */
  readonly gateway: string;
}

/** A router between a host and the core. */
export interface Router {
  readonly namespace: LabNamespace;
  readonly inside: string;
  readonly outside: string;
  /** Replaces how it translates addresses. Connections under way keep their mappings until `conntrack -F`. */
  translate(kind: "easy" | "hard"): Promise<void>;
}

export class Internet implements AsyncDisposable {
  readonly lab: Lab;
  readonly core: LabNamespace;
  readonly sites: Site[] = [];
  readonly #dir: string;
  #nets = 0;

  private constructor(lab: Lab, dir: string) {
    this.lab = lab;
    this.#dir = dir;
    this.core = lab.namespace("core");
    this.core.configure("lo", ["20.0.0.1/32", "20.0.0.2/32", "2600:90::1/128", "2600:90::2/128"]);
    lab.router(this.core);
  }

  static async create(): Promise<Internet> {
    return new Internet(await Lab.create(), await Deno.makeTempDir({ prefix: "internet-" }));
  }

  /** `ip:port` on the Internet for server 1 or 2: IPv4, IPv6. */
  server(which: 1 | 2, port: number): [v4: string, v6: string] {
    return [`20.0.0.${which}:${port}`, `[2600:90::${which}]:${port}`];
  }

  /** A new connection of this kind. */
  async site(kind: SideKind, name = `${kind}${this.#nets}`): Promise<Site> {
    const net = ++this.#nets;
    const site = await this.#build(kind, name, net);
    this.sites.push(site);
    return site;
  }

  async #build(kind: SideKind, name: string, net: number): Promise<Site> {
    const host = this.lab.namespace(`${name}-host`);
    const at = (hostAddress: string, gateway: string, hostDevice: string, routers: Router[]): Site => ({
      ...{ kind, name, host, hostDevice, routers, hostAddress, gateway },
    });
    if (kind === "public" || kind === "ipv6") {
      const [address, gateway] = kind === "public"
        ? [`20.0.${net}.2/24`, `20.0.${net}.1`]
        : [`2600:90:${net}::2/64`, `2600:90:${net}::1`];
      const { aDevice } = this.lab.link(host, address, this.core, gateway + address.slice(address.indexOf("/")));
      host.route(kind === "public" ? "0.0.0.0/0" : "::/0", gateway);
      return at(address, gateway, aDevice, []);
    }
    const home = this.lab.namespace(`${name}-home`);
    const v6 = kind === "dual";
    const inside = this.lab.link(
      host,
      [`192.168.${net}.2/24`, ...(v6 ? [`2600:90:${net}:1::2/64`] : [])],
      home,
      [`192.168.${net}.1/24`, ...(v6 ? [`2600:90:${net}:1::1/64`] : [])],
    );
    host.route("0.0.0.0/0", `192.168.${net}.1`);
    if (v6) host.route("::/0", `2600:90:${net}:1::1`);
    const outermost = kind === "double" ? this.lab.namespace(`${name}-carrier`) : home;
    const routers: Router[] = [];
    if (outermost !== home) {
      const { aDevice, bDevice } = this.lab.link(home, "172.30.0.2/24", outermost, "172.30.0.1/24");
      home.route("0.0.0.0/0", "172.30.0.1");
      routers.push(await this.#router(home, inside.bDevice, aDevice, "easy"));
      routers.push(await this.#attach(outermost, bDevice, net, false, "easy"));
    } else {
      routers.push(
        await this.#attach(home, inside.bDevice, net, v6, kind === "hard" || kind === "portmap" ? "hard" : "easy"),
      );
    }
    if (kind === "blocked") await home.dropForwardedUdp();
    if (kind === "portmap") await this.#mapPorts(routers[0], name);
    return at(`192.168.${net}.2/24`, `192.168.${net}.1`, inside.aDevice, routers);
  }

  /** Joins a router to the core. */
  #attach(router: LabNamespace, inside: string, net: number, v6: boolean, kind: "easy" | "hard"): Promise<Router> {
    const { aDevice } = this.lab.link(
      router,
      [`20.0.${net}.2/24`, ...(v6 ? [`2600:90:${net}::2/64`] : [])],
      this.core,
      [`20.0.${net}.1/24`, ...(v6 ? [`2600:90:${net}::1/64`] : [])],
    );
    router.route("0.0.0.0/0", `20.0.${net}.1`);
    if (v6) {
      router.route("::/0", `2600:90:${net}::1`);
      this.core.route(`2600:90:${net}:1::/64`, `2600:90:${net}::2`);
    }
    return this.#router(router, inside, aDevice, kind);
  }

  async #router(namespace: LabNamespace, inside: string, outside: string, kind: "easy" | "hard"): Promise<Router> {
    this.lab.router(namespace);
    // What nobody inside asked for is dropped before it takes a place in the table of connections: an entry for it would
    // take the very port that the packet going the other way wants.
    await namespace.nft(
      `table inet lab_firewall {
        chain input { type filter hook input priority 0; iifname "${outside}" ct state new meta l4proto { tcp, udp } drop; }
        chain forward { type filter hook forward priority 0; iifname "${outside}" ct state new ct status dnat accept;
          iifname "${outside}" ct state new drop; }
      }`,
    );
    let undo = await namespace.masquerade(outside, kind);
    const translate = async (next: "easy" | "hard") => {
      await undo();
      undo = await namespace.masquerade(outside, next);
    };
    return { namespace, inside, outside, translate };
  }

  /** Starts miniupnpd: NAT-PMP, PCP and UPnP, UDP ports from 1024 for whoever asks. */
  async #mapPorts({ namespace, inside, outside }: Router, name: string): Promise<void> {
    await namespace.nft(
      `table inet miniupnpd {
        chain forward { type filter hook forward priority -1; jump forwarded; }
        chain forwarded { }
        chain prerouting { type nat hook prerouting priority -100; jump mapped; }
        chain postrouting { type nat hook postrouting priority 99; jump mapped_out; }
        chain mapped { }
        chain mapped_out { }
      }`,
    );
    const conf = `${this.#dir}/${name}.conf`;
    const settings = {
      ext_ifname: outside,
      listening_ip: inside,
      enable_natpmp: "yes",
      enable_upnp: "yes",
      upnp_table_name: "miniupnpd",
      upnp_nat_table_name: "miniupnpd",
      upnp_forward_chain: "forwarded",
      upnp_nat_chain: "mapped",
      upnp_nat_postrouting_chain: "mapped_out",
      secure_mode: "yes",
      min_lifetime: "120",
      max_lifetime: "86400",
      uuid: "b7a4c0de-1234-4321-8765-0123456789ab",
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
    await Deno.writeTextFile(conf, [...lines, "allow 1024-65535 0.0.0.0/0 1024-65535", ""].join("\n"));
    const argv = ["miniupnpd", "-d", "-f", conf, "-P", `${this.#dir}/${name}.pid`];
    const child = namespace.spawn(argv, { stdin: "null", stdout: "null", stderr: "piped" });
    const ready = Promise.withResolvers<void>();
    (async () => {
      let log = "";
      for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
        if (log.length < 10_000) log += part;
        if (log.includes("Listening for NAT-PMP/PCP")) ready.resolve();
      }
      ready.reject(new Error(`miniupnpd ended: ${log}`));
    })();
    await ready.promise;
    ready.promise.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.dispose();
    await Deno.remove(this.#dir, { recursive: true });
  }
}
