/** The strings of a puppet: words go in, answers come out, one each. */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as World from "./world.js"

export interface Answer {
  readonly pid?: number
  readonly opened?: number
  readonly acknowledged?: number
  readonly count?: number
  /** what a reader reads */
  readonly source?: string
  readonly closed?: boolean
  /** tag of a typed error */
  readonly error?: string
  /** SQLite's name of a failure */
  readonly code?: string
  readonly holder?: string
  /** the file that a lost store was saved as */
  readonly rescued?: string
  /** what no store may ever do */
  readonly defect?: string
  /** the process ended instead of answering */
  readonly ended?: string
}

export interface Puppet {
  readonly pid: number
  readonly process: ChildProcess
  readonly tell: (word: string) => Promise<Answer>
  readonly kill: (signal: "SIGSTOP" | "SIGCONT" | "SIGKILL") => void
  /** it is told nothing any more, closes what it has and ends */
  readonly release: () => Promise<void>
  readonly ended: Promise<string>
}

const isAnswer = (value: unknown): value is Answer => typeof value === "object" && value !== null

/** What a puppet is made of, and who is told when it hangs. */
export interface Theatre {
  readonly program: string
  readonly wrong: (what: string) => void
}

/** Far more than the store's patience and the slowest disk. */
const answerSeconds = 120

/**
 * Starts one. `through` is what stands before `node` on the command line: a shell that sets a limit, say; its last
 * word must be replaced by the process.
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
