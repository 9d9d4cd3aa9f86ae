import assert from "node:assert/strict";
import { certificateFailure, type ShownCertificate } from "../../base/tls_failure.ts";

const ISSUER: ShownCertificate = {
  subject: { CN: "Company Root" },
  issuer: { CN: "Company Root" },
  valid_from: "Jan  1 00:00:00 2026 GMT",
  valid_to: "Jan  1 00:00:00 2027 GMT",
};
const LEAF: ShownCertificate = {
  subject: { CN: "hs.example" },
  issuer: { CN: "Company Root" },
  valid_from: "Nov 20 00:00:00 2026 GMT",
  valid_to: "Nov 24 00:00:00 2026 GMT",
  issuerCertificate: ISSUER,
};
const NOON = Date.parse("2026-11-22T12:00:00Z");
const SEEN = 'it shows a certificate for "hs.example" issued by "Company Root"; ';
const DAY = 86_400_000;

Deno.test("certificateFailure(): a certificate outside its dates names the clock", () => {
  assert.equal(
    certificateFailure(LEAF, "x", 0),
    `${SEEN}it is valid only from 2026-11-20 00:00 UTC, ` +
      "and this machine's clock says 1970-01-01 00:00 UTC: check the clock",
  );
  assert.equal(
    certificateFailure(LEAF, "x", NOON + 2 * DAY),
    `${SEEN}it expired 2026-11-24 00:00 UTC, and this machine's clock says 2026-11-24 12:00 UTC: check the clock; ` +
      "if that is right, the server needs a new certificate",
  );
  const renewed = { ...LEAF, valid_from: "Jan  1 00:00:00 1970 GMT", valid_to: "Jan  1 00:00:00 2030 GMT" };
  assert.match(certificateFailure(renewed, "x", 0), /its issuer "Company Root" is valid only from 2026-01-01/);
});

Deno.test("certificateFailure(): an unknown issuer, another host, no TLS, nothing seen", () => {
  assert.equal(
    certificateFailure(LEAF, "UNABLE_TO_VERIFY_LEAF_SIGNATURE", NOON),
    `${SEEN}this machine does not know that issuer. If that issuer is yours, give its certificate with --ca-file or ` +
      "SSL_CERT_FILE; if not, something between is reading along",
  );
  const wrongHost = "Hostname/IP does not match certificate's altnames: Host: a.example. is not in the cert's altnames";
  assert.equal(
    certificateFailure(LEAF, wrongHost, NOON),
    `${SEEN}that is for another host: ${wrongHost}; check the host in the URL`,
  );
  assert.match(certificateFailure(undefined, "SSL routines:wrong version number", NOON), /does not speak TLS/);
  assert.equal(certificateFailure({}, "odd", NOON), "odd");
});

Deno.test("certificateFailure(): what a stranger wrote into a certificate does not reach the terminal as it is", () => {
  const nasty = { ...LEAF, subject: { CN: "\x1b]0;owned\x07" }, issuer: { CN: ["a".repeat(500), "b"] } };
  const text = certificateFailure(nasty, "odd", NOON);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(text, /[\x00-\x1f]/);
  assert.ok(text.length < 500);
});
