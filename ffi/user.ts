/**
 * Users by name and number, wherever the system keeps them (passwd, LDAP, systemd).
 *
 *   struct passwd (48 bytes)  0 *name  8 *password  16 u32 uid  20 u32 gid  24 *gecos  32 *home  40 *shell
 *
 * A name is only ever a name here: "0" and "-root" are looked up, never read as numbers. Source: getpwnam_r(3).
 */

import { cString, EINTR, ERANGE, FfiError, libc } from "./libc.ts";

const ENOENT = 2;
const ESRCH = 3;
const PASSWD = 48;
const MAX_BUFFER = 1 << 20;

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** The user called `name`, or undefined when there is none. @throws FfiError when the user database fails. */
export function userByName(name: string): User | undefined {
  if (name.includes("\0")) return undefined;
  const text = cString(name);
  return lookUp(
    `find user ${name}`,
    (record, buffer, found) => libc.getpwnam_r(text, record, buffer, BigInt(buffer.length), found),
  );
}

/** The user numbered `uid`, or undefined when there is none. @throws FfiError when the user database fails. */
export function userByUid(uid: number): User | undefined {
  return lookUp(
    `find user ${uid}`,
    (record, buffer, found) => libc.getpwuid_r(uid, record, buffer, BigInt(buffer.length), found),
  );
}

type Bytes = Uint8Array<ArrayBuffer>;

function lookUp(action: string, call: (record: Bytes, buffer: Bytes, found: BigUint64Array<ArrayBuffer>) => number) {
  for (let size = 4096;; size *= 4) {
    const record = new Uint8Array(PASSWD);
    const buffer = new Uint8Array(size);
    const found = new BigUint64Array(1);
    const code = call(record, buffer, found);
    if (code === EINTR || (code === ERANGE && size < MAX_BUFFER)) continue;
    if (code !== 0 && code !== ENOENT && code !== ESRCH) throw new FfiError("getpwnam_r", code, action);
    if (found[0] === 0n) return undefined;
    return decode(record, buffer);
  }
}

/** The texts lie in `buffer`, which the record points into. */
function decode(record: Bytes, buffer: Bytes): User {
  const view = new DataView(record.buffer);
  const start = Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer));
  const text = (at: number): string => {
    const offset = Number(view.getBigUint64(at, true) - start);
    return new TextDecoder().decode(buffer.subarray(offset, buffer.indexOf(0, offset)));
  };
  return { name: text(0), uid: view.getUint32(16, true), gid: view.getUint32(20, true), home: text(32) };
}
