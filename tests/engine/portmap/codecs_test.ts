import assert from "node:assert/strict";
import { encodePcpAnnounce, encodePcpMapping, parsePcp } from "../../../engine/portmap/pcp.ts";
import { encodePmpAddressRequest, encodePmpMapping, parsePmp } from "../../../engine/portmap/pmp.ts";
import {
  addPortMapping,
  element,
  parseDescription,
  parseSsdp,
  soapError,
  SSDP_SEARCHES,
} from "../../../engine/portmap/upnp.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(" ", ""));
const hex = (data: Uint8Array) => data.toHex();

Deno.test("NAT-PMP messages are those of RFC 6886 3.2 and 3.3", () => {
  assert.equal(hex(encodePmpAddressRequest()), "0000");
  assert.equal(hex(encodePmpMapping(41641, 41641, 7200)), "00010000a2a9a2a900001c20");
  assert.equal(hex(encodePmpMapping(41641, 0, 0)), "00010000a2a9000000000000");
  assert.deepEqual(parsePmp(bytes("00 80 0000 00000010 01020304")), {
    kind: "address",
    result: 0,
    epochS: 16,
    ip: Uint8Array.of(1, 2, 3, 4),
  });
  assert.deepEqual(parsePmp(bytes("00 81 0000 00000010 a2a9 1f90 00000e10")), {
    kind: "mapping",
    result: 0,
    internalPort: 41641,
    externalPort: 8080,
    lifetimeS: 3600,
  });
  assert.equal(parsePmp(bytes("00 81 0002 00000010"))?.result, 2);
  for (
    const bad of ["", "00", "00 80 0000 00000010", "00 81 0000 00000010 a2a9 1f90", "01 80 0000 00000010 01020304"]
  ) {
    assert.equal(parsePmp(bytes(bad)), undefined, bad);
  }
});

Deno.test("PCP messages are those of RFC 6887 7 and 11", () => {
  const client = Uint8Array.of(192, 168, 1, 2);
  const nonce = bytes("000102030405060708090a0b");
  assert.equal(hex(encodePcpAnnounce(client)), "0200000000000000" + "00000000000000000000ffffc0a80102");
  assert.equal(
    hex(encodePcpMapping({ client, nonce, internalPort: 41641, externalPort: 41641, lifetimeS: 7200 })),
    "0201000000001c20" + "00000000000000000000ffffc0a80102" + "000102030405060708090a0b" + "11000000" + "a2a9a2a9" +
      "00000000000000000000ffff00000000",
  );
  const answer = "02 81 00 00 00000e10 00000001 000000000000000000000000" +
    "000102030405060708090a0b 11000000 a2a9 1f90" +
    "00000000000000000000ffff 01020304";
  assert.deepEqual(parsePcp(bytes(answer)), {
    kind: "mapping",
    result: 0,
    lifetimeS: 3600,
    nonce,
    internalPort: 41641,
    externalPort: 8080,
    externalIp: Uint8Array.of(1, 2, 3, 4),
  });
  assert.deepEqual(parsePcp(bytes("02 80 00 0c 00000000 00000001 000000000000000000000000")), {
    kind: "announce",
    result: 12,
    epochS: 1,
  });
  for (let length = 0; length < 60; length++) assert.equal(parsePcp(bytes(answer).subarray(0, length)), undefined);
});

Deno.test("no codec asks for port 0, which routers take for all ports (TS-2023-006)", () => {
  const service = { type: "urn:schemas-upnp-org:service:WANIPConnection:1", controlUrl: "http://192.168.1.1/ctl" };
  const client = Uint8Array.of(192, 168, 1, 2);
  assert.throws(() => encodePmpMapping(41641, 0, 7200), RangeError);
  assert.throws(() => encodePmpMapping(0, 41641, 7200), RangeError);
  const pcp = { client, nonce: new Uint8Array(12), internalPort: 41641, externalPort: 0, lifetimeS: 7200 };
  assert.throws(() => encodePcpMapping(pcp), RangeError);
  const igd = { externalPort: 0, internalPort: 41641, client: "192.168.1.2", lifetimeS: 7200 };
  assert.throws(() => addPortMapping(service, igd), RangeError);
});

Deno.test("UPnP: a gateway's answer, its description, its errors", () => {
  const answer = "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n" +
    "Location: http://192.168.1.1:5000/rootDesc.xml\r\n\r\n";
  assert.equal(parseSsdp(answer), "http://192.168.1.1:5000/rootDesc.xml");
  assert.equal(parseSsdp(answer.replace("InternetGatewayDevice", "MediaRenderer")), undefined);
  assert.equal(parseSsdp(SSDP_SEARCHES[1]), undefined);

  const service = (type: string, url: string) =>
    `<service><serviceType>urn:schemas-upnp-org:service:${type}</serviceType><controlURL>${url}</controlURL></service>`;
  const xml = `<root>${service("WANPPPConnection:1", "/ppp")}${service("WANIPConnection:1", "/ip")}</root>`;
  assert.deepEqual(parseDescription(xml, "http://192.168.1.1:5000/rootDesc.xml"), {
    type: "urn:schemas-upnp-org:service:WANIPConnection:1",
    controlUrl: "http://192.168.1.1:5000/ip",
  });
  const elsewhere = service("WANIPConnection:1", "http://198.51.100.7/ip");
  assert.equal(parseDescription(elsewhere, "http://192.168.1.1:5000/rootDesc.xml"), undefined);
  assert.equal(parseDescription("<service>".repeat(10_000), "http://192.168.1.1/"), undefined);

  assert.equal(soapError("<UPnPError><errorCode>725</errorCode></UPnPError>"), 725);
  assert.equal(soapError("<errorCode>no</errorCode>"), undefined);
  assert.equal(
    element("<u:X><NewExternalIPAddress> 1.2.3.4 </NewExternalIPAddress></u:X>", "NewExternalIPAddress"),
    "1.2.3.4",
  );
});
