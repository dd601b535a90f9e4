/** Which replica takes a request. Pure. */
export { type Candidate, pickReplica, ROUTINGS, type Routing, type RoutingRequest, workOf } from "./pick-replica.ts";
export { hashText } from "./rendezvous.ts";
