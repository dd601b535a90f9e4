import { coldStartMs, type Endpoint, type Ms, type Replica, type Series, stageDurations } from "../model/index.ts";
import type { PlatformStatus } from "../platforms/index.ts";
import type { ColdStart, Point } from "./view.ts";

const keptPoints = 1800;
const keptColdStarts = 100;

/** What an endpoint's fleet has cost, how its cold starts went, and its charts. */
export class Books {
  readonly points: Point[] = [];
  readonly coldStarts: ColdStart[] = [];
  cost = 0;
  replicaMs: Ms = 0;
  private readonly startedAtMs: Ms;
  private endpoint: Endpoint;
  private settled = new Set<string>();
  private lastMs: Ms | null = null;

  constructor(endpoint: Endpoint, startedAtMs: Ms) {
    this.endpoint = endpoint;
    this.startedAtMs = startedAtMs;
  }

  /** From now on by another spec of the same endpoint: other prices, the same past. */
  takeOver(endpoint: Endpoint): this {
    this.endpoint = endpoint;
    return this;
  }

  /** @returns cold starts that ended since the last look */
  account(status: PlatformStatus | null, nowMs: Ms): readonly ColdStart[] {
    const elapsedMs = this.lastMs === null ? 0 : nowMs - this.lastMs;
    this.lastMs = nowMs;
    const present = new Set(status?.replicas.map(({ id }) => id));
    this.settled = new Set([...this.settled].filter((id) => present.has(id)));
    const fresh: ColdStart[] = [];
    for (const replica of status?.replicas ?? []) {
      if (isBilled(replica)) {
        this.cost += (this.priceOf(replica) * elapsedMs) / 3_600_000;
        this.replicaMs += elapsedMs;
      }
      const totalMs = coldStartMs(replica);
      if (totalMs === null || this.settled.has(replica.id)) continue;
      this.settled.add(replica.id);
      // One that was ready before we came (adopted after a restart) was counted then.
      if ((replica.entered.ready ?? 0) < this.startedAtMs) continue;
      fresh.push({
        replica: replica.id,
        pool: replica.pool,
        readyAtMs: replica.entered.ready as Ms,
        totalMs,
        stages: stageDurations(replica, nowMs),
        cost: (this.priceOf(replica) * totalMs) / 3_600_000,
      });
    }
    this.coldStarts.push(...fresh);
    if (this.coldStarts.length > keptColdStarts) this.coldStarts.splice(0, this.coldStarts.length - keptColdStarts);
    return fresh;
  }

  chart(status: PlatformStatus | null, series: readonly Series[], nowMs: Ms): Point {
    const count = (state: Replica["state"]) => status?.replicas.filter((replica) => replica.state === state).length ?? 0;
    const value = (name: string): number | null => {
      const latest = series.find((one) => one.name === name && one.subject.kind === "endpoint")?.latest;
      const isFresh = latest !== null && latest !== undefined && nowMs - latest.atMs <= this.endpoint.staleAfterMs;
      return isFresh && typeof latest.value === "number" ? latest.value : null;
    };
    const point: Point = {
      atMs: nowMs,
      requestRate: value("request_rate"),
      promptTokensPerSecond: value("prompt_tokens_per_second"),
      outputTokensPerSecond: value("output_tokens_per_second"),
      queueDepth: value("queue_depth"),
      inFlight: value("in_flight"),
      ttftP50: value("ttft_p50"),
      ttftP95: value("ttft_p95"),
      ttftP99: value("ttft_p99"),
      tpotP95: value("tpot_p95"),
      gpuUtilization: value("gpu_utilization"),
      kvUsed: value("kv_used"),
      wanted: Object.values(status?.pools ?? {}).reduce((sum, pool) => sum + pool.wanted, 0),
      ready: count("ready"),
      starting: count("starting"),
      draining: count("draining"),
      failed: count("failed"),
      cost: this.cost,
    };
    this.points.push(point);
    if (this.points.length > keptPoints) this.points.splice(0, this.points.length - keptPoints);
    return point;
  }

  perHour(status: PlatformStatus | null): number {
    return (status?.replicas ?? []).filter(isBilled).reduce((sum, replica) => sum + this.priceOf(replica), 0);
  }

  /** 90th percentile (nearest rank); null before the first one. */
  get coldStartP90Ms(): Ms | null {
    const lengths = this.coldStarts.map((start) => start.totalMs).sort((a, b) => a - b);
    return lengths[Math.ceil(0.9 * lengths.length) - 1] ?? null;
  }

  private priceOf(replica: Replica): number {
    return this.endpoint.pools.find((pool) => pool.name === replica.pool)?.pricePerReplicaHour ?? 0;
  }
}

const isBilled = ({ state }: Replica): boolean => state !== "gone" && state !== "failed";
