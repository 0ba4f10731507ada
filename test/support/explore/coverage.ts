/**
 * The coverage of the table in the states of an exploration: which guards hold and fail, which cells of the phase matrix
 * are taken and refused, and the reasons of refusals.
 */
import * as Either from "effect/Either"
import * as Struct from "effect/Struct"
import type { InputId } from "../../../src/domain/Ids.js"
import type { SessionHead, SessionPart } from "../../../src/domain/RuntimeCommit.js"
import type { SessionState } from "../../../src/domain/SessionState.js"
import { noCatalogs } from "../../../src/domain/ToolVisibility.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import { phases } from "../../../src/kernel/matrix.js"
import type { Row } from "../../../src/kernel/row.js"
import { tokenOf } from "../../../src/kernel/rows/registration.js"
import type { ListedRow, Triggers } from "../../../src/kernel/table.js"
import * as Table from "../../../src/kernel/table.js"
import { inputId, prompt, record, runId } from "../inputs.js"
import { done } from "../kernel.js"
import type { Node } from "./node.js"
import { reasonsOf, staleRun, staleToken } from "./node.js"

/** The number of times that a guard or cell held and did not hold. */
export interface Tally {
  yes: number
  no: number
}

export class Coverage {
  /** The tallies by `row guard`. */
  readonly guards = new Map<string, Tally>()
  /** The tallies by `slice trigger phase`. */
  readonly cells = new Map<string, Tally>()
  readonly refusals = new Map<string, number>()
  private readonly seen = new Set<string>()

  readonly show = ({ live }: Node): void => {
    if (live === null) return
    const key = outlineOf(live)
    if (this.seen.has(key)) return
    this.seen.add(key)
    for (const on of Struct.keys(payloads)) this.ask(on, live)
  }

  private ask<K extends keyof Triggers>(on: K, state: SessionState): void {
    const candidates: ReadonlyArray<Row<Triggers[K]>> = Table.table[on]
    for (const payload of payloads[on](state)) {
      const step = Table.fire(Table.begin("probe", state), on, payload)
      const row = candidates[0]
      if (row === undefined) continue
      tally(this.cells, `${row.slice} ${on} ${row.phase(state, payload)}`, Either.isRight(step))
      if (Either.isLeft(step)) {
        for (const reason of reasonsOf(step.left)) this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1)
      }
      for (const candidate of candidates) this.weigh(candidate, state, payload)
    }
  }

  private weigh<P>({ from, guards, id, phase }: Row<P>, state: SessionState, payload: P): void {
    if (!from.includes(phase(state, payload))) return
    for (const [name, guard] of Object.entries(guards)) tally(this.guards, `${id} ${name}`, guard(state, payload))
  }
}

/** Returns the guards that never hold or never fail, the cells that differ from the table, and the unseen refusals. */
export const gaps = (coverage: Coverage, rows: ReadonlyArray<ListedRow>): ReadonlyArray<string> => [
  ...rows.flatMap(({ guards, id }) => Object.keys(guards).map((guard) => `${id} ${guard}`)).flatMap((name) => {
    const { no, yes } = coverage.guards.get(name) ?? { yes: 0, no: 0 }
    return [...(yes === 0 ? [`guard ${name} never holds`] : []), ...(no === 0 ? [`guard ${name} never fails`] : [])]
  }),
  ...cellsOf(rows).flatMap(({ expected, name }) => {
    const { no, yes } = coverage.cells.get(name) ?? { yes: 0, no: 0 }
    if (yes + no === 0) return [`cell ${name} was never asked`]
    const found = yes === 0 ? "refused" : no === 0 ? "taken" : "guarded"
    return found === expected ? [] : [`cell ${name} is ${expected} in the table, and was ${found}`]
  }),
  ...["TerminalPhase", "NoTransition", "GuardRejected"].flatMap((kind) =>
    Array.from(coverage.refusals.keys()).some((reason) => reason.startsWith(kind)) ? [] : [`${kind} never happens`]
  )
]

// --- internal ---

const tally = (into: Map<string, Tally>, name: string, holds: boolean): void => {
  const known = into.get(name) ?? { yes: 0, no: 0 }
  if (holds) known.yes++
  else known.no++
  into.set(name, known)
}

type Expected = "taken" | "refused" | "guarded"

const cellsOf = (
  rows: ReadonlyArray<ListedRow>
): ReadonlyArray<{ readonly name: string; readonly expected: Expected }> => {
  const triggers = new Map(rows.map(({ on, slice }) => [on, slice]))
  return Array.from(triggers).flatMap(([on, slice]) =>
    phases[slice].map((phase) => {
      const candidates = rows.filter((row) => row.on === on && row.from.includes(phase))
      const open = candidates.some(({ guards }) => Object.keys(guards).length === 0)
      return {
        name: `${slice} ${on} ${phase}`,
        expected: candidates.length === 0 ? "refused" : open ? "taken" : "guarded"
      }
    })
  )
}

/** Returns the parts of a state that guards read. */
const outlineOf = ({ binding, ledger, lifecycle, registration }: SessionState): string =>
  JSON.stringify([
    lifecycle._tag === "Running"
      ? [lifecycle.returnTo, lifecycle.owner, lifecycle.cancel, lifecycle.yieldRequest]
      : lifecycle._tag,
    registration._tag,
    "token" in registration && registration.token === null,
    binding === null,
    Ledger.all(ledger).map(({ admissionSeq, attempts, lane, status }) => [
      lane,
      status.type,
      attempts > 0,
      admissionSeq < ledger.imageSeq
    ])
  ])

const at = 1

const run = ({ lifecycle }: SessionState) => lifecycle._tag === "Running" ? lifecycle.runId : staleRun

const runs = (state: SessionState) => [run(state), runId(2)]

const tokens = (state: SessionState) => [tokenOf(state) ?? 1, staleToken]

const inputs = ({ ledger }: SessionState): ReadonlyArray<InputId> => [
  ...Ledger.all(ledger).map((known) => known.inputId),
  inputId(3)
]

const append = (base: SessionHead): SessionPart => ({
  _tag: "Append",
  base,
  messages: [],
  head: base
})

const beginning = { runId: runId(3), inputIds: [], at }

type Payloads = { readonly [K in keyof Triggers]: (state: SessionState) => ReadonlyArray<Triggers[K]> }

const nothing = () => [{}]

const touches = (state: SessionState) => inputs(state).map((id) => ({ inputId: id, at }))

const abandoning = (state: SessionState) =>
  inputs(state).map((id) => ({ inputId: id, at, reason: { type: "cancelled" } as const, outcome: done }))

const entering = (state: SessionState) =>
  inputs(state).map((id) => ({ inputId: id, record: { ...record(prompt(3)), inputId: id }, outcome: done }))

const replacing = (state: SessionState) => inputs(state).map((id) => ({ inputId: id, at, by: inputId(4) }))

const committing = (state: SessionState) =>
  runs(state).flatMap((id) =>
    [null, append({ ...state.head, messageCount: -1 })].map((part) => ({
      runId: id,
      outcome: done,
      receipt: null,
      part
    }))
  )

const payloads: Payloads = {
  Admit: nothing,
  EditQueue: nothing,
  SetSilentIntents: () => [{ intents: ["a"] }],
  ClaimLoop: nothing,
  AttachLoop: nothing,
  DetachLoop: nothing,
  Retire: nothing,
  Reset: nothing,
  Recycle: nothing,
  Recover: nothing,
  Stop: nothing,
  Destroy: nothing,
  Bind: () => [{ fence: 1 }],
  Reconfigure: nothing,
  EditTools: () => [{ visibility: null }],
  KnowTools: () => [{ catalogs: noCatalogs }],
  BeginAttach: (state) => tokens(state).map((token) => ({ token })),
  PublishLoop: (state) => tokens(state).map((token) => ({ token, drainOnly: false })),
  AbortAttach: (state) => tokens(state).map((token) => ({ token })),
  LoopEnded: (state) => tokens(state).map((token) => ({ token })),
  DropLoop: nothing,
  SetDrainOnly: () => [{ drainOnly: true }],
  BeginUnregister: nothing,
  BeginRun: (state) => tokens(state).map((token) => ({ ...beginning, token })),
  BeginInline: () => [beginning],
  BeginService: (state) => [beginning, { ...beginning, runId: run(state) }],
  CommitRun: committing,
  FailRun: (state) => runs(state).map((id) => ({ runId: id, detail: "x", willRetry: false })),
  CancelRun: (state) => runs(state).map((id) => ({ runId: id, reason: "x" })),
  RequeueRun: (state) => runs(state).map((id) => ({ runId: id })),
  CompleteService: committing,
  FailService: (state) => runs(state).map((id) => ({ runId: id, detail: "x" })),
  CancelService: (state) => runs(state).map((id) => ({ runId: id, reason: "x" })),
  RequestCancel: () => [{ reason: "x" }],
  RequestYield: () => [{ reason: "x" }],
  Enqueue: entering,
  ConsumeOnAccept: entering,
  Stage: (state) => inputs(state).map((id) => ({ inputId: id, at, runId: run(state) })),
  Requeue: touches,
  Retry: (state) => inputs(state).map((id) => ({ inputId: id, at, notBefore: at, solo: false })),
  RecoverInput: (state) => inputs(state).map((id) => ({ inputId: id, at, crashed: 1, solo: false })),
  Consume: (state) => inputs(state).map((id) => ({ inputId: id, at, sequence: null, outcome: done })),
  Coalesce: replacing,
  Supersede: replacing,
  Abandon: abandoning,
  AbandonCharged: abandoning,
  Promote: touches
}
