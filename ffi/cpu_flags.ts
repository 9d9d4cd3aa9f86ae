/** What the CPU can do, as Linux names it. Source: proc_cpuinfo(5). */

/** Whether the first CPU has `flag`, such as "avx512f". False where that cannot be known. */
export function cpuHas(flag: string): boolean {
  try {
    const [, flags] = /^flags\s*:(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo")) ?? [];
    return flags?.split(" ").includes(flag) === true;
  } catch {
    return false;
  }
}
