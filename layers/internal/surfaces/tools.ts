/**
 * The tools that sessions show: by session id, and for one session.
 *
 * @since 0.1.0
 */
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
import type { MachineParts, Resolve } from "../machineParts.js"
import { call, submit } from "../machineParts.js"
import { givenWithin } from "../mayBegin.js"
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
// catalogues are not stored themselves; the stored facts of a tool are taken from them
const checkCatalogs = Stored.check(Schema.Struct({ deferred: ToolWitnesses, filter: ToolWitnesses }))

/** The tools of one session. A decision of more than `maxCommitBytes` is refused as `TooLarge`. */
export const sessionTools = ({ config }: Pick<MachineParts, "config">, resolve: Resolve): SessionTools => {
  const send = <V, A>(
    name: string,
    [check, what]: readonly [Stored.Check<V>, string],
    value: unknown,
    command: (value: V) => Command<A>
  ) =>
    call(
      name,
      resolve,
      (entry) =>
        Effect.flatMap(
          givenWithin(config.maxCommitBytes, entry, check, value, what),
          (checked) => submit(entry, command(checked))
        )
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
    boundaryApplied: call(Commands.applyBoundary.name, resolve, (entry) => submit(entry, Commands.applyBoundary))
  }
}
