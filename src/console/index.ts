import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { AdminHandler } from "../http/index.ts";

export { elapsed, number, percent, seconds } from "./format.ts";

interface Asset {
  readonly type: string;
  readonly body: Uint8Array;
}

const page = (name: string) => fileURLToPath(new URL(`./page/${name}`, import.meta.url));

/**
 * The web console on `/`: one page with its script and style, nothing from other hosts. An installed package brings it built; a
 * checkout builds it at start, in some 100 ms.
 * @returns a handler that answers false for paths that are not the console's
 */
export async function consoleHandler(): Promise<AdminHandler> {
  const assets = await load();
  return (request, response) => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const asset = assets.get(path === "/" ? "/index.html" : path);
    if (asset === undefined || (request.method !== "GET" && request.method !== "HEAD")) return false;
    response.writeHead(200, {
      "content-type": asset.type,
      "content-length": asset.body.byteLength,
      "cache-control": "no-cache",
      "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    });
    response.end(request.method === "HEAD" ? undefined : asset.body);
    return true;
  };
}

async function load(): Promise<ReadonlyMap<string, Asset>> {
  const html = await readFile(page("index.html"));
  const { script, style } = await built();
  return new Map<string, Asset>([
    ["/index.html", { type: "text/html; charset=utf-8", body: html }],
    ["/console.js", { type: "text/javascript; charset=utf-8", body: script }],
    ["/console.css", { type: "text/css; charset=utf-8", body: style }],
  ]);
}

async function built(): Promise<{ readonly script: Uint8Array; readonly style: Uint8Array }> {
  const ready = await Promise.all([readFile(page("console.js")), readFile(page("console.css"))]).catch(() => null);
  if (ready !== null) return { script: ready[0], style: ready[1] };
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: { console: page("main.tsx") },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    outdir: "out",
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "silent",
  });
  const file = (ending: string) => {
    const found = outputFiles.find(({ path }) => path.endsWith(ending));
    if (found === undefined) throw new Error(`the console was built without its ${ending}`);
    return found.contents;
  };
  return { script: file(".js"), style: file(".css") };
}
