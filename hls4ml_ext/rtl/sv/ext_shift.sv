// A delay line of DEPTH words that moves when it is told to: q is the word that came in DEPTH moves before.
//
//   parameters  WIDTH  bits of a word
//               DEPTH  words; at least 1
//               STYLE  ram_style of the memory
//   cycles      one word a cycle
//   latency     DEPTH moves
//   storage     a register, and from DEPTH = 3 on a memory of DEPTH - 1 words, read where it is written next; in LUTs
//               ("distributed") one for every 257 words
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
    localparam int LONGEST = 257; // 256 words and the register
    if (WIDTH < 1 || DEPTH < 1) $error("ext_shift: WIDTH %0d, DEPTH %0d", WIDTH, DEPTH);

    if (DEPTH == 1) begin : register
        always_ff @(posedge clk) if (move) q <= d;
        wire unused = rst;
    end else if (DEPTH == 2) begin : registers
        logic [WIDTH-1:0] first;
        always_ff @(posedge clk) if (move) {q, first} <= {first, d};
        wire unused = rst;
    end else if (STYLE == "distributed" && DEPTH > LONGEST) begin : pieces // there is no larger RAM of LUTs
        logic [WIDTH-1:0] middle;
        ext_shift #(.WIDTH(WIDTH), .DEPTH(LONGEST), .STYLE(STYLE)) head (.clk, .rst, .move, .d, .q(middle));
        ext_shift #(.WIDTH(WIDTH), .DEPTH(DEPTH - LONGEST), .STYLE(STYLE)) tail (.clk, .rst, .move, .d(middle), .q);
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
