// Web proxies in a namespace: TLS in front of a server, and CONNECT for clients (web_proxy_program.ts).

import type { LabNamespace } from "../../netlab/lab.ts";
import { testCertificates, type TestDates } from "../../support/test_ca.ts";
import { RunningCommand } from "./running_command.ts";

const PROGRAM = new URL("./web_proxy_program.ts", import.meta.url).pathname;

/** A running proxy; it ends with its namespace. */
export class WebProxy {
  readonly #command: RunningCommand;

  private constructor(command: RunningCommand) {
    this.#command = command;
  }

  static async start(namespace: LabNamespace, ...args: string[]): Promise<WebProxy> {
    const argv = [Deno.execPath(), "run", "-A", "--no-lock", PROGRAM, ...args];
    const child = namespace.spawn(argv, { stdin: "null", stdout: "piped", stderr: "piped" });
    const command = new RunningCommand(child, `the ${args[0]} proxy`);
    await command.says(/^serving$/m);
    return new WebProxy(command);
  }

  /** The requests it passed, one a line, oldest first. */
  get requests(): string[] {
    return this.#command.stdout.split("\n").filter((line) => line !== "" && line !== "serving");
  }

  async kill(): Promise<void> {
    this.#command.kill("SIGKILL");
    await this.#command.end();
  }
}

/** A company's certificate authority with one server certificate, as files. */
export interface PrivateCa {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** @param valid the server certificate's dates; an hour each way unless given. */
export async function privateCa(
  dir: string,
  names: readonly string[],
  ips: readonly string[],
  valid?: TestDates,
): Promise<PrivateCa> {
  const { ca, cert, key } = await testCertificates(names, ips, valid);
  const base = await Deno.makeTempDir({ dir, prefix: "ca-" });
  const files = { caFile: `${base}/ca.pem`, certFile: `${base}/cert.pem`, keyFile: `${base}/key.pem` };
  await Deno.writeTextFile(files.caFile, ca);
  await Deno.writeTextFile(files.certFile, cert);
  await Deno.writeTextFile(files.keyFile, key);
  return files;
}
