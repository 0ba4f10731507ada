/** @since 0.1.0 */
import * as Either from "effect/Either"
// asked in the middle of a decision that must not be interleaved: synchronous
// @effect-diagnostics nodeBuiltinImport:off
import { readdirSync, readFileSync } from "node:fs"

/**
 * How many live processes a process group has (zombies do not count), read from `/proc`; `undefined` where there is
 * none, as on macOS. Only for deciding how long to wait: no signal is sent to what is found here.
 *
 * Members are younger than their leader, so that only higher numbers are looked at, which keeps the cost independent
 * of the size of the machine. When the numbers have wrapped around, some are missed and get no grace.
 *
 * @since 0.1.0
 * @category accessors
 */
export const countMembers = (group: number): number | undefined =>
  process.platform === "linux"
    ? Either.getOrUndefined(Either.try(() => readdirSync("/proc").filter((name) => isMember(name, group)).length))
    : undefined

// --- internal ---

/** `pid (name) state ppid pgrp …`, where the name may hold anything, parentheses too. */
const isMember = (pid: string, group: number): boolean => {
  if (!(Number(pid) >= group)) return false
  const stat = Either.getOrElse(Either.try(() => readFileSync(`/proc/${pid}/stat`, "latin1")), () => "")
  const [state, , pgrp] = stat.slice(stat.lastIndexOf(")") + 2).split(" ", 3)
  return Number(pgrp) === group && state !== "Z" && state !== "X"
}
