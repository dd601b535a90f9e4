import type { Ms } from "../model/index.ts";
import type { EngineProfile } from "./profiles.ts";

/** Tokens in one KV block, as vLLM's default. */
export const blockTokens = 16;

export interface EngineConfig {
  readonly profile: EngineProfile;
  /** Most sequences that run at once (vLLM `max_num_seqs`). */
  readonly maxNumSeqs: number;
  /** Token budget of one iteration (vLLM `max_num_batched_tokens`). */
  readonly maxNumBatchedTokens: number;
  /** Tokens that fit into the KV cache. */
  readonly kvCapacityTokens: number;
  /** Share of blocks kept free when a waiting request is admitted. */
  readonly watermark: number;
  /** Scheduling and sampling between iterations, in ms; vLLM's is 0.5 to 4. */
  readonly overheadMs: Ms;
}

export interface EngineRequest {
  readonly id: number;
  readonly promptTokens: number;
  /** Tokens to generate, at least 1. */
  readonly outputTokens: number;
  /** Leading prompt tokens whose KV is already there: no prefill work, but they occupy blocks. */
  readonly prefixHitTokens: number;
}

/** A token that came out of an iteration. */
export interface TokenEvent {
  readonly id: number;
  /** 1 for the first. */
  readonly nth: number;
  readonly finished: boolean;
}

interface Sequence {
  readonly request: EngineRequest;
  readonly arrivedMs: Ms;
  scheduledMs: Ms | null;
  /** Tokens whose KV is in the cache. */
  computed: number;
  generated: number;
  blocks: number;
}

export interface EngineCounters {
  promptTokens: number;
  genTokens: number;
  prefixQueries: number;
  prefixHits: number;
  preemptions: number;
  iterations: number;
  busyMs: number;
}

/**
 * One vLLM V1 replica: first come, first served; every iteration gives one token to each running decode, then fills the rest of
 * the token budget with prefill, cut into chunks; KV blocks are taken as tokens come; where none is left the request admitted
 * last is preempted, and computes its prompt and what it had generated again. Source: the behaviour of vLLM's V1 scheduler, as its documentation and metrics describe it.
 */
export interface Engine {
  readonly counters: Readonly<EngineCounters>;
  readonly running: number;
  readonly waiting: number;
  /** 0 to 1. */
  readonly kvUsed: number;
  /** @returns false where the request can never fit into the KV cache */
  submit(request: EngineRequest, nowMs: Ms): boolean;
  cancel(id: number): boolean;
  /** Plans and starts an iteration; null where there is nothing to do. `finish` ends it. */
  begin(nowMs: Ms): { readonly durationMs: Ms; readonly tokens: number; readonly prefillTokens: number } | null;
  finish(): readonly TokenEvent[];
  /** When the request was first scheduled; null while it waits. */
  scheduledAt(id: number): Ms | null;
}

/** @returns the time of one iteration in ms; `ctx` is the sum of context tokens of the sequences that decode. */
export function iterationMs(
  profile: EngineProfile,
  work: { readonly prefillTokens: number; readonly seqs: number; readonly ctx: number },
): Ms {
  const { prefillTokens, seqs, ctx } = work;
  if (prefillTokens === 0) return profile.decAMs + (profile.decCUsPerSeq * seqs) / 1000 + (profile.decDUsPer1kCtx * ctx) / 1e6;
  return (
    profile.mixAMs +
    (profile.mixBUsPerPrefillToken * prefillTokens) / 1000 +
    (profile.mixCUsPerSeq * seqs) / 1000 +
    (profile.mixDUsPer1kCtx * ctx) / 1e6
  );
}

export function createEngine(config: EngineConfig): Engine {
  const totalBlocks = Math.floor(config.kvCapacityTokens / blockTokens);
  const reserve = Math.floor(totalBlocks * config.watermark);
  const running: Sequence[] = [];
  const waiting: Sequence[] = [];
  let free = totalBlocks;
  /** Tokens scheduled per running sequence in the iteration under way, in the order of `running`; null: none under way. */
  let plan: { readonly sequence: Sequence; readonly tokens: number }[] | null = null;
  const counters: EngineCounters = {
    promptTokens: 0,
    genTokens: 0,
    prefixQueries: 0,
    prefixHits: 0,
    preemptions: 0,
    iterations: 0,
    busyMs: 0,
  };

  const blocksFor = (tokens: number) => Math.ceil(tokens / blockTokens);
  const known = ({ request, generated }: Sequence) => request.promptTokens + generated;

  const release = (sequence: Sequence) => {
    free += sequence.blocks;
    sequence.blocks = 0;
  };

  /** Takes blocks for `tokens` in all; preempts from the back until they are there. @returns false where `sequence` itself had to go */
  const take = (sequence: Sequence, tokens: number): boolean => {
    const need = blocksFor(tokens) - sequence.blocks;
    while (need > free) {
      const victim = running.at(-1);
      if (victim === undefined) return false;
      running.pop();
      release(victim);
      victim.computed = 0;
      counters.preemptions++;
      waiting.unshift(victim);
      if (victim === sequence) return false;
    }
    if (need > 0) {
      free -= need;
      sequence.blocks += need;
    }
    return true;
  };

  return {
    counters,
    get running() {
      return running.length;
    },
    get waiting() {
      return waiting.length;
    },
    get kvUsed() {
      return totalBlocks === 0 ? 0 : 1 - free / totalBlocks;
    },
    submit(request, nowMs) {
      if (blocksFor(request.promptTokens + request.outputTokens) > totalBlocks) return false;
      waiting.push({ request, arrivedMs: nowMs, scheduledMs: null, computed: 0, generated: 0, blocks: 0 });
      counters.prefixQueries += request.promptTokens;
      return true;
    },
    cancel(id) {
      for (const list of [running, waiting]) {
        const at = list.findIndex(({ request }) => request.id === id);
        const sequence = list[at];
        if (sequence === undefined) continue;
        list.splice(at, 1);
        release(sequence);
        if (plan !== null) plan = plan.filter((one) => one.sequence !== sequence);
        return true;
      }
      return false;
    },
    begin(nowMs) {
      let budget = config.maxNumBatchedTokens;
      let prefillTokens = 0;
      let seqs = 0;
      let ctx = 0;
      const next: { sequence: Sequence; tokens: number }[] = [];
      const schedule = (sequence: Sequence, tokens: number) => {
        next.push({ sequence, tokens });
        budget -= tokens;
        const left = known(sequence) - sequence.computed;
        if (left === 1 && sequence.generated > 0) {
          seqs++;
          ctx += sequence.computed;
        } else prefillTokens += tokens;
      };
      // Running requests first: decodes take one token, prefills under way go on with what the budget leaves.
      for (let at = 0; at < running.length && budget > 0; at++) {
        const sequence = running[at] as Sequence;
        const tokens = Math.min(known(sequence) - sequence.computed, budget);
        if (!take(sequence, sequence.computed + tokens)) break;
        schedule(sequence, tokens);
      }
      let preempted = next.some(({ sequence }) => !running.includes(sequence));
      if (preempted) {
        // Somebody scheduled above was preempted for a later one: leave it out, its work is lost.
        for (let at = next.length - 1; at >= 0; at--)
          if (!running.includes((next[at] as { sequence: Sequence }).sequence)) next.splice(at, 1);
      }
      preempted ||= waiting[0]?.computed === 0 && (waiting[0]?.generated ?? 0) > 0 && free <= reserve;
      while (!preempted && budget > 0 && waiting.length > 0 && running.length < config.maxNumSeqs) {
        const sequence = waiting[0] as Sequence;
        const hit = sequence.generated === 0 ? Math.min(sequence.request.prefixHitTokens, sequence.request.promptTokens - 1) : 0;
        const tokens = Math.min(known(sequence) - hit, budget);
        if (blocksFor(hit + tokens) > free - (running.length === 0 ? 0 : reserve)) break;
        waiting.shift();
        running.push(sequence);
        sequence.scheduledMs ??= nowMs;
        sequence.computed = hit;
        if (sequence.generated === 0) counters.prefixHits += hit;
        take(sequence, hit + tokens);
        schedule(sequence, tokens);
      }
      if (next.length === 0) return null;
      plan = next;
      const durationMs = iterationMs(config.profile, { prefillTokens, seqs, ctx }) + config.overheadMs;
      counters.iterations++;
      counters.busyMs += durationMs;
      return { durationMs, tokens: config.maxNumBatchedTokens - budget, prefillTokens };
    },
    finish() {
      const events: TokenEvent[] = [];
      for (const { sequence, tokens } of plan ?? []) {
        const wasPrompt = sequence.computed < sequence.request.promptTokens;
        sequence.computed += tokens;
        if (sequence.computed < known(sequence)) continue; // a prefill that goes on
        if (wasPrompt && sequence.generated === 0) counters.promptTokens += sequence.request.promptTokens;
        sequence.generated++;
        counters.genTokens++;
        const finished = sequence.generated >= sequence.request.outputTokens;
        events.push({ id: sequence.request.id, nth: sequence.generated, finished });
        if (finished) {
          running.splice(running.indexOf(sequence), 1);
          release(sequence);
        }
      }
      plan = null;
      return events;
    },
    scheduledAt: (id) => [...running, ...waiting].find(({ request }) => request.id === id)?.scheduledMs ?? null,
  };
}
