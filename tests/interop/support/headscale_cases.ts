// Our agent under headscale, which people run themselves: every way to join and to leave, its restart, and a tsnet node
// beside ours; over http, and the same over https.

import assert from "node:assert/strict";
import { type AgentNode, until } from "./agent.ts";
import type { GoJson } from "./control.ts";
import { headscaleTest, type Reach, tsnetBeside } from "./headscale.ts";
import type { Scene } from "./scene.ts";

/** Starts headscale in the scene. */
export type Serve = (scene: Scene, program: string) => Promise<Reach>;

async function awaitState(agent: AgentNode, want: string): Promise<GoJson> {
  return await until(`${agent.name} is ${want}`, 20_000, async () => {
    const status = await agent.status();
    return status.BackendState === want && status;
  });
}

/** Registers the tests; `how` is part of their names. */
export function headscaleCases(how: string, serve: Serve): void {
  headscaleTest(`headscale ${how}: auth keys: one use, tags, ephemeral`, async (scene, program) => {
    const reach = await serve(scene, program);
    await using headscale = reach.headscale;
    const [first, second] = await Promise.all([
      scene.agent("left", "first", reach.agent),
      scene.agent("right", "second", reach.agent),
    ]);
    const once = await headscale.createKey();
    await first.up(headscale.url, once);
    const node = await headscale.node("first");
    assert.deepEqual([node.user.name, node.register_method], ["alice", 1]);
    assert.deepEqual(node.ip_addresses, await first.ips());
    assert.equal((await first.status()).Self.DNSName, "first.tail.test.");

    const up = ["up", "--login-server", headscale.url, "--hostname", "second", "--auth-key"];
    const again = await second.command(...up, once);
    assert.equal(again.code, 1);
    console.log(`  a used key: ${again.stderr.trim()}`);
    assert.match(again.stderr, /^[^\n]*key[^\n]*\n$/);
    const wrong = await second.command(...up, "hskey-auth-000000000000-" + "0".repeat(64));
    assert.equal(wrong.code, 1);
    console.log(`  a wrong key: ${wrong.stderr.trim()}`);
    assert.match(wrong.stderr, /^[^\n]+\n$/);

    await second.cli(...up, await headscale.createKey({ tags: "tag:lab,tag:db" }));
    const tagged = await headscale.node("second");
    assert.deepEqual(tagged.tags.toSorted(), ["tag:db", "tag:lab"]);
    assert.deepEqual((await second.status()).Self.Tags.toSorted(), ["tag:db", "tag:lab"]);
    const [ours] = await first.ips();
    const [theirs] = await second.ips();
    await Promise.all([first.awaitPeer(theirs), second.awaitPeer(ours)]);

    // An ephemeral node is gone from the server, and from its peers, once it ends.
    await second.stop();
    const passing = await scene.agent("right", "passing", { ...reach.agent, args: ["--state", "mem:"] });
    await passing.up(headscale.url, await headscale.createKey({ ephemeral: true }));
    const [passed] = await passing.ips();
    await first.awaitPeer(passed);
    assert.equal(await passing.stop(), 0);
    await until("the ephemeral node is forgotten", 15_000, async () => {
      return !(await headscale.nodes()).some(({ name }) => name === "passing");
    }, 500);
    await until("its peer is told", 15_000, () => first.peer(passed).then(() => false, () => true));
  });

  headscaleTest(`headscale ${how}: a person registers the node; logout; nodes expire`, async (scene, program) => {
    const reach = await serve(scene, program);
    await using headscale = reach.headscale;
    const agent = await scene.agent("left", "ours", reach.agent);
    const login = async (...args: string[]) => {
      const up = agent.begin("up", "--login-server", headscale.url, "--hostname", "ours", ...args);
      const [, url, key] = await up.says(
        /\nTo authenticate, visit:\n\n\t(https?:\/\/\S+\/register\/(\S+))\n/,
      );
      await headscale.command("nodes", "register", "--user", "alice", "--key", key);
      const { code, stderr } = await up.end();
      assert.equal(code, 0, stderr);
      // For a second after a renewal headscale still sends the node as it was, expired and so not authorized.
      const approval = /\nTo approve your machine, visit \(as admin\):\n\n\t\S+\n\n/;
      assert.equal(stderr.replace(approval, ""), `\nTo authenticate, visit:\n\n\t${url}\n\nSuccess.\n`);
      return await awaitState(agent, "Running");
    };
    const key = (await login()).Self.PublicKey;
    const node = await headscale.node("ours");
    assert.deepEqual([node.node_key, node.user.name], [key, "alice"]);

    await headscale.command("nodes", "expire", "--identifier", String(node.id));
    await awaitState(agent, "NeedsLogin");
    const anew = await login();
    assert.notEqual(anew.Self.PublicKey, key);
    const renewed = await headscale.node("ours");
    assert.deepEqual([renewed.id, renewed.node_key], [node.id, anew.Self.PublicKey], "the same node with a new key");
    assert.deepEqual(renewed.ip_addresses, node.ip_addresses);

    assert.deepEqual(await agent.command("logout"), { code: 0, stdout: "", stderr: "" });
    const out = await headscale.node("ours");
    assert.ok(
      out.expiry.seconds <= Date.now() / 1000 + 1,
      `the server knows of the logout: ${JSON.stringify(out.expiry)}`,
    );
    assert.equal((await agent.status()).BackendState, "NeedsLogin");
    const back = await login();
    assert.deepEqual(back.TailscaleIPs, node.ip_addresses);
  });

  headscaleTest(
    `headscale ${how}: a tsnet node beside ours; traffic over its restart and by its relay; approved routes`,
    async (scene, program) => {
      const reach = await serve(scene, program);
      await using headscale = reach.headscale;
      const key = await headscale.createKey({ reusable: true });
      const agent = await scene.agent("left", "ours", reach.agent);
      await agent.up(headscale.url, key);
      await using peer = await tsnetBeside(scene, reach, key);
      const ips = await agent.ips();
      await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ips[0])]);
      for (const type of ["disco", "TSMP", "ICMP"] as const) {
        assert.equal((await peer.ping(ips[0], type)).Err, "", `${type} from tsnet`);
        assert.equal((await agent.local(`ping?ip=${peer.ips[0]}&type=${type}`, "POST")).Err, "", `${type} from ours`);
      }
      const kernel = await agent.traffic();
      await Promise.all([
        kernel.listen({ kind: "echo", port: 7000 }),
        peer.listen({ kind: "echo", port: 7000 }),
      ]);
      const exchange = async () => {
        // No more than fits on its way: an echo that is stuck in its own sending closes a window for good (MAX_UNDERWAY).
        const order = { send: 250_000, receive: -1, seed: 5 };
        const [up, down] = await Promise.all([
          kernel.dial({ ...order, addr: `${peer.ips[0]}:7000` }),
          peer.dial({ ...order, addr: `${ips[1] === undefined ? ips[0] : `[${ips[1]}]`}:7000` }),
        ]);
        assert.deepEqual([up.error, down.error], [undefined, undefined]);
        assert.deepEqual([up.receivedSha256, down.receivedSha256], [up.sentSha256, down.sentSha256]);
      };
      await exchange();
      assert.match((await agent.peer(peer.ips[0])).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):/);

      await headscale.stop();
      await exchange();
      assert.equal((await agent.status()).BackendState, "Running");
      const startedAt = performance.now();
      await headscale.run();
      const back = async (name: string) => {
        await until(`${name} is back`, 45_000, async () => (await headscale.node(name)).online, 250);
        return Math.round(performance.now() - startedAt);
      };
      const [weBack, theyBack] = await Promise.all([back("ours"), back("theirs")]);
      console.log(`  back after the server's restart: ours in ${weBack} ms, tsnet in ${theyBack} ms`);
      await exchange();

      const undo = await scene.dropUdp();
      await until("its relay carries it", 30_000, async () => (await agent.peer(peer.ips[0])).CurAddr === "", 250);
      await exchange();
      assert.equal((await agent.peer(peer.ips[0])).Relay, "hs");
      await undo();

      // Routes that tsnet offers count once the operator has approved them, and while the preference says so.
      await peer.editPrefs({ AdvertiseRoutes: ["10.77.0.0/24"], AdvertiseRoutesSet: true });
      await until("the server knows the route", 15_000, async () => {
        return (await headscale.node("theirs")).available_routes?.includes("10.77.0.0/24");
      }, 250);
      assert.equal((await agent.peer(peer.ips[0])).PrimaryRoutes, undefined);
      const { id } = await headscale.node("theirs");
      await headscale.command("nodes", "approve-routes", "--identifier", String(id), "--routes", "10.77.0.0/24");
      const routed = await until("the route is in the netmap", 15_000, async () => {
        const found = await agent.peer(peer.ips[0]);
        return found.PrimaryRoutes?.includes("10.77.0.0/24") && found;
      });
      assert.ok(routed.AllowedIPs.includes("10.77.0.0/24"));
      const routes = () => agent.namespace.must(["ip", "route", "show", "table", "all"]);
      assert.doesNotMatch(await routes(), /10\.77\.0\.0/);
      await agent.cli("set", "--accept-routes");
      await until("the route is set", 5_000, async () => /10\.77\.0\.0\/24 dev agent0/.test(await routes()));
      await agent.cli("set", "--accept-routes=false");
      await until("the route is gone", 5_000, async () => !/10\.77\.0\.0/.test(await routes()));
    },
  );
}
