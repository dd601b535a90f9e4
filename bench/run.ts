// `npm run bench [-- NAME]`: one file a subject, each prints what bench/README.md quotes. Never part of the tests.
const names = ["decide", "fleet", "kubernetes", "policy", "simulator", "study", "validate", "wake-ups"] as const;
const [wanted, ...rest] = process.argv.slice(2);
if (wanted !== undefined && !names.some((name) => name === wanted)) {
  process.stderr.write(`no benchmark ${JSON.stringify(wanted)}; there is ${names.join(", ")}\n`);
  process.exit(2);
}
for (const name of wanted === undefined ? ["decide"] : [wanted]) {
  const { bench } = (await import(`./${name}.ts`)) as { bench(args: readonly string[]): Promise<void> };
  await bench(rest);
}

export {};
