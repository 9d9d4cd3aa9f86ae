import assert from "node:assert/strict";
import { UsageError } from "../../cli/exit_codes.ts";
import { flagHelp, parseFlags } from "../../cli/flags.ts";

const TABLE = {
  name: { type: "string", help: "a name" },
  loud: { type: "boolean", help: "say it" },
  dns: { type: "boolean", help: "names", fallback: true },
  c: { type: "number", help: "how many", fallback: 10 },
  timeout: { type: "duration", help: "how long", fallback: 5000 },
  "4": { type: "boolean", help: "IPv4" },
  secret: { type: "string", help: "hidden", hidden: true },
} as const;

Deno.test("parseFlags() takes Go's spellings", () => {
  for (const args of [["--name=x"], ["-name=x"], ["--name", "x"], ["-name", "x"]]) {
    assert.equal(parseFlags(TABLE, args).values.name, "x");
  }
  const { values, given, rest } = parseFlags(TABLE, ["a", "--loud", "--dns=false", "-c", "-1", "b", "-4", "--", "--c"]);
  assert.deepEqual({ ...values }, { name: "", loud: true, dns: false, c: -1, timeout: 5000, "4": true, secret: "" });
  assert.deepEqual([...given], ["loud", "dns", "c", "4"]);
  assert.deepEqual(rest, ["a", "b", "--c"]);
  assert.equal(parseFlags(TABLE, ["--name="]).given.has("name"), true);
  assert.equal(parseFlags(TABLE, ["--name=a=b\nc"]).values.name, "a=b\nc");
});

Deno.test("parseFlags() stops at the first word when asked to", () => {
  assert.deepEqual(parseFlags(TABLE, ["--loud", "x", "--c", "2"], { interleaved: false }).rest, ["x", "--c", "2"]);
});

Deno.test("parseFlags() refuses what cannot be meant", () => {
  const cases: [string[], RegExp][] = [
    [["--nosuch"], /flag provided but not defined: --nosuch/],
    [["--nosuch=secret"], /not defined: --nosuch$/],
    [["--toString"], /not defined/],
    [["--c"], /needs an argument: --c/],
    [["--c=x"], /whole number/],
    [["--c=1.5"], /whole number/],
    [["--loud=maybe"], /true or false/],
    [["--timeout=5"], /duration/],
  ];
  for (const [args, text] of cases) {
    assert.throws(() => parseFlags(TABLE, args), (error) => error instanceof UsageError && text.test(error.message));
  }
});

Deno.test("flagHelp() lists what is not hidden, with defaults", () => {
  const text = flagHelp(TABLE);
  assert.match(text, /--timeout duration {2}how long \(default 5s\)/);
  assert.match(text, /--dns +names \(default true\)/);
  assert.doesNotMatch(text, /secret/);
  assert.doesNotMatch(flagHelp(TABLE, { fallbacks: false }), /default/);
});
