/**
 * Sessions change their models, one change at a time: by session id, and for one session.
 *
 * A change runs in a fiber of the machine and holds the permit of the session's model facts. Both faces call the same
 * functions of an entry.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as SynchronizedRef from "effect/SynchronizedRef"
import { CurrentSession } from "../../../services/CoreExecutor.js"
import type { LlmControl, SessionLlm } from "../../../services/SessionLlm.js"
import type { RuntimeDriverError } from "../../../src/domain/Errors.js"
import { Internal } from "../../../src/domain/Errors.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import { type SessionLlmReconfigureReport, SessionLlmReconfigureRequest } from "../../../src/domain/LlmIdentity.js"
import { Cell } from "../cell.js"
import { invalid } from "../driverError.js"
import type { Entry } from "../entry.js"
import { keep } from "../joining.js"
import { endedBy, reconfigure } from "../llmReconfigure.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { call } from "../machineParts.js"
import { given } from "../mayBegin.js"
import * as ModelCell from "../modelCell.js"
import * as Stored from "../stored.js"

const noHost = Effect.suspend(() =>
  Effect.fail(new Internal({ detail: "the host that changes models is not configured", retryable: false }))
)

const checkRequest = Stored.check(SessionLlmReconfigureRequest)

const hasHost = ({ models }: MachineParts): Effect.Effect<void, RuntimeDriverError> =>
  Effect.suspend(() => models.host.unsafeGet() === null ? noHost : Effect.void)

/** The host of a session's change would wait for that change to end. */
const notFromHost = (sessionId: SessionId): Effect.Effect<void, RuntimeDriverError> =>
  Effect.flatMap(CurrentSession, (now) =>
    now !== null && now.role === "llmHost" && now.sessionId === sessionId
      ? Effect.fail(
        invalid({ _tag: "WouldDeadlock", detail: "the model host asked for a change of the session it is changing" })
      )
      : Effect.void)

type Change = Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError>

/** One change, under the permit of the session's model facts, after every earlier change of the same id. */
const changeOf = (
  parts: MachineParts,
  entry: Entry,
  request: SessionLlmReconfigureRequest,
  onBegun: () => void
): Change => {
  const cell = ModelCell.of(entry)
  // the host is read once per change: a host that is replaced in between completes the change
  const change = Effect.suspend((): Change => {
    const service = parts.models.host.unsafeGet()
    return service === null
      ? noHost
      : reconfigure({ parts, entry, cell, request, service, onBegun })
  })
  return parts.models.turns.run(entry.sessionId)(
    // the holder writes the facts as it learns them, so the last value is the one that it has left
    SynchronizedRef.modifyEffect(cell.facts, () => Effect.map(change, (report) => [report, cell.facts.unsafeGet()]))
  )
}

/**
 * Starts a change and waits for its end. A caller that is interrupted before the host was told anything takes its request
 * back; afterwards the change completes, or is undone, without it.
 */
const changed = (parts: MachineParts, entry: Entry, request: SessionLlmReconfigureRequest): Change =>
  Effect.uninterruptibleMask((restore) => {
    const begun = new Cell(false)
    const onBegun = () => begun.unsafeModify(() => [undefined, true])
    const fiber = keep(
      ModelCell.of(entry).changes,
      parts.spawner.spawn(parts.foreign, changeOf(parts, entry, request, onBegun))
    )
    return restore(Fiber.await(fiber)).pipe(
      Effect.onInterrupt(() => begun.unsafeGet() ? Effect.void : Effect.asVoid(Fiber.interruptFork(fiber))),
      Effect.flatMap((exit) =>
        Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause) ? Effect.fail(endedBy(entry)) : exit
      )
    )
  })

/** Changes the model of a session. Fails without a host, and when the host itself asks for it. */
const reconfigureEntry = (parts: MachineParts, resolve: Resolve, request: SessionLlmReconfigureRequest) =>
  call("reconfigureSessionLlmIdentity", Effect.zipRight(hasHost(parts), resolve), (entry) =>
    Effect.zipRight(
      notFromHost(entry.sessionId),
      Effect.flatMap(
        given(entry, checkRequest, request, "a change of a model"),
        (checked) => changed(parts, entry, checked)
      )
    ))

const capabilities = (resolve: Resolve) =>
  Effect.map(resolve, (entry) => Option.fromNullable(ModelCell.factsOf(entry).surface))

/** Sessions change their models, by session id. */
export const llm = (parts: MachineParts): LlmControl => {
  const { lookup } = parts.registry
  return {
    setSessionLlmReconfigureHost: (host) => parts.models.host.modify(() => [undefined, host]),
    reconfigureSessionLlmIdentity: (sessionId, request) => reconfigureEntry(parts, lookup(sessionId), request),
    resolvedSessionLlmCapabilities: (sessionId) => capabilities(lookup(sessionId))
  }
}

/** The same for one session; `resolve` decides which incarnation is meant. */
export const sessionLlm = (parts: MachineParts, resolve: Resolve): SessionLlm => ({
  reconfigure: (request) => reconfigureEntry(parts, resolve, request),
  capabilities: capabilities(resolve),
  identity: Effect.map(resolve, (entry) => Option.fromNullable(ModelCell.factsOf(entry).identity))
})
