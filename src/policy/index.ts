/** Decides how many replicas an endpoint should have: Observation in, Decision out. Pure: no I/O, no clock, no randomness. */
import type { DialectKind, Endpoint, Json, Policy, PolicySpec } from "../model/index.ts";
import { DIALECTS, dialectOf } from "./dialects/index.ts";
import { signalsPolicy } from "./signals.ts";
import { sloPolicy } from "./slo/policy.ts";
import { staticPolicy } from "./static.ts";

type OwnKind = Exclude<PolicySpec["kind"], DialectKind>;
type Factories = { readonly [K in OwnKind]: (endpoint: Endpoint, spec: Extract<PolicySpec, { kind: K }>) => Policy<Json> };

/** Our own ways of deciding; a new one is one line here, another system's one line in `dialects/index.ts`. */
const OWN: Factories = {
  static: (endpoint, { replicas }) => staticPolicy(endpoint, replicas),
  signals: (endpoint, { spec }) => signalsPolicy(endpoint, spec),
  slo: (endpoint, { spec }) => sloPolicy(endpoint, spec),
};

export const POLICY_KINDS = [...Object.keys(OWN), ...DIALECTS.map(({ kind }) => kind)] as readonly PolicySpec["kind"][];

/** The policy that the endpoint's config names, bound to it. Expects a validated Endpoint. */
export function createPolicy(endpoint: Endpoint): Policy<Json> {
  const spec = endpoint.policy;
  if ("manifest" in spec) return dialectOf(spec.kind).policy(endpoint, spec.manifest);
  const make = OWN[spec.kind] as (endpoint: Endpoint, spec: PolicySpec) => Policy<Json>;
  return make(endpoint, spec);
}

export { type Bounds, type Dialect, dialectOf } from "./dialects/index.ts";
export { type Claim, claimKey, shareQuota } from "./quota.ts";
export type { Reading } from "./reading.ts";
export { isTimeZone, parseCron, parseDateTime } from "./schedule.ts";
