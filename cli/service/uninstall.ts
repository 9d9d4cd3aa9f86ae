/** `uninstall-service`: takes the unit away again. */
import { CliError, EXIT_OK } from "../exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";
import { askedInstance, INSTANCE_FLAG } from "../instance_flag.ts";
import { needSystemd, packagedUnit, systemctl, unitName, unitPath } from "./systemctl.ts";

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Why there is nothing to remove, and what to do instead. @param packaged the package's unit for it, where there is one */
export function whyNot(path: string, packaged: string | undefined, instance: string | undefined): string {
  if (packaged === undefined) return `there is no ${path}`;
  const unit = unitName(instance).replace(".service", "");
  const stop = `'systemctl disable --now ${unit}' stops it`;
  return instance === undefined
    ? `${packaged} belongs to the package; ${stop}, 'apt remove agent' removes it`
    : `${packaged}, which is there for all instances, belongs to the package; ${stop}`;
}

export const uninstallService: Verb = {
  help: `Usage: {program} uninstall-service [flags]

Stops the daemon and removes the unit that install-service made. The node's state stays in /var/lib/agent, an instance's
in /var/lib/agent-NAME: as long as it is there, the machine is the same node when the service is installed again. 'agent
logout' first gives the node up.

${flagHelp({ instance: INSTANCE_FLAG })}
`,
  // deno-lint-ignore require-await
  async run(args, context) {
    const { values } = parseOnlyFlags({ instance: INSTANCE_FLAG }, args);
    const instance = askedInstance(values.instance, context);
    const [unit, path] = [unitName(instance), unitPath(instance)];
    needSystemd("remove a service");
    if (!exists(path)) {
      throw new CliError(`Cannot remove the service: ${whyNot(path, packagedUnit(instance), instance)}`);
    }
    systemctl("disable", "--now", unit);
    Deno.removeSync(path);
    systemctl("daemon-reload");
    const state = `/var/lib/agent${instance === undefined ? "" : `-${instance}`}`;
    print(`${path} is gone. The node's state is still in ${state}.\n`);
    return EXIT_OK;
  },
};
