/** An exclusive lock on a file, held until released or until the process ends, however it ends. Source: flock(2). */

import { closeFd, EAGAIN, EINTR, errno, FfiError, libc, O_CREAT, O_RDWR, openFile } from "./libc.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

export interface FileLock {
  release(): void;
}

/** Locks `path`, creating it (mode 0600). Undefined when another process, or this one, holds it. @throws FfiError */
export function lockFile(path: string): FileLock | undefined {
  const fd = openFile(path, O_RDWR | O_CREAT);
  while (libc.flock(fd, LOCK_EX | LOCK_NB) < 0) {
    const code = errno();
    if (code === EINTR) continue;
    closeFd(fd);
    if (code === EAGAIN) return undefined;
    throw new FfiError("flock", code, `lock ${path}`);
  }
  let held = true;
  return {
    release: () => {
      if (held) closeFd(fd);
      held = false;
    },
  };
}
