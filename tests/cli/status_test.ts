import assert from "node:assert/strict";
import vectors from "../vectors/tailscale_local.json" with { type: "json" };
import type { PeerStatus, Status } from "../../cli/local_types.ts";
import { formatStatus, notRunningText, peerWords } from "../../cli/status.ts";
import { printable } from "../../cli/terminal.ts";
import { peer, status } from "./fixtures.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const ALL = { active: false, self: true, peers: true, header: false };

Deno.test("peerWords() has Tailscale's words for every kind of path", () => {
  const seen = "2026-03-01T09:00:00Z";
  const cases: [Partial<PeerStatus>, string][] = [
    [{}, "-"],
    [{ RxBytes: 1, TxBytes: 2 }, "idle, tx 2 rx 1"],
    [{ ExitNodeOption: true }, "idle; offers exit node"],
    [{ ExitNode: true, ExitNodeOption: true }, "idle; exit node"],
    [{ Online: false }, "offline"],
    [{ Online: false, LastSeen: seen }, "offline, last seen 3h ago"],
    [{ Online: false, LastSeen: "2026-03-01T11:59:50Z" }, "offline, last seen 1m ago"],
    [{ Online: false, LastSeen: "2026-02-20T09:00:00Z" }, "offline, last seen 9d ago"],
    [{ Online: false, LastSeen: seen, RxBytes: 5 }, "idle; offline, last seen 3h ago, tx 0 rx 5"],
    [{ Active: true, CurAddr: "192.0.2.8:41641", Relay: "fra" }, "active; direct 192.0.2.8:41641"],
    [{ Active: true, Relay: "fra", TxBytes: 9 }, 'active; relay "fra", tx 9 rx 0'],
    [{ Active: true, PeerRelay: "192.0.2.9:7:vni:1", Relay: "fra" }, "active; peer-relay 192.0.2.9:7:vni:1"],
    [{ Active: true, ExitNode: true, CurAddr: "[2001:db8::1]:1" }, "active; exit node; direct [2001:db8::1]:1"],
    [{ Active: true, Relay: "fra", Online: false }, 'active; relay "fra"; offline'],
  ];
  for (const [fields, words] of cases) assert.equal(peerWords(peer(fields), NOW), words);
});

Deno.test("formatStatus() prints the table sorted by DNS name, health below", () => {
  const text = formatStatus(
    status(
      { Health: ["Relay is far away."] },
      peer({ DNSName: "zoe.lab.ts.net.", OS: "windows", UserID: 9 }),
      peer({ PublicKey: "nodekey:03", DNSName: "amy.other.ts.net.", UserID: 0, TailscaleIPs: ["100.64.0.3"] }),
      peer({ PublicKey: "nodekey:04", DNSName: "", HostName: "My Box.local", TailscaleIPs: null }),
      peer({ PublicKey: "nodekey:05", ShareeNode: true }),
      peer({ PublicKey: "nodekey:06", DNSName: "se-1.mullvad.ts.net.", ExitNodeOption: true }),
    ),
    { ...ALL, header: true },
    NOW,
    false,
  );
  assert.equal(
    text,
    [
      "IP          Hostname          Owner   OS       Status",
      "--          --------          -----   --       ------",
      "100.64.0.1  one               alice@  linux    -",
      '            ("my-box")        alice@  linux    -',
      "100.64.0.3  amy.other.ts.net  -       linux    -",
      "100.64.0.2  zoe               9       windows  -",
      "",
      "# Health check:",
      "#     - Relay is far away.",
      "",
    ].join("\n"),
  );
});

Deno.test("formatStatus() leaves out what it is told to", () => {
  const nodes = status({}, peer(), peer({ PublicKey: "nodekey:03", DNSName: "three.lab.ts.net.", Active: true }));
  const names = (flags: Partial<typeof ALL>) =>
    formatStatus(nodes, { ...ALL, ...flags }, NOW, false).trim().split("\n").map((line) => line.split(/ +/)[1]);
  assert.deepEqual(names({}), ["one", "three", "two"]);
  assert.deepEqual(names({ active: true }), ["one", "three"]);
  assert.deepEqual(names({ self: false }), ["three", "two"]);
  assert.deepEqual(names({ peers: false }), ["one"]);
  assert.equal(formatStatus(nodes, { ...ALL, self: false, peers: false }, NOW, false), "");
});

Deno.test("formatStatus() reads a status that Go wrote", () => {
  const real = vectors.values.find((value) => value.type === "*ipnstate.Status")!.json as unknown as Status;
  const text = formatStatus(real, ALL, NOW, false);
  assert.match(text, /^ +one +alice@ +linux +-\n/);
  assert.match(text, / two +alice@ +linux +.*, tx 2 rx 1\n/);
});

Deno.test("notRunningText() has a text for every state but the running ones", () => {
  const text = (BackendState: string, AuthURL = "") => notRunningText(status({ BackendState, AuthURL }));
  assert.equal(text("Running"), undefined);
  assert.equal(text("Starting"), undefined);
  assert.equal(text("Stopped"), "Tailscale is stopped.");
  assert.equal(text("NeedsLogin"), "Logged out.");
  assert.equal(text("NeedsLogin", "https://c/a/1"), "Logged out.\nLog in at: https://c/a/1");
  assert.equal(text("NeedsMachineAuth"), "Machine is not yet approved by tailnet admin.");
  assert.equal(text("NoState"), "unexpected state: NoState");
});

Deno.test("printable() keeps colours, lines and tabs, and nothing else a terminal obeys", () => {
  assert.equal(printable("a\n\tb \x1b[32mgreen\x1b[0m"), "a\n\tb \x1b[32mgreen\x1b[0m");
  assert.equal(printable("x\x1b]0;title\x07\x1b[2J\r\x9b1m\x7f"), "x?]0;title??[2J??1m?");
});
