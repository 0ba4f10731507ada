/**
 * The rows of the single run slot of a session: how runs and service turns begin, end and are marked.
 *
 * @since 0.1.0
 */
import type { Emit } from "../../domain/Command.js"
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { InputId, RunId } from "../../domain/Ids.js"
import type { RunBoundaryReceipt } from "../../domain/Receipt.js"
import type { SessionHead, SessionPart } from "../../domain/RuntimeCommit.js"
import type { RuntimeEvent } from "../../domain/RuntimeEvent.js"
import type { Lifecycle, Running, RunOwner } from "../../domain/RuntimeState.js"
import type { SessionState } from "../../domain/SessionState.js"
import { loopOf, runOf, withLifecycle } from "../facts.js"
import type { Table } from "../row.js"
import { runRow } from "../row.js"
import { atBoundary } from "../toolVisibility.js"
import { toolVisibility } from "./lifecycle.js"

/** Names a run. @since 0.1.0 @category models */
export interface OfRun {
  readonly runId: RunId
}

/** A run that is to begin. @since 0.1.0 @category models */
export interface Beginning extends OfRun {
  readonly inputIds: ReadonlyArray<InputId>
  readonly at: number
}

/** What a successful run commits. @since 0.1.0 @category models */
export interface Committing extends OfRun {
  readonly outcome: CompletionOutcome
  /** null if the run has nothing durable to prove (D20) */
  readonly receipt: RunBoundaryReceipt | null
  readonly part: SessionPart | null
}

/** The triggers of this slice and their payloads. @since 0.1.0 @category models */
export interface RunTriggers {
  readonly BeginRun: Beginning & { readonly token: number }
  readonly BeginInline: Beginning
  readonly BeginService: Beginning
  readonly CommitRun: Committing
  readonly FailRun: OfRun & { readonly detail: string; readonly willRetry: boolean }
  readonly CancelRun: OfRun & { readonly reason: string }
  readonly RequeueRun: OfRun
  readonly CompleteService: Committing
  readonly FailService: OfRun & { readonly detail: string }
  readonly CancelService: OfRun & { readonly reason: string }
  readonly RequestCancel: { readonly reason: string }
  readonly RequestYield: { readonly reason: string }
}

/** The rows of the run slot. @since 0.1.0 @category rows */
export const runRows: Table<RunTriggers> = {
  BeginRun: [
    runRow("begin", {
      from: ["Attached"],
      to: ["Running"],
      guards: { loop_live: (state, { token }) => loopOf(state) === token },
      update: (state, payload) => begun(state, payload, "loop", "Attached"),
      emit: (_, payload) => started(payload)
    }),
    runRow("beginDrain", {
      from: ["Retired"],
      to: ["Running"],
      guards: { loop_live: (state, { token }) => loopOf(state) === token },
      update: (state, payload) => begun(state, payload, "loop", "Retired"),
      emit: (_, payload) => started(payload)
    })
  ],
  BeginInline: [
    runRow("beginInline", {
      from: ["Idle"],
      to: ["Running"],
      update: (state, payload) => begun(state, payload, "inline", "Idle"),
      emit: (_, payload) => started(payload)
    })
  ],
  BeginService: [
    runRow("beginService", {
      from: ["Idle", "Attached"],
      to: ["Running"],
      guards: { bound: (state) => state.binding !== null },
      update: (state, payload) =>
        begun(state, payload, "service", state.lifecycle._tag === "Attached" ? "Attached" : "Idle"),
      emit: (_, payload) => started(payload)
    }),
    // a caller that lost the reply repeats the call and still holds the slot
    runRow("beginServiceAgain", {
      from: ["Running"],
      guards: { run_matches: (state, payload) => matches(state, payload), is_service: (state) => isService(state) }
    })
  ],
  CommitRun: [
    runRow("commit", {
      from: ["Running"],
      to: ["Idle", "Attached", "Retired"],
      guards: {
        run_matches: (state, payload) => matches(state, payload),
        not_service: (state) => !isService(state),
        body_current: (state, payload) => bodyIsCurrent(state, payload)
      },
      update: (state, payload) => committed(ended(atBoundary(state, true)), payload),
      emit: (next, payload, previous) => [...puts(payload), ...tools(next, previous), completed(payload, previous)]
    })
  ],
  FailRun: [
    runRow("fail", {
      from: ["Running"],
      to: ["Idle", "Attached", "Retired"],
      guards: { run_matches: (state, payload) => matches(state, payload), not_service: (state) => !isService(state) },
      update: (state) => ended(state),
      emit: (_, { detail, runId, willRetry }) => event({ _tag: "RunFailed", runId, detail, willRetry })
    })
  ],
  CancelRun: [
    runRow("cancel", {
      from: ["Running"],
      to: ["Idle", "Attached", "Retired"],
      guards: { run_matches: (state, payload) => matches(state, payload), not_service: (state) => !isService(state) },
      update: (state) => ended(state),
      emit: (_, { reason, runId }) => event({ _tag: "RunCancelled", runId, reason })
    })
  ],
  RequeueRun: [
    runRow("requeue", {
      from: ["Running"],
      to: ["Idle", "Attached", "Retired"],
      guards: { run_matches: (state, payload) => matches(state, payload) },
      update: (state) => ended(state),
      emit: (_, { runId }, previous) =>
        event({ _tag: "RunFailed", runId, detail: "the run was ended from outside", willRetry: !isService(previous) })
    })
  ],
  CompleteService: [
    runRow("completeService", {
      from: ["Running"],
      to: ["Idle", "Attached", "Retired"],
      guards: {
        run_matches: (state, payload) => matches(state, payload),
        is_service: (state) => isService(state),
        body_current: (state, payload) => bodyIsCurrent(state, payload)
      },
      update: (state, payload) => committed(ended(atBoundary(state, true)), payload),
      emit: (next, payload, previous) => [...puts(payload), ...tools(next, previous), completed(payload, previous)]
    })
  ],
  FailService: [
    runRow("failService", {
      from: ["Running"],
      to: ["Idle", "Attached", "Retired"],
      guards: { run_matches: (state, payload) => matches(state, payload), is_service: (state) => isService(state) },
      update: (state) => ended(state),
      emit: (_, { detail, runId }) => event({ _tag: "RunFailed", runId, detail, willRetry: false })
    })
  ],
  CancelService: [
    runRow("cancelService", {
      from: ["Running"],
      to: ["Idle", "Attached", "Retired"],
      guards: { run_matches: (state, payload) => matches(state, payload), is_service: (state) => isService(state) },
      update: (state) => ended(state),
      emit: (_, { reason, runId }) => event({ _tag: "RunCancelled", runId, reason })
    })
  ],
  RequestCancel: [
    runRow("requestCancel", {
      from: ["Running"],
      guards: { not_requested: (state) => !running(state, (run) => run.cancel !== null) },
      update: (state, { reason }) => marked(state, (run) => ({ ...run, cancel: { reason } }))
    }),
    runRow("requestCancelAgain", { from: ["Running"] })
  ],
  RequestYield: [
    runRow("requestYield", {
      from: ["Running"],
      guards: { not_requested: (state) => !running(state, (run) => run.yieldRequest !== null) },
      update: (state, { reason }) => marked(state, (run) => ({ ...run, yieldRequest: { reason } }))
    }),
    runRow("requestYieldAgain", { from: ["Running"] })
  ]
}

// --- internal ---

const running = (state: SessionState, test: (run: Running) => boolean): boolean =>
  state.lifecycle._tag === "Running" && test(state.lifecycle)

const matches = (state: SessionState, { runId }: OfRun): boolean => runOf(state, runId) !== undefined

const isService = (state: SessionState): boolean => running(state, (run) => run.owner === "service")

/** True if the new body was computed from the current one. */
const bodyIsCurrent = (state: SessionState, { part }: Committing): boolean =>
  part === null || sameHead(part.base, state.head)

const sameHead = (a: SessionHead, b: SessionHead): boolean =>
  a.generation === b.generation && a.messageCount === b.messageCount && a.digest === b.digest

/**
 * Begins a run. Staged tool decisions hold from here. The boundary commit of the run stores them: after a crash before
 * that commit, the next run begins with the same staged decisions.
 */
const begun = (
  state: SessionState,
  { at, inputIds, runId }: Beginning,
  owner: RunOwner,
  returnTo: Running["returnTo"]
): SessionState =>
  withLifecycle(atBoundary(state, false), {
    _tag: "Running",
    runId,
    returnTo,
    owner,
    inputIds,
    sequence: 0,
    startedAt: at,
    cancel: null,
    yieldRequest: null
  })

/** Emits the put of the tool visibility if it changed. */
const tools = (next: SessionState, previous: SessionState): ReadonlyArray<Emit> =>
  next.tools === previous.tools ? [] : [toolVisibility(next)]

const returns: Record<Running["returnTo"], Lifecycle> = {
  Idle: { _tag: "Idle" },
  Attached: { _tag: "Attached" },
  Retired: { _tag: "Retired" }
}

const ended = (state: SessionState): SessionState =>
  state.lifecycle._tag === "Running" ? withLifecycle(state, returns[state.lifecycle.returnTo]) : state

const marked = (state: SessionState, mark: (run: Running) => Running): SessionState =>
  state.lifecycle._tag === "Running" ? withLifecycle(state, mark(state.lifecycle)) : state

const committed = (state: SessionState, { part }: Committing): SessionState =>
  part === null ? state : { ...state, head: part.head }

const puts = ({ outcome, part, receipt }: Committing): ReadonlyArray<Emit> => [
  ...(part === null ? [] : [{ _tag: "PutSession", part } as const]),
  ...(receipt === null ? [] : [{ _tag: "PutReceipt", receipt, outcome } as const])
]

const event = (content: RuntimeEvent): ReadonlyArray<Emit> => [{ _tag: "Event", event: content }]

const started = ({ inputIds, runId }: Beginning): ReadonlyArray<Emit> => event({ _tag: "RunStarted", runId, inputIds })

const completed = ({ runId }: OfRun, previous: SessionState): Emit => ({
  _tag: "Event",
  event: { _tag: "RunCompleted", runId, inputIds: runOf(previous, runId)?.inputIds ?? [] }
})
