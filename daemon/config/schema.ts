/** The JSON Schema of a configuration file, 2020-12: editors complete and check by it. Made of the table of keys. */
import { CONFIG_KEYS, CONFIG_NAMES } from "./keys.ts";
import type { ConfigKey } from "./key.ts";
import type { Schema } from "./kinds.ts";

function property({ kind, help, initial, flag, without, restart }: ConfigKey<unknown>, name: string): Schema {
  const notes = [
    help,
    ...flag === undefined ? [] : [`As --${flag}`],
    ...restart ? ["Counts from the next start of the daemon on"] : [],
    ...without === undefined ? [] : [`It ${without}`],
  ];
  const description = `${notes.join(". ")}.`;
  // Null is Go's word for a key that is left out.
  if (name === "version") return { description, ...kind.schema };
  const shown = initial === undefined || name === "AppConnector" ? {} : { default: initial };
  return { description, ...shown, anyOf: [kind.schema, { type: "null" }] };
}

/** The schema as a value. */
export function configSchema(): Schema {
  const properties = CONFIG_NAMES.map((name) => [name, property(CONFIG_KEYS[name] as ConfigKey<unknown>, name)]);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Configuration of agent",
    description: "JSON with comments and trailing commas; Tailscale's alpha0, and what it lacks.",
    type: "object",
    required: ["version"],
    additionalProperties: false,
    properties: { $schema: { type: "string" }, ...Object.fromEntries(properties) },
  };
}

/** The schema as it is published. */
export function schemaText(): string {
  return `${JSON.stringify(configSchema(), undefined, 2)}\n`;
}
