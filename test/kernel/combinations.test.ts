import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import type { Command, Rejection } from "../../src/domain/Command.js"
import { initial as unowned } from "../../src/domain/DrainSlot.js"
import { visible } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { allow, deny, initial, witnessOf } from "../../src/domain/ToolVisibility.js"
import { acceptAndStage } from "../../src/kernel/commands/accept.js"
import { abortAttach, beginAttach, detach, publishAttachment } from "../../src/kernel/commands/attach.js"
import { beginUnregister, closeSession } from "../../src/kernel/commands/close.js"
import { destroy, recover, recycle, reset, retire, stop } from "../../src/kernel/commands/lifecycle.js"
import { promote, retract, setSilentIntents } from "../../src/kernel/commands/queue.js"
import { cancelRun, failRun, requestCancel, requestYield, requeueRun } from "../../src/kernel/commands/run.js"
import {
  admitReconfigure,
  beginServiceTurn,
  cancelServiceTurn,
  completeServiceTurn,
  failServiceTurn,
  prepareBindings
} from "../../src/kernel/commands/service.js"
import * as Tools from "../../src/kernel/commands/tools.js"
import { plan, step } from "../../src/kernel/drain.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import * as Ops from "../../src/kernel/operations.js"
import { event, inputId, peer, prompt, runId } from "../support/inputs.js"
import {
  attaching,
  committing,
  failure,
  fresh,
  imageWith,
  plan as opening,
  play,
  refused,
  staging,
  take
} from "../support/kernel.js"
import { decide, ofTag, opId, result, spec, started, waitId } from "../support/operations.js"

const attached = play(fresh, ...attaching)
const running = play(attached, take(prompt(1)), staging())
const serving = play(attached, prepareBindings(1), beginServiceTurn({ runId: runId(1) }))
const retired = play(fresh, retire)
const stopped = play(fresh, stop)
const destroyed = play(fresh, destroy)

/** Returns the reason of a refusal: its kind, and the failed guards. */
const why = (state: SessionState, command: Command<unknown>): string => {
  const rejection = refused(state, command)
  return rejection === null ? "taken" : reason(rejection)
}

const reason = (rejection: Rejection): string => {
  switch (rejection._tag) {
    case "TerminalPhase":
      return "terminal"
    case "NoTransition":
      return `not in ${rejection.state}`
    case "GuardRejected":
      return rejection.failed.join()
    case "Invalid":
      return rejection.detail._tag
  }
}

const inline = acceptAndStage({ input: prompt(9), keyFact: null, knownTerminal: false }, runId(9), "none")
const stageAgain = staging(2)

describe("refused combinations", () => {
  it("a session refuses every command of a client when it is destroyed", () => {
    const commands: ReadonlyArray<Command<unknown>> = [
      take(prompt(1)),
      inline,
      beginAttach(1),
      retire,
      reset,
      recycle,
      recover,
      stop,
      destroy,
      retract(inputId(1)),
      promote(inputId(1)),
      setSilentIntents([]),
      requestCancel({ reason: "x" }),
      requestYield({ reason: "x" }),
      prepareBindings(1),
      admitReconfigure,
      beginServiceTurn({ runId: runId(1) }),
      Tools.applyBoundary,
      Tools.publishCommittedVisibleSet(initial)
    ]
    for (const command of commands) assert.strictEqual(why(destroyed, command), "terminal", command.name)
    const registered = Ops.registerOperation(spec(1))
    assert.strictEqual(Either.getOrThrow(Either.flip(decide(destroyed, registered).reply))._tag, "OpOwnerRetired")
  })

  it("a session refuses a second run when a run of any owner is in progress", () => {
    const again = decide(running, stageAgain)
    assert.isNull(again.reply)
    assert.strictEqual(again.state, running)
    const bound = play(running, prepareBindings(1))
    assert.strictEqual(why(bound, beginServiceTurn({ runId: runId(2) })), "run_matches,is_service")
    assert.strictEqual(why(running, inline), "no_open_inputs")
    assert.strictEqual(why(serving, inline), "not in running")
    assert.isNull(decide(play(serving, take(prompt(2))), stageAgain).reply)
  })

  it("a session refuses every run except that of the draining loop when it is retired", () => {
    assert.strictEqual(why(retired, inline), "not in retired")
    assert.strictEqual(why(play(retired, prepareBindings(1)), beginServiceTurn({ runId: runId(1) })), "not in retired")
    const draining = play(attached, take(prompt(1)), retire)
    assert.deepStrictEqual(decide(draining, staging()).rows, ["run.beginDrain", "input.stageFresh"])
  })

  it("a session refuses the end of a run when the run id is stale or no run is in progress", () => {
    const ends = (n: number): ReadonlyArray<Command<unknown>> => [
      committing(n),
      failRun({ runId: runId(n), failure: failure() }),
      cancelRun({ runId: runId(n), reason: "x" }),
      requeueRun({ runId: runId(n) })
    ]
    for (const command of ends(7)) {
      assert.strictEqual(why(running, command), "run_matches", command.name)
      assert.strictEqual(why(attached, command), "not in attached", command.name)
      assert.strictEqual(why(fresh, command), "not in idle", command.name)
      assert.strictEqual(why(retired, command), "not in retired", command.name)
      assert.strictEqual(why(stopped, command), "not in stopped", command.name)
    }
  })

  it("a session refuses the end of a run when another owner began the run", () => {
    for (const command of [committing(1), failRun({ runId: runId(1), failure: failure() })]) {
      assert.strictEqual(why(serving, command), "not_service", command.name)
    }
    const ends = [
      completeServiceTurn({ runId: runId(1) }),
      failServiceTurn({ runId: runId(1), detail: "x" }),
      cancelServiceTurn({ runId: runId(1), reason: "x" })
    ]
    for (const command of ends) assert.strictEqual(why(running, command), "is_service", command.name)
  })

  it("a session refuses retire when stopped, recover when running, and reset, recycle and stop when either", () => {
    assert.strictEqual(why(stopped, retire), "not in stopped")
    for (const command of [reset, recycle, recover, stop]) {
      assert.strictEqual(why(running, command), "not in running", command.name)
    }
    for (const command of [reset, recycle, stop]) {
      assert.strictEqual(why(stopped, command), "not in stopped", command.name)
    }
  })

  it("a session refuses an input when it is retired, stopped or about to retire", () => {
    assert.strictEqual(why(retired, take(prompt(1))), "not in retired")
    assert.strictEqual(why(stopped, take(prompt(1))), "not in stopped")
    assert.strictEqual(why(play(running, retire), take(prompt(2))), "not_retiring")
  })

  it("an input requests no yield when no run is in progress or the input does not wake", () => {
    const asks = (state: SessionState, wake: boolean) =>
      decide(state, take(event(2, "steer"), { wake })).rows?.includes("run.requestYield")
    assert.isFalse(asks(fresh, true))
    assert.isFalse(asks(attached, true))
    assert.isFalse(asks(running, false))
    assert.isTrue(asks(running, true))
  })

  it("a session refuses a close before its teardown, and a loop when it was not claimed or has another token", () => {
    assert.strictEqual(why(attached, closeSession), "unregister_begun")
    assert.strictEqual(why(fresh, publishAttachment(1)), "registration_is_queuing")
    const claimed = play(fresh, beginAttach(2))
    for (const command of [publishAttachment(1), abortAttach(1)]) {
      assert.strictEqual(why(claimed, command), "token_matches", command.name)
    }
    assert.strictEqual(why(attached, detach(2)), "token_matches")
  })

  it("a session refuses deferred tools when they have no witness, no name or no provenance", () => {
    const bare = [{ name: "d", witness: { stableOwnerKey: "x" } }]
    assert.strictEqual(why(fresh, Tools.stageRequestedDeferredNames(["d"])), "StageError")
    assert.strictEqual(why(fresh, Tools.requestDeferredTools([])), "Conflict")
    assert.strictEqual(why(fresh, Tools.requestDeferredTools(bare)), "StageError")
  })

  it("a session refuses a publication when it is older than a known revision, or one revision has two sets", () => {
    const filterWitnesses = { f: witnessOf({ kind: "mcp", sourceId: "m" }) }
    const publish = (parts: Partial<typeof initial>) => Tools.publishCommittedVisibleSet({ ...initial, ...parts })
    const later = play(fresh, publish({ activeRevision: 2, stagedRevision: 2 }))
    assert.strictEqual(why(fresh, publish({ activeRevision: 1, stagedRevision: 2 })), "Conflict")
    assert.strictEqual(why(later, publish({ activeRevision: 1, stagedRevision: 1 })), "Conflict")
    const torn = { activeFilter: deny("f"), stagedFilter: allow("f"), filterWitnesses }
    assert.strictEqual(why(fresh, publish({ ...torn, activeRevision: 1, stagedRevision: 1 })), "Conflict")
  })

  it("a barrier is satisfied once when all members have ended, and no other request cancels it", () => {
    const waiting = play(
      attached,
      ...started(1),
      ...started(2),
      Ops.beginWaitAll({ requestId: waitId(1), ids: [opId(1), opId(2)] })
    )
    const half = decide(waiting, Ops.completeOperation(opId(1), result()))
    assert.isEmpty(ofTag(half.emits, "BarrierSatisfied"))
    assert.isFalse(decide(half.state, Ops.cancelWaitAll(waitId(2))).reply)
    const all = decide(half.state, Ops.completeOperation(opId(2), result()))
    assert.deepStrictEqual(ofTag(all.emits, "BarrierSatisfied").map(({ requestId }) => requestId), [waitId(1)])
    assert.isFalse(decide(all.state, Ops.cancelWaitAll(waitId(1))).reply)
  })

  it("a drain slot refuses a second drain, an exit without a drain, and the inbox of a mob", () => {
    const begin = { _tag: "Begin", mode: "timed", runtimeId: "a" } as const
    const slot = Either.getOrThrow(step(unowned.slot, begin))
    assert.isTrue(Either.isLeft(step(slot, begin)))
    assert.isTrue(Either.isLeft(step(unowned.slot, { _tag: "Exited", reason: "failed" })))
    assert.isTrue(Either.isLeft(step(unowned.slot, { _tag: "Abort" })))
    const owner = { _tag: "MobOwned", runtimeId: "a", mobId: "m" } as const
    const request = { keepAlive: true, mode: "timed", runtimeId: "b", mobId: null } as const
    assert.isTrue(Either.isLeft(plan({ ...unowned, owner }, request)))
    assert.isTrue(Either.isLeft(plan({ ...unowned, owner }, { ...request, mobId: "n" })))
    // a session moves its own inbox to another runtime
    const own = { _tag: "SessionOwned", runtimeId: "a" } as const
    assert.deepStrictEqual(Either.getOrThrow(plan({ ...unowned, owner: own }, request)).owner, {
      ...own,
      runtimeId: "b"
    })
  })

  it("a session deduplicates an input when the same input is open or has ended", () => {
    const open = decide(running, take(prompt(1)))
    assert.strictEqual(open.reply._tag, "Deduplicated")
    assert.strictEqual(open.state, running)
    const ended = decide(play(running, committing()), take(prompt(1), { knownTerminal: true }))
    assert.strictEqual(ended.reply._tag, "Deduplicated")
    assert.strictEqual(Ledger.size(ended.state.ledger), 0)
  })
})

describe("combinations that earlier designs got wrong", () => {
  it("a retire ends in a drained session when it arrives during a run", () => {
    const retiring = play(running, take(prompt(2)), retire)
    assert.strictEqual(visible(retiring.lifecycle), "retired")
    const drained = play(retiring, committing())
    assert.strictEqual(drained.lifecycle._tag, "Retired")
    const last = play(drained, staging(2), committing(2))
    assert.strictEqual(last.lifecycle._tag, "Retired")
    assert.strictEqual(Ledger.size(last.ledger), 0)
  })

  it("a session accepts a peer message when it arrives before or after the commit of a run", () => {
    const message = take(peer(2, { type: "message" }, "steer"))
    for (const state of [play(running, message, committing()), play(running, committing(), message)]) {
      assert.isDefined(Ledger.get(state.ledger, inputId(2)))
      assert.strictEqual(state.lifecycle._tag, "Attached")
    }
  })

  it("the end of a run keeps every change when the change happened during the run", () => {
    const meanwhile = play(running, take(prompt(2)), setSilentIntents(["a"]), prepareBindings(1), ...started(1))
    for (const end of [committing(), requeueRun({ runId: runId(1) }), cancelRun({ runId: runId(1), reason: "x" })]) {
      const after = play(meanwhile, end)
      assert.isDefined(Ledger.get(after.ledger, inputId(2)), end.name)
      assert.deepStrictEqual(after.silentIntents, ["a"])
      assert.isNotNull(after.binding)
      assert.isNotNull(Ops.getOperation(after, opId(1)))
    }
  })

  it("a session refuses a loop when it is stopped, destroyed or retired without work", () => {
    assert.strictEqual(why(retired, beginAttach(1)), "has_work")
    assert.strictEqual(why(stopped, beginAttach(1)), "not in stopped")
    assert.strictEqual(why(destroyed, beginAttach(1)), "terminal")
  })

  it("a session refuses a registration and allows an unregistration when it is destroyed", () => {
    const image = imageWith([], { lifecycle: "destroyed" })
    assert.strictEqual(Either.getOrThrow(Either.flip(opening(image)))._tag, "Destroyed")
    assert.strictEqual(why(play(destroyed, beginUnregister), closeSession), "taken")
  })

  it("a session becomes idle in the same step when its loop ends without a run", () => {
    const after = play(attached, detach(1))
    assert.strictEqual(after.lifecycle._tag, "Idle")
    assert.strictEqual(after.registration._tag, "Queuing")
  })
})
