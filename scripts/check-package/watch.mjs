/**
 * Preloaded into a process (`node --import`): imports of the packages in FORBIDDEN fail as if they were not installed.
 */
import { register } from "node:module"

const hooks = `
  const forbidden = ${JSON.stringify((process.env.FORBIDDEN ?? "").split(" ").filter((name) => name !== ""))}
  export const resolve = async (specifier, context, next) => {
    const resolved = await next(specifier, context)
    const found = forbidden.find((name) => resolved.url.includes("/node_modules/" + name + "/"))
    if (found !== undefined) throw new Error(found + " is loaded by " + context.parentURL)
    return resolved
  }
`
register(`data:text/javascript,${encodeURIComponent(hooks)}`)
