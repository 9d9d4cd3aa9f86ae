/** A login URL as a QR code: text for terminals, PNG for `up --json`. */
import { encode } from "uqr";
import { crc32, deflateSync } from "node:zlib";

/** `--qr-format`. `small` packs two modules in one character, `large` and `ascii` two characters in one module. */
export type QrFormat = "auto" | "ascii" | "large" | "small";

/** Quiet zone around the code, modules (ISO/IEC 18004 asks for 4; phones read 2). */
const BORDER = 2;

export function isQrFormat(text: string): text is QrFormat {
  return ["auto", "ascii", "large", "small"].includes(text);
}

/** What fits the terminal: half blocks when its locale has UTF-8, ASCII otherwise. */
export function detectFormat(env: (name: string) => string | undefined): Exclude<QrFormat, "auto"> {
  const locale = env("LC_ALL") || env("LC_CTYPE") || env("LANG") || "";
  return /utf-?8/i.test(locale) ? "small" : "ascii";
}

/**
 * Lines of text. Light modules are drawn, as on a dark terminal; with `colour` the colours are set, so that the code is
 * right on a light one too.
 */
export function qrText(text: string, format: Exclude<QrFormat, "auto">, colour: boolean): string {
  const { data, size } = encode(text, { border: BORDER, ecc: "L" });
  const light = (row: number, column: number) => row < size && !data[row][column];
  const columns = Array.from({ length: size }, (_, column) => column);
  const lines: string[] = [];
  if (format === "small") {
    const blocks = [" ", "▄", "▀", "█"];
    for (let row = 0; row < size; row += 2) {
      lines.push(
        columns.map((column) => blocks[(light(row, column) ? 2 : 0) + (light(row + 1, column) ? 1 : 0)]).join(""),
      );
    }
  } else {
    const block = format === "large" ? "██" : "##";
    for (let row = 0; row < size; row++) {
      lines.push(columns.map((column) => light(row, column) ? block : "  ").join(""));
    }
  }
  return lines.map((line) => colour ? `\x1b[97;40m${line}\x1b[0m` : line).join("\n") + "\n";
}

function chunk(type: string, body: Uint8Array): Uint8Array[] {
  const name = new TextEncoder().encode(type);
  const length = new Uint8Array(4);
  const sum = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, body.length);
  new DataView(sum.buffer).setUint32(0, crc32(body, crc32(name)));
  return [length, name, body, sum];
}

/** A black and white PNG of at least `pixels` each way, as a data URL. Source: PNG (W3C REC), 1 bit greyscale. */
export function qrDataUrl(text: string, pixels: number): string {
  const { data, size } = encode(text, { border: BORDER, ecc: "L" });
  const scale = Math.ceil(pixels / size);
  const width = size * scale;
  const stride = 1 + Math.ceil(width / 8);
  const image = new Uint8Array(stride * width);
  for (let y = 0; y < width; y++) {
    for (let x = 0; x < width; x++) {
      const dark = data[Math.floor(y / scale)][Math.floor(x / scale)];
      if (!dark) image[y * stride + 1 + (x >> 3)] |= 0x80 >> (x & 7);
    }
  }
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, width);
  header.set([1, 0, 0, 0, 0], 8);
  const signature = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [
    signature,
    ...chunk("IHDR", header),
    ...chunk("IDAT", deflateSync(image)),
    ...chunk("IEND", new Uint8Array(0)),
  ];
  return `data:image/png;base64,${new Uint8Array(parts.flatMap((part) => [...part])).toBase64()}`;
}
