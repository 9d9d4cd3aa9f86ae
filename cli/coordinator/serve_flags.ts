/** The flags and the help text of the coordinator itself; reading them loads no server. */
import { flagHelp } from "../flags.ts";
import type { FlagTable } from "../flags.ts";

/** By their names. */
export const FLAGS = {
  listen: { type: "string", value: "ADDR", help: "where nodes connect (default 127.0.0.1:8080, with TLS :443)" },
  "server-url": { type: "string", value: "URL", help: "what nodes call it (default: where it listens)" },
  statedir: { type: "string", value: "DIR", help: "keys and database", fallback: "/var/lib/agent/coordinator" },
  socket: { type: "string", value: "PATH", help: "the operator's socket (default in the state directory)" },
  "tls-cert": { type: "string", value: "FILE", help: "certificate chain, PEM" },
  "tls-key": { type: "string", value: "FILE", help: "its key, PEM" },
  "insecure-http": { type: "boolean", help: "allow plain http beyond loopback and private addresses" },
  "derp-listen": {
    type: "string",
    value: "ADDR",
    help: "the relay's own TLS port (default: shared with TLS, else :8443)",
  },
  "stun-listen": { type: "string", value: "ADDR", help: "UDP address of STUN, or off (default :3478)" },
  "magic-dns-domain": { type: "string", value: "NAME", help: "suffix of all node names", fallback: "tailnet.internal" },
  "lock-init": {
    type: "string",
    value: "WHO",
    help: "who may lock the tailnet: any, none, or users, tag:NAME, node:NAME",
    fallback: "operator",
  },
  "approve-routes": {
    type: "string",
    value: "ROUTES",
    help: "approve these beforehand, and subnets in them: 10.0.0.0/8,exit",
  },
  "log-format": { type: "string", value: "text|json", help: "lines of text, or an object a line", fallback: "text" },
  "key-expiry": { type: "string", value: "TIME", help: "life of node keys: 180d, 24h, never", fallback: "180d" },
} as const satisfies FlagTable;

/** The verb's help text. */
export const HELP = `Run a tailnet of your own: control server, relay (DERP) and STUN in one process.

Usage:
  agent coordinator [flags]                  serve until stopped
  agent coordinator keys create|list|expire  auth keys
  agent coordinator nodes list|approve|expire|delete
  agent coordinator routes list|approve|unapprove

Flags:
${flagHelp(FLAGS)}

Nodes join with: agent up --login-server URL --auth-key KEY
`;
