/** The messages between the tool and its worker. */

/** Asks to run tests in the given order until one fails. */
export interface Job {
  /** the mutant that is on; -1 without a mutant */
  readonly mutant: number
  readonly tests: ReadonlyArray<Planned>
  /** reports which mutants each test reaches, and continues after a failure */
  readonly cover: boolean
}

export interface Planned {
  readonly test: number
  readonly timeoutMs: number
}

export type Failure =
  | { readonly _tag: "Failed"; readonly error: string }
  /** it exceeded its time; what it left behind may still run */
  | { readonly _tag: "Hung" }

export type FromWorker =
  | {
    readonly _tag: "Ready"
    readonly tests: ReadonlyArray<{ readonly file: string; readonly name: string }>
    /** reached by loading the files */
    readonly reached: ReadonlyArray<number>
  }
  | { readonly _tag: "Began"; readonly test: number; readonly timeoutMs: number }
  | {
    readonly _tag: "Ended"
    readonly test: number
    readonly ms: number
    readonly failure: Failure | null
    readonly reached: ReadonlyArray<number>
  }
  /** `clean`: the test that failed passes again without the mutant */
  | { readonly _tag: "Done"; readonly clean: boolean }
