/* Blocks of one stream in plain C: for the few blocks that are too few for the other kernels, and for the last ones. */

#define KEEP(x) KEEP_NUMBER(x)
#define MD5_G MD5_G_SUM
#define MD5_CONSTANT(i) MD5_K[i]
#define MD5_WORD(j) load_32(block + 4 * (j))

/* count: blocks of 64 bytes */
static void md5_plain(u32 *state, const u8 *block, size_t count)
{
    u32 ma = state[0], mb = state[1], mc = state[2], md = state[3];
    for (; count; count--, block += 64) {
        u32 a = ma, b = mb, c = mc, d = md;
        MD5_BLOCK
        ma += a, mb += b, mc += c, md += d;
    }
    state[0] = ma, state[1] = mb, state[2] = mc, state[3] = md;
}

#undef MD5_WORD

#define SHA512_WORD(i) words[(i) & 15] + SHA512_K[i]

/* count: blocks of 128 bytes */
static void sha512_plain(u64 *state, const u8 *block, size_t count)
{
    for (; count; count--, block += 128) {
        u64 words[16];
        u64 a = state[0], b = state[1], c = state[2], d = state[3];
        u64 e = state[4], f = state[5], g = state[6], h = state[7];
        u64 same = b ^ c, differ;
        for (int i = 0; i < 16; i++)
            words[i] = __builtin_bswap64(load_64(block + 8 * i));
        for (int i = 0; i < 80; i += 8) {
            if (i >= 16)
                for (int j = i; j < i + 8; j++) {
                    u64 x = words[(j + 1) & 15], y = words[(j + 14) & 15];
                    words[j & 15] += words[(j + 9) & 15]
                        + (ROTATE_RIGHT_64(x, 1) ^ ROTATE_RIGHT_64(x, 8) ^ (x >> 7))
                        + (ROTATE_RIGHT_64(y, 19) ^ ROTATE_RIGHT_64(y, 61) ^ (y >> 6));
                }
            SHA512_EIGHT(i)
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#undef SHA512_WORD
#undef MD5_CONSTANT
#undef MD5_G
#undef KEEP
