/**
 * Slim references. `Cell` is a `Ref` of one word beside its header (about 35 bytes; a stock `Ref` takes 297), `SynchronizedCell`
 * a `SynchronizedRef` whose permit is made at its first use (a stock one takes 1,270 bytes).
 *
 * Both are values of the library's own interfaces: `Ref.get`, `Ref.modify`, `SynchronizedRef.modifyEffect` and the rest
 * accept them. They add synchronous access for code that is not an effect: fiber observers, callbacks of a commit, and
 * transitions of several cells in one step.
 *
 * Callers: the session entry, its rare parts, the published state of the authority.
 *
 * Invariants:
 * - `modify` and `unsafeModify` read and write in one step; no fiber runs in between.
 * - `SynchronizedCell.modify` and `modifyEffect` take the permit; `get`, `unsafeGet` and `unsafeModify` never do.
 * - While a `modifyEffect` runs, only its own effect may call `unsafeModify`; beside `modify`, any caller may.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Readable from "effect/Readable"
import * as Ref from "effect/Ref"
import * as SynchronizedRef from "effect/SynchronizedRef"

// what the library itself keeps under a variance: a witness of the type, never called
const variance = { _A: <A>(value: A): A => value }

/** A `Ref` that can also be read and written synchronously. The type ids are getters: a field would cost each value a word. */
export class Cell<in out A> extends Effectable.Class<A> implements Ref.Ref<A> {
  constructor(protected value: A) {
    super()
  }
  get [Ref.RefTypeId](): Ref.Ref.Variance<A>[Ref.RefTypeId] {
    return variance
  }
  get [Readable.TypeId](): Readable.TypeId {
    return Readable.TypeId
  }
  get get(): Effect.Effect<A> {
    return Effect.sync(() => this.value)
  }
  commit(): Effect.Effect<A> {
    return this.get
  }
  modify<B>(change: (value: A) => readonly [B, A]): Effect.Effect<B> {
    return Effect.sync(() => this.unsafeModify(change))
  }
  /** Reads the value in this step. */
  unsafeGet(): A {
    return this.value
  }
  /** Replaces the value in this step and returns the answer of the transition. */
  unsafeModify<B>(change: (value: A) => readonly [B, A]): B {
    const [answer, next] = change(this.value)
    this.value = next
    return answer
  }
}

/** A `SynchronizedRef`: effects that change the value run one at a time. A waiting change can be interrupted. */
export class SynchronizedCell<in out A> extends Cell<A> implements SynchronizedRef.SynchronizedRef<A> {
  private permit: Effect.Semaphore | null = null

  get [SynchronizedRef.SynchronizedRefTypeId](): SynchronizedRef.SynchronizedRef.Variance<
    A
  >[SynchronizedRef.SynchronizedRefTypeId] {
    return variance
  }
  override modify<B>(change: (value: A) => readonly [B, A]): Effect.Effect<B> {
    return this.exclusively(Effect.sync(() => this.unsafeModify(change)))
  }
  modifyEffect<B, E, R>(change: (value: A) => Effect.Effect<readonly [B, A], E, R>): Effect.Effect<B, E, R> {
    return this.exclusively(Effect.suspend(() =>
      Effect.map(change(this.value), ([answer, next]) => {
        this.value = next
        return answer
      })
    ))
  }
  private exclusively<B, E, R>(effect: Effect.Effect<B, E, R>): Effect.Effect<B, E, R> {
    return Effect.suspend(() => (this.permit ??= Effect.unsafeMakeSemaphore(1)).withPermits(1)(effect))
  }
}
