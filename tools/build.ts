/**
 * Makes `dist/agent`, one executable file.
 *
 *   1. `deno compile`, where its runtime can be had: the form that is released.
 *   2. Else a self-extracting file of the same sources: a shell header, then a gzip-compressed tar of the Deno that runs
 *      this build and the bundled program. It unpacks once, to a directory named by its hash, and runs from there.
 *
 * deno task build [--self-extracting] [--output FILE]
 */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { parseArgs } from "node:util";
import { LONG_VERSION } from "../base/version.ts";

const WORKERS = ["daemon/dataplane_worker.ts", "tka/kdf_worker.ts"];
const ENTRIES = ["main.ts", ...WORKERS];
const { values } = parseArgs({
  options: { "self-extracting": { type: "boolean" }, output: { type: "string", default: "dist/agent" } },
});
const OUT = values.output;

async function deno(...args: string[]): Promise<boolean> {
  const { code } = await new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "null" }).output();
  return code === 0;
}

function header(hash: string): string {
  return `#!/bin/sh
# agent ${LONG_VERSION}, self-extracting: the rest of this file is a compressed archive.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
fail() { echo "agent: $1" >&2; exit 1; }
self=$0
case $self in */*) ;; *) fail "run me by a path, like ./agent" ;; esac
# A directory root owns serves everybody; who cannot write there keeps a copy of their own.
shared=\${AGENT_UNPACK_DIR:-/var/cache/agent}
if [ "$(id -u)" = 0 ]; then base=$shared; else base=\${XDG_CACHE_HOME:-\${HOME:-/nonexistent}/.cache}/agent; fi
for dir in "$shared/${hash}" "$base/${hash}"; do
  owner=$(stat -c %u "$dir" 2>/dev/null || echo none)
  { [ "$owner" = 0 ] || [ "$owner" = "$(id -u)" ]; } && [ -x "$dir/deno" ] && break
  dir=
done
if [ -z "$dir" ]; then
  mkdir -p "$base" 2>/dev/null || fail "cannot make $base to unpack into; set XDG_CACHE_HOME to a directory of yours"
  new=$(mktemp -d "$base/.new.XXXXXX") || fail "cannot write to $base"
  trap 'rm -rf "$new"' EXIT
  # The archive begins behind the line that says so.
  sed '1,/^__ARCHIVE__$/d' "$self" | gzip -dc | tar -x -f - -C "$new" || fail "cannot unpack $self: damaged, or no space in $base"
  chmod 0755 "$new"
  dir=$base/${hash}
  # Whoever is first wins; the other copy is thrown away.
  mv -T "$new" "$dir" 2>/dev/null || [ -x "$dir/deno" ] || fail "cannot move what was unpacked to $dir"
  trap - EXIT
  rm -rf "$new"
fi
[ -x "$dir/deno" ] || fail "cannot run $dir/deno"
unset NODE_OPTIONS COMPLETE DENO_DIR DENO_CONFIG DENO_AUTH_TOKENS DENO_FLAGS
export DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1 AGENT_ARGV0="$self"
exec "$dir/deno" run -A --no-config --no-lock --no-remote --no-npm "$dir/main.js" "$@"
__ARCHIVE__
`;
}

async function selfExtracting(): Promise<void> {
  const work = await Deno.makeTempDir({ prefix: "agent-build-" });
  try {
    if (!await deno("bundle", "--platform=deno", "--code-splitting", `--outdir=${work}`, ...ENTRIES)) {
      throw new Error("cannot bundle the program: run `deno bundle main.ts` to see why");
    }
    await Deno.copyFile(Deno.execPath(), `${work}/deno`);
    await Deno.chmod(`${work}/deno`, 0o755);
    // The same bytes from any directory at any time: sorted names, no owner, no date.
    const args = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-c", "-C", work, "."];
    const tar = await new Deno.Command("tar", { args, stdout: "piped" }).output();
    if (tar.code !== 0) throw new Error("cannot pack the program with tar");
    const hash = createHash("sha256").update(tar.stdout).digest("hex").slice(0, 16);
    const archive = gzipSync(tar.stdout, { level: 9 });
    await Deno.writeFile(OUT, new Uint8Array([...new TextEncoder().encode(header(hash))]), { mode: 0o755 });
    await Deno.writeFile(OUT, archive, { append: true });
    await Deno.chmod(OUT, 0o755);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

await Deno.mkdir(dirname(OUT), { recursive: true });
if (
  !values["self-extracting"] &&
  await deno("compile", "-A", "--no-check", `--output=${OUT}`, ...WORKERS.map((path) => `--include=${path}`), "main.ts")
) {
  console.log(`${OUT}: compiled, ${LONG_VERSION}`);
} else {
  if (!values["self-extracting"]) {
    console.log("deno compile cannot fetch its runtime here: building the self-extracting form");
  }
  await selfExtracting();
  const { size } = await Deno.stat(OUT);
  console.log(`${OUT}: self-extracting, ${LONG_VERSION}, ${(size / 1e6).toFixed(1)} MB`);
}
