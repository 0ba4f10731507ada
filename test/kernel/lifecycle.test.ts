import { assert, describe, it } from "@effect/vitest"
import * as HashMap from "effect/HashMap"
import type { Command } from "../../src/domain/Command.js"
import type { RuntimeState } from "../../src/domain/RuntimeState.js"
import { visible } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { acceptAndStage } from "../../src/kernel/commands/accept.js"
import { abortAttach, beginAttach, detach, endDrained, publishAttachment } from "../../src/kernel/commands/attach.js"
import { beginUnregister, closeSession } from "../../src/kernel/commands/close.js"
import { isDraining } from "../../src/kernel/commands/command.js"
import { destroy, recover, recycle, reset, retire, stop } from "../../src/kernel/commands/lifecycle.js"
import { promote, retract, setSilentIntents } from "../../src/kernel/commands/queue.js"
import { requestCancel } from "../../src/kernel/commands/run.js"
import { admitReconfigure, beginServiceTurn, prepareBindings } from "../../src/kernel/commands/service.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import * as Ops from "../../src/kernel/operations.js"
import { inputId, peer, progress, prompt, runId } from "../support/inputs.js"
import {
  attaching,
  commitOf,
  committing,
  fresh,
  imageWith,
  opened,
  play,
  recordOf,
  refused,
  settled,
  staging,
  take,
  terminated
} from "../support/kernel.js"
import { decide, ofTag, opId, started } from "../support/operations.js"

const attached = play(fresh, ...attaching)
const running = play(attached, take(prompt(1)), staging())
const draining = play(running, retire)

const phases: Record<RuntimeState | "draining run", SessionState> = {
  idle: fresh,
  attached,
  running,
  "draining run": draining,
  retired: play(fresh, retire),
  stopped: play(fresh, stop),
  destroyed: play(fresh, destroy)
}

const queueing = (state: SessionState) => play(state, take(prompt(2)), take(prompt(3)))

/** The next phase or the refusal in the phases idle, attached, running, draining run, retired, stopped, destroyed. */
const outcomes: Record<string, readonly [Command<unknown>, ReadonlyArray<string>]> = {
  accept: [take(prompt(9)), ["idle", "attached", "running", "!retired", "!retired", "!stopped", "!terminal"]],
  retire: [retire, ["retired", "retired", "retired", "retired", "retired", "!stopped", "!terminal"]],
  reset: [reset, ["idle", "attached", "!running", "!running", "idle", "!stopped", "!terminal"]],
  recycle: [recycle, ["idle", "attached", "!running", "!running", "idle", "!stopped", "!terminal"]],
  recover: [recover, ["idle", "attached", "!running", "!running", "retired", "stopped", "!terminal"]],
  stop: [stop, ["stopped", "stopped", "!running", "!running", "retired", "!stopped", "!terminal"]],
  destroy: [
    destroy,
    ["destroyed", "destroyed", "destroyed", "destroyed", "destroyed", "destroyed", "!terminal"]
  ],
  cancel: [
    requestCancel({ reason: "x" }),
    ["!idle", "!attached", "running", "retired", "!retired", "!stopped", "!terminal"]
  ],
  silence: [
    setSilentIntents(["x"]),
    ["idle", "attached", "running", "retired", "retired", "stopped", "!terminal"]
  ],
  attach: [beginAttach(2), ["idle", "!attached", "!running", "!retired", "!retired", "!stopped", "!terminal"]],
  bind: [prepareBindings(1), ["idle", "attached", "running", "retired", "retired", "stopped", "!terminal"]],
  unregister: [
    beginUnregister,
    ["idle", "attached", "running", "retired", "retired", "stopped", "destroyed"]
  ]
}
const told = (state: SessionState, command: Command<unknown>): string => {
  const rejection = refused(state, command)
  if (rejection === null) return visible(decide(state, command).state.lifecycle)
  switch (rejection._tag) {
    case "TerminalPhase":
      return "!terminal"
    case "NoTransition":
    case "GuardRejected":
      return `!${rejection.state}`
    case "Invalid":
      return `!${rejection.detail._tag}`
  }
}

describe("outcome matrix", () => {
  for (const [name, [command, expected]] of Object.entries(outcomes)) {
    Object.entries(phases).forEach(([phase, state], at) => {
      it(`${name} answers ${expected[at]} when the session is ${phase}`, () => {
        assert.strictEqual(told(state, command), expected[at])
      })
    })
  }

  it("D26 reconfigure is refused when the session has no binding or is ending", () => {
    assert.deepInclude(refused(fresh, admitReconfigure), { _tag: "GuardRejected", failed: ["bound"] })
    for (const phase of ["idle", "attached", "running"] as const) {
      assert.isNull(refused(play(phases[phase], prepareBindings(1)), admitReconfigure))
    }
    for (const phase of ["retired", "stopped", "draining run"] as const) {
      assert.isNotNull(refused(play(phases[phase], prepareBindings(1)), admitReconfigure))
    }
  })
})

describe("attachment", () => {
  it("ENS-01 ENS-07 an attached session becomes idle when its loop ends", () => {
    assert.strictEqual(told(fresh, beginAttach(1)), "idle")
    assert.strictEqual(attached.lifecycle._tag, "Attached")
    assert.deepStrictEqual(attached.registration, { _tag: "Active", token: 1, drainOnly: false })
    const detached = play(attached, detach(1))
    assert.strictEqual(detached.lifecycle._tag, "Idle")
    assert.deepStrictEqual(detached.registration, { _tag: "Queuing" })
  })

  it("D24 a draining loop detaches itself only when its session is retired and has no input", () => {
    const drained = play(attached, retire)
    const { emits, reply, state } = decide(drained, endDrained(1))
    assert.isTrue(reply)
    assert.deepStrictEqual(emits, [])
    assert.strictEqual(state.lifecycle._tag, "Retired")
    assert.deepStrictEqual(state.registration, { _tag: "Queuing" })
    for (
      const other of [
        attached,
        play(drained, recycle),
        play(attached, take(prompt(1)), retire),
        play(running, retire)
      ]
    ) {
      const refusal = decide(other, endDrained(1))
      assert.isFalse(refusal.reply)
      assert.strictEqual(refusal.state, other)
    }
    assert.isFalse(decide(drained, endDrained(2)).reply)
    assert.isFalse(decide(state, endDrained(1)).reply)
  })

  it("ENS-20 the inputs of a run are requeued without a charge when its loop dies", () => {
    const { emits, reply, state } = decide(running, detach(1, { waiters: "runtime loop exited" }))
    assert.strictEqual(reply.requeued, 1)
    assert.strictEqual(state.lifecycle._tag, "Idle")
    assert.deepInclude(recordOf(state, 1), { status: { type: "queued" }, charged: 0, crashed: 0, attempts: 1 })
    assert.deepStrictEqual(ofTag(emits, "SettleAll").map(({ outcome }) => outcome), [terminated("runtime loop exited")])
  })

  it("ENS-12 an attachment is refused when another one replaced it", () => {
    const replaced = play(fresh, beginAttach(1), abortAttach(1), beginAttach(2))
    for (const late of [publishAttachment(1), abortAttach(1), detach(1)]) assert.isNotNull(refused(replaced, late))
    assert.isNotNull(refused(play(fresh, beginAttach(1), stop), publishAttachment(1)))
  })

  it("D5 ENS-11 a retired session accepts a loop only when it has inputs", () => {
    assert.isNotNull(refused(phases.retired, beginAttach(1)))
    const { state } = opened(imageWith([Ledger.all(queueing(fresh).ledger)].flat(), { lifecycle: "retired" }))
    const drained = play(state, ...attaching)
    assert.deepStrictEqual(drained.registration, { _tag: "Active", token: 1, drainOnly: true })
    assert.strictEqual(drained.lifecycle._tag, "Retired")
  })

  it("ENS-12 an abort of an attachment is refused when its loop is published", () => {
    for (const state of [attached, running, draining]) assert.isNotNull(refused(state, abortAttach(1)))
    assert.isNull(refused(play(fresh, beginAttach(1)), abortAttach(1)))
    const turning = play(fresh, prepareBindings(1), beginServiceTurn({ runId: runId(1) }), beginAttach(1))
    assert.isNull(refused(turning, abortAttach(1)))
    // the same during the unregistration of the session
    for (const state of [attached, running]) assert.isNotNull(refused(play(state, beginUnregister), abortAttach(1)))
    const aborted = play(turning, beginUnregister, abortAttach(1))
    assert.deepStrictEqual(aborted.registration, { _tag: "Draining", token: null })
  })

  it("D5 a publication is refused when the inputs that the loop was claimed for are gone", () => {
    const left = [Ledger.all(queueing(fresh).ledger)].flat()
    const { state } = opened(imageWith(left, { lifecycle: "retired" }))
    const claimed = play(state, beginAttach(1), retract(inputId(2)))
    assert.isNull(refused(claimed, publishAttachment(1)))
    assert.deepInclude(refused(play(claimed, retract(inputId(3))), publishAttachment(1)), { failed: ["has_work"] })
  })

  it("a session returns to attached when a loop attaches during a service turn", () => {
    const turning = play(fresh, prepareBindings(1), beginServiceTurn({ runId: runId(1) }))
    const { state } = decide(play(turning, ...attaching), detach(1))
    assert.deepInclude(play(turning, ...attaching).lifecycle, { _tag: "Running", returnTo: "Attached" })
    assert.deepInclude(state.lifecycle, { _tag: "Running", returnTo: "Idle", owner: "service" })
  })
})

describe("retire, reset, recycle, recover", () => {
  it("CTL-01 CMP-07 retire abandons queued inputs when no loop is live", () => {
    const { emits, reply, state } = decide(queueing(fresh), retire)
    assert.deepStrictEqual(reply, { inputsAbandoned: 2, inputsPendingDrain: 0 })
    assert.deepStrictEqual(settled(emits), [2, 3].map((n) => [inputId(n), terminated("retired without runtime loop")]))
    assert.strictEqual(Ledger.size(state.ledger), 0)
    assert.strictEqual(commitOf({ emits, state }).lifecycle, "retired")
  })

  it("CTL-02 CTL-08 retire drains every input, also held and progress inputs, when a loop is live", () => {
    const waiting = play(attached, take(prompt(2), { wake: false }), take(peer(3, progress)))
    assert.isNull(decide(waiting, staging()).reply)
    const { emits, reply, state } = decide(waiting, retire)
    assert.deepStrictEqual(reply, { inputsAbandoned: 0, inputsPendingDrain: 2 })
    assert.deepStrictEqual(settled(emits), [])
    const drained = [1, 2].reduce((at, n) => play(at, staging(n), ...committingIfRunning(at, n)), state)
    assert.strictEqual(Ledger.size(drained.ledger), 0)
    assert.strictEqual(drained.lifecycle._tag, "Retired")
  })

  it("LOOP-25 D24 a run returns to retired and the queue drains when retire arrives during the run", () => {
    const retired = play(queueing(running), retire)
    assert.strictEqual(visible(retired.lifecycle), "retired")
    assert.deepInclude(play(retired, committing(1)).lifecycle, { _tag: "Retired" })
    const drained = play(retired, committing(1), staging(2), committing(2), staging(3), committing(3))
    assert.strictEqual(Ledger.size(drained.ledger), 0)
  })

  it("CTL-05 CTL-06 retire writes nothing when the session is retired", () => {
    const { emits } = decide(play(attached, retire), retire)
    assert.deepStrictEqual(emits, [])
  })

  it("CTL-13 CTL-15 reset abandons inputs and returns to attached when a loop is live", () => {
    const { emits, reply, state } = decide(queueing(play(attached, setSilentIntents(["x"]), prepareBindings(1))), reset)
    assert.deepStrictEqual(reply, { inputsAbandoned: 2 })
    assert.deepStrictEqual(settled(emits), [2, 3].map((n) => [inputId(n), terminated("runtime reset")]))
    assert.deepInclude(state, { silentIntents: [], binding: null })
    assert.strictEqual(state.lifecycle._tag, "Attached")
    assert.deepStrictEqual(commitOf({ emits, state }).slices, [{ name: "silentIntents", value: [] }])
    const again = play(attached, retire, reset)
    assert.strictEqual(again.lifecycle._tag, "Attached")
    assert.isNull(refused(again, take(prompt(4))))
  })

  it("CTL-09 CMP-08 recycle keeps queued inputs and their waiters", () => {
    const before = queueing(attached)
    const { emits, reply, state } = decide(before, recycle)
    assert.deepStrictEqual(reply, { inputsTransferred: 2 })
    assert.deepStrictEqual(Ledger.all(state.ledger), Ledger.all(before.ledger))
    assert.deepStrictEqual(settled(emits), [])
  })

  it("RCV-22 recover reports and changes nothing when the session is live", () => {
    const before = queueing(attached)
    const { emits, reply, state } = decide(before, recover)
    assert.deepStrictEqual(reply, { inputsRecovered: 2, inputsAbandoned: 0, inputsRequeued: 0 })
    assert.strictEqual(state, before)
    assert.deepStrictEqual(emits, [])
  })
})

describe("stop and destroy", () => {
  it("INT-17 INT-20 stop abandons queued inputs and ends the loop", () => {
    const { emits, state } = decide(queueing(attached), stop)
    assert.deepStrictEqual(settled(emits), [2, 3].map((n) => [inputId(n), terminated("runtime stopped")]))
    assert.deepStrictEqual(state.registration, { _tag: "Queuing" })
    assert.strictEqual(commitOf({ emits, state }).lifecycle, "stopped")
  })

  it("D24 stop leaves a session retired when it is retired", () => {
    const before = play(queueing(attached), retire)
    const { emits, reply, state } = decide(before, stop)
    assert.deepStrictEqual(reply, { inputsAbandoned: 2 })
    assert.strictEqual(state.lifecycle._tag, "Retired")
    assert.deepStrictEqual(state.registration, { _tag: "Queuing" })
    assert.isUndefined(commitOf({ emits, state }).lifecycle)
  })

  it("stop, destroy and reset clear the stored silent intents when the session has some", () => {
    const slices = (before: SessionState, command: Command<unknown>) => commitOf(decide(before, command)).slices
    for (const before of [fresh, attached, phases.retired]) {
      const hushed = { ...before, silentIntents: ["x"] }
      for (const command of [stop, destroy, reset]) {
        assert.deepStrictEqual(slices(hushed, command), [{ name: "silentIntents", value: [] }])
        assert.deepStrictEqual(slices(before, command), [])
      }
    }
  })

  it("CTL-17 destroy ends inputs, run, operations and epoch in one commit", () => {
    const before = play(queueing(running), ...started(1), ...started(2, { owner: "external" }))
    const { emits, reply, state } = decide(before, destroy)
    assert.deepStrictEqual(reply, { inputsAbandoned: 3 })
    assert.deepStrictEqual(
      settled(emits).map(([, outcome]) => outcome),
      [1, 2, 3].map(() => terminated("runtime destroyed"))
    )
    const commit = commitOf({ emits, state })
    assert.strictEqual(commit.lifecycle, "destroyed")
    assert.isTrue(commit.epoch?.retired)
    assert.strictEqual(commit.feed.length, 2)
    assert.deepStrictEqual(commit.inputs.map(({ _tag }) => _tag), ["Terminal", "Terminal", "Terminal"])
    assert.isNotNull(refused(state, committing(1)))
  })
})

describe("unregister", () => {
  it("UNR-13 D7 a session accepts only loop and teardown commands when it is being unregistered", () => {
    const leaving = play(running, beginUnregister)
    const others = [
      take(prompt(2)),
      beginAttach(2),
      retire,
      reset,
      stop,
      destroy,
      recycle,
      recover,
      retract(inputId(1)),
      promote(inputId(1)),
      setSilentIntents([]),
      prepareBindings(1),
      beginServiceTurn({ runId: runId(2) }),
      acceptAndStage({ input: prompt(2), keyFact: null, knownTerminal: false }, runId(2), "none")
    ]
    for (const command of others) {
      const rejection = refused(leaving, command)
      assert.isTrue(rejection !== null && isDraining(rejection), command.name)
    }
    assert.isNull(refused(leaving, committing(1)))
  })

  it("UNR-25 a session stages no input when it is being unregistered", () => {
    const leaving = play(queueing(attached), beginUnregister)
    assert.isNull(decide(leaving, staging()).reply)
  })

  it("UNR-07 UNR-03 close requeues staged inputs without a charge and releases waiters after the commit", () => {
    const { emits, reply, state } = decide(play(running, beginUnregister), closeSession)
    assert.deepStrictEqual(reply, { needsCommit: true, requeued: 1, terminatedOperations: 0 })
    assert.deepInclude(recordOf(state, 1), { status: { type: "queued" }, charged: 0, crashed: 0 })
    assert.strictEqual(state.lifecycle._tag, "Idle")
    assert.isTrue(commitOf({ emits, state }).close)
    assert.strictEqual(emits[emits.length - 1]?._tag, "Event")
    assert.deepStrictEqual(
      ofTag(emits, "SettleAll").map(({ outcome }) => outcome),
      [terminated("runtime session unregistered")]
    )
  })

  it("D7 close needs no commit when the store holds every change", () => {
    const { emits, reply } = decide(play(queueing(attached), beginUnregister), closeSession)
    assert.isFalse(reply.needsCommit)
    assert.deepStrictEqual(ofTag(emits, "Close"), [])
  })

  it("UNR-19 UNR-11 unregister succeeds when the session is destroyed or already being unregistered", () => {
    const leaving = play(phases.destroyed, beginUnregister, beginUnregister)
    assert.isFalse(decide(leaving, closeSession).reply.needsCommit)
  })

  it("UNR-20 D28 close terminates the operations of the process and keeps external ones", () => {
    const before = play(attached, ...started(1), ...started(2, { owner: "external" }), beginUnregister)
    const { emits, reply, state } = decide(before, closeSession)
    assert.strictEqual(reply.terminatedOperations, 1)
    assert.deepStrictEqual(ofTag(emits, "SettleOperation").map(({ outcome }) => outcome), [{
      _tag: "Terminated",
      reason: "runtime session unregistered"
    }])
    assert.strictEqual(Ops.getOperation(state, opId(2))?.status, "running")
    assert.strictEqual(HashMap.size(state.operations.records), 2)
  })

  it("close is refused when the teardown has not begun", () => assert.isNotNull(refused(attached, closeSession)))
})

const committingIfRunning = (state: SessionState, n: number): ReadonlyArray<Command<unknown>> =>
  play(state, staging(n)).lifecycle._tag === "Running" ? [committing(n)] : []
