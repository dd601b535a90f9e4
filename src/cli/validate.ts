import process from "node:process";
import { Command, Option } from "commander";
import type { ConfigCheck, ConfigText } from "../config/index.ts";
import { type Endpoint, type Fleet, messageOf, TidegateError } from "../model/index.ts";
import { type Read, readFile, readText } from "./documents.ts";
import { EXIT } from "./exit.ts";

export interface ValidateOptions {
  readonly schema?: boolean | undefined;
  readonly output: "text" | "json";
}

/** Where a verb speaks; tests bring their own. */
export interface ValidateWorld {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly read: Read;
}

const realWorld: ValidateWorld = {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  env: process.env,
  read: readFile,
};

/** `tidegate validate`: exits 0 where the config holds, 2 where it does not or cannot be read. */
export function validateCommand(): Command {
  return new Command("validate")
    .description("check config files, read together as `tidegate up` would, and say what they come to")
    .argument("[files...]", "YAML files; - reads standard input")
    .option("--schema", "print the JSON Schema of a config document, for editors, and check nothing")
    .addOption(new Option("-o, --output <format>", "how results are printed").choices(["text", "json"]).default("text"))
    .action(async (files: string[], options: ValidateOptions) => {
      process.exitCode = await validate(files, options, realWorld);
    });
}

/** @returns the exit code */
export async function validate(files: readonly string[], options: ValidateOptions, world: ValidateWorld): Promise<number> {
  const { checkConfig, configJsonSchema, formatIssue } = await import("../config/index.ts");
  if (options.schema) {
    world.out(JSON.stringify(configJsonSchema(), null, 2));
    return EXIT.ok;
  }
  let texts: ConfigText[];
  try {
    if (files.length === 0) throw new TidegateError("usage", "no config file is named; say for example: tidegate validate tidegate.yaml");
    texts = files.map((file) => readText(file, world.read));
  } catch (error) {
    world.err(`tidegate: ${messageOf(error)}`);
    return EXIT.usage;
  }
  const check = checkConfig(texts, { env: world.env, readSecret: world.read });
  if (options.output === "json") world.out(JSON.stringify(asJson(check), null, 2));
  for (const issue of check.issues) world.err(formatIssue(issue));
  for (const warning of check.warnings) world.err(`warning: ${formatIssue(warning)}`);
  if (check.issues.length > 0) {
    world.err(`${check.issues.length} ${check.issues.length === 1 ? "problem" : "problems"}; nothing would be started`);
    return EXIT.usage;
  }
  if (options.output === "text") {
    for (const endpoint of check.endpoints) world.out(summary(endpoint));
    if (check.fleet !== null) world.out(budget(check.fleet));
  }
  return EXIT.ok;
}

/** `llama-3-8b: emulated on process, 0 to 6 replicas, policy slo` */
function summary(endpoint: Endpoint): string {
  const { name, engine, platform, pools, policy } = endpoint;
  const counts = pools
    .map(
      (pool) =>
        `${pools.length > 1 ? `${pool.name} ` : ""}${pool.min} to ${pool.max === Number.MAX_SAFE_INTEGER ? "any number of" : pool.max}`,
    )
    .join(", ");
  const decides = "manifest" in policy ? `${policy.kind} ${policy.manifest.name}` : `policy ${policy.kind}`;
  return `${name}: ok, ${engine.kind} on ${platform.kind}, ${counts} replicas, ${decides}${endpoint.dryRun ? ", dry run" : ""}`;
}

/** `lab: 8 GPUs for all` */
function budget({ name, gpus }: Fleet): string {
  if (typeof gpus === "number") return `${name}: ${gpus} GPUs for all`;
  return `${name}: ${Object.entries(gpus)
    .map(([type, count]) => `${count} ${type}`)
    .join(", ")} for all`;
}

/** What the config comes to without what could be secret: environments and credentials are left out. */
function asJson({ endpoints, fleet, warnings, issues }: ConfigCheck) {
  return {
    valid: issues.length === 0,
    fleet,
    endpoints: endpoints.map(({ platform, prometheus, ...rest }) => ({
      ...rest,
      platform: platform.kind === "process" ? { ...platform, env: Object.keys(platform.env) } : platform,
      prometheus: prometheus === null ? null : { url: prometheus.url, timeoutMs: prometheus.timeoutMs, queries: prometheus.queries },
    })),
    issues,
    warnings,
  };
}
