import { styleText } from "node:util";
import { elapsed, number, percent, seconds } from "../console/index.ts";
import type { ControllerView, EndpointView, Point } from "../controller/index.ts";
import type { Ms } from "../model/index.ts";

type Style = Parameters<typeof styleText>[0];
const paint = (style: Style, text: string) => styleText(style, text, { stream: process.stderr });

const blocks = "▁▂▃▄▅▆▇█";
/** A line of `width` blocks over the newest values, from 0 to the largest; a missing value is a gap, not a zero. */
export function sparkline(values: readonly (number | null)[], width: number): string {
  if (values.length === 0) return " ".repeat(width);
  const bin = Math.max(1, Math.ceil(values.length / width));
  const binned: (number | null)[] = [];
  for (let at = 0; at < values.length; at += bin) {
    const known = values.slice(at, at + bin).filter((value) => value !== null);
    binned.push(known.length === 0 ? null : Math.max(...known));
  }
  const top = Math.max(...binned.map((value) => value ?? 0));
  return binned
    .map((value) =>
      value === null ? " " : top === 0 ? blocks[0] : blocks[Math.min(blocks.length - 1, Math.floor((value / top) * blocks.length))],
    )
    .join("")
    .padStart(width);
}

const dot = {
  ready: ["green", "●"],
  starting: ["yellow", "◐"],
  draining: ["blue", "◑"],
  failed: ["red", "✕"],
  standby: ["gray", "◌"],
  gone: ["gray", "·"],
} as const;

/** Wraps at words; following lines are indented by `indent`. */
function wrap(text: string, width: number, indent: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const room = width - (lines.length === 0 ? 0 : indent);
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((one, at) => (at === 0 ? one : " ".repeat(indent) + one));
}

/** The live view of one endpoint, at most `rows` lines of `columns` characters (colour codes not counted). */
export function renderEndpoint(
  view: EndpointView,
  points: readonly Point[],
  at: { nowMs: Ms; startedAtMs: Ms; columns: number; rows: number },
): readonly string[] {
  const { nowMs, columns } = at;
  const label = (text: string) => paint("dim", text.padEnd(10));
  const now = view.now;
  const spark = Math.max(10, Math.min(40, columns - 62));
  const line = (pick: (point: Point) => number | null) => paint("cyan", sparkline(points.slice(-600).map(pick), spark));
  const byState = (state: EndpointView["replicas"][number]["state"]) => view.replicas.filter((replica) => replica.state === state);
  const dots = view.replicas.map(({ state }) => paint(dot[state][0], dot[state][1])).join(" ");
  const counts = (["ready", "starting", "draining", "failed"] as const)
    .map((state) => [byState(state).length, state] as const)
    .filter(([count, state]) => count > 0 || state === "ready")
    .map(([count, state]) => `${count} ${state}`)
    .join(", ");
  const lines = [
    `${paint("bold", view.name)}  ${view.model} · ${view.engine} engine on ${view.platform} · ${view.policy} policy · ${view.bounds.min} to ${view.bounds.max} replicas`,
    `${label("Replicas")}${dots}  ${counts}; wanted ${paint("bold", String(now?.wanted ?? "–"))}`,
  ];
  for (const replica of view.replicas.filter(({ state }) => state !== "gone").slice(0, 8)) {
    const sinceMs =
      replica.state === "starting" ? (replica.entered[replica.stage ?? "starting"] ?? nowMs) : (replica.entered[replica.state] ?? nowMs);
    const detail =
      replica.state === "starting"
        ? `${replica.stage ?? "starting"} for ${elapsed(nowMs - sinceMs)}, ${elapsed(nowMs - (replica.entered.starting ?? nowMs))} in all${view.coldStartP90Ms === null ? "" : ` (P90 of past starts ${elapsed(view.coldStartP90Ms)})`}`
        : replica.state === "failed"
          ? (replica.trouble?.code ?? "failed")
          : `${number(replica.inFlight)} in flight, for ${elapsed(nowMs - sinceMs)}`;
    lines.push(`${" ".repeat(10)}${paint(dot[replica.state][0], replica.state.padEnd(9))} ${replica.id.padEnd(14)} ${detail}`);
  }
  const bound = (value: number | null, limitMs: Ms) =>
    value === null ? "–" : paint(value * 1000 <= limitMs ? "green" : "red", `${seconds(value)}`);
  const { objective } = view;
  lines.push(
    `${label("Demand")}${`${number(now?.requestRate ?? null, 1)} req/s, ${number(now?.promptTokensPerSecond ?? null)} prompt tok/s, ${number(now?.outputTokensPerSecond ?? null)} output tok/s`.padEnd(52)}${line((point) => point.requestRate)}`,
    `${label("TTFT")}p95 ${bound(now?.ttftP95 ?? null, objective.timeToFirstTokenMs)} of ${seconds(objective.timeToFirstTokenMs / 1000)}, p99 ${seconds(now?.ttftP99 ?? null)}${" ".repeat(14)}${line((point) => point.ttftP95)}`,
    `${label("TPOT")}p95 ${bound(now?.tpotP95 ?? null, objective.timePerOutputTokenMs)} of ${seconds(objective.timePerOutputTokenMs / 1000)}; objective met by ${
      view.attainment === null ? "–" : paint(view.attainment >= objective.attainment ? "green" : "red", percent(view.attainment))
    } of ${percent(objective.attainment)}`,
    `${label("Queue")}${number(now?.queueDepth ?? null)} waiting, ${number(view.totals?.held ?? null)} held, ${number(view.totals?.inFlight ?? null)} in flight`,
    `${label("Requests")}${number(view.totals?.arrived ?? null)} arrived, ${number(view.totals?.completed ?? null)} completed, ${number(view.totals?.failed ?? null)} failed, ${number(view.totals?.cancelled ?? null)} cancelled, ${number(view.totals?.rejected ?? null)} rejected`,
    `${label("Cost")}${view.cost.total.toFixed(3)} so far, ${view.cost.perHour.toFixed(2)} an hour now, ${view.cost.replicaHours.toFixed(3)} replica-hours`,
  );
  if (view.pausedUntilMs !== null && nowMs < view.pausedUntilMs)
    lines.push(paint("yellow", `${"".padEnd(10)}paused: decisions are recorded, not acted upon`));
  if (view.pin !== null && nowMs < view.pin.untilMs) lines.push(paint("yellow", `${"".padEnd(10)}pinned at ${view.pin.replicas}`));
  for (const trouble of view.trouble) lines.push(paint("red", `${"".padEnd(10)}${trouble.text}`.slice(0, columns)));
  const otherwise = view.decisions[0]?.otherwise ?? null;
  if (otherwise !== null)
    lines.push(...wrap(otherwise, Math.max(20, columns - 10), 10).map((part, at) => (at === 0 ? label("Otherwise") + part : part)));
  lines.push(paint("dim", "Decisions"));
  for (const decision of view.decisions) {
    if (lines.length >= at.rows) break;
    const head = `  ${elapsed(decision.atMs - at.startedAtMs)} `;
    const counts = decision.changed ? `${decision.from} → ${decision.to}` : `  ${decision.to}  `;
    const text = wrap(decision.reason, Math.max(20, columns - head.length - 9), head.length + 8);
    lines.push(
      ...text.map((part, at) => (at === 0 ? `${paint("dim", head)}${decision.changed ? paint("bold", counts) : counts}  ${part}` : part)),
    );
  }
  return lines.slice(0, at.rows);
}

/** The live view of a whole process. */
export function render(
  view: ControllerView,
  points: (endpoint: string) => readonly Point[],
  size: { columns: number; rows: number },
  foot: readonly string[],
): string {
  const head = `${paint("bold", "tidegate")} ${view.version}   ${elapsed(view.atMs - view.startedAtMs)}${view.speed === 1 ? "" : ` (${view.speed} × real time)`}`;
  const each = Math.max(8, Math.floor((size.rows - 2 - foot.length) / Math.max(1, view.endpoints.length)));
  const body = view.endpoints.flatMap((endpoint) =>
    renderEndpoint(endpoint, points(endpoint.name), { nowMs: view.atMs, startedAtMs: view.startedAtMs, columns: size.columns, rows: each }),
  );
  const waiting = view.waiting.map(({ name, text }) => paint("red", `${name} waits: ${text}`.slice(0, size.columns)));
  const follows = view.leadership?.leads === false ? [`waits for its turn: ${view.leadership.leader ?? "nobody"} leads`] : [];
  return [head, ...follows, ...waiting, ...body, ...foot.map((line) => paint("dim", line))].join("\n");
}

/** What changed since `seen`, a plain line each: for pipes, files and CI. */
export function plainLines(view: ControllerView, seen: Map<string, string>): readonly string[] {
  const lines: string[] = [];
  const say = (key: string, value: string, text: string) => {
    if (seen.get(key) === value) return;
    seen.set(key, value);
    lines.push(`${elapsed(view.atMs - view.startedAtMs)} ${text}`);
  };
  if (view.leadership !== undefined) {
    const { leads, leader, identity } = view.leadership;
    say("leadership", leads ? identity : String(leader), leads ? `${identity} leads` : `waits for its turn: ${leader ?? "nobody"} leads`);
  }
  for (const { name, text } of view.waiting) say(`${name} waiting`, text, `${name} waits: ${text}`);
  for (const endpoint of view.endpoints) {
    for (const decision of [...endpoint.decisions].reverse()) {
      if (decision.changed && decision.seq > Number(seen.get(`${endpoint.name} decision`) ?? 0)) {
        say(
          `${endpoint.name} decision`,
          String(decision.seq),
          `${endpoint.name}: ${decision.from} → ${decision.to} replicas: ${decision.reason}`,
        );
      }
    }
    for (const replica of endpoint.replicas) {
      const what = replica.state === "starting" ? `starting (${replica.stage ?? "schedule"})` : replica.state;
      say(`${endpoint.name} ${replica.id}`, what, `${endpoint.name}: replica ${replica.id} is ${what}`);
    }
    const now = endpoint.now;
    if (now !== null) {
      const period = Math.floor((view.atMs - view.startedAtMs) / 30_000);
      say(
        `${endpoint.name} summary`,
        String(period),
        `${endpoint.name}: ${now.ready} ready of ${now.wanted} wanted, ${number(now.requestRate, 1)} req/s, TTFT p95 ${seconds(now.ttftP95)}, TPOT p95 ${seconds(now.tpotP95)}, objective met by ${percent(
          endpoint.attainment,
        )}, cost ${endpoint.cost.total.toFixed(3)}`,
      );
    }
  }
  return lines;
}
