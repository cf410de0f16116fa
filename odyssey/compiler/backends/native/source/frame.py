"""The parts of the generated C file that do not depend on the cell.

All of it works on vectors of units through a few primitives: `ld` and `st` load and store up to a
vector, so that the last units of a row need no code of their own. Matrix products go through
register tiles (`write_tiles`), one function for each number of rows, for a compiler keeps sums in
registers only where it can unroll. The parts, in the order of a file:

1. `write_preamble`: types, structures, loads and stores;
2. `write_tiles`: the register tiles;
3. `ENTRY`: packing of matrices, products of a block of steps (`outer`: gradients of matrices,
   `affine`: inputs of the loop), and the two entry points with holes for the cell.
"""

from __future__ import annotations

from string import Template

from odyssey.compiler.backends.native.source.functions import TYPES
from odyssey.compiler.backends.native.targets import TARGETS

_PREAMBLE = Template("""\
/* Odyssey: the cell $name for $dtype and $target vectors. Generated; do not edit.
 *
 * T time steps, B batch rows, I inputs, H hidden units of the largest member, h of this one.
 * Every tensor is row-major; rows of states are (step, batch row), states have T + 1 steps.
 * t is the time step, b the batch row, j the first unit of a vector, n how many units are left.
 */
typedef $real real;
typedef $integer integer;
enum { V = $bytes / sizeof(real) };
typedef real vec __attribute__((vector_size($bytes)));
typedef integer ivec __attribute__((vector_size($bytes)));
typedef real loose __attribute__((vector_size($bytes), aligned(sizeof(real)), may_alias));

struct sizes { long P, T, B, H, I, keep, block; };

struct member {
$fields
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
""")

FLUSH = """\
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
"""
ENTRY = Template("""\
/* Copies n numbers of every row. */
static void copy_rows(real *to, long to_row, const real *from, long from_row, long rows, long n) {
  for (long r = 0; r < rows; r++)
    for (long j = 0; j < n; j += V)
      st(to + r * to_row + j, ld(from + r * from_row + j, n - j), n - j);
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

$firsts
$flush
/* to (m, n) = d (rows, m), transposed, times x (rows, n); `more`: added to what is there. */
static void outer(real *all, long all_row, const real *from_d, long d_row, const real *from_x,
                  long x_row, long count, long m, long n, int more) {
  for (long k = 0; k < count; k += 128)
    for (long j = 0, wide; j < n; j += wide * V) {
      wide = width(n - j, 4);
      const long inner = count - k < 128 ? count - k : 128;
      const int partial = n - j < wide * V, sum = more || k;
      real edge[128 * 4 * V] __attribute__((aligned(64)));
      if (partial)
        for (long r = 0; r < inner; r++)
          for (long u = 0; u < wide; u++)
            st(edge + (r * wide + u) * V, ld(from_x + (k + r) * x_row + j + u * V, n - j - u * V),
               V);
      for (long i = 0, rows; i < m; i += rows) {
        rows = m - i < $most ? m - i : $most;
        real *to = all + i * all_row + j;
        const real *d = from_d + k * d_row + i, *x = from_x + k * x_row + j;
        if (!partial) {
          (wide == 4 ? product_4_$most : product_1_$most)(
              to, all_row, sum ? to : 0, all_row, d, 1, d_row, x, x_row, inner, rows);
          continue;
        }
        real hot[4 * $most * V] __attribute__((aligned(64)));
        (wide == 4 ? product_4_$most : product_1_$most)(
            hot, wide * V, 0, 0, d, 1, d_row, edge, wide * V, inner, rows);
        for (long r = 0; r < rows; r++)
          for (long u = 0; u < wide; u++) {
            const long left = n - j - u * V;
            real *place = to + r * all_row + u * V;
            st(place, sum ? ld(place, left) + HOT(0, r * wide + u) : HOT(0, r * wide + u), left);
          }
      }
    }
}

/* to (count, n) = x (count, inner) times a packed matrix of `whole` inner rows, from row `before`
 * on, plus a bias or nothing; `more`: added to what is there. */
static void affine(real *all, const real *from, long x_row, const real *panel, long whole,
                   long before, long inner, const real *bias, long count, long n, int more) {
  for (long first = 0; first < count; first += 96)
    for (long j = 0, wide; j < n; j += wide * V) {
      wide = width(n - j, 4);
      const long end = count - first < 96 ? count : first + 96;
      const real *w = panel + j * whole + before * wide * V;
      for (long i = first, rows; i < end; i += rows) {
        rows = end - i < $most ? end - i : $most;
        real *to = all + i * n + j;
        const real *x = from + i * x_row;
        if (n - j >= wide * V) {
          const real *start = more ? to : bias ? bias + j : 0;
          (wide == 4 ? product_4_$most : product_1_$most)(
              to, n, start, more ? n : 0, x, x_row, 1, w, wide * V, inner, rows);
          continue;
        }
        real hot[4 * $most * V] __attribute__((aligned(64)));
        (wide == 4 ? product_4_$most : product_1_$most)(
            hot, wide * V, 0, 0, x, x_row, 1, w, wide * V, inner, rows);
        for (long r = 0; r < rows; r++)
          for (long u = 0; u < wide; u++) {
            const long left = n - j - u * V;
            real *place = to + r * n + u * V;
            vec sum = HOT(0, r * wide + u);
            if (more) sum += ld(place, left);
            else if (bias) sum += ld(bias + j + u * V, left);
            st(place, sum, left);
          }
      }
    }
}

/* to (n) += the sum of rows. */
static void sum_rows(real *to, const real *from, long row, long count, long n) {
  for (long j = 0; j < n; j += V) {
    vec sum = ld(to + j, n - j);
    for (long r = 0; r < count; r++) sum += ld(from + r * row + j, n - j);
    st(to + j, sum, n - j);
  }
}

/* The steps go by in blocks of `block`, so that what a block's products need stays in the cache. */
void odyssey_forward(const struct sizes *z, const struct member *m) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
$load
$pack_forward
    for (long first = 0; first < T; first += z->block) {
      const long last = T - first < z->block ? T : first + z->block, count = (last - first) * B;
$inputs
      for (long t = first; t < last; t++) {
$forward
      }
    }
$unload
  }
  restore(mode);
}

void odyssey_backward(const struct sizes *z, const struct member *m) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = 1;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
$start
$pack_backward
    for (long last = T, first; last; last = first) {
      first = last > z->block ? last - z->block : 0;
      const long count = (last - first) * B, more = last < T;
      if (more) copy_rows(m->d + count * $width, $width, m->d, $width, B, $width);
$inputs_again
      for (long t = last - 1; t >= first; t--) {
$backward
      }
$gradients
    }
$finish
  }
  restore(mode);
}
""")


def write_preamble(name: str, *, dtype: str, target: str, fields: str) -> str:
    """Writes the head of a file: types, structures, loads and stores.

    Args:
        name: What the file computes.
        dtype: float32 or float64.
        target: A row of `targets.TARGETS`.
        fields: Declarations of `struct member`.
    """
    return _PREAMBLE.substitute(
        name=name,
        dtype=dtype,
        target=target,
        real=TYPES[dtype]["real"],
        integer=TYPES[dtype]["integer"],
        bytes=TARGETS[target].bytes,
        fields=fields,
    )


def write_tiles(shapes: set[tuple[int, int]]) -> str:
    """Writes the register tiles: so many vectors side by side, for 1 to so many batch rows.

    `to` is the product of `a` (rows, inner) and `w` (inner, vectors), plus `start` if given. Where
    things lie is free: `a_row` and `a_step` are the distances in `a`, `start_row` may be 0.
    """
    out = [_tile(wide, rows) for wide, rows in sorted(_all(shapes))]
    for wide, most in sorted(shapes):
        out.append(
            f"static void product_{wide}_{most}({_PARAMETERS}, long rows) {{\n  switch (rows) {{"
        )
        for rows in range(1, most + 1):
            out.append(f"    case {rows}: tile_{wide}x{rows}({_ARGUMENTS}); break;")
        out.append("  }\n}")
    return "\n".join(out) + "\n"


_PARAMETERS = (
    "real *to, long to_row, const real *start, long start_row, const real *a, long a_row,\n"
    "    long a_step, const real *w, long w_step, long inner"
)
_ARGUMENTS = "to, to_row, start, start_row, a, a_row, a_step, w, w_step, inner"


def _all(shapes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(wide, r) for wide, most in shapes for r in range(1, most + 1)}


def _tile(wide: int, rows: int) -> str:
    places = [(r, c) for r in range(rows) for c in range(wide)]
    out = [
        f"static void tile_{wide}x{rows}({_PARAMETERS}) {{",
        f"  vec {', '.join(f's{r}{c} = {{}}' for r, c in places)};",
        "  if (start) {",
        *(f"    s{r}{c} = *(const loose *)(start + {r} * start_row + {c} * V);" for r, c in places),
        "  }",
        "  for (long k = 0; k < inner; k++, w += w_step, a += a_step) {",
        *(f"    const vec w{c} = *(const loose *)(w + {c} * V);" for c in range(wide)),
    ]
    for r in range(rows):
        sums = " ".join(f"s{r}{c} += x{r} * w{c};" for c in range(wide))
        out.append(f"    const real x{r} = a[{r} * a_row]; {sums}")
    out.append("  }")
    out += [f"  *(loose *)(to + {r} * to_row + {c} * V) = s{r}{c};" for r, c in places]
    return "\n".join([*out, "}"])
