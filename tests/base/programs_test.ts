import assert from "node:assert/strict";
import { findProgram, needProgram, ProgramMissing, PROGRAMS } from "../../base/programs.ts";

Deno.test("programs are looked for at absolute paths alone, in order", () => {
  for (const { paths } of Object.values(PROGRAMS)) {
    assert.ok(paths.every((path) => /^\/[a-z/]+\/[a-z0-9-]+$/.test(path)));
  }
  const there = new Set(["/sbin/nft", "/usr/local/sbin/nft"]);
  assert.equal(findProgram("nft", (path) => there.has(path)), "/sbin/nft");
  assert.equal(findProgram("nft", () => false), undefined);
});

Deno.test("a missing program is named with its package", () => {
  assert.throws(() => needProgram("nft", () => false), (error) => {
    assert.ok(error instanceof ProgramMissing);
    assert.match(error.message, /nft at \/usr\/sbin\/nft, .*; install the package nftables$/);
    return true;
  });
});
