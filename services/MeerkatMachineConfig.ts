/**
 * The limits and times of a machine, their defaults, and how to read them from the configuration.
 *
 * The machine's layers read `MeerkatMachineConfig` when they are built; applications set it with `layer` or
 * `layerConfig`. Invariant: every limit of the machine has its value here.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

/**
 * Every limit of the machine.
 *
 * @since 0.1.0
 * @category models
 */
export interface MeerkatMachineOptions {
  /** failed attempts of an input before it is abandoned (D10) */
  readonly maxAttempts: number
  /** attempts of an input that may end with a crash of the process, before it is abandoned (D10) */
  readonly crashBudget: number
  /** first pause before a failed input runs again; doubles, jittered, up to `retryCap` */
  readonly retryBase: Duration.Duration
  readonly retryCap: Duration.Duration
  /** how long staged phases and other deferred writes may wait for a commit to join */
  readonly stageFlush: Duration.Duration
  /** time between the request to cancel a run and its interruption; none if the executor has no interrupt handle */
  readonly cancelGrace: Duration.Duration
  /** unregister waits this long for the run before it interrupts it */
  readonly unregisterGrace: Duration.Duration
  /** unregister, stop and destroy wait this long for a fiber; then they leave it behind, fenced and counted */
  readonly teardownTimeout: Duration.Duration
  /** time limit of one call of a user's hook */
  readonly hookTimeout: Duration.Duration
  /** a comms drain ends after this time without an input, except in the mode `persistentHost` */
  readonly drainIdleTimeout: Duration.Duration
  /** how long the authority tries to resolve an unknown commit outcome before it requires a reload (D21) */
  readonly resolveTimeout: Duration.Duration
  /** first pause before a refused boundary commit is retried; doubles, jittered, up to `retryCap` */
  readonly commitRetryBase: Duration.Duration
  /** the number of such retries while the medium fails; a busy or full store is retried without limit */
  readonly commitRetryTimes: number
  /** bytes of results that the machine keeps for all sessions together while the store is busy or full */
  readonly maxKeptBytes: number
  /** how long a terminal input keeps its idempotency key (none = without limit); `keyRetentionCount` limits it too */
  readonly keyRetention: Option.Option<Duration.Duration>
  /** the number of newest terminal inputs that keep their idempotency key (none = all) */
  readonly keyRetentionCount: Option.Option<number>
  /** terminal inputs kept per session (none = all) */
  readonly terminalRetention: Option.Option<number>
  /** largest input, and largest answer, in UTF-8 bytes of their texts; each text counts once */
  readonly maxCommitBytes: number
  /** media of more bytes than this go to the blob store, if the machine has one (D34) */
  readonly blobThreshold: number
  /** terminal operations kept per session */
  readonly maxCompletedOperations: number
  /** operations of a session that may be active at once (none = any number) */
  readonly maxConcurrentOperations: Option.Option<number>
  /** completion feed entries kept per session */
  readonly feedRetention: number
  /** how many events a subscriber may fall behind before it loses events and gets `Lagged` */
  readonly eventBuffer: number
}

/** The default limits. @since 0.1.0 @category constructors */
export const defaults: MeerkatMachineOptions = {
  maxAttempts: 3,
  crashBudget: 3,
  retryBase: Duration.millis(200),
  retryCap: Duration.seconds(10),
  stageFlush: Duration.millis(20),
  cancelGrace: Duration.seconds(5),
  unregisterGrace: Duration.zero,
  teardownTimeout: Duration.seconds(30),
  hookTimeout: Duration.seconds(30),
  drainIdleTimeout: Duration.seconds(300),
  resolveTimeout: Duration.seconds(10),
  commitRetryBase: Duration.millis(50),
  commitRetryTimes: 5,
  maxKeptBytes: 64 * 1024 * 1024,
  keyRetention: Option.some(Duration.hours(24)),
  keyRetentionCount: Option.some(4096),
  terminalRetention: Option.none(),
  maxCommitBytes: 16 * 1024 * 1024,
  blobThreshold: 64 * 1024,
  maxCompletedOperations: 256,
  maxConcurrentOperations: Option.none(),
  feedRetention: 1024,
  eventBuffer: 256
}

/**
 * The machine's limits. It is a reference: without a layer its value is `defaults`.
 *
 * @since 0.1.0
 * @category references
 */
export class MeerkatMachineConfig
  extends Context.Reference<MeerkatMachineConfig>()("effect-meerkat/services/MeerkatMachineConfig", {
    defaultValue: () => defaults
  })
{}

/** Sets these limits, and keeps the defaults of all others. @since 0.1.0 @category layers */
export const layer = (options: Partial<MeerkatMachineOptions>): Layer.Layer<never> =>
  Layer.succeed(MeerkatMachineConfig, { ...defaults, ...options })

const integer = (name: string, fallback: number) =>
  Config.integer(name).pipe(
    Config.validate({ message: `${name} must be at least 1`, validation: (n) => n >= 1 }),
    Config.withDefault(fallback)
  )

const duration = (name: string, fallback: Duration.Duration) => Config.duration(name).pipe(Config.withDefault(fallback))

const limit = (name: string, fallback: Option.Option<number>) =>
  Config.option(integer(name, 0)).pipe(
    Config.map(Option.filter((n) => n > 0)),
    Config.map(Option.orElse(() => fallback))
  )

/** The limits as a `Config`, nested under `MEERKAT`, e.g. `MEERKAT_MAX_ATTEMPTS=5`. @since 0.1.0 @category config */
export const config: Config.Config<MeerkatMachineOptions> = Config.all({
  maxAttempts: integer("MAX_ATTEMPTS", defaults.maxAttempts),
  crashBudget: integer("CRASH_BUDGET", defaults.crashBudget),
  retryBase: duration("RETRY_BASE", defaults.retryBase),
  retryCap: duration("RETRY_CAP", defaults.retryCap),
  stageFlush: duration("STAGE_FLUSH", defaults.stageFlush),
  cancelGrace: duration("CANCEL_GRACE", defaults.cancelGrace),
  unregisterGrace: duration("UNREGISTER_GRACE", defaults.unregisterGrace),
  teardownTimeout: duration("TEARDOWN_TIMEOUT", defaults.teardownTimeout),
  hookTimeout: duration("HOOK_TIMEOUT", defaults.hookTimeout),
  drainIdleTimeout: duration("DRAIN_IDLE_TIMEOUT", defaults.drainIdleTimeout),
  resolveTimeout: duration("RESOLVE_TIMEOUT", defaults.resolveTimeout),
  commitRetryBase: duration("COMMIT_RETRY_BASE", defaults.commitRetryBase),
  commitRetryTimes: integer("COMMIT_RETRY_TIMES", defaults.commitRetryTimes),
  maxKeptBytes: integer("MAX_KEPT_BYTES", defaults.maxKeptBytes),
  keyRetention: Config.option(Config.duration("KEY_RETENTION")).pipe(
    Config.map(Option.orElse(() => defaults.keyRetention))
  ),
  keyRetentionCount: limit("KEY_RETENTION_COUNT", defaults.keyRetentionCount),
  terminalRetention: limit("TERMINAL_RETENTION", defaults.terminalRetention),
  maxCommitBytes: integer("MAX_COMMIT_BYTES", defaults.maxCommitBytes),
  blobThreshold: integer("BLOB_THRESHOLD", defaults.blobThreshold),
  maxCompletedOperations: integer("MAX_COMPLETED_OPERATIONS", defaults.maxCompletedOperations),
  maxConcurrentOperations: limit("MAX_CONCURRENT_OPERATIONS", defaults.maxConcurrentOperations),
  feedRetention: integer("FEED_RETENTION", defaults.feedRetention),
  eventBuffer: integer("EVENT_BUFFER", defaults.eventBuffer)
}).pipe(Config.nested("MEERKAT"))

/** The limits from the configuration, changed by `overrides`. @since 0.1.0 @category layers */
export const layerConfig = (
  overrides: Partial<MeerkatMachineOptions> = {}
): Layer.Layer<never, ConfigError.ConfigError> =>
  Layer.effect(MeerkatMachineConfig, Effect.map(config, (read) => ({ ...read, ...overrides })))
