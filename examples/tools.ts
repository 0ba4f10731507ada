import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, ToolVisibility, Turn, VisibleTools } from "effect-meerkat"
import * as Effect from "effect/Effect"

// What the application has: each tool with a witness, that is where it comes from. A deferred tool is hidden until asked for.
const tools = [
  { name: "read", witness: ToolVisibility.witnessOf({ kind: "builtin", sourceId: "files" }) },
  { name: "shell", witness: ToolVisibility.witnessOf({ kind: "shell", sourceId: "local" }) },
  { name: "search", witness: ToolVisibility.witnessOf({ kind: "mcp", sourceId: "web" }), deferred: true }
]

// A model would be given the visible tools; this executor answers with their names.
const executor = CoreExecutor.make((turn) =>
  Effect.succeed(Turn.reply(VisibleTools.visibleTools(tools, turn.visibility).map(({ name }) => name).join(" ")))
)

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("tools", executor)
  const ask = Effect.map(session.ask("what can you do?"), ({ text }) => text)

  // What this process knows of its tools, to check witnesses against. Not stored: call it whenever the tools are built.
  yield* session.tools.replaceCatalogs(VisibleTools.toolCatalogs(tools))
  const before = yield* ask

  // From the next run on, and after a restart too.
  yield* session.tools.stageFilter(ToolVisibility.deny("shell"), VisibleTools.witnessesFor(tools, ["shell"]))
  const withoutShell = yield* ask

  const [, , search] = tools
  if (search !== undefined) yield* session.tools.requestDeferred([search])
  const withSearch = yield* ask

  // Another tool of the same name is not what was asked for: the decision does not fall on it.
  const impostor = { name: "search", witness: ToolVisibility.witnessOf({ kind: "mcp", sourceId: "elsewhere" }) }
  const refused = yield* Effect.flip(session.tools.requestDeferred([impostor]))
  const state = yield* session.tools.state
  return { before, withoutShell, withSearch, refused: refused.message, revision: state.activeRevision }
})

export const program = conversation.pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = {
  before: "read shell",
  withoutShell: "read",
  withSearch: "read search",
  refused: "tools that are not what their witnesses say: search",
  revision: 2
}
