/** Races of drains with each other and with their senders: DRN-14 and the rows from DRN-17 on. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import { inputId, peer } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, row, snapshotOf } from "./driver.js"

const drainOf = (lab: Lab) => Effect.map(snapshotOf(lab, A), ({ drain }) => drain)

const registered = (lab: Lab) => Effect.zipRight(lab.machine.registerSession(A), CommsRuntimeMailbox.make())

row("DRN-14 one of several concurrent updates spawns, and one drain runs", {
  given: registered,
  when: (lab, inbox) =>
    Effect.gen(function*() {
      const { comms } = lab.machine.session(A)
      yield* Effect.forEach([1, 2, 3], (n) => inbox.send(peer(n)))
      const spawned = yield* Effect.forEach([1, 2, 3, 4], () => comms.attach(inbox), { concurrency: "unbounded" })
      yield* lab.settle
      return spawned
    }),
  then: (lab, spawned) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(spawned.filter((one) => one), [true])
      assert.isTrue((yield* drainOf(lab)).taskLive)
      assert.strictEqual(yield* lab.machine.fiberCount, 1)
      assert.deepStrictEqual(yield* lab.machine.listActiveInputs(A), [1, 2, 3].map(inputId))
    })
})

row("DRN-17 another mob may claim an inbox as soon as its owner releases it", {
  given: (lab) =>
    Effect.gen(function*() {
      const inbox = yield* registered(lab)
      yield* lab.machine.updatePeerIngressContext(A, { keepAlive: true, commsRuntime: inbox, mobId: "one" })
      return inbox
    }),
  when: (lab, inbox) =>
    Effect.gen(function*() {
      const { comms } = lab.machine.session(A)
      yield* comms.detach
      const owner = yield* comms.owner
      const claimed = yield* comms.attach(inbox, { mobId: "two" })
      yield* inbox.send(peer(1))
      yield* lab.settle
      return { owner, claimed }
    }),
  then: (lab, { claimed, owner }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([owner._tag, claimed], ["Unattached", true])
      const now = (yield* drainOf(lab)).owner
      assert.strictEqual(now._tag === "MobOwned" && now.mobId, "two")
      assert.deepStrictEqual(yield* lab.machine.listActiveInputs(A), [inputId(1)])
    })
})

row("DRN-18 an abort beside an update leaves a running drain or a stopped one", {
  given: registered,
  when: (lab, inbox) =>
    Effect.gen(function*() {
      const { comms } = lab.machine.session(A)
      yield* comms.attach(inbox)
      const aborted = yield* Effect.fork(comms.abort)
      const attached = yield* comms.attach(inbox)
      yield* Fiber.join(aborted)
      yield* lab.settle
      return attached
    }),
  then: (lab, attached) =>
    Effect.gen(function*() {
      const { phase, taskLive } = yield* drainOf(lab)
      // Either the abort came first and the session drains again, or it came last and ended the drain.
      assert.deepStrictEqual([phase, taskLive], attached ? ["Running", true] : ["Stopped", false])
    })
})

row("DRN-20 a drain that begins to wait misses no input that arrives at the same moment", {
  given: (lab) => Effect.tap(registered(lab), (inbox) => lab.machine.session(A).comms.attach(inbox)),
  when: (lab, inbox) =>
    Effect.gen(function*() {
      const numbers = Array.from({ length: 12 }, (_, at) => at + 1)
      // The senders do not wait for each other. Some of them meet the drain between its look and its wait.
      yield* Effect.forEach(
        [0, 1, 2],
        (sender) =>
          Effect.forEach(
            numbers.filter((n) => n % 3 === sender),
            (n) => Effect.zipRight(Effect.yieldNow(), inbox.send(peer(n))),
            { discard: true }
          ),
        { concurrency: "unbounded", discard: true }
      )
      yield* lab.settle
      return numbers
    }),
  then: (lab, numbers, inbox) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* inbox.size, 0)
      const admitted = yield* lab.machine.listActiveInputs(A)
      assert.sameMembers(admitted.slice(), numbers.map(inputId))
      for (const sender of [0, 1, 2]) {
        const own = numbers.filter((n) => n % 3 === sender).map(inputId)
        assert.deepStrictEqual(admitted.filter((id) => own.includes(id)), own)
      }
    })
})
