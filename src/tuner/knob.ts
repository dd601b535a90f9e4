import { formatDuration, type Json, parseDuration } from "../model/index.ts";
import { formatIsoDuration, parseIsoDuration } from "../policy/dialects/azure/index.ts";
import { parseQuantity, toNumber } from "../policy/dialects/hpa/index.ts";

/** `spec.policy` of a config, as data. */
export type PolicyDocument = { readonly [key: string]: Json | undefined };
export type KnobPath = readonly (string | number)[];

/** How a document writes a number. */
export interface Codec {
  /** null: not a number of this kind. */
  read(value: Json): number | null;
  write(value: number): Json;
}

/** One number of a policy that a search may turn. */
export interface Knob {
  /** Where it stands in the document. */
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** `log`: a factor matters, not a difference. A log knob whose `min` is 0 starts at a thousandth of `max`. */
  readonly scale: "linear" | "log";
  readonly integer: boolean;
  /** What the system takes where the document says nothing. */
  readonly fallback: number;
  read(document: PolicyDocument): number;
  /** The same document with this value, which is brought inside the bounds and rounded to what a person would write. */
  apply(document: PolicyDocument, value: number): PolicyDocument;
}

export interface KnobSpec {
  readonly path: KnobPath;
  readonly name?: string;
  readonly min: number;
  readonly max: number;
  readonly fallback: number;
  readonly scale?: "linear" | "log";
  readonly integer?: boolean;
  readonly codec?: Codec;
  /** Another number of the document, applied before this one, that it must stay under: of two thresholds the lower one. */
  readonly below?: KnobPath;
  /** A number that must not be less than this one, and is raised with it. */
  readonly raises?: KnobPath;
}

/** How far under another a number stays that must be below it. */
const UNDER = 0.9;

/** Bounds that the document's own value breaks are moved out to it: a search begins where the user is. */
export function knob(document: PolicyDocument, spec: KnobSpec): Knob {
  const { path, codec = numberCodec, fallback, scale = "linear", integer = false, below, raises } = spec;
  const read = (of: PolicyDocument): number => {
    const value = valueAt(of, path);
    return (value === undefined ? null : codec.read(value)) ?? fallback;
  };
  const own = read(document);
  const min = Math.min(spec.min, own);
  const max = Math.max(spec.max, own);
  const settle = (value: number): number => {
    const inside = Math.min(max, Math.max(min, value));
    return Math.min(max, Math.max(min, integer ? Math.round(inside) : Number(inside.toPrecision(3))));
  };
  return {
    name: spec.name ?? path.filter((part) => part !== "manifest").join("."),
    min,
    max,
    scale,
    integer,
    fallback,
    read,
    apply(of, value) {
      const other = below === undefined ? undefined : valueAt(of, below);
      const limit = other === undefined ? null : codec.read(other);
      const settled = settle(value);
      const kept = limit === null || settled < limit * UNDER ? settled : Number((limit * UNDER).toPrecision(3));
      const changed = withValueAt(of, path, codec.write(kept)) as PolicyDocument;
      const raised = raises === undefined ? undefined : valueAt(of, raises);
      if (raises === undefined || raised === undefined || (codec.read(raised) ?? kept) >= kept) return changed;
      return withValueAt(changed, raises, codec.write(kept)) as PolicyDocument;
    },
  };
}

/** A document with a value for each knob; the order of the knobs is that in which they are applied. */
export const withValues = (document: PolicyDocument, knobs: readonly Knob[], values: readonly number[]): PolicyDocument =>
  knobs.reduce((of, each, at) => each.apply(of, values[at] as number), document);

/** The knob's value of a place in [0, 1] between its bounds, and back. */
export function valueAtPlace({ min, max, scale }: Knob, place: number): number {
  const at = Math.min(1, Math.max(0, place));
  if (scale === "linear") return min + at * (max - min);
  const low = Math.log(floorOf({ min, max }));
  return at === 0 ? min : Math.exp(low + at * (Math.log(max) - low));
}

export function placeOf({ min, max, scale }: Knob, value: number): number {
  if (max <= min) return 0;
  if (scale === "linear") return Math.min(1, Math.max(0, (value - min) / (max - min)));
  const low = Math.log(floorOf({ min, max }));
  return value <= min ? 0 : Math.min(1, Math.max(0, (Math.log(value) - low) / (Math.log(max) - low)));
}

const floorOf = ({ min, max }: { readonly min: number; readonly max: number }): number => (min > 0 ? min : max / 1000);

export function valueAt(document: Json, path: KnobPath): Json | undefined {
  let at: Json | undefined = document;
  for (const part of path) {
    if (at === null || typeof at !== "object") return undefined;
    at = (at as { readonly [key: string]: Json | undefined })[part];
  }
  return at;
}

/** Objects and lists on the way are made where they are missing. */
function withValueAt(document: Json | undefined, path: KnobPath, value: Json): Json {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  if (typeof part === "number") {
    const list = Array.isArray(document) ? [...(document as readonly Json[])] : [];
    list[part] = withValueAt(list[part], rest, value);
    return list;
  }
  const object = document !== null && typeof document === "object" && !Array.isArray(document) ? document : {};
  return { ...object, [part]: withValueAt((object as PolicyDocument)[part], rest, value) };
}

const numberOf = (value: Json): number | null => {
  if (typeof value === "number") return value;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number : null;
};

export const numberCodec: Codec = { read: numberOf, write: (value) => value };
/** A number that the format wants as text, as annotations do. */
export const textCodec: Codec = { read: numberOf, write: String };

/** Seconds as a duration in text, such as "90s"; bare numbers are read as seconds. */
export const durationCodec: Codec = {
  read(value) {
    const ms = typeof value === "string" ? parseDuration(value) : undefined;
    return ms === undefined ? numberOf(value) : ms / 1000;
  },
  write: (seconds) => formatDuration(Math.round(seconds * 1000)),
};

/** Minutes as ISO 8601, such as "PT5M". */
export const isoMinutesCodec: Codec = {
  read(value) {
    const ms = typeof value === "string" ? parseIsoDuration(value) : undefined;
    return ms === undefined ? null : ms / 60_000;
  },
  write: (minutes) => formatIsoDuration(Math.round(minutes) * 60_000),
};

/** A Kubernetes quantity: whole numbers as they are, others in thousandths ("1250m"). */
export const quantityCodec: Codec = {
  read(value) {
    try {
      return toNumber(parseQuantity(String(value)));
    } catch {
      return null;
    }
  },
  write: (value) => (Number.isInteger(value) ? String(value) : `${Math.max(1, Math.round(value * 1000))}m`),
};
