import * as effectEslint from "@effect/eslint-plugin"
import { readFileSync } from "node:fs"
import tseslint from "typescript-eslint"

const format = JSON.parse(readFileSync(new URL("./dprint.json", import.meta.url), "utf8"))

// --- import arrows: domain <- kernel <- layers, domain <- services <- layers <- testkit, cli ---

/** A relative import whose path goes through one of these folders. */
const folders = (...names) => `^\\.{1,2}/(?:.*/)?(?:${names.join("|")})/`
/** Any package but `effect`. */
const packages = "^(?!effect(?:/|$))[^.]"
/** What needs a process, a file or a native addon. */
const platform = "^(?:node:|better-sqlite3|@effect/(?:sql|platform|cli))"
/** The barrels: they are for users. */
const barrels = "^\\.{1,2}/(?:.*/)?index\\.js$"
/** The parts of `effect` that run, wait or remember: the pure folders have no use for them. */
const runtime = "^effect/(?:Ref|Fiber|Queue|Mailbox|Deferred|Clock|Random|Layer|Runtime)$"

const forbid = (files, ...patterns) => ({
  files,
  rules: {
    "no-restricted-imports": ["error", { patterns: patterns.map(([regex, message]) => ({ regex, message })) }]
  }
})

const arrows = [
  forbid(
    ["src/domain/**/*.ts"],
    [packages, "src/domain imports effect only"],
    [runtime, "src/domain is data"],
    [barrels, "import the module, not the barrel"],
    [folders("kernel", "testkit", "cli", "services", "layers", "test", "scripts"), "src/domain imports effect only"]
  ),
  forbid(
    ["src/kernel/**/*.ts"],
    [packages, "src/kernel imports effect and src/domain only"],
    [runtime, "src/kernel is data in, data out"],
    [barrels, "import the module, not the barrel"],
    [
      folders("testkit", "cli", "services", "layers", "test", "scripts"),
      "src/kernel imports effect and src/domain only"
    ]
  ),
  forbid(
    ["services/**/*.ts"],
    [packages, "services/ imports effect and src/domain only"],
    [barrels, "import the module, not the barrel"],
    [folders("kernel", "testkit", "cli", "layers", "test", "scripts"), "services/ imports effect and src/domain only"]
  ),
  forbid(
    ["layers/**/*.ts"],
    [barrels, "import the module, not the barrel"],
    [folders("testkit", "cli", "test", "scripts"), "layers/ imports src/domain, src/kernel and services only"]
  ),
  forbid(
    ["src/testkit/**/*.ts"],
    [folders("cli", "test", "scripts"), "src/testkit imports what users can import"]
  ),
  forbid(
    ["src/cli/**/*.ts"],
    [folders("test", "scripts"), "the program does not import tests or scripts"]
  ),
  forbid(
    ["src/index.ts"],
    [platform, "the public face has nothing native in it"],
    [folders("testkit", "cli", "internal", "test", "scripts"), "not part of the public face"]
  )
]

export default tseslint.config(
  { ignores: ["**/node_modules/**", "**/dist/**", "**/coverage/**"] },
  ...tseslint.configs.recommended,
  ...effectEslint.configs.dprint,
  {
    rules: {
      "object-shorthand": "error",
      "require-yield": "off",
      "@typescript-eslint/array-type": ["error", { default: "generic", readonly: "generic" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // one source for the format: dprint.json
      "@effect/dprint": ["error", {
        config: { indentWidth: format.indentWidth, lineWidth: format.lineWidth, ...format.typescript }
      }]
    }
  },
  {
    files: ["{src,services,layers}/**/*.ts"],
    rules: {
      "@effect/no-import-from-barrel-package": ["error", {
        packageNames: ["effect", "@effect/platform", "@effect/platform-node", "@effect/sql", "@effect/cli"]
      }]
    }
  },
  {
    files: ["{src,services,layers,test}/**/*.ts"],
    ignores: ["src/cli/**"],
    rules: { "no-console": "error" }
  },
  {
    files: ["{services,layers,src/domain,src/kernel}/**/*.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        { selector: "ThrowStatement", message: "fail through Effect or Either" },
        { selector: "TryStatement", message: "use Effect.try or Either.try" },
        { selector: ":function[async=true]", message: "use Effect" }
      ]
    }
  },
  ...arrows
)
