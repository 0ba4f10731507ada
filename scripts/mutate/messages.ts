/** What the tool and its worker say to each other. */

/** Runs tests in the order given until one fails. */
export interface Job {
  /** the mutant that is on; -1 for none */
  readonly mutant: number
  readonly tests: ReadonlyArray<Planned>
  /** says which mutants each test reaches, and goes on after a failure */
  readonly cover: boolean
}

export interface Planned {
  readonly test: number
  readonly timeoutMs: number
}

export type Failure =
  | { readonly _tag: "Failed"; readonly error: string }
  /** it did not end in time; what it left behind may still run */
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
