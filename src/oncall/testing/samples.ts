/** Requests of Alertmanager 0.25 (Debian 12), byte for byte as captured; the fingerprints are computed from the labels, so these are never edited. */
export const FIRING = new URL('./samples/sample-firing.json', import.meta.url)
export const RESOLVED = new URL('./samples/sample-resolved.json', import.meta.url)
