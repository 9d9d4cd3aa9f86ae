/** A LocalAPI on a unix socket that answers as it is told and remembers what it was asked. */

/** A request as it came. */
export interface Seen {
  readonly method: string;
  /** Behind `/localapi/v0/`, with its query. */
  readonly path: string;
  readonly host: string | null;
  readonly reason: string | null;
  readonly body: unknown;
}

/** Answers by `METHOD path` (without the query). */
export type Answers = Readonly<Record<string, (seen: Seen) => Response | Promise<Response>>>;

/** A JSON answer. */
export function answer(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status });
}

/** A bus that sends its first messages at once and more by `send`; it ends with `end`. */
export class FakeBus {
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  readonly #first: readonly unknown[];

  constructor(...first: unknown[]) {
    this.#first = first;
  }

  response(): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        // A blank line makes the headers go out at once.
        controller.enqueue(new TextEncoder().encode("\n"));
        for (const message of this.#first) this.send(message);
      },
      cancel: () => {
        this.#controller = undefined;
      },
    });
    return new Response(body);
  }

  send(message: unknown): void {
    this.#controller?.enqueue(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
  }

  end(): void {
    this.#controller?.close();
    this.#controller = undefined;
  }
}

/** Serves while `use` runs. */
export async function withLocalApi(
  answers: Answers,
  use: (socket: string, seen: Seen[]) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const socket = `${dir}/api.sock`;
  const seen: Seen[] = [];
  const server = Deno.serve({ path: socket, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url.replace(/^http\+unix:\/\/[^/]*/, "http://x"));
    const path = pathname.replace(/^.*\/localapi\/v0\//, "");
    const text = await request.text();
    const { headers, method } = request;
    const entry: Seen = {
      method,
      path: path + search,
      host: headers.get("host"),
      reason: headers.get("x-tailscale-reason"),
      body: text === "" ? undefined : JSON.parse(text),
    };
    seen.push(entry);
    return await (answers[`${method} ${path}`]?.(entry) ?? new Response("404 not found\n", { status: 404 }));
  });
  try {
    await use(socket, seen);
  } finally {
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  }
}

/** What a run of the program gave. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The program as a process of its own, without a terminal. */
export function program(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  stdin: "null" | "piped" = "null",
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-lock", "-A", new URL("../../main.ts", import.meta.url).pathname, ...args],
    env: { SSH_CLIENT: "", NO_COLOR: "1", ...env },
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Waits for a process. */
export async function finished(process: Deno.ChildProcess): Promise<Ran> {
  const { code, stdout, stderr } = await process.output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

/** Runs the program to its end. */
export async function run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran> {
  return await finished(program(args, env));
}
