/** As much of Go's templates and of Helm's functions as the chart uses: anything else is an error. */
import { stringify } from 'yaml'

export interface RenderContext {
  readonly Values: unknown
  readonly Chart: Readonly<Record<string, unknown>>
  readonly Release: Readonly<Record<string, unknown>>
  /** Of the chart, by path. */
  readonly files: ReadonlyMap<string, string>
}

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly expression: string }
  | { readonly kind: 'assign'; readonly name: string; readonly expression: string }
  | { readonly kind: 'block'; readonly block: Block }

interface Block {
  readonly keyword: 'if' | 'with' | 'range' | 'define'
  readonly expression: string
  readonly body: readonly Node[]
  readonly otherwise: readonly Node[]
}

interface Scope {
  readonly dot: unknown
  readonly variables: ReadonlyMap<string, unknown>
}

type Piece = { readonly text: string } | { readonly action: string }

const ACTION = /\{\{(-?)\s*(\/\*[\s\S]*?\*\/|(?:"(?:\\.|[^"\\])*"|[^"}]|\}(?!\}))*?)\s*(-?)\}\}/g

export class ChartTemplates {
  readonly #context: RenderContext
  readonly #defined = new Map<string, readonly Node[]>()

  /** @param helpers what defines the templates that others include */
  constructor(helpers: string, context: RenderContext) {
    this.#context = context
    for (const node of parseNodes(piecesOf(helpers))) {
      if (node.kind !== 'block' || node.block.keyword !== 'define') continue
      this.#defined.set(JSON.parse(node.block.expression) as string, node.block.body)
    }
  }

  /** @throws {Error} for what Helm would refuse, and for what it would take and this does not know */
  render(template: string): string {
    return this.#all(parseNodes(piecesOf(template)), { dot: this.#root, variables: new Map() })
  }

  get #root(): unknown {
    const { Values, Chart, Release, files } = this.#context
    return { Values, Chart, Release, Files: files }
  }

  #all(nodes: readonly Node[], { dot, variables }: Scope): string {
    const own = new Map(variables)
    const scope = { dot, variables: own }
    let text = ''
    for (const node of nodes) {
      if (node.kind === 'text') text += node.text
      else if (node.kind === 'output') text += shown(this.#evaluate(node.expression, scope))
      else if (node.kind === 'assign') own.set(node.name, this.#evaluate(node.expression, scope))
      else text += this.#block(node.block, scope)
    }
    return text
  }

  #block({ keyword, expression, body, otherwise }: Block, scope: Scope): string {
    if (keyword === 'define') return ''
    const [, names = '', source = ''] = /^(?:(\$.*?)\s*:=\s*)?(.*)$/s.exec(expression) ?? []
    const value = this.#evaluate(source, scope)
    if (!isTrue(value)) return this.#all(otherwise, scope)
    if (keyword === 'if') return this.#all(body, scope)
    if (keyword === 'with') return this.#all(body, { ...scope, dot: value })
    const [index, item] = names.split(',').map((name) => name.trim())
    return (value as readonly unknown[])
      .map((one, at) => {
        const variables = new Map(scope.variables)
        if (index !== undefined && item !== undefined) variables.set(index, at).set(item, one)
        return this.#all(body, { dot: one, variables })
      })
      .join('')
  }

  /** A pipeline: what comes before is the last argument of what comes behind. */
  #evaluate(expression: string, scope: Scope): unknown {
    let piped: readonly unknown[] = []
    for (const command of splitAt(expression, '|')) {
      const [first = '', ...rest] = splitAt(command, ' ')
      const args = [...rest.map((one) => this.#operand(one, scope)), ...piped]
      piped = [
        /^[a-z]\w*$/.test(first) ? this.#call(first, args) : this.#operand(first, scope, args),
      ]
    }
    return piped[0]
  }

  #operand(text: string, scope: Scope, args: readonly unknown[] = []): unknown {
    if (text.startsWith('(')) return this.#evaluate(text.slice(1, -1), scope)
    if (text.startsWith('"')) return JSON.parse(text)
    if (/^\d+$/.test(text)) return Number(text)
    if (text.startsWith('$')) return scope.variables.get(text)
    if (text === '.') return scope.dot
    if (text === '.Files.Get') return this.#context.files.get(String(args[0]))
    if (!text.startsWith('.')) throw new Error(`what is ${text}?`)
    return text
      .slice(1)
      .split('.')
      .reduce<unknown>(
        (value, key) => (value as Record<string, unknown> | undefined)?.[key],
        scope.dot,
      )
  }

  #call(name: string, args: readonly unknown[]): unknown {
    const [first, second, third] = args
    switch (name) {
      case 'include':
        return this.#all(this.#found(String(first)), { dot: second, variables: new Map() })
      case 'toYaml':
        return stringify(first, { lineWidth: 0 }).trimEnd()
      case 'nindent':
        return `\n${String(second).replace(/^/gm, ' '.repeat(Number(first)))}`
      case 'quote':
        return JSON.stringify(String(first))
      case 'printf':
        return args
          .slice(1)
          .reduce<string>((text, one) => text.replace('%s', String(one)), String(first))
      case 'trunc':
        return String(second).slice(0, Number(first))
      case 'trimSuffix':
        return String(second).endsWith(String(first))
          ? String(second).slice(0, -String(first).length)
          : second
      case 'contains':
        return String(second).includes(String(first))
      case 'replace':
        return String(third).replaceAll(String(first), String(second))
      case 'default':
        return isTrue(second) ? second : first
      case 'required':
        if (isTrue(second)) return second
        throw new Error(String(first))
      case 'eq':
        return first === second
      case 'ne':
        return first !== second
      case 'not':
        return !isTrue(first)
      case 'and':
        return args.find((one) => !isTrue(one)) ?? args.at(-1)
      default:
        throw new Error(`the chart calls ${name}, which its test does not know`)
    }
  }

  #found(name: string): readonly Node[] {
    const nodes = this.#defined.get(name)
    if (nodes === undefined) throw new Error(`nothing defines ${name}`)
    return nodes
  }
}

function piecesOf(template: string): Piece[] {
  const pieces: Piece[] = []
  let at = 0
  let trims = false
  const text = (end: number, trimsEnd: boolean) => {
    let piece = template.slice(at, end)
    if (trims) piece = piece.trimStart()
    if (trimsEnd) piece = piece.trimEnd()
    pieces.push({ text: piece })
  }
  for (const found of template.matchAll(ACTION)) {
    text(found.index, found[1] === '-')
    at = found.index + found[0].length
    trims = found[3] === '-'
    pieces.push({ action: found[2] ?? '' })
  }
  text(template.length, false)
  return pieces
}

/** Takes what it reads from the front of `pieces`, up to the end of the block that it is in. */
function parseNodes(pieces: Piece[], isNested = false): Node[] {
  const nodes: Node[] = []
  for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
    if ('text' in piece) {
      nodes.push({ kind: 'text', text: piece.text })
      continue
    }
    const { action } = piece
    if (action.startsWith('/*')) continue
    if (action === 'end' || action.startsWith('else')) {
      if (!isNested) throw new Error(`${action} ends nothing`)
      pieces.unshift(piece)
      return nodes
    }
    const [, keyword, expression = ''] = /^(if|with|range|define)\s+(.*)$/s.exec(action) ?? []
    const [, name, value = ''] = /^(\$\w+)\s*:=\s*(.*)$/s.exec(action) ?? []
    if (keyword !== undefined) {
      const block = parseBlock(keyword as Block['keyword'], expression, pieces)
      nodes.push({ kind: 'block', block })
    } else if (name !== undefined) nodes.push({ kind: 'assign', name, expression: value })
    else nodes.push({ kind: 'output', expression: action })
  }
  if (isNested) throw new Error('a block has no end')
  return nodes
}

function parseBlock(keyword: Block['keyword'], expression: string, pieces: Piece[]): Block {
  const body = parseNodes(pieces, true)
  const next = pieces.shift()
  const action = next !== undefined && 'action' in next ? next.action : ''
  const [, condition] = /^else if\s+(.*)$/s.exec(action) ?? []
  if (condition !== undefined) {
    // It ends with what it is in.
    const block = parseBlock('if', condition, pieces)
    return { keyword, expression, body, otherwise: [{ kind: 'block', block }] }
  }
  if (action !== 'else') return { keyword, expression, body, otherwise: [] }
  const otherwise = parseNodes(pieces, true)
  pieces.shift()
  return { keyword, expression, body, otherwise }
}

/** Apart from what is in quotes or parentheses. */
function splitAt(text: string, separator: string): readonly string[] {
  const parts = ['']
  let depth = 0
  let isQuoted = false
  for (const character of text.trim()) {
    if (character === '"') isQuoted = !isQuoted
    if (!isQuoted && character === '(') depth++
    if (!isQuoted && character === ')') depth--
    if (character === separator && depth === 0 && !isQuoted) parts.push('')
    else parts[parts.length - 1] += character
  }
  return parts.map((part) => part.trim()).filter((part) => part !== '')
}

/** Go has no truth in what is empty. */
function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}

function shown(value: unknown): string {
  if (value === undefined || value === null) throw new Error('a template shows what is not there')
  return String(value)
}
