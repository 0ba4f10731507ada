/** DRN: the drain of a session's peer inbox, its slot, and its ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import type { CommsReceipt, CommsRuntime } from "../../services/CommsRuntime.js"
import { CommsFailed } from "../../services/CommsRuntime.js"
import type { DrainMode, DrainSlot } from "../../src/domain/DrainSlot.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { Input } from "../../src/domain/Input.js"
import type { DrainEvent } from "../../src/kernel/drain.js"
import { step } from "../../src/kernel/drain.js"
import { inputId, peer, progress, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, B, failing, row, snapshotOf } from "./driver.js"

const drainOf = (lab: Lab, sessionId = A) => Effect.map(snapshotOf(lab, sessionId), ({ drain }) => drain)

const phaseOf = (lab: Lab) => Effect.map(drainOf(lab), ({ phase }) => phase)

const update = (lab: Lab, commsRuntime?: CommsRuntime, keepAlive = true) =>
  lab.machine.updatePeerIngressContext(A, { keepAlive, ...(commsRuntime === undefined ? {} : { commsRuntime }) })

const claim = (lab: Lab, commsRuntime: CommsRuntime, mobId: string) =>
  lab.machine.updatePeerIngressContext(A, { keepAlive: true, commsRuntime, mobId })

/** An inbox that records its receipts. */
const inbox = Effect.suspend(() => {
  const receipts: Array<readonly [string, CommsReceipt["_tag"]]> = []
  return Effect.map(
    CommsRuntimeMailbox.make({
      onReceipt: (input, receipt) =>
        Effect.sync(() => {
          receipts.push([input.header.id, receipt._tag])
        })
    }),
    (mailbox) => ({ mailbox, receipts })
  )
})

/** Registers a session that drains an inbox. */
const draining = (lab: Lab) =>
  Effect.gen(function*() {
    const made = yield* inbox
    yield* lab.machine.registerSession(A)
    assert.isTrue(yield* update(lab, made.mailbox))
    yield* lab.settle
    return made
  })

const queueOf = (lab: Lab) => Effect.map(snapshotOf(lab, A), ({ queue }) => queue.map(({ inputId: id }) => id))

const idsOf = (...ns: ReadonlyArray<number>) => ns.map(inputId)

/** An inbox whose `next` is the given failure or defect. */
const broken = (next: Effect.Effect<never, CommsFailed>): CommsRuntime => ({ next, confirm: () => Effect.void })

/** An inbox over a list. Two inboxes may share one list. */
const shared = (inputs: Array<Input>, gate: Effect.Latch): CommsRuntime => ({
  next: Effect.suspend(() => {
    const [head] = inputs
    return head === undefined ? Effect.never : Effect.as(gate.await, Option.some(head))
  }),
  confirm: (input) =>
    Effect.sync(() => {
      if (inputs[0] === input) inputs.shift()
    })
})

row("DRN-01 a session drains the inbox that it is given", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), inbox),
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      const before = yield* lab.machine.sessionHasComms(A)
      const spawned = yield* update(lab, mailbox)
      yield* mailbox.send(peer(1))
      yield* mailbox.send(peer(2, progress))
      yield* lab.settle
      return { before, spawned }
    }),
  then: (lab, outcome, { receipts }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, { before: false, spawned: true })
      const drain = yield* drainOf(lab)
      assert.deepStrictEqual([drain.phase, drain.mode, drain.taskLive], ["Running", "persistentHost", true])
      assert.strictEqual(drain.owner._tag, "SessionOwned")
      assert.deepStrictEqual(yield* lab.machine.peerIngressOwner(A), drain.owner)
      assert.isTrue(yield* lab.machine.sessionHasComms(A))
      assert.deepStrictEqual(yield* lab.machine.listActiveInputs(A), idsOf(1, 2))
      assert.deepStrictEqual(receipts, [[inputId(1), "Admitted"], [inputId(2), "Admitted"]])
    })
})

row("DRN-02 an update without keepAlive or without a runtime spawns no drain", {
  given: (lab) =>
    Effect.gen(function*() {
      const { executor } = yield* lab.executor()
      yield* lab.machine.registerSession(A)
      yield* lab.machine.ensureSessionWithExecutor(B, executor)
      yield* lab.settle
      return (yield* inbox).mailbox
    }),
  when: ({ machine }, commsRuntime) =>
    Effect.forEach(
      [A, B],
      (id) =>
        Effect.all([
          machine.updatePeerIngressContext(id, { keepAlive: true }),
          machine.updatePeerIngressContext(id, { keepAlive: false, commsRuntime }),
          machine.updatePeerIngressContext(id, { keepAlive: false })
        ])
    ),
  then: (lab, answers) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(answers, [[false, false, false], [false, false, false]])
      for (const id of [A, B]) {
        assert.deepStrictEqual(yield* drainOf(lab, id), {
          phase: "Inactive",
          mode: null,
          owner: { _tag: "Unattached" },
          taskLive: false
        })
        assert.isFalse(yield* lab.machine.sessionHasComms(id))
      }
    })
})

row("DRN-03 a repeated update changes nothing", {
  given: draining,
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      const waiter = yield* Effect.fork(lab.machine.waitCommsDrain(A))
      yield* lab.settle
      const again = yield* update(lab, mailbox)
      yield* lab.settle
      const waiting = waiter.unsafePoll() === null
      yield* Fiber.interrupt(waiter)
      return { again, waiting }
    }),
  // The waiter still waits, so the task is the same.
  then: (lab, outcome) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, { again: false, waiting: true })
      assert.strictEqual(yield* phaseOf(lab), "Running")
    })
})

row("DRN-04 the old drain ends before the new one takes an input, when another runtime is bound", {
  given: (lab) =>
    Effect.gen(function*() {
      const gate = yield* lab.latch
      const inputs = [1, 2, 3, 4].map((n) => peer(n))
      const [first, second] = [shared(inputs, gate), shared(inputs, gate)]
      yield* lab.machine.registerSession(A)
      yield* update(lab, first)
      yield* lab.settle
      return { gate, inputs, second }
    }),
  when: (lab, { gate, second }) =>
    Effect.gen(function*() {
      // The first drain is replaced during its first commit.
      const parked = lab.faults.park("commit")
      yield* gate.open
      yield* parked.reached
      const waiter = yield* Effect.fork(lab.machine.waitCommsDrain(A))
      yield* lab.settle
      const rebound = yield* update(lab, second)
      yield* lab.settle
      const phase = yield* phaseOf(lab)
      const ended = waiter.unsafePoll() !== null
      yield* parked.release
      yield* Fiber.join(waiter)
      yield* lab.settle
      return { rebound, phase, ended }
    }),
  then: (lab, outcome, { inputs }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, { rebound: true, phase: "Starting", ended: false })
      assert.strictEqual(yield* phaseOf(lab), "Running")
      assert.deepStrictEqual(yield* queueOf(lab), idsOf(1, 2, 3, 4))
      assert.strictEqual(inputs.length, 0)
    })
})

row("DRN-04 the drain of a silent runtime ends when another runtime is bound", {
  given: draining,
  when: (lab) =>
    Effect.gen(function*() {
      const second = yield* inbox
      const spawned = yield* update(lab, second.mailbox)
      yield* lab.settle
      const fibers = yield* lab.machine.fiberCount
      yield* second.mailbox.send(peer(2))
      yield* lab.settle
      return { spawned, fibers, second }
    }),
  then: (lab, { fibers, second, spawned }, { mailbox, receipts }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([spawned, fibers], [true, 1])
      yield* mailbox.send(peer(1))
      yield* lab.settle
      assert.deepStrictEqual([receipts.length, second.receipts.length], [0, 1])
      assert.deepStrictEqual(yield* queueOf(lab), idsOf(2))
      assert.strictEqual(yield* phaseOf(lab), "Running")
    })
})

row("DRN-05 an update without keepAlive ends the drain and releases the inbox", {
  given: draining,
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      const before = yield* lab.machine.fiberCount
      const first = yield* update(lab, undefined, false)
      const after = yield* lab.machine.fiberCount
      yield* mailbox.send(peer(1))
      const second = yield* update(lab, undefined, false)
      yield* lab.settle
      return { ended: before - after, first, second }
    }),
  then: (lab, outcome, { mailbox }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([outcome.first, outcome.second], [false, false])
      if (lab.backend !== "simulated") assert.strictEqual(outcome.ended, 1)
      assert.deepStrictEqual(yield* drainOf(lab), {
        phase: "Stopped",
        mode: "persistentHost",
        owner: { _tag: "Unattached" },
        taskLive: false
      })
      assert.deepStrictEqual([yield* queueOf(lab), yield* mailbox.size], [[], 1])
    })
})

row("DRN-06 a mob takes over an inbox that a session owns", {
  given: draining,
  when: (lab, { mailbox }) => claim(lab, mailbox, "swarm"),
  then: (lab, spawned) =>
    Effect.gen(function*() {
      assert.isFalse(spawned)
      assert.deepInclude(yield* lab.machine.peerIngressOwner(A), { _tag: "MobOwned", mobId: "swarm" })
      assert.strictEqual(yield* phaseOf(lab), "Running")
    })
})

row("DRN-07 no other owner takes an inbox from a mob", {
  given: (lab) =>
    Effect.gen(function*() {
      const { mailbox } = yield* inbox
      const other = yield* inbox
      yield* lab.machine.registerSession(A)
      yield* claim(lab, mailbox, "swarm")
      yield* lab.settle
      return { mailbox, other: other.mailbox, drain: yield* drainOf(lab) }
    }),
  when: (lab, { mailbox, other }) =>
    Effect.all([
      failing(update(lab, mailbox)),
      failing(update(lab, other)),
      failing(claim(lab, mailbox, "herd")),
      failing(lab.machine.updatePeerIngressContext(A, { keepAlive: true, mobId: "swarm" })),
      claim(lab, mailbox, "swarm")
    ]),
  // The refusal is a typed error here; the original answers false (D1).
  then: (lab, answers, { drain }) =>
    Effect.gen(function*() {
      const refused = "ValidationFailed"
      assert.deepStrictEqual(answers, [refused, refused, refused, refused, false])
      assert.deepStrictEqual(yield* drainOf(lab), drain)
    })
})

row("DRN-11 the next update respawns a persistent host that failed", {
  given: ({ machine }) => machine.registerSession(A),
  when: (lab) =>
    Effect.gen(function*() {
      yield* update(lab, broken(new CommsFailed({ detail: "the line is dead" })))
      yield* lab.settle
      const failed = yield* drainOf(lab)
      const { mailbox } = yield* inbox
      const again = yield* update(lab, mailbox)
      yield* mailbox.send(peer(1))
      yield* lab.settle
      return { failed, again }
    }),
  then: (lab, { again, failed }) =>
    Effect.gen(function*() {
      assert.deepInclude(failed, { phase: "ExitedRespawnable", mode: "persistentHost", taskLive: false })
      assert.isTrue(again)
      assert.strictEqual(yield* phaseOf(lab), "Running")
      assert.deepStrictEqual(yield* queueOf(lab), idsOf(1))
    })
})

row("DRN-13 a drain that dies is recorded as failed", {
  given: ({ machine }) => machine.registerSession(A),
  when: (lab) =>
    Effect.gen(function*() {
      yield* update(lab, broken(Effect.dieMessage("a defect")))
      yield* lab.settle
      const persistent = yield* phaseOf(lab)
      yield* lab.machine.updatePeerIngressContext(A, {
        keepAlive: true,
        mode: "timed",
        commsRuntime: broken(Effect.dieMessage("another"))
      })
      yield* lab.settle
      const timed = yield* phaseOf(lab)
      yield* update(lab, broken(Effect.interrupt))
      yield* lab.settle
      return { persistent, timed, interrupted: yield* phaseOf(lab) }
    }),
  then: (_, phases) =>
    Effect.sync(() =>
      assert.deepStrictEqual(phases, {
        persistent: "ExitedRespawnable",
        timed: "Stopped",
        interrupted: "ExitedRespawnable"
      })
    )
})

row("DRN-15 every waiter wakes when the drain is aborted", {
  given: draining,
  when: (lab) =>
    Effect.gen(function*() {
      const waiters = yield* Effect.forEach([1, 2], () => Effect.fork(lab.machine.waitCommsDrain(A)))
      yield* lab.settle
      const parked = waiters.every((fiber) => fiber.unsafePoll() === null)
      yield* lab.machine.abortCommsDrain(A)
      const joined = !(yield* drainOf(lab)).taskLive
      yield* Fiber.join(Fiber.all(waiters))
      yield* lab.machine.waitCommsDrain(A)
      return { parked, joined }
    }),
  then: (lab, outcome) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, { parked: true, joined: true })
      const { owner, phase } = yield* drainOf(lab)
      assert.deepStrictEqual([phase, owner._tag], ["Stopped", "SessionOwned"])
      yield* lab.settle
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("DRN-16 an update beside an unregistration leaves no drain behind", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), inbox),
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      const gone = yield* Effect.fork(lab.machine.unregisterSession(A))
      const spawned = yield* Effect.fork(Effect.either(update(lab, mailbox)))
      yield* Fiber.join(gone)
      return yield* Fiber.join(spawned)
    }),
  // The update spawned a drain that the teardown ended, or it was refused.
  then: (lab, spawned) =>
    Effect.gen(function*() {
      if (Either.isLeft(spawned)) assert.strictEqual(spawned.left._tag, "NotReady")
      assert.isFalse(yield* lab.machine.containsSession(A))
      yield* lab.settle
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("UNR-04 unregistering a session ends its drain", {
  given: draining,
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      const waiter = yield* Effect.fork(lab.machine.waitCommsDrain(A))
      yield* lab.settle
      const report = yield* lab.machine.unregisterSession(A)
      yield* Fiber.join(waiter)
      yield* mailbox.send(peer(1))
      return { report, again: yield* failing(update(lab, mailbox)) }
    }),
  // A later update fails with the reason here; the original answers false (D1).
  then: (lab, { again, report }, { mailbox }) =>
    Effect.gen(function*() {
      assert.isFalse(report.forced)
      assert.strictEqual(again, "NotReady{destroyed}")
      yield* lab.settle
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
      assert.strictEqual(yield* mailbox.size, 1)
    })
})

// --- Drains, beyond the catalogue ---

row("a dismissed session stops once its inbox is empty, and its cleanup may unregister it", {
  given: (lab) =>
    Effect.gen(function*() {
      const made = yield* inbox
      const gone = yield* lab.latch
      const executor = yield* lab.executor({
        cleanup: Effect.zipRight(Effect.ignore(lab.machine.unregisterSession(A)), Effect.asVoid(gone.open))
      })
      yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
      yield* update(lab, made.mailbox)
      return { ...made, executor, gone }
    }),
  when: (lab, { gone, mailbox }) =>
    Effect.gen(function*() {
      yield* mailbox.send(prompt(1))
      yield* mailbox.dismiss
      const sent = yield* mailbox.send(prompt(2))
      yield* gone.await
      yield* lab.settle
      return sent
    }),
  then: (lab, sent, { executor, receipts }) =>
    Effect.gen(function*() {
      assert.isFalse(sent)
      assert.deepStrictEqual(receipts, [[inputId(1), "Admitted"]])
      assert.strictEqual(executor.counts().stop, 1)
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("a drain reports a refused input, drops it and takes the next one", {
  given: draining,
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      yield* mailbox.send({
        ...peer(1),
        header: { ...peer(1).header, timestamp: Number.NaN, source: Object.create(null) }
      })
      yield* mailbox.send(peer(2))
      yield* mailbox.send(peer(2))
      yield* lab.settle
    }),
  then: (lab, _, { receipts }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(receipts, [
        [inputId(1), "Refused"],
        [inputId(2), "Admitted"],
        [inputId(2), "Admitted"]
      ])
      assert.deepStrictEqual(yield* queueOf(lab), idsOf(2))
      assert.strictEqual(yield* phaseOf(lab), "Running")
    })
})

row("a timed drain ends when no input arrives for drainIdleTimeout", {
  given: (lab) =>
    Effect.gen(function*() {
      const { mailbox } = yield* inbox
      yield* lab.machine.registerSession(A)
      yield* lab.machine.updatePeerIngressContext(A, { keepAlive: true, mode: "timed", commsRuntime: mailbox })
      return mailbox
    }),
  when: (lab, mailbox) =>
    Effect.gen(function*() {
      yield* lab.advance("1 second")
      yield* mailbox.send(peer(1))
      yield* lab.advance("1 second")
      const early = yield* phaseOf(lab)
      yield* lab.advance("31 seconds")
      return { early, late: yield* phaseOf(lab) }
    }),
  then: (lab, phases) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(phases, { early: "Running", late: "Stopped" })
      assert.isTrue(yield* lab.machine.sessionHasComms(A))
    })
}, { config: { drainIdleTimeout: Duration.seconds(31) } })

row("a persistent host waits without limit for the next input", {
  given: draining,
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      yield* lab.advance("1 hour")
      yield* mailbox.send(peer(1))
      yield* lab.settle
    }),
  then: (lab) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* phaseOf(lab), "Running")
      assert.deepStrictEqual(yield* queueOf(lab), idsOf(1))
    })
}, { config: { drainIdleTimeout: Duration.seconds(31) } })

row("a receipt has a completion while its input is open and no completion once it has ended", {
  given: (lab) =>
    Effect.gen(function*() {
      const waits: Array<boolean> = []
      const mailbox = yield* CommsRuntimeMailbox.make({
        onReceipt: (_, receipt) =>
          Effect.sync(() => {
            waits.push(receipt._tag === "Admitted" && Option.isSome(receipt.completion))
          })
      })
      yield* lab.machine.registerSession(A)
      yield* update(lab, mailbox)
      return { mailbox, waits }
    }),
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      yield* mailbox.send(peer(1))
      yield* mailbox.send(peer(2, progress))
      yield* lab.settle
    }),
  then: (_lab, _, { waits }) => Effect.sync(() => assert.deepStrictEqual(waits, [true, false]))
})

row("a drain cannot wait for itself, but can abort itself", {
  given: ({ machine }) => machine.registerSession(A),
  when: (lab) =>
    Effect.gen(function*() {
      const answers: Array<string> = []
      const once = Effect.suspend(() =>
        Effect.map(failing(lab.machine.waitCommsDrain(A)), (said) => answers.push(said))
      )
      yield* update(lab, {
        next: once.pipe(Effect.zipRight(Effect.orDie(lab.machine.abortCommsDrain(A))), Effect.zipRight(Effect.never)),
        confirm: () => Effect.void
      })
      yield* lab.settle
      return answers
    }),
  then: (lab, answers) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(answers, ["ValidationFailed"])
      assert.strictEqual(yield* phaseOf(lab), "Stopped")
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("a drain that ignores interruption is abandoned and can no longer admit inputs", {
  given: (lab) =>
    Effect.gen(function*() {
      const latch = yield* lab.latch
      const reached = yield* lab.latch
      const stubborn = Effect.uninterruptible(Effect.zipRight(reached.open, latch.await))
      const confirmed: Array<string> = []
      yield* lab.machine.registerSession(A)
      yield* update(lab, {
        next: Effect.as(stubborn, Option.some(peer(1))),
        confirm: (input) => Effect.sync(() => void confirmed.push(input.header.id))
      })
      yield* reached.await
      return { latch, confirmed }
    }),
  when: (lab, { latch }) =>
    Effect.gen(function*() {
      const gone = yield* Effect.fork(lab.machine.unregisterSession(A))
      yield* lab.settle
      const waits = gone.unsafePoll() === null
      yield* lab.advance("31 seconds")
      const report = yield* Fiber.join(gone)
      yield* latch.open
      yield* lab.settle
      return { waits, forced: report.forced, fibers: yield* lab.machine.fiberCount }
    }),
  then: (lab, outcome, { confirmed }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, { waits: true, forced: true, fibers: 0 })
      assert.deepStrictEqual(confirmed, [])
      yield* lab.machine.registerSession(A)
      assert.deepStrictEqual(yield* queueOf(lab), [])
    })
}, { config: { teardownTimeout: Duration.seconds(10) }, abandons: 1 })

const aborts: Readonly<Record<string, (lab: Lab) => Effect.Effect<unknown, RuntimeDriverError>>> = {
  abortCommsDrain: (lab) => lab.machine.abortCommsDrain(A),
  abortCommsDrains: (lab) => lab.machine.abortCommsDrains,
  updatePeerIngressContext: (lab) => update(lab, undefined, false)
}

for (const [name, abort] of Object.entries(aborts)) {
  row(`${name} can be interrupted while a drain ignores its interruption, and the drain still ends`, {
    given: (lab) =>
      Effect.gen(function*() {
        const latch = yield* lab.latch
        const reached = yield* lab.latch
        const left = yield* lab.latch
        const stubborn = Effect.uninterruptible(Effect.zipRight(reached.open, latch.await))
        yield* lab.machine.registerSession(A)
        yield* update(lab, broken(Effect.ensuring(Effect.zipRight(stubborn, Effect.never), left.open)))
        yield* reached.await
        return { latch, left }
      }),
    when: (lab, { latch, left }) =>
      Effect.gen(function*() {
        const caller = yield* Effect.fork(abort(lab))
        yield* lab.settle
        const waits = caller.unsafePoll() === null
        const givenUp = yield* Effect.fork(Fiber.interrupt(caller))
        yield* lab.settle
        const free = givenUp.unsafePoll() !== null
        yield* latch.open
        yield* left.await
        return { waits, free, phase: yield* phaseOf(lab) }
      }),
    then: (_, outcome) =>
      Effect.sync(() => assert.deepStrictEqual(outcome, { waits: true, free: true, phase: "Stopped" }))
  })
}

row("abortCommsDrain changes nothing without a drain, and destroying a session ends its drain", {
  given: draining,
  when: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(B)
      yield* lab.machine.abortCommsDrain(B)
      yield* lab.machine.notifyCommsDrainExited(B, "failed")
      const unused = yield* lab.machine.sessionHasComms(B)
      yield* lab.machine.destroyRuntime(A)
      const notified = yield* failing(lab.machine.notifyCommsDrainExited(A, "failed"))
      return { unused, notified, updated: yield* failing(update(lab, broken(Effect.never))) }
    }),
  then: (lab, outcome) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, { unused: false, notified: "Destroyed", updated: "Destroyed" })
      assert.strictEqual(yield* phaseOf(lab), "Stopped")
      yield* lab.machine.abortCommsDrains
    })
})

row("abortCommsDrains ends every drain, and notifyCommsDrainExited ends a live task", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* draining(lab)
      const { mailbox } = yield* inbox
      yield* lab.machine.registerSession(B)
      yield* lab.machine.updatePeerIngressContext(B, { keepAlive: true, commsRuntime: mailbox })
      return mailbox
    }),
  when: (lab, mailbox) =>
    Effect.gen(function*() {
      yield* lab.machine.abortCommsDrains
      const aborted = [(yield* drainOf(lab)).phase, (yield* drainOf(lab, B)).phase]
      yield* update(lab, mailbox)
      yield* lab.machine.notifyCommsDrainExited(A, "failed")
      yield* lab.settle
      return { aborted, notified: yield* phaseOf(lab), fibers: yield* lab.machine.fiberCount }
    }),
  then: (_, outcome) =>
    Effect.sync(() =>
      assert.deepStrictEqual(outcome, { aborted: ["Stopped", "Stopped"], notified: "ExitedRespawnable", fibers: 0 })
    )
})

row("abortCommsDrains waits for every drain and counts as abandoned only the drain that ignores its interruption", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* draining(lab)
      const latch = yield* lab.latch
      const reached = yield* lab.latch
      yield* lab.machine.registerSession(B)
      const stubborn = Effect.uninterruptible(Effect.zipRight(reached.open, latch.await))
      yield* lab.machine.updatePeerIngressContext(B, {
        keepAlive: true,
        commsRuntime: broken(Effect.zipRight(stubborn, Effect.never))
      })
      yield* reached.await
      return latch
    }),
  when: (lab, latch) =>
    Effect.gen(function*() {
      const all = yield* Effect.fork(lab.machine.abortCommsDrains)
      yield* lab.settle
      const waits = all.unsafePoll() === null
      yield* lab.advance("31 seconds")
      yield* Fiber.join(all)
      yield* latch.open
      return waits
    }),
  then: (lab, waits) =>
    Effect.gen(function*() {
      assert.isTrue(waits)
      assert.deepStrictEqual([yield* phaseOf(lab), (yield* drainOf(lab, B)).phase], ["Stopped", "Stopped"])
    })
}, { config: { teardownTimeout: Duration.seconds(10) }, abandons: 1 })

row("an input that arrives while its session is destroyed stays in the inbox without a receipt", {
  given: draining,
  when: (lab, { mailbox }) =>
    Effect.gen(function*() {
      const write = lab.faults.park("commit")
      const end = yield* Effect.fork(lab.machine.destroyRuntime(A))
      yield* write.reached
      yield* mailbox.send(peer(1))
      yield* lab.settle
      yield* write.release
      yield* Fiber.join(end)
      yield* lab.settle
    }),
  then: (_, __, { mailbox, receipts }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(receipts, [])
      assert.strictEqual(yield* mailbox.size, 1)
    })
})

describe("the drain slot", () => {
  const slots = (mode: DrainMode): ReadonlyArray<DrainSlot> => [
    { _tag: "Inactive" },
    { _tag: "Starting", mode, runtimeId: "c1" },
    { _tag: "Running", mode, runtimeId: "c1" },
    { _tag: "Stopped", mode }
  ]
  const respawnable: DrainSlot = { _tag: "ExitedRespawnable", mode: "persistentHost", runtimeId: "c1" }
  const events = (mode: DrainMode): ReadonlyArray<DrainEvent> => [
    { _tag: "Begin", mode, runtimeId: "c2" },
    { _tag: "Rebind", mode, runtimeId: "c2" },
    { _tag: "Rebind", mode, runtimeId: "c1" },
    { _tag: "Spawned" },
    { _tag: "Exited", reason: "failed" },
    { _tag: "Exited", reason: "idleTimeout" },
    { _tag: "Abort" }
  ]
  const table = (mode: DrainMode, from: ReadonlyArray<DrainSlot>) =>
    from.map((slot) =>
      [
        slot._tag,
        events(mode).map((event) =>
          Either.match(step(slot, event), { onLeft: () => "-", onRight: (to) => to._tag }).slice(0, 4)
        ).join(" ")
      ].join(": ")
    )

  it("steps by its table when the drain is a persistent host", () => {
    assert.deepStrictEqual(table("persistentHost", [...slots("persistentHost"), respawnable]), [
      "Inactive: Star - - - - - -",
      "Starting: - Star - Runn Exit Stop Stop",
      "Running: - Star - - Exit Stop Stop",
      "Stopped: Star - - - - - Stop",
      "ExitedRespawnable: Star - - - - - Stop"
    ])
  })

  it("steps by its table when the drain is timed", () => {
    assert.deepStrictEqual(table("timed", slots("timed")), [
      "Inactive: Star - - - - - -",
      "Starting: - Star - Runn Stop Stop Stop",
      "Running: - Star - - Stop Stop Stop",
      "Stopped: Star - - - - - Stop"
    ])
  })

  it("refuses to rebind a running drain in another mode", () => {
    const slot: DrainSlot = { _tag: "Running", mode: "timed", runtimeId: "c1" }
    assert.isTrue(Either.isLeft(step(slot, { _tag: "Rebind", mode: "persistentHost", runtimeId: "c2" })))
  })
})
