/** @since 0.1.0 */
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
 * One life of a process under simulation: what it shares with the lives before and after it (journal, ledger of
 * commits), and what dies with it.
 *
 * @since 0.1.0
 * @category models
 */
export interface World {
  readonly journal: Journal
  /** what the store has acknowledged, in all lives */
  readonly ledger: StoreLedger
  readonly dice: Dice
  readonly config: MeerkatMachineOptions
  /** whether timers fire only where nothing can run: what takes longer than it may has not merely been overtaken */
  readonly punctual: boolean
  /** the faults of the moment */
  readonly faults: () => StoreFaults
  /** rows of a store whose image can be looked at; null for a file */
  readonly peek: ((runtimeId: RuntimeId) => Tables | undefined) | null
  /** commits that the store has not answered, by `<runtime> <incarnation>` */
  readonly inFlight: Map<string, number>
  /** the store is full or busy until then */
  outage: { readonly until: number; readonly error: StoreBusy | StoreFull } | null
  /** runs that this process staged: they cannot have ended with another one */
  readonly staged: Set<RunId>
  /** inputs whose result the machine tried to commit, with the incarnation */
  readonly handed: Map<InputId, { readonly runId: RunId; readonly incarnation: string }>
  /** incarnations that the store answered something else than "not now" */
  readonly troubled: Set<string>
  /** incarnations that were told less than is stored */
  readonly doubtful: Set<string>
  /** incarnations whose last commit failed */
  readonly untidy: Set<string>
  /** incarnations that the machine itself gave up, to be opened anew */
  readonly reloading: Set<string>
  /** what this process opened last of a runtime, and the first admission sequence that it handed out itself */
  readonly opened: Map<RuntimeId, { readonly incarnation: number; readonly imageSeq: number }>
  /** calls that bring a session up, by session: begun so far, and under way */
  readonly brought: Map<SessionId, { begun: number; active: number }>
  /** sessions that were stopped, and the number of such calls that had begun by then */
  readonly stopped: Map<SessionId, number>
  /** incarnations whose scope is closed: nothing of them may reach the store */
  readonly closed: Set<string>
  /** executor calls that have not come back, and what runs in them */
  readonly running: Set<RunId>
  /** waiters that were not told */
  readonly waiting: Map<string, InputId>
  /** calls that have not come back */
  readonly pending: Set<string>
}

type Shared = "journal" | "ledger" | "dice" | "config" | "punctual" | "faults" | "peek"

/** What dies with a process, before anything has happened in it. @since 0.1.0 @category constructors */
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

/** Whether the row of an input may be gone, since it has ended and the limits say how many of those are kept. @since 0.1.0 @category guards */
export const mayBeForgotten = ({ config, ledger }: World, id: InputId): boolean =>
  Option.isSome(config.terminalRetention) && ledger.ended.has(id)

/** Whether the key of an input may be another's by now. @since 0.1.0 @category guards */
export const mayLoseKey = ({ config, ledger }: World, id: InputId): boolean =>
  ledger.ended.has(id) &&
  (Option.isSome(config.keyRetention) || Option.isSome(config.keyRetentionCount) ||
    Option.isSome(config.terminalRetention))

/** Names one incarnation of a runtime. @since 0.1.0 @category accessors */
export const incarnationOf = (runtimeId: RuntimeId, incarnation: number): string => `${runtimeId} ${incarnation}`
