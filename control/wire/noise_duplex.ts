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
import type { Buffer } from "node:buffer";
import type { Session } from "./handshake.ts";
import type { EarlyPayloadReader } from "./early_payload.ts";
import { concat } from "../../base/bytes.ts";
import { RecordOpener, RecordSealer } from "./record.ts";

type Done = (error?: Error | null) => void;

/** What is known besides the session. */
export interface NoiseDuplexOptions {
  /** Bytes already read from the inner stream after the handshake. */
  readonly head?: Uint8Array;
  /** The client's: takes off what the server says before HTTP/2. */
  readonly early?: EarlyPayloadReader;
}

/** The plaintext side of a control connection. Owns the inner stream: destroying one destroys the other. */
export class NoiseDuplex extends Duplex {
  readonly #inner: Duplex;
  readonly #sealer: RecordSealer;
  readonly #opener: RecordOpener;
  readonly #early: EarlyPayloadReader | undefined;

  constructor(inner: Duplex, session: Session, options: NoiseDuplexOptions = {}) {
    super({ allowHalfOpen: true });
    this.#inner = inner;
    this.#sealer = new RecordSealer(session.sendKey);
    this.#opener = new RecordOpener(session.receiveKey);
    this.#early = options.early;
    inner.on("data", (chunk: Buffer) => this.#receive(chunk));
    inner.on("end", () => this.#receiveEnd());
    inner.on("error", (error: Error) => this.destroy(error));
    inner.on("close", () => this.destroy());
    if (options.head !== undefined && options.head.length > 0) this.#receive(options.head);
  }

  #receive(chunk: Uint8Array): void {
    let more = true;
    for (const plaintext of this.#opener.push(chunk)) {
      const bytes = this.#early === undefined ? plaintext : this.#early.push(plaintext);
      if (bytes.length > 0) more = this.push(bytes);
    }
    const failure = this.#opener.failure ?? this.#early?.failure;
    if (failure !== undefined) this.destroy(new Error(`Cannot read from the control connection: ${failure}`));
    else if (!more) this.#inner.pause();
  }

  #receiveEnd(): void {
    if (this.#opener.idle) this.push(null);
    else this.destroy(new Error("Cannot read from the control connection: it ended within a record"));
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
