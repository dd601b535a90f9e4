import type { Json } from "../../../model/index.ts";

/** A mapping of a config file. */
export type Fields = { readonly [key: string]: Json | undefined };

export const fieldsOf = (value: Json | undefined): Fields | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;

/** The mappings of a list; none of what is no list. */
export const listOf = (value: Json | undefined): readonly Fields[] =>
  Array.isArray(value)
    ? value.flatMap((entry: Json): readonly Fields[] => {
        const fields = fieldsOf(entry);
        return fields === null ? [] : [fields];
      })
    : [];

export const numberOf = (value: Json | undefined): number | null => (typeof value === "number" ? value : null);

export const textOf = (value: Json | undefined, otherwise: string): string => (typeof value === "string" ? value : otherwise);
