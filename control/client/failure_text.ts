/** Errors of sockets and TLS as control errors whose text an operator can act on. */
import { ControlError } from "./errors.ts";

const NETWORK: Readonly<Record<string, string>> = {
  ENOTFOUND: "the name is not known to DNS; check the URL and this machine's resolver",
  EAI_AGAIN: "DNS does not answer; check this machine's resolver",
  ECONNREFUSED: "the connection was refused; check that the server runs and the port is right",
  ECONNRESET: "the connection was reset",
  ETIMEDOUT: "no answer in time; check the route and any firewall between",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "there is no route to the network",
};

const TLS_CODE = /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/;

function codeOf(error: unknown): string {
  return (error as { code?: unknown } | null)?.code as string ?? "";
}

/** True for a certificate or handshake problem of TLS. */
export function isTlsFailure(error: unknown): boolean {
  return TLS_CODE.test(codeOf(error));
}

/** @param where what was dialled, `host:port`. */
export function unreachable(where: string, error: unknown): ControlError {
  const known = NETWORK[codeOf(error)];
  const detail = known ?? (error as Error | undefined)?.message ?? String(error);
  return new ControlError("unreachable", `Cannot reach control server ${where}: ${detail}`, { cause: error });
}

/** The refusal of a certificate. @param where what was dialled, `host:port`. @param flaw what is wrong with it. */
export function untrusted(where: string, flaw: string, cause?: unknown): ControlError {
  return new ControlError("tls", `Cannot trust control server ${where}: ${flaw}`, { cause });
}
