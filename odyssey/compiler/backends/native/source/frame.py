"""The parts of the generated C files that depend on no cell: the head, and the entry points.

All of it works on vectors of units through a few primitives: `ld` and `st` load and store up to a
vector, so that the last units of a row need no code of their own. What all cells call is a file of
its own (`shared`): its functions come in a table, `struct products`, whose address is in the
structure of sizes. The parts:

1. `write_preamble`: types, structures, loads and stores;
2. `ENTRY`: the two entry points, with holes for the cell.
"""

from __future__ import annotations

from string import Template

from odyssey.compiler.backends.native.source.addresses import ROW_KINDS
from odyssey.compiler.backends.native.source.functions import TYPES
from odyssey.compiler.backends.native.targets import MOST_TILE, TARGETS

_PREAMBLE = Template("""\
/* Odyssey: $name for $dtype and $target vectors. Generated; do not edit.
 *
 * T time steps, B batch rows, I inputs, H hidden units of the largest member, h of this one.
 * Every tensor is row-major; rows of states are (step, batch row), states have T + 1 steps.
 * t is the time step, b the batch row, j the first unit of a vector, n how many units are left.
 */
typedef $real real;
typedef $integer integer;
enum { V = $bytes / sizeof(real), TILE_VECTORS = $tile };
typedef real vec __attribute__((vector_size($bytes)));
typedef integer ivec __attribute__((vector_size($bytes)));
typedef real loose __attribute__((vector_size($bytes), aligned(sizeof(real)), may_alias));

/* What all cells call. `wide`: vectors of the widest strip; `tile`: rows of a tile for strips of 1
 * to `wide` vectors. */
struct products {
  long wide, tile[5];
$functions
};

static inline vec splat(real x) { return x - (vec){}; }

/* Loads and stores n units, less than a vector: the last ones of a row. Masks leave the rest alone,
 * which may be memory of others. A loop would become a call of memcpy, whose pieces a load of the
 * whole vector has to wait for. Sanitizers see through loops only. */
$parts
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
""")

_LOOPS = """\
static __attribute__((noinline)) vec ld_part(const real *from, long n) {
  vec x = {};
  for (long k = 0; k < n; k++) x[k] = from[k];
  return x;
}
static __attribute__((noinline)) void st_part(real *to, vec x, long n) {
  for (long k = 0; k < n; k++) to[k] = x[k];
}"""
_MASKED = Template("""\
#if defined($feature) && !defined(__SANITIZE_ADDRESS__)
static inline $mask lanes(long n) { return $lanes; }
static inline vec ld_part(const real *from, long n) {
  vec x;
  __asm__("$load" : "=$register"(x) : "m"(*(const loose *)from), "$kind"(lanes(n)));
  return x;
}
static inline void st_part(real *to, vec x, long n) {
  __asm__("$store" : "+m"(*(loose *)to) : "$register"(x), "$kind"(lanes(n)));
}
#else
$loops
#endif""")
_MASKS = {
    64: {
        "feature": "__AVX512F__",
        "mask": "unsigned short",
        "lanes": "n > 0 ? (1u << n) - 1 : 0",
        "kind": "Yk",
        "register": "v",
        "load": "vmovu{suffix} %1, %0%{{%2%}}%{{z%}}",
        "store": "vmovu{suffix} %1, %0%{{%2%}}",
    },
    32: {
        "feature": "__AVX__",
        "mask": "ivec",
        "lanes": "(ivec){{{numbers}}} < (ivec){{}} + (integer)n",
        "kind": "x",
        "register": "x",
        "load": "vmaskmov{suffix} %1, %2, %0",
        "store": "vmaskmov{suffix} %1, %2, %0",
    },
}
"""Of a width of vectors in bytes: how an x86 processor leaves out units, in `_MASKED`."""

_PRODUCT = (
    "real *to, long to_row, const real *start, long start_row, const real *a, long a_row,"
    " long a_step, const real *w, long wide, long inner, long rows"
)
FUNCTIONS: dict[str, str] = {
    "pack": "real *to, const real *const *from, long maps, long units, long inner, long stride",
    "pack_transposed": (
        "real *to, const real *const *from, const long *inner, long maps, long units, long stride"
    ),
    "product": _PRODUCT,
    "columns": f"{_PRODUCT}, long n",
    "gradient": (
        "real *to, long to_row, long maps, const real *const *d, long d_row, const real *w,"
        " long wide, const long *inner, long rows"
    ),
    "outer": (
        "real *const *to, long to_row, long maps, const long *units, const real *const *d,"
        " long d_row, const real *x, long x_row, long count, long n, int more"
    ),
    "outer_inputs": (
        "real *const *to, long maps, const long *units, const real *const *d, long d_row,"
        " const real *x, long count, long n, int more"
    ),
    "pack_each": (
        "real *const *to, const real *const *from, long maps, const long *units, long inner"
    ),
    "inputs": (
        "real *to, long to_row, long maps, const long *places, const long *units, const real *x,"
        " const real *const *panels, long inner, const real *const *bias, long count"
    ),
    "into": (
        "real *to, long to_row, long maps, const long *places, const long *units,"
        " const real *const *rows, long d_row, const real *panel, long whole, long count"
    ),
    "table": (
        "real *to, long to_row, const real *const *from, long maps, const long *places,"
        " const long *units, long inner, const real *const *bias"
    ),
    "add_up": (
        "real *to, long to_row, long maps, const long *places, const long *units,"
        " const long *index, const real *const *rows, long d_row, long count"
    ),
    "leave": (
        "real *const *to, const real *from, long from_row, long maps, const long *places,"
        " const long *units, long inner, real *const *bias"
    ),
    "add_rows": (
        "real *const *to, const real *const *rows, long row, long maps, const long *units,"
        " long count"
    ),
    "copy_rows": "real *to, long to_row, const real *from, long from_row, long rows, long n",
}
"""The functions of `struct products`: name -> parameters."""

_CELL = Template("""\
struct sizes { long P, T, B, H, I, keep, block, rows; const struct products *products; };

struct member {
$fields
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
$edge
    places[k] = edge[k];
  }
  code(places, hot + whole * V, units_v, 1);
  for (long k = 0; k < count; k++)
    if ($changed) st_part(rows[k] + whole * V, *(const vec *)edge[k], left);
}

static inline void clear(real *to, long row, long wide, long rows) {
  for (long r = 0; r < rows; r++)
    for (long u = 0; u < wide; u++) *(vec *)(to + r * row + u * V) = (vec){};
}
""")

_EDGE = "    *(vec *)edge[k] = ld_part(rows[k] + whole * V, left);"
_EDGE_WITH_NUMBERS = """\
    if (stored[k] == NUMBER) { places[k] = rows[k]; continue; }
    *(vec *)edge[k] = ld_part(rows[k] + whole * V, left);"""

_COLUMNS = """\

/* Runs the pointwise code of a phase of numbers: lanes are batch rows. That of a batch row lies
 * `step` after that of the row before, or where an index says. */
static __attribute__((noinline)) void run_column(row_code code, real *const *rows, const long *step,
                                                 const long *const *index, long count,
                                                 const char *stored, long batch) {
  real edge[count][V] __attribute__((aligned(64))), *places[count];
  for (long k = 0; k < count; k++) {
    *(vec *)edge[k] = (vec){};
    places[k] = edge[k];
  }
  for (long b = 0; b < batch; b += V) {
    const long n = batch - b < V ? batch - b : V;
    for (long k = 0; k < count; k++) {
      if (stored[k] == SUM) continue;
      const real *from = rows[k] + (index[k] ? 0 : b * step[k]);
      if (index[k])
        for (long v = 0; v < n; v++) edge[k][v] = from[index[k][b + v] * step[k]];
      else if (step[k] == 1) *(vec *)edge[k] = ld(from, n);
      else
        for (long v = 0; v < n; v++) edge[k][v] = from[v * step[k]];
    }
    code(places, 0, 0, 1);
    for (long k = 0; k < count; k++) {
      real *to = rows[k] + b * step[k];
      if (stored[k] == STORED)
        for (long v = 0; v < n; v++) to[v * step[k]] = edge[k][v];
      else if (stored[k] == SUM)
        for (long v = 0; v < n; v++) *to += edge[k][v];
    }
  }
}
"""

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
$firsts
$flush
/* The steps go by in blocks of `block`, so that what a block's products need stays in the cache. */
COLD void odyssey_forward(const struct sizes *z, const struct member *m) {
  const struct products *q = z->products;
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

COLD void odyssey_backward(const struct sizes *z, const struct member *m) {
  const struct products *q = z->products;
  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = 1;
  const __auto_type mode = flush();
  for (long p = 0; p < z->P; p++, m++) {
$start
$pack_backward
    for (long last = T, first; last; last = first) {
      first = last > z->block ? last - z->block : 0;
      const long count = (last - first) * B, more = last < T;
      if (more) q->copy_rows(m->d + count * $width, $width, m->d, $width, B, $width);
$inputs_again
      for (long t = last - 1; t >= first; t--) {
$backward
      }
$gradients
    }
$leave
$finish
  }
  restore(mode);
}
""")


def write_preamble(name: str, *, dtype: str, target: str) -> str:
    """Writes the head of a file: types, the table of shared functions, loads and stores.

    Args:
        name: What the file computes.
        dtype: float32 or float64.
        target: A row of `targets.TARGETS`.
    """
    functions = "\n".join(f"  void (*{name})({row});" for name, row in FUNCTIONS.items())
    kind, width = TYPES[dtype], TARGETS[target].bytes
    return _PREAMBLE.substitute(
        name=name,
        dtype=dtype,
        target=target,
        real=kind["real"],
        integer=kind["integer"],
        bytes=width,
        functions=functions,
        parts=_write_parts(dtype, width),
        tile=MOST_TILE,
    )


def _write_parts(dtype: str, width: int) -> str:
    """Writes how the last units of a row are loaded and stored, for vectors of so many bytes."""
    if width not in _MASKS:
        return _LOOPS
    kind = TYPES[dtype]
    numbers = ", ".join(map(str, range(width // kind["bits"])))
    row = {
        name: text.format(suffix=kind["suffix"], numbers=numbers)
        for name, text in _MASKS[width].items()
    }
    return _MASKED.substitute(row, loops=_LOOPS)


def write_structures(fields: str, *, numbers: bool) -> str:
    """Writes the structures of a cell.

    Args:
        fields: Declarations of `struct member`.
        numbers: Whether the loop has values of one number a row.
    """
    if not numbers:
        return _CELL.substitute(fields=fields, edge=_EDGE, changed="stored[k]")
    kinds = f"enum {{ {', '.join(ROW_KINDS)} }}; /* what is done with a row */\n"
    edge, changed = _EDGE_WITH_NUMBERS, "stored[k] == STORED"
    return kinds + _CELL.substitute(fields=fields, edge=edge, changed=changed) + _COLUMNS
