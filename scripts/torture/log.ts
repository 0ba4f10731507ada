/**
 * The log of a process that may be killed. Each line is in the kernel when the call returns, so SIGKILL cannot lose it.
 * One line is one write to a file that is only appended to.
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs"

/** The phase of a life of the driver. */
export type Phase = "begun" | "opened" | "ready" | "closing" | "closed"

/** An entry of the log. `life` is the number of the process in its world. */
export type Entry =
  | { readonly _: "phase"; readonly life: number; readonly phase: Phase; readonly drain?: boolean }
  /** about to be accepted */
  | { readonly _: "offer"; readonly life: number; readonly session: string; readonly key: string }
  /** accept returned, so the input is durable; the id is empty if no caller received it */
  | {
    readonly _: "ack"
    readonly life: number
    readonly session: string
    readonly key: string
    readonly id: string
    readonly fresh: boolean
  }
  /** a waiter received the outcome */
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

/** Opens a log. A line begins with its line break, so a torn line spoils only itself. */
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

/** Reads the complete lines of a log. */
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
