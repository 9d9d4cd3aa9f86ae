/** What an operator is told of a certificate that does not check out: what it says, why not, and what to do. */

/** What of a certificate is shown; `node:tls` PeerCertificate has it. */
export interface ShownCertificate {
  readonly subject?: object;
  readonly issuer?: object;
  /** OpenSSL's text, as "Nov 22 14:08:23 2026 GMT". */
  readonly valid_from?: string;
  readonly valid_to?: string;
  readonly issuerCertificate?: ShownCertificate;
}

const PLAIN_TEXT = /wrong version number|InvalidContentType/;
const WRONG_NAME = /altnames|does not match|NotValidForName/;
const MAX_CHAIN = 8;

/** OpenSSL's codes in words. */
const REASONS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "it is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "this machine does not know that issuer",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "this machine does not know that issuer",
  UNABLE_TO_GET_ISSUER_CERT: "this machine does not know that issuer",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "this machine does not know that issuer",
};

function name(part: unknown): string {
  const fields = part as Record<string, string | string[]> | undefined;
  const found = fields?.CN ?? fields?.O ?? "an unnamed party";
  // Whoever is between can put anything here, escapes for the terminal too.
  return JSON.stringify(String(found).slice(0, 100));
}

function minute(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

/** The first certificate of the chain that is not valid now, as a sentence; undefined when all are. */
function dateFlaw(leaf: ShownCertificate, now: number): string | undefined {
  let certificate: ShownCertificate | undefined = leaf;
  for (let i = 0; certificate !== undefined && i < MAX_CHAIN; i++) {
    const [from, to] = [Date.parse(certificate.valid_from ?? ""), Date.parse(certificate.valid_to ?? "")];
    const whose = i === 0 ? "it" : `its issuer ${name(certificate.subject)}`;
    const clock = `this machine's clock says ${minute(now)}: check the clock`;
    if (now < from) return `${whose} is valid only from ${minute(from)}, and ${clock}`;
    if (now > to) {
      return `${whose} expired ${minute(to)}, and ${clock}; if that is right, the server needs a new certificate`;
    }
    certificate = certificate.issuerCertificate === certificate ? undefined : certificate.issuerCertificate;
  }
  return undefined;
}

/**
 * One line without the host, to stand behind "Cannot trust …: ".
 * @param certificate what the server showed, undefined when that was not seen. @param reason the TLS library's.
 * @param now Unix milliseconds.
 */
export function certificateFailure(certificate: ShownCertificate | undefined, reason: string, now: number): string {
  if (PLAIN_TEXT.test(reason)) return "it does not speak TLS on this port; check the port, and https against http";
  if (certificate?.subject === undefined) return reason;
  const seen = `it shows a certificate for ${name(certificate.subject)} issued by ${name(certificate.issuer)}; `;
  const date = dateFlaw(certificate, now);
  if (date !== undefined) return seen + date;
  if (WRONG_NAME.test(reason)) return `${seen}that is for another host: ${reason}; check the host in the URL`;
  return `${seen}${
    REASONS[reason] ?? reason
  }. If that issuer is yours, give its certificate with --ca-file or SSL_CERT_FILE; ` +
    "if not, something between is reading along";
}
