/**
 * The interface for reading a store that another process may have open.
 *
 * `RuntimeStoreReaderSqlite` implements it; the inspecting commands of the command line call it. Invariant: a reader changes
 * nothing in the store.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type { RuntimeStore } from "./RuntimeStore.js"

/**
 * The reading half of `RuntimeStore`. It takes no lock and writes nothing, so it works beside the process that has the
 * store open. It sees commits that happen while it is open.
 *
 * @since 0.1.0
 * @category tags
 */
export class RuntimeStoreReader extends Context.Tag("effect-meerkat/services/RuntimeStoreReader")<
  RuntimeStoreReader,
  & Omit<RuntimeStore["Type"], "kind" | "openRuntime" | "commit" | "lost">
  & {
    /**
     * What the reader reads: the store itself, or a copy of it. It makes a copy on opening if the store or its folder
     * cannot be written. A copy does not show later commits.
     */
    readonly source: "store" | "copy"
  }
>() {}
