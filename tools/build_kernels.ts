/**
 * Compiles `engine/dataplane/kernels/assembly/` by AssemblyScript to `engine/dataplane/kernels/kernels_wasm.ts`.
 *
 * The module travels as text in the source, so that a bundle and a compiled executable carry it and pure tests load it
 * without a permission. The same sources give the same bytes; a test compares them with what is committed.
 *
 * deno task kernels
 */
import asc from "assemblyscript/asc";

const FOLDER = new URL("../engine/dataplane/kernels/", import.meta.url);
const OPTIONS = [
  "--optimizeLevel=3",
  "--shrinkLevel=0",
  "--converge",
  "--runtime=stub",
  "--noAssert",
  // Nothing may abort: there is no runtime to report to.
  "--use=abort=",
  "--enable=simd",
  "--enable=threads",
  // The arena comes from outside, of whatever size, and is not handed back.
  "--importMemory",
  "--noExportMemory",
  "--sharedMemory",
  "--initialMemory=1",
  "--maximumMemory=65536",
];

/** The module as compiled now. @throws Error with the compiler's messages. */
export async function compileKernels(): Promise<Uint8Array<ArrayBuffer>> {
  const made: (string | Uint8Array)[] = [];
  const { error, stderr } = await asc.main(["assembly/index.ts", "--outFile=kernels.wasm", ...OPTIONS], {
    readFile: (name) => {
      try {
        // The compiler adds an extension, and ours are written out, as Deno's type checker wants them.
        return Deno.readTextFileSync(new URL(name.replace(/\.ts\.ts$/, ".ts"), FOLDER));
      } catch {
        return null;
      }
    },
    writeFile: (_name, contents) => void made.push(contents),
    listFiles: () => [],
  });
  if (error !== null || made.length !== 1) throw new Error(`Cannot compile the kernels: ${stderr.toString()}`);
  return new Uint8Array(made[0] as Uint8Array<ArrayBuffer>);
}

/** The source file that carries the module. */
export function kernelsSource(wasm: Uint8Array): string {
  const lines = wasm.toBase64().match(/.{1,110}/g)!;
  return `/** Generated from assembly/ by tools/build_kernels.ts: do not edit. ${wasm.length} bytes of WebAssembly in base64. */
export const KERNELS_BASE64: string = [
${lines.map((line) => `  "${line}",`).join("\n")}
].join("");
`;
}

if (import.meta.main) {
  const wasm = await compileKernels();
  await Deno.writeTextFile(new URL("kernels_wasm.ts", FOLDER), kernelsSource(wasm));
  console.log(`engine/dataplane/kernels/kernels_wasm.ts: ${wasm.length} bytes of WebAssembly`);
}
