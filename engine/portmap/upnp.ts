/**
 * UPnP Internet Gateway Device: find the router by SSDP, read what it offers, ask by SOAP.
 *
 *   M-SEARCH, UDP 1900 ──▶ router ── LOCATION: http://…/rootDesc.xml
 *   GET rootDesc.xml    ──▶ router ── services, each with a type and a control URL
 *   POST control URL    ──▶ router ── AddPortMapping, GetExternalIPAddress, DeletePortMapping
 *
 * XML is read by looking for the few elements that are wanted, without entities or a document model: nothing in it can
 * make the reader work longer than the text is. Source: UPnP Device Architecture 1.1, WANIPConnection:1 and :2.
 */

export const SSDP_PORT = 1900;
export const SSDP_GROUP = "239.255.255.250";

const IGD = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";

/** For everything there is, and for gateways: some routers answer the first with their first device only. */
export const SSDP_SEARCHES: readonly string[] = ["ssdp:all", IGD].map((target) =>
  `M-SEARCH * HTTP/1.1\r\nHOST: ${SSDP_GROUP}:${SSDP_PORT}\r\nST: ${target}\r\nMAN: "ssdp:discover"\r\nMX: 2\r\n\r\n`
);

/** Best first. */
const SERVICES = [
  "urn:schemas-upnp-org:service:WANIPConnection:2",
  "urn:schemas-upnp-org:service:WANIPConnection:1",
  "urn:schemas-upnp-org:service:WANPPPConnection:1",
] as const;

/** What a router offers. */
export interface IgdService {
  readonly type: string;
  /** Absolute. */
  readonly controlUrl: string;
}

/** A SOAP call, to be sent by POST. */
export interface SoapCall {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The description's URL in an answer of a gateway to a search, or undefined. */
export function parseSsdp(text: string): string | undefined {
  if (!/^HTTP\/1\.[01] 200 /.test(text) || !text.includes(":InternetGatewayDevice:")) return undefined;
  return /^location:[ \t]*(\S+)[ \t]*\r?$/im.exec(text)?.[1];
}

/** The best service of a description, or undefined. @param location where the description came from */
export function parseDescription(xml: string, location: string): IgdService | undefined {
  const found = new Map<string, string>();
  for (const part of xml.split("<service>").slice(1)) {
    const service = part.slice(0, Math.max(part.indexOf("</service>"), 0));
    const [type, url] = [element(service, "serviceType"), element(service, "controlURL")];
    if (type !== undefined && url !== undefined && !found.has(type)) found.set(type, url);
  }
  for (const type of SERVICES) {
    const url = found.get(type);
    const controlUrl = url === undefined ? undefined : URL.parse(url, location)?.href;
    // What another machine is said to offer is not asked for: the description is a stranger's word.
    if (controlUrl !== undefined && URL.parse(controlUrl)!.hostname === URL.parse(location)!.hostname) {
      return { type, controlUrl };
    }
  }
  return undefined;
}

/** Maps UDP. @throws RangeError for external port 0, which is all ports (WANIPConnection:1 2.2.18; TS-2023-006). */
export function addPortMapping(
  service: IgdService,
  mapping: { externalPort: number; internalPort: number; client: string; lifetimeS: number },
): SoapCall {
  const { externalPort, internalPort, client, lifetimeS } = mapping;
  if (externalPort < 1024 || internalPort < 1) {
    throw new RangeError(`Cannot map port ${internalPort} to ${externalPort}: want an external port of 1024 or more`);
  }
  return soap(service, "AddPortMapping", {
    NewRemoteHost: "",
    NewExternalPort: externalPort,
    NewProtocol: "UDP",
    NewInternalPort: internalPort,
    NewInternalClient: client,
    NewEnabled: 1,
    NewPortMappingDescription: "tailscale-portmap",
    NewLeaseDuration: lifetimeS,
  });
}

/** What the router has noted for a port. */
export function getPortMapping(service: IgdService, externalPort: number): SoapCall {
  const query = { NewRemoteHost: "", NewExternalPort: externalPort, NewProtocol: "UDP" };
  return soap(service, "GetSpecificPortMappingEntry", query);
}

export function deletePortMapping(service: IgdService, externalPort: number): SoapCall {
  return soap(service, "DeletePortMapping", {
    NewRemoteHost: "",
    NewExternalPort: externalPort,
    NewProtocol: "UDP",
  });
}

export function getExternalAddress(service: IgdService): SoapCall {
  return soap(service, "GetExternalIPAddress", {});
}

/** An element of a SOAP answer, or of any XML without attributes on it: its text without white space around. */
export function element(xml: string, name: string): string | undefined {
  return new RegExp(`<(?:[\\w-]+:)?${name}>([^<]*)</`).exec(xml)?.[1].trim();
}

/** UPnP's number for why a call failed, or undefined: 725 only permanent leases, 718 the port is another's. */
export function soapError(xml: string): number | undefined {
  const text = element(xml, "errorCode");
  return text !== undefined && /^\d{3}$/.test(text) ? Number(text) : undefined;
}

function soap({ type }: IgdService, action: string, fields: Record<string, string | number>): SoapCall {
  const inner = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`).join("");
  return {
    headers: { "content-type": 'text/xml; charset="utf-8"', soapaction: `"${type}#${action}"` },
    body: `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ` +
      `s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>` +
      `<u:${action} xmlns:u="${type}">${inner}</u:${action}></s:Body></s:Envelope>`,
  };
}
