import { Gauge, Registry } from "prom-client";
import type { GpuFacts } from "../engine/index.ts";

/** A DCGM exporter's page for the GPUs of one replica, under the exporter's names. */
export function dcgmMetrics(facts: GpuFacts, hostname: string, pod: string, gpus: number) {
  const registry = new Registry();
  const labelNames = ["gpu", "UUID", "device", "modelName", "Hostname", "container", "namespace", "pod"];
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames, registers: [registry] });
  const util = gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).");
  const used = gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).");
  const free = gauge("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).");
  const power = gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).");
  const active = gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Ratio of time the graphics engine is active.");
  const tensor = gauge("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Ratio of cycles the tensor (HMMA) pipe is active.");
  const dram = gauge("DCGM_FI_PROF_DRAM_ACTIVE", "Ratio of cycles the device memory interface is active sending or receiving data.");
  return {
    registry,
    /**
     * `busy`: share of the last second in which a step ran; `prefill`: share of the tokens of that second that were prefill. Memory
     * is reserved up front once weights are loaded. Power: 0.45 of TDP while decoding, toward all of it while prefilling.
     */
    set(at: { busy: number; prefill: number; loaded: boolean }) {
      const usedMiB = Math.round(facts.memoryMiB * (at.loaded ? 0.9 : 0.01));
      const idleW = 0.17 * facts.tdpWatts;
      for (let gpu = 0; gpu < gpus; gpu++) {
        const labels = {
          gpu: String(gpu),
          UUID: `GPU-${pod}-${gpu}`,
          device: `nvidia${gpu}`,
          modelName: facts.name,
          Hostname: hostname,
          container: "engine",
          namespace: "default",
          pod,
        };
        util.labels(labels).set(Math.round(100 * at.busy));
        used.labels(labels).set(usedMiB);
        free.labels(labels).set(facts.memoryMiB - usedMiB);
        power.labels(labels).set(Math.round(idleW + at.busy * ((0.45 + 0.55 * at.prefill) * facts.tdpWatts - idleW)));
        active.labels(labels).set(at.busy);
        tensor.labels(labels).set(at.busy * (0.1 + 0.6 * at.prefill));
        dram.labels(labels).set(at.busy * (0.75 - 0.4 * at.prefill));
      }
    },
  };
}
