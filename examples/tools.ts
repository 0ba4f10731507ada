import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, ToolVisibility, Turn, VisibleTools } from "effect-meerkat"
import * as Effect from "effect/Effect"

// The tools of the application. A witness names the origin of a tool; a deferred tool is hidden until it is requested.
const tools = [
  { name: "read", witness: ToolVisibility.witnessOf({ kind: "builtin", sourceId: "files" }) },
  { name: "shell", witness: ToolVisibility.witnessOf({ kind: "shell", sourceId: "local" }) },
  { name: "search", witness: ToolVisibility.witnessOf({ kind: "mcp", sourceId: "web" }), deferred: true }
]

// A real executor gives the visible tools to the model; this one answers with their names.
const executor = CoreExecutor.make((turn) =>
  Effect.succeed(Turn.reply(VisibleTools.visibleTools(tools, turn.visibility).map(({ name }) => name).join(" ")))
)

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("tools", executor)
  const ask = Effect.map(session.ask("what can you do?"), ({ text }) => text)

  // Tells the machine which tools this process has, so that it can check witnesses. Not stored: call it at each start.
  yield* session.tools.replaceCatalogs(VisibleTools.toolCatalogs(tools))
  const before = yield* ask

  // Takes effect with the next run and survives a restart.
  yield* session.tools.stageFilter(ToolVisibility.deny("shell"), VisibleTools.witnessesFor(tools, ["shell"]))
  const withoutShell = yield* ask

  const [, , search] = tools
  if (search !== undefined) yield* session.tools.requestDeferred([search])
  const withSearch = yield* ask

  // A tool with the same name and another origin is refused.
  const impostor = { name: "search", witness: ToolVisibility.witnessOf({ kind: "mcp", sourceId: "elsewhere" }) }
  const refused = yield* Effect.flip(session.tools.requestDeferred([impostor]))
  const state = yield* session.tools.state
  return {
    before,
    withoutShell,
    withSearch,
    refused: refused._tag === "ValidationFailed" ? refused.detail : refused._tag,
    revision: state.activeRevision
  }
})

export const program = conversation.pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = {
  before: "read shell",
  withoutShell: "read",
  withSearch: "read search",
  refused: { _tag: "StageError", kind: "InvalidWitnesses", names: ["search"] },
  revision: 2
}
