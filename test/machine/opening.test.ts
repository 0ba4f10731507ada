/** The opening of a session: an interrupted or failed opening leaves nothing open and blocks no later caller. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeLoopLive from "../../layers/RuntimeLoopLive.js"
import type { SessionAuthority } from "../../services/MachineAuthority.js"
import { MachineAuthority } from "../../services/MachineAuthority.js"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreBusy } from "../../src/domain/StoreErrors.js"
import { FaultyStore, LatchedExecutor, Sim } from "../../src/testkit/index.js"
import { authorityOn } from "../support/layers.js"
import { depth } from "../support/worlds.js"

const id = SessionId.make("s")

/** A machine that opens its sessions through `change`. */
const opening = (
  faults: FaultyStore.FaultyStore,
  change: (open: MachineAuthority["Type"]["open"]) => MachineAuthority["Type"]["open"]
) =>
  MeerkatMachineLive.layerNoDeps.pipe(
    Layer.provide(RuntimeLoopLive.layer),
    Layer.provide(Layer.effect(
      MachineAuthority,
      Effect.map(MachineAuthority, (inner) => MachineAuthority.of({ ...inner, open: change(inner.open) }))
    )),
    Layer.provideMerge(authorityOn(faults))
  )

/** A machine that keeps the set of sessions that are open now. */
const counting = (faults: FaultyStore.FaultyStore, open: Set<SessionAuthority>) =>
  opening(faults, (inner) => (sessionId) =>
    Effect.acquireRelease(
      Effect.tap(inner(sessionId), (authority) => Effect.sync(() => open.add(authority))),
      (authority) => Effect.sync(() => open.delete(authority))
    ))

/** A machine whose sessions refuse every binding. */
const unbinding = (faults: FaultyStore.FaultyStore) =>
  opening(faults, (inner) => (sessionId) =>
    Effect.map(inner(sessionId), (authority): SessionAuthority => ({
      ...authority,
      submit: (command, options) =>
        command.name === "prepareBindings"
          ? Effect.fail({
            _tag: "Rejected",
            rejection: { _tag: "NoTransition", command: command.name, state: "stopped" }
          })
          : authority.submit(command, options)
    })))

/** Interrupts the call at its step `cut`, and looks at the machine one second later. */
const interruptedAt = <A, E, F>(
  cut: number,
  preempt: number,
  call: (machine: MeerkatMachineService) => Effect.Effect<unknown, E>,
  look: (machine: MeerkatMachineService, open: ReadonlySet<SessionAuthority>) => Effect.Effect<A, F>,
  before: (machine: MeerkatMachineService) => Effect.Effect<void, F> = () => Effect.void
) => {
  const open = new Set<SessionAuthority>()
  let steps = 0
  let target: Fiber.RuntimeFiber<unknown, unknown> | null = null
  const world = Effect.gen(function*() {
    const faults = yield* FaultyStore.make
    return yield* Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* before(machine)
      target = yield* Effect.fork(call(machine))
      yield* Fiber.await(target)
      yield* Effect.sleep("1 second")
      return yield* look(machine, open)
    }).pipe(Effect.provide(counting(faults, open)))
  })
  const check = () => {
    if (target !== null && target.unsafePoll() === null && ++steps === cut) target.unsafeInterruptAsFork(target.id())
    return null
  }
  return Sim.run(world, { seed: cut, preempt, check }).exit
}

/** Asserts the same exit for each step of the interruption and each schedule; a short run takes every fourth step. */
const wherever = <A>(
  preempts: ReadonlyArray<number>,
  cuts: number,
  expected: A,
  exitAt: (cut: number, preempt: number) => Exit.Exit<A, unknown> | null
): void => {
  for (const preempt of preempts) {
    for (let cut = 1; cut < cuts; cut += depth(4, 1)) {
      assert.deepStrictEqual(exitAt(cut, preempt), Exit.succeed(expected), `cut at ${cut}, preempt ${preempt}`)
    }
  }
}

describe("an opening", () => {
  it("releases what it opened when its caller is interrupted at any step", () => {
    wherever([0, 1], 40, true, (cut, preempt) =>
      interruptedAt(
        cut,
        preempt,
        (machine) => machine.registerSession(id),
        (machine, open) => Effect.map(machine.containsSession(id), (contained) => open.size === (contained ? 1 : 0))
      ))
  })

  // regression: a session without an executor stayed open when the caller did not repeat its call
  it("for an executor leaves no session without one when its caller is interrupted at any step", () => {
    wherever([0.1, 0.5], 90, true, (cut, preempt) =>
      interruptedAt(
        cut,
        preempt,
        (machine) =>
          Effect.flatMap(LatchedExecutor.make(), ({ executor }) => machine.ensureSessionWithExecutor(id, executor)),
        (machine) =>
          Effect.zipWith(
            machine.containsSession(id),
            machine.sessionHasExecutor(id),
            (there, attached) => there === attached
          )
      ))
  })

  it("for bindings leaves no session without them when its caller is interrupted at any step", () => {
    wherever([0.1], 40, true, (cut, preempt) =>
      interruptedAt(
        cut,
        preempt,
        (machine) => machine.prepareBindings(id),
        (machine, open) =>
          Effect.map(machine.containsSession(id), (there) =>
            open.size === (there ? 1 : 0) &&
            Array.from(open).every((authority) => authority.unsafeState().binding !== null))
      ))
  })

  it("continues for a second caller when the first caller is interrupted", () => {
    const ask = (machine: MeerkatMachineService) =>
      Effect.map(Effect.timeout(machine.session(id).ask("hello"), "1 minute"), ({ text }) => text)
    wherever([0.1, 0.2], 40, "answer 1", (cut, preempt) =>
      interruptedAt(
        cut,
        preempt,
        (machine) => machine.prepareBindings(id),
        ask,
        (machine) =>
          LatchedExecutor.make().pipe(
            Effect.flatMap(({ executor }) => machine.ensureSessionWithExecutor(id, executor)),
            Effect.orDie,
            Effect.forkDaemon,
            Effect.asVoid
          )
      ))
  })

  it("continues for a second caller when the binding of the first caller is refused", () => {
    const world = Effect.gen(function*() {
      const faults = yield* FaultyStore.make
      return yield* Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const { executor } = yield* LatchedExecutor.make()
        const { reached, release } = faults.park("openRuntime")
        const first = yield* Effect.fork(Effect.flip(machine.prepareBindings(id)))
        yield* reached
        const second = yield* Effect.fork(machine.ensureSessionWithExecutor(id, executor))
        yield* Effect.yieldNow()
        yield* release
        const told = yield* Fiber.join(first)
        return [told._tag, yield* Fiber.join(second), (yield* machine.session(id).ask("hello")).text]
      }).pipe(Effect.provide(unbinding(faults)))
    })
    const { exit } = Sim.run(world, { seed: 0, preempt: 0 })
    assert.deepStrictEqual(exit, Exit.succeed(["NotReady", "attached", "answer 1"]))
  })

  it("for bindings removes its session when the binding is refused", () => {
    const world = Effect.gen(function*() {
      const faults = yield* FaultyStore.make
      return yield* Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const told = yield* Effect.flip(machine.prepareBindings(id))
        return [told._tag, yield* machine.containsSession(id)]
      }).pipe(Effect.provide(unbinding(faults)))
    })
    const { exit } = Sim.run(world, { seed: 0, preempt: 0 })
    assert.deepStrictEqual(exit, Exit.succeed(["NotReady", false]))
  })

  it("of an attachment does not block the next caller when its caller is interrupted", () => {
    const next = (machine: MeerkatMachineService) =>
      Effect.gen(function*() {
        const { executor } = yield* LatchedExecutor.make()
        yield* machine.ensureSessionWithExecutor(id, executor)
        return (yield* machine.session(id).ask("hello")).text
      }).pipe(Effect.timeout("1 minute"))
    wherever([0.1, 1], 60, "answer 1", (cut, preempt) =>
      interruptedAt(
        cut,
        preempt,
        (machine) =>
          Effect.flatMap(
            LatchedExecutor.make(),
            ({ executor }) => machine.ensureSessionWithExecutorFactory(id, Effect.as(Effect.yieldNow(), executor))
          ),
        next,
        (machine) => machine.registerSession(id)
      ))
  })

  it("can be repeated at once when it failed", () => {
    const world = Effect.gen(function*() {
      const faults = yield* FaultyStore.make
      return yield* Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        faults.failOpen(new StoreBusy({ operation: "open", waitedMs: 0 }))
        const told = yield* Effect.flip(machine.registerSession(id))
        yield* machine.registerSession(id)
        return told._tag
      }).pipe(Effect.provide(Layer.provide(MeerkatMachineLive.layer, authorityOn(faults))))
    })
    for (const preempt of [0, 0.1, 1]) {
      for (let seed = 0; seed < depth(5, 20); seed++) {
        const { exit } = Sim.run(world, { seed, preempt })
        assert.deepStrictEqual(exit, Exit.succeed("Internal"), `seed ${seed}, preempt ${preempt}`)
      }
    }
  })
})
