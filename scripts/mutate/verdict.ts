/** The verdict on a mutant. */
export type Verdict = "caught" | "survived" | "unreached"

export interface Result {
  readonly key: string
  readonly file: string
  readonly line: number
  readonly group: string
  readonly operator: string
  readonly code: string
  readonly verdict: Verdict
  /** "failed", "hung", "killed the process", "does not load"; empty unless caught */
  readonly how: string
  /** the test that caught it */
  readonly by: string
  /** how many tests reach it, and how many of them ran */
  readonly reachedBy: number
  readonly ran: number
  /** some of the tests that reach it */
  readonly tests: ReadonlyArray<string>
}
