/**
 * The invariants of every state that commands can reach. Snapshots, tests and the exploration evaluate them; the
 * exploration also checks the invariants of steps, which are not here.
 *
 * @since 0.1.0
 */
import type { KernelLimits, SessionState } from "../domain/SessionState.js"
import { inputInvariants } from "./invariants/inputs.js"
import type { Invariant } from "./invariants/invariant.js"
import { when } from "./invariants/invariant.js"
import { lifecycleInvariants } from "./invariants/lifecycle.js"
import { operationInvariants } from "./invariants/operations.js"
import { toolInvariants } from "./invariants/tools.js"
import * as Ledger from "./Ledger.js"
import { mostCharges } from "./suspicion.js"

/** A broken invariant; `id` is its id in the published catalogue. @since 0.1.0 @category models */
export interface Violation {
  readonly id: string
  readonly detail: string
}

/** Every invariant of a state. @since 0.1.0 @category invariants */
export const invariants: ReadonlyArray<Invariant> = [
  ...lifecycleInvariants,
  ...inputInvariants,
  ...operationInvariants,
  ...toolInvariants
]

/** Returns the invariants that the state breaks; empty for a valid state. @since 0.1.0 @category invariants */
export const violations = (state: SessionState): ReadonlyArray<Violation> =>
  invariants.flatMap(({ check, id }) => check(state).map((detail) => ({ id, detail })))

/**
 * P18 as a budget: no open input has used up its attempts or crashes. It holds only if all charges were made under the
 * same limits. A machine may have other limits than the one before, so `invariants` does not contain it.
 *
 * @since 0.1.0
 * @category invariants
 */
export const withinBudgets = (
  { crashBudget, maxAttempts }: Pick<KernelLimits, "maxAttempts" | "crashBudget">
): Invariant => ({
  id: "P18/D10",
  says: "an input that used up its attempts or crashes is no longer open",
  check: ({ ledger }) =>
    Ledger.all(ledger).flatMap(({ charged, crashed, inputId }) => [
      ...when(charged >= Math.max(1, maxAttempts), `${inputId} failed ${charged} times and is still open`),
      ...when(crashed > mostCharges({ crashBudget }), `${inputId} crashed ${crashed} times and is still open`)
    ])
})
