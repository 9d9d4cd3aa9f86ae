/**
 * The Noise handshake of the control protocol ("ts2021"): Noise_IK_25519_ChaChaPoly_BLAKE2s.
 * Source: control/controlbase/{handshake,messages}.go.
 *
 * ```
 *   client                                                      server
 *   initiation, in a header of POST /ts2021 ───────────────────▶
 *     version 2 BE | type 1 | length 2 BE = 96 | e 32 | enc(s) 48 | tag 16            101 bytes
 *                                       ◀─────────── 101, then the response
 *     type 2 | length 2 BE = 48 | e 32 | tag 16                                        51 bytes
 *     type 3 | length 2 BE | text      instead, in clear: a hint, never to be believed
 *   records ◀──────────────────────────────────────────────────▶ records   (record.ts)
 * ```
 * The client's half is split, so that the initiation travels with the HTTP upgrade and saves a round trip. Prologue:
 * "Tailscale Control Protocol v" and the version in decimal, which binds the version in clear to the handshake.
 */
import { MachinePrivate, MachinePublic } from "../../base/keys.ts";
import { SymmetricState } from "../../base/noise.ts";
import { utf8 } from "../../base/bytes.ts";

const PROTOCOL = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE = "Tailscale Control Protocol v";
const EMPTY = new Uint8Array(0);

/** Types of the messages in clear. */
export const MESSAGE_TYPE = { initiation: 1, response: 2, error: 3, record: 4 } as const;
/** Bytes of an initiation. */
export const INITIATION_LENGTH = 101;
/** Bytes of a response. */
export const RESPONSE_LENGTH = 51;
/** Bytes before the body of every message but the initiation: type, length. */
export const HEADER_LENGTH = 3;

/** What a finished handshake leaves: the keys of both directions and who is at the other end. */
export interface Session {
  /** 32 bytes. */
  readonly sendKey: Uint8Array<ArrayBuffer>;
  /** 32 bytes. */
  readonly receiveKey: Uint8Array<ArrayBuffer>;
  /** Channel binding, 32 bytes. */
  readonly handshakeHash: Uint8Array<ArrayBuffer>;
  /** The other end's long-term key, proven. */
  readonly peer: MachinePublic;
  /** Version of the protocol, the client's capability version. */
  readonly version: number;
}

/** Why a handshake message is refused. */
export interface Refused {
  readonly refused: string;
}

function start(version: number, serverKey: MachinePublic): SymmetricState {
  const state = SymmetricState.initialize(PROTOCOL);
  state.mixHash(utf8(PROLOGUE + version));
  state.mixHash(serverKey.bytes);
  return state;
}

/** MixKey of a Diffie-Hellman result; false for a key of low order. */
function mixDh(state: SymmetricState, ours: MachinePrivate, theirs: Uint8Array): boolean {
  const secret = ours.sharedSecret(theirs);
  if (secret === undefined) return false;
  state.mixKey(secret);
  return true;
}

/** The client's half: made with the initiation, finished by the response. */
export class ClientHandshake {
  /** The 101 bytes to send. */
  readonly initiation: Uint8Array<ArrayBuffer>;
  readonly #state: SymmetricState;
  readonly #machineKey: MachinePrivate;
  readonly #ephemeral: MachinePrivate;
  readonly #serverKey: MachinePublic;
  readonly #version: number;

  /**
   * @param ephemeral a new key for this handshake alone; passed in so that transcripts can be fixed.
   * @param version 0 to 65535.
   * @throws RangeError for another version, TypeError for a server key of low order.
   */
  constructor(machineKey: MachinePrivate, serverKey: MachinePublic, version: number, ephemeral: MachinePrivate) {
    if (!Number.isInteger(version) || version < 0 || version > 0xffff) {
      throw new RangeError(`Cannot announce control protocol version ${version}, want 0 to 65535`);
    }
    const state = start(version, serverKey);
    const message = new Uint8Array(INITIATION_LENGTH);
    const view = new DataView(message.buffer);
    view.setUint16(0, version);
    message[2] = MESSAGE_TYPE.initiation;
    view.setUint16(3, INITIATION_LENGTH - 5);
    message.set(ephemeral.public.bytes, 5);
    state.mixHash(ephemeral.public.bytes);
    const es = mixDh(state, ephemeral, serverKey.bytes);
    if (!es) throw new TypeError(`Cannot use control server key ${serverKey}: it is of low order`);
    message.set(state.encryptAndHash(machineKey.public.bytes), 37);
    mixDh(state, machineKey, serverKey.bytes);
    message.set(state.encryptAndHash(EMPTY), 85);
    this.initiation = message;
    this.#state = state;
    this.#machineKey = machineKey;
    this.#ephemeral = ephemeral;
    this.#serverKey = serverKey;
    this.#version = version;
  }

  /**
   * Finishes with the server's 51 bytes. A forged response is refused and leaves the handshake as it was.
   * @param response the whole message, borrowed.
   */
  finish(response: Uint8Array): Session | Refused {
    if (response.length !== RESPONSE_LENGTH || response[0] !== MESSAGE_TYPE.response) {
      return { refused: `message of type ${response[0]} and ${response.length} bytes, want type 2 and 51` };
    }
    if (bodyLength(response) !== RESPONSE_LENGTH - HEADER_LENGTH) {
      return { refused: `response of length ${bodyLength(response)}, want 48` };
    }
    const state = this.#state.clone();
    const theirs = response.subarray(3, 35);
    state.mixHash(theirs);
    if (!mixDh(state, this.#ephemeral, theirs) || !mixDh(state, this.#machineKey, theirs)) {
      return { refused: "the server's ephemeral key is of low order" };
    }
    if (state.decryptAndHash(response.subarray(35)) === undefined) {
      return { refused: "the response is not sealed by the server's key" };
    }
    const { initiatorToResponder, responderToInitiator } = state.split();
    return {
      sendKey: initiatorToResponder,
      receiveKey: responderToInitiator,
      handshakeHash: state.hash,
      peer: this.#serverKey,
      version: this.#version,
    };
  }
}

/** What a server makes of an initiation. */
export interface ServerHandshake {
  /** The 51 bytes to answer with. */
  readonly response: Uint8Array<ArrayBuffer>;
  readonly session: Session;
}

/**
 * The server's half: takes an initiation, gives the response and the session. Any version is taken; the caller decides
 * by `session.version`.
 * @param initiation the whole message, borrowed.
 * @param ephemeral a new key for this handshake alone.
 */
export function answerHandshake(
  serverKey: MachinePrivate,
  initiation: Uint8Array,
  ephemeral: MachinePrivate,
): ServerHandshake | Refused {
  if (initiation.length !== INITIATION_LENGTH) return { refused: "wrong handshake initiation size" };
  const view = new DataView(initiation.buffer, initiation.byteOffset, initiation.byteLength);
  if (initiation[2] !== MESSAGE_TYPE.initiation) return { refused: "unexpected handshake message type" };
  if (view.getUint16(3) !== INITIATION_LENGTH - 5) return { refused: "wrong handshake initiation length" };
  const version = view.getUint16(0);
  const state = start(version, serverKey.public);
  const theirs = initiation.subarray(5, 37);
  state.mixHash(theirs);
  if (!mixDh(state, serverKey, theirs)) return { refused: "ephemeral key of low order" };
  const machineBytes = state.decryptAndHash(initiation.subarray(37, 85));
  if (machineBytes === undefined) return { refused: "initiation not sealed for this server's key" };
  const machineKey = new MachinePublic(machineBytes);
  if (!mixDh(state, serverKey, machineKey.bytes)) return { refused: "machine key of low order" };
  if (state.decryptAndHash(initiation.subarray(85)) === undefined) return { refused: "machine key not proven" };

  const response = new Uint8Array(RESPONSE_LENGTH);
  response[0] = MESSAGE_TYPE.response;
  new DataView(response.buffer).setUint16(1, RESPONSE_LENGTH - HEADER_LENGTH);
  response.set(ephemeral.public.bytes, 3);
  state.mixHash(ephemeral.public.bytes);
  mixDh(state, ephemeral, theirs);
  mixDh(state, ephemeral, machineKey.bytes);
  response.set(state.encryptAndHash(EMPTY), 35);
  const { initiatorToResponder, responderToInitiator } = state.split();
  return {
    response,
    session: {
      sendKey: responderToInitiator,
      receiveKey: initiatorToResponder,
      handshakeHash: state.hash,
      peer: machineKey,
      version,
    },
  };
}

/** Length field of a message with a three-byte header. */
export function bodyLength(message: Uint8Array): number {
  return (message[1] << 8) | message[2];
}

/** A type 3 message: a hint in clear for the person at the other end. @param text cut at 65535 bytes. */
export function errorMessage(text: string): Uint8Array<ArrayBuffer> {
  const body = utf8(text).subarray(0, 0xffff);
  const message = new Uint8Array(HEADER_LENGTH + body.length);
  message[0] = MESSAGE_TYPE.error;
  message[1] = body.length >> 8;
  message[2] = body.length & 0xff;
  message.set(body, HEADER_LENGTH);
  return message;
}

export function isRefused(outcome: object): outcome is Refused {
  return "refused" in outcome;
}
