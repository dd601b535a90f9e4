/** Milliseconds on the one clock that the caller brings; may be fractional. Seconds and durations with units live at the edges. */
export type Ms = number;

/** A value that survives `JSON.parse(JSON.stringify(v))` unchanged: the only kind a policy may keep or be told. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };
