/** How an HPA or KEDA follows what stands decided: the aggregated metrics API and KEDA's external scaler, over a controller's admin API. */
export { type AdminSourceOptions, adminSource } from "./admin-source.ts";
export { type Bridge, type BridgeOptions, bridgeHandler, type EndpointCondition, startBridge } from "./bridge.ts";
export type { CertificateFiles } from "./certificate-files.ts";
export type { Source } from "./source.ts";
