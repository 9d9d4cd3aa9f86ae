/** Control's side of Tailnet Lock in memory, as upstream serves it: behind `FakeControl.serve`, or by itself. */
import { fromBase64, toBase64 } from "../../base/bytes.ts";
import { ControlError } from "../../control/client/errors.ts";
import type { ControlRequest } from "../../control/client/types.ts";
import { Aum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { Authority } from "../../tka/authority.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";

type Body = Record<string, unknown>;

export class LockServer {
  chonk = new MemChonk();
  authority: Authority | undefined;
  genesis: Aum | undefined;
  /** What bootstrap shows. */
  disablementSecret: Uint8Array | undefined;
  /** Calls in order: what follows `/machine/tka/`. */
  readonly calls: string[] = [];
  readonly signatures: Uint8Array[] = [];
  readonly bodies: Body[] = [];
  /** What became of auth keys, by ID. */
  authKeys: Record<string, string> = {};
  /** The connection is down. */
  down = false;
  /** Changes an answer before it is sent. */
  tamper: (call: string, answer: Body) => Body = (_call, answer) => answer;
  /** Nodes that `init/begin` wants signatures of. */
  needSignatures: Body[] = [];
  #pending: Aum | undefined;

  /** A lock with this genesis and these AUMs behind it. */
  start(genesis: Aum, aums: readonly Aum[] = []): this {
    this.chonk = new MemChonk();
    this.genesis = genesis;
    this.authority = Authority.bootstrap(this.chonk, genesis, 0);
    return this.learn(aums);
  }

  learn(aums: readonly Aum[]): this {
    if (aums.length > 0) this.authority = this.authority!.inform(this.chonk, aums, 0);
    return this;
  }

  /** The lock as a netmap tells of it. */
  get netmapFields() {
    const on = this.authority !== undefined;
    return {
      tkaEnabled: on,
      tkaInfo: on ? { Head: this.authority!.head, Disabled: false } : undefined,
    };
  }

  readonly serve = (request: ControlRequest): Promise<unknown> => {
    const call = request.path.slice("/machine/tka/".length);
    const body = request.body as Body;
    this.calls.push(call);
    this.bodies.push(body);
    if (this.down) return Promise.reject(new ControlError("unreachable", "Cannot connect: down"));
    try {
      return Promise.resolve(this.tamper(call, this.#answer(call, body)));
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      return Promise.reject(new ControlError("http", `Cannot GET ${request.path}: HTTP 500: ${text}`, { status: 500 }));
    }
  };

  #answer(call: string, body: Body): Body {
    const bytes = (value: unknown) => fromBase64(value as string)!;
    switch (call) {
      case "bootstrap":
        return {
          ...(this.genesis && { GenesisAUM: toBase64(this.genesis.bytes) }),
          ...(this.disablementSecret && { DisablementSecret: toBase64(this.disablementSecret) }),
        };
      case "sync/offer": {
        const authority = this.authority!;
        const remote = { head: body.Head as AumHash, ancestors: body.Ancestors as AumHash[] };
        const missing = missingAums(authority, this.chonk, remote);
        const { head, ancestors } = syncOffer(authority, this.chonk);
        return { Head: head, Ancestors: [...ancestors], MissingAUMs: missing.map((aum) => toBase64(aum.bytes)) };
      }
      case "sync/send": {
        const aums = (body.MissingAUMs as string[]).map((text) => Aum.decode(bytes(text)));
        this.learn(aums);
        return { Head: this.authority!.head };
      }
      case "init/begin":
        this.#pending = Aum.decode(bytes(body.GenesisAUM));
        return { NeedSignatures: this.needSignatures };
      case "init/finish":
        this.start(this.#pending!);
        return {};
      case "sign":
        this.signatures.push(bytes(body.Signature));
        return {};
      case "affected-sigs":
        return { Signatures: this.signatures.map((signature) => toBase64(signature)) };
      case "agent/auth-keys":
        return { States: (body.IDs as string[]).map((ID) => ({ ID, State: this.authKeys[ID] ?? "unknown" })) };
      case "disable":
        this.disablementSecret = bytes(body.DisablementSecret);
        this.authority = undefined;
        this.genesis = undefined;
        return {};
    }
    throw new Error(`no such call: ${call}`);
  }
}
