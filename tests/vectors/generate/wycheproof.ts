/**
 * Takes from a checkout of https://github.com/C2SP/wycheproof what our tests need, one vector a line.
 *
 *   deno run -A tests/vectors/generate/wycheproof.ts CHECKOUT tests/vectors
 */
const COMMIT = "dac1dd4729fd1f8dd9e1e9f3dce51d783da6c166";
const [checkout, out] = Deno.args;

type Fields = Record<string, string | number | string[]>;
interface Group extends Record<string, unknown> {
  readonly tests: Fields[];
}

function write(name: string, file: string, keep: (group: Group) => boolean, fields: readonly string[]): void {
  const { testGroups } = JSON.parse(Deno.readTextFileSync(`${checkout}/testvectors_v1/${file}`)) as {
    testGroups: Group[];
  };
  const tests = testGroups.filter(keep).flatMap((group) => group.tests);
  const lines = tests.map((test) => JSON.stringify(fields.map((field) => test[field])));
  const head = {
    source: `Wycheproof, testvectors_v1/${file}`,
    url: "https://github.com/C2SP/wycheproof",
    commit: COMMIT,
    command: "deno run -A tests/vectors/generate/wycheproof.ts CHECKOUT tests/vectors",
    licence: "Apache-2.0",
    fields,
  };
  const text = JSON.stringify(head, null, 2).slice(0, -2) + `,\n  "tests": [\n${lines.join(",\n")}\n  ]\n}\n`;
  Deno.writeTextFileSync(`${out}/${name}`, text);
}

write("wycheproof_x25519.json", "x25519_test.json", () => true, ["tcId", "public", "private", "shared", "result"]);
for (const cipher of ["chacha20_poly1305", "xchacha20_poly1305"]) {
  const nonceBits = cipher.startsWith("x") ? 192 : 96;
  write(
    `wycheproof_${cipher}.json`,
    `${cipher}_test.json`,
    (group) => group.ivSize === nonceBits,
    ["tcId", "key", "iv", "aad", "msg", "ct", "tag", "result"],
  );
}
