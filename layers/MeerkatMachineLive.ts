/** @since 0.1.0 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CoreExecutor } from "../services/CoreExecutor.js"
import { CurrentSession } from "../services/CoreExecutor.js"
import { IdGen } from "../services/IdGen.js"
import { MachineAuthority } from "../services/MachineAuthority.js"
import type { MeerkatMachineService, UnregisterReport } from "../services/MeerkatMachine.js"
import { MeerkatMachine } from "../services/MeerkatMachine.js"
import { MeerkatMachineConfig } from "../services/MeerkatMachineConfig.js"
import { RuntimeLoop } from "../services/RuntimeLoop.js"
import { RuntimeStore } from "../services/RuntimeStore.js"
import type { SessionRuntimeBindings } from "../services/SessionBindings.js"
import { SessionLlmReconfigureHost } from "../services/SessionLlmReconfigureHost.js"
import type { Internal, RuntimeDriverError } from "../src/domain/Errors.js"
import { NotReady } from "../src/domain/Errors.js"
import { SessionId } from "../src/domain/Ids.js"
import { StoreCorrupt } from "../src/domain/StoreErrors.js"
import * as HandoverLive from "./HandoverLive.js"
import * as IdGenLive from "./IdGenLive.js"
import * as AcquireFor from "./internal/acquireFor.js"
import { attach } from "./internal/attach.js"
import * as Bindings from "./internal/bindings.js"
import * as Blobs from "./internal/blobs.js"
import { invalid } from "./internal/driverError.js"
import type { Entry } from "./internal/entry.js"
import * as FreshIds from "./internal/freshIds.js"
import * as Isolation from "./internal/isolation.js"
import { firstIssue } from "./internal/issues.js"
import type { MachineParts } from "./internal/machineParts.js"
import { operationsOf } from "./internal/operations/registry.js"
import * as Registry from "./internal/registry.js"
import { logWarning } from "./internal/rendering.js"
import * as SessionHandle from "./internal/sessionHandle.js"
import * as Spawn from "./internal/spawn.js"
import { admission } from "./internal/surfaces/admission.js"
import { bindings } from "./internal/surfaces/bindings.js"
import { comms } from "./internal/surfaces/comms.js"
import { lifecycle } from "./internal/surfaces/lifecycle.js"
import { llm } from "./internal/surfaces/llm.js"
import { operations } from "./internal/surfaces/operations.js"
import { reads } from "./internal/surfaces/reads.js"
import { ensureFactory, registration } from "./internal/surfaces/registration.js"
import { runs } from "./internal/surfaces/runs.js"
import { tools } from "./internal/surfaces/tools.js"
import * as Teardown from "./internal/teardown.js"
import * as MachineAuthorityLive from "./MachineAuthorityLive.js"
import * as RuntimeLoopLive from "./RuntimeLoopLive.js"
import * as RuntimeStoreMemory from "./RuntimeStoreMemory.js"

const make = Effect.gen(function*() {
  const store = yield* RuntimeStore
  const config = yield* MeerkatMachineConfig
  const authorities = yield* MachineAuthority
  const ids = FreshIds.make(yield* IdGen)
  const modelHost = yield* Effect.serviceOption(SessionLlmReconfigureHost)
  const blobs = yield* Blobs.make
  const spawner = yield* Spawn.make
  // Foreign code that does not end when it is interrupted is left behind: closing the layer does not wait for it.
  const foreign = yield* Effect.acquireRelease(
    Scope.make(),
    (scope) => Effect.forkDaemon(Scope.close(scope, Exit.void))
  )
  const layerScope = yield* Effect.scope
  // Everything of the machine lives in a scope of its own that ends after the last unregistration.
  const home = yield* Scope.fork(layerScope, ExecutionStrategy.sequential)
  const abandoned = { count: 0 }
  const teardown: Teardown.TeardownDeps = { config, spawner, home, foreign, abandoned, registry: () => registry }
  const registry = Registry.make({
    authorities,
    spawner,
    home,
    drop: (entry) => Effect.asVoid(Effect.exit(Deferred.await(Teardown.unregister(teardown, entry, "reload")))),
    finish: (entry) => Effect.asVoid(Deferred.await(Teardown.unregister(teardown, entry, "unregister")))
  })
  const attachments = {
    loops: yield* RuntimeLoop,
    isolation: Isolation.make(),
    spawner,
    config,
    home,
    foreign,
    abandoned,
    operations: operationsOf({ spawner, ids, config })
  }

  /** Awaited from outside; from inside the session it is only begun, since it would wait for its caller (D7). */
  const unregisterEntry = (entry: Entry): Effect.Effect<UnregisterReport, RuntimeDriverError> =>
    Effect.flatMap(CurrentSession, (current) => {
      const done = Deferred.await(Teardown.unregister(teardown, entry, "unregister"))
      if (current === null || current.sessionId !== entry.sessionId) return done
      spawner.spawn(home, Effect.ignoreLogged(done))
      return Effect.succeed({ requeued: 0, terminatedOperations: 0, forced: false, joined: false })
    })
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      yield* registry.close
      const shutdown = (entry: Entry) =>
        Effect.suspend(() => Deferred.await(Teardown.unregister(teardown, entry, "last")))
      yield* Effect.forEach(
        registry.all(),
        // one that was under way may fail and leave the entry to somebody who calls again
        (entry) => Effect.ignoreLogged(Effect.catchAll(shutdown(entry), () => shutdown(entry))),
        { concurrency: "unbounded", discard: true }
      )
      if (abandoned.count > 0) yield* Effect.logWarning(`${abandoned.count} fibers did not end in time`)
    })
  )

  const acquireFor = AcquireFor.make({
    registry,
    end: (entry) => Effect.asVoid(Effect.exit(Deferred.await(Teardown.unregister(teardown, entry, "last"))))
  })

  const parts: MachineParts = {
    store,
    config,
    ids,
    blobs,
    spawner,
    foreign,
    registry,
    attachments,
    operations: attachments.operations,
    acquire: registry.acquire,
    unregister: unregisterEntry,
    acquireFor,
    ensure: (sessionId, executor, onDone) =>
      acquireFor(sessionId, (entry) => attach(attachments, entry, executor), onDone)
  }
  const machine: Omit<MeerkatMachineService, "session" | "sessionScoped"> = {
    ...registration(parts),
    ...admission(parts),
    ...lifecycle(parts),
    ...reads(parts),
    ...tools(parts),
    ...llm(parts, modelHost),
    ...comms(parts),
    ...operations(parts),
    ...runs(parts),
    ...bindings(parts),
    fiberCount: Effect.map(authorities.fiberCount, (workers) => workers + spawner.live())
  }

  /** The entry if it still is the live one of its id. */
  const same = (entry: Entry): Effect.Effect<Entry, RuntimeDriverError> =>
    Effect.suspend(() =>
      entry.removed ? registry.lookup(entry.sessionId).pipe(Effect.flatMap(() => gone(entry))) : Effect.succeed(entry)
    )
  const gone = (entry: Entry) =>
    Effect.fail(new NotReady({ state: "destroyed", detail: `session "${entry.sessionId}" was unregistered` }))

  /** Making the executor may take its time, and be interrupted: what this call registered is taken down then too. */
  const scoped = <E, R>(sessionId: SessionId, build: Effect.Effect<CoreExecutor, E, R>) =>
    Effect.suspend(() => {
      const made: { entry: Entry | null } = { entry: null }
      return Effect.acquireReleaseInterruptible(
        Effect.map(
          ensureFactory(parts, sessionId, build, ({ created, entry }) => {
            if (created) made.entry = entry
          }),
          ({ entry }) => SessionHandle.make(parts, machine, sessionId, same(entry))
        ),
        () => made.entry === null ? Effect.void : Effect.ignoreLogged(unregisterEntry(made.entry))
      )
    })
  const sessionScoped: MeerkatMachineService["sessionScoped"] = (name, executor) =>
    Schema.decode(SessionId)(name).pipe(
      Effect.mapError((error) => invalid({ _tag: "InvalidSessionId", detail: firstIssue(error) })),
      Effect.flatMap((sessionId) => scoped(sessionId, Effect.isEffect(executor) ? executor : Effect.succeed(executor)))
    )

  return MeerkatMachine.of({
    ...machine,
    session: (sessionId) => SessionHandle.make(parts, machine, sessionId, registry.lookup(sessionId)),
    sessionScoped
  })
})

/** Whether a value is a bundle of bindings that a machine made. @since 0.1.0 @category guards */
export const isBindings: (value: unknown) => value is SessionRuntimeBindings = Bindings.isBindings

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
  readonly executorFor: (sessionId: SessionId) => Effect.Effect<CoreExecutor, E, R>
  /** sessions that are attached side by side; 16 unless told */
  readonly concurrency?: number
}

/** Rows of some sessions, that is; of a file that is damaged as a whole nobody knows whose work is lost. */
const isDamaged = (cause: unknown): boolean => cause instanceof StoreCorrupt && cause.table !== "" && cause.key !== ""

const left = ({ message }: Internal) => Effect.logWarning(`sessions are left as they are stored: ${message}`)

/**
 * The machine, with every session that has pending work attached at start: open inputs, or background work whose end,
 * that with its process included, no turn was told of. A session that cannot be attached, or read, is logged
 * and left as it is stored; the others come up all the same.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerResuming = <E, R>(
  options: ResumeOptions<E, R>
): Layer.Layer<MeerkatMachine, Internal, RuntimeStore | Exclude<R, Scope.Scope>> =>
  Layer.tap(layer, (context) => {
    const machine = Context.get(context, MeerkatMachine)
    return machine.storedSessions({ dueOnly: true, lifecycle: ["idle", "retired"] }).pipe(
      Stream.catchAll((error) => isDamaged(error.cause) ? Stream.execute(left(error)) : Stream.fail(error)),
      Stream.mapEffect(
        ({ sessionId }) =>
          Effect.catchAllCause(
            Effect.asVoid(machine.ensureSessionWithExecutorFactory(
              sessionId,
              Effect.suspend(() => options.executorFor(sessionId))
            )),
            (cause) => logWarning(`session "${sessionId}" could not be resumed`, cause)
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
