"""The functions of the language as C on vectors, without a mathematical library.

Bound on the error of all of them: 1e-6 absolute in float32 where the value is of the order of one,
and relative where it is larger (`exp`); 1e-12 in float64. Infinities and NaN are as in torch. The
polynomials are Taylor series on the reduced range: of `exp` on |r| <= ln(2)/2, of `sin` and `cos`
on |r| <= pi/4, of `log1p` as the series of 2 artanh(s) with s = e / (2 + e) <= 1/3.
"""

from __future__ import annotations

from fractions import Fraction
from math import factorial
from typing import Any

from odyssey.expr.primitives import LEAKY_SLOPE

TYPES: dict[str, dict[str, Any]] = {
    "float32": {
        "real": "float",
        "integer": "int",
        "bits": 4,
        "suffix": "ps",
        "terms": 7,
        "log": 9,
        "trig": 9,
    },
    "float64": {
        "real": "double",
        "integer": "long",
        "bits": 8,
        "suffix": "pd",
        "terms": 13,
        "log": 18,
        "trig": 17,
    },
}

# magic: adding 1.5 * 2^mantissa rounds to an integer, which then stands in the low bits
_NUMBERS = {
    "float32": {
        "MAGIC": "12582912.0f",
        "MAGIC_BITS": "0x4B400000",
        "MANTISSA": "23",
        "BIAS": "127",
        "LN2_HIGH": "0.693359375f",
        "LN2_LOW": "-2.12194440e-4f",
        "LARGE": "88.0f",
        "HIGHEST": "89.0f",
        "LOWEST": "-104.0f",
        "PI_1": "1.5703125f",
        "PI_2": "4.837512969970703125e-4f",
        "PI_3": "7.549789948768648e-8f",
        "TRIG_RANGE": "8192.0f",
        "SIGN": "(-2147483647 - 1)",
    },
    "float64": {
        "MAGIC": "6755399441055744.0",
        "MAGIC_BITS": "0x4338000000000000L",
        "MANTISSA": "52",
        "BIAS": "1023",
        "LN2_HIGH": "6.93147180369123816490e-1",
        "LN2_LOW": "1.90821492927058770002e-10",
        "LARGE": "708.0",
        "HIGHEST": "710.0",
        "LOWEST": "-746.0",
        "PI_1": "1.57079632673412561417",
        "PI_2": "6.07710050630396597660e-11",
        "PI_3": "2.02226624879595063154e-21",
        "TRIG_RANGE": "262144.0",
        "SIGN": "(-9223372036854775807L - 1)",
    },
}

_SELECT = """\
/* The lesser and the greater of a bound and x; x where x is NaN. One instruction each on x86. */
#if defined(__AVX__)
static inline vec at_most(vec bound, vec x) {
  vec y;
  __asm__("vmin{suffix} %2, %1, %0" : "=v"(y) : "v"(bound), "v"(x));
  return y;
}
static inline vec at_least(vec bound, vec x) {
  vec y;
  __asm__("vmax{suffix} %2, %1, %0" : "=v"(y) : "v"(bound), "v"(x));
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
"""

_EXPM1 = """\
/* exp(x) - 1 = scale * p + (scale - 1) with scale = 2^n and p = exp(r) - 1, |r| <= ln(2)/2. */
static inline vec reduced(vec x, ivec *n) {
  const vec rounded = x * (real)1.44269504088896340736 + MAGIC;
  *n = (ivec)rounded - MAGIC_BITS;
  const vec whole = rounded - MAGIC;
  const vec r = (x - whole * LN2_HIGH) - whole * LN2_LOW;
  vec p = splat({last});
{horner}
  return p * r;
}
static inline vec power_of_two(ivec n) { return (vec)((n + BIAS) << MANTISSA); }
"""

_BODIES = {
    "exp": """\
static inline vec vexp(vec x) {
  x = at_most(splat(HIGHEST), at_least(splat(LOWEST), x));
  ivec n;
  const vec p = reduced(x, &n) + 1;
  const ivec half = n >> 1; /* in two factors, for 2^n may be out of range where exp(x) is not */
  return p * power_of_two(half) * power_of_two(n - half);
}
""",
    "sigmoid": """\
static inline vec vsigmoid(vec x) {
  const vec y = at_most(splat(LARGE), at_least(splat(-LARGE), -x));
  ivec n;
  const vec p = reduced(y, &n);
  const vec scale = power_of_two(n);
  return 1 / (p * scale + (scale + 1));
}
""",
    "tanh": """\
static inline vec vtanh(vec x) {
  const vec y = at_most(splat(40), at_least(splat(-40), x + x));
  ivec n;
  const vec p = reduced(y, &n);
  const vec scale = power_of_two(n);
  const vec m = p * scale + (scale - 1); /* exp(2x) - 1 */
  return m / (m + 2);
}
""",
    "abs": """\
static inline vec vabs(vec x) { return (vec)((ivec)x & ~SIGN); }
""",
    "relu": """\
static inline vec vrelu(vec x) { return pick(x <= 0, splat(0), x); }
""",
    "leaky_relu": f"""\
static inline vec vleaky_relu(vec x) {{ return pick(x > 0, x, x * (real){LEAKY_SLOPE}); }}
""",
    "square": """\
static inline vec vsquare(vec x) { return x * x; }
""",
    "minimum": """\
static inline vec vminimum(vec a, vec b) { return pick((a < b) | (a != a), a, b); }
""",
    "maximum": """\
static inline vec vmaximum(vec a, vec b) { return pick((a > b) | (a != a), a, b); }
""",
    "step": """\
static inline vec vstep(vec x) { return pick(x > 0, splat(1), splat(0)); }
""",
    "sign": """\
static inline vec vsign(vec x) { return pick(x > 0, splat(1), pick(x < 0, splat(-1), splat(0))); }
""",
    "softplus": """\
static inline vec vsoftplus(vec x) {
  const vec e = vexp(-vabs(x));
  const vec s = e / (e + 2), q = s * s;
  vec p = splat({last});
{horner}
  return pick((x > 0) | (x != x), x, splat(0)) + 2 * s * p;
}
""",
    "sin": """\
extern double sin(double), cos(double);
/* sin(x + quarter * pi/2); lanes beyond the range of the reduction go through the C library. */
static inline vec turned(vec x, int quarter) {
  const vec rounded = x * (real)0.63661977236758134308 + MAGIC;
  const ivec n = ((ivec)rounded - MAGIC_BITS) + quarter;
  const vec whole = rounded - MAGIC;
  const vec r = ((x - whole * PI_1) - whole * PI_2) - whole * PI_3, q = r * r;
  vec s = splat({sine_last}), c = splat({cosine_last});
{sine}
{cosine}
  vec y = pick((n & 1) != 0, c, s * r);
  y = (vec)((ivec)y ^ (((n >> 1) & 1) << (8 * (int)sizeof(real) - 1)));
  const ivec far = ~((x < TRIG_RANGE) & (x > -TRIG_RANGE));
  integer any = 0;
  for (int k = 0; k < V; k++) any |= far[k];
  if (any)
    for (int k = 0; k < V; k++)
      if (far[k]) y[k] = (real)(quarter ? cos((double)x[k]) : sin((double)x[k]));
  return y;
}
static inline vec vsin(vec x) { return turned(x, 0); }
static inline vec vcos(vec x) { return turned(x, 1); }
""",
}

_NEEDS = {
    "sigmoid": ("reduced",),
    "tanh": ("reduced",),
    "exp": ("reduced",),
    "softplus": ("reduced", "abs", "exp"),
    "cos": ("sin",),
}
_ORDER = ("reduced", "abs", "exp", *(n for n in _BODIES if n not in ("abs", "exp")))


def written() -> frozenset[str]:
    """Names the primitives that there is C for."""
    return frozenset(_BODIES) | {"cos"}


def _horner(coefficients: list[Fraction], *, name: str, variable: str) -> tuple[str, str]:
    """Writes a polynomial by Horner's rule: its last coefficient and the lines that follow."""
    *rest, last = (repr(float(c)) for c in coefficients)
    lines = [f"  {name} = {name} * {variable} + (real){c};" for c in reversed(rest)]
    return f"(real){last}", "\n".join(lines)


def write_functions(names: set[str], dtype: str) -> str:
    """Writes the functions that a program uses, and what they need, as C."""
    kind = TYPES[dtype]
    wanted = set(names)
    for name in names:
        wanted |= set(_NEEDS.get(name, ()))
    wanted.discard("cos")
    parts = [f"#define {name} {value}" for name, value in _NUMBERS[dtype].items()]
    parts.append(_SELECT.replace("{suffix}", kind["suffix"]))
    for name in (n for n in _ORDER if n in wanted):
        if name == "reduced":
            terms = [Fraction(1, factorial(k)) for k in range(1, kind["terms"] + 1)]
            last, horner = _horner(terms, name="p", variable="r")
            parts.append(_EXPM1.replace("{last}", last).replace("{horner}", horner))
        elif name == "softplus":
            terms = [Fraction(1, 2 * k + 1) for k in range(kind["log"])]
            last, horner = _horner(terms, name="p", variable="q")
            parts.append(_BODIES[name].replace("{last}", last).replace("{horner}", horner))
        elif name == "sin":
            count = kind["trig"] // 2 + 1
            sines = [Fraction((-1) ** k, factorial(2 * k + 1)) for k in range(count)]
            cosines = [Fraction((-1) ** k, factorial(2 * k)) for k in range(count + 1)]
            text = _BODIES[name]
            for key, terms, letter in (("sine", sines, "s"), ("cosine", cosines, "c")):
                last, horner = _horner(terms, name=letter, variable="q")
                text = text.replace(f"{{{key}_last}}", last).replace(f"{{{key}}}", horner)
            parts.append(text)
        else:
            parts.append(_BODIES[name])
    return "\n".join(parts)
