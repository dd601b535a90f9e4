import { expect, it } from "vitest";
import { type ValidateOptions, validate } from "./validate.ts";

const good = `apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: a }
spec:
  model: a
  engine: { kind: emulated }
  platform: { kind: process, env: { KEY: { env: TOKEN } } }
  replicas: { max: 4 }
  policy: { kind: slo }
`;
async function run(texts: Record<string, string>, options: Partial<ValidateOptions> = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const read = (path: string) => {
    const text = texts[path];
    if (text === undefined) throw new Error(`ENOENT: no such file, open '${path}'`);
    return text;
  };
  const code = await validate(
    Object.keys(texts).length === 0 ? ["gone.yaml"] : Object.keys(texts),
    { output: "text", ...options },
    { out: (text) => out.push(text), err: (text) => err.push(text), env: { TOKEN: "hunter2" }, read },
  );
  return { code, out, err };
}

it("says what a config comes to", async () => {
  expect(await run({ "t.yaml": good })).toEqual({ code: 0, out: ["a: ok, emulated on process, 0 to 4 replicas, policy slo"], err: [] });
});

it("ends with 2 and every problem on stderr", async () => {
  expect(await run({ "t.yaml": good.replace("slo", "sla") })).toEqual({
    code: 2,
    out: [],
    err: ['t.yaml:9:19 spec.policy.kind: is not a known value (value "sla"); did you mean "slo"?', "1 problem; nothing would be started"],
  });
});

it("ends with 2 and one line where a file cannot be read", async () => {
  const { code, err } = await run({});
  expect(code).toBe(2);
  expect(err).toEqual(["tidegate: cannot read gone.yaml (ENOENT: no such file, open 'gone.yaml'); check the path and its permissions"]);
});

it("reads standard input", async () => {
  const { err } = await run({ "-": good.replace("max: 4", "max: four") });
  expect(err[0]).toBe('stdin:8:20 spec.replicas.max: must be a number (value "four"); write it without quotes and units');
});

it("prints JSON without secrets, also of a config that does not hold", async () => {
  const { out } = await run({ "t.yaml": good }, { output: "json" });
  expect(out.join("\n")).not.toContain("hunter2");
  expect(JSON.parse(out[0]!)).toMatchObject({ valid: true, endpoints: [{ name: "a", platform: { env: ["KEY"] } }], issues: [] });
  const bad = await run({ "t.yaml": good.replace("slo", "sla") }, { output: "json" });
  expect(JSON.parse(bad.out[0]!)).toMatchObject({
    valid: false,
    endpoints: [],
    issues: [{ line: 9, column: 19, path: "spec.policy.kind" }],
  });
  expect(bad.code).toBe(2);
});

it("prints the schema without reading anything", async () => {
  const { code, out } = await run({}, { schema: true });
  expect(code).toBe(0);
  expect(JSON.parse(out[0]!)).toMatchObject({ title: "Tidegate config" });
});
