/** A folder with one store file, and the processes that open it in sequence. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

export interface Folder {
  readonly path: string
  readonly db: string
  readonly log: string
  readonly agentLog: string
  /** in the environment of every process that is started here */
  readonly tag: string
  readonly remove: () => void
}

export const folder = (name: string): Folder => {
  const path = mkdtempSync(join(tmpdir(), "meerkat-torture-"))
  return {
    path,
    db: join(path, "store.db"),
    log: join(path, "life.log"),
    agentLog: join(path, "agent.log"),
    tag: `${name}-${process.pid}-${Math.floor(performance.now() * 1000)}`,
    remove: () => rmSync(path, { recursive: true, force: true })
  }
}

export interface Life {
  readonly process: ChildProcess
  /** completes when it reports that all its sessions are live */
  readonly ready: Promise<boolean>
  readonly ended: Promise<End>
}

export interface End {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export const start = (
  program: string,
  args: ReadonlyArray<string>,
  { path, tag }: Folder,
  more: Readonly<Record<string, string>> = {}
): Life => {
  const { MEERKAT_DB: _, ...env } = process.env
  const child = spawn(process.execPath, [program, ...args], {
    cwd: path,
    env: { ...env, NODE_OPTIONS: "", MEERKAT_TORTURE: tag, ...more },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let stdout = ""
  let stderr = ""
  let tell: (ready: boolean) => void = () => {}
  const ready = new Promise<boolean>((resolve) => {
    tell = resolve
  })
  child.stdout.on("data", (data: Buffer) => {
    stdout += data.toString()
    if (stdout.startsWith("ready")) tell(true)
  })
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString()
  })
  // "exit" rather than "close": a child of a killed process may keep the streams open a little longer
  const ended = new Promise<End>((resolve) =>
    child.once("exit", (code, signal) => {
      tell(false)
      setImmediate(() => resolve({ code, signal, stdout, stderr }))
    })
  )
  return { process: child, ready, ended }
}

/**
 * Waits for what a process must do. A process that takes longer is a finding: it is reported and killed, so that the
 * wait ends.
 */
export const within = async <A>(
  seconds: number,
  child: ChildProcess,
  awaited: Promise<A>,
  late: (what: string) => void,
  what: string
): Promise<A> => {
  const timer = setTimeout(() => {
    late(`${what} within ${seconds} s`)
    child.kill("SIGKILL")
  }, seconds * 1000)
  const ended = await awaited
  clearTimeout(timer)
  return ended
}

/** Returns the live processes of this world, without zombies; empty without `/proc`. */
export const living = ({ tag }: Folder): ReadonlyArray<number> => {
  if (process.platform !== "linux") return []
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      if (!readFileSync(`/proc/${name}/environ`, "latin1").includes(`MEERKAT_TORTURE=${tag}\0`)) return []
      return /\) [ZX] /.test(readFileSync(`/proc/${name}/stat`, "latin1")) ? [] : [Number(name)]
    } catch {
      return []
    }
  })
}

/** Waits until no process of the world lives; returns those that still live after `withinMs`. */
export const emptied = async (of: Folder, withinMs: number): Promise<ReadonlyArray<number>> => {
  const until = performance.now() + withinMs
  let left = living(of)
  while (left.length > 0 && performance.now() < until) {
    await sleep(5)
    left = living(of)
  }
  return left
}

/** True if a process lives. A zombie has ended, although its parent has not yet collected it. */
export const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return process.platform !== "linux" || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    return false
  }
}
