/* One stream: SHA-256 by the instructions of the processor (SHA-NI), with MD5 in the general registers beside it. These
 * have no form for AVX, so no AVX is used here: a change between the two kinds costs hundreds of cycles. */

#define TARGET __attribute__((target("sha,ssse3,sse4.1")))
#define KEEP(x) KEEP_NUMBER(x)
#define MD5_G MD5_G_SUM
#define MD5_CONSTANT(i) MD5_K[i]
#define MD5_WORD(j) load_32(block + 4 * (j))

/* Four rounds of SHA-256, and four steps of MD5. w0 to w3: the last 16 words of the schedule, four a vector. */
#define ROUNDS(group, w0, part, i) \
    sum = _mm_add_epi32(w0, _mm_loadu_si128((const __m128i *)(SHA256_K + 4 * (group)))); \
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum); \
    if (with_md5) { MD5_FOUR(part, i) } \
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
#define FIRST(group, w0, part, i) \
    w0 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * (group))), reversed); \
    ROUNDS(group, w0, part, i)
#define NEXT(group, w0, w1, w2, w3, part, i) \
    w0 = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)); \
    w0 = _mm_sha256msg2_epu32(w0, w3); \
    ROUNDS(group, w0, part, i)

/* count: blocks of 64 bytes */
static inline TARGET __attribute__((always_inline)) void sha_ni_blocks(u32 *md5, u32 *sha256, const u8 *block, size_t count,
                                                                      const int with_md5)
{
    const __m128i reversed = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const u32 *s = sha256;
    __m128i abef = _mm_set_epi32((int)s[0], (int)s[1], (int)s[4], (int)s[5]);
    __m128i cdgh = _mm_set_epi32((int)s[2], (int)s[3], (int)s[6], (int)s[7]);
    u32 ma = md5[0], mb = md5[1], mc = md5[2], md = md5[3];
    for (; count; count--, block += 64) {
        u32 before_a = ma, before_b = mb, before_c = mc, before_d = md;
        __m128i before_abef = abef, before_cdgh = cdgh, w0, w1, w2, w3, sum;
        FIRST(0, w0, F, 0)
        FIRST(1, w1, F, 4)
        FIRST(2, w2, F, 8)
        FIRST(3, w3, F, 12)
        NEXT(4, w0, w1, w2, w3, G, 0)
        NEXT(5, w1, w2, w3, w0, G, 4)
        NEXT(6, w2, w3, w0, w1, G, 8)
        NEXT(7, w3, w0, w1, w2, G, 12)
        NEXT(8, w0, w1, w2, w3, H, 0)
        NEXT(9, w1, w2, w3, w0, H, 4)
        NEXT(10, w2, w3, w0, w1, H, 8)
        NEXT(11, w3, w0, w1, w2, H, 12)
        NEXT(12, w0, w1, w2, w3, I, 0)
        NEXT(13, w1, w2, w3, w0, I, 4)
        NEXT(14, w2, w3, w0, w1, I, 8)
        NEXT(15, w3, w0, w1, w2, I, 12)
        abef = _mm_add_epi32(abef, before_abef);
        cdgh = _mm_add_epi32(cdgh, before_cdgh);
        if (with_md5)
            ma += before_a, mb += before_b, mc += before_c, md += before_d;
    }
    if (with_md5)
        md5[0] = ma, md5[1] = mb, md5[2] = mc, md5[3] = md;
    sha256[0] = (u32)_mm_extract_epi32(abef, 3), sha256[1] = (u32)_mm_extract_epi32(abef, 2);
    sha256[4] = (u32)_mm_extract_epi32(abef, 1), sha256[5] = (u32)_mm_extract_epi32(abef, 0);
    sha256[2] = (u32)_mm_extract_epi32(cdgh, 3), sha256[3] = (u32)_mm_extract_epi32(cdgh, 2);
    sha256[6] = (u32)_mm_extract_epi32(cdgh, 1), sha256[7] = (u32)_mm_extract_epi32(cdgh, 0);
}

static TARGET void sha256_ni(u32 *md5, u32 *sha256, const u8 *block, size_t count)
{
    sha_ni_blocks(md5, sha256, block, count, 0);
}

static TARGET void md5_sha256_ni(u32 *md5, u32 *sha256, const u8 *block, size_t count)
{
    sha_ni_blocks(md5, sha256, block, count, 1);
}

#undef NEXT
#undef FIRST
#undef ROUNDS
#undef MD5_WORD
#undef MD5_CONSTANT
#undef MD5_G
#undef KEEP
#undef TARGET
