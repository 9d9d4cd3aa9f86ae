/**
 * The TUN device: IP packets in and out of the kernel, each behind a virtio_net_hdr so that TCP and UDP superpackets of
 * up to 64 KiB cross in one system call.
 *
 *   open /dev/net/tun → TUNSETIFF (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR) → TUNSETOFFLOAD, stepping down until accepted
 *
 *   struct virtio_net_hdr (10 bytes)  0 flags  1 gso_type  2 u16 hdr_len  4 u16 gso_size  6 u16 csum_start  8 u16 csum_offset
 *   struct ifreq (40 bytes)           0 name[16]  16 u16 flags
 *
 * The device lives as long as a descriptor of it is open: closing it removes its addresses and routes. One queue and one
 * thread: two descriptors of one queue reorder TCP.
 *
 * Source: Linux Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h, virtio_net.h.
 */

import type { TunPort } from "../engine/ports.ts";
import type { FfiArena } from "./arena.ts";
import {
  closeFd,
  cString,
  EACCES,
  EBUSY,
  EINTR,
  EINVAL,
  ENODEV,
  ENOENT,
  ENXIO,
  EPERM,
  errno,
  FfiError,
  libc,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
} from "./libc.ts";

const DEVICE_NODE = "/dev/net/tun";
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFNAMSIZ = 16;

const TUN_F_CSUM = 0x01;
const TUN_F_TSO = 0x02 | 0x04;
const TUN_F_USO = 0x20 | 0x40;

/** What to ask for, most first. USO is Linux 6.2 and newer. */
const OFFLOAD_STEPS = [
  { flags: TUN_F_CSUM | TUN_F_TSO | TUN_F_USO, csum: true, tso: true, uso: true },
  { flags: TUN_F_CSUM | TUN_F_TSO, csum: true, tso: true, uso: false },
  { flags: TUN_F_CSUM, csum: true, tso: false, uso: false },
  { flags: 0, csum: false, tso: false, uso: false },
] as const;

const MAX_IOVECS = 1024;

/** A TUN device, and the copy of its facts that another thread attaches by. */
export interface FfiTunPort extends TunPort {
  /** Asks the kernel for at most these offloads and notes what it grants. csum is needed for tso, tso for uso. */
  setOffloads(want: TunPort["offloads"]): void;
}

export interface TunOptions {
  readonly arena: FfiArena;
  /** Interface name of at most 15 bytes; "tun%d" lets the kernel number it. */
  readonly name: string;
}

/** Makes or takes over the TUN device `name`. @throws FfiError whose text tells the operator what to do. */
export function createTun({ arena, name }: TunOptions): FfiTunPort {
  const bytes = cString(name);
  if (bytes.length > IFNAMSIZ || bytes.length < 2) {
    throw new RangeError(`Cannot create TUN device "${name}": want a name of 1 to ${IFNAMSIZ - 1} bytes`);
  }
  const fd = libc.open(cString(DEVICE_NODE), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) throw openFailure(errno());
  const request = new Uint8Array(40);
  request.set(bytes);
  new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, true);
  if (libc.ioctl_buffer(fd, TUNSETIFF, request) < 0) {
    const failure = attachFailure(errno(), name);
    closeFd(fd);
    throw failure;
  }
  const granted = new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
  const tun = new LinuxTun(arena, fd, granted, OFFLOAD_STEPS[3]);
  tun.setOffloads(OFFLOAD_STEPS[0]);
  return tun;
}

/** The same device in another thread of this process: one of the two may read and write, and one must close. */
export function attachTun(arena: FfiArena, tun: Pick<TunPort, "fd" | "name" | "offloads">): FfiTunPort {
  return new LinuxTun(arena, tun.fd, tun.name, tun.offloads);
}

class LinuxTun implements FfiTunPort {
  readonly fd: number;
  readonly name: string;
  offloads: TunPort["offloads"];
  readonly #arena: FfiArena;
  readonly #iovecs: number;
  #open = true;

  constructor(arena: FfiArena, fd: number, name: string, offloads: TunPort["offloads"]) {
    this.fd = fd;
    this.name = name;
    this.offloads = offloads;
    this.#arena = arena;
    this.#iovecs = arena.reserve(MAX_IOVECS * 16);
  }

  setOffloads(want: TunPort["offloads"]): void {
    for (const { flags, csum, tso, uso } of OFFLOAD_STEPS) {
      if ((csum && !want.csum) || (tso && !want.tso) || (uso && !want.uso)) continue;
      if (libc.ioctl_value(this.fd, TUNSETOFFLOAD, flags) < 0) continue;
      this.offloads = { csum, tso, uso };
      return;
    }
    this.offloads = { csum: false, tso: false, uso: false };
  }

  read(offset: number, max: number): number {
    const length = libc.read(this.fd, this.#arena.pointer(offset), max);
    if (length >= 0) return length;
    const code = errno();
    return code === EINTR ? this.read(offset, max) : -code;
  }

  writev(iovecs: Int32Array, count: number): number {
    if (count > MAX_IOVECS) throw new RangeError(`Cannot write ${count} iovecs: want at most ${MAX_IOVECS}`);
    const { u32 } = this.#arena;
    for (let i = 0; i < count; i++) {
      const at = this.#iovecs + i * 16;
      this.#arena.writePointer(at, iovecs[2 * i]);
      u32[(at >> 2) + 2] = iovecs[2 * i + 1];
      u32[(at >> 2) + 3] = 0;
    }
    const written = libc.writev(this.fd, this.#arena.pointer(this.#iovecs), count);
    if (written >= 0) return written;
    const code = errno();
    return code === EINTR ? this.writev(iovecs, count) : -code;
  }

  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }
}

function openFailure(code: number): FfiError {
  const remedy = code === ENOENT || code === ENODEV || code === ENXIO
    ? "load the module with `modprobe tun`; in a container pass --device /dev/net/tun"
    : code === EACCES || code === EPERM
    ? "run as root, or give the process CAP_NET_ADMIN and access to the device node"
    : undefined;
  return new FfiError("open", code, `open ${DEVICE_NODE}`, remedy);
}

function attachFailure(code: number, name: string): FfiError {
  const remedy = code === EBUSY
    ? "another process holds it; stop that one or choose another name"
    : code === EPERM
    ? "run as root, or give the process CAP_NET_ADMIN (in a container --cap-add NET_ADMIN)"
    : code === EINVAL
    ? "an interface of that name exists and is no TUN device of this kind; choose another name"
    : undefined;
  return new FfiError("ioctl", code, `create TUN device ${name}`, remedy);
}
