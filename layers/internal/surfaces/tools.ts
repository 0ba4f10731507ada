/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { SessionTools, ToolsControl } from "../../../services/SessionTools.js"
import type { Command } from "../../../src/domain/Command.js"
import * as Commands from "../../../src/kernel/commands/tools.js"
import { visibilityOf } from "../../../src/kernel/toolVisibility.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { submit, submitTo, traced } from "../machineParts.js"

/** Which tools sessions show, by session id. */
export const tools = (parts: MachineParts): ToolsControl => ({
  stagePersistentFilter: (sessionId, filter, witnesses) =>
    traced("stagePersistentFilter", submitTo(parts, sessionId, Commands.stageFilter(filter, witnesses))),
  requestDeferredTools: (sessionId, authorities) =>
    traced("requestDeferredTools", submitTo(parts, sessionId, Commands.requestDeferredTools(authorities))),
  publishCommittedVisibleSet: (sessionId, state) =>
    traced("publishCommittedVisibleSet", submitTo(parts, sessionId, Commands.publishCommittedVisibleSet(state)))
})

/** The tools of one session. */
export const sessionTools = (resolve: Resolve): SessionTools => {
  const send = <A>(command: Command<A>) =>
    traced(command.name, Effect.flatMap(resolve, (entry) => submit(entry, command)))
  return {
    state: Effect.map(resolve, (entry) => visibilityOf(entry.authority.unsafeState())),
    stageFilter: (filter, witnesses) => send(Commands.stageFilter(filter, witnesses)),
    requestDeferred: (authorities) => send(Commands.requestDeferredTools(authorities)),
    stageRequestedDeferredNames: (names) => send(Commands.stageRequestedDeferredNames(names)),
    publish: (state) => send(Commands.publishCommittedVisibleSet(state)),
    replace: (state) => send(Commands.replaceVisibility(state)),
    replaceCatalogs: (catalogs) => send(Commands.replaceCatalogs(catalogs)),
    boundaryApplied: send(Commands.applyBoundary)
  }
}
