/**
 * The state of one simulated process. The checks of a simulation read and write it; each life begins with a new one.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import type { Tables } from "../../../layers/MemoryTables.js"
import type { MeerkatMachineOptions } from "../../../services/MeerkatMachineConfig.js"
import type { InputId, RunId, RuntimeId, SessionId } from "../../domain/Ids.js"
import type { StoreBusy, StoreFull } from "../../domain/StoreErrors.js"
import type { Dice } from "./Dice.js"
import type { Journal } from "./Journal.js"
import type { StoreFaults } from "./StoreFaults.js"
import type { StoreLedger } from "./StoreLedger.js"

/**
 * One life of a process under simulation. The journal and the ledger of commits outlive the process; the rest does not.
 *
 * @since 0.1.0
 * @category models
 */
export interface World {
  readonly journal: Journal
  /** The commits that the store acknowledged in all lives. */
  readonly ledger: StoreLedger
  readonly dice: Dice
  readonly config: MeerkatMachineOptions
  /** Whether timers fire only when nothing can run. A missed deadline then means a real delay, not a skipped clock. */
  readonly punctual: boolean
  /** Returns the faults that apply now. */
  readonly faults: () => StoreFaults
  /** Reads the rows of a store in memory; null for a file. */
  readonly peek: ((runtimeId: RuntimeId) => Tables | undefined) | null
  /** The number of commits that the store has not answered, by `<runtime> <incarnation>`. */
  readonly inFlight: Map<string, number>
  /** The store is full or busy until this time. */
  outage: { readonly until: number; readonly error: StoreBusy | StoreFull } | null
  /** The runs that this process staged: no other process can have ended them. */
  readonly staged: Set<RunId>
  /** The inputs whose result the machine tried to commit, with the incarnation. */
  readonly handed: Map<InputId, { readonly runId: RunId; readonly incarnation: string }>
  /** The incarnations whose commit failed with a permanent error. */
  readonly troubled: Set<string>
  /** The incarnations that know less than the store holds. */
  readonly doubtful: Set<string>
  /** The incarnations whose last commit failed. */
  readonly untidy: Set<string>
  /** The incarnations that the machine marked as requiring a reload. */
  readonly reloading: Set<string>
  /** The last opening of each runtime in this process, with the first admission sequence that it assigned. */
  readonly opened: Map<RuntimeId, { readonly incarnation: number; readonly imageSeq: number }>
  /** The calls that start a session, by session: the number begun so far, and the number in progress. */
  readonly brought: Map<SessionId, { begun: number; active: number }>
  /** The stopped sessions, with the number of starting calls that had begun at the stop. */
  readonly stopped: Map<SessionId, number>
  /** The incarnations whose scope is closed: their commits must not reach the store. */
  readonly closed: Set<string>
  /** The runs whose executor call has not returned. */
  readonly running: Set<RunId>
  /** The waiters without an outcome. */
  readonly waiting: Map<string, InputId>
  /** The calls that have not returned. */
  readonly pending: Set<string>
}

type Shared = "journal" | "ledger" | "dice" | "config" | "punctual" | "faults" | "peek"

/** Returns the initial state that a process does not share with other lives. @since 0.1.0 @category constructors */
export const mortal = (): Omit<World, Shared> => ({
  inFlight: new Map(),
  outage: null,
  staged: new Set(),
  handed: new Map(),
  troubled: new Set(),
  doubtful: new Set(),
  untidy: new Set(),
  reloading: new Set(),
  opened: new Map(),
  brought: new Map(),
  stopped: new Map(),
  closed: new Set(),
  running: new Set(),
  waiting: new Map(),
  pending: new Set()
})

/** Whether retention may have removed the row of an ended input. @since 0.1.0 @category guards */
export const mayBeForgotten = ({ config, ledger }: World, id: InputId): boolean =>
  Option.isSome(config.terminalRetention) && ledger.ended.has(id)

/** Whether retention may have released the key of an ended input. @since 0.1.0 @category guards */
export const mayLoseKey = ({ config, ledger }: World, id: InputId): boolean =>
  ledger.ended.has(id) &&
  (Option.isSome(config.keyRetention) || Option.isSome(config.keyRetentionCount) ||
    Option.isSome(config.terminalRetention))

/** Returns the name of one incarnation of a runtime. @since 0.1.0 @category accessors */
export const incarnationOf = (runtimeId: RuntimeId, incarnation: number): string => `${runtimeId} ${incarnation}`
