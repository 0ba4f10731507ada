/**
 * Distinguishes a missing store from a new one: a missing store leaves its anchor or its log behind. `open` and `attach`
 * call it before they inspect the file. Invariant: it changes nothing.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { StoreLost } from "../../../src/domain/StoreErrors.js"
import * as Anchor from "./anchor.js"
import * as Place from "./place.js"
import * as Rescue from "./rescue.js"

/**
 * Fails if the store file is missing and its anchor or log exists: a store with acknowledged commits must not start empty
 * again. The error names the remaining files and the newest rescued file.
 *
 * @since 0.1.0
 * @category validation
 */
export const refuse = (path: string): Effect.Effect<void, StoreLost, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    if (Place.named(path)._tag !== "Missing") return
    const left = [...yield* anchored(path), ...yield* logged(path)]
    if (left.length === 0) return
    const rescued = (yield* Rescue.found(path)).at(-1)
    return yield* new StoreLost({
      path,
      detail: `is missing, and ${left.join(" and ")} of it ${left.length === 1 ? "is" : "are"} left`,
      ...(rescued === undefined ? {} : { rescued })
    })
  })

// --- internal ---

const anchored = (path: string) =>
  Effect.map(
    Anchor.read(path),
    (anchor) => Option.isSome(anchor) && anchor.value.commitSeq > 0 ? [Anchor.anchorPath(path)] : []
  )

const logged = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const log = Place.logPath(path)
    return yield* Effect.match(fs.stat(log), {
      onFailure: () => [],
      onSuccess: ({ size }) => size > 0 ? [log] : []
    })
  })
