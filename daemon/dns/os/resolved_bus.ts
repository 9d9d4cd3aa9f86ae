/** systemd-resolved by D-Bus. The only file that knows the client; it is loaded when it is used. */
import type { EventEmitter } from "node:events";

const DESTINATION = "org.freedesktop.resolve1";
const PATH = "/org/freedesktop/resolve1";
/** Longest a call may take (dns.reconfigTimeout). */
const CALL_MS = 10_000;
const SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket";
const SOCKET = /^unix:path=(\/[^,;]+)$/;

/** One call, by a connection of its own: a bus that was restarted is not remembered. @throws Error as the bus says it */
async function call(iface: string, member: string, signature: string, body: readonly unknown[]): Promise<void> {
  const busAddress = Deno.env.get("DBUS_SYSTEM_BUS_ADDRESS") ?? SYSTEM_BUS;
  const path = SOCKET.exec(busAddress)?.[1];
  // The client connects in the background and would throw where nobody catches it.
  if (path === undefined || !isSocket(path)) throw new Error(`there is no D-Bus at ${busAddress}`);
  const { Message, sessionBus } = await import("@jellybrick/dbus-next");
  const bus = sessionBus({ busAddress });
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${member} was not answered`)), CALL_MS);
  (bus as unknown as EventEmitter).on("error", (error: Error) => late.reject(error));
  try {
    const message = new Message({
      destination: DESTINATION,
      path: PATH,
      interface: iface,
      member,
      signature,
      body: [...body],
    });
    await Promise.race([bus.call(message), late.promise]);
  } finally {
    clearTimeout(timer);
    late.promise.catch(() => {});
    bus.disconnect();
  }
}

function isSocket(path: string): boolean {
  try {
    return Deno.statSync(path).isSocket === true;
  } catch {
    return false;
  }
}

/** A call of resolved's manager. Signatures and bodies as D-Bus has them. @throws Error */
export function callManager(member: string, signature: string, body: readonly unknown[]): Promise<void> {
  return call("org.freedesktop.resolve1.Manager", member, signature, body);
}

/** Resolves when resolved is there, started by the bus if need be. @param real Of a test only a bus named by hand. */
export async function pingBus(real: boolean): Promise<void> {
  if (!real && Deno.env.get("DBUS_SYSTEM_BUS_ADDRESS") === undefined) throw new Error("no D-Bus in a test");
  await call("org.freedesktop.DBus.Peer", "Ping", "", []);
}
