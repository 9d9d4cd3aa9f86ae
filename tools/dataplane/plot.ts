/** An SVG of the benchmark's throughputs: a bar for each tunnel and mode, with a line from its lowest round to its highest. */
import { TCP_MODES } from "./measure.ts";
import { median } from "./samples.ts";
import type { Samples } from "./samples.ts";

const COLOURS = ["#1f6feb", "#8250df", "#0a7f6f", "#bf8700", "#cf222e", "#57606a", "#bc4c00", "#1a7f37"];
const PANEL = { width: 900, height: 260, left: 60, right: 20, top: 36, bottom: 28 };
const LEGEND_LINE = 18;

function escape(text: string): string {
  return text.replace(/[&<>]/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[char]!);
}

function panel(group: readonly Samples[], y: number, most: number): string {
  const { width, height, left, right, top, bottom } = PANEL;
  const [floor, ceiling] = [y + height - bottom, y + top];
  const scale = (gbps: number) => floor - (floor - ceiling) * gbps / most;
  const modeWidth = (width - left - right) / TCP_MODES.length;
  const barWidth = modeWidth * 0.8 / group.length;
  const parts = [
    `<text x="${left}" y="${y + 20}" font-weight="bold">inner MTU ${group[0].mtu}, offloads of the veth ${
      group[0].offloads ? "on" : "off"
    }: TCP, Gb/s</text>`,
  ];
  for (let gbps = 0; gbps <= most; gbps++) {
    parts.push(
      `<line x1="${left}" x2="${width - right}" y1="${scale(gbps)}" y2="${scale(gbps)}" stroke="#d0d7de"/>`,
      `<text x="${left - 8}" y="${scale(gbps) + 4}" text-anchor="end">${gbps}</text>`,
    );
  }
  for (const [m, { name }] of TCP_MODES.entries()) {
    const from = left + m * modeWidth + modeWidth * 0.1;
    parts.push(`<text x="${from + modeWidth * 0.4}" y="${floor + 18}" text-anchor="middle">${name}</text>`);
    for (const [i, { tcp }] of group.entries()) {
      const rounds = tcp[name].map(({ gbps }) => gbps);
      if (rounds.length === 0) continue;
      const [x, top] = [from + i * barWidth, scale(median(rounds))];
      const middle = x + barWidth * 0.45;
      parts.push(
        `<rect x="${x}" y="${top}" width="${barWidth * 0.9}" height="${floor - top}" fill="${COLOURS[i % 8]}"/>`,
        `<line x1="${middle}" x2="${middle}" y1="${scale(Math.min(...rounds))}" y2="${
          scale(Math.max(...rounds))
        }" stroke="black"/>`,
      );
    }
  }
  return parts.join("\n");
}

/** @param groups One panel each; all of the same tunnels in the same order. */
export function plot(groups: readonly (readonly Samples[])[], title: string): string {
  const all = groups.flat().flatMap(({ tcp }) => Object.values(tcp).flat().map(({ gbps }) => gbps));
  const most = Math.max(1, Math.ceil(Math.max(0, ...all)));
  const names = groups[0].map(({ tunnel }) => tunnel);
  const legendTop = 30 + groups.length * PANEL.height;
  const legend = names.map((name, i) =>
    `<rect x="${PANEL.left}" y="${legendTop + i * LEGEND_LINE}" width="12" height="12" fill="${COLOURS[i % 8]}"/>` +
    `<text x="${PANEL.left + 18}" y="${legendTop + i * LEGEND_LINE + 11}">${escape(name)}</text>`
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${PANEL.width}" height="${
      legendTop + names.length * LEGEND_LINE + 10
    }" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="${PANEL.left}" y="20">${escape(title)}</text>`,
    ...groups.map((group, i) => panel(group, 24 + i * PANEL.height, most)),
    ...legend,
    "</svg>\n",
  ].join("\n");
}
