/** Which replica takes a request, and who goes first where none has room. Pure. */
export { DoorQueue, type DoorWaiter, hasRoom, lateFromMs, NOWHERE, shareOfBound } from "./door-queue.ts";
export { type Candidate, pickReplica, ROUTINGS, type Routing, type RoutingRequest, workOf } from "./pick-replica.ts";
export { hashText } from "./rendezvous.ts";
