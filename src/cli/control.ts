import { Command, InvalidArgumentError } from "commander";

const adminOption = [
  "--admin <url>",
  "admin address of the running tidegate",
  process.env["TIDEGATE_ADMIN"] ?? "http://127.0.0.1:9090",
] as const;

/** `pause`, `resume`, `pin`, `unpin`: a person's hand on a running loop, over the admin API. */
export function controlCommands(): readonly Command[] {
  const forOption = ["--for <duration>", 'how long, such as "30m"; without it until told otherwise'] as const;
  return [
    new Command("pause")
      .description("keep the count as it is; the loop goes on deciding and recording")
      .argument("<endpoint>")
      .option(...forOption)
      .option(...adminOption)
      .action(async (endpoint: string, options: { for?: string; admin: string }) => {
        await post(options.admin, endpoint, "pause", { forMs: await durationMs(options.for) });
        process.stdout.write(`${endpoint} is paused${options.for === undefined ? " until `tidegate resume`" : ` for ${options.for}`}\n`);
      }),
    new Command("resume")
      .description("act on decisions again")
      .argument("<endpoint>")
      .option(...adminOption)
      .action(async (endpoint: string, options: { admin: string }) => {
        await post(options.admin, endpoint, "resume", {});
        process.stdout.write(`${endpoint} is resumed\n`);
      }),
    new Command("pin")
      .description("hold a count, whatever the policy wants")
      .argument("<endpoint>")
      .argument("<replicas>", "a whole number", (text) => {
        if (!/^\d+$/.test(text)) throw new InvalidArgumentError("give a whole number, such as 3");
        return Number(text);
      })
      .option(...forOption)
      .option(...adminOption)
      .action(async (endpoint: string, replicas: number, options: { for?: string; admin: string }) => {
        await post(options.admin, endpoint, "pin", { replicas, forMs: await durationMs(options.for) });
        process.stdout.write(
          `${endpoint} is pinned at ${replicas}${options.for === undefined ? " until `tidegate unpin`" : ` for ${options.for}`}\n`,
        );
      }),
    new Command("unpin")
      .description("let the policy set the count again")
      .argument("<endpoint>")
      .option(...adminOption)
      .action(async (endpoint: string, options: { admin: string }) => {
        await post(options.admin, endpoint, "unpin", {});
        process.stdout.write(`${endpoint} is unpinned\n`);
      }),
  ];
}

async function durationMs(text: string | undefined): Promise<number | null> {
  if (text === undefined) return null;
  const { parseDuration } = await import("../model/index.ts");
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0) {
    const { TidegateError } = await import("../model/index.ts");
    throw new TidegateError("usage", `--for is ${JSON.stringify(text)}; give a duration with its unit, such as 30m`);
  }
  return ms;
}

async function post(admin: string, endpoint: string, verb: string, body: unknown): Promise<void> {
  const { fetchJson } = await import("../http/index.ts");
  await fetchJson(`${admin.replace(/\/$/, "")}/api/v1/endpoints/${encodeURIComponent(endpoint)}/${verb}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    timeoutMs: 5000,
    code: "admin/unreachable",
  });
}
