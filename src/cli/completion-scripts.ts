import type { CompletionOption, CompletionPoint } from './completion-model.ts'

/** For `source <(larder completion bash)`. What it does not know are files. */
export function bashScript(points: readonly CompletionPoint[]): string {
  const values = valueBranches(points, (choices) => {
    const offered = `COMPREPLY=($(compgen -W ${quote(choices.join(' '))} -- "$current"))`
    return `if ((++i == COMP_CWORD)); then ${offered}; return; fi`
  })
  const offers = points.map(({ at, options, ...words }) => {
    const [flags, names] = [flagsOf(options), wordsOf(words)].map((one) => quote(one.join(' ')))
    return `    ${quote(at)}) flags=${flags} names=${names} ;;`
  })
  return `# bash completion for larder
_larder() {
  local current=\${COMP_WORDS[COMP_CWORD]} at='' i flags='' names=''
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
${commandBranches(points)}
${values}
    esac
  done
  case "$at" in
${offers.join('\n')}
  esac
  if [[ $current == -* ]]; then names=$flags; fi
  COMPREPLY=($(compgen -W "$names" -- "$current"))
}
complete -o default -F _larder larder
`
}

/** For `source <(larder completion zsh)`, or a file `_larder` in `$fpath`. */
export function zshScript(points: readonly CompletionPoint[]): string {
  const values = valueBranches(points, (choices) => {
    const offered = choices.length === 0 ? '_files' : `compadd -- ${choices.map(quote).join(' ')}`
    return `if ((++i == CURRENT)); then ${offered}; return; fi`
  })
  const offers = points.map(({ at, options, commands, choices }) => {
    const flags = options.flatMap((one) => one.flags.map((name) => ({ ...one, name })))
    const names = [...commands, ...choices.map((name) => ({ name, description: '' }))]
    return `    ${quote(at)}) flags=(${described(flags)}) names=(${described(names)}) ;;`
  })
  return `#compdef larder
_larder() {
  local current=$words[CURRENT] at='' i
  local -a flags names
  for ((i = 2; i < CURRENT; i++)); do
    case "$at $words[i]" in
${commandBranches(points)}
${values}
    esac
  done
  case "$at" in
${offers.join('\n')}
  esac
  if [[ $current == -* ]]; then _describe -o option flags
  elif ((\${#names})); then _describe command names
  else _files
  fi
}
if [[ $funcstack[1] == _larder ]]; then _larder "$@"; else compdef _larder larder; fi
`
}

/** For `larder completion fish | source`. */
export function fishScript(points: readonly CompletionPoint[]): string {
  const values = points.flatMap((point) =>
    point.options
      .filter(({ takesValue }) => takesValue)
      .flatMap(({ flags }) => flags.map((flag) => `${point.at} ${flag}`)),
  )
  return `# fish completion for larder
function __larder_at
    set -l at ''
    set -l said (commandline -opc)
    set -e said[1]
    set -l skips 0
    for word in $said
        if test $skips = 1
            set skips 0
            continue
        end
        switch "$at $word"
            case ${commandsOf(points).map(fishQuote).join(' ')}
                set at "$at $word"
            case ${values.map(fishQuote).join(' ')}
                set skips 1
        end
    end
    test "$at" = "$argv[1]"
end
${points.flatMap(fishLines).join('\n')}
`
}

function fishLines(point: CompletionPoint): readonly string[] {
  const here = `complete -c larder -n ${fishQuote(`__larder_at ${fishQuote(point.at)}`)}`
  const words = [...point.commands, ...point.choices.map((name) => ({ name, description: '' }))]
  return [
    ...words.map(
      ({ name, description }) => `${here} -f -a ${fishQuote(name)} -d ${fishQuote(description)}`,
    ),
    ...point.options.map((option) => `${here} ${fishOption(option)}`),
  ]
}

function fishOption({ flags, takesValue, choices, description }: CompletionOption): string {
  const names = flags.map((flag) =>
    flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
  )
  const value = choices.length > 0 ? `-x -a ${fishQuote(choices.join(' '))}` : '-r -F'
  return [...names, ...(takesValue ? [value] : []), `-d ${fishQuote(description)}`].join(' ')
}

/** Of all points but the program itself. */
function commandsOf(points: readonly CompletionPoint[]): readonly string[] {
  return points.map(({ at }) => at).filter((at) => at !== '')
}

/** Where the word is a command. */
function commandBranches(points: readonly CompletionPoint[]): string {
  const lines = commandsOf(points).map((at) => `      ${quote(at)}) at=${quote(at)} ;;`)
  return lines.join('\n')
}

/** Where the word is an option that the next one belongs to. */
function valueBranches(
  points: readonly CompletionPoint[],
  then: (choices: readonly string[]) => string,
): string {
  const lines = points.flatMap(({ at, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .map(({ flags, choices }) => {
        const cases = flags.map((flag) => quote(`${at} ${flag}`)).join('|')
        return `      ${cases}) ${then(choices)} ;;`
      }),
  )
  return lines.join('\n')
}

function flagsOf(options: readonly CompletionOption[]): readonly string[] {
  return options.flatMap(({ flags }) => flags)
}

function wordsOf({
  commands,
  choices,
}: Pick<CompletionPoint, 'commands' | 'choices'>): readonly string[] {
  return [...commands.map(({ name }) => name), ...choices]
}

function described(
  words: readonly { readonly name: string; readonly description: string }[],
): string {
  return words
    .map(({ name, description }) => {
      const said = description === '' ? '' : `:${description}`
      return quote(`${name.replaceAll(':', '\\:')}${said}`)
    })
    .join(' ')
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function fishQuote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
