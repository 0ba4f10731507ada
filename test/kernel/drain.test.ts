/** The drain slot and its invariants. */
import { assert, describe, it } from "@effect/vitest"
import type { DrainSlot, DrainState, PeerIngressOwner } from "../../src/domain/DrainSlot.js"
import { drainViolations, step } from "../../src/kernel/drain.js"

const runtimeId = "r"
const mode = "persistentHost"
const slots: Record<DrainSlot["_tag"], DrainSlot> = {
  Inactive: { _tag: "Inactive" },
  Starting: { _tag: "Starting", mode, runtimeId },
  Running: { _tag: "Running", mode, runtimeId },
  ExitedRespawnable: { _tag: "ExitedRespawnable", mode, runtimeId },
  Stopped: { _tag: "Stopped", mode }
}
const owner: PeerIngressOwner = { _tag: "SessionOwned", runtimeId }
const broken = (state: DrainState, live: boolean) => drainViolations(state, live).map(({ id }) => id)

describe("the drain slot", () => {
  it("has a task and an owner exactly while it is starting or running", () => {
    for (const slot of Object.values(slots)) {
      const active = slot._tag === "Starting" || slot._tag === "Running"
      assert.deepStrictEqual(broken({ slot, owner }, active), [], slot._tag)
      assert.deepStrictEqual(broken({ slot, owner }, !active), ["S11"], slot._tag)
      assert.deepStrictEqual(broken({ slot, owner: { _tag: "Unattached" } }, active), active ? ["S11"] : [], slot._tag)
    }
  })

  it("begins only while inactive and rebinds only while active", () => {
    const begin = { _tag: "Begin", mode, runtimeId } as const
    const rebind = { _tag: "Rebind", mode, runtimeId: "other" } as const
    for (const slot of Object.values(slots)) {
      const active = slot._tag === "Starting" || slot._tag === "Running"
      assert.strictEqual(step(slot, begin)._tag, active ? "Left" : "Right", slot._tag)
      assert.strictEqual(step(slot, rebind)._tag, active ? "Right" : "Left", slot._tag)
      assert.strictEqual(step(slot, { ...rebind, runtimeId })._tag, "Left", slot._tag)
    }
  })
})
