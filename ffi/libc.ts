/**
 * The C library: loaded once a thread, at module scope, for everything in `ffi/`.
 *
 * Two argument styles, on purpose:
 *   "pointer"  offsets of the arena turned into cached pointers; the packet path (8 ns an argument)
 *   "buffer"   ordinary typed arrays, kept alive by the call itself; set-up code (14 ns)
 *
 * Every result is declared `i32`: the calls used here move at most 64 KiB, and other widths leave V8's fast path.
 * A result below 0 means `errno` holds the reason, on this thread, until the next call that fails.
 */

const I32 = "i32" as const;
const U32 = "u32" as const;
const U64 = "u64" as const;
const PTR = "pointer" as const;
const BUF = "buffer" as const;

const SYMBOLS = {
  // files and descriptors
  open: { parameters: [BUF, I32, U32], result: I32 },
  close: { parameters: [I32], result: I32 },
  read: { parameters: [I32, PTR, U32], result: I32 },
  read_buffer: { name: "read", parameters: [I32, BUF, U32], result: I32 },
  write_buffer: { name: "write", parameters: [I32, BUF, U32], result: I32 },
  writev: { parameters: [I32, PTR, I32], result: I32 },
  ioctl_buffer: { name: "ioctl", parameters: [I32, U32, BUF], result: I32 },
  ioctl_value: { name: "ioctl", parameters: [I32, U32, U32], result: I32 },
  flock: { parameters: [I32, I32], result: I32 },
  poll: { parameters: [PTR, U32, I32], result: I32 },
  poll_async: { name: "poll", parameters: [BUF, U32, I32], result: I32, nonblocking: true },
  eventfd: { parameters: [U32, I32], result: I32 },
  // sockets
  socket: { parameters: [I32, I32, I32], result: I32 },
  bind: { parameters: [I32, BUF, U32], result: I32 },
  connect: { parameters: [I32, BUF, U32], result: I32 },
  getsockname: { parameters: [I32, BUF, BUF], result: I32 },
  getsockopt: { parameters: [I32, I32, I32, BUF, BUF], result: I32 },
  setsockopt: { parameters: [I32, I32, I32, BUF, U32], result: I32 },
  sendto: { parameters: [I32, PTR, U32, I32, PTR, U32], result: I32 },
  sendto_buffer: { name: "sendto", parameters: [I32, BUF, U32, I32, BUF, U32], result: I32 },
  sendmmsg: { parameters: [I32, PTR, U32, I32], result: I32 },
  recvfrom_buffer: { name: "recvfrom", parameters: [I32, BUF, U32, I32, BUF, BUF], result: I32 },
  recv_buffer: { name: "recv", parameters: [I32, BUF, U32, I32], result: I32 },
  recvmsg: { parameters: [I32, PTR, I32], result: I32 },
  // namespaces and mounts
  unshare: { parameters: [I32], result: I32 },
  setns: { parameters: [I32, I32], result: I32 },
  mount: { parameters: [BUF, BUF, BUF, U64, BUF], result: I32 },
  umount2: { parameters: [BUF, I32], result: I32 },
  // the machine and its users
  clock_gettime: { parameters: [I32, PTR], result: I32 },
  uname: { parameters: [BUF], result: I32 },
  getpwnam_r: { parameters: [BUF, BUF, BUF, U64, BUF], result: I32 },
  getpwuid_r: { parameters: [U32, BUF, BUF, U64, BUF], result: I32 },
  // errors
  __errno_location: { parameters: [], result: PTR },
  strerror: { parameters: [I32], result: PTR },
} as const;

function load(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  if (Deno.build.os !== "linux") {
    throw new Error(`Cannot use the data plane on ${Deno.build.os}: it needs Linux with glibc`);
  }
  try {
    return Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new Error("Cannot load libc.so.6: the data plane needs glibc (musl systems are not supported)", { cause });
  }
}

/** The functions of libc.so.6, as this thread sees them. */
export const libc: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] = load();

/** `errno` is thread-local and each worker evaluates this module anew, so one view a module is one view a thread. */
const errnoCell = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(libc.__errno_location()!, 4));

/** Why the last failed call on this thread failed. */
export function errno(): number {
  return errnoCell[0];
}

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ERANGE = 34;
export const EMSGSIZE = 90;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;
export const EINPROGRESS = 115;

/** asm-generic/errno: the same numbers on x86-64 and arm64. */
const NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  25: "ENOTTY",
  28: "ENOSPC",
  30: "EROFS",
  32: "EPIPE",
  34: "ERANGE",
  38: "ENOSYS",
  71: "EPROTO",
  77: "EBADFD",
  88: "ENOTSOCK",
  90: "EMSGSIZE",
  92: "ENOPROTOOPT",
  93: "EPROTONOSUPPORT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  105: "ENOBUFS",
  106: "EISCONN",
  107: "ENOTCONN",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  112: "EHOSTDOWN",
  113: "EHOSTUNREACH",
};

/** "ENOENT" for 2; "E123" for a number that has no name here. Takes errno or -errno. */
export function errnoName(code: number): string {
  return NAMES[Math.abs(code)] ?? `E${Math.abs(code)}`;
}

/** A system call that failed, and why. */
export class FfiError extends Error {
  override readonly name = "FfiError";
  readonly syscall: string;
  readonly errno: number;
  /** "ENOENT" and the like. */
  readonly code: string;

  /** @param action What could not be done, as "Cannot …" reads on: "bind UDP port 41641". */
  constructor(syscall: string, code: number, action: string = `call ${syscall}`, remedy?: string) {
    const text = Deno.UnsafePointerView.getCString(libc.strerror(code)!);
    super(`Cannot ${action}: ${errnoName(code)}, ${text}${remedy === undefined ? "" : `; ${remedy}`}`);
    this.syscall = syscall;
    this.errno = code;
    this.code = errnoName(code);
  }
}

/** Passes a result on, or throws what `errno` says. @throws FfiError when `result` is negative. */
export function check(result: number, syscall: string, action?: string): number {
  if (result < 0) throw new FfiError(syscall, errno(), action);
  return result;
}

const encoder = new TextEncoder();

/** A NUL-terminated copy of `text`. @throws TypeError when the text holds a NUL. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError("Cannot make a C string: the text holds a NUL");
  return encoder.encode(`${text}\0`);
}

/** Opens `path`. @param flags O_CLOEXEC is added. @throws FfiError */
export function openFile(path: string, flags: number, mode = 0o600): number {
  return check(libc.open(cString(path), flags | O_CLOEXEC, mode), "open", `open ${path}`);
}

/** Closes a descriptor and ignores the result: after close() the number is free whatever it says (close(2)). */
export function closeFd(fd: number): void {
  libc.close(fd);
}

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
