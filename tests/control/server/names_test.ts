import assert from "node:assert/strict";
import { sanitizeHostname, uniqueLabel, wantedLabel } from "../../../control/server/names.ts";

Deno.test("sanitizeHostname() makes the labels Tailscale makes", () => {
  const cases: readonly [string, string][] = [
    ["host", "host"],
    ["Host.local", "host"],
    ["box.localdomain", "box"],
    ["box.lan", "box"],
    ["Alice's MacBook Pro", "alices-macbook-pro"],
    ["a_b@c.d e", "a-b-c-d-e"],
    ["--edge--", "edge"],
    ["a--b", "a--b"],
    ["..", ""],
    ["", ""],
    ["köln-1", "kln-1"],
    ["日本", ""],
    ["x".repeat(70), "x".repeat(63)],
    ["a".repeat(62) + "--b", "a".repeat(62)],
  ];
  for (const [hostname, label] of cases) assert.equal(sanitizeHostname(hostname), label, hostname);
});

Deno.test("wantedLabel() has an answer for every host name", () => {
  for (const hostname of ["", "...", "localhost", "LOCALHOST.local", "日本"]) {
    assert.equal(wantedLabel(hostname), "node");
  }
});

Deno.test("uniqueLabel() counts up from the wanted name and stays within a label", async () => {
  const taken = new Set<string>();
  const take = async (hostname: string) => {
    const label = await uniqueLabel(hostname, (name) => Promise.resolve(taken.has(name)));
    taken.add(label);
    return label;
  };
  assert.equal(await take("web"), "web");
  assert.equal(await take("Web"), "web-1");
  assert.equal(await take("web.local"), "web-2");
  assert.equal(await take("web-1"), "web-1-1");
  assert.equal(await take("y".repeat(63)), "y".repeat(63));
  assert.equal(await take("y".repeat(63)), "y".repeat(61) + "-1");
});
