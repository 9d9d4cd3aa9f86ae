import assert from "node:assert/strict";
import { parseDefaultRoute } from "../../daemon/portmap_io.ts";

const HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const line = (device: string, destination: string, gateway: string, flags: string, metric: number, mask: string) =>
  `${device}\t${destination}\t${gateway}\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0\n`;
const interfaces = [
  { device: "wlan0", address: "192.168.7.9" },
  { device: "eth0", address: "fe80::1" },
  { device: "eth0", address: "192.168.1.2" },
];

Deno.test("parseDefaultRoute() gives the default route of the lowest metric, and our address on it", () => {
  const text = HEADER + line("eth0", "0001A8C0", "00000000", "0001", 0, "00FFFFFF") +
    line("wlan0", "00000000", "0107A8C0", "0003", 600, "00000000") +
    line("eth0", "00000000", "0101A8C0", "0003", 100, "00000000");
  assert.deepEqual(parseDefaultRoute(text, interfaces), {
    gateway: Uint8Array.of(192, 168, 1, 1),
    self: Uint8Array.of(192, 168, 1, 2),
  });
});

Deno.test("parseDefaultRoute() finds none without a gateway, or without an address of ours on its link", () => {
  assert.equal(parseDefaultRoute(HEADER, interfaces), undefined);
  assert.equal(
    parseDefaultRoute(HEADER + line("ppp0", "00000000", "00000000", "0001", 0, "00000000"), interfaces),
    undefined,
  );
  const half = line("eth0", "00000000", "0101A8C0", "0003", 0, "00000080");
  assert.equal(parseDefaultRoute(HEADER + half, interfaces), undefined);
  const other = line("eth9", "00000000", "0101A8C0", "0003", 0, "00000000");
  assert.equal(parseDefaultRoute(HEADER + other, interfaces), undefined);
});
