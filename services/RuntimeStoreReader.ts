/** @since 0.1.0 */
import * as Context from "effect/Context"
import type { RuntimeStore } from "./RuntimeStore.js"

/**
 * A store that is only looked at: the reading half of `RuntimeStore`. It takes no lock and writes nothing, so it works
 * beside the process that has the store open, and sees what is committed while it looks.
 *
 * @since 0.1.0
 * @category tags
 */
export class RuntimeStoreReader extends Context.Tag("effect-meerkat/services/RuntimeStoreReader")<
  RuntimeStoreReader,
  & Omit<RuntimeStore["Type"], "kind" | "openRuntime" | "commit" | "lost">
  & {
    /**
     * What is read: the store itself, or a copy of it, made when the reader was opened because the store or its
     * folder cannot be written. A copy does not follow what happens afterwards.
     */
    readonly source: "store" | "copy"
  }
>() {}
