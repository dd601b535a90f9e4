import type { Clock, Ms } from "../../model/index.ts";
import type { User } from "./authentication.ts";
import type { Cluster } from "./cluster.ts";
import { ExpiringMap } from "./expiring-map.ts";
import type { ApiRequest } from "./path.ts";
import { ApiError } from "./status.ts";

const allowedTtlMs: Ms = 300_000;
const deniedTtlMs: Ms = 30_000;
const kept = 8192;

export interface Authorizer {
  /** @throws ApiError `Forbidden`, or the cluster's error when it cannot be asked */
  authorize(user: User, request: ApiRequest): Promise<void>;
}

/** What is read of a SubjectAccessReview. */
interface Reviewed {
  readonly status?: { readonly allowed?: boolean; readonly denied?: boolean; readonly reason?: string };
}

/** Delegated authorization: every request is the cluster's to allow, by SubjectAccessReview. */
export function createAuthorizer({ cluster, clock }: { readonly cluster: Cluster; readonly clock: Clock }): Authorizer {
  const verdicts = new ExpiringMap<{ readonly allowed: boolean; readonly reason: string }>(kept, clock);

  return {
    async authorize(user, request) {
      const attributes = attributesOf(request);
      const spec = { user: user.name, groups: user.groups, uid: user.uid, extra: user.extra, ...attributes };
      const key = JSON.stringify(spec);
      let verdict = verdicts.get(key);
      if (verdict === undefined) {
        const { status: said } = await cluster.ask<Reviewed>({
          method: "POST",
          path: "/apis/authorization.k8s.io/v1/subjectaccessreviews",
          body: { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec },
        });
        verdict = { allowed: said?.allowed === true && said.denied !== true, reason: said?.reason ?? "" };
        verdicts.set(key, verdict, verdict.allowed ? allowedTtlMs : deniedTtlMs);
      }
      if (verdict.allowed) return;
      const what =
        request.kind === "other"
          ? `get path ${JSON.stringify(request.path)}`
          : `${request.verb} resource ${JSON.stringify(request.resource)} in API group ${JSON.stringify(request.group)}` +
            (request.namespace === "" ? " at the cluster scope" : ` in the namespace ${JSON.stringify(request.namespace)}`);
      throw new ApiError(
        "Forbidden",
        `User ${JSON.stringify(user.name)} cannot ${what}${verdict.reason === "" ? "" : `: ${verdict.reason}`}`,
      );
    },
  };
}

function attributesOf(request: ApiRequest) {
  if (request.kind === "other") return { nonResourceAttributes: { path: request.path, verb: "get" } };
  const { namespace, verb, group, version, resource, subresource, name } = request;
  return { resourceAttributes: { namespace, verb, group, version, resource, subresource, name } };
}
