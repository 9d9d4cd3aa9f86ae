/**
 * Writes `tests/incidents.md`: what this software must withstand, and the named tests that show it. A test belongs to a
 * line when its title, or the comment line above it, names the line (`W7`, `L15`, `TS-2025-006`).
 *
 * deno run -A tools/incidents.ts [--check]
 */
const FILE = "tests/incidents.md";

/** The lines, in the order they are shown; a reason stands where no test can. */
const LINES: readonly (readonly [id: string, what: string, without?: string])[] = [
  ["W1", "low-order and zero public keys are refused"],
  ["W2", "64-bit counters, limits, the replay ring at 8128 and 8129"],
  ["W3", "padding to 16 bytes; the inner length against what was decrypted"],
  ["W4", "the inner source must be the peer's by longest prefix"],
  ["W5", "replayed initiations; timestamps strictly greater"],
  ["W6", "cookies over address and port, floods, rate limits"],
  ["W7", "datagrams of any length and type are counted drops"],
  ["W8", "roaming only after authentication"],
  ["W9", "disco from strangers, wrong boxes, foreign node keys, floods of endpoints"],
  ["W10", "DERP frames that lie, floods, changed keys"],
  ["W11", "control: huge frames, bombs, absurd waits, redirects, hostile URLs"],
  ["W12", "a swapped control key; plain http beyond private addresses"],
  ["L1", "an unsigned peer in a full map, a delta, a patch"],
  ["L2", "a rotated-out key kept alive through deltas"],
  ["L3", "enforcement silently absent"],
  ["L4", "control-set flags do not get round the lock"],
  ["L5", "a genesis of the server's own making"],
  ["L6", "withholding new AUMs"],
  [
    "L7",
    "different forks to different nodes",
    "peers do not tell each other their heads in this protocol; `lock log` and `lock doctor` show head, genesis and age " +
    "to compare by hand",
  ],
  ["L8", "a malicious checkpoint"],
  ["L9", "a stolen signer, and revocation by votes"],
  ["L10", "hostile CBOR"],
  ["L11", "unknown AUM kinds"],
  ["L12", "disablement secrets at line rate"],
  ["L13", "trees, nesting, many keys, circles"],
  ["L14", "a disk that lies"],
  ["L15", "Ed25519 acceptance"],
  ["L16", "a node far behind"],
  ["TS-2022-004", "LocalAPI on TCP without a Host check"],
  ["TS-2022-005", "a page of this node readable by a browser"],
  ["TS-2023-003", "SSH with the daemon's group", "no SSH server yet"],
  ["TS-2023-006", "UPnP external port 0"],
  ["TS-2024-005", "LAN hosts through a Linux router"],
  ["TS-2024-007", "split-DNS names leaked"],
  ["TS-2025-002", "a header trusted as identity", "no reverse proxy yet"],
  [
    "TS-2025-003",
    "a key compared in variable time",
    "time is not testable here; `equalBytes` compares wherever secrets are",
  ],
  ["TS-2025-004", "shared mail domains merged tenants"],
  ["TS-2025-005", "auth keys in logs"],
  ["TS-2025-006", "a filter rule's protocol lost"],
  ["TS-2025-007", "a one-off key used twice in a race"],
  ["TS-2025-008", "the lock off without a state directory"],
  ["TS-2026-001", "`sh -c` with a user name"],
  ["TS-2026-010", "secrets in a command line"],
  ["TS-2026-003", "tokens in logs"],
  ["TS-2026-004", "permissions of a shared socket"],
  ["TS-2026-005", "a proxy to a root socket, set up by an operator", "nothing is proxied in this version"],
  ["TS-2026-006", "user names that are numbers"],
  ["TS-2026-009", "user names that begin with a dash"],
  ["TS-2026-007", "ports forwarded to loopback"],
  ["TS-2026-008", "a malformed path that looped for ever"],
  ["TS-2026-011", "4via6 that embeds 127.0.0.1"],
  ["headscale 2731", "re-registration took another node's key"],
  ["headscale 1910", "a policy regression opened all nodes", "our coordinator has no policy yet"],
  ["tailscale 12829", "the CGNAT drop rule cut servers off their cloud's DNS (12555 and 3104 too)"],
  ["GotaTun 0.7.2", "an oversized GRO datagram crashed the receive task"],
];

async function* testFiles(folder: string): AsyncGenerator<string> {
  const entries = [...Deno.readDirSync(folder)].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* testFiles(path);
    else if (entry.name.endsWith("_test.ts")) yield path;
  }
}

/** Every id a title names; "TS-2026-007, -011" names two. */
function idsOf(title: string): string[] {
  const ids: string[] = [
    ...title.matchAll(
      /\b(?:[WL][0-9]{1,2}|TS-20[0-9]{2}-[0-9]{3}|(?:headscale|tailscale) [0-9]{3,5}|GotaTun [0-9.]+[0-9])\b/g,
    ),
  ]
    .map(([id]) => id);
  for (const [, year, ...rest] of title.matchAll(/TS-(20[0-9]{2})-[0-9]{3}((?:,? (?:and )?-[0-9]{3})+)/g)) {
    for (const [, number] of rest.join("").matchAll(/-([0-9]{3})/g)) ids.push(`TS-${year}-${number}`);
  }
  return ids;
}

/** The page as the tests' titles make it. */
export async function incidentsPage(): Promise<string> {
  const tests = new Map<string, string[]>();
  for await (const path of testFiles("tests")) {
    const text = await Deno.readTextFile(path);
    // Titles are string literals of a test call or of a row in a table of cases; ids elsewhere stand in comments.
    for (const [, , title] of text.matchAll(/(["`])((?:(?!\1)[^\\\n]|\\.){3,300})\1/g)) {
      for (const id of idsOf(title)) {
        const line = `${title.replaceAll("|", "\\|")} (\`${path}\`)`;
        const list = tests.get(id) ?? [];
        if (!list.includes(line)) list.push(line);
        tests.set(id, list);
      }
    }
  }
  const rows = LINES.flatMap(([id, what, without]) => {
    const shown = tests.get(id) ?? [];
    if (shown.length === 0) return [`- **${id}** ${what}. No test: ${without ?? "MISSING"}.`];
    return [`- **${id}** ${what}.`, ...shown.map((line) => `  - ${line}`)];
  });
  return `# Incidents

What this software must withstand, from the field's own incidents and from what an attacker may try, each with the tests
that show it. W is WireGuard, disco, DERP and control; L is Tailnet Lock; TS, headscale and tailscale are what happened to
others. Written by \`tools/incidents.ts\` from the titles of the tests.

${rows.join("\n")}
`;
}

if (import.meta.main) {
  const page = await incidentsPage();
  if (Deno.args.includes("--check")) {
    const same = await Deno.readTextFile(FILE).catch(() => "") === page;
    if (!same) console.error(`${FILE} is out of date: deno run -A tools/incidents.ts`);
    Deno.exit(same && !page.includes("MISSING") ? 0 : 1);
  }
  await Deno.writeTextFile(FILE, page);
}
