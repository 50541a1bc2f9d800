"""What an engine consists of: the description from which its cost follows.

A *structure* counts what a synthesis tool makes LUTs and flip-flops of (the *features*), and lists memories, multipliers and
delays, whose resources follow by rules. For each module of SystemVerilog there is a function that describes it: those of an
operation are in ``layers/<operation>/cost.py``, those of the modules that all engines share are the methods of
:class:`Structure`. A module that is synthesized on its own, like a dot product, is a *part*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hls4ml_ext.cost.memories import Memory
from hls4ml_ext.errors import ExtError

LONGEST_SHIFT = 257
"""Words that ``ext_shift`` keeps in one RAM of LUTs and its register."""

Describe = Callable[['Structure', dict], None]
"""Describes a module: called with an empty structure and all parameters of an instance."""


def bits_for(n: int) -> int:
    """Bits of an address of n words: ceil(log2 n), $clog2."""
    return max(int(n) - 1, 0).bit_length()


def index_bits(n: int) -> int:
    """The same, at least 1."""
    return max(bits_for(n), 1)


@dataclass
class Structure:
    """What a module consists of.

    Attributes:
        module: Its name.
        features: Feature -> how much of it; most are counted in bits.
        memories: Its memories, with the registers that they are read into.
        delays: (bits, cycles) of delay lines without reset.
        products: (how many, bits of both factors) of the products that are left to multipliers.
        files: Parameter with the file of a ROM -> (words, bits of a word).
        parts: Modules below that are synthesized on their own, and how many there are of each.
    """

    module: str
    features: Counter = field(default_factory=Counter)
    memories: list[Memory] = field(default_factory=list)
    delays: list[tuple[int, int]] = field(default_factory=list)
    products: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    parts: list[tuple[Structure, int]] = field(default_factory=list)

    def add(self, feature: str, amount: float = 1):
        """Counts a feature."""
        if amount:
            self.features[feature] += amount

    def registers(self, bits: int):
        """Flip-flops."""
        self.add('registers', bits)

    def part(self, module: str, parameters: dict, count: int = 1):
        """Adds modules that are synthesized on their own."""
        if count:
            self.parts.append((structure_of(module, parameters), count))

    # ------------------------------------------------------------------ the shared modules, in hls4ml_ext/rtl/sv

    def counter(self, bits: int, feature: str = 'counter bits'):
        """A counter that wraps around."""
        self.add(feature, bits)
        self.registers(bits)

    def delay(self, width: int, cycles: int, reset: bool = False):
        """``ext_delay``."""
        if width and cycles and not reset:
            self.delays.append((width, cycles))
        elif width:
            self.registers(width * cycles)

    def memory(self, kind: str, width: int, words: int, style: str = 'auto'):
        """A memory, with the register that it is read into."""
        self.memories.append(Memory(kind, int(width), int(words), style))

    def ram(self, width: int, words: int, style: str = 'auto'):
        """``ext_ram``."""
        self.memory('ram', width, words, style)
        self.registers(width)

    def rom(self, width: int, words: int, style: str, file: str):
        """``ext_rom``.

        Args:
            file: The parameter of the engine with its file.
        """
        self.files[file] = (int(words), int(width))
        self.memory('rom', width, words, style)
        if words > 1:
            self.registers(distinct(width, words) if style == 'distributed' else width)

    def shift(self, width: int, depth: int, style: str = 'auto'):
        """``ext_shift``."""
        while style == 'distributed' and depth > LONGEST_SHIFT:
            self.shift(width, LONGEST_SHIFT, style)
            depth -= LONGEST_SHIFT
        if depth < 3:
            self.registers(depth * width)
            return
        self.memory('line', width, depth - 1, style)
        self.counter(bits_for(depth - 1))

    def fifo(self, width: int, depth: int = 2, style: str = 'auto'):
        """``ext_fifo``."""
        words = depth - 1 if depth > 3 else 2
        self.memory('ram', width, words, style)
        wraps = 'binary fifo counter bits' if words & (words - 1) == 0 else 'fifo counter bits'
        self.counter(2 * bits_for(words), wraps)
        self.counter(bits_for(words + 1), 'fifo level bits')
        self.registers(1)
        self.add('fifos')

    def result(self, width: int, depth: int, style: str = 'auto'):
        """``ext_result``."""
        self.counter(bits_for(depth + 1), 'fifo level bits')
        self.registers(1)
        self.add('results')
        self.fifo(width, depth + 1, style)

    def adder_tree(self, n: int, width: int, count: int = 1):
        """``ext_adder_tree``: two levels between registers, sums of up to four numbers.

        Args:
            count: Trees of this kind.
        """
        levels, numbers = bits_for(n), n
        for level in range(0, levels, 2):
            step = min(2, levels - level)
            out = -(-numbers // (1 << step))
            bits = width + level + step
            last = numbers - (out - 1) * (1 << step)
            for terms in [1 << step] * (out - 1) + [last]:
                if terms > 1:
                    self.add(f'sum of {terms} bits', bits * count)
            self.registers(out * bits * count)
            numbers = out

    def multiply(self, w_x: int, x_signed, w_w: int, w_signed, impl: str = 'lut', triple=False, count: int = 1):
        """``ext_multiply``; see there for rows and digits."""
        xs, ws = w_x + (not x_signed), w_w + (not w_signed)
        if impl == 'dsp' and min(xs, ws) > 1 and xs + ws >= 9:
            self.products.append((count, (xs, ws)))
            self.add('multiplier registers', (xs + ws) * count)
            return
        self.registers((xs + ws) * count)
        if impl == 'dsp':
            self.add('small product bits', xs * ws * count)
            return
        digits, row = (w_w + 1) // 2, xs + 2
        if digits == 1:
            self.add('only row bits', row * count)
            return
        self.add('first row bits', row * count)
        self.add('next row bits', (row + 1) * (digits - 1) * count)
        if not triple:
            self.add('triple bits', row * count)

    def requantize(self, w_x: int, p: dict, prefix: str = '', count: int = 1, nonnegative=False, chained: int = 0, **own):
        """``ext_requantize``.

        Args:
            p: With its parameters.
            prefix: Of their names.
            nonnegative: Whether x is known not to be negative.
            chained: Registers in front of it that belong to it alone: without rounding and saturation all of them are one
                delay.
            own: Parameters that have other names there.
        """
        v = {name: own.get(name, p.get(prefix + name)) for name in ('W_Y', 'Y_SIGNED', 'SHIFT', 'ROUNDING', 'SATURATION')}
        shift, w_y, signed = int(v['SHIFT']), int(v['W_Y']), bool(v['Y_SIGNED'])
        right, left = max(shift, 0), max(-shift, 0)
        rounds = shift > 0 and v['ROUNDING'] != 'TRN'
        bits = max(w_x - right + rounds - bool(nonnegative), 1)  # that the rounded number has, without zeros at the end
        if v['SATURATION'] == 'WRAP':
            bits = max(min(bits, w_y - left), 0)
        if rounds:
            self.add('round bits', bits * count)
            if v['ROUNDING'] == 'RND_CONV':
                self.add('sticky bits', right * count)
                self.add('ties', count)
        fits = bits + left + (signed and bool(nonnegative)) <= w_y and (signed or bool(nonnegative))
        if fits or v['SATURATION'] == 'WRAP':
            if chained and not rounds:
                self.registers(-chained * bits * count)
                self.delay(bits * count, 2 + chained)
            else:
                self.registers(2 * bits * count)
            return
        self.registers((bits + w_y) * count)
        # To one side only: the register's set or reset does it.
        self.add('saturated bits', 0 if nonnegative else w_y * count)
        self.add('overflow bits', max(bits + left - w_y, 1) * count)
        if v['SATURATION'] == 'SAT_SYM' and signed:
            self.add('symmetric bits', w_y * count)


def distinct(bits: int, words: int) -> float:
    """Different functions among the bits of a ROM of random words, those of no constant: equal ones are made once."""
    if words > 40:
        return bits
    functions = 2.0**words
    return functions * -((1 - 1 / functions) ** bits - 1) * (1 - 2 / functions)


def number(value) -> int:
    """A parameter that may be written as a constant of Verilog, like ``8'hff``."""
    if isinstance(value, str):
        return int(value.split("'h", 1)[-1], 16) if "'h" in value else int(value)
    return int(value)


# ---------------------------------------------------------------------------------------------------------------------
# Modules
# ---------------------------------------------------------------------------------------------------------------------


def dot(s: Structure, p: dict):
    """``ext_dot``."""
    n, triple = p['N'], bool(p.get('TRIPLE'))
    s.multiply(p['W_X'], p['X_SIGNED'], p['W_W'], p['W_SIGNED'], p['IMPL'], triple, n)
    s.adder_tree(n, p['W_X'] + (not p['X_SIGNED']) + p['W_W'] + (not p['W_SIGNED']))


def dot_pair(s: Structure, p: dict):
    """``ext_dot_pair``: two products to a DSP."""
    n, xs, ws = p['N'], p['W_X'] + (not p['X_SIGNED']), p['W_W'] + (not p['W_SIGNED'])
    s.products.append((n, (xs, xs + 2 * ws + 1)))
    factor = 2 * ws + 1 if p['W_SIGNED'] else 2 * p['W_W']  # without copies of a sign, and zeros
    s.add('multiplier registers', (xs + factor + 2 * (xs + ws)) * n)
    s.add('packed factor bits', (ws + 1) * n if p['W_SIGNED'] else 0)
    s.add('unpacked bits', (xs + ws) * n)
    s.adder_tree(n, xs + ws, 2)


def accumulate(s: Structure, p: dict):
    """``ext_accumulate``."""
    s.add('accumulator bits', p['PE'] * p['W_A'])
    s.registers(p['PE'] * p['W_A'])
    s.requantize(p['W_A'], p, count=p['PE'])


def fifo(s: Structure, p: dict):
    """``ext_fifo``."""
    s.fifo(p['WIDTH'], p.get('DEPTH', 2), p.get('STYLE', 'auto'))


SHARED: dict[str, Describe] = {'ext_dot': dot, 'ext_dot_pair': dot_pair, 'ext_accumulate': accumulate, 'ext_fifo': fifo}
"""The modules that all engines share and that are synthesized on their own, or stand between engines."""


def known_modules() -> dict[str, Describe]:
    """All modules whose structure is known: name -> its description."""
    from hls4ml_ext.registry import rtl_costs

    return {**SHARED, **rtl_costs()}


def structure_of(module: str, parameters: dict) -> Structure:
    """The structure of an engine.

    Args:
        module: Name of its SystemVerilog module.
        parameters: As an :class:`~hls4ml_ext.rtl.kernel.RTLKernel` places it with them.

    Raises:
        ExtError: if nothing describes the module, or a parameter is missing.
    """
    describe = known_modules().get(module)
    if describe is None:
        raise ExtError(
            f"the cost of the module '{module}' is not known: its operation has no description of it among its rtl_costs"
        )
    structure = Structure(module)
    try:
        describe(structure, parameters)
    except KeyError as e:
        raise ExtError(f"the cost of the module '{module}' depends on its parameter {e}, which is missing") from None
    return structure
