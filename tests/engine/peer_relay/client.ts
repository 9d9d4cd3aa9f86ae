/** A client of a relay server as the tests of the server need it: it binds, and says what it likes. */
import { BoxKey } from "../../../base/box.ts";
import { DiscoPrivate } from "../../../base/keys.ts";
import { encapsulate, GENEVE_DISCO, GENEVE_LENGTH, readGeneve } from "../../../engine/geneve.ts";
import { openDisco, parseDisco, sealDisco } from "../../../engine/magicsock/disco.ts";
import { type BindFields, CHALLENGE_LENGTH, encodeBind } from "../../../engine/magicsock/disco_relay.ts";
import type { SeededRandom } from "../../support/random.ts";

export class BindingClient {
  readonly disco: DiscoPrivate;
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.disco = DiscoPrivate.generate(random.bytes);
  }

  /** A message of the handshake with `server`, whole as it is on the wire. */
  message(
    type: "bind" | "bind-challenge" | "bind-answer",
    server: Uint8Array,
    other: BindingClient,
    fields: Partial<BindFields> & { vni: number },
  ): Uint8Array<ArrayBuffer> {
    const payload = encodeBind(type, {
      generation: 7,
      remote: other.disco.public.bytes,
      challenge: new Uint8Array(CHALLENGE_LENGTH),
      ...fields,
    });
    const sealed = sealDisco(this.disco.public, this.#box(server), this.#random.bytes(24), payload);
    return encapsulate({ protocol: GENEVE_DISCO, control: true, vni: fields.vni }, sealed);
  }

  /** The fields of the challenge in a server's reply. */
  challenge(server: Uint8Array, reply: Uint8Array): BindFields {
    const header = readGeneve(reply, 0, reply.length);
    const payload = openDisco(reply.subarray(GENEVE_LENGTH), this.#box(server));
    const parsed = payload && parseDisco(payload);
    if (header?.control !== true || typeof parsed !== "object" || parsed.type !== "bind-challenge") {
      throw new TypeError("not a challenge");
    }
    return parsed;
  }

  #box(server: Uint8Array): BoxKey {
    return new BoxKey(this.disco.sharedSecret(server)!);
  }
}
