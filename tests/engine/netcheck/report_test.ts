import assert from "node:assert/strict";
import { formatLatency, formatReport } from "../../../engine/netcheck/format.ts";
import { EMPTY_REPORT, globalAddresses, reportToJson } from "../../../engine/netcheck/report.ts";
import { mapOf, region } from "./world.ts";

const REPORT = {
  ...EMPTY_REPORT,
  now: Date.UTC(2026, 10, 22, 14, 20, 39, 123),
  udp: true,
  ipv4: true,
  ipv4CanSend: true,
  osHasIpv6: true,
  mappingVariesByDestIp: false,
  pmp: true,
  upnp: true,
  pcp: false,
  preferredDerp: 2,
  regionLatency: new Map([[1, 50.04], [2, 0.32]]),
  regionV4Latency: new Map([[1, 50.04], [2, 0.32]]),
  globalV4: "203.0.113.9:41641",
  globalV4Counters: new Map([["203.0.113.9:41641", 2]]),
};

Deno.test("reportToJson() has Go's names, order, nanoseconds and nulls", () => {
  assert.equal(
    JSON.stringify(reportToJson(REPORT)),
    '{"Now":"2026-11-22T14:20:39.123Z","UDP":true,"IPv6":false,"IPv4":true,"IPv6CanSend":false,"IPv4CanSend":true,' +
      '"OSHasIPv6":true,"ICMPv4":false,"MappingVariesByDestIP":false,"UPnP":true,"PMP":true,"PCP":false,' +
      '"PreferredDERP":2,"RegionLatency":{"1":50040000,"2":320000},"RegionV4Latency":{"1":50040000,"2":320000},' +
      '"RegionV6Latency":{},"GlobalV4Counters":{"203.0.113.9:41641":2},"GlobalV6Counters":null,' +
      '"GlobalV4":"203.0.113.9:41641","GlobalV6":"","CaptivePortal":null}',
  );
});

Deno.test("formatReport() prints what the netcheck command prints", () => {
  const map = mapOf(region(1), region(2), region(3));
  assert.equal(
    formatReport(REPORT, map),
    `
Report:
	* Time: 2026-11-22 14:20:39.123Z
	* UDP: true
	* IPv4: yes, 203.0.113.9:41641
	* IPv6: no, but OS has support
	* MappingVariesByDestIP: false
	* PortMapping: UPnP, NAT-PMP
	* Nearest DERP: Region 2
	* DERP latency:
		-  r2: 300µs   (Region 2)
		-  r1: 50ms    (Region 1)
		-  r3:         (Region 3)
`,
  );
  assert.match(formatReport(REPORT, map, true), /\t\t- {2}r2: 300µs {3}\(derp2, Region 2\)\n/);
});

Deno.test("formatReport() says what is not known", () => {
  const text = formatReport({ ...EMPTY_REPORT, captivePortal: true }, mapOf());
  assert.match(text, /IPv4: \(no addr found\)\n\t\* IPv6: no, unavailable in OS\n\t\* MappingVariesByDestIP: \n/);
  assert.match(text, /PortMapping: not checked\n\t\* CaptivePortal: true\n/);
  assert.match(text, /Nearest DERP: unknown \(no response to latency probes\)\n$/);
  const gone = formatReport({ ...REPORT, preferredDerp: 9 }, mapOf());
  assert.match(gone, /Nearest DERP: 9 \(region not found in map\)\n/);
});

Deno.test("formatLatency() rounds to a tenth of a millisecond as Go prints it", () => {
  for (
    const [ms, text] of [[0, "0s"], [0.04, "0s"], [0.96, "1ms"], [12.34, "12.3ms"], [999.96, "1s"], [
      1234.5,
      "1.2345s",
    ]] as const
  ) {
    assert.equal(formatLatency(ms), text);
  }
});

Deno.test("globalAddresses() adds what was seen more than once, after the first", () => {
  const counters = new Map([["203.0.113.9:1", 1], ["203.0.113.9:2", 3], ["203.0.113.9:3", 1]]);
  assert.deepEqual(globalAddresses({ ...REPORT, globalV4: "203.0.113.9:1", globalV4Counters: counters }), {
    v4: ["203.0.113.9:1", "203.0.113.9:2"],
    v6: [],
  });
});
