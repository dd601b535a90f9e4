import { parseBool, parseFloat64, parseInteger } from "../go.ts";
import { KedaError, type TargetType } from "../words.ts";

/** What a trigger is built from. */
export interface TriggerConfig {
  /** Position in `triggers`. */
  readonly index: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** Parameters that a TriggerAuthentication binds. */
  readonly auth?: Readonly<Record<string, string>>;
  /** Environment of the target's container, for `…FromEnv` keys. */
  readonly env?: Readonly<Record<string, string>>;
  /** An authentication is referenced whose values are not known here: what it may bind counts as given. */
  readonly hasUnknownAuth?: boolean;
  /** The value only feeds a formula: a target is not needed. */
  readonly asMetricSource?: boolean;
  readonly namespace?: string;
}

/** What KEDA offers the HPA for a trigger, and when it is active. */
export interface TriggerMetric {
  /** With index, normalized. */
  readonly name: string;
  readonly target: number;
  /** Active above this, strictly. */
  readonly activation: number;
}

/** One kind of trigger as a pure formula; reading the source is somebody else's job. */
export interface TriggerKind {
  /** As `triggers[].type`. */
  readonly types: readonly string[];
  /** @throws KedaError for metadata that the scaler refuses */
  metric(config: TriggerConfig, type: string): TriggerMetric;
}

export interface TriggerReading {
  readonly value: number;
  readonly isActive: boolean;
}

/** The rule of nearly every trigger. */
export const activeAbove = (value: number, activation: number): TriggerReading => ({ value, isActive: value > activation });

type Sources = "T" | "TE" | "TA" | "TAE" | "A" | "AE";

/** Parameters of a trigger by name and place: T trigger metadata, E `<name>FromEnv`, A authentication. */
export interface Parameters {
  /** @throws KedaError where it is missing */
  required(name: string, sources?: Sources): string;
  text(name: string, fallback: string, sources?: Sources): string;
  /** @throws KedaError for what is no integer */
  integer(name: string, fallback: number | null): number;
  /** @throws KedaError for what is no number */
  float(name: string, fallback: number | null): number;
  /** @throws KedaError for what Go would not read as a bool */
  bool(name: string, fallback: boolean): boolean;
  /** @throws KedaError for any other value */
  oneOf<T extends string>(name: string, values: readonly T[], fallback: T, sources?: Sources): T;
  has(name: string, sources?: Sources): boolean;
}

/** Go would take NaN and Inf too; nothing can be compared with those. */
function finite(text: string): number | null {
  const value = parseFloat64(text);
  return value !== null && Number.isFinite(value) ? value : null;
}

/** Stands for a parameter that an unseen authentication may give. */
const UNSEEN = "";

export function parametersOf(type: string, { metadata, auth = {}, env = {}, hasUnknownAuth = false }: TriggerConfig): Parameters {
  const own = (record: Readonly<Record<string, string>>, key: string) =>
    Object.hasOwn(record, key) && record[key] !== "" ? record[key] : undefined;
  const look = (name: string, sources: Sources): string | undefined => {
    for (const source of sources) {
      if (source === "T" && own(metadata, name) !== undefined) return own(metadata, name);
      if (source === "A" && own(auth, name) !== undefined) return own(auth, name);
      const variable = source === "E" ? own(metadata, `${name}FromEnv`) : undefined;
      // Outside of a cluster the environment is not known: that it is referred to is enough.
      if (variable !== undefined) return own(env, variable) ?? variable;
    }
    return sources.includes("A") && hasUnknownAuth ? UNSEEN : undefined;
  };
  const missing = (name: string) => new KedaError(`trigger ${type}: ${name} is missing; give it in metadata`);
  const wrong = (name: string, text: string, what: string) =>
    new KedaError(`trigger ${type}: ${name} is ${JSON.stringify(text)}; give ${what}`);
  const parsed = <T>(name: string, fallback: T | null, parse: (text: string) => T | null, what: string): T => {
    const text = look(name, "T");
    if (text === undefined) {
      if (fallback === null) throw missing(name);
      return fallback;
    }
    const value = parse(text.trim());
    if (value === null) throw wrong(name, text, what);
    return value;
  };
  return {
    required(name, sources = "T") {
      const value = look(name, sources);
      if (value === undefined) throw missing(name);
      return value;
    },
    text: (name, fallback, sources = "T") => look(name, sources) ?? fallback,
    integer: (name, fallback) => parsed(name, fallback, parseInteger, "a whole number"),
    float: (name, fallback) => parsed(name, fallback, finite, "a number"),
    bool: (name, fallback) => parsed(name, fallback, parseBool, "true or false"),
    oneOf(name, values, fallback, sources = "T") {
      const text = look(name, sources) || fallback;
      if ((values as readonly string[]).includes(text)) return text as typeof fallback;
      throw wrong(name, text, `one of ${values.join(", ")}`);
    },
    has: (name, sources = "T") => look(name, sources) !== undefined,
  };
}

/** A target that must be given and not 0, unless the value only feeds a formula. */
export function neededTarget(type: string, parameters: Parameters, name: string, config: TriggerConfig): number {
  const target = parameters.float(name, 0);
  if (target === 0 && config.asMetricSource !== true)
    throw new KedaError(`trigger ${type}: ${name} is missing or 0; give the target value`);
  return target;
}

/** How the HPA compares the metric of a trigger. */
export interface TriggerTarget {
  readonly type: TargetType;
  readonly value: number;
}
