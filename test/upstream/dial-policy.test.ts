import assert from 'node:assert/strict'
import type { LookupFunction } from 'node:net'
import { test } from 'node:test'

import { classifyAddress } from '../../src/upstream/addresses.ts'
import { DialPolicy } from '../../src/upstream/dial-policy.ts'
import { approveRealm } from '../../src/upstream/realm.ts'
import { failure } from './client.ts'

const ADDRESSES = {
  public: [
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700::1',
    '64:ff9b::808:808',
    '::ffff:8.8.8.8',
  ],
  private: [
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    'fc00::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::1',
  ],
  loopback: [
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '64:ff9b::7f00:1',
    '::127.0.0.1',
  ],
  forbidden: [
    '0.0.0.0',
    '0.1.2.3',
    '::',
    '169.254.169.254',
    'fe80::1',
    '::ffff:169.254.1.1',
    '64:ff9b::a9fe:a9fe',
    '100.100.100.200',
    '168.63.129.16',
    'fd00:ec2::254',
    '224.0.0.1',
    '255.255.255.255',
    'ff02::1',
    'nonsense',
    '',
  ],
}

test('addresses are what they are in every notation', () => {
  for (const [expected, addresses] of Object.entries(ADDRESSES)) {
    for (const address of addresses) assert.equal(classifyAddress(address), expected, address)
  }
})

interface Setup {
  readonly endpoint: string
  readonly own?: string[]
  readonly trusted?: string[]
}

/** Resolves `own` for the endpoint's name, and a literal in a `.test` name for any other. */
async function createPolicy({ endpoint, own = [], trusted = [] }: Setup) {
  const answers = new Map<string, string[]>([['own.test', own]])
  const lookup: LookupFunction = (hostname, _options, callback) => {
    const found = answers.get(hostname) ?? []
    callback(
      null,
      found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
  }
  const options = { upstream: 'test', endpoint: new URL(endpoint), trustedOrigins: trusted, lookup }
  const policy = new DialPolicy(options)
  if (own.length > 0) await run(policy.lookupOwn, 'own.test')
  return {
    policy,
    allowsLiteral: (url: string) => {
      try {
        policy.check(new URL(url))
        return true
      } catch (error) {
        return !failure('invalid', 'redirect')(error)
      }
    },
    allowsName: async (...addresses: string[]) => {
      answers.set('derived.test', addresses)
      return await run(policy.lookupDerived, 'derived.test')
    },
  }
}

function run(lookup: LookupFunction, hostname: string): Promise<boolean> {
  return new Promise((resolve) =>
    lookup(hostname, { all: true }, (error) => resolve(error === null)),
  )
}

test('what a public registry names must be public', async () => {
  const { allowsLiteral, allowsName } = await createPolicy({
    endpoint: 'https://own.test',
    own: ['8.8.8.8'],
  })
  for (const [kind, addresses] of Object.entries(ADDRESSES)) {
    for (const address of addresses) {
      assert.equal(await allowsName(address), kind === 'public', address)
      assert.equal(await allowsName('8.8.8.8', address), kind === 'public', address)
      if (!address.includes('.') && !address.includes(':')) continue
      const literal = address.includes(':') ? `[${address}]` : address
      assert.equal(allowsLiteral(`https://${literal}/`), kind === 'public', address)
    }
  }
  assert.equal(await allowsName(), false)
  for (const host of ['2130706433', '0x7f.1', '127.1', 'localhost', 'x.localhost']) {
    assert.equal(allowsLiteral(`https://${host}/`), false, host)
  }
})

test('a registry that was not resolved yet is taken for public', async () => {
  const { allowsName } = await createPolicy({ endpoint: 'https://own.test' })
  assert.equal(await allowsName('10.0.0.1'), false)
})

test('a private registry may name private hosts, but not this machine', async () => {
  const { allowsLiteral, allowsName } = await createPolicy({
    endpoint: 'https://own.test',
    own: ['10.0.0.1', 'fc00::1'],
  })
  assert.equal(await allowsName('192.168.0.1'), true)
  assert.equal(await allowsName('8.8.8.8'), true)
  assert.equal(await allowsName('127.0.0.1'), false)
  assert.equal(await allowsName('169.254.169.254'), false)
  assert.equal(allowsLiteral('https://10.0.0.2/'), true)
  assert.equal(allowsLiteral('https://127.0.0.1/'), false)
})

test('a registry with one public address is no private one', async () => {
  const { allowsName } = await createPolicy({
    endpoint: 'https://own.test',
    own: ['10.0.0.1', '8.8.8.8'],
  })
  assert.equal(await allowsName('10.0.0.1'), false)
})

test('a registry on this machine may name it, and still no metadata', async () => {
  const { allowsLiteral } = await createPolicy({ endpoint: 'http://127.0.0.1:5000' })
  assert.equal(allowsLiteral('http://127.0.0.1:9000/'), true)
  assert.equal(allowsLiteral('http://localhost:9000/'), true)
  assert.equal(allowsLiteral('http://10.0.0.1/'), true)
  assert.equal(allowsLiteral('http://169.254.169.254/'), false)
})

test('plain http may be named only by a plain http registry', async () => {
  const secure = await createPolicy({ endpoint: 'https://own.test' })
  const plain = await createPolicy({ endpoint: 'http://own.test' })
  assert.equal(secure.allowsLiteral('http://cdn.example/'), false)
  assert.equal(plain.allowsLiteral('http://cdn.example/'), true)
  assert.equal(plain.allowsLiteral('ftp://cdn.example/'), false)
})

test('what the operator typed may be anywhere', async () => {
  const { policy, allowsLiteral } = await createPolicy({
    endpoint: 'https://169.254.0.1',
    trusted: ['https://10.0.0.9', 'https://derived.test'],
  })
  assert.equal(allowsLiteral('https://169.254.0.1/x'), true)
  assert.equal(allowsLiteral('https://169.254.0.1:8443/x'), false)
  assert.equal(allowsLiteral('https://10.0.0.9/token'), true)
  assert.equal(policy.isOwn(new URL('https://169.254.0.1:443/')), true)
})

test('a realm is the own origin, over TLS the own host, a known one or a trusted one', () => {
  const cases: readonly [realm: string, endpoint: string, approved: boolean][] = [
    ['https://r.example/token', 'https://r.example', true],
    ['https://r.example:443/token', 'https://r.example/prefix', true],
    ['https://r.example:8443/token', 'https://r.example', true],
    ['http://r.example:8080/token', 'http://r.example', false],
    ['http://r.example/token', 'https://r.example', false],
    ['http://r.example/token', 'http://r.example', true],
    ['https://auth.r.example/token', 'https://r.example', false],
    ['https://auth.docker.io/token', 'https://registry-1.docker.io', true],
    ['http://auth.docker.io/token', 'http://registry-1.docker.io', false],
    ['https://auth.docker.io/token', 'https://r.example', false],
    ['https://gitlab.com/jwt/auth', 'https://registry.gitlab.com', true],
    ['https://auth.docker.io.evil.example/token', 'https://registry-1.docker.io', false],
    ['https://trusted.example/t', 'https://r.example', true],
    ['https://trusted.example:444/t', 'https://r.example', false],
    ['http://127.0.0.1:5001/t', 'http://localhost:5000', false],
    ['http://127.0.0.1:5001/t', 'http://127.0.0.1:5000', false],
    ['http://127.0.0.1:5001/t', 'http://127.0.0.1:5001', true],
    ['http://127.0.0.1:5001/t', 'http://r.example', false],
    ['https://127.0.0.1:5001/t', 'https://r.example', false],
  ]
  for (const [realm, endpoint, approved] of cases) {
    const url = approveRealm(realm, new URL(endpoint), ['https://trusted.example', 'nonsense'])
    assert.equal(url !== undefined, approved, `${realm} for ${endpoint}`)
  }
  assert.equal(approveRealm(undefined, new URL('https://r.example'), []), undefined)
})
