// A memory that is filled from a file, with an output register.
//
//   parameters  WIDTH  bits of a word
//               DEPTH  words
//               FILE   hexadecimal words, one a line, for $readmemh
//               STYLE  rom_style: "auto", "distributed", "block"
//   cycles      one read a cycle
//   latency     2 cycles from the address to the word
//   storage     DEPTH words, and the two registers behind them; nothing but constants for DEPTH = 1
module ext_rom #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter FILE = "",
    parameter STYLE = "auto",
    localparam int A = DEPTH < 2 ? 1 : $clog2(DEPTH)
) (
    input  logic             clk,
    input  logic [A-1:0]     read_at,
    output logic [WIDTH-1:0] read_data
);
    if (WIDTH < 1 || DEPTH < 1) $error("ext_rom: WIDTH %0d, DEPTH %0d", WIDTH, DEPTH);

`ifdef YOSYS
    localparam ROM_STYLE = STYLE == "distributed" ? "logic" : STYLE; // its LUTRAM is for RAMs alone
`else
    localparam ROM_STYLE = STYLE;
`endif
    (* rom_style = ROM_STYLE *) logic [WIDTH-1:0] mem [0:DEPTH-1];
    if (FILE != "") begin : filled
        initial $readmemh(FILE, mem);
    end else begin : empty
        initial for (int i = 0; i < DEPTH; i++) mem[i] = '0;
    end
    logic [WIDTH-1:0] word;
    always_ff @(posedge clk) begin
        word <= mem[read_at];
        read_data <= word;
    end
endmodule
