import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { gunzipSync, gzipSync } from "node:zlib";
import {
  type Decision,
  type Endpoint,
  type Json,
  type Ms,
  messageOf,
  type Observation,
  type Outcome,
  TidegateError,
} from "../model/index.ts";

/** What the controller did with a decision, beyond what the policy wanted. */
export interface Action {
  readonly seq: number;
  readonly atMs: Ms;
  readonly pool: string;
  readonly replicas: number;
  readonly drain: readonly string[];
  /** Who set the count, or why it was not acted upon. */
  readonly by: "policy" | "pin" | "quota" | "paused" | "dry-run" | "recommend-only";
  readonly result: Outcome["result"] | "none";
}

/** One line of an endpoint's history, in the order in which things happened. */
export type Entry =
  /** A controller started deciding: from here `state` (null: none, the policy starts afresh) and this endpoint hold. */
  | { readonly kind: "start"; readonly atMs: Ms; readonly endpoint: Endpoint; readonly state: Json }
  | { readonly kind: "decision"; readonly atMs: Ms; readonly observation: Observation; readonly decision: Decision }
  | { readonly kind: "outcome"; readonly atMs: Ms; readonly outcome: Outcome }
  | { readonly kind: "action"; readonly atMs: Ms; readonly action: Action }
  /** The policy's state after all that came before: a replay may begin here, and is checked here. */
  | { readonly kind: "snapshot"; readonly atMs: Ms; readonly endpoint: Endpoint; readonly state: Json }
  | { readonly kind: "note"; readonly atMs: Ms; readonly code: string; readonly text: string }
  /** What the autoscaler that really acts says of itself, while we only watch. */
  | ({ readonly kind: "autoscaler"; readonly atMs: Ms } & AutoscalerStatus);

/** Another system's own words about its count; null where it says nothing. */
export interface AutoscalerStatus {
  /** Kind and name, such as `HorizontalPodAutoscaler llm`. */
  readonly by: string;
  readonly current: number | null;
  readonly desired: number | null;
  /** When it last changed the count. */
  readonly scaledAtMs: Ms | null;
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string; readonly message: string }[];
  /** What it read, as it states it. */
  readonly metrics: Json;
}

export interface Saved {
  /** What the state belongs to; a state of another policy or spec is not resumed. */
  readonly key: string;
  readonly state: Json;
  readonly seq: number;
  readonly atMs: Ms;
  readonly pausedUntilMs: Ms | null;
  readonly pin: { readonly replicas: number; readonly untilMs: Ms } | null;
  /** Up to where each gateway's ledger is in the state, in the order of the gateways; null: nothing of it. */
  readonly cursors?: readonly (string | null)[];
}

export interface Bounds {
  /** Compressed bytes of entries kept; the oldest go first. */
  readonly maxBytes: number;
}

/** Observations, Decisions, Outcomes and what became of them, kept in one embedded database per state folder; one writer. */
export interface History {
  readonly file: string;
  append(endpoint: string, entries: readonly Entry[]): void;
  /** Oldest first; `fromMs` inclusive, `toMs` exclusive. */
  entries(endpoint: string, range?: { readonly fromMs?: Ms; readonly toMs?: Ms }): Iterable<Entry>;
  /** Newest first. */
  latest(endpoint: string, kind: Entry["kind"], count: number): readonly Entry[];
  endpoints(): readonly string[];
  save(endpoint: string, saved: Saved): void;
  load(endpoint: string): Saved | null;
  bytes(): number;
  close(): void;
}

const migrations = [
  `CREATE TABLE entry (
     id INTEGER PRIMARY KEY,
     endpoint TEXT NOT NULL,
     kind TEXT NOT NULL,
     at_ms REAL NOT NULL,
     body BLOB NOT NULL
   ) STRICT;
   CREATE INDEX entry_by_time ON entry (endpoint, at_ms);
   CREATE INDEX entry_by_kind ON entry (endpoint, kind, id);
   CREATE TABLE saved (endpoint TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;`,
];

const pack = (value: unknown) => gzipSync(JSON.stringify(value), { level: 3 });
const unpack = (body: Uint8Array) => JSON.parse(gunzipSync(body).toString("utf8"));

/**
 * Opens or makes `FOLDER/history.sqlite`.
 * @throws TidegateError `history/unwritable` where the folder cannot be written, `history/corrupt` where the file is no history
 */
export function openHistory(folder: string, options: { readonly readOnly?: boolean; readonly bounds?: Bounds } = {}): History {
  const file = join(folder, "history.sqlite");
  const bounds = options.bounds ?? { maxBytes: 256 * 1024 * 1024 };
  const database = open(folder, file, options.readOnly ?? false);
  const insert = database.prepare("INSERT INTO entry (endpoint, kind, at_ms, body) VALUES (?, ?, ?, ?)");
  const upsert = database.prepare(
    "INSERT INTO saved (endpoint, body) VALUES (?, ?) ON CONFLICT (endpoint) DO UPDATE SET body = excluded.body",
  );
  const total = () => Number(database.prepare("SELECT coalesce(sum(length(body)), 0) AS bytes FROM entry").get()?.["bytes"] ?? 0);
  let bytes = total();

  /** Drops the oldest tenth, so that pruning is rare. A replay then begins at the next snapshot. */
  const prune = () => {
    if (bytes <= bounds.maxBytes) return;
    let over = bytes - 0.9 * bounds.maxBytes;
    let last = -1;
    for (const row of database.prepare("SELECT id, length(body) AS size FROM entry ORDER BY id").iterate()) {
      last = Number(row["id"]);
      over -= Number(row["size"]);
      if (over <= 0) break;
    }
    database.prepare("DELETE FROM entry WHERE id <= ?").run(last);
    database.exec("PRAGMA incremental_vacuum");
    bytes = total();
  };

  const transaction = (work: () => void) => {
    try {
      database.exec("BEGIN");
      work();
      database.exec("COMMIT");
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw new TidegateError(
        "history/unwritable",
        `${file} cannot be written (${messageOf(error)}); free disk space or choose another --state folder`,
        {
          retryable: true,
          cause: error,
        },
      );
    }
  };

  return {
    file,
    append(endpoint, entries) {
      transaction(() => {
        for (const entry of entries) {
          const body = pack(entry);
          insert.run(endpoint, entry.kind, entry.atMs, body);
          bytes += body.byteLength;
        }
        prune();
      });
    },
    *entries(endpoint, { fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY } = {}) {
      const rows = database
        .prepare("SELECT body FROM entry WHERE endpoint = ? AND at_ms >= ? AND at_ms < ? ORDER BY id")
        .iterate(endpoint, Math.max(fromMs, -Number.MAX_VALUE), Math.min(toMs, Number.MAX_VALUE));
      for (const row of rows) yield unpack(row["body"] as Uint8Array);
    },
    latest: (endpoint, kind, count) =>
      database
        .prepare("SELECT body FROM entry WHERE endpoint = ? AND kind = ? ORDER BY id DESC LIMIT ?")
        .all(endpoint, kind, count)
        .map((row) => unpack(row["body"] as Uint8Array)),
    endpoints: () =>
      database
        .prepare("SELECT DISTINCT endpoint FROM entry ORDER BY endpoint")
        .all()
        .map((row) => String(row["endpoint"])),
    save: (endpoint, saved) => transaction(() => void upsert.run(endpoint, pack(saved))),
    load(endpoint) {
      const row = database.prepare("SELECT body FROM saved WHERE endpoint = ?").get(endpoint);
      return row === undefined ? null : unpack(row["body"] as Uint8Array);
    },
    bytes: () => bytes,
    close: () => database.close(),
  };
}

function open(folder: string, file: string, readOnly: boolean): DatabaseSync {
  try {
    if (readOnly) accessSync(file, constants.R_OK);
    else mkdirSync(folder, { recursive: true });
  } catch (error) {
    if (readOnly)
      throw new TidegateError("history/unwritable", `no history at ${file} (${messageOf(error)}); name the folder with --state`, {
        cause: error,
      });
    throw unwritable(folder, error);
  }
  let database: DatabaseSync;
  try {
    if (!readOnly) accessSync(folder, constants.W_OK);
    database = new DatabaseSync(file, { readOnly });
  } catch (error) {
    throw unwritable(folder, error);
  }
  try {
    database.exec("PRAGMA busy_timeout = 2000");
    if (readOnly) {
      database.prepare("SELECT count(*) FROM entry").get();
      return database;
    }
    const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
    if (version === 0) database.exec("PRAGMA auto_vacuum = INCREMENTAL");
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    if (version > migrations.length)
      throw new Error(`written by a newer tidegate (format ${version}, this one knows ${migrations.length})`);
    for (const [at, migration] of migrations.entries()) {
      if (at >= version) database.exec(`BEGIN; ${migration}; PRAGMA user_version = ${at + 1}; COMMIT`);
    }
    return database;
  } catch (error) {
    database.close();
    const text = messageOf(error);
    if (/readonly|read-only|full|disk I\/O/i.test(text)) throw unwritable(folder, error);
    throw new TidegateError(
      "history/corrupt",
      `${file} is not a history that can be read (${text}); move it away or choose another --state folder`,
      { cause: error },
    );
  }
}

const unwritable = (folder: string, cause: unknown) =>
  new TidegateError(
    "history/unwritable",
    `the state folder ${folder} cannot be written (${messageOf(cause)}); make it writable or choose another with --state`,
    {
      cause,
    },
  );
