/**
 * Coverage of a simulation: how often each named event occurred. An event that never occurred was not tested.
 *
 * @since 0.1.0
 */

/** Counts by group and name. @since 0.1.0 @category models */
export type Tally = Map<string, Map<string, number>>

/** The same counts as plain data. @since 0.1.0 @category models */
export type TallyRecord = Readonly<Record<string, Readonly<Record<string, number>>>>

/** Makes an empty tally. @since 0.1.0 @category constructors */
export const make = (): Tally => new Map()

/** Adds hits of a name. @since 0.1.0 @category counting */
export const add = (tally: Tally, group: string, name: string, times = 1): void => {
  const names = tally.get(group)
  if (names === undefined) tally.set(group, new Map([[name, times]]))
  else names.set(name, (names.get(name) ?? 0) + times)
}

/** Adds all counts of a record. @since 0.1.0 @category counting */
export const merge = (into: Tally, record: TallyRecord): void => {
  for (const [group, names] of Object.entries(record)) {
    for (const [name, times] of Object.entries(names)) add(into, group, name, times)
  }
}

/** Returns the counts as plain data, sorted by name. @since 0.1.0 @category accessors */
export const toRecord = (tally: Tally): TallyRecord =>
  Object.fromEntries(
    Array.from(tally, ([group, names]) => [
      group,
      Object.fromEntries(Array.from(names).sort(([a], [b]) => a < b ? -1 : 1))
    ])
  )

/** Returns the sum of a group. @since 0.1.0 @category accessors */
export const total = (record: TallyRecord, group: string): number =>
  Object.values(record[group] ?? {}).reduce((sum, times) => sum + times, 0)

/** Returns the names of `expected` that were hit fewer than `times` times. @since 0.1.0 @category accessors */
export const short = (
  record: TallyRecord,
  group: string,
  expected: ReadonlyArray<string>,
  times: number
): ReadonlyArray<string> =>
  expected.flatMap((name) => {
    const hits = record[group]?.[name] ?? 0
    return hits < times ? [`${name} (${hits})`] : []
  })
