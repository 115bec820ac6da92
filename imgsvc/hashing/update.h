/* Takes the pieces of several streams, and gives their blocks to the kernels: to those of several streams as long as enough
 * streams have blocks, and to those of one stream then. */

enum {
    MOST_STREAMS = 64,  /* that are looked at together */
    ENOUGH = 3,         /* streams from which on lanes cost less: they cost the same when only some of them are used */
    MOST_BLOCKS = 32,   /* in one step of all lanes, so that one kernel finds in the cache what the other has read */
};

/* The kernels of one kind of processor. */
struct kernels {
    int width;  /* streams of sha512_lanes; md5_lanes has LANES */
    void (*md5_lanes)(struct stream *const *, const u8 *const *, size_t);
    void (*sha512_lanes)(struct stream *const *, const u8 *const *, size_t);
    void (*md5_sha512)(u32 *, u64 *, const u8 *, size_t);
    void (*sha512)(u32 *, u64 *, const u8 *, size_t);
};

static const struct kernels KERNELS[] = {
    {4, md5_lanes_avx2, sha512_lanes_avx2, md5_sha512_avx2, sha512_avx2},
    {8, md5_lanes_avx512, sha512_lanes_avx512, md5_sha512_avx512, sha512_avx512},
};

/* Cuts the pieces of a stream into runs of whole blocks. */
struct cursor {
    struct stream *stream;
    const u8 *const *piece, *const *end;
    const size_t *size; /* bytes of *piece */
    size_t offset;      /* those that were taken */
    const u8 *run;      /* the blocks that are next */
    size_t blocks;
    u64 length;
    u8 rest[BLOCK];     /* bytes that are not a block yet: length % BLOCK */
};

/* Find the next run. Returns 0 if the pieces have no more of them. */
static int next_run(struct cursor *cursor)
{
    for (; cursor->piece < cursor->end; cursor->piece++, cursor->size++, cursor->offset = 0) {
        size_t left = *cursor->size - cursor->offset, filled = cursor->length % BLOCK, taken;
        const u8 *data = *cursor->piece + cursor->offset;
        if (!left)
            continue;
        if (!filled && left >= BLOCK) {
            cursor->run = data;
            cursor->blocks = left / BLOCK;
            taken = cursor->blocks * BLOCK;
        } else {
            taken = left < BLOCK - filled ? left : BLOCK - filled;
            memcpy(cursor->rest + filled, data, taken);
            cursor->run = cursor->rest;
            cursor->blocks = (filled + taken) / BLOCK;
        }
        cursor->offset += taken;
        cursor->length += taken;
        if (cursor->blocks)
            return 1;
    }
    return 0;
}

static void hash_alone(const struct kernels *kernels, struct stream *stream, u32 algorithms, const u8 *data, size_t blocks)
{
    if (algorithms & MD5 && algorithms & SHA512) {
        size_t most = (blocks - 1) / 4 * 4, rest = blocks - most; /* the kernel reads 12 bytes more than it is told */
        const u8 *last = data + BLOCK * most;
        if (most)
            kernels->md5_sha512(stream->md5, stream->sha512, data, most);
        if (rest == 4) {
            u8 copy[4 * BLOCK + 16];
            memcpy(copy, last, 4 * BLOCK);
            memset(copy + 4 * BLOCK, 0, 16);
            kernels->md5_sha512(stream->md5, stream->sha512, copy, 4);
        } else {
            md5_plain(stream->md5, last, 2 * rest);
            sha512_plain(stream->sha512, last, rest);
        }
    } else if (algorithms & SHA512) {
        size_t most = blocks / 4 * 4;
        if (most)
            kernels->sha512(stream->md5, stream->sha512, data, most);
        sha512_plain(stream->sha512, data + BLOCK * most, blocks - most);
    } else if (algorithms & MD5 && !(algorithms & SHA256)) {
        md5_plain(stream->md5, data, 2 * blocks);
    }
    if (algorithms & SHA256) {
        if (algorithms & MD5 && !(algorithms & SHA512))
            md5_sha256_ni(stream->md5, stream->sha256, data, 2 * blocks);
        else
            sha256_ni(stream->md5, stream->sha256, data, 2 * blocks);
    }
}

/* Hash `blocks` blocks of the current runs of `used` streams, at most LANES. */
static void hash_lanes(const struct kernels *kernels, struct cursor **cursors, int used, u32 algorithms, size_t blocks)
{
    struct stream unused, *streams[LANES];
    const u8 *data[LANES];
    u32 wanted = 0;
    memset(&unused, 0, sizeof unused);
    for (int i = 0; i < LANES; i++) {
        streams[i] = i < used ? cursors[i]->stream : &unused;
        data[i] = cursors[i < used ? i : 0]->run;
        wanted |= streams[i]->algorithms & algorithms;
    }
    /* A lane costs nothing, so a stream may get a digest that nobody asked for. */
    if (wanted & MD5)
        kernels->md5_lanes(streams, data, blocks);
    if (wanted & SHA512)
        for (int i = 0; i < used; i += kernels->width)
            kernels->sha512_lanes(streams + i, data + i, blocks);
    if (wanted & SHA256)
        for (int i = 0; i < used; i++)
            if (streams[i]->algorithms & SHA256)
                hash_alone(kernels, streams[i], SHA256, data[i], blocks);
}

static void hash_cursors(const struct kernels *kernels, struct cursor *cursors, size_t count, u32 algorithms)
{
    struct cursor *active[LANES];
    size_t next = 0;
    int size = 0;
    for (;;) {
        while (size < LANES && next < count) {
            if (next_run(&cursors[next]))
                active[size++] = &cursors[next];
            next++;
        }
        if (size < ENOUGH)
            break;
        /* One stream alone costs less than a second group of lanes for it. */
        int used = size == kernels->width + 1 ? kernels->width : size;
        size_t blocks = MOST_BLOCKS;
        for (int i = 0; i < used; i++)
            blocks = active[i]->blocks < blocks ? active[i]->blocks : blocks;
        hash_lanes(kernels, active, used, algorithms, blocks);
        for (int i = used - 1; i >= 0; i--) {
            active[i]->run += BLOCK * blocks;
            active[i]->blocks -= blocks;
            if (!active[i]->blocks && !next_run(active[i]))
                active[i] = active[--size];
        }
    }
    for (int i = 0; i < size; i++)
        do
            hash_alone(kernels, active[i]->stream, active[i]->stream->algorithms & algorithms, active[i]->run, active[i]->blocks);
        while (next_run(active[i]));
}

/* Add pieces to the digests of streams.
 *
 * instructions: those to use, which the processor must have; AVX2 at least. algorithms: those to compute, of those of each
 * stream; SHA256 needs SHA_NI. pieces, sizes: those of all streams, one stream after the other. counts: how many of them
 * each stream has. Each stream is there once. Before the call, `calls` of each stream was set to the number of calls that
 * belong together: those with the same pieces and other algorithms. */
EXPORTED void hash_update(u32 instructions, u32 algorithms, size_t streams_count, struct stream *const *streams,
                          const size_t *counts, const u8 *const *pieces, const size_t *sizes)
{
    const struct kernels *kernels = &KERNELS[instructions & AVX512 ? 1 : 0];
    while (streams_count) {
        struct cursor cursors[MOST_STREAMS];
        size_t size = streams_count < MOST_STREAMS ? streams_count : MOST_STREAMS;
        for (size_t i = 0; i < size; i++) {
            struct cursor *cursor = &cursors[i];
            memset(cursor, 0, sizeof *cursor);
            cursor->stream = streams[i];
            cursor->piece = pieces;
            cursor->size = sizes;
            cursor->end = pieces += counts[i];
            sizes += counts[i];
            cursor->length = streams[i]->length;
            memcpy(cursor->rest, streams[i]->rest, BLOCK);
        }
        hash_cursors(kernels, cursors, size, algorithms);
        for (size_t i = 0; i < size; i++)
            if (__atomic_sub_fetch(&streams[i]->calls, 1, __ATOMIC_ACQ_REL) == 0) {
                streams[i]->length = cursors[i].length;
                memcpy(streams[i]->rest, cursors[i].rest, BLOCK);
            }
        streams += size, counts += size, streams_count -= size;
    }
}
