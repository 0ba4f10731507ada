/**
 * What holds in every state that commands lead to. What holds of every step is checked where steps are explored.
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

/** An invariant that does not hold; `id` is that of the published catalogue. @since 0.1.0 @category models */
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

/** Every invariant that the state breaks; none in a sound one. @since 0.1.0 @category invariants */
export const violations = (state: SessionState): ReadonlyArray<Violation> =>
  invariants.flatMap(({ check, id }) => check(state).map((detail) => ({ id, detail })))

/**
 * P18 as a budget: no open input has used it up. It holds of a session whose inputs were all accounted for under the same
 * limits, so it is no invariant of a machine, which may be given other limits than the last one had.
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
