/** Which tests reach which mutant, and which of them notices it. */
import type { Mutant } from "./instrument.js"
import type { Result } from "./memory.js"
import type { Planned } from "./messages.js"
import type { Answer, Ended, Loaded, Runner, Test } from "./runner.js"

/** Tests that reach each mutant, cheapest first. */
export interface Coverage {
  readonly loaded: Loaded
  readonly reaching: ReadonlyMap<number, ReadonlyArray<Timed>>
  /** tests that do not pass as they are, here: they show nothing */
  readonly broken: ReadonlyArray<string>
}

export interface Timed {
  readonly test: number
  readonly ms: number
}

const coverMs = 180_000

/** Sweeps over many seeds: they show much and cost more than all other tests together. */
const isLong = ({ file, name }: Test): boolean => /\bseeds\]?$/.test(name) || /exploration/i.test(file)

/**
 * All tests once, without a mutant; the long ones only if asked for. One that hangs takes the worker with it; the rest
 * goes on in the next.
 */
export const cover = async (runner: Runner, long: boolean, say: (text: string) => void): Promise<Coverage> => {
  const loaded = await runner.loaded()
  const all = loaded.tests.filter((test) => long || !isLong(test))
  const nameOf = (test: number): string => {
    const of = loaded.tests[test]
    return of === undefined ? "" : `${of.file} ${of.name}`
  }
  const reaching = new Map<number, Array<Timed>>()
  const broken: Array<string> = []
  const took = ({ failure, ms, reached, test }: Ended): void => {
    if (failure !== null) broken.push(nameOf(test))
    else for (const id of reached) reaching.set(id, [...(reaching.get(id) ?? []), { test, ms }])
  }
  let rest = all.map(({ id }): Planned => ({ test: id, timeoutMs: coverMs }))
  while (rest.length > 0) {
    const { caught, ended } = await runner.run({ mutant: -1, cover: true, tests: rest.slice(0, 100) })
    ended.forEach(took)
    const done = new Set(ended.map(({ test }) => test))
    if (caught !== null) {
      done.add(caught.test)
      broken.push(nameOf(caught.test))
      runner.stop()
    }
    if (done.size === 0) break
    rest = rest.filter(({ test }) => !done.has(test))
    say(`coverage: ${all.length - rest.length} of ${all.length} tests`)
  }
  for (const tests of reaching.values()) tests.sort((a, b) => a.ms - b.ms)
  return { loaded, reaching, broken }
}

export interface Trial {
  /** how long the tests of one mutant may take together without it, in milliseconds */
  readonly budgetMs: number
  readonly fileOf: (id: number) => string | undefined
}

/** Tests for a mutant that only loading reaches: those that reach anything else of its file. */
const ofFile = ({ reaching }: Coverage, { fileOf }: Trial, file: string): ReadonlyArray<Timed> => {
  const tests = new Map<number, Timed>()
  for (const [id, timed] of reaching) {
    if (fileOf(id) === file) { for (const each of timed) tests.set(each.test, each) }
  }
  return [...tests.values()].sort((a, b) => a.ms - b.ms)
}

const within = (tests: ReadonlyArray<Timed>, budgetMs: number): ReadonlyArray<Timed> => {
  let sum = 0
  return tests.filter(({ ms }, i) => {
    sum += ms
    return i === 0 || sum <= budgetMs
  })
}

/** Puts one mutant to the tests. */
export const tryOne = async (runner: Runner, coverage: Coverage, mutant: Mutant, trial: Trial): Promise<Result> => {
  const { id } = mutant
  const loading = coverage.loaded.reached.has(id)
  const running = coverage.reaching.get(id) ?? []
  const tests = running.length === 0 && loading ? ofFile(coverage, trial, mutant.file) : running
  const chosen = within(tests, trial.budgetMs)
  const job = {
    mutant: id,
    cover: false,
    tests: chosen.map(({ ms, test }) => ({ test, timeoutMs: 5_000 + 4 * Math.min(ms, 15_000) }))
  }
  // what is decided while files load is decided anew only in a new process
  let answer: Answer = running.length === 0 ? { ended: [], caught: null, clean: true } : await runner.run(job)
  if (answer.caught === null && loading && chosen.length > 0) answer = await runner.runFresh(job)
  const { caught } = answer
  const nameOf = (test: number): string => {
    const of = coverage.loaded.tests[test]
    return of === undefined ? "" : `${of.file} ${of.name}`
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
    by: caught === null ? "" : nameOf(caught.test),
    reachedBy: tests.length,
    ran: caught === null ? chosen.length : answer.ended.length,
    tests: chosen.slice(-5).map(({ test }) => nameOf(test))
  }
}
