/**
 * What was asked for, as people write it; `undefined`: nothing of a repository.
 *
 * @param {{ readonly upstream?: string | undefined, readonly repository?: string | undefined, readonly reference?: string | undefined }} request
 */
export function requestName({ upstream, repository, reference }) {
  if (repository === undefined) return undefined
  const mark =
    reference === undefined ? '' : reference.includes(':') ? `@${reference}` : `:${reference}`
  return `${upstream === undefined ? '' : `${upstream}/`}${repository}${mark}`
}
