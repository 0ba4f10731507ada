/** @since 0.1.0 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

/**
 * Every limit of the machine, in one place.
 *
 * @since 0.1.0
 * @category models
 */
export interface MeerkatMachineOptions {
  /** failed attempts per input before it is abandoned (D10) */
  readonly maxAttempts: number
  /** attempts per input that may end with the process before it is abandoned (D10) */
  readonly crashBudget: number
  /** first pause before a failed input runs again; doubles, jittered, up to `retryCap` */
  readonly retryBase: Duration.Duration
  readonly retryCap: Duration.Duration
  /** how long staged phases and other soft facts may wait for a hard commit to ride with */
  readonly stageFlush: Duration.Duration
  /** a run that was asked to cancel is interrupted this much later; at once if the executor has no interrupt handle */
  readonly cancelGrace: Duration.Duration
  /** unregister waits this long for the run before it interrupts it */
  readonly unregisterGrace: Duration.Duration
  /** unregister, stop and destroy leave a fiber behind that does not end within this time (fenced and counted) */
  readonly teardownTimeout: Duration.Duration
  /** bound of one call of a user's hook */
  readonly hookTimeout: Duration.Duration
  /** a comms drain that is no persistent host ends when no input came for this long */
  readonly drainIdleTimeout: Duration.Duration
  /** how long an unknown commit outcome is looked up before the session must be reloaded (D21) */
  readonly resolveTimeout: Duration.Duration
  /** first pause before a refused boundary commit is tried again; doubles, jittered, up to `retryCap` */
  readonly commitRetryBase: Duration.Duration
  /** such tries while the medium fails; while the store is only busy or full there is no limit */
  readonly commitRetryTimes: number
  /** bytes of results that the machine keeps, over all sessions, while the store is busy or full */
  readonly maxKeptBytes: number
  /** a terminal input keeps its idempotency key this long, and … (none = for ever) */
  readonly keyRetention: Option.Option<Duration.Duration>
  /** … while it is among this many newest (none = all) */
  readonly keyRetentionCount: Option.Option<number>
  /** terminal inputs kept per session (none = all) */
  readonly terminalRetention: Option.Option<number>
  /** largest input, and largest answer, in UTF-8 bytes of their texts; each text counts once */
  readonly maxCommitBytes: number
  /** media of more bytes than this go to the blob store, if there is one (D34) */
  readonly blobThreshold: number
  /** terminal operations kept per session */
  readonly maxCompletedOperations: number
  /** operations that may be active at once per session (none = any number) */
  readonly maxConcurrentOperations: Option.Option<number>
  /** completion feed entries kept per session */
  readonly feedRetention: number
  /** events a slow subscriber may fall behind before it is told that it lost some */
  readonly eventBuffer: number
}

/** @since 0.1.0 @category constructors */
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
 * The machine's limits. A reference: without a layer the defaults hold.
 *
 * @since 0.1.0
 * @category references
 */
export class MeerkatMachineConfig
  extends Context.Reference<MeerkatMachineConfig>()("effect-meerkat/services/MeerkatMachineConfig", {
    defaultValue: () => defaults
  })
{}

/** Some limits of one's own, the defaults for the rest. @since 0.1.0 @category layers */
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
