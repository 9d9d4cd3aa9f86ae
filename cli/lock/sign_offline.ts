/** Signing by a key in a file, without a daemon, and what belongs to it: `keygen`, `request`, `sign --submit`. */
import { NodePublic } from "../../base/keys.ts";
import { LockPrivate, LockPublic } from "../../base/lock_key.ts";
import { systemRandom } from "../../base/system.ts";
import { Secret } from "../../base/secret.ts";
import { encodeNodeKeySignature, signNodeKey } from "../../tka/node_key_signature.ts";
import { wrapAuthKey } from "../../tka/wrapped_auth_key.ts";
import { CliError, EXIT_FAILED, EXIT_OK, UsageError } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import type { FlagTable } from "../flags.ts";
import type { Program } from "../program.ts";
import { columns, print, printError } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";
import { NO_KEY_ADDED, parseNode } from "./args.ts";
import { agreed, lockStatus, refusedAs } from "./command.ts";
import type { Run } from "./command.ts";
import {
  parseRequest,
  parseSignatures,
  readDocument,
  requestText,
  signaturesText,
  writeDocument,
} from "./documents.ts";
import type { NodeToSign } from "./documents.ts";
import { readKeyFile, writeKeyFile } from "./key_file.ts";
import { FILTER_FLAGS } from "./node_filter.ts";
import { shortName } from "./nodes.ts";
import { chooseNodes } from "./sign_all.ts";

/** `lock keygen FILE`: a signing key that is no node's. */
export const keygen: Run = (args, { program }) => {
  if (args.length !== 1 || args[0].startsWith("-")) throw new UsageError(`usage: ${program} lock keygen <file>`);
  const key = LockPrivate.generate(systemRandom);
  writeKeyFile(args[0], key);
  print(`${key.public.cliString()}\n`);
  printError(`To trust it, on a signing node: ${program} lock add ${key.public.cliString()}\n`);
  return Promise.resolve(EXIT_OK);
};

export const REQUEST_FLAGS = {
  "all-unsigned": { type: "boolean", help: "for every node that is locked out, instead of this one" },
  ...FILTER_FLAGS,
  out: { type: "string", value: "FILE", help: "write there instead of printing" },
} as const satisfies FlagTable;

/** `lock request`: what a key on no network is to sign. */
export const request: Run = async (args, context) => {
  const { values, rest } = parseFlags(REQUEST_FLAGS, args);
  if (rest.length > 0) throw new UsageError(`${context.program} lock request: unexpected argument`);
  if (values["all-unsigned"]) {
    const nodes = await chooseNodes(values, context);
    if (nodes.length === 0) return EXIT_FAILED;
    const list = nodes.map((node) => ({
      name: shortName(node),
      nodeKey: NodePublic.parse(node.NodeKey)!,
      rotation: undefined,
    }));
    writeDocument(values.out, requestText(list));
    return EXIT_OK;
  }
  const { NodeKey, PublicKey } = await lockStatus(context.client);
  const nodeKey = NodePublic.parse(NodeKey ?? "");
  if (nodeKey === undefined) throw new CliError("this node has no node key yet: log in first");
  writeDocument(values.out, requestText([{ name: Deno.hostname(), nodeKey, rotation: LockPublic.parse(PublicKey) }]));
  return EXIT_OK;
};

interface OfflineFlags {
  readonly key: string;
  readonly in: string;
  readonly out: string;
  readonly yes: boolean;
}

/** What is to be signed, asked about when it came in a file. */
function toSign(flags: OfflineFlags, words: readonly string[], program: Program): readonly NodeToSign[] {
  if (flags.in === "") {
    const { nodeKey, rotation } = parseNode(words, program);
    return [{ name: "", nodeKey, rotation }];
  }
  if (words.length > 0) throw new UsageError("--in has the node keys: name none besides");
  const nodes = parseRequest(readDocument(flags.in), flags.in);
  const rows = nodes.map(({ name, nodeKey, rotation }) => [name, nodeKey.toString(), rotation?.cliString() ?? "-"]);
  printError(`${columns([["NODE", "NODE KEY", "LOCK KEY"], ...rows])}\n`);
  return agreed(`Sign ${nodes.length === 1 ? "it" : `these ${nodes.length}`}?`, flags.yes) ? nodes : [];
}

/** `lock sign --key file:PATH …`. Asks no daemon. */
export function signOffline(flags: OfflineFlags, words: readonly string[], program: Program): Promise<number> {
  const key = readKeyFile(flags.key);
  if (words[0]?.startsWith("tskey-auth-")) {
    if (words.length > 1) throw new UsageError("want one auth key");
    if (words[0].includes("--TL")) throw new CliError("Error: provided key was already wrapped");
    print(`${wrapAuthKey(new Secret(words[0]), key, systemRandom).reveal()}\n`);
    printError(NO_KEY_ADDED);
    return Promise.resolve(EXIT_OK);
  }
  const nodes = toSign(flags, words, program);
  if (nodes.length === 0) {
    printError("Nothing was signed.\n");
    return Promise.resolve(EXIT_FAILED);
  }
  const made = nodes.map(({ name, nodeKey, rotation }) => ({
    name,
    nodeKey,
    signature: encodeNodeKeySignature(signNodeKey(key, nodeKey, rotation?.bytes)),
  }));
  writeDocument(flags.out, signaturesText(key.public, made));
  return Promise.resolve(EXIT_OK);
}

/** `lock sign --submit FILE`: any node of the tailnet may; the daemon verifies what it hands on. */
export async function submit(path: string, rest: readonly string[], { client }: VerbContext): Promise<number> {
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" beside --submit`);
  const signatures = parseSignatures(readDocument(path), path);
  let failed = 0;
  for (const { name, nodeKey, signature } of signatures) {
    const called = name === "" ? nodeKey.toString() : name;
    try {
      await refusedAs("error", client.bytes("POST", "agent/lock/submit", signature));
      print(`submitted  ${called}\n`);
    } catch (error) {
      failed++;
      printError(`failed  ${called}: ${(error as Error).message}\n`);
    }
  }
  if (failed > 0) printError(`${failed} of ${signatures.length} signatures were not taken\n`);
  return failed === 0 ? EXIT_OK : EXIT_FAILED;
}
