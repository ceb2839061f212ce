/** Docker Engine, set up by the files that `larder node-config docker` writes. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { type Docker, startDocker } from './docker.ts'
import { createLinkedNetwork, type LinkedNetwork } from './network.ts'
import { run } from './programs.ts'
import { countGets, type RealRegistry, startRealRegistry } from './real-registry.ts'
import { makeImage } from './site.ts'
import { skopeoCopy } from './skopeo.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** A name of the certificate's. Docker trusts whatever is on loopback, so it is elsewhere. */
const NAME = 'registry.test'

for (const scheme of ['https', 'http'] as const) {
  describe(`Docker Engine pulls through Larder by ${scheme}`, () => {
    const image = makeImage(`docker ${scheme}`)
    const other = makeImage(`docker ${scheme}, of another registry`)
    let dir: TempDir
    let network: LinkedNetwork
    let registry: RealRegistry
    let larder: RunningLarder
    let docker: Docker
    let host: string

    before(async () => {
      dir = await makeTempDir('larder-e2e-docker-node-')
      network = await createLinkedNetwork()
      registry = await startRealRegistry()
      await registry.push('team/app', 'v1', image)
      await registry.push('team/other', 'v1', other)
      const tls = { certFile: join(dir.path, 'tls.crt'), keyFile: join(dir.path, 'tls.key') }
      await writeFile(tls.certFile, LOOPBACK_CERT)
      await writeFile(tls.keyFile, LOOPBACK_KEY)
      larder = await startLarder({
        server: { listen: `${network.gateway}:0`, ...(scheme === 'https' ? { tls } : {}) },
        upstreams: [
          { name: 'docker.io', url: registry.url, default: true },
          { name: 'quay.test', url: registry.url },
        ],
      })
      host = `${NAME}:${larder.port}`
      const ca = scheme === 'https' ? ['--ca', tls.certFile] : []
      const url = ['--url', `${scheme}://${host}`, ...ca]
      const args = [...url, '-c', larder.configFile, '--write', dir.path]
      await run(process.execPath, [MAIN, 'node-config', 'docker', ...args])
      const hosts = `127.0.0.1 localhost\n${network.gateway} ${NAME}\n`
      docker = await startDocker({ network, root: dir.path, hosts })
    })

    after(async () => {
      await docker?.[Symbol.asyncDispose]()
      await larder?.close()
      await registry?.stop()
      await network?.[Symbol.asyncDispose]()
      await dir?.remove()
    })

    test('what is on Docker Hub, through its mirror, by tag and by digest', async () => {
      await registry.forget()
      const { digest } = image.manifest
      await docker.pull('team/app:v1')
      assert.deepEqual(await docker.digests('team/app:v1'), [`team/app@${digest}`])
      await docker.pull(`team/app@${digest}`)
      const asked = await registry.requests()
      assert.equal(countGets(asked, 'blobs'), 3, 'once, though it was pulled twice')
    })

    test('what another registry has, by its name behind that of Larder', async () => {
      const name = `${host}/quay.test/team/other`
      await docker.pull(`${name}:v1`)
      assert.deepEqual(await docker.digests(`${name}:v1`), [`${name}@${other.manifest.digest}`])
    })

    test('what docker save writes is imported without a network, and said to have other digests', async () => {
      const archive = join(dir.path, 'saved.tar')
      const others = `${host}/quay.test/team/other:v1`
      await docker.save(['team/app:v1', others], archive)
      await run('zstd', ['--quiet', archive])
      const upstreams = ['docker.io', host].map((name) => ({
        name,
        url: 'https://registry.invalid',
      }))
      await using site = await startLarder({ upstreams, offline: true })
      const args = ['import', `${archive}.zst`, '-o', 'json', '--server', site.adminUrl]
      const [imported] = JSON.parse(await run(process.execPath, [MAIN, ...args])).archives
      assert.equal(imported.counts.published, 2)
      assert.match(imported.warnings.join(), /a pull by its digest does not find them/)
      const names = ['docker.io/team/app:v1', others]
      await run(process.execPath, [MAIN, 'check', ...names, '--hash', '--server', site.adminUrl])
      await skopeoCopy(`${new URL(site.url).host}/docker.io/team/app:v1`)
    })

    test('what is nowhere is not found, and the engine says so', async () => {
      await assert.rejects(docker.pull(`${host}/quay.test/team/none:v1`), /manifest unknown/)
    })
  })
}
