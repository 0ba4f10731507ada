/**
 * Reads the file of a `RuntimeStoreSqlite`, also while another process has it open. The CLI and inspection tools use
 * it.
 *
 * @since 0.1.0
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RuntimeStoreReader } from "../services/RuntimeStoreReader.js"
import type { OpenError } from "../src/domain/StoreErrors.js"
import * as Attach from "./internal/sqlite/attach.js"
import * as Quarantine from "./internal/sqlite/quarantine.js"
import * as Reads from "./internal/sqlite/reads.js"

/** Options of `layer`. @since 0.1.0 @category models */
export interface ReaderOptions {
  /** the path of the store's file; a missing file is not created */
  readonly filename: string
}

/**
 * Reads a store for the life of the layer, without its lock and without leaving new files. Readers of SQLite's log
 * share memory in a file beside it. If that file does not exist and the store or its folder is read-only, the layer
 * reads a copy in a temporary folder. The folder is removed with the layer, and `source` reports the copy.
 *
 * Building fails with `StoreUnavailable` if no store exists, and with `StoreBusy` if the store changed during each
 * copy. It fails with the errors of `RuntimeStoreSqlite` if the file is not a store or is newer than this version.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ReaderOptions): Layer.Layer<RuntimeStoreReader, OpenError> =>
  Layer.scoped(
    RuntimeStoreReader,
    Effect.map(Attach.attach(options.filename), ({ database, source }) =>
      RuntimeStoreReader.of({ source, ...Reads.make(database, Quarantine.make()) }))
  ).pipe(Layer.provide([NodeFileSystem.layer, NodePath.layer]))
