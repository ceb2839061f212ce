import { readEmbedded } from './embedded.ts'
import type { Findings } from './findings.ts'
import { guessImageLines, guessImages, isFull, mayNameImages } from './guess.ts'
import { readRenames } from './kustomize.ts'
import type { Certainty } from './mention.ts'
import { readSplitForm, SPLIT_KEYS } from './split-form.ts'
import {
  type At,
  entriesOf,
  get,
  getIn,
  isList,
  isMap,
  isString,
  itemsOf,
  spotOf,
  stringOf,
  type Tree,
  type TreeScalar,
} from './tree.ts'

const CONTAINERS = new Set(['containers', 'initContainers', 'ephemeralContainers'])
/** Where "image" is a name, a rule, an example or a report, and nothing that would be pulled. */
const SKIPPED = new Set([
  'annotations',
  'labels',
  'managedFields',
  'matchLabels',
  'nodeSelector',
  'openAPIV3Schema',
  'ownerReferences',
  'selector',
  'status',
])
const COMMANDS = new Set(['command', 'args'])
const IMAGE_KEY = /^(?:image|imageName)$|Image$/

export interface WalkOptions {
  /** Of what is in the places that are there for images. */
  readonly certainty: Certainty
  /** Whether all of it is a text within a text already. */
  readonly isEmbedded?: boolean
}

/** Goes through one object for all that is, or may be, an image in it. */
export class KubernetesWalk {
  readonly #findings: Findings
  readonly #certainty: Certainty
  readonly #isEmbedded: boolean
  /** What an alias shows again is found already. */
  readonly #seen = new Set<Tree>()

  constructor(findings: Findings, { certainty, isEmbedded = false }: WalkOptions) {
    this.#findings = findings
    this.#certainty = certainty
    this.#isEmbedded = isEmbedded
  }

  /** @param key under which it stands */
  visit(at: At, key = ''): void {
    if (at.node.kind !== 'scalar') {
      if (this.#seen.has(at.node)) return
      this.#seen.add(at.node)
    }
    if (COMMANDS.has(key) && !isMap(at)) this.#command(at)
    else if (isList(at)) for (const item of itemsOf(at)) this.#item(item, key)
    else if (isMap(at)) this.#map(at)
    else if (isString(at)) this.#text(at, key)
  }

  #item(item: At, key: string): void {
    if (CONTAINERS.has(key) && isMap(item)) this.#container(item)
    else if (key === 'volumes' && isMap(item)) this.#volume(item)
    else if (key === 'images' && isString(item)) this.#value(item, 'image')
    else this.visit(item, key)
  }

  /** A flag may stand in the item before the image. */
  #command(at: At): void {
    let flag = ''
    for (const item of isList(at) ? itemsOf(at) : [at]) {
      if (isString(item)) guessImages(item.node.text, flag, spotOf(item), this.#findings)
      else this.visit(item)
      flag = stringOf(item)?.startsWith('-') ? (stringOf(item) ?? '') : ''
    }
  }

  /** Here alone an image that is none is an error: Kubernetes would not run it either. */
  #container(container: At): void {
    const image = get(container, 'image')
    if (isString(image)) this.#sure(image)
    else if (image === undefined && this.#certainty === 'sure') {
      this.#findings.note('note', 'a container without an image', spotOf(container))
    }
    for (const [key, value] of entriesOf(container)) if (key !== 'image') this.visit(value, key)
  }

  #volume(volume: At): void {
    const reference = getIn(volume, 'image', 'reference')
    if (isString(reference)) this.#sure(reference)
    for (const [key, value] of entriesOf(volume)) if (key !== 'image') this.visit(value, key)
  }

  #sure(image: At<TreeScalar>): void {
    this.#findings.image(image.node.text, spotOf(image), { certainty: this.#certainty })
  }

  #map(map: At): void {
    const isSplit = readSplitForm(map, this.#certainty, this.#findings)
    this.#imageStream(map)
    this.#annotations(get(map, 'annotations'))
    const name = stringOf(get(map, 'name')) ?? ''
    for (const [key, value] of entriesOf(map)) {
      if (SKIPPED.has(key) || (isSplit && SPLIT_KEYS.has(key) && !isMap(value))) continue
      if (key === 'images' && readRenames(value, this.#certainty, this.#findings)) continue
      // The variable is what says whether its value is an image.
      this.visit(value, key === 'value' && isString(value) ? name : key)
    }
  }

  /** An injector's, such as `sidecar.istio.io/proxyImage`; a key without a prefix is somebody's note. */
  #annotations(annotations: At | undefined): void {
    for (const [key, value] of entriesOf(annotations)) {
      if (!/\/.*image$/i.test(key) || !isString(value) || !isFull(value.node.text)) continue
      this.#findings.tryImage(value.node.text, spotOf(value), { certainty: 'maybe' })
    }
  }

  /** OpenShift names an image so in image streams and builds. */
  #imageStream(map: At): void {
    const name = get(map, 'name')
    if (stringOf(get(map, 'kind')) === 'DockerImage' && isString(name)) this.#value(name, 'image')
  }

  #text(at: At<TreeScalar>, key: string): void {
    const { text } = at.node
    if (IMAGE_KEY.test(key)) this.#value(at, key)
    else if (!text.includes('\n')) guessImages(text, key, spotOf(at), this.#findings)
    else if (mayNameImages(text)) this.#document(at)
  }

  /** What is written within a text; not what is within that again. */
  #document(at: At<TreeScalar>): void {
    const embedded = this.#isEmbedded ? undefined : readEmbedded(at, this.#findings)
    if (embedded === undefined) {
      guessImageLines(at.node.text, spotOf(at), this.#findings)
      return
    }
    const walk = new KubernetesWalk(embedded.findings, { certainty: 'maybe', isEmbedded: true })
    for (const root of embedded.roots) walk.visit(root)
  }

  /** `image:` of a custom resource: a word alone may be the picture of something. */
  #value(at: At<TreeScalar>, key: string): void {
    const { text } = at.node
    // Such as a workflow's, which its controller fills in.
    if (/\{\{|\$[({]/.test(text)) {
      if (this.#certainty === 'maybe') return
      this.#findings.note('warning', 'a variable that is not filled in: left out', spotOf(at))
      return
    }
    const isSure = isFull(text)
    if (!isSure && key !== 'image') return
    this.#findings.tryImage(text, spotOf(at), { certainty: isSure ? this.#certainty : 'maybe' })
  }
}
