/** @since 0.1.0 */

/** Probabilities of what becomes of a call. @since 0.1.0 @category models */
export interface StoreFaults {
  /** nothing is written and the call fails: busy, full, or an error of the medium */
  readonly refuse: number
  /** it is written, and nobody is told */
  readonly lostAck: number
  /** nothing is written, and nobody is told */
  readonly lostCall: number
  /** the call takes up to `delayMs`, before or after the real one */
  readonly delay: number
  readonly delayMs: number
  /** nothing is written, and the session has to be opened anew: fenced, in conflict, corrupt … */
  readonly fatal: number
  /** the call dies of a defect, having written or not; reads and openings do as well */
  readonly defect: number
  /** a read fails: busy, an error of the medium, a corrupt row; streams also in the middle */
  readonly refuseRead: number
  /** an opening is shown a row that cannot be read */
  readonly corruptImage: number
  /** from this write on the store is full or busy, for up to `outageMs` */
  readonly outage: number
  readonly outageMs: number
}

/** @since 0.1.0 @category constructors */
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

/** The same faults, all of them more or less likely. @since 0.1.0 @category combinators */
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
