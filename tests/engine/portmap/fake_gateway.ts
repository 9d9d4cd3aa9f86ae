/** A home router in memory that maps ports, or refuses, or lies. */
import { toHex } from "../../../base/bytes.ts";
import { parseIp } from "../../../base/ip.ts";
import type { IpBytes } from "../../../base/ip.ts";
import type { Gateway, PortmapPorts } from "../../../engine/portmap/port_mapper.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";

export const ROUTER = "192.168.1.1";

export class FakeGateway {
  readonly scheduler = new FakeScheduler();
  services = { pmp: true, pcp: true, upnp: true };
  way: Gateway | undefined = { gateway: parseIp(ROUTER)!, self: parseIp("192.168.1.2")! };
  localPort = 41641;
  /** What it grants, and from where it says so. */
  external: IpBytes = parseIp("198.51.100.1")!;
  grants: (wanted: number) => number = (wanted) => wanted;
  lifetimeS = 7200;
  /** When it was switched on. */
  startedAt = 0;
  answersFrom = ROUTER;
  /** UPnP's word for who has the port. */
  noted = "192.168.1.2";
  /** UPnP codes given to AddPortMapping before it is granted. */
  readonly errors: number[] = [];
  /** `pmp 41641 7200`: protocol, wanted external port, lifetime, of every mapping request. */
  readonly asked: string[] = [];
  readonly calls: string[] = [];

  ports(): PortmapPorts {
    return {
      scheduler: this.scheduler,
      random: new SeededRandom(1).bytes,
      gateway: () => this.way,
      localPort: () => this.localPort,
      open: (received) => {
        let open = true;
        const answer = (port: number, payload: Uint8Array | undefined) => {
          if (payload !== undefined) this.scheduler.after(1, () => open && received(this.answersFrom, port, payload));
        };
        return Promise.resolve({
          send: (to, port, payload) => {
            if (to === ROUTER && port === 5351) {
              answer(port, payload[0] === 2 ? this.#pcp(payload) : this.#pmp(payload));
            }
            if (to === ROUTER && port === 1900 && this.services.upnp) {
              answer(
                port,
                new TextEncoder().encode(
                  "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n" +
                    `LOCATION: http://${ROUTER}:5000/root.xml\r\n\r\n`,
                ),
              );
            }
          },
          close: () => void (open = false),
        });
      },
      http: (_url, call) => Promise.resolve(this.services.upnp ? this.#http(call?.body) : undefined),
    };
  }

  #pmp(request: Uint8Array): Uint8Array | undefined {
    if (!this.services.pmp) return undefined;
    if (request[1] === 0) {
      const epochS = Math.floor((this.scheduler.monotonic() - this.startedAt) / 1000);
      return Uint8Array.of(0, 128, 0, 0, 0, 0, epochS >> 8, epochS & 255, ...this.external);
    }
    const view = new DataView(request.buffer, request.byteOffset);
    const [internal, wanted, lifetime] = [view.getUint16(4), view.getUint16(6), view.getUint32(8)];
    this.asked.push(`pmp ${wanted} ${lifetime}`);
    const out = new DataView(new ArrayBuffer(16));
    out.setUint8(1, 129);
    out.setUint16(8, internal);
    out.setUint16(10, this.grants(wanted));
    out.setUint32(12, lifetime === 0 ? 0 : this.lifetimeS);
    return new Uint8Array(out.buffer);
  }

  #pcp(request: Uint8Array): Uint8Array | undefined {
    if (!this.services.pcp) return undefined;
    const out = request.slice();
    const view = new DataView(out.buffer);
    out[1] |= 128;
    if (request[1] !== 1) return out;
    const [wanted, lifetime] = [view.getUint16(42), view.getUint32(4)];
    this.asked.push(`pcp ${wanted} ${lifetime} ${toHex(out.subarray(24, 28))}`);
    out[3] = 0;
    if (lifetime !== 0) view.setUint32(4, this.lifetimeS);
    view.setUint16(42, this.grants(wanted));
    out.set(this.external, 56);
    return out;
  }

  #http(body: string | undefined): string {
    if (body === undefined) {
      const type = "urn:schemas-upnp-org:service:WANIPConnection:1";
      return `<service><serviceType>${type}</serviceType><controlURL>/ctl</controlURL></service>`;
    }
    const [, action] = /<u:(\w+)/.exec(body)!;
    const field = (name: string) => new RegExp(`<${name}>(.*?)</`).exec(body)?.[1] ?? "";
    this.calls.push(`${action} ${field("NewExternalPort")} ${field("NewLeaseDuration")}`.trim());
    const error = action === "AddPortMapping" ? this.errors.shift() : undefined;
    if (error !== undefined) return `<errorCode>${error}</errorCode>`;
    if (action === "GetExternalIPAddress") {
      return `<NewExternalIPAddress>${this.external.join(".")}</NewExternalIPAddress>`;
    }
    if (action === "GetSpecificPortMappingEntry") {
      const port = `<NewInternalPort>${this.localPort}</NewInternalPort>`;
      return `${port}<NewInternalClient>${this.noted}</NewInternalClient>`;
    }
    return `<u:${action}Response></u:${action}Response>`;
  }
}
