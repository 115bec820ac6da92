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

/* Step i of each of the four parts of MD5, which have 16 steps; i is 0, 1, 2 or 3 modulo 4. */
#define MD5_F_0(i) MD5_STEP(MD5_F, ma, mb, mc, md, (i) & 15, 7, i)
#define MD5_F_1(i) MD5_STEP(MD5_F, md, ma, mb, mc, (i) & 15, 12, i)
#define MD5_F_2(i) MD5_STEP(MD5_F, mc, md, ma, mb, (i) & 15, 17, i)
#define MD5_F_3(i) MD5_STEP(MD5_F, mb, mc, md, ma, (i) & 15, 22, i)
#define MD5_G_0(i) MD5_STEP(MD5_G, ma, mb, mc, md, (5 * (i) + 1) & 15, 5, 16 + (i))
#define MD5_G_1(i) MD5_STEP(MD5_G, md, ma, mb, mc, (5 * (i) + 1) & 15, 9, 16 + (i))
#define MD5_G_2(i) MD5_STEP(MD5_G, mc, md, ma, mb, (5 * (i) + 1) & 15, 14, 16 + (i))
#define MD5_G_3(i) MD5_STEP(MD5_G, mb, mc, md, ma, (5 * (i) + 1) & 15, 20, 16 + (i))
#define MD5_H_0(i) MD5_STEP(MD5_H, ma, mb, mc, md, (3 * (i) + 5) & 15, 4, 32 + (i))
#define MD5_H_1(i) MD5_STEP(MD5_H, md, ma, mb, mc, (3 * (i) + 5) & 15, 11, 32 + (i))
#define MD5_H_2(i) MD5_STEP(MD5_H, mc, md, ma, mb, (3 * (i) + 5) & 15, 16, 32 + (i))
#define MD5_H_3(i) MD5_STEP(MD5_H, mb, mc, md, ma, (3 * (i) + 5) & 15, 23, 32 + (i))
#define MD5_I_0(i) MD5_STEP(MD5_I, ma, mb, mc, md, (7 * (i)) & 15, 6, 48 + (i))
#define MD5_I_1(i) MD5_STEP(MD5_I, md, ma, mb, mc, (7 * (i)) & 15, 10, 48 + (i))
#define MD5_I_2(i) MD5_STEP(MD5_I, mc, md, ma, mb, (7 * (i)) & 15, 15, 48 + (i))
#define MD5_I_3(i) MD5_STEP(MD5_I, mb, mc, md, ma, (7 * (i)) & 15, 21, 48 + (i))
#define MD5_FOUR(part, i) MD5_##part##_0(i) MD5_##part##_1(i + 1) MD5_##part##_2(i + 2) MD5_##part##_3(i + 3)
#define MD5_SIXTEEN(part) MD5_FOUR(part, 0) MD5_FOUR(part, 4) MD5_FOUR(part, 8) MD5_FOUR(part, 12)
#define MD5_BLOCK MD5_SIXTEEN(F) MD5_SIXTEEN(G) MD5_SIXTEEN(H) MD5_SIXTEEN(I)

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
