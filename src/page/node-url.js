import { useLoad } from './load.js'

/**
 * Where nodes reach this Larder, as far as one can tell: by the name that it was just asked by.
 *
 * @returns {{ url: string | undefined, error: Error | undefined, isOwn: boolean }} `isOwn`: it is good
 * for the reader's own machine only
 */
export function useNodeUrl() {
  const { data, error } = useLoad('/node-config?runtime=containerd')
  const { hostname } = location
  const isOwn = hostname === 'localhost' || hostname.startsWith('127.') || hostname === '[::1]'
  return { url: data?.server, error, isOwn }
}
