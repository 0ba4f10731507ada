/**
 * Turns what the decisions of a round emitted into the one commit that makes them durable. The session authority calls
 * it. Invariant: a commit holds at most one change per row.
 *
 * @since 0.1.0
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { Emit } from "../domain/Command.js"
import type { InputId, OperationId, RequestId } from "../domain/Ids.js"
import type { SliceDocument } from "../domain/InputRecord.js"
import type { CompletionEntry } from "../domain/Operation.js"
import type { InputPut, KeyOwner, RuntimeCommit } from "../domain/RuntimeCommit.js"
import type { SessionState } from "../domain/SessionState.js"
import { factsOf } from "./facts.js"
import * as Ledger from "./Ledger.js"
import { clean, isDirty } from "./softFacts.js"

/** Returns the deferred writes as puts, and the state without deferred writes. @since 0.1.0 @category combinators */
export const foldDirty = (
  state: SessionState
): { readonly state: SessionState; readonly emits: ReadonlyArray<Emit> } => {
  if (!isDirty(state)) return { state, emits: [] }
  const { cursors, dropOperations, inputs, operations } = state.dirty
  return {
    state: { ...state, dirty: clean },
    emits: [
      ...inputs.flatMap((id) => updateOf(state, id)),
      ...operations.flatMap((id) => operationPut(state, id)),
      ...dropOperations.map((id): Emit => ({ _tag: "DropOperation", id })),
      ...(cursors ? [{ _tag: "PutEpoch", epoch: state.operations.epoch } as const] : [])
    ]
  }
}

/** True if an emit must be durable before it is visible. @since 0.1.0 @category guards */
export const isHard = (emits: ReadonlyArray<Emit>): boolean => emits.some(writes)

/**
 * True if the round must end with these emits even if commands wait: a commit holds at most one receipt and one body.
 *
 * @since 0.1.0
 * @category guards
 */
export const endsRound = (emits: ReadonlyArray<Emit>): boolean =>
  emits.some(({ _tag }) => _tag === "PutReceipt" || _tag === "PutSession" || _tag === "Close")

/** Returns the inputs that these emits end. @since 0.1.0 @category accessors */
export const endedIn = (emits: ReadonlyArray<Emit>): ReadonlyArray<InputId> =>
  emits.flatMap((emit) => emit._tag === "EndInput" ? [emit.row.inputId] : [])

/**
 * True if these emits insert an input that ended in the same round. The state holds no ended inputs, so the input
 * looked new; but a commit holds one change per row. The input waits for the next round, in which the store knows it.
 *
 * @since 0.1.0
 * @category guards
 */
export const bringsBack = (ended: ReadonlySet<InputId>, emits: ReadonlyArray<Emit>): boolean =>
  emits.some((emit) =>
    emit._tag === "InsertInput"
      ? ended.has(emit.record.inputId)
      : emit._tag === "EndInput" && emit.inserted && ended.has(emit.row.inputId)
  )

/** The fields of a commit that do not come from emits. @since 0.1.0 @category models */
export interface CommitBase {
  readonly requestId: RequestId
  readonly incarnation: number
  readonly basis: number
  readonly at: number
  readonly retainTerminal?: number
}

/**
 * Makes the commit of a round. The emits tell which rows changed; `state`, the final state of the round, holds their
 * content. So the order of emits about one row does not matter, and each row is written once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toCommit = (base: CommitBase, state: SessionState, emits: ReadonlyArray<Emit>): RuntimeCommit => {
  const draft = emits.reduce(drafted, emptyDraft())
  return {
    requestId: base.requestId,
    runtimeId: state.runtimeId,
    sessionId: state.sessionId,
    incarnation: base.incarnation,
    basis: base.basis,
    at: base.at,
    inputs: Array.from(draft.inputs.values()).map((change) => inputPut(state, change)),
    clearKeys: Array.from(draft.clearKeys.values()),
    ...operationRows(state, draft.operations),
    feed: Array.from(draft.feed.values()).sort((a, b) => a.seq - b.seq),
    slices: Array.from(draft.slices.values()),
    close: draft.close,
    ...draft.single,
    ...(draft.epoch ? { epoch: state.operations.epoch } : {}),
    ...(base.retainTerminal === undefined ? {} : { retainTerminal: base.retainTerminal })
  }
}

// --- internal ---

const updateOf = (state: SessionState, id: InputId): ReadonlyArray<Emit> => {
  const record = Ledger.get(state.ledger, id)
  return record === undefined || record.durability === "ephemeral"
    ? []
    : [{ _tag: "UpdateInput", facts: factsOf(record) }]
}

const operationPut = (state: SessionState, id: OperationId): ReadonlyArray<Emit> =>
  Option.match(HashMap.get(state.operations.records, id), {
    onNone: () => [],
    onSome: (record): ReadonlyArray<Emit> => [{ _tag: "PutOperation", record }]
  })

const writes = (emit: Emit): boolean => {
  switch (emit._tag) {
    case "InsertInput":
      return emit.record.durability !== "ephemeral"
    case "UpdateInput":
      return emit.facts.durability !== "ephemeral"
    case "EndInput":
      return emit.row.durability !== "ephemeral"
    case "ClearKey":
    case "PutLifecycle":
    case "PutSession":
    case "PutReceipt":
    case "PutOperation":
    case "DropOperation":
    case "PutFeed":
    case "PutEpoch":
    case "PutSlice":
    case "Close":
      return true
    case "Settle":
    case "SettleAll":
    case "SettleOperation":
    case "BarrierSatisfied":
    case "Event":
      return false
  }
}

type InputEmit = Extract<Emit, { readonly _tag: "InsertInput" | "UpdateInput" | "EndInput" }>

/** The change of one input's row in this round: its final emit, and whether the row is new. */
interface InputChange {
  readonly inserted: boolean
  readonly last: InputEmit
}

/** Accumulator of one `toCommit` call. */
interface Draft {
  readonly inputs: Map<InputId, InputChange>
  readonly clearKeys: Map<string, KeyOwner>
  readonly operations: Set<OperationId>
  readonly feed: Map<number, CompletionEntry>
  readonly slices: Map<string, SliceDocument>
  readonly epoch: boolean
  readonly close: boolean
  readonly single: Pick<RuntimeCommit, "lifecycle" | "session" | "receipt">
}

const emptyDraft = (): Draft => ({
  inputs: new Map(),
  clearKeys: new Map(),
  operations: new Set(),
  feed: new Map(),
  slices: new Map(),
  epoch: false,
  close: false,
  single: {}
})

const drafted = (draft: Draft, emit: Emit): Draft => {
  if (!writes(emit)) return draft
  switch (emit._tag) {
    case "InsertInput":
      return withInput(draft, emit.record.inputId, emit)
    case "UpdateInput":
      return withInput(draft, emit.facts.inputId, emit)
    case "EndInput":
      return withInput(draft, emit.row.inputId, emit)
    case "ClearKey":
      draft.clearKeys.set(`${emit.owner.inputId} ${emit.owner.key}`, emit.owner)
      return draft
    case "PutLifecycle":
      return { ...draft, single: { ...draft.single, lifecycle: emit.state } }
    case "PutSession":
      return { ...draft, single: { ...draft.single, session: emit.part } }
    case "PutReceipt":
      return { ...draft, single: { ...draft.single, receipt: { receipt: emit.receipt, outcome: emit.outcome } } }
    case "PutOperation":
      draft.operations.add(emit.record.spec.id)
      return draft
    case "DropOperation":
      draft.operations.add(emit.id)
      return draft
    case "PutFeed":
      draft.feed.set(emit.entry.seq, emit.entry)
      return { ...draft, epoch: true }
    case "PutEpoch":
      return { ...draft, epoch: true }
    case "PutSlice":
      draft.slices.set(emit.slice.name, emit.slice)
      return draft
    case "Close":
      return { ...draft, close: true }
    case "Settle":
    case "SettleAll":
    case "SettleOperation":
    case "BarrierSatisfied":
    case "Event":
      return draft
  }
}

const withInput = (draft: Draft, id: InputId, emit: InputEmit): Draft => {
  const known = draft.inputs.get(id)
  const inserted = known?.inserted === true || emit._tag === "InsertInput" ||
    (emit._tag === "EndInput" && emit.inserted)
  // an end wins in any order; an insert holds more than an update
  const last =
    known === undefined || emit._tag === "EndInput" || (emit._tag === "InsertInput" && known.last._tag !== "EndInput")
      ? emit
      : known.last
  draft.inputs.set(id, { inserted, last })
  return draft
}

/** An id may be dropped and reused in one round: a kept record is written, otherwise its row is deleted. */
const operationRows = (
  { operations: { records } }: SessionState,
  ids: ReadonlySet<OperationId>
): Pick<RuntimeCommit, "operations" | "dropOperations"> => ({
  operations: Array.from(ids).flatMap((id) => Option.toArray(HashMap.get(records, id))),
  dropOperations: Array.from(ids).filter((id) => !HashMap.has(records, id))
})

const inputPut = (state: SessionState, { inserted, last }: InputChange): InputPut => {
  switch (last._tag) {
    case "EndInput":
      return { _tag: inserted ? "InsertTerminal" : "Terminal", row: last.row }
    case "InsertInput":
      return { _tag: "Insert", record: Ledger.get(state.ledger, last.record.inputId) ?? last.record }
    case "UpdateInput": {
      const record = Ledger.get(state.ledger, last.facts.inputId)
      return { _tag: "Update", facts: record === undefined ? last.facts : factsOf(record) }
    }
  }
}
