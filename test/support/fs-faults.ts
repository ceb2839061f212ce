import fs, { type FileHandle, open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const FUNCTIONS = ['mkdir', 'open', 'rename', 'rm', 'unlink', 'chmod'] as const
const METHODS = ['read', 'writev', 'sync', 'chmod', 'truncate', 'stat'] as const

/**
 * Told of each file operation before it is done, which waits for it. What it throws is the
 * operation's failure.
 */
export type FileOperationHook = (
  operation: string,
  path: string | undefined,
) => void | Promise<void>

/** Puts `before` ahead of every file operation of this process, until it is disposed of. */
export async function interceptFiles(before: FileOperationHook): Promise<Disposable> {
  const handle = await open('/dev/null')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const undo = [
    ...FUNCTIONS.map((name) => intercept(fs, name, before)),
    ...METHODS.map((name) => intercept(prototype, name, before)),
  ]
  syncBuiltinESMExports()
  const restore = () => {
    for (const one of undo) one()
    syncBuiltinESMExports()
  }
  return { [Symbol.dispose]: restore }
}

function intercept<T extends object>(target: T, name: keyof T & string, before: FileOperationHook) {
  const original = Reflect.get(target, name) as (...args: unknown[]) => unknown
  const replacement = async function (this: unknown, ...args: unknown[]) {
    await before(name, typeof args[0] === 'string' ? args[0] : undefined)
    return original.apply(this, args)
  }
  Reflect.set(target, name, replacement)
  return () => void Reflect.set(target, name, original)
}

/** As the kernel says it. */
export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected`), { code })
}
