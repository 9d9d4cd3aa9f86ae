import assert from "node:assert/strict";
import { checkTlsPair } from "../../../control/server/tls_pair.ts";
import { makeSelfSigned } from "../../../derp/self_signed.ts";
import { SeededRandom } from "../../support/random.ts";

Deno.test("checkTlsPair() takes a pair that belongs together, and names what is wrong with another", async () => {
  const now = Date.now();
  const random = new SeededRandom(1).bytes;
  const [one, two] = [await makeSelfSigned(["one.test"], now, random), await makeSelfSigned(["two.test"], now, random)];
  const [cert, key] = [one.certPem, one.keyPem];
  checkTlsPair({ cert, key }, now);
  checkTlsPair({ cert: cert + two.certPem, key }, now);
  assert.throws(() => checkTlsPair({ cert, key: two.keyPem }, now), /--tls-key: it is not the key of the first/);
  assert.throws(() => checkTlsPair({ cert: "nonsense", key }, now), /--tls-cert: [^]*want a certificate in PEM/);
  assert.throws(() => checkTlsPair({ cert, key: "nonsense" }, now), /--tls-key: [^]*want a private key/);
  assert.throws(() => checkTlsPair({ cert, key }, now + 11 * 366 * 86_400_000), /--tls-cert: it expired at/);
});
