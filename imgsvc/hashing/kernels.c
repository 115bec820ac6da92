/* Digests of streams of bytes: MD5 (RFC 1321), SHA-256 and SHA-512 (FIPS 180-4), of several streams at once.
 *
 * For x86-64 with AVX2 or AVX-512. Needs no header of Python: compiled.py calls it through ctypes, which releases the
 * interpreter lock. Every function is reentrant. Threads may work at the same time on different streams, and on different
 * algorithms of one stream. */

#include <cpuid.h>
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define EXPORTED __attribute__((visibility("default")))

/* Elements of two vectors, by constant indices. */
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#error "needs GCC 12 or Clang"
#endif

enum { MD5 = 1, SHA256 = 2, SHA512 = 4 };      /* algorithms */
enum { AVX2 = 1, AVX512 = 2, SHA_NI = 4 };     /* instructions of processors */
enum { BLOCK = 128, LANES = 8 };
/* LANES: streams of one call of the kernels. BLOCK: bytes; a block of SHA-512, and two of MD5 and SHA-256. */

/* The state of a stream. compiled.py has the same fields. */
struct stream {
    u64 length;       /* bytes so far */
    u64 sha512[8];
    u32 sha256[8];
    u32 md5[4];
    u32 algorithms;   /* those that are computed */
    u32 calls;        /* calls of hash_update that belong to one update of the stream and have not ended */
    u8 rest[BLOCK];   /* the last length % BLOCK bytes */
};

static inline u32 load_32(const u8 *from)
{
    u32 x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline u64 load_64(const u8 *from)
{
    u64 x;
    memcpy(&x, from, sizeof x);
    return x;
}

#include "constants.h"
#include "rounds.h"
#include "plain.h"
#include "sha_ni.h"

#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#define NAME(x) x##_avx2
#define WIDTH 4
#define MD5_G MD5_G_SUM
/* A turn by whole bytes is one shuffle. */
#define ROTATE_RIGHT_8(x) ((__typeof__(x))SHUFFLE((octets_32_avx2)(x), (octets_32_avx2)(x), 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, \
    12, 13, 14, 15, 8, 17, 18, 19, 20, 21, 22, 23, 16, 25, 26, 27, 28, 29, 30, 31, 24))
#include "alone.h"
#include "lanes.h"
#undef ROTATE_RIGHT_8
#undef MD5_G
#undef WIDTH
#undef NAME
#undef TARGET

/* With AVX512_BY_AVX2 the compiler makes each operation of two of AVX2, so that a processor with AVX2 alone can test these
 * kernels. */
#ifdef AVX512_BY_AVX2
#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#else
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,bmi,bmi2")))
#endif
#define NAME(x) x##_avx512
#define WIDTH 8
#define MD5_G MD5_G_LOGIC
#define ROTATE_RIGHT_8(x) ROTATE_RIGHT_64(x, 8)
#include "alone.h"
#include "lanes.h"
#undef ROTATE_RIGHT_8
#undef MD5_G
#undef WIDTH
#undef NAME
#undef TARGET

#include "update.h"

/* The number of this interface, and bytes of struct stream: compiled.py compares both, because it may find an older file. */
EXPORTED u32 hash_interface(void)
{
    return 1;
}

EXPORTED size_t hash_stream_size(void)
{
    return sizeof(struct stream);
}

/* The instructions that this processor has, of those that the kernels need: AVX2, AVX512 and SHA_NI together. */
EXPORTED u32 hash_processor(void)
{
    __builtin_cpu_init();
    u32 avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    u32 avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    u32 a, b = 0, c, d;
    u32 sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
    return avx2 * AVX2 | avx512 * AVX512 | sha * SHA_NI;
}

/* Begin the digests of an empty stream. */
EXPORTED void hash_begin(struct stream *stream, u32 algorithms)
{
    memset(stream, 0, sizeof *stream);
    stream->algorithms = algorithms;
    memcpy(stream->md5, MD5_START, sizeof stream->md5);
    memcpy(stream->sha256, SHA256_START, sizeof stream->sha256);
    memcpy(stream->sha512, SHA512_START, sizeof stream->sha512);
}

/* The digest of all bytes so far. The stream can go on. digest: 16, 32 or 64 bytes. instructions: as for hash_update. */
EXPORTED void hash_digest(const struct stream *stream, u32 algorithm, u32 instructions, u8 *digest)
{
    u8 last[2 * BLOCK] = {0};
    struct stream end = *stream;
    size_t rest = stream->length % BLOCK, unit = algorithm == SHA512 ? 128 : 64, field = algorithm == SHA512 ? 16 : 8;
    size_t size = (rest + 1 + field + unit - 1) / unit * unit;
    u64 bits = stream->length << 3;
    memcpy(last, stream->rest, rest);
    last[rest] = 0x80;
    if (algorithm == MD5) {
        memcpy(last + size - 8, &bits, 8);
        md5_plain(end.md5, last, size / unit);
        memcpy(digest, end.md5, sizeof end.md5);
        return;
    }
    bits = __builtin_bswap64(bits);
    memcpy(last + size - 8, &bits, 8);
    if (algorithm == SHA256) {
        if (instructions & SHA_NI)
            sha256_ni(end.md5, end.sha256, last, size / unit);
        for (int i = 0; i < 8; i++)
            end.sha256[i] = __builtin_bswap32(end.sha256[i]);
        memcpy(digest, end.sha256, sizeof end.sha256);
    } else {
        bits = __builtin_bswap64(stream->length >> 61);
        memcpy(last + size - 16, &bits, 8);
        sha512_plain(end.sha512, last, size / unit);
        for (int i = 0; i < 8; i++)
            end.sha512[i] = __builtin_bswap64(end.sha512[i]);
        memcpy(digest, end.sha512, sizeof end.sha512);
    }
}
