// A delay line of DEPTH words that moves when it is told to: q is the word that came in DEPTH moves before.
//
//   parameters  WIDTH  bits of a word
//               DEPTH  words; at least 1
//               STYLE  ram_style of the memory
//   cycles      one word a cycle
//   latency     DEPTH moves
//   storage     a register, and from DEPTH = 3 on a memory of DEPTH - 1 words, read where it is written next
module ext_shift #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 4,
    parameter STYLE = "auto"
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             move,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
    if (WIDTH < 1 || DEPTH < 1) $error("ext_shift: WIDTH %0d, DEPTH %0d", WIDTH, DEPTH);

    if (DEPTH == 1) begin : register
        always_ff @(posedge clk) if (move) q <= d;
        wire unused = rst;
    end else if (DEPTH == 2) begin : registers
        logic [WIDTH-1:0] first;
        always_ff @(posedge clk) if (move) {q, first} <= {first, d};
        wire unused = rst;
    end else begin : memory
        localparam int WORDS = DEPTH - 1;
        localparam int A = $clog2(WORDS);
        (* ram_style = STYLE *) logic [WIDTH-1:0] mem [0:WORDS-1];
        logic [A-1:0] at;
        always_ff @(posedge clk) if (move) begin
            q <= mem[at];
            mem[at] <= d;
        end
        always_ff @(posedge clk)
            if (rst) at <= '0;
            else if (move) at <= at == A'(WORDS - 1) ? '0 : at + 1'b1;
    end
endmodule
