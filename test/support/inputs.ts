/** Inputs, records and session states with predictable ids, for tests of the kernel and the machine. */
import * as HashMap from "effect/HashMap"
import type { InputId } from "../../src/domain/Ids.js"
import * as Ids from "../../src/domain/Ids.js"
import type { Input, InputHeader, PeerConvention } from "../../src/domain/Input.js"
import { header, kindOf } from "../../src/domain/Input.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { RuntimeState } from "../../src/domain/RuntimeState.js"
import * as State from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import type { HandlingMode, RenderMetadata, TurnMetadata } from "../../src/domain/Turn.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import type { PolicyRequest } from "../../src/kernel/policy.js"
import { resolvePolicy } from "../../src/kernel/policy.js"
import { clean } from "../../src/kernel/softFacts.js"

const uuidOf = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`

/** The n-th input id. */
export const inputId = (n: number): InputId => Ids.InputId.make(uuidOf(n))

/** The n-th run id. */
export const runId = (n: number): Ids.RunId => Ids.RunId.make(uuidOf(0x1000000 + n))

/** A canonical peer id. */
export const peerId = uuidOf(0xbee)

/** A canonical request id. */
export const requestId = uuidOf(0xca11)

type Fields = Partial<Omit<InputHeader, "id" | "timestamp">>

const peerOrigin = { type: "peer", peerId, displayIdentity: "Ada" } as const

const modeOf = (handlingMode: HandlingMode | undefined) => handlingMode === undefined ? {} : { handlingMode }

export const prompt = (n: number, metadata?: TurnMetadata, fields?: Fields): Input => ({
  _tag: "Prompt",
  header: header(inputId(n), 0, fields),
  text: `prompt ${n}`,
  ...(metadata === undefined ? {} : { metadata })
})

export const flowStep = (n: number, metadata?: TurnMetadata, fields?: Fields): Input => ({
  _tag: "FlowStep",
  header: header(inputId(n), 0, { source: { type: "flow", flowId: "f", stepIndex: 0 }, ...fields }),
  stepId: "s",
  instructions: `step ${n}`,
  ...(metadata === undefined ? {} : { metadata })
})

export const event = (
  n: number,
  handlingMode: HandlingMode = "queue",
  renderMetadata?: RenderMetadata,
  fields?: Fields
): Input => ({
  _tag: "ExternalEvent",
  header: header(inputId(n), 0, { source: { type: "external", sourceName: "hook" }, ...fields }),
  eventType: "push",
  payload: { body: ` event ${n} ` },
  handlingMode,
  ...(renderMetadata === undefined ? {} : { renderMetadata })
})

export const peer = (n: number, convention?: PeerConvention, handlingMode?: HandlingMode, fields?: Fields): Input => ({
  _tag: "Peer",
  header: header(inputId(n), 0, { source: peerOrigin, ...fields }),
  body: `peer ${n}`,
  ...(convention === undefined ? {} : { convention }),
  ...modeOf(handlingMode)
})

export const message: PeerConvention = { type: "message" }
export const request: PeerConvention = { type: "request", requestId, intent: "ask" }
export const silentRequest: PeerConvention = { type: "request", requestId, intent: "hush" }
export const progress: PeerConvention = { type: "response_progress", requestId, phase: "in_progress" }
export const terminal: PeerConvention = { type: "response_terminal", requestId, status: "completed" }

export const continuation = (n: number, handlingMode: HandlingMode = "steer", fields?: Fields): Input => ({
  _tag: "Continuation",
  header: header(inputId(n), 0, { source: { type: "system" }, durability: "derived", ...fields }),
  reason: "test",
  handlingMode
})

export const operation = (n: number, fields?: Fields): Input => ({
  _tag: "Operation",
  header: header(inputId(n), 0, { source: { type: "system" }, durability: "derived", ...fields }),
  operationId: uuidOf(1),
  event: {}
})

/** The record that the policy makes of an input. The number of the input is its admission sequence. */
export const record = (
  input: Input,
  facts: Partial<InputRecord> = {},
  policy: Partial<Omit<PolicyRequest, "input">> = {}
): InputRecord => {
  const resolved = resolvePolicy({ input, busy: false, silentIntents: ["hush"], withoutWake: false, ...policy })
  return {
    inputId: input.header.id,
    kind: kindOf(input),
    admissionSeq: Number.parseInt(input.header.id.slice(-12), 16),
    lane: resolved.lane ?? "queue",
    hold: resolved.hold,
    status: { type: "queued" },
    durability: input.header.durability,
    policy: resolved.decision,
    semantics: resolved.semantics,
    attempts: 0,
    charged: 0,
    crashed: 0,
    solo: false,
    createdAt: 0,
    updatedAt: 0,
    ...(input.header.idempotencyKey === undefined ? {} : { idempotencyKey: input.header.idempotencyKey }),
    ...facts,
    input
  }
}

/** A record of an input that was accepted without wake. */
export const held = (input: Input, facts: Partial<InputRecord> = {}): InputRecord =>
  record(input, facts, { withoutWake: true })

const lifecycles: Record<RuntimeState, State.Lifecycle> = {
  idle: State.idle,
  attached: State.attached,
  running: {
    _tag: "Running",
    runId: runId(0),
    returnTo: "Attached",
    owner: "loop",
    inputIds: [],
    sequence: 0,
    startedAt: 0,
    cancel: null,
    yieldRequest: null
  },
  retired: State.retired,
  stopped: State.stopped,
  destroyed: State.destroyed
}

const sessionId = Ids.SessionId.make("s")

/** A session with these open inputs. */
export const sessionWith = (
  records: ReadonlyArray<InputRecord>,
  lifecycle: RuntimeState = "attached"
): SessionState => ({
  sessionId,
  runtimeId: Ids.runtimeIdOf(sessionId),
  lifecycle: lifecycles[lifecycle],
  registration: { _tag: "Queuing" },
  ledger: Ledger.fromRecords(records, 0),
  silentIntents: [],
  binding: null,
  operations: {
    records: HashMap.empty(),
    completed: [],
    feed: [],
    epoch: {
      epochId: Ids.EpochId.make(uuidOf(2)),
      retired: false,
      lastSeq: 0,
      droppedThrough: 0,
      cursors: { agentApplied: 0, observed: 0, injected: 0 }
    },
    barrier: null
  },
  head: { generation: 0, messageCount: 0, digest: null },
  tools: null,
  slices: {},
  dirty: clean
})
