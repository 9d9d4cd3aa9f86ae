/** The peer relay's worker with real sockets on loopback: two clients bind, one by IPv4 and one by IPv6, and are forwarded. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { startPeerRelay } from "../../daemon/peer_relay_host.ts";
import { encapsulate, GENEVE_WIREGUARD } from "../../engine/geneve.ts";
import { BindingClient } from "../engine/peer_relay/client.ts";
import { SeededRandom } from "../support/random.ts";

const IGNORE = { stunReceived: () => {}, failed: () => {} };

/** A client on a socket of its own. */
class Client implements AsyncDisposable {
  readonly binding: BindingClient;
  readonly #socket: Socket;
  readonly #inbox: Uint8Array[] = [];
  readonly #to: { readonly host: string; readonly port: number };

  private constructor(random: SeededRandom, socket: Socket, to: { host: string; port: number }) {
    this.binding = new BindingClient(random);
    this.#socket = socket;
    this.#to = to;
    socket.on("message", (message) => {
      this.#inbox.push(new Uint8Array(message));
      socket.emit("taken");
    });
  }

  static async open(random: SeededRandom, host: string, port: number): Promise<Client> {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.bind(0, host);
    await once(socket, "listening");
    return new Client(random, socket, { host, port });
  }

  send(packet: Uint8Array): void {
    this.#socket.send(packet, this.#to.port, this.#to.host);
  }

  async next(): Promise<Uint8Array> {
    while (this.#inbox.length === 0) await once(this.#socket, "taken", { signal: AbortSignal.timeout(10_000) });
    return this.#inbox.shift()!;
  }

  async bind(server: Uint8Array, other: Client, vni: number): Promise<void> {
    this.send(this.binding.message("bind", server, other.binding, { vni }));
    const fields = this.binding.challenge(server, await this.next());
    this.send(
      this.binding.message("bind-answer", server, other.binding, {
        ...fields,
        remote: other.binding.disco.public.bytes,
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }
}

Deno.test("startPeerRelay() forwards between its families, answers while it does, and ends when told to", async () => {
  const relay = await startPeerRelay({ port: 0, ...IGNORE });
  try {
    const { udp4, udp6 } = relay.localPorts;
    assert.ok(udp4 > 0);
    relay.setAddresses([`127.0.0.1:${udp4}`]);
    const random = new SeededRandom(3);
    await using a = await Client.open(random, "127.0.0.1", udp4);
    await using b = udp6 > 0 ? await Client.open(random, "::1", udp6) : await Client.open(random, "127.0.0.1", udp4);
    const clients = [a.binding.disco.public.hex, b.binding.disco.public.hex] as const;
    const session = await relay.allocate({ peer: "", disco: clients[0], clients, generation: 1 });
    assert.deepEqual(session?.addrs, [`127.0.0.1:${udp4}`]);
    const { vni } = session!;
    const server = Uint8Array.fromHex(session!.server);
    await a.bind(server, b, vni);
    await b.bind(server, a, vni);
    // The answers of the handshake have no answer: what comes after them finds the session open.
    for (let tries = 0; (await relay.status())?.open !== 1; tries++) assert.ok(tries < 500, "the session opens");
    for (let i = 0; i < 50; i++) {
      const packet = encapsulate(
        { protocol: GENEVE_WIREGUARD, control: false, vni },
        random.bytes(1 + random.int(1400)),
      );
      a.send(packet);
      assert.deepEqual(await b.next(), packet);
      b.send(packet);
      assert.deepEqual(await a.next(), packet);
    }
    const status = await relay.status();
    const out = udp6 > 0 ? 6 : 4;
    const there = status!.forwarded.find((each) => each.in === 4 && each.out === out);
    assert.equal(there?.packets, out === 6 ? 50 : 100);
  } finally {
    await relay.close();
  }
  assert.equal(await relay.status(), undefined);
  assert.equal(await relay.allocate({ peer: "", disco: "", clients: ["", ""], generation: 1 }), undefined);
});

Deno.test("startPeerRelay() says which port it cannot have", async () => {
  const first = await startPeerRelay({ port: 0, ...IGNORE });
  try {
    const { udp4 } = first.localPorts;
    await assert.rejects(startPeerRelay({ port: udp4, ...IGNORE }), new RegExp(`UDP port ${udp4}`));
  } finally {
    await first.close();
  }
});
