import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Longest prompt and answer together, in tokens. */
export const maxModelLen = 512;

/** Words of four bytes that are one token each, as every four bytes are one to the emulator. */
export const words = [" lor", " ips", " dol", " sit"];

const byteTokens = 256;
export const token = { begin: byteTokens, end: byteTokens + 1, firstWord: byteTokens + 2 };

/** Byte-level tokenizers write a byte as a printable letter: itself where it is one, else the next free one from U+0100 on. */
function byteLetters(): readonly string[] {
  let moved = 0x100;
  return Array.from({ length: byteTokens }, (_, byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCodePoint(printable ? byte : moved++);
  });
}

/**
 * A Llama of two small layers without weights (vLLM makes up its own with `--load-format dummy`), and its tokenizer: a token a byte,
 * and one for each of our words. Its chat template joins what was said, as the emulator does.
 */
export function writeModel(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, value: object) => writeFileSync(join(folder, name), JSON.stringify(value));
  const special = ["<s>", "</s>"];
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  write("config.json", {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: 128,
    intermediate_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 2,
    vocab_size: byteTokens + special.length + words.length,
    max_position_embeddings: maxModelLen,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    hidden_act: "silu",
    bos_token_id: token.begin,
    eos_token_id: token.end,
    tie_word_embeddings: false,
    torch_dtype: "bfloat16",
  });
  write("tokenizer.json", {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [...special, ...words].map((content, at) => ({
      id: byteTokens + at,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: special.includes(content),
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries([...byteLetters(), ...special].map((letter, at) => [letter, at])),
      merges: [],
    },
  });
  write("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: special[0],
    eos_token: special[1],
    model_max_length: maxModelLen,
    chat_template: "{% for message in messages %}{{ message.content }}{% endfor %}",
  });
}
