import type { Ms, SignalName } from "../../model/index.ts";
import { parseExposition } from "./exposition.ts";

/** One GPU, or one slice of a GPU under MIG, as a DCGM exporter saw it. */
export interface GpuDevice {
  /** Its index on the host, and the slice's behind a dot. */
  readonly gpu: string;
  readonly host: string;
  /** The pod that holds it; null where the exporter does not know. */
  readonly pod: string | null;
  readonly signals: Readonly<Partial<Record<SignalName, number>>>;
  /** MiB. */
  readonly memory: { readonly used: number; readonly free: number } | null;
}

export interface GpuReport {
  readonly atMs: Ms;
  readonly devices: readonly GpuDevice[];
}

/** Family → signal and the largest value that makes sense: DCGM writes huge numbers for "blank". */
const families: Readonly<Record<string, { readonly signal: SignalName; readonly most: number }>> = {
  DCGM_FI_DEV_GPU_UTIL: { signal: "gpu_utilization", most: 100 },
  DCGM_FI_PROF_GR_ENGINE_ACTIVE: { signal: "gr_active", most: 1 },
  DCGM_FI_PROF_SM_ACTIVE: { signal: "sm_active", most: 1 },
  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE: { signal: "tensor_active", most: 1 },
  DCGM_FI_PROF_DRAM_ACTIVE: { signal: "dram_active", most: 1 },
  DCGM_FI_DEV_POWER_USAGE: { signal: "gpu_power", most: 100_000 },
};
/** DCGM field → signal. */
export const DCGM_SIGNALS: Readonly<Record<string, SignalName>> = Object.fromEntries(
  Object.entries(families).map(([family, { signal }]) => [family, signal]),
);
const memoryFamilies = { DCGM_FI_DEV_FB_USED: "used", DCGM_FI_DEV_FB_FREE: "free" } as const;
const mostMib = 1e8;

/**
 * Reads a DCGM exporter's page. The pod is `exported_pod` where there is one (then plain `pod` is the exporter's own), else
 * `pod`, else the old `pod_name`. Source: NVIDIA dcgm-exporter, default counters and labels.
 * @throws TidegateError `signal/malformed` when the text is no metrics page
 */
export function parseGpuPage(text: string, atMs: Ms): GpuReport {
  const page = parseExposition(text, (name) => name in families || name in memoryFamilies);
  const devices = new Map<
    string,
    Omit<GpuDevice, "signals" | "memory"> & { signals: Partial<Record<SignalName, number>>; used?: number; free?: number }
  >();
  for (const [name, samples] of page) {
    for (const { labels, value } of samples) {
      const slice = labels["GPU_I_ID"] ?? "";
      const gpu = slice === "" ? (labels["gpu"] ?? "") : `${labels["gpu"] ?? ""}.${slice}`;
      const host = labels["Hostname"] ?? labels["hostname"] ?? "";
      const pod = labels["exported_pod"] ?? labels["pod"] ?? labels["pod_name"] ?? "";
      const key = JSON.stringify([host, gpu, labels["UUID"] ?? "", pod]);
      let device = devices.get(key);
      if (device === undefined) {
        device = { gpu, host, pod: pod === "" ? null : pod, signals: {} };
        devices.set(key, device);
      }
      const known = families[name];
      if (known !== undefined) {
        if (value >= 0 && value <= known.most) device.signals[known.signal] = value;
      } else if (value >= 0 && value <= mostMib) device[memoryFamilies[name as keyof typeof memoryFamilies]] = value;
    }
  }
  return {
    atMs,
    devices: [...devices.values()].map(({ used, free, ...device }) => ({
      ...device,
      memory: used === undefined || free === undefined ? null : { used, free },
    })),
  };
}

/** Several devices as one: shares are means, power is the sum, memory is used over used and free of all. Absent where none has it. */
export function foldGpus(devices: readonly GpuDevice[]): Partial<Record<SignalName, number>> {
  const folded: Partial<Record<SignalName, number>> = {};
  for (const { signal } of Object.values(families)) {
    const values = devices.flatMap(({ signals }) => signals[signal] ?? []);
    if (values.length === 0) continue;
    const total = values.reduce((a, b) => a + b, 0);
    folded[signal] = signal === "gpu_power" ? total : total / values.length;
  }
  const memories = devices.flatMap(({ memory }) => memory ?? []);
  const used = memories.reduce((sum, memory) => sum + memory.used, 0);
  const all = memories.reduce((sum, memory) => sum + memory.used + memory.free, 0);
  if (all > 0) folded.gpu_memory_used = used / all;
  return folded;
}
