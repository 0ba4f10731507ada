/** Starts puppets and controls them: one answer per command. */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as World from "./world.js"

export interface Answer {
  readonly pid?: number
  readonly opened?: number
  readonly acknowledged?: number
  readonly count?: number
  /** The source that a reader reads. */
  readonly source?: string
  readonly closed?: boolean
  /** The tag of a typed error. */
  readonly error?: string
  /** SQLite's code of a failure. */
  readonly code?: string
  readonly holder?: string
  /** The rescued file of a lost store. */
  readonly rescued?: string
  /** A defect, which is always a violation. */
  readonly defect?: string
  /** The exit of a process that ended without an answer. */
  readonly ended?: string
}

export interface Puppet {
  readonly pid: number
  readonly process: ChildProcess
  readonly tell: (word: string) => Promise<Answer>
  readonly kill: (signal: "SIGSTOP" | "SIGCONT" | "SIGKILL") => void
  /** Closes the standard input; the puppet closes its store and ends. */
  readonly release: () => Promise<void>
  readonly ended: Promise<string>
}

const isAnswer = (value: unknown): value is Answer => typeof value === "object" && value !== null

/** The program of a puppet, and the report of a puppet that hangs. */
export interface Theatre {
  readonly program: string
  readonly wrong: (what: string) => void
}

/** Far more than the patience of the store and the slowest disk need. */
const answerSeconds = 120

/**
 * Starts a puppet. `through` precedes `node` on the command line, for example a shell that sets a limit; the shell must
 * replace itself by the process.
 */
export const puppet = async (
  { program, wrong }: Theatre,
  args: ReadonlyArray<string>,
  through: ReadonlyArray<string> = []
): Promise<Puppet> => {
  const [command = process.execPath, ...rest] = [...through, process.execPath, program, ...args]
  const child = spawn(command, rest, {
    env: { ...process.env, NODE_OPTIONS: "" },
    stdio: ["pipe", "pipe", "pipe"]
  })
  child.stdin.on("error", () => {})
  let stderr = ""
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString()
  })
  const waiting: Array<(answer: Answer) => void> = []
  const ended = new Promise<string>((resolve) =>
    child.once("exit", (code, signal) => {
      const how = `${code ?? ""}${signal ?? ""} ${stderr}`
      resolve(how)
      for (const waiter of waiting.splice(0)) waiter({ ended: how })
    })
  )
  let gone = false
  void ended.then(() => {
    gone = true
  })
  const next = () => new Promise<Answer>((resolve) => gone ? resolve({ ended: "before" }) : waiting.push(resolve))
  createInterface({ input: child.stdout }).on("line", (line) => {
    const value: unknown = line.startsWith("{") ? JSON.parse(line) : undefined
    if (isAnswer(value)) waiting.shift()?.(value)
  })
  const inTime = <A>(awaited: Promise<A>, what: string): Promise<A> =>
    World.within(answerSeconds, child, awaited, wrong, `process ${child.pid ?? ""} did not ${what}`)
  const first = await inTime(next(), "begin")
  return {
    pid: first.pid ?? child.pid ?? 0,
    process: child,
    tell: (word) => {
      const answer = next()
      child.stdin.write(`${word}\n`)
      return inTime(answer, `answer "${word}"`)
    },
    kill: (signal) => void child.kill(signal),
    release: async () => {
      child.stdin.end()
      await inTime(ended, "end")
    },
    ended
  }
}
