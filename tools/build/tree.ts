/** Directories to pack. */
import { dirname } from "node:path";

/** Writes a file below `root`, with its directories. */
export async function putFile(root: string, path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await Deno.mkdir(dirname(`${root}/${path}`), { recursive: true });
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await Deno.writeFile(`${root}/${path}`, bytes);
  await Deno.chmod(`${root}/${path}`, mode);
}

/** Paths of all files below `root`, relative to it, sorted. */
export async function filesBelow(root: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(`${root}/${folder}`)) {
      if (isDirectory) await walk(`${folder}${name}/`);
      else found.push(`${folder}${name}`);
    }
  };
  await walk("");
  return found.sort();
}
