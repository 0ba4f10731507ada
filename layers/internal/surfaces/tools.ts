/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SessionTools, ToolsControl } from "../../../services/SessionTools.js"
import type { Command } from "../../../src/domain/Command.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import { Name } from "../../../src/domain/Text.js"
import {
  DeferredToolLoadAuthority,
  SessionToolVisibilityState,
  ToolWitnesses,
  WitnessedToolFilter
} from "../../../src/domain/ToolVisibility.js"
import * as Commands from "../../../src/kernel/commands/tools.js"
import { visibilityOf } from "../../../src/kernel/toolVisibility.js"
import { givenWithin } from "../given.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { submit, traced } from "../machineParts.js"
import * as Stored from "../stored.js"

/** Which tools sessions show, by session id. */
export const tools = (parts: MachineParts): ToolsControl => {
  const of = (sessionId: SessionId) => sessionTools(parts, parts.registry.lookup(sessionId))
  return {
    stagePersistentFilter: (sessionId, filter, witnesses) => of(sessionId).stageFilter(filter, witnesses),
    requestDeferredTools: (sessionId, authorities) => of(sessionId).requestDeferred(authorities),
    publishCommittedVisibleSet: (sessionId, state) => of(sessionId).publish(state)
  }
}

const checkFilter = Stored.check(WitnessedToolFilter)
const checkAuthorities = Stored.check(Schema.Array(DeferredToolLoadAuthority))
const checkNames = Stored.check(Schema.Array(Name))
const checkVisibility = Stored.check(SessionToolVisibilityState)
// not stored themselves, but what is stored of a tool is taken from them
const checkCatalogs = Stored.check(Schema.Struct({ deferred: ToolWitnesses, filter: ToolWitnesses }))

/** The tools of one session. A decision of more than `maxCommitBytes` is refused as `TooLarge`. */
export const sessionTools = ({ config }: Pick<MachineParts, "config">, resolve: Resolve): SessionTools => {
  const send = <V, A>(
    name: string,
    [check, what]: readonly [Stored.Check<V>, string],
    value: unknown,
    command: (value: V) => Command<A>
  ) =>
    traced(
      name,
      Effect.flatMap(resolve, (entry) =>
        Effect.flatMap(
          givenWithin(config.maxCommitBytes, entry, check, value, what),
          (checked) => submit(entry, command(checked))
        ))
    )
  const visibility = [checkVisibility, "a visibility of tools"] as const
  return {
    state: Effect.map(resolve, (entry) => visibilityOf(entry.authority.unsafeState())),
    stageFilter: (filter, witnesses) =>
      send(
        "stagePersistentFilter",
        [checkFilter, "a filter of tools"],
        { filter, witnesses },
        (checked) => Commands.stageFilter(checked.filter, checked.witnesses)
      ),
    requestDeferred: (authorities) =>
      send(
        "requestDeferredTools",
        [checkAuthorities, "requests for tools"],
        authorities,
        Commands.requestDeferredTools
      ),
    stageRequestedDeferredNames: (names) =>
      send(
        "stageRequestedDeferredNames",
        [checkNames, "names of tools"],
        names,
        Commands.stageRequestedDeferredNames
      ),
    publish: (state) => send("publishCommittedVisibleSet", visibility, state, Commands.publishCommittedVisibleSet),
    replace: (state) => send("replaceVisibility", visibility, state, Commands.replaceVisibility),
    replaceCatalogs: (catalogs) =>
      send("replaceCatalogs", [checkCatalogs, "catalogues of tools"], catalogs, Commands.replaceCatalogs),
    boundaryApplied: traced(
      Commands.applyBoundary.name,
      Effect.flatMap(resolve, (entry) => submit(entry, Commands.applyBoundary))
    )
  }
}
