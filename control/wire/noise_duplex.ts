/**
 * A byte stream inside Noise records, as a Duplex over a Duplex, for `node:http2` on both ends.
 *
 * ```
 *   write ──▶ RecordSealer ──▶ inner.write          read ◀── EarlyPayloadReader (client) ◀── RecordOpener ◀── inner
 * ```
 * Back-pressure passes through both ways. A record that does not open destroys both streams with the reason; an end of
 * the inner stream within a record is an error too, since someone may have cut the connection.
 */
import { Duplex } from "node:stream";
import type { Socket } from "node:net";
import type { Buffer } from "node:buffer";
import type { Session } from "./handshake.ts";
import type { EarlyPayloadReader } from "./early_payload.ts";
import type { GoawayFilter } from "./goaway_filter.ts";
import { concat } from "../../base/bytes.ts";
import { RecordOpener, RecordSealer } from "./record.ts";

type Done = (error?: Error | null) => void;

/** What is known besides the session. */
export interface NoiseDuplexOptions {
  /** Bytes already read from the inner stream after the handshake. */
  readonly head?: Uint8Array;
  /** The client's: takes off what the server says before HTTP/2. */
  readonly early?: EarlyPayloadReader;
  /** The server's: takes out what its HTTP/2 must not see. */
  readonly goaway?: GoawayFilter;
}

/** The plaintext side of a control connection. Owns the inner stream: destroying one destroys the other. */
export class NoiseDuplex extends Duplex {
  readonly #inner: Duplex;
  readonly #sealer: RecordSealer;
  readonly #opener: RecordOpener;
  readonly #early: EarlyPayloadReader | undefined;
  readonly #goaway: GoawayFilter | undefined;
  readonly #opened: Uint8Array<ArrayBuffer>[] = [];
  #delivering = false;
  #ended = false;

  constructor(inner: Duplex, session: Session, options: NoiseDuplexOptions = {}) {
    super({ allowHalfOpen: true });
    this.#inner = inner;
    this.#sealer = new RecordSealer(session.sendKey);
    this.#opener = new RecordOpener(session.receiveKey);
    this.#early = options.early;
    this.#goaway = options.goaway;
    // HTTP/2 window updates are small records: held back by Nagle, they slow a large body down to 40 ms a window.
    (inner as Partial<Socket>).setNoDelay?.(true);
    inner.on("data", (chunk: Buffer) => this.#receive(chunk));
    inner.on("end", () => this.#receiveEnd());
    inner.on("error", (error: Error) => this.destroy(error));
    inner.on("close", () => this.#innerClosed());
    if (options.head !== undefined && options.head.length > 0) this.#receive(options.head);
  }

  /** `push` may run the reader, who may write, and in memory the other end's answer comes back within this call. */
  #receive(chunk: Uint8Array): void {
    this.#opened.push(...this.#opener.push(chunk));
    if (this.#delivering) return;
    this.#delivering = true;
    let more = true;
    for (let plaintext = this.#opened.shift(); plaintext !== undefined; plaintext = this.#opened.shift()) {
      const bytes = this.#early === undefined ? plaintext : this.#early.push(plaintext);
      const kept = this.#goaway === undefined ? bytes : this.#goaway.push(bytes);
      if (kept.length > 0) more = this.push(kept);
    }
    this.#delivering = false;
    const failure = this.#opener.failure ?? this.#early?.failure;
    if (failure !== undefined) this.destroy(new Error(`Cannot read from the control connection: ${failure}`));
    else if (!more) this.#inner.pause();
  }

  #receiveEnd(): void {
    this.#ended = true;
    if (this.#opener.idle) this.push(null);
    else this.destroy(new Error("Cannot read from the control connection: it ended within a record"));
  }

  /** After a clean end, what was received is still to be read; otherwise there is nothing to wait for. */
  #innerClosed(): void {
    if (this.#ended && !this.readableEnded) this.once("end", () => this.destroy());
    else this.destroy();
  }

  override _read(): void {
    if (this.#inner.isPaused()) this.#inner.resume();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#send(chunk, done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: Done): void {
    this.#send(concat(...chunks.map(({ chunk }) => chunk)), done);
  }

  #send(bytes: Uint8Array, done: Done): void {
    if (this.#inner.destroyed) return done(new Error("Cannot write to the control connection: it is closed"));
    this.#inner.write(this.#sealer.seal(bytes), done);
  }

  override _final(done: Done): void {
    this.#inner.end(() => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#inner.destroy();
    done(error);
  }
}
