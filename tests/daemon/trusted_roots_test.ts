import assert from "node:assert/strict";
import { rootCertificates } from "node:tls";
import { trustedRoots } from "../../daemon/system.ts";
import { testCertificates } from "../support/test_ca.ts";

Deno.test("trustedRoots(): bundled, SSL_CERT_FILE and --ca-file, every certificate once", async () => {
  const [company, other] = await Promise.all([testCertificates(["a"], []), testCertificates(["b"], [])]);
  const [first, second] = [await Deno.makeTempFile(), await Deno.makeTempFile()];
  // A copy with other line ends and text around it is the same certificate.
  await Deno.writeTextFile(first, `# ours\n${company.ca}\n${rootCertificates[0]}`);
  await Deno.writeTextFile(second, `${other.ca}\n${company.ca.replaceAll("\n", "\r\n")}`);
  const before = Deno.env.get("SSL_CERT_FILE");
  try {
    Deno.env.delete("SSL_CERT_FILE");
    const without = trustedRoots(undefined);
    assert.ok(without.length >= rootCertificates.length);
    Deno.env.set("SSL_CERT_FILE", first);
    assert.equal(trustedRoots(undefined).length, without.length + 1);
    assert.equal(trustedRoots(second).length, without.length + 2);
    await Deno.writeTextFile(second, "not a certificate");
    assert.throws(() => trustedRoots(second), /^Error: Cannot read certificate authorities of .*: it has no PEM/);
    assert.throws(
      () => trustedRoots("/nonexistent/ca.pem"),
      /^Error: Cannot read certificate authorities of \/nonexist/,
    );
  } finally {
    if (before === undefined) Deno.env.delete("SSL_CERT_FILE");
    else Deno.env.set("SSL_CERT_FILE", before);
    await Promise.all([first, second].map((path) => Deno.remove(path)));
  }
});
