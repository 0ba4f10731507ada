/**
 * Reads of sessions; nothing here changes anything.
 *
 * Reads that the session handle shares are functions of an entry, or of what resolves it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SessionEvent } from "../../../services/MachineAuthority.js"
import type { MeerkatMachineService, SessionFeed } from "../../../services/MeerkatMachine.js"
import type { RuntimeDriverError } from "../../../src/domain/Errors.js"
import type { InputId } from "../../../src/domain/Ids.js"
import { runtimeIdOf } from "../../../src/domain/Ids.js"
import { stateOfOpen, stateOfTerminal } from "../../../src/domain/InputRecord.js"
import type { Message } from "../../../src/domain/Message.js"
import type { RuntimeState } from "../../../src/domain/RuntimeState.js"
import type { SessionState } from "../../../src/domain/SessionState.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import * as Admission from "../admission.js"
import type { Entry } from "../entry.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { snapshotOf } from "../spine.js"
import { visibleOf } from "../visibleState.js"

/** The read model of the published state, or of the state that an event stream begins with. The rest is read in the same step. */
export const snapshot = (parts: MachineParts, entry: Entry, state?: SessionState) =>
  Effect.sync(() =>
    snapshotOf(
      entry,
      state ?? entry.authority.unsafeState(),
      entry.authority.unsafeHealth(),
      parts.store.kind === "memory" ? "Ephemeral" : "Persistent"
    )
  )

const eventsOf = (resolve: Resolve) =>
  Stream.unwrap(
    Effect.map(resolve, (entry) => Stream.map(entry.authority.events, (event) => ({ entry, event })))
  )

/** A snapshot, then every event, of the incarnation that is live at the subscription. */
export const feed = (parts: MachineParts, resolve: Resolve): Stream.Stream<SessionFeed, RuntimeDriverError> =>
  Stream.mapEffect(
    eventsOf(resolve),
    ({ entry, event }): Effect.Effect<SessionFeed> =>
      event._tag === "Snapshot"
        ? Effect.map(
          snapshot(parts, entry, event.state),
          (value): SessionFeed => ({ _tag: "Snapshot", snapshot: value })
        )
        : Effect.succeed(event)
  )

/** The committed messages, as they are at the call. */
export const history = ({ store }: MachineParts, resolve: Resolve): Stream.Stream<Message, RuntimeDriverError> =>
  Stream.unwrap(
    Effect.map(
      resolve,
      ({ sessionId }) => Stream.mapError(store.history(runtimeIdOf(sessionId)), Admission.readFailure)
    )
  )

/** The visible state of each snapshot and of each change. After a lag the next snapshot has the current state. */
const stateOf = (entry: Entry, item: SessionEvent): Option.Option<RuntimeState> => {
  if (item._tag === "Snapshot") return Option.some(visibleOf(entry, item.state))
  if (item._tag === "Lagged") return Option.none()
  const { event } = item.envelope
  return event._tag === "StateChanged" ? Option.some(event.to) : Option.none()
}

/** The state that callers see. */
export const runtimeState = (resolve: Resolve) => Effect.map(resolve, (entry) => visibleOf(entry))

/** The outcome of an input; none while it is open. */
export const outcome = (parts: MachineParts, resolve: Resolve, inputId: InputId) =>
  Effect.flatMap(resolve, (entry) =>
    Ledger.get(entry.authority.unsafeState().ledger, inputId) !== undefined
      ? Effect.succeedNone
      : Admission.storedOutcome(parts, entry, inputId))

/** Reads of sessions, by session id. */
export const reads = (
  parts: MachineParts
): Pick<
  MeerkatMachineService,
  | "runtimeState"
  | "runtimeStateChanges"
  | "inputState"
  | "outcome"
  | "listActiveInputs"
  | "loadBoundaryReceipt"
  | "history"
  | "runtimeEvents"
  | "meerkatMachineSpineSnapshot"
  | "storedSessions"
> => {
  const { registry, store } = parts
  return {
    runtimeState: (sessionId) => runtimeState(registry.lookup(sessionId)),
    runtimeStateChanges: (sessionId) =>
      Stream.changes(
        Stream.filterMap(eventsOf(registry.lookup(sessionId)), ({ entry, event }) => stateOf(entry, event))
      ),
    inputState: (sessionId, inputId) =>
      Effect.flatMap(registry.lookup(sessionId), (entry) => {
        const { ledger, runtimeId } = entry.authority.unsafeState()
        const open = Ledger.get(ledger, inputId)
        return open !== undefined ? Effect.succeedSome(stateOfOpen(open)) : Effect.mapBoth(
          store.terminalInput(runtimeId, inputId),
          { onFailure: Admission.readFailure, onSuccess: Option.map(stateOfTerminal) }
        )
      }),
    outcome: (sessionId, inputId) => outcome(parts, registry.lookup(sessionId), inputId),
    listActiveInputs: (sessionId) =>
      Effect.map(
        registry.lookup(sessionId),
        (entry) => Ledger.all(entry.authority.unsafeState().ledger).map((record) => record.inputId)
      ),
    loadBoundaryReceipt: (sessionId, runId, sequence) =>
      Effect.flatMap(
        registry.lookup(sessionId),
        () =>
          Effect.mapBoth(store.receipt(runtimeIdOf(sessionId), runId, sequence), {
            onFailure: Admission.readFailure,
            onSuccess: Option.map((stored) => stored.receipt)
          })
      ),
    history: (sessionId) => history(parts, registry.lookup(sessionId)),
    runtimeEvents: (sessionId) => feed(parts, registry.lookup(sessionId)),
    meerkatMachineSpineSnapshot: (sessionId) =>
      Effect.suspend(() => {
        const entry = registry.find(sessionId)
        return entry === undefined ? Effect.succeedNone : Effect.asSome(snapshot(parts, entry))
      }),
    storedSessions: (filter) => Stream.mapError(store.sessions(filter), Admission.readFailure)
  }
}
