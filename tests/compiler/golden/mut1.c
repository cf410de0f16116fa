/* Odyssey: the cell mut1 for float32 and avx512 vectors. Generated; do not edit.
 *
 * T time steps, B batch rows, I inputs, H hidden units of the largest member, h of this one.
 * Every tensor is row-major; rows of states are (step, batch row), states have T + 1 steps.
 * t is the time step, b the batch row, j the first unit of a vector, n how many units are left.
 */
typedef float real;
typedef int integer;
enum { V = 64 / sizeof(real) };
typedef real vec __attribute__((vector_size(64)));
typedef integer ivec __attribute__((vector_size(64)));
typedef real loose __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));

struct sizes { long P, T, B, H, I, keep; };

struct member {
  long h; /* units of this member, at most H */
  const real *x0; /* from before the loop: %9 */
  long x0_row; /* numbers from row to row */
  const long *x0_index; /* which row each step and batch row reads, or null */
  real *gx0; /* gradient of those rows, where an index is given */
  const real *x1; /* from before the loop: %4 */
  long x1_row; /* numbers from row to row */
  const long *x1_index; /* which row each step and batch row reads, or null */
  real *gx1; /* gradient of those rows, where an index is given */
  const real *x2; /* from before the loop: %16 */
  long x2_row; /* numbers from row to row */
  const long *x2_index; /* which row each step and batch row reads, or null */
  real *gx2; /* gradient of those rows, where an index is given */
  const real *x3; /* from before the loop: %21 */
  long x3_row; /* numbers from row to row */
  const long *x3_index; /* which row each step and batch row reads, or null */
  real *gx3; /* gradient of those rows, where an index is given */
  const real *m0; /* matrix U_r */
  const real *m1; /* matrix U_h */
  const real *i0; /* h before the first step */
  real *s0; /* h after every step */
  real *o0; /* h after the last step */
  const real *do0; /* gradient of that */
  real *di0; /* gradient of h before the first step */
  real *c0; /* gradient of h on its way back */
  real *y; /* output */
  const real *dy; /* its gradient */
  real *v11; /* saved: r */
  real *v12; /* saved: %12 mul */
  real *v18; /* saved: %18 tanh */
  real *d; /* gradient rows: %41, %35, %31, %29 */
  real *e26; /* one step's values between phases */
  real *e35; /* one step's values between phases */
  real *w7; /* packed matrices */
  real *w13; /* packed matrices */
  real *b6; /* packed matrices */
  real *b12; /* packed matrices */
};

/* Without a backward pass the states take turns in two slots and the saved values share one. */
#define SLOT(t) (keep ? (t) : ((t) & 1))
#define KEPT(t) (keep ? (t) : 0)
#define HOT(start, index) (*(const vec *)(hot + ((start) + (index)) * V))

static inline vec splat(real x) { return x - (vec){}; }

/* Loads and stores n units, at most a vector. */
static inline vec ld(const real *from, long n) {
  if (n >= V) return *(const loose *)from;
  vec x = {};
  for (long k = 0; k < n; k++) x[k] = from[k];
  return x;
}
static inline void st(real *to, vec x, long n) {
  if (n >= V) *(loose *)to = x;
  else
    for (long k = 0; k < n; k++) to[k] = x[k];
}
/* Vectors of the next tile: `most` of them, also where one of four would stay empty, or one. */
static inline long width(long left, long most) {
  return left > (most == 4 ? 2 : most - 1) * V ? most : 1;
}
static void clear(real *to, long vectors) {
  for (long k = 0; k < vectors; k++) *(vec *)(to + k * V) = (vec){};
}

#define MAGIC 12582912.0f
#define MAGIC_BITS 0x4B400000
#define MANTISSA 23
#define BIAS 127
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define LARGE 88.0f
#define HIGHEST 89.0f
#define LOWEST -104.0f
#define PI_1 1.5703125f
#define PI_2 4.837512969970703125e-4f
#define PI_3 7.549789948768648e-8f
#define TRIG_RANGE 8192.0f
#define SIGN (-2147483647 - 1)
/* Takes `a` where the mask is set, else `b`; no branch, so a NaN that is not taken is harmless. */
static inline vec pick(ivec mask, vec a, vec b) {
  return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

/* exp(x) - 1 = scale * p + (scale - 1) with scale = 2^n and p = exp(r) - 1, |r| <= ln(2)/2. */
static inline vec reduced(vec x, ivec *n) {
  const vec rounded = x * (real)1.44269504088896340736 + MAGIC;
  *n = (ivec)rounded - MAGIC_BITS;
  const vec whole = rounded - MAGIC;
  const vec r = (x - whole * LN2_HIGH) - whole * LN2_LOW;
  vec p = splat((real)0.0001984126984126984);
  p = p * r + (real)0.001388888888888889;
  p = p * r + (real)0.008333333333333333;
  p = p * r + (real)0.041666666666666664;
  p = p * r + (real)0.16666666666666666;
  p = p * r + (real)0.5;
  p = p * r + (real)1.0;
  return p * r;
}
static inline vec power_of_two(ivec n) { return (vec)((n + BIAS) << MANTISSA); }

static inline vec vsigmoid(vec x) {
  const vec y = pick(x > LARGE, splat(-LARGE), pick(x < -LARGE, splat(LARGE), -x));
  ivec n;
  const vec p = reduced(y, &n);
  const vec scale = power_of_two(n);
  return 1 / (p * scale + (scale + 1));
}

static inline vec vtanh(vec x) {
  const vec y = pick(x > 20, splat(40), pick(x < -20, splat(-40), x + x));
  ivec n;
  const vec p = reduced(y, &n);
  const vec scale = power_of_two(n);
  const vec m = p * scale + (scale - 1); /* exp(2x) - 1 */
  return m / (m + 2);
}

static void tile_1x1(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
}
static void tile_1x2(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s10 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0;
    const real x1 = a[1 * a_row]; s10 += x1 * w0;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
}
static void tile_1x3(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s10 = {}, s20 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0;
    const real x1 = a[1 * a_row]; s10 += x1 * w0;
    const real x2 = a[2 * a_row]; s20 += x2 * w0;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
}
static void tile_1x4(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s10 = {}, s20 = {}, s30 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
    s30 = *(const loose *)(start + 3 * start_row + 0 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0;
    const real x1 = a[1 * a_row]; s10 += x1 * w0;
    const real x2 = a[2 * a_row]; s20 += x2 * w0;
    const real x3 = a[3 * a_row]; s30 += x3 * w0;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
  *(loose *)(to + 3 * to_row + 0 * V) = s30;
}
static void tile_1x5(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s10 = {}, s20 = {}, s30 = {}, s40 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
    s30 = *(const loose *)(start + 3 * start_row + 0 * V);
    s40 = *(const loose *)(start + 4 * start_row + 0 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0;
    const real x1 = a[1 * a_row]; s10 += x1 * w0;
    const real x2 = a[2 * a_row]; s20 += x2 * w0;
    const real x3 = a[3 * a_row]; s30 += x3 * w0;
    const real x4 = a[4 * a_row]; s40 += x4 * w0;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
  *(loose *)(to + 3 * to_row + 0 * V) = s30;
  *(loose *)(to + 4 * to_row + 0 * V) = s40;
}
static void tile_1x6(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s10 = {}, s20 = {}, s30 = {}, s40 = {}, s50 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
    s30 = *(const loose *)(start + 3 * start_row + 0 * V);
    s40 = *(const loose *)(start + 4 * start_row + 0 * V);
    s50 = *(const loose *)(start + 5 * start_row + 0 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0;
    const real x1 = a[1 * a_row]; s10 += x1 * w0;
    const real x2 = a[2 * a_row]; s20 += x2 * w0;
    const real x3 = a[3 * a_row]; s30 += x3 * w0;
    const real x4 = a[4 * a_row]; s40 += x4 * w0;
    const real x5 = a[5 * a_row]; s50 += x5 * w0;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
  *(loose *)(to + 3 * to_row + 0 * V) = s30;
  *(loose *)(to + 4 * to_row + 0 * V) = s40;
  *(loose *)(to + 5 * to_row + 0 * V) = s50;
}
static void tile_4x1(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s01 = {}, s02 = {}, s03 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s01 = *(const loose *)(start + 0 * start_row + 1 * V);
    s02 = *(const loose *)(start + 0 * start_row + 2 * V);
    s03 = *(const loose *)(start + 0 * start_row + 3 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const vec w1 = *(const loose *)(w + 1 * V);
    const vec w2 = *(const loose *)(w + 2 * V);
    const vec w3 = *(const loose *)(w + 3 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0; s01 += x0 * w1; s02 += x0 * w2; s03 += x0 * w3;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 0 * to_row + 1 * V) = s01;
  *(loose *)(to + 0 * to_row + 2 * V) = s02;
  *(loose *)(to + 0 * to_row + 3 * V) = s03;
}
static void tile_4x2(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s01 = {}, s02 = {}, s03 = {}, s10 = {}, s11 = {}, s12 = {}, s13 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s01 = *(const loose *)(start + 0 * start_row + 1 * V);
    s02 = *(const loose *)(start + 0 * start_row + 2 * V);
    s03 = *(const loose *)(start + 0 * start_row + 3 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s11 = *(const loose *)(start + 1 * start_row + 1 * V);
    s12 = *(const loose *)(start + 1 * start_row + 2 * V);
    s13 = *(const loose *)(start + 1 * start_row + 3 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const vec w1 = *(const loose *)(w + 1 * V);
    const vec w2 = *(const loose *)(w + 2 * V);
    const vec w3 = *(const loose *)(w + 3 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0; s01 += x0 * w1; s02 += x0 * w2; s03 += x0 * w3;
    const real x1 = a[1 * a_row]; s10 += x1 * w0; s11 += x1 * w1; s12 += x1 * w2; s13 += x1 * w3;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 0 * to_row + 1 * V) = s01;
  *(loose *)(to + 0 * to_row + 2 * V) = s02;
  *(loose *)(to + 0 * to_row + 3 * V) = s03;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 1 * to_row + 1 * V) = s11;
  *(loose *)(to + 1 * to_row + 2 * V) = s12;
  *(loose *)(to + 1 * to_row + 3 * V) = s13;
}
static void tile_4x3(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s01 = {}, s02 = {}, s03 = {}, s10 = {}, s11 = {}, s12 = {}, s13 = {}, s20 = {}, s21 = {}, s22 = {}, s23 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s01 = *(const loose *)(start + 0 * start_row + 1 * V);
    s02 = *(const loose *)(start + 0 * start_row + 2 * V);
    s03 = *(const loose *)(start + 0 * start_row + 3 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s11 = *(const loose *)(start + 1 * start_row + 1 * V);
    s12 = *(const loose *)(start + 1 * start_row + 2 * V);
    s13 = *(const loose *)(start + 1 * start_row + 3 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
    s21 = *(const loose *)(start + 2 * start_row + 1 * V);
    s22 = *(const loose *)(start + 2 * start_row + 2 * V);
    s23 = *(const loose *)(start + 2 * start_row + 3 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const vec w1 = *(const loose *)(w + 1 * V);
    const vec w2 = *(const loose *)(w + 2 * V);
    const vec w3 = *(const loose *)(w + 3 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0; s01 += x0 * w1; s02 += x0 * w2; s03 += x0 * w3;
    const real x1 = a[1 * a_row]; s10 += x1 * w0; s11 += x1 * w1; s12 += x1 * w2; s13 += x1 * w3;
    const real x2 = a[2 * a_row]; s20 += x2 * w0; s21 += x2 * w1; s22 += x2 * w2; s23 += x2 * w3;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 0 * to_row + 1 * V) = s01;
  *(loose *)(to + 0 * to_row + 2 * V) = s02;
  *(loose *)(to + 0 * to_row + 3 * V) = s03;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 1 * to_row + 1 * V) = s11;
  *(loose *)(to + 1 * to_row + 2 * V) = s12;
  *(loose *)(to + 1 * to_row + 3 * V) = s13;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
  *(loose *)(to + 2 * to_row + 1 * V) = s21;
  *(loose *)(to + 2 * to_row + 2 * V) = s22;
  *(loose *)(to + 2 * to_row + 3 * V) = s23;
}
static void tile_4x4(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s01 = {}, s02 = {}, s03 = {}, s10 = {}, s11 = {}, s12 = {}, s13 = {}, s20 = {}, s21 = {}, s22 = {}, s23 = {}, s30 = {}, s31 = {}, s32 = {}, s33 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s01 = *(const loose *)(start + 0 * start_row + 1 * V);
    s02 = *(const loose *)(start + 0 * start_row + 2 * V);
    s03 = *(const loose *)(start + 0 * start_row + 3 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s11 = *(const loose *)(start + 1 * start_row + 1 * V);
    s12 = *(const loose *)(start + 1 * start_row + 2 * V);
    s13 = *(const loose *)(start + 1 * start_row + 3 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
    s21 = *(const loose *)(start + 2 * start_row + 1 * V);
    s22 = *(const loose *)(start + 2 * start_row + 2 * V);
    s23 = *(const loose *)(start + 2 * start_row + 3 * V);
    s30 = *(const loose *)(start + 3 * start_row + 0 * V);
    s31 = *(const loose *)(start + 3 * start_row + 1 * V);
    s32 = *(const loose *)(start + 3 * start_row + 2 * V);
    s33 = *(const loose *)(start + 3 * start_row + 3 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const vec w1 = *(const loose *)(w + 1 * V);
    const vec w2 = *(const loose *)(w + 2 * V);
    const vec w3 = *(const loose *)(w + 3 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0; s01 += x0 * w1; s02 += x0 * w2; s03 += x0 * w3;
    const real x1 = a[1 * a_row]; s10 += x1 * w0; s11 += x1 * w1; s12 += x1 * w2; s13 += x1 * w3;
    const real x2 = a[2 * a_row]; s20 += x2 * w0; s21 += x2 * w1; s22 += x2 * w2; s23 += x2 * w3;
    const real x3 = a[3 * a_row]; s30 += x3 * w0; s31 += x3 * w1; s32 += x3 * w2; s33 += x3 * w3;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 0 * to_row + 1 * V) = s01;
  *(loose *)(to + 0 * to_row + 2 * V) = s02;
  *(loose *)(to + 0 * to_row + 3 * V) = s03;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 1 * to_row + 1 * V) = s11;
  *(loose *)(to + 1 * to_row + 2 * V) = s12;
  *(loose *)(to + 1 * to_row + 3 * V) = s13;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
  *(loose *)(to + 2 * to_row + 1 * V) = s21;
  *(loose *)(to + 2 * to_row + 2 * V) = s22;
  *(loose *)(to + 2 * to_row + 3 * V) = s23;
  *(loose *)(to + 3 * to_row + 0 * V) = s30;
  *(loose *)(to + 3 * to_row + 1 * V) = s31;
  *(loose *)(to + 3 * to_row + 2 * V) = s32;
  *(loose *)(to + 3 * to_row + 3 * V) = s33;
}
static void tile_4x5(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s01 = {}, s02 = {}, s03 = {}, s10 = {}, s11 = {}, s12 = {}, s13 = {}, s20 = {}, s21 = {}, s22 = {}, s23 = {}, s30 = {}, s31 = {}, s32 = {}, s33 = {}, s40 = {}, s41 = {}, s42 = {}, s43 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s01 = *(const loose *)(start + 0 * start_row + 1 * V);
    s02 = *(const loose *)(start + 0 * start_row + 2 * V);
    s03 = *(const loose *)(start + 0 * start_row + 3 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s11 = *(const loose *)(start + 1 * start_row + 1 * V);
    s12 = *(const loose *)(start + 1 * start_row + 2 * V);
    s13 = *(const loose *)(start + 1 * start_row + 3 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
    s21 = *(const loose *)(start + 2 * start_row + 1 * V);
    s22 = *(const loose *)(start + 2 * start_row + 2 * V);
    s23 = *(const loose *)(start + 2 * start_row + 3 * V);
    s30 = *(const loose *)(start + 3 * start_row + 0 * V);
    s31 = *(const loose *)(start + 3 * start_row + 1 * V);
    s32 = *(const loose *)(start + 3 * start_row + 2 * V);
    s33 = *(const loose *)(start + 3 * start_row + 3 * V);
    s40 = *(const loose *)(start + 4 * start_row + 0 * V);
    s41 = *(const loose *)(start + 4 * start_row + 1 * V);
    s42 = *(const loose *)(start + 4 * start_row + 2 * V);
    s43 = *(const loose *)(start + 4 * start_row + 3 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const vec w1 = *(const loose *)(w + 1 * V);
    const vec w2 = *(const loose *)(w + 2 * V);
    const vec w3 = *(const loose *)(w + 3 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0; s01 += x0 * w1; s02 += x0 * w2; s03 += x0 * w3;
    const real x1 = a[1 * a_row]; s10 += x1 * w0; s11 += x1 * w1; s12 += x1 * w2; s13 += x1 * w3;
    const real x2 = a[2 * a_row]; s20 += x2 * w0; s21 += x2 * w1; s22 += x2 * w2; s23 += x2 * w3;
    const real x3 = a[3 * a_row]; s30 += x3 * w0; s31 += x3 * w1; s32 += x3 * w2; s33 += x3 * w3;
    const real x4 = a[4 * a_row]; s40 += x4 * w0; s41 += x4 * w1; s42 += x4 * w2; s43 += x4 * w3;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 0 * to_row + 1 * V) = s01;
  *(loose *)(to + 0 * to_row + 2 * V) = s02;
  *(loose *)(to + 0 * to_row + 3 * V) = s03;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 1 * to_row + 1 * V) = s11;
  *(loose *)(to + 1 * to_row + 2 * V) = s12;
  *(loose *)(to + 1 * to_row + 3 * V) = s13;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
  *(loose *)(to + 2 * to_row + 1 * V) = s21;
  *(loose *)(to + 2 * to_row + 2 * V) = s22;
  *(loose *)(to + 2 * to_row + 3 * V) = s23;
  *(loose *)(to + 3 * to_row + 0 * V) = s30;
  *(loose *)(to + 3 * to_row + 1 * V) = s31;
  *(loose *)(to + 3 * to_row + 2 * V) = s32;
  *(loose *)(to + 3 * to_row + 3 * V) = s33;
  *(loose *)(to + 4 * to_row + 0 * V) = s40;
  *(loose *)(to + 4 * to_row + 1 * V) = s41;
  *(loose *)(to + 4 * to_row + 2 * V) = s42;
  *(loose *)(to + 4 * to_row + 3 * V) = s43;
}
static void tile_4x6(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner) {
  vec s00 = {}, s01 = {}, s02 = {}, s03 = {}, s10 = {}, s11 = {}, s12 = {}, s13 = {}, s20 = {}, s21 = {}, s22 = {}, s23 = {}, s30 = {}, s31 = {}, s32 = {}, s33 = {}, s40 = {}, s41 = {}, s42 = {}, s43 = {}, s50 = {}, s51 = {}, s52 = {}, s53 = {};
  if (start) {
    s00 = *(const loose *)(start + 0 * start_row + 0 * V);
    s01 = *(const loose *)(start + 0 * start_row + 1 * V);
    s02 = *(const loose *)(start + 0 * start_row + 2 * V);
    s03 = *(const loose *)(start + 0 * start_row + 3 * V);
    s10 = *(const loose *)(start + 1 * start_row + 0 * V);
    s11 = *(const loose *)(start + 1 * start_row + 1 * V);
    s12 = *(const loose *)(start + 1 * start_row + 2 * V);
    s13 = *(const loose *)(start + 1 * start_row + 3 * V);
    s20 = *(const loose *)(start + 2 * start_row + 0 * V);
    s21 = *(const loose *)(start + 2 * start_row + 1 * V);
    s22 = *(const loose *)(start + 2 * start_row + 2 * V);
    s23 = *(const loose *)(start + 2 * start_row + 3 * V);
    s30 = *(const loose *)(start + 3 * start_row + 0 * V);
    s31 = *(const loose *)(start + 3 * start_row + 1 * V);
    s32 = *(const loose *)(start + 3 * start_row + 2 * V);
    s33 = *(const loose *)(start + 3 * start_row + 3 * V);
    s40 = *(const loose *)(start + 4 * start_row + 0 * V);
    s41 = *(const loose *)(start + 4 * start_row + 1 * V);
    s42 = *(const loose *)(start + 4 * start_row + 2 * V);
    s43 = *(const loose *)(start + 4 * start_row + 3 * V);
    s50 = *(const loose *)(start + 5 * start_row + 0 * V);
    s51 = *(const loose *)(start + 5 * start_row + 1 * V);
    s52 = *(const loose *)(start + 5 * start_row + 2 * V);
    s53 = *(const loose *)(start + 5 * start_row + 3 * V);
  }
  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {
    const vec w0 = *(const loose *)(w + 0 * V);
    const vec w1 = *(const loose *)(w + 1 * V);
    const vec w2 = *(const loose *)(w + 2 * V);
    const vec w3 = *(const loose *)(w + 3 * V);
    const real x0 = a[0 * a_row]; s00 += x0 * w0; s01 += x0 * w1; s02 += x0 * w2; s03 += x0 * w3;
    const real x1 = a[1 * a_row]; s10 += x1 * w0; s11 += x1 * w1; s12 += x1 * w2; s13 += x1 * w3;
    const real x2 = a[2 * a_row]; s20 += x2 * w0; s21 += x2 * w1; s22 += x2 * w2; s23 += x2 * w3;
    const real x3 = a[3 * a_row]; s30 += x3 * w0; s31 += x3 * w1; s32 += x3 * w2; s33 += x3 * w3;
    const real x4 = a[4 * a_row]; s40 += x4 * w0; s41 += x4 * w1; s42 += x4 * w2; s43 += x4 * w3;
    const real x5 = a[5 * a_row]; s50 += x5 * w0; s51 += x5 * w1; s52 += x5 * w2; s53 += x5 * w3;
  }
  *(loose *)(to + 0 * to_row + 0 * V) = s00;
  *(loose *)(to + 0 * to_row + 1 * V) = s01;
  *(loose *)(to + 0 * to_row + 2 * V) = s02;
  *(loose *)(to + 0 * to_row + 3 * V) = s03;
  *(loose *)(to + 1 * to_row + 0 * V) = s10;
  *(loose *)(to + 1 * to_row + 1 * V) = s11;
  *(loose *)(to + 1 * to_row + 2 * V) = s12;
  *(loose *)(to + 1 * to_row + 3 * V) = s13;
  *(loose *)(to + 2 * to_row + 0 * V) = s20;
  *(loose *)(to + 2 * to_row + 1 * V) = s21;
  *(loose *)(to + 2 * to_row + 2 * V) = s22;
  *(loose *)(to + 2 * to_row + 3 * V) = s23;
  *(loose *)(to + 3 * to_row + 0 * V) = s30;
  *(loose *)(to + 3 * to_row + 1 * V) = s31;
  *(loose *)(to + 3 * to_row + 2 * V) = s32;
  *(loose *)(to + 3 * to_row + 3 * V) = s33;
  *(loose *)(to + 4 * to_row + 0 * V) = s40;
  *(loose *)(to + 4 * to_row + 1 * V) = s41;
  *(loose *)(to + 4 * to_row + 2 * V) = s42;
  *(loose *)(to + 4 * to_row + 3 * V) = s43;
  *(loose *)(to + 5 * to_row + 0 * V) = s50;
  *(loose *)(to + 5 * to_row + 1 * V) = s51;
  *(loose *)(to + 5 * to_row + 2 * V) = s52;
  *(loose *)(to + 5 * to_row + 3 * V) = s53;
}
static void product_1_6(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner, long rows) {
  switch (rows) {
    case 1: tile_1x1(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 2: tile_1x2(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 3: tile_1x3(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 4: tile_1x4(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 5: tile_1x5(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 6: tile_1x6(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
  }
}
static void product_4_6(real *to, long to_row, const real *start, long start_row, const real *a, long a_row,
    long a_step, const real *w, long w_step, long inner, long rows) {
  switch (rows) {
    case 1: tile_4x1(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 2: tile_4x2(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 3: tile_4x3(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 4: tile_4x4(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 5: tile_4x5(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
    case 6: tile_4x6(to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner); break;
  }
}

static void forward_0h(const struct sizes *z, const struct member *m, long t) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const long units = m->h;
  for (long b = 0; b < B; b++) {
    const long at = t * B + b;
    for (long j = 0; j < units; j += V) {
      const long n = units - j;
    }
  }
}

static void forward_1h(const struct sizes *z, const struct member *m, long t) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const long units = m->h;
  real hot[24 * V] __attribute__((aligned(64)));
  const long blocks = (B + 5) / 6;
  for (long j0 = 0, wide; j0 < units; j0 += wide * V) {
    wide = width(units - j0, 4);
    for (long k = 0, b0 = 0, rows; k < blocks; k++, b0 += rows) {
      rows = (B - b0 + blocks - k - 1) / (blocks - k);
      /* U_r @ h */
      (wide == 1 ? product_1_6 : product_4_6)(hot + 0 * V, 1 * wide * V, 0, 0, m->s0 + (SLOT(t) * B + b0) * H, H, 1, m->w7 + j0 * 1 * m->h, 1 * wide * V, m->h, rows);
      for (long r = 0; r < rows; r++) {
        const long b = b0 + r, at = t * B + b;
        for (long u = 0; u < wide; u++) {
          const long j = j0 + u * V, n = units - j;
          const vec v9 = ld(m->x0 + (m->x0_index ? m->x0_index[at] : at) * m->x0_row + j, n);
          const vec v7 = HOT(0, (r * 1 + 0) * wide + u);
          const vec v10 = v9 + v7;
          const vec v11 = vsigmoid(v10); /* r */
          const vec v6 = ld(m->s0 + (SLOT(t) * B + b) * H + j, n);
          const vec v12 = v11 * v6;
          st(m->v11 + (KEPT(t) * B + b) * H + j, v11, n);
          st(m->v12 + (KEPT(t) * B + b) * H + j, v12, n);
        }
      }
    }
  }
}

static void forward_2h(const struct sizes *z, const struct member *m, long t) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const long units = m->h;
  real hot[24 * V] __attribute__((aligned(64)));
  const long blocks = (B + 5) / 6;
  for (long j0 = 0, wide; j0 < units; j0 += wide * V) {
    wide = width(units - j0, 4);
    for (long k = 0, b0 = 0, rows; k < blocks; k++, b0 += rows) {
      rows = (B - b0 + blocks - k - 1) / (blocks - k);
      /* U_h @ %12 mul */
      (wide == 1 ? product_1_6 : product_4_6)(hot + 0 * V, 1 * wide * V, 0, 0, m->v12 + (KEPT(t) * B + b0) * H, H, 1, m->w13 + j0 * 1 * m->h, 1 * wide * V, m->h, rows);
      for (long r = 0; r < rows; r++) {
        const long b = b0 + r, at = t * B + b;
        for (long u = 0; u < wide; u++) {
          const long j = j0 + u * V, n = units - j;
          const vec v16 = ld(m->x2 + (m->x2_index ? m->x2_index[at] : at) * m->x2_row + j, n);
          const vec v13 = HOT(0, (r * 1 + 0) * wide + u);
          const vec v17 = v16 + v13;
          const vec v18 = vtanh(v17);
          const vec v4 = ld(m->x1 + (m->x1_index ? m->x1_index[at] : at) * m->x1_row + j, n); /* z */
          const vec v19 = v18 * v4;
          const vec v6 = ld(m->s0 + (SLOT(t) * B + b) * H + j, n);
          const vec v21 = ld(m->x3 + (m->x3_index ? m->x3_index[at] : at) * m->x3_row + j, n);
          const vec v22 = v6 * v21;
          const vec v23 = v19 + v22; /* h[t] */
          st(m->v18 + (KEPT(t) * B + b) * H + j, v18, n);
          st(m->s0 + (SLOT(t + 1) * B + b) * H + j, v23, n);
          st(m->y + at * H + j, v23, n);
        }
      }
    }
  }
}

static void backward_0h(const struct sizes *z, const struct member *m, long t) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const long units = m->h;
  real hot[24 * V] __attribute__((aligned(64)));
  const long blocks = (B + 5) / 6;
  for (long j0 = 0, wide; j0 < units; j0 += wide * V) {
    wide = width(units - j0, 4);
    for (long k = 0, b0 = 0, rows; k < blocks; k++, b0 += rows) {
      rows = (B - b0 + blocks - k - 1) / (blocks - k);
      /* gradient of h through the products */
      if (t + 1 < T) {
        (wide == 1 ? product_1_6 : product_4_6)(hot + 0 * V, wide * V, 0, wide * V, m->d + ((t + 1) * B + b0) * (4 * H), (4 * H), 1, m->b6 + j0 * (m->h), wide * V, m->h, rows);
      } else clear(hot + 0 * V, 1 * wide * rows);
      for (long r = 0; r < rows; r++) {
        const long b = b0 + r, at = t * B + b;
        for (long u = 0; u < wide; u++) {
          const long j = j0 + u * V, n = units - j;
          const vec v24 = ld(m->c0 + b * H + j, n) + HOT(0, (r * 1 + 0) * wide + u);
          const vec v25 = ld(m->dy + at * H + j, n);
          const vec v26 = v24 + v25;
          const vec v4 = ld(m->x1 + (m->x1_index ? m->x1_index[at] : at) * m->x1_row + j, n); /* z */
          const vec v30 = v26 * v4;
          const vec v18 = ld(m->v18 + (KEPT(t) * B + b) * H + j, n);
          const vec v33 = v18 * v18;
          const vec v34 = splat((real)1.0) - v33;
          const vec v35 = v30 * v34;
          const vec v31 = v26 * v18;
          const vec v6 = ld(m->s0 + (SLOT(t) * B + b) * H + j, n);
          const vec v29 = v26 * v6;
          st(m->d + at * (4 * H) + 1 * H + j, v35, n);
          st(m->d + at * (4 * H) + 2 * H + j, v31, n);
          st(m->d + at * (4 * H) + 3 * H + j, v29, n);
          st(m->e26 + b * H + j, v26, n);
          st(m->e35 + b * H + j, v35, n);
        }
      }
    }
  }
}

static void backward_1h(const struct sizes *z, const struct member *m, long t) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const long units = m->h;
  real hot[24 * V] __attribute__((aligned(64)));
  const long blocks = (B + 5) / 6;
  for (long j0 = 0, wide; j0 < units; j0 += wide * V) {
    wide = width(units - j0, 4);
    for (long k = 0, b0 = 0, rows; k < blocks; k++, b0 += rows) {
      rows = (B - b0 + blocks - k - 1) / (blocks - k);
      /* gradient of %12 mul through the products */
      (wide == 1 ? product_1_6 : product_4_6)(hot + 0 * V, wide * V, 0, wide * V, m->d + ((t) * B + b0) * (4 * H) + 1 * H, (4 * H), 1, m->b12 + j0 * (m->h), wide * V, m->h, rows);
      for (long r = 0; r < rows; r++) {
        const long b = b0 + r, at = t * B + b;
        for (long u = 0; u < wide; u++) {
          const long j = j0 + u * V, n = units - j;
          const vec v36 = HOT(0, (r * 1 + 0) * wide + u);
          const vec v6 = ld(m->s0 + (SLOT(t) * B + b) * H + j, n);
          const vec v37 = v36 * v6;
          const vec v11 = ld(m->v11 + (KEPT(t) * B + b) * H + j, n); /* r */
          const vec v39 = splat((real)1.0) - v11;
          const vec v40 = v11 * v39;
          const vec v41 = v37 * v40;
          const vec v26 = ld(m->e26 + b * H + j, n);
          const vec v21 = ld(m->x3 + (m->x3_index ? m->x3_index[at] : at) * m->x3_row + j, n);
          const vec v28 = v26 * v21;
          const vec v38 = v36 * v11;
          const vec v42 = v28 + v38;
          st(m->d + at * (4 * H) + j, v41, n);
          st(m->c0 + b * H + j, v42, n);
        }
      }
    }
  }
}

static void copy_rows(real *to, const real *from, long rows, long stride, long n) {
  for (long r = 0; r < rows; r++)
    for (long j = 0; j < n; j += V)
      st(to + r * stride + j, ld(from + r * stride + j, n - j), n - j);
}

/* Packs matrices (rows, `inner` columns) by tiles of rows: (tile, column, matrix, rows of it). */
static void pack(real *to, const real *const *from, long maps, long most, long units, long inner,
                 long stride) {
  for (long j = 0, wide; j < units; j += wide * V) {
    wide = width(units - j, most);
    const long left = units - j < wide * V ? units - j : wide * V;
    for (long g = 0; g < maps; g++)
      for (long k0 = 0; k0 < inner; k0 += 16)
        for (long v = 0; v < wide * V; v++)
          for (long k = k0; k < inner && k < k0 + 16; k++)
            to[(k * maps + g) * wide * V + v] = v < left ? from[g][(j + v) * stride + k] : 0;
    to += inner * maps * wide * V;
  }
}
/* The same for the transposed matrices: (tile, matrix, row of it, columns). */
static void pack_transposed(real *to, const real *const *from, const long *inner, long maps,
                            long most, long units, long stride) {
  for (long j = 0, wide; j < units; j += wide * V) {
    wide = width(units - j, most);
    for (long g = 0; g < maps; g++)
      for (long k = 0; k < inner[g]; k++, to += wide * V)
        for (long u = 0; u < wide; u++) {
          const long n = units - j - u * V;
          *(loose *)(to + u * V) = ld(from[g] + k * stride + j + u * V, n);
        }
  }
}
/* Adds gradient rows to the rows that an index took them from. */
static void scatter(real *to, long to_row, const long *index, const real *from, long from_row,
                    long rows, long n) {
  for (long r = 0; r < rows; r++)
    for (long j = 0; j < n; j += V) {
      real *place = to + index[r] * to_row + j;
      st(place, ld(place, n - j) + ld(from + r * from_row + j, n - j), n - j);
    }
}

static void first_0(const struct sizes *z, const struct member *m) {
  const long B = z->B, H = z->H, I = z->I;
  real hot[24 * V] __attribute__((aligned(64)));
  for (long j0 = 0, wide; j0 < m->h; j0 += wide * V) {
    wide = width(m->h - j0, 4);
    for (long b0 = 0, rows; b0 < B; b0 += rows) {
      rows = B - b0 < 6 ? B - b0 : 6;
      (wide == 1 ? product_1_6 : product_4_6)(hot + 0 * V, wide * V, 0, wide * V, m->d + ((0) * B + b0) * (4 * H), (4 * H), 1, m->b6 + j0 * (m->h), wide * V, m->h, rows);
      for (long r = 0; r < rows; r++)
        for (long u = 0; u < wide; u++) {
          const long j = j0 + u * V, at = (b0 + r) * H + j;
          const vec sum = ld(m->c0 + at, m->h - j) + HOT(0, r * wide + u);
          st(m->di0 + at, sum, m->h - j);
        }
    }
  }
}

/* Numbers too small for the normal format count as zero here: they are slow, and mean nothing. */
#if defined(__SSE2__)
static unsigned flush(void) {
  const unsigned before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | 0x8040);
  return before;
}
static void restore(unsigned before) { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
static unsigned long flush(void) {
  unsigned long before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" : : "r"(before | (1ul << 24)));
  return before;
}
static void restore(unsigned long before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
static int flush(void) { return 0; }
static void restore(int before) { (void)before; }
#endif

/* Whole products, for what is not sequential. The numbers of a call lie in one row. */
struct outer { long P, rows, m, n; const real *d; long d_row, d_member; const real *x;
               long x_row, x_member; real *to; long to_member; };

/* to (m, n) = d (rows, m), transposed, times x (rows, n). */
void odyssey_outer(const struct outer *z, const void *unused) {
  (void)unused;
  for (long p = 0; p < z->P; p++)
    for (long k = 0; k < z->rows; k += 128)
      for (long j = 0, wide; j < z->n; j += wide * V) {
        wide = width(z->n - j, 4);
        const long inner = z->rows - k < 128 ? z->rows - k : 128;
        const int partial = z->n - j < wide * V;
        real edge[128 * 4 * V] __attribute__((aligned(64)));
        if (partial)
          for (long r = 0; r < inner; r++)
            for (long u = 0; u < wide; u++)
              st(edge + (r * wide + u) * V,
                 ld(z->x + p * z->x_member + (k + r) * z->x_row + j + u * V, z->n - j - u * V), V);
        for (long i = 0, rows; i < z->m; i += rows) {
          rows = z->m - i < 6 ? z->m - i : 6;
          real *to = z->to + p * z->to_member + i * z->n + j;
          const real *d = z->d + p * z->d_member + k * z->d_row + i;
          const real *x = z->x + p * z->x_member + k * z->x_row + j;
          if (!partial) {
            (wide == 4 ? product_4_6 : product_1_6)(
                to, z->n, k ? to : 0, z->n, d, 1, z->d_row, x, z->x_row, inner, rows);
            continue;
          }
          real hot[4 * 6 * V] __attribute__((aligned(64)));
          (wide == 4 ? product_4_6 : product_1_6)(
              hot, wide * V, 0, 0, d, 1, z->d_row, edge, wide * V, inner, rows);
          for (long r = 0; r < rows; r++)
            for (long u = 0; u < wide; u++) {
              const long n = z->n - j - u * V;
              real *place = to + r * z->n + u * V;
              st(place, k ? ld(place, n) + HOT(0, r * wide + u) : HOT(0, r * wide + u), n);
            }
        }
      }
}

struct affine { long P, rows, inner, n; const real *x; long x_row, x_member; const real *w;
                long w_member; const real *bias; long bias_member; real *to; long to_member;
                real *panel; long transposed; };

/* to (rows, n) = x (rows, inner) times w, plus a bias or nothing. The matrix is
 * w (n, inner) transposed, or w (inner, n) as it is where `transposed` says so. */
void odyssey_affine(const struct affine *z, const void *unused) {
  (void)unused;
  for (long p = 0; p < z->P; p++) {
    const real *w = z->w + p * z->w_member;
    if (z->transposed) pack_transposed(z->panel, &w, &z->inner, 1, 4, z->n, z->n);
    else pack(z->panel, &w, 1, 4, z->n, z->inner, z->inner);
    for (long first = 0; first < z->rows; first += 96)
      for (long j = 0, wide; j < z->n; j += wide * V) {
        wide = width(z->n - j, 4);
        const long end = z->rows - first < 96 ? z->rows : first + 96;
        const real *bias = z->bias ? z->bias + p * z->bias_member + j : 0;
        for (long i = first, rows; i < end; i += rows) {
          rows = end - i < 6 ? end - i : 6;
          real *to = z->to + p * z->to_member + i * z->n + j;
          const real *x = z->x + p * z->x_member + i * z->x_row;
          if (z->n - j < wide * V) {
            real hot[4 * 6 * V] __attribute__((aligned(64)));
            (wide == 4 ? product_4_6 : product_1_6)(
                hot, wide * V, 0, 0, x, z->x_row, 1, z->panel + j * z->inner, wide * V, z->inner,
                rows);
            for (long r = 0; r < rows; r++)
              for (long u = 0; u < wide; u++) {
                const long n = z->n - j - u * V;
                const vec sum = HOT(0, r * wide + u);
                st(to + r * z->n + u * V, bias ? sum + ld(bias + u * V, n) : sum, n);
              }
            continue;
          }
          (wide == 4 ? product_4_6 : product_1_6)(
              to, z->n, bias, 0, x, z->x_row, 1, z->panel + j * z->inner, wide * V, z->inner,
              rows);
        }
      }
  }
}

void odyssey_forward(const struct sizes *z, const struct member *m) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
    copy_rows(m->s0, m->i0, B, H, m->h);
    pack(m->w7, (const real *[]){m->m0}, 1, 4, m->h, m->h, H);
    pack(m->w13, (const real *[]){m->m1}, 1, 4, m->h, m->h, H);
    for (long t = 0; t < T; t++) {
      forward_0h(z, m, t);
      forward_1h(z, m, t);
      forward_2h(z, m, t);
    }
    copy_rows(m->o0, m->s0 + SLOT(T) * B * H, B, H, m->h);
  }
  restore(mode);
}

void odyssey_backward(const struct sizes *z, const struct member *m) {
  const long T = z->T, B = z->B, H = z->H, I = z->I;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
    copy_rows(m->c0, m->do0, B, H, m->h);
    pack_transposed(m->b6, (const real *[]){m->m0}, (const long[]){m->h}, 1, 4, m->h, H);
    pack_transposed(m->b12, (const real *[]){m->m1}, (const long[]){m->h}, 1, 4, m->h, H);
    for (long t = T - 1; t >= 0; t--) {
      backward_0h(z, m, t);
      backward_1h(z, m, t);
    }
    first_0(z, m);
    if (m->gx0) scatter(m->gx0, m->x0_row, m->x0_index, m->d, (4 * H), T * B, m->h);
    if (m->gx1) scatter(m->gx1, m->x1_row, m->x1_index, m->d + 2 * H, (4 * H), T * B, m->h);
    if (m->gx2) scatter(m->gx2, m->x2_row, m->x2_index, m->d + 1 * H, (4 * H), T * B, m->h);
    if (m->gx3) scatter(m->gx3, m->x3_row, m->x3_index, m->d + 3 * H, (4 * H), T * B, m->h);
  }
  restore(mode);
}
