/**
 * Looks into the file of a `RuntimeStoreSqlite`, also while another process has it open.
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

/** @since 0.1.0 @category models */
export interface ReaderOptions {
  /** path of the store's file; nothing is made where there is none */
  readonly filename: string
}

/**
 * Reads a store for the life of the layer, without its lock and without leaving new files. Readers of a log share
 * memory in a file beside it; where the store or its folder cannot be written and no such file is there, the store and its
 * log are copied to a temporary folder, which goes away with the layer, and `source` says so.
 *
 * Building fails with `StoreUnavailable` when there is no store, with `StoreBusy` when it changed each time while it
 * was copied, and with the errors of `RuntimeStoreSqlite` for a file that is none or that is newer than this version.
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
