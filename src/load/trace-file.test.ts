import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, expect, it } from "vitest";
import { openTrace } from "./trace-file.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-trace-"));
afterAll(() => rmSync(folder, { recursive: true }));
async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const row of rows) found.push(row);
  return found;
}
const parquet = (name: string, columnData: Parameters<typeof parquetWriteBuffer>[0]["columnData"]): string => {
  const file = join(folder, name);
  writeFileSync(file, new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 2 })));
  return file;
};

it("reads Parquet in Azure's columns over several row groups, times as Parquet has them", async () => {
  const at = (ms: number) => new Date(Date.UTC(2023, 10, 16, 18, 15, 46) + ms);
  const file = parquet("azure.parquet", [
    { name: "TIMESTAMP", data: [at(0), at(250), at(1000)], type: "TIMESTAMP" },
    { name: "ContextTokens", data: [10n, 20n, 30n], type: "INT64" },
    { name: "GeneratedTokens", data: [1, 2, 3], type: "INT32" },
  ]);
  expect(await all(openTrace(file))).toEqual([
    { arrivalMs: 0, promptTokens: 10, outputTokens: 1 },
    { arrivalMs: 250, promptTokens: 20, outputTokens: 2 },
    { arrivalMs: 1000, promptTokens: 30, outputTokens: 3 },
  ]);
});

it("names file, row and column of what it cannot read in Parquet", async () => {
  const columns = { arrival_s: [0, 1, 2], prompt_tokens: [1, 1, 0], output_tokens: [1, 1, 1] };
  const file = parquet(
    "bad.parquet",
    Object.entries(columns).map(([name, data]) => ({ name, data, type: "DOUBLE" as const })),
  );
  await expect(all(openTrace(file))).rejects.toThrow(`${file}:3: "prompt_tokens" (0) is not a whole number of tokens from 1 on`);
});

it("says that a file is no Parquet, and that one is not there", async () => {
  const file = join(folder, "broken.parquet");
  writeFileSync(file, "PAR1 not really");
  await expect(all(openTrace(file))).rejects.toThrow(/broken\.parquet cannot be read: .*; is it a whole Parquet file\?/);
  await expect(all(openTrace(join(folder, "none.parquet")))).rejects.toThrow("there is no such file");
});
