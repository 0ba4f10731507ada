/**
 * Probabilities of the faults of a simulated store. Plans draw them, and the faulty store of a simulation reads them at
 * every call.
 *
 * @since 0.1.0
 */

/** Probabilities of the faults of one call, from 0 to 1, and their durations. @since 0.1.0 @category models */
export interface StoreFaults {
  /** The store writes nothing and the call fails: busy, full, or an I/O error. */
  readonly refuse: number
  /** The store writes the commit, and the acknowledgement is lost. */
  readonly lostAck: number
  /** The store writes nothing, and the answer is lost. */
  readonly lostCall: number
  /** The call takes up to `delayMs` longer, before or after the real call. */
  readonly delay: number
  readonly delayMs: number
  /** The store writes nothing, and the session must be opened again: fenced, in conflict, corrupt and so on. */
  readonly fatal: number
  /** The call dies of a defect before or after the write; this applies to reads and openings too. */
  readonly defect: number
  /** A read fails: busy, an I/O error, a corrupt row. A stream may fail after some of its items. */
  readonly refuseRead: number
  /** The image of an opening contains a row that cannot be read. */
  readonly corruptImage: number
  /** The store becomes full or busy at this write, for up to `outageMs`. */
  readonly outage: number
  readonly outageMs: number
}

/** A store without faults. @since 0.1.0 @category constructors */
export const none: StoreFaults = {
  refuse: 0,
  lostAck: 0,
  lostCall: 0,
  delay: 0,
  delayMs: 0,
  fatal: 0,
  defect: 0,
  refuseRead: 0,
  corruptImage: 0,
  outage: 0,
  outageMs: 0
}

/** Multiplies the probabilities by a factor; durations stay the same. @since 0.1.0 @category combinators */
export const scale = (faults: StoreFaults, factor: number): StoreFaults => ({
  refuse: faults.refuse * factor,
  lostAck: faults.lostAck * factor,
  lostCall: faults.lostCall * factor,
  delay: faults.delay * factor,
  delayMs: faults.delayMs,
  fatal: faults.fatal * factor,
  defect: faults.defect * factor,
  refuseRead: faults.refuseRead * factor,
  corruptImage: faults.corruptImage * factor,
  outage: faults.outage * factor,
  outageMs: faults.outageMs
})
