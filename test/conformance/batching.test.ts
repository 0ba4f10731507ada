/** BAT: which queued inputs share a run, and in which order. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Input } from "../../src/domain/Input.js"
import { textOf } from "../../src/domain/Message.js"
import type { TurnMetadata } from "../../src/domain/Turn.js"
import { continuation, flowStep, inputId, message, peer, progress, prompt, silentRequest } from "../support/inputs.js"
import type { World } from "../support/rows.js"
import { attach, row, scripted, settled, sid, until } from "../support/rows.js"

/** Queues all inputs before the loop begins, and checks which inputs each run contains. */
const batches = (world: World, inputs: ReadonlyArray<Input>, expected: ReadonlyArray<ReadonlyArray<number>>) =>
  Effect.gen(function*() {
    const runs = scripted()
    yield* world.machine.registerSession(sid)
    yield* world.machine.setSessionSilentIntents(sid, ["hush"])
    yield* Effect.forEach(inputs, (input) => world.machine.acceptInput(sid, input), { discard: true })
    yield* attach(world, runs)
    yield* until("the last run", Effect.sync(() => runs.turns.length === expected.length))
    yield* settled
    assert.deepStrictEqual(runs.batches(), expected.map((batch) => batch.map(inputId)))
    assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [])
    return runs
  })

const silent = (n: number) => peer(n, silentRequest)

describe("batching", () => {
  row("BAT-01 the loop takes the steer lane first", (world) => batches(world, [prompt(1), continuation(2)], [[2], [1]]))

  row(
    "BAT-02 equal steer inputs share a run",
    (world) => batches(world, [continuation(1), continuation(2), continuation(3)], [[1, 2, 3]])
  )

  row(
    "BAT-03 a steer batch ends before an input of another kind",
    (world) => batches(world, [continuation(1), continuation(2), prompt(3, { handlingMode: "steer" })], [[1, 2], [3]])
  )

  row(
    "BAT-04 silent inputs join the batch of the first prompt, in front of it",
    (world) => batches(world, [silent(1), silent(2), prompt(3), prompt(4)], [[1, 2, 3], [4]])
  )

  row(
    "BAT-06 a batch of driving inputs other than prompts ends before a prompt",
    (world) => batches(world, [peer(1, message), peer(2, message), prompt(3)], [[1, 2], [3]])
  )

  row("BAT-07 a prompt closes its batch", (world) => batches(world, [prompt(1), prompt(2)], [[1], [2]]))

  // A waiting progress input drives no run. It is the context of the next driven batch (D13).
  row(
    "BAT-07 progress inputs wait for the next batch and stand in front of it",
    (world) => batches(world, [peer(1, progress), prompt(2)], [[1, 2]])
  )

  // This situation cannot be built, since the loop never selects members that conflict (D15).
  row("BAT-09 no batch contains members with conflicting settings", (world) =>
    Effect.gen(function*() {
      const settings: ReadonlyArray<readonly [TurnMetadata, TurnMetadata]> = [
        [{ model: "a" }, { model: "b" }],
        [{ provider: "a" }, { provider: "b" }],
        [{ keepAlive: { ttlSeconds: 1, policy: "pinned" } }, { keepAlive: { ttlSeconds: 2, policy: "pinned" } }],
        [{ flowToolOverlay: { a: 1 } }, { flowToolOverlay: { a: 2 } }]
      ]
      const inputs = settings.flatMap(([one, other], n) => [flowStep(2 * n + 1, one), flowStep(2 * n + 2, other)])
      const runs = scripted()
      yield* world.machine.registerSession(sid)
      yield* Effect.forEach(inputs, (input) => world.machine.acceptInput(sid, input), { discard: true })
      yield* attach(world, runs)
      yield* until("all ran", Effect.map(world.machine.listActiveInputs(sid), (open) => open.length === 0))
      settings.forEach((_, n) => {
        const together = runs.batches().some((batch) => [2 * n + 1, 2 * n + 2].every((m) => batch.includes(inputId(m))))
        assert.isFalse(together, `pair ${n} ran in one batch`)
      })
      // The session refused, rolled back and retried no input.
      assert.deepStrictEqual(runs.batches().flat(), inputs.map(({ header }) => header.id))
      assert.deepStrictEqual(new Set(runs.turns.map(({ attempt }) => attempt)), new Set([1]))
    }))

  row("BAT-10 a batch ends before the first member that would conflict", (world) =>
    Effect.gen(function*() {
      const runs = yield* batches(
        world,
        [flowStep(1, { model: "a" }), flowStep(2, { model: "a" }), flowStep(3, { model: "b" }), flowStep(4)],
        [[1, 2], [3, 4]]
      )
      assert.deepStrictEqual(runs.turns.map(({ metadata }) => metadata.model), ["a", "b"])
      assert.deepStrictEqual(runs.turns.map(({ attempt }) => attempt), [1, 1])
    }))

  row("BAT-13 a prompt becomes one user message with the same text", (world) =>
    Effect.gen(function*() {
      const text = "  what \n stands   here "
      const runs = yield* batches(world, [{ _tag: "Prompt", header: prompt(1).header, text }], [[1]])
      const turn = yield* runs.started(1)
      assert.deepStrictEqual(turn.appends.map(({ blocks, role }) => [role, textOf(blocks)]), [["user", text]])
      assert.deepStrictEqual([turn.boundary, turn.contexts], ["run_start", []])
    }))

  row(
    "BAT-18 the lanes hold exactly the queued inputs in admission order after any calls",
    (world) =>
      Effect.gen(function*() {
        yield* world.machine.registerSession(sid)
        let seed = 7
        const draw = (below: number) => {
          seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
          return Math.floor(seed / 65_536) % below
        }
        for (let n = 1; n <= 100; n++) {
          const any = inputId(1 + draw(n))
          switch (draw(8)) {
            case 0:
              yield* Effect.ignore(world.machine.retractInput(sid, any))
              break
            case 1:
              yield* Effect.ignore(world.machine.promoteInput(sid, any))
              break
            case 2:
              yield* world.machine.acceptInput(sid, continuation(n))
              break
            case 3:
              yield* world.machine.acceptInput(sid, peer(n, progress, undefined, { supersessionKey: `${draw(3)}` }))
              break
            case 4:
              yield* world.machine.acceptInputWithoutWake(sid, prompt(n))
              break
            case 5:
              yield* world.machine.recycleRuntime(sid)
              break
            default:
              yield* world.machine.acceptInput(sid, prompt(n))
          }
          const { queue, steer } = yield* world.snapshot
          const lanes = [...queue, ...steer]
          assert.deepStrictEqual(
            lanes.map((_) => _.inputId).toSorted(),
            (yield* world.machine.listActiveInputs(sid)).toSorted()
          )
          for (const lane of [queue, steer]) {
            const order = lane.map(({ admissionSeq }) => admissionSeq)
            assert.deepStrictEqual(order, order.toSorted((a, b) => a - b))
          }
          assert.isTrue(lanes.every(({ phase }) => phase === "queued"))
          assert.isTrue(queue.every(({ lane }) => lane === "queue") && steer.every(({ lane }) => lane === "steer"))
        }
        assert.isAbove((yield* world.snapshot).queue.length, 5)
      }),
    { seeds: 1 }
  )
})
