/** The ledger of open inputs: lanes, sequences, keys and coalescing. */
import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as HashMap from "effect/HashMap"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { Ledger as LedgerState } from "../../src/domain/SessionState.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { resolvePolicy } from "../../src/kernel/policy.js"
import { replacedBy } from "../../src/kernel/scope.js"
import * as In from "../support/inputs.js"

const ids = (records: Iterable<InputRecord>) => Array.from(records, ({ admissionSeq }) => admissionSeq)

const stage = (record: InputRecord): InputRecord => ({ ...record, status: { type: "staged", runId: In.runId(1) } })

describe("Ledger", () => {
  it("ING-04: every input is in the lane of its policy, in admission order", () => {
    const inputs = [In.peer(3, In.progress), In.prompt(1), In.continuation(2)]
    const ledger = Ledger.fromRecords(inputs.map((input) => In.record(input)), 0)
    expect(ids(Ledger.lane(ledger, "queue"))).toEqual([1])
    expect(ids(Ledger.lane(ledger, "steer"))).toEqual([2, 3])
    expect(ids(Ledger.all(ledger))).toEqual([1, 2, 3])
    expect([Ledger.nextSeq(ledger), ledger.imageSeq, Ledger.size(ledger)]).toEqual([4, 4, 3])
  })

  it("assigns sequences above the image and above every stored input", () => {
    expect(Ledger.nextSeq(Ledger.empty())).toBe(0)
    expect(Ledger.nextSeq(Ledger.empty(7))).toBe(7)
    expect(Ledger.nextSeq(Ledger.put(Ledger.empty(7), In.record(In.prompt(3))))).toBe(7)
    expect(Ledger.nextSeq(Ledger.put(Ledger.empty(7), In.record(In.prompt(9))))).toBe(10)
    expect(Ledger.put(Ledger.empty(7), In.record(In.prompt(9))).imageSeq).toBe(7)
  })

  it("a staged input is in no lane and returns to its place", () => {
    const [a, b] = [In.record(In.prompt(1)), In.record(In.prompt(2))]
    const ledger = Ledger.fromRecords([a, b], 0)
    const running = Ledger.put(ledger, stage(a))
    expect([ids(Ledger.lane(running, "queue")), ids(Ledger.staged(running))]).toEqual([[2], [1]])
    const back = Ledger.put(running, a)
    expect([ids(Ledger.lane(back, "queue")), ids(Ledger.staged(back))]).toEqual([[1, 2], []])
  })

  it("a promotion changes the lane and keeps the sequence", () => {
    const ledger = Ledger.fromRecords([In.record(In.prompt(1)), In.record(In.continuation(2))], 0)
    const promoted = Ledger.put(ledger, In.record(In.prompt(1), { lane: "steer" }))
    expect([ids(Ledger.lane(promoted, "queue")), ids(Ledger.lane(promoted, "steer"))]).toEqual([[], [1, 2]])
  })

  it("finds the open input of a key", () => {
    const ledger = Ledger.fromRecords([In.record(In.prompt(1, undefined, { idempotencyKey: "k" }))], 0)
    expect(Ledger.ofKey(ledger, "k")?.admissionSeq).toBe(1)
    expect(Ledger.ofKey(Ledger.put(ledger, In.record(In.prompt(1))), "k")).toBeUndefined()
    expect(Ledger.ofKey(Ledger.remove(ledger, In.inputId(1)), "k")).toBeUndefined()
    expect(Ledger.remove(ledger, In.inputId(2))).toBe(ledger)
  })

  it("BAT-18: after any changes the lanes are the queued inputs in admission order", () => {
    const change = FastCheck.record({
      n: FastCheck.nat(40),
      steer: FastCheck.boolean(),
      act: FastCheck.constantFrom("queue", "stage", "remove"),
      key: FastCheck.boolean()
    })
    FastCheck.assert(FastCheck.property(FastCheck.array(change, { maxLength: 200 }), (changes) => {
      let ledger = Ledger.empty()
      const model = new Map<number, InputRecord>()
      for (const { act, key, n, steer } of changes) {
        if (act === "remove") {
          model.delete(n)
          ledger = Ledger.remove(ledger, In.inputId(n))
        } else {
          const input = In.prompt(n, undefined, key ? { idempotencyKey: `k${n}` } : {})
          const queued = In.record(input, { lane: steer ? "steer" : "queue" })
          const next = act === "stage" ? stage(queued) : queued
          model.set(n, next)
          ledger = Ledger.put(ledger, next)
        }
      }
      agrees(ledger, Array.from(model.values()))
    }))
  })

  const agrees = (ledger: LedgerState, model: ReadonlyArray<InputRecord>) => {
    const sorted = [...model].sort((a, b) => a.admissionSeq - b.admissionSeq)
    const queued = sorted.filter(({ status }) => status.type === "queued")
    expect(Ledger.all(ledger)).toEqual(sorted)
    expect(Ledger.lane(ledger, "queue")).toEqual(queued.filter(({ lane }) => lane === "queue"))
    expect(Ledger.lane(ledger, "steer")).toEqual(queued.filter(({ lane }) => lane === "steer"))
    expect(Ledger.laneSize(ledger, "queue") + Ledger.laneSize(ledger, "steer")).toBe(queued.length)
    expect(Ledger.staged(ledger)).toEqual(sorted.filter(({ status }) => status.type === "staged"))
    expect(Ledger.size(ledger)).toBe(model.length)
    const keyed = sorted.filter(({ idempotencyKey }) => idempotencyKey !== undefined)
    expect(HashMap.size(ledger.keys)).toBe(keyed.length)
    expect(keyed.every((record) => Ledger.ofKey(ledger, record.idempotencyKey ?? "") === record)).toBe(true)
  }
})

describe("replacedBy", () => {
  const update = (n: number, supersessionKey?: string) =>
    In.peer(n, In.progress, undefined, supersessionKey === undefined ? {} : { supersessionKey })
  const candidate = (ledger: LedgerState, input: Parameters<typeof replacedBy>[1]) =>
    replacedBy(
      ledger,
      input,
      resolvePolicy({ input, busy: false, silentIntents: [], withoutWake: false })
    )?.admissionSeq

  it("ING-18: returns the first queued progress input of the same key", () => {
    const ledger = Ledger.fromRecords([update(1, "j"), update(2, "k"), update(3, "k")].map((i) => In.record(i)), 0)
    expect(candidate(ledger, update(4, "k"))).toBe(2)
  })

  it("ignores other keys, missing keys, other kinds and staged inputs", () => {
    const ledger = Ledger.fromRecords([
      In.record(update(1, "k"), { status: { type: "staged", runId: In.runId(1) } }),
      In.record(In.event(2, "steer", undefined, { supersessionKey: "k" })),
      In.record(update(3))
    ], 0)
    expect([candidate(ledger, update(4, "k")), candidate(ledger, update(4))]).toEqual([undefined, undefined])
    expect(candidate(ledger, In.event(4, "steer", undefined, { supersessionKey: "k" }))).toBeUndefined()
  })
})
