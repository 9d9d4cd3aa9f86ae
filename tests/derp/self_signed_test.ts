import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { NodePrivate } from "../../base/keys.ts";
import { certNameOf, makeMetaCertificate, makeSelfSigned } from "../../derp/self_signed.ts";
import { SeededRandom } from "../support/random.ts";

const NOW = Date.UTC(2026, 0, 2);
const DAY_MS = 86_400_000;

Deno.test("makeSelfSigned() makes one leaf for all hosts, valid from yesterday for ten years", async () => {
  const hosts = ["192.0.2.1", "derp.example", "2001:db8::1"];
  const { keyPem, certPem, certName } = await makeSelfSigned(hosts, NOW, new SeededRandom(1).bytes);
  const certificate = new X509Certificate(certPem);
  assert.equal(certName, `sha256-raw:${certificate.fingerprint256.replaceAll(":", "").toLowerCase()}`);
  assert.equal(certNameOf(certPem), certName);
  assert.equal(certificate.subject, "CN=192.0.2.1");
  assert.match(certificate.subjectAltName!, /IP Address:192\.0\.2\.1, DNS:derp\.example, IP Address:2001:DB8/i);
  assert.equal(Date.parse(certificate.validFrom), NOW - DAY_MS);
  assert.equal(Date.parse(certificate.validTo), NOW + 3650 * DAY_MS);
  assert.equal(createPrivateKey(keyPem).asymmetricKeyType, "ec");
  await assert.rejects(makeSelfSigned([], NOW, new SeededRandom(1).bytes), TypeError);
});

Deno.test("makeMetaCertificate() carries the relay's key and the protocol version", async () => {
  const key = NodePrivate.generate(new SeededRandom(2).bytes).public;
  const certificate = new X509Certificate(await makeMetaCertificate(key, NOW));
  assert.equal(certificate.subject, `CN=derpkey${key.hex}`);
  assert.equal(parseInt(certificate.serialNumber, 16), 2);
});

Deno.test("certNameOf() is undefined for what is no certificate", () => {
  for (const text of ["", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----"]) {
    assert.equal(certNameOf(text), undefined);
  }
});
