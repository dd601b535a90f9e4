import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const home = process.env["TIDEGATE_DOCS"] as string;

it("builds to a site without dead links, with a page for every page", () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(home, "node_modules", "vitepress", "bin", "vitepress.js"), "build", "pages", "--outDir", join(home, "site")],
    { cwd: home, encoding: "utf8", timeout: 170_000 },
  );
  expect(`${stdout}${stderr}`).not.toContain("dead link");
  expect(status).toBe(0);
  const written = (folder: string, ending: string) =>
    readdirSync(join(home, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(ending) && !name.includes("node_modules") && name !== "404.html")
      .map((name) => name.slice(0, -ending.length))
      .toSorted();
  expect(written("site", ".html")).toEqual(written("pages", ".md"));
  expect(readFileSync(join(home, "site", "index.html"), "utf8")).toContain("Tidegate");
}, 180_000);
