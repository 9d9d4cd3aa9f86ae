/** HTTP/1.1 on a unix socket, by hand, so that a test can send headers no client would. */

/** A response, its body whole. */
export interface UnixResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** What to send. */
export interface UnixRequest {
  readonly method?: string;
  /** With its query. */
  readonly path: string;
  /** Header lines besides Host and Content-Length; `host` overrides Host, undefined there leaves it out. */
  readonly headers?: readonly string[];
  readonly host?: string | undefined;
  readonly body?: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function requestText(request: UnixRequest): Uint8Array<ArrayBuffer> {
  const host = "host" in request ? request.host : "local-tailscaled.sock";
  const body = encoder.encode(request.body ?? "");
  const head = [
    `${request.method ?? "GET"} ${request.path} HTTP/1.1`,
    ...(host === undefined ? [] : [`Host: ${host}`]),
    ...(request.headers ?? []),
    `Content-Length: ${body.length}`,
    "Connection: close",
    "",
    "",
  ].join("\r\n");
  return new Uint8Array([...encoder.encode(head), ...body]);
}

async function writeAll(connection: Deno.UnixConn, bytes: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  } catch {
    // The server has heard enough; its answer says why.
  }
}

function unchunk(body: string): string {
  let text = "";
  for (let at = 0;;) {
    const end = body.indexOf("\r\n", at);
    const size = parseInt(body.slice(at, end), 16);
    if (!(size > 0)) return text;
    text += body.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
}

/** Sends one request and reads the answer to its end. Bodies are ASCII. */
export async function unixHttp(path: string, request: UnixRequest): Promise<UnixResponse> {
  using connection = await Deno.connect({ transport: "unix", path });
  await writeAll(connection, requestText(request));
  let text = "";
  try {
    for await (const chunk of connection.readable) text += decoder.decode(chunk, { stream: true });
  } catch (error) {
    // A server that answers before it has read everything resets the connection after its answer.
    if (!(error instanceof Deno.errors.ConnectionReset) || text === "") throw error;
  }
  const split = text.indexOf("\r\n\r\n");
  const [first, ...lines] = text.slice(0, split).split("\r\n");
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  }));
  const raw = text.slice(split + 4);
  const body = headers.get("transfer-encoding") === "chunked" ? unchunk(raw) : raw;
  return { status: Number(first.split(" ")[1]), headers, body };
}

/** A streamed answer: its lines as they come. Close it to hang up. */
export class UnixStream implements Disposable {
  readonly #connection: Deno.UnixConn;
  readonly #lines: AsyncGenerator<string>;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
    this.#lines = this.#read();
  }

  static async open(path: string, request: UnixRequest): Promise<UnixStream> {
    const connection = await Deno.connect({ transport: "unix", path });
    await writeAll(connection, requestText(request));
    return new UnixStream(connection);
  }

  /** The next line that is JSON, decoded. */
  async next(): Promise<Record<string, unknown>> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("the stream ended");
      if (value.startsWith("{")) return JSON.parse(value);
    }
  }

  async *#read(): AsyncGenerator<string> {
    const buffer = new Uint8Array(65536);
    let text = "";
    for (;;) {
      const count = await this.#connection.read(buffer);
      if (count === null) return;
      text += decoder.decode(buffer.subarray(0, count), { stream: true });
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        yield text.slice(0, end).trim();
        text = text.slice(end + 1);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}
