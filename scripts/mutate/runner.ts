/** Drives the worker: starts it, gives it jobs, and ends it when it hangs or its state is unreliable. */
import type { ChildProcess } from "node:child_process"
import { fork } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Failure, FromWorker, Job, Planned } from "./messages.js"

export interface Test {
  readonly id: number
  readonly file: string
  readonly name: string
}

export interface Loaded {
  readonly tests: ReadonlyArray<Test>
  /** The mutants that run while files are loaded: each needs a separate process. */
  readonly reached: ReadonlySet<number>
}

export interface Ended {
  readonly test: number
  readonly ms: number
  readonly failure: Failure | null
  readonly reached: ReadonlyArray<number>
}

export interface Answer {
  readonly ended: ReadonlyArray<Ended>
  /** The test that fails with the mutant and passes without it, if any. */
  readonly caught: { readonly test: number; readonly how: string } | null
}

/** The answer of a worker to a job. */
interface Said extends Answer {
  /** False if the failed test may also fail without the mutant. */
  readonly clean: boolean
}

export interface Runner {
  /** Loads the files if no worker runs. */
  readonly loaded: () => Promise<Loaded>
  readonly run: (job: Job) => Promise<Answer>
  /** Runs the job in a process that starts with the mutant. */
  readonly runFresh: (job: Job) => Promise<Answer>
  readonly stop: () => void
}

/** The time after a test's own timeout until its worker counts as blocked. */
const stuckMs = 10_000
const loadMs = 120_000

/** A folder in memory for temporary files, if the system has one: mutants do not concern the disk. */
const quick = fs.existsSync("/dev/shm") ? { TMPDIR: "/dev/shm" } : {}

interface Worker {
  readonly child: ChildProcess
  readonly loaded: Loaded
}

export const makeRunner = (
  folder: string,
  files: ReadonlyArray<string>,
  say: (text: string) => void = () => undefined
): Runner => {
  let worker: Worker | null = null

  const stop = (): void => {
    const child = worker?.child
    worker = null
    if (child !== undefined && child.exitCode === null) child.kill("SIGKILL")
  }

  const start = async (mutant: number): Promise<Worker> => {
    const child = fork(path.join(folder, "scripts/mutate/worker.js"), files.slice(), {
      cwd: folder,
      execArgv: ["--max-old-space-size=1536"],
      env: { ...process.env, MEERKAT_MUTANT: String(mutant), MEERKAT_SEED: "1", MEERKAT_TESTS: "all", ...quick },
      serialization: "advanced",
      stdio: ["ignore", "ignore", process.env["MUTATE_VERBOSE"] === undefined ? "ignore" : "inherit", "ipc"]
    })
    if (child.pid !== undefined) os.setPriority(child.pid, 10)
    const ready = await next(child, loadMs, (message) => message._tag === "Ready" ? message : null)
    if (ready === null) {
      child.kill("SIGKILL")
      return { child, loaded: { tests: [], reached: new Set() } }
    }
    const tests = ready.tests.map((test, id) => ({ ...test, id }))
    return { child, loaded: { tests, reached: new Set(ready.reached) } }
  }

  const current = async (): Promise<Worker> => {
    worker ??= await start(-1)
    if (worker.loaded.tests.length === 0) {
      throw new Error("the test files do not load; MUTATE_VERBOSE=1 shows what they say")
    }
    return worker
  }

  const run = async (job: Job): Promise<Said> => {
    const said = await ask((await current()).child, job)
    if (!said.clean) stop()
    return said
  }

  const twice = async (job: Job): Promise<Said> => {
    const said = await run(job)
    if (said.clean || said.caught === null) return said
    const { how, test } = said.caught
    // the state of earlier tests may have failed it, or a busy machine may have delayed it: run it again
    return await run(from(job, test, how === "failed" ? 1 : 4))
  }

  const fresh = async (job: Job): Promise<Said> => {
    const { child, loaded } = await start(job.mutant)
    const said: Said = loaded.tests.length === 0
      ? { ended: [], caught: { test: job.tests[0]?.test ?? -1, how: "does not load" }, clean: false }
      : await ask(child, job)
    child.kill("SIGKILL")
    return said
  }

  /** Whether the test passes in a new process without a mutant and with more time. */
  const passes = async (job: Job, test: number): Promise<boolean> => {
    stop()
    const planned = job.tests.filter((each) => each.test === test)
    return (await run({ ...from({ ...job, tests: planned }, test, 4), mutant: -1 })).caught === null
  }

  /** Runs the job without the tests that also fail without the mutant, since those do not detect it. */
  const trusted = async (job: Job, put: (job: Job) => Promise<Said>): Promise<Answer> => {
    let rest = job
    while (rest.tests.length > 0) {
      const said = await put(rest)
      if (said.caught === null || said.clean) return said
      const { test } = said.caught
      if (await passes(rest, test)) return said
      const named = (await current()).loaded.tests[test]
      say(`not counted, since it fails without the mutant too: ${named?.file ?? ""} ${named?.name ?? ""}`)
      const { tests } = from(rest, test, 1)
      rest = { ...rest, tests: tests.slice(1) }
    }
    return { ended: [], caught: null }
  }

  return {
    loaded: async () => (await current()).loaded,
    run: (job) => job.cover ? run(job) : trusted(job, twice),
    runFresh: (job) => trusted(job, fresh),
    stop
  }
}

/** Returns the job from this test on, with multiplied timeouts. */
const from = (job: Job, first: number, times: number): Job => ({
  ...job,
  tests: job.tests.slice(Math.max(0, job.tests.findIndex(({ test }) => test === first)))
    .map(({ test, timeoutMs }) => ({ test, timeoutMs: times * timeoutMs }))
})

/** Waits for the first matching message; null if the worker dies or does not answer in time. */
const next = <A>(child: ChildProcess, ms: number, want: (message: FromWorker) => A | null): Promise<A | null> =>
  new Promise((resolve) => {
    const end = (answer: A | null): void => {
      clearTimeout(timer)
      child.off("message", look)
      child.off("exit", gone)
      resolve(answer)
    }
    const look = (message: FromWorker): void => {
      const wanted = want(message)
      if (wanted !== null) end(wanted)
    }
    const gone = (): void => end(null)
    const timer = setTimeout(gone, ms)
    child.on("message", look)
    child.on("exit", gone)
  })

const howOf = (failure: Failure): string => failure._tag === "Hung" ? "hung" : "failed"

const ask = (child: ChildProcess, job: Job): Promise<Said> =>
  new Promise((resolve) => {
    const ended: Array<Ended> = []
    let running: Planned | undefined = job.tests[0]
    let caught: Answer["caught"] = null
    let timer = setTimeout(() => stuck("hung"), stuckMs)
    const end = (clean: boolean): void => {
      clearTimeout(timer)
      child.off("message", look)
      child.off("exit", died)
      resolve({ ended, caught, clean })
    }
    const stuck = (how: string): void => {
      caught ??= { test: running?.test ?? -1, how }
      end(false)
    }
    const died = (): void => stuck("killed the process")
    const look = (message: FromWorker): void => {
      if (message._tag === "Began") {
        running = message
        clearTimeout(timer)
        timer = setTimeout(() => stuck("hung"), message.timeoutMs + stuckMs)
      } else if (message._tag === "Ended") {
        ended.push(message)
        if (message.failure !== null && !job.cover) caught = { test: message.test, how: howOf(message.failure) }
      } else if (message._tag === "Done") end(message.clean)
    }
    child.on("message", look)
    child.on("exit", died)
    if (child.connected) child.send(job)
    else died()
  })
