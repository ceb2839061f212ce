import { fileURLToPath } from 'node:url'
import { Client, credentials } from '@grpc/grpc-js'
import { loadSync, type MethodDefinition } from '@grpc/proto-loader'

export interface PodCredential {
  readonly username: string
  readonly password: string
}

/** Calls containerd as the kubelet does. */
export interface Cri {
  /** The reference by which the runtime knows the image: its config's digest. */
  pullImage(image: string, auth?: PodCredential): Promise<string>
  removeImage(image: string): Promise<void>
  close(): void
}

const PROTO = fileURLToPath(new URL('cri.proto', import.meta.url))

export function connectCri(socket: string): Cri {
  const service = loadSync(PROTO, { keepCase: true })['runtime.v1.ImageService']
  if (service === undefined) throw new Error('cri.proto has no ImageService')
  const methods = service as Record<string, MethodDefinition<object, object>>
  const client = new Client(`unix://${socket}`, credentials.createInsecure())
  const call = <Reply>(name: string, request: object): Promise<Reply> => {
    const method = methods[name]
    if (method === undefined) throw new Error(`cri.proto has no ${name}`)
    const { path, requestSerialize, responseDeserialize } = method
    const deserialize = (bytes: Buffer) => responseDeserialize(bytes) as Reply
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, deserialize, request, (error, reply) => {
        if (error !== null || reply === undefined) reject(error ?? new Error('no reply'))
        else resolve(reply)
      })
    })
  }
  return {
    pullImage: async (image, auth) => {
      const request = { image: { image }, ...(auth === undefined ? {} : { auth }) }
      return (await call<{ image_ref: string }>('PullImage', request)).image_ref
    },
    removeImage: async (image) => void (await call('RemoveImage', { image: { image } })),
    close: () => client.close(),
  }
}
