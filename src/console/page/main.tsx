import { computed, signal } from "@preact/signals";
import { render } from "preact";
import type { ControllerView, EndpointView, LiveEvent, Point } from "../../controller/index.ts";
import { elapsed, number, percent, seconds } from "../format.ts";
import { Chart, type Line } from "./chart.tsx";
import { ColdStarts } from "./cold-starts.tsx";
import { Decisions } from "./decisions.tsx";
import { Replicas } from "./replicas.tsx";
import "./style.css";

const keptPoints = 1800;
const view = signal<ControllerView | null>(null);
const points = signal<Readonly<Record<string, readonly Point[]>>>({});
const connected = signal(false);
const chosen = signal<string | null>(null);

const source = new EventSource("/api/v1/events");
source.onopen = () => {
  connected.value = true;
};
source.onerror = () => {
  connected.value = false;
};
source.onmessage = ({ data }) => {
  const event = JSON.parse(data) as LiveEvent;
  // A controller that restarted begins a new life: its charts do not continue the old one's.
  const before = view.peek()?.startedAtMs === event.view.startedAtMs ? points.peek() : {};
  points.value = Object.fromEntries(
    Object.entries(event.points).map(([name, fresh]) => {
      const known = before[name] ?? [];
      const lastMs = known.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY;
      return [name, [...known, ...fresh.filter(({ atMs }) => atMs > lastMs)].slice(-keptPoints)];
    }),
  );
  view.value = event.view;
};

const endpoint = computed(() => view.value?.endpoints.find(({ name }) => name === chosen.value) ?? view.value?.endpoints[0] ?? null);

const colour = {
  demand: "#2f81f7",
  ready: "#2da44e",
  starting: "#d4a72c",
  draining: "#8250df",
  wanted: "#57606a",
  bad: "#cf222e",
  other: "#0a7ea4",
};

function App() {
  const now = view.value;
  const shown = endpoint.value;
  if (now === null) return <p class="wait">Waiting for the controller…</p>;
  if (shown === null)
    return (
      <p class="wait">
        No endpoint is controlled yet.
        {now.waiting.map(({ name, text }) => (
          <span key={name}>
            <br />
            {name}: {text}
          </span>
        ))}
      </p>
    );
  return (
    <>
      <header>
        <h1>Tidegate</h1>
        <nav>
          {now.endpoints.map(({ name }) => (
            <button type="button" key={name} aria-pressed={name === shown.name} onClick={() => (chosen.value = name)}>
              {name}
            </button>
          ))}
        </nav>
        <span class="clock">
          up {elapsed(now.atMs - now.startedAtMs)}
          {now.speed === 1 ? "" : ` · ${now.speed} × real time`}
        </span>
        <span class={connected.value ? "live" : "live lost"} role="status">
          {connected.value ? "live" : "connection lost, trying again"}
        </span>
      </header>
      <Endpoint view={shown} now={now} points={points.value[shown.name] ?? []} />
    </>
  );
}

function Endpoint({ view, now, points }: { view: EndpointView; now: ControllerView; points: readonly Point[] }) {
  const last = view.now;
  const { objective } = view;
  const start = now.startedAtMs;
  const lines = (...list: readonly Line[]) => list;
  const ttftMissed = last?.ttftP95 !== null && last?.ttftP95 !== undefined && last.ttftP95 * 1000 > objective.timeToFirstTokenMs;
  return (
    <>
      <p class="what">
        <strong>{view.model}</strong> on {view.engine} engines, {view.platform} platform, {view.policy} policy, {view.bounds.min} to{" "}
        {view.bounds.max} replicas.
        {view.pin !== null && now.atMs < view.pin.untilMs ? <b class="tag"> pinned at {view.pin.replicas}</b> : null}
        {view.pausedUntilMs !== null && now.atMs < view.pausedUntilMs ? <b class="tag"> paused</b> : null}
      </p>
      {view.decisions[0]?.otherwise ? (
        <p class="what">
          <b>What would change it:</b> {view.decisions[0].otherwise}
        </p>
      ) : null}
      {view.trouble.map(({ code, text }) => (
        <p key={code} class="trouble" role="alert">
          {text}
        </p>
      ))}
      <section class="tiles" aria-label="Now">
        <Tile
          label="Replicas"
          value={`${last?.ready ?? "–"} ready`}
          detail={`${last?.wanted ?? "–"} wanted, ${last?.starting ?? 0} starting, ${last?.draining ?? 0} draining`}
        />
        <Tile
          label="Demand"
          value={`${number(last?.requestRate ?? null, 1)} req/s`}
          detail={`${number(last?.promptTokensPerSecond ?? null)} prompt tok/s`}
        />
        <Tile
          label="Time to first token, p95"
          value={seconds(last?.ttftP95 ?? null)}
          detail={`objective ${seconds(objective.timeToFirstTokenMs / 1000)}`}
          bad={ttftMissed}
        />
        <Tile
          label="Objective met"
          value={percent(view.attainment)}
          detail={`of requests; wanted ${percent(objective.attainment)}`}
          bad={view.attainment !== null && view.attainment < objective.attainment}
        />
        <Tile
          label="Waiting"
          value={number(last?.queueDepth ?? null)}
          detail={`${number(view.totals?.held ?? null)} held, ${number(view.totals?.inFlight ?? null)} in flight`}
        />
        <Tile
          label="Cost so far"
          value={view.cost.total.toFixed(3)}
          detail={`${view.cost.perHour.toFixed(2)} an hour now, ${view.cost.replicaHours.toFixed(3)} replica-hours`}
        />
      </section>
      <Replicas view={view} nowMs={now.atMs} />
      <section class="charts" aria-label="Charts">
        <Chart
          title="Demand"
          unit="req/s"
          points={points}
          startMs={start}
          lines={lines({ label: "requests/s", colour: colour.demand, of: (p) => p.requestRate, fill: true })}
        />
        <Chart
          title="Replicas"
          unit=""
          step
          points={points}
          startMs={start}
          lines={lines(
            { label: "ready + starting + draining", colour: colour.draining, of: (p) => p.ready + p.starting + p.draining, fill: true },
            { label: "ready + starting", colour: colour.starting, of: (p) => p.ready + p.starting, fill: true },
            { label: "ready", colour: colour.ready, of: (p) => p.ready, fill: true },
            { label: "wanted", colour: colour.wanted, of: (p) => p.wanted },
          )}
        />
        <Chart
          title="Time to first token"
          unit="s"
          points={points}
          startMs={start}
          limit={objective.timeToFirstTokenMs / 1000}
          lines={lines(
            { label: "p50", colour: colour.ready, of: (p) => p.ttftP50 },
            { label: "p95", colour: colour.demand, of: (p) => p.ttftP95 },
            { label: "p99", colour: colour.bad, of: (p) => p.ttftP99 },
          )}
        />
        <Chart
          title="Time per output token, p95"
          unit="s"
          points={points}
          startMs={start}
          limit={objective.timePerOutputTokenMs / 1000}
          lines={lines({ label: "p95", colour: colour.demand, of: (p) => p.tpotP95 })}
        />
        <Chart
          title="Waiting requests"
          unit=""
          points={points}
          startMs={start}
          lines={lines({ label: "waiting", colour: colour.bad, of: (p) => p.queueDepth, fill: true })}
        />
        <Chart
          title="Tokens"
          unit="tok/s"
          points={points}
          startMs={start}
          lines={lines(
            { label: "prompt", colour: colour.demand, of: (p) => p.promptTokensPerSecond },
            { label: "output", colour: colour.ready, of: (p) => p.outputTokensPerSecond },
          )}
        />
        <Chart
          title="GPU utilization (a batching engine shows it high at any load)"
          unit="%"
          points={points}
          startMs={start}
          lines={lines({ label: "mean", colour: colour.other, of: (p) => p.gpuUtilization })}
        />
        <Chart
          title="Cost"
          unit=""
          points={points}
          startMs={start}
          lines={lines({ label: "spent", colour: colour.wanted, of: (p) => p.cost, fill: true })}
        />
      </section>
      <div class="columns">
        <Decisions view={view} startMs={start} />
        <ColdStarts view={view} startMs={start} />
      </div>
    </>
  );
}

function Tile({ label, value, detail, bad = false }: { label: string; value: string; detail: string; bad?: boolean }) {
  return (
    <div class={bad ? "tile bad" : "tile"}>
      <h2>{label}</h2>
      <p class="value">{value}</p>
      <p class="detail">{detail}</p>
    </div>
  );
}

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
