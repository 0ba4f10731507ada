/** @since 0.1.0 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CoreExecutor } from "../services/CoreExecutor.js"
import { CurrentSession } from "../services/CoreExecutor.js"
import { IdGen } from "../services/IdGen.js"
import { MachineAuthority } from "../services/MachineAuthority.js"
import type { AttachOutcome, MeerkatMachineService, SessionFeed, UnregisterReport } from "../services/MeerkatMachine.js"
import { MeerkatMachine } from "../services/MeerkatMachine.js"
import { MeerkatMachineConfig } from "../services/MeerkatMachineConfig.js"
import { RuntimeLoop } from "../services/RuntimeLoop.js"
import { RuntimeStore } from "../services/RuntimeStore.js"
import type { Command } from "../src/domain/Command.js"
import type { Internal, RuntimeDriverError } from "../src/domain/Errors.js"
import { NotReady } from "../src/domain/Errors.js"
import { runtimeIdOf, SessionId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"
import { stateOfOpen, stateOfTerminal } from "../src/domain/InputRecord.js"
import { visible } from "../src/domain/RuntimeState.js"
import { recover, recycle, reset, retire } from "../src/kernel/commands/lifecycle.js"
import { promote, retract, setSilentIntents } from "../src/kernel/commands/queue.js"
import { requestCancel, requestYield } from "../src/kernel/commands/run.js"
import * as Ledger from "../src/kernel/Ledger.js"
import * as HandoverLive from "./HandoverLive.js"
import * as IdGenLive from "./IdGenLive.js"
import * as Admission from "./internal/admission.js"
import { attach, escortCancel } from "./internal/attach.js"
import { driverError, invalid } from "./internal/driverError.js"
import type { Entry } from "./internal/entry.js"
import * as FreshIds from "./internal/freshIds.js"
import * as Lifecycle from "./internal/lifecycle.js"
import * as Metrics from "./internal/metrics.js"
import * as Registry from "./internal/registry.js"
import * as SessionHandle from "./internal/sessionHandle.js"
import * as Spawn from "./internal/spawn.js"
import { snapshotOf } from "./internal/spine.js"
import * as Teardown from "./internal/teardown.js"
import { turnOperations } from "./internal/turnOperations.js"
import * as MachineAuthorityLive from "./MachineAuthorityLive.js"
import * as RuntimeLoopLive from "./RuntimeLoopLive.js"
import * as RuntimeStoreMemory from "./RuntimeStoreMemory.js"

/** One span per public call (DESIGN 7). */
const traced = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withSpan(effect, `MeerkatMachine.${name}`, { captureStackTrace: false })

const make = Effect.gen(function*() {
  const store = yield* RuntimeStore
  const config = yield* MeerkatMachineConfig
  const authorities = yield* MachineAuthority
  const ids = FreshIds.make(yield* IdGen)
  const spawner = yield* Spawn.make
  const layerScope = yield* Effect.scope
  // Everything of the machine lives in a scope of its own that ends after the last unregistration.
  const home = yield* Scope.fork(layerScope, ExecutionStrategy.sequential)
  const abandoned = { count: 0 }
  const teardown: Teardown.TeardownDeps = { config, spawner, home, abandoned, registry: () => registry }
  const registry = Registry.make({
    authorities,
    spawner,
    home,
    drop: (entry) => Effect.asVoid(Effect.exit(Deferred.await(Teardown.unregister(teardown, entry, "reload")))),
    finish: (entry) => Effect.asVoid(Deferred.await(Teardown.unregister(teardown, entry, "unregister")))
  })
  const admission: Admission.AdmissionDeps = { store, config, ids }
  const attachDeps = {
    loops: yield* RuntimeLoop,
    spawner,
    config,
    operations: (entry: Entry) => turnOperations({ entry, spawner, ids })
  }

  const acquire = (sessionId: SessionId) =>
    Effect.tap(
      registry.acquire(sessionId),
      ({ created }) => created ? Metric.set(Metrics.sessions, registry.all().length) : Effect.void
    )
  const submit = <A>(entry: Entry, command: Command<A>) =>
    Effect.mapError(entry.authority.submit(command), driverError(entry.authority))
  const onSession = <A>(sessionId: SessionId, command: Command<A>) =>
    Effect.flatMap(registry.lookup(sessionId), (entry) => submit(entry, command))

  /** Awaited from outside; from inside the session it is only begun, since it would wait for its caller (D7). */
  const unregisterEntry = (entry: Entry): Effect.Effect<UnregisterReport, RuntimeDriverError> =>
    Effect.flatMap(CurrentSession, (current) => {
      const done = Teardown.unregister(teardown, entry, "unregister")
      return current !== null && current.sessionId === entry.sessionId
        ? Effect.succeed({ requeued: 0, terminatedOperations: 0, forced: false, joined: false })
        : Deferred.await(done)
    })
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      yield* Effect.forEach(registry.openings(), (fiber) => Fiber.interrupt(fiber), { discard: true })
      const exits = yield* Effect.forEach(
        registry.all(),
        (entry) => Effect.exit(Deferred.await(Teardown.unregister(teardown, entry, "unregister"))),
        { concurrency: "unbounded" }
      )
      for (const exit of exits.filter(Exit.isFailure)) {
        yield* Effect.logWarning("a closing commit failed; recovery takes over", exit.cause)
      }
      if (abandoned.count > 0) yield* Effect.logWarning(`${abandoned.count} fibers did not end in time`)
    })
  )

  const ensure = <E>(
    sessionId: SessionId,
    executor: Effect.Effect<CoreExecutor, E, Scope.Scope>
  ): Effect.Effect<
    { readonly outcome: AttachOutcome; readonly entry: Entry; readonly created: boolean },
    RuntimeDriverError | E
  > =>
    Effect.flatMap(acquire(sessionId), ({ created, entry }) =>
      attach(attachDeps, entry, executor).pipe(
        Effect.map((outcome) => ({ outcome, entry, created })),
        Effect.tapErrorCause(() =>
          created ? Effect.exit(Deferred.await(Teardown.unregister(teardown, entry, "unregister"))) : Effect.void
        )
      ))

  /** The factory runs in the attachment scope, with everything else it needs from the caller. */
  const factory = <E, R>(sessionId: SessionId, build: Effect.Effect<CoreExecutor, E, R | Scope.Scope>) =>
    Effect.flatMap(
      Effect.context<R>(),
      (context) =>
        ensure(
          sessionId,
          Effect.mapInputContext(build, (scope: Context.Context<Scope.Scope>) => Context.merge(context, scope))
        )
    )

  const acceptWith = (sessionId: SessionId, input: Input, options: Omit<Admission.AcceptOptions, "fresh">) =>
    Effect.flatMap(
      registry.lookup(sessionId),
      (entry) =>
        Effect.flatMap(
          Admission.checked(input),
          (valid) => Admission.admit(admission, entry, valid, { ...options, fresh: false })
        )
    )

  const snapshot = (entry: Entry) =>
    Effect.map(
      entry.authority.health,
      (health) =>
        snapshotOf(entry, entry.authority.unsafeState(), health, store.kind === "memory" ? "Ephemeral" : "Persistent")
    )

  const events = (sessionId: SessionId): Stream.Stream<SessionFeed, RuntimeDriverError> =>
    Stream.unwrap(
      Effect.map(registry.lookup(sessionId), (entry) =>
        Stream.mapEffect(entry.authority.events, (event): Effect.Effect<SessionFeed> =>
          event._tag === "Snapshot"
            ? Effect.map(snapshot(entry), (value): SessionFeed => ({ _tag: "Snapshot", snapshot: value }))
            : Effect.succeed(event)))
    )

  const machine: Omit<MeerkatMachineService, "session" | "sessionScoped"> = {
    registerSession: (sessionId) => traced("registerSession", Effect.asVoid(acquire(sessionId))),
    unregisterSession: (sessionId) =>
      traced("unregisterSession", Effect.flatMap(registry.lookup(sessionId), unregisterEntry)),
    unregisterSessionIfEpoch: (sessionId, epochId) =>
      traced(
        "unregisterSessionIfEpoch",
        Effect.suspend(() => {
          const entry = registry.find(sessionId)
          return entry === undefined || entry.authority.unsafeState().operations.epoch.epochId !== epochId
            ? Effect.succeedNone
            : Effect.asSome(unregisterEntry(entry))
        })
      ),
    ensureSessionWithExecutor: (sessionId, executor) =>
      traced("ensureSessionWithExecutor", Effect.map(ensure(sessionId, Effect.succeed(executor)), (_) => _.outcome)),
    ensureSessionWithExecutorFactory: (sessionId, build) =>
      traced(
        "ensureSessionWithExecutorFactory",
        Effect.map(factory(sessionId, build), (_) => _.outcome)
      ),
    containsSession: (sessionId) => Effect.sync(() => registry.find(sessionId) !== undefined),
    sessionHasExecutor: (sessionId) => Effect.sync(() => (registry.find(sessionId)?.attachment ?? null) !== null),
    setSessionSilentIntents: (sessionId, intents) =>
      traced("setSessionSilentIntents", onSession(sessionId, setSilentIntents(intents))),
    acceptInput: (sessionId, input) =>
      traced(
        "acceptInput",
        Effect.map(acceptWith(sessionId, input, { wake: true, completion: false }), (_) => _.outcome)
      ),
    acceptInputWithCompletion: (sessionId, input) =>
      traced("acceptInputWithCompletion", acceptWith(sessionId, input, { wake: true, completion: true })),
    acceptInputWithoutWake: (sessionId, input) =>
      traced(
        "acceptInputWithoutWake",
        Effect.map(acceptWith(sessionId, input, { wake: false, completion: false }), (_) => _.outcome)
      ),
    wakeRuntimeIfActiveInputs: (sessionId) =>
      Effect.flatMap(registry.lookup(sessionId), (entry) => {
        const state = entry.authority.unsafeState()
        if (Ledger.size(state.ledger) === 0) return Effect.succeed(false)
        // The loop decides by the state alone, so that there is nothing to signal: it looks already.
        return entry.attachment !== null ? Effect.succeed(true) : Effect.fail(
          new NotReady({ state: visible(state.lifecycle), detail: `session "${sessionId}" has no live loop` })
        )
      }),
    retractInput: (sessionId, inputId) => traced("retractInput", onSession(sessionId, retract(inputId))),
    promoteInput: (sessionId, inputId) => traced("promoteInput", onSession(sessionId, promote(inputId))),
    hardCancelCurrentRun: (sessionId, reason) =>
      traced(
        "hardCancelCurrentRun",
        Effect.flatMap(registry.lookup(sessionId), (entry) =>
          Effect.map(submit(entry, requestCancel({ reason })), ({ first, runId }) => {
            // A request is delivered once; repeating it neither calls the handle again nor begins another grace (D16).
            if (first && entry.attachment !== null) {
              escortCancel(attachDeps, entry, entry.attachment, runId, reason)
            }
          }))
      ),
    cancelAfterBoundary: (sessionId, reason) =>
      traced("cancelAfterBoundary", Effect.asVoid(onSession(sessionId, requestYield({ reason })))),
    stopRuntimeExecutor: (sessionId, reason) =>
      traced(
        "stopRuntimeExecutor",
        Effect.flatMap(registry.lookup(sessionId), (entry) => Lifecycle.stop(attachDeps, entry, reason))
      ),
    retireRuntime: (sessionId) => traced("retireRuntime", onSession(sessionId, retire)),
    resetRuntime: (sessionId) =>
      traced("resetRuntime", Effect.map(onSession(sessionId, reset), (report) => ({ ...report, joined: true }))),
    recycleRuntime: (sessionId) => traced("recycleRuntime", onSession(sessionId, recycle)),
    recoverRuntime: (sessionId) => traced("recoverRuntime", onSession(sessionId, recover)),
    destroyRuntime: (sessionId) =>
      traced(
        "destroyRuntime",
        Effect.flatMap(registry.lookup(sessionId), (entry) => Lifecycle.destroy(attachDeps, entry))
      ),
    publishEvent: (sessionId, event) =>
      traced(
        "publishEvent",
        Effect.flatMap(registry.lookup(sessionId), (entry) => entry.authority.publish({ _tag: "Custom", ...event }))
      ),
    runtimeState: (sessionId) =>
      Effect.map(registry.lookup(sessionId), (entry) => visible(entry.authority.unsafeState().lifecycle)),
    inputState: (sessionId, inputId) =>
      Effect.flatMap(registry.lookup(sessionId), (entry) => {
        const { ledger, runtimeId } = entry.authority.unsafeState()
        const open = Ledger.get(ledger, inputId)
        return open !== undefined ? Effect.succeedSome(stateOfOpen(open)) : Effect.mapBoth(
          store.terminalInput(runtimeId, inputId),
          { onFailure: Admission.readFailure, onSuccess: Option.map(stateOfTerminal) }
        )
      }),
    outcome: (sessionId, inputId) =>
      Effect.flatMap(
        registry.lookup(sessionId),
        (entry) =>
          Ledger.get(entry.authority.unsafeState().ledger, inputId) !== undefined
            ? Effect.succeedNone
            : Admission.storedOutcome(admission, entry, inputId)
      ),
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
    history: (sessionId) =>
      Stream.unwrap(
        Effect.map(registry.lookup(sessionId), () =>
          Stream.mapError(store.history(runtimeIdOf(sessionId)), Admission.readFailure))
      ),
    runtimeEvents: events,
    meerkatMachineSpineSnapshot: (sessionId) =>
      Effect.suspend(() => {
        const entry = registry.find(sessionId)
        return entry === undefined ? Effect.succeedNone : Effect.asSome(snapshot(entry))
      }),
    storedSessions: (filter) => Stream.mapError(store.sessions(filter), Admission.readFailure),
    fiberCount: Effect.map(authorities.fiberCount, (workers) => workers + spawner.live())
  }

  /** The entry if it still is the live one of its id. */
  const same = (entry: Entry): Effect.Effect<Entry, RuntimeDriverError> =>
    Effect.suspend(() =>
      entry.removed ? registry.lookup(entry.sessionId).pipe(Effect.flatMap(() => gone(entry))) : Effect.succeed(entry)
    )
  const gone = (entry: Entry) =>
    Effect.fail(new NotReady({ state: "destroyed", detail: `session "${entry.sessionId}" was unregistered` }))

  const scoped = <E, R>(sessionId: SessionId, build: Effect.Effect<CoreExecutor, E, R | Scope.Scope>) =>
    Effect.map(
      Effect.acquireRelease(
        factory(sessionId, build),
        ({ created, entry }) => created ? Effect.ignoreLogged(unregisterEntry(entry)) : Effect.void
      ),
      ({ entry }) => SessionHandle.make(admission, machine, sessionId, same(entry))
    )
  const sessionScoped: MeerkatMachineService["sessionScoped"] = (name, executor) =>
    Schema.decode(SessionId)(name).pipe(
      Effect.mapError((error) => invalid({ _tag: "InvalidSessionId", detail: error.message })),
      Effect.flatMap((sessionId) => scoped(sessionId, Effect.isEffect(executor) ? executor : Effect.succeed(executor)))
    )

  return MeerkatMachine.of({
    ...machine,
    session: (sessionId) => SessionHandle.make(admission, machine, sessionId, registry.lookup(sessionId)),
    sessionScoped
  })
})

/** @since 0.1.0 @category layers */
export const layerNoDeps: Layer.Layer<MeerkatMachine, never, RuntimeStore | MachineAuthority | RuntimeLoop | IdGen> =
  Layer.scoped(MeerkatMachine, make)

/** The machine on whatever store is provided. @since 0.1.0 @category layers */
export const layer: Layer.Layer<MeerkatMachine, never, RuntimeStore> = layerNoDeps.pipe(
  Layer.provide(Layer.mergeAll(MachineAuthorityLive.layer, RuntimeLoopLive.layer)),
  Layer.provide(IdGenLive.layer)
)

/** How sessions with pending work come back at start. @since 0.1.0 @category models */
export interface ResumeOptions<E, R> {
  /** builds the executor of a session, in the scope of its attachment */
  readonly executorFor: (sessionId: SessionId) => Effect.Effect<CoreExecutor, E, R | Scope.Scope>
  /** sessions that are attached side by side; 16 unless told */
  readonly concurrency?: number
}

/**
 * The machine, with every session that has pending work attached at start. A session that cannot be attached is logged
 * and left as it is stored; the others come up all the same.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerResuming = <E, R>(
  options: ResumeOptions<E, R>
): Layer.Layer<MeerkatMachine, Internal, RuntimeStore | R> =>
  Layer.tap(layer, (context) => {
    const machine = Context.get(context, MeerkatMachine)
    return machine.storedSessions({ pendingOnly: true, lifecycle: ["idle", "retired"] }).pipe(
      Stream.mapEffect(
        ({ sessionId }) =>
          Effect.catchAllCause(
            Effect.asVoid(machine.ensureSessionWithExecutorFactory(sessionId, options.executorFor(sessionId))),
            (cause) => Effect.logWarning(`session "${sessionId}" could not be resumed`, cause)
          ),
        { concurrency: options.concurrency ?? 16, unordered: true }
      ),
      Stream.runDrain
    )
  })

/** The machine in memory: everything works, nothing outlives the layer. @since 0.1.0 @category layers */
export const layerEphemeral: Layer.Layer<MeerkatMachine> = Layer.provide(
  layer,
  Layer.provide(RuntimeStoreMemory.layer, HandoverLive.layer)
)
