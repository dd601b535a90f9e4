import { Command } from "commander";

export function topCommand(): Command {
  return new Command("top")
    .description("the live view of a running tidegate, over its admin API")
    .option("--admin <url>", "admin address", process.env["TIDEGATE_ADMIN"] ?? "http://127.0.0.1:9090")
    .option("--once", "print it once and end")
    .option("-o, --output <format>", "text or json (with --once)", "text")
    .action(async (options: { admin: string; once?: boolean; output: string }) => {
      const { fetchJson } = await import("../http/index.ts");
      const { render } = await import("./terminal.ts");
      const { createLogUpdate } = await import("log-update");
      type View = import("../controller/index.ts").ControllerView;
      type Point = import("../controller/index.ts").Point;
      const base = options.admin.replace(/\/$/, "");
      const get = async <T>(path: string) => (await fetchJson(`${base}${path}`, { timeoutMs: 5000, code: "admin/unreachable" })) as T;
      const show = createLogUpdate(process.stdout);
      const points = new Map<string, readonly Point[]>();
      for (;;) {
        const view = await get<View>("/api/v1/view");
        for (const { name } of view.endpoints) {
          const known = points.get(name) ?? [];
          const fresh = await get<Point[]>(`/api/v1/endpoints/${encodeURIComponent(name)}/points?since=${known.at(-1)?.atMs ?? 0}`);
          points.set(name, [...known, ...fresh].slice(-1800));
        }
        if (options.output === "json") {
          process.stdout.write(`${JSON.stringify(view, null, 2)}\n`);
          return;
        }
        const text = render(
          view,
          (name) => points.get(name) ?? [],
          { columns: process.stdout.columns ?? 100, rows: process.stdout.rows ?? 40 },
          [],
        );
        if (options.once) {
          process.stdout.write(`${text}\n`);
          return;
        }
        show(text);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    });
}
