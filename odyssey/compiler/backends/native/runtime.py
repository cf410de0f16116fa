"""The parts of the generated C file that do not depend on the cell."""

from __future__ import annotations

from string import Template

PRELUDE = Template("""\
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

struct sizes { long P, T, B, H, I, keep; };

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
static void clear(real *to, long vectors) {
  for (long k = 0; k < vectors; k++) *(vec *)(to + k * V) = (vec){};
}
""")

ENTRY = Template("""\
static void copy_rows(real *to, const real *from, long rows, long stride, long n) {
  for (long r = 0; r < rows; r++)
    for (long j = 0; j < n; j += V)
      st(to + r * stride + j, ld(from + r * stride + j, n - j), n - j);
}

/* Packs matrices (rows, `inner` columns) by tiles of rows: (tile, column, matrix, rows of it). */
static void pack(real *to, const real *const *from, long maps, long most, long units, long inner,
                 long stride) {
  for (long j = 0, wide; j < units; j += wide * V) {
    wide = units - j > (most - 1) * V ? most : 1;
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
    wide = units - j > (most - 1) * V ? most : 1;
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

void odyssey_forward(const struct sizes *z, const struct member *m) {
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
$load
$pack_forward
    for (long t = 0; t < T; t++) {
$forward
    }
$unload
  }
  restore(mode);
}

void odyssey_backward(const struct sizes *z, const struct member *m) {
  const long T = z->T, B = z->B, H = z->H, I = z->I;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
$start
$pack_backward
    for (long t = T - 1; t >= 0; t--) {
$backward
    }
$finish
  }
  restore(mode);
}
""")


def write_tiles(shapes: set[tuple[int, int]]) -> str:
    """Writes the register tiles: so many vectors side by side, for 1 to so many batch rows.

    `to` (rows, vectors) is `a` (rows, inner) times `w` (inner, vectors), added to it if `more`.
    """
    out = [_tile(wide, rows) for wide, rows in sorted(_all(shapes))]
    for wide, most in sorted(shapes):
        out.append(
            f"static void product_{wide}_{most}(real *to, const real *a, long stride,"
            " const real *w, long inner, long rows, int more) {\n  switch (rows) {"
        )
        for rows in range(1, most + 1):
            call = f"tile_{wide}x{rows}(to, a, stride, w, inner, more)"
            out.append(f"    case {rows}: {call}; break;")
        out.append("  }\n}")
    return "\n".join(out) + "\n"


def _all(shapes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(wide, r) for wide, most in shapes for r in range(1, most + 1)}


def _tile(wide: int, rows: int) -> str:
    places = [(r, c) for r in range(rows) for c in range(wide)]
    out = [
        f"static void tile_{wide}x{rows}(real *to, const real *a, long stride, const real *w,"
        " long inner, int more) {",
        f"  vec {', '.join(f's{r}{c} = {{}}' for r, c in places)};",
        "  if (more) {",
        *(f"    s{r}{c} = ((const vec *)to)[{r * wide + c}];" for r, c in places),
        "  }",
        f"  for (long k = 0; k < inner; k++, w += {wide} * V) {{",
        *(f"    const vec w{c} = *(const loose *)(w + {c} * V);" for c in range(wide)),
    ]
    for r in range(rows):
        sums = " ".join(f"s{r}{c} += x{r} * w{c};" for c in range(wide))
        out.append(f"    const real x{r} = a[{r} * stride + k]; {sums}")
    out.append("  }")
    out += [f"  ((vec *)to)[{r * wide + c}] = s{r}{c};" for r, c in places]
    return "\n".join([*out, "}"])
