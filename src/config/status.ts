import { z } from "zod";

/** What a controller says of an Endpoint or Fleet object in its `status`. Counts are of replicas; durations are as in the config. */

const condition = z.strictObject({
  type: z.string(),
  status: z.enum(["True", "False", "Unknown"]),
  reason: z.string(),
  message: z.string(),
  lastTransitionTime: z.string(),
  observedGeneration: z.int(),
});
export type StatusCondition = z.output<typeof condition>;

const replicaCounts = z.strictObject({
  ready: z.int(),
  starting: z.int(),
  draining: z.int(),
  failed: z.int(),
  standby: z.int(),
});

export const endpointStatusSchema = z.strictObject({
  observedGeneration: z.int().optional().describe("the generation of the spec that was last read, be it valid or not"),
  desired: z.int().optional().describe("replicas that stand decided, over all pools; absent before the first decision"),
  current: z.int().optional().describe("replicas that the platform has been asked for, over all pools"),
  replicas: replicaCounts.optional().describe("replicas by state, over all pools; absent while the platform cannot be seen"),
  bounds: z.strictObject({ min: z.int(), max: z.int().optional() }).optional().describe("as they came out of spec and manifest"),
  policy: z.string().optional().describe("what decides: the policy's kind, and the manifest's name where there is one"),
  pools: z
    .array(
      replicaCounts.extend({
        name: z.string(),
        target: z.string().optional().describe("the object that is scaled, as kubectl names it"),
        selector: z.string().optional().describe("of its pods, for kubectl get pods -l"),
        desired: z.int().optional(),
        current: z.int().optional(),
      }),
    )
    .optional(),
  lastDecision: z
    .strictObject({ time: z.string(), from: z.int(), to: z.int(), reason: z.string() })
    .optional()
    .describe("the last one that changed the count"),
  attainment: z.string().optional().describe("share of ended requests that met the objective since the gateways started"),
  coldStartP90: z.string().optional().describe("90th percentile of measured times from asked for to ready"),
  conditions: z.array(condition).optional(),
});
export type EndpointStatus = z.output<typeof endpointStatusSchema>;

export const fleetStatusSchema = z.strictObject({
  observedGeneration: z.int().optional(),
  conditions: z.array(condition).optional(),
});
export type FleetStatus = z.output<typeof fleetStatusSchema>;
