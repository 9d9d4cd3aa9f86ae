/** Everything that must be green before a change lands: format, lint, types, then all tests (layers among them). */
const steps: readonly (readonly string[])[] = [
  ["fmt", "--check", "--quiet"],
  ["lint", "--quiet"],
  ["check", "--quiet", "."],
  ["run", "-A", "tools/test.ts"],
];
for (const args of steps) {
  console.log(`== deno ${args.join(" ")}`);
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...args] }).spawn().status;
  if (code !== 0) {
    console.error(`deno ${args.join(" ")} failed with exit code ${code}`);
    Deno.exit(1);
  }
}
console.log("ok");
