/** @since 0.1.0 */

/** The environment of this process, as a command inherits it. */
export const inheritedEnvironment = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])
  )
