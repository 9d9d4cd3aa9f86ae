/**
 * Records conversations of `engine/wg` with a real wireguard-go device (`main.go`) as JSON on standard output.
 *
 *   cd tests/vectors/generate/wireguard_go && go build -o /tmp/wireguard_go . &&
 *   deno run -A record.ts /tmp/wireguard_go > ../../wireguard_go_transcript.json
 *
 * Each conversation holds every secret that went into it, so that a test can repeat our half byte by byte and read the
 * other half again without Go.
 */
import { open, seal } from "../../../../base/aead.ts";
import { concat, fromHex, toHex } from "../../../../base/bytes.ts";
import { NodePrivate } from "../../../../base/keys.ts";
import { CookieChecker, CookieGenerator } from "../../../../engine/wg/cookie.ts";
import type { SessionKeys } from "../../../../engine/wg/handshake.ts";
import {
  consumeResponse,
  createInitiation,
  createResponse,
  openInitiation,
  verifyInitiation,
} from "../../../../engine/wg/handshake.ts";
import { senderIndex, writeDataHeader } from "../../../../engine/wg/messages.ts";
import { createTimestamps } from "../../../../engine/wg/tai64n.ts";

const us = new NodePrivate(new Uint8Array(32).fill(0x51));
const go = new NodePrivate(new Uint8Array(32).fill(0x60));
const timestamps = createTimestamps(() => Date.now());
const INDEX = 0x0badcafe;
// 10.0.0.1 and 10.0.0.2, UDP 9 to 9, 4 bytes; wireguard-go looks at addresses and length only.
const OURS = "450000200001000040110000" + "0a000001" + "0a000002" + "00090009000c0000" + "01020304";
const THEIRS = "450000200001000040110000" + "0a000002" + "0a000001" + "00090009000c0000" + "05060708";

function must<T>(value: T | undefined | string): Exclude<T, undefined | string> {
  if (value === undefined || typeof value === "string") throw new Error(`Recording failed: ${value}`);
  return value as Exclude<T, undefined | string>;
}

class GoDevice {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor() {
    this.#process = new Deno.Command(Deno.args[0], { stdin: "piped", stdout: "piped" }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.write(
      `private_key=${toHex(go.reveal())}\npublic_key=${us.public.hex}\nallowed_ip=10.0.0.1/32\nendpoint=x\n`,
    );
  }

  write(line: string): Promise<void> {
    return this.#input.write(new TextEncoder().encode(line + "\n"));
  }

  /** The next line with this word, others passed over. */
  async next(word: string): Promise<Uint8Array> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const [head, hex = ""] = this.#rest.slice(0, end).split(" ");
        this.#rest = this.#rest.slice(end + 1);
        if (head === word) return must(fromHex(hex));
      } else {
        const { value, done } = await this.#lines.read();
        if (done) throw new Error("wireguard-go ended");
        this.#rest += value;
      }
    }
  }

  /** The next datagram of this type. */
  async message(type: number): Promise<Uint8Array> {
    for (;;) {
      const message = await this.next("tx");
      if (message[0] === type) return message;
    }
  }

  async close(): Promise<void> {
    this.#process.kill();
    await this.#process.status;
    await this.#input.close().catch(() => {});
    await this.#lines.cancel();
  }
}

async function withGo<T>(run: (device: GoDevice) => Promise<T>): Promise<T> {
  const device = new GoDevice();
  try {
    await device.next("ready");
    return await run(device);
  } finally {
    await device.close();
  }
}

function data(keys: SessionKeys, receiver: number, counter: number, packet: Uint8Array): Uint8Array {
  const header = new Uint8Array(16);
  writeDataHeader(new DataView(header.buffer), 0, receiver, counter);
  return concat(header, seal(keys.send, concat(new Uint8Array(4), header.subarray(8)), packet, new Uint8Array(0)));
}

function opened(keys: SessionKeys, message: Uint8Array): string {
  const nonce = concat(new Uint8Array(4), message.subarray(8, 16));
  return toHex(must(open(keys.receive, nonce, message.subarray(16), new Uint8Array(0))));
}

function initiation(ephemeral: Uint8Array, macs: CookieGenerator) {
  const timestamp = timestamps();
  const secret = us.sharedSecret(go.public.bytes)!;
  const { message, sent } = must(createInitiation(us, go.public, secret, ephemeral, timestamp, INDEX));
  macs.addMacs(message, 0);
  return { message, sent, timestamp };
}

/** Both ways of data over a session, as recorded steps. */
async function exchange(device: GoDevice, keys: SessionKeys, remoteIndex: number) {
  const toGo = data(keys, remoteIndex, 0, must(fromHex(OURS)));
  await device.write(`rx ${toHex(toGo)}`);
  if (toHex(await device.next("tun")) !== OURS) throw new Error("wireguard-go received something else");
  await device.write(`tun ${THEIRS}`);
  let fromGo = await device.message(4);
  if (fromGo.length === 32) fromGo = await device.message(4);
  if (opened(keys, fromGo) !== THEIRS) throw new Error("we received something else");
  return { remoteIndex, packetToGo: OURS, dataToGo: toHex(toGo), dataFromGo: toHex(fromGo), packetFromGo: THEIRS };
}

const ephemeral = new Uint8Array(32).fill(0x73);

const weInitiate = await withGo(async (device) => {
  const { message, sent, timestamp } = initiation(ephemeral, new CookieGenerator(go.public));
  await device.write(`rx ${toHex(message)}`);
  const response = await device.message(2);
  const { keys, sender } = must(consumeResponse(us, sent, response));
  return {
    ephemeral: toHex(ephemeral),
    timestamp: toHex(timestamp),
    index: INDEX,
    initiation: toHex(message),
    response: toHex(response),
    ...await exchange(device, keys, sender),
  };
});

const goInitiates = await withGo(async (device) => {
  await device.write(`tun ${THEIRS}`);
  const message = await device.message(1);
  const first = must(openInitiation(us, message));
  const timestamp = must(verifyInitiation(first, us.sharedSecret(first.remoteStatic)!));
  const { message: response, keys } = must(createResponse(first, ephemeral, INDEX));
  new CookieGenerator(go.public).addMacs(response, 0);
  await device.write(`rx ${toHex(response)}`);
  const confirmation = await device.message(4);
  if (opened(keys, confirmation) !== THEIRS) throw new Error("we received something else");
  return {
    ephemeral: toHex(ephemeral),
    index: INDEX,
    initiation: toHex(message),
    timestamp: toHex(timestamp),
    response: toHex(response),
    confirmation: toHex(confirmation),
    ...await exchange(device, keys, first.sender),
  };
});

const weAreUnderLoad = await withGo(async (device) => {
  const secret = new Uint8Array(32).fill(0x5e);
  const nonce = new Uint8Array(24).fill(0xc0);
  const source = must(fromHex("00000000000000000000ffffc000020720fb"));
  const checker = new CookieChecker(us.public, (length) => length === 32 ? secret : nonce);
  await device.write(`tun ${THEIRS}`);
  const first = await device.message(1);
  const reply = checker.createReply(first, senderIndex(first), source, 0);
  await device.write(`rx ${toHex(reply)}`);
  const second = await device.message(1);
  if (!checker.checkMac2(second, source, 0)) throw new Error("wireguard-go did not use the cookie");
  return {
    secret: toHex(secret),
    nonce: toHex(nonce),
    source: toHex(source),
    first: toHex(first),
    reply: toHex(reply),
    second: toHex(second),
  };
});

const goIsUnderLoad = await withGo(async (device) => {
  const macs = new CookieGenerator(go.public);
  const flood = initiation(ephemeral, macs);
  await device.write(`many 4000 ${toHex(flood.message)}`);
  await device.message(2);
  // Its workers race to make the first cookie secret, so cookies of the first moment may be void: take a later one.
  let reply = await device.message(3);
  for (let i = 0; i < 100; i++) reply = await device.message(3);
  if (!macs.consumeReply(reply, 0)) throw new Error("the cookie reply did not open");
  await new Promise((resolve) => setTimeout(resolve, 300)); // let its queue run empty: a full one drops
  const again = initiation(new Uint8Array(32).fill(0x74), macs);
  await device.write(`rx ${toHex(again.message)}`);
  const response = await device.message(2);
  // Still under load: without a cookie it refuses, so the one before was let in by its mac2.
  const bare = initiation(new Uint8Array(32).fill(0x75), new CookieGenerator(go.public));
  await device.write(`rx ${toHex(bare.message)}`);
  await device.message(3);
  return {
    initiation: toHex(flood.message),
    reply: toHex(reply),
    ephemeral: "74".repeat(32),
    timestamp: toHex(again.timestamp),
    index: INDEX,
    again: toHex(again.message),
    response: toHex(response),
  };
});

console.log(JSON.stringify(
  {
    source: "our recording of a wireguard-go device, tests/vectors/generate/wireguard_go",
    version: "golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446",
    command: "see tests/vectors/generate/wireguard_go/record.ts",
    licence: "BSD-3-Clause (recording); wireguard-go is MIT",
    ourPrivateKey: toHex(us.reveal()),
    goPrivateKey: toHex(go.reveal()),
    weInitiate,
    goInitiates,
    weAreUnderLoad,
    goIsUnderLoad,
  },
  null,
  2,
));
