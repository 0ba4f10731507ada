/**
 * Sessions are registered, get their executor, and are unregistered, by session id.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { CoreExecutor } from "../../../services/CoreExecutor.js"
import type { MeerkatMachineService } from "../../../services/MeerkatMachine.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import { Name } from "../../../src/domain/Text.js"
import { setSilentIntents } from "../../../src/kernel/commands/queue.js"
import type { MachineParts } from "../machineParts.js"
import { call, submit, traced } from "../machineParts.js"
import { givenWithin } from "../mayBegin.js"
import * as Stored from "../stored.js"
import { attachmentOf } from "../transitions.js"

const checkIntents = Stored.check(Schema.Array(Name))

/** Runs the factory in the attachment scope, with the caller's context for everything else. */
export const ensureFactory = <E, R>(
  parts: MachineParts,
  sessionId: SessionId,
  build: Effect.Effect<CoreExecutor, E, R>,
  onDone?: Parameters<MachineParts["ensure"]>[2]
) =>
  Effect.flatMap(
    Effect.context<Exclude<R, Scope.Scope>>(),
    (context) => {
      const inScope = Effect.scopeWith((scope) => Scope.extend(build, scope))
      return parts.ensure(
        sessionId,
        Effect.mapInputContext(inScope, (scope: Context.Context<Scope.Scope>) => Context.merge(context, scope)),
        onDone
      )
    }
  )

/** The registration of sessions. */
export const registration = (
  parts: MachineParts
): Pick<
  MeerkatMachineService,
  | "registerSession"
  | "unregisterSession"
  | "unregisterSessionIfEpoch"
  | "ensureSessionWithExecutor"
  | "registerSessionWithExecutor"
  | "ensureSessionWithExecutorFactory"
  | "containsSession"
  | "sessionHasExecutor"
  | "setSessionSilentIntents"
> => {
  const { registry } = parts
  const ensure: MeerkatMachineService["ensureSessionWithExecutor"] = (sessionId, executor) =>
    traced(
      "ensureSessionWithExecutor",
      Effect.map(parts.ensure(sessionId, Effect.succeed(executor)), (_) => _.outcome)
    )
  return {
    registerSession: (sessionId) => traced("registerSession", Effect.asVoid(parts.acquire(sessionId))),
    unregisterSession: (sessionId) => call("unregisterSession", registry.lookup(sessionId), parts.unregister),
    unregisterSessionIfEpoch: (sessionId, epochId) =>
      traced(
        "unregisterSessionIfEpoch",
        Effect.suspend(() => {
          const entry = registry.find(sessionId)
          return entry === undefined || entry.authority.unsafeState().operations.epoch.epochId !== epochId
            ? Effect.succeedNone
            : Effect.asSome(parts.unregister(entry))
        })
      ),
    ensureSessionWithExecutor: ensure,
    registerSessionWithExecutor: ensure,
    ensureSessionWithExecutorFactory: (sessionId, build) =>
      traced(
        "ensureSessionWithExecutorFactory",
        Effect.map(ensureFactory(parts, sessionId, build), (_) => _.outcome)
      ),
    containsSession: (sessionId) => Effect.sync(() => registry.find(sessionId) !== undefined),
    sessionHasExecutor: (sessionId) =>
      Effect.sync(() => {
        const entry = registry.find(sessionId)
        return entry !== undefined && attachmentOf(entry.state.unsafeGet()) !== null
      }),
    setSessionSilentIntents: (sessionId, intents) =>
      call("setSessionSilentIntents", registry.lookup(sessionId), (entry) =>
        Effect.flatMap(
          givenWithin(parts.config.maxCommitBytes, entry, checkIntents, intents, "a list of intents"),
          (checked) => submit(entry, setSilentIntents(checked))
        ))
  }
}
