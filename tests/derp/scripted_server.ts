/** The other end of a DERP client's stream, played frame by frame. */
import type { Duplex } from "node:stream";
import { utf8 } from "../../base/bytes.ts";
import { DropCounters } from "../../base/drops.ts";
import { NodePrivate } from "../../base/keys.ts";
import type { NodePublic } from "../../base/keys.ts";
import { DerpClient } from "../../derp/client.ts";
import { encodeFrame, FrameReader } from "../../derp/frame.ts";
import { encodeServerInfo, encodeServerKey } from "../../derp/messages.ts";
import { duplexPair } from "../support/duplex_pair.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";
import { SeededRandom } from "../support/random.ts";

export const SWITCHING = utf8("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n");

export class ScriptedServer {
  readonly scheduler = new FakeScheduler();
  readonly random = new SeededRandom(11);
  readonly key = NodePrivate.generate(this.random.bytes);
  readonly clientKey = NodePrivate.generate(this.random.bytes);
  readonly drops = new DropCounters();
  /** What the client told its owner, in order. */
  readonly events: string[] = [];
  /** Frames the client sent: type and body's hex. */
  readonly frames: [number, string][] = [];
  request = "";
  readonly stream: Duplex;
  readonly client: DerpClient;
  readonly #reader = new FrameReader();

  constructor(serverKey?: NodePublic, reads = true) {
    const [ours, theirs] = duplexPair();
    this.stream = theirs;
    theirs.on("error", () => {});
    if (reads) theirs.on("data", (chunk: Uint8Array) => this.#received(chunk));
    this.client = new DerpClient({
      duplex: ours,
      host: "derp.example",
      serverKey,
      privateKey: this.clientKey,
      scheduler: this.scheduler,
      random: this.random.bytes,
      events: {
        ready: () => this.events.push("ready"),
        packet: (peer, payload) => this.events.push(`packet ${peer.slice(0, 4)} ${payload.length}`),
        peerGone: (peer, reason) => this.events.push(`gone ${peer.slice(0, 4)} ${reason}`),
        health: (problem) => this.events.push(`health ${problem}`),
        restarting: (reconnectInMs, tryForMs) => this.events.push(`restarting ${reconnectInMs} ${tryForMs}`),
        closed: (reason) => this.events.push(`closed: ${reason}`),
        dropped: (reason, count) => {
          for (let i = 0; i < count; i++) this.drops.count(reason);
        },
      },
    });
    this.client.start();
  }

  write(...parts: Uint8Array[]): Promise<void> {
    for (const part of parts) this.stream.write(part);
    return this.scheduler.settle();
  }

  frame(type: number, ...parts: Uint8Array[]): Promise<void> {
    return this.write(encodeFrame(type, ...parts));
  }

  /** Plays the login to its end. */
  async login(): Promise<void> {
    await this.write(SWITCHING, encodeServerKey(this.key.public));
    await this.write(encodeServerInfo(this.key, this.clientKey.public, this.random.bytes(24))!);
  }

  /** The last event. */
  get last(): string | undefined {
    return this.events.at(-1);
  }

  async end(): Promise<void> {
    this.client.close("end of test");
    this.stream.destroy();
    await this.scheduler.settle();
  }

  #received(chunk: Uint8Array): void {
    if (!this.request.endsWith("\r\n\r\n")) {
      const text = new TextDecoder("latin1").decode(chunk);
      const end = text.indexOf("\r\n\r\n");
      this.request += end < 0 ? text : text.slice(0, end + 4);
      if (end < 0) return;
      chunk = chunk.subarray(end + 4);
    }
    this.#reader.push(chunk);
    for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
      this.frames.push([frame.type, frame.body.toHex()]);
    }
  }
}
