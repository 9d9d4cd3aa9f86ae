import assert from "node:assert/strict";
import { inflateSync } from "node:zlib";
import { detectFormat, qrDataUrl, qrText } from "../../cli/qr.ts";

const LOGIN = "https://login.example/a/0123456789abcdef";

/** Dark modules of `--qr-format=ascii`, row by row. */
function modules(): boolean[][] {
  const lines = qrText(LOGIN, "ascii", false).trimEnd().split("\n");
  return lines.map((line) => line.padEnd(2 * lines.length).match(/../g)!.map((pair) => pair === "  "));
}

Deno.test("qrText() has three finder patterns and a quiet zone", () => {
  const dark = modules();
  const size = dark.length;
  assert.ok(dark.every((row) => row.length === size));
  assert.ok(dark[0].every((module) => !module) && dark[1].every((module) => !module));
  const ring = (row: number, column: number) => dark[row].slice(column, column + 7).every(Boolean);
  assert.ok(ring(2, 2) && ring(2, size - 9) && ring(size - 9, 2));
});

Deno.test("qrText() draws the same modules in every format", () => {
  const dark = modules();
  const large = qrText(LOGIN, "large", false).trimEnd().split("\n");
  assert.deepEqual(large.map((line) => line.match(/../gu)!.map((pair) => pair === "  ")), dark);
  const small = qrText(LOGIN, "small", false).trimEnd().split("\n");
  const halves = small.flatMap((line) => {
    const cells = [...line.padEnd(dark.length)];
    return [cells.map((cell) => !"▀█".includes(cell)), cells.map((cell) => !"▄█".includes(cell))];
  });
  assert.deepEqual(halves.slice(0, dark.length), dark);
  const [first] = qrText(LOGIN, "small", true).split("\n");
  assert.equal(first, `\x1b[97;40m${small[0]}\x1b[0m`);
});

Deno.test("qrDataUrl() is a PNG of the same modules", () => {
  const png = Uint8Array.fromBase64(qrDataUrl(LOGIN, 128).slice("data:image/png;base64,".length));
  const view = new DataView(png.buffer);
  const width = view.getUint32(16);
  assert.ok(width >= 128);
  assert.equal(view.getUint32(20), width);
  const length = view.getUint32(33);
  const image = inflateSync(png.subarray(41, 41 + length));
  const stride = 1 + Math.ceil(width / 8);
  assert.equal(image.length, stride * width);
  const dark = modules();
  const scale = width / dark.length;
  for (let row = 0; row < dark.length; row++) {
    for (let column = 0; column < dark.length; column++) {
      const [x, y] = [column * scale, row * scale];
      const bit = image[y * stride + 1 + (x >> 3)] >> (7 - (x & 7)) & 1;
      assert.equal(bit === 0, dark[row][column]);
    }
  }
});

Deno.test("detectFormat() draws blocks only where the locale has them", () => {
  const format = (env: Record<string, string>) => detectFormat((name) => env[name]);
  assert.equal(format({ LANG: "de_DE.UTF-8" }), "small");
  assert.equal(format({ LC_ALL: "C", LANG: "de_DE.UTF-8" }), "ascii");
  assert.equal(format({}), "ascii");
});
