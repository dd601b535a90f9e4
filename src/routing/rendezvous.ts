/** A 32-bit hash of a text: FNV-1a, then murmur3's finalizer, so that texts which differ in one letter land far apart. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mix(hash);
}

function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * The score of a replica for a key; the highest takes it. Gateways that share no state agree, and a replica that comes or goes
 * moves only its own share of the keys. Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
 */
export const rendezvousScore = (keyHash: number, replicaHash: number): number => mix(keyHash ^ Math.imul(replicaHash, 0x9e3779b1));
