import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { formatAddrPort } from "../../base/ip.ts";
import { encodeStunRequest, parseStunResponse } from "../../derp/stun.ts";
import { StunServer } from "../../derp/stun_server.ts";
import { until } from "../support/derp_relay.ts";

const TRANSACTION = Uint8Array.fromHex("0102030405060708090a0b0c");

for (const [family, address] of [["udp4", "127.0.0.1"], ["udp6", "::1"]] as const) {
  Deno.test(`StunServer tells a ${family} client its address and nothing to others`, async () => {
    const server = await StunServer.listen({ port: 0, addresses: [address] });
    assert.deepEqual(server.failures, []);
    const client = createSocket(family);
    const answers: Uint8Array[] = [];
    client.on("message", (message) => answers.push(message));
    await new Promise<void>((resolve) => client.bind(0, address, () => resolve()));
    const send = (bytes: Uint8Array) => client.send(bytes, server.port, address);
    send(Uint8Array.of(1, 2, 3));
    send(encodeStunRequest(TRANSACTION).fill(0, 24, 32));
    send(encodeStunRequest(TRANSACTION));
    await until(() => answers.length === 1, "the answer");
    const { mapped, transaction } = parseStunResponse(answers[0])!;
    const text = `${family === "udp6" ? "[::1]" : address}:${client.address().port}`;
    assert.equal(formatAddrPort(mapped), text);
    assert.deepEqual(transaction, TRANSACTION);
    await until(() => server.counters().malformed === 2, "the counters");
    const { answeredIpv4, answeredIpv6 } = server.counters();
    assert.deepEqual([answeredIpv4, answeredIpv6], family === "udp4" ? [1, 0] : [0, 1]);
    await new Promise<void>((resolve) => client.close(() => resolve()));
    await server.close();
  });
}

Deno.test("StunServer serves both families on one port", async () => {
  const server = await StunServer.listen({ port: 0, addresses: ["127.0.0.1", "::1"] });
  assert.deepEqual(server.failures, []);
  await server.close();
});

Deno.test("StunServer says why it cannot listen", async () => {
  await assert.rejects(
    StunServer.listen({ port: 0, addresses: ["192.0.2.1"] }),
    /Cannot listen for STUN on UDP port 0: 192/,
  );
});
