/** How a failed run is classified: retryable or not, and with which text. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as FiberId from "effect/FiberId"
import { ofCause, ofError } from "../../layers/internal/runFailure.js"
import type { ApplyFailureCause, ExecutorError } from "../../src/domain/Errors.js"
import {
  ApplyFailed,
  ControlFailed,
  ExecutorFault,
  ExecutorStopped,
  TerminalFailure,
  TurnCancelled
} from "../../src/domain/Errors.js"

const retryable = (error: ExecutorError) => ofError(error).retryable
const apply = (cause: ApplyFailureCause, parts = {}) => new ApplyFailed({ cause, detail: "x", ...parts })

describe("the classification of a failed run (D10)", () => {
  it("takes retryable from the error, or from its cause when the error does not say", () => {
    assert.isTrue(retryable(apply("RuntimeTurn")))
    assert.isFalse(retryable(apply("RuntimeTurn", { retryable: false })))
    const ends = (causeKind: "llm_failure" | "fatal_failure", parts = {}) =>
      new TerminalFailure({ outcome: "failed", causeKind, detail: "x", ...parts })
    assert.isTrue(retryable(ends("llm_failure")))
    assert.isFalse(retryable(ends("fatal_failure")))
    assert.isTrue(retryable(ends("fatal_failure", { retryable: true })))
    assert.isTrue(retryable(new ControlFailed({ detail: "x" })))
    assert.isTrue(retryable(new ExecutorFault({ detail: "x" })))
    assert.isFalse(retryable(new ExecutorFault({ detail: "x", retryable: false })))
    assert.isFalse(retryable(new ExecutorStopped({ detail: "x" })))
    assert.isFalse(retryable(new TurnCancelled({ detail: "x" })))
  })

  it("counts an error with an unknown tag as a defect", () => {
    const untyped: ExecutorError = JSON.parse("{\"message\":\"from elsewhere\"}")
    assert.match(ofError(untyped).detail, /^the executor died: .*from elsewhere/)
  })

  it("tells a defect from an interruption from outside", () => {
    assert.match(ofCause(Cause.die(new Error("boom"))).detail, /^the executor died: .*boom/)
    assert.strictEqual(ofCause(Cause.interrupt(FiberId.none)).detail, "the executor was interrupted from outside")
    const both = Cause.parallel(Cause.interrupt(FiberId.none), Cause.die(new Error("boom")))
    assert.match(ofCause(both).detail, /^the executor died/)
    assert.isTrue(ofCause(both).retryable)
  })
})
