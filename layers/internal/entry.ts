/**
 * One registered session in this process.
 *
 * Identity is the entry, not the id: after the first lookup an operation holds the entry, so late code never acts on a
 * successor. Every fact that changes is in one of two references. `state` is written only by the functions of `transitions`;
 * `rare` only by the functions below and by the modules that own a part.
 *
 * Initial values are shared constants, so an idle session holds two cells of one word each. For that reason `rare` is never
 * null: absent parts are written in the shared constant.
 *
 * Callers: the registry makes entries; every part of the machine reads them.
 *
 * @since 0.1.0
 */
import * as HashMap from "effect/HashMap"
import type * as Scope from "effect/Scope"
import type { SessionAuthority } from "../../services/MachineAuthority.js"
import type { SessionId } from "../../src/domain/Ids.js"
import { Cell } from "./cell.js"
import type { Rare } from "./entryParts.js"
import type { EntryState } from "./entryState.js"
import type { AnyFiber } from "./joining.js"
import { initial } from "./transitions.js"

export interface Entry {
  readonly sessionId: SessionId
  readonly authority: SessionAuthority
  readonly scope: Scope.CloseableScope
  readonly state: Cell<EntryState>
  readonly rare: Cell<Rare>
}

const noFibers: ReadonlySet<AnyFiber> = new Set()

const nothing: Rare = {
  operations: HashMap.empty(),
  operationRegistry: null,
  drain: null,
  model: null,
  ends: noFibers,
  hooks: noFibers,
  bindings: null
}

/** The entry of a session that was just opened. */
export const make = (sessionId: SessionId, authority: SessionAuthority, scope: Scope.CloseableScope): Entry => ({
  sessionId,
  authority,
  scope,
  state: new Cell(initial),
  rare: new Cell(nothing)
})

/** Replaces rare parts in one step. */
export const update = (entry: Entry, change: (rare: Rare) => Partial<Rare>): void =>
  entry.rare.unsafeModify((rare) => [undefined, { ...rare, ...change(rare) }])

const without = <A>(all: ReadonlySet<A>, one: A): ReadonlySet<A> =>
  new Set(Array.from(all).filter((each) => each !== one))

/** Keeps a fiber among the ends or the hooks of its session until it ends. */
export const keep = <F extends AnyFiber>(entry: Entry, part: "ends" | "hooks", fiber: F): F => {
  const write = (next: (fibers: ReadonlySet<AnyFiber>) => ReadonlySet<AnyFiber>) =>
    update(entry, ({ ends, hooks }) => part === "ends" ? { ends: next(ends) } : { hooks: next(hooks) })
  write((fibers) => new Set(fibers).add(fiber))
  fiber.addObserver(() => write((fibers) => without(fibers, fiber)))
  return fiber
}
