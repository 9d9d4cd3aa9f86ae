/** A logged-in node in memory with its LocalAPI on a socket, control in memory, and a person who types `agent lock …`. */
import { toBase64, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { LocalClient } from "../../cli/local_client.ts";
import type { Program } from "../../cli/program.ts";
import { lock } from "../../cli/lock.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import { localApiRoutes } from "../../daemon/localapi/routes.ts";
import { LocalApiServer } from "../../daemon/localapi/server.ts";
import { createLog } from "../../daemon/log.ts";
import { disablementValue } from "../../tka/disablement.ts";
import { testNetmap, testNode } from "./fake_control.ts";
import { LockServer } from "./lock_server.ts";
import { TestNode } from "./test_node.ts";

const CAPS = { "https://tailscale.com/cap/tailnet-lock": null };

/** All of it. */
export class TypedLock implements AsyncDisposable {
  readonly node = new TestNode({ deriveDisablement: (secret) => Promise.resolve(disablementValue(secret)) });
  readonly server = new LockServer();
  readonly #directory = Deno.makeTempDirSync({ prefix: "agent-lock-api-" });
  #api: LocalApiServer | undefined;
  peers: Node[] = [testNode(2), testNode(3)];
  capMap: Record<string, null> = CAPS;
  canWrite = true;

  static async start(): Promise<TypedLock> {
    const typed = new TypedLock();
    const { node, server } = typed;
    node.control.serve = server.serve;
    typed.#api = await LocalApiServer.listen({
      path: `${typed.#directory}/a.sock`,
      version: "1.2.3",
      capabilityVersion: 130,
      routes: localApiRoutes(node.backend),
      credentials: () => ({ uid: 0, pid: 1 }),
      canWrite: () => typed.canWrite,
      log: createLog({ verbose: 0, wall: () => 0, write: () => {} }),
    });
    await node.up();
    await typed.tell();
    return typed;
  }

  get client(): LocalClient {
    return new LocalClient(`${this.#directory}/a.sock`);
  }
  get lockKey() {
    return this.node.backend.prefs.persist!.lockKey!.public;
  }
  get nodeKey(): NodePublic {
    return this.node.backend.prefs.persist!.nodeKey!.public;
  }

  /** A netmap with the newest signatures, and all that follows. */
  async tell(): Promise<void> {
    const signed = (node: Node) => {
      const key = NodePublic.parse(node.Key)!;
      const found = this.server.signatures.findLast((bytes) =>
        this.node.backend.lock.authority?.nodeKeyAuthorized(key, bytes).authorized ||
        toHex(bytes).includes(key.hex)
      );
      return found === undefined ? node : { ...node, KeySignature: toBase64(found) };
    };
    const self = signed({ ...testNode(1), Key: this.nodeKey.toString(), CapMap: this.capMap });
    this.node.control.send(testNetmap(this.peers.map(signed), { ...this.server.netmapFields, self }));
    for (let i = 0; i < 15; i++) await this.node.settle();
  }

  /** Types `agent lock …`. `out` is what it prints, `err` what on standard error. */
  type(...args: string[]): Promise<{ out: string; err: string; code: number }> {
    return this.typeAs("agent", ...args);
  }

  /** As `type`, with the program called by that name. */
  async typeAs(program: Program, ...args: string[]): Promise<{ out: string; err: string; code: number }> {
    const real = { out: Deno.stdout.writeSync, err: Deno.stderr.writeSync };
    let out = "";
    let err = "";
    Deno.stdout.writeSync = (bytes: Uint8Array) => {
      out += new TextDecoder().decode(bytes);
      return bytes.length;
    };
    Deno.stderr.writeSync = (bytes: Uint8Array) => {
      err += new TextDecoder().decode(bytes);
      return bytes.length;
    };
    try {
      const code = await lock.run(args, { program, client: this.client });
      return { out, err, code };
    } finally {
      Deno.stdout.writeSync = real.out;
      Deno.stderr.writeSync = real.err;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#api?.close();
    await this.node[Symbol.asyncDispose]();
    await Deno.remove(this.#directory, { recursive: true });
  }
}
