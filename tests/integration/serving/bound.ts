import { expect, onTestFinished } from "vitest";
import type { Target } from "../../../src/model/index.ts";
import { statusWhen } from "../../../src/platforms/conformance.ts";
import type { PlatformReplica, PlatformStatus } from "../../../src/platforms/index.ts";
import type { Plane } from "../kubernetes/plane/plane.ts";
import { grant, type Opened, openPlatform, rule } from "../kubernetes/workload.ts";

export const ask = (replicas: number, drain: readonly string[] = []) => ({ kind: "scale", replicas, drain }) as const;
export const ready = ({ replicas }: PlatformStatus): readonly PlatformReplica[] => replicas.filter(({ state }) => state === "ready");
export const limitMs = 60_000;

/** `kubeconfig`: of who binds it; an administrator's, unless said otherwise. */
export async function bind(plane: Plane, target: Target, kubeconfig = plane.kubeconfig): Promise<Opened> {
  const opened = await openPlatform(plane, target.name, { target, kubeconfig });
  onTestFinished(() => opened.platform.close("leave"));
  return opened;
}

/** What docs/kubernetes.md names for whatever is scaled. */
export const podRights = rule([""], ["pods"], ["list", "watch", "patch"]);

/** Binds it as a user with exactly these rights. */
export async function bindAs(plane: Plane, user: string, rules: readonly object[], target: Target): Promise<Opened> {
  await grant(plane, user, [podRights, ...rules]);
  return bind(plane, target, plane.kubeconfigFor(user));
}

/** Waits for so many ready replicas, and no other that lives. */
export const readyOf = (opened: Opened, count: number): Promise<PlatformStatus> =>
  statusWhen(
    opened.platform,
    (status) => ready(status).length === count && status.replicas.every(({ state }) => state === "ready" || state === "gone"),
    limitMs,
  );

/** Asks for a count and waits until it is there. @returns the ids of what is ready then */
export async function grow(opened: Opened, to: number): Promise<readonly string[]> {
  expect(await opened.platform.scale("default", ask(to))).toBe("accepted");
  return ready(await readyOf(opened, to)).map(({ id }) => id);
}

/** Asks for a lower count and lets what drains go at once. @returns the ids of what has gone */
export async function shrink(opened: Opened, to: number, drain: readonly string[] = []): Promise<readonly string[]> {
  const { platform } = opened;
  const before = ready(await platform.status()).map(({ id }) => id);
  expect(await platform.scale("default", ask(to, drain))).toBe("accepted");
  const draining = (await platform.status()).replicas.filter(({ state }) => state === "draining").map(({ id }) => id);
  for (const id of draining) platform.drained(id);
  const left = ready(await readyOf(opened, to)).map(({ id }) => id);
  const gone = before.filter((id) => !left.includes(id));
  expect(gone.toSorted()).toEqual(draining.toSorted());
  return gone;
}
