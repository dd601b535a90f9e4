import { randomStreams } from "../../src/traces/index.ts";
import type { DifferentialScenario } from "./scenario.ts";

const pods = (name: string, averageValue: string) => ({
  type: "Pods",
  pods: { metric: { name }, target: { type: "AverageValue", averageValue } },
});
const external = (name: string, averageValue: string) => ({
  type: "External",
  external: { metric: { name }, target: { type: "AverageValue", averageValue } },
});

/** Courses that people ask about, each with what makes it worth asking. */
const told: readonly DifferentialScenario[] = [
  {
    name: "the GPU manifest: busy, then idle, windows and rates both ways",
    spec: {
      minReplicas: 2,
      maxReplicas: 10,
      metrics: [pods("dcgm_gpu_utilization", "75")],
      behavior: {
        scaleUp: {
          stabilizationWindowSeconds: 60,
          selectPolicy: "Max",
          policies: [
            { type: "Percent", value: 50, periodSeconds: 30 },
            { type: "Pods", value: 2, periodSeconds: 30 },
          ],
        },
        scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] },
      },
    },
    startReplicas: 2,
    seconds: 900,
    syncSeconds: 15,
    readyAfterSeconds: 30,
    values: [
      { at: 0, name: "dcgm_gpu_utilization", value: 60, of: "pod" },
      { at: 60, name: "dcgm_gpu_utilization", value: 99, of: "pod" },
      { at: 400, name: "dcgm_gpu_utilization", value: 20, of: "pod" },
    ],
  },
  {
    name: "ten and one more: tolerance swallows it unless it is 0",
    spec: {
      minReplicas: 1,
      maxReplicas: 40,
      metrics: [external("wanted", "1")],
      behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
    },
    startReplicas: 10,
    seconds: 240,
    syncSeconds: 15,
    readyAfterSeconds: 0,
    values: [10, 11, 10, 20, 21].map((value, at) => ({ at: at * 45, name: "wanted", value, of: "total" as const })),
  },
  {
    name: "the same with tolerance 0, no windows and wide rates",
    spec: {
      minReplicas: 1,
      maxReplicas: 40,
      metrics: [external("wanted", "1")],
      behavior: {
        scaleUp: { tolerance: "0", stabilizationWindowSeconds: 0, policies: [{ type: "Pods", value: 40, periodSeconds: 15 }] },
        scaleDown: { tolerance: "0", stabilizationWindowSeconds: 0, policies: [{ type: "Pods", value: 40, periodSeconds: 15 }] },
      },
    },
    startReplicas: 10,
    seconds: 240,
    syncSeconds: 15,
    readyAfterSeconds: 0,
    values: [10, 11, 10, 20, 21].map((value, at) => ({ at: at * 45, name: "wanted", value, of: "total" as const })),
  },
];

/** A random course of a random manifest; the same for the same seed. */
function generated(seed: number): DifferentialScenario {
  const [random] = randomStreams(seed, 1) as [() => number];
  for (let at = 0; at < 32; at++) random();
  const whole = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));
  const rules = () => ({
    stabilizationWindowSeconds: whole(0, 4) * 30,
    selectPolicy: random() < 0.7 ? "Max" : "Min",
    policies: Array.from({ length: whole(1, 2) }, () => ({
      type: random() < 0.5 ? "Pods" : "Percent",
      value: whole(1, 8) * (random() < 0.5 ? 1 : 10),
      periodSeconds: whole(1, 6) * 15,
    })),
  });
  const min = whole(1, 4);
  const max = min + whole(1, 20);
  const byPod = random() < 0.6;
  const seconds = 600;
  return {
    name: `generated ${seed}`,
    spec: {
      minReplicas: min,
      maxReplicas: max,
      metrics: [byPod ? pods("load", "10") : external("load", "10")],
      ...(random() < 0.7 ? { behavior: { scaleUp: rules(), scaleDown: rules() } } : {}),
    },
    startReplicas: whole(min, max),
    seconds,
    syncSeconds: 15,
    readyAfterSeconds: whole(0, 60),
    values: Array.from({ length: whole(2, 8) }, (_, at) => ({
      at: Math.floor((at * seconds) / 8),
      name: "load",
      value: byPod ? whole(1, 30) : whole(1, 10 * max),
      of: byPod ? ("pod" as const) : ("total" as const),
    })),
  };
}

export const SCENARIOS: readonly DifferentialScenario[] = [...told, ...Array.from({ length: 40 }, (_, at) => generated(at + 1))];
