/** `lock doctor`: what is wrong with the lock on this node, and what to type. Exit code 1 when something is. */
import { LockPublic } from "../../base/lock_key.ts";
import { MAX_KEYS, WARN_KEYS } from "../../tka/limits.ts";
import { CliError, EXIT_FAILED, EXIT_OK } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import type { Program } from "../program.ts";
import { print } from "../terminal.ts";
import { lockStatus } from "./command.ts";
import type { Run } from "./command.ts";
import type { AgentLockJson, LockStatus } from "./types.ts";

export const DOCTOR_FLAGS = {
  retry: { type: "boolean", help: "have the daemon try at once what it gave up" },
  refetch: { type: "boolean", help: "drop this node's copy of the lock and believe control's" },
} as const;

/** So long without control's word, a head may have been withheld (L6). */
const STALE_MS = 24 * 3600_000;

interface Trouble {
  readonly seen: string;
  readonly remedy: string;
}

function facts(agent: AgentLockJson, enabled: boolean): string[] {
  const { Condition, Since, StateID, Genesis, HeadSince, ConfirmedByControl, LockRequired, LockPins } = agent;
  return [
    `condition:  ${Condition}${Since === null ? "" : `, since ${Since}`}`,
    ...(StateID === "" ? [] : [`lock:       state ID ${StateID}, begun with ${Genesis}`]),
    ...(HeadSince === null ? [] : [`head:       unchanged since ${HeadSince}`]),
    ...(enabled ? [`control:    confirmed the head ${ConfirmedByControl ?? "never"}`] : []),
    `demanded:   ${LockRequired ? "a lock" : LockPins.length > 0 ? "this lock" : "nothing"}`,
    ...LockPins.map((pin) => `            ${pin}`),
  ];
}

/** @param now Unix milliseconds. */
export function troublesOf(status: LockStatus, agent: AgentLockJson, program: Program, now: number): Trouble[] {
  const { Enabled, NodeKeySigned, NodeKey, PublicKey } = status;
  const troubles: Trouble[] = [];
  const add = (seen: string, remedy: string) =>
    troubles.push({ seen, remedy: remedy.replaceAll("agent ", `${program} `) });
  if (agent.Remedy !== "") add(`${agent.Condition}: ${agent.Reason}`, agent.Remedy);
  if (Enabled && !NodeKeySigned) {
    const lockKey = LockPublic.parse(PublicKey)?.cliString() ?? "";
    add("this node is locked out", `on a signing node run \`agent lock sign ${NodeKey} ${lockKey}\``);
  }
  const confirmed = Date.parse(agent.ConfirmedByControl ?? "");
  if (Enabled && agent.Remedy === "" && now - confirmed > STALE_MS) {
    add(
      `control has not confirmed the head for ${
        Math.floor((now - confirmed) / 3600_000)
      } hours: newer changes, as the ` +
        "removal of a key, may be withheld",
      "compare `agent lock log` with a signing node; `agent lock doctor --retry` asks again",
    );
  }
  for (const { Key, Peers } of agent.UnknownSigners ?? []) {
    add(
      `${Peers.join(", ")}: signed by ${Key}, which this node's chain never trusted; others may be shown another chain`,
      "compare the heads of `agent lock log` here and on a signing node",
    );
  }
  const keys = status.TrustedKeys ?? [];
  if (keys.length >= WARN_KEYS) {
    add(`${keys.length} of ${MAX_KEYS} keys are trusted`, "on a signing node run `agent lock prune`");
  }
  const signers = keys.filter(({ Metadata }) => Metadata?.purpose !== "pre-auth key").length;
  if (Enabled && signers === 1) {
    add("one key alone can sign", "on the signing node run `agent lock add` with the key of a second one");
  }
  return troubles;
}

export const doctor: Run = async (args, { client, program }) => {
  const { values } = parseFlags(DOCTOR_FLAGS, args);
  if (values.refetch) await client.text("POST", "agent/lock/refetch");
  else if (values.retry) await client.text("POST", "agent/lock/retry");
  const status = await lockStatus(client);
  const { Agent } = status;
  if (Agent === undefined) throw new CliError("this daemon does not tell how it stands with the lock");
  print(`${facts(Agent, status.Enabled).join("\n")}\n`);
  const troubles = troublesOf(status, Agent, program, Date.now());
  for (const { seen, remedy } of troubles) print(`\n! ${seen}\n  do: ${remedy}\n`);
  if (troubles.length === 0) print("\nNothing is wrong.\n");
  return troubles.length === 0 ? EXIT_OK : EXIT_FAILED;
};
