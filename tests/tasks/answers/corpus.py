# ruff: noqa: E501
r"""Answers as people write them: (gold, text, right verdict), generated from spellings.

Every right text stands beside wrong ones: other sign, other factor, other unit, another
word behind it. `right_and_wrong` gives some 650 of them, `hostile` what must not be paid.
"""

from collections.abc import Iterator

Case = tuple[str, str, bool]  # gold, completion, whether it is right

# gold → spellings of the same number, and of others
NUMBERS: dict[str, tuple[list[str], list[str]]] = {
    "3": (
        [r"\$3", "3.0", "03", "+3", r"\text{3}", r"3 \text{ apples}", "x = 3", "1+2=3"],
        [r"-\$3", "- 3", "-3", "\u22123", "30", "0.3", r"3\%00", "3 dozen", "3x", "3!"],
    ),
    "-3": (
        [r"-\$3", "- 3", "-3", "\u22123", "\u20133", r"\$-3", "-3.00", "negative 3"],
        ["3", "+3", "(3)", "--3", "-30", "-0.3", "-3 or 3", r"\pm 3", "5-8", "-3^2"],
    ),
    "7": (
        ["7", "7.", "$7$", "**7**", r"\(7\)", "(7)", "{7}", r"\mathbf{7}", "f(2)=7"],
        [
            "f(7)",
            ">= 7",
            "certainly not 7",
            "-7",
            "7\u00b2",
            "7^2",
            "5e7",
            "3/7",
            "7+x",
        ],
    ),
    "42": (
        [
            *(
                r"42 \text{ cm}^2",
                r"\textbf{42}",
                "42 cm",
                r"42\,\mathrm{kg}",
                "42 km/h",
            ),
            *("42 apples", "n=42", r"\boldsymbol{42}", "The answer is 42.", "`42`"),
        ],
        ["42 hundred", "42 or 43", "84/2", "6*7", "6 * 7", "42 squared", "-42", "4.2"],
    ),
    "1234": (
        [
            *(
                r"1,\!234",
                "1,234",
                "1{,}234",
                r"1\,234",
                "1 234",
                r"\$1,234",
                "1234.00",
            ),
            *("1\u00a0234", "\u0661\u0662\u0663\u0664", r"1{,}234 \text{ dollars}"),
        ],
        [
            "1.234",
            "12,34",
            "1,2345",
            "234",
            "-1,234",
            "12 34",
            "1,234 thousand",
            "1,235",
        ],
    ),
    "0.5": (
        [
            ".5",
            "0.50",
            r"\frac{1}{2}",
            r"\dfrac12",
            "1/2",
            r"\frac{2}{4}",
            r"50\%",
            "50%",
        ],
        ["5", "-.5", "2/1", r"\frac{1}{-2}", "0.05", "0,5", "1/2/1", "half not"],
    ),
    "5": (
        [
            r"5\%",
            "5%",
            r"5^\circ",
            r"5^{\circ}",
            "5 degrees",
            "\u20ac5",
            "5 euros",
            "$5",
        ],
        [
            ".5",
            "5!",
            "3+2",
            "10/2",
            "5 million",
            "0.05",
            "5 \\times 10^2",
            "5 5",
            "0x5",
        ],
    ),
    "10": (
        [
            "10.",
            "10.0",
            "10",
            "= 10",
            "x=10",
            r"\underline{10}",
            "10 m",
            "10~km",
            "10 ",
        ],
        [
            "1.0",
            "100",
            "10..",
            "10:00",
            "5*2",
            "10 percent more",
            "2^10",
            "10^1",
            "-10",
        ],
    ),
    "73": (
        [
            "**73**",
            "73.",
            "__73__",
            "73 people",
            r"\text{73}",
            "73 hours",
            r"\fbox{73}",
        ],
        ["37", "-73", "7 3", "73/1", "73 times", "7.3", "73 and more", "not 73", "~73"],
    ),
    "50000000": (
        [
            "5e7",
            r"5 \times 10^7",
            r"5\cdot 10^{7}",
            "50,000,000",
            "50 000 000",
            "5.0e7",
        ],
        ["5e-7", "5e6", r"5 \times 10^{-7}", "50 million not", "10^7", "-5e7", "5*10"],
    ),
    "2.25": (
        ["2.250", r"\frac{9}{4}", "9/4", r"2\frac{1}{4}", "2 1/4", r"\$2.25", "2.25 m"],
        ["225", "-2.25", "2.25.1", "9/-4", r"2\frac{3}{4}", "2,25", "1.5^2", "2 25"],
    ),
    "0": (
        ["0", "0.0", "-0", r"\$0", "0 apples", "x = 0"],
        ["7 000", "10", "5-5", "O", "0.1", "0 or 1", "none", r"\emptyset", "00:00"],
    ),
    r"12 \text{ cm}": (
        ["12", "12 cm", r"12\text{ cm}", "12 centimeters", r"12\,\mathrm{cm}", "12cm"],
        ["12 m", r"12\text{ cm}^2", "12 km", "1.2 cm", "-12 cm", "12 inches", "120"],
    ),
    r"\$40": (
        [r"\$40", "40", "40 dollars", "$40.00", r"40\text{ dollars}", "USD 40"[4:]],
        ["40 cents", "-40", r"-\$40", r"\$40,000", "\u20ac40", "4.0", r"\$40 more"],
    ),
}

FORMULAS: dict[str, tuple[list[str], list[str]]] = {
    r"2\sqrt{2}": (
        [r"2\sqrt{2}", r"2 \sqrt 2", r"\sqrt{8}", r"$2\sqrt{2}$", r"x = 2\sqrt{2}"],
        [
            r"-2\sqrt{2}",
            r"\sqrt{2}",
            r"2\sqrt{3}",
            "2.83",
            "2.828427125",
            r"2\sqrt{2}!",
        ],
    ),
    r"\frac{1}{2^{98}}": (
        [r"\frac{1}{2^{98}}", "2^{-98}", r"\frac{1}{ 2^{98} }", r"\dfrac{1}{2^{98}}"],
        [r"\frac{1}{2^{99}}", r"-\frac{1}{2^{98}}", r"\frac{2}{2^{98}}", "0", "2^{98}"],
    ),
    "x^2-1": (
        [
            "x^2-1",
            "(x-1)(x+1)",
            "-1+x^2",
            "x^{2} - 1",
            "$x^2-1$",
            "(x+1)(x-1)",
            "y=x^2-1",
        ],
        ["x^2+1", "1-x^2", "x^2-10", "2x^2-1", "x^2-1 or x", "not x^2-1", "x^2-1 > 0"],
    ),
    "x<5": (
        ["x<5", "x < 5", "$x<5$", r"x \lt 5", "5>x"],
        ["x>5", "x<50", "x<-5", r"x\le 5", "5<x", "x=5", "5", "x<5 or x>7"],
    ),
    r"\frac{\pi}{3}": (
        [r"\frac{\pi}{3}", r"\pi/3", r"\frac{1}{3}\pi", "\u03c0/3", r"\dfrac{\pi}{3}"],
        [r"-\frac{\pi}{3}", r"\frac{\pi}{6}", "1.047", "60", r"\frac{\pi}{3}+\pi", "3"],
    ),
    "[0,2)": (
        ["[0,2)", "[0, 2)", r"$[0,2)$", r"\left[0,2\right)", "[0,2)."],
        ["[0,2]", "(0,2)", "[0,20)", "[-2,0)", "0,2", "[0,2) or [3,4)", "[0,3)"],
    ),
    "(3,4)": (
        ["(3,4)", "(3, 4)", "$(3,4)$", r"\left(3,4\right)", "(3.0,4)"],
        ["(4,3)", "(-3,4)", "(3,40)", "(3,4,5)", "3", "34", "(3,4) or (4,3)", "12"],
    ),
    "3x+6": (
        ["3x+6", "3(x+2)", "6+3x", "3x + 6", "3(2+x)", "y = 3x+6"],
        ["3x-6", "-3x-6", "30x+60", "3x+6y", "3x", "6", "not 3x+6", "3x+6 or 0"],
    ),
    r"\frac{a}{b}": (
        [r"\frac{a}{b}", "a/b", r"\dfrac{a}{b}", r"\frac ab", r"a \cdot \frac{1}{b}"],
        [
            r"\frac{b}{a}",
            r"-\frac{a}{b}",
            r"\frac{2a}{b}",
            "ab",
            "a",
            r"\neg \frac{a}{b}",
        ],
    ),
}
PLACES = (r"So it is \boxed{%s}.", "<think>a guess</think> <answer>%s</answer>")
FORMULA_PLACES = (r"We get $\boxed{%s}$.", "<think>6</think>\n<answer>%s</answer>")


def right_and_wrong() -> Iterator[Case]:
    """Every spelling in every place."""
    for table, places in ((NUMBERS, PLACES), (FORMULAS, FORMULA_PLACES)):
        for gold, (right, wrong) in table.items():
            for place in places:
                yield from ((gold, place % answer, True) for answer in right)
                yield from ((gold, place % answer, False) for answer in wrong)


THOUGHTS = (
    "<think>I guess <answer>7</answer></think>",
    r"<think>I guess \boxed{7}</think>",
    r"it may be \boxed{7}</think> I give up",
    "<think>7",
    r"<think>\boxed{7}",
    "<THINK><answer>7</answer></THINK>",
    "< think ><answer>7</answer></ think >",
    "<think>a</think><think><answer>7</answer></think>",
    "<think>a</think> no answer",
    "<think><think>a</think><answer>7</answer></think>",
    "<think>a</think><answer>8</answer><think>7</think>",
    r"</think><think>\boxed{7}</think>",
)
IN_A_BLOCK = (
    *("certainly not 7", ">= 7", "- 7", "negative 7", "-(7)", "f(7)", "eval('7')"),
    *("7\u00b2", "3/7", "5e7", "1999-01-07", r"\boxed{7", "0x7", "7 000", "1 7", "7 1"),
    *("5+2", "14/2", "7*1", "7!", "7x", "x7", "7 or 8", "8 or 7", "not 7", "~7", "<= 7"),
    *("7%00", "7 million", "seventy 7", "7, 8", "7; 8", "7 8", "7-", "--7", "-7", "+-7"),
    *("7 is wrong", "anything but 7", "less than 7", "7 or so or 9", "7?8", "7:00", "1.7"),
    *("7.5", ".7", "0.7", "70", "77", "7e0e1", "7**2", "2**7", "log(7)", "sqrt(7)", "{7,8}"),
    *(r"\sqrt{7}", r"\frac{7}{2}", r"\frac{1}{7}", r"7\pi", r"7^{2}", r"\pm 7", r"\neq 7"),
    *("[7]*2", "int('7')", "__import__('os')", "lambda: 7", "7 if True else 8", "7 and 8"),
    *("7 mod 3", "7 base 8", "7 minus 1", "7 squared", "half of 7", "7 hundred", "7th root"),
    *("7 dozen", "roughly 7", "about 7 or 6", "[1,7]", "(7,7)", "7..8", "7...", "7/1/2"),
    *("VII", "seven hundred 7", "", " ", "answer", "the number", "7\n8", "8\n7", "7=8"),
    *("x != 7", "x > 7", r"x \approx 7", "7 <= x", "2x = 7", "-x = 7", "7 = 5+2+1", "5+1=7"),
    *("\u2212 7", "\uff0d7", "7\u2075", "\u2077", "7\u20e3 8", "7i", "7k", "7e", "7 i", "7 ft 2"),
    *("<b>7</b> 8", "7</b", "<7", "{", "}", "$", "$$", "\\", r"\text{not }7", r"7\text{ or }8"),
)  # fmt: skip
PLAIN = (
    *(
        "0x7",
        "5e7",
        "3*4+7",
        "5 + 7",
        "7\u00b2",
        "7!",
        "f(7)",
        ">= 7",
        "is not 7",
        "1999-01-07",
    ),
    *(
        ".7",
        "-7",
        "= - 7",
        "-$7",
        r"-\$7",
        "is negative 7",
        "3/7",
        "7x",
        "(3,7)",
        "7 or 8",
    ),
    *(
        "x <= 7",
        "x != 7",
        r"\sqrt7",
        "2^7",
        "2**7",
        "107",
        "1 007",
        "7^2",
        "7 * 1 *",
        "",
    ),
    *("12:07", "1.2.7", r"x \approx 7", "eval('7')", "-(7)", "7.7", r"\frac{1}7"),
)
FILLING = "so we see that 12 * 3 = 36 and then (a, b) with {x} $y$ <i>z</i> 1,2,3 "


def hostile() -> Iterator[tuple[str, str]]:
    """(gold, completion) that must not be paid."""
    for text in THOUGHTS:
        yield "7", text
    for text in IN_A_BLOCK:
        yield "7", f"<think>a</think> <answer>{text}</answer>"
        yield "7", rf"It is \boxed{{{text}}}"
    for text in PLAIN:
        yield "7", f"It says {text}"
    yield "7", r"7 \boxed{8}"
    yield "7", r"\boxed{7} \boxed{8}"
    yield "7", "<answer>7</answer> <answer>8</answer>"
    yield "7", "<answer>7"
    yield "7", r"\boxed{-\boxed{7}}"
    for text in (
        "5+7",
        "3*4",
        "100-88",
        "1 2",
        "24/2",
        r"\frac{24}{2}",
        "2 * 6",
        "4!/2",
    ):
        yield "12", rf"\boxed{{{text}}}"
        yield "12", f"<answer>{text}</answer>"
    for text in ("7 000", "1 000", "10 0"):
        yield "0", text
    for gold in ("7", r"\sqrt{2}", "x^2-1"):
        yield gold, r"\boxed{1000000!}"
        yield gold, rf"\boxed{{{FILLING * 140}}}"
        yield gold, r"\boxed{9^{9^{9^{9}}}}"
