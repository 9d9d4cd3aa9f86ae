/** `systemctl`, and where a unit lies. */
import { needProgram, ProgramMissing } from "../../base/programs.ts";
import { CliError } from "../exit_codes.ts";

/** The unit's name. */
export function unitName(instance: string | undefined): string {
  return instance === undefined ? "agent.service" : `agent@${instance}.service`;
}

/** Where an administrator's units are; a package's are elsewhere. */
export function unitPath(instance: string | undefined): string {
  return `/etc/systemd/system/${unitName(instance)}`;
}

/** Where the package's unit is; for instances its template. @returns undefined where there is none. */
export function packagedUnit(instance: string | undefined, root = ""): string | undefined {
  const file = instance === undefined ? "agent.service" : "agent@.service";
  return ["/usr/lib/systemd/system", "/lib/systemd/system"].map((directory) => `${root}${directory}/${file}`).find(
    (path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    },
  );
}

/** Refuses where there is nothing to install into. @throws CliError */
export function needSystemd(doing: string): void {
  if (Deno.uid() !== 0) throw new CliError(`Cannot ${doing}: run it as root`);
  try {
    // sd_booted(3)
    if (Deno.lstatSync("/run/systemd/system").isDirectory) return;
  } catch {
    // Said below.
  }
  throw new CliError(`Cannot ${doing}: this machine is not run by systemd; have your init run 'agent daemon'`);
}

/** Runs it. @throws CliError with what it said. */
export function systemctl(...args: string[]): void {
  let path: string;
  try {
    path = needProgram("systemctl");
  } catch (cause) {
    if (cause instanceof ProgramMissing) throw new CliError(cause.message);
    throw cause;
  }
  const { code, stderr } = new Deno.Command(path, { args, stdout: "null", stderr: "piped" }).outputSync();
  if (code === 0) return;
  const said = new TextDecoder().decode(stderr).trim().split("\n").join("; ");
  throw new CliError(`Cannot run systemctl ${args.join(" ")}: ${said === "" ? `it ended with ${code}` : said}`);
}
