"""The C file of the training step around a cell: readout, loss and gradients, the update, and
whole updates one after the other.

Nothing in it depends on the cell: there is one for each dtype and target.

The readout goes through the rows (steps times streams) of a member in blocks, so that logits never
leave the cache: for each block, rows are packed, logits are a product, the softmax
turns them into gradients of the loss in place, and two more products give the gradients of weight
and rows. Logits are stored by symbol, so that one vector holds one symbol's logit of V rows, and
the softmax needs no sums across a vector. Bits and reals go the same way with a loss of their own;
their targets are packed as the rows are, so that they too are stored by output.

The update makes two passes over the parameters of a member: the norm of its gradient, then the
step, in one function for every optimiser (`apply`), which the compiler specialises.
"""

from __future__ import annotations

from odyssey.compiler.backends.native.abi.training import (
    BLOCK_ROWS,
    PARAMETER,
    READOUT,
    READOUT_KINDS,
    STEPS,
    UPDATE,
)
from odyssey.compiler.backends.native.source.frame import FLUSH, write_preamble
from odyssey.compiler.backends.native.source.functions import write_functions

_NUMBERS = """\
extern double log(double), sqrt(double);
extern float sqrtf(float);
static inline double total(vec x) {
  double sum = 0;
  for (int k = 0; k < V; k++) sum += x[k];
  return sum;
}
static inline vec vsqrt(vec x) {
  real y[V] __attribute__((aligned(64)));
  *(vec *)y = x;
  for (int k = 0; k < V; k++) y[k] = SQRT(y[k]);
  return *(vec *)y;
}
"""

_READOUT = """\
/* The loss of a readout, R rows a member: h (R, H) of which `units` count, w (S, H), b (S), S
 * outputs. The logits of a block of rows are stored by output, (S, BLOCK). */
struct readout {
$fields
};

/* Turns logits (S, BLOCK) of a block into gradients of the loss; sums the loss. */
static long softmax(const struct readout *z, long p, long first, long rows, real *x, real *db,
                    double *nll, double *right) {
  const long S = z->S;
  const real *b = z->b + p * z->b_member;
  const long *target = z->target + p * z->target_member + first;
  const unsigned char *weight = z->weight + p * z->weight_member + first;
  long bad = 0;
  for (long r = 0; r < rows; r += V) {
    const long n = rows - r < V ? rows - r : V;
    vec high = *(vec *)(x + r) + b[0], sum = {};
    ivec at = {};
    for (long s = 1; s < S; s++) {
      const vec y = *(vec *)(x + s * BLOCK + r) + b[s];
      if (!z->keep) { /* who trains does not count hits */
        const ivec more = y > high;
        at = (more & (integer)s) | (~more & at);
      }
      high = at_least(high, y);
    }
    real own[V];
    for (long v = 0; v < n; v++) {
      const long s = target[r + v];
      if (s < 0 || s >= S) { bad++; own[v] = 0; continue; }
      own[v] = x[s * BLOCK + r + v] + b[s];
    }
    for (long s = 0; s < S; s++) {
      ivec n; /* exp of what is at most 0 */
      const vec below = (*(vec *)(x + s * BLOCK + r) + b[s]) - high;
      const vec p = reduced(at_least(splat(-LARGE), below), LOG2E, &n) + 1;
      const vec y = p * power_of_two(n);
      *(vec *)(x + s * BLOCK + r) = y;
      sum += y;
    }
    double all = 1; /* at most S^V: one logarithm for V rows */
    vec part = {};
    for (long v = 0; v < n; v++) {
      const double counts = weight[r + v] != 0; /* a product, not a choice: NaN stays NaN */
      all *= sum[v] * counts + (1 - counts);
      *nll += ((double)high[v] - own[v]) * counts;
      *right += counts * (at[v] == target[r + v]);
      part[v] = (real)(z->keep ? z->scale[p] * counts / sum[v] : 0);
    }
    *nll += log(all);
    if (!z->keep) continue;
    for (long s = 0; s < S; s++) {
      const vec y = *(vec *)(x + s * BLOCK + r) * part;
      *(vec *)(x + s * BLOCK + r) = y;
      *(vec *)(db + s * V) += y;
    }
    for (long v = 0; v < n; v++)
      if (weight[r + v] && target[r + v] >= 0 && target[r + v] < S) {
        x[target[r + v] * BLOCK + r + v] -= (real)z->scale[p];
        db[target[r + v] * V + v] -= (real)z->scale[p];
      }
  }
  return bad;
}

/* Independent bits, for V rows: x (S, BLOCK) turns into gradients times `part`; their targets are
 * `away` numbers apart. A bit costs (1 - t) y - log sigmoid(y) = (1 - t) y - min(y, 0) + log(1 + e)
 * with e = exp(-|y|); of up to 64 factors 1 + e, at most 2 each, one logarithm is taken. */
static void bernoulli(const struct readout *z, const real *b, const real *goal, long away, vec part,
                      real *x, real *db, double *loss, double *hit) {
  const long S = z->S;
  vec cost = {}, all = splat(1);
  ivec both = {}, either = {};
  for (long v = 0; v < V; v++) loss[v] = 0;
  for (long s = 0; s < S; s++) {
    const vec y = *(vec *)(x + s * BLOCK) + b[s], t = *(vec *)(goal + s * away);
    ivec n;
    const vec q = reduced(at_least(splat(-LARGE), at_most(y, -y)), LOG2E, &n) + 1;
    const vec e = q * power_of_two(n), sum = 1 + e;
    cost += (1 - t) * y - at_most(splat(0), y);
    all *= sum;
    if (s % 64 == 63 || s == S - 1) {
      for (long v = 0; v < V; v++) loss[v] += log(all[v]);
      all = splat(1);
    }
    if (!z->keep) { /* who trains does not count hits; a mask that is set is -1 */
      const ivec said = y > 0, there = t > (real)0.5;
      both -= said & there;
      either -= said | there;
      continue;
    }
    const vec g = (pick(y > 0, splat(1), e) / sum - t) * part;
    *(vec *)(x + s * BLOCK) = g;
    *(vec *)(db + s * V) += g;
  }
  for (long v = 0; v < V; v++) {
    loss[v] += cost[v];
    hit[v] = either[v] ? (double)both[v] / either[v] : 1;
  }
}

/* Squared errors, alike; a row is right where all its numbers are, within 0.04. */
static void errors(const struct readout *z, const real *b, const real *goal, long away, vec part,
                   real *x, real *db, double *loss, double *hit) {
  vec cost = {};
  ivec near = (vec){} == 0;
  for (long s = 0; s < z->S; s++) {
    const vec d = *(vec *)(x + s * BLOCK) + b[s] - *(vec *)(goal + s * away), g = 2 * d * part;
    cost += d * d;
    near &= (d < (real)0.04) & (d > (real)-0.04);
    if (!z->keep) continue;
    *(vec *)(x + s * BLOCK) = g;
    *(vec *)(db + s * V) += g;
  }
  for (long v = 0; v < V; v++) loss[v] = cost[v], hit[v] = near[v] != 0;
}

/* What `softmax` does, for bits and reals. */
static void values(const struct readout *z, long p, long first, long rows, real *x, real *goals,
                   real *db, double *nll, double *right) {
  const struct products *q = z->products;
  const long S = z->S;
  const real *b = z->b + p * z->b_member, *from = z->values + p * z->values_member + first * S;
  const unsigned char *weight = z->weight + p * z->weight_member + first;
  q->pack(goals, &from, 1, rows, S, S);
  for (long start = 0, wide; start < rows; start += wide * V) {
    wide = strip(rows - start, q->wide);
    for (long u = 0; u < wide; u++) {
      const long r = start + u * V, n = rows - r < V ? rows - r : V;
      const real *goal = goals + start * S + u * V;
      double loss[V], hit[V];
      vec part = {};
      for (long v = 0; v < n && z->keep; v++) part[v] = (real)(z->scale[p] * (weight[r + v] != 0));
      for (long v = n; v < V; v++) /* no row: 0 times an infinite weight is NaN */
        for (long s = 0; s < S; s++) x[s * BLOCK + r + v] = 0;
      (z->kind == BITS ? bernoulli : errors)(z, b, goal, wide * V, part, x + r, db, loss, hit);
      for (long v = 0; v < n; v++) {
        const double counts = weight[r + v] != 0; /* a product, not a choice: NaN stays NaN */
        *nll += loss[v] * counts;
        *right += hit[v] * counts;
      }
    }
  }
}

static long member(const struct readout *z, long p) {
  const struct products *q = z->products;
  const long S = z->S, H = z->H, n = z->units[p], N = (n + V - 1) / V * V, most = q->wide;
  const real *w = z->w + p * z->w_member;
  real *turned = z->scratch, *rows = turned + n * BLOCK, *x = rows + N * BLOCK;
  real *panel = x + S * BLOCK, *dw = panel + S * N, *db = dw + S * N, *goals = db + S * V;
  double nll = 0, right = 0;
  long bad = 0;
  for (long s = 0; s < S; s++) *(vec *)(db + s * V) = (vec){};
  if (z->keep) q->pack_transposed(panel, &w, &S, 1, n, H);
  for (long first = 0; first < z->R; first += BLOCK) {
    const long R = z->R - first < BLOCK ? z->R - first : BLOCK;
    const real *h = z->h + p * z->h_member + first * H;
    q->pack(turned, &h, 1, R, n, H);
    for (long r = 0, wide; r < R; r += wide * V) {
      wide = strip(R - r, most);
      q->product(x + r, BLOCK, 0, 0, w, H, 1, turned + r * n, wide, n, S);
    }
    if (z->kind == CLASSES) bad += softmax(z, p, first, R, x, db, &nll, &right);
    else values(z, p, first, R, x, goals, db, &nll, &right);
    if (!z->keep) continue;
    q->pack_transposed(rows, &h, &R, 1, n, H);
    for (long j = 0, wide; j < n; j += wide * V) {
      wide = strip(n - j, most);
      q->product(dw + j, N, first ? dw + j : 0, N, x, BLOCK, 1, rows + j * R, wide, R, S);
      q->columns(z->dh + (p * z->R + first) * H + j, H, 0, 0, x, 1, BLOCK, panel + j * S, wide, S,
                 R, n - j);
    }
    for (long r = 0; r < R && n < H; r++)
      __builtin_memset(z->dh + (p * z->R + first + r) * H + n, 0, (H - n) * sizeof(real));
  }
  z->nll[p] = nll;
  z->right[p] = right;
  for (long s = 0; s < S && z->keep; s++) {
    real *to = z->dw + p * z->dw_member + s * H;
    for (long j = 0; j < H; j++) to[j] = j < n ? dw[s * N + j] : 0;
    z->db[p * z->db_member + s] = (real)total(*(vec *)(db + s * V));
  }
  return bad;
}

/* Counts the targets that are no symbols. */
void odyssey_readout(const struct readout *z, long *bad) {
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++) *bad += member(z, p);
  restore(mode);
}
"""

_UPDATE = """\
/* One parameter: the first value of each member, its gradient (0: none arrived), and its place
 * in the rows of N numbers that the optimiser keeps for a member. */
struct parameter {
$parameter
};
struct update {
$fields
};

static inline vec gradient(const real *from, const real *inside, long k, long n) {
  if (!from) return (vec){};
  const vec g = ld(from + k, n - k);
  return inside ? pick((ivec)ld(inside + k, n - k), g, splat(0)) : g;
}

static double squares(const real *from, const real *inside, long n) {
  double sum = 0;
  for (long k = 0; k < n;) {
    vec part = {};
    for (long end = k + 32 * V; k < n && k < end; k += V) {
      const vec g = gradient(from, inside, k, n);
      part += g * g;
    }
    sum += total(part);
  }
  return sum;
}

struct member_step { real rate, momentum, scale, bound, decay, mean, square; long nesterov; };

/* `kind` is a constant where this is called: sgd, rmsprop, adam, adagrad, sgd without momentum. */
static inline __attribute__((always_inline)) void apply(
    int kind, const struct member_step m, real *value, const real *from, const real *inside,
    real *first, real *second, long n) {
  for (long k = 0; k < n; k += V) {
    vec g = gradient(from, inside, k, n) * m.scale, step = g;
    g = pick(g > m.bound, splat(m.bound), pick(g < -m.bound, splat(-m.bound), g));
    if (kind == 0) {
      const vec v = ld(first + k, n - k) * m.momentum + g;
      st(first + k, v, n - k);
      step = m.rate * (m.nesterov ? g + m.momentum * v : v);
    } else if (kind == 1) {
      const vec q = ld(first + k, n - k) * m.decay + g * g * (1 - m.decay);
      st(first + k, q, n - k);
      step = m.rate * g / (vsqrt(q) + (real)1e-8);
    } else if (kind == 2) {
      const vec a = ld(first + k, n - k) * (real)0.9 + g * (real)0.1;
      const vec q = ld(second + k, n - k) * (real)0.999 + g * g * (real)0.001;
      st(first + k, a, n - k);
      st(second + k, q, n - k);
      step = m.rate * (a * m.mean) / (vsqrt(q * m.square) + (real)1e-8);
    } else if (kind == 3) {
      const vec q = ld(first + k, n - k) + g * g;
      st(first + k, q, n - k);
      step = m.rate * g / vsqrt(q + (real)1e-8);
    } else
      step = m.rate * g;
    st(value + k, ld(value + k, n - k) - step, n - k);
  }
}

/* Decoupled weight decay (Loshchilov & Hutter, 2019). */
static void shrink(real *value, real kept, long n) {
  for (long k = 0; k < n; k += V) st(value + k, ld(value + k, n - k) * kept, n - k);
}

static void approach(real *average, const real *value, real share, long n) {
  for (long k = 0; k < n; k += V) {
    const vec a = ld(average + k, n - k), v = ld(value + k, n - k);
    st(average + k, share == 1 ? v : a + share * (v - a), n - k);
  }
}

/* Measures the gradient of every member, and steps those that are alive and healthy. */
void odyssey_update(const struct update *z, const void *unused) {
  (void)unused;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++) {
    const real *inside = z->inside ? z->inside + p * z->N : 0;
    double sum = 0;
    for (long k = 0; k < z->parameters; k++) {
      const struct parameter *q = z->of + k;
      if (q->gradient)
        sum += squares(q->gradient + p * q->gradient_member, inside ? inside + q->place : 0,
                       q->count);
    }
    /* out of range where the sum is: a norm that torch calls infinite is infinite here */
    const double norm = z->norm[p] = (double)(real)sum - (double)(real)sum == 0 ? sqrt(sum)
                                                                                : (real)sum;
    const double mean = z->mean[p];
    z->healthy[p] = norm - norm == 0 && mean - mean == 0 && mean <= *z->limit;
    if (!z->alive[p] || !z->healthy[p]) continue;
    const double share = z->clip_norm[p] / (norm + 1e-12);
    const struct member_step m = {
        z->rate[p], z->momentum[p], (real)(share < 1 ? share : 1), z->clip_value[p],
        (real)*z->decay, (real)(1 / *z->mean_correction), (real)(1 / *z->square_correction),
        z->nesterov};
    for (long k = 0; k < z->parameters; k++) {
      const struct parameter *q = z->of + k;
      const long row = p * z->N + q->place;
      real *value = z->of[k].value + p * q->value_member;
      const real *g = q->gradient ? q->gradient + p * q->gradient_member : 0;
      const real *in = inside ? inside + q->place : 0;
      if (z->weight_decay && z->weight_decay[p] > 0)
        shrink(value, 1 - m.rate * z->weight_decay[p], q->count);
      switch (z->kind) {
        case 0:
          if (m.momentum > 0) apply(0, m, value, g, in, z->first + row, 0, q->count);
          else apply(4, m, value, g, in, 0, 0, q->count);
          break;
        case 1: apply(1, m, value, g, in, z->first + row, 0, q->count); break;
        case 2: case 4:
          apply(2, m, value, g, in, z->first + row, z->second + row, q->count); break;
        case 3: apply(3, m, value, g, in, z->first + row, 0, q->count); break;
      }
      if (z->average) approach(z->average + row, value, z->share[p], q->count);
    }
  }
  restore(mode);
}
"""

_STEPS = """\
/* Whole updates, one after the other, until one is unhealthy: what Python would do between two
 * calls costs more than a small cell. Addresses are numbers, for the structures of a cell are
 * unknown here. */
struct steps {
$fields
};
typedef void (*entry)(const void *, const void *);

static int known(const long *x, long n, long symbols) {
  long wrong = 0;
  for (long k = 0; k < n; k++) wrong |= x[k] < 0 || x[k] >= symbols;
  return !wrong;
}

/* Gives n reals: those at `from`, or where there is room for them what bytes there say. At -O2, or
 * by __builtin_convertvector, GCC converts them one by one. */
#if defined(__OPTIMIZE__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((noinline, optimize("O3")))
#endif
static const void *reals(long room, const unsigned char *from, long n) {
  if (!room) return from;
  real *restrict to = (real *)room;
  for (long k = 0; k < n; k++) to[k] = (int)from[k];
  return to;
}

void odyssey_steps(struct steps *s, const void *unused) {
  (void)unused;
  struct readout own = *(const struct readout *)s->readout, *r = &own;
  struct update step = *(const struct update *)s->update, *u = &step;
  const long *columns = (const long *)s->columns, P = s->P;
  const long *starts = (const long *)s->starts, *widths = (const long *)s->widths;
  long *back = (long *)s->back;
  r->h = (const real *)s->y;
  r->h_member = s->y_member;
  r->dh = (real *)s->dh;
  while (s->done < s->updates) {
    const long k = s->done, rows = s->rows[k];
    const long numbers = P * rows * (s->row_bytes / (long)sizeof(real)); /* of dense inputs */
    const char *x = reals(s->x_room, (const unsigned char *)s->x[k], numbers);
    if (s->symbols && !known((const long *)x, P * rows, s->symbols)) { s->bad = 1; return; }
    long *forth = (long *)(s->anew[k] ? (s->turn ? s->other_anew : s->forth_anew)
                                      : (s->turn ? s->other : s->forth));
    for (long p = 0; p < P; p++) {
      for (long i = 0; i < s->fields; i++)
        forth[p * s->words + columns[i]] = back[p * s->words + columns[i]] =
            (long)(x + (P * starts[i] + p * widths[i]) * rows);
      back[p * s->words + s->dy] = (long)(r->dh + p * rows * r->H);
    }
    ((entry)s->forward)((const void *)s->sizes[k], forth);
    r->R = r->target_member = r->weight_member = rows;
    r->values_member = rows * r->S;
    if (r->kind == CLASSES) r->target = (const long *)s->target[k];
    else r->values = reals(s->target_room, (const unsigned char *)s->target[k], P * rows * r->S);
    r->weight = (const unsigned char *)s->weight[k];
    r->scale = s->scale + k * P;
    long bad = 0;
    odyssey_readout(r, &bad);
    if (bad) { s->bad = 2; return; }
    for (long p = 0; p < P; p++) {
      s->nll[k * P + p] = r->nll[p];
      s->mean[p] = r->nll[p] / s->counted[k * P + p];
    }
    for (long i = 0; i < s->sums; i++)
      __builtin_memset(((void **)s->sum_at)[i], 0, ((long *)s->sum_bytes)[i]);
    ((entry)s->backward)((const void *)s->sizes[k], back);
    u->mean = s->mean;
    u->rate = s->rate + k * P;
    *(double *)u->mean_correction = s->corrections[2 * k]; /* where single updates write them */
    *(double *)u->square_correction = s->corrections[2 * k + 1];
    odyssey_update(u, 0);
    s->done++;
    s->turn = !s->turn;
    int healthy = 1;
    for (long p = 0; p < P; p++) {
      s->norm[k * P + p] = u->norm[p];
      healthy &= !u->alive[p] || u->healthy[p];
    }
    if (!healthy) return;
  }
}
"""


def step_source(*, dtype: str, target: str) -> str:
    """Writes the C file.

    Args:
        dtype: float32 or float64.
        target: A row of `targets.TARGETS`.
    """
    head = write_preamble("the training step,", dtype=dtype, target=target)
    defines: dict[str, object] = {kind.upper(): k for k, kind in enumerate(READOUT_KINDS)}
    defines |= {"BLOCK": BLOCK_ROWS, "SQRT": "sqrtf" if dtype == "float32" else "sqrt"}
    return "\n".join(
        [
            head,
            *(f"#define {name} {value}" for name, value in defines.items()),
            write_functions({"reduced"}, dtype),
            FLUSH + _NUMBERS,
            _READOUT.replace("$fields", READOUT.text),
            _UPDATE.replace("$fields", UPDATE.text).replace("$parameter", PARAMETER.text),
            _STEPS.replace("$fields", STEPS.text),
        ]
    )
