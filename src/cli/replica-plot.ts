import { styleText } from "node:util";
import type { Course } from "../simulator/index.ts";

type Style = Parameters<typeof styleText>[0];
const paint = (style: Style, text: string) => styleText(style, text, { stream: process.stdout });
const eighths = " ▁▂▃▄▅▆▇█";
const mark = "•";

/**
 * Replicas ready as a filled area, and what arrives in replicas kept busy as dots, on one axis from 0. Where dots stand above the area
 * there is more work than replicas to do it. Lines without colour are the same with `NO_COLOR` or away from a terminal.
 */
export function replicaPlot(course: Course, { width, height }: { readonly width: number; readonly height: number }): string {
  if (course.atMs.length === 0) return "";
  const { length } = course.atMs;
  // Few values are drawn several columns wide.
  const columns = length >= width ? width : length * Math.max(1, Math.floor(width / length));
  const squeezed = (values: readonly number[]) =>
    Array.from({ length: columns }, (_, at) => {
      const part = values.slice(Math.floor((at * length) / columns), Math.ceil(((at + 1) * length) / columns));
      return part.reduce((sum, value) => sum + value, 0) / Math.max(1, part.length);
    });
  const [ready, demand] = [squeezed(course.ready), squeezed(course.demand)];
  const top = Math.max(1, Math.ceil(Math.max(...ready, ...demand)));
  const label = (value: number) => `${Number.isInteger(value) ? value : value.toFixed(1)}`.padStart(6);
  const lines = Array.from({ length: height }, (_, down) => {
    const floor = ((height - 1 - down) / height) * top;
    const step = top / height;
    const cells = ready.map((value, at) => {
      const wanted = demand[at] as number;
      if (wanted > floor && wanted <= floor + step) return paint("yellow", mark);
      return paint("cyan", eighths[Math.max(0, Math.min(8, Math.round(((value - floor) / step) * 8)))] as string);
    });
    return `${down === 0 ? label(top) : down === height - 1 ? label(0) : " ".repeat(6)} ${cells.join("")}`;
  });
  const hours = ((course.atMs.at(-1) as number) + course.stepMs) / 3_600_000;
  const [first, last] = [`${((course.atMs[0] as number) / 3_600_000).toFixed(1)} h`, `${hours.toFixed(1)} h`];
  const axis = `${" ".repeat(7)}${first}${last.padStart(Math.max(last.length + 1, columns - first.length))}`;
  return `${paint("cyan", "█")} replicas ready   ${paint("yellow", mark)} work that arrives, in replicas kept busy\n${lines.join("\n")}\n${axis}\n`;
}
