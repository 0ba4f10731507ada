/**
 * The help texts. The overview is written by hand; the help of a command comes from its options, without the lines that
 * every option repeats.
 *
 * @since 0.1.0
 */

/** What `meerkat` and `meerkat --help` print. @since 0.1.0 @category output */
export const overview = `meerkat: durable, resumable sessions for any agent that reads a prompt and writes an answer

  meerkat run --session demo --exec CMD PROMPT…    run one turn and print the answer
  meerkat run --session demo PROMPT… -- PROGRAM …  the same without a shell
  meerkat send SESSION PROMPT…                     queue a prompt durably, without running it
  meerkat resume --exec CMD [SESSION…]             run what is pending

  meerkat sessions                                 list the sessions of a store
  meerkat show SESSION                             one session and its open inputs
  meerkat inputs SESSION                           what it was given, and how that ended
  meerkat receipts SESSION                         its committed runs
  meerkat ops SESSION                              its background operations
  meerkat history SESSION                          its conversation

CMD is any program that reads the prompt on standard input and writes its answer to standard output.
The store is --db FILE, else $MEERKAT_DB, else meerkat.db in the working directory.

  meerkat COMMAND --help                           the options of a command
  meerkat --completions bash|zsh|fish              a completion script
  meerkat --version

Exit codes: 0 answer, 1 failed, 2 usage, 3 store locked, 4 store unusable, 5 refused by the session's state,
7 store lost (its file was removed, renamed or replaced), 124 timeout, 130 interrupted.`

/** Whether the command line requests the overview. @since 0.1.0 @category parsing */
export const asksForOverview = (args: ReadonlyArray<string>): boolean =>
  args.length === 0 || (args.length === 1 && ["--help", "-h", "help"].includes(args[0] ?? ""))

/** Returns the help of a command without the generic lines of its options. @since 0.1.0 @category output */
export const condensed = (text: string): string =>
  text
    .split("\n")
    .filter((line) => !generic.test(line.replace(colours, "")))
    .join("\n")
    .replace(/\n\s*\n\s*\n+/g, "\n\n")
    .replace(/^((?:\u001b\[[0-9;]*m)*(?:--|<)[^\n]*)\n\n(?= {2})/gm, "$1\n")
    .replace(/^\$ (?!meerkat)/m, "$ meerkat ")

/** Escape sequences that colour a text. @since 0.1.0 @category output */
export const colours = /\u001b\[[0-9;]*m/g

// --- internal ---

const generic =
  /^\s*(?:A user-defined piece of text\.|An integer\.|A true or false value\.|One of the following: .*|This setting is optional\.|This option can be set from environment variables\.|This argument may be repeated zero or more times\.)$/
