/** Finds out which tests reach which mutant, and which of them detects it. `mutate.ts` calls it. */
import type { Mutant } from "./instrument.js"
import type { Answer, Loaded, Runner, Test } from "./runner.js"
import type { Result } from "./verdict.js"

/** Tests that reach each mutant, cheapest first. */
export interface Coverage {
  readonly loaded: Loaded
  readonly reaching: ReadonlyMap<number, ReadonlyArray<Timed>>
  /** tests that fail here without a mutant, so they prove nothing */
  readonly broken: ReadonlyArray<string>
}

export interface Timed {
  readonly test: number
  readonly ms: number
  /** how many mutants it reaches; few, if it tests little */
  readonly width: number
}

/** What one test reached in its last run for coverage. */
export interface Reach {
  readonly ms: number
  readonly passed: boolean
  readonly reached: ReadonlyArray<number>
}

/** What earlier runs found out about tests; see `memory.ts`. */
export interface Known {
  readonly get: (test: Test) => Reach | undefined
  readonly put: (test: Test, reach: Reach) => void
}

const coverMs = 120_000

/** Sweeps over many seeds: they detect much, but cost more than all other tests together. */
const isLong = ({ file, name }: Test): boolean => /\bseeds\]?$/.test(name) || /exploration/i.test(file)

const nameOf = ({ file, name }: Test): string => `${file} ${name}`

/**
 * Runs the tests without known coverage once, without a mutant; long tests only on request. A test that hangs ends its
 * worker, and a new worker runs the rest.
 */
export const cover = async (
  runner: Runner,
  long: boolean,
  known: Known,
  say: (text: string) => void
): Promise<Coverage> => {
  const loaded = await runner.loaded()
  const all = loaded.tests.filter((test) => long || !isLong(test))
  const byId = new Map(all.map((test) => [test.id, test]))
  const took = (id: number, reach: Reach): void => {
    const test = byId.get(id)
    if (test !== undefined) known.put(test, reach)
  }
  let rest = all.filter((test) => known.get(test) === undefined).map(({ id }) => ({ test: id, timeoutMs: coverMs }))
  while (rest.length > 0) {
    const { caught, ended } = await runner.run({ mutant: -1, cover: true, tests: rest.slice(0, 100) })
    for (const { failure, ms, reached, test } of ended) took(test, { ms, passed: failure === null, reached })
    const done = new Set(ended.map(({ test }) => test))
    if (caught !== null) {
      done.add(caught.test)
      took(caught.test, { ms: coverMs, passed: false, reached: [] })
      runner.stop()
    }
    if (done.size === 0) break
    rest = rest.filter(({ test }) => !done.has(test))
    say(`coverage: ${rest.length} tests to go`)
  }
  const reaching = new Map<number, Array<Timed>>()
  for (const test of all) {
    const reach = known.get(test)
    if (reach?.passed !== true) continue
    const timed: Timed = { test: test.id, ms: reach.ms, width: reach.reached.length }
    for (const id of reach.reached) {
      const tests = reaching.get(id)
      if (tests === undefined) reaching.set(id, [timed])
      else tests.push(timed)
    }
  }
  for (const tests of reaching.values()) tests.sort((a, b) => a.ms - b.ms)
  return { loaded, reaching, broken: all.filter((test) => known.get(test)?.passed !== true).map(nameOf) }
}

export interface Trial {
  /** the time that the tests of one mutant may take together without it, in milliseconds */
  readonly budgetMs: number
  readonly fileOf: (id: number) => string | undefined
  /** true if the mutant did not exist when the tests last ran for coverage */
  readonly isNew: (id: number) => boolean
}

/** Returns the tests for a mutant that only loading reaches, or without known coverage: those that reach its file. */
const ofFile = ({ reaching }: Coverage, { fileOf }: Trial, file: string): ReadonlyArray<Timed> => {
  const tests = new Map<number, Timed>()
  for (const [id, timed] of reaching) {
    if (fileOf(id) === file) { for (const each of timed) tests.set(each.test, each) }
  }
  return [...tests.values()].sort((a, b) => a.ms - b.ms)
}

/**
 * Orders tests: cheap and narrow ones first, and tests of many files before many tests of one file, because tests of
 * one file often detect the same mutants.
 */
const ordered = (tests: ReadonlyArray<Timed>, { loaded }: Coverage): ReadonlyArray<Timed> => {
  const ranks = new Map<string, number>()
  const costs = new Map<Timed, number>()
  for (const timed of tests) {
    const file = loaded.tests[timed.test]?.file ?? ""
    const rank = (ranks.get(file) ?? 0) + 1
    ranks.set(file, rank)
    costs.set(timed, timed.ms * timed.width * rank)
  }
  return tests.toSorted((a, b) => (costs.get(a) ?? 0) - (costs.get(b) ?? 0))
}

const within = (tests: ReadonlyArray<Timed>, budgetMs: number): ReadonlyArray<Timed> => {
  let sum = 0
  return tests.filter(({ ms }, i) => {
    sum += ms
    return i === 0 || sum <= budgetMs
  })
}

/** Runs the tests on one mutant. */
export const tryOne = async (runner: Runner, coverage: Coverage, mutant: Mutant, trial: Trial): Promise<Result> => {
  const { id } = mutant
  const loading = coverage.loaded.reached.has(id)
  const running = coverage.reaching.get(id) ?? []
  const unsure = running.length === 0 && (loading || trial.isNew(id))
  const tests = unsure ? ofFile(coverage, trial, mutant.file) : running
  const chosen = within(ordered(tests, coverage), trial.budgetMs)
  const job = {
    mutant: id,
    cover: false,
    tests: chosen.map(({ ms, test }) => ({ test, timeoutMs: 5_000 + 4 * Math.min(ms, 15_000) }))
  }
  // what a file decides while it loads is decided again only in a new process
  const onlyLoading = running.length === 0 && loading
  let answer: Answer = onlyLoading ? { ended: [], caught: null } : await runner.run(job)
  if (answer.caught === null && loading && chosen.length > 0) answer = await runner.runFresh(job)
  const { caught } = answer
  const testName = (test: number): string => {
    const of = coverage.loaded.tests[test]
    return of === undefined ? "" : nameOf(of)
  }
  return {
    key: mutant.key,
    file: mutant.file,
    line: mutant.line,
    group: mutant.group,
    operator: mutant.operator,
    code: mutant.code,
    verdict: tests.length === 0 ? "unreached" : caught === null ? "survived" : "caught",
    how: caught?.how ?? "",
    by: caught === null ? "" : testName(caught.test),
    reachedBy: tests.length,
    ran: caught === null ? chosen.length : answer.ended.length,
    tests: chosen.slice(-5).map(({ test }) => testName(test))
  }
}
