"""The random numbers of kernels/base/philox.h."""

import numpy as np

MASK = 0xFFFFFFFFFFFFFFFF


def philox4x32(key, c0, c1, c2, c3):
    """Four words for each counter c0 (an array)."""
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    c = [np.asarray(c0, np.uint64), *(np.full(len(c0), v, np.uint64) for v in (c1, c2, c3))]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def philox_key(seed, purpose, a, b):
    h = seed
    for part in (purpose, a, b):
        h = (h + part * 0xD6E8FEB86659FD93 + 0x9E3779B97F4A7C15) & MASK
        h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & MASK
        h = (h ^ h >> 27) * 0x94D049BB133111EB & MASK
        h ^= h >> 31
    return h


def normals(key, n):
    """n standard normals, in f32 (as f64)."""
    words = philox4x32(key, np.arange((n + 3) // 4), 0, 0, 0)
    out = np.empty(((n + 3) // 4, 4), np.float32)
    for i in (0, 2):
        r = np.sqrt(-2 * np.log((words[i].astype(np.float64) + 1) * 2.0 ** -32))
        phi = 6.283185307179586 * (words[i + 1].astype(np.float64) * 2.0 ** -32)
        out[:, i], out[:, i + 1] = r * np.cos(phi), r * np.sin(phi)
    return out.ravel()[:n].astype(np.float64)
