"""Names: what the user calls a layer, and what C++, Tcl and Verilog may call it.

A Keras layer may have any name. Two kinds of names are made from it, each by one function of :class:`Names`: a *label*,
which hls4ml writes into comments and strings and by which its graphs and traces know a node, and an *identifier*, for
variables, ports and modules. Both are unique in a graph as a whole, with the graphs inside of its layers.
"""

from __future__ import annotations

import re
from itertools import chain, count

CPP = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await
    co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do
    double dynamic_cast else enum explicit export extern false final float for friend goto if import inline int long module
    mutable namespace new noexcept not not_eq nullptr operator or or_eq override private protected public register
    reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch template this
    thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
    """.split()
)
"""The keywords of C++, up to C++23."""

VERILOG = frozenset(
    """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
    binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const constraint
    context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge else end endcase
    endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive
    endprogram endproperty endsequence endspecify endtable endtask enum event eventually expect export extends extern final
    first_match for force foreach forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone
    ignore_bins illegal_bins implements implies import incdir include initial inout input inside instance int integer
    interconnect interface intersect join join_any join_none large let liblist library local localparam logic longint
    macromodule matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1
    null or output package packed parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown
    pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg reject_on
    release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until s_until_with
    scalared sequence shortint shortreal showcancelled signed small soft solve specify specparam static string strong strong0
    strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time timeprecision
    timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until
    until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with
    within wor xnor xor
    """.split()
)
"""The keywords of SystemVerilog (IEEE 1800-2017)."""

VHDL = frozenset(
    """
    abs access after alias all and architecture array assert attribute begin block body buffer bus case component
    configuration constant disconnect downto else elsif end entity exit file for function generate generic group guarded if
    impure in inertial inout is label library linkage literal loop map mod nand new next nor not null of on open or others
    out package port postponed procedure process pure range record register reject rem report return rol ror select severity
    shared signal sla sll sra srl subtype then to transport type unaffected units until use variable wait when while with
    work xnor xor
    """.split()
)
"""The keywords of VHDL, which HLS tools write as well."""

TAKEN = frozenset(
    """
    alloca argc argv assert assert_perror atof be16toh be32toh be64toh clk cstr current daylight defines e environ errno
    fin fout fpr hls htobe16 htobe32 htobe64 htole16 htole32 htole64 i iline in issubnormal le16toh le32toh le64toh linux
    loaded_weights main math_errhandling nnet offsetof parameters pline pr sched_priority signgam std stderr stdin stdout
    rst strdupa strndupa strtok timezone tzname unix weights
    """.split()
)
"""Macros in lower case, and what the sources of hls4ml and the RTL call their own variables, ports and files."""

PATTERNS = re.compile(
    r"""
      [A-Z][A-Z0-9_]+                                   # nearly all macros of C, such as NULL
    | [A-Z]_\w+                                         # M_PIf, P_tmpdir
    | (ap|pthread)_\w+                                  # ap_fixed; the ports ap_clk, ap_rst
    | \w+_(t|s|ap|float|double)                         # hls4ml's types, the streams of io_parallel, the bridge to Python
    | (layer|config|parallel|ode_block|[a-z])\d+\w*     # by the index of a layer: layer2_out, config2, w2
    | \w*_table\d+
    """,
    re.VERBOSE,
)
"""Names that the generated sources, or the headers that they include, give or may give to something else."""


def is_safe(name: str) -> bool:
    """May C++, Tcl and Verilog call something by this very name?"""
    return (
        re.fullmatch(r'[A-Za-z][A-Za-z0-9_]*', name) is not None
        and '__' not in name
        and not name.endswith('_')
        and name.lower() not in CPP | VERILOG | VHDL | TAKEN
        and PATTERNS.fullmatch(name) is None
    )


class Names:
    """The names in one graph and the graphs inside of its layers.

    Args:
        taken: Identifiers that the project has already, such as the name of its top function.

    Attributes:
        layers: The names of all layers of the Keras model, also of those without a node.

    Example::

        names = Names('myproject')
        names.identifier('input', 'input')      # 'input_input': a keyword of Verilog
        names.identifier('ode1.conv', 'layer')  # 'ode1_conv'
        names.identifier('ode1/conv', 'layer')  # 'layer_ode1_conv'
    """

    def __init__(self, *taken: str):
        self._identifiers = {name.lower() for name in taken}  # VHDL does not tell A from a
        self._labels: set[str] = set()
        self._users: set[str] = set()
        self.layers: set[str] = set()

    def claim(self, name: str) -> bool:
        """Notes a name of the user's. False if something else in the graph has it already."""
        new = name not in self._users
        self._users.add(name)
        return new

    def label(self, name: str, kind: str) -> str:
        """The name by which hls4ml knows a layer: its own, unless that can't be in a C++ string or hls4ml needs it.

        Args:
            name: What the user calls it.
            kind: Put before a name that hls4ml needs: 'input', 'layer'.
        """
        label = ''.join(c if c.isprintable() and c not in '"\\?' else '_' for c in name)
        if not label or label == 'input' or label.startswith('clone_'):  # the source of a graph; copies of a stream
            label = f'{kind}_{label}'
        if re.search(r'_cpy\d+$', label):
            label += f'_{kind}'
        label = next(c for c in _numbered(label) if c not in self._labels)
        self._labels.add(label)
        return label

    def identifier(self, name: str, kind: str) -> str:
        """A name for C++, Tcl and Verilog, from any name; most stay as they are.

        Args:
            name: What the user calls it.
            kind: Put before a name that is taken or reserved: 'input', 'layer'.
        """
        identifier = re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_') or kind
        candidates = chain([identifier], _numbered(f'{kind}_{identifier}'))
        identifier = next(c for c in candidates if is_safe(c) and c.lower() not in self._identifiers)
        self._identifiers.add(identifier.lower())
        return identifier


def _numbered(name: str):
    yield name
    for n in count(2):
        yield f'{name}_{n}'
