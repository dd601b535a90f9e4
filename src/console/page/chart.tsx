import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Point } from "../../controller/index.ts";
import { elapsed, number } from "../format.ts";

export interface Line {
  readonly label: string;
  readonly colour: string;
  readonly of: (point: Point) => number | null;
  readonly fill?: boolean;
}

interface ChartProps {
  readonly title: string;
  readonly unit: string;
  readonly points: readonly Point[];
  readonly startMs: number;
  readonly lines: readonly Line[];
  /** A bound, drawn as a dashed line. */
  readonly limit?: number;
  readonly step?: boolean;
}

const height = 170;

/** A live chart, with its newest values and its data as a table for those who do not see it. */
export function Chart({ title, unit, points, startMs, lines, limit, step = false }: ChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data: uPlot.AlignedData = [
    points.map(({ atMs }) => (atMs - startMs) / 1000),
    ...lines.map(({ of }) => points.map(of)),
    ...(limit === undefined ? [] : [points.map(() => limit)]),
  ];
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    // A canvas takes colours, not CSS functions such as light-dark().
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const axis = {
      stroke: dark ? "#9198a1" : "#59636e",
      grid: { stroke: dark ? "#3d444d66" : "#d1d9e099", width: 1 },
      ticks: { show: false },
    };
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height,
        legend: { show: false },
        cursor: { y: false },
        scales: { x: { time: false }, y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1e-3)] } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((tick) => elapsed(tick * 1000)) },
          {
            ...axis,
            size: 56,
            values: (_, ticks) =>
              ticks.map((tick) => number(tick, tick !== 0 && tick < 1 ? 2 : tick < 10 && !Number.isInteger(tick) ? 1 : 0)),
          },
        ],
        series: [
          {},
          ...lines.map(({ label, colour, fill }) => ({
            label,
            stroke: colour,
            width: 1.5,
            points: { show: false },
            ...(fill === true ? { fill: `${colour}40` } : {}),
            ...(step && uPlot.paths.stepped !== undefined ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
          })),
          ...(limit === undefined ? [] : [{ label: "objective", stroke: "#cf222e", width: 1, dash: [6, 4], points: { show: false } }]),
        ],
      },
      data,
      element,
    );
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(data));
  const last = points.at(-1);
  return (
    <figure class="chart">
      <figcaption>
        <span class="title">{title}</span>
        {lines.map(({ label, colour, of }) => (
          <span key={label} class="key">
            <i style={{ background: colour }} />
            {label} {last === undefined ? "–" : number(of(last), of(last) !== null && Math.abs(of(last) as number) < 10 ? 2 : 0)} {unit}
          </span>
        ))}
        {limit === undefined ? null : (
          <span class="key">
            <i class="dashed" />
            objective {limit} {unit}
          </span>
        )}
      </figcaption>
      <div ref={holder} role="img" aria-label={`${title} over time; the table below holds the same data`} />
      <details>
        <summary>Data</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">time</th>
              {lines.map(({ label }) => (
                <th scope="col" key={label}>
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {points
              .filter((_, at) => at % 15 === 0)
              .slice(-40)
              .map((point) => (
                <tr key={point.atMs}>
                  <td>{elapsed(point.atMs - startMs)}</td>
                  {lines.map(({ label, of }) => (
                    <td key={label}>{number(of(point), 2)}</td>
                  ))}
                </tr>
              ))}
          </tbody>
        </table>
      </details>
    </figure>
  );
}
