// `npm run build`: the package that is published, in dist/package: JavaScript with its types (Node does not strip types below
// node_modules), the console built, examples and licence beside them. `npm pack ./dist/package` makes the archive.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(root, "dist", "package");
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const { status, error } = spawnSync(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
if (status !== 0) {
  process.stderr.write(`the sources do not compile${error === undefined ? "" : `: ${error.message}`}\n`);
  process.exit(1);
}
const page = join(root, "src", "console", "page");
await build({
  entryPoints: { console: join(page, "main.tsx") },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outdir: join(out, "dist", "console", "page"),
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
});
// What is neither TypeScript nor a test's: pages, protocol definitions. The console's styles are in its bundle.
for (const file of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })) {
  if (/\.(html|proto|css|js)$/.test(file) && !/fixtures|console.*\.css$/.test(file))
    cpSync(join(root, "src", file), join(out, "dist", file));
}
for (const file of ["bin", "examples", "README.md", "CHANGELOG.md", "LICENSE"])
  cpSync(join(root, file), join(out, file), { recursive: true });
cpSync(join(root, "scripts", "launch.mjs"), join(out, "scripts", "launch.mjs"));

const { scripts: _scripts, devDependencies: _dev, ...manifest } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const published = { ...manifest, exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } } };
writeFileSync(join(out, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
process.stdout.write(`built ${published.name} ${published.version} in dist/package\n`);
