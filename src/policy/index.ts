/** Decides how many replicas an endpoint should have: Observation in, Decision out. Pure: no I/O, no clock, no randomness. */
import type { Endpoint, Json, Policy, PolicySpec } from "../model/index.ts";
import { hpaPolicy } from "./dialects/hpa/index.ts";
import { signalsPolicy } from "./signals.ts";
import { sloPolicy } from "./slo/policy.ts";
import { staticPolicy } from "./static.ts";

type Kind = PolicySpec["kind"];
type Factories = { readonly [K in Kind]: (endpoint: Endpoint, spec: Extract<PolicySpec, { kind: K }>) => Policy<Json> };

/** Every way of deciding; a new one is one line here. */
const POLICIES: Factories = {
  static: (endpoint, { replicas }) => staticPolicy(endpoint, replicas),
  signals: (endpoint, { spec }) => signalsPolicy(endpoint, spec),
  slo: (endpoint, { spec }) => sloPolicy(endpoint, spec),
  hpa: (endpoint, { manifest }) => hpaPolicy(endpoint, manifest),
};

export const POLICY_KINDS = Object.keys(POLICIES) as readonly Kind[];

/** The policy that the endpoint's config names, bound to it. Expects a validated Endpoint. */
export function createPolicy(endpoint: Endpoint): Policy<Json> {
  const make = POLICIES[endpoint.policy.kind] as (endpoint: Endpoint, spec: PolicySpec) => Policy<Json>;
  return make(endpoint, endpoint.policy);
}

export { latestValue, type Reading } from "./reading.ts";
