/** The operator's own certificate and key, checked before anything listens: the runtime takes nonsense in silence. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { OptionError } from "./listen_policy.ts";

/** PEM texts for a TLS listener. */
export interface TlsPair {
  /** The leaf first, then its chain. */
  readonly cert: string;
  readonly key: string;
}

function parse<T>(flag: string, want: string, parser: () => T): T {
  try {
    return parser();
  } catch (cause) {
    throw new OptionError(`Cannot use ${flag}: ${(cause as Error).message}; want ${want} in PEM`, { cause });
  }
}

/**
 * Checks that both are PEM, belong together and are valid now.
 * @param now Unix milliseconds. @throws OptionError that names the flag.
 */
export function checkTlsPair({ cert, key }: TlsPair, now: number): void {
  const leaf = parse("--tls-cert", "a certificate", () => new X509Certificate(cert));
  const privateKey = parse("--tls-key", "a private key without a passphrase", () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new OptionError("Cannot use --tls-key: it is not the key of the first certificate in --tls-cert");
  }
  if (Date.parse(leaf.validTo) <= now) {
    throw new OptionError(`Cannot use --tls-cert: it expired at ${leaf.validTo}; renew it, nodes refuse it`);
  }
}
