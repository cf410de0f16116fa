"""The C file of the functions that all cells share: packing, matrix products, copies of rows.

It depends on no cell, so that it is compiled once for a dtype, a target and a tiling; cells call it
through `struct products`. The idea of a product:

* The columns of a matrix are cut into *strips* of a few vectors, packed so that a strip's rows lie
  one after the other. A *tile* keeps the sums of a few rows of a strip in registers: for each row
  of the strip it loads that row's vectors, and multiplies them with one number of each of its own
  rows. A tile is as high and wide as registers allow, so that it loads much less than it computes.
* A strip that is used again for the next rows should still be in the first-level cache: it is used
  up in blocks of `inner` rows. Sums wait in memory meanwhile.

Every number of a product is a sum over the inner length from its first to its last number, each
added by one operation: the tiling changes no bit of it.

Inputs are often nearly all zeros: frames of music have a few of 88 keys, padding has nothing. Where
no more than a number in eight is another, products of inputs and gradients of their matrices go
through a list of those. Only additions of zero are left out, so that this too changes no number.
"""

from __future__ import annotations

from string import Template

from odyssey.compiler.backends.native.source.frame import FUNCTIONS, write_preamble
from odyssey.compiler.backends.native.source.functions import TYPES
from odyssey.compiler.backends.native.targets import MOST_TILE, TARGETS, Tiling

COLUMNS = 128
"""Rows of a gradient's operands that are used up at a time: their strip lies in the cache."""

ROWS = 96
"""Rows of an operand that are used up at a time, for all strips of a matrix."""

FEWEST = 16
"""Columns at least of what is listed, and rows where a gradient is added up from it."""

LISTED = 32 * COLUMNS
"""Numbers other than zero that are listed at a time."""

TURNED = 512
"""Columns of a matrix whose gradient is added up from a list: V units of it lie in the cache."""

_TEXT = Template("""\
/* Copies n numbers of every row. */
static void copy_rows($copy_rows) {
  for (long r = 0; r < rows; r++)
    for (long j = 0; j < n; j += V)
      st(to + r * to_row + j, ld(from + r * from_row + j, n - j), n - j);
}

$turn
/* to (columns, rows) = from (rows, columns), transposed. */
static void transpose(real *to, long to_row, const real *from, long from_row, long rows,
                      long columns) {
  for (long r = 0; r < rows; r += V)
    for (long c = 0; c < columns; c += V) {
      real *place = to + c * to_row + r;
      const real *x = from + r * from_row + c;
      if (r + V <= rows && c + V <= columns) turn(place, to_row, x, from_row);
      else
        for (long i = 0; i < V && r + i < rows; i++)
          for (long k = 0; k < V && c + k < columns; k++)
            place[k * to_row + i] = x[i * from_row + k];
    }
}
/* Packs matrices (units, `inner` columns) by strips: (strip, matrix, column, rows of it). */
static void pack($pack) {
  for (long j = 0, wide; j < units; j += wide * V) {
    wide = strip(units - j, WIDE);
    for (long g = 0; g < maps; g++, to += inner * wide * V)
      for (long u = 0; u < wide; u++) {
        const real *x = from[g] + (j + u * V) * stride;
        const long left = units - j - u * V;
        real *place = to + u * V;
        long k = 0;
        if (left >= V)
          for (; k + V <= inner; k += V) turn(place + k * wide * V, wide * V, x + k, stride);
        for (; k < inner; k++)
          for (long v = 0; v < V; v++) place[k * wide * V + v] = v < left ? x[v * stride + k] : 0;
      }
  }
}
/* The same for the transposed matrices: (strip, matrix, row of it, columns). */
static void pack_transposed($pack_transposed) {
  for (long j = 0, wide; j < units; j += wide * V) {
    wide = strip(units - j, WIDE);
    for (long g = 0; g < maps; g++)
      for (long k = 0; k < inner[g]; k++, to += wide * V)
        for (long u = 0; u < wide; u++) {
          const long n = units - j - u * V;
          *(loose *)(to + u * V) = ld(from[g] + k * stride + j + u * V, n);
        }
  }
}
/* The same for each of several matrices, into a place of its own. */
static void pack_each($pack_each) {
  for (long g = 0; g < maps; g++) pack(to[g], from + g, 1, units[g], inner, inner);
}
/* How many maps from g on have rows that lie side by side, units and places alike. */
static long together(long g, long maps, const long *units, const long *places,
                     const real *const *rows) {
  long n = 1;
  while (g + n < maps && rows[g + n] == rows[g + n - 1] + units[g + n - 1] &&
         (!places || places[g + n] == places[g + n - 1] + units[g + n - 1]))
    n++;
  return n;
}
/* Adds gradient rows to the rows that an index took them from; each map has columns of its own. */
static void add_up($add_up) {
  for (long g = 0, n, length; g < maps; g += n) {
    n = together(g, maps, units, places, rows);
    length = 0;
    for (long k = 0; k < n; k++) length += units[g + k];
    for (long r = 0; r < count; r++) {
      real *place = to + index[r] * to_row + places[g];
      const real *row = rows[g] + r * d_row;
      long j = 0;
      for (; j + V <= length; j += V) *(loose *)(place + j) += *(const loose *)(row + j);
      for (; j < length; j++) place[j] += row[j];
    }
  }
}

/* to (rows, wide vectors) = a (rows, inner) times a strip, plus `start` if given. Where things lie
 * is free: `a_row` and `a_step` are the distances in `a`, `start_row` may be 0. */
static void product($product) {
  const long most = TILE_ROWS[wide], tiles = (rows + most - 1) / most;
  const long blocks = (inner + INNER - 1) / INNER;
  for (long n = 0, k = 0, length; n < blocks; n++, k += length) {
    length = (inner - k + blocks - n - 1) / (blocks - n);
    const real *x = a + k * a_step, *strip = w + k * wide * V;
    for (long i = 0, r = 0, high; i < tiles; i++, r += high) {
      high = (rows - r + tiles - i - 1) / (tiles - i);
      real *place = to + r * to_row;
      if (n) TILES[wide][high](place, to_row, place, to_row, x + r * a_row, a_row, a_step, strip,
                               length);
      else TILES[wide][high](place, to_row, start ? start + r * start_row : 0, start_row,
                             x + r * a_row, a_row, a_step, strip, length);
    }
  }
}

/* The same for the first n columns of a strip: what goes beyond them is left as it was. */
static void columns($columns) {
  if (n >= wide * V) {
    product(to, to_row, start, start_row, a, a_row, a_step, w, wide, inner, rows);
    return;
  }
  real edge[TILE_VECTORS * V] __attribute__((aligned(64)));
  for (long r = 0, high; r < rows; r += high) {
    high = rows - r < TILE_ROWS[wide] ? rows - r : TILE_ROWS[wide];
    for (long i = 0; start && i < high; i++)
      for (long u = 0; u < wide; u++)
        *(vec *)(edge + (i * wide + u) * V) = ld(start + (r + i) * start_row + u * V, n - u * V);
    product(edge, wide * V, start ? edge : 0, wide * V, a + r * a_row, a_row, a_step, w, wide,
            inner, high);
    for (long i = 0; i < high; i++)
      for (long u = 0; u < wide; u++)
        st(to + (r + i) * to_row + u * V, *(const vec *)(edge + (i * wide + u) * V), n - u * V);
  }
}

/* For each map what `outer` adds up, from a list of x: V units at a time, transposed. */
static void few(real *const *to, long to_row, long maps, const long *units, const real *const *d,
                long d_row, const struct list *list, long rows, long n, int more) {
  real sums[TURNED * V] __attribute__((aligned(64)));
  for (long g = 0; g < maps; g++)
    for (long j = 0; j < units[g]; j += V) {
      real *place = to[g] + j * to_row;
      const long left = units[g] - j < V ? units[g] - j : V;
      if (more) transpose(sums, V, place, to_row, left, n);
      else __builtin_memset(sums, 0, n * V * sizeof(real));
      for (long r = 0; r < rows; r++) {
        const vec row = ld(d[g] + r * d_row + j, left);
        for (long i = list->begin[r]; i < list->begin[r + 1]; i++)
          *(vec *)(sums + list->where[i] * V) += list->what[i] * row;
      }
      transpose(place, to_row, sums, V, n, left);
    }
}

/* For each map: to (units, n) = d (rows, units), transposed, times x (rows, n); `more`: added to
 * what is there. */
static void outer($outer) {
  real strip_x[COLUMNS * WIDE * V] __attribute__((aligned(64)));
  for (long k = 0; k < count; k += COLUMNS)
    for (long j = 0, wide; j < n; j += wide * V) {
      wide = strip(n - j, WIDE);
      const long inner = count - k < COLUMNS ? count - k : COLUMNS;
      for (long r = 0; r < inner; r++)
        for (long u = 0; u < wide; u++)
          *(vec *)(strip_x + (r * wide + u) * V) =
              ld(x + (k + r) * x_row + j + u * V, n - j - u * V);
      for (long g = 0; g < maps; g++) {
        real *place = to[g] + j;
        const real *start = more || k ? place : 0, *a = d[g] + k * d_row;
        columns(place, to_row, start, to_row, a, 1, d_row, strip_x, wide, inner, units[g], n - j);
      }
    }
}

/* The same for x that may be nearly all zeros. */
static void outer_inputs($outer_inputs) {
  struct list list;
  for (long k = 0, rows; k < count; k += rows, more = 1) {
    rows = count - k < COLUMNS ? count - k : COLUMNS;
    const real *a = x + k * n, *from[maps];
    for (long g = 0; g < maps; g++) from[g] = d[g] + k * d_row;
    if (rows >= FEWEST && n <= TURNED && listed(&list, a, rows, n))
      few(to, n, maps, units, from, d_row, &list, rows, n, more);
    else outer(to, n, maps, units, from, d_row, a, n, rows, n, more);
  }
}

/* to (count, n) = x (count, inner) times a packed matrix of `whole` inner rows, from row `before`
 * on, plus a bias or nothing; `more`: added to what is there. */
static void affine(real *to, long to_row, const real *x, long x_row, const real *panel, long whole,
                   long before, long inner, const real *bias, long count, long n, int more) {
  for (long first = 0; first < count; first += ROWS)
    for (long j = 0, wide; j < n; j += wide * V) {
      wide = strip(n - j, WIDE);
      const long rows = count - first < ROWS ? count - first : ROWS;
      const real *w = panel + j * whole + before * wide * V, *a = x + first * x_row;
      real *place = to + first * to_row + j;
      const real *start = more ? place : bias ? bias + j : 0;
      const long start_row = more ? to_row : 0;
      columns(place, to_row, start, start_row, a, x_row, 1, w, wide, inner, rows, n - j);
    }
}

/* For each map: its columns of `to` (count, .) = x (count, inner) times its packed matrix. */
static void inputs($inputs) {
  struct list list;
  for (long first = 0, rows; first < count; first += rows, x += rows * inner, to += rows * to_row) {
    rows = count - first < ROWS ? count - first : ROWS;
    const int sparse = listed(&list, x, rows, inner);
    for (long g = 0; g < maps; g++)
      if (sparse)
        for (long j = 0, wide; j < units[g]; j += wide * V) {
          wide = strip(units[g] - j, WIDE);
          LISTS[wide](to + places[g] + j, to_row, bias[g] ? bias[g] + j : 0, &list,
                      panels[g] + j * inner, rows, units[g] - j);
        }
      else
        affine(to + places[g], to_row, x, inner, panels[g], inner, 0, inner, bias[g], rows,
               units[g], 0);
  }
}

/* to (count, to_row) = the sum over maps of rows (count, units) times a packed matrix each, which
 * begin at `places` of `whole` rows. Maps that lie side by side are one product. */
static void into($into) {
  for (long g = 0, n, inner; g < maps; g += n) {
    n = together(g, maps, units, places, rows);
    inner = 0;
    for (long k = 0; k < n; k++) inner += units[g + k];
    affine(to, to_row, rows[g], d_row, panel, whole, places[g], inner, 0, count, to_row, g > 0);
  }
}

/* A strip of the gradient of an operand: the sum over maps of their gradient rows (rows, inner)
 * times a strip of their matrices, which lie one after the other. */
static void gradient($gradient) {
  for (long g = 0, n, length; g < maps; g += n) {
    n = together(g, maps, inner, 0, d);
    length = 0;
    for (long k = 0; k < n; k++) length += inner[g + k];
    product(to, to_row, g ? to : 0, to_row, d[g], d_row, 1, w, wide, length, rows);
    w += length * wide * V;
  }
}

/* Matrices (units, inner), transposed, side by side, plus biases: a row for each class. */
static void table($table) {
  for (long g = 0; g < maps; g++) {
    real *place = to + places[g];
    transpose(place, to_row, from[g], inner, units[g], inner);
    for (long k = 0; k < inner && bias[g]; k++, place += to_row)
      for (long j = 0; j < units[g]; j += V) {
        const long n = units[g] - j;
        st(place + j, ld(place + j, n) + ld(bias[g] + j, n), n);
      }
  }
}

/* to (n) += the sum of rows. */
static void sum_rows(real *to, const real *from, long row, long count, long n) {
  long j = 0;
  for (; j + 4 * V <= n; j += 4 * V) {
    vec sum[4];
    for (long u = 0; u < 4; u++) sum[u] = *(const loose *)(to + j + u * V);
    for (long r = 0; r < count; r++)
      for (long u = 0; u < 4; u++) sum[u] += *(const loose *)(from + r * row + j + u * V);
    for (long u = 0; u < 4; u++) *(loose *)(to + j + u * V) = sum[u];
  }
  for (; j < n; j += V) {
    vec sum = ld(to + j, n - j);
    for (long r = 0; r < count; r++) sum += ld(from + r * row + j, n - j);
    st(to + j, sum, n - j);
  }
}

static void add_rows($add_rows) {
  for (long g = 0; g < maps; g++)
    if (to[g]) sum_rows(to[g], rows[g], row, count, units[g]);
}

/* Takes a table of gradients apart: into matrices (units, inner), and added to biases. */
static void leave($leave) {
  for (long g = 0; g < maps; g++) {
    const real *rows = from + places[g];
    transpose(to[g], inner, rows, from_row, inner, units[g]);
    if (bias[g]) sum_rows(bias[g], rows, from_row, inner, units[g]);
  }
}
""")

_PARAMETERS = (
    "real *to, long to_row, const real *start, long start_row, const real *a, long a_row,\n"
    "    long a_step, const real *w, long inner"
)
_LISTED = (
    "real *to, long to_row, const real *start, const struct list *list, const real *w,\n"
    "    long rows, long n"
)


_LIST = """\
/* Numbers other than zero, row by row: those of row r are from begin[r] on. */
struct list { long begin[COLUMNS + 1]; int where[LISTED + 1]; real what[LISTED + 1]; };

static long others(const real *x, long n) {
  long sum = 0, j = 0;
  ivec lanes = {};
  for (; j + V <= n; j += V) lanes -= *(const loose *)(x + j) != (vec){};
  for (long v = 0; v < V; v++) sum += lanes[v];
  for (; j < n; j++) sum += x[j] != 0;
  return sum;
}
/* Lists the numbers of x (rows, inner) other than zero, unless they are more than one in eight: of
 * most inputs the first rows tell that. */
static int listed(struct list *list, const real *x, long rows, long inner) {
  const long some = rows < 4 ? rows : 4, most = rows * inner / 8;
  if (inner < FEWEST || 2 * others(x, some * inner) > some * inner) return 0;
  const long all = others(x, rows * inner);
  if (all > most || all > LISTED) return 0;
  long n = 0;
  for (long r = 0; r < rows; r++, x += inner) {
    list->begin[r] = n;
    for (long k = 0; k < inner; k++) { /* without a jump, which could not be foreseen */
      list->where[n] = k;
      list->what[n] = x[k];
      n += x[k] != 0; /* as `others` counts them: there is room */
    }
  }
  list->begin[rows] = n;
  return 1;
}
"""


def write_shared(*, dtype: str, target: str, tiling: Tiling) -> str:
    """Writes the C file.

    Args:
        dtype: float32 or float64.
        target: A row of `targets.TARGETS`.
        tiling: How products are cut.
    """
    shapes = [(wide, rows) for wide, most in _widths(tiling) for rows in range(1, most + 1)]
    assert all(wide * rows <= MOST_TILE for wide, rows in shapes)
    rows = ", ".join(str(most) for _, most in _widths(tiling))
    highest = max(tiling.rows)
    by_list = ", ".join(f"list_{wide}" for wide, _ in _widths(tiling))
    lists = []
    for wide, most in _widths(tiling):
        tiles = ", ".join(f"tile_{wide}x{high}" for high in range(1, most + 1))
        lists.append(f"[{wide}] = {{0, {tiles}}}")
    return "\n".join(
        [
            write_preamble("what all cells share,", dtype=dtype, target=target),
            f"enum {{ WIDE = {tiling.wide}, INNER = {tiling.inner}, ROWS = {ROWS},"
            f" COLUMNS = {COLUMNS}, LISTED = {LISTED}, TURNED = {TURNED}, FEWEST = {FEWEST} }};",
            f"static const long TILE_ROWS[] = {{0, {rows}}};",
            "",
            *(_tile(wide, high) for wide, high in shapes),
            f"static void (*const TILES[][{highest + 1}])({_PARAMETERS}) = {{",
            f"  {', '.join(lists)}}};",
            _LIST,
            *(_list(wide) for wide, _ in _widths(tiling)),
            f"static void (*const LISTS[])({_LISTED}) = {{0, {by_list}}};",
            _TEXT.substitute(FUNCTIONS, turn=_turn(TARGETS[target].bytes // TYPES[dtype]["bits"])),
            f"const struct products odyssey_products = {{WIDE, {{0, {rows}}},",
            f"  {', '.join(FUNCTIONS)}}};",
            "",
        ]
    )


def _widths(tiling: Tiling) -> list[tuple[int, int]]:
    return list(enumerate(tiling.rows, start=1))


def _tile(wide: int, rows: int) -> str:
    """Writes a tile: so many vectors side by side, for so many rows."""
    places = [(r, c) for r in range(rows) for c in range(wide)]
    out = [
        f"static void tile_{wide}x{rows}({_PARAMETERS}) {{",
        f"  vec {', '.join(f's{r}{c} = {{}}' for r, c in places)};",
        "  if (start) {",
        *(f"    s{r}{c} = *(const loose *)(start + {r} * start_row + {c} * V);" for r, c in places),
        "  }",
        f"  for (long k = 0; k < inner; k++, w += {wide} * V, a += a_step) {{",
        *(f"    const vec w{c} = *(const loose *)(w + {c} * V);" for c in range(wide)),
    ]
    for r in range(rows):
        sums = " ".join(f"s{r}{c} += x{r} * w{c};" for c in range(wide))
        out.append(f"    const real x{r} = a[{r} * a_row]; {sums}")
    out.append("  }")
    out += [f"  *(loose *)(to + {r} * to_row + {c} * V) = s{r}{c};" for r, c in places]
    return "\n".join([*out, "}"])


def _list(wide: int) -> str:
    """Writes the product of listed numbers with a strip of so many vectors."""
    every = range(wide)
    starts = [f"b{u} = start ? ld(start + {u} * V, n - {u} * V) : (vec){{}}" for u in every]
    return "\n".join(
        [
            f"static void list_{wide}({_LISTED}) {{",
            f"  const vec {', '.join(starts)};",
            "  for (long r = 0; r < rows; r++, to += to_row) {",
            f"    vec {', '.join(f's{u} = b{u}' for u in every)};",
            "    for (long i = list->begin[r]; i < list->begin[r + 1]; i++) {",
            "      const real x = list->what[i];",
            f"      const real *row = w + list->where[i] * {wide} * V;",
            *(f"      s{u} += x * *(const loose *)(row + {u} * V);" for u in every),
            "    }",
            *(f"    st(to + {u} * V, s{u}, n - {u} * V);" for u in every),
            "  }",
            "}",
        ]
    )


def _turn(lanes: int) -> str:
    """Writes the transposition of a square of numbers in registers: log2 rounds of exchanges."""
    out = [
        "#if defined(__has_builtin)",
        "#if __has_builtin(__builtin_shufflevector)",
        "#define SHUFFLES",
        "#endif",
        "#endif",
        "static void turn(real *to, long to_row, const real *from, long from_row) {",
        "#ifdef SHUFFLES",
        *(f"  vec a{i} = *(const loose *)(from + {i} * from_row), b{i};" for i in range(lanes)),
    ]
    here, there = "a", "b"
    step = lanes // 2
    while step:
        low = ", ".join(str(lanes + v - step if v & step else v) for v in range(lanes))
        high = ", ".join(str(lanes + v if v & step else v + step) for v in range(lanes))
        for i in (i for i in range(lanes) if not i & step):
            pair = f"{here}{i}, {here}{i + step}"
            out.append(f"  {there}{i} = __builtin_shufflevector({pair}, {low});")
            out.append(f"  {there}{i + step} = __builtin_shufflevector({pair}, {high});")
        here, there, step = there, here, step // 2
    out += [f"  *(loose *)(to + {i} * to_row) = {here}{i};" for i in range(lanes)]
    out += [
        "#else",
        "  for (long k = 0; k < V; k++)",
        "    for (long v = 0; v < V; v++) to[k * to_row + v] = from[v * from_row + k];",
        "#endif",
        "}",
    ]
    return "\n".join(out) + "\n"
