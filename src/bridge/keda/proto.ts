import { fileURLToPath } from "node:url";
import { type GrpcObject, loadPackageDefinition, type ServiceClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** int64 as numbers (metric values are far below 2^53), and fields that were not sent as their zero. */
const options = { longs: Number, enums: String, defaults: true } as const;

function load(file: string): GrpcObject {
  return loadPackageDefinition(loadSync(fileURLToPath(new URL(file, import.meta.url)), options));
}

const at = (root: GrpcObject, ...path: readonly string[]): ServiceClientConstructor =>
  path.reduce<GrpcObject>((object, name) => object[name] as GrpcObject, root) as unknown as ServiceClientConstructor;

/** A client class of each service; its `service` is what a server takes. */
export const externalScaler = (): ServiceClientConstructor => at(load("externalscaler.proto"), "externalscaler", "ExternalScaler");
export const health = (): ServiceClientConstructor => at(load("health.proto"), "grpc", "health", "v1", "Health");

export interface ScaledObjectRef {
  readonly name: string;
  readonly namespace: string;
  readonly scalerMetadata: Readonly<Record<string, string>>;
}
export interface MetricSpec {
  readonly metricName: string;
  readonly targetSize: number;
  readonly targetSizeFloat: number;
}
export interface MetricValue {
  readonly metricName: string;
  readonly metricValue: number;
  readonly metricValueFloat: number;
}
