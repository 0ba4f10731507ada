/**
 * Finds the program of a command before it is started. The command executor calls it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
// synchronous and without a service: it asks what the child process will see
// @effect-diagnostics nodeBuiltinImport:off
import { accessSync, constants, statSync } from "node:fs"
import * as path from "node:path"

/** Why a program cannot be started. @since 0.1.0 @category models */
export interface NoProgram {
  readonly code: "ENOENT" | "EACCES"
  readonly detail: string
}

/**
 * Returns the absolute path of a program, found as `execvp` does: a name with a slash is a path relative to `cwd`, any
 * other name is searched in `searchPath`. Fails if the program is missing or not executable. Checked before, because
 * the exit codes 126 and 127 of the shell could also come from the program.
 *
 * @since 0.1.0
 * @category accessors
 */
export const findProgram = (
  name: string,
  searchPath: string | undefined,
  cwd: string | undefined
): Effect.Effect<string, NoProgram> =>
  Effect.suspend(() => {
    const folders = name.includes("/") ? [""] : (searchPath ?? defaultPath).split(":")
    const candidates = name === "" ? [] : folders.map((folder) => path.resolve(cwd ?? "", folder, name))
    const answers = candidates.map((candidate) => ({ candidate, access: accessOf(candidate) }))
    const found = answers.find(({ access }) => access === "ok")
    if (found !== undefined) return Effect.succeed(found.candidate)
    const refused = answers.find(({ access }) => access === "refused")
    return Effect.fail<NoProgram>(
      refused === undefined
        ? { code: "ENOENT", detail: name.includes("/") ? "it does not exist" : "it is not in PATH" }
        : { code: "EACCES", detail: `${refused.candidate} is not executable` }
    )
  })

// --- internal ---

const defaultPath = "/usr/bin:/bin"

const accessOf = (file: string): "ok" | "refused" | "missing" => {
  const exists = Either.try({
    try: () => statSync(file).isFile() ? "ok" as const : "refused" as const,
    catch: (cause) => cause instanceof Error && "code" in cause && cause.code === "EACCES" ? "refused" : "missing"
  })
  if (Either.isLeft(exists)) return exists.left
  if (exists.right === "refused") return "refused"
  return Either.isRight(Either.try(() => accessSync(file, constants.X_OK))) ? "ok" : "refused"
}
