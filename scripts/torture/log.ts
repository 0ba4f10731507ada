/**
 * What a process says before it may be killed: lines that are with the kernel when the call returns, so that SIGKILL
 * cannot take them back. One line is one write to a file that is only appended to.
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs"

/** Where a life of the driver is. */
export type Phase = "begun" | "opened" | "ready" | "closing" | "closed"

/** What the driver writes. `life` is the number of the process in its world. */
export type Entry =
  | { readonly _: "phase"; readonly life: number; readonly phase: Phase; readonly drain?: boolean }
  /** about to be accepted */
  | { readonly _: "offer"; readonly life: number; readonly session: string; readonly key: string }
  /** accept returned: durable from here on; the id is empty where nobody was told it */
  | {
    readonly _: "ack"
    readonly life: number
    readonly session: string
    readonly key: string
    readonly id: string
    readonly fresh: boolean
  }
  /** a waiter was told the end */
  | { readonly _: "done"; readonly life: number; readonly session: string; readonly key: string; readonly end: string }
  /** the executor began, ended with an answer, failed, or was interrupted */
  | {
    readonly _: "start" | "end" | "fail" | "interrupt"
    readonly life: number
    readonly session: string
    readonly key: string
    readonly answer: string
  }
  /** something that must not happen */
  | { readonly _: "wrong"; readonly life: number; readonly what: string }

export interface Log {
  readonly write: (entry: Entry) => void
  readonly close: () => void
}

/** A line begins with its line break: one that was torn spoils only itself. */
export const open = (path: string): Log => {
  const fd = openSync(path, "a")
  return {
    write: (entry) => void writeSync(fd, `\n${JSON.stringify(entry)}`),
    close: () => closeSync(fd)
  }
}

const kinds = new Set(["phase", "offer", "ack", "done", "start", "end", "fail", "interrupt", "wrong"])

const isEntry = (value: unknown): value is Entry =>
  typeof value === "object" && value !== null && "_" in value && typeof value._ === "string" && kinds.has(value._)

/** The whole lines of a log. */
export const read = (path: string): ReadonlyArray<Entry> => {
  if (!existsSync(path)) return []
  return readFileSync(path, "utf8").split("\n").flatMap((line) => {
    if (line === "") return []
    try {
      const value: unknown = JSON.parse(line)
      return isEntry(value) ? [value] : []
    } catch {
      return []
    }
  })
}
