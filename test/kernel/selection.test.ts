import { describe, expect, it } from "@effect/vitest"
import { defaults } from "../../services/MeerkatMachineConfig.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { TurnMetadata } from "../../src/domain/Turn.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { charged, drives, isQuiescent, lead, nextReadyAt, selectBatch } from "../../src/kernel/selection.js"
import * as In from "../support/inputs.js"

const prompt = (n: number, metadata?: TurnMetadata) => In.record(In.prompt(n, metadata))
const steerPrompt = (n: number) => prompt(n, { handlingMode: "steer" })
const message = (n: number) => In.record(In.peer(n, In.message))
const silent = (n: number) => In.record(In.peer(n, In.silentRequest))
const progress = (n: number) => In.record(In.peer(n, In.progress))
const continuation = (n: number) => In.record(In.continuation(n))
const terminal = (n: number) => In.record(In.peer(n, In.terminal))
const step = (n: number, model: string) => In.record(In.flowStep(n, { model }))
const later = (record: InputRecord, notBefore: number): InputRecord => ({ ...record, notBefore })
const solo = (record: InputRecord): InputRecord => ({ ...record, solo: true })

const numbers = (records: ReadonlyArray<InputRecord>) => records.map(({ admissionSeq }) => admissionSeq)

/** Returns the batches that a loop runs one after another, by admission sequence. */
const batches = (
  records: ReadonlyArray<InputRecord>,
  lifecycle: "attached" | "retired" = "attached",
  now = 0
): ReadonlyArray<ReadonlyArray<number>> => {
  const out: Array<ReadonlyArray<number>> = []
  let left = records
  for (;;) {
    const batch = selectBatch(In.sessionWith(left, lifecycle), now, defaults, "alone")
    if (batch.length === 0) {
      return out
    }
    out.push(numbers(batch))
    left = left.filter(({ inputId }) => batch.every((member) => member.inputId !== inputId))
  }
}

describe("selectBatch", () => {
  it("BAT-01: the steer lane is selected first", () => {
    expect(batches([prompt(1), continuation(2)])).toEqual([[2], [1]])
  })

  it("BAT-02: equal continuations share a run, in admission order", () => {
    expect(batches([continuation(3), continuation(1), continuation(2)])).toEqual([[1, 2, 3]])
  })

  it.each<readonly [string, InputRecord]>([
    ["boundary", In.record(In.continuation(3, "queue"), { lane: "steer" })],
    ["execution kind", steerPrompt(3)],
    ["terminal intent", In.record(In.peer(3, In.terminal, "steer"))]
  ])("BAT-03: a steer input that differs in %s has a batch of its own", (_, other) => {
    expect(batches([continuation(1), continuation(2), other])).toEqual([[1, 2], [3]])
  })

  it("BAT-03: an input that rides along joins a batch of any intent", () => {
    const rider = In.held(In.peer(2, In.terminal))
    expect(batches([message(1), rider, message(3)])[0]).toEqual([1, 2, 3])
    expect(batches([message(1), terminal(2), message(3)])[0]).toEqual([1])
  })

  it("a promoted prompt does not join a batch at a checkpoint, since it starts a run", () => {
    expect(batches([In.record(In.prompt(1), { lane: "steer" }), steerPrompt(2), prompt(3)])).toEqual([[1], [2], [3]])
  })

  it("several steer prompts share a run", () => {
    expect(batches([steerPrompt(1), In.record(In.event(2, "steer")), steerPrompt(3)])).toEqual([[1, 2, 3]])
  })

  it("BAT-04: held inputs become context of the prompt behind them", () => {
    expect(batches([silent(1), silent(2), prompt(3), prompt(4)])).toEqual([[1, 2, 3], [4]])
  })

  it("no batch is selected when no input drives", () => {
    expect(batches([silent(1), progress(2), In.held(In.prompt(3)), In.held(In.continuation(4))])).toEqual([])
  })

  it("BAT-06: a non-prompt driver stops before a prompt", () => {
    expect(batches([message(1), message(2), prompt(3)])).toEqual([[1, 2], [3]])
    expect(batches([message(1), In.held(In.prompt(2)), prompt(3)])).toEqual([[1], [2], [3]])
  })

  it("BAT-07: a prompt closes its batch", () => {
    expect(batches([prompt(1), prompt(2)])).toEqual([[1], [2]])
    expect(batches([prompt(1), message(2), silent(3)])).toEqual([[1], [2, 3]])
  })

  it("BAT-09, BAT-10: the batch ends before the first member whose metadata would conflict", () => {
    expect(batches([step(1, "a"), step(2, "a"), step(3, "b"), message(4)])).toEqual([[1, 2], [3, 4]])
  })

  it("a rider waits for another batch when its metadata conflicts", () => {
    const rider = In.held(In.flowStep(1, { model: "a" }))
    expect(batches([rider, silent(2), prompt(3, { model: "b" }), prompt(4, { model: "a" })])).toEqual([[2, 3], [1, 4]])
  })

  it("ING-26: an input drives the next run when it was accepted during a run", () => {
    expect(batches([In.record(In.prompt(1), {}, { busy: true })])).toEqual([[1]])
  })

  it("progress waits for the next queue batch and comes first in it", () => {
    expect(batches([progress(1), progress(5)])).toEqual([])
    expect(batches([prompt(2), progress(1), progress(5), prompt(6)])).toEqual([[1, 5, 2], [6]])
    expect(batches([terminal(2), progress(1)])).toEqual([[1, 2]])
  })

  it("progress rides along with a steer input of any kind", () => {
    expect(batches([progress(1), steerPrompt(2), progress(3)])).toEqual([[1, 2, 3]])
    expect(batches([progress(1), continuation(2), progress(3), continuation(4)])).toEqual([[1, 2, 3, 4]])
  })

  it("a held prompt runs alone, before the driving inputs behind it", () => {
    const batch = [silent(1), In.held(In.prompt(2)), silent(3), prompt(4)]
    expect(batches(batch)).toEqual([[1, 2], [3, 4]])
    expect(batches([In.held(In.prompt(1, { handlingMode: "steer" })), prompt(2)])).toEqual([[1], [2]])
  })

  it("terminal responses share a run with each other only", () => {
    expect(batches([terminal(1), terminal(2), message(3), terminal(4)])).toEqual([[1, 2], [3], [4]])
  })

  it("resume and content turns do not mix in the queue lane", () => {
    expect(batches([message(1), In.record(In.continuation(2, "queue")), message(3)])).toEqual([[1], [2], [3]])
  })

  it("an input runs alone when it must be retried alone, and held inputs ride with the next batch", () => {
    expect(batches([silent(1), solo(message(2)), solo(message(3)), message(4), message(5)])).toEqual([
      [1, 2],
      [3],
      [4, 5]
    ])
    expect(batches([message(1), solo(message(2))])).toEqual([[1], [2]])
    expect(batches([continuation(1), solo(continuation(2)), continuation(3)])).toEqual([[1], [2], [3]])
  })

  it("an input is skipped and keeps its place when it waits for its retry", () => {
    const queued = [later(prompt(1), 10), prompt(2), later(continuation(3), 10), prompt(4)]
    expect(batches(queued, "attached", 9)).toEqual([[2], [4]])
    expect(batches(queued, "attached", 10)).toEqual([[3], [1], [2], [4]])
  })

  it("LOOP-24: every input drives when the session is retired", () => {
    expect(batches([silent(1), In.held(In.prompt(2)), progress(3), silent(4)], "retired")).toEqual([[3], [1], [2], [4]])
    expect(batches([progress(1), continuation(2)], "retired")).toEqual([[1], [2]])
  })

  const reads = { count: 0 }
  const counted = (record: InputRecord): InputRecord => ({
    ...record,
    get hold() {
      reads.count += 1
      return record.hold
    }
  })

  it("selectBatch reads only the part of a long lane that the batch needs", () => {
    const state = In.sessionWith(Array.from({ length: 10_000 }, (_, index) => counted(prompt(index))))
    reads.count = 0
    expect(numbers(selectBatch(state, 0, defaults, "alone"))).toEqual([0])
    expect(isQuiescent(state)).toBe(false)
    expect(reads.count).toBeLessThan(5)
  })

  it("selectBatch reads no lane without a driving input unless the session is retired", () => {
    const riders = Array.from({ length: 100 }, (_, index) => counted(later(progress(index), 10)))
    const state = In.sessionWith(riders)
    reads.count = 0
    expect([selectBatch(state, 0, defaults, "alone"), nextReadyAt(state, 0), isQuiescent(state)]).toEqual([
      [],
      null,
      true
    ])
    expect(reads.count).toBe(0)
    expect(nextReadyAt(In.sessionWith(riders, "retired"), 0)).toBe(10)
  })
})

describe("lead, charged", () => {
  it("the lead is the first driving member", () => {
    expect(lead([progress(1), silent(2), message(3), message(4)])?.admissionSeq).toBe(3)
    expect(lead([silent(1), In.held(In.prompt(2))])?.admissionSeq).toBe(2)
    expect(lead([])).toBeUndefined()
  })

  it("a failure is charged to driving members, and to a held prompt only when it ran alone", () => {
    expect(numbers(charged([silent(1), message(2), silent(3), message(4)], false))).toEqual([2, 4])
    expect(numbers(charged([silent(1), In.held(In.prompt(2))], false))).toEqual([2])
    expect(numbers(charged([silent(1), silent(2)], true))).toEqual([1, 2])
    expect(charged([], false)).toEqual([])
  })

  it("held and progress inputs drive only when the session is retired", () => {
    expect([silent(1), progress(1), In.held(In.prompt(1))].map((record) => drives(record, false))).toEqual([
      false,
      false,
      false
    ])
    expect([silent(1), progress(1)].every((record) => drives(record, true))).toBe(true)
  })
})

describe("nextReadyAt", () => {
  it("is the earliest retry time of the driving inputs", () => {
    const queued = [later(prompt(1), 30), later(continuation(2), 20), later(silent(3), 10), prompt(4)]
    expect(nextReadyAt(In.sessionWith(queued), 0)).toBe(20)
    expect(nextReadyAt(In.sessionWith(queued), 20)).toBe(30)
    expect(nextReadyAt(In.sessionWith(queued), 30)).toBeNull()
    expect(nextReadyAt(In.sessionWith(queued, "retired"), 0)).toBe(10)
    expect(nextReadyAt(In.sessionWith([prompt(1)]), 0)).toBeNull()
  })
})

describe("isQuiescent", () => {
  it("is true when the session is idle or attached and no driving input is queued", () => {
    const rides = [silent(1), progress(2)]
    expect(isQuiescent(In.sessionWith(rides, "idle"))).toBe(true)
    expect(isQuiescent(In.sessionWith(rides, "attached"))).toBe(true)
    expect(isQuiescent(In.sessionWith([...rides, later(prompt(3), 10)]))).toBe(false)
    for (const lifecycle of ["running", "retired", "stopped", "destroyed"] as const) {
      expect(isQuiescent(In.sessionWith(rides, lifecycle))).toBe(false)
    }
  })

  it("ignores staged inputs", () => {
    const state = In.sessionWith([prompt(1)])
    const running = Ledger.put(state.ledger, { ...prompt(1), status: { type: "staged", runId: In.runId(1) } })
    expect(isQuiescent({ ...state, ledger: running })).toBe(true)
  })
})
