import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { defaults } from "../../services/MeerkatMachineConfig.js"
import type { Input } from "../../src/domain/Input.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { TurnMetadata } from "../../src/domain/Turn.js"
import * as Metadata from "../../src/kernel/metadata.js"
import { primitive } from "../../src/kernel/primitive.js"
import { charged, drives, isVisible, lead, selectBatch } from "../../src/kernel/selection.js"
import * as In from "../support/inputs.js"

const now = 100

const makers: ReadonlyArray<(n: number, model: TurnMetadata) => Input> = [
  (n, model) => In.prompt(n, model),
  (n, model) => In.prompt(n, { ...model, handlingMode: "steer" }),
  (n, model) => In.flowStep(n, model),
  (n, model) => In.flowStep(n, { ...model, handlingMode: "steer" }),
  (n) => In.event(n),
  (n) => In.event(n, "steer", { class: "external_event", salience: n % 2 === 0 ? "normal" : "urgent" }),
  (n) => In.peer(n, In.message),
  (n) => In.peer(n, In.silentRequest),
  (n) => In.peer(n, In.progress),
  (n) => In.peer(n, In.terminal),
  (n) => In.peer(n, In.terminal, "steer"),
  (n) => In.continuation(n),
  (n) => In.continuation(n, "queue")
]

const facts = FastCheck.record({
  make: FastCheck.constantFrom(...makers),
  model: FastCheck.constantFrom<TurnMetadata>({}, { model: "a" }, { model: "b" }),
  withoutWake: FastCheck.boolean(),
  busy: FastCheck.boolean(),
  solo: FastCheck.integer({ min: 0, max: 5 }).map((n) => n === 0),
  notBefore: FastCheck.constantFrom(null, null, null, now, now + 1),
  promoted: FastCheck.integer({ min: 0, max: 5 }).map((n) => n === 0),
  staged: FastCheck.integer({ min: 0, max: 9 }).map((n) => n === 0)
})

const records = FastCheck.array(facts, { maxLength: 14 }).map((list) =>
  list.map(({ busy, make, model, notBefore, promoted, solo, staged, withoutWake }, n) =>
    In.record(
      make(n, model),
      {
        solo,
        ...(notBefore === null ? {} : { notBefore }),
        ...(promoted ? { lane: "steer" as const } : {}),
        ...(staged ? { status: { type: "staged" as const, runId: In.runId(1) } } : {})
      },
      { busy, withoutWake }
    )
  )
)

const lifecycle = FastCheck.constantFrom("attached" as const, "retired" as const)

const isSelectable = (record: InputRecord) => record.status.type === "queued" && isVisible(record, now)

const merged = (batch: ReadonlyArray<InputRecord>) =>
  batch.reduce<Either.Either<TurnMetadata, string>>(
    (metadata, record) => Either.flatMap(metadata, (sum) => Metadata.merge(sum, Metadata.memberMetadata(record))),
    Either.right(Metadata.none)
  )

const sorted = (list: ReadonlyArray<InputRecord>) => [...list].sort((a, b) => a.admissionSeq - b.admissionSeq)

const check = (
  predicate: (list: ReadonlyArray<InputRecord>, batch: ReadonlyArray<InputRecord>, retired: boolean) => void
) =>
  FastCheck.assert(
    FastCheck.property(records, lifecycle, (list, phase) => {
      predicate(list, selectBatch(In.sessionWith(list, phase), now, defaults, "alone"), phase === "retired")
    }),
    { numRuns: 2_000 }
  )

describe("batch properties", () => {
  it("a batch is selected exactly when a visible input drives", () => {
    check((list, batch, retired) => {
      const some = list.some((record) => isSelectable(record) && drives(record, retired))
      expect(batch.length > 0).toBe(some)
      expect(batch.every(isSelectable)).toBe(true)
      expect(new Set(batch).size).toBe(batch.length)
    })
  })

  it("7: a batch is a prefix of its lane, except for riders with conflicting metadata", () => {
    check((list, batch, retired) => {
      for (const lane of ["queue", "steer"] as const) {
        const members = batch.filter((record) => record.lane === lane)
        expect(members).toEqual(sorted(members))
        const last = members[members.length - 1]
        const skipped = list.filter((record) =>
          isSelectable(record) && record.lane === lane && last !== undefined &&
          record.admissionSeq < last.admissionSeq && !members.includes(record)
        )
        for (const record of skipped) {
          expect(drives(record, retired)).toBe(false)
          expect(Either.isLeft(merged([...batch, record]))).toBe(true)
        }
      }
    })
  })

  it("7: driving members agree, metadata never conflicts, and a prompt of the queue lane is last", () => {
    check((_, batch, retired) => {
      const steers = batch.some((record) => record.lane === "steer" && drives(record, retired))
      const stamps = batch.filter((record) => drives(record, retired)).map(({ semantics }) =>
        [semantics.executionKind, semantics.terminalIntent, steers ? semantics.boundary : ""].join()
      )
      expect(new Set(stamps).size).toBeLessThanOrEqual(1)
      expect(Either.isRight(merged(batch))).toBe(true)
      expect(!steers && batch.slice(0, -1).some(({ kind }) => kind === "prompt")).toBe(false)
    })
  })

  it("8: no batch of the queue lane is selected when a steer input may run", () => {
    check((list, batch, retired) => {
      const steers = list.some((record) => isSelectable(record) && record.lane === "steer" && drives(record, retired))
      expect(steers && batch.some(({ lane }) => lane === "queue")).toBe(false)
    })
  })

  it("an input is the only driving member when it must be retried alone", () => {
    check((_, batch, retired) => {
      const driving = batch.filter((record) => drives(record, retired))
      expect(driving.some(({ solo }) => solo) && driving.length > 1).toBe(false)
    })
  })

  it("a batch has a lead and a charged input, and its turn has the semantics of the lead", () => {
    check((_, batch, retired) => {
      const turn = primitive(batch)
      const first = lead(batch)
      expect(charged(batch, retired).length > 0).toBe(batch.length > 0)
      expect(turn.inputIds).toEqual(batch.map(({ inputId }) => inputId))
      expect(Either.getOrNull(merged(batch))).toEqual(turn.metadata)
      if (first !== undefined) {
        expect(turn).toMatchObject(first.semantics)
      }
      if (turn.terminalIntent !== undefined) {
        expect([turn.appends.length, turn.contexts.length > 0]).toEqual([0, true])
      }
    })
  })

  it("9: all driving inputs of a lane are staged, in admission order", () => {
    FastCheck.assert(
      FastCheck.property(records, lifecycle, (list, phase) => {
        const retired = phase === "retired"
        const taken: Array<InputRecord> = []
        const left = () => list.filter((record) => !taken.includes(record))
        for (let n = 0; n <= list.length; n++) {
          taken.push(...selectBatch(In.sessionWith(left(), phase), now, defaults, "alone"))
        }
        const driving = (lane: string) => taken.filter((record) => record.lane === lane && drives(record, retired))
        expect(driving("queue")).toEqual(sorted(driving("queue")))
        expect(driving("steer")).toEqual(sorted(driving("steer")))
        expect(left().filter((record) => isSelectable(record) && drives(record, retired))).toEqual([])
        expect(retired && left().some(isSelectable)).toBe(false)
      }),
      { numRuns: 1_000 }
    )
  })
})
