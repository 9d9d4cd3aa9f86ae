/** What goes wrong between a node and its control server. */

/**
 * Stable names of control errors.
 *
 * | code               | means                                                          | retry |
 * |--------------------|----------------------------------------------------------------|-------|
 * | unreachable        | no connection: name, route, refused, timed out                 | yes   |
 * | tls                | the server's certificate is not to be trusted                  | yes   |
 * | not-control        | something answers, but not a control server                    | yes   |
 * | server-key-changed | the server's Noise key is not the one kept from first contact  | no    |
 * | handshake          | the Noise handshake failed                                     | yes   |
 * | connection-lost    | the connection or a request on it broke                        | yes   |
 * | timeout            | no answer in time, or no message for 120 s in a poll           | yes   |
 * | http               | an answer inside Noise with a status other than 200            | 429, 5xx |
 * | rate-limited       | 429; see `retryAfterMs`                                        | yes   |
 * | malformed          | an answer that is not what the protocol says                   | yes   |
 * | bad-url            | the server's URL cannot be used                                | no    |
 * | bad-auth-key       | the auth key given is damaged; nothing was sent                | no    |
 * | closed             | this client was closed                                         | no    |
 */
export type ControlErrorCode =
  | "unreachable"
  | "tls"
  | "not-control"
  | "server-key-changed"
  | "handshake"
  | "connection-lost"
  | "timeout"
  | "http"
  | "rate-limited"
  | "malformed"
  | "bad-url"
  | "bad-auth-key"
  | "closed";

const FINAL: ReadonlySet<ControlErrorCode> = new Set(["server-key-changed", "bad-url", "bad-auth-key", "closed"]);

/** An error with a text an operator can act on. */
export class ControlError extends Error {
  readonly code: ControlErrorCode;
  /** False when trying again cannot help. */
  readonly retryable: boolean;
  /** Earliest next try that the server asked for, in ms. */
  readonly retryAfterMs: number | undefined;
  /** HTTP status inside Noise, for `http` and `rate-limited`. */
  readonly status: number | undefined;

  constructor(
    code: ControlErrorCode,
    message: string,
    options: { cause?: unknown; status?: number; retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ControlError";
    this.code = code;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
    this.retryable = code === "http" ? (options.status ?? 0) >= 500 : !FINAL.has(code);
  }
}
