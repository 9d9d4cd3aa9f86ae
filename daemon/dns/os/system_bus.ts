/** The system's D-Bus. The only file that knows the client; it is loaded when it is used. */
import type { EventEmitter } from "node:events";
import type { MessageBus } from "@jellybrick/dbus-next";

/** Longest a call may take: the bus may have to start who answers. */
const CALL_MS = 10_000;
const SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket";
const SOCKET = /^unix:path=(\/[^,;]+)$/;

/** One method of one object, as D-Bus names them. */
export interface BusMethod {
  /** The bus name of who answers. */
  readonly to: string;
  readonly path: string;
  readonly iface: string;
  readonly member: string;
  /** Types of the arguments, "ia(iay)", and the arguments. */
  readonly signature: string;
  readonly body: readonly unknown[];
  /** Not to be started by the bus when it is not running. */
  readonly onlyIfRunning?: boolean;
}

/** A connection, until it is closed or breaks. */
interface Connection {
  readonly bus: MessageBus;
  /** Never resolves; rejects when the connection breaks. */
  readonly broken: Promise<never>;
  close(): void;
}

/** @throws Error when there is no bus, or its address is not one socket */
async function connect(): Promise<Connection> {
  const busAddress = Deno.env.get("DBUS_SYSTEM_BUS_ADDRESS") ?? SYSTEM_BUS;
  const path = SOCKET.exec(busAddress)?.[1];
  // The client connects in the background and would throw where nobody catches it.
  if (path === undefined || !isSocket(path)) throw new Error(`there is no D-Bus at ${busAddress}`);
  const { sessionBus } = await import("@jellybrick/dbus-next");
  const bus = sessionBus({ busAddress });
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  const events = bus as unknown as EventEmitter & { readonly _connection: EventEmitter };
  events.on("error", (error: Error) => broken.reject(error));
  // It keeps the end to itself: a call would wait for ever.
  events._connection.on("end", () => broken.reject(new Error("D-Bus closed the connection")));
  return { bus, broken: broken.promise, close: () => bus.disconnect() };
}

async function callOn({ bus, broken }: Connection, method: BusMethod): Promise<readonly unknown[]> {
  const { Message, MessageFlag } = await import("@jellybrick/dbus-next");
  const message = new Message({
    destination: method.to,
    path: method.path,
    interface: method.iface,
    member: method.member,
    signature: method.signature,
    body: [...method.body],
    ...(method.onlyIfRunning && { flags: MessageFlag.NO_AUTO_START }),
  });
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${method.member} was not answered`)), CALL_MS);
  try {
    const reply = await Promise.race([bus.call(message), broken, late.promise]);
    return reply?.body ?? [];
  } finally {
    clearTimeout(timer);
  }
}

/** One call, by a connection of its own: a bus that was restarted is not remembered. @throws Error as the bus says it */
export async function callBus(method: BusMethod): Promise<readonly unknown[]> {
  const connection = await connect();
  try {
    return await callOn(connection, method);
  } finally {
    connection.close();
  }
}

/** The bus's name for an error that `callBus` threw, undefined when it is not one of the bus or of who answered. */
export function busErrorName(cause: unknown): string | undefined {
  const name = cause instanceof Error ? (cause as { type?: unknown }).type : undefined;
  return typeof name === "string" ? name : undefined;
}

/**
 * Calls `changed` with each new owner of a bus name, "" when it has none any more.
 * Resolves when it watches; `broken` tells of the end of that. @throws Error when it cannot
 */
export async function watchOwner(
  name: string,
  changed: (owner: string) => void,
): Promise<{ readonly broken: Promise<never>; close(): void }> {
  const connection = await connect();
  const signal = { path: "/org/freedesktop/DBus", iface: "org.freedesktop.DBus" };
  const rule = `type='signal',sender='${signal.iface}',interface='${signal.iface}',path='${signal.path}'` +
    `,member='NameOwnerChanged',arg0='${name}'`;
  (connection.bus as unknown as EventEmitter).on(
    "message",
    ({ member, sender, body }: { member: string; sender: string; body: readonly unknown[] }) => {
      if (member !== "NameOwnerChanged" || sender !== signal.iface || body[0] !== name) return;
      if (typeof body[2] === "string") changed(body[2]);
    },
  );
  try {
    await callOn(connection, { to: signal.iface, ...signal, member: "AddMatch", signature: "s", body: [rule] });
  } catch (cause) {
    connection.close();
    throw cause;
  }
  return connection;
}

function isSocket(path: string): boolean {
  try {
    return Deno.statSync(path).isSocket === true;
  } catch {
    return false;
  }
}
