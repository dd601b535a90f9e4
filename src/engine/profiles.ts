import { TidegateError } from "../model/index.ts";

/**
 * Iteration times of a model on a GPU, in the two forms
 *   decode only:   decA + decC × sequences + decD × context tokens
 *   with prefill:  mixA + mixB × prefill tokens + mixC × sequences + mixD × context tokens
 * Fitted on operator times that microsoft/vidur measured (MIT), or computed from data sheets (`roofline`): expect 10 to 20 % error. Or
 * `measured` on the user's own engine by `tidegate calibrate`, which tells its error.
 */
export interface EngineProfile {
  readonly model: string;
  readonly gpu: string;
  /** Tensor parallelism: GPUs that one replica takes. */
  readonly tp: number;
  readonly decAMs: number;
  readonly decCUsPerSeq: number;
  readonly decDUsPer1kCtx: number;
  readonly mixAMs: number;
  readonly mixBUsPerPrefillToken: number;
  readonly mixCUsPerSeq: number;
  readonly mixDUsPer1kCtx: number;
  readonly kvCapacityTokens: number;
  readonly source: "vidur-fit" | "roofline" | "measured";
  readonly layers: number;
  /** Query heads × head dimension. */
  readonly attentionWidth: number;
  /** Dense BF16 arithmetic of one GPU. */
  readonly peakTflops: number;
  /** Of a measured one: what its engine spends between iterations; 0 where it is in their times. */
  readonly overheadMs?: number;
  /** Of a measured one: its engine's own limits. */
  readonly limits?: { readonly maxNumSeqs: number; readonly maxNumBatchedTokens: number };
}

export interface GpuFacts {
  /** As DCGM's `modelName` has it. */
  readonly name: string;
  readonly memoryMiB: number;
  readonly peakTflops: number;
  readonly tdpWatts: number;
}

/** Of the vendors' data sheets. */
export const GPUS: Readonly<Record<string, GpuFacts>> = {
  "a100-80g": { name: "NVIDIA A100-SXM4-80GB", memoryMiB: 81_920, peakTflops: 312, tdpWatts: 400 },
  "a100-40g": { name: "NVIDIA A100-SXM4-40GB", memoryMiB: 40_960, peakTflops: 312, tdpWatts: 400 },
  "h100-80g": { name: "NVIDIA H100 80GB HBM3", memoryMiB: 81_559, peakTflops: 989, tdpWatts: 700 },
  "h200-141g": { name: "NVIDIA H200", memoryMiB: 143_771, peakTflops: 989, tdpWatts: 700 },
  "l40s-48g": { name: "NVIDIA L40S", memoryMiB: 46_068, peakTflops: 362, tdpWatts: 350 },
  "l4-24g": { name: "NVIDIA L4", memoryMiB: 23_034, peakTflops: 121, tdpWatts: 72 },
  "a10g-24g": { name: "NVIDIA A10G", memoryMiB: 23_028, peakTflops: 70, tdpWatts: 150 },
};

/** Layers, and query heads × head dimension, of the models' public configs. */
const shapes: Readonly<Record<string, readonly [number, number]>> = {
  "Llama-3.1-8B": [32, 4096],
  "Llama-3.2-3B": [28, 3072],
  "Llama-3.1-70B": [80, 8192],
  "Qwen2.5-7B": [28, 3584],
  "Qwen2.5-14B": [48, 5120],
  "Qwen2.5-32B": [64, 5120],
  "Qwen2.5-72B": [80, 8192],
  "Mixtral-8x7B": [32, 4096],
};

type Row = readonly [string, string, number, number, number, number, number, number, number, number, number, EngineProfile["source"]];
const rows: readonly Row[] = [
  ["Llama-3.1-8B", "a100-80g", 1, 10.761, 41.54, 97.854, 8.892, 72.4, 51.597, 99.619, 444407, "vidur-fit"],
  ["Llama-3.1-8B", "a100-40g", 1, 15.638, 37.36, 129.678, 14.074, 83.023, 41.512, 129.678, 149495, "roofline"],
  ["Llama-3.1-8B", "h100-80g", 1, 7.733, 11.786, 60.194, 6.959, 26.191, 13.096, 60.194, 444407, "roofline"],
  ["Llama-3.1-8B", "h200-141g", 1, 5.664, 11.786, 42.01, 5.097, 26.191, 13.096, 42.01, 894148, "roofline"],
  ["Llama-3.1-8B", "l40s-48g", 1, 23.552, 39.928, 233.39, 21.197, 88.729, 44.365, 233.39, 208478, "roofline"],
  ["Llama-3.1-8B", "l4-24g", 1, 66.169, 132.727, 672.164, 59.552, 294.949, 147.475, 672.164, 31530, "roofline"],
  ["Llama-3.1-8B", "a10g-24g", 1, 34.342, 187.714, 336.082, 30.908, 417.143, 208.571, 336.082, 31530, "roofline"],
  ["Llama-3.2-3B", "l4-24g", 1, 26.934, 53.058, 588.144, 24.24, 117.906, 58.953, 588.144, 120089, "roofline"],
  ["Llama-3.1-70B", "a100-80g", 4, 31.257, 130.03, 57.572, 28.161, 190.189, 146.718, 58.46, 476494, "vidur-fit"],
  ["Llama-3.1-70B", "a100-80g", 8, 19.812, 100.569, 30.735, 19.686, 119.805, 103.628, 30.771, 1383591, "vidur-fit"],
  ["Llama-3.1-70B", "h100-80g", 4, 21.303, 29.105, 37.621, 19.172, 64.677, 32.339, 37.621, 476494, "roofline"],
  ["Llama-3.1-70B", "h100-80g", 8, 13.781, 16.697, 18.811, 12.403, 37.105, 18.552, 18.811, 1383591, "roofline"],
  ["Llama-3.1-70B", "h200-141g", 2, 27.257, 53.92, 52.513, 24.531, 119.822, 59.911, 52.513, 382738, "roofline"],
  ["Llama-3.1-70B", "l40s-48g", 8, 31.155, 50.731, 72.934, 28.039, 112.736, 56.368, 72.934, 628616, "roofline"],
  ["Qwen2.5-7B", "a100-80g", 1, 11.514, 35.453, 43.267, 10.362, 78.784, 39.392, 43.267, 1030088, "roofline"],
  ["Qwen2.5-7B", "h100-80g", 1, 7.335, 11.184, 26.335, 6.601, 24.854, 12.427, 26.335, 1030088, "roofline"],
  ["Qwen2.5-7B", "l4-24g", 1, 62.787, 125.95, 294.072, 56.508, 279.89, 139.945, 294.072, 86370, "roofline"],
  ["Qwen2.5-14B", "a100-80g", 1, 21.772, 68.719, 148.344, 19.595, 152.709, 76.354, 148.344, 227709, "roofline"],
  ["Qwen2.5-14B", "l40s-48g", 1, 42.771, 73.442, 350.085, 38.494, 163.204, 81.602, 350.085, 70422, "roofline"],
  ["Qwen2.5-32B", "a100-80g", 2, 28.06, 78.176, 98.896, 25.254, 173.724, 86.862, 98.896, 316996, "roofline"],
  ["Qwen2.5-32B", "h100-80g", 1, 29.208, 48.084, 120.388, 26.287, 106.853, 53.426, 120.388, 33528, "roofline"],
  ["Qwen2.5-32B", "h100-80g", 2, 19.078, 25.114, 60.194, 17.17, 55.81, 27.905, 60.194, 316996, "roofline"],
  ["Qwen2.5-72B", "a100-80g", 4, 31.731, 90.471, 61.81, 28.558, 201.047, 100.523, 61.81, 463310, "roofline"],
  ["Qwen2.5-72B", "a100-80g", 8, 18.996, 49.168, 30.905, 17.096, 109.261, 54.631, 30.905, 1370407, "roofline"],
  ["Qwen2.5-72B", "h100-80g", 4, 21.763, 29.897, 37.621, 19.587, 66.439, 33.219, 37.621, 463310, "roofline"],
  ["Qwen2.5-72B", "h100-80g", 8, 14.012, 17.094, 18.811, 12.61, 37.986, 18.993, 18.811, 1370407, "roofline"],
  ["Mixtral-8x7B", "a100-80g", 2, 35.523, 30.796, 49.448, 31.971, 68.435, 34.217, 49.448, 421286, "roofline"],
  ["Mixtral-8x7B", "h100-80g", 2, 22.719, 9.896, 30.097, 20.447, 21.991, 10.996, 30.097, 421286, "roofline"],
  ["Mixtral-8x7B", "h100-80g", 4, 12.761, 5.377, 15.048, 11.485, 11.949, 5.974, 15.048, 1555157, "roofline"],
];

export const PROFILES: readonly EngineProfile[] = rows.map(
  ([
    model,
    gpu,
    tp,
    decAMs,
    decCUsPerSeq,
    decDUsPer1kCtx,
    mixAMs,
    mixBUsPerPrefillToken,
    mixCUsPerSeq,
    mixDUsPer1kCtx,
    kvCapacityTokens,
    source,
  ]) => ({
    model,
    gpu,
    tp,
    decAMs,
    decCUsPerSeq,
    decDUsPer1kCtx,
    mixAMs,
    mixBUsPerPrefillToken,
    mixCUsPerSeq,
    mixDUsPer1kCtx,
    kvCapacityTokens,
    source,
    layers: shapes[model]![0],
    attentionWidth: shapes[model]![1],
    peakTflops: GPUS[gpu]!.peakTflops,
  }),
);

/** Whether a profile is named by a file, which no built-in one's name looks like. */
export const isProfileFile = (name: string): boolean => /\.(ya?ml|json)$/i.test(name);

const short: Readonly<Record<string, string>> = { "8B": "Llama-3.1-8B/a100-80g/1", "70B": "Llama-3.1-70B/a100-80g/4" };
const nameOf = ({ model, gpu, tp }: EngineProfile) => `${model}/${gpu}/${tp}`;

/**
 * @param name `8B`, `70B`, `MODEL/GPU/TP` such as `Llama-3.1-8B/h100-80g/1`, or one of the first two kinds or a model with `gpu`
 * @param gpu takes the model of `name` to this GPU, with the fewest GPUs that there is a profile for
 * @throws TidegateError `engine/profile` listing the choices
 */
export function findProfile(name: string, gpu?: string): EngineProfile {
  const wanted = (short[name] ?? name).toLowerCase();
  const model = wanted.split("/")[0];
  const found =
    gpu === undefined
      ? PROFILES.find((profile) => nameOf(profile).toLowerCase() === wanted)
      : PROFILES.filter((profile) => profile.model.toLowerCase() === model && profile.gpu === gpu.toLowerCase()).sort(
          (a, b) => a.tp - b.tp,
        )[0];
  if (found !== undefined) return found;
  throw new TidegateError(
    "engine/profile",
    `no engine profile ${JSON.stringify(name)}${gpu === undefined ? "" : ` on GPU ${JSON.stringify(gpu)}`}; there is ${Object.keys(short).join(", ")}, ${PROFILES.map(nameOf).join(", ")}`,
  );
}
