/**
 * What is known of a session's model, and the changes of it that run or wait.
 *
 * `facts` is a `SynchronizedRef`: its permit is held for a whole change, which calls the model host. This is the one permit
 * around code of users. Each call of the host is bounded, and waiting for the permit can be interrupted. The holder writes
 * facts as it learns them; readers never wait.
 *
 * Callers: the llm surface makes and changes it; destroy and teardown end its changes.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SessionLlmReconfigureHostService } from "../../services/SessionLlmReconfigureHost.js"
import type { SessionId } from "../../src/domain/Ids.js"
import { Cell, SynchronizedCell } from "./cell.js"
import type { Entry } from "./entry.js"
import * as Entries from "./entry.js"
import type { ModelCell, ModelFacts } from "./entryParts.js"
import type { AnyFiber, EndDeps } from "./joining.js"
import { ended } from "./joining.js"
import * as KeyedLock from "./keyedLock.js"

export const unresolved: ModelFacts = { identity: null, surface: null }

const noChanges: ReadonlySet<AnyFiber> = new Set()

/** The model of a session, made at the first change. */
export const of = (entry: Entry): ModelCell => {
  const known = entry.rare.unsafeGet().model
  if (known !== null) return known
  const model: ModelCell = { facts: new SynchronizedCell(unresolved), changes: new Cell(noChanges) }
  Entries.update(entry, () => ({ model }))
  return model
}

/** What the sessions of a machine share for their models. */
export interface Models {
  readonly host: Cell<SessionLlmReconfigureHostService | null>
  /** By id, where the permit of `facts` is by entry: a successor waits for what its predecessor still undoes. */
  readonly turns: KeyedLock.KeyedLock<SessionId>
}

export const models = (host: Option.Option<SessionLlmReconfigureHostService>): Models => ({
  host: new Cell(Option.getOrNull(host)),
  turns: KeyedLock.make()
})

/** What is known of the model; reading it makes nothing. */
export const factsOf = (entry: Entry): ModelFacts => entry.rare.unsafeGet().model?.facts.unsafeGet() ?? unresolved

/** The holder of the permit has learned these facts. */
export const learn = ({ facts }: ModelCell, learned: ModelFacts): void => facts.unsafeModify(() => [undefined, learned])

/** Ends the changes in progress: each is undone or completed within `teardownTimeout`. False when one was left behind. */
export const end = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => ended(deps, Array.from(entry.rare.unsafeGet().model?.changes.unsafeGet() ?? [])))
