// Matrix times vector: the arithmetic of convolutions and dense layers. Vectors of SIMD * FOLD_IN inputs come in beats of SIMD
// lanes; PE * FOLD_OUT outputs go out in beats of PE lanes.
//
// Each cycle multiplies SIMD inputs with the weights of PE outputs. The loop over inputs is inside, the loop over outputs
// outside. While the first PE outputs are computed the inputs go into a small RAM, from which the other outputs read them.
//
//   parameters  SIMD, PE            inputs and outputs in a cycle
//               FOLD_IN, FOLD_OUT   slices of the inputs, groups of outputs
//               W_X, X_SIGNED       of an input
//               W_W, W_SIGNED       of a weight
//               W_B .. SATURATION   see ext_accumulate
//               IMPL                of the products; see ext_multiply. "dsp": two outputs share DSPs, if two products fit into one
//               DEPTH               results in flight and in the FIFO; see ext_result
//               WEIGHTS             file of FOLD_OUT * FOLD_IN words of PE * SIMD weights, SIMD of an output together
//               BIASES              file of FOLD_OUT words of PE biases
//               *_STYLE             of the memories
//   cycles      FOLD_IN * FOLD_OUT a vector
//   latency     8 + ceil(ceil(log2 SIMD) / 2) cycles from the last input of an output to the output, one more with shared DSPs
//   storage     weights, biases, the vector (FOLD_OUT > 1), PE accumulators
module ext_matvec #(
    parameter int SIMD = 4,
    parameter int PE = 4,
    parameter int FOLD_IN = 2,
    parameter int FOLD_OUT = 2,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_W = 4,
    parameter bit W_SIGNED = 1,
    parameter int PRODUCT_SHIFT = 0,
    parameter int W_B = 8,
    parameter bit B_SIGNED = 1,
    parameter int BIAS_SHIFT = 0,
    parameter int W_A = 20,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 6,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter IMPL = "lut",
    parameter int DEPTH = 16,
    parameter WEIGHTS = "",
    parameter BIASES = "",
    parameter WEIGHT_STYLE = "auto",
    parameter BIAS_STYLE = "auto",
    parameter VECTOR_STYLE = "auto",
    parameter RESULT_STYLE = "auto"
) (
    input  logic                clk,
    input  logic                rst,
    input  logic [SIMD*W_X-1:0] s_data,
    input  logic                s_valid,
    output logic                s_ready,
    output logic [PE*W_Y-1:0]   m_data,
    output logic                m_valid,
    input  logic                m_ready
);
    localparam int A_IN = FOLD_IN < 2 ? 1 : $clog2(FOLD_IN);
    localparam int A_OUT = FOLD_OUT < 2 ? 1 : $clog2(FOLD_OUT);
    localparam int WORDS = FOLD_IN * FOLD_OUT;
    localparam int A = WORDS < 2 ? 1 : $clog2(WORDS);
    localparam int W_S = W_X + (X_SIGNED ? 0 : 1) + W_W + (W_SIGNED ? 0 : 1) + (SIMD < 2 ? 0 : $clog2(SIMD));
    localparam int W_P = W_X + (X_SIGNED ? 0 : 1) + W_W + (W_SIGNED ? 0 : 1);
    localparam bit PAIR = IMPL == "dsp" && PE > 1 && W_P + W_W + (W_SIGNED ? 0 : 1) + 1 <= 27; // two products to a DSP
    localparam int T_DOT = 1 + PAIR + (SIMD < 2 ? 0 : ($clog2(SIMD) + 1) / 2);
    localparam int T_SUM = 2 + T_DOT; // cycles from the step to its sums
    localparam int T = T_SUM + 3;     // to its outputs
    if (SIMD < 1 || PE < 1 || FOLD_IN < 1 || FOLD_OUT < 1) $error("ext_matvec: SIMD, PE, FOLD_IN, FOLD_OUT");

    // Which step comes next.
    logic [A_IN-1:0] in_fold;
    logic [A_OUT-1:0] out_fold;
    logic [A-1:0] word;
    logic room;
    wire fresh = out_fold == '0; // inputs come from the stream
    wire last_in = in_fold == A_IN'(FOLD_IN - 1);
    wire last_out = out_fold == A_OUT'(FOLD_OUT - 1);
    wire free = !last_in || room;
    wire step = free && (!fresh || s_valid);
    assign s_ready = free && fresh;
    always_ff @(posedge clk)
        if (rst) begin
            in_fold <= '0;
            out_fold <= '0;
            word <= '0;
        end else if (step) begin
            in_fold <= last_in ? '0 : in_fold + 1'b1;
            if (last_in) out_fold <= last_out ? '0 : out_fold + 1'b1;
            word <= last_in && last_out ? '0 : word + 1'b1;
        end

    // Weights and inputs, two cycles later.
    logic [PE*SIMD*W_W-1:0] w;
    ext_rom #(.WIDTH(PE*SIMD*W_W), .DEPTH(WORDS), .FILE(WEIGHTS), .STYLE(WEIGHT_STYLE)) weights (
        .clk, .read_at(word), .read_data(w));
    logic [SIMD*W_X-1:0] fresh_x, x;
    ext_delay #(.WIDTH(SIMD*W_X), .CYCLES(2)) delay_x (.clk, .rst, .d(s_data), .q(fresh_x));
    if (FOLD_OUT > 1) begin : kept
        logic [SIMD*W_X-1:0] kept_x;
        logic was_fresh;
        ext_ram #(.WIDTH(SIMD*W_X), .DEPTH(FOLD_IN), .STYLE(VECTOR_STYLE)) vector (
            .clk, .write(step && fresh), .write_at(in_fold), .write_data(s_data), .read_at(in_fold), .read_data(kept_x));
        ext_delay #(.WIDTH(1), .CYCLES(2)) delay_fresh (.clk, .rst, .d(fresh), .q(was_fresh));
        assign x = was_fresh ? fresh_x : kept_x;
    end else begin : used_once
        assign x = fresh_x;
    end

    // Three times each input, which the products of all outputs share.
    localparam bit TRIPLE = IMPL == "lut" && PE > 1 && W_W > 2;
    localparam int W_IN = W_X + (TRIPLE ? W_X + 2 : 0);
    logic [SIMD*W_IN-1:0] factors;
    for (genvar i = 0; i < SIMD; i++) begin : input_
        wire [W_X-1:0] x1 = x[i*W_X +: W_X];
        if (TRIPLE) begin : tripled
            wire sign = X_SIGNED && x1[W_X-1];
            assign factors[i*W_IN +: W_IN] = {{{2{sign}}, x1} + {sign, x1, 1'b0}, x1};
        end else begin : single
            assign factors[i*W_IN +: W_IN] = x1;
        end
    end

    // Sums.
    logic [PE*W_S-1:0] sums;
    for (genvar p = 0; p < PE; p += PAIR ? 2 : 1) begin : output_
        if (PAIR && p + 1 < PE) begin : two
            ext_dot_pair #(.N(SIMD), .W_X(W_X), .X_SIGNED(X_SIGNED), .W_W(W_W), .W_SIGNED(W_SIGNED)) dot (
                .clk, .x(x), .w0(w[p*SIMD*W_W +: SIMD*W_W]), .w1(w[(p+1)*SIMD*W_W +: SIMD*W_W]),
                .sum0(sums[p*W_S +: W_S]), .sum1(sums[(p+1)*W_S +: W_S]));
        end else begin : one
            logic signed [W_S-1:0] sum;
            ext_dot #(.N(SIMD), .W_X(W_X), .X_SIGNED(X_SIGNED), .W_W(W_W), .W_SIGNED(W_SIGNED), .IMPL(IMPL),
                .TRIPLE(TRIPLE)) dot (.clk, .x(factors), .w(w[p*SIMD*W_W +: SIMD*W_W]), .sum);
            ext_delay #(.WIDTH(W_S), .CYCLES(PAIR ? 1 : 0)) align (.clk, .rst, .d(sum), .q(sums[p*W_S +: W_S]));
        end
    end
    logic valid_sum, first_sum, valid_y;
    ext_delay #(.WIDTH(1), .CYCLES(T_SUM), .RESET(1)) delay_step (.clk, .rst, .d(step), .q(valid_sum));
    ext_delay #(.WIDTH(1), .CYCLES(T_SUM)) delay_first (.clk, .rst, .d(in_fold == '0), .q(first_sum));
    ext_delay #(.WIDTH(1), .CYCLES(T), .RESET(1)) delay_last (.clk, .rst, .d(step && last_in), .q(valid_y));

    // Outputs.
    logic [A_OUT-1:0] bias_at;
    logic [PE*W_B-1:0] bias;
    ext_delay #(.WIDTH(A_OUT), .CYCLES(T_DOT)) delay_out (.clk, .rst, .d(out_fold), .q(bias_at));
    ext_rom #(.WIDTH(PE*W_B), .DEPTH(FOLD_OUT), .FILE(BIASES), .STYLE(BIAS_STYLE)) biases (
        .clk, .read_at(bias_at), .read_data(bias));
    logic [PE*W_Y-1:0] y;
    ext_accumulate #(.PE(PE), .W_S(W_S), .PRODUCT_SHIFT(PRODUCT_SHIFT), .W_B(W_B), .B_SIGNED(B_SIGNED),
        .BIAS_SHIFT(BIAS_SHIFT), .W_A(W_A), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
        .SATURATION(SATURATION)) accumulate (.clk, .valid(valid_sum), .first(first_sum), .sums, .biases(bias), .y);
    ext_result #(.WIDTH(PE*W_Y), .DEPTH(DEPTH), .STYLE(RESULT_STYLE)) result (
        .clk, .rst, .take(step && last_in), .room, .s_data(y), .s_valid(valid_y), .m_data, .m_valid, .m_ready);
endmodule
