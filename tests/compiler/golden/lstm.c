/* Odyssey: the cell lstm for float32 and avx512 vectors. Generated; do not edit.
 *
 * T time steps, B batch rows, I inputs, H hidden units of the largest member, h of this one.
 * Every tensor is row-major; rows of states are (step, batch row), states have T + 1 steps.
 * t is the time step, b the batch row, j the first unit of a vector, n how many units are left.
 */
typedef float real;
typedef int integer;
enum { V = 64 / sizeof(real), TILE_VECTORS = 32 };
typedef real vec __attribute__((vector_size(64)));
typedef integer ivec __attribute__((vector_size(64)));
typedef real loose __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));

/* What all cells call. `wide`: vectors of the widest strip; `tile`: rows of a tile for strips of 1
 * to `wide` vectors. */
struct products {
  long wide, tile[5];
  void (*pack)(real *to, const real *const *from, long maps, long units, long inner, long stride);
  void (*pack_transposed)(real *to, const real *const *from, const long *inner, long maps, long units, long stride);
  void (*product)(real *to, long to_row, const real *start, long start_row, const real *a, long a_row, long a_step, const real *w, long wide, long inner, long rows);
  void (*columns)(real *to, long to_row, const real *start, long start_row, const real *a, long a_row, long a_step, const real *w, long wide, long inner, long rows, long n);
  void (*gradient)(real *to, long to_row, long maps, const real *const *d, long d_row, const real *w, long wide, const long *inner, long rows);
  void (*outer)(real *const *to, long to_row, long maps, const long *units, const real *const *d, long d_row, const real *x, long x_row, long count, long n, int more);
  void (*outer_inputs)(real *const *to, long maps, const long *units, const real *const *d, long d_row, const real *x, long count, long n, int more);
  void (*pack_each)(real *const *to, const real *const *from, long maps, const long *units, long inner);
  void (*inputs)(real *to, long to_row, long maps, const long *places, const long *units, const real *x, const real *const *panels, long inner, const real *const *bias, long count);
  void (*into)(real *to, long to_row, long maps, const long *places, const long *units, const real *const *rows, long d_row, const real *panel, long whole, long count);
  void (*table)(real *to, long to_row, const real *const *from, long maps, const long *places, const long *units, long inner, const real *const *bias);
  void (*add_up)(real *to, long to_row, long maps, const long *places, const long *units, const long *index, const real *const *rows, long d_row, long count);
  void (*leave)(real *const *to, const real *from, long from_row, long maps, const long *places, const long *units, long inner, real *const *bias);
  void (*add_rows)(real *const *to, const real *const *rows, long row, long maps, const long *units, long count);
  void (*copy_rows)(real *to, long to_row, const real *from, long from_row, long rows, long n);
};

static inline vec splat(real x) { return x - (vec){}; }

/* Loads and stores n units, less than a vector: the last ones of a row. Masks leave the rest alone,
 * which may be memory of others. A loop would become a call of memcpy, whose pieces a load of the
 * whole vector has to wait for. Sanitizers see through loops only. */
#if defined(__AVX512F__) && !defined(__SANITIZE_ADDRESS__)
static inline unsigned short lanes(long n) { return n > 0 ? (1u << n) - 1 : 0; }
static inline vec ld_part(const real *from, long n) {
  vec x;
  __asm__("vmovups %1, %0%{%2%}%{z%}" : "=v"(x) : "m"(*(const loose *)from), "Yk"(lanes(n)));
  return x;
}
static inline void st_part(real *to, vec x, long n) {
  __asm__("vmovups %1, %0%{%2%}" : "+m"(*(loose *)to) : "v"(x), "Yk"(lanes(n)));
}
#else
static __attribute__((noinline)) vec ld_part(const real *from, long n) {
  vec x = {};
  for (long k = 0; k < n; k++) x[k] = from[k];
  return x;
}
static __attribute__((noinline)) void st_part(real *to, vec x, long n) {
  for (long k = 0; k < n; k++) to[k] = x[k];
}
#endif
static inline vec ld(const real *from, long n) {
  if (__builtin_expect(n >= V, 1)) return *(const loose *)from;
  return ld_part(from, n);
}
static inline void st(real *to, vec x, long n) {
  if (__builtin_expect(n >= V, 1)) *(loose *)to = x;
  else st_part(to, x, n);
}
/* Vectors of the next strip of so many columns: strips are about equally wide. */
static inline long strip(long left, long most) {
  const long vectors = (left + V - 1) / V;
  if (vectors <= most) return vectors;
  const long strips = (vectors + most - 1) / most;
  return (vectors + strips - 1) / strips;
}
struct sizes { long P, T, B, H, I, keep, block, rows; const struct products *products; };

struct member {
  long h; /* units of this member, at most H */
  real *x0; /* from before the loop: %5, %11, %17, %23 */
  long x0_row; /* numbers from row to row */
  real *gx0; /* gradient of those rows */
  const long *x0_index; /* which row each step and batch row reads, or null */
  const real *a0; /* without an index: what the matrices multiply */
  real *ga0; /* its gradient, or null */
  const real *wx0_0; /* matrix W_i */
  real *gw0_0; /* its gradient */
  real *aw0_0; /* packed */
  const real *qx0_0; /* bias of W_i */
  real *gq0_0; /* its gradient */
  const real *wx0_1; /* matrix W_f */
  real *gw0_1; /* its gradient */
  real *aw0_1; /* packed */
  const real *qx0_1; /* bias of W_f */
  real *gq0_1; /* its gradient */
  const real *wx0_2; /* matrix W_o */
  real *gw0_2; /* its gradient */
  real *aw0_2; /* packed */
  const real *qx0_2; /* bias of W_o */
  real *gq0_2; /* its gradient */
  const real *wx0_3; /* matrix W_g */
  real *gw0_3; /* its gradient */
  real *aw0_3; /* packed */
  const real *qx0_3; /* bias of W_g */
  real *gq0_3; /* its gradient */
  real *bw0; /* packed transposed matrices */
  const real *m0; /* matrix U_i */
  const real *m1; /* matrix U_f */
  const real *m2; /* matrix U_o */
  const real *m3; /* matrix U_g */
  const real *i0; /* h before the first step */
  real *s0; /* h after every step */
  real *o0; /* h after the last step */
  const real *do0; /* its gradient, or null */
  real *di0; /* gradient of h before the first step, or null */
  real *c0; /* gradient of h on its way back */
  const real *i1; /* c before the first step */
  real *s1; /* c after every step */
  real *o1; /* c after the last step */
  const real *do1; /* its gradient, or null */
  real *di1; /* gradient of c before the first step, or null */
  real *c1; /* gradient of c on its way back */
  real *y; /* output */
  const real *dy; /* its gradient */
  real *v7; /* saved: i */
  real *v13; /* saved: f */
  real *v19; /* saved: o */
  real *v25; /* saved: g */
  real *v30; /* saved: %30 tanh */
  real *gm0_0; /* gradient of U_i */
  real *gm0_1; /* gradient of U_f */
  real *gm0_2; /* gradient of U_o */
  real *gm0_3; /* gradient of U_g */
  real *d; /* gradient rows of a block of steps: %59, %56, %53, %50 */
  long d_row; /* numbers from row to row */
  real *hot; /* products of a phase, for some batch rows at a time */
  real *w3; /* packed matrices */
  real *b2; /* packed matrices */
};

/* Without a backward pass the states take turns in two slots and the saved values share one. */
#define SLOT(t) (keep ? (t) : ((t) & 1))
#define KEPT(t) (keep ? (t) : 0)
/* A vector of the products of a phase, of a batch row and unit j. */
#define HOT(map) (*(const vec *)(hot + (map) * units_v + j))
#define LD(from) (*(const loose *)(from))
#define ST(to, x) (*(loose *)(to) = (x))

/* For what only works out where things are: optimising that takes longer than all the rest. */
#if defined(__OPTIMIZE__) && defined(__GNUC__) && !defined(__clang__)
#define COLD __attribute__((noinline, optimize("O1")))
#else
#define COLD __attribute__((noinline))
#endif

/* Runs the pointwise code of a phase for the units of a batch row; what is left over of a vector is
 * copied, so that the code is there once, and without a choice at every load and store. */
typedef void (*row_code)(real *const *rows, const real *hot, long units_v, long vectors);
static __attribute__((noinline)) void run_row(row_code code, real *const *rows, long count,
                                              const char *stored, const real *hot, long units) {
  const long whole = units / V, left = units % V, units_v = (whole + (left > 0)) * V;
  code(rows, hot, units_v, whole);
  if (!left) return;
  real edge[count][V] __attribute__((aligned(64))), *places[count];
  for (long k = 0; k < count; k++) {
    *(vec *)edge[k] = ld_part(rows[k] + whole * V, left);
    places[k] = edge[k];
  }
  code(places, hot + whole * V, units_v, 1);
  for (long k = 0; k < count; k++)
    if (stored[k]) st_part(rows[k] + whole * V, *(const vec *)edge[k], left);
}

static inline void clear(real *to, long row, long wide, long rows) {
  for (long r = 0; r < rows; r++)
    for (long u = 0; u < wide; u++) *(vec *)(to + r * row + u * V) = (vec){};
}

#define MAGIC 12582912.0f
#define MAGIC_BITS 0x4B400000
#define MANTISSA 23
#define BIAS 127
#define TO_POWER 12583039.0f
#define TO_POWER_BITS 0x4B40007F
#define LOG2E 1.44269504f
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
/* The lesser and the greater of a bound and x; x where x is NaN. One instruction each on x86. */
#if defined(__AVX__)
static inline vec at_most(vec bound, vec x) {
  vec y;
  __asm__("vminps %2, %1, %0" : "=v"(y) : "v"(bound), "v"(x));
  return y;
}
static inline vec at_least(vec bound, vec x) {
  vec y;
  __asm__("vmaxps %2, %1, %0" : "=v"(y) : "v"(bound), "v"(x));
  return y;
}
#else
static inline vec at_most(vec bound, vec x) {
  const ivec mask = x > bound;
  return (vec)((mask & (ivec)bound) | (~mask & (ivec)x));
}
static inline vec at_least(vec bound, vec x) {
  const ivec mask = x < bound;
  return (vec)((mask & (ivec)bound) | (~mask & (ivec)x));
}
#endif
/* Takes `a` where the mask is set, else `b`; no branch, so a NaN that is not taken is harmless. */
static inline vec pick(ivec mask, vec a, vec b) {
  return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

/* 2^f - 1 for |f| <= 1/2. */
static inline vec exp2m1(vec f) {
  vec p = splat((real)0.00015403512225020677);
  p = p * f + (real)0.0013390735257416964;
  p = p * f + (real)0.009618237614631653;
  p = p * f + (real)0.05550357326865196;
  p = p * f + (real)0.24022649228572845;
  p = p * f + (real)0.6931471824645996;
  return p * f;
}
/* exp(x * factor / LOG2E) = (1 + p) * power_of_two(n); p is returned. One constant is enough for
 * what has bounds, such as sigmoid: where |x| is large, its value hardly depends on x. */
static inline vec reduced(vec x, real factor, ivec *n) {
  const vec rounded = x * factor + TO_POWER;
  *n = (ivec)rounded;
  return exp2m1(x * factor - (rounded - TO_POWER));
}
/* The bias of exponents is in n; what stands above the exponent is shifted out. */
static inline vec power_of_two(ivec n) { return (vec)(n << MANTISSA); }

static inline vec vsigmoid(vec x) {
  const vec y = at_most(splat(LARGE), at_least(splat(-LARGE), x));
  ivec n;
  const vec p = reduced(y, -LOG2E, &n) + 1;
  return 1 / (p * power_of_two(n) + 1);
}

static inline vec vtanh(vec x) {
  const vec y = at_most(splat(20), at_least(splat(-20), x));
  ivec n;
  const vec p = reduced(y, 2 * LOG2E, &n);
  const vec scale = power_of_two(n);
  const vec m = p * scale + (scale - 1); /* exp(2x) - 1 */
  return m / (m + 2);
}

static void forward_0h_row(real *const *rows, const real *hot, long units_v,
                    long vectors) {
  for (long j = 0; j < vectors * V; j += V) {
  }
}
static COLD void forward_0h(const struct sizes *z, const struct member *m, long t, long first) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const long units = m->h;
  for (long b = 0; b < B; b++) {
    const long at = t * B + b, here = at - first * B;
  }
}

static void forward_1h_row(real *const *rows, const real *hot, long units_v,
                    long vectors) {
  real *const r0 = rows[0];
  real *const r1 = rows[1];
  real *const r2 = rows[2];
  real *const r3 = rows[3];
  real *const r4 = rows[4];
  real *const r5 = rows[5];
  real *const r6 = rows[6];
  real *const r7 = rows[7];
  real *const r8 = rows[8];
  real *const r9 = rows[9];
  real *const r10 = rows[10];
  real *const r11 = rows[11];
  real *const r12 = rows[12];
  for (long j = 0; j < vectors * V; j += V) {
    const vec v5 = LD(r0 + j);
    const vec v3 = HOT(0);
    const vec v6 = v5 + v3;
    const vec v7 = vsigmoid(v6); /* i */
    const vec v11 = LD(r1 + j);
    const vec v9 = HOT(1);
    const vec v12 = v11 + v9;
    const vec v13 = vsigmoid(v12); /* f */
    const vec v17 = LD(r2 + j);
    const vec v15 = HOT(2);
    const vec v18 = v17 + v15;
    const vec v19 = vsigmoid(v18); /* o */
    const vec v23 = LD(r3 + j);
    const vec v21 = HOT(3);
    const vec v24 = v23 + v21;
    const vec v25 = vtanh(v24); /* g */
    const vec v26 = LD(r4 + j);
    const vec v27 = v13 * v26;
    const vec v28 = v7 * v25;
    const vec v29 = v27 + v28; /* c[t] */
    const vec v30 = vtanh(v29);
    const vec v31 = v19 * v30; /* h[t] */
    ST(r5 + j, v7);
    ST(r6 + j, v13);
    ST(r7 + j, v19);
    ST(r8 + j, v25);
    ST(r9 + j, v30);
    ST(r10 + j, v31);
    ST(r11 + j, v29);
    ST(r12 + j, v31);
  }
}
static COLD void forward_1h(const struct sizes *z, const struct member *m, long t, long first) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const struct products *q = z->products;
  const long units = m->h;
  real *const hot = m->hot;
  const long units_v = (units + V - 1) / V * V, hot_row = 4 * units_v;
  for (long b0 = 0, rows; b0 < B; b0 += rows) {
    rows = B - b0 < z->rows ? B - b0 : z->rows;
    for (long j0 = 0, wide; j0 < units; j0 += wide * V) {
      wide = strip(units - j0, q->wide);
      /* U_i, U_f, U_o, U_g @ h */
      for (long g = 0; g < 4; g++)
        q->product(hot + g * units_v + j0, hot_row, 0, 0, m->s0 + (SLOT(t) * B + b0) * H, H, 1,
                   m->w3 + (j0 * 4 + g * wide * V) * m->h, wide, m->h, rows);
    }
    for (long r = 0; r < rows; r++) {
      const long b = b0 + r, at = t * B + b, here = at - first * B;
      real *const rows[] = {
        (real *)(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row),
        (real *)(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row + 1 * H),
        (real *)(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row + 2 * H),
        (real *)(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row + 3 * H),
        (real *)(m->s1 + (SLOT(t) * B + b) * H),
        (real *)(m->v7 + (KEPT(t) * B + b) * H),
        (real *)(m->v13 + (KEPT(t) * B + b) * H),
        (real *)(m->v19 + (KEPT(t) * B + b) * H),
        (real *)(m->v25 + (KEPT(t) * B + b) * H),
        (real *)(m->v30 + (KEPT(t) * B + b) * H),
        (real *)(m->s0 + (SLOT(t + 1) * B + b) * H),
        (real *)(m->s1 + (SLOT(t + 1) * B + b) * H),
        (real *)(m->y + at * H),
      };
      static const char stored[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
      run_row(forward_1h_row, rows, 13, stored, hot + r * hot_row, units);
    }
  }
}

static void backward_0h_row(real *const *rows, const real *hot, long units_v,
                    long vectors) {
  real *const r0 = rows[0];
  real *const r1 = rows[1];
  real *const r2 = rows[2];
  real *const r3 = rows[3];
  real *const r4 = rows[4];
  real *const r5 = rows[5];
  real *const r6 = rows[6];
  real *const r7 = rows[7];
  real *const r8 = rows[8];
  real *const r9 = rows[9];
  real *const r10 = rows[10];
  real *const r11 = rows[11];
  real *const r12 = rows[12];
  for (long j = 0; j < vectors * V; j += V) {
    const vec v33 = LD(r0 + j);
    const vec v32 = LD(r1 + j) + HOT(0);
    const vec v34 = LD(r2 + j);
    const vec v35 = v32 + v34;
    const vec v19 = LD(r3 + j); /* o */
    const vec v38 = v35 * v19;
    const vec v30 = LD(r4 + j);
    const vec v40 = v30 * v30;
    const vec v41 = splat((real)1.0) - v40;
    const vec v42 = v38 * v41;
    const vec v43 = v33 + v42;
    const vec v25 = LD(r5 + j); /* g */
    const vec v44 = v43 * v25;
    const vec v7 = LD(r6 + j); /* i */
    const vec v57 = splat((real)1.0) - v7;
    const vec v58 = v7 * v57;
    const vec v59 = v44 * v58;
    const vec v26 = LD(r7 + j);
    const vec v46 = v43 * v26;
    const vec v13 = LD(r8 + j); /* f */
    const vec v54 = splat((real)1.0) - v13;
    const vec v55 = v13 * v54;
    const vec v56 = v46 * v55;
    const vec v37 = v35 * v30;
    const vec v51 = splat((real)1.0) - v19;
    const vec v52 = v19 * v51;
    const vec v53 = v37 * v52;
    const vec v45 = v43 * v7;
    const vec v48 = v25 * v25;
    const vec v49 = splat((real)1.0) - v48;
    const vec v50 = v45 * v49;
    const vec v47 = v43 * v13;
    ST(r9 + j, v59);
    ST(r10 + j, v56);
    ST(r11 + j, v53);
    ST(r12 + j, v50);
    ST(r1 + j, splat(0));
    ST(r0 + j, v47);
  }
}
static COLD void backward_0h(const struct sizes *z, const struct member *m, long t, long first) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const struct products *q = z->products;
  const long units = m->h;
  real *const hot = m->hot;
  const long units_v = (units + V - 1) / V * V, hot_row = 1 * units_v;
  for (long b0 = 0, rows; b0 < B; b0 += rows) {
    rows = B - b0 < z->rows ? B - b0 : z->rows;
    for (long j0 = 0, wide; j0 < units; j0 += wide * V) {
      wide = strip(units - j0, q->wide);
      /* gradient of h through the products */
      if (t + 1 < T) {
        const real *const before = m->d + ((t + 1 - first) * B + b0) * m->d_row;
        q->gradient(hot + j0, hot_row, 4, (const real *const[]){before, before + 1 * H, before + 2 * H, before + 3 * H}, m->d_row,
                    m->b2 + j0 * (m->h + m->h + m->h + m->h), wide, (const long[]){m->h, m->h, m->h, m->h}, rows);
      } else clear(hot + j0, hot_row, wide, rows);
    }
    for (long r = 0; r < rows; r++) {
      const long b = b0 + r, at = t * B + b, here = at - first * B;
      real *const rows[] = {
        (real *)(m->c1 + b * H),
        (real *)(m->c0 + b * H),
        (real *)(m->dy + at * H),
        (real *)(m->v19 + (KEPT(t) * B + b) * H),
        (real *)(m->v30 + (KEPT(t) * B + b) * H),
        (real *)(m->v25 + (KEPT(t) * B + b) * H),
        (real *)(m->v7 + (KEPT(t) * B + b) * H),
        (real *)(m->s1 + (SLOT(t) * B + b) * H),
        (real *)(m->v13 + (KEPT(t) * B + b) * H),
        (real *)(m->d + here * m->d_row),
        (real *)(m->d + here * m->d_row + 1 * H),
        (real *)(m->d + here * m->d_row + 2 * H),
        (real *)(m->d + here * m->d_row + 3 * H),
      };
      static const char stored[] = {1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1};
      run_row(backward_0h_row, rows, 13, stored, hot + r * hot_row, units);
    }
  }
}

static COLD void first_0(const struct sizes *z, const struct member *m) {
  const long B = z->B, H = z->H, I = z->I, first = 0;
  const struct products *q = z->products;
  real *const hot = m->hot;
  const long units_v = (m->h + V - 1) / V * V, hot_row = 1 * units_v;
  for (long b0 = 0, rows; b0 < B; b0 += rows) {
    rows = B - b0 < z->rows ? B - b0 : z->rows;
    for (long j0 = 0, wide; j0 < m->h; j0 += wide * V) {
      wide = strip(m->h - j0, q->wide);
      const real *const before = m->d + ((0 - first) * B + b0) * m->d_row;
      q->gradient(hot + j0, hot_row, 4, (const real *const[]){before, before + 1 * H, before + 2 * H, before + 3 * H}, m->d_row,
                  m->b2 + j0 * (m->h + m->h + m->h + m->h), wide, (const long[]){m->h, m->h, m->h, m->h}, rows);
    }
    for (long r = 0; r < rows; r++) {
      for (long j = 0; j < m->h; j += V) {
        const long at = (b0 + r) * H + j, n = m->h - j;
        const vec sum = *(const vec *)(hot + r * hot_row + j);
        st(m->di0 + at, sum + ld(m->c0 + at, n), n);
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

/* The steps go by in blocks of `block`, so that what a block's products need stays in the cache. */
COLD void odyssey_forward(const struct sizes *z, const struct member *m) {
  const struct products *q = z->products;
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
    q->copy_rows(m->s0, H, m->i0, H, B, m->h);
    q->copy_rows(m->s1, H, m->i1, H, B, m->h);
    q->pack(m->w3, (const real *[]){m->m0, m->m1, m->m2, m->m3}, 4, m->h, m->h, H);
    if (m->x0_index)
      q->table(m->x0, m->x0_row, (const real *const[]){m->wx0_0, m->wx0_1, m->wx0_2, m->wx0_3}, 4, (const long[]){0, 1 * H, 2 * H, 3 * H}, (const long[]){H, H, H, H}, I, (const real *const[]){m->qx0_0, m->qx0_1, m->qx0_2, m->qx0_3});
    else
      q->pack_each((real *const[]){m->aw0_0, m->aw0_1, m->aw0_2, m->aw0_3}, (const real *const[]){m->wx0_0, m->wx0_1, m->wx0_2, m->wx0_3}, 4, (const long[]){m->h, m->h, m->h, m->h}, I);
    for (long first = 0; first < T; first += z->block) {
      const long last = T - first < z->block ? T : first + z->block, count = (last - first) * B;
      if (m->a0)
        q->inputs(m->x0, m->x0_row, 4, (const long[]){0, 1 * H, 2 * H, 3 * H}, (const long[]){m->h, m->h, m->h, m->h}, m->a0 + first * B * I, (const real *const[]){m->aw0_0, m->aw0_1, m->aw0_2, m->aw0_3}, I, (const real *const[]){m->qx0_0, m->qx0_1, m->qx0_2, m->qx0_3}, count);
      for (long t = first; t < last; t++) {
        forward_0h(z, m, t, first);
        forward_1h(z, m, t, first);
      }
    }
    q->copy_rows(m->o0, H, m->s0 + SLOT(T) * B * H, H, B, m->h);
    q->copy_rows(m->o1, H, m->s1 + SLOT(T) * B * H, H, B, m->h);
  }
  restore(mode);
}

COLD void odyssey_backward(const struct sizes *z, const struct member *m) {
  const struct products *q = z->products;
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = 1;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
    if (m->do0) q->copy_rows(m->c0, H, m->do0, H, B, m->h);
    else __builtin_memset(m->c0, 0, B * H * sizeof(real));
    if (m->do1) q->copy_rows(m->c1, H, m->do1, H, B, m->h);
    else __builtin_memset(m->c1, 0, B * H * sizeof(real));
    q->pack_transposed(m->b2, (const real *[]){m->m0, m->m1, m->m2, m->m3}, (const long[]){m->h, m->h, m->h, m->h}, 4, m->h, H);
    if (m->ga0)
      q->pack_transposed(m->bw0, (const real *const[]){m->wx0_0, m->wx0_1, m->wx0_2, m->wx0_3}, (const long[]){H, H, H, H}, 4, I, I);
    if (m->x0_index)
      __builtin_memset(m->gx0, 0, I * (4 * H) * sizeof(real));
    for (long last = T, first; last; last = first) {
      first = last > z->block ? last - z->block : 0;
      const long count = (last - first) * B, more = last < T;
      if (more) q->copy_rows(m->d + count * m->d_row, m->d_row, m->d, m->d_row, B, m->d_row);

      for (long t = last - 1; t >= first; t--) {
        backward_0h(z, m, t, first);
      }
      q->outer((real *const[]){m->gm0_0, m->gm0_1, m->gm0_2, m->gm0_3}, H, 4, (const long[]){m->h, m->h, m->h, m->h}, (const real *const[]){m->d, m->d + 1 * H, m->d + 2 * H, m->d + 3 * H}, m->d_row, m->s0 + first * B * H, H, count, m->h, more);
      if (m->x0_index)
        q->add_up(m->gx0, m->x0_row, 4, (const long[]){0, 1 * H, 2 * H, 3 * H}, (const long[]){m->h, m->h, m->h, m->h}, m->x0_index + first * B, (const real *const[]){m->d, m->d + 1 * H, m->d + 2 * H, m->d + 3 * H}, m->d_row, count);
      else {
        q->outer_inputs((real *const[]){m->gw0_0, m->gw0_1, m->gw0_2, m->gw0_3}, 4, (const long[]){m->h, m->h, m->h, m->h}, (const real *const[]){m->d, m->d + 1 * H, m->d + 2 * H, m->d + 3 * H}, m->d_row, m->a0 + first * B * I, count, I, more);
        q->add_rows((real *const[]){m->gq0_0, m->gq0_1, m->gq0_2, m->gq0_3}, (const real *const[]){m->d, m->d + 1 * H, m->d + 2 * H, m->d + 3 * H}, m->d_row, 4, (const long[]){m->h, m->h, m->h, m->h}, count);
        if (m->ga0)
          q->into(m->ga0 + first * B * I, I, 4, (const long[]){0, 1 * H, 2 * H, 3 * H}, (const long[]){m->h, m->h, m->h, m->h}, (const real *const[]){m->d, m->d + 1 * H, m->d + 2 * H, m->d + 3 * H}, m->d_row, m->bw0, 4 * H, count);
      }
    }
    if (m->x0_index)
      q->leave((real *const[]){m->gw0_0, m->gw0_1, m->gw0_2, m->gw0_3}, m->gx0, m->x0_row, 4, (const long[]){0, 1 * H, 2 * H, 3 * H}, (const long[]){H, H, H, H}, I, (real *const[]){m->gq0_0, m->gq0_1, m->gq0_2, m->gq0_3});
    if (m->di0) first_0(z, m);
    if (m->di1) q->copy_rows(m->di1, H, m->c1, H, B, m->h);
  }
  restore(mode);
}
