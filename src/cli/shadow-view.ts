import { elapsed, number, percent, seconds } from "../console/index.ts";
import { CONTENDERS, estimateText, rangeText } from "../report/index.ts";
import type { ShadowReport, ShadowView, WatchView } from "../shadow/index.ts";
import { type TableCell, table } from "./study-table.ts";

/** What stands in each column of the live table, and in a plain line. */
function figuresOf({ endpoint, autoscaler, ours, agreement }: WatchView) {
  const { now } = endpoint;
  return {
    theirs: number(now?.wanted ?? null),
    states: autoscaler?.desired === null || autoscaler === null ? "–" : String(autoscaler.desired),
    ready: number(now?.ready ?? null),
    slo: number(ours?.replicas ?? null),
    rules: number(agreement?.last?.replicas ?? null),
    agrees: agreement === null || agreement.compared === 0 ? "–" : `${Math.round((100 * agreement.near) / agreement.compared)} %`,
    rate: number(now?.requestRate ?? null, 1),
    queue: number(now?.queueDepth ?? null),
    ttft: seconds(now?.ttftP95 ?? null),
  };
}

/** The live view of a terminal. */
export function shadowTable(view: ShadowView, columns: number): string {
  const rows = view.watched.map((watch): readonly (string | TableCell)[] => {
    const { theirs, states, ready, slo, rules, agrees, rate, queue, ttft } = figuresOf(watch);
    const differs = slo !== "–" && slo !== theirs;
    return [
      watch.name,
      ready,
      theirs,
      states,
      differs ? { text: slo, style: "bold" } : slo,
      rules,
      agrees,
      rate,
      queue,
      ttft,
      watch.blind === null ? "" : { text: `blind: ${watch.blind}`.slice(0, Math.max(20, columns - 90)), style: "red" },
    ];
  });
  const heads = [
    ["endpoint", "left"],
    ["ready", "right"],
    ["asked for", "right"],
    ["it states", "right"],
    ["slo wants", "right"],
    ["its rules", "right"],
    ["agree", "right"],
    ["req/s", "right"],
    ["waiting", "right"],
    ["TTFT p95", "right"],
    ["", "left"],
  ] as const;
  const head = `tidegate shadow   ${elapsed(view.atMs - view.startedAtMs)}   watches ${view.watched.length}, changes nothing   Ctrl-C ends it with a summary\n`;
  const body = rows.length === 0 ? "nothing to watch yet\n" : table(heads, rows);
  const skipped = view.skipped.map(({ title, namespace, reason }) => `skipped ${namespace}/${title}: ${reason}`.slice(0, columns));
  const trouble = view.trouble === null ? [] : [`the list of autoscalers may be old: ${view.trouble}`.slice(0, columns)];
  return [head + body.trimEnd(), ...skipped, ...trouble].join("\n");
}

/** What changed since `seen`, a plain line each. */
export function shadowLines(view: ShadowView, seen: Map<string, string>): readonly string[] {
  const lines: string[] = [];
  const say = (key: string, value: string, text: string) => {
    if (seen.get(key) === value) return;
    seen.set(key, value);
    lines.push(`${elapsed(view.atMs - view.startedAtMs)} ${text}`);
  };
  for (const { title, namespace, reason } of view.skipped)
    say(`skipped ${namespace}/${title}`, reason, `skipped ${namespace}/${title}: ${reason}`);
  for (const watch of view.watched) {
    const { name, title, endpoint, blind, why } = watch;
    const { theirs, states, ready, slo, rules, rate, queue, ttft } = figuresOf(watch);
    say(
      `${name} is watched`,
      title,
      `${name}: watching ${title}, ${endpoint.engine} serves ${endpoint.model}, ${endpoint.bounds.min} to ${endpoint.bounds.max} replicas`,
    );
    if (why !== null) say(`${name} why`, why, `${name}: its rules are not followed: ${why}`);
    say(`${name} blind`, blind === null ? "" : blind.replace(/\d+/g, "#"), blind === null ? `${name}: sees` : `${name}: blind: ${blind}`);
    if (endpoint.now !== null && slo !== "–")
      say(
        `${name} counts`,
        JSON.stringify([theirs, states, ready, slo, rules]),
        `${name}: ${ready} ready of ${theirs} asked for; it states ${states}, its rules come to ${rules}, slo wants ${slo}; ${rate} req/s, ${queue} waiting, TTFT p95 ${ttft}`,
      );
  }
  if (view.trouble !== null) say("trouble", view.trouble, `the list of autoscalers may be old: ${view.trouble}`);
  return lines;
}

const time = (ms: number | null | undefined) => seconds(ms === null || ms === undefined ? null : ms / 1000);

/** The summary of one endpoint: what was measured first, what was simulated after it, and how near the two are. */
export function reportText(report: ShadowReport): string {
  const { measured, traffic, simulated, agreement, beside, objective } = report;
  const at = (ms: number) => new Date(ms).toISOString().replace("T", " ").slice(0, 16);
  const range = measured.attainment === null ? "–" : rangeText(measured.attainment);
  const rows: (readonly (string | TableCell)[])[] = [
    [
      "theirs, measured",
      number(measured.gpuHours, 2),
      number(measured.cost, 2),
      range,
      time(measured.ttft?.p95Ms),
      time(measured.tpot?.p95Ms),
      number(measured.readyMean, 2),
      String(measured.ups + measured.downs),
    ],
    ...(simulated?.contenders ?? []).map(({ name, figures }) => [
      CONTENDERS[name],
      estimateText(figures.gpuHours, 2),
      estimateText(figures.cost, 2),
      estimateText(figures.attainment, 2, 100, " %"),
      time(figures.ttftP95Ms.mean),
      time(figures.tpotP95Ms.mean),
      number(figures.readyMean.mean, 2),
      number(figures.scaleEvents.mean, 1),
    ]),
  ];
  if (simulated !== null) {
    const { gpuHours, cost, attainment } = simulated.difference;
    rows.push([
      "slo less their counts",
      estimateText(gpuHours, 2),
      estimateText(cost, 2),
      estimateText(attainment, 2, 100, " points"),
      "",
      "",
      "",
      "",
    ]);
  }
  const heads = [
    [report.name, "left"],
    ["GPU-hours", "right"],
    ["cost", "right"],
    ["within objective", "right"],
    ["TTFT p95", "right"],
    ["TPOT p95", "right"],
    ["ready", "right"],
    ["changes", "right"],
  ] as const;
  const lines = [
    `${report.name}: ${report.by}, ${at(measured.fromMs)} to ${at(measured.toMs)} UTC; ${number(traffic.requests)} requests, ${number(traffic.promptTokens)} prompt and ${number(traffic.outputTokens)} output tokens, as the ${traffic.from === "gateway" ? "gateway" : "engines"} counted`,
    `objective: ${percent(objective.attainment)} within ${time(objective.timeToFirstTokenMs)} to the first token and ${time(objective.timePerOutputTokenMs)} a token; ${report.pricePerReplicaHour} for a replica-hour`,
    "",
    table(heads, rows).trimEnd(),
    "",
    report.verdict,
  ];
  if (report.checks.length > 0) {
    const form = (unit: (typeof report.checks)[number]["unit"], value: number) =>
      unit === "ms" ? time(value) : unit === "share" ? percent(value) : value.toFixed(2);
    lines.push(
      "",
      table(
        [
          ["measured against simulated", "left"],
          ["measured", "right"],
          ["simulated", "right"],
          ["", "left"],
        ],
        report.checks.map(({ what, unit, measured: value, simulated: one, isNear }) => [
          what,
          typeof value === "number" ? form(unit, value) : rangeText(value),
          unit === "share" ? estimateText(one, 2, 100, " %") : unit === "ms" ? time(one.mean) : estimateText(one, 2),
          isNear ? { text: "near", style: "green" as const } : { text: "off", style: "red" as const },
        ]),
      ).trimEnd(),
    );
  }
  lines.push(
    "",
    `Given their fleet, slo wanted more for ${percent(beside.more)}, fewer for ${percent(beside.fewer)} and the same for ${percent(beside.same)} of the time.`,
  );
  if (agreement !== null && agreement.compared > 0)
    lines.push(
      `Their rules, followed on the same readings, came to the count that ${report.by} stated in ${agreement.near} of ${agreement.compared} looks (${agreement.same} at that very moment).`,
    );
  if (report.rulesWhy !== null) lines.push(`${report.rulesWhy.charAt(0).toUpperCase()}${report.rulesWhy.slice(1)}.`);
  if (simulated !== null)
    lines.push(
      `Simulated with the speed of ${simulated.profile.model} on ${simulated.profile.gpu}${simulated.profile.tp > 1 ? ` × ${simulated.profile.tp}` : ""} (${simulated.profile.source}), ${simulated.coldStart.from === "measured" ? `the ${measured.coldStartsMs.length} cold starts that were measured` : "an assumed cold start: fewer than three were measured"}, ${simulated.seeds} seeds.`,
    );
  if (measured.unseenMs > 0) lines.push(`For ${elapsed(measured.unseenMs)} nothing was looked at; the engines' counters bridge it.`);
  return `${lines.join("\n")}\n`;
}
