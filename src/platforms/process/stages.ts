import type { EngineKind, Stage } from "../../model/index.ts";

const announced = /^tidegate-stage (provision|pull|load|warmup)\s*$/;

/** Lines by which engines give away their stage; from their sources' log calls, so a new release may need a new row. */
const known: Readonly<Partial<Record<EngineKind, readonly (readonly [RegExp, Stage])[]>>> = {
  vllm: [
    [/Starting to load model|Loading weights took/, "load"],
    [/Capturing CUDA graph|torch\.compile/, "warmup"],
  ],
  sglang: [
    [/Load weight begin/, "load"],
    [/Capture cuda graph begin/i, "warmup"],
  ],
  llamacpp: [
    [/warming up the model/, "warmup"],
    [/load_model|loading model/, "load"],
  ],
};

/** The stage that a line of a replica's output tells of, or null. Any engine may print `tidegate-stage <stage>`. */
export function stageOf(line: string, engine: EngineKind): Stage | null {
  const own = announced.exec(line)?.[1];
  if (own !== undefined) return own as Stage;
  return known[engine]?.find(([pattern]) => pattern.test(line))?.[1] ?? null;
}
