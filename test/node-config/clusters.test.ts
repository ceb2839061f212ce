import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'

import { renderNodeConfig } from '../../src/node-config/render.ts'
import { LOOPBACK_CERT } from '../upstream/loopback-tls.ts'
import { ACME, byPath, HUB, PLAIN, TLS } from './setups.ts'

test('k3s: an endpoint for each; the registry is named only where its name does not lead to it', () => {
  assert.deepEqual(byPath(renderNodeConfig('k3s', TLS)), {
    '/etc/rancher/k3s/registries.yaml': `mirrors:
  docker.io:
    endpoint:
      - https://larder.example:5000
  reg.acme.example:8443:
    endpoint:
      - https://larder.example:5000
      - http://10.0.0.1:8443
configs:
  larder.example:5000:
    tls:
      ca_file: /etc/rancher/k3s/larder-ca.crt
      cert_file: /pki/node.crt
      key_file: /pki/node.key
`,
    '/etc/rancher/k3s/larder-ca.crt': LOOPBACK_CERT,
  })
})

test('RKE2: without a fallback the default endpoint is turned off, in a file beside the others', () => {
  const files = byPath(renderNodeConfig('rke2', { ...PLAIN, fallback: false }))
  const endpoint = ['http://larder.example:5000']
  assert.deepEqual(parse(files['/etc/rancher/rke2/registries.yaml'] ?? ''), {
    mirrors: { 'docker.io': { endpoint }, 'reg.acme.example:8443': { endpoint } },
  })
  assert.equal(
    files['/etc/rancher/rke2/config.yaml.d/50-larder.yaml'],
    'disable-default-registry-endpoint: true\n',
  )
  const every = byPath(renderNodeConfig('rke2', { ...PLAIN, everything: true }))
  assert.deepEqual(parse(every['/etc/rancher/rke2/registries.yaml'] ?? ''), {
    mirrors: { '*': { endpoint } },
  })
  assert.equal(Object.keys(every).length, 1)
})

test('k3s: an endpoint with a path is taken as it is, so that it ends with /v2', () => {
  const registries = [{ ...HUB, name: 'reg.test', url: 'https://harbor.example/proxy' }]
  const [file] = renderNodeConfig('k3s', { ...PLAIN, registries }).files
  assert.match(file?.content ?? '', /^ {6}- https:\/\/harbor\.example\/proxy\/v2$/m)
})

test('kind: the nodes get containerd’s files mounted', () => {
  const files = byPath(renderNodeConfig('kind', { ...TLS, registries: [HUB] }))
  assert.deepEqual(Object.keys(files), [
    'kind-cluster.yaml',
    'certs.d/larder.example_5000_/ca.crt',
    'certs.d/docker.io/hosts.toml',
  ])
  assert.equal(
    files['kind-cluster.yaml'],
    `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
  - |
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
nodes:
  - role: control-plane
    extraMounts:
      - hostPath: ./certs.d
        containerPath: /etc/containerd/certs.d
        readOnly: true
`,
  )
})

test('minikube: what containerd and CRI-O read, where it is copied from; Docker takes flags', () => {
  const { files, notes } = renderNodeConfig('minikube', PLAIN)
  assert.deepEqual(
    files.map(({ path }) => path),
    [
      '.minikube/files/etc/containerd/certs.d/docker.io/hosts.toml',
      '.minikube/files/etc/containerd/certs.d/reg.acme.example_8443_/hosts.toml',
      '.minikube/files/etc/containers/registries.conf.d/50-larder.conf',
    ],
  )
  assert.match(
    notes.join('\n'),
    /--registry-mirror=http:\/\/larder\.example:5000 --insecure-registry=larder\.example:5000\./,
  )
  const alone = renderNodeConfig('minikube', { ...PLAIN, fallback: false }).notes.join('\n')
  assert.match(alone, /With Docker inside there is no way/)
  const nameless = { ...PLAIN, registries: [{ ...ACME, segment: undefined }] }
  assert.equal(renderNodeConfig('minikube', nameless).files.length, 1)
})

test('Talos: documents for 1.12 and newer, a patch for those before', () => {
  const files = byPath(renderNodeConfig('talos', { ...TLS, registries: [HUB] }))
  const documents = parseAllDocuments(files['talos-registries.yaml'] ?? '')
  const [url, itself] = ['https://larder.example:5000', 'https://registry-1.docker.io']
  assert.deepEqual(
    documents.map((one) => one.toJS()),
    [
      {
        apiVersion: 'v1alpha1',
        kind: 'RegistryMirrorConfig',
        name: 'docker.io',
        endpoints: [{ url }, { url: itself }],
        skipFallback: false,
      },
      {
        apiVersion: 'v1alpha1',
        kind: 'RegistryTLSConfig',
        name: 'larder.example:5000',
        ca: LOOPBACK_CERT,
      },
    ],
  )
  assert.deepEqual(parse(files['talos-registries-before-1.12.yaml'] ?? ''), {
    machine: {
      registries: {
        mirrors: { 'docker.io': { endpoints: [url, itself], skipFallback: false } },
        config: {
          'larder.example:5000': { tls: { ca: Buffer.from(LOOPBACK_CERT).toString('base64') } },
        },
      },
    },
  })
})

test('Talos: without a fallback the registry is neither named nor asked', () => {
  for (const { content } of renderNodeConfig('talos', { ...PLAIN, fallback: false }).files) {
    assert.doesNotMatch(content, /registry-1\.docker\.io|10\.0\.0\.1|skipFallback: false/)
  }
  const setup = { ...PLAIN, everything: true, fallback: false }
  const files = byPath(renderNodeConfig('talos', setup))
  assert.equal(
    files['talos-registries.yaml'],
    `apiVersion: v1alpha1
kind: RegistryMirrorConfig
name: "*"
endpoints:
  - url: http://larder.example:5000
skipFallback: true
`,
  )
})
