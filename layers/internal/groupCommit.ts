/**
 * Group commit: one supervised worker writes the members of many submitters as one batch. The stores call it.
 *
 * Invariants: every submitter gets exactly one answer. It is the member's own exit, "closed", or "unknown" if its
 * deadline passes or the worker breaks during its write. Write and answer share one uninterruptible region, so an
 * answer never differs from what is on the disk.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"

/** The limits of a worker and its functions. @since 0.1.0 @category models */
export interface GroupCommitOptions<M, A, E, T> {
  /** size of a member, for the bound of a batch */
  readonly bytesOf: (member: M) => number
  readonly maxMembers: number
  readonly maxBytes: number
  /** the longest time from the submission of a member to its answer */
  readonly deadline: Duration.Duration
  /** one turn of the event loop before each batch */
  readonly handover: Effect.Effect<void>
  /**
   * Prepares a batch, for instance begins a transaction. Runs uninterruptibly, except inside `restore`, where it waits.
   * A failure means that nothing was written.
   */
  readonly begin: (restore: <B, F>(self: Effect.Effect<B, F>) => Effect.Effect<B, F>) => Effect.Effect<T, E>
  /** Writes a batch, uninterruptibly: one exit per member, in order. A member's failure affects only that member. */
  readonly write: (begun: T, members: ReadonlyArray<M>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>>
  /** the answer if a member was being written and the result is not known */
  readonly unknown: (member: M, detail: string) => E
  /** the answer if a member's deadline passed before the worker took it: nothing was written */
  readonly overdue: (member: M, waitedMs: number) => E
  /** the answer of a closed worker */
  readonly closed: E
}

/** A running worker. @since 0.1.0 @category models */
export interface GroupCommit<M, A, E> {
  /** Submits a member and waits for its answer. An interruption while it is queued withdraws it; nothing is written. */
  readonly submit: (member: M) => Effect.Effect<A, E>
  /**
   * Waits for the end of the batch in progress, if any. A caller with the answer "unknown" reads the store afterwards:
   * what it finds is final.
   */
  readonly settled: Effect.Effect<void>
  /** counters since the start, and the current queue length */
  readonly stats: Effect.Effect<GroupCommitStats>
}

/** Counters of a worker. @since 0.1.0 @category models */
export interface GroupCommitStats {
  readonly queued: number
  readonly batches: number
  readonly members: number
  readonly largest: number
}

/**
 * Starts a worker in the scope. It parks while the queue is empty, so an idle store has no timer. When the scope
 * closes, the batch in progress finishes and all other members are answered "closed".
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <M, A, E, T>(
  options: GroupCommitOptions<M, A, E, T>
): Effect.Effect<GroupCommit<M, A, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const state = initial<M, A, E>()
    const worker = work(options, state).pipe(
      Effect.onExit((exit) => Effect.sync(() => closeWith(options, state, exit))),
      Effect.interruptible,
      Effect.withTracerEnabled(false)
    )
    // added before the fork, so that it runs after the worker has ended
    yield* Scope.addFinalizerExit(scope, (exit) => Effect.sync(() => closeWith(options, state, exit)))
    yield* Effect.forkIn(worker, scope)
    const watch = Effect.forkIn(Effect.interruptible(watchdog(options, state)), scope)
    return {
      submit: (member) => Effect.flatMap(Clock.currentTimeMillis, (now) => submit(options, state, watch, member, now)),
      settled: Effect.suspend(() => state.taken.length === 0 ? Effect.void : Deferred.await(ending(state))),
      stats: Effect.sync(() => ({
        queued: state.queue.length,
        batches: state.batches,
        members: state.members,
        largest: state.largest
      }))
    }
  })

// --- internal ---

interface Entry<M, A, E> {
  readonly member: M
  readonly bytes: number
  readonly submittedAt: number
  readonly answer: Deferred.Deferred<A, E>
  status: "queued" | "taken" | "settled"
}

/** Plain mutable state: every access is synchronous and belongs to one worker. */
interface State<M, A, E> {
  readonly latch: Effect.Latch
  queue: Array<Entry<M, A, E>>
  taken: ReadonlyArray<Entry<M, A, E>>
  /** completes at the end of the batch in progress; made only if a caller waits for it */
  ending: Deferred.Deferred<void> | null
  closed: boolean
  watching: boolean
  batches: number
  members: number
  largest: number
}

const initial = <M, A, E>(): State<M, A, E> => ({
  latch: Effect.unsafeMakeLatch(false),
  queue: [],
  taken: [],
  ending: null,
  closed: false,
  watching: false,
  batches: 0,
  members: 0,
  largest: 0
})

const ending = <M, A, E>(state: State<M, A, E>): Deferred.Deferred<void> =>
  state.ending ??= Deferred.unsafeMake(FiberId.none)

/** Marks the batch in progress as ended. */
const ended = <M, A, E>(state: State<M, A, E>): void => {
  state.taken = []
  if (state.ending !== null) Deferred.unsafeDone(state.ending, Exit.void)
  state.ending = null
}

const settle = <M, A, E>(entry: Entry<M, A, E>, exit: Exit.Exit<A, E>): void => {
  if (entry.status === "settled") return
  entry.status = "settled"
  Deferred.unsafeDone(entry.answer, exit)
}

const submit = <M, A, E, T>(
  options: GroupCommitOptions<M, A, E, T>,
  state: State<M, A, E>,
  watch: Effect.Effect<unknown>,
  member: M,
  now: number
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      if (state.closed) return Effect.fail(options.closed)
      const entry: Entry<M, A, E> = {
        member,
        bytes: options.bytesOf(member),
        submittedAt: now,
        answer: Deferred.unsafeMake(FiberId.none),
        status: "queued"
      }
      state.queue.push(entry)
      state.latch.unsafeOpen()
      const answer = Effect.onInterrupt(
        restore(Deferred.await(entry.answer)),
        () => Effect.sync(() => takeBack(state, entry))
      )
      if (state.watching) return answer
      state.watching = true
      return Effect.zipRight(watch, answer)
    })
  )

/** Withdraws a queued entry: it stays in the queue as settled, and the worker skips it. */
const takeBack = <M, A, E>(state: State<M, A, E>, entry: Entry<M, A, E>): void => {
  if (entry.status === "queued") {
    entry.status = "settled"
    if (state.queue[state.queue.length - 1] === entry) state.queue.pop()
  }
}

const work = <M, A, E, T>(options: GroupCommitOptions<M, A, E, T>, state: State<M, A, E>) =>
  Effect.gen(function*() {
    while (true) {
      yield* state.latch.await
      yield* options.handover
      yield* Effect.uninterruptibleMask((restore) => runBatch(options, state, restore))
      if (state.queue.length === 0) state.latch.unsafeClose()
    }
  })

const runBatch = <M, A, E, T>(
  options: GroupCommitOptions<M, A, E, T>,
  state: State<M, A, E>,
  restore: <B, F>(self: Effect.Effect<B, F>) => Effect.Effect<B, F>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const entries = take(options, state)
    if (entries.length === 0) return Effect.void
    const members = entries.map((entry) => entry.member)
    return options.begin(restore).pipe(
      Effect.matchCauseEffect({
        onFailure: (cause) => settleBegin(options, state, entries, cause),
        onSuccess: (begun) => Effect.map(options.write(begun, members), (exits) => settleBatch(state, entries, exits))
      })
    )
  })

const take = <M, A, E, T>(
  options: GroupCommitOptions<M, A, E, T>,
  state: State<M, A, E>
): ReadonlyArray<Entry<M, A, E>> => {
  const batch: Array<Entry<M, A, E>> = []
  let bytes = 0
  let next = 0
  for (; next < state.queue.length && batch.length < options.maxMembers; next++) {
    const entry = state.queue[next]
    if (entry === undefined || entry.status !== "queued") continue
    if (batch.length > 0 && bytes + entry.bytes > options.maxBytes) break
    entry.status = "taken"
    bytes += entry.bytes
    batch.push(entry)
  }
  state.queue = state.queue.slice(next)
  state.taken = batch
  return batch
}

const settleBatch = <M, A, E>(
  state: State<M, A, E>,
  entries: ReadonlyArray<Entry<M, A, E>>,
  exits: ReadonlyArray<Exit.Exit<A, E>>
): void => {
  state.batches++
  state.members += entries.length
  state.largest = Math.max(state.largest, entries.length)
  ended(state)
  for (const [i, entry] of entries.entries()) {
    settle(entry, exits[i] ?? Exit.die("a batch has one exit per member"))
  }
}

/**
 * Settles a batch that was not begun. A typed failure goes to all, an interruption means closed, a defect ends the
 * worker.
 */
const settleBegin = <M, A, E, T>(
  options: GroupCommitOptions<M, A, E, T>,
  state: State<M, A, E>,
  entries: ReadonlyArray<Entry<M, A, E>>,
  cause: Cause.Cause<E>
): Effect.Effect<void> => {
  const failure = Cause.failureOption(cause)
  const defect = Cause.dieOption(cause)
  if (Option.isNone(failure) && Option.isSome(defect)) return Effect.die(defect.value)
  const exit = Exit.fail(Option.getOrElse(failure, () => options.closed))
  return Effect.sync(() => {
    ended(state)
    for (const entry of entries) settle(entry, exit)
  })
}

const closeWith = <M, A, E, T>(
  options: GroupCommitOptions<M, A, E, T>,
  state: State<M, A, E>,
  exit: Exit.Exit<unknown, unknown>
): void => {
  state.closed = true
  const detail = Exit.isFailure(exit) ? `the store's worker ended: ${String(exit.cause)}` : "the store's worker ended"
  for (const entry of state.taken) settle(entry, Exit.fail(options.unknown(entry.member, detail)))
  for (const entry of state.queue) settle(entry, Exit.fail(options.closed))
  state.queue = []
  ended(state)
}

/**
 * One fiber for all deadlines. It sleeps until the oldest deadline and ends when the queue is empty. So neither a
 * commit nor an idle store has its own timer.
 */
const watchdog = <M, A, E, T>(options: GroupCommitOptions<M, A, E, T>, state: State<M, A, E>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const limit = Duration.toMillis(options.deadline)
    let pause = limit
    while (pause > 0) {
      yield* Effect.sleep(Duration.millis(pause))
      pause = expire(options, state, yield* Clock.currentTimeMillis, limit)
    }
    state.watching = false
  })

/** Answers overdue members. Returns the milliseconds until the next deadline, 0 if no member waits. */
const expire = <M, A, E, T>(
  options: GroupCommitOptions<M, A, E, T>,
  state: State<M, A, E>,
  now: number,
  limit: number
): number => {
  let pause = 0
  for (const entry of [...state.taken, ...state.queue]) {
    const left = entry.submittedAt + limit - now
    if (left > 0) pause = pause === 0 ? left : Math.min(pause, left)
    else if (entry.status === "taken") {
      settle(entry, Exit.fail(options.unknown(entry.member, `no answer within ${limit} ms`)))
    } else settle(entry, Exit.fail(options.overdue(entry.member, now - entry.submittedAt)))
  }
  return pause
}
