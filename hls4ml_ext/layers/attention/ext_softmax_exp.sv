// Softmax, second part: the exponentials of a row of LENGTH tokens, their sum, and its reciprocal.
//
//   e[j] = exps[max - x[j]],  s = sum of e = m * 2^p with 1 <= m < 2,  factor = {p - (W_EXP - 1), reciprocals[first bits of m]}
//
// The largest exponential has W_EXP bits, so the sum has them.
//
//   parameters  LANES, LENGTH
//               W_X                        bits of a number
//               W_EXP, EXPS                bits of an exponential, file of 2^W_X of them
//               W_SUM                      bits of a sum
//               W_INDEX                    bits of the index of a reciprocal; less than W_EXP
//               W_RECIPROCAL, RECIPROCALS  bits of a reciprocal, file of 2^W_INDEX of them
//               *_STYLE                    of the memories
//   cycles      one a token
//   latency     5 cycles of a token to its exponential, the first output; 10 of the last token of a row to its factor, the second
//   storage     a FIFO of LENGTH + 16 exponentials a lane, so that a row comes while the one before is used; a copy of both
//               tables a lane
module ext_softmax_exp #(
    parameter int LANES = 2,
    parameter int LENGTH = 6,
    parameter int W_X = 8,
    parameter int W_EXP = 12,
    parameter int W_SUM = 15,
    parameter int W_INDEX = 9,
    parameter int W_RECIPROCAL = 12,
    parameter EXPS = "",
    parameter RECIPROCALS = "",
    parameter TERM_STYLE = "auto",
    parameter EXP_STYLE = "auto",
    parameter RECIPROCAL_STYLE = "auto",
    localparam int W_E = W_SUM - W_EXP < 1 ? 1 : $clog2(W_SUM - W_EXP + 1),
    localparam int W_FACTOR = W_E + W_RECIPROCAL
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic [LANES*W_X-1:0]      s0_data,
    input  logic                      s0_valid,
    output logic                      s0_ready,
    input  logic [LANES*W_X-1:0]      s1_data,
    input  logic                      s1_valid,
    output logic                      s1_ready,
    output logic [LANES*W_EXP-1:0]    m0_data,
    output logic                      m0_valid,
    input  logic                      m0_ready,
    output logic [LANES*W_FACTOR-1:0] m1_data,
    output logic                      m1_valid,
    input  logic                      m1_ready
);
    localparam int A = LENGTH < 2 ? 1 : $clog2(LENGTH);
    localparam int T_TERM = 3;   // from the step to its exponentials
    localparam int T_FACTOR = 8; // to the factors
    if (LANES < 1 || LENGTH < 1 || W_X < 1) $error("ext_softmax_exp: LANES, LENGTH, W_X");
    if (W_SUM < W_EXP || W_INDEX >= W_EXP) $error("ext_softmax_exp: W_SUM, W_EXP, W_INDEX");

    // A token is taken with the maximum of its row, which stays until the last one.
    logic [A-1:0] j;
    logic room, factor_room;
    wire last = j == A'(LENGTH - 1);
    wire free = room && (!last || factor_room);
    wire step = s0_valid && s1_valid && free;
    assign s0_ready = s1_valid && free;
    assign s1_ready = s0_valid && last && free;
    always_ff @(posedge clk)
        if (rst) j <= '0;
        else if (step) j <= last ? '0 : j + 1'b1;

    logic valid_term, first_term, valid_factor;
    ext_delay #(.WIDTH(1), .CYCLES(T_TERM), .RESET(1)) delay_step (.clk, .rst, .d(step), .q(valid_term));
    ext_delay #(.WIDTH(1), .CYCLES(T_TERM)) delay_first (.clk, .rst, .d(j == '0), .q(first_term));
    ext_delay #(.WIDTH(1), .CYCLES(T_FACTOR), .RESET(1)) delay_last (.clk, .rst, .d(step && last), .q(valid_factor));

    logic [LANES*W_EXP-1:0] terms;
    logic [LANES*W_FACTOR-1:0] factors;
    for (genvar a = 0; a < LANES; a++) begin : lane
        // The exponential.
        logic [W_X-1:0] difference;
        always_ff @(posedge clk) difference <= s1_data[a*W_X +: W_X] - s0_data[a*W_X +: W_X];
        wire [W_EXP-1:0] term;
        ext_rom #(.WIDTH(W_EXP), .DEPTH(1 << W_X), .FILE(EXPS), .STYLE(EXP_STYLE)) exps (
            .clk, .read_at(difference), .read_data(term));
        assign terms[a*W_EXP +: W_EXP] = term;

        // The sum, the place of its leading one, the bits behind that.
        logic [W_SUM-1:0] sum, sum_behind;
        logic [W_E-1:0] place, exponent, exponent_behind;
        logic [W_INDEX-1:0] index;
        always_comb begin
            place = '0;
            for (int b = W_EXP; b < W_SUM; b++)
                if (sum[b]) place = W_E'(b - W_EXP + 1);
        end
        always_ff @(posedge clk) begin
            if (valid_term) sum <= (first_term ? '0 : sum) + W_SUM'(term);
            sum_behind <= sum;
            exponent <= place;
            index <= W_INDEX'(sum_behind >> (W_EXP - 1 - W_INDEX) >> exponent);
        end
        ext_rom #(.WIDTH(W_RECIPROCAL), .DEPTH(1 << W_INDEX), .FILE(RECIPROCALS), .STYLE(RECIPROCAL_STYLE)) reciprocals (
            .clk, .read_at(index), .read_data(factors[a*W_FACTOR +: W_RECIPROCAL]));
        ext_delay #(.WIDTH(W_E), .CYCLES(3)) delay_exponent (.clk, .rst, .d(exponent), .q(exponent_behind));
        assign factors[a*W_FACTOR + W_RECIPROCAL +: W_E] = exponent_behind;
    end

    ext_result #(.WIDTH(LANES*W_EXP), .DEPTH(LENGTH + 16), .STYLE(TERM_STYLE)) row (
        .clk, .rst, .take(step), .room, .s_data(terms), .s_valid(valid_term),
        .m_data(m0_data), .m_valid(m0_valid), .m_ready(m0_ready));
    ext_result #(.WIDTH(LANES*W_FACTOR), .DEPTH(3 + (LENGTH + 12) / LENGTH)) factor (
        .clk, .rst, .take(step && last), .room(factor_room), .s_data(factors), .s_valid(valid_factor),
        .m_data(m1_data), .m_valid(m1_valid), .m_ready(m1_ready));
endmodule
