/** Errors of sockets and TLS as control errors whose text an operator can act on. */
import tls from "node:tls";
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

function name(part: unknown): string {
  const fields = part as Record<string, string> | undefined;
  return fields?.CN ?? fields?.O ?? "an unnamed party";
}

/** Subject and issuer of the certificate a server shows, without trusting it; "" when it cannot be seen. */
function lookAtCertificate(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = tls.connect({ host, port, servername: serverName(host), rejectUnauthorized: false, timeout: 5000 });
    const done = (text: string) => {
      socket.destroy();
      resolve(text);
    };
    socket.once("secureConnect", () => {
      const certificate = socket.getPeerCertificate();
      done(`it shows a certificate for "${name(certificate?.subject)}" issued by "${name(certificate?.issuer)}"; `);
    });
    socket.once("timeout", () => done(""));
    socket.once("error", () => done(""));
  });
}

/** SNI of a host; none for an IP literal. */
export function serverName(host: string): string | undefined {
  return /^[0-9.]+$/.test(host) || host.includes(":") ? undefined : host;
}

/** The refusal of a certificate, with what it says and what to do. */
export async function untrusted(host: string, port: number, error: unknown): Promise<ControlError> {
  const seen = await lookAtCertificate(host, port);
  const reason = (error as Error).message;
  return new ControlError(
    "tls",
    `Cannot trust control server ${host}:${port}: ${seen}${reason}. If that issuer is yours, give its certificate ` +
      "with --ca-file or SSL_CERT_FILE; if not, something between is reading along",
    { cause: error },
  );
}
