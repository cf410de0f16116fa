"""The functions of the language as C on vectors, without a mathematical library.

What a primitive is in C stands in its row (`odyssey.expr.primitives`); here are the blocks that the
rows are made of, and what writes both for a program.

Bound on the error of all of them: 1e-6 absolute in float32 where the value is of the order of one,
and relative where it is larger (`exp`); 1e-12 in float64. Infinities and NaN are as in torch. The
polynomials are Taylor series on the reduced range: of 2^f - 1 on |f| <= 1/2, of `sin` and `cos` on
|r| <= pi/4, of `log1p` as the series of 2 artanh(s) with s = e / (2 + e) <= 1/3, of `log` as the
same series with s <= 0.172, of `erf` on |x| <= 1. Two are fits instead: 2^f - 1 in float32, where
most of the time of an activation goes, with the least relative error (Remez's exchange, then
rounded), and -ln(1 - erf(1 + u)), from which `erf` beyond 1 comes, with the least error of `erf`
(Lawson's weights on a grid of Chebyshev nodes, in 50 digits).

`sqrt` is correctly rounded; `log` and `erf` are within 1 and 3 units in the last place, of numbers
of every size.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import factorial
from typing import Any

from odyssey.expr.primitives import PRIMITIVES, Primitive

LN2 = Fraction("0.693147180559945309417232121458176568")

# of (2^f - 1) / f, from the constant on; relative error 1.1e-8
MINIMAX = [
    Fraction(c)
    for c in (
        "0.6931471824645996",
        "0.24022649228572845",
        "0.05550357326865196",
        "0.009618237614631653",
        "0.0013390735257416964",
        "0.00015403512225020677",
    )
]

TWO_BY_ROOT_PI = Fraction("1.128379167095512573896158903121545172")

# of -ln(1 - erf(1 + u)) for u up to 3 and 5, from the constant on; error of erf 1.1e-9 and 3.0e-17
TAILS = {
    "float32": [
        Fraction(c)
        for c in (
            "1.8496055157597317",
            "2.6389668748358816",
            "0.84311764624695754",
            "0.041503372492285141",
            "-0.0098952356297996025",
            "0.0018291885387823378",
            "-0.00018631938379028188",
        )
    ],
    "float64": [
        Fraction(c)
        for c in (
            "1.8496055099332484322",
            "2.6389675142347311540",
            "0.84310725636188255991",
            "0.041561097972137304531",
            "-0.010033824599901219643",
            "0.0019778974842175819406",
            "-0.00023730102391967323292",
            "-0.000026339398695619168660",
            "0.000027283400848032686785",
            "-0.0000097901517470159765086",
            "0.0000022534784782842993803",
            "-0.00000029571776074411929752",
            "-0.0000000084957760104926070909",
            "0.000000014024692026501154191",
            "-0.0000000032348160786610805768",
            "0.00000000036661234477138328911",
            "-0.000000000017599415348786952167",
        )
    ],
}

TYPES: dict[str, dict[str, Any]] = {
    "float32": {
        "real": "float",
        "integer": "int",
        "bits": 4,
        "suffix": "ps",
        "powers": MINIMAX,
        "artanh": 9,
        "log": 5,
        "trig": 9,
        "erf": 11,
    },
    "float64": {
        "real": "double",
        "integer": "long",
        "bits": 8,
        "suffix": "pd",
        "powers": [LN2**k / factorial(k) for k in range(1, 14)],
        "artanh": 18,
        "log": 10,
        "trig": 17,
        "erf": 18,
    },
}

# magic: adding 1.5 * 2^mantissa rounds to an integer, which then stands in the low bits; TO_POWER
# has the bias of exponents added, so that what stands there is the exponent of a power of two
_NUMBERS = {
    "float32": {
        "MAGIC": "12582912.0f",
        "MAGIC_BITS": "0x4B400000",
        "MANTISSA": "23",
        "BIAS": "127",
        "TO_POWER": "12583039.0f",
        "TO_POWER_BITS": "0x4B40007F",
        "LOG2E": "1.44269504f",
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
        "TO_POWER": "6755399441056767.0",
        "TO_POWER_BITS": "0x43380000000003FFL",
        "LOG2E": "1.44269504088896340736",
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

# what only some functions need, and is written where they are
_RARE_NUMBERS = {
    "float32": {
        "TINY": "1.17549435e-38f",
        "LARGEST": "3.40282347e38f",
        "GROWTH": "25",
        "GROWN": "33554432.0f",
        "ROOT_HALF_BITS": "0x3F3504F3",
        "ERF_ONE": "4.0f",
    },
    "float64": {
        "TINY": "2.2250738585072014e-308",
        "LARGEST": "1.7976931348623157e308",
        "GROWTH": "54",
        "GROWN": "18014398509481984.0",
        "ROOT_HALF_BITS": "0x3FE6A09E667F3BCDL",
        "ERF_ONE": "6.0",
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

_POWERS = """\
/* 2^f - 1 for |f| <= 1/2. */
static inline vec exp2m1(vec f) {
  {powers}
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
"""

_TURNED = """\
extern double sin(double), cos(double);
/* sin(x + quarter * pi/2); lanes beyond the range of the reduction go through the C library. */
static inline vec turned(vec x, int quarter) {
  const vec rounded = x * (real)0.63661977236758134308 + MAGIC;
  const ivec n = ((ivec)rounded - MAGIC_BITS) + quarter;
  const vec whole = rounded - MAGIC;
  const vec r = ((x - whole * PI_1) - whole * PI_2) - whole * PI_3, q = r * r;
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
"""

_ROOTED = """\
/* The square root, correctly rounded. */
static inline vec rooted(vec x) {
#if defined(__AVX__)
  vec y;
  __asm__("vsqrt{suffix} %1, %0" : "=v"(y) : "v"(x));
  return y;
#else
  for (int k = 0; k < V; k++) x[k] = (real)__builtin_sqrt((double)x[k]);
  return x;
#endif
}
"""

# What rows and other blocks call -> the block that has it.
_BLOCKS = {name: _POWERS for name in ("exp2m1", "reduced", "power_of_two")} | {
    "turned": _TURNED,
    "rooted": _ROOTED,
}


def _polynomial(coefficients: list[Fraction], *, name: str, variable: str) -> str:
    """Writes a polynomial by Horner's rule, as the lines of a body."""
    *rest, last = (repr(float(c)) for c in coefficients)
    lines = [f"  {name} = {name} * {variable} + (real){c};" for c in reversed(rest)]
    return "\n".join([f"vec {name} = splat((real){last});", *lines])


def _polynomials(dtype: str) -> dict[str, str]:
    """Gives the polynomials that blocks and rows name in braces, as precise as a type needs."""
    kind = TYPES[dtype]
    trig = kind["trig"] // 2 + 1
    series = {
        "powers": ("p", "f", kind["powers"]),
        "artanh": ("p", "q", [Fraction(1, 2 * k + 1) for k in range(kind["artanh"])]),
        "log": ("p", "q", [Fraction(2, 2 * k + 3) for k in range(kind["log"])]),
        "erf": (
            "p",
            "q",
            [
                TWO_BY_ROOT_PI * Fraction((-1) ** k, factorial(k) * (2 * k + 1))
                for k in range(kind["erf"])
            ],
        ),
        "tail": ("t", "u", TAILS[dtype]),
        "sine": ("s", "q", [Fraction((-1) ** k, factorial(2 * k + 1)) for k in range(trig)]),
        "cosine": ("c", "q", [Fraction((-1) ** k, factorial(2 * k)) for k in range(trig + 1)]),
    }
    return {
        f"{{{key}}}": _polynomial(terms, name=name, variable=variable)
        for key, (name, variable, terms) in series.items()
    }


def _written(row: Primitive) -> str:
    """Writes the C function of a row."""
    parameters = ", ".join(f"vec {letter}" for letter in ("x" if row.arity == 1 else "ab"))
    head = f"static inline vec v{row.name}({parameters})"
    return f"{head} {{\n{row.c}}}\n" if "\n" in row.c else f"{head} {{ return {row.c}; }}\n"


def write_functions(names: set[str], dtype: str) -> str:
    """Writes the functions that a program uses, primitives or blocks, and what they need, as C.

    Blocks and functions stand before those that call them, otherwise in the order of the table.
    """
    suffix = TYPES[dtype]["suffix"]
    texts: dict[str, None] = {}

    def write(text: str) -> None:
        for call in re.findall(r"\w+(?=\()", text):
            if call in _BLOCKS and _BLOCKS[call] != text:
                write(_BLOCKS[call])
            elif call[:1] == "v" and call[1:] in PRIMITIVES and f" {call}(vec" not in text:
                write(_written(PRIMITIVES[call[1:]]))
        texts.setdefault(text)

    for name in _BLOCKS:
        if name in names:
            write(_BLOCKS[name])
    for row in PRIMITIVES.values():
        if row.name in names:
            write(_written(row))
    words = set(re.findall(r"\w+", " ".join(texts)))
    rare = {name: value for name, value in _RARE_NUMBERS[dtype].items() if name in words}
    parts = [f"#define {name} {value}" for name, value in (_NUMBERS[dtype] | rare).items()]
    parts.append(_SELECT.replace("{suffix}", suffix))
    polynomials = _polynomials(dtype)
    for text in texts:
        text = text.replace("{suffix}", suffix)
        for key, lines in polynomials.items():
            text = text.replace(key, lines)
        parts.append(text)
    return "\n".join(parts)
