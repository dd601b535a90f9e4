import type { Endpoint, PlatformSpec } from "../model/index.ts";
import { kubernetesPlatform } from "./kubernetes/index.ts";
import type { Platform, PlatformContext, PlatformFactory } from "./platform.ts";
import { type ProcessPlatformOptions, processPlatform } from "./process/process-platform.ts";
import { staticPlatform } from "./static/static-platform.ts";

/** What only some kinds need to know of the program they run in. */
export interface PlatformOptions {
  readonly process?: ProcessPlatformOptions;
}

/** The platform that the endpoint's config names. @throws TidegateError as its factory does */
export function createPlatform(endpoint: Endpoint, context: PlatformContext, options: PlatformOptions = {}): Promise<Platform> {
  const kinds: Readonly<Record<PlatformSpec["kind"], PlatformFactory>> = {
    kubernetes: kubernetesPlatform,
    process: (...known) => processPlatform(...known, options.process),
    static: staticPlatform,
  };
  return kinds[endpoint.platform.kind](endpoint, context);
}
