/** The lines of a byte stream, without empty ones. A last line that has no end is dropped: its rest never came. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncIterable<string> {
  let rest: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      rest.push(chunk.subarray(from, end));
      from = end + 1;
      const line = Buffer.concat(rest).toString("utf8");
      rest = [];
      if (line.trim() !== "") yield line;
    }
    if (from < chunk.length) rest.push(chunk.subarray(from));
  }
}
