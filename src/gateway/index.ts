/** The door: OpenAI-compatible, streaming, holding while no replica is ready, draining. */
export { adminHandler } from "./admin.ts";
export type { Gateway } from "./contract.ts";
export { type GatewayOptions, startGateway } from "./gateway.ts";
export type { TransportFactory, UpstreamCall, UpstreamHandler, UpstreamRequest, UpstreamTransport, UpstreamTrouble } from "./transport.ts";
