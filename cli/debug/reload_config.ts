/** `debug reload-config`: Tailscale's name for `reload`. Source: cmd/tailscale/cli/debug.go. */
import { reload } from "../reload.ts";

export const reloadConfig = { ...reload, summary: "Have the daemon read its configuration file again" };
