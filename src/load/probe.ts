import { type Clock, type Ms, TidegateError } from "../model/index.ts";
import type { TraceRequest } from "../traces/index.ts";
import { type LoadApi, type RequestEnding, runLoad } from "./run.ts";

export interface ProbeOptions {
  readonly url: string;
  readonly model: string;
  readonly clock: Clock;
  readonly api?: LoadApi;
  readonly headers?: Readonly<Record<string, string>>;
  readonly seed?: number;
  /** Lengths of prompts, ascending. */
  readonly promptTokens: readonly number[];
  /** Streams at once, ascending. */
  readonly levels: readonly number[];
  /** Of every stream whose gaps are looked at; at least 8. */
  readonly outputTokens: number;
  /** How often each combination is measured. */
  readonly repeats: number;
  /** Tokens that all streams at once may hold; what would need more is left out. */
  readonly kvTokens: number;
  /** Nothing new is begun after so long, on the clock. */
  readonly longestMs: Ms;
  /** Longest silence of an answer, on the clock. */
  readonly timeoutMs: Ms;
  readonly signal?: AbortSignal;
  readonly onCell?: (done: number, of: number) => void;
}

/** One request as its client saw it. */
export interface SeenRequest {
  readonly promptTokens: number;
  readonly startedMs: Ms;
  /** When each token came; tokens that came together have one time. */
  readonly tokensAtMs: readonly Ms[];
}

/**
 * - `alone`: one request at a time.
 * - `together`: all begun at once.
 * - `beside`: `streams` that are being answered, and prompts that come into it one after the other.
 */
export interface ProbeCell {
  readonly kind: "alone" | "together" | "beside";
  readonly level: number;
  readonly streams: readonly SeenRequest[];
  readonly prompts: readonly SeenRequest[];
}

export interface Probe {
  readonly cells: readonly ProbeCell[];
  /** Planned, and not measured for want of time. */
  readonly leftOut: number;
  readonly requests: number;
}

type Plan = { readonly kind: ProbeCell["kind"]; readonly level: number; readonly promptTokens: number; readonly injected: number };
const besidePrompts = 2;

/**
 * A short bounded load against one replica: each length of prompt alone, and at each level streams of the shortest and of a long prompt,
 * and prompts that come in beside streams. Prompts are never sent twice, so that no cache of prefixes has them.
 * @throws TidegateError `signal/unreachable` of an endpoint that does not answer as asked, `usage` of options that mean nothing
 */
export async function probe(options: ProbeOptions): Promise<Probe> {
  const { clock, promptTokens, kvTokens, repeats, outputTokens } = options;
  const startMs = clock.now();
  const driver = new Driver(options);
  const ended = driver.run();
  try {
    const asked = await driver.scaleOfPrompts();
    const plans = planOf(options).filter(({ level, promptTokens: each, injected }) => {
      const streams = level * ((injected > 0 ? promptTokens[0]! : each) + outputTokens * (injected > 0 ? 4 : 1));
      return streams + injected <= kvTokens;
    });
    const all = Array.from({ length: repeats }, () => plans).flat();
    const cells: ProbeCell[] = [];
    let done = 0;
    for (const plan of all) {
      if (clock.now() - startMs > options.longestMs || options.signal?.aborted) break;
      cells.push(await measure(driver, plan, options, asked));
      options.onCell?.(++done, all.length);
    }
    return { cells, leftOut: all.length - done, requests: driver.sent };
  } finally {
    driver.end();
    await ended;
  }
}

function planOf({ promptTokens, levels }: ProbeOptions): readonly Plan[] {
  const [shortest, longest] = [promptTokens[0], promptTokens.at(-1)];
  if (shortest === undefined || longest === undefined || levels.length === 0)
    throw new TidegateError("usage", "a probe takes at least one length of prompt and one level");
  const middle = promptTokens[Math.floor(promptTokens.length / 2)]!;
  const beside = [...new Set([levels[0]!, levels[Math.floor(levels.length / 2)]!, levels.at(-1)!])];
  return [
    ...promptTokens.map((each): Plan => ({ kind: "alone", level: 1, promptTokens: each, injected: 0 })),
    ...levels
      .filter((level) => level > 1)
      .flatMap((level) =>
        [...new Set([shortest, middle, longest])].map((each): Plan => ({ kind: "together", level, promptTokens: each, injected: 0 })),
      ),
    ...beside.flatMap((level) => promptTokens.map((injected): Plan => ({ kind: "beside", level, promptTokens: shortest, injected }))),
  ];
}

async function measure(driver: Driver, plan: Plan, { outputTokens }: ProbeOptions, asked: (tokens: number) => number): Promise<ProbeCell> {
  const { kind, level } = plan;
  const length = asked(plan.promptTokens);
  if (kind !== "beside") {
    const streams = await Promise.all(Array.from({ length: level }, () => driver.send(length, outputTokens).ended));
    return { kind, level, streams, prompts: [] };
  }
  const running = Array.from({ length: level }, () => driver.send(length, outputTokens * 4));
  await Promise.all(running.map(({ speaking }) => speaking));
  const prompts: SeenRequest[] = [];
  let open = true;
  const streams = Promise.all(running.map(({ ended }) => ended)).finally(() => {
    open = false;
  });
  // Whoever waits for the prompts must not leave this one unheard.
  streams.catch(() => undefined);
  for (let at = 0; at < besidePrompts && open; at++) prompts.push(await driver.send(asked(plan.injected), 2).ended);
  return { kind, level, streams: await streams, prompts };
}

interface Sent {
  /** Three tokens have come, or it has ended. */
  readonly speaking: Promise<void>;
  readonly ended: Promise<SeenRequest>;
}

/** One load run whose trace is written as it goes, so that all requests share connections. */
class Driver {
  sent = 0;
  readonly #options: ProbeOptions;
  readonly #queue: TraceRequest[] = [];
  readonly #underWay = new Map<TraceRequest, { readonly tokensAtMs: Ms[]; speaks: () => void; ends: (ending: RequestEnding) => void }>();
  #more: (() => void) | null = null;
  #over = false;

  constructor(options: ProbeOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { url, model, clock, api, headers, seed, timeoutMs, signal } = this.#options;
    await runLoad({
      url,
      model,
      clock,
      trace: this.#rows(),
      timeoutMs,
      ...(api === undefined ? {} : { api }),
      ...(headers === undefined ? {} : { headers }),
      ...(seed === undefined ? {} : { seed }),
      ...(signal === undefined ? {} : { signal }),
      onText: (request, atMs, events) => {
        const seen = this.#underWay.get(request);
        if (seen === undefined) return;
        for (let event = 0; event < events; event++) seen.tokensAtMs.push(atMs);
        if (seen.tokensAtMs.length >= 3) seen.speaks();
      },
      onEnd: (request, ending) => this.#underWay.get(request)?.ends(ending),
    });
    const stopped = { ok: false, startedMs: 0, endedMs: 0, promptTokens: null, outputTokens: 0, message: "the probe was stopped" };
    for (const { ends } of [...this.#underWay.values()]) ends(stopped);
  }

  async *#rows(): AsyncGenerator<TraceRequest> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) yield next;
      else if (this.#over || this.#options.signal?.aborted) return;
      else
        await new Promise<void>((resolve) => {
          this.#more = resolve;
          this.#options.signal?.addEventListener("abort", () => resolve(), { once: true });
        });
    }
  }

  end(): void {
    this.#over = true;
    this.#more?.();
  }

  send(promptTokens: number, outputTokens: number): Sent {
    const request: TraceRequest = { arrivalMs: 0, promptTokens, outputTokens };
    const tokensAtMs: Ms[] = [];
    let speaks = () => {};
    const speaking = new Promise<void>((resolve) => {
      speaks = resolve;
    });
    const ended = new Promise<SeenRequest>((resolve, reject) => {
      const ends = (ending: RequestEnding) => {
        this.#underWay.delete(request);
        speaks();
        if (ending.ok) resolve({ promptTokens: ending.promptTokens ?? promptTokens, startedMs: ending.startedMs, tokensAtMs });
        else
          reject(
            new TidegateError(
              "signal/unreachable",
              `${this.#options.url} did not answer ${promptTokens} prompt tokens with ${outputTokens}: ${ending.message}; check the address, --model and the lengths`,
              { retryable: true },
            ),
          );
      };
      this.#underWay.set(request, { tokensAtMs, speaks, ends });
    });
    ended.catch(() => undefined);
    this.sent++;
    this.#queue.push(request);
    this.#more?.();
    return { speaking, ended };
  }

  /** Our text has four bytes a token; how many tokens an engine makes of it, and what its template adds, two requests tell. */
  async scaleOfPrompts(): Promise<(tokens: number) => number> {
    const [few, many] = [24, 88];
    // the first only warms up
    await this.send(few, 2).ended;
    const low = await this.send(few, 2).ended;
    const high = await this.send(many, 2).ended;
    const each = Math.max(0.05, (high.promptTokens - low.promptTokens) / (many - few));
    const added = low.promptTokens - each * few;
    return (tokens) => Math.max(1, Math.round((tokens - added) / each));
  }
}
