import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parseKubeletConfig } from '../../../src/upstream/credentials/kubelet-config.ts'

const PROVIDER = {
  name: 'ecr-credential-provider',
  matchImages: ['*.dkr.ecr.*.amazonaws.com', 'registry.io:8080/path'],
  defaultCacheDuration: '12h',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
}

function config(provider: object = PROVIDER, more: object = {}): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: [provider],
    ...more,
  })
}

test('the configuration that a node has is read', () => {
  const text = `
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: ecr-credential-provider
  matchImages: ["*.dkr.ecr.*.amazonaws.com", "registry.io:8080/path"]
  defaultCacheDuration: "12h"
  apiVersion: credentialprovider.kubelet.k8s.io/v1beta1
  args: [get-credentials]
  env: [{name: AWS_PROFILE, value: x}]
  someday: { this: is known }
`
  const [provider, ...more] = parseKubeletConfig(text, 'c.yaml')
  assert.deepEqual(more, [])
  assert.deepEqual(
    { ...provider, matchImages: provider?.matchImages.map(({ key }) => key) },
    {
      name: 'ecr-credential-provider',
      matchImages: ['*.dkr.ecr.*.amazonaws.com', 'registry.io:8080/path'],
      defaultCacheMs: 43_200_000,
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1',
      args: ['get-credentials'],
      env: { AWS_PROFILE: 'x' },
      needsServiceAccount: false,
    },
  )
})

test('older versions of the configuration are read too', () => {
  for (const version of ['v1', 'v1beta1', 'v1alpha1']) {
    const apiVersion = `kubelet.config.k8s.io/${version}`
    assert.equal(parseKubeletConfig(config(PROVIDER, { apiVersion }), 'c.yaml').length, 1)
  }
})

test('what is wrong is named with its place, and nothing is quoted', () => {
  const versions = ['v1', 'v1beta1', 'v1alpha1'].map((one) => `kubelet.config.k8s.io/${one}`)
  const apis = 'credentialprovider.kubelet.k8s.io/v1, credentialprovider.kubelet.k8s.io/v1beta1'
  const cases: readonly [text: string, message: string][] = [
    ['canary: [', 'c.yaml is not a YAML map'],
    ['canary', 'c.yaml is not a YAML map'],
    ['kind: canary', 'c.yaml: kind is not CredentialProviderConfig'],
    [
      config(PROVIDER, { apiVersion: 'v2' }),
      `c.yaml: apiVersion is none of ${versions.join(', ')}`,
    ],
    [
      config(PROVIDER, { providers: [] }),
      'c.yaml: providers is not a list with at least one provider',
    ],
    [
      config(PROVIDER, { providers: [PROVIDER, PROVIDER] }),
      'c.yaml: ecr-credential-provider is there twice',
    ],
    ...['../x', 'a/b', '', '.', '..', 'a b', 'a\\b', 'a\0b', 5].map((name): [string, string] => [
      config({ ...PROVIDER, name }),
      'c.yaml: providers[0].name is not a plain file name',
    ]),
    [
      config({ ...PROVIDER, apiVersion: 'credentialprovider.kubelet.k8s.io/v1alpha1' }),
      `c.yaml: providers[0].apiVersion is none of ${apis}`,
    ],
    ...['', '12', '-1h', 12, undefined].map((defaultCacheDuration): [string, string] => [
      config({ ...PROVIDER, defaultCacheDuration }),
      'c.yaml: providers[0].defaultCacheDuration is not a duration such as 12h or 0s',
    ]),
    [config({ ...PROVIDER, matchImages: [] }), 'c.yaml: providers[0].matchImages is empty'],
    [
      config({ ...PROVIDER, matchImages: ['u:canary@x'] }),
      'c.yaml: providers[0].matchImages[0] names no registry',
    ],
    [config({ ...PROVIDER, args: 'get' }), 'c.yaml: providers[0].args is not a list of texts'],
    [
      config({ ...PROVIDER, env: [{ name: 'A=B', value: 'canary' }] }),
      'c.yaml: providers[0].env[0] is not a name with a value',
    ],
  ]
  for (const [text, message] of cases) {
    assert.throws(() => parseKubeletConfig(text, 'c.yaml'), { message })
  }
})
