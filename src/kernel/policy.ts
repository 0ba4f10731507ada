/**
 * The policy table: how each kind of input is admitted, queued and executed. Admission resolves the policy of an input
 * here. Invariant: the result depends on the arguments alone.
 *
 * @since 0.1.0
 */
import type { Input, InputKind } from "../domain/Input.js"
import { handlingModeOf, kindOf } from "../domain/Input.js"
import type { InputSemantics, Lane, PolicyDecision } from "../domain/Policy.js"
import { policyVersion } from "../domain/Policy.js"
import type { HandlingMode, RunBoundary } from "../domain/Turn.js"

/**
 * One row of the policy table: the decision, with one wake mode for a busy session and one for an idle session. The ids
 * are those of the published table; a row that serves two entries names both.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyRow extends Omit<PolicyDecision, "version" | "wakeMode" | "emitOperatorContent"> {
  readonly id: string
  readonly wakeIdle: PolicyDecision["wakeMode"]
  readonly wakeBusy: PolicyDecision["wakeMode"]
}

/** The mode that an input requests; `none` leaves the choice to its kind. @since 0.1.0 @category models */
export type ExplicitMode = HandlingMode | "none"

const queued: Omit<PolicyRow, "id"> = {
  applyMode: "stage_run_start",
  wakeIdle: "wake_if_idle",
  wakeBusy: "none",
  queueMode: "fifo",
  consumePoint: "on_run_complete",
  drainPolicy: "queue_next_turn",
  routing: "queue",
  recordTranscript: true
}

const steered: Omit<PolicyRow, "id"> = {
  ...queued,
  applyMode: "stage_run_boundary",
  wakeBusy: "interrupt_yielding",
  drainPolicy: "steer_batch",
  routing: "steer"
}

/** Prompts, flow steps and external events without a mode. */
const content: PolicyRow = { id: "1/2", ...queued }
/** Peer messages and requests wait for the end of a run, like other inputs (D14). */
const peer: PolicyRow = { id: "3/4", ...queued, wakeBusy: "wake_if_idle" }
const progress: PolicyRow = {
  id: "7",
  ...steered,
  wakeIdle: "none",
  wakeBusy: "none",
  queueMode: "coalesce"
}
const terminal: PolicyRow = { id: "8", ...queued, wakeBusy: "wake_if_idle" }
const terminalQueue: PolicyRow = { id: "9", ...queued }
const terminalSteer: PolicyRow = { id: "10", ...steered, applyMode: "stage_run_start" }
const explicitQueue: PolicyRow = { id: "11", ...queued }
const explicitSteer: PolicyRow = { id: "12", ...steered }
const continuation: PolicyRow = { id: "13", ...steered, recordTranscript: false }
const operation: PolicyRow = {
  id: "14",
  applyMode: "ignore",
  wakeIdle: "none",
  wakeBusy: "none",
  queueMode: "priority",
  consumePoint: "on_accept",
  drainPolicy: "ignore",
  routing: "drop",
  recordTranscript: false
}

/**
 * The row of a peer request with a silent intent. It takes precedence over every mode, steer included (D12).
 *
 * @since 0.1.0
 * @category constructors
 */
export const silentRow: PolicyRow = { id: "5/6", ...queued, wakeIdle: "none" }

/**
 * The policy of every kind and mode. Progress reports have one policy for all modes. A terminal response begins its run
 * at the start of a turn even when it steers, because the run appends a fact first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const policyTable: { readonly [K in InputKind]: { readonly [M in ExplicitMode]: PolicyRow } } = {
  prompt: { none: content, queue: explicitQueue, steer: explicitSteer },
  flow_step: { none: content, queue: explicitQueue, steer: explicitSteer },
  external_event: { none: content, queue: explicitQueue, steer: explicitSteer },
  peer_message: { none: peer, queue: explicitQueue, steer: explicitSteer },
  peer_request: { none: peer, queue: explicitQueue, steer: explicitSteer },
  peer_response_progress: { none: progress, queue: progress, steer: progress },
  peer_response_terminal: { none: terminal, queue: terminalQueue, steer: terminalSteer },
  continuation: {
    none: continuation,
    queue: { ...explicitQueue, recordTranscript: false },
    steer: { ...explicitSteer, recordTranscript: false }
  },
  operation: { none: operation, queue: operation, steer: operation }
}

/** What the policy of an input depends on. @since 0.1.0 @category models */
export interface PolicyRequest {
  readonly input: Input
  /** a run is in progress */
  readonly busy: boolean
  /** intents of peer requests that start no turn; compared exactly */
  readonly silentIntents: ReadonlyArray<string>
  /** the caller asked that the input starts no turn */
  readonly withoutWake: boolean
}

/** How an input is admitted. @since 0.1.0 @category models */
export interface PolicyResolution {
  readonly decision: PolicyDecision
  /** null: the input is consumed when it is accepted */
  readonly lane: Lane | null
  /** true: the input rides along and never drives (D12) */
  readonly hold: boolean
  readonly semantics: InputSemantics
  /** true: the run in progress is asked to end at its next boundary (D14) */
  readonly asksYield: boolean
}

/** Resolves the policy of one input; total and pure. @since 0.1.0 @category accessors */
export const resolvePolicy = ({ busy, input, silentIntents, withoutWake }: PolicyRequest): PolicyResolution => {
  const kind = kindOf(input)
  const silent = isSilent(input, silentIntents)
  const row = silent ? silentRow : policyTable[kind][handlingModeOf(input) ?? "none"]
  const lane = laneOf(row)
  const hold = lane !== null && (silent || withoutWake)
  const decision = decisionOf(row, busy, hold)
  return {
    decision,
    lane,
    hold,
    semantics: semanticsFor(decision, kind),
    asksYield: busy && !hold && kind !== "peer_response_progress" && lane !== null && handlingModeOf(input) === "steer"
  }
}

/**
 * Returns how an input of this kind is executed under a decision. Admission stores the result. Recovery derives it
 * again from the stored decision and requires equality.
 *
 * @since 0.1.0
 * @category accessors
 */
export const semanticsFor = (decision: PolicyDecision, kind: InputKind): InputSemantics => {
  const boundary = boundaryOf(decision.applyMode)
  switch (kind) {
    case "continuation":
      return { boundary, executionKind: "resume_pending" }
    case "peer_response_terminal":
      return { boundary, executionKind: "content_turn", terminalIntent: "append_context_and_run" }
    default:
      return { boundary, executionKind: "content_turn" }
  }
}

// --- internal ---

const isSilent = (input: Input, silentIntents: ReadonlyArray<string>): boolean =>
  input._tag === "Peer" && input.convention?.type === "request" && silentIntents.includes(input.convention.intent)

const decisionOf = (row: PolicyRow, busy: boolean, hold: boolean): PolicyDecision => ({
  version: policyVersion,
  applyMode: row.applyMode,
  wakeMode: hold ? "none" : busy ? row.wakeBusy : row.wakeIdle,
  queueMode: row.queueMode,
  consumePoint: row.consumePoint,
  drainPolicy: row.drainPolicy,
  routing: row.routing,
  recordTranscript: row.recordTranscript,
  emitOperatorContent: row.recordTranscript
})

const laneOf = (row: PolicyRow): Lane | null => {
  if (row.consumePoint === "on_accept") {
    return null
  }
  switch (row.routing) {
    case "steer":
    case "immediate":
      return "steer"
    case "queue":
    case "drop":
      return "queue"
  }
}

const boundaryOf = (mode: PolicyDecision["applyMode"]): RunBoundary => {
  switch (mode) {
    case "stage_run_boundary":
      return "run_checkpoint"
    case "inject_now":
      return "immediate"
    case "stage_run_start":
    case "ignore":
      return "run_start"
  }
}
