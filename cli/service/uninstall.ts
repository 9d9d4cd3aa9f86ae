/** `uninstall-service`: takes the unit away again. */
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";
import { askedInstance, INSTANCE_FLAG } from "../instance_flag.ts";
import { needSystemd, systemctl, unitName, unitPath } from "./systemctl.ts";

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

export const uninstallService: Verb = {
  help: `Usage: {program} uninstall-service [flags]

Stops the daemon and removes the unit that install-service made. The node's state stays in /var/lib/agent: as long as it
is there, the machine is the same node when the service is installed again. 'agent logout' first gives the node up.

${flagHelp({ instance: INSTANCE_FLAG })}
`,
  // deno-lint-ignore require-await
  async run(args, context) {
    const { values, rest } = parseFlags({ instance: INSTANCE_FLAG }, args);
    if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
    const instance = askedInstance(values.instance, context);
    const [unit, path] = [unitName(instance), unitPath(instance)];
    needSystemd("remove a service");
    if (!exists(path)) {
      const packaged = ["/lib/systemd/system", "/usr/lib/systemd/system"].some((dir) => exists(`${dir}/${unit}`));
      throw new CliError(
        packaged
          ? "Cannot remove the service: it belongs to the package; 'apt remove agent', or 'systemctl disable --now agent'"
          : `Cannot remove the service: there is no ${path}`,
      );
    }
    systemctl("disable", "--now", unit);
    Deno.removeSync(path);
    systemctl("daemon-reload");
    const state = `/var/lib/agent${instance === undefined ? "" : `-${instance}`}`;
    print(`${path} is gone. The node's state is still in ${state}.\n`);
    return EXIT_OK;
  },
};
