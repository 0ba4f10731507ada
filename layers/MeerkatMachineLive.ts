/**
 * The machine: its parts are made here and joined to one service.
 *
 * Sections: scopes, registry and teardown, parts, scoped sessions, the machine, the layers. The order of the shutdown is
 * stated at `openScopes`.
 *
 * @since 0.1.0
 */
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
import * as DrainCell from "./internal/drainCell.js"
import { invalid } from "./internal/driverError.js"
import type { Entry } from "./internal/entry.js"
import * as FreshIds from "./internal/freshIds.js"
import * as Isolation from "./internal/isolation.js"
import { firstIssue } from "./internal/issues.js"
import type { MachineParts } from "./internal/machineParts.js"
import * as ModelCell from "./internal/modelCell.js"
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
import { isRemoved } from "./internal/transitions.js"
import * as MachineAuthorityLive from "./MachineAuthorityLive.js"
import * as RuntimeLoopLive from "./RuntimeLoopLive.js"
import * as RuntimeStoreMemory from "./RuntimeStoreMemory.js"

// --- scopes ---

interface Scopes {
  /** everything of the machine lives here */
  readonly home: Scope.CloseableScope
  /** code of users lives here; closing the layer does not wait for it */
  readonly foreign: Scope.CloseableScope
}

/**
 * The scopes of the machine, which close in this order when the layer closes:
 *
 * 1. the finalizer that `openRegistry` adds later: nothing is acquired any more, then every session is unregistered;
 * 2. `home`: the fibers and the scopes of the machine that are left;
 * 3. `foreign`, beside the layer's own end: a fiber of users that ignores its interruption is left behind.
 */
const openScopes: Effect.Effect<Scopes, never, Scope.Scope> = Effect.gen(function*() {
  const foreign = yield* Effect.acquireRelease(
    Scope.make(),
    (scope) => Effect.forkDaemon(Scope.close(scope, Exit.void))
  )
  const home = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
  return { home, foreign }
})

// --- registry and teardown ---

/** Begins a teardown of an entry and waits for its report. */
type Unregister = (entry: Entry, mode: Teardown.Mode) => Effect.Effect<UnregisterReport, RuntimeDriverError>

interface Sessions {
  readonly registry: Registry.Registry
  readonly unregister: Unregister
  /** fibers that did not end in time */
  readonly abandoned: { count: number }
}

/** Step 1 of the shutdown. A teardown in progress may fail and leave its entry; then it is repeated once. */
const closeSessions = ({ abandoned, registry, unregister }: Sessions): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* registry.close
    const shutdown = (entry: Entry) => unregister(entry, "last")
    yield* Effect.forEach(
      registry.all(),
      (entry) => Effect.ignoreLogged(Effect.catchAll(shutdown(entry), () => shutdown(entry))),
      { concurrency: "unbounded", discard: true }
    )
    if (abandoned.count > 0) yield* Effect.logWarning(`${abandoned.count} fibers did not end in time`)
  })

const openRegistry = (spawner: Spawn.Spawner, scopes: Scopes) =>
  Effect.gen(function*() {
    const config = yield* MeerkatMachineConfig
    const authorities = yield* MachineAuthority
    const abandoned = { count: 0 }
    const teardown: Teardown.TeardownDeps = { config, spawner, ...scopes, abandoned, registry: () => registry }
    const unregister: Unregister = (entry, mode) =>
      Effect.suspend(() => Deferred.await(Teardown.unregister(teardown, entry, mode)))
    const registry = Registry.make({
      authorities,
      spawner,
      home: scopes.home,
      drop: (entry) => Effect.asVoid(Effect.exit(unregister(entry, "reload"))),
      finish: (entry) => Effect.asVoid(unregister(entry, "unregister"))
    })
    const sessions: Sessions = { registry, unregister, abandoned }
    yield* Effect.addFinalizer(() => closeSessions(sessions))
    return sessions
  })

/** Unregisters for a caller. A call from inside the session only begins it, because it would wait for itself (D7). */
const unregisterFor =
  ({ unregister }: Sessions, spawner: Spawn.Spawner, home: Scope.Scope): MachineParts["unregister"] => (entry) =>
    Effect.flatMap(CurrentSession, (current) => {
      const done = unregister(entry, "unregister")
      if (current === null || current.sessionId !== entry.sessionId) return done
      spawner.spawn(home, Effect.ignoreLogged(done))
      return Effect.succeed({ requeued: 0, terminatedOperations: 0, forced: false, joined: false })
    })

// --- parts ---

const makeParts = (spawner: Spawn.Spawner) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const config = yield* MeerkatMachineConfig
    const ids = FreshIds.make(yield* IdGen)
    const blobs = yield* Blobs.make
    const scopes = yield* openScopes
    const sessions = yield* openRegistry(spawner, scopes)
    const { abandoned, registry, unregister } = sessions
    const operations = operationsOf({ spawner, ids, config })
    const isolation = Isolation.make()
    const attachments = { loops: yield* RuntimeLoop, isolation, spawner, config, ...scopes, abandoned, operations }
    const acquireFor = AcquireFor.make({
      registry,
      end: (entry) => Effect.asVoid(Effect.exit(unregister(entry, "last")))
    })
    const parts: MachineParts = {
      store,
      config,
      ids,
      blobs,
      spawner,
      foreign: scopes.foreign,
      registry,
      attachments,
      operations,
      acquire: registry.acquire,
      acquireFor,
      ensure: (sessionId, executor, onDone) =>
        acquireFor(sessionId, (entry) => attach(attachments, entry, executor), onDone),
      runtimeNames: DrainCell.makeNames(),
      models: ModelCell.models(yield* Effect.serviceOption(SessionLlmReconfigureHost)),
      unregister: unregisterFor(sessions, spawner, scopes.home)
    }
    return parts
  })

// --- scoped sessions ---

const gone = ({ sessionId }: Entry) =>
  Effect.fail(new NotReady({ state: "destroyed", detail: `session "${sessionId}" was unregistered` }))

/** The entry while it is the live one of its id; never a successor. */
const same = ({ registry }: MachineParts, entry: Entry): Effect.Effect<Entry, RuntimeDriverError> =>
  Effect.suspend(() =>
    isRemoved(entry.state.unsafeGet())
      ? Effect.zipRight(registry.lookup(entry.sessionId), gone(entry))
      : Effect.succeed(entry)
  )

/** A factory may run long, and be interrupted: a registration of this call is undone then too. */
const scoped = <E, R>(parts: MachineParts, sessionId: SessionId, build: Effect.Effect<CoreExecutor, E, R>) =>
  Effect.suspend(() => {
    const made: { entry: Entry | null } = { entry: null }
    return Effect.acquireReleaseInterruptible(
      Effect.map(
        ensureFactory(parts, sessionId, build, ({ created, entry }) => {
          if (created) made.entry = entry
        }),
        ({ entry }) => SessionHandle.make(parts, sessionId, same(parts, entry))
      ),
      () => made.entry === null ? Effect.void : Effect.ignoreLogged(parts.unregister(made.entry))
    )
  })

const sessionScoped = (parts: MachineParts): MeerkatMachineService["sessionScoped"] => (name, executor) =>
  Schema.decode(SessionId)(name).pipe(
    Effect.mapError((error) => invalid({ _tag: "InvalidSessionId", detail: firstIssue(error) })),
    Effect.flatMap((sessionId) =>
      scoped(parts, sessionId, Effect.isEffect(executor) ? executor : Effect.succeed(executor))
    )
  )

// --- the machine ---

const make = Effect.gen(function*() {
  const authorities = yield* MachineAuthority
  const spawner = yield* Spawn.make
  const parts = yield* makeParts(spawner)
  return MeerkatMachine.of({
    ...registration(parts),
    ...admission(parts),
    ...lifecycle(parts),
    ...reads(parts),
    ...tools(parts),
    ...llm(parts),
    ...comms(parts),
    ...operations(parts),
    ...runs(parts),
    ...bindings(parts),
    fiberCount: Effect.map(authorities.fiberCount, (workers) => workers + spawner.live()),
    session: (sessionId) => SessionHandle.make(parts, sessionId, parts.registry.lookup(sessionId)),
    sessionScoped: sessionScoped(parts)
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

/** Whether single rows are damaged. When a whole file is damaged, the sessions that lost work are unknown. */
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
