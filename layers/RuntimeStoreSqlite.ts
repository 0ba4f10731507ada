/**
 * The durable store: one SQLite file, one writing process.
 *
 * @since 0.1.0
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Handover } from "../services/Handover.js"
import { IdGen } from "../services/IdGen.js"
import { RuntimeStore } from "../services/RuntimeStore.js"
import type { OpenError } from "../src/domain/StoreErrors.js"
import * as HandoverLive from "./HandoverLive.js"
import * as IdGenLive from "./IdGenLive.js"
import * as GroupCommit from "./internal/groupCommit.js"
import * as Batch from "./internal/sqlite/batch.js"
import { encode, type Encoded } from "./internal/sqlite/encode.js"
import * as Open from "./internal/sqlite/open.js"
import * as Quarantine from "./internal/sqlite/quarantine.js"
import * as Reads from "./internal/sqlite/reads.js"
import * as Shapes from "./internal/sqlite/shapes.js"
import { storedCeiling, verbs, workerOptions } from "./internal/storeMember.js"

/** @since 0.1.0 @category models */
export interface SqliteOptions {
  /** path of the store's file; it is made when it is missing, its folder is not */
  readonly filename: string
  /** opens a file that is older than what was acknowledged, or missing, and makes it the truth. Default false */
  readonly acceptRegress?: boolean
  /**
   * When the structure of the file is checked before it is used: "afterCrash" (the default) when its last holder did
   * not close it and it is at most 64 MiB, "always", or "never". Damage fails the opening with `StoreCorrupt`. Rows
   * have digests of their own, which are checked whenever they are read.
   */
  readonly check?: "afterCrash" | "always" | "never"
  /** how long one commit may take until its outcome counts as unknown. Default 30 s */
  readonly commitDeadline?: Duration.DurationInput
  /** how long a batch waits for a file that another process holds. Default 5 s */
  readonly busyPatience?: Duration.DurationInput
  /** bytes the file grows to at most; a commit beyond them fails as on a full disk. Default: none */
  readonly maxFileBytes?: number
  /**
   * The `maxCommitBytes` of the machines on this store. A commit may hold a multiple of it: what inputs say, an answer
   * twice, and the escapes of JSON. What ends inputs always fits. Default 16 MiB
   */
  readonly maxCommitBytes?: number
}

/**
 * A store in a SQLite file, opened for the life of the layer. Building fails with a typed `OpenError` when the file is
 * held by another process, is not a store, is newer than this version, is missing where a store was, or is older than what
 * it acknowledged; nothing is written then.
 *
 * A file that is removed, renamed or replaced while it is open is saved beside its old name, and every later call fails
 * with `StoreLost`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: SqliteOptions): Layer.Layer<RuntimeStore, OpenError> =>
  Layer.scoped(RuntimeStore, make(options)).pipe(
    Layer.provide([NodeFileSystem.layer, NodePath.layer, HandoverLive.layer, IdGenLive.layer])
  )

/**
 * The same with its environment taken from outside: file system, event loop and ids of a simulation, say.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNoDeps = (options: SqliteOptions) => Layer.scoped(RuntimeStore, make(options))

// --- internal ---

const megabyte = 1024 * 1024

const make = (options: SqliteOptions) =>
  Effect.gen(function*() {
    const ids = yield* IdGen
    const handover = yield* Handover
    const file = yield* Open.open({
      filename: options.filename,
      acceptRegress: options.acceptRegress ?? false,
      check: options.check ?? "afterCrash",
      maxFileBytes: options.maxFileBytes,
      freshId: yield* ids.next
    })
    const quarantine = Quarantine.make()
    const shapes = yield* Effect.mapError(Shapes.make(file.writer), Open.openFault(file.path))
    const batch = yield* Effect.mapError(
      Batch.make(file, quarantine, shapes, Duration.decode(options.busyPatience ?? "5 seconds")),
      Open.openFault(file.path)
    )
    const worker = yield* GroupCommit.make({
      ...workerOptions<Encoded>(Duration.decode(options.commitDeadline ?? "30 seconds")),
      handover,
      begin: batch.begin,
      write: (_, members) => batch.write(members)
    })
    const ceiling = storedCeiling(options.maxCommitBytes ?? 16 * megabyte)
    const reads = Reads.make(file.reader, quarantine)
    return RuntimeStore.of({
      kind: "sqlite",
      ...verbs(worker, { ceiling, prepare: encode(shapes) }),
      ...reads,
      // callers whose commit found the loss hear of it by their answer first
      lost: Effect.tapError(file.lost, () => Effect.zipRight(worker.settled, Effect.yieldNow())),
      witness: (id) => Effect.zipRight(worker.settled, reads.witness(id))
    })
  }).pipe(Effect.withTracerEnabled(false))
