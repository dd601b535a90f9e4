import { type Ms, TidegateError } from "../model/index.ts";
import { createFinishHeap } from "./finish-heap.ts";
import { iterationMs, prefillAttentionMs } from "./iteration.ts";
import type { EngineProfile } from "./profiles.ts";
import { createQueue, type EngineRequest, type EngineSequence, Sequence } from "./sequence.ts";

/** Tokens in one KV block, as vLLM's default. */
export const blockTokens = 16;

export interface EngineConfig {
  readonly profile: EngineProfile;
  /** Most sequences that run at once (vLLM `max_num_seqs`). */
  readonly maxNumSeqs: number;
  /** Token budget of one iteration (vLLM `max_num_batched_tokens`); not below `maxNumSeqs`. */
  readonly maxNumBatchedTokens: number;
  /** Tokens that fit into the KV cache. */
  readonly kvCapacityTokens: number;
  /** Share of blocks kept free when a waiting request is admitted beside others. */
  readonly watermark: number;
  /** Scheduling and sampling between iterations, in ms; vLLM's is 0.5 to 4. */
  readonly overheadMs: Ms;
}

/** One iteration as it ended. The object is used again for the next. */
export interface EngineIteration {
  readonly startMs: Ms;
  readonly endMs: Ms;
  /** Sequences that got a further token; each got its last one at `startMs`. */
  readonly decodes: number;
  readonly prefillTokens: number;
}

/** What happens, in order. With `iteration` the engine goes one at a time; without, over many at once to the same result. */
export interface EngineSink<R extends EngineRequest = EngineRequest> {
  admitted?(sequence: EngineSequence<R>, atMs: Ms): void;
  firstToken?(sequence: EngineSequence<R>, atMs: Ms): void;
  /** A preempted request has a further token at last; its last one was at `lastTokenMs`. */
  resumed?(sequence: EngineSequence<R>, atMs: Ms, lastTokenMs: Ms): void;
  preempted?(sequence: EngineSequence<R>, atMs: Ms): void;
  finished?(sequence: EngineSequence<R>, atMs: Ms): void;
  iteration?(iteration: EngineIteration): void;
}

/** Since the engine started. */
export interface EngineCounters {
  /** Of prompts whose prefill is over, prefix hits included, each prompt once. */
  promptTokens: number;
  genTokens: number;
  /** Prompt tokens of requests admitted for the first time. */
  prefixQueries: number;
  prefixHits: number;
  /** Computed, with what preemption made to be computed again. */
  prefillTokens: number;
  preemptions: number;
  iterations: number;
  /** Time in which the GPU worked: iterations without the overhead between them. */
  busyMs: Ms;
  /** Of it, what prefill tokens took. */
  prefillBusyMs: Ms;
}

/**
 * One vLLM V1 replica, in whatever time the caller brings.
 *
 * - First come, first served. An iteration gives one token to every running decode, then fills the rest of the token budget with
 *   prefill; a prompt larger than what is left is cut into chunks. The iteration that ends a prefill gives the first token.
 * - KV blocks are taken as tokens come. A request is admitted once its whole prompt fits above the watermark (alone: always).
 * - A decode that finds no block preempts the request admitted last, which goes back to the front of the queue, prefills prompt
 *   and generated tokens again (no prefix hits), and goes on. Nothing is admitted in such an iteration.
 * - What is submitted while an iteration runs is admitted at its end at the earliest.
 *
 * In a run of decode-only iterations with the same sequences the end of the j-th is a quadratic in j, so the engine jumps to the
 * next iteration in which anything but one more token a sequence happens. `advance` in many steps or one gives equal results to
 * the last bit. Source: vLLM's V1 scheduler and its documentation.
 */
export interface Engine<R extends EngineRequest = EngineRequest> {
  readonly counters: Readonly<EngineCounters>;
  /** In the running batch. */
  readonly running: number;
  readonly waiting: number;
  /** 0 to 1. */
  readonly kvUsed: number;
  /** The most that `kvUsed` has been at the end of an iteration. */
  readonly kvPeak: number;
  /**
   * Queues a request that arrives at `arrivesMs`, which may lie ahead (requests are to come in order of arrival). Submit all
   * that arrive by a moment before advancing to it.
   * @param spare a sequence that nobody looks at any more, to be used again: it has finished, or its engine will not be advanced
   * @returns null where prompt and output can never fit into the KV cache
   */
  submit(request: R, arrivesMs: Ms, spare?: EngineSequence<R> | null): EngineSequence<R> | null;
  /** A running request leaves at the end of the iteration under way, without its token. @returns false where it had ended. */
  cancel(sequence: EngineSequence<R>): boolean;
  /** Tokens generated so far. */
  generated(sequence: EngineSequence<R>): number;
  /** Ends every iteration due by `toMs`, and begins the one that begins then. */
  advance(toMs: Ms, sink: EngineSink<R>): void;
  /** When the iteration under way ends (or the next begins, where none is); null: nothing to do. */
  nextIterationMs(): Ms | null;
  /** The next moment at which more than one more token a running sequence can happen, no further arrivals assumed. */
  nextEventMs(): Ms | null;
  /** `counters.busyMs` plus what the iteration under way has worked by `nowMs`. */
  busyMsAt(nowMs: Ms): Ms;
  /** Start of the iteration under way; null: none is. */
  readonly startedMs: Ms | null;
  /** The iteration under way ends so much later: the GPU hung. */
  stall(byMs: Ms): void;
  /** The running batch in order of admission. */
  forEachRunning(visit: (sequence: EngineSequence<R>) => void): void;
}

/** Of whole tokens; the shift is the block's size. */
const blocksFor = (tokens: number) => (tokens + blockTokens - 1) >> 4;

/** @throws TidegateError `usage` where the token budget is below the most sequences */
export function createEngine<R extends EngineRequest = EngineRequest>(config: EngineConfig): Engine<R> {
  if (config.maxNumBatchedTokens < config.maxNumSeqs) {
    throw new TidegateError(
      "usage",
      `max-num-batched-tokens (${config.maxNumBatchedTokens}) is below max-num-seqs (${config.maxNumSeqs}); raise it or lower the other`,
    );
  }
  return new Vllm<R>(config);
}

class Vllm<R extends EngineRequest> implements Engine<R> {
  readonly counters: EngineCounters = {
    promptTokens: 0,
    genTokens: 0,
    prefixQueries: 0,
    prefixHits: 0,
    prefillTokens: 0,
    preemptions: 0,
    iterations: 0,
    busyMs: 0,
    prefillBusyMs: 0,
  };
  private readonly config: EngineConfig;
  private readonly totalBlocks: number;
  private readonly reserve: number;
  private free: number;
  private leastFree: number;
  private readonly queue = createQueue<R>();
  private readonly batch = createQueue<R>();
  private order = 0;

  /** Iterations ended; a sequence that decodes gets one token in each, so its counts follow from this one. */
  private step = 0;
  private decodes = 0;
  /** Sum of the KV tokens of decoding sequences after `step`. */
  private ctx = 0;
  /** How many decoding sequences take a new block in iterations that are that modulo the block size. */
  private readonly taking = new Int32Array(blockTokens);
  private readonly finishing = createFinishHeap<R>();
  /** The one sequence whose prefill is cut; always the last admitted. */
  private partial: Sequence<R> | null = null;
  private readonly leaving: Sequence<R>[] = [];

  /** The iteration under way. */
  private planned = false;
  private startMs = 0;
  private endMs = 0;
  private kernelMs = 0;
  private prefillMs = 0;
  private prefillTokens = 0;
  /** The first `prefillCount` of it: an array that is emptied gives its room away. */
  private readonly prefills: Sequence<R>[] = [];
  private prefillCount = 0;
  /** Head of the queue that found no room in this plan; it finds none before the batch changes. */
  private refused: Sequence<R> | null = null;
  /** End of the last iteration. */
  private boundaryMs = Number.NEGATIVE_INFINITY;

  /** A run of decode-only iterations of the same sequences; its j-th ends at start + j × first + growth × j (j − 1) / 2. */
  private sameRun = false;
  private runStartMs = 0;
  private runDone = 0;
  private runFirstMs = 0;
  private runGrowthMs = 0;
  private runBusyMs = 0;
  /** `stride`, until anything that it follows from changes; 0: not known. */
  private knownStride = 0;
  private readonly report = { startMs: 0, endMs: 0, decodes: 0, prefillTokens: 0 };

  constructor(config: EngineConfig) {
    this.config = config;
    this.totalBlocks = Math.floor(config.kvCapacityTokens / blockTokens);
    this.reserve = Math.floor(this.totalBlocks * config.watermark);
    this.free = this.totalBlocks;
    this.leastFree = this.totalBlocks;
  }

  get running(): number {
    return this.batch.size;
  }
  get waiting(): number {
    return this.queue.size;
  }
  get kvPeak(): number {
    return this.totalBlocks === 0 ? 0 : (this.totalBlocks - this.leastFree) / this.totalBlocks;
  }

  get kvUsed(): number {
    return this.totalBlocks === 0 ? 0 : (this.totalBlocks - this.free) / this.totalBlocks;
  }

  submit(request: R, arrivesMs: Ms, spare: EngineSequence<R> | null = null): EngineSequence<R> | null {
    if (blocksFor(request.promptTokens + request.outputTokens) > this.totalBlocks) return null;
    let sequence = spare as Sequence<R> | null;
    if (sequence === null) sequence = new Sequence(request, arrivesMs, this.order++);
    else sequence.reset(request, arrivesMs, this.order++);
    this.queue.push(sequence);
    this.knownStride = 0;
    return sequence;
  }

  cancel(given: EngineSequence<R>): boolean {
    const sequence = given as Sequence<R>;
    this.knownStride = 0;
    if (sequence.state === "finished" || sequence.state === "cancelled" || sequence.leaves) return false;
    if (sequence.state === "waiting" || !this.planned) {
      if (sequence.state === "waiting") this.queue.remove(sequence);
      else this.release(sequence);
      sequence.state = "cancelled";
      return true;
    }
    sequence.leaves = true;
    this.leaving.push(sequence);
    return true;
  }

  generated(given: EngineSequence<R>): number {
    const sequence = given as Sequence<R>;
    return sequence.state === "decode" ? sequence.base + this.step - sequence.request.promptTokens + 1 : sequence.done;
  }

  advance(toMs: Ms, sink: EngineSink<R>): void {
    for (;;) {
      if (!this.planned) {
        const startMs = this.nextStartMs();
        if (startMs === null || startMs > toMs) return;
        this.plan(startMs, sink);
      }
      if (this.prefillCount > 0) {
        if (this.endMs > toMs) return;
        this.complete(1, this.endMs, sink);
      } else {
        let done = this.runDone + (sink.iteration === undefined ? this.stride() : 1);
        let endMs = this.runEndMs(done);
        if (endMs > toMs) {
          done = this.lastEndedBy(toMs);
          if (done <= this.runDone) return;
          endMs = this.runEndMs(done);
        }
        this.complete(done - this.runDone, endMs, sink);
      }
    }
  }

  nextIterationMs(): Ms | null {
    return this.planned ? this.endMs : this.nextStartMs();
  }

  nextEventMs(): Ms | null {
    if (!this.planned || this.prefillCount > 0) return this.nextIterationMs();
    return this.runEndMs(this.runDone + this.stride());
  }

  busyMsAt(nowMs: Ms): Ms {
    return this.counters.busyMs + (this.planned ? Math.min(Math.max(0, nowMs - this.startMs), this.kernelMs) : 0);
  }

  get startedMs(): Ms | null {
    return this.planned ? this.startMs : null;
  }

  stall(byMs: Ms): void {
    if (!this.planned) return;
    this.endMs += byMs;
    this.runStartMs += byMs;
  }

  forEachRunning(visit: (sequence: EngineSequence<R>) => void): void {
    for (let at = this.batch.head; at !== null; at = at.next) visit(at);
  }

  private nextStartMs(): Ms | null {
    if (this.batch.size > 0) return this.boundaryMs;
    return this.queue.head === null ? null : Math.max(this.boundaryMs, this.queue.head.arrivedMs);
  }

  private runEndMs(done: number): Ms {
    return this.runStartMs + done * this.runFirstMs + (this.runGrowthMs * done * (done - 1)) / 2;
  }

  /** @returns how many iterations of this run have ended by `atMs`, those before counted */
  private lastEndedBy(atMs: Ms): number {
    if (atMs === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    if (atMs < this.endMs) return this.runDone;
    const passedMs = atMs - this.runStartMs;
    const linear = this.runFirstMs - this.runGrowthMs / 2;
    let done = Math.floor((2 * passedMs) / (linear + Math.sqrt(linear * linear + 2 * this.runGrowthMs * passedMs)));
    done = Math.max(done, this.runDone);
    while (this.runEndMs(done + 1) <= atMs) done++;
    while (done > this.runDone && this.runEndMs(done) > atMs) done--;
    return done;
  }

  /** @returns how many iterations of this run may end before the next has to be planned anew: at least 1 */
  private stride(): number {
    if (this.knownStride === 0) this.knownStride = this.measureStride();
    return this.knownStride;
  }

  private measureStride(): number {
    if (this.leaving.length > 0) return 1;
    let most = (this.finishing.first() as Sequence<R>).finishStep - this.step;
    const head = this.queue.head;
    if (head !== null && head !== this.refused) {
      const before = this.lastEndedBy(head.arrivedMs);
      const first = before > this.runDone && this.runEndMs(before) >= head.arrivedMs ? before : before + 1;
      most = Math.min(most, first - this.runDone);
    }
    // Blocks of this iteration are taken; those of the next ones come out of what is free.
    const rounds = Math.floor(this.free / this.decodes);
    let more = rounds * blockTokens;
    if (more + 1 < most) {
      let left = this.free - rounds * this.decodes;
      for (;;) {
        left -= this.taking[(this.step + 2 + more) % blockTokens] as number;
        if (left < 0 || more + 1 >= most) break;
        more++;
      }
    }
    return Math.max(1, Math.min(most, more + 1));
  }

  private plan(startMs: Ms, sink: EngineSink<R>): void {
    const { config } = this;
    let preempted = false;
    const turn = (this.step + 1) % blockTokens;
    while ((this.taking[turn] as number) > this.free) {
      this.preempt(this.batch.tail as Sequence<R>, startMs, sink);
      preempted = true;
    }
    this.free -= this.taking[turn] as number;

    let budget = config.maxNumBatchedTokens - this.decodes;
    let attentionMs = 0;
    this.prefillTokens = 0;
    this.refused = null;
    if (this.partial !== null) {
      const sequence = this.partial;
      const chunk = Math.min(budget, sequence.target - sequence.computed);
      const need = blocksFor(sequence.computed + chunk) - sequence.blocks;
      if (need > this.free) {
        this.preempt(sequence, startMs, sink);
        preempted = true;
      } else {
        attentionMs += this.prefill(sequence, chunk, need);
        budget -= chunk;
      }
    }
    while (!preempted && this.queue.head !== null && this.queue.head.arrivedMs <= startMs) {
      const sequence = this.queue.head;
      const full = this.batch.size >= config.maxNumSeqs || budget <= 0;
      if (full || (this.batch.size > 0 && blocksFor(sequence.target) > this.free - this.reserve)) {
        this.refused = sequence;
        break;
      }
      this.queue.remove(sequence);
      this.batch.push(sequence);
      sequence.state = "prefill";
      if (Number.isNaN(sequence.admittedAtMs)) {
        const { promptTokens, prefixHitTokens } = sequence.request;
        sequence.computed = Math.floor(Math.min(prefixHitTokens, promptTokens - 1) / blockTokens) * blockTokens;
        this.counters.prefixQueries += promptTokens;
        this.counters.prefixHits += sequence.computed;
        sequence.admittedAtMs = startMs;
        sink.admitted?.(sequence, startMs);
      }
      const chunk = Math.min(budget, sequence.target - sequence.computed);
      attentionMs += this.prefill(sequence, chunk, blocksFor(sequence.computed + chunk));
      budget -= chunk;
    }

    this.planned = true;
    this.knownStride = 0;
    this.startMs = startMs;
    if (this.prefillCount > 0) {
      const { profile } = config;
      this.sameRun = false;
      this.kernelMs = iterationMs(profile, { prefillTokens: this.prefillTokens, seqs: this.decodes, ctx: this.ctx }) + attentionMs;
      this.prefillMs = (profile.mixBUsPerPrefillToken * this.prefillTokens) / 1000 + attentionMs;
      this.endMs = startMs + this.kernelMs + config.overheadMs;
      return;
    }
    if (!this.sameRun) {
      this.sameRun = true;
      this.runStartMs = startMs;
      this.runDone = 0;
      this.runFirstMs = iterationMs(config.profile, { prefillTokens: 0, seqs: this.decodes, ctx: this.ctx }) + config.overheadMs;
      this.runGrowthMs = (config.profile.decDUsPer1kCtx * this.decodes) / 1e6;
      this.runBusyMs = this.counters.busyMs;
    }
    this.kernelMs = this.runFirstMs - config.overheadMs + this.runGrowthMs * this.runDone;
    this.endMs = this.runEndMs(this.runDone + 1);
  }

  /** @returns what attention adds to the chunk, in ms */
  private prefill(sequence: Sequence<R>, chunk: number, blocks: number): Ms {
    this.free -= blocks;
    sequence.blocks += blocks;
    sequence.chunk = chunk;
    this.prefillTokens += chunk;
    this.prefills[this.prefillCount++] = sequence;
    this.partial = sequence.computed + chunk < sequence.target ? sequence : null;
    return prefillAttentionMs(this.config.profile, chunk, sequence.computed);
  }

  private preempt(sequence: Sequence<R>, atMs: Ms, sink: EngineSink<R>): void {
    if (sequence.state === "decode") sequence.lastTokenMs = atMs;
    this.release(sequence);
    sequence.state = "waiting";
    sequence.computed = 0;
    sequence.target = sequence.request.promptTokens + sequence.done;
    sequence.preemptions++;
    this.counters.preemptions++;
    this.queue.unshift(sequence);
    sink.preempted?.(sequence, atMs);
  }

  /** Out of the batch, between two iterations; its blocks are free. */
  private release(sequence: Sequence<R>): void {
    if (sequence.state === "decode") {
      sequence.done = this.generated(sequence);
      const held = sequence.base + this.step;
      this.free += blocksFor(held);
      this.ctx -= held;
      this.decodes--;
      this.taking[sequence.turn] = (this.taking[sequence.turn] as number) - 1;
      this.finishing.remove(sequence);
      this.sameRun = false;
    } else {
      this.free += sequence.blocks;
      sequence.blocks = 0;
      if (this.partial === sequence) this.partial = null;
    }
    this.batch.remove(sequence);
  }

  private complete(iterations: number, endMs: Ms, sink: EngineSink<R>): void {
    const { counters, decodes, prefills } = this;
    const first = this.step + 2;
    const rounds = Math.floor((iterations - 1) / blockTokens);
    this.free -= rounds * decodes;
    for (let at = first + rounds * blockTokens; at <= this.step + iterations; at++) this.free -= this.taking[at % blockTokens] as number;
    if (this.free < this.leastFree) this.leastFree = this.free;

    let lost = 0;
    for (const sequence of this.leaving) if (sequence.state === "decode") lost++;
    counters.genTokens += decodes * iterations - lost;
    counters.iterations += iterations;
    this.ctx += decodes * iterations;
    this.step += iterations;
    this.planned = false;
    this.boundaryMs = endMs;
    if (this.prefillCount === 0) {
      this.runDone += iterations;
      const done = this.runDone;
      counters.busyMs = this.runBusyMs + done * (this.runFirstMs - this.config.overheadMs) + (this.runGrowthMs * done * (done - 1)) / 2;
    } else {
      counters.busyMs += this.kernelMs;
      counters.prefillBusyMs += this.prefillMs;
      counters.prefillTokens += this.prefillTokens;
    }

    for (let due = this.finishing.first(); due !== null && due.finishStep <= this.step; due = this.finishing.first()) {
      this.release(due);
      this.end(due, endMs, sink);
    }
    for (let at = 0; at < this.prefillCount; at++) {
      const sequence = prefills[at] as Sequence<R>;
      sequence.computed += sequence.chunk;
      if (sequence.computed === sequence.target && !sequence.leaves) this.token(sequence, endMs, sink);
    }
    this.prefillCount = 0;
    if (this.leaving.length > 0) this.letGo();
    if (sink.iteration !== undefined) {
      const { report } = this;
      report.startMs = this.startMs;
      report.endMs = endMs;
      report.decodes = decodes;
      report.prefillTokens = this.prefillTokens;
      sink.iteration(report);
    }
  }

  /** The token that ends a prefill. */
  private token(sequence: Sequence<R>, atMs: Ms, sink: EngineSink<R>): void {
    const { promptTokens, outputTokens } = sequence.request;
    sequence.done++;
    this.counters.genTokens++;
    if (Number.isNaN(sequence.firstTokenAtMs)) {
      sequence.firstTokenAtMs = atMs;
      this.counters.promptTokens += promptTokens;
      sink.firstToken?.(sequence, atMs);
    } else sink.resumed?.(sequence, atMs, sequence.lastTokenMs);
    if (sequence.done >= outputTokens) {
      this.release(sequence);
      this.end(sequence, atMs, sink);
      return;
    }
    sequence.state = "decode";
    sequence.blocks = 0;
    sequence.base = sequence.target - this.step;
    sequence.turn = (((1 - sequence.base) % blockTokens) + blockTokens) % blockTokens;
    sequence.finishStep = this.step + outputTokens - sequence.done;
    this.taking[sequence.turn] = (this.taking[sequence.turn] as number) + 1;
    this.decodes++;
    this.ctx += sequence.target;
    this.finishing.add(sequence);
    this.sameRun = false;
  }

  private end(sequence: Sequence<R>, atMs: Ms, sink: EngineSink<R>): void {
    if (sequence.leaves) {
      sequence.done--;
      return;
    }
    sequence.state = "finished";
    sequence.finishedAtMs = atMs;
    sink.finished?.(sequence, atMs);
  }

  private letGo(): void {
    for (const sequence of this.leaving) {
      if (this.batch.holds(sequence)) {
        const decoding = sequence.state === "decode";
        this.release(sequence);
        if (decoding) sequence.done--; // the token of the iteration that just ended
      }
      sequence.state = "cancelled";
    }
    this.leaving.length = 0;
  }
}
