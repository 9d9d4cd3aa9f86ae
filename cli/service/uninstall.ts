/** `uninstall-service`: takes the unit away again. */
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";
import { needSystemd, systemctl, UNIT, UNIT_PATH } from "./systemctl.ts";

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

export const uninstallService: Verb = {
  help: `Usage: {program} uninstall-service

Stops the daemon and removes the unit that install-service made. The node's state stays in /var/lib/agent: as long as it
is there, the machine is the same node when the service is installed again. 'agent logout' first gives the node up.
`,
  // deno-lint-ignore require-await
  async run(args) {
    if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
    needSystemd("remove a service");
    if (!exists(UNIT_PATH)) {
      const packaged = ["/lib/systemd/system", "/usr/lib/systemd/system"].some((dir) => exists(`${dir}/${UNIT}`));
      throw new CliError(
        packaged
          ? "Cannot remove the service: it belongs to the package; 'apt remove agent', or 'systemctl disable --now agent'"
          : `Cannot remove the service: there is no ${UNIT_PATH}`,
      );
    }
    systemctl("disable", "--now", UNIT);
    Deno.removeSync(UNIT_PATH);
    systemctl("daemon-reload");
    print(`${UNIT_PATH} is gone. The node's state is still in /var/lib/agent.\n`);
    return EXIT_OK;
  },
};
