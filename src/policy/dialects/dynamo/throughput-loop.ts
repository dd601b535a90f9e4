import type { Step } from "../../../model/index.ts";
import { replicas as count, num, seconds } from "../../words.ts";
import { meanLatency, meanOutput, meanPrompt, step } from "../llm/index.ts";
import { clampToBudget } from "./clamp.ts";
import type { Component, Counts, Now, PlannerState } from "./components.ts";
import { iterationTime } from "./engine-model.ts";
import { observe, predictNext, predictorConfig } from "./predictor.ts";
import type { PlannerSpec } from "./spec.ts";
import {
  type Corrections,
  capChange,
  corrections,
  type Forecast,
  NO_CORRECTION,
  type Sized,
  sizeAggregated,
  sizeCorrected,
  sizeDecode,
  sizePrefill,
} from "./throughput.ts";

/** What the throughput loop wants of every component; null where it cannot size them all. */
export function throughputLoop(
  state: PlannerState,
  nows: readonly Now[],
  spec: PlannerSpec,
  steps: Step[],
): { readonly state: PlannerState; readonly wanted: Counts | null } {
  const { traffic } = state;
  const throughputMs = spec.throughput_adjustment_interval_seconds * 1000;
  const config = predictorConfig(spec);
  const windowSeconds = (traffic.toMs - traffic.fromMs) / 1000;
  if (traffic.partial || !(windowSeconds > 0)) {
    steps.push(step("no-traffic-data", `Nobody says what arrived in the last ${seconds(throughputMs)}: the throughput loop skips it.`));
    return { state, wanted: null };
  }
  const prompt = meanPrompt(traffic);
  const output = meanOutput(traffic) ?? (traffic.requests > 0 ? (state.size?.output ?? 0) : 0);
  const window = { requests: (traffic.requests * throughputMs) / 1000 / windowSeconds, prompt: prompt ?? 0, output };
  const seenBy = {
    requests: observe(state.predictors.requests, window.requests, config),
    prompt: observe(state.predictors.prompt, window.prompt, config),
    output: observe(state.predictors.output, window.output, config),
  };
  const [requests, promptNext, outputNext] = [
    predictNext(seenBy.requests, config),
    predictNext(seenBy.prompt, config),
    predictNext(seenBy.output, config),
  ];
  const hitShare = traffic.promptTokens > 0 ? Math.min(1, traffic.hitTokens / traffic.promptTokens) : state.hitShare;
  const forecast: Forecast = {
    requestsPerSecond: (1000 * requests.value) / throughputMs,
    promptTokens: promptNext.value,
    outputTokens: outputNext.value,
    hitShare,
  };
  let after: PlannerState = {
    ...state,
    hitShare,
    predictors: { requests: requests.predictor, prompt: promptNext.predictor, output: outputNext.predictor },
  };
  steps.push(
    step(
      "forecast",
      `${num(forecast.requestsPerSecond)} requests/s are expected, of ${num(forecast.promptTokens, 0)} prompt and ${num(forecast.outputTokens, 0)} output tokens (${spec.load_predictor} of ${num(window.requests)} in the last interval).`,
      { ...forecast, observed: window.requests },
    ),
  );
  const sized = sizeAll(after, nows, forecast, window, spec, steps);
  after = sized.state;
  const ready = nows.every(({ unit }) => (sized.sizes[unit.component]?.replicas ?? null) !== null);
  const wanted: Counts = {};
  for (const { unit, workers } of nows) {
    const size = sized.sizes[unit.component];
    const rate = size?.rate ?? null;
    if (size?.replicas == null || rate === null)
      steps.push(
        step(
          "model-not-ready",
          `${unit.pool.name}: its engines cannot be sized yet, so it stays at ${workers}.`,
          { workers },
          unit.pool.name,
        ),
      );
    else {
      const latencies = [
        rate.ttftMs === null ? "" : `${num(rate.ttftMs, 0)} ms to the first token`,
        rate.itlMs === null ? "" : `${num(rate.itlMs, 1)} ms between tokens`,
      ];
      steps.push(
        step(
          "engine-rate",
          `${unit.pool.name}: one engine carries ${num(rate.perSecond)} requests/s at ${latencies.filter((text) => text !== "").join(" and ")}${rate.met ? "" : " (the target cannot be met)"}: ${count(size.replicas)}.`,
          { perSecond: rate.perSecond, replicas: size.replicas },
          unit.pool.name,
        ),
      );
    }
    // Where one side cannot be sized the other does not move either.
    const desired = ready ? (size?.replicas as number) : workers;
    const capped = spec.version === "2025" ? desired : capChange(desired, workers, spec.max_throughput_scaling_replicas);
    if (capped !== desired)
      steps.push(
        step(
          "capped",
          `${unit.pool.name}: ${desired} is more than ${spec.max_throughput_scaling_replicas} away from ${workers}; ${capped} for now.`,
          { desired, capped },
          unit.pool.name,
        ),
      );
    wanted[unit.component] = Math.max(capped, unit.minEndpoint);
  }
  return { state: after, wanted: clampToBudget(wanted, nows, spec, steps) };
}

function sizeAll(
  state: PlannerState,
  nows: readonly Now[],
  forecast: Forecast,
  window: { readonly requests: number; readonly prompt: number; readonly output: number },
  spec: PlannerSpec,
  steps: Step[],
): { readonly state: PlannerState; readonly sizes: Partial<Record<Component, Sized>> } {
  const throughputMs = spec.throughput_adjustment_interval_seconds * 1000;
  const targets = { ttftMs: spec.ttft_ms, itlMs: spec.itl_ms };
  const timeOf = (now: Now | undefined) => (now === undefined ? null : iterationTime(state.models[now.unit.component], now.unit.kind, 1));
  const sizes: Partial<Record<Component, Sized>> = {};
  const [prefill, decode] = [nows.find(({ unit }) => unit.kind === "prefill"), nows.find(({ unit }) => unit.kind === "decode")];
  const [prefillTime, decodeTime] = [timeOf(prefill), timeOf(decode)];
  if (spec.version === "2025" && prefill !== undefined && decode !== undefined && prefillTime !== null && decodeTime !== null) {
    const [ttft, itl] = [meanLatency([state.ttft]), meanLatency([state.itl])];
    if (ttft === null || itl === null || !(window.prompt > 0) || !(window.output > 0)) return { state, sizes };
    let factors: Corrections = NO_CORRECTION;
    if (!spec.no_correction) {
      const seen = {
        ttftMs: ttft * 1000,
        itlMs: itl * 1000,
        requestsPerSecond: (1000 * window.requests) / throughputMs,
        promptTokens: window.prompt,
        outputTokens: window.output,
        decodeReplicas: decode.workers,
      };
      const found = corrections(prefillTime, decodeTime, prefill.shape, seen);
      if (found === null) return { state, sizes };
      factors = found;
      steps.push(
        step(
          "correction",
          `Observed over expected: ${num(factors.prefill)} of the time to first token, ${num(factors.decode)} of that between tokens.`,
          { ...factors },
        ),
      );
    }
    const shapes = { prefill: prefill.shape, decode: decode.shape };
    return {
      state: { ...state, corrections: { ...factors } },
      sizes: sizeCorrected(prefillTime, decodeTime, shapes, forecast, targets, factors),
    };
  }
  for (const now of nows) {
    const time = timeOf(now);
    if (time === null) continue;
    const size = { prefill: sizePrefill, decode: sizeDecode, agg: sizeAggregated }[now.unit.kind];
    sizes[now.unit.component] = size(time, now.shape, forecast, targets);
  }
  return { state, sizes };
}
