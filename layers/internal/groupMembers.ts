/**
 * Counts the processes of a process group. The command executor calls it when it ends a group.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
// synchronous, because it is part of a decision that must not be interleaved
// @effect-diagnostics nodeBuiltinImport:off
import { readdirSync, readFileSync } from "node:fs"

/**
 * Counts the live processes of a process group, without zombies, from `/proc`. Returns `undefined` on systems without
 * `/proc`, such as macOS. The count only decides how long to wait; no signal is sent to the processes found.
 *
 * Members are younger than their leader, so only higher process ids are read. That keeps the cost independent of the
 * size of the machine. After a wrap-around of process ids it misses some members, and these get no grace period.
 *
 * @since 0.1.0
 * @category accessors
 */
export const countMembers = (group: number): number | undefined =>
  process.platform === "linux"
    ? Either.getOrUndefined(Either.try(() => readdirSync("/proc").filter((name) => isMember(name, group)).length))
    : undefined

// --- internal ---

/** Parses `pid (name) state ppid pgrp …`; the name may contain anything, even parentheses. */
const isMember = (pid: string, group: number): boolean => {
  if (!(Number(pid) >= group)) return false
  const stat = Either.getOrElse(Either.try(() => readFileSync(`/proc/${pid}/stat`, "latin1")), () => "")
  const [state, , pgrp] = stat.slice(stat.lastIndexOf(")") + 2).split(" ", 3)
  return Number(pgrp) === group && state !== "Z" && state !== "X"
}
