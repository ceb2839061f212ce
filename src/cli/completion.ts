/** `larder completion`. */
import { Argument, Command } from 'commander'

import type { Surroundings } from '../config/surroundings.ts'
import { type CompletionPoint, completionPoints } from './completion-model.ts'
import { bashScript, fishScript, zshScript } from './completion-scripts.ts'

const SCRIPTS: Readonly<Record<string, (points: readonly CompletionPoint[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
}

const EXAMPLES = `
Examples:
  source <(larder completion bash)
  larder completion bash | sudo tee /etc/bash_completion.d/larder
  larder completion zsh > "\${fpath[1]}/_larder"
  larder completion fish > ~/.config/fish/completions/larder.fish`

/** @param program the whole of it, which is what is completed */
export function completionCommand(io: Surroundings, program: () => Promise<Command>): Command {
  return new Command('completion')
    .description('print what makes a shell complete these commands')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', EXAMPLES)
    .action(async (shell: string) => {
      const script = SCRIPTS[shell]
      if (script !== undefined) io.stdout.write(script(completionPoints(await program())))
    })
}
