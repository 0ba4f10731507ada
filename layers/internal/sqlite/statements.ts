/**
 * Statements over many rows. A statement costs more than a row, so the rows of many members share one. Row counts have
 * few sizes, so that few statement texts are prepared. The SQLite writes use it.
 *
 * @since 0.1.0
 */
import type { Value } from "./database.js"

/** A statement and its parameters. @since 0.1.0 @category models */
export interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<Value>
  /** how many rows it must change; absent if it may change none */
  readonly expect?: number
}

/** A statement with a placeholder for rows: `head (?,?),(?,?) tail`. @since 0.1.0 @category models */
export interface Target {
  readonly head: string
  readonly width: number
  readonly tail: string
  /** true if each row must change exactly one stored row */
  readonly exact: boolean
  /** statement texts by number of rows */
  readonly texts: Map<number, string>
}

/** Makes a target. @since 0.1.0 @category constructors */
export const target = (head: string, width: number, tail: string, exact: boolean): Target => ({
  head,
  width,
  tail,
  exact,
  texts: new Map()
})

/** Inserts rows that must be new. @since 0.1.0 @category constructors */
export const into = (table: string, columns: ReadonlyArray<string>, tail = ""): Target =>
  target(`INSERT INTO ${table} (${columns.join(", ")}) VALUES `, columns.length, tail, true)

/** Inserts rows, or updates the row with the same key if `guard` permits. @since 0.1.0 @category constructors */
export const upsert = (
  table: string,
  fixed: ReadonlyArray<string>,
  key: ReadonlyArray<string>,
  values: ReadonlyArray<string>,
  guard = ""
): Target => {
  const set = values.map((name) => `${name} = excluded.${name}`).join(", ")
  return into(table, [...fixed, ...values], ` ON CONFLICT (${key.join(", ")}) DO UPDATE SET ${set}${guard}`)
}

/** Returns the statements that write these rows. @since 0.1.0 @category constructors */
export const over = (to: Target, rows: ReadonlyArray<ReadonlyArray<Value>>): ReadonlyArray<Statement> => {
  if (rows.length === 0) return none
  const statements: Array<Statement> = []
  let from = 0
  for (const size of sizes) {
    while (rows.length - from >= size) {
      const params = rows.slice(from, from + size).flat()
      statements.push(to.exact ? { sql: textOf(to, size), params, expect: size } : { sql: textOf(to, size), params })
      from += size
    }
  }
  return statements
}

// --- internal ---

const sizes = [64, 16, 4, 2, 1] as const

const none: ReadonlyArray<Statement> = []

const textOf = (to: Target, size: number): string => {
  const known = to.texts.get(size)
  if (known !== undefined) return known
  const row = `(${Array.from({ length: to.width }, () => "?").join(",")})`
  const text = to.head + Array.from({ length: size }, () => row).join(",") + to.tail
  to.texts.set(size, text)
  return text
}
