import assert from "node:assert/strict";
import { concat, fromHex, toHex, utf8 } from "../../base/bytes.ts";
import { Secret } from "../../base/secret.ts";
import { connectBySocks, encodeConnect, encodeLogin, parseChoice, parseReply } from "../../base/socks5.ts";
import { mutate, SeededRandom } from "../support/random.ts";
import { socketPair } from "../support/socket_pair.ts";

const bytes = (hex: string) => fromHex(hex.replaceAll(" ", ""))!;
const never = new AbortController().signal;

/** Plays a proxy that sends these answers, each when something was asked. Gives what it was asked, and the outcome. */
async function play(answers: readonly string[], host: string, login?: [user: string, password: string]) {
  const [near, far] = socketPair();
  const asked: string[] = [];
  const left = [...answers];
  far.on("data", (chunk: Uint8Array) => {
    asked.push(toHex(chunk));
    const answer = left.shift();
    if (answer === undefined) far.end();
    else far.write(bytes(answer));
  });
  const outcome = await connectBySocks(
    near,
    { host, port: 443 },
    login && { user: login[0], password: new Secret(login[1]) },
    never,
  ).then(() => "open", (error) => error.message as string);
  return { asked, outcome, stream: near };
}

Deno.test("SOCKS5 as RFC 1928 draws it: a name goes to the proxy as it is, addresses as bytes", async () => {
  const reply = "05 00 00 01 0a000001 1f90";
  const { asked, outcome, stream } = await play(["05 00", `${reply} 68656c6c6f`], "c.example");
  assert.equal(outcome, "open");
  assert.deepEqual(asked, ["050100", `0501000309${toHex(utf8("c.example"))}01bb`]);
  // What came right behind the reply is the target's.
  assert.equal(await new Promise((resolve) => stream.once("data", (chunk) => resolve(String(chunk)))), "hello");
  assert.equal(toHex(encodeConnect("10.1.2.3", 8443)), "050100010a01020320fb");
  assert.equal(toHex(encodeConnect("fd00::5", 80)), "05010004fd0000000000000000000000000000050050");
});

Deno.test("SOCKS5 with a login as RFC 1929 draws it; a proxy that wants none is not told it", async () => {
  const told = await play(["05 02", "01 00", "05 00 00 03 01 78 0000"], "c", ["user", "p@ss"]);
  assert.deepEqual(told, {
    ...told,
    outcome: "open",
    asked: ["05020002", "010475736572047040" + "7373", "050100030163" + "01bb"],
  });
  const kept = await play(["05 00", "05 00 00 04 00000000000000000000000000000001 0000"], "c", ["user", "p@ss"]);
  assert.deepEqual([kept.outcome, kept.asked.length], ["open", 2]);
});

Deno.test("SOCKS5: what is wrong is said so that it can stand behind the proxy's name", async () => {
  const outcome = async (answers: string[], login?: [string, string]) =>
    (await play(answers, "c.example", login)).outcome;
  const wanted = "wants a user and password; put them into its URL, socks5://user:password@host";
  assert.equal(await outcome(["05 ff"]), wanted);
  assert.equal(await outcome(["05 02"]), wanted);
  assert.equal(await outcome(["05 ff"], ["u", "p"]), "knows no way to log in that we know: it chose method 255");
  assert.equal(await outcome(["05 02", "01 01"], ["u", "p"]), "does not take the user and password of its URL");
  assert.equal(await outcome(["05 00", "05 02"]), "refused to connect to c.example:443: its rules do not allow that");
  assert.equal(await outcome(["05 00", "05 63 00 01 00000000 0000"]), "refused to connect to c.example:443: reply 99");
  assert.equal(await outcome([toHex(utf8("HTTP/1.1 400 Bad"))]), "answered 48 54 54 50: that is no SOCKS5");
  assert.equal(await outcome(["05 00", "05 00 00 09 00"]), "answered 05 00 00 09: that is no SOCKS5");
  assert.equal(await outcome(["05 00"]), "the connection was closed before an answer");
  assert.throws(() => encodeLogin({ user: "", password: new Secret("x") }), /1 to 255 bytes for the user, not 0/);
  assert.throws(() => encodeConnect("x".repeat(256), 1), /1 to 255 bytes for the name of the target, not 256/);
});

Deno.test("SOCKS5 leaves an aborted connection with the signal's reason", async () => {
  const [near] = socketPair();
  const abort = new AbortController();
  const asked = connectBySocks(near, { host: "c", port: 1 }, undefined, abort.signal);
  abort.abort(new Error("enough"));
  await assert.rejects(asked, /^Error: enough$/);
});

Deno.test("fuzz parseReply() and parseChoice(): 20,000 mutated answers never throw, nor wait for more than 262 bytes", () => {
  const random = new SeededRandom(20261127);
  const replies = [
    "05 00 00 01 0a000001 1f90",
    "05 00 00 03 05 6162636465 0000",
    `05 00 00 04 ${"00".repeat(18)}`,
    "05 00",
  ];
  for (let i = 0; i < 20_000; i++) {
    const input = mutate(random, bytes(random.pick(replies)));
    const reply = parseReply(input);
    if (typeof reply === "object") assert.ok(reply.length <= input.length, `seed ${random.seed}, round ${i}`);
    assert.notEqual(parseReply(concat(input, new Uint8Array(262))), undefined, `seed ${random.seed}, round ${i}`);
    parseChoice(input, 5);
    // In pieces it reads as in one.
    for (let cut = 0; cut < input.length; cut++) {
      const part = parseReply(input.subarray(0, cut));
      if (typeof part === "object" && part.code === 0) assert.deepEqual(part, reply, `seed ${random.seed}, round ${i}`);
    }
  }
});
