// A word, CYCLES cycles later.
//
//   parameters  WIDTH   bits of a word
//               CYCLES  0: a wire
//               RESET   whether rst clears it
//   cycles      one word a cycle
//   latency     CYCLES
//   storage     CYCLES * WIDTH registers (shift-register LUTs without RESET)
module ext_delay #(
    parameter int WIDTH = 1,
    parameter int CYCLES = 1,
    parameter bit RESET = 0
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
    if (WIDTH < 1 || CYCLES < 0) $error("ext_delay: WIDTH %0d, CYCLES %0d", WIDTH, CYCLES);

    if (CYCLES == 0) begin : wires
        assign q = d;
        wire unused = clk ^ rst;
    end else begin : stages
        logic [CYCLES*WIDTH-1:0] line;
        wire [(CYCLES+1)*WIDTH-1:0] moved = {line, d};
        assign q = line[CYCLES*WIDTH-1 -: WIDTH];
        if (RESET) begin : cleared
            always_ff @(posedge clk) line <= rst ? '0 : moved[CYCLES*WIDTH-1:0];
        end else begin : free
            always_ff @(posedge clk) line <= moved[CYCLES*WIDTH-1:0];
            wire unused = rst;
        end
        wire unused_top = ^moved[(CYCLES+1)*WIDTH-1 -: WIDTH];
    end
endmodule
