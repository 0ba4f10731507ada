/** Commits, records and cursors for tests that call a store directly. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import {
  EpochId,
  InputId,
  RequestId,
  RunId,
  type RuntimeId,
  runtimeIdOf,
  SessionId,
  Sha256
} from "../../src/domain/Ids.js"
import type { InputRecord, TerminalInput } from "../../src/domain/InputRecord.js"
import * as Message from "../../src/domain/Message.js"
import type { InputPut, RuntimeCommit, RuntimeImage, SessionHead, SessionPart } from "../../src/domain/RuntimeCommit.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"

let counter = 0

/** A fresh UUID of this process, ordered by time like UUIDs of version 7. */
export const uuid = (): string => {
  const n = (++counter).toString(16).padStart(12, "0")
  return `0195f000-${process.pid.toString(16).padStart(4, "0").slice(-4)}-7000-8000-${n}`
}

export const sessionId = (name = uuid()): SessionId => SessionId.make(name)
export const inputId = (): InputId => InputId.make(uuid())
export const runId = (): RunId => RunId.make(uuid())
export const noBody: SessionHead = { generation: 0, messageCount: 0, digest: null }

/** The address of a session, its incarnation, and the basis of its next commit. */
export interface Cursor {
  readonly sessionId: SessionId
  readonly runtimeId: RuntimeId
  readonly incarnation: number
  readonly basis: number
}

export const commitOf = (at: Cursor, parts: Partial<RuntimeCommit> = {}): RuntimeCommit => ({
  requestId: RequestId.make(uuid()),
  runtimeId: at.runtimeId,
  sessionId: at.sessionId,
  incarnation: at.incarnation,
  basis: at.basis,
  at: 1_700_000_000_000,
  inputs: [],
  clearKeys: [],
  operations: [],
  dropOperations: [],
  feed: [],
  slices: [],
  close: false,
  ...parts
})

export const next = (at: Cursor): Cursor => ({ ...at, basis: at.basis + 1 })

export const newEpoch = () => ({
  epochId: EpochId.make(uuid()),
  retired: false,
  lastSeq: 0,
  droppedThrough: 0,
  cursors: { agentApplied: 0, observed: 0, injected: 0 }
})

/** Opens a session. `parts` go into its opening commit. */
export const open = (session: SessionId, parts: Partial<RuntimeCommit> = {}) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const runtimeId = runtimeIdOf(session)
    let seen: RuntimeImage | undefined
    const { value } = yield* store.openRuntime(runtimeId, (image) => {
      seen = image
      const at: Cursor = { sessionId: session, runtimeId, incarnation: image.incarnation, basis: image.revision }
      const commit = commitOf(at, image.epoch === null ? { epoch: newEpoch(), ...parts } : parts)
      return Either.right({ commit, value: next(at) })
    })
    return { at: value, image: seen }
  })

/** Reads a session's image by opening it. */
export const imageOf = (session: SessionId) =>
  Effect.flatMap(
    open(session),
    ({ image }) => image === undefined ? Effect.dieMessage("no image") : Effect.succeed(image)
  )

export const commit = (at: Cursor, parts: Partial<RuntimeCommit>) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    yield* store.commit(commitOf(at, parts))
    return next(at)
  })

/** Returns the error of a commit that must fail. */
export const refusal = (at: Cursor, parts: Partial<RuntimeCommit>): Effect.Effect<CommitError, unknown, RuntimeStore> =>
  Effect.flip(Effect.flatMap(RuntimeStore, (store) => store.commit(commitOf(at, parts))))

export const recordOf = (
  admissionSeq: number,
  options: { text?: string; key?: string; id?: InputId } = {}
): InputRecord => {
  const id = options.id ?? inputId()
  const key = options.key === undefined ? {} : { idempotencyKey: options.key }
  return {
    inputId: id,
    kind: "prompt",
    admissionSeq,
    lane: "queue",
    hold: false,
    status: { type: "queued" },
    durability: "durable",
    policy: {
      version: 1,
      applyMode: "stage_run_start",
      wakeMode: "wake_if_idle",
      queueMode: "fifo",
      consumePoint: "on_run_complete",
      drainPolicy: "queue_next_turn",
      routing: "queue",
      recordTranscript: true,
      emitOperatorContent: true
    },
    semantics: { boundary: "run_start", executionKind: "content_turn" },
    attempts: 0,
    charged: 0,
    crashed: 0,
    solo: false,
    createdAt: 1_700_000_000_000,
    updatedAt: 1_700_000_000_000,
    ...key,
    input: {
      _tag: "Prompt",
      header: {
        id,
        timestamp: 1_700_000_000_000,
        source: { type: "operator" },
        durability: "durable",
        visibility: { transcriptEligible: true, operatorEligible: true },
        ...key
      },
      text: options.text ?? "what is the capital of France?"
    }
  }
}

export const insert = (record: InputRecord): InputPut => ({ _tag: "Insert", record })

export const terminalOf = (record: InputRecord, run: RunId): TerminalInput => ({
  inputId: record.inputId,
  kind: record.kind,
  admissionSeq: record.admissionSeq,
  lane: record.lane,
  durability: record.durability,
  terminal: { type: "consumed" },
  attempts: 1,
  charged: 0,
  crashed: 0,
  lastRunId: run,
  lastSequence: 0,
  createdAt: record.createdAt,
  completedAt: 1_700_000_000_500,
  ...(record.idempotencyKey === undefined ? {} : { idempotencyKey: record.idempotencyKey })
})

const digestOf = (count: number) => Sha256.make(count.toString(16).padStart(64, "0"))

export const append = (base: SessionHead, messages: ReadonlyArray<Message.Message>): SessionPart => {
  const messageCount = base.messageCount + messages.length
  return { _tag: "Append", base, messages, head: { ...base, messageCount, digest: digestOf(messageCount) } }
}

/** The parts of a boundary commit that ends one input with an answer. */
export const boundary = (
  record: InputRecord,
  base: SessionHead,
  answer = "Paris.",
  run = runId()
): ReturnType<typeof boundaryOf> => boundaryOf([record], base, answer, run)

/** The parts of a boundary commit that ends these inputs. Without records, the run had no stored input. */
export const boundaryOf = (
  records: ReadonlyArray<InputRecord>,
  base: SessionHead,
  answer = "Paris.",
  run = runId()
): Partial<RuntimeCommit> & { readonly session: SessionPart } => {
  const users = records.map(({ input }) => Message.ofText("user", input._tag === "Prompt" ? input.text : ""))
  const session = append(base, [...users, Message.ofText("assistant", answer)])
  return {
    session,
    inputs: records.map((record) => ({ _tag: "Terminal", row: terminalOf(record, run) })),
    receipt: {
      receipt: {
        runId: run,
        sequence: 0,
        boundary: "run_start",
        contributingInputIds: records.map(({ inputId }) => inputId),
        conversationDigest: session.head.digest,
        messageCount: session.head.messageCount
      },
      outcome: { _tag: "Completed", result: { text: answer } }
    }
  }
}
