/** The clearances of inputs after their process died: which runs may overlap, and how a suspect is staged. */
import { assert, describe, it } from "@effect/vitest"
import { defaults } from "../../services/MeerkatMachineConfig.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"
import { isHard } from "../../src/kernel/round.js"
import { selectBatch } from "../../src/kernel/selection.js"
import * as Suspicion from "../../src/kernel/suspicion.js"
import * as In from "../support/inputs.js"
import { attaching, imageWith, opened, play, recordOf, staging } from "../support/kernel.js"
import { decide } from "../support/operations.js"

const crashed = (record: InputRecord, crashes: number): InputRecord => ({
  ...record,
  attempts: crashes,
  crashed: crashes
})
const prompt = (n: number, crashes = 0) => crashed(In.record(In.prompt(n)), crashes)
const message = (n: number, crashes = 0) => crashed(In.record(In.peer(n, In.message)), crashes)
const silent = (n: number, crashes = 0) => crashed(In.record(In.peer(n, In.silentRequest)), crashes)
const heldPrompt = (n: number, crashes = 0) => crashed(In.record(In.prompt(n), { hold: true }), crashes)
const steered = (n: number, crashes = 0) => crashed(In.record(In.prompt(n, { handlingMode: "steer" })), crashes)

const batch = (
  records: ReadonlyArray<InputRecord>,
  clearance: Clearance,
  lifecycle: "attached" | "retired" = "attached"
) => selectBatch(In.sessionWith(records, lifecycle), 0, defaults, clearance).map(({ admissionSeq }) => admissionSeq)

describe("suspicion", () => {
  it("an input is a suspect when its next charge would use up the budget, but never without a charge", () => {
    const suspects = (crashBudget: number) =>
      [0, 1, 2, 3].filter((crashes) => Suspicion.isSuspect({ crashed: crashes }, { crashBudget }))
    assert.deepStrictEqual([0, 1, 2, 3, 4].map(suspects), [[1, 2, 3], [1, 2, 3], [1, 2, 3], [2, 3], [3]])
  })

  it("a batch needs the widest clearance of its members", () => {
    const of = (...crashes: ReadonlyArray<number>) =>
      Suspicion.clearanceOfBatch(crashes.map((count) => ({ crashed: count })), defaults)
    assert.deepStrictEqual([of(), of(0, 0), of(0, 1), of(1, 2, 0)], ["none", "none", "shared", "alone"])
  })

  it("selection passes over an input when the clearance is too narrow, and keeps its place", () => {
    const queue = [prompt(1, 2), prompt(2, 1), prompt(3)]
    assert.deepStrictEqual([batch(queue, "none"), batch(queue, "shared"), batch(queue, "alone")], [[3], [2], [1]])
    const steer = [steered(1, 2), steered(2)]
    assert.deepStrictEqual([batch(steer, "none"), batch(steer, "alone")], [[2], [1]])
  })

  it("a suspect is the only member of its batch when others would ride along or follow", () => {
    assert.deepStrictEqual(batch([silent(1), message(2, 2), message(3)], "alone"), [2])
    assert.deepStrictEqual(batch([silent(1), message(2, 1), message(3)], "alone"), [1, 2, 3])
    assert.deepStrictEqual(batch([silent(1), message(2, 2), message(3)], "alone", "retired"), [1])
    assert.deepStrictEqual(batch([steered(1), steered(2, 2), steered(3)], "alone"), [1])
  })

  it("a suspect never rides along, and a held prompt runs by itself", () => {
    assert.deepStrictEqual(batch([silent(1, 2), silent(2), message(3)], "alone"), [2, 3])
    assert.deepStrictEqual(batch([silent(1), heldPrompt(2, 2), prompt(3)], "alone"), [2])
    assert.deepStrictEqual(batch([silent(1), heldPrompt(2, 2), prompt(3)], "none"), [1, 3])
  })

  it("staging marks a suspect as alone in a hard commit, and no other input", () => {
    const rows = [prompt(1, 2), prompt(2, 1)]
    const attached = play(opened(imageWith(rows)).state, ...attaching)
    const alone = decide(attached, staging(1, "alone"))
    assert.deepStrictEqual(recordOf(alone.state, 1)?.status, { type: "staged", runId: In.runId(1), alone: true })
    assert.isTrue(isHard(alone.emits))
    const shared = decide(attached, staging(1, "shared"))
    assert.deepStrictEqual(recordOf(shared.state, 2)?.status, { type: "staged", runId: In.runId(1) })
    assert.isTrue(isHard(shared.emits))
    assert.isNull(decide(attached, staging(1, "none")).reply)
  })
})
