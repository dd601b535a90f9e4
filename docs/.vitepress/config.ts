import { existsSync, readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "vitepress";

const docs = new URL("../", import.meta.url);
/** The first heading of a page. */
const title = (file: string) => /^#\s+(.+)$/m.exec(readFileSync(new URL(file, docs), "utf8"))?.[1]?.replaceAll("`", "") ?? file;
const pages = (folder: string) =>
  readdirSync(new URL(`${folder}/`, docs))
    .filter((name) => name.endsWith(".md"))
    .toSorted()
    .map((name) => ({ text: title(`${folder}/${name}`), link: `/${folder}/${name.slice(0, -3)}` }));
const those = (names: readonly string[]) =>
  names.filter((name) => existsSync(new URL(`${name}.md`, docs))).map((name) => ({ text: title(`${name}.md`), link: `/${name}` }));

export default defineConfig({
  title: "Tidegate",
  description: "Keeps an LLM inference endpoint inside its latency objective with the fewest GPUs.",
  // Links to files of the repository itself are for its readers there.
  ignoreDeadLinks: [/^\.\.\/|^\.\/\.\.\//, /^https?:\/\/(localhost|127\.0\.0\.1)/],
  cleanUrls: true,
  srcExclude: ["node_modules/**"],
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    sidebar: [
      { text: "Start", items: [{ text: "What it is", link: "/" }, ...those(["config", "signals", "policy", "dialects"])] },
      { text: "Try before you run", items: those(["simulate", "tune", "calibrate", "benchmarks", "experiments"]) },
      { text: "On Kubernetes", items: those(["install", "kubernetes", "serving-platforms", "shadow", "bridge"]) },
      { text: "How others decide", collapsed: true, items: pages("dialects") },
      { text: "Inside", items: those(["architecture", "dependencies"]) },
      { text: "Decisions", collapsed: true, items: pages("decisions") },
    ],
  },
});
