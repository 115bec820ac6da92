/* One stream: MD5 and SHA-512 in one loop. Included once for each kind of processor, see lanes.h for TARGET and NAME.
 *
 * SHA-512 has the general registers, MD5 has one lane of the vector registers, so that neither waits for the other, and
 * no state leaves its registers. Vectors also compute the schedule of SHA-512: that of four blocks at once, while the four
 * blocks before go through the rounds. */

typedef u64 NAME(four) __attribute__((vector_size(32), may_alias));
typedef u64 NAME(unaligned_four) __attribute__((vector_size(32), aligned(1), may_alias));
typedef u8 NAME(octets_32) __attribute__((vector_size(32)));
typedef u32 NAME(lane) __attribute__((vector_size(16)));
typedef u32 NAME(unaligned_lane) __attribute__((vector_size(16), aligned(1), may_alias));

/* Four words with their octets in reverse order. */
static inline TARGET __attribute__((always_inline)) NAME(four) NAME(reversed_four)(NAME(four) x)
{
    NAME(octets_32) o = (NAME(octets_32))x;
    return (NAME(four))SHUFFLE(o, o, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8, 23, 22, 21, 20, 19, 18, 17, 16,
                               31, 30, 29, 28, 27, 26, 25, 24);
}

/* Four words of each of four rows: columns[i] has word i of all rows. */
static inline TARGET __attribute__((always_inline)) void NAME(transpose)(const NAME(four) *rows, NAME(four) *columns)
{
    NAME(four) even01 = SHUFFLE(rows[0], rows[1], 0, 4, 2, 6), odd01 = SHUFFLE(rows[0], rows[1], 1, 5, 3, 7);
    NAME(four) even23 = SHUFFLE(rows[2], rows[3], 0, 4, 2, 6), odd23 = SHUFFLE(rows[2], rows[3], 1, 5, 3, 7);
    columns[0] = SHUFFLE(even01, even23, 0, 1, 4, 5);
    columns[1] = SHUFFLE(odd01, odd23, 0, 1, 4, 5);
    columns[2] = SHUFFLE(even01, even23, 2, 3, 6, 7);
    columns[3] = SHUFFLE(odd01, odd23, 2, 3, 6, 7);
}

/* Words 0 to 15 of four blocks, and their sums with the constants. */
static inline TARGET __attribute__((always_inline)) void NAME(begin_schedule)(const u8 *block, NAME(four) *w, NAME(four) *sums)
{
    for (int i = 0; i < 16; i += 4) {
        NAME(four) r[4];
        for (int j = 0; j < 4; j++)
            r[j] = NAME(reversed_four)(*(const NAME(unaligned_four) *)(block + 128 * j + 8 * i));
        NAME(transpose)(r, w + i);
        for (int j = i; j < i + 4; j++)
            sums[j] = w[j] + SHA512_K[j];
    }
}

/* Word i + 16 of the schedule. */
#define SCHEDULE(i) { \
    NAME(four) x = w[(i) + 1], y = w[(i) + 14]; \
    x = w[i] + w[(i) + 9] + (ROTATE_RIGHT_64(x, 1) ^ ROTATE_RIGHT_8(x) ^ (x >> 7)) \
        + (ROTATE_RIGHT_64(y, 19) ^ ROTATE_RIGHT_64(y, 61) ^ (y >> 6)); \
    w[(i) + 16] = x; \
    next[i] = x + k[i]; \
}
#define SHA512_WORD(i) words[4 * (i)]

#define KEEP(x) KEEP_VECTOR(x)
/* These read four words, and only the first is used. So 12 bytes after a block are read too. */
#define MD5_WORD(j) *(const NAME(unaligned_lane) *)(block + 4 * (j))
#define MD5_CONSTANT(i) (NAME(lane)){MD5_K[i]}

/* Eight steps of MD5, five rounds and a word of the schedule. Eight of these are half a block of SHA-512. */
#define PART(part, i, number, r0, r1, r2, r3, r4) \
    if (with_md5) { MD5_##part##_0(i) } \
    SHA512_ROUND_##r0(5 * number) \
    if (with_md5) { MD5_##part##_1(i + 1) MD5_##part##_2(i + 2) } \
    SHA512_ROUND_##r1(5 * number + 1) \
    if (with_md5) { MD5_##part##_3(i + 3) MD5_##part##_0(i + 4) } \
    SHA512_ROUND_##r2(5 * number + 2) \
    if (with_md5) { MD5_##part##_1(i + 5) } \
    SHA512_ROUND_##r3(5 * number + 3) \
    if (with_md5) { MD5_##part##_2(i + 6) MD5_##part##_3(i + 7) } \
    SHA512_ROUND_##r4(5 * number + 4) \
    SCHEDULE(number)

/* count: blocks of 128 bytes, a multiple of 4 and not 0. With MD5, 12 bytes after them are read too. */
static inline TARGET __attribute__((always_inline)) void NAME(blocks)(u32 *md5, u64 *sha512, const u8 *block, size_t count,
                                                                      const int with_md5)
{
    NAME(four) sums[2][80], schedule[80], *w = schedule, *next = sums[0] + 16;
    NAME(lane) ma = {md5[0]}, mb = {md5[1]}, mc = {md5[2]}, md = {md5[3]};
    u64 a = sha512[0], b = sha512[1], c = sha512[2], d = sha512[3];
    u64 e = sha512[4], f = sha512[5], g = sha512[6], h = sha512[7];
    const u64 *k = SHA512_K + 16;
    NAME(begin_schedule)(block, w, sums[0]);
    for (int i = 0; i < 64; i++)
        SCHEDULE(i)
    for (size_t done = 0; done < count; done += 4) {
        const u64 *words = (const u64 *)sums[(done / 4) & 1];
        w = schedule, next = sums[(done / 4 + 1) & 1], k = SHA512_K + 16;
        NAME(begin_schedule)(done + 4 < count ? block + 512 : block, w, next);
        next += 16;
        for (int j = 0; j < 4; j++, words -= 319) {
            u64 same = b ^ c, differ;
            for (int half = 0; half < 2; half++) {
                NAME(lane) before_a = ma, before_b = mb, before_c = mc, before_d = md;
                PART(F, 0, 0, 0, 1, 2, 3, 4)
                PART(F, 8, 1, 5, 6, 7, 0, 1)
                PART(G, 0, 2, 2, 3, 4, 5, 6)
                PART(G, 8, 3, 7, 0, 1, 2, 3)
                PART(H, 0, 4, 4, 5, 6, 7, 0)
                PART(H, 8, 5, 1, 2, 3, 4, 5)
                PART(I, 0, 6, 6, 7, 0, 1, 2)
                PART(I, 8, 7, 3, 4, 5, 6, 7)
                if (with_md5)
                    ma += before_a, mb += before_b, mc += before_c, md += before_d;
                words += 160, block += 64, w += 8, next += 8, k += 8;
            }
            a = sha512[0] += a, b = sha512[1] += b, c = sha512[2] += c, d = sha512[3] += d;
            e = sha512[4] += e, f = sha512[5] += f, g = sha512[6] += g, h = sha512[7] += h;
        }
    }
    if (with_md5)
        md5[0] = ma[0], md5[1] = mb[0], md5[2] = mc[0], md5[3] = md[0];
}

static TARGET void NAME(md5_sha512)(u32 *md5, u64 *sha512, const u8 *block, size_t count)
{
    NAME(blocks)(md5, sha512, block, count, 1);
}

static TARGET void NAME(sha512)(u32 *md5, u64 *sha512, const u8 *block, size_t count)
{
    NAME(blocks)(md5, sha512, block, count, 0);
}

#undef PART
#undef MD5_CONSTANT
#undef MD5_WORD
#undef KEEP
#undef SHA512_WORD
#undef SCHEDULE
