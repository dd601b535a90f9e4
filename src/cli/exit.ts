/** What a shell sees. 130 and 143 are 128 + the signal that ended us. */
export const EXIT = { ok: 0, failure: 1, usage: 2, differences: 3, objectiveMissed: 99, interrupted: 130, terminated: 143 } as const;
