/* The steps of MD5 and the rounds of SHA-512, for numbers and for vectors of them, in the order in which the kernels need
 * them. The kernels say what else is done between two steps. */

#define ROTATE_LEFT_32(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#define ROTATE_RIGHT_64(x, n) (((x) >> (n)) | ((x) << (64 - (n))))

/* One step of MD5. MD5_WORD(j) is word j of the block; MD5_CONSTANT(i) the constant of step i; KEEP(x) keeps the compiler
 * from adding the late operand first. */
#define MD5_STEP(f, a, b, c, d, j, turn, i) \
    a += MD5_WORD(j); \
    a += MD5_CONSTANT(i); \
    KEEP(a); \
    f(a, b, c, d) \
    a = ROTATE_LEFT_32(a, turn) + b;
#define MD5_F(a, b, c, d) a += ((c ^ d) & b) ^ d;
#define MD5_H(a, b, c, d) a += (c ^ d) ^ b;
#define MD5_I(a, b, c, d) a += c ^ (b | ~d);
/* MD5_G depends on the processor. With a sum of two parts, the part without b does not wait for b. */
#define MD5_G_SUM(a, b, c, d) a += c & ~d; KEEP(a); a += b & d;
#define MD5_G_LOGIC(a, b, c, d) a += ((b ^ c) & d) ^ c;

/* Four steps of MD5, from step i of the four parts with 16 steps each. */
#define MD5_FOUR(f, part, factor, first, t0, t1, t2, t3, i) \
    MD5_STEP(f, ma, mb, mc, md, (factor * (i) + first) & 15, t0, 16 * part + (i)) \
    MD5_STEP(f, md, ma, mb, mc, (factor * (i + 1) + first) & 15, t1, 16 * part + (i + 1)) \
    MD5_STEP(f, mc, md, ma, mb, (factor * (i + 2) + first) & 15, t2, 16 * part + (i + 2)) \
    MD5_STEP(f, mb, mc, md, ma, (factor * (i + 3) + first) & 15, t3, 16 * part + (i + 3))
#define MD5_FOUR_F(i) MD5_FOUR(MD5_F, 0, 1, 0, 7, 12, 17, 22, i)
#define MD5_FOUR_G(i) MD5_FOUR(MD5_G, 1, 5, 1, 5, 9, 14, 20, i)
#define MD5_FOUR_H(i) MD5_FOUR(MD5_H, 2, 3, 5, 4, 11, 16, 23, i)
#define MD5_FOUR_I(i) MD5_FOUR(MD5_I, 3, 7, 0, 6, 10, 15, 21, i)
#define MD5_SIXTEEN(four) four(0) four(4) four(8) four(12)
#define MD5_BLOCK MD5_SIXTEEN(MD5_FOUR_F) MD5_SIXTEEN(MD5_FOUR_G) MD5_SIXTEEN(MD5_FOUR_H) MD5_SIXTEEN(MD5_FOUR_I)

/* One round of SHA-512. SHA512_WORD(i) is the word of the schedule plus its constant. `same` is b ^ c, and is left as
 * a ^ b for the next round: the majority of a, b and c costs one operation less by it. */
#define SHA512_ROUND(a, b, c, d, e, f, g, h, i) \
    h += SHA512_WORD(i); \
    h += ((f ^ g) & e) ^ g; \
    h += SIGMA1(e); \
    d += h; \
    differ = a ^ b; \
    h += (differ & same) ^ b; \
    same = differ; \
    h += SIGMA0(a);
#define SHA512_ROUND_0(i) SHA512_ROUND(a, b, c, d, e, f, g, h, i)
#define SHA512_ROUND_1(i) SHA512_ROUND(h, a, b, c, d, e, f, g, i)
#define SHA512_ROUND_2(i) SHA512_ROUND(g, h, a, b, c, d, e, f, i)
#define SHA512_ROUND_3(i) SHA512_ROUND(f, g, h, a, b, c, d, e, i)
#define SHA512_ROUND_4(i) SHA512_ROUND(e, f, g, h, a, b, c, d, i)
#define SHA512_ROUND_5(i) SHA512_ROUND(d, e, f, g, h, a, b, c, i)
#define SHA512_ROUND_6(i) SHA512_ROUND(c, d, e, f, g, h, a, b, i)
#define SHA512_ROUND_7(i) SHA512_ROUND(b, c, d, e, f, g, h, a, i)
#define SHA512_EIGHT(i) \
    SHA512_ROUND_0(i) SHA512_ROUND_1(i + 1) SHA512_ROUND_2(i + 2) SHA512_ROUND_3(i + 3) \
    SHA512_ROUND_4(i + 4) SHA512_ROUND_5(i + 5) SHA512_ROUND_6(i + 6) SHA512_ROUND_7(i + 7)

#define SIGMA0(x) (ROTATE_RIGHT_64(x, 28) ^ ROTATE_RIGHT_64(x, 34) ^ ROTATE_RIGHT_64(x, 39))
#define SIGMA1(x) (ROTATE_RIGHT_64(x, 14) ^ ROTATE_RIGHT_64(x, 18) ^ ROTATE_RIGHT_64(x, 41))

/* Keeps a number, or a vector, in a register here, so that the operations before it are done before those after it. */
#define KEEP_NUMBER(x) __asm__("" : "+r"(x))
#define KEEP_VECTOR(x) __asm__("" : "+v"(x))
