/**
 * Decides which inputs may run at the same time after a crash of their process, and which of them a crash abandons.
 *
 * An input is *accused* once a crash was charged to it. It is a *suspect* once its next charge would use up its
 * `crashBudget`. Selection, staging, the opening and the run loops call this module.
 *
 * Invariants:
 * - A suspect is abandoned only if its row says that it ran alone; any other charge leaves it open, as a suspect.
 * - An input without a charge is never a suspect, for any budget: otherwise every input would run alone.
 *
 * @since 0.1.0
 */
import type { InputRecord } from "../domain/InputRecord.js"
import type { Clearance } from "../domain/RuntimeState.js"
import type { KernelLimits } from "../domain/SessionState.js"

/** The limit that decides which inputs are suspects. @since 0.1.0 @category models */
export type CrashLimits = Pick<KernelLimits, "crashBudget">

type Charges = Pick<InputRecord, "crashed">

/** The most crash charges of an open input. @since 0.1.0 @category accessors */
export const mostCharges = ({ crashBudget }: CrashLimits): number => Math.max(1, crashBudget - 1)

/** Whether the next crash charge would use up the budget of the input. @since 0.1.0 @category guards */
export const isSuspect = ({ crashed }: Charges, limits: CrashLimits): boolean =>
  crashed > 0 && crashed >= mostCharges(limits)

/** The clearance that an input needs to run. @since 0.1.0 @category accessors */
export const clearanceOf = (record: Charges, limits: CrashLimits): Clearance =>
  record.crashed === 0 ? "none" : isSuspect(record, limits) ? "alone" : "shared"

/** The clearance that a batch needs: the widest that a member needs. @since 0.1.0 @category accessors */
export const clearanceOfBatch = (batch: ReadonlyArray<Charges>, limits: CrashLimits): Clearance => {
  let widest: Clearance = "none"
  for (const record of batch) {
    if (record.crashed === 0) continue
    if (isSuspect(record, limits)) return "alone"
    widest = "shared"
  }
  return widest
}

/** Whether an input may run under this clearance. @since 0.1.0 @category guards */
export const mayRun = (record: Charges, limits: CrashLimits, clearance: Clearance): boolean =>
  record.crashed === 0 || clearance === "alone" || (clearance === "shared" && !isSuspect(record, limits))

/** Whether the row of a lost run says that its input ran as the only suspect of its process. @since 0.1.0 @category guards */
export const ranAlone = ({ status }: Pick<InputRecord, "status">): boolean =>
  status.type === "staged" && status.alone === true

/** Whether a crash abandons the input: it ran alone, and this charge uses up its budget. @since 0.1.0 @category guards */
export const isGivenUp = (record: Pick<InputRecord, "crashed" | "status">, limits: CrashLimits): boolean =>
  ranAlone(record) && record.crashed + 1 > mostCharges(limits)

/**
 * Returns the charges of an input after one more crash that does not abandon it. The count never falls. It stops when the
 * input is a suspect: after that, only a crash of a run alone counts.
 *
 * @since 0.1.0
 * @category accessors
 */
export const chargedOnceMore = ({ crashed }: Charges, limits: CrashLimits): number =>
  Math.max(crashed, Math.min(crashed + 1, mostCharges(limits)))
