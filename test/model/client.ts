import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'

import { type Digest, isDigest } from '../../src/oci/digest.ts'
import { type ClientResponse, readResponse } from '../support/http-client.ts'
import type { Expectations } from './expectations.ts'
import { headerOf, readRanged } from './ranges.ts'
import type { Site } from './site.ts'
import type { RangeWish } from './steps.ts'

/** In which circumstances something is asked. */
export interface Moment {
  /** When the first of what is asked together was asked, by the monotonic clock. */
  readonly since: number
  /** Nothing else is asked meanwhile. */
  readonly isAlone: boolean
  /** Nothing is asked meanwhile that removes. */
  readonly isCalm: boolean
}

interface Wanted {
  readonly repository: string
  readonly digest: Digest
  /** It has to be served, whatever the registry does. */
  readonly must: boolean
}

/** A node that trusts nobody: it holds every answer against what is true. */
export class Client {
  readonly #site: Site
  readonly #expected: Expectations
  /** What a whole and right answer was given of: afterwards its file is right, or gone. */
  readonly sent = new Set<Digest>()

  constructor(site: Site, expected: Expectations) {
    this.#site = site
    this.#expected = expected
  }

  /** As containerd does: the tag, what it means, and all blobs at once. */
  async pull(repository: string, tag: string, moment: Moment): Promise<void> {
    const digest = await this.#tag(repository, tag, moment)
    if (digest === undefined) return
    const inside = { ...moment, isAlone: false }
    const { universe } = this.#expected
    for (const { manifest } of universe.childrenOf(digest)) {
      await this.manifest(repository, manifest.digest, false, inside)
    }
    const blobs = universe.reach(digest).filter((one) => universe.blobs.has(one))
    await Promise.all(blobs.map((blob) => this.blob(repository, blob, false, inside)))
  }

  async #tag(repository: string, tag: string, moment: Moment): Promise<Digest | undefined> {
    const expected = this.#expected
    const must = moment.isCalm && expected.mustServeTag(repository, tag, moment.isAlone)
    const response = await this.#site.get(`/v2/${repository}/manifests/${tag}`)
    if (response.status !== 200) {
      assert.ok(!must, `I10: ${repository}:${tag} is here and not served: ${response.status}`)
      if (response.status === 404) {
        const mayLack = expected.mayLackTag(repository, tag, moment.since)
        assert.ok(mayLack, `404 of ${repository}:${tag}, which the registry has`)
        expected.lacked(repository, tag)
      } else this.#checkFailure(response)
      return undefined
    }
    const digest = response.headers['docker-content-digest']
    assert.ok(isDigest(digest), 'a manifest comes with its digest')
    expected.checkTag(repository, tag, digest, moment.since)
    this.#checkWhole(response, digest)
    expected.servedTag(repository, tag, digest, moment.isAlone)
    expected.proves(repository, digest)
    return digest
  }

  async manifest(repository: string, digest: Digest, head: boolean, moment: Moment) {
    const wanted = this.#wanted(repository, digest, moment)
    const path = `/v2/${repository}/manifests/${digest}`
    await this.#ask(wanted, head ? 'HEAD' : 'GET', path)
  }

  async blob(repository: string, digest: Digest, head: boolean, moment: Moment) {
    const wanted = this.#wanted(repository, digest, moment)
    const path = `/v2/${repository}/blobs/${digest}`
    const wasHurt = this.#expected.isHurt(digest)
    const isWhole = await this.#ask(wanted, head ? 'HEAD' : 'GET', path)
    // What was found to be damaged on the way is cut, and right for the next who asks.
    if (isWhole || !this.#site.isUp) return
    assert.ok(wasHurt, `${path} was cut although nothing is wrong`)
    assert.ok(await this.#ask(wanted, 'GET', path), `I6: ${path} was cut again`)
  }

  async ranges(
    repository: string,
    digest: Digest,
    wishes: readonly RangeWish[],
    moment: Moment,
  ): Promise<void> {
    const truth = this.#expected.universe.bytesOf(digest)
    const wanted = this.#wanted(repository, digest, moment)
    const range = headerOf(wishes, truth.length)
    const isUncertain = this.#expected.isSizeUnknown(digest)
    const response = await this.#site.get(`/v2/${repository}/blobs/${digest}`, { range })
    if (isUncertain) return
    if (response.status >= 300 && response.status !== 416)
      return this.#checkRefusal(response, wanted)
    if (!response.complete) return this.#checkCut(response, wanted)
    const answer = readRanged(response, wishes, truth)
    if (answer.kind === 'whole') this.#checkWhole(response, digest)
    for (const { sent, wanted: right } of answer.parts) {
      const mayBeWrong = this.#expected.isFlipped(digest)
      assert.equal(sent.length, right.length, 'a range is as long as was asked for')
      assert.ok(sent.equals(right) || mayBeWrong, `I1: wrong bytes in ${range} of ${digest}`)
    }
    this.#expected.proves(repository, digest)
  }

  /** Hangs up somewhere in the middle. */
  async leave(repository: string, digest: Digest, after: number, moment: Moment): Promise<void> {
    const wanted = this.#wanted(repository, digest, moment)
    const truth = this.#expected.universe.bytesOf(digest)
    const abortAfter = after % (truth.length + 1)
    const response = await this.#site.get(`/v2/${repository}/blobs/${digest}`, { abortAfter })
    if (response.status !== 200) return this.#checkRefusal(response, wanted)
    if (response.complete) this.#checkWhole(response, digest)
    else this.#checkBeginning(response, digest)
  }

  /** Takes its time for each piece. */
  async slowly(repository: string, digest: Digest, moment: Moment): Promise<void> {
    const wanted = this.#wanted(repository, digest, moment)
    const wasHurt = this.#expected.isHurt(digest)
    const message = await this.#site.open(`/v2/${repository}/blobs/${digest}`)
    const read = readResponse(message)
    message.on('data', () => {
      message.pause()
      void setImmediate().then(() => message.resume())
    })
    const response = await read
    this.#site.note(`  slowly ${repository} ${digest} → ${response.status} ${response.body.length}`)
    if (response.status !== 200) return this.#checkRefusal(response, wanted)
    if (response.complete) this.#checkWhole(response, digest)
    else if (!wasHurt) this.#checkCut(response, wanted)
  }

  #wanted(repository: string, digest: Digest, { isAlone, isCalm }: Moment): Wanted {
    const must = isCalm && this.#expected.mustServe(repository, digest, isAlone)
    return { repository, digest, must }
  }

  /** @returns whether the answer, if it has a body, is whole */
  async #ask(wanted: Wanted, method: string, path: string): Promise<boolean> {
    const expected = this.#expected
    const { repository, digest } = wanted
    const response = await this.#site.get(path, { method })
    if (response.status !== 200) {
      this.#checkRefusal(response, wanted)
      return true
    }
    const { length } = expected.universe.bytesOf(digest)
    assert.equal(response.headers['docker-content-digest'], digest)
    const mayLie = expected.isSizeUnknown(digest) && (method === 'HEAD' || !response.complete)
    if (mayLie) return method === 'HEAD'
    // What a registry announces is wrong at times, and then nothing is whole.
    const isEnding = method === 'HEAD' || response.complete
    if (isEnding) assert.equal(response.headers['content-length'], `${length}`, `of ${digest}`)
    if (method === 'HEAD') return true
    if (!response.complete) {
      this.#checkBeginning(response, digest)
      assert.ok(!wanted.must, `I10: ${path} is here and was cut`)
      return false
    }
    this.#checkWhole(response, digest)
    expected.proves(repository, digest)
    return true
  }

  /** I1: what is complete is right. */
  #checkWhole({ body }: ClientResponse, digest: Digest): void {
    const expected = this.#expected
    const isRight = body.equals(expected.universe.bytesOf(digest))
    assert.ok(isRight || expected.mayBeWrong(digest), `I1: complete and wrong: ${digest}`)
    if (isRight && !expected.mayBeWrong(digest)) this.sent.add(digest)
  }

  /** What was cut has brought no last byte. */
  #checkBeginning({ body }: ClientResponse, digest: Digest): void {
    const truth = this.#expected.universe.bytesOf(digest)
    assert.ok(body.length <= truth.length, `more than there is of ${digest}`)
    const isRight = truth.subarray(0, body.length).equals(body)
    const mayBeWrong = this.#expected.isHurt(digest) || !this.#site.isUp
    assert.ok(isRight || mayBeWrong, `I1: the beginning of ${digest} is wrong`)
  }

  #checkCut(response: ClientResponse, { digest, must }: Wanted): void {
    const mayBeCut = !this.#site.isUp || this.#expected.isHurt(digest)
    assert.ok(!must && mayBeCut, `${digest} was cut at ${response.body.length}`)
  }

  #checkRefusal(response: ClientResponse, { repository, digest, must }: Wanted): void {
    const expected = this.#expected
    const { status } = response
    assert.ok(!must, `I10: ${digest} is here and not served at ${repository}: ${status}`)
    if (status !== 404) {
      this.#checkFailure(response)
      return
    }
    const mayLack = expected.mayLack(repository, digest)
    assert.ok(mayLack, `404 of ${digest}, which ${repository} has at the registry`)
    expected.lacked(repository, digest)
  }

  /** I6, and no refusal for want of a disk: only a registry that is not well is a reason. */
  #checkFailure({ status, body }: ClientResponse): void {
    assert.ok(!this.#site.isUp, `${status} although the registry is well: ${body}`)
    assert.ok([502, 503, 504].includes(status), `${status} for what a registry has failed at`)
  }
}
