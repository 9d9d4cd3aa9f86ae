/** Files and the daemon's word for the verbs of `config`. */
import { loadConfig } from "../../daemon/config/load.ts";
import type { Config } from "../../daemon/config/read.ts";
import type { DeclaredState } from "../../daemon/config/declared.ts";
import { CliError } from "../exit_codes.ts";
import type { LocalClient } from "../local_client.ts";

/** What the daemon has in force. @throws CliError */
export async function declaredState(client: LocalClient): Promise<DeclaredState> {
  return await client.json<DeclaredState>("GET", "agent/config");
}

/** A file's configuration. @throws CliError with a line for each mistake. */
export function readFile(
  path: string,
  code?: number,
): { readonly config: Config; readonly warnings: readonly string[] } {
  const loaded = loadConfig({ path, optional: false });
  if (loaded.kind === "config") return loaded;
  throw new CliError(loaded.kind === "bad" ? loaded.lines.join("\n") : `Cannot read ${path}`, code);
}
