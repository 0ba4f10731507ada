/**
 * Breadth-first exploration: follows every move from every state, checks each new state and each step, and finds
 * paths.
 */
import * as Either from "effect/Either"

/**
 * The origin of a move, for path predicates. Work is done by loop, runs and registration; a client may or may not
 * call; a teardown or a crash ends the session or the process.
 */
export type Kind = "work" | "client" | "teardown" | "crash"

/** A move that may be made in a state. Step predicates receive `made`. */
export interface Move<N, M> {
  readonly name: string
  readonly kind: Kind
  readonly make: (node: N) => Either.Either<Made<N, M>, Refusal>
}

export interface Made<N, M> {
  readonly node: N
  readonly made: M
  /** ids of the rows that fired */
  readonly rows: ReadonlyArray<string>
}

/** Why a move was refused: one name per reason, for the report. */
export interface Refusal {
  readonly reasons: ReadonlyArray<string>
}

export interface StatePredicate<N> {
  readonly id: string
  readonly says: string
  /** the contradictions to the predicate in this state */
  readonly check: (node: N) => ReadonlyArray<string>
}

export interface StepPredicate<N, M> {
  readonly id: string
  readonly says: string
  readonly check: (before: N, made: M, after: N) => ReadonlyArray<string>
}

/** From every state in `from`, moves of the kinds `along` lead to a state in `to`. */
export interface PathPredicate<N> {
  readonly id: string
  readonly says: string
  readonly from: (node: N) => boolean
  readonly along: ReadonlyArray<Kind>
  readonly to: (node: N) => boolean
}

export interface Slice<N, M> {
  readonly name: string
  /** what the slice covers, and where it is cut */
  readonly about: string
  readonly start: N
  readonly moves: (node: N) => ReadonlyArray<Move<N, M>>
  /** distinguishes states */
  readonly keyOf: (node: N) => string
  /** everything in a state; a move must not change it (P30) */
  readonly dump: (node: N) => string
  readonly states: ReadonlyArray<StatePredicate<N>>
  readonly steps: ReadonlyArray<StepPredicate<N, M>>
  readonly paths: ReadonlyArray<PathPredicate<N>>
  /** receives every state, for coverage */
  readonly show?: (node: N) => void
  /** the limit of states; a slice that exceeds it is wrong, since it does not close */
  readonly atMost: number
}

/** The result of a predicate: how many states or steps it was checked on, and the shortest counterexample. */
export interface Finding {
  readonly id: string
  readonly says: string
  readonly kind: "state" | "step" | "path"
  readonly checked: number
  readonly counterExample: CounterExample | null
}

export interface CounterExample {
  readonly trace: ReadonlyArray<string>
  readonly details: ReadonlyArray<string>
}

export interface Findings {
  readonly slice: string
  readonly about: string
  readonly closed: boolean
  readonly states: number
  readonly accepted: number
  readonly rejected: number
  readonly depth: number
  /** how often each row fired */
  readonly rows: ReadonlyMap<string, number>
  readonly refusals: ReadonlyMap<string, number>
  readonly moves: ReadonlyMap<string, number>
  readonly predicates: ReadonlyArray<Finding>
}

/** A move changes no existing state; it returns a new one. */
export const purity = { id: "P30", says: "neither a refusal nor a step changes the state it began in" }

export const walk = <N, M>(slice: Slice<N, M>): Findings => {
  const walking = pacing(slice)
  for (let step = walking.next();; step = walking.next()) if (step.done === true) return step.value
}

/** The same walk as a generator that yields after every 50 states, so that its caller can do other work. */
export const pacing = <N, M>(slice: Slice<N, M>): Generator<undefined, Findings> => new Walk(slice).run()

// --- internal ---

const count = (into: Map<string, number>, what: string): void => {
  into.set(what, (into.get(what) ?? 0) + 1)
}

/** One predicate, its count of checks, and its first counterexample. */
class Watch {
  checked = 0
  counterExample: CounterExample | null = null
  constructor(readonly id: string, readonly says: string, readonly kind: Finding["kind"]) {}

  look(details: ReadonlyArray<string>, trace: () => ReadonlyArray<string>): void {
    this.checked++
    if (details.length > 0 && this.counterExample === null) this.counterExample = { trace: trace(), details }
  }

  finding(): Finding {
    const { checked, counterExample, id, kind, says } = this
    return { id, says, kind, checked, counterExample }
  }
}

const kinds: ReadonlyArray<Kind> = ["work", "client", "teardown", "crash"]

class Walk<N, M> {
  private readonly numbers = new Map<string, number>()
  private readonly parents: Array<number> = []
  private readonly by: Array<string> = []
  private readonly depths: Array<number> = []
  /** from, to and kind of each step that leads to another state */
  private readonly edges: Array<number> = []
  private readonly queue: Array<readonly [number, N]> = []
  private readonly rows = new Map<string, number>()
  private readonly refusals = new Map<string, number>()
  private readonly moves = new Map<string, number>()
  private readonly stateWatches: ReadonlyArray<readonly [StatePredicate<N>, Watch]>
  private readonly stepWatches: ReadonlyArray<readonly [StepPredicate<N, M>, Watch]>
  private readonly ends: ReadonlyArray<{ readonly from: Array<boolean>; readonly to: Array<boolean> }>
  private readonly pure = new Watch(purity.id, purity.says, "step")
  private accepted = 0
  private rejected = 0

  constructor(private readonly slice: Slice<N, M>) {
    this.stateWatches = slice.states.map((it) => [it, new Watch(it.id, it.says, "state")])
    this.stepWatches = slice.steps.map((it) => [it, new Watch(it.id, it.says, "step")])
    this.ends = slice.paths.map(() => ({ from: [], to: [] }))
  }

  *run(): Generator<undefined, Findings> {
    this.visit(this.slice.start, "", -1)
    let next = 0
    for (; next < this.queue.length && this.numbers.size <= this.slice.atMost; next++) {
      const entry = this.queue[next]
      if (entry !== undefined) this.expand(entry[0], entry[1])
      if (next % 50 === 49) yield undefined
    }
    return this.findings(next === this.queue.length)
  }

  private visit(node: N, by: string, from: number): number {
    const key = this.slice.keyOf(node)
    const known = this.numbers.get(key)
    if (known !== undefined) return known
    const number = this.numbers.size
    this.numbers.set(key, number)
    this.parents.push(from)
    this.by.push(by)
    this.depths.push(from < 0 ? 0 : (this.depths[from] ?? 0) + 1)
    this.queue.push([number, node])
    this.slice.show?.(node)
    for (const [predicate, watch] of this.stateWatches) watch.look(predicate.check(node), () => this.trace(number))
    this.slice.paths.forEach((path, at) => {
      this.ends[at]?.from.push(path.from(node))
      this.ends[at]?.to.push(path.to(node))
    })
    return number
  }

  private expand(number: number, node: N): void {
    const dump = this.slice.dump(node)
    for (const move of this.slice.moves(node)) this.make(number, node, move)
    this.pure.look(this.slice.dump(node) === dump ? [] : ["a move changed it"], () => this.trace(number))
    // Only the frontier keeps its states.
    delete this.queue[number]
  }

  private make(number: number, node: N, move: Move<N, M>): void {
    const step = move.make(node)
    if (Either.isLeft(step)) {
      this.rejected++
      for (const reason of step.left.reasons) count(this.refusals, `${move.name}: ${reason}`)
      return
    }
    this.accepted++
    count(this.moves, move.name)
    const { made, node: after, rows } = step.right
    for (const row of rows) count(this.rows, row)
    for (const [predicate, watch] of this.stepWatches) {
      watch.look(predicate.check(node, made, after), () => [...this.trace(number), move.name])
    }
    const to = this.visit(after, move.name, number)
    if (to !== number) this.edges.push(number, to, kinds.indexOf(move.kind))
  }

  private trace(number: number): ReadonlyArray<string> {
    const names: Array<string> = []
    for (let at = number; at > 0; at = this.parents[at] ?? 0) names.push(this.by[at] ?? "")
    return names.reverse()
  }

  private findings(closed: boolean): Findings {
    const { accepted, depths, moves, numbers, refusals, rejected, rows, slice } = this
    return {
      slice: slice.name,
      about: slice.about,
      closed,
      states: numbers.size,
      accepted,
      rejected,
      depth: depths.reduce((most, depth) => Math.max(most, depth), 0),
      rows,
      refusals,
      moves,
      predicates: [
        ...this.stateWatches.map(([, watch]) => watch.finding()),
        ...this.stepWatches.map(([, watch]) => watch.finding()),
        this.pure.finding(),
        // Paths of a part of the states prove nothing.
        ...(closed ? slice.paths.map((path, at) => this.pathFinding(path, at)) : [])
      ]
    }
  }

  private pathFinding({ along, id, says }: PathPredicate<N>, at: number): Finding {
    const { from = [], to = [] } = this.ends[at] ?? {}
    const reached = backwards(to, this.edges, along.map((kind) => kinds.indexOf(kind)))
    const watch = new Watch(id, says, "path")
    from.forEach((asked, number) => {
      if (asked) watch.look(reached[number] === true ? [] : ["no such path exists"], () => this.trace(number))
    })
    return watch.finding()
  }
}

/** The states from which a state in `to` can be reached. */
const backwards = (
  to: ReadonlyArray<boolean>,
  edges: ReadonlyArray<number>,
  along: ReadonlyArray<number>
): ReadonlyArray<boolean> => {
  const into: Array<Array<number>> = to.map(() => [])
  for (let at = 0; at + 2 < edges.length; at += 3) {
    if (along.includes(edges[at + 2] ?? -1)) into[edges[at + 1] ?? 0]?.push(edges[at] ?? 0)
  }
  const reached = [...to]
  const queue = to.flatMap((goal, number) => goal ? [number] : [])
  for (let number = queue.pop(); number !== undefined; number = queue.pop()) {
    for (const from of into[number] ?? []) {
      if (reached[from] !== true) {
        reached[from] = true
        queue.push(from)
      }
    }
  }
  return reached
}
