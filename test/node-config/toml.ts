/** Reads what `node-config` writes of TOML, and refuses everything else. */
type Table = { [key: string]: unknown }

const KEY = '"(?:[^"\\\\]|\\\\.)*"|[\\w-]+'
const PATH = new RegExp(`^(?:${KEY})(?:\\.(?:${KEY}))*$`)

export function parseToml(text: string): Table {
  const root: Table = {}
  let table = root
  for (const line of text.split('\n').map((one) => one.trim())) {
    if (line === '' || line.startsWith('#')) continue
    const [, many, single] = /^(?:\[\[(.+)\]\]|\[(.+)\])$/.exec(line) ?? []
    if (many !== undefined) table = appendTo(root, keysOf(many))
    else if (single !== undefined) table = openIn(root, keysOf(single))
    else setIn(table, line)
  }
  return root
}

function keysOf(path: string): string[] {
  if (!PATH.test(path)) throw new Error(`no key of TOML: ${path}`)
  return [...path.matchAll(new RegExp(KEY, 'g'))].map(([key]) =>
    key.startsWith('"') ? String(JSON.parse(key)) : key,
  )
}

/** The table at the path; of a list, its last one. */
function descend(from: Table, keys: readonly string[]): Table {
  return keys.reduce((table, key) => {
    table[key] ??= {}
    const next = table[key]
    return (Array.isArray(next) ? next.at(-1) : next) as Table
  }, from)
}

function openIn(root: Table, keys: readonly string[]): Table {
  const parent = descend(root, keys.slice(0, -1))
  const last = keys.at(-1) ?? ''
  if (last in parent) throw new Error(`the table ${keys.join('.')} is there twice`)
  return descend(parent, [last])
}

function appendTo(root: Table, keys: readonly string[]): Table {
  const parent = descend(root, keys.slice(0, -1))
  const last = keys.at(-1) ?? ''
  const list = (parent[last] ?? []) as Table[]
  const added: Table = {}
  parent[last] = [...list, added]
  return added
}

function setIn(table: Table, line: string): void {
  const [, key = '', value = ''] = /^([\w-]+) = (.+?)(?: # .*)?$/.exec(line) ?? []
  if (key === '' || key in table) throw new Error(`no line of TOML, or one too many: ${line}`)
  // Strings, booleans and lists of them are written as in JSON here.
  table[key] = JSON.parse(value)
}
