/** `up` and `login`: connects the node, logging in if needed. Source: cmd/tailscale/cli/up.go, login.go. */
import { ACCEPT_RISK_FLAG, askRisk, isSshOverTailscale } from "./accept_risk.ts";
import { refuseWorkloadIdentity, resolveAuthKey } from "./auth_key.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { troubles, worthSaying } from "./health_lines.ts";
import type { LocalClient } from "./local_client.ts";
import { demandLock, LOCK_FLAGS } from "./lock/policy_flags.ts";
import type { Notify, Prefs, Status } from "./local_types.ts";
import { waitForRunning } from "./login_wait.ts";
import type { LoginVoice } from "./login_wait.ts";
import { PREF_FLAGS } from "./pref_flags.ts";
import type { PrefValues } from "./pref_flags.ts";
import { checkPrefs, controlUrl, DEFAULT_CONTROL_URL, prefWarnings, withoutKeys } from "./prefs_merge.ts";
import { colourWanted, printError } from "./terminal.ts";
import { planUp } from "./up_plan.ts";
import type { UpPlan } from "./up_plan.ts";
import type { Verb, VerbContext } from "./verb.ts";

const LOGIN_FLAGS = {
  "auth-key": { type: "string", value: "key", help: "auth key, or file:PATH of a file with it" },
  "login-server": { type: "string", value: "URL", help: `control server (new nodes: ${DEFAULT_CONTROL_URL})` },
  ...LOCK_FLAGS,
  timeout: { type: "duration", help: "how long to wait for the connection, 0 for ever" },
  qr: { type: "boolean", help: "show login URLs as QR codes too (on a terminal: unless --qr=false)" },
  "qr-format": { type: "string", value: "auto|ascii|large|small", help: "how QR codes are drawn", fallback: "auto" },
  "host-routes": { type: "boolean", help: "", fallback: true, hidden: true },
  "client-id": { type: "string", help: "", hidden: true },
  "client-secret": { type: "string", help: "", hidden: true },
  "id-token": { type: "string", help: "", hidden: true },
  audience: { type: "string", help: "", hidden: true },
} as const;

const UP_ONLY_FLAGS = {
  "force-reauth": { type: "boolean", help: "log in again (this may cut the connection for a moment)" },
  reset: { type: "boolean", help: "give settings that are not named their defaults" },
  json: { type: "boolean", help: "print the login URL and the outcome as JSON" },
  "accept-risk": ACCEPT_RISK_FLAG,
} as const;

/** `run` looks at them too, before it starts anything. */
export const UP_FLAGS = { ...LOGIN_FLAGS, ...UP_ONLY_FLAGS, ...PREF_FLAGS } as const;
const LOGIN_VERB_FLAGS = {
  nickname: { type: "string", help: "short name of this login" },
  ...LOGIN_FLAGS,
  ...PREF_FLAGS,
} as const;

/** A wait of this long is explained, when the daemon knows why. */
const EXPLAIN_MS = 2500;

/** Bit of the watch mask: the first notification has the state (ipn.NotifyInitialState). */
const INITIAL_STATE = 2;

type Values = ReturnType<typeof parseFlags<typeof UP_FLAGS>>["values"];

interface Asked {
  readonly values: Values & { readonly nickname?: string };
  readonly given: ReadonlySet<string>;
}

function refuseUnmeant({ values }: Asked, rest: readonly string[]): void {
  if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
  if (!values["host-routes"]) throw new UsageError("--host-routes: unsupported value; only 'true' is allowed");
  if (!/^(auto|ascii|large|small)$/.test(values["qr-format"])) {
    throw new UsageError(`invalid value "${values["qr-format"]}" for --qr-format: want auto, ascii, large or small`);
  }
  if (values.timeout < 0) throw new UsageError("--timeout cannot be negative");
  refuseWorkloadIdentity(values);
}

function askRisks({ values, given }: Asked, prefs: Prefs): void {
  if (!isSshOverTailscale()) return;
  const over = "You are connected over Tailscale; this action";
  if (given.has("ssh") && values.ssh !== prefs.RunSSH) {
    const effect = values.ssh
      ? `${over} will reroute SSH traffic to Tailscale SSH and will result in your session disconnecting.`
      : "You are connected using Tailscale SSH; this action will result in your session disconnecting.";
    askRisk("lose-ssh", effect, values["accept-risk"]);
  }
  if (values["force-reauth"]) {
    askRisk("lose-ssh", `${over} may result in your SSH session disconnecting.`, values["accept-risk"]);
  }
}

function voiceOf({ values, given }: Asked): LoginVoice {
  const wantsQr = given.has("qr") ? values.qr : Deno.stderr.isTerminal();
  return {
    json: values.json,
    qrDataUrl: async (url) => (await import("./qr.ts")).qrDataUrl(url, 128),
    ...(wantsQr && {
      qrText: async (url: string) => {
        const { detectFormat, isQrFormat, qrText } = await import("./qr.ts");
        const named = values["qr-format"];
        const format = isQrFormat(named) && named !== "auto" ? named : detectFormat((name) => Deno.env.get(name));
        return qrText(url, format, Deno.stderr.isTerminal() && colourWanted());
      },
    }),
  };
}

/** Where an administrator approves nodes (ipn.Prefs.AdminPageURL). */
function approvalUrl(prefs: Prefs): string {
  const url = controlUrl(prefs.ControlURL);
  return `${url === DEFAULT_CONTROL_URL ? "https://login.tailscale.com" : url}/admin`;
}

async function carryOut(plan: UpPlan, client: LocalClient, authKey: string): Promise<void> {
  if (plan.kind === "start") {
    await client.text("POST", "start", { AuthKey: authKey, UpdatePrefs: withoutKeys(plan.prefs) });
  } else {
    await client.text("PATCH", "prefs", plan.edits);
  }
  if (plan.kind !== "edit" && plan.login) await client.text("POST", "login-interactive");
}

/** The wait was given up, not the login. */
class GaveUp extends CliError {}

/** Runs `wait` with a signal for the bus; time and Ctrl-C end it. A login that waits goes on waiting in the daemon. */
async function withinTime(
  timeoutMs: number,
  program: string,
  wait: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const end = new AbortController();
  const stop = (message: string) => () => end.abort(new GaveUp(message));
  const interrupted = stop(`interrupted; a login that waits stays open, '${program} up' goes on with it`);
  const late = 'timeout waiting for Tailscale service to enter a Running state; check health with "tailscale status"';
  const timer = timeoutMs > 0 ? setTimeout(stop(late.replace("tailscale status", `${program} status`)), timeoutMs) : 0;
  Deno.addSignalListener("SIGINT", interrupted);
  Deno.addSignalListener("SIGTERM", interrupted);
  try {
    await wait(end.signal);
  } catch (error) {
    end.signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
    Deno.removeSignalListener("SIGINT", interrupted);
    Deno.removeSignalListener("SIGTERM", interrupted);
    end.abort();
  }
}

async function sayHealth(client: LocalClient, asked: Asked): Promise<void> {
  const { Health } = await client.json<Status>("GET", "status?peers=false");
  const lines = worthSaying(Health ?? [], asked.given);
  if (lines.length === 1) printError(`${lines[0]}\n`);
  else if (lines.length > 1) {
    printError(`# Health check warnings:\n${lines.map((line) => `#     - ${line}\n`).join("")}`);
  }
}

/** Runs `wait`, saying on standard error what keeps the node from connecting, each reason once. */
async function explained(client: LocalClient, wait: () => Promise<void>): Promise<void> {
  let said = "";
  const explain = async () => {
    const status = await client.json<Status>("GET", "status?peers=false").catch(() => undefined);
    // A login that waits for a person is no trouble.
    const reason = status === undefined || status.AuthURL !== "" ? undefined : troubles(status.Health ?? [])[0];
    if (reason === undefined || reason === said) return;
    said = reason;
    printError(`Still waiting: ${reason}\n`);
  };
  const timer = setInterval(explain, EXPLAIN_MS);
  try {
    await wait();
  } catch (error) {
    if (error instanceof GaveUp) await explain();
    throw error;
  } finally {
    clearInterval(timer);
  }
}

async function connect(asked: Asked, { client, program }: VerbContext): Promise<number> {
  const { values, given } = asked;
  const authKey = resolveAuthKey(values["auth-key"]);
  const needsPeers = given.has("exit-node") && values["exit-node"] !== "";
  const status = await client.json<Status>("GET", needsPeers ? "status" : "status?peers=false");
  const current = await client.json<Prefs>("GET", "prefs");
  const plan = planUp(
    {
      values: values as PrefValues,
      given,
      loginServer: given.has("login-server") ? values["login-server"] : undefined,
      hasAuthKey: authKey !== undefined,
      forceReauth: values["force-reauth"],
      reset: values.reset,
    },
    status,
    current,
  );
  askRisks(asked, current);
  for (const warning of prefWarnings(plan.prefs, given)) printError(`Warning: ${warning}\n`);
  await checkPrefs(client, plan.prefs);
  await demandLock(client, asked);
  if (plan.kind === "edit") {
    await carryOut(plan, client, "");
  } else {
    const wait = async (signal: AbortSignal) => {
      // The bus first: what happens in answer to the next requests must not be missed.
      const mask = plan.kind === "resume" ? INITIAL_STATE : 0;
      const notifies = await client.stream<Notify>(`watch-ipn-bus?mask=${mask}`, signal);
      await carryOut(plan, client, authKey?.reveal() ?? "");
      await waitForRunning(notifies, {
        // A login that waited before says nothing about the key just given; an old URL nothing about a new login.
        showUrl: (url) => authKey === undefined && !(values["force-reauth"] && url === status.AuthURL),
        approvalUrl: approvalUrl(plan.prefs),
        backendState: status.BackendState,
        oldNodeKey: values["force-reauth"] ? status.Self?.PublicKey ?? "" : "",
      }, voiceOf(asked));
    };
    await explained(client, () => withinTime(values.timeout, program, wait));
  }
  await sayHealth(client, asked);
  return EXIT_OK;
}

export const up: Verb = {
  help: `Usage: {program} up [flags]

Connects this machine to the tailnet, logging in if needed. Settings that are not named keep their values; with --reset
they get their defaults. Ctrl-C while a login waits leaves it waiting: the next '{program} up' goes on with it.

Login:
${flagHelp({ ...LOGIN_FLAGS, ...UP_ONLY_FLAGS })}

Settings:
${flagHelp(PREF_FLAGS)}
`,
  async run(args, context) {
    const asked = parseFlags(UP_FLAGS, args);
    refuseUnmeant(asked, asked.rest);
    return await connect(asked, context);
  },
};

export const login: Verb = {
  help: `Usage: {program} login [flags]

Logs in anew. A login that is there already stays, and '{program} switch' returns to it.

${flagHelp(LOGIN_VERB_FLAGS)}
`,
  async run(args, context) {
    const parsed = parseFlags(LOGIN_VERB_FLAGS, args);
    const values = { ...parsed.values, "force-reauth": false, reset: false, json: false, "accept-risk": "" };
    const asked: Asked = { values, given: parsed.given };
    refuseUnmeant(asked, parsed.rest);
    const { client } = context;
    const { HaveNodeKey } = await client.json<Status>("GET", "status?peers=false");
    if (HaveNodeKey) await client.text("PUT", "profiles/");
    return await connect(asked, context);
  },
};
