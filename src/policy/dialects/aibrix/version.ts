/** What releases do differently. */
export interface AibrixFeatures {
  /** A count outside the bounds goes to the bound without looking at metrics; later it does so only where metrics fail. */
  readonly boundsFirst: boolean;
  readonly pendingReplicaGuard: boolean;
}
export type AibrixVersion = "0.7" | "main";
export const AIBRIX_FOLLOWED: AibrixVersion = "0.7";
export const AIBRIX_VERSIONS: Readonly<Record<AibrixVersion, AibrixFeatures>> = {
  "0.7": { boundsFirst: true, pendingReplicaGuard: false },
  main: { boundsFirst: false, pendingReplicaGuard: true },
};
