/** One call of each public operation, and the stages of a session from which the interruption test makes it. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import type { SessionHandle } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import { reply } from "../../services/Turn.js"
import type { OperationError } from "../../src/domain/Errors.js"
import type { OperationId } from "../../src/domain/Ids.js"
import { deny, initial, witnessOf } from "../../src/domain/ToolVisibility.js"
import { LlmHost } from "../../src/testkit/index.js"
import type { Lab } from "../conformance/driver.js"
import { A, snapshotOf } from "../conformance/driver.js"
import { inputId, prompt, runId } from "../support/inputs.js"

/** The state of the session at the moment of the call. */
export type Stage = "unknown" | "idle" | "queued" | "attached" | "running" | "retired" | "stopped"

export interface Call {
  readonly from: ReadonlyArray<Stage>
  /** `open` lets the held runs of the executor end */
  readonly call: (lab: Lab, open: Effect.Effect<void>) => Effect.Effect<unknown, unknown>
  readonly config?: Partial<MeerkatMachineOptions>
  /** each call starts background work, so the number of wakes of the session depends on timing */
  readonly wakes?: boolean
  /**
   * the call consists of several commits, or leaves its accepted input behind when it is interrupted: a part may
   * remain
   */
  readonly inParts?: boolean
}

/** Brings session A to a stage. The `open` that it returns lets the held runs end. */
export const enter = (lab: Lab, stage: Stage) =>
  Effect.gen(function*() {
    const { machine } = lab
    const latched = yield* lab.executor({ held: stage === "running", hardCancel: () => Effect.void })
    if (stage === "attached" || stage === "running") yield* machine.ensureSessionWithExecutor(A, latched.executor)
    else if (stage !== "unknown") yield* machine.registerSession(A)
    if (stage === "queued" || stage === "running") {
      yield* machine.acceptInput(A, prompt(1))
      yield* machine.acceptInput(A, prompt(2))
    }
    if (stage === "running") yield* latched.started(1)
    if (stage === "retired") yield* machine.retireRuntime(A)
    if (stage === "stopped") yield* machine.stopRuntimeExecutor(A, "enough")
    return { open: latched.open }
  })

const live: ReadonlyArray<Stage> = ["queued", "attached", "running"]
const any: ReadonlyArray<Stage> = ["unknown", "queued", "attached", "running", "retired", "stopped"]

const shell = witnessOf({ kind: "shell", sourceId: "1" })
const keyed = { idempotencyKey: "key" }

const on = (from: ReadonlyArray<Stage>, call: Call["call"], config?: Call["config"]): Call =>
  config === undefined ? { from, call } : { from, call, config }

/** Marks a call that consists of several commits. */
const inParts = (call: Call): Call => ({ ...call, inParts: true })

const attach = (lab: Lab) =>
  Effect.flatMap(lab.executor(), ({ executor }) => lab.machine.ensureSessionWithExecutor(A, executor))

const scoped = (lab: Lab) =>
  Effect.flatMap(
    lab.executor(),
    ({ executor }) => Effect.scoped(Effect.flatMap(lab.machine.sessionScoped(A, executor), (session) => session.state))
  )

const epochOf = (lab: Lab) => Effect.map(snapshotOf(lab, A), ({ epochId }) => epochId)

const draining = ({ machine }: Lab) =>
  Effect.flatMap(
    CommsRuntimeMailbox.make(),
    (commsRuntime) => machine.updatePeerIngressContext(A, { keepAlive: true, commsRuntime })
  )

/** Runs `act` while `wait` is already waiting, and returns what `wait` waited for. */
const beside = (wait: Effect.Effect<unknown, unknown>, act: Effect.Effect<unknown, unknown>) =>
  Effect.flatMap(Effect.fork(wait), (waiting) => Effect.zipRight(act, Fiber.join(waiting)))

/** Begins a drain, and aborts it while `wait` waits for its end. */
const waitForDrain = (lab: Lab, wait: Effect.Effect<void, unknown>) =>
  Effect.zipRight(draining(lab), beside(wait, lab.machine.abortCommsDrain(A)))

/** Binds the session, with a host that keeps its model. */
const hosted = (lab: Lab) =>
  Effect.gen(function*() {
    const { host } = yield* LlmHost.make()
    yield* lab.machine.setSessionLlmReconfigureHost(host)
    yield* lab.machine.prepareBindings(A)
  })

const session = ({ machine }: Lab): SessionHandle => machine.session(A)

const answered = () => Effect.succeed(["value", reply("answer")] as const)

const inline = ({ machine }: Lab) => machine.acceptInputAndRun(A, prompt(9), answered)

const ops = (lab: Lab): SessionOperations => session(lab).operations
const named = { displayName: "build" }

/** A running external operation, which the caller ends. */
const external = (lab: Lab) => ops(lab).external(named)
/** An operation that is registered and still waits for provisioning. */
const registered = (lab: Lab) => ops(lab).register(named)

const onOperation = (
  begin: (lab: Lab) => Effect.Effect<OperationId, OperationError>,
  call: (operations: SessionOperations, id: OperationId) => Effect.Effect<unknown, unknown>
): Call => on(["queued", "running"], (lab) => Effect.flatMap(begin(lab), (id) => call(ops(lab), id)))

const operations: Readonly<Record<string, Call>> = {
  opsLifecycleRegistry: on(["unknown", "queued"], ({ machine }) => machine.opsLifecycleRegistry(A)),
  "session.operations.sessionId": on(["queued"], (lab) => Effect.sync(() => ops(lab).sessionId)),
  "session.operations.run": { ...on(live, (lab) => ops(lab).run(Effect.succeed("done"), named)), wakes: true },
  "session.operations.external": on(live, external),
  "session.operations.register": on(live, registered),
  "session.operations.provisioningSucceeded": onOperation(registered, (all, id) => all.provisioningSucceeded(id)),
  "session.operations.progress": onOperation(external, (all, id) => all.progress(id)),
  "session.operations.peerReady": on(
    ["queued"],
    (lab) =>
      Effect.flatMap(
        ops(lab).external({ ...named, expectPeerChannel: true }),
        (id) =>
          ops(lab).peerReady(id, {
            peerName: "Ada",
            peerId: "00000000-0000-4000-8000-000000000bee",
            address: "here",
            publicKey: "key"
          })
      )
  ),
  "session.operations.requestRetire": onOperation(external, (all, id) => all.requestRetire(id)),
  "session.operations.complete": onOperation(external, (all, id) => all.complete(id, { content: "done" })),
  "session.operations.fail": onOperation(external, (all, id) => all.fail(id, "red")),
  "session.operations.provisioningFailed": onOperation(registered, (all, id) => all.provisioningFailed(id, "no room")),
  "session.operations.abort": onOperation(registered, (all, id) => all.abort(id)),
  "session.operations.cancel": onOperation(external, (all, id) => all.cancel(id)),
  "session.operations.markRetired": onOperation(external, (all, id) => all.markRetired(id)),
  "session.operations.terminateOwner": onOperation(external, (all) => all.terminateOwner("enough")),
  "session.operations.get": onOperation(external, (all, id) => all.get(id)),
  "session.operations.list": onOperation(external, (all) => all.list),
  "session.operations.watch": onOperation(
    external,
    (all, id) => beside(all.watch(id), all.complete(id, { content: "done" }))
  ),
  "session.operations.waitAll": onOperation(
    external,
    (all, id) => beside(all.waitAll([id]), all.complete(id, { content: "done" }))
  ),
  "session.operations.collectCompleted": onOperation(external, (all) => all.collectCompleted),
  "session.operations.listSince": onOperation(external, (all) => all.listSince(0)),
  "session.operations.watermark": onOperation(external, (all) => all.watermark),
  "session.operations.cursors": onOperation(external, (all) => all.cursors),
  "session.operations.feed": on(["queued"], (lab) =>
    Effect.zipRight(
      Effect.flatMap(external(lab), (id) => ops(lab).complete(id, { content: "done" })),
      Stream.runHead(ops(lab).feed())
    ))
}

export const calls: Readonly<Record<string, Call>> = {
  // registration
  registerSession: on(any, ({ machine }) => machine.registerSession(A)),
  unregisterSession: on(any, ({ machine }) => machine.unregisterSession(A)),
  unregisterSessionIfEpoch: on(
    live,
    (lab) => Effect.flatMap(epochOf(lab), (epoch) => lab.machine.unregisterSessionIfEpoch(A, epoch))
  ),
  ensureSessionWithExecutor: on(any, attach),
  ensureSessionWithExecutorFactory: on(any, (lab) =>
    lab.machine.ensureSessionWithExecutorFactory(
      A,
      Effect.zipRight(Effect.yieldNow(), Effect.map(lab.executor(), ({ executor }) => executor))
    )),
  sessionScoped: on(["unknown", "queued", "running"], scoped),
  session: on(["queued"], ({ machine }) => Effect.sync(() => machine.session(A))),
  registerSessionWithExecutor: on(
    ["unknown", "queued"],
    (lab) => Effect.flatMap(lab.executor(), ({ executor }) => lab.machine.registerSessionWithExecutor(A, executor))
  ),
  containsSession: on(["queued"], ({ machine }) => machine.containsSession(A)),
  sessionHasExecutor: on(["queued"], ({ machine }) => machine.sessionHasExecutor(A)),
  setSessionSilentIntents: on(live, ({ machine }) => machine.setSessionSilentIntents(A, ["hush"])),
  // admission
  acceptInput: on(live, ({ machine }) => machine.acceptInput(A, prompt(9))),
  acceptInputWithCompletion: on(live, ({ machine }) => machine.acceptInputWithCompletion(A, prompt(9))),
  acceptInputWithoutWake: on(live, ({ machine }) => machine.acceptInputWithoutWake(A, prompt(9))),
  wakeRuntimeIfActiveInputs: on(live, ({ machine }) => machine.wakeRuntimeIfActiveInputs(A)),
  retractInput: on(["queued", "running"], ({ machine }) => machine.retractInput(A, inputId(2))),
  promoteInput: on(["queued", "running"], ({ machine }) => machine.promoteInput(A, inputId(2))),
  // runs
  hardCancelCurrentRun: on(["running"], ({ machine }) => machine.hardCancelCurrentRun(A, "enough")),
  cancelAfterBoundary: on(["running"], ({ machine }) => machine.cancelAfterBoundary(A, "others wait")),
  acceptInputAndRun: inParts(on(["idle", "attached"], inline)),
  "session.acceptAndRun": inParts(on(["idle"], (lab) => session(lab).acceptAndRun(prompt(9), answered))),
  installPreparedSessionInterruptHandle: on(
    ["queued"],
    ({ machine }) => machine.installPreparedSessionInterruptHandle(A, () => Effect.void)
  ),
  // bindings
  prepareBindings: on(any, ({ machine }) => machine.prepareBindings(A)),
  prepareLocalSessionBindings: on(any, ({ machine }) => machine.prepareLocalSessionBindings(A)),
  "session.bindings": on(live, (lab) => session(lab).bindings),
  verifyBindings: on(["queued"], ({ machine }) => Effect.flatMap(machine.prepareBindings(A), machine.verifyBindings)),
  commitServiceTurnTerminalReceipt: inParts(on(["queued", "attached"], ({ machine }) =>
    Effect.gen(function*() {
      const { turn } = yield* machine.prepareBindings(A)
      yield* turn.begin(runId(5))
      yield* machine.commitServiceTurnTerminalReceipt(A)
    }))),
  // operations
  ...operations,
  // lifecycle
  stopRuntimeExecutor: on(live, (lab, open) => Effect.zipRight(open, lab.machine.stopRuntimeExecutor(A, "enough"))),
  retireRuntime: on(live, ({ machine }) => machine.retireRuntime(A)),
  resetRuntime: on([...live, "retired"], ({ machine }) => machine.resetRuntime(A)),
  recycleRuntime: on([...live, "retired"], ({ machine }) => machine.recycleRuntime(A)),
  recoverRuntime: on(live, ({ machine }) => machine.recoverRuntime(A)),
  destroyRuntime: on([...live, "retired", "stopped"], ({ machine }) => machine.destroyRuntime(A)),
  publishEvent: on(["attached"], ({ machine }) => machine.publishEvent(A, { kind: "noted", payload: null })),
  // reads
  runtimeState: on(["running"], ({ machine }) => machine.runtimeState(A)),
  runtimeStateChanges: on(["running"], ({ machine }) => Stream.runHead(machine.runtimeStateChanges(A))),
  inputState: on(["running"], ({ machine }) => machine.inputState(A, inputId(1))),
  outcome: on(["running"], ({ machine }) => machine.outcome(A, inputId(7))),
  listActiveInputs: on(["running"], ({ machine }) => machine.listActiveInputs(A)),
  loadBoundaryReceipt: on(["running"], ({ machine }) => machine.loadBoundaryReceipt(A, runId(7), 0)),
  history: on(["running"], ({ machine }) => Stream.runCollect(machine.history(A))),
  runtimeEvents: on(["running"], ({ machine }) => Stream.runHead(machine.runtimeEvents(A))),
  meerkatMachineSpineSnapshot: on(["running"], ({ machine }) => machine.meerkatMachineSpineSnapshot(A)),
  storedSessions: on(["running"], ({ machine }) => Stream.runCollect(machine.storedSessions())),
  fiberCount: on(["running"], ({ machine }) => machine.fiberCount),
  // tools
  stagePersistentFilter: on(live, ({ machine }) => machine.stagePersistentFilter(A, deny("shell"), { shell })),
  requestDeferredTools: on(live, ({ machine }) => machine.requestDeferredTools(A, [])),
  publishCommittedVisibleSet: on(live, ({ machine }) => machine.publishCommittedVisibleSet(A, initial)),
  // comms
  updatePeerIngressContext: on(live, draining),
  notifyCommsDrainExited: on(
    live,
    (lab) => Effect.zipRight(draining(lab), lab.machine.notifyCommsDrainExited(A, "failed"))
  ),
  abortCommsDrain: on(live, (lab) => Effect.zipRight(draining(lab), lab.machine.abortCommsDrain(A))),
  abortCommsDrains: on(live, (lab) => Effect.zipRight(draining(lab), lab.machine.abortCommsDrains)),
  waitCommsDrain: on(live, (lab) => waitForDrain(lab, lab.machine.waitCommsDrain(A))),
  sessionHasComms: on(["queued"], ({ machine }) => machine.sessionHasComms(A)),
  peerIngressOwner: on(["queued"], ({ machine }) => machine.peerIngressOwner(A)),
  // models
  setSessionLlmReconfigureHost: on(["queued"], hosted),
  reconfigureSessionLlmIdentity: on(
    live,
    (lab) =>
      Effect.zipRight(hosted(lab), lab.machine.reconfigureSessionLlmIdentity(A, { model: "blind", provider: "openai" }))
  ),
  resolvedSessionLlmCapabilities: on(["queued"], ({ machine }) => machine.resolvedSessionLlmCapabilities(A)),
  // handles
  "session.sessionId": on(["queued"], (lab) => Effect.sync(() => session(lab).sessionId)),
  "session.prompt": on(live, (lab) => session(lab).prompt("hello", keyed)),
  "session.steer": on(live, (lab) => session(lab).steer("hello", keyed)),
  "session.ask": on(["attached", "running"], (lab, open) => Effect.zipRight(open, session(lab).ask("hello", keyed))),
  "session.outcome": on(["queued"], (lab) => session(lab).outcome(inputId(7))),
  "session.retract": on(["queued", "running"], (lab) => session(lab).retract(inputId(2))),
  "session.promote": on(["queued", "running"], (lab) => session(lab).promote(inputId(2))),
  "session.cancel": on(["running"], (lab) => session(lab).cancel("enough")),
  "session.yieldRun": on(["running"], (lab) => session(lab).yieldRun("others wait")),
  "session.stop": on(live, (lab, open) => Effect.zipRight(open, session(lab).stop("enough"))),
  "session.retire": on(live, (lab) => session(lab).retire),
  "session.reset": on(live, (lab) => session(lab).reset),
  "session.recycle": on([...live, "retired"], (lab) => session(lab).recycle),
  "session.destroy": on(live, (lab) => session(lab).destroy),
  "session.history": on(["running"], (lab) => Stream.runCollect(session(lab).history)),
  "session.events": on(["running"], (lab) => Stream.runHead(session(lab).events)),
  "session.snapshot": on(["running"], (lab) => session(lab).snapshot),
  "session.state": on(["running"], (lab) => session(lab).state),
  "session.tools.state": on(["queued"], (lab) => session(lab).tools.state),
  "session.tools.stageFilter": on(live, (lab) => session(lab).tools.stageFilter(deny("shell"), { shell })),
  "session.tools.requestDeferred": on(["queued"], (lab) => session(lab).tools.requestDeferred([])),
  "session.tools.stageRequestedDeferredNames": on(
    ["queued"],
    (lab) => session(lab).tools.stageRequestedDeferredNames([])
  ),
  "session.tools.publish": on(["queued"], (lab) => session(lab).tools.publish(initial)),
  "session.tools.replace": on(["queued"], (lab) => session(lab).tools.replace(initial)),
  "session.tools.replaceCatalogs": on(
    ["queued"],
    (lab) => session(lab).tools.replaceCatalogs({ filter: { shell }, deferred: {} })
  ),
  "session.tools.boundaryApplied": on(["queued"], (lab) => session(lab).tools.boundaryApplied),
  "session.llm.reconfigure": on(
    ["queued", "running"],
    (lab) => Effect.zipRight(hosted(lab), session(lab).llm.reconfigure({ model: "blind", provider: "openai" }))
  ),
  "session.llm.capabilities": on(["queued"], (lab) => session(lab).llm.capabilities),
  "session.llm.identity": on(["queued"], (lab) => session(lab).llm.identity),
  "session.comms.attach": on(
    live,
    (lab) => Effect.flatMap(CommsRuntimeMailbox.make(), (runtime) => session(lab).comms.attach(runtime))
  ),
  "session.comms.detach": on(live, (lab) => Effect.zipRight(draining(lab), session(lab).comms.detach)),
  "session.comms.abort": on(live, (lab) => Effect.zipRight(draining(lab), session(lab).comms.abort)),
  "session.comms.wait": on(live, (lab) => waitForDrain(lab, session(lab).comms.wait)),
  "session.comms.owner": on(["queued"], (lab) => session(lab).comms.owner),
  "session.comms.attached": on(["queued"], (lab) => session(lab).comms.attached)
}
