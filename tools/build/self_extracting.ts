/** The executable as a self-extracting file: `header.sh`, then the Deno runtime and the bundled program, compressed. */
import { createHash } from "node:crypto";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { WORKERS } from "../../base/worker_url.ts";
import { concat, tarOf } from "./archive.ts";
import { run } from "./run.ts";

/** How the archive is packed: gzip is everywhere, zstd is smaller and quicker and asks for the program `zstd`. */
export type Compression = "gzip" | "zstd";

const PACK: Readonly<Record<Compression, (bytes: Uint8Array) => Uint8Array>> = {
  gzip: (bytes) => gzipSync(bytes, { level: 9 }),
  zstd: (bytes) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 19 } }),
};

/** What of a memory limit is left to others than V8's heap, MiB: see `header.sh`. */
const OUTSIDE_HEAP = 96;

/** What goes in. */
export interface SelfExtractingOptions {
  /** The staged sources. */
  readonly stage: string;
  /** The Deno to put in, of npm. */
  readonly runtime: string;
  /** `x86_64`, `aarch64`: for the text of a machine that cannot run it. */
  readonly arch: string;
  readonly version: string;
  readonly compression: Compression;
}

/** The file's bytes. @throws Error with what the failing program said. */
export async function selfExtracting(options: SelfExtractingOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { stage, runtime } = options;
  const packed = `${stage}/packed`;
  const entries = ["main.ts", ...Object.values(WORKERS).map((path) => `${path}.ts`)];
  await run(
    [Deno.execPath(), "bundle", "--platform=deno", "--code-splitting", `--outdir=${packed}`, ...entries],
    stage,
  );
  await Deno.copyFile(runtime, `${packed}/agent`);
  await Deno.chmod(`${packed}/agent`, 0o755);
  // The date is no part of what a version is: the same program has the same place, whenever it was committed.
  const tar = await tarOf(packed, 0);
  const hash = createHash("sha256").update(tar).digest("hex").slice(0, 16);
  const template = await Deno.readTextFile(new URL("./header.sh", import.meta.url));
  return concat([header(template, hash, options), PACK[options.compression](tar)]);
}

function header(template: string, hash: string, options: SelfExtractingOptions): Uint8Array {
  const encoder = new TextEncoder();
  const values: Readonly<Record<string, string>> = {
    VERSION: options.version,
    HASH: hash,
    ARCH: options.arch,
    PROGRAM: options.compression,
    UNPACK: options.compression === "gzip" ? "gzip -dc" : "zstd -dcq",
    OUTSIDE_HEAP: String(OUTSIDE_HEAP),
    // As wide as the number will be.
    OFFSET: "00000",
  };
  const fill = (offset: string) =>
    encoder.encode(template.replace(/@([A-Z_]+)@/g, (_, name) => name === "OFFSET" ? offset : values[name]));
  const { length } = fill(values.OFFSET);
  return fill(String(length + 1).padStart(5, "0"));
}
