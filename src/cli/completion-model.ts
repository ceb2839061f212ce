import type { Command, Option } from 'commander'

/** What can be said after some commands. */
export interface CompletionPoint {
  /** The commands before it, such as ` config check`; empty for the program itself. */
  readonly at: string
  readonly commands: readonly Word[]
  readonly options: readonly CompletionOption[]
  /** What the first argument may be, where that is a choice. */
  readonly choices: readonly string[]
}

export interface Word {
  readonly name: string
  readonly description: string
}

export interface CompletionOption {
  /** Such as `-o` and `--output`. */
  readonly flags: readonly string[]
  readonly description: string
  readonly takesValue: boolean
  /** Empty: anything, such as a file. */
  readonly choices: readonly string[]
}

/** All points of a program, from its commands as they are. */
export function completionPoints(program: Command): readonly CompletionPoint[] {
  return pointsOf(program, '')
}

function pointsOf(command: Command, at: string): readonly CompletionPoint[] {
  const help = command.createHelp()
  // Help on help needs no completion.
  const children = help.visibleCommands(command).filter((child) => child.name() !== 'help')
  const point = {
    at,
    commands: children.map((child) => ({ name: child.name(), description: child.description() })),
    options: help.visibleOptions(command).map(optionOf),
    choices: command.registeredArguments[0]?.argChoices ?? [],
  }
  return [point, ...children.flatMap((child) => pointsOf(child, `${at} ${child.name()}`))]
}

function optionOf({ short, long, description, required, optional, argChoices }: Option) {
  return {
    flags: [short, long].filter((flag) => flag !== undefined),
    description,
    takesValue: required || optional,
    choices: argChoices ?? [],
  }
}
