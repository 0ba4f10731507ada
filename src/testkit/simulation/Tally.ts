/**
 * How often a simulation came by each thing it can come by: what was never hit was never tested.
 *
 * @since 0.1.0
 */

/** Groups of names with how often each was hit. @since 0.1.0 @category models */
export type Tally = Map<string, Map<string, number>>

/** Named groups as plain data. @since 0.1.0 @category models */
export type TallyRecord = Readonly<Record<string, Readonly<Record<string, number>>>>

/** @since 0.1.0 @category constructors */
export const make = (): Tally => new Map()

/** @since 0.1.0 @category counting */
export const add = (tally: Tally, group: string, name: string, times = 1): void => {
  const names = tally.get(group)
  if (names === undefined) tally.set(group, new Map([[name, times]]))
  else names.set(name, (names.get(name) ?? 0) + times)
}

/** @since 0.1.0 @category counting */
export const merge = (into: Tally, record: TallyRecord): void => {
  for (const [group, names] of Object.entries(record)) {
    for (const [name, times] of Object.entries(names)) add(into, group, name, times)
  }
}

/** @since 0.1.0 @category accessors */
export const toRecord = (tally: Tally): TallyRecord =>
  Object.fromEntries(
    Array.from(tally, ([group, names]) => [
      group,
      Object.fromEntries(Array.from(names).sort(([a], [b]) => a < b ? -1 : 1))
    ])
  )

/** @since 0.1.0 @category accessors */
export const total = (record: TallyRecord, group: string): number =>
  Object.values(record[group] ?? {}).reduce((sum, times) => sum + times, 0)

/** Names of a group that were hit fewer than `times` times; `expected` are those there are. @since 0.1.0 @category accessors */
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
