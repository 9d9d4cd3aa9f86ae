import assert from "node:assert/strict";
import { fromHex } from "../../../base/bytes.ts";
import type { Drop } from "../../../base/drops.ts";
import { compileFilter } from "../../../engine/filter/filter.ts";
import { Packet, parsePacket } from "../../../engine/packet.ts";
import vectors from "../../vectors/tailscale_filter.json" with { type: "json" };

type Step = [direction: string, packet: string, accepted: boolean];

/** Why we decide otherwise than Tailscale, where we mean to; undefined where we do not. */
function knownDifference(bytes: Uint8Array, packet: Packet, drop: Drop | undefined): string | undefined {
  if (bytes.length === 0) return "an empty packet is WireGuard's keepalive and never comes to us";
  if (packet.fragment === "later" && drop === "filter-destination") return "a later fragment must be for us too";
  if (packet.icmpType === 12 && drop === undefined) return "type 12 is ICMP's parameter problem";
  return undefined;
}

Deno.test("parsePacket() and Filter decide as Tailscale's packages did on 1,800 packets", () => {
  const out = new Packet();
  const differences = new Map<string, number>();
  for (const [n, { expanded, local, steps }] of vectors.cases.entries()) {
    const filter = compileFilter({ rules: expanded ?? [], local, shieldsUp: false });
    for (const [i, step] of steps.entries()) {
      const [direction, hex, accepted] = step as Step;
      const bytes = fromHex(hex)!;
      const malformed = parsePacket(bytes, new DataView(bytes.buffer), 0, bytes.length, out);
      const drop = malformed ?? (direction === "in" ? filter.checkIn(out) : filter.checkOut(out));
      if ((drop === undefined) === accepted) continue;
      const why = knownDifference(bytes, out, drop);
      assert.ok(
        why,
        `case ${n}, step ${i}: ${drop ?? "accepted"}, but Tailscale ${accepted ? "accepts" : "drops"} ${hex}`,
      );
      differences.set(why, (differences.get(why) ?? 0) + 1);
    }
  }
  console.log(Object.fromEntries(differences));
});
