/* Several streams at once: lane i of each vector belongs to stream i. Included once for each kind of processor, with
 *
 * TARGET   the instructions that the compiler may use
 * NAME(x)  the name of a function or type of this kind
 * WIDTH    streams in a vector of 64-bit numbers: 4 or 8
 */

#define GROUPS (LANES / WIDTH)

/* The words of SHA-512 of one block of WIDTH streams, and so twice as many words of MD5. */
#if WIDTH == 4
typedef NAME(four) NAME(words);
#else
typedef u64 NAME(words) __attribute__((vector_size(8 * WIDTH)));
#endif
typedef u64 NAME(unaligned_words) __attribute__((vector_size(8 * WIDTH), aligned(1), may_alias));
typedef u32 NAME(lanes_32) __attribute__((vector_size(4 * LANES)));

#if WIDTH == 4

static inline TARGET __attribute__((always_inline)) NAME(words) NAME(reversed)(NAME(words) x)
{
    return NAME(reversed_four)(x);
}

/* 16 words of each stream, from the blocks at `data[i] + offset`, as they are in memory. */
static inline TARGET __attribute__((always_inline)) void NAME(load)(NAME(words) *w, const u8 *const *data, size_t offset)
{
    for (int i = 0; i < 16; i += 4) {
        NAME(words) r[4];
        for (int s = 0; s < 4; s++)
            r[s] = *(const NAME(unaligned_words) *)(data[s] + offset + 8 * i);
        NAME(transpose)(r, w + i);
    }
}

#else

typedef u8 NAME(octets) __attribute__((vector_size(8 * WIDTH)));

static inline TARGET __attribute__((always_inline)) NAME(words) NAME(reversed)(NAME(words) x)
{
    NAME(octets) o = (NAME(octets))x;
    return (NAME(words))SHUFFLE(o, o, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8, 23, 22, 21, 20, 19, 18, 17, 16,
                                31, 30, 29, 28, 27, 26, 25, 24, 39, 38, 37, 36, 35, 34, 33, 32, 47, 46, 45, 44, 43, 42, 41,
                                40, 55, 54, 53, 52, 51, 50, 49, 48, 63, 62, 61, 60, 59, 58, 57, 56);
}

static inline TARGET __attribute__((always_inline)) void NAME(load)(NAME(words) *w, const u8 *const *data, size_t offset)
{
    for (int i = 0; i < 16; i += 8) {
        NAME(words) r[8], even[4], odd[4];
        for (int s = 0; s < 8; s++)
            r[s] = *(const NAME(unaligned_words) *)(data[s] + offset + 8 * i);
        for (int s = 0; s < 4; s++) { /* words 0, 2, 4, 6 and 1, 3, 5, 7 of two streams, side by side */
            even[s] = SHUFFLE(r[2 * s], r[2 * s + 1], 0, 8, 2, 10, 4, 12, 6, 14);
            odd[s] = SHUFFLE(r[2 * s], r[2 * s + 1], 1, 9, 3, 11, 5, 13, 7, 15);
        }
        for (int k = 0; k < 2; k++) {
            NAME(words) *pair = k ? odd : even;
            NAME(words) low03 = SHUFFLE(pair[0], pair[1], 0, 1, 4, 5, 8, 9, 12, 13);
            NAME(words) high03 = SHUFFLE(pair[0], pair[1], 2, 3, 6, 7, 10, 11, 14, 15);
            NAME(words) low47 = SHUFFLE(pair[2], pair[3], 0, 1, 4, 5, 8, 9, 12, 13);
            NAME(words) high47 = SHUFFLE(pair[2], pair[3], 2, 3, 6, 7, 10, 11, 14, 15);
            w[i + k] = SHUFFLE(low03, low47, 0, 1, 4, 5, 8, 9, 12, 13);
            w[i + 4 + k] = SHUFFLE(low03, low47, 2, 3, 6, 7, 10, 11, 14, 15);
            w[i + 2 + k] = SHUFFLE(high03, high47, 0, 1, 4, 5, 8, 9, 12, 13);
            w[i + 6 + k] = SHUFFLE(high03, high47, 2, 3, 6, 7, 10, 11, 14, 15);
        }
    }
}

#endif

/* The constants of MD5 and the words of one block, of all streams. */
#define KEEP(x) KEEP_VECTOR(x)
#define MD5_CONSTANT(i) MD5_K[i]
#define MD5_WORD(j) md5_words[16 * half + (j)]

/* The lane of a stream in a vector of 32-bit numbers. */
static inline int NAME(lane_32)(int stream)
{
    return WIDTH == LANES ? stream : stream < WIDTH ? 2 * stream : 2 * (stream - WIDTH) + 1;
}

/* 32 words of MD5 of each stream, out of 16 words of SHA-512. */
static inline TARGET __attribute__((always_inline)) void NAME(load_32)(NAME(lanes_32) *to, const u8 *const *data, size_t offset)
{
    NAME(words) w[GROUPS][16];
    for (int group = 0; group < GROUPS; group++)
        NAME(load)(w[group], data + WIDTH * group, offset);
    for (int i = 0; i < 16; i++) {
#if WIDTH == 4
        NAME(lanes_32) low = (NAME(lanes_32))w[0][i], high = (NAME(lanes_32))w[1][i];
        to[2 * i] = SHUFFLE(low, (NAME(lanes_32))(w[1][i] << 32), 0, 9, 2, 11, 4, 13, 6, 15);
        to[2 * i + 1] = SHUFFLE((NAME(lanes_32))(w[0][i] >> 32), high, 0, 9, 2, 11, 4, 13, 6, 15);
#else
        to[2 * i] = __builtin_convertvector(w[0][i], NAME(lanes_32));
        to[2 * i + 1] = __builtin_convertvector(w[0][i] >> 32, NAME(lanes_32));
#endif
    }
}

/* count: blocks of 128 bytes, at data[i] */
static TARGET void NAME(md5_lanes)(struct stream *const *streams, const u8 *const *data, size_t count)
{
    NAME(lanes_32) state[4];
    for (int i = 0; i < LANES; i++)
        for (int k = 0; k < 4; k++)
            state[k][NAME(lane_32)(i)] = streams[i]->md5[k];
    NAME(lanes_32) ma = state[0], mb = state[1], mc = state[2], md = state[3];
    for (size_t offset = 0; offset < 128 * count; offset += 128) {
        NAME(lanes_32) md5_words[32];
        NAME(load_32)(md5_words, data, offset);
        for (int half = 0; half < 2; half++) {
            NAME(lanes_32) a = ma, b = mb, c = mc, d = md;
            MD5_BLOCK
            ma += a, mb += b, mc += c, md += d;
        }
    }
    state[0] = ma, state[1] = mb, state[2] = mc, state[3] = md;
    for (int i = 0; i < LANES; i++)
        for (int k = 0; k < 4; k++)
            streams[i]->md5[k] = state[k][NAME(lane_32)(i)];
}

#define SHA512_WORD(i) w[(i) & 15] + k[i]
#define SCHEDULE(i) \
    w[i] += w[(i + 9) & 15] + (ROTATE_RIGHT_64(w[(i + 1) & 15], 1) ^ ROTATE_RIGHT_8(w[(i + 1) & 15]) ^ (w[(i + 1) & 15] >> 7)) \
        + (ROTATE_RIGHT_64(w[(i + 14) & 15], 19) ^ ROTATE_RIGHT_64(w[(i + 14) & 15], 61) ^ (w[(i + 14) & 15] >> 6));
#define SCHEDULED_EIGHT(i) \
    SCHEDULE(i) SHA512_ROUND_0(i) SCHEDULE(i + 1) SHA512_ROUND_1(i + 1) SCHEDULE(i + 2) SHA512_ROUND_2(i + 2) \
    SCHEDULE(i + 3) SHA512_ROUND_3(i + 3) SCHEDULE(i + 4) SHA512_ROUND_4(i + 4) SCHEDULE(i + 5) SHA512_ROUND_5(i + 5) \
    SCHEDULE(i + 6) SHA512_ROUND_6(i + 6) SCHEDULE(i + 7) SHA512_ROUND_7(i + 7)

/* WIDTH streams. Only 16 rounds are written out: all 80 are more than the processor keeps decoded. */
static TARGET void NAME(sha512_lanes)(struct stream *const *streams, const u8 *const *data, size_t count)
{
    NAME(words) state[8];
    for (int i = 0; i < WIDTH; i++)
        for (int j = 0; j < 8; j++)
            state[j][i] = streams[i]->sha512[j];
    NAME(words) a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (size_t offset = 0; offset < 128 * count; offset += 128) {
        NAME(words) w[16], same = b ^ c, differ;
        const u64 *k = SHA512_K;
        NAME(load)(w, data, offset);
        for (int i = 0; i < 16; i++)
            w[i] = NAME(reversed)(w[i]);
        SHA512_EIGHT(0) SHA512_EIGHT(8)
        for (int part = 1; part < 5; part++) {
            k += 16;
            SCHEDULED_EIGHT(0) SCHEDULED_EIGHT(8)
        }
        a = state[0] += a, b = state[1] += b, c = state[2] += c, d = state[3] += d;
        e = state[4] += e, f = state[5] += f, g = state[6] += g, h = state[7] += h;
    }
    for (int i = 0; i < WIDTH; i++)
        for (int j = 0; j < 8; j++)
            streams[i]->sha512[j] = state[j][i];
}

#undef SCHEDULED_EIGHT
#undef SCHEDULE
#undef SHA512_WORD
#undef MD5_WORD
#undef MD5_CONSTANT
#undef KEEP
#undef GROUPS
