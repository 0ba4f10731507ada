/**
 * The tables of the SQLite store. The pages that a small turn changes decide its cost, because each changed page is
 * written whole. Accepting an input changes `runtime` and adds to `input_open` and `known`. A boundary changes those
 * and appends to `message` and `ended`. No page is common to all batches.
 *
 * The rows of a runtime are numbered, and their key is `rt * 2^28 + number`. So one integer keeps the rows of a runtime
 * together, in the order of their insertion. It also leaves a page room for whole documents: under a composite key, a
 * row leaves its page at a quarter of it.
 *
 * SQLite does not detect a flipped bit inside a row. Digests bind a document to its row (see `digest.ts`); sums do the
 * same for columns that are read without a document. Nor does SQLite detect a page in the place of another page of the
 * same table. So the rows of a runtime are counted (`open_inputs`, `operations`, `slices`) or contiguous (`ended` from
 * `ended_from`, `message`, `feed`). A missing row is always detected. Counts have no sum: a damaged count disagrees
 * with its rows.
 *
 * @since 0.1.0
 */

/** "MeeR" in ASCII; marks a file as a store of this library. @since 0.1.0 @category schema */
export const applicationId = 0x4d656552

/**
 * The schema version in the file's header (`user_version`), where every version can read it.
 *
 * @since 0.1.0
 * @category schema
 */
export const schemaVersion = 1

/**
 * Pages are small, because a commit writes few rows of about a hundred bytes, but whole pages.
 *
 * @since 0.1.0
 * @category schema
 */
export const pageSize = 512

/** How many rows one runtime can number in a table. @since 0.1.0 @category schema */
export const rowsPerRuntime = 2 ** 28

/** Returns the key of a runtime's row. @since 0.1.0 @category schema */
export const keyOf = (rt: number, n: number): number => rt * rowsPerRuntime + n

/** The statements of the tables by name, as `sqlite_schema` returns them. @since 0.1.0 @category schema */
export const tables: Readonly<Record<string, string>> = {
  store_meta: `CREATE TABLE store_meta (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  store_id TEXT NOT NULL,
  writer_token INTEGER NOT NULL CHECK (writer_token >= 0),
  commit_seq INTEGER NOT NULL CHECK (commit_seq >= 0),
  clean_shutdown INTEGER NOT NULL CHECK (clean_shutdown IN (0, 1))
) STRICT`,
  runtime: `CREATE TABLE runtime (
  rt INTEGER PRIMARY KEY,
  runtime_id TEXT NOT NULL UNIQUE,
  session_id TEXT NOT NULL,
  incarnation INTEGER NOT NULL CHECK (incarnation >= 1),
  open INTEGER NOT NULL CHECK (open IN (0, 1)),
  revision INTEGER NOT NULL CHECK (revision >= 1),
  lifecycle TEXT NOT NULL CHECK (lifecycle IN ('idle', 'retired', 'stopped', 'destroyed')),
  last_request_id TEXT NOT NULL,
  commit_seq INTEGER NOT NULL CHECK (commit_seq >= 1),
  token INTEGER NOT NULL,
  next_admission_seq INTEGER NOT NULL,
  open_inputs INTEGER NOT NULL CHECK (open_inputs >= 0),
  ended INTEGER NOT NULL,
  terminals INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  message_count INTEGER NOT NULL,
  body_digest TEXT,
  body_start INTEGER NOT NULL,
  epoch_id TEXT,
  epoch_retired INTEGER NOT NULL CHECK (epoch_retired IN (0, 1)),
  last_seq INTEGER NOT NULL CHECK (last_seq >= 0),
  dropped_through INTEGER NOT NULL CHECK (dropped_through BETWEEN 0 AND last_seq),
  agent_applied INTEGER NOT NULL CHECK (agent_applied BETWEEN 0 AND last_seq),
  observed INTEGER NOT NULL CHECK (observed BETWEEN 0 AND last_seq),
  injected INTEGER NOT NULL CHECK (injected BETWEEN 0 AND last_seq),
  updated_at INTEGER NOT NULL,
  sum INTEGER NOT NULL,
  operations INTEGER NOT NULL DEFAULT 0,
  slices INTEGER NOT NULL DEFAULT 0,
  ended_from INTEGER NOT NULL DEFAULT 0
) STRICT`,
  shape: `CREATE TABLE shape (
  id INTEGER PRIMARY KEY,
  doc TEXT NOT NULL UNIQUE
) STRICT`,
  input_open: `CREATE TABLE input_open (
  key INTEGER PRIMARY KEY,
  input_id TEXT NOT NULL,
  shape INTEGER NOT NULL REFERENCES shape (id),
  facts TEXT NOT NULL,
  sum INTEGER NOT NULL,
  payload TEXT NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT`,
  ended: `CREATE TABLE ended (
  key INTEGER PRIMARY KEY,
  has_receipt INTEGER NOT NULL CHECK (has_receipt IN (0, 1)),
  ordinal INTEGER NOT NULL,
  inputs INTEGER NOT NULL,
  doc TEXT NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT`,
  known: `CREATE TABLE known (
  id TEXT NOT NULL,
  rt INTEGER NOT NULL REFERENCES runtime (rt),
  sequence INTEGER NOT NULL CHECK (sequence >= -1),
  ended INTEGER,
  sum INTEGER NOT NULL,
  PRIMARY KEY (id, rt, sequence)
) STRICT, WITHOUT ROWID`,
  dedup_key: `CREATE TABLE dedup_key (
  rt INTEGER NOT NULL REFERENCES runtime (rt),
  key TEXT NOT NULL,
  input_id TEXT NOT NULL,
  sum INTEGER NOT NULL,
  PRIMARY KEY (rt, key)
) STRICT, WITHOUT ROWID`,
  message: `CREATE TABLE message (
  key INTEGER PRIMARY KEY,
  doc TEXT NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT`,
  opaque_body: `CREATE TABLE opaque_body (
  rt INTEGER PRIMARY KEY REFERENCES runtime (rt),
  bytes BLOB NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT`,
  operation: `CREATE TABLE operation (
  rt INTEGER NOT NULL REFERENCES runtime (rt),
  operation_id TEXT NOT NULL,
  terminal INTEGER NOT NULL CHECK (terminal IN (0, 1)),
  completion_seq INTEGER,
  doc TEXT NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  PRIMARY KEY (rt, operation_id),
  CHECK (terminal = (completion_seq IS NOT NULL))
) STRICT, WITHOUT ROWID`,
  feed: `CREATE TABLE feed (
  rt INTEGER NOT NULL REFERENCES runtime (rt),
  seq INTEGER NOT NULL CHECK (seq >= 1),
  operation_id TEXT NOT NULL,
  doc TEXT NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  PRIMARY KEY (rt, seq),
  UNIQUE (rt, operation_id)
) STRICT, WITHOUT ROWID`,
  slice: `CREATE TABLE slice (
  rt INTEGER NOT NULL REFERENCES runtime (rt),
  name TEXT NOT NULL,
  doc TEXT NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  PRIMARY KEY (rt, name)
) STRICT, WITHOUT ROWID`,
  quarantine: `CREATE TABLE quarantine (
  table_name TEXT NOT NULL,
  row_key TEXT NOT NULL,
  evidence BLOB NOT NULL CHECK (length(evidence) = 32),
  seen_at INTEGER NOT NULL,
  detail TEXT NOT NULL,
  raw BLOB NOT NULL,
  PRIMARY KEY (table_name, row_key, evidence)
) STRICT, WITHOUT ROWID`
}
