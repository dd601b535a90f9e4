/**
 * Writes a small llama model with random weights: real prefill, KV cache and continuous batching, meaningless text.
 * Layout: GGUF version 3, little-endian, as docs/gguf.md of the ggml project specifies it.
 */

export interface Shape {
  /** The same seed gives the same bytes. */
  readonly seed: number;
  /** Width of the residual stream; a multiple of `heads`. */
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly feedForward: number;
  /** Longest context in tokens. */
  readonly context: number;
}

export const small: Shape = { seed: 1, width: 128, layers: 2, heads: 4, feedForward: 256, context: 4096 };

const type = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
const tokenType = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;
const alignment = 32;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([u64(bytes.length), bytes]);
};
const array = (of: number, items: readonly Buffer[]): Buffer => Buffer.concat([u32(of), u64(items.length), ...items]);
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((alignment - (bytes.length % alignment)) % alignment)]);

/** Uniform in [0, 1) by the mulberry32 generator. */
function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole model file. The vocabulary is three special tokens, one token a byte and one for the space, so any text has as many tokens as bytes. */
export function randomModel(shape: Shape = small): Buffer {
  const tokens: (readonly [string, number])[] = [
    ["<unk>", tokenType.unknown],
    ["<s>", tokenType.control],
    ["</s>", tokenType.control],
  ];
  for (let byte = 0; byte < 256; byte++) tokens.push([`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, tokenType.byte]);
  tokens.push(["\u2581", tokenType.normal]); // the tokenizer's own letter for a space, three tokens otherwise

  const about: readonly (readonly [string, number, Buffer])[] = [
    ["general.architecture", type.string, text("llama")],
    ["general.name", type.string, text("tidegate-random")],
    ["general.alignment", type.u32, u32(alignment)],
    ["general.file_type", type.u32, u32(0)],
    ["llama.context_length", type.u32, u32(shape.context)],
    ["llama.embedding_length", type.u32, u32(shape.width)],
    ["llama.block_count", type.u32, u32(shape.layers)],
    ["llama.feed_forward_length", type.u32, u32(shape.feedForward)],
    ["llama.rope.dimension_count", type.u32, u32(shape.width / shape.heads)],
    ["llama.rope.freq_base", type.f32, f32(10_000)],
    ["llama.attention.head_count", type.u32, u32(shape.heads)],
    ["llama.attention.head_count_kv", type.u32, u32(shape.heads)],
    ["llama.attention.layer_norm_rms_epsilon", type.f32, f32(1e-5)],
    ["llama.vocab_size", type.u32, u32(tokens.length)],
    ["tokenizer.ggml.model", type.string, text("llama")],
    [
      "tokenizer.ggml.tokens",
      type.array,
      array(
        type.string,
        tokens.map(([piece]) => text(piece)),
      ),
    ],
    [
      "tokenizer.ggml.scores",
      type.array,
      array(
        type.f32,
        tokens.map(() => f32(0)),
      ),
    ],
    [
      "tokenizer.ggml.token_type",
      type.array,
      array(
        type.i32,
        tokens.map(([, kind]) => u32(kind)),
      ),
    ],
    ["tokenizer.ggml.unknown_token_id", type.u32, u32(0)],
    ["tokenizer.ggml.bos_token_id", type.u32, u32(1)],
    ["tokenizer.ggml.eos_token_id", type.u32, u32(2)],
    ["tokenizer.ggml.add_bos_token", type.bool, Buffer.from([1])],
    ["tokenizer.ggml.add_eos_token", type.bool, Buffer.from([0])],
    ["tokenizer.ggml.add_space_prefix", type.bool, Buffer.from([0])],
  ];

  /** Dimensions with the fastest-moving first, as ggml has them. */
  const tensors: (readonly [string, readonly number[]])[] = [["token_embd.weight", [shape.width, tokens.length]]];
  for (let layer = 0; layer < shape.layers; layer++) {
    const at = `blk.${layer}`;
    tensors.push([`${at}.attn_norm.weight`, [shape.width]]);
    for (const part of ["q", "k", "v", "output"]) tensors.push([`${at}.attn_${part}.weight`, [shape.width, shape.width]]);
    tensors.push([`${at}.ffn_norm.weight`, [shape.width]]);
    tensors.push([`${at}.ffn_gate.weight`, [shape.width, shape.feedForward]]);
    tensors.push([`${at}.ffn_up.weight`, [shape.width, shape.feedForward]]);
    tensors.push([`${at}.ffn_down.weight`, [shape.feedForward, shape.width]]);
  }
  tensors.push(["output_norm.weight", [shape.width]], ["output.weight", [shape.width, tokens.length]]);

  const random = uniform(shape.seed);
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const [name, dimensions] of tensors) {
    const norm = dimensions.length === 1;
    // Uniform with variance 1 / fan-in keeps activations near 1 through any number of layers.
    const reach = Math.sqrt(3 / (dimensions[0] ?? 1));
    const count = dimensions.reduce((product, size) => product * size, 1);
    const values = Buffer.alloc(count * 4);
    for (let at = 0; at < count; at++) values.writeFloatLE(norm ? 1 : (random() * 2 - 1) * reach, at * 4);
    const block = padded(values);
    infos.push(text(name), u32(dimensions.length), ...dimensions.map(u64), u32(0), u64(offset));
    data.push(block);
    offset += block.length;
  }
  const head = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(about.length)];
  const keys = about.flatMap(([key, of, value]) => [text(key), u32(of), value]);
  return Buffer.concat([padded(Buffer.concat([...head, ...keys, ...infos])), ...data]);
}
