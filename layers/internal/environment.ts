/**
 * The environment that commands inherit. The command executor reads it.
 *
 * @since 0.1.0
 */

/** Returns the environment of this process without absent values. */
export const inheritedEnvironment = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])
  )
