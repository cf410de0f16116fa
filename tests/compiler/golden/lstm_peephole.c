/* Odyssey: the cell lstm_peephole for float32 and avx512 vectors. Generated; do not edit.
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
  void (*outer)(real *const *to, long to_row, long maps, const long *units, const real *const *d, long d_row, const real *x, long x_row, long count, long n, int more);
  void (*affine)(real *to, long to_row, const real *x, long x_row, const real *panel, long whole, long before, long inner, const real *bias, long count, long n, int more);
  void (*turn)(real *to, long to_row, const real *from, long units, long inner, const real *bias);
  void (*turn_back)(real *to, const real *from, long from_row, long units, long inner);
  void (*copy_rows)(real *to, long to_row, const real *from, long from_row, long rows, long n);
  void (*sum_rows)(real *to, const real *from, long row, long count, long n);
  void (*scatter)(real *to, long to_row, const long *index, const real *from, long from_row, long rows, long n);
};

static inline vec splat(real x) { return x - (vec){}; }

/* Loads and stores n units, at most a vector; the last units of a row are rare, and stay apart. */
static __attribute__((noinline)) vec ld_part(const real *from, long n) {
  vec x = {};
  for (long k = 0; k < n; k++) x[k] = from[k];
  return x;
}
static __attribute__((noinline)) void st_part(real *to, vec x, long n) {
  for (long k = 0; k < n; k++) to[k] = x[k];
}
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
  real *x0; /* from before the loop: %14, %23, %35, %5 */
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
  const real *p10; /* p_i */
  real *g10; /* its gradient */
  const real *p20; /* p_f */
  real *g20; /* its gradient */
  const real *p32; /* p_o */
  real *g32; /* its gradient */
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
  real *v7; /* saved: g */
  real *v17; /* saved: i */
  real *v26; /* saved: f */
  real *v38; /* saved: o */
  real *v39; /* saved: %39 tanh */
  real *gm0_0; /* gradient of U_i */
  real *gm0_1; /* gradient of U_f */
  real *gm0_2; /* gradient of U_o */
  real *gm0_3; /* gradient of U_g */
  real *d; /* gradient rows of a block of steps: %70, %65, %54, %77 */
  real *hot; /* products of a phase, for some batch rows at a time */
  real *w9; /* packed matrices */
  real *b2; /* packed matrices */
};

/* Without a backward pass the states take turns in two slots and the saved values share one. */
#define SLOT(t) (keep ? (t) : ((t) & 1))
#define KEPT(t) (keep ? (t) : 0)
/* A vector of the products of a phase: of batch row r, unit j. */
#define HOT(map) (*(const vec *)(hot + r * hot_row + (map) * units_v + j))

static inline void clear(real *to, long row, long wide, long rows) {
  for (long r = 0; r < rows; r++)
    for (long u = 0; u < wide; u++) *(vec *)(to + r * row + u * V) = (vec){};
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
  const vec y = at_most(splat(LARGE), at_least(splat(-LARGE), -x));
  ivec n;
  const vec p = reduced(y, &n);
  const vec scale = power_of_two(n);
  return 1 / (p * scale + (scale + 1));
}

static inline vec vtanh(vec x) {
  const vec y = at_most(splat(40), at_least(splat(-40), x + x));
  ivec n;
  const vec p = reduced(y, &n);
  const vec scale = power_of_two(n);
  const vec m = p * scale + (scale - 1); /* exp(2x) - 1 */
  return m / (m + 2);
}

static void forward_0h(const struct sizes *z, const struct member *m, long t, long first) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const long units = m->h;
  for (long b = 0; b < B; b++) {
    const long at = t * B + b, here = at - first * B;
    for (long j = 0; j < units; j += V) {
      const long n = units - j;
    }
  }
}

static void forward_1h(const struct sizes *z, const struct member *m, long t, long first) {
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
                   m->w9 + (j0 * 4 + g * wide * V) * m->h, wide, m->h, rows);
    }
    for (long r = 0; r < rows; r++) {
      const long b = b0 + r, at = t * B + b, here = at - first * B;
      for (long j = 0; j < units; j += V) {
        const long n = units - j;
        const vec v5 = ld(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row + 3 * H + j, n);
        const vec v3 = HOT(3);
        const vec v6 = v5 + v3;
        const vec v7 = vtanh(v6); /* g */
        const vec v14 = ld(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row + j, n);
        const vec v9 = HOT(0);
        const vec v15 = v14 + v9;
        const vec v10 = ld(m->p10 + j, n);
        const vec v11 = ld(m->s1 + (SLOT(t) * B + b) * H + j, n);
        const vec v12 = v10 * v11;
        const vec v16 = v15 + v12;
        const vec v17 = vsigmoid(v16); /* i */
        const vec v23 = ld(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row + 1 * H + j, n);
        const vec v19 = HOT(1);
        const vec v24 = v23 + v19;
        const vec v20 = ld(m->p20 + j, n);
        const vec v21 = v20 * v11;
        const vec v25 = v24 + v21;
        const vec v26 = vsigmoid(v25); /* f */
        const vec v35 = ld(m->x0 + (m->x0_index ? m->x0_index[at] : here) * m->x0_row + 2 * H + j, n);
        const vec v31 = HOT(2);
        const vec v36 = v35 + v31;
        const vec v32 = ld(m->p32 + j, n);
        const vec v27 = v26 * v11;
        const vec v28 = v17 * v7;
        const vec v29 = v27 + v28; /* c[t] */
        const vec v33 = v32 * v29;
        const vec v37 = v36 + v33;
        const vec v38 = vsigmoid(v37); /* o */
        const vec v39 = vtanh(v29);
        const vec v40 = v38 * v39; /* h[t] */
        st(m->v7 + (KEPT(t) * B + b) * H + j, v7, n);
        st(m->v17 + (KEPT(t) * B + b) * H + j, v17, n);
        st(m->v26 + (KEPT(t) * B + b) * H + j, v26, n);
        st(m->v38 + (KEPT(t) * B + b) * H + j, v38, n);
        st(m->v39 + (KEPT(t) * B + b) * H + j, v39, n);
        st(m->s0 + (SLOT(t + 1) * B + b) * H + j, v40, n);
        st(m->s1 + (SLOT(t + 1) * B + b) * H + j, v29, n);
        st(m->y + at * H + j, v40, n);
      }
    }
  }
}

static void backward_0h(const struct sizes *z, const struct member *m, long t, long first) {
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
        if (m->h == H) {
          q->product(hot + j0, hot_row, 0, 0, m->d + ((t + 1 - first) * B + b0) * (4 * H), (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h), wide, m->h + m->h + m->h + m->h, rows);
        } else {
          q->product(hot + j0, hot_row, 0, 0, m->d + ((t + 1 - first) * B + b0) * (4 * H), (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h), wide, m->h, rows);
          q->product(hot + j0, hot_row, hot + j0, hot_row, m->d + ((t + 1 - first) * B + b0) * (4 * H) + 1 * H, (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h) + wide * V * (m->h), wide, m->h, rows);
          q->product(hot + j0, hot_row, hot + j0, hot_row, m->d + ((t + 1 - first) * B + b0) * (4 * H) + 2 * H, (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h) + wide * V * (m->h + m->h), wide, m->h, rows);
          q->product(hot + j0, hot_row, hot + j0, hot_row, m->d + ((t + 1 - first) * B + b0) * (4 * H) + 3 * H, (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h) + wide * V * (m->h + m->h + m->h), wide, m->h, rows);
        }
      } else clear(hot + j0, hot_row, wide, rows);
    }
    for (long r = 0; r < rows; r++) {
      const long b = b0 + r, at = t * B + b, here = at - first * B;
      for (long j = 0; j < units; j += V) {
        const long n = units - j;
        const vec v42 = ld(m->c1 + b * H + j, n);
        const vec v41 = ld(m->c0 + b * H + j, n) + HOT(0);
        const vec v43 = ld(m->dy + at * H + j, n);
        const vec v44 = v41 + v43;
        const vec v38 = ld(m->v38 + (KEPT(t) * B + b) * H + j, n); /* o */
        const vec v47 = v44 * v38;
        const vec v39 = ld(m->v39 + (KEPT(t) * B + b) * H + j, n);
        const vec v49 = v39 * v39;
        const vec v50 = splat((real)1.0) - v49;
        const vec v51 = v47 * v50;
        const vec v57 = v42 + v51;
        const vec v46 = v44 * v39;
        const vec v52 = splat((real)1.0) - v38;
        const vec v53 = v38 * v52;
        const vec v54 = v46 * v53;
        const vec v32 = ld(m->p32 + j, n);
        const vec v56 = v54 * v32;
        const vec v58 = v57 + v56;
        const vec v7 = ld(m->v7 + (KEPT(t) * B + b) * H + j, n); /* g */
        const vec v59 = v58 * v7;
        const vec v17 = ld(m->v17 + (KEPT(t) * B + b) * H + j, n); /* i */
        const vec v68 = splat((real)1.0) - v17;
        const vec v69 = v17 * v68;
        const vec v70 = v59 * v69;
        const vec v11 = ld(m->s1 + (SLOT(t) * B + b) * H + j, n);
        const vec v61 = v58 * v11;
        const vec v26 = ld(m->v26 + (KEPT(t) * B + b) * H + j, n); /* f */
        const vec v63 = splat((real)1.0) - v26;
        const vec v64 = v26 * v63;
        const vec v65 = v61 * v64;
        const vec v60 = v58 * v17;
        const vec v75 = v7 * v7;
        const vec v76 = splat((real)1.0) - v75;
        const vec v77 = v60 * v76;
        const vec v29 = ld(m->s1 + (SLOT(t + 1) * B + b) * H + j, n); /* c[t] */
        const vec v55 = v54 * v29;
        const vec v66 = v65 * v11;
        const vec v71 = v70 * v11;
        const vec v62 = v58 * v26;
        const vec v20 = ld(m->p20 + j, n);
        const vec v67 = v65 * v20;
        const vec v73 = v62 + v67;
        const vec v10 = ld(m->p10 + j, n);
        const vec v72 = v70 * v10;
        const vec v74 = v73 + v72;
        st(m->d + here * (4 * H) + j, v70, n);
        st(m->d + here * (4 * H) + 1 * H + j, v65, n);
        st(m->d + here * (4 * H) + 2 * H + j, v54, n);
        st(m->d + here * (4 * H) + 3 * H + j, v77, n);
        st(m->c0 + b * H + j, splat(0), n);
        st(m->c1 + b * H + j, v74, n);
        st(m->g32 + j, ld(m->g32 + j, n) + v55, n);
        st(m->g20 + j, ld(m->g20 + j, n) + v66, n);
        st(m->g10 + j, ld(m->g10 + j, n) + v71, n);
      }
    }
  }
}

static void first_0(const struct sizes *z, const struct member *m) {
  const long B = z->B, H = z->H, I = z->I, first = 0;
  const struct products *q = z->products;
  real *const hot = m->hot;
  const long units_v = (m->h + V - 1) / V * V, hot_row = 1 * units_v;
  for (long b0 = 0, rows; b0 < B; b0 += rows) {
    rows = B - b0 < z->rows ? B - b0 : z->rows;
    for (long j0 = 0, wide; j0 < m->h; j0 += wide * V) {
      wide = strip(m->h - j0, q->wide);
      if (m->h == H) {
        q->product(hot + j0, hot_row, 0, 0, m->d + ((0 - first) * B + b0) * (4 * H), (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h), wide, m->h + m->h + m->h + m->h, rows);
      } else {
        q->product(hot + j0, hot_row, 0, 0, m->d + ((0 - first) * B + b0) * (4 * H), (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h), wide, m->h, rows);
        q->product(hot + j0, hot_row, hot + j0, hot_row, m->d + ((0 - first) * B + b0) * (4 * H) + 1 * H, (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h) + wide * V * (m->h), wide, m->h, rows);
        q->product(hot + j0, hot_row, hot + j0, hot_row, m->d + ((0 - first) * B + b0) * (4 * H) + 2 * H, (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h) + wide * V * (m->h + m->h), wide, m->h, rows);
        q->product(hot + j0, hot_row, hot + j0, hot_row, m->d + ((0 - first) * B + b0) * (4 * H) + 3 * H, (4 * H), 1, m->b2 + j0 * (m->h + m->h + m->h + m->h) + wide * V * (m->h + m->h + m->h), wide, m->h, rows);
      }
    }
    for (long r = 0; r < rows; r++)
      for (long j = 0; j < m->h; j += V) {
        const long at = (b0 + r) * H + j;
        st(m->di0 + at, ld(m->c0 + at, m->h - j) + HOT(0), m->h - j);
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
void odyssey_forward(const struct sizes *z, const struct member *m) {
  const struct products *q = z->products;
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
    q->copy_rows(m->s0, H, m->i0, H, B, m->h);
    q->copy_rows(m->s1, H, m->i1, H, B, m->h);
    q->pack(m->w9, (const real *[]){m->m0, m->m1, m->m2, m->m3}, 4, m->h, m->h, H);
    if (m->x0_index) {
      q->turn(m->x0, m->x0_row, m->wx0_0, H, I, m->qx0_0);
      q->turn(m->x0 + 1 * H, m->x0_row, m->wx0_1, H, I, m->qx0_1);
      q->turn(m->x0 + 2 * H, m->x0_row, m->wx0_2, H, I, m->qx0_2);
      q->turn(m->x0 + 3 * H, m->x0_row, m->wx0_3, H, I, m->qx0_3);
    } else {
      q->pack(m->aw0_0, (const real *const[]){m->wx0_0}, 1, m->h, I, I);
      q->pack(m->aw0_1, (const real *const[]){m->wx0_1}, 1, m->h, I, I);
      q->pack(m->aw0_2, (const real *const[]){m->wx0_2}, 1, m->h, I, I);
      q->pack(m->aw0_3, (const real *const[]){m->wx0_3}, 1, m->h, I, I);
    }
    for (long first = 0; first < T; first += z->block) {
      const long last = T - first < z->block ? T : first + z->block, count = (last - first) * B;
      if (m->a0) {
        q->affine(m->x0, m->x0_row, m->a0 + first * B * I, I, m->aw0_0, I, 0, I, m->qx0_0, count, m->h, 0);
        q->affine(m->x0 + 1 * H, m->x0_row, m->a0 + first * B * I, I, m->aw0_1, I, 0, I, m->qx0_1, count, m->h, 0);
        q->affine(m->x0 + 2 * H, m->x0_row, m->a0 + first * B * I, I, m->aw0_2, I, 0, I, m->qx0_2, count, m->h, 0);
        q->affine(m->x0 + 3 * H, m->x0_row, m->a0 + first * B * I, I, m->aw0_3, I, 0, I, m->qx0_3, count, m->h, 0);
      }
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

void odyssey_backward(const struct sizes *z, const struct member *m) {
  const struct products *q = z->products;
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = 1;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
    if (m->do0) q->copy_rows(m->c0, H, m->do0, H, B, m->h);
    else __builtin_memset(m->c0, 0, B * H * sizeof(real));
    if (m->do1) q->copy_rows(m->c1, H, m->do1, H, B, m->h);
    else __builtin_memset(m->c1, 0, B * H * sizeof(real));
    q->pack_transposed(m->b2, (const real *[]){m->m0, m->m1, m->m2, m->m3}, (const long[]){m->h, m->h, m->h, m->h}, 4, m->h, H);
    if (m->ga0) q->pack_transposed(m->bw0, (const real *const[]){m->wx0_0, m->wx0_1, m->wx0_2, m->wx0_3}, (const long[]){H, H, H, H}, 4, I, I);
    if (m->x0_index) __builtin_memset(m->gx0, 0, I * (4 * H) * sizeof(real));
    for (long last = T, first; last; last = first) {
      first = last > z->block ? last - z->block : 0;
      const long count = (last - first) * B, more = last < T;
      if (more) q->copy_rows(m->d + count * (4 * H), (4 * H), m->d, (4 * H), B, (4 * H));

      for (long t = last - 1; t >= first; t--) {
        backward_0h(z, m, t, first);
      }
      q->outer((real *const[]){m->gm0_0, m->gm0_1, m->gm0_2, m->gm0_3}, H, 4, (const long[]){m->h, m->h, m->h, m->h}, (const real *const[]){m->d, m->d + 1 * H, m->d + 2 * H, m->d + 3 * H}, (4 * H), m->s0 + first * B * H, H, count, m->h, more);
      if (m->x0_index) {
        q->scatter(m->gx0, m->x0_row, m->x0_index + first * B, m->d, (4 * H), count, m->h);
        q->scatter(m->gx0 + 1 * H, m->x0_row, m->x0_index + first * B, m->d + 1 * H, (4 * H), count, m->h);
        q->scatter(m->gx0 + 2 * H, m->x0_row, m->x0_index + first * B, m->d + 2 * H, (4 * H), count, m->h);
        q->scatter(m->gx0 + 3 * H, m->x0_row, m->x0_index + first * B, m->d + 3 * H, (4 * H), count, m->h);
      } else {
        q->outer((real *const[]){m->gw0_0, m->gw0_1, m->gw0_2, m->gw0_3}, I, 4, (const long[]){m->h, m->h, m->h, m->h}, (const real *const[]){m->d, m->d + 1 * H, m->d + 2 * H, m->d + 3 * H}, (4 * H), m->a0 + first * B * I, I, count, I, more);
        q->sum_rows(m->gq0_0, m->d, (4 * H), count, m->h);
        q->sum_rows(m->gq0_1, m->d + 1 * H, (4 * H), count, m->h);
        q->sum_rows(m->gq0_2, m->d + 2 * H, (4 * H), count, m->h);
        q->sum_rows(m->gq0_3, m->d + 3 * H, (4 * H), count, m->h);
        if (m->ga0 && m->h == H) {
          q->affine(m->ga0 + first * B * I, I, m->d, (4 * H), m->bw0, 4 * H, 0, 4 * H, 0, count, I, 0);
        } else if (m->ga0) {
          q->affine(m->ga0 + first * B * I, I, m->d, (4 * H), m->bw0, 4 * H, 0, m->h, 0, count, I, 0);
          q->affine(m->ga0 + first * B * I, I, m->d + 1 * H, (4 * H), m->bw0, 4 * H, 1 * H, m->h, 0, count, I, 1);
          q->affine(m->ga0 + first * B * I, I, m->d + 2 * H, (4 * H), m->bw0, 4 * H, 2 * H, m->h, 0, count, I, 1);
          q->affine(m->ga0 + first * B * I, I, m->d + 3 * H, (4 * H), m->bw0, 4 * H, 3 * H, m->h, 0, count, I, 1);
        }
      }
    }
    if (m->x0_index) {
      q->turn_back(m->gw0_0, m->gx0, m->x0_row, H, I);
      q->sum_rows(m->gq0_0, m->gx0, m->x0_row, I, H);
      q->turn_back(m->gw0_1, m->gx0 + 1 * H, m->x0_row, H, I);
      q->sum_rows(m->gq0_1, m->gx0 + 1 * H, m->x0_row, I, H);
      q->turn_back(m->gw0_2, m->gx0 + 2 * H, m->x0_row, H, I);
      q->sum_rows(m->gq0_2, m->gx0 + 2 * H, m->x0_row, I, H);
      q->turn_back(m->gw0_3, m->gx0 + 3 * H, m->x0_row, H, I);
      q->sum_rows(m->gq0_3, m->gx0 + 3 * H, m->x0_row, I, H);
    }
    if (m->di0) first_0(z, m);
    if (m->di1) q->copy_rows(m->di1, H, m->c1, H, B, m->h);
  }
  restore(mode);
}
