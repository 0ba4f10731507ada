import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import { Cell } from "../../layers/internal/cell.js"
import type { Attachment, AttachmentPhase, Closed, EntryState } from "../../layers/internal/entryState.js"
import * as T from "../../layers/internal/transitions.js"
import type { UnregisterReport } from "../../services/MeerkatMachine.js"
import type { LoopEnd } from "../../services/RuntimeLoop.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { runId } from "../support/inputs.js"

// --- a small world: the state of an entry, and the attachment that an executor was made for ---

interface World {
  readonly state: EntryState
  readonly phase: AttachmentPhase
}

const begin: World = { state: T.initial, phase: T.launched }

const claimDone = Deferred.unsafeMake<void>(FiberId.none)
const detachDone = Deferred.unsafeMake<void>(FiberId.none)
const result = (): Closed => Deferred.unsafeMake<UnregisterReport, RuntimeDriverError>(FiberId.none)
const results = { unregister: result(), reload: result(), last: result() }

const scope = Effect.runSync(Scope.make())
const loop = Effect.runFork(Effect.succeed<LoopEnd>({ _tag: "Drained" }))
const attachmentOf = (token: number): Attachment => ({
  token,
  scope,
  executor: { apply: () => Effect.never },
  loop,
  phase: new Cell(T.launched)
})
const attachments = [1, 2, 3, 4, 5, 6].map(attachmentOf)

/** The attachment of the token that was claimed last. */
const made = ({ state }: World): Attachment => attachments[Math.max(0, state.tokens - 1)] ?? attachmentOf(state.tokens)

type Event = (world: World) => readonly [answer: unknown, next: World]

const on = <A>(transition: (world: World) => T.Transition<EntryState, A>): Event => (world) => {
  const [answer, state] = transition(world)(world.state)
  return [answer, { ...world, state }]
}
/** A transition of the attached loop's phase; without one nothing happens. */
const onPhase = <A>(transition: T.Transition<AttachmentPhase, A>): Event => (world) => {
  if (T.attachmentOf(world.state) === null) return [false, world]
  const [answer, phase] = transition(world.phase)
  return [answer, { ...world, phase }]
}
const install: Event = (world) => {
  const [answer, state] = T.install(made(world))(world.state)
  return [answer, answer ? { state, phase: T.launched } : world]
}
/** One event after another; the answer is that of the first. */
const all = (...events: ReadonlyArray<Event>): Event => (world) => {
  let answer: unknown = undefined
  let current = world
  events.forEach((event, at) => {
    const [said, next] = event(current)
    if (at === 0) answer = said
    current = next
  })
  return [answer, current]
}

const claim = on(() => T.claim(claimDone))
const beginClose = (done: Closed) => on(() => T.beginClose(done))
const remove = on(() => T.remove)
const seal = on(() => T.seal)

// --- the pairs ---

const events = {
  open: on(() => T.share),
  claim,
  attach: all(claim, install),
  stop: onPhase(T.takeOver("stop")),
  destroy: onPhase(T.takeOver("destroy")),
  unregister: beginClose(results.unregister),
  reload: all(beginClose(results.reload), remove),
  closeLayer: all(beginClose(results.last), seal, remove)
} as const
type Name = keyof typeof events

const named = (done: Closed): string =>
  Object.entries(results).flatMap(([name, known]) => known === done ? [name] : []).join()

const presenceOf = ({ presence }: EntryState): string => {
  switch (presence._tag) {
    case "Open":
      return presence.shared ? "Open(shared)" : "Open"
    case "Closing":
      return `Closing(${named(presence.done)}${presence.sealed ? ", sealed" : ""}${presence.shared ? ", shared" : ""})`
    case "CloseFailed":
      return `CloseFailed(${presence.left === null ? "nothing" : `loop ${presence.left.token}`})`
    case "Removed":
      return `Removed(${named(presence.done)})`
  }
}

const slotOf = ({ state: { slot }, phase }: World): string => {
  switch (slot._tag) {
    case "Free":
      return "Free"
    case "Claimed":
      return `Claimed(${slot.by} ${slot.token})`
    case "Attached":
      return `Attached(${slot.attachment.token}${phase.ending === "none" ? "" : `, ${phase.ending}`})`
  }
}

const shown = (world: World): string => `${presenceOf(world.state)} ${slotOf(world)}`

/** What the second event of each pair finds, after the first one happened to a fresh entry, and to one with a loop. */
const after = (world: World, first: Name, second: Name): string => shown(events[second](events[first](world)[1])[1])

/** Rows: the first event; columns: the second, in the order of `events`. */
const rows = (world: World): Record<Name, ReadonlyArray<string>> => {
  const names: ReadonlyArray<Name> = Object.keys(events).filter((name): name is Name => name in events)
  const row = (first: Name) => names.map((second) => after(world, first, second))
  return {
    open: row("open"),
    claim: row("claim"),
    attach: row("attach"),
    stop: row("stop"),
    destroy: row("destroy"),
    unregister: row("unregister"),
    reload: row("reload"),
    closeLayer: row("closeLayer")
  }
}

const removed = (by: string) => Array.from({ length: 8 }, () => `Removed(${by}) Free`)

describe("a pair of transitions of an entry", () => {
  it("ends in the state of the table when the entry is fresh", () => {
    const untouched = [
      "Open(shared) Free",
      "Open Claimed(attach 1)",
      "Open Attached(1)",
      "Open Free",
      "Open Free",
      "Closing(unregister) Free",
      "Removed(reload) Free",
      "Removed(last) Free"
    ]
    assert.deepStrictEqual(rows(begin), {
      open: [
        "Open(shared) Free",
        "Open(shared) Claimed(attach 1)",
        "Open(shared) Attached(1)",
        "Open(shared) Free",
        "Open(shared) Free",
        "Closing(unregister, shared) Free",
        "Removed(reload) Free",
        "Removed(last) Free"
      ],
      claim: [
        "Open(shared) Claimed(attach 1)",
        "Open Claimed(attach 1)",
        "Open Attached(1)",
        "Open Claimed(attach 1)",
        "Open Claimed(attach 1)",
        "Closing(unregister) Claimed(attach 1)",
        "Removed(reload) Claimed(attach 1)",
        "Removed(last) Claimed(attach 1)"
      ],
      attach: [
        "Open(shared) Attached(1)",
        "Open Attached(1)",
        "Open Attached(1)",
        "Open Attached(1, stop)",
        "Open Attached(1, destroy)",
        "Closing(unregister) Attached(1)",
        "Removed(reload) Free",
        "Removed(last) Free"
      ],
      // without a loop there is nothing to take over: a stop or destroy is a commit alone
      stop: untouched,
      destroy: untouched,
      unregister: [
        "Closing(unregister) Free",
        "Closing(unregister) Free",
        "Closing(unregister) Free",
        "Closing(unregister) Free",
        "Closing(unregister) Free",
        "Closing(unregister) Free",
        // a later teardown joins the first one; the steps of the first decide when the entry is removed
        "Removed(unregister) Free",
        "Removed(unregister) Free"
      ],
      reload: removed("reload"),
      closeLayer: removed("last")
    })
  })

  it("ends in the state of the table when a loop is attached", () => {
    const [, attached] = events.attach(begin)
    assert.deepStrictEqual(rows(attached), {
      open: [
        "Open(shared) Attached(1)",
        "Open(shared) Attached(1)",
        "Open(shared) Attached(1)",
        "Open(shared) Attached(1, stop)",
        "Open(shared) Attached(1, destroy)",
        "Closing(unregister, shared) Attached(1)",
        "Removed(reload) Free",
        "Removed(last) Free"
      ],
      claim: [
        "Open(shared) Attached(1)",
        "Open Attached(1)",
        "Open Attached(1)",
        "Open Attached(1, stop)",
        "Open Attached(1, destroy)",
        "Closing(unregister) Attached(1)",
        "Removed(reload) Free",
        "Removed(last) Free"
      ],
      attach: [
        "Open(shared) Attached(1)",
        "Open Attached(1)",
        "Open Attached(1)",
        "Open Attached(1, stop)",
        "Open Attached(1, destroy)",
        "Closing(unregister) Attached(1)",
        "Removed(reload) Free",
        "Removed(last) Free"
      ],
      stop: [
        "Open(shared) Attached(1, stop)",
        "Open Attached(1, stop)",
        "Open Attached(1, stop)",
        "Open Attached(1, stop)",
        "Open Attached(1, destroy)",
        "Closing(unregister) Attached(1, stop)",
        "Removed(reload) Free",
        "Removed(last) Free"
      ],
      destroy: [
        "Open(shared) Attached(1, destroy)",
        "Open Attached(1, destroy)",
        "Open Attached(1, destroy)",
        "Open Attached(1, destroy)",
        "Open Attached(1, destroy)",
        "Closing(unregister) Attached(1, destroy)",
        "Removed(reload) Free",
        "Removed(last) Free"
      ],
      unregister: [
        "Closing(unregister) Attached(1)",
        "Closing(unregister) Attached(1)",
        "Closing(unregister) Attached(1)",
        "Closing(unregister) Attached(1, stop)",
        "Closing(unregister) Attached(1, destroy)",
        "Closing(unregister) Attached(1)",
        "Removed(unregister) Free",
        "Removed(unregister) Free"
      ],
      reload: removed("reload"),
      closeLayer: removed("last")
    })
  })
})

// --- answers ---

const answer = (world: World, event: Event): unknown => event(world)[0]
const then = (world: World, ...steps: ReadonlyArray<Event>): World =>
  steps.reduce((current, event) => event(current)[1], world)

const failClose = on(() => T.failClose)
const giveBack = on((world) => T.giveBack(made(world)))
const lose = on((world) => T.loseLoop(made(world), detachDone))
const detach = on((world) => T.detach(made(world)))
const releaseAttach = on(() => T.releaseClaim(claimDone))
const releaseDetach = on(() => T.releaseClaim(detachDone))

describe("a transition of an entry", () => {
  it("tells a second call what holds the slot when it claims it", () => {
    const claimed = then(begin, events.claim)
    assert.deepStrictEqual(answer(begin, claim), { _tag: "Claimed", token: 1 })
    assert.deepStrictEqual(answer(claimed, claim), { _tag: "Busy", done: claimDone })
    assert.deepStrictEqual(answer(then(begin, events.attach), claim), { _tag: "Attached" })
    assert.deepStrictEqual(answer(then(begin, events.unregister), claim), { _tag: "NotOpen" })
  })

  it("gives every teardown the result of the first one when several begin", () => {
    const closing = then(begin, events.unregister)
    assert.strictEqual(answer(begin, events.reload), results.reload)
    assert.strictEqual(answer(closing, beginClose(results.last)), results.unregister)
    assert.strictEqual(answer(then(closing, remove), beginClose(results.last)), results.unregister)
  })

  it("keeps the loop of the first failed close when a second close fails", () => {
    const failed = then(begin, events.attach, events.unregister, failClose)
    assert.strictEqual(shown(failed), "CloseFailed(loop 1) Free")
    assert.strictEqual(T.remainingOf(failed.state)?.token, 1)
    const again = then(failed, beginClose(results.last))
    assert.strictEqual(answer(failed, beginClose(results.last)), results.last)
    assert.strictEqual(T.remainingOf(again.state)?.token, 1)
    assert.strictEqual(shown(then(again, seal, failClose)), "CloseFailed(loop 1) Free")
    assert.isFalse(T.isSealed(then(again, seal, failClose).state))
  })

  it("lets an executor in when its claim began before the close, and not after the close has failed or ended", () => {
    const claimed = then(begin, claim, events.unregister)
    assert.isTrue(answer(claimed, install))
    assert.isFalse(answer(then(claimed, failClose), install))
    assert.isFalse(answer(then(claimed, remove), install))
    assert.isTrue(answer(then(claimed, remove), releaseAttach))
  })

  it("leaves a claim alone when its release comes from another claim", () => {
    const lost = then(begin, events.attach, lose)
    assert.strictEqual(shown(lost), "Open Claimed(detach 1)")
    assert.isFalse(answer(lost, releaseAttach))
    assert.isFalse(answer(lost, install))
    assert.strictEqual(shown(then(lost, releaseDetach)), "Open Free")
  })

  it("leaves a later loop alone when an earlier one ends", () => {
    const [first] = attachments
    assert.isDefined(first)
    const second = then(begin, events.attach, giveBack, events.attach)
    assert.strictEqual(shown(second), "Open Attached(2)")
    if (first === undefined) return
    for (const late of [T.detach(first), T.giveBack(first), T.loseLoop(first, detachDone)]) {
      assert.deepStrictEqual(late(second.state), [false, second.state])
    }
  })

  it("takes a loop over once when it is stopped, destroyed or given back", () => {
    const [stopped, phase] = T.takeOver("stop")(T.launched)
    assert.isTrue(stopped)
    assert.deepStrictEqual(T.takeOver("stop")(phase), [false, phase])
    assert.deepStrictEqual(T.takeOver("destroy")(phase), [true, { ...phase, ending: "destroy" }])
    assert.deepStrictEqual(T.markGivenBack(phase), [false, phase])
    const [, given] = T.markGivenBack(T.launched)
    assert.deepStrictEqual(T.takeOver("destroy")(given), [false, given])
  })

  it("gives a loop back to its session when a stop fails, but not when a destroy has it", () => {
    const [, stopped] = T.takeOver("stop")(T.launched)
    assert.deepStrictEqual(T.resumeLoop(stopped), [true, T.launched])
    const [, destroyed] = T.takeOver("destroy")(stopped)
    assert.deepStrictEqual(T.resumeLoop(destroyed), [false, destroyed])
    assert.deepStrictEqual(T.resumeLoop(T.launched), [false, T.launched])
  })

  it("answers the first call of a hook when it is begun twice", () => {
    const [none, phase] = T.beginHook("stopped", claimDone)(T.launched)
    assert.isNull(none)
    assert.deepStrictEqual(T.beginHook("stopped", detachDone)(phase), [claimDone, phase])
    assert.isNull(T.beginHook("cleaned", detachDone)(phase)[0])
  })

  it("forgets a run of a caller when that run leaves, and not when an earlier one does", () => {
    const guest = (n: number) => ({ runId: runId(n), interrupt: () => Effect.void, settled: claimDone })
    const [first, second] = [guest(1), guest(2)]
    const [, state] = T.enterGuest(second)(T.initial)
    assert.deepStrictEqual(T.leaveGuest(first)(state), [false, state])
    assert.isNull(T.leaveGuest(second)(state)[1].guest)
  })

  it("refuses an interrupt handle when an executor is attached, and drops it when one attaches", () => {
    const handle = on(() => T.installHandle(() => Effect.void))
    assert.isFalse(answer(then(begin, events.attach), handle))
    assert.isNull(then(begin, handle, events.attach).state.interruptHandle)
  })
})

// --- every reachable state ---

const steps: ReadonlyArray<readonly [string, Event]> = [
  ...Object.entries(events),
  ["install", install],
  ["releaseAttach", releaseAttach],
  ["releaseDetach", releaseDetach],
  ["giveBack", giveBack],
  ["lose", lose],
  ["detach", detach],
  ["seal", seal],
  ["failClose", failClose],
  ["remove", remove]
]

const violations = ({ state: { presence, slot, tokens } }: World): ReadonlyArray<string> => [
  ...(presence._tag === "Removed" && slot._tag === "Attached" ? ["a removed entry has a loop"] : []),
  ...(presence._tag === "CloseFailed" && slot._tag === "Attached" ? ["a failed entry has a loop in its slot"] : []),
  ...(presence._tag === "Closing" && presence.left !== null && slot._tag === "Attached" ? ["two loops remain"] : []),
  ...(slot._tag === "Attached" && slot.attachment.token > tokens ? ["a loop has a token that was never given"] : [])
]

/** A step backwards: what an entry has lost does not come back. */
const regressions = (before: World, next: World): ReadonlyArray<string> => {
  const [from, to] = [before.state.presence, next.state.presence]
  const order = { Open: 0, Closing: 1, CloseFailed: 1, Removed: 2 }
  return [
    ...(order[to._tag] < order[from._tag] ? [`${from._tag} became ${to._tag}`] : []),
    ...(from._tag === "Removed" && before.state.presence !== next.state.presence ? ["a removed entry changed"] : []),
    ...(from._tag !== "Open" && before.state.slot._tag === "Free" && next.state.slot._tag !== "Free"
      ? ["an entry that is not open gave its slot away"]
      : []),
    ...(next.state.tokens < before.state.tokens ? ["a token came again"] : [])
  ]
}

describe("every reachable state of an entry", () => {
  it("keeps the invariants when any transition comes next", () => {
    const seen = new Map<string, World>([[shown(begin), begin]])
    const queue: Array<World> = [begin]
    for (let world = queue.shift(); world !== undefined; world = queue.shift()) {
      for (const [name, event] of steps) {
        const [, next] = event(world)
        const way = `${shown(world)} --${name}--> ${shown(next)}`
        assert.deepStrictEqual([...violations(next), ...regressions(world, next)], [], way)
        const key = `${shown(next)} ${next.state.tokens} ${T.remainingOf(next.state)?.token ?? "-"}`
        if (next.state.tokens > 3 || seen.has(key)) continue
        seen.set(key, next)
        queue.push(next)
      }
    }
    assert.isAbove(seen.size, 60)
  })

  it("cannot be written with a forbidden combination", () => {
    const done = results.last
    const [attachment] = attachments
    if (attachment === undefined) return
    const forbidden: ReadonlyArray<Partial<EntryState>> = [
      // @ts-expect-error an open entry has no teardown
      { presence: { _tag: "Open", shared: false, done } },
      // @ts-expect-error a removed entry has no loop
      { presence: { _tag: "Removed", done, left: attachment } },
      // @ts-expect-error a failed close has no teardown in progress
      { presence: { _tag: "CloseFailed", left: null, shared: false, done } },
      // @ts-expect-error a free slot has no claim
      { slot: { _tag: "Free", done: claimDone } },
      // @ts-expect-error a claimed slot has no loop
      { slot: { _tag: "Claimed", token: 1, by: "attach", done: claimDone, attachment } }
    ]
    // @ts-expect-error a loop ends for one reason
    const phase: AttachmentPhase = { ...T.launched, ending: "stop destroy" }
    assert.lengthOf(forbidden, 5)
    assert.notStrictEqual(phase, T.launched)
  })
})
