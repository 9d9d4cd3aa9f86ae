import assert from "node:assert/strict";
import { isPlainName } from "../../../daemon/dns/names.ts";

Deno.test("isPlainName() takes names of hosts and services, and nothing that ends a line or begins an option", () => {
  for (const name of ["a", "web1.t.ts.net", "_ldap._tcp.corp", "0.64.100.in-addr.arpa", "xn--bcher-kva.example"]) {
    assert.ok(isPlainName(name), name);
  }
  const bad = [
    "",
    "-x",
    "a.-x",
    "a b",
    "x\nnameserver 6.6.6.6",
    "x\n",
    "a..b",
    ".a",
    "a.",
    "~a",
    "A",
    `${"a".repeat(64)}`,
  ];
  for (const name of bad) assert.ok(!isPlainName(name), JSON.stringify(name));
  assert.ok(!isPlainName(Array(128).fill("a").join(".")));
});
