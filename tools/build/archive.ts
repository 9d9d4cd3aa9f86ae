/** Archives that are the same bytes from any directory at any time: sorted names, root's, one date, plain modes. */

/** A tar of everything in `dir`. @param date Unix seconds of every file. */
export async function tarOf(dir: string, date: number): Promise<Uint8Array<ArrayBuffer>> {
  const args = [
    ...["--format=gnu", "--sort=name", `--mtime=@${date}`, "--owner=0", "--group=0", "--numeric-owner"],
    ...["--mode=u=rwX,go=rX", "-c", "-C", dir, "."],
  ];
  const tar = await new Deno.Command("tar", { args, stderr: "inherit" }).output();
  if (tar.code !== 0) throw new Error(`Cannot pack ${dir}: tar ended with ${tar.code}; GNU tar is needed`);
  return tar.stdout as Uint8Array<ArrayBuffer>;
}

/** A member of an ar archive. */
export interface ArMember {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * An ar archive (ar(5), the form dpkg reads): `!<arch>\n`, then each member behind a header of 60 characters, padded
 * to an even length.
 */
export function arOf(members: readonly ArMember[], date: number): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [encoder.encode("!<arch>\n")];
  for (const { name, bytes } of members) {
    const fields = [name.padEnd(16), String(date).padEnd(12), "0".padEnd(6), "0".padEnd(6), "100644".padEnd(8)];
    parts.push(encoder.encode(`${fields.join("")}${String(bytes.length).padEnd(10)}\`\n`), bytes);
    if (bytes.length % 2 === 1) parts.push(encoder.encode("\n"));
  }
  return concat(parts);
}

/** All parts in one. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
