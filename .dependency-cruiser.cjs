// Imports go up the list of rooms in docs/architecture.md, never down; nothing pure imports the world.
const rooms = [
  ["model", "words"],
  ["engine", "pure"],
  ["routing", "pure"],
  ["ledger", "pure"],
  ["policy", "pure"],
  ["manifests", "pure"],
  ["config", "pure"],
  ["traces", "pure"],
  ["simulator", "pure"],
  ["tuner", "pure"],
  ["clock", "world"],
  ["http", "world"],
  ["signals", "world"],
  ["platforms", "world"],
  ["cluster", "world"],
  ["history", "world"],
  ["emulator", "world"],
  ["gateway", "world"],
  ["controller", "world"],
  ["bridge", "world"],
  ["shadow", "world"],
  ["load", "world"],
  ["console", "face"],
  ["report", "face"],
  ["cli", "face"],
];
const names = rooms.map(([name]) => name);
const pure = rooms.filter(([, kind]) => kind === "pure" || kind === "words").map(([name]) => name);
const notTest = "\\.(test|fixture)\\.ts$";

module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    ...names.map((name, at) => ({
      name: `${name}-imports-up-only`,
      severity: "error",
      from: { path: `^src/${name}/`, pathNot: notTest },
      to: { path: `^src/(${names.slice(at + 1).join("|") || "none"})/` },
    })),
    {
      name: "doors-do-not-meet",
      comment: "gateway, controller and bridge meet in model types and over the admin API",
      severity: "error",
      from: { path: "^src/(gateway|controller|bridge)/", pathNot: notTest },
      to: { path: "^src/(gateway|controller|bridge)/", pathNot: "^src/$1/" },
    },
    {
      name: "pure-does-no-io",
      severity: "error",
      from: { path: `^src/(${pure.join("|")}|index\\.ts)`, pathNot: notTest },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "through-the-index",
      comment: "a room's index.ts is its whole public face",
      severity: "error",
      from: { path: `^src/(${names.join("|")})/`, pathNot: notTest },
      to: { path: `^src/(${names.join("|")})/(?!index\\.ts$)`, pathNot: ["^src/$1/", "^src/policy/dialects/[^/]+/index\\.ts$"] },
    },
    { name: "no-unresolved", severity: "error", from: {}, to: { couldNotResolve: true } },
    {
      name: "one-undici",
      comment: "only one module may know undici's handler types",
      severity: "error",
      from: { path: "^src", pathNot: "^src/(gateway|http|signals|load)/" },
      to: { path: "node_modules/undici" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^src/console/page" },
    parser: "swc",
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      extensions: [".ts", ".tsx", ".js", ".json"],
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
    },
  },
};
