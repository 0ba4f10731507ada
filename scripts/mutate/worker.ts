/**
 * The process in which mutants run. It loads the test files once, and then runs the tests of each job in sequence. A
 * test that failed under a mutant runs again without it, so that the next mutant is not blamed for what the first left
 * behind.
 */
import { register } from "node:module"
import { pathToFileURL } from "node:url"
import type { Case } from "./harness.js"
import type { Failure, FromWorker, Job, Planned } from "./messages.js"

interface Switch {
  readonly count: number
  /** the mutant that is on, and a mark for each mutant that was reached */
  readonly control: { chosen: number; reached: Uint8Array | null }
}

const root = new URL("../../", import.meta.url)
const load = (file: string): Promise<unknown> => import(new URL(file, root).href)

/** Sends a message at once: a test that never yields is known by the last message before it. */
const say = (message: FromWorker): void => void process.send?.(message)

register(new URL("mutantHooks.js", root).href, pathToFileURL(import.meta.filename))
const { control, count } = await load("mutantSwitch.js") as Switch
const { cases, collect } = await import("./harness.js")

/** A failure outside the promise of a test belongs to the test that is running. */
const stray: Array<unknown> = []
process.on("unhandledRejection", (error) => stray.push(error))
process.on("uncaughtException", (error) => stray.push(error))

const marked = (marks: Uint8Array): ReadonlyArray<number> => Array.from(marks.keys()).filter((id) => marks[id] === 1)

/** how long an interrupted test may take to end */
const graceMs = 2_000

const choose = (mutant: number): void => {
  control.chosen = mutant
  process.env["MEERKAT_MUTANT"] = String(mutant)
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300)

const run = async ({ run: body }: Case, timeoutMs: number): Promise<Failure | null> => {
  stray.length = 0
  const abort = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Failure>((resolve) => {
    timer = setTimeout(() => resolve({ _tag: "Hung" }), timeoutMs)
  })
  const ended = body(abort.signal).then(
    () => null,
    (error: unknown): Failure => ({ _tag: "Failed", error: textOf(error) })
  )
  const failure = await Promise.race([ended, late])
  clearTimeout(timer)
  // interrupts what did not end; the same test without the mutant shows whether anything is left of it
  if (failure?._tag === "Hung") {
    abort.abort()
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, graceMs))])
  }
  return failure ?? (stray.length > 0 ? { _tag: "Failed", error: `stray: ${textOf(stray[0])}` } : null)
}

const runOne = async ({ test, timeoutMs }: Planned, cover: boolean): Promise<Failure | null> => {
  const subject = cases[test]
  if (subject === undefined) return null
  say({ _tag: "Began", test, timeoutMs })
  const reached = new Uint8Array(cover ? count : 0)
  control.reached = cover ? reached : null
  const began = performance.now()
  const failure = await run(subject, timeoutMs)
  control.reached = null
  say({ _tag: "Ended", test, ms: performance.now() - began, failure, reached: marked(reached) })
  return failure
}

const passes = async ({ test, timeoutMs }: Planned): Promise<boolean> => {
  const subject = cases[test]
  say({ _tag: "Began", test, timeoutMs })
  return subject !== undefined && (await run(subject, timeoutMs)) === null
}

const runJob = async (job: Job): Promise<void> => {
  let clean = true
  for (const planned of job.tests) {
    choose(job.mutant)
    const failure = await runOne(planned, job.cover)
    if (failure === null || job.cover) continue
    choose(-1)
    clean = await passes(planned)
    break
  }
  choose(-1)
  say({ _tag: "Done", clean })
}

const whileLoading = new Uint8Array(count)
control.reached = whileLoading
await load("test/support/setup.js")
for (const file of process.argv.slice(2)) {
  await collect(file, () => load(file.replace(/\.ts$/, ".js")))
}
control.reached = null

// one job at a time: the next one follows "Done"
process.on("message", (job: Job) => void runJob(job))
say({
  _tag: "Ready",
  tests: cases.map(({ file, name }) => ({ file, name })),
  reached: marked(whileLoading)
})
