/** `install-service`: has systemd run the daemon, now and at every boot. */
import { resolve } from "node:path";
import { reasonOf } from "../../base/reason.ts";
import { argv0 } from "../invoked_as.ts";
import { CliError, EXIT_OK } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";
import { askedInstance, INSTANCE_FLAG } from "../instance_flag.ts";
import { needSystemd, systemctl, unitName, unitPath } from "./systemctl.ts";
import { SERVICE_PORT, standardConfig, unitFile } from "./unit_file.ts";

const FLAGS = {
  port: {
    type: "number",
    value: "N",
    fallback: SERVICE_PORT,
    help: "UDP port for peers, 0 picks one; of an instance any, when it is not given",
  },
  config: {
    type: "string",
    value: "PATH",
    help: `configuration file (default ${standardConfig(undefined)}, if it is there)`,
  },
  instance: INSTANCE_FLAG,
  "no-start": { type: "boolean", help: "only have it start at the next boot" },
  print: { type: "boolean", help: "print the unit, and change nothing" },
} as const;

/**
 * The executable as a unit can name it. @throws CliError when it is not one that only root can change: whoever may
 * write to what systemd runs as root is root.
 */
export function installedExecutable(seen: string | undefined = argv0()): string {
  const none = "Cannot install a service of sources: build the executable first ('deno task build')";
  if (seen === undefined || !/^[./]/.test(seen)) throw new CliError(none);
  const path = Deno.realPathSync(seen);
  if (/\/deno$/.test(path)) throw new CliError(none);
  const remedy = `install -m 0755 ${path} /usr/local/bin/agent, and run that`;
  for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
    const { uid, mode, isDirectory } = Deno.statSync(at);
    // A sticky directory lets nobody replace root's file, but is no place for one either: it is emptied.
    if (uid !== 0 || ((mode ?? 0) & 0o022) !== 0) {
      const what = isDirectory ? "directory" : "file";
      throw new CliError(`Cannot run ${path} as root: others than root may change the ${what} ${at}; ${remedy}`);
    }
  }
  if (/^\/(home|root|tmp|run\/user)\//.test(path)) {
    throw new CliError(`Cannot run ${path} as a service, which sees no home directories; ${remedy}`);
  }
  return path;
}

/** A file that the service can see. @throws CliError */
export function serviceConfig(path: string): string {
  const full = resolve(path);
  if (/^\/(home|root|tmp|var\/tmp|run\/user)\//.test(full)) {
    throw new CliError(
      `Cannot use ${full} for a service, which sees no home directories and has its own /tmp; put it below /etc/agent`,
    );
  }
  try {
    Deno.statSync(full);
  } catch (cause) {
    throw new CliError(`Cannot use ${full}: ${reasonOf(cause)}`);
  }
  return full;
}

export const installService: Verb = {
  help: `Usage: {program} install-service [flags] [-- DAEMON-FLAGS]

Has systemd run the daemon, now and at every boot, in a sandbox ('systemd-analyze security agent').
PORT= and FLAGS= in /etc/default/agent, if there is one, count for more than what is given here. 'systemctl reload
agent' has the configuration file read again. With --instance the unit is agent@NAME, and its file agent-NAME.

${flagHelp(FLAGS)}
`,
  // deno-lint-ignore require-await
  async run(args, context) {
    const { values, given, rest } = parseFlags(FLAGS, args);
    const instance = askedInstance(values.instance, context);
    const config = values.config === "" ? undefined : serviceConfig(values.config);
    const unit = (exec: string) =>
      unitFile({
        exec,
        flags: rest,
        ...given.has("port") && { port: values.port },
        ...config !== undefined && { config },
        ...instance !== undefined && { instance },
      });
    if (values.print) {
      print(unit("/usr/local/bin/agent"));
      return EXIT_OK;
    }
    needSystemd("install a service");
    const agent = instance === undefined ? "agent" : `agent --instance ${instance}`;
    const exec = installedExecutable();
    const [name, path] = [unitName(instance), unitPath(instance)];
    const temporary = `${path}.new`;
    try {
      Deno.writeTextFileSync(temporary, unit(exec), { mode: 0o644 });
      Deno.renameSync(temporary, path);
    } catch (cause) {
      throw new CliError(`Cannot write ${path}: ${reasonOf(cause)}`);
    }
    systemctl("daemon-reload");
    systemctl("enable", name);
    if (!values["no-start"]) systemctl("restart", name);
    print(
      `${path} runs ${exec}${values["no-start"] ? " from the next boot on" : ""}.\n` +
        `'systemctl status ${name.replace(".service", "")}' shows it, '${agent} up' joins a tailnet, ` +
        `'${agent} uninstall-service' undoes this.\n`,
    );
    return EXIT_OK;
  },
};
