/**
 * The admission of inputs: it checks an input, looks duplicates up, submits the accept command and makes the
 * completion. The machine's surfaces call it. Invariant: an admitted input is durable before the call returns.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { SubmitError } from "../../services/MachineAuthority.js"
import type {
  AcceptOutcome,
  Completion,
  DeadlineExceeded,
  Prompted,
  PromptOptions
} from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import { maxNameBytes } from "../../src/domain/BoundedText.js"
import type { AcceptReply } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Internal } from "../../src/domain/Errors.js"
import type { InputId, RunId } from "../../src/domain/Ids.js"
import { header, Input } from "../../src/domain/Input.js"
import type { InputState } from "../../src/domain/InputRecord.js"
import { stateOfOpen, stateOfTerminal, TraceContext } from "../../src/domain/InputRecord.js"
import type { ReadError } from "../../src/domain/StoreErrors.js"
import { isRetryable } from "../../src/domain/StoreErrors.js"
import { accept } from "../../src/kernel/commands/accept.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import type { Blobs } from "./blobs.js"
import * as ContentBytes from "./contentBytes.js"
import { driverError, invalid } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { FreshIds } from "./freshIds.js"
import * as Metrics from "./metrics.js"
import { textOf } from "./rendering.js"
import * as Stored from "./stored.js"

/** What admission needs of the machine. */
export interface AdmissionDeps {
  readonly store: RuntimeStore["Type"]
  readonly config: MeerkatMachineOptions
  readonly ids: FreshIds
  readonly blobs: Blobs
}

/** How an input is accepted. */
export interface AcceptOptions {
  readonly wake: boolean
  /** true if the caller waits for the outcome */
  readonly completion: boolean
  /** true if the machine has just generated the id, so no stored input has it */
  readonly fresh: boolean
  readonly expectedRunId?: RunId
  readonly note?: AdmissionNote
}

/** What is known of an input during its admission; updated as it proceeds. */
export interface AdmissionNote {
  admission: DeadlineExceeded["admission"]
  inputId?: InputId
}

/** The result of an admission. */
export interface Admitted {
  readonly outcome: AcceptOutcome
  readonly completion: Option.Option<Completion>
}

/** Maps a failed read of the store to the error of the call. */
export const readFailure = (error: ReadError): Internal =>
  new Internal({
    detail: `the store could not be read: ${error._tag}: ${textOf(error)}`,
    cause: error,
    retryable: isRetryable(error)
  })

const resolved = (inputId: InputId, outcome: CompletionOutcome): Completion => ({
  inputId,
  wait: Effect.succeed(outcome)
})

const deadlock: CompletionOutcome = {
  _tag: "RuntimeTerminated",
  reason: "would deadlock: awaited from inside a run of this session"
}

/** Makes a completion. A wait inside a run of the same session could never end, so it fails at once (D7). */
export const waiter = (
  entry: Entry,
  inputId: InputId,
  deferred: Deferred.Deferred<CompletionOutcome>
): Completion => ({
  inputId,
  wait: Effect.flatMap(
    CurrentSession,
    (current) =>
      current !== null && current.sessionId === entry.sessionId && current.role === "run" &&
        Ledger.get(entry.authority.unsafeState().ledger, inputId) !== undefined
        ? Effect.succeed(deadlock)
        : Deferred.await(deferred)
  )
})

/** Looks up what memory may have dropped: the owner of the key, and an input with this id (D18). */
export const lookUp = (deps: AdmissionDeps, entry: Entry, input: Input, fresh: boolean) => {
  const { ledger, runtimeId } = entry.authority.unsafeState()
  const { id, idempotencyKey } = input.header
  const key = idempotencyKey === undefined || HashMap.has(ledger.keys, idempotencyKey)
    ? Effect.succeedNone
    : deps.store.findKey(runtimeId, idempotencyKey)
  const terminal = fresh || Ledger.get(ledger, id) !== undefined
    ? Effect.succeedNone
    : deps.store.terminalInput(runtimeId, id)
  return Effect.mapError(
    Effect.zipWith(key, terminal, (fact, row) => ({
      keyFact: Option.getOrNull(fact),
      knownTerminal: Option.isSome(row)
    })),
    readFailure
  )
}

/**
 * Maps a conflict in the store to a duplicate: another input won the key or the id between look-up and commit. A
 * conflict about another key or id is ignored here: a commit also holds the writes of other calls.
 */
export const conflict = (
  { header: { id: inputId, idempotencyKey } }: Input,
  error: SubmitError
): Extract<AcceptReply, { readonly _tag: "Deduplicated" }> | null => {
  if (error._tag !== "CommitFailed") return null
  const { error: refusal } = error
  switch (refusal._tag) {
    case "IdempotencyConflict":
      return refusal.key === idempotencyKey
        ? { _tag: "Deduplicated", inputId, existingId: refusal.ownerInputId, open: false }
        : null
    case "InputConflict":
      return refusal.inputId === inputId ? { _tag: "Deduplicated", inputId, existingId: inputId, open: false } : null
    default:
      return null
  }
}

/**
 * Returns the error for an input of more than `maxCommitBytes`, or with a key of more than `maxNameBytes`; else null.
 */
export const tooLarge = ({ config }: AdmissionDeps, input: Input): RuntimeDriverError | null =>
  Either.match(Either.try({ try: () => ContentBytes.ofInput(input), catch: textOf }), {
    onLeft: (detail) => invalid({ _tag: "InvalidInput", detail: `not an input: ${detail}` }),
    onRight: (bytes) => over(bytes, config.maxCommitBytes) ?? over(longestKey(input), maxNameBytes)
  })

const over = (bytes: number, limit: number): RuntimeDriverError | null =>
  bytes > limit ? invalid({ _tag: "TooLarge", bytes, limit }) : null

/** Keys outlive the content of an input, so their limit is lower. */
const longestKey = ({ header: { correlationId, idempotencyKey, supersessionKey } }: Input): number =>
  Math.max(
    ContentBytes.ofText(idempotencyKey),
    ContentBytes.ofText(supersessionKey),
    ContentBytes.ofText(correlationId)
  )

const stateOf = (reply: Extract<AcceptReply, { readonly _tag: "Accepted" }>, input: Input): InputState =>
  "terminal" in reply.record ? stateOfTerminal(reply.record) : stateOfOpen({ ...reply.record, input })

/** Admits one input into a live session; it is durable when this returns. An admitted input makes the call succeed. */
export const admit = (
  deps: AdmissionDeps,
  entry: Entry,
  given: Input,
  options: AcceptOptions
): Effect.Effect<Admitted, RuntimeDriverError> =>
  Effect.gen(function*() {
    const input = yield* deps.blobs.ofInput(given)
    const refused = tooLarge(deps, input)
    if (refused !== null) return yield* Effect.fail(refused)
    const known = yield* lookUp(deps, entry, input, options.fresh)
    const trace = yield* traceOfCall
    const cell: { deferred: Deferred.Deferred<CompletionOutcome> | null } = { deferred: null }
    const command = accept({
      input,
      wake: options.wake,
      ...known,
      ...trace,
      ...(options.expectedRunId === undefined ? {} : { expectedRunId: options.expectedRunId })
    })
    const { note } = options
    if (note !== undefined) Object.assign(note, { admission: "unknown", inputId: input.header.id })
    const reply = yield* entry.authority.submit(command, {
      onWithdrawn: () => {
        if (note !== undefined) note.admission = "notAdmitted"
      },
      // The worker calls this before any later command of the round, so the input cannot end before its waiter exists.
      onSettled: (settled) => {
        const open = settled._tag === "Accepted" ? settled.terminal === null : settled.open
        const id = settled._tag === "Accepted" ? settled.inputId : settled.existingId
        if (note !== undefined) Object.assign(note, { admission: "admitted", inputId: id })
        if (options.completion && open) cell.deferred = entry.authority.awaitInput(id)
      }
    }).pipe(
      Effect.catchAll((error) => {
        const lost = conflict(input, error)
        return lost === null ? Effect.fail(driverError(entry.authority)(error)) : Effect.succeed(lost)
      })
    )
    yield* Metric.increment(Metrics.accepts[reply._tag])
    const inputId = reply._tag === "Accepted" ? reply.inputId : reply.existingId
    return {
      outcome: reply._tag === "Accepted"
        ? { _tag: "Accepted", inputId: reply.inputId, state: stateOf(reply, input) }
        : { _tag: "Deduplicated", inputId: reply.inputId, existingId: reply.existingId },
      completion: Option.map(Option.fromNullable(cell.deferred), (deferred) => waiter(entry, inputId, deferred))
    }
  })

const checkTrace = Stored.check(TraceContext)

/**
 * Returns the trace context of the accepting call. It is stored with the input, and the span of the run links to it. A
 * span comes from the application: one that could not be stored and read back is left out.
 */
export const traceOfCall = Effect.map(
  Effect.option(Effect.currentSpan),
  (span): { readonly trace?: TraceContext } =>
    Option.match(Option.flatMap(span, (made) => Either.getRight(traceOf(made))), {
      onNone: () => ({}),
      onSome: (trace) => ({ trace })
    })
)

const traceOf = ({ sampled, spanId, traceId }: Tracer.Span) => checkTrace({ traceId, spanId, sampled })

const check = Stored.check(Input)

/** Returns the input of a caller if it can be stored and read back unchanged; else the error. */
export const checked = (input: Input): Either.Either<Input, RuntimeDriverError> =>
  Either.mapLeft(check(input), (detail) => invalid({ _tag: "InvalidInput", detail: `not an input: ${detail}` }))

/** Makes a prompt of an operator with a generated id; text and options are checked. */
export const promptInput = (
  deps: AdmissionDeps,
  text: string,
  options: PromptOptions,
  steer: boolean
): Effect.Effect<Input, RuntimeDriverError> =>
  Effect.flatten(Effect.zipWith(deps.ids.input, Clock.currentTimeMillis, (id, now) => {
    const metadata = steer ? { ...options.metadata, handlingMode: "steer" as const } : options.metadata
    return checked({
      _tag: "Prompt",
      header: header(id, now, {
        ...(options.idempotencyKey === undefined ? {} : { idempotencyKey: options.idempotencyKey }),
        ...(options.supersessionKey === undefined ? {} : { supersessionKey: options.supersessionKey }),
        ...(options.correlationId === undefined ? {} : { correlationId: options.correlationId })
      }),
      text,
      ...(options.blocks === undefined ? {} : { blocks: options.blocks }),
      ...(metadata === undefined ? {} : { metadata })
    })
  }))

/** Reads the outcome of an input that memory has dropped. */
export const storedOutcome = (
  deps: AdmissionDeps,
  entry: Entry,
  inputId: InputId
): Effect.Effect<Option.Option<CompletionOutcome>, RuntimeDriverError> =>
  Effect.mapBoth(deps.store.terminalInput(entry.authority.unsafeState().runtimeId, inputId), {
    onFailure: readFailure,
    onSuccess: Option.map((row) => row.outcome)
  })

/** Adds a completion for `prompt`, `steer` and `ask`; that of a finished duplicate comes from the store (D19). */
export const withCompletion = (
  deps: AdmissionDeps,
  entry: Entry,
  admitted: Admitted
): Effect.Effect<Prompted, RuntimeDriverError> => {
  if (Option.isSome(admitted.completion)) {
    return Effect.succeed({ outcome: admitted.outcome, completion: admitted.completion.value })
  }
  const { outcome } = admitted
  const inputId = outcome._tag === "Accepted" ? outcome.inputId : outcome.existingId
  if (Ledger.get(entry.authority.unsafeState().ledger, inputId) !== undefined) {
    return Effect.succeed({ outcome, completion: waiter(entry, inputId, entry.authority.awaitInput(inputId)) })
  }
  return Effect.map(storedOutcome(deps, entry, inputId), (stored) => ({
    outcome,
    completion: resolved(
      inputId,
      Option.getOrElse(stored, (): CompletionOutcome => ({
        _tag: "RuntimeTerminated",
        reason: "the input ended and its outcome is not kept any more"
      }))
    )
  }))
}
