/** Sources that name images: what each is, and what it names. */
import { chart } from './sources/chart.ts'
import { compose } from './sources/compose.ts'
import { parseDotEnv } from './sources/dot-env.ts'
import { Findings } from './sources/findings.ts'
import { hauler } from './sources/hauler.ts'
import { readImage } from './sources/image-text.ts'
import { imageSequence, imagesLock } from './sources/images-lock.ts'
import { kubernetes } from './sources/kubernetes.ts'
import { kustomize } from './sources/kustomize.ts'
import { readList } from './sources/list.ts'
import type { Found, Note } from './sources/mention.ts'
import { ocMirror } from './sources/oc-mirror.ts'
import type { DocumentParser } from './sources/parser.ts'
import { TextLocator } from './sources/position.ts'
import { regsync } from './sources/regsync.ts'
import { skopeoSync } from './sources/skopeo-sync.ts'
import { yamlDocuments } from './sources/yaml.ts'
import { zarf } from './sources/zarf.ts'

/** A text that may name images. */
export interface Source {
  /** As places in it are named: the file, or `stdin`. */
  readonly name: string
  readonly text: string
  /** The `.env` file beside it. */
  readonly dotEnv?: string
  /** Nobody named it: it was in a folder. That it is of no known form is no error then. */
  readonly isIncidental?: boolean
}

export interface SourceFound extends Found {
  /** Whether it is of a form that can name images, however few it names. */
  readonly isKnown: boolean
}

/** The first that recognises a document reads it: Kubernetes, which takes any kind, comes last. */
const PARSERS: readonly DocumentParser[] = [
  hauler,
  zarf,
  ocMirror,
  imagesLock,
  kustomize,
  chart,
  compose,
  regsync,
  skopeoSync,
  imageSequence,
  kubernetes,
]

const FORMS = ['a list of images', ...PARSERS.map(({ form }) => form)].join(', ')
const UNKNOWN =
  `is none of what names images: ${FORMS}; ` +
  'for a chart use helm template NAME CHART | larder images -'

/** How a document begins: a marker, a bracket, an item, a key. No line of a list does. */
const YAML_LINE = /^(?:---|%YAML|[{[]|-(?:\s|$)|["'].*["']\s*:|[^\s#]\S*:(?:\s|$))/

/** What a source names. Never throws: what is wrong with it is among the notes. */
export function readSource(source: Source): SourceFound {
  const { name, text, isIncidental = false } = source
  const findings = new Findings(new TextLocator(name, text))
  const line = firstLine(text)
  const isKnown =
    line === undefined ||
    (YAML_LINE.test(line) ? readDocuments(source, findings) : readList(text, findings))
  const { images, notes } = findings.found
  const note = (level: Note['level'], message: string): SourceFound => {
    return { images, notes: [...notes, { level, where: { source: name }, message }], isKnown }
  }
  if (!isKnown) return note(isIncidental ? 'warning' : 'error', UNKNOWN)
  const isSaid = images.length > 0 || notes.some(({ level }) => level !== 'note')
  return isSaid ? { images, notes, isKnown } : note('warning', 'names no images')
}

/** An image that is itself given as a source. @returns undefined when it is none */
export function readArgument(text: string): Found | undefined {
  const reference = readImage(text)
  if (reference === undefined) return undefined
  const where = { source: 'argument' }
  return { images: [{ reference, raw: text, where, certainty: 'sure' }], notes: [] }
}

/** The first that says something; undefined when there are but comments. */
function firstLine(text: string): string | undefined {
  for (const [line] of text.matchAll(/^[^\r\n]+/gm)) {
    const body = line.replace(/(?:^|\s)#.*$/s, '').trim()
    if (body !== '') return body
  }
  return undefined
}

/** @returns whether any of it is of a known form; what is broken is said, and counts as known */
function readDocuments({ text, dotEnv = '' }: Source, findings: Findings): boolean {
  const help = { variables: parseDotEnv(dotEnv) }
  const strangers: number[] = []
  let known = 0
  for (const { root, problems } of yamlDocuments(text)) {
    for (const { level, message, offset } of problems) {
      findings.note(level, message, { offset, end: offset, path: '' })
      if (level === 'error') known++
    }
    if (root === undefined) continue
    const at = { node: root, path: '' }
    const parser = PARSERS.find((one) => one.recognises(at))
    parser?.read(at, findings, help)
    if (parser === undefined) strangers.push(root.offset)
    else known++
  }
  if (known === 0) return strangers.length === 0
  for (const offset of strangers) {
    findings.note('warning', 'this document is of no known form', { offset, end: offset, path: '' })
  }
  return true
}
